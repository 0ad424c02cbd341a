"""Each way to be refused that a caller can provoke: code, reason, what the reason promises beside it."""

import datetime
import queue
import re
import resource
import time

import grpc

from kit import echo, raw_h2
from kit.beside import NodeUpstream
from kit.check import equal, holds
from kit.installation import Caller, Installation, free_port, subscription, wait_until
from kit.wire import Client, Denial
from suites.python_client import BATCH, COUPON

Code = grpc.StatusCode
SAY, TELL, CHAT = echo.path("Say"), echo.path("Tell"), echo.path("Chat")
AWAY = "/acme.echo.v1.AwayService/Say"
PREDICT = "/oaas.cross_border.v1.ClearanceTimeService/PredictClearanceTime"
YESTERDAY = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
# Catalog deadline of the echo service: short enough to be passed in a test, milliseconds.
DEADLINE_MS = 400
PLANS = """
  unlimited: {}
  slow: { rate: { per_second: 1, burst: 2 } }
  narrow: { concurrency: 1 }
  counted: { quota: { calls: 2, period: day } }
  poor: { budgets: { coupon-face-value: { amount: "70.00", currency: CNY, window_s: 3600 } } }
  say-alone: { methods: { acme.echo.v1.EchoService: [Say] } }
"""


def callers() -> list[Caller]:
    echoed = lambda plan, more="": [subscription(echo.SERVICE, plan, more)]
    return [
        Caller("shop", [subscription("*", "unlimited"), subscription(COUPON, "poor")]),
        Caller("stranger"),
        Caller("expired", key_fields=f"expires: {YESTERDAY}"),
        Caller("revoked", key_fields="revoked: true"),
        Caller("pending", echoed("unlimited", "state: pending")),
        Caller("suspended", echoed("unlimited", "state: suspended")),
        Caller("lapsed", echoed("unlimited", f"expires: {YESTERDAY}")),
        Caller("say-alone", echoed("say-alone")),
        Caller("slow", echoed("slow")),
        Caller("narrow", echoed("narrow")),
        Caller("counted", echoed("counted")),
    ]


def run(suite) -> None:
    with NodeUpstream() as upstream:
        with gateway(upstream) as installation:
            client = lambda name: Client(installation.address, installation.callers[name].key)
            credentials(suite, installation)
            hidden(suite, installation)
            subscriptions(suite, client)
            limits(suite, client)
            money(suite, client)
            deadlines(suite, installation, client)
            sizes(suite, client)
            fields(suite, client)
            away(suite, client)
            languages(suite, client)
        draining(suite, upstream)
        overloaded(suite, upstream)
        journal_away(suite, upstream)


def gateway(upstream, settings: str = "") -> Installation:
    installation = Installation(callers(), settings)
    installation.add_plans(PLANS)
    (installation.catalog / "acme").mkdir()
    (installation.catalog / "acme" / "echo.binpb").write_bytes(echo.descriptors())
    entry = echo.entry(upstream.address, "file: acme/echo.binpb", deadline_ms=DEADLINE_MS,
                       more="response_bytes_max: 100000", say="request_bytes_max: 1000")
    installation.put_service("acme/echo.yaml", entry)
    installation.put_service("acme/away.yaml", echo.away(f"127.0.0.1:{free_port()}"))
    return installation


def check(denial: Denial, code, reason: str, executed: str = "false", details=(), pushback: str = "") -> None:
    """The denial contract: what every refusal carries, and what this one carries beside."""
    equal((denial.code, denial.reason), (code, reason), f"refusal ({denial.message})")
    equal(denial.order[0], "ErrorInfo", "first detail")
    equal(denial.details["ErrorInfo"].domain, "gateway.oaas", "domain")
    facts = denial.facts
    holds({"call_id", "service", "executed", "catalog_version"} <= facts.keys(), f"facts {facts}")
    equal(facts["executed"], executed, "executed")
    equal(denial.headers.get("oaas-call-id", denial.trailers.get("oaas-call-id")), facts["call_id"], "call id")
    # These two say something again, and are left out where a refusal would be over a kibibyte.
    if "RequestInfo" in denial.details:
        equal(denial.details["RequestInfo"].request_id, facts["call_id"], "RequestInfo")
    if "Help" in denial.details:
        holds(denial.details["Help"].links, "Help without a link")
    equal(denial.trailers.get("oaas-origin"), "gateway", "oaas-origin")
    for name in ("LocalizedMessage", *details):
        holds(name in denial.details, f"no {name} in {denial.order}")
    if pushback == "never":
        equal(denial.trailers.get("grpc-retry-pushback-ms"), "-1", "pushback")
        holds(denial.retry_s is None, "RetryInfo though a retry can't help")
    if pushback == "wait":
        holds(denial.retry_s is not None and denial.retry_s > 0, "no RetryInfo")
        holds(int(denial.trailers["grpc-retry-pushback-ms"]) >= denial.retry_s * 1000, "pushback below RetryInfo")


