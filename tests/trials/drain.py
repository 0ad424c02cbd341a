"""SIGTERM under load: what was begun is finished, what was executed is acknowledged, nothing is written off."""

import time

from kit import echo
from kit.beside import PythonUpstream
from kit.check import equal, holds
from kit.installation import Caller, Installation, subscription, wait_until
from trials.load import Load

# The process may take this long for what is in flight, seconds, and one more to end.
GRACE_S = 2


def run(suite) -> None:
    with PythonUpstream() as upstream:
        installation = Installation([Caller("shop", [subscription("*", "unlimited")])])
        installation.add_plans("  unlimited: {}\n")
        installation.put_service("acme/echo.yaml", echo.entry(upstream.address))
        with installation:
            load = Load(installation.address, installation.callers["shop"].key, ["Say", "Tell"])
            wait_until(lambda: load.calls_so_far() > 500, 30, "load")
            begun = time.monotonic()
            code = installation.stop()
            took = time.monotonic() - begun
            ends, _ = load.stop()
            judge(suite, installation.journal(), ends, upstream.executed(), code, took)


def judge(suite, journal, ends, executed, code: int, took: float) -> None:
    acknowledged = {end["call_id"] for end in ends if end["ok"]}
    made = {call["call_id"] for call in executed}
    heads = lambda kind: {record[kind]["head"]["callId"] for record in journal if kind in record}
    print(f"        {len(acknowledged):,} calls acknowledged, {len(made):,} executed, ended in {took:.2f} s")
    with suite.case("SIGTERM under load: every executed call is acknowledged, every acknowledged one executed"):
        equal((len(made - acknowledged), len(acknowledged - made)), (0, 0))
    with suite.case("SIGTERM under load: each INTENT has its OUTCOME, nothing is written off"):
        equal(heads("intent"), heads("outcome"))
        holds(not any("writtenOff" in record for record in journal), "calls are written off")
        acts = [record["administration"]["action"] for record in journal if "administration" in record]
        equal([act for act in acts if act in ("start", "stop")], ["start", "stop"], "acts")
    with suite.case("SIGTERM under load: exit code 0, within the grace and a second"):
        equal(code, 0)
        holds(took <= GRACE_S + 1, f"it took {took:.2f} s")
