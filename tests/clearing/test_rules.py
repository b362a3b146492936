"""Each rule of clearing by itself: what is posted, what becomes a case and why, and that the books stay in order.

Expectations are written by hand; TACs and transaction MACs are the simulator's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cardapi.desk.clearing import counted
from cardcore.clearing.upload import ClearingRules
from tests.clearing.yard import NOW, Yard, bcd, tac, tmv
from tests.desk.till import Till
from tests.shops import journal


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path / "shop")
    yield made
    made.till.sound()
    made.till.shop.close()


def test_a_purchase_is_posted_once_for_ever(yard: Yard) -> None:
    card = yard.card(100_00)
    record = yard.pay(card, 12_50)
    body = yard.upload([record])
    assert (body.received, body.repeated, len(body)) == (1, 0, 1)
    assert yard.outcome(record) == "accepted"
    assert yard.on_card(card) == 87_50
    assert body.tills == [("s1", "a")]
    again = yard.upload([record, record])
    assert (again.received, again.repeated, len(again)) == (2, 2, 0)
    assert yard.on_card(card) == 87_50


def test_a_desfire_debit_is_posted_and_its_counter_is_proven(yard: Yard) -> None:
    card = yard.card(100_00, chip=True)
    first, second = yard.debit(card, 30_00), yard.debit(card, 5_00, terminal=1)
    yard.upload([second, first])
    assert [yard.outcome(record) for record in (first, second)] == ["accepted"] * 2
    assert yard.on_card(card) == 65_00
    (medium,) = yard.till.shop.store.read_media([yard.medium(card, chip=True)]).values()
    assert (medium.offline_counter, medium.balance_fen) == (2, 65_00)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 1),
        ("kind", 9),
        ("terminal", bytes(5) + b"\2"),
        ("number", 77),
        ("at", bcd(NOW - timedelta(minutes=59))),
        ("tac", bytes(4)),
    ],
)
def test_every_signed_field_is_covered(yard: Yard, field: str, value: object) -> None:
    card = yard.card()
    record = replace(yard.pay(card, 12_50), **{field: value})  # type: ignore[arg-type]
    yard.upload([record])
    assert yard.outcome(record) == "bad_mac"
    assert yard.cases() == ["bad_mac"]
    assert yard.on_card(card) == 100_00


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", 1), ("terminal", bytes(5) + b"\2"), ("number", 77), ("at", bcd(NOW - timedelta(minutes=59))), ("counter", 9), ("value", 7),
     ("file", 2), ("previous", bytes(16)), ("reader_proven", False), ("tmv", bytes(8))],
)  # fmt: skip
def test_every_signed_field_of_a_chip_is_covered(yard: Yard, field: str, value: object) -> None:
    card = yard.card(chip=True)
    record = replace(yard.debit(card, 12_50), **{field: value})  # type: ignore[arg-type]
    yard.upload([record])
    assert yard.outcome(record) == "bad_mac"
    assert yard.on_card(card) == 100_00


def test_a_chip_that_names_no_reader_pays_nobody(yard: Yard) -> None:
    card = yard.card(chip=True)
    record = yard.debit(card, 12_50, reader_proven=False, previous=bytes(16))
    yard.upload([record])
    assert yard.outcome(record) == "payee_unproven"
    assert yard.on_card(card) == 100_00


def test_a_replay_with_other_uncovered_fields_is_one_case_and_no_money(yard: Yard) -> None:
    card = yard.card()
    record = yard.pay(card, 12_50)
    forms = [record, replace(record, counter=9), replace(record, balance=1), replace(record, sam=b"ANOTHERSAM")]
    yard.upload(forms)
    outcomes = sorted(yard.outcome(form) for form in forms)
    assert outcomes == ["accepted", "replayed", "replayed", "replayed"]
    assert yard.cases() == ["replayed"]
    assert yard.on_card(card) == 87_50


def test_unknown_terminals_cards_and_keys(yard: Yard) -> None:
    card = yard.card()
    unknown = replace(card, serial=bytes(9) + b"\xee")
    records = {
        "unknown_terminal": replace(yard.pay(card, 1_00), terminal=bytes(6)),
        "unknown_card": yard.pay(unknown, 1_00),
        "key_not_allowed": replace(yard.pay(card, 1_00), key_version=2),
        "malformed": yard.pay(card, 1_00, at=bytes.fromhex("20261322101112")),
    }
    yard.upload(list(records.values()))
    assert {reason: yard.outcome(record) for reason, record in records.items()} == {reason: reason for reason in records}
    assert yard.cases() == sorted(records)
    assert yard.on_card(card) == 100_00


@pytest.mark.parametrize(("fen", "kind"), [(0, 6), (100, 4), (100, 2), (100, 0xDC)])
def test_what_is_no_purchase_is_malformed_although_proven(yard: Yard, fen: int, kind: int) -> None:
    record = yard.pay(yard.card(), fen, kind=kind)
    yard.upload([record])
    assert yard.outcome(record) == "malformed"


def test_a_key_version_counts_for_the_time_it_was_on_the_card(yard: Yard) -> None:
    """K6: the card's keys have dates; a record of another time names them in vain."""
    changed = int((NOW - timedelta(minutes=50)).timestamp())
    card = yard.card(keys=((2, 0, changed), (1, changed, 0)))
    early, late = yard.pay(card, 1_00, minutes=60), yard.pay(card, 1_00, minutes=40)
    yard.upload([early, late])
    assert [yard.outcome(early), yard.outcome(late)] == ["key_not_allowed", "accepted"]


