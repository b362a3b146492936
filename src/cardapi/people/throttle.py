"""Token buckets with bounded memory: how often one name, and all names together, may try (N, B, F4)."""

from __future__ import annotations

from collections import OrderedDict


class Throttle:
    """At most `burst` at once and `rate` a second on average, for each name and (other numbers) for all together."""

    def __init__(self, rate: float, burst: int, total_rate: float, total_burst: int, names_max: int = 10_000) -> None:
        self._one = (rate, float(burst))
        self._all = (total_rate, float(total_burst))
        self._names: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._names_max = names_max
        self._total = (float(total_burst), 0.0)

    def wait_s(self, name: str, now: float) -> float:
        """Take one token for `name` at monotonic second `now`: 0 when it may go ahead, else how long to wait; then none is taken."""
        one = _refill(self._names.get(name, (self._one[1], now)), self._one, now)
        total = _refill(self._total, self._all, now)
        wait = max(_missing(one[0], self._one[0]), _missing(total[0], self._all[0]))
        if wait == 0.0:
            one = (one[0] - 1.0, now)
            total = (total[0] - 1.0, now)
        self._total = total
        self._names[name] = one
        self._names.move_to_end(name)
        if len(self._names) > self._names_max:
            self._names.popitem(last=False)
        return wait


def _refill(bucket: tuple[float, float], limit: tuple[float, float], now: float) -> tuple[float, float]:
    tokens, since = bucket
    return min(limit[1], tokens + max(0.0, now - since) * limit[0]), now


def _missing(tokens: float, rate: float) -> float:
    return 0.0 if tokens >= 1.0 else (1.0 - tokens) / rate
