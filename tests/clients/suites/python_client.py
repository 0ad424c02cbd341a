"""A client in Python (grpcio) that knows nothing beforehand: finds the capabilities by reflection, builds
its messages from what it was told, calls them."""

import re

import grpc
import yaml
from google.protobuf import descriptor_pb2

from kit.check import equal, holds
from kit.installation import ROOT, Caller, Installation, subscription
from kit.wire import REFLECTION, Client, Denial

CLEARANCE = "oaas.cross_border.v1.ClearanceTimeService"
REBATE = "oaas.channel.v1.RebateService"
COUPON = "oaas.channel.v1.CouponService"
PRODUCTION = "oaas.manufacturing.v1.ProductionService"
CATALOG = "oaas.catalog.v1.CatalogService"
BREAKERS = "oaas.gateway.v1.BreakerService"

BATCH = {
    "batch_id": "spring", "face_value_fen": "5000", "total_count": "1000", "per_member_max": "1",
    "valid_from_ms": "1767225600000", "valid_until_ms": "4070908800000",
}


def callers() -> list[Caller]:
    return [
        Caller("operator", [subscription("*", "internal")], roles=["operator"]),
        Caller("shop", [subscription("*", "standard"), subscription(COUPON, "standard")]),
        Caller("stranger"),
    ]


def run(suite) -> None:
    with Installation(callers()) as installation:
        client = lambda name="": Client(installation.address, installation.callers[name].key if name else "")
        with client("shop") as shop:
            reflection(suite, shop, client)
            capabilities(suite, shop)
            catalog(suite, shop)


def reflection(suite, shop, client) -> None:
    for version in REFLECTION:
        with suite.case(f"reflection {version} lists the capabilities that this caller may see"):
            there = set(shop.services(version))
            holds({CLEARANCE, REBATE, COUPON, PRODUCTION, CATALOG} <= there, f"found {sorted(there)}")
            holds(BREAKERS not in there, "an operators' service is shown to a shop")
    with suite.case("v1 and v1alpha agree, for each caller"):
        for name in ("", "stranger", "shop", "operator"):
            with client(name) as anybody:
                equal(sorted(anybody.services("v1")), sorted(anybody.services("v1alpha")), name)
    with suite.case("what a caller may not see is absent, by name and by file, as if it never was"):
        with client("operator") as operator:
            pool = operator.learn(BREAKERS)
            file = pool.FindServiceByName(BREAKERS).file.name
        with client("stranger") as stranger:
            hidden = [stranger.ask("v1", file_containing_symbol=BREAKERS), stranger.ask("v1", file_by_filename=file)]
            never = [stranger.ask("v1", file_containing_symbol="oaas.gateway.v1.NeverService"),
                     stranger.ask("v1", file_by_filename="oaas/gateway/v1/never.proto")]
            for one, other in zip(hidden, never):
                equal(one.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])
                equal(one.WhichOneof("message_response"), other.WhichOneof("message_response"))
            holds(COUPON not in stranger.services(), "a private service is shown to one who has no subscription")
    with suite.case("anonymous callers see health, reflection and the catalog alone"):
        with client() as anonymous:
            names = anonymous.services()
            holds(all(name.startswith("grpc.") or name == CATALOG for name in names), f"found {names}")
            holds("grpc.health.v1.Health" in names, f"found {names}")
    with suite.case("comments of the contract travel"):
        answer = shop.ask("v1", file_containing_symbol=REBATE).file_descriptor_response.file_descriptor_proto
        files = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in answer]
        own = next(f for f in files if any(s.name == "RebateService" for s in f.service))
        holds(any(l.leading_comments.strip() for l in own.source_code_info.location), "no comments")


def capabilities(suite, shop) -> None:
    with suite.case("clearance time: prediction, a client stream of records, prediction that has learnt"):
        request = {
            "consignment": {"destination_country": "CN", "office": "CNSHA", "transport_mode": "TRANSPORT_MODE_SEA"},
            "stages": ["CLEARANCE_STAGE_DECLARATION_TO_RELEASE"],
        }
        predict = f"/{CLEARANCE}/PredictClearanceTime"
        before = shop.call(predict, request)
        equal(before["stages"][0]["fallback_level"], "FALLBACK_LEVEL_COUNTRY_PRIOR")
        records = [{
            "shipment_id": f"S-{day}",
            "consignment": request["consignment"],
            "milestones": {"declared_at": f"2024-03-{day:02}T08:00:00Z", "released_at": f"2024-03-{day + 2:02}T08:00:00Z"},
            "observed_at": f"2024-03-{day + 2:02}T09:00:00Z",
        } for day in range(1, 21)]
        done = shop.call(f"/{CLEARANCE}/RecordClearance", records)
        equal((done["received"], done["recorded"]), ("20", "20"))
        after = shop.call(predict, request)
        holds(after["data_version"] != before["data_version"], "the prediction does not rest on the new records")
        quantiles = lambda answer: [q["hours"] for q in answer["stages"][0]["quantiles"]]
        holds(quantiles(after) != quantiles(before), "twenty clearances have not moved the quantiles")
        holds(after["stages"][0]["n_stage"] > before["stages"][0].get("n_stage", 0), "no more evidence than before")
    with suite.case("rebate: a plan is put and rebates are calculated"):
        rebate(shop)
    with suite.case("production: decided, triggered exactly once"):
        production(shop)
    with suite.case("coupons: a batch is opened, a coupon is issued and redeemed once"):
        coupons(shop)


