"""The platform's rule from outside: over 5 % errors or 3 % timeouts a capability is degraded, with an
alert, and comes back by itself.

Faults come in a fixed sequence, spread evenly: after n calls exactly floor(n × share) have failed. So the
call at which a breaker must trip is known beforehand.
"""

import time
from fractions import Fraction

import grpc

from kit import echo
from kit.beside import AlertReceiver, PythonUpstream
from kit.check import equal, holds
from kit.installation import Caller, Installation, subscription, wait_until
from kit.wire import Client, Denial

CALLS = 2_400
# Evidence before the error rate says anything, and timeouts before theirs does: the defaults of the catalog.
CALLS_MIN, TIMEOUTS_MIN = 200, 10
# Deadline of the stalled calls: long enough that a busy machine does not miss it by itself, milliseconds.
DEADLINE_MS = 250
# Open a second instead of ten, so that recovery is seen soon; all thresholds are the platform's own.
QUICK = "breaker: { open_s: 1, open_s_max: 2, ramp_s: 1 }"
DEGRADED = 'degraded: { message: { payload: "ZGVncmFkZWQ=" } }'


def run(suite) -> None:
    receiver = AlertReceiver()
    with PythonUpstream() as upstream:
        errors_below(suite, upstream)
        errors_above(suite, upstream, receiver)
        timeouts(suite, upstream)


def gateway(upstream, receiver=None, deadline_ms: int = 5000) -> Installation:
    settings = ""
    if receiver:
        settings = f"alerts: {{ webhooks: [{{ name: duty, url: '{receiver.url}' }}] }}"
    callers = [Caller("shop", [subscription("*", "unlimited")]), Caller("bank", [subscription("*", "unlimited")])]
    installation = Installation(callers, settings)
    installation.add_plans("  unlimited: {}\n")
    entry = echo.entry(upstream.address, more=QUICK, say=DEGRADED, deadline_ms=deadline_ms)
    installation.put_service("acme/echo.yaml", entry)
    return installation


def fault_at(index: int, share: Fraction) -> bool:
    """Whether call `index` (from 0) fails."""
    return int((index + 1) * share) > int(index * share)


def trips_at(share: Fraction, limit: Fraction, at_least: int, faults_min: int, inclusive: bool) -> int | None:
    """The number of the call after which the breaker must be open; none within the trial."""
    for calls in range(at_least, CALLS + 1):
        faults = int(calls * share)
        rate = Fraction(faults, calls)
        if faults >= faults_min and (rate >= limit if inclusive else rate > limit):
            return calls
    return None


def until_open(client: Client, share: Fraction, fault: str) -> tuple[int | None, int]:
    """Calls until the first one that the breaker answers: (calls made, failures); none when none is."""
    failed = 0
    for index in range(CALLS):
        metadata = [("x-fault", fault)] if fault_at(index, share) else []
        try:
            _, headers, trailers = client.raw(echo.path("Tell"), b"", metadata)
            holds("oaas-degraded" not in headers | trailers, "a degraded answer where none is named")
        except grpc.RpcError as error:
            if Denial(error).reason == "CIRCUIT_OPEN":
                return index, failed
            failed += 1
    return None, failed


def errors_below(suite, upstream) -> None:
    share = Fraction(49, 1000)
    with gateway(upstream) as installation, Client(installation.address, installation.callers["shop"].key) as client:
        with suite.case(f"4.9 % errors over {CALLS:,} calls: the breaker stays closed"):
            equal(until_open(client, share, "error"), (None, int(CALLS * share)), "(open after, failures)")


