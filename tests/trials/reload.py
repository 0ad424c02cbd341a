"""Reloads under load: the catalog changes again and again while calls go on. No call fails, and every
record names one version that existed, with that version's own price."""

import collections
import re
import signal

from kit import echo
from kit.beside import PythonUpstream
from kit.check import equal, holds
from kit.installation import FULL, Caller, Installation, subscription, wait_until
from trials.load import Load

RELOADS = 1_000 if FULL else 100
RELOADED = re.compile(r"catalog reloaded.*?from=\"?(\w+)\"?.*?to=\"?(\w+)")


def run(suite) -> None:
    with PythonUpstream() as upstream:
        installation = Installation([Caller("shop", [subscription("*", "unlimited")])])
        installation.add_plans("  unlimited: {}\n")
        write = lambda turn: installation.put_service("acme/echo.yaml", entry(upstream.address, turn))
        write(0)
        with installation:
            load = Load(installation.address, installation.callers["shop"].key, ["Say"])
            wait_until(lambda: load.calls_so_far() > 100, 30, "load")
            for turn in range(1, RELOADS + 1):
                write(turn)
                # The notice of the file system would do; the signal makes a thousand of them quicker.
                installation.process.send_signal(signal.SIGHUP)
                wait_until(lambda: reloads(installation) >= turn, 20, f"reload {turn}", every_s=0.01)
            ends, lasted = load.stop()
            installation.stop()
            judge(suite, installation, ends, lasted)


def entry(address: str, turn: int) -> str:
    """Version `turn`: another text, and a price that is this version's alone."""
    # A deadline that a machine busy with builds does not miss: this trial asks for failures, not for speed.
    return echo.entry(address, deadline_ms=20_000, summary=f"Says back, version {turn}.", price=f"0.{turn:06}" if turn else "0.5")


def reloads(installation) -> int:
    return installation.log().count("catalog reloaded")


def judge(suite, installation, ends, lasted) -> None:
    failed = [end for end in ends if not end["ok"]]
    prices, versions, first = collections.defaultdict(set), collections.Counter(), installation.line["catalog"]
    existed = {first}
    for record in installation.journal():
        act = record.get("administration", {})
        if act.get("action") == "catalog.reload":
            existed |= {act["details"]["from"], act["details"]["to"]}
        for kind in ("intent", "outcome", "refusal"):
            if kind in record:
                versions[record[kind]["head"]["catalogVersion"]] += 1
        if "outcome" in record:
            head = record["outcome"]["head"]
            prices[head["catalogVersion"]].add(int(record["outcome"].get("priceMicros", 0)))
    rows = [
        ("reloads", f"{reloads(installation):,}"),
        ("calls", f"{len(ends):,} in {lasted:.0f} s, {len(ends) / lasted:.0f}/s"),
        ("failed", len(failed)),
        ("versions that existed / were used", f"{len(existed):,} / {len(versions):,}"),
    ]
    for name, value in rows:
        print(f"        {name:38} {value}")
    with suite.case(f"{RELOADS:,} reloads under load: 0 failed calls"):
        holds(len(ends) > 2 * RELOADS, f"only {len(ends)} calls")
        equal(len(failed), 0, f"failed, such as {failed[:2]}")
    with suite.case("every record names a version that existed, and most versions were used"):
        equal(set(versions) - existed, set(), "unknown versions")
        equal(len(existed), RELOADS + 1, "versions")
        holds(len(versions) > RELOADS // 2, f"only {len(versions)} versions decided calls")
    with suite.case("no torn version: all calls of one version have its price, no two versions share one"):
        torn = {version: found for version, found in prices.items() if len(found) != 1}
        equal(torn, {}, "versions with several prices")
        of_all = [min(found) for found in prices.values()]
        equal(len(of_all), len(set(of_all)), "prices")
