"""The lines by name, in the order of the report."""

from __future__ import annotations

from . import (
    line_batch,
    line_clearing,
    line_core,
    line_crypto,
    line_growth,
    line_http,
    line_pcsc,
    line_postgres,
    line_postgres_growth,
    line_rules,
    line_store,
)
from .harness import Opener

LINES: dict[str, Opener] = {
    "core": line_core.single,
    "batch": line_batch.columns,
    "rules": line_rules.rules,
    "store": line_store.one_caller,
    "http": line_http.settle,
    "http_batch": line_http.settle_batch,
    "growth": line_growth.growth,
    "growth_batch": line_growth.growth_batch,
    "postgres": line_postgres.store,
    "postgres_http": line_postgres.http,
    "postgres_growth": line_postgres_growth.growth,
    "postgres_quorum": line_postgres.quorum,
    "tac": line_crypto.tacs,
    "diversify": line_crypto.diversification,
    "clearing": line_clearing.clearing,
    "pcsc": line_pcsc.taps,
}