def test_the_payee_is_whoever_the_terminal_number_stood_for_when_the_card_paid(yard: Yard) -> None:
    """C4: moved at noon from a to b; each purchase pays whose terminal it was, in whatever batch it comes."""
    card, number = yard.card(), yard.terminals[0].hex()
    moved = int((NOW - timedelta(minutes=50)).timestamp())
    out = int((NOW - timedelta(minutes=10)).timestamp())
    periods = [[0, "a", "s1"], [moved, "b", "s2"], [out, "", ""]]
    yard.change("sam", number, {"id": number, "utc_offset": "+08:00", "periods": periods})
    early, late, after = (yard.pay(card, fen, minutes=minutes) for fen, minutes in ((1_00, 60), (2_00, 40), (4_00, 5)))
    body = yard.upload([late, early, after])
    paid = {fen: body.tills[payee] for fen, payee in zip(body.amounts().tolist(), body.payee_index().tolist(), strict=True) if payee < 9}
    assert paid == {1_00: ("s1", "a"), 2_00: ("s2", "b")}
    assert yard.outcome(after) == "unknown_terminal"


def test_dates_have_a_window(yard: Yard) -> None:
    card = yard.card()
    old, ahead, edge = yard.pay(card, 1_00, minutes=61 * 1440), yard.pay(card, 1_00, minutes=-1500), yard.pay(card, 1_00, minutes=60 * 1440)
    yard.upload([old, ahead, edge])
    assert [yard.outcome(record) for record in (old, ahead, edge)] == ["late_upload", "future_dated", "accepted"]
    yard.now += timedelta(days=2)
    yard.upload([ahead])
    assert yard.outcome(ahead) == "accepted", "what was dated ahead is judged again when it comes again"
    assert yard.cases() == ["late_upload"]


def test_a_lost_card_by_the_time_of_the_loss_and_the_list_the_station_had(yard: Yard) -> None:
    """K5 and the liability rule: the issuer bears what no list of the last day could know, the merchant the rest."""
    card = yard.card()
    lost_at = int((NOW - timedelta(minutes=30)).timestamp())
    before, fresh, stale, none, listed = (yard.pay(card, 1_00, minutes=minutes) for minutes in (40, 20, 19, 18, 17))
    yard.till.done("lost", card=card.number, payload={"effective_at": lost_at})
    now = int(NOW.timestamp())
    yard.upload([before], batch=1, blacklist=0)
    yard.upload([fresh], batch=2, blacklist=now - 3600)
    yard.upload([stale], batch=3, blacklist=now - 2 * 86_400)
    yard.upload([none], batch=4, blacklist=0)
    yard.upload([listed], batch=5, blacklist=now)
    outcomes = [yard.outcome(record) for record in (before, fresh, stale, none, listed)]
    assert outcomes == ["accepted", "accepted", "stale_blacklist", "stale_blacklist", "card_blocked"]


