"""Runs the suites one after the other and counts."""

import atexit
import importlib
import os
import sys
import time

from kit.check import Report, SkipSuite

# In this order: what is quick and fundamental first.
SUITES = {
    "python-client": "suites.python_client",
    "refusals": "suites.refusals",
    "identity": "suites.identity",
    "health": "suites.health",
    "node-client": "suites.node_client",
    "contract": "suites.contract",
    "command-line": "suites.command_line",
    "foreign-services": "trials.foreign",
    "breaker": "trials.breaker",
    "reload": "trials.reload",
    "drain": "trials.drain",
    "crash": "trials.crash",
}


def main(wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in SUITES]
    if unknown:
        print(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    report = Report()
    for name in wanted or SUITES:
        begun = time.monotonic()
        print(f"\n== {name}", flush=True)
        suite = report.suite(name)
        try:
            importlib.import_module(SUITES[name]).run(suite)
        except SkipSuite as skip:
            suite.skip("the whole suite", str(skip))
        except KeyboardInterrupt:
            raise
        except Exception as error:  # a suite that breaks off is a failure, and the others go on
            suite.fail("the suite breaks off", error)
        print(f"   {time.monotonic() - begun:.1f} s", flush=True)
    return report.end()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    code = main(sys.argv[1:])
    # What failed cases left behind: processes are ended here, and open channels must not hold this one.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)