def credentials(suite, installation) -> None:
    good = installation.callers["shop"].key
    wrong = {
        "CREDENTIALS_MISSING": [[]],
        "CREDENTIALS_INVALID": [
            [("authorization", f"Bearer {good[:-1]}{'A' if good[-1] != 'A' else 'B'}")],
            [("authorization", "Bearer oaas_aaaaaaaa_unknown")], [("authorization", good)],
            [("authorization", "Basic c2hvcDpzaG9w")], [("authorization", f"Bearer {good}"), ("x-api-key", good)],
            [("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaG9wIn0.")],
        ],
        "CREDENTIALS_EXPIRED": [[("authorization", f"Bearer {installation.callers['expired'].key}")]],
        "CREDENTIALS_REVOKED": [[("authorization", f"Bearer {installation.callers['revoked'].key}")]],
    }
    with Client(installation.address) as client:
        for reason, shown in wrong.items():
            with suite.case(reason):
                for metadata in shown:
                    denial = client.denied(SAY, metadata=metadata)
                    check(denial, Code.UNAUTHENTICATED, reason, pushback="never")
                    nowhere = client.denied("/acme.echo.v1.NeverService/Say", metadata=metadata)
                    equal((nowhere.reason, nowhere.message), (reason, denial.message), "for a service that isn't")
        with suite.case("a key may come as x-api-key"):
            equal(client.raw(SAY, b"", metadata=[("x-api-key", good)])[0], b"")


def hidden(suite, installation) -> None:
    with suite.case("METHOD_UNKNOWN: hidden and unknown read the same, byte for byte"):
        key = [("authorization", f"Bearer {installation.callers['stranger'].key}")]
        answers = []
        for service in ("oaas.channel.v1.CouponService", "oaas.channel.v1.CouponServise"):
            headers, trailers, body = raw_h2.call(installation.address, f"/{service}/GetBatch", key)
            with Client(installation.address, installation.callers["stranger"].key) as client:
                denial = client.denied(f"/{service}/GetBatch")
            check(denial, Code.UNIMPLEMENTED, "METHOD_UNKNOWN", pushback="never")
            details = [str(denial.details[name]) for name in denial.order]
            text = repr([sorted(headers), sorted(trailers), body, denial.message, denial.order, details])
            text = text.replace(service, "SERVICE").replace(denial.facts["call_id"], "CALL")
            answers.append((text, len(headers["grpc-status-details-bin"])))
        equal(answers[0], answers[1], "the two answers")


def subscriptions(suite, client) -> None:
    for name, reason in (("stranger", "REQUIRED"), ("pending", "PENDING"), ("suspended", "SUSPENDED"), ("lapsed", "EXPIRED")):
        with suite.case(f"SUBSCRIPTION_{reason}"), client(name) as caller:
            denial = caller.denied(SAY)
            check(denial, Code.PERMISSION_DENIED, f"SUBSCRIPTION_{reason}", details=["ResourceInfo"], pushback="never")
            equal(denial.details["ResourceInfo"].resource_name, echo.SERVICE)
    with suite.case("METHOD_NOT_IN_PLAN"), client("say-alone") as caller:
        equal(caller.raw(SAY, b"")[0], b"", "the method that is in the plan")
        check(caller.denied(TELL), Code.PERMISSION_DENIED, "METHOD_NOT_IN_PLAN", details=["ResourceInfo"], pushback="never")