def test_a_loss_counts_after_the_card_was_replaced_and_not_after_it_was_withdrawn(yard: Yard) -> None:
    replaced, found = yard.card(), yard.card()
    for card in (replaced, found):
        yard.till.done("lost", card=card.number, payload={"effective_at": int(NOW.timestamp()) - 1800})
    yard.till.done("reissue", card=replaced.number, payload={"prefix": "8802"})
    yard.till.done("unfreeze", card=found.number)
    one, two = yard.pay(replaced, 1_00, minutes=20), yard.pay(found, 1_00, minutes=20)
    yard.upload([one, two], blacklist=int(NOW.timestamp()))
    assert [yard.outcome(one), yard.outcome(two)] == ["card_blocked", "accepted"]


def test_more_than_the_card_holds_moves_nothing_until_it_holds_it(yard: Yard) -> None:
    """A load whose proof comes late (M6): the purchase waits in a case and is posted at the next upload."""
    card = yard.card(10_00)
    small, large = yard.pay(card, 4_00), yard.pay(card, 50_00)
    yard.upload([small, large])
    assert [yard.outcome(small), yard.outcome(large)] == ["accepted", "card_overdrawn"]
    assert yard.on_card(card) == 6_00
    assert yard.upload([large]).repeated == 1
    yard.till.topup(card.number, 44_00)
    yard.load(card, 44_00)
    yard.upload([small, large])
    assert yard.outcome(large) == "accepted"
    assert yard.on_card(card) == 0
    assert yard.cases("open") == []
    assert yard.cases("closed") == ["card_overdrawn"]


def test_a_card_that_was_never_given_out_or_is_destroyed(yard: Yard) -> None:
    card = yard.card(0)
    record = yard.pay(card, 1_00)
    yard.till.done("cancel", card=card.number)
    yard.till.done("destroy", card=card.number)
    yard.upload([record])
    assert yard.outcome(record) == "card_dead"


def test_ten_wrong_macs_in_a_day_suspend_a_terminal_until_a_person_releases_it(yard: Yard) -> None:
    card = yard.card()
    wrong = [replace(yard.pay(card, 1_00), tac=bytes([n] * 4)) for n in range(10)]
    good, other = yard.pay(card, 2_00), yard.pay(card, 3_00, terminal=1)
    yard.upload([*wrong[:9], yard.pay(card, 5_00)])
    assert not yard.till.shop.registry.suspended("a")
    for _ in range(3):
        yard.upload(wrong[:9])
    assert not yard.till.shop.registry.suspended("a"), "a repeated record is counted once"
    yard.upload([good, other, wrong[9]])
    assert yard.till.shop.registry.suspended("a")
    assert [yard.outcome(good), yard.outcome(other)] == ["terminal_suspended", "accepted"]
    assert yard.upload([good]).repeated == 1
    document = yard.till.shop.registry.document("suspension", "a") or {}
    yard.change("suspension", "a", {**document, "state": "released", "bad": 0})
    yard.upload([good])
    assert yard.outcome(good) == "accepted"
    assert "terminal_suspended" not in yard.cases()


def test_a_terminal_that_uploads_for_others_is_blamed_itself(yard: Yard) -> None:
    """Else a stolen terminal could have every other one suspended."""
    card = yard.card()
    wrong = [replace(yard.pay(card, 1_00, terminal=1), tac=bytes([n] * 4)) for n in range(10)]
    yard.upload(wrong, by="a")
    assert yard.till.shop.registry.suspended("a")
    assert not yard.till.shop.registry.suspended("b")


