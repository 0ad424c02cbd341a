"""The command line as somebody uses it who has just come: from a key to the explanation of a refusal."""

import json
import pathlib
import re
import subprocess

from kit import echo
from kit.beside import PythonUpstream
from kit.check import SkipCase, equal, holds
from kit.installation import PROGRAM, ROOT, Caller, Installation, data_folder, subscription, wait_until
from kit.wire import Client
from suites.python_client import BREAKERS, CATALOG, CLEARANCE, COUPON, REBATE

CHINESE = re.compile("[\u4e00-\u9fff]")
CALL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def run(suite) -> None:
    with PythonUpstream() as upstream:
        callers = [Caller("operator", [subscription("*", "internal")], roles=["operator"])]
        installation = Installation(callers)
        installation.put_service("acme/echo.yaml", echo.entry(upstream.address))
        with installation:
            caller(suite, installation)
            call(suite, installation)
            catalog(suite, installation)
            breaker(suite, installation)
            journal(suite, installation)
            rest(suite, installation)
            clearance(suite, installation)


def good(done: subprocess.CompletedProcess) -> str:
    equal(done.returncode, 0, f"exit code ({done.stderr.strip()[-600:]})")
    return done.stdout


def bad(done: subprocess.CompletedProcess, *words: str) -> str:
    holds(done.returncode != 0, f"it did not fail: {done.stdout[:300]}")
    for word in words:
        holds(word in done.stderr + done.stdout, f"no {word!r} in {done.stderr}{done.stdout}")
    holds("panicked" not in done.stderr, done.stderr)
    return done.stderr


def lines(text: str) -> list[dict]:
    """JSON, one value a line."""
    return [json.loads(line) for line in text.splitlines() if line]


def caller(suite, installation) -> None:
    with suite.case("caller new: a key that is printed once, works within seconds, and stands nowhere"):
        words = ["caller", "new", "night-batch", "--owner", "batch@example.com", "--subscribe"]
        key = good(installation.command(*words, f"{REBATE}:standard")).strip()
        holds(key.startswith("oaas_") and "\n" not in key, f"the output is not a key alone: {key!r}")
        holds(key not in installation.callers_file.read_text(), "the key itself stands in the file")
        fresh = Caller("night-batch")
        fresh.key = key
        installation.callers["night-batch"] = fresh
        sees = lambda: ask(installation, "night-batch").returncode == 0
        wait_until(sees, 20, "the new key works", every_s=0.2)
        listed = lines(good(installation.command("--json", "caller", "list")))
        holds({"id": "night-batch"}.items() <= next(c for c in listed if c["id"] == "night-batch").items(), "list")
    with suite.case("caller new: a plan that isn't there is refused, and the file stays"):
        before = installation.callers_file.read_text()
        bad(installation.command("caller", "new", "other", "--owner", "o@example.com", "--subscribe", f"{REBATE}:no-plan"), "no-plan")
        bad(installation.command("caller", "new", "ownerless"), "--owner")
        equal(installation.callers_file.read_text(), before, "the callers file")


def ask(installation, name: str):
    return installation.command("call", f"{CATALOG}/ListAccess", caller=name)


def call(suite, installation) -> None:
    predict = f"{CLEARANCE}/PredictClearanceTime"
    with suite.case("call: a unary call, its request from the argument, a file and the standard input"):
        request = '{"consignment": {"destination_country": "CN"}}'
        file = installation.folder / "request.json"
        file.write_text(request)
        for data, stdin in ((request, ""), (f"@{file}", ""), ("-", request)):
            answer = json.loads(good(installation.command("call", predict, "-d", data, caller="operator", stdin=stdin)))
            holds(answer["stages"], f"answer {answer}")
        equal(len(lines(good(installation.command("--json", "call", predict, "-d", request, caller="operator")))), 1)
    with suite.case("call: streams as JSON lines, both ways"):
        said = '{"payload": "b25l", "count": 1} {"payload": "dHdv", "count": 3}'
        heard = lines(good(installation.command("call", f"{echo.SERVICE}/Chat", "-d", said, caller="operator")))
        equal([(m["payload"], m["count"]) for m in heard], [("b25l", 1), ("dHdv", 3)])
        spread = installation.command("call", f"{echo.SERVICE}.Spread", "-d", '{"count": 4}', caller="operator")
        equal(len(lines(good(spread))), 4)
    with suite.case("call: what is wrong with the data, by name and place"):
        bad(installation.command("call", predict, "-d", "{", caller="operator"), "JSON", "line 1")
        bad(installation.command("call", predict, "-d", '{"consignmend": {}}', caller="operator"), "consignmend")
        bad(installation.command("call", predict, "-d", "@nowhere.json", caller="operator"), "nowhere.json")
        bad(installation.command("call", predict, "-d", "{} {}", caller="operator"), "one message")
    with suite.case("call: an unknown method or service, with those that there are"):
        bad(installation.command("call", f"{CLEARANCE}/Never", caller="operator"), "PredictClearanceTime")
        bad(installation.command("call", "no.Service/Method", caller="operator"), CLEARANCE)
        text = bad(installation.command("call", "no.Service/Method", caller="night-batch"), CLEARANCE)
        holds(BREAKERS not in text, "a hidden service is named")
    with suite.case("call: a refusal says reason, meaning, what to do and how to read more, in both languages"):
        request = ["call", predict, "-d", "{}"]
        text = bad(installation.command(*request, caller="night-batch"), "SUBSCRIPTION_REQUIRED", "oaas explain")
        holds(CALL_ID.search(text), f"no call id in {text}")
        text = bad(installation.command("--lang", "zh", *request, caller="night-batch"), "SUBSCRIPTION_REQUIRED")
        holds(CHINESE.search(text), f"no Chinese in {text}")
        wrong = '{"consignment": {"destination_country": "china"}}'
        bad(installation.command("call", predict, "-d", wrong, caller="operator"), "consignment.destination_country")
    with suite.case("call: nobody at the address"):
        bad(installation.command("call", predict, "--address", "http://127.0.0.1:1", caller="operator"), "oaas serve")


