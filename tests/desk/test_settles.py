"""Goal: the loop of plain settles is a shorter way and no other one: the same entries, rows and answers as every verb's way.

Method: seeded batches of plain and unplain requests on cards in every condition, done at two copies of a shop, once with the loop
and once without, in a journal of one partition and of several; a fault in each step of the loop, and one poisonous request among good ones.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from cardapi.custody import Pin
from cardapi.desk import Request, writer
from cardapi.desk import settles as loop
from cardapi.store.port import Entry
from cardcore.settlement import Refund, Sale, TopUp
from cardcore.settlement import decide as core_decide
from tests.desk.test_parts import sales, ticking
from tests.desk.till import Till
from tests.shops import copy_shop
from tests.support import sized

BATCHES = sized(5, 50)


def other_verb(till: Till, rng: random.Random, key: str, card: str, frozen: str) -> Request:
    """What changes what the settles after it may do."""
    return rng.choice([
        lambda: till.request("topup", card=card, key=key, meaning=key, command=TopUp(50_00)),
        lambda: till.request("hold", card=card, key=key, meaning=key, command=Sale("hold", [(2_00, 1)], hold_seconds=rng.choice([1, 900]))),
        lambda: till.request("refund", card=card, key=key, meaning=key, ref_key=("terminal:t1", "first"), command=Refund(amount_fen=1)),
        lambda: till.request(rng.choice(["freeze", "unfreeze"]), card=frozen, key=key, meaning=key),
        lambda: till.request("void", card=card, key=key, meaning=key, ref_key=("terminal:t1", rng.choice(["first", "none-" + key]))),
    ])()  # fmt: skip


def settle(till: Till, rng: random.Random, key: str, card: str) -> Request:
    """A settle, plain more often than not."""
    fields: dict[str, Any] = {}
    if rng.random() < 0.3:
        fields = rng.choice([
            {"reason": "by hand"}, {"pin": Pin.parse("1234")}, {"pin": Pin.parse("9999")}, {"further": ("8801000000000000",)},
            {"command": Sale("settle", [(9_999_00, 1)])}, {"command": Sale("settle", [(1, 1)], explain=True)}, {"command": TopUp(1)},
            {"command": Sale("settle", [(1, 1)], coupons=("none",))}, {"command": None}, {"ref": 3}, {"client_key": "x" * 256},
            {"client_key": ""}, {"client_key": "a\tb"}, {"fingerprint": b"short"}, {"card": "8801999999999999"}, {"unit": "\ud800"},
        ])  # fmt: skip
    request = till.request("settle", card=card, key=key, meaning=key, command=Sale("settle", [(rng.randrange(1, 5_00), 1)]))
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def prepared(directory: Path, partitions: int) -> list[str]:
    """Cards in every condition; the last one will be frozen and thawed."""
    till = Till(directory, ticking(), partitions)
    cards = [till.card(300_00), till.card(300_00), till.card(3_00), till.card(300_00, "guarded", "1234"), till.issued()]
    excluded = till.card(100_00)
    till.done("exclude", card=excluded, payload={"excluded": True})
    cards += [excluded, till.card(100_00)]
    till.shop.close()
    return cards


def lived(directory: Path, cards: list[str], seed: int) -> tuple[list[Any], list[Entry], list[Any]]:
    """What a shop answers to the batches of a seed, its journal, and its rows."""
    rng = random.Random(seed)
    till = Till(directory, ticking())
    told: list[Any] = []
    for batch in range(BATCHES):
        keys = [f"{batch}-{n}" for n in range(40)]
        requests = [
            other_verb(till, rng, key, rng.choice(cards), cards[-1]) if rng.random() < 0.1
            else settle(till, rng, rng.choice([key, key, key, "first", keys[0]]), rng.choice(cards))
            for key in keys
        ]  # fmt: skip
        answers = till.shop.desk.call_many(requests)
        told += [answer if isinstance(answer, Entry) else getattr(answer, "code", "") for answer in answers]
    till.sound()
    store = till.shop.store.reader()
    rows = [(row.account_id, row.state, row.changed_at) for row in store.accounts()]
    entries = [entry for partition in sorted(store.partitions()) for entry in store.journal(partition)]
    till.shop.close()
    return told, entries, rows


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("seed", range(sized(3, 30)))
def test_the_loop_gives_what_every_verbs_way_gives(tmp_path: Path, seed: int, partitions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = prepared(tmp_path / "short", partitions)
    copy_shop(tmp_path / "short", tmp_path / "long")
    taken = []

    def counted(*asked: Any) -> int:
        taken.append(loop.settles(*asked))
        return taken[-1]

    monkeypatch.setattr(writer, "settles", counted)
    short = lived(tmp_path / "short", cards, seed)
    monkeypatch.setattr(writer, "settles", lambda *_: 0)
    long = lived(tmp_path / "long", cards, seed)
    assert sum(taken) > 3 * BATCHES, "the loop took hardly any"
    assert short == long, f"seed {seed}"
    codes = {answer if isinstance(answer, str) else answer.code for answer in short[0]}
    assert {"", "key_required", "unknown_card", "holder_excluded", "card_not_active", "unexpected"} <= codes, codes


def test_one_poisonous_decision_among_good_ones(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes nothing, so it is told that it failed and the others are done."""
    card = till.card(500_00)
    poison = 1_03

    def decide(snapshot: Any, command: Any, at_us: int) -> Any:
        settlement = core_decide(snapshot, command, at_us)
        if settlement.gross_fen == poison:
            raise OverflowError("value too large")
        return settlement

    monkeypatch.setattr(loop, "decide", decide)
    monkeypatch.setattr("cardapi.desk.money.decide", decide)
    answers = till.shop.desk.call_many(sales(till, card, 7))
    assert [getattr(answer, "code", None) for answer in answers] == ["", "", "", "unexpected", "", "", ""]
    assert till.shop.desk.failed is None
    assert till.balance(card) == 500_00 - sum(1_00 + n for n in range(7) if n != 3)
    till.sound()


def test_a_fold_that_breaks_half_way_stops_the_desk(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is changed and the entry is not in: nothing of the batch may be written (F2)."""
    card = till.card(500_00)

    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(loop, "AccountRow", broken)
    answers = till.shop.desk.call_many(sales(till, card, 3))
    assert {getattr(answer, "code", None) for answer in answers} == {"unexpected"}
    assert till.problem("settle", card=card) == "not_ready"
    monkeypatch.undo()
    till.reopen()
    assert till.balance(card) == 500_00
    till.sound()