def test_a_day_has_its_own_count(yard: Yard) -> None:
    card = yard.card()
    for day in range(3):
        yard.upload([replace(yard.pay(card, 1_00), tac=bytes([day, n, 1, 1])) for n in range(9)])
        yard.now += timedelta(days=1)
    assert not yard.till.shop.registry.suspended("a")


def test_one_key_one_upload(yard: Yard) -> None:
    card = yard.card()
    record = yard.pay(card, 1_00)
    one = yard.upload_entry([record], key="same")
    assert yard.upload_entry([record], key="same") == one
    with pytest.raises(Exception, match="another request"):
        yard.upload_entry([yard.pay(card, 1_00)], key="same")


def test_a_sealed_batch_says_how_much_of_it_came(yard: Yard) -> None:
    from cardcore.clearing import Seal

    card = yard.card()
    records = [yard.pay(card, 1_00) for _ in range(3)]
    yard.upload(list(records[:2]), batch=9)
    body = yard.upload([replace(records[2], tac=bytes(4))], batch=9, seal=Seal(3, 3_00, bytes(32)))
    assert body.batch is not None
    assert (body.batch.received, body.batch.accepted, body.batch.accepted_fen, body.batch.cases) == (3, 2, 2_00, 1)
    assert (body.batch.sealed, body.batch.sealed_fen) == (3, 3_00)


def test_the_oracle_signs_as_the_simulator_does(yard: Yard) -> None:
    """Else every record would be refused, or none."""
    card = yard.card(chip=True)
    debit = yard.debit(card, 1_00)
    assert tmv(debit) == debit.tmv
    record = yard.pay(card, 1_00)
    assert tac(record) == record.tac
    assert tac(record, tamper=1) != record.tac


def test_the_fold_refuses_what_the_desk_never_writes(tmp_path: Path) -> None:
    """K2 and M4 hold for whoever writes the journal: `verify` folds with the same code and stops there."""
    from cardapi.store.fold import Fold

    yard = Yard(tmp_path / "shop", till=Till(tmp_path / "shop", partitions=1))
    card = yard.card(10_00)
    entry = yard.upload_entry([yard.pay(card, 4_00)])
    fold = Fold()
    for before in journal(yard.till.shop):
        fold.apply(before)
    assert fold.accounts[card.account_id].on_card_fen == 6_00
    with pytest.raises(AssertionError, match="a second time"):
        fold.apply(entry)
    fold.cleared.clear()
    with pytest.raises(AssertionError, match="on its card"):
        fold.apply(entry)
    yard.till.shop.close()


@pytest.mark.embedded("its tables are changed by hand")
def test_the_tables_are_made_again_from_the_journal(yard: Yard) -> None:
    from cardapi.store.verify import rebuild

    card = yard.card()
    record = yard.pay(card, 1_00)
    yard.upload([record, replace(record, counter=7), replace(record, tac=bytes(4)), yard.pay(card, 500_00)])
    before = yard.state()
    store = yard.till.shop.store
    with sqlite3.connect(yard.till.directory / "cardcore.db") as connection:
        connection.execute("DELETE FROM clearing_record")
        connection.execute("DELETE FROM record_key")
        connection.execute("UPDATE record SET body = x'80', keys = '[]' WHERE kind = 'case'")
    assert not yard.till.verify().ok
    assert rebuild(store, yard.till.shop.custody.chain_key).ok
    assert yard.state() == before


def test_no_other_century_can_be_put_on_a_chips_record(yard: Yard) -> None:
    card = yard.card(chip=True)
    genuine = yard.debit(card, 1_00)
    for century in (b"\x21", b"\x19"):
        forged = replace(genuine, at=century + genuine.at[1:])  # the reader id carries YYMMDDhhmmss
        assert forged.inputs() == genuine.inputs()
        yard.upload([forged])
        assert yard.outcome(forged) == "malformed"
    yard.upload([genuine])
    assert yard.outcome(genuine) == "accepted", "nobody makes a replay of it by sending another form first"


