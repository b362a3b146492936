"""Lines `core` and `batch`: the decision alone, without store or wire, against plain Python with the same rules."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from statistics import median

from cardcore.settlement import Settlement, Snapshot, decide

from . import dataset, reference_decimal, reference_int
from .harness import Line, Options, Sample, Subject, Target, as_line
from .scenarios import AT, PACK, TICKET, TICKET_POINTS

AT_US = AT * 1_000_000


def empty() -> None:
    """The empty Python call: what calling anything costs."""


def nanoseconds(call: Callable[[], object], seconds: float, batch: int = 200) -> Callable[[], Sample]:
    """A slice that calls `call` over and over: the median batch, in processor time, so that a busy neighbour does not count."""

    def run() -> Sample:
        clock, taken = time.thread_time_ns, []
        rounds = range(batch)
        collecting = gc.isenabled()
        gc.disable()
        end = time.perf_counter() + seconds
        try:
            while time.perf_counter() < end:
                start = clock()
                for _ in rounds:
                    call()
                taken.append((clock() - start) / batch)
        finally:
            if collecting:
                gc.enable()
        return Sample(median(taken), {"best": min(taken)})

    return run


def compiled() -> tuple[Snapshot, Callable[[], Settlement]]:
    """The ticket on the single card, decided by the core."""
    rules = dataset.programme()
    snapshot, command = Snapshot(rules, dataset.single_account(rules)), dataset.sale(TICKET)
    return snapshot, lambda: decide(snapshot, command, AT_US)


def plain_ints(snapshot: Snapshot) -> Callable[[], reference_int.Sale]:
    """The same ticket on the same lots in plain Python ints."""
    rules, value = reference_int.Rules(PACK), snapshot.account
    lots = [reference_int.Lot(lot.lot_id, lot.purse, lot.amount, lot.expires_at) for lot in value.lots()]
    account = reference_int.Account(value.tier, value.spend_fen, lots)
    lines = [(line.amount_fen, line.quantity, line.category) for line in TICKET]
    return lambda: reference_int.settle(rules, account, lines, TICKET_POINTS, AT)


def plain_decimals(snapshot: Snapshot) -> Callable[[], reference_decimal.Sale]:
    """The same ticket on the same lots in Decimal yuan."""
    rules, value = reference_decimal.Rules(PACK), snapshot.account
    hundred = Decimal(100)
    lots = [
        reference_decimal.Lot(
            lot.lot_id, lot.purse, Decimal(lot.amount) / (1 if rules.roles[lot.purse] == "points" else hundred), lot.expires_at
        )
        for lot in value.lots()
    ]
    account = reference_decimal.Account(value.tier, Decimal(value.spend_fen) / hundred, lots)
    lines = [(Decimal(line.amount_fen) / hundred, line.quantity, line.category) for line in TICKET]
    points = Decimal(TICKET_POINTS)
    return lambda: reference_decimal.settle(rules, account, lines, points, AT)


def facts_of_core(settlement: Settlement) -> tuple[object, ...]:
    """What all three must agree on: totals, tenders, line nets, and each lot taken from or made."""
    moved = sorted(
        (posting.purse, posting.source_lot if posting.source == "customer" else 0, posting.amount, posting.expires_at)
        for posting in settlement.postings()
        if posting.purse >= 0
    )
    nets = tuple(line.net_fen for line in settlement.lines())
    return (
        settlement.gross_fen, settlement.discount_fen, settlement.net_fen, settlement.points_fen, settlement.points_used,
        settlement.bonus_fen, settlement.principal_fen, settlement.points_earned, settlement.tier_after,
        settlement.after_money_fen, settlement.after_points, nets, tuple(moved),
    )  # fmt: skip


def facts_of_ints(sale: reference_int.Sale) -> tuple[object, ...]:
    moved = sorted((posting.purse, posting.lot_id, posting.amount, posting.expires_at) for posting in sale.postings)
    return (*sale[:11], sale.line_nets, tuple(moved))


def facts_of_decimals(sale: reference_decimal.Sale, point_purses: set[int]) -> tuple[object, ...]:
    def fen(yuan: Decimal) -> int:
        return int(yuan * 100)

    moved = sorted(
        (posting.purse, posting.lot_id, int(posting.amount) if posting.purse in point_purses else fen(posting.amount), posting.expires_at)
        for posting in sale.postings
    )
    return (
        fen(sale.gross), fen(sale.discount), fen(sale.net), fen(sale.points_value), int(sale.points_used), fen(sale.bonus),
        fen(sale.principal), int(sale.points_earned), sale.tier_after, fen(sale.after_money), int(sale.after_points),
        tuple(fen(net) for net in sale.line_nets), tuple(moved),
    )  # fmt: skip


def check_same() -> tuple[Callable[[], Settlement], Callable[[], reference_int.Sale], Callable[[], reference_decimal.Sale]]:
    """The three deciders, once their results are seen to be equal."""
    snapshot, core = compiled()
    ints, decimals = plain_ints(snapshot), plain_decimals(snapshot)
    point_purses = {place for place, unit in enumerate(snapshot.programme.purse_units) if unit == "points"}
    ours, second, third = facts_of_core(core()), facts_of_ints(ints()), facts_of_decimals(decimals(), point_purses)
    assert ours == second == third, f"the references decide differently:\n core {ours}\n ints {second}\n dec. {third}"
    return core, ints, decimals


def single(options: Options) -> AbstractContextManager[Line]:
    """One settle decision called from Python."""
    core, ints, decimals = check_same()
    seconds = options.seconds(0.35, 0.12)
    subjects = [
        Subject("settle decision, compiled", "ns", nanoseconds(core, seconds)),
        Subject("plain Python ints", "ns", nanoseconds(ints, seconds, 50)),
        Subject("plain Python Decimal", "ns", nanoseconds(decimals, seconds, 50)),
        Subject("empty Python call", "ns", nanoseconds(empty, seconds, 1000)),
    ]
    targets = [
        Target("settle decision vs Python ints", subjects[0].name, subjects[1].name, 5),
        Target("settle decision vs Python Decimal", subjects[0].name, subjects[2].name, 20),
        Target("settle decision vs empty call", subjects[0].name, subjects[3].name, 40, 15, ratio="cost"),
    ]
    notes = ["3 lines, 2 combined discounts each, points and two lots of stored value, explanation off; results equal in all three"]
    return as_line(Line("core", "one settle decision from Python", subjects, targets, notes))
