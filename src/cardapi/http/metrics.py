"""Counters and histograms in the Prometheus text format: small dictionaries, written by the event loop only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

BUCKETS_US = (250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Histogram:
    """Counts per bucket and the sum, in the unit of its bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str = "", divisor: int = 1) -> Iterable[str]:
        """Cumulative buckets; bounds and sum are written divided by `divisor` (1,000,000: microseconds as seconds)."""
        seen = 0
        comma = "," if labels else ""
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            yield f'{name}_bucket{{{labels}{comma}le="{decimal(bound, divisor)}"}} {seen}'
        seen += self.counts[-1]
        yield f'{name}_bucket{{{labels}{comma}le="+Inf"}} {seen}'
        braces = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{braces} {decimal(self.total, divisor)}"
        yield f"{name}_count{braces} {seen}"


class Metrics:
    """Requests by operation and status, their latency, refusals by problem code, denials."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.problems: dict[tuple[str, str], int] = {}
        self.latency: dict[str, Histogram] = {}
        self.batch = Histogram(SIZES)

    def record(self, operation: str, status: int, elapsed_us: int) -> None:
        """One finished request."""
        name = (operation, status)
        self.requests[name] = self.requests.get(name, 0) + 1
        histogram = self.latency.get(operation)
        if histogram is None:
            histogram = self.latency[operation] = Histogram(BUCKETS_US)
        histogram.observe(elapsed_us)

    def problem(self, operation: str, code: str) -> None:
        name = (operation, code)
        self.problems[name] = self.problems.get(name, 0) + 1

    def text(self, gauges: dict[str, int]) -> str:
        """The exposition; `gauges` are read by the caller at this moment."""
        out = ["# TYPE cardcore_requests_total counter"]
        for (operation, status), count in sorted(self.requests.items()):
            out.append(f'cardcore_requests_total{{operation="{operation}",status="{status}"}} {count}')
        out.append("# TYPE cardcore_problems_total counter")
        for (operation, code), count in sorted(self.problems.items()):
            out.append(f'cardcore_problems_total{{operation="{operation}",code="{code}"}} {count}')
        out.append("# TYPE cardcore_request_seconds histogram")
        for operation, histogram in sorted(self.latency.items()):
            out.extend(histogram.lines("cardcore_request_seconds", f'operation="{operation}"', 1_000_000))
        out.append("# TYPE cardcore_batch_tickets histogram")
        out.extend(self.batch.lines("cardcore_batch_tickets"))
        for name, value in sorted(gauges.items()):
            out.append(f"# TYPE cardcore_{name} gauge")
            out.append(f"cardcore_{name} {value}")
        return "\n".join(out) + "\n"


def decimal(value: int, divisor: int) -> str:
    """`value / divisor` (a power of ten) as exact decimal text."""
    if divisor == 1:
        return str(value)
    places = len(str(divisor)) - 1
    whole, rest = divmod(value, divisor)
    return f"{whole}.{rest:0{places}d}".rstrip("0").rstrip(".")