def test_a_loss_is_found_behind_whatever_the_account_did_since(yard: Yard) -> None:
    card = yard.card()
    yard.till.done("lost", card=card.number, payload={"effective_at": int(NOW.timestamp()) - 1800})
    number = yard.till.done("reissue", card=card.number, payload={"prefix": "8802"}).card
    for n in range(510):
        yard.till.done("exclude", card=number, payload={"excluded": n % 2 == 0})
    late = yard.pay(card, 1_00, minutes=20)
    yard.upload([late], blacklist=int(NOW.timestamp()))
    assert yard.outcome(late) == "card_blocked"


def test_a_chip_that_proves_two_purchases_at_one_counter_is_frozen(yard: Yard) -> None:
    """K1: a copy, or a memory that was put back. Whichever comes first, in one upload or two; both are proven, so both are paid."""
    for together in (True, False):
        card, other = yard.card(chip=True), yard.card(chip=True)
        first = yard.debit(card, 1_00)
        second = replace(first, amount=2_00, number=next(yard.numbers[yard.terminals[0]]), value=first.value)
        second = replace(second, tmv=tmv(second))
        fine = yard.debit(other, 1_00)
        if together:
            yard.upload([second, fine, first])
        else:
            yard.upload([first, fine])
            assert yard.state_of(card) == "active"
            yard.upload([second])
        assert [yard.state_of(each) for each in (card, other)] == ["frozen", "active"]
        assert [yard.outcome(record) for record in (first, second)] == ["accepted"] * 2
        assert yard.on_card(card) == 97_00
        (case,) = [case for case in yard.all_cases() if case.account_id == card.account_id]
        assert (case.reason, case.state, case.facts["medium"]) == ("counter_fork", "open", yard.medium(card, chip=True))
        assert case.id in yard.state()["sequences"], "the case is the finding's own: it is not told twice"
        yard.till.done("unfreeze", card=card.number)
        yard.upload([first, second])
        assert yard.state_of(card) == "active", "a person has looked at this one"
        third = replace(second, amount=3_00, number=next(yard.numbers[yard.terminals[0]]))
        third = replace(third, tmv=tmv(third))
        yard.upload([third])
        assert yard.state_of(card) == "active", "one counter freezes once; its case is open again"


def test_a_purse_is_not_frozen_for_a_counter_that_it_does_not_prove(yard: Yard) -> None:
    card = yard.card()
    one, two = yard.pay(card, 1_00), yard.pay(card, 2_00, counter=0)
    yard.upload([one, two])
    assert [yard.outcome(one), yard.outcome(two), yard.state_of(card)] == ["accepted", "accepted", "active"]
    assert any(name.startswith("counter_fork") for name in yard.state()["sequences"])
    assert yard.cases() == []


def test_made_up_records_are_kept_up_to_a_bound_and_then_counted(tmp_path: Path) -> None:
    """F4: no upload fills the tables or a person's list; what a card has proven is never left out."""
    yard = Yard(tmp_path / "shop", rules=ClearingRules(strays=5))
    card = yard.card()
    unknown = [replace(yard.pay(card, 1_00), serial=bytes(9) + bytes([200 + n])) for n in range(8)]
    good = yard.pay(card, 1_00)
    body = yard.upload([*unknown, good])
    assert (body.received, len(body), counted(body)) == (9, 6, 3)
    assert yard.cases() == ["unknown_card"] * 5
    assert yard.outcome(good) == "accepted"
    replays = [replace(good, counter=n) for n in range(50, 53)]
    body = yard.upload([*unknown, *replays, yard.pay(card, 2_00)])
    assert (len(body), counted(body)) == (1, 6), "what was counted may be counted again; what was kept is known"
    assert counted(yard.upload([good])) == 0
    yard.now += timedelta(days=1)
    body = yard.upload([*unknown, *replays[:2]])
    assert (len(body), counted(body)) == (5, 0)
    assert sorted(yard.cases()) == ["replayed"] + ["unknown_card"] * 8
    assert yard.on_card(card) == 97_00
    yard.till.sound()
    yard.till.shop.close()
