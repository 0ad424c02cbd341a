"""grpc.health.v1 with grpcio's own health client: Check, List, Watch."""

import signal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit import echo
from kit.beside import PythonUpstream
from kit.check import equal, holds
from kit.installation import Caller, Installation, subscription
from kit.wire import Client
from suites.python_client import BREAKERS, CATALOG, COUPON, PRODUCTION

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def run(suite) -> None:
    callers = [Caller("operator", [subscription("*", "internal")], roles=["operator"]), Caller("stranger")]
    with PythonUpstream() as upstream:
        installation = Installation(callers, "drain: { wait_ms: 1000, grace_ms: 2000 }")
        # This trial wants to see NOT_SERVING before the connection goes.
        installation.settings.write_text("drain: { wait_ms: 1000, grace_ms: 2000 }\n")
        installation.put_service("acme/echo.yaml", echo.entry(upstream.address))
        with installation:
            cases(suite, installation)


def cases(suite, installation) -> None:
    client = lambda name="": Client(installation.address, installation.callers[name].key if name else "")
    request = lambda service="": health_pb2.HealthCheckRequest(service=service)
    with client() as anonymous, client("stranger") as stranger, client("operator") as operator:
        ask = lambda who, service: stub(who).Check(request(service), metadata=who.metadata, timeout=10).status
        with suite.case("Check: the process and a service, also for callers without a key"):
            equal(ask(anonymous, ""), SERVING)
            equal(ask(anonymous, CATALOG), SERVING)
            equal(ask(stranger, PRODUCTION), SERVING)
        with suite.case("Check of an unknown service and of a hidden one is NOT_FOUND, with the same words"):
            words = []
            for who, service in ((stranger, "no.Service"), (stranger, BREAKERS), (anonymous, PRODUCTION)):
                try:
                    ask(who, service)
                except grpc.RpcError as error:
                    equal(error.code(), grpc.StatusCode.NOT_FOUND, service)
                    words.append(error.details().replace(service, "SERVICE"))
                else:
                    raise AssertionError(f"{service} has a status")
            equal(len(set(words)), 1, f"words {words}")
        with suite.case("List: a status for each service that the caller may see, and for no other"):
            lists = {}
            for name, who in (("", anonymous), ("stranger", stranger), ("operator", operator)):
                answer = stub(who).List(health_pb2.HealthListRequest(), metadata=who.metadata, timeout=10)
                lists[name] = dict(answer.statuses)
                holds(all(status.status == SERVING for status in answer.statuses.values()), f"{name}: {answer}")
            holds(BREAKERS in lists["operator"] and echo.SERVICE in lists["operator"], f"{sorted(lists['operator'])}")
            holds(BREAKERS not in lists["stranger"] and COUPON not in lists["stranger"], f"{sorted(lists['stranger'])}")
            holds(PRODUCTION in lists["stranger"] and PRODUCTION not in lists[""], f"{sorted(lists[''])}")
        with suite.case("Watch of an unknown service says SERVICE_UNKNOWN and stays open"):
            watch = stub(stranger).Watch(request("no.Service"), metadata=stranger.metadata)
            equal(next(watch).status, SERVICE_UNKNOWN)
            holds(watch.is_active(), "the watch has ended")
            watch.cancel()
        with suite.case("Watch tells of a breaker that is forced open and given back"):
            watch = stub(operator).Watch(request(echo.SERVICE), metadata=operator.metadata, timeout=30)
            equal(next(watch).status, SERVING)
            done = installation.command("breaker", "open", echo.SERVICE, "--reason", "trial", caller="operator")
            equal(done.returncode, 0, done.stderr)
            equal(next(watch).status, NOT_SERVING)
            installation.command("breaker", "auto", echo.SERVICE, caller="operator")
            equal(next(watch).status, SERVING)
            watch.cancel()
        with suite.case("Watch tells of the drain before the connection goes"):
            watch = stub(anonymous).Watch(request(), metadata=anonymous.metadata, timeout=30)
            equal(next(watch).status, SERVING)
            installation.process.send_signal(signal.SIGTERM)
            equal(next(watch).status, NOT_SERVING)
            equal(installation.stop(), 0, "exit code")


def stub(client: Client) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(client.channel)