def catalog(suite, installation) -> None:
    with suite.case("catalog lint: clean, and every mistake at once with file, line and column"):
        report = lines(good(installation.command("--json", "catalog", "lint")))[0]
        equal(report["errors"], [])
        broken = installation.folder / "broken"
        subprocess.run(["cp", "-r", ROOT / "catalog", broken], check=True)
        file = broken / "channel" / "coupon.yaml"
        file.write_text(file.read_text().replace("stage: beta", "stage: omega").replace("effect: read", "effect: raed"))
        text = bad(installation.command("catalog", "lint", broken), "omega", "raed", "channel/coupon.yaml:")
        holds(len(re.findall(r"coupon\.yaml:\d+:\d+", text + installation.command("catalog", "lint", broken).stdout)) >= 2, text)
        done = installation.command("--json", "catalog", "lint", broken)
        holds(done.returncode != 0 and len(lines(done.stdout)[0]["errors"]) >= 2, done.stdout)
    with suite.case("catalog list, search (en, zh), show"):
        holds(COUPON in [entry["name"] for entry in lines(good(installation.command("--json", "catalog", "list")))], "list")
        for words in (["rebate"], ["返利"]):
            found = lines(good(installation.command("--json", "catalog", "search", *words)))
            equal(found[0]["name"], REBATE, str(words))
        shown = lines(good(installation.command("--json", "catalog", "show", REBATE)))[0]
        holds("CalculateRebate" in [method["name"] for method in shown["methods"]], "methods")
        holds("CalculateRebate" in good(installation.command("catalog", "show", REBATE)), "show")
        holds(CHINESE.search(good(installation.command("--lang", "zh", "catalog", "show", REBATE))), "zh")
        bad(installation.command("catalog", "show", "oaas.channel.v1.RebateServise"), "RebateServise")
    with suite.case("catalog diff: what changes"):
        fresh = installation.folder / "fresh"
        subprocess.run(["cp", "-r", ROOT / "catalog", fresh], check=True)
        (fresh / "channel" / "coupon.yaml").unlink()
        same = lines(good(installation.command("--json", "catalog", "diff", ROOT / "catalog", ROOT / "catalog")))[0]
        equal(same["changes"], [])
        changed = lines(good(installation.command("--json", "catalog", "diff", ROOT / "catalog", fresh)))[0]
        holds(changed["changes"] and COUPON in json.dumps(changed), f"changes {changed}")
        holds(COUPON in good(installation.command("catalog", "diff", ROOT / "catalog", fresh)), "diff for people")


def breaker(suite, installation) -> None:
    with suite.case("breaker open, close, observe, auto, list; each an audit record"):
        with Client(installation.address, installation.callers["operator"].key) as client:
            for act, mode in (("open", "forced_open"), ("close", "forced_closed"), ("observe", "observe")):
                words = ["--json", "breaker", act, echo.SERVICE, "--reason", f"trial of {act}"]
                equal(lines(good(installation.command(*words, caller="operator")))[0]["mode"], mode, act)
                if act == "open":
                    equal(client.denied(echo.path("Say")).reason, "CIRCUIT_OPEN")
                else:
                    client.raw(echo.path("Say"), b"")
            good(installation.command("breaker", "auto", echo.SERVICE, caller="operator"))
        every = lines(good(installation.command("--json", "breaker", "list", caller="operator")))
        holds(any(b["service"] == echo.SERVICE and b["mode"] == "automatic" for b in every), f"{every}")
        holds(echo.SERVICE in good(installation.command("breaker", "list", caller="operator")), "table")
        acts = json.dumps([r["administration"] for r in installation.journal() if "administration" in r])
        holds("trial of open" in acts and "operator" in acts, acts[-500:])
    with suite.case("breaker: not for those who are no operators"):
        bad(installation.command("breaker", "open", echo.SERVICE, caller="night-batch"), "METHOD_UNKNOWN")