def limits(suite, client) -> None:
    with suite.case("RATE_LIMITED: RetryInfo is the exact wait, and after it the call passes"), client("slow") as caller:
        for _ in range(2):
            caller.raw(SAY, b"")
        denial = caller.denied(SAY)
        check(denial, Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", details=["QuotaFailure"], pushback="wait")
        holds(denial.retry_s <= 1, f"wait {denial.retry_s} s at one call a second")
        time.sleep(denial.retry_s)
        caller.raw(SAY, b"")
    with suite.case("CONCURRENCY_LIMITED, and free again when the stream ends"), client("narrow") as caller:
        held = Held(caller)
        check(caller.denied(SAY), Code.RESOURCE_EXHAUSTED, "CONCURRENCY_LIMITED", details=["QuotaFailure"], pushback="wait")
        held.end()
        wait_until(lambda: passes(caller), 5, "the place is free again")
    with suite.case("QUOTA_EXHAUSTED, with the moment when it begins anew"), client("counted") as caller:
        for _ in range(2):
            caller.raw(SAY, b"")
        denial = caller.denied(SAY)
        check(denial, Code.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED", details=["QuotaFailure"])
        holds("resets_at" in denial.facts, f"facts {denial.facts}")
        if denial.retry_s is not None:
            holds(denial.retry_s <= 60, "RetryInfo beyond a minute")


class Held:
    """A stream that stays open until it is told to end."""

    def __init__(self, client: Client, path: str = CHAT):
        self.said = queue.Queue()
        self.said.put(b"")
        self.stream = client.channel.stream_stream(path)(iter(self.said.get, None), metadata=client.metadata)
        next(self.stream)

    def end(self) -> None:
        self.said.put(None)
        list(self.stream)


def passes(client: Client) -> bool:
    try:
        client.raw(SAY, b"")
        return True
    except grpc.RpcError:
        return False


def money(suite, client) -> None:
    with suite.case("BUDGET_EXHAUSTED: 50 yuan of 70 pass, 100 don't"), client("shop") as shop:
        shop.call(f"/{COUPON}/OpenBatch", {"batch": BATCH})
        issued = []
        for member in ("m-1", "m-2"):
            issue = {"batch_id": "spring", "member_id": member, "idempotency_key": f"issue-{member}"}
            issued.append((member, shop.call(f"/{COUPON}/IssueCoupon", issue)["coupon"]["coupon_id"]))
        redeem = lambda member, coupon: {
            "coupon_id": coupon, "batch_id": "spring", "face_value_fen": "5000", "member_id": member,
            "order_id": f"o-{member}", "idempotency_key": f"redeem-{member}",
        }
        shop.call(f"/{COUPON}/RedeemCoupon", redeem(*issued[0]))
        try:
            shop.call(f"/{COUPON}/RedeemCoupon", redeem(*issued[1]))
        except grpc.RpcError as error:
            denial = Denial(error)
        else:
            raise AssertionError("100 yuan passed a budget of 70")
        check(denial, Code.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED", details=["QuotaFailure"])
        holds("resets_at" in denial.facts, f"facts {denial.facts}")
        batch = shop.call(f"/{COUPON}/GetBatch", {"batch_id": "spring"})
        equal(batch["redeemed_fen"], "5000", "redeemed")


def deadlines(suite, installation, client) -> None:
    with suite.case("DEADLINE_UPSTREAM: the catalog's deadline ends a call that has none"), client("shop") as shop:
        begun = time.monotonic()
        denial = shop.denied(TELL, metadata=[("x-fault", "stall")], timeout=None)
        check(denial, Code.DEADLINE_EXCEEDED, "DEADLINE_UPSTREAM", executed="unknown")
        equal(denial.facts.get("catalog_ms"), str(DEADLINE_MS), "catalog_ms")
        holds(time.monotonic() - begun >= DEADLINE_MS / 1000, "earlier than the catalog says")
    key = ("authorization", f"Bearer {installation.callers['shop'].key}")
    with suite.case("DEADLINE_EXPIRED: a deadline that is over on arrival, not executed"):
        headers, _, _ = raw_h2.call(installation.address, SAY, [key, ("grpc-timeout", "0n")])
        equal(headers.get("grpc-status"), str(Code.DEADLINE_EXCEEDED.value[0]), f"status in {headers}")
        denied(headers, "DEADLINE_EXPIRED", "false")
    with suite.case("a malformed grpc-timeout is FIELD_INVALID, never no deadline"):
        for value in ("1", "S", "123456789S", "-1S", "1s", "1.5S"):
            headers, _, _ = raw_h2.call(installation.address, SAY, [key, ("grpc-timeout", value)])
            equal(headers.get("grpc-status"), str(Code.INVALID_ARGUMENT.value[0]), f"{value!r}: status in {headers}")
            denied(headers, "FIELD_INVALID", "false")


def denied(headers: dict, reason: str, executed: str) -> None:
    """The reason in a bare answer's `grpc-status-details-bin`."""
    import base64

    from google.rpc import error_details_pb2, status_pb2

    text = headers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    equal((info.reason, info.metadata["executed"]), (reason, executed), "(reason, executed)")


def sizes(suite, client) -> None:
    with suite.case("REQUEST_TOO_LARGE, with limit and size"), client("shop") as shop:
        denial = shop.denied(SAY, echo.Echo()(payload=bytes(2000)).SerializeToString())
        check(denial, Code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", executed=denial.facts.get("executed", ""))
        holds("1000" in denial.facts.values(), f"no limit in {denial.facts}")
    with suite.case("RESPONSE_TOO_LARGE"), client("shop") as shop:
        denial = shop.denied(TELL, echo.Echo()(payload=bytes(200_000)).SerializeToString())
        check(denial, Code.RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE", executed="true")
    with suite.case("METADATA_TOO_LARGE, and the connection's other calls go on"), client("shop") as shop:
        denial = shop.denied(SAY, metadata=[("x-long", "x" * 20_000)])
        check(denial, Code.RESOURCE_EXHAUSTED, "METADATA_TOO_LARGE")
        equal(shop.raw(SAY, b"")[0], b"")


def fields(suite, client) -> None:
    with suite.case("FIELD_INVALID names the field"), client("shop") as shop:
        try:
            shop.call(PREDICT, {"consignment": {"destination_country": "china"}})
        except grpc.RpcError as error:
            denial = Denial(error)
        else:
            raise AssertionError("a country of five letters was taken")
        equal((denial.code, denial.reason), (Code.INVALID_ARGUMENT, "FIELD_INVALID"))
        names = [violation.field for violation in denial.details["BadRequest"].field_violations]
        equal(names, ["consignment.destination_country"], "fields")


def away(suite, client) -> None:
    with suite.case("UPSTREAM_UNAVAILABLE, with its phase, certainly not executed"), client("shop") as shop:
        denial = shop.denied(AWAY)
        check(denial, Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
        holds(denial.facts.get("phase") in ("connect", "no_endpoint"), f"facts {denial.facts}")
    with suite.case("CIRCUIT_OPEN after seven failed connections in a row"), client("shop") as shop:
        denials = [shop.denied(AWAY) for _ in range(12)]
        check(denials[-1], Code.UNAVAILABLE, "CIRCUIT_OPEN", pushback="wait")
        holds(denials[-1].retry_s <= 12, f"{denials[-1].retry_s} s")


def languages(suite, client) -> None:
    with suite.case("LocalizedMessage in the caller's language"), client("stranger") as caller:
        for accept, locale, chinese in (("zh-CN,zh;q=0.9,en;q=0.5", "zh-CN", True), ("en-GB", "en", False), ("fr", "en", False)):
            message = caller.denied(SAY, metadata=[("accept-language", accept)]).details["LocalizedMessage"]
            equal(message.locale, locale, accept)
            equal(bool(re.search("[\u4e00-\u9fff]", message.message)), chinese, f"Chinese for {accept}")


def draining(suite, upstream) -> None:
    with suite.case("DRAINING: an endless stream ends with it, the process within its grace, with exit code 0"):
        with gateway(upstream) as installation, Client(installation.address, installation.callers["shop"].key) as shop:
            held = Held(shop)
            installation.process.terminate()
            try:
                list(held.stream)
            except grpc.RpcError as error:
                denial = Denial(error)
            else:
                raise AssertionError("the stream ended well")
            equal((denial.code, denial.reason), (Code.UNAVAILABLE, "DRAINING"), str(denial))
            holds("grpc-retry-pushback-ms" in denial.trailers, "no pushback")
            equal(installation.stop(), 0, "exit code")


def overloaded(suite, upstream) -> None:
    with suite.case("OVERLOADED, when as many calls are in flight as the process takes"):
        with gateway(upstream, "calls_in_flight_max: 1") as installation:
            with Client(installation.address, installation.callers["shop"].key) as shop:
                held = Held(shop)
                check(shop.denied(SAY), Code.UNAVAILABLE, "OVERLOADED", pushback="wait")
                held.end()
                wait_until(lambda: passes(shop), 5, "room again")


def journal_away(suite, upstream) -> None:
    with suite.case("AUDIT_UNAVAILABLE while the journal's disk takes nothing, and well again without a restart"):
        # A limit on file sizes stops system calls that write, and nothing that is stored into a file as memory.
        with (
            gateway(upstream, "journal: { mapped: false }") as installation,
            Client(installation.address, installation.callers["shop"].key) as shop,
        ):
            shop.raw(TELL, b"")
            files = lambda limit: resource.prlimit(installation.process.pid, resource.RLIMIT_FSIZE, limit)
            before = files((0, resource.RLIM_INFINITY))
            check(shop.denied(TELL), Code.UNAVAILABLE, "AUDIT_UNAVAILABLE", pushback="wait")
            files(before)
            wait_until(lambda: writes(shop), 15, "strict calls again")


def writes(client: Client) -> bool:
    try:
        client.raw(TELL, b"")
        return True
    except grpc.RpcError as error:
        equal(Denial(error).reason, "AUDIT_UNAVAILABLE", "refusal while the disk comes back")
        return False
