"""A client in Node (grpc-js, grpc-js-reflection-client): reflection, calls, refusals, streams, degraded answer."""

import json
import subprocess

from kit import echo
from kit.beside import NODE_FILES, NodeUpstream, node
from kit.installation import Caller, Installation, subscription
from suites.python_client import BREAKERS, CLEARANCE, PRODUCTION, REBATE, examples

# Longest time of all cases together, seconds.
CASES_S_MAX = 120


def run(suite) -> None:
    packages = node()
    with NodeUpstream() as upstream:
        callers = [
            Caller("shop", [subscription("*", "internal")]),
            Caller("stranger"),
            Caller("slow", [subscription("*", "slow")]),
        ]
        installation = Installation(callers)
        installation.add_plans("  slow: { rate: { per_second: 1, burst: 2 } }\n")
        (installation.catalog / "acme").mkdir()
        (installation.catalog / "acme" / "echo.binpb").write_bytes(echo.descriptors())
        say = 'degraded: { message: { payload: "ZGVncmFkZWQ=" } }\nrequest_bytes_max: 1000'
        installation.put_service("acme/echo.yaml", echo.entry(upstream.address, "file: acme/echo.binpb", say=say))
        with installation:
            given = {
                "address": installation.address,
                "keys": {name: caller.key for name, caller in installation.callers.items()},
                "echo": echo.SERVICE, "clearance": CLEARANCE, "rebate": REBATE, "production": PRODUCTION,
                "breakers": BREAKERS,
                "rebateExamples": [(name, request) for name, request, expected in examples("channel/rebate.yaml")
                                   if "error" not in expected],
                "masterData": next(request for name, request, _ in examples("manufacturing/production.yaml")
                                   if name == "PutMasterData"),
            }
            command = ["node", NODE_FILES / "client.cjs", packages, json.dumps(given)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=CASES_S_MAX)
    ends = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for end in ends:
        if end["error"]:
            suite.fail(end["name"], end["error"])
        else:
            suite.ok(end["name"])
    if not ends or done.returncode != 0:
        suite.fail("the client ends well", f"exit code {done.returncode}\n{done.stderr[-2000:]}")
