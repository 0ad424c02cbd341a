"""kill -9 under load, again and again; then the journal against the client's and the upstream's own logs.

Half of the calls are `strict` writes, half `standard` reads. Nothing that a caller saw acknowledged may lack
its OUTCOME, nothing that the upstream executed its INTENT, and no call id may stand twice.
"""

import collections
import random
import time

import grpc

from kit import echo
from kit.beside import PythonUpstream
from kit.check import equal, holds
from kit.installation import FULL, Caller, Installation, subscription
from kit.wire import Client
from trials.load import Load

CYCLES = 20 if FULL else 5
# Load between two crashes, seconds, drawn from this range.
LOAD_S = (0.5, 2.0)
# Serving again within this, seconds; a build for tests on a busy machine is given more.
BACK_S_MAX = 2.0 if FULL else 10.0
# The moments of the crashes are the same in each run.
SEED = 20261122


def run(suite) -> None:
    moments = random.Random(SEED)
    with PythonUpstream() as upstream:
        installation = Installation([Caller("shop", [subscription("*", "unlimited")])])
        installation.add_plans("  unlimited: {}\n")
        # Crashes look like failures of nobody: the breaker has its own trial.
        more = "breaker: { error_rate_max: 1.0, timeout_rate_max: 1.0, hard_failures: 1000000 }"
        installation.put_service("acme/echo.yaml", echo.entry(upstream.address, more=more))
        with installation:
            key = installation.callers["shop"].key
            load = Load(installation.address, key, ["Say", "Tell"])
            back = []
            for _ in range(CYCLES):
                time.sleep(moments.uniform(*LOAD_S))
                installation.kill()
                begun = time.monotonic()
                started = installation.start()
                answered(installation.address, key)
                back.append((time.monotonic() - begun, started))
            time.sleep(1)
            ends, lasted = load.stop()
            installation.stop()
            judge(suite, installation.journal(), ends, upstream.executed(), back, lasted)


def answered(address: str, key: str) -> None:
    """Returns with the first answered call."""
    end = time.monotonic() + 30
    while True:
        with Client(address, key) as client:
            try:
                client.raw(echo.path("Say"), b"", timeout=5)
                return
            except grpc.RpcError:
                holds(time.monotonic() < end, "no call is answered within 30 s of the start")


def judge(suite, journal, ends, executed, back, lasted) -> None:
    ids = collections.defaultdict(list)
    written_off = []
    for record in journal:
        for kind in ("intent", "outcome", "refusal"):
            if kind in record:
                ids[kind].append(record[kind]["head"]["callId"])
        written_off += record.get("writtenOff", {}).get("callIds", [])
    intents, outcomes = set(ids["intent"]), set(ids["outcome"])
    acknowledged = [end["call_id"] for end in ends if end["ok"]]
    made = [call["call_id"] for call in executed]
    doubled = sum(len(list_) - len(set(list_)) for list_ in (acknowledged, made, ids["intent"], ids["outcome"]))
    without_outcome = set(acknowledged) - outcomes
    without_intent = set(made) - intents
    lost = collections.Counter(end["code"] for end in ends if not end["ok"])
    sequences = [int(record["sequence"]) for record in journal]
    rows = [
        ("kill -9", CYCLES),
        ("calls ended at the client", f"{len(ends):,} in {lasted:.0f} s"),
        ("acknowledged", f"{len(acknowledged):,}"),
        ("ended otherwise", ", ".join(f"{n} {code}" for code, n in lost.items()) or 0),
        ("executed by the upstream", f"{len(made):,}"),
        ("INTENT / OUTCOME / written off", f"{len(intents):,} / {len(outcomes):,} / {len(set(written_off)):,}"),
        ("acknowledged without OUTCOME", len(without_outcome)),
        ("executed without INTENT", len(without_intent)),
        ("doubled call ids", doubled),
        ("start-up line, s, median and longest", spread([started for _, started in back])),
        ("first answer, s, median and longest", spread([answered for answered, _ in back])),
    ]
    for name, value in rows:
        print(f"        {name:38} {value}")
    with suite.case(f"{CYCLES} crashes: acknowledged without OUTCOME 0"):
        holds(len(acknowledged) > 100 * CYCLES, f"only {len(acknowledged)} calls were acknowledged")
        holds("" not in acknowledged, "an answer had no oaas-call-id")
        equal(len(without_outcome), 0, f"such as {list(without_outcome)[:3]}")
    with suite.case(f"{CYCLES} crashes: executed without INTENT 0"):
        holds("" not in made, "a call came to the upstream without oaas-call-id")
        equal(len(without_intent), 0, f"such as {list(without_intent)[:3]}")
    with suite.case(f"{CYCLES} crashes: doubled call ids 0"):
        equal(doubled, 0)
    with suite.case("each INTENT has one end: OUTCOME, or written off by the next start"):
        loose = intents - outcomes - set(written_off)
        equal(len(loose), 0, f"such as {list(loose)[:3]}")
        equal(len(outcomes & set(written_off)), 0, "both ended and written off")
    with suite.case("the journal's sequence is rising, and has no gap but at a crash"):
        equal(sequences, sorted(set(sequences)), "sequence")
        gaps = sum(1 for a, b in zip(sequences, sequences[1:]) if b != a + 1)
        holds(gaps <= CYCLES, f"{gaps} gaps in the sequence")
    with suite.case(f"serving again within {BACK_S_MAX:.0f} s of each crash"):
        longest = max(answered for answered, _ in back)
        holds(longest <= BACK_S_MAX, f"the longest took {longest:.2f} s")


def spread(seconds: list[float]) -> str:
    return f"{sorted(seconds)[len(seconds) // 2]:.2f} {max(seconds):.2f}"
