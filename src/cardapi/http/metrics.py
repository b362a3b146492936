"""What the edge counts, and all figures of a process in the Prometheus text format (version 0.0.4).

Names begin with `cardcore_` (`process_` for the operating system's), end in their base unit, counters in `_total`; money is in fen.
The event loop alone writes and reads here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cardapi.measures import LATENCY_US, SIZES, Histogram

Labels = Mapping[str, str]


class Metrics:
    """Requests by operation and status, their latency, problems and denials by code, what was throttled."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.problems: dict[tuple[str, str], int] = {}
        self.denials: dict[str, int] = {}
        self.throttled: dict[str, int] = {}
        self.latency: dict[str, Histogram] = {}
        self.batch = Histogram(SIZES)

    def record(self, operation: str, status: int, elapsed_us: int) -> None:
        """One finished request."""
        name = (operation, status)
        self.requests[name] = self.requests.get(name, 0) + 1
        histogram = self.latency.get(operation)
        if histogram is None:
            histogram = self.latency[operation] = Histogram(LATENCY_US)
        histogram.observe(elapsed_us)

    def problem(self, operation: str, code: str) -> None:
        """One answer that was a problem."""
        name = (operation, code)
        self.problems[name] = self.problems.get(name, 0) + 1

    def denied(self, code: str) -> None:
        """One caller who was not let in, or not let do it (A5)."""
        self.denials[code] = self.denials.get(code, 0) + 1

    def write(self, page: Page) -> None:
        """All of it."""
        page.family("cardcore_requests_total", "counter", "Requests answered.")
        for (operation, status), count in sorted(self.requests.items()):
            page.sample(count, operation=operation, status=str(status))
        page.family("cardcore_problems_total", "counter", "Answers that were a problem, by its stable code.")
        for (operation, code), count in sorted(self.problems.items()):
            page.sample(count, operation=operation, code=code)
        page.family("cardcore_denials_total", "counter", "Requests refused because of who asked (401, 403).")
        for code, count in sorted(self.denials.items()):
            page.sample(count, code=code)
        page.family("cardcore_throttled_total", "counter", "Requests refused since there were too many (429), by limit.")
        for limit, count in sorted(self.throttled.items()):
            page.sample(count, limit=limit)
        page.family("cardcore_request_seconds", "histogram", "From a request's arrival to its answer.")
        for operation, histogram in sorted(self.latency.items()):
            page.histogram(histogram, 1_000_000, operation=operation)
        page.family("cardcore_batch_tickets", "histogram", "Tickets in one settleBatch.")
        page.histogram(self.batch)


class Page:
    """One exposition, written from top to bottom: a family, then its samples."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._name = ""

    def family(self, name: str, kind: str, about: str) -> None:
        """What the samples after this belong to."""
        self._name = name
        self._lines += (f"# HELP {name} {about}", f"# TYPE {name} {kind}")

    def sample(self, value: int | str, **labels: str) -> None:
        """One value, a decimal text where it has a fraction."""
        self._lines.append(f"{self._name}{_braces(labels)} {value}")

    def single(self, name: str, kind: str, about: str, value: int | str) -> None:
        """A family of one sample."""
        self.family(name, kind, about)
        self.sample(value)

    def histogram(self, histogram: Histogram, divisor: int = 1, **labels: str) -> None:
        """Cumulative buckets; bounds and sum are written divided by `divisor` (1,000,000: microseconds as seconds)."""
        name, seen = self._name, 0
        bounds: Iterable[str] = [decimal(bound, divisor) for bound in histogram.bounds]
        for bound, count in zip((*bounds, "+Inf"), histogram.counts, strict=True):
            seen += count
            self._lines.append(f"{name}_bucket{_braces({**labels, 'le': bound})} {seen}")
        self._lines.append(f"{name}_sum{_braces(labels)} {decimal(histogram.total, divisor)}")
        self._lines.append(f"{name}_count{_braces(labels)} {seen}")

    def text(self) -> str:
        """The whole page."""
        return "\n".join(self._lines) + "\n"


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def decimal(value: int, divisor: int) -> str:
    """`value / divisor` (a power of ten) as exact decimal text."""
    if divisor == 1:
        return str(value)
    places = len(str(divisor)) - 1
    whole, rest = divmod(value, divisor)
    return f"{whole}.{rest:0{places}d}".rstrip("0").rstrip(".")
