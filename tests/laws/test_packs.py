"""Goal: the shipped law pack says what the law says, by date; a wrong pack is refused with line and reason; escrow is a share of what
the journal owes (W7, M10).

Method: figures from the feature list, mutations of the shipped text by a seed, a shop over two quarters.
"""

from __future__ import annotations

import datetime
import itertools
import random

import pytest

from cardapi import shipped
from cardapi.days import starts_at
from cardapi.laws.escrow import BadQuarter, bounds, quarterly
from cardapi.laws.pack import InvalidLaw, check, load
from cardcore.settlement import Refund
from tests.laws.conftest import China
from tests.support import sized

TEXT = shipped.law_text("cn-prepaid")


def second(day: str) -> int:
    return starts_at(datetime.date.fromisoformat(day))


def test_the_figures_of_the_law() -> None:
    law = load(TEXT).at(second("2026-11-22"))
    assert law is not None
    assert (law.named_fen, law.unnamed_fen) == (5_000_00, 1_000_00)
    assert (law.unnamed_min_months, law.records_kept_months) == (36, 60)
    assert (law.unnamed_from_fen, law.company_cash_fen, law.person_cash_fen) == (10_000_00, 5_000_00, 50_000_00)
    assert law.escrow == {"scale": (20, 100), "group": (30, 100), "brand": (40, 100)}
    assert (law.refund_days, law.shared_needs_licence, law.named_needs_evidence) == (7, True, True)
    assert (law.topup_document, law.spend_document) == ("untaxed_invoice", "none")


def test_a_version_holds_from_its_day() -> None:
    law = load(TEXT)
    days = {day: law.at(second(day)) for day in ("2012-10-31", "2012-11-01", "2025-04-30", "2025-05-01")}
    assert days["2012-10-31"] is None
    assert [found.refund_days for found in days.values() if found] == [0, 0, 7]
    assert law.at(second("2025-05-01") - 1).refund_days == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(("old", "new", "word"), [
    ("named_fen = 5000_00", "named_fen = 50.5", "named_fen"), ("named_fen = 5000_00", "nmed_fen = 1", "nmed_fen"),
    ('valid_from = "2012-11-01"', 'valid_from = "2012-13-01"', "such day"),
    ('valid_from = "2012-11-01"', 'valid_from = "2030-01-01"', "order"),
    ('scale = "20/100"', 'scale = "120/100"', "scale"), ('topup = "untaxed_invoice"', 'topup = "tip"', "topup"),
    ('country = "CN"', 'country = "China"', "country"), ("schema = 1", "schema = 2", "schema"), ("[version.caps]", "[version.cap]", "cap"),
])  # fmt: skip
def test_a_wrong_pack_names_line_and_reason(old: str, new: str, word: str) -> None:
    assert old in TEXT
    problems = check(TEXT.replace(old, new, 1))
    assert problems
    assert any(word in problem["reason"] for problem in problems)
    assert all(1 <= problem["line"] <= TEXT.count("\n") + 1 for problem in problems)


def test_mutations_are_read_or_refused_and_never_break() -> None:
    rng = random.Random(11)
    refused = 0
    for _ in range(sized(200, 5_000)):
        at = rng.randrange(len(TEXT))
        cut = rng.choice(["", "=", '"', "[", "x", "-", "9" * 30, "\n", "é", "[[version]]\n"])
        text = TEXT[:at] + cut + TEXT[at + rng.randrange(3) :]
        problems = check(text)
        if problems:
            refused += 1
            assert problems[0]["line"] >= 1
            with pytest.raises(InvalidLaw):
                load(text)
    assert refused > 20


@pytest.mark.parametrize("quarter", ["2026", "2026Q0", "2026Q5", "1999Q1", "2026q1", "x2026Q1"])
def test_what_is_no_quarter(quarter: str) -> None:
    with pytest.raises(BadQuarter):
        bounds(quarter)


def test_quarters_meet() -> None:
    ends = [bounds(f"{year}Q{number}") for year in (2025, 2026) for number in range(1, 5)]
    assert all(one[1] == two[0] for one, two in itertools.pairwise(ends))
    assert ends[4][0] == second("2026-01-01")


def test_escrow_is_a_share_of_what_is_owed(china: China) -> None:
    """Two quarters: paid in, spent, given back; the figures are the journal's, worked out by hand."""
    law = china.shop.registry.law()
    assert law is not None
    card = china.named("mall-vip")
    china.pay_in(card, 1_000_00)
    sale = china.spend(card, 100_00)
    china.clock.at_s = second("2026-04-01")
    china.done("refund", of=sale, command=Refund(amount_fen=44_00))
    china.pay_in(card, 500_01)
    china.clock.at_s = second("2026-07-01")
    china.spend(card, 10_00)
    store = china.shop.store.reader()
    first, then = (quarterly(store, law, quarter, china.clock.at_s) for quarter in ("2026Q1", "2026Q2"))
    assert (first.opening_fen, first.paid_in_fen, first.bonus_fen, first.spent_fen) == (0, 1_000_00, 200_00, 88_00)
    assert first.closing_fen == then.opening_fen == 1_112_00
    assert first.escrow_fen == 222_40
    assert (first.escrow_rate, first.other_fen) == ("20/100", 0)
    assert then.other_fen == 44_00
    assert then.closing_fen == then.opening_fen + then.paid_in_fen + then.bonus_fen - then.spent_fen + then.other_fen
    assert then.escrow_fen * 100 >= then.closing_fen * 20 > (then.escrow_fen - 1) * 100, "rounded up to the fen"
    with pytest.raises(BadQuarter):
        quarterly(store, law, "2026Q3", china.clock.at_s)
    with pytest.raises(BadQuarter):
        quarterly(store, law, "2010Q3", china.clock.at_s)
    store.close()
