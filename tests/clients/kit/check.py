"""Cases and their count: a case that raises has failed, the others go on."""

import contextlib
import traceback


class SkipSuite(Exception):
    """A suite's tools can't be had."""


class SkipCase(Exception):
    """What a case needs is not there."""


class Report:
    def __init__(self):
        self.passed, self.failures, self.skips = 0, [], []

    def suite(self, name: str) -> "Suite":
        return Suite(self, name)

    def end(self) -> int:
        print()
        for suite, case, why in self.skips:
            print(f"SKIPPED {suite}: {case}: {why}")
        for suite, case, _ in self.failures:
            print(f"FAILED  {suite}: {case}")
        print(f"{self.passed} passed, {len(self.failures)} failed, {len(self.skips)} skipped")
        return 1 if self.failures else 0


class Suite:
    def __init__(self, report: Report, name: str):
        self.report, self.name = report, name

    @contextlib.contextmanager
    def case(self, name: str):
        try:
            yield
        except SkipCase as skip:
            self.skip(name, str(skip))
        except Exception as error:
            self.fail(name, error)
        else:
            self.ok(name)

    def ok(self, name: str) -> None:
        self.report.passed += 1
        print(f"   ok   {name}")

    def skip(self, name: str, why: str) -> None:
        self.report.skips.append((self.name, name, why))
        print(f"   SKIP {name}: {why}")

    def fail(self, name: str, error) -> None:
        text = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else str(error)
        self.report.failures.append((self.name, name, text))
        print(f"   FAIL {name}")
        print("\n".join(f"        {line}" for line in text.rstrip().splitlines()[-14:]))


def equal(found, expected, what: str = "value") -> None:
    if found != expected:
        raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")


def holds(truth, what: str) -> None:
    if not truth:
        raise AssertionError(what)
