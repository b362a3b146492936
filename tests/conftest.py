"""The run as a whole: repeatable unless it is the long one; what was skipped is said aloud at its end, and in CI nothing may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import leftovers
from tests.support import IN_CI, LONG, sized

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# Properties are tried on the same examples in every quick run; the long run looks elsewhere each time and prints how to repeat.
settings.register_profile("cardcore", max_examples=sized(100, 2_000), derandomize=not LONG, deadline=None, database=None, print_blob=True)
settings.load_profile("cardcore")


def pytest_configure() -> None:
    leftovers.begin()


def skipped_reasons(reporter: TerminalReporter) -> dict[str, int]:
    """Reason -> how many tests were skipped for it."""
    reasons: dict[str, int] = {}
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] = reasons.get(reason.removeprefix("Skipped: "), 0) + 1
    return reasons


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reasons = skipped_reasons(terminalreporter)
    if reasons:
        terminalreporter.section("not run", sep="!", red=True)
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count} skipped: {reason}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skip is a failure: a suite nobody runs proves nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and exitstatus == pytest.ExitCode.OK and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
