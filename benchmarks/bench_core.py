"""The single decision under pytest-benchmark, for comparing two builds: `python -m pytest benchmarks/bench_core.py`.

Not part of `make test`; `--benchmark-save` and `--benchmark-compare` keep and compare runs of one machine.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import line_core

CORE, INTS, DECIMALS = line_core.check_same()


@pytest.mark.parametrize("decider", [CORE, INTS, DECIMALS, line_core.empty], ids=["compiled", "ints", "decimal", "empty call"])
def test_one_settle_decision(benchmark: Any, decider: Any) -> None:
    benchmark.pedantic(decider, rounds=200, iterations=200, warmup_rounds=5)