def errors_above(suite, upstream, receiver) -> None:
    share, limit = Fraction(51, 1000), Fraction(5, 100)
    expected = trips_at(share, limit, CALLS_MIN, 1, inclusive=False)
    with gateway(upstream, receiver) as installation:
        shop = Client(installation.address, installation.callers["shop"].key)
        with suite.case(f"5.1 % errors: it trips after call {expected}, the first one above 5 %"):
            opened, failed = until_open(shop, share, "error")
            equal((opened, failed), (expected, int(expected * share)), "(open after, failures)")
        with suite.case("the refusal says cause, rate, threshold, scope and when to try again"):
            denial = shop.denied(echo.path("Tell"))
            equal((denial.code, denial.reason), (grpc.StatusCode.UNAVAILABLE, "CIRCUIT_OPEN"))
            facts = denial.facts
            equal(facts["executed"], "false")
            holds(float(facts["error_rate"]) > 0.05 == float(facts["threshold"]), f"facts: {facts}")
            holds({"cause", "scope", "calls"} <= facts.keys(), f"facts: {facts}")
            holds(denial.retry_s is not None and 0 < denial.retry_s <= 1.2, f"retry after {denial.retry_s} s")
            holds(int(denial.trailers["grpc-retry-pushback-ms"]) > 0, "pushback")
        with suite.case("the degraded answer of the catalog comes instead, and says that it is one"):
            answer, headers, trailers = shop.raw(echo.path("Say"), b"")
            equal(echo.Echo().FromString(answer).payload, b"degraded", "answer")
            equal((headers | trailers).get("oaas-degraded"), "static", "oaas-degraded")
        with suite.case("an alert in Alertmanager's form"):
            alert = wait_until(lambda: receiver.alerts(service=echo.SERVICE), 10, "an alert")[0]
            equal((alert["status"], alert["labels"]["alertname"]), ("firing", "CircuitBreakerOpen"))
            holds({"startsAt", "endsAt", "fingerprint", "annotations"} <= alert.keys(), f"alert: {alert}")
            post = receiver.posts[0]
            equal((post["version"], post["status"], post["receiver"]), ("4", "firing", "duty"), "post")
        with suite.case("with the fault gone it probes, closes and ramps up, and the alert is resolved"):
            executed_before = len(upstream.executed())
            begun = time.monotonic()
            recover(shop)
            took = time.monotonic() - begun
            resolved = lambda: [a for a in receiver.alerts(service=echo.SERVICE) if a["status"] == "resolved"]
            wait_until(resolved, 10, "the resolution")
            holds(len(upstream.executed()) - executed_before >= 20, "fewer than 20 probes reached the upstream")
            print(f"        healthy again after {took:.1f} s")
        with suite.case("the journal has each transition"):
            acts = [r["administration"] for r in installation.journal() if "administration" in r]
            to = [a["details"]["to"] for a in acts
                  if a["action"] == "breaker.transition" and "application" not in a["details"]]
            equal((to[0], to[-1]), ("open", "closed"), "transitions of the service's breaker")
        shop.channel.close()


def recover(client: Client) -> None:
    """Healthy calls until 100 in a row pass."""
    passed, end = 0, time.monotonic() + 30
    while passed < 100:
        holds(time.monotonic() < end, "not healthy again within 30 s")
        try:
            client.raw(echo.path("Tell"), b"")
            passed += 1
        except grpc.RpcError as error:
            equal(Denial(error).reason, "CIRCUIT_OPEN", "refusal while it recovers")
            passed = 0
            time.sleep(0.02)


def timeouts(suite, upstream) -> None:
    limit = Fraction(3, 100)
    for share in (Fraction(29, 1000), Fraction(31, 1000)):
        expected = trips_at(share, limit, TIMEOUTS_MIN, TIMEOUTS_MIN, inclusive=True)
        name = "the breaker stays closed" if expected is None else f"it trips after call {expected}"
        with gateway(upstream, deadline_ms=DEADLINE_MS) as installation:
            with Client(installation.address, installation.callers["shop"].key) as client:
                with suite.case(f"{float(share):.1%} timeouts over up to {CALLS:,} calls: {name}"):
                    opened, failed = until_open(client, share, "stall")
                    calls = CALLS if opened is None else opened
                    equal((opened, failed), (expected, int(calls * share)), "(open after, timeouts)")