def journal(suite, installation) -> None:
    with Client(installation.address, installation.callers["operator"].key) as client:
        _, headers, _ = client.raw(echo.path("Tell"), b"")
        denial = client.denied(f"/{echo.SERVICE}/Never")
    made, refused = headers["oaas-call-id"], denial.facts["call_id"]
    with suite.case("audit tail: the last records, filtered, as a table and as JSON lines"):
        records = lines(good(installation.command("--json", "audit", "tail", "-n", "50")))
        holds(len(records) == 50 or made in json.dumps(records), "tail")
        only = lines(good(installation.command("--json", "audit", "tail", "--reason", "METHOD_UNKNOWN")))
        holds(only and all(record["refusal"]["reason"] == "METHOD_UNKNOWN" for record in only if "refusal" in record), "filter")
        holds(made in good(installation.command("audit", "tail", "--method", echo.path("Tell"))), "table")
    with suite.case("audit show: all records of one call"):
        shown = lines(good(installation.command("--json", "audit", "show", made)))
        equal([kind for record in shown for kind in ("intent", "outcome") if kind in record], ["intent", "outcome"])
        holds("outcome" in good(installation.command("audit", "show", made)), "for people")
        bad(installation.command("audit", "show", "01900000-0000-7000-8000-000000000000"), "no record")
        bad(installation.command("audit", "show", "not-an-id"), "not-an-id")
    with suite.case("explain: in words, in English and Chinese, for a made and for a refused call"):
        for call_id in (made, refused):
            english = good(installation.command("explain", call_id))
            chinese = good(installation.command("--lang", "zh", "explain", call_id))
            holds(not CHINESE.search(english) and CHINESE.search(chinese), f"{english}\n{chinese}")
            found = lines(good(installation.command("--json", "explain", call_id)))[0]
            equal((found["callId"], found["found"]), (call_id, True))


def rest(suite, installation) -> None:
    with suite.case("health: each service, and the exit code"):
        statuses = {line["service"]: line["status"] for line in lines(good(installation.command("--json", "health", caller="operator")))}
        equal(statuses[""], "SERVING")
        holds(REBATE in statuses, f"{statuses}")
        good(installation.command("health"))
        bad(installation.command("health", "--address", "http://127.0.0.1:1"))
    with suite.case("config --dump: what is in force, as a file of settings that loads, and as JSON"):
        text = good(installation.command("config", "--dump"))
        holds(f"data: {installation.data}" in text, text)
        again = installation.folder / "again.yaml"
        again.write_text(text)
        done = subprocess.run([PROGRAM, "--config", again, "config", "--dump"], capture_output=True,
                              text=True, env=installation.environment(), cwd=installation.folder, timeout=60)
        equal(good(done), text)
        equal(json.loads(good(installation.command("--json", "config", "--dump")))["data"], str(installation.data))
    with suite.case("the operators' port: metrics of each method, liveness and readiness"):
        metrics = installation.get("/metrics")
        holds(echo.path("Tell").strip("/") in metrics or "Tell" in metrics, metrics[:500])
        holds("Never" not in metrics, "a method that is in no catalog has a label of its own")
        equal((installation.get("/healthz").strip(), installation.get("/readyz").strip()), ("alive", "ready"))


def clearance(suite, installation) -> None:
    with suite.case("import clearance: a real delivery history, and a second time changes nothing"):
        csv = history()
        first = lines(good(installation.command("--json", "import", "clearance", csv, caller="operator")))[0]
        holds(int(first["recorded"]) > 1_000 and int(first["duplicates"]) == 0, f"{first}")
        second = lines(good(installation.command("--json", "import", "clearance", csv, caller="operator")))[0]
        equal((int(second["recorded"]), int(second["duplicates"])), (0, int(first["received"])))
        print(f"        {first['received']} records, {first['stages_learned']} stages learned")
        bad(installation.command("import", "clearance", installation.callers_file, caller="operator"), "callers.yaml")
    with suite.case("backtest clearance: scores beside the global and the lane quantiles"):
        report = lines(good(installation.command("--json", "backtest", "clearance", history())))[0]
        scores = {str(score["method"]).lower(): score for score in report["scores"]}
        holds(len(scores) >= 3, f"{sorted(scores)}")
        for name, score in scores.items():
            print(f"        {name:14} CRPS {score['crps_days']:.2f} days, {score['coverage']:.1%} in P10-P90")
        holds(CHINESE.search(good(installation.command("--lang", "zh", "backtest", "clearance", history()))), "zh")


def history() -> pathlib.Path:
    folder = data_folder()
    csv = folder / "scms" / "SCMS_Delivery_History_Dataset.csv" if folder else None
    if csv is None or not csv.exists():
        raise SkipCase("no delivery history (scms) below OAAS_TEST_DATA or ../shared/data")
    return csv