def rebate(shop) -> None:
    """The catalog's own examples, in their order: what the catalog promises is what a stranger can do."""
    entry = shop.call(f"/{CATALOG}/GetService", {"name": REBATE})
    methods = entry["service"]["methods"] if "service" in entry else entry["methods"]
    holds(any(method["name"] == "CalculateRebate" for method in methods), f"methods: {[m['name'] for m in methods]}")
    for name, request, expected in examples("channel/rebate.yaml"):
        path = f"/{REBATE}/{name}"
        if "error" in expected:
            try:
                shop.call(path, request)
            except grpc.RpcError as error:
                equal(Denial(error).reason, expected["error"], f"{name} {request}")
            else:
                raise AssertionError(f"{name} was not refused with {expected['error']}")
        else:
            contains(shop.call(path, request), expected.get("response", {}), name)


def production(shop) -> None:
    triggered = []
    for name, request, expected in examples("manufacturing/production.yaml"):
        if "error" in expected or name not in ("PutMasterData", "PlanProduction", "TriggerProduction"):
            continue
        answer = shop.call(f"/{PRODUCTION}/{name}", request)
        contains(answer, expected.get("response", {}), name)
        if name == "TriggerProduction":
            triggered.append(answer["production_id"])
    holds(len(triggered) >= 2 and len(set(triggered)) == 1, f"productions {triggered} of one idempotency key")


def coupons(shop) -> None:
    shop.call(f"/{COUPON}/OpenBatch", {"batch": BATCH})
    issue = {"batch_id": "spring", "member_id": "m-1", "idempotency_key": "issue-m-1"}
    coupon = shop.call(f"/{COUPON}/IssueCoupon", issue)["coupon"]
    redeem = {
        "coupon_id": coupon["coupon_id"], "batch_id": "spring", "face_value_fen": "5000", "member_id": "m-1",
        "order_id": "o-1", "idempotency_key": "redeem-m-1",
    }
    equal(shop.call(f"/{COUPON}/RedeemCoupon", redeem)["coupon"]["state"], "COUPON_STATE_REDEEMED")
    try:
        shop.call(f"/{COUPON}/RedeemCoupon", redeem | {"order_id": "o-2", "idempotency_key": "redeem-again"})
    except grpc.RpcError as error:
        denial = Denial(error)
        equal(denial.reason, "COUPON_REDEEMED")
        equal(denial.trailers.get("oaas-origin"), "upstream", "oaas-origin")
    else:
        raise AssertionError("a coupon was redeemed twice")


def catalog(suite, shop) -> None:
    with suite.case("the catalog is searched in Chinese, and says what may be called and why not"):
        found = shop.call(f"/{CATALOG}/ListServices", {"query": "返利"})["services"]
        equal(found[0]["name"], REBATE)
        access = shop.call(f"/{CATALOG}/ListAccess", {})
        text = str(access)
        holds(REBATE in text and BREAKERS not in text, "access lists what this caller may see")


class Yaml(yaml.SafeLoader):
    """YAML 1.2, as the program reads it: `on` and `2024-03-01` are text."""


Yaml.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":bool", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def examples(path: str):
    """(method, request, {response} or {error}) of a catalog file, in its order."""
    entry = yaml.load((ROOT / "catalog" / path).read_text(), Yaml)
    for method, fields in entry["methods"].items():
        for example in fields.get("examples", []):
            yield method, example["request"], {key: example[key] for key in ("response", "error") if key in example}


def contains(found, expected, what: str) -> None:
    """Each named field is equal; others are not looked at. A field at its default is left out on the wire."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            contains((found or {}).get(key), value, f"{what}.{key}")
    elif isinstance(expected, list):
        for index, value in enumerate(expected):
            contains(found[index], value, f"{what}[{index}]")
    elif found is None:
        holds(expected in (0, "", "0", False), f"{what}: nothing found, expected {expected!r}")
    else:
        equal(found, expected, what)
