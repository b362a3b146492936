"""The run as a whole: repeatable unless it is the long one; what was skipped is said aloud at its end, and in CI nothing may be."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import leftovers
from tests.support import IN_CI, LONG, ON_SERVER, sized

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# Properties are tried on the same examples in every quick run; the long run looks elsewhere each time and prints how to repeat.
settings.register_profile("cardcore", max_examples=sized(100, 2_000), derandomize=not LONG, deadline=None, database=None, print_blob=True)
settings.load_profile("cardcore")


EMBEDDED = "about the embedded store: "


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script; programs under test would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    leftovers.begin()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On the server store, what is about the embedded one is left out, with the reason that its mark gives."""
    for item in items if ON_SERVER else ():
        if mark := item.get_closest_marker("embedded"):
            item.add_marker(pytest.mark.skip(reason=EMBEDDED + mark.args[0]))


@pytest.fixture(autouse=True)
def _databases() -> Iterator[None]:
    """A test's shops on the server end with it."""
    if not ON_SERVER:
        yield
        return
    from tests.shops import dropped

    with dropped():
        yield


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
    """In CI a skip is a failure: a suite nobody runs proves nothing. What is about the other store ran there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and exitstatus == pytest.ExitCode.OK and reporter is not None and any(
        not reason.startswith(EMBEDDED) for reason in skipped_reasons(reporter)
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
