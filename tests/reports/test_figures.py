"""Goal: the figures of a day are the sums a person gets by hand. Method: a small day written through the real core."""

from __future__ import annotations

from cardapi.reports.export import FIELDS, export_lines, export_rows, time_text
from cardapi.reports.figures import Figures, journal, settled, whole
from cardapi.reports.trial import trial_balance
from cardcore.settlement import TopUp
from tests.reports.books import Books, a_day


def fold(books: Books, terminal: str | None = None) -> Figures:
    figures = Figures()
    for entry in journal(books, whole(books.heads())):
        if terminal is None or entry.terminal == terminal:
            figures.add(entry, settled(entry))
    return figures


def test_a_day_by_hand():
    books = Books()
    a_day(books)
    day = fold(books)
    # settles 100.00, 250.00, 60.00 and a capture of a hold of 30.00
    assert (day.tickets, day.gross_fen) == (4, 440_00)
    assert (day.discount_fen, day.coupon_fen) == (10_00, 5_00)
    assert day.net_fen == 85_00 + 250_00 + 60_00 + 20_00
    assert day.principal_fen + day.bonus_fen + day.outside_fen == day.net_fen
    assert day.outside_fen == 50_00 + 60_00
    assert (day.refunds, day.refund_fen) == (2, 10_00 + 60_00)
    assert (day.topups, day.topup_fen, day.topup_bonus_fen) == (2, 700_00, 5_00)
    assert (day.holds, day.releases, day.transfers, day.refused, day.other_entries) == (2, 1, 1, 1, 1)
    # cash: top-up 500 + shortfalls 50 and 60 - 60 voided; bank: the other top-up
    assert day.drawer_fen == {"cash": 550_00, "bank": 200_00}
    assert day.liability_delta_fen == books.liability


def test_terminals_add_up_to_the_whole():
    books = Books()
    a_day(books)
    merged = Figures()
    for terminal in ("s1-a", "s1-b", "s2-a", ""):
        merged.merge(fold(books, terminal))
    assert merged == fold(books)
    assert fold(books, "s2-a").drawer_fen == {"cash": 0}


def test_figures_do_not_share_a_drawer():
    one, two = Figures(), Figures()
    one.drawer_fen["cash"] = 1
    assert two.drawer_fen == {}


def test_trial_balance_sums_to_zero_and_meets_the_liability():
    books = Books()
    a_day(books)
    found = trial_balance(books)
    assert found["ok"]
    assert found["sums"] == {"fen": 0, "points": 0}
    by_name = {(row["account"], row["unit"]): row["balance"] for row in found["accounts"]}
    # 500 + 5 + 200 topped up; 85 + 200 + 20 spent from cards, 10 given back
    assert by_name["customer", "fen"] == 410_00 == found["liability_fen"] == found["liability_head_fen"]
    assert by_name["outside", "fen"] == -750_00
    assert by_name["bonus_cost", "fen"] == -5_00
    assert by_name.get(("held", "fen")) == 0
    assert sum(row["tickets"] for row in found["terminals"]) == found["total"]["tickets"] == 4


def test_trial_balance_sees_a_wrong_liability():
    books = Books()
    a_day(books)
    books.liability += 1
    books.write("freeze", 3, b"\x80", terminal="")
    assert not trial_balance(books)["ok"]


def test_export_sums_to_zero_per_entry_and_folds_to_balances():
    books = Books()
    a_day(books)
    rows = list(export_rows(books))
    sums: dict[tuple[int, str], int] = {}
    balances: dict[str, int] = {}
    for row in rows:
        assert set(row) == set(FIELDS)
        assert type(row["amount"]) is int
        sums[row["position"], row["unit"]] = sums.get((row["position"], row["unit"]), 0) + row["amount"]
        if row["unit"] == "fen":
            balances[row["account"]] = balances.get(row["account"], 0) + row["amount"]
    assert set(sums.values()) == {0}
    for number, account in books.accounts.items():
        assert balances[f"customer:{number}"] == account.money_fen(books.programme, 1_800_000_000)
    assert balances["customer:2"] == 0
    assert rows[0]["reference"] == "terminal:s1-a/key-1"


def test_export_ranges_and_csv():
    books = Books()
    a_day(books)
    assert {row["position"] for row in export_rows(books, after=1, upto=4)} == {2, 3, 4}
    assert list(export_rows(books, partition=1)) == []
    heading, *lines = export_lines(books, "csv")
    assert heading.split(",") == list(FIELDS)
    assert len(lines) == len(list(export_lines(books)))
    assert lines[0].startswith("1,2026-11-22T00:00:00.000000+00:00,outside,fen,-50000,terminal:s1-a/key-1,")


def test_progress_counts_every_entry():
    books = Books()
    for _ in range(2_100):
        books.write("freeze", 3, b"\x80", terminal="")
    steps: list[int] = []
    trial_balance(books, progress=steps.append)
    assert sum(steps) == 2_100
    assert len(steps) == 2


def test_time_is_exact():
    assert time_text(1_795_305_600_000_001) == "2026-11-22T00:00:00.000001+00:00"


def test_empty_books():
    found = trial_balance(Books())
    assert found["ok"]
    assert found["accounts"] == []


def test_a_damaged_body_is_not_passed_over():
    import pytest

    from cardcore.errors import InvalidRecord

    books = Books()
    position = books.do(TopUp(10_00))
    import msgspec

    books.entries[position - 1] = msgspec.structs.replace(books.entries[position - 1], body=b"\x00garbage")
    with pytest.raises(InvalidRecord):
        trial_balance(books)
