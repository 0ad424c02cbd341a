"""Services in other languages, put behind the gateway by a catalog file alone: bytes as they came, all
four kinds of call, identity set and credentials kept back."""

import os
import signal

import grpc

from kit import echo
from kit.beside import NodeUpstream, PythonUpstream
from kit.check import SkipSuite, equal, holds
from kit.installation import Caller, Installation, subscription, wait_until
from kit.wire import Client

# Fields out of order, one that the contract doesn't have, an over-long varint: legal, and not what any
# library would write.
ODD = bytes.fromhex("1083808000") + b"\x0a\x05hello" + b"\xfa\x3f\x03abc" + b"\x0a\x05again"


def run(suite) -> None:
    with PythonUpstream() as upstream:
        python_service(suite, upstream)
    try:
        upstream = NodeUpstream()
    except SkipSuite as skip:
        suite.skip("a service in Node", str(skip))
        return
    with upstream:
        node_service(suite, upstream)


def caller() -> Caller:
    return Caller("shop", [subscription("*", "internal")])


def python_service(suite, upstream) -> None:
    installation = Installation([caller()])
    installation.put_service("acme/echo.yaml", echo.entry(upstream.address))
    installation.start()
    with Client(installation.address, installation.callers["shop"].key) as client:
        with suite.case("a Python service by its own reflection: four kinds of call, bytes unchanged"):
            four_kinds(client)
        with suite.case("a Python service appears in reflection, with its comments"):
            holds(echo.SERVICE in client.services(), "the foreign service is not listed")
            pool = client.learn(echo.SERVICE)
            file = pool.FindFileContainingSymbol(echo.SERVICE)
            equal(sorted(m.name for m in pool.FindServiceByName(echo.SERVICE).methods),
                  ["Chat", "Gather", "Say", "Spread", "Tell"], "methods")
            equal(file.package, "acme.echo.v1")
        with suite.case("identity is set by the gateway, never taken from the caller; the key stays there"):
            forged = [("oaas-application", "operator"), ("oaas-call-id", "mine"), ("x-trace", "kept")]
            _, headers, _ = client.raw(echo.path("Say"), b"", metadata=forged)
            last = upstream.executed()[-1]
            equal(last["application"], "shop", "application")
            equal(last["call_id"], headers["oaas-call-id"], "call id of answer and upstream")
            holds("authorization" not in last["metadata"], "the key reached the upstream")
            holds("x-trace" in last["metadata"], "a header of the caller's own was dropped")
        with suite.case("an upstream's own error passes unchanged and is told from ours"):
            denial = client.denied(echo.path("Say"), metadata=[("x-fault", "error")])
            equal((denial.code, denial.message), (grpc.StatusCode.INTERNAL, "broken on demand"))
            equal(denial.trailers.get("oaas-origin"), "upstream", "oaas-origin")
            equal(denial.reason, "", "no reason of ours")
        with suite.case("a service that comes while the gateway runs is found, and gone when its file goes"):
            installation.put_service("acme/second.yaml", "")
            path = installation.catalog / "acme" / "second.yaml"
            path.unlink()
            (installation.catalog / "acme" / "echo.yaml").rename(installation.folder / "echo.yaml")
            wait_until(lambda: echo.SERVICE not in client.services(), 15, "the service is gone from reflection")
            equal(client.denied(echo.path("Say")).reason, "METHOD_UNKNOWN")
            (installation.folder / "echo.yaml").rename(installation.catalog / "acme" / "echo.yaml")
            wait_until(lambda: echo.SERVICE in client.services(), 15, "the service is back in reflection")
            equal(client.raw(echo.path("Say"), ODD)[0], ODD)
    installation.stop()
    with suite.case("a start does not wait for an upstream that hangs: its last description is used"):
        upstream.process.send_signal(signal.SIGSTOP)
        try:
            # A build for tests on a busy machine may take a while; five seconds were the wait for a first description.
            holds(installation.start() < 5, "the start waits for the upstream")
        finally:
            upstream.process.send_signal(signal.SIGCONT)
        with Client(installation.address, installation.callers["shop"].key) as client:
            equal(client.raw(echo.path("Say"), ODD)[0], ODD)
        equal(installation.stop(), 0, "exit code")


def node_service(suite, upstream) -> None:
    installation = Installation([caller()])
    (installation.catalog / "acme").mkdir()
    (installation.catalog / "acme" / "echo.binpb").write_bytes(echo.descriptors())
    installation.put_service("acme/echo.yaml", echo.entry(upstream.address, "file: acme/echo.binpb"))
    with installation, Client(installation.address, installation.callers["shop"].key) as client:
        with suite.case("a Node service by a descriptor file: four kinds of call, bytes unchanged"):
            four_kinds(client)
        with suite.case("a stream that ends without a status is a failure: UPSTREAM_NO_STATUS"):
            denial = client.denied(echo.path("Say"), metadata=[("x-fault", "no-status")])
            equal((denial.code, denial.reason), (grpc.StatusCode.UNKNOWN, "UPSTREAM_NO_STATUS"))
            equal(denial.trailers.get("oaas-origin"), "gateway", "oaas-origin")
        with suite.case("HTTP 503 without a gRPC status is UNAVAILABLE, HTTP 404 is UNIMPLEMENTED"):
            for status, code in (("503", grpc.StatusCode.UNAVAILABLE), ("404", grpc.StatusCode.UNIMPLEMENTED)):
                denial = client.denied(echo.path("Tell"), metadata=[("x-fault", f"http-{status}")])
                equal(denial.code, code, f"HTTP {status}")
        with suite.case("a reset by the upstream is UPSTREAM_UNAVAILABLE with its phase, executed unknown"):
            denial = client.denied(echo.path("Tell"), metadata=[("x-fault", "reset")])
            holds(denial.reason in ("UPSTREAM_UNAVAILABLE", "UPSTREAM_PROTOCOL"), str(denial))
            equal(denial.facts.get("executed"), "unknown", "executed")


def four_kinds(client: Client) -> None:
    Echo = echo.Echo()
    big = Echo(payload=os.urandom(1_000_000)).SerializeToString()
    for request in (b"", ODD, big):
        equal(client.raw(echo.path("Say"), request)[0], request, "Say")
        equal(client.raw(echo.path("Tell"), request)[0], request, "Tell")
    messages = [Echo(payload=os.urandom(size)).SerializeToString() for size in (0, 1, 1000, 70_000)] + [ODD]
    keyed = {"metadata": client.metadata, "timeout": 30}
    gathered = client.channel.stream_unary(echo.path("Gather"))(iter(messages), **keyed)
    equal(gathered, messages[-1], "Gather")
    request = Echo(payload=os.urandom(1000), count=500).SerializeToString()
    spread = list(client.channel.unary_stream(echo.path("Spread"))(request, **keyed))
    holds(spread == [request] * 500, f"Spread: {len(spread)} messages came back, or other bytes")
    equal(list(client.channel.stream_stream(echo.path("Chat"))(iter(messages), **keyed)), messages, "Chat")
    in_step(client)


def in_step(client: Client) -> None:
    """Each answer of a bidirectional stream comes before the next message is said."""
    said = iter([ODD, b"", ODD])
    turn = []

    def speak():
        for index, message in enumerate(said):
            wait_until(lambda: len(turn) >= index, 10, "the answer before the next message", every_s=0.002)
            yield message

    for answer in client.channel.stream_stream(echo.path("Chat"))(speak(), metadata=client.metadata, timeout=30):
        turn.append(answer)
    equal(turn, [ODD, b"", ODD], "in step")
