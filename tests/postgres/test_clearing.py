"""Off-line purchases in a shop whose cards live in several partitions: one commit for all of them, and the same outcome as anywhere.

Method: the hostile batch of `tests.clearing` on a server with four partitions, whole, in pieces, twice and from three threads at once; its
outcomes are those written by hand, and the books are verified after each.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from cardapi.ids import leg_key
from cardapi.reports.trial import trial_balance
from cardapi.store.verify import rebuild, verify
from cardcore.clearing.body import Cleared
from tests.clearing.hostile import forms, hostile
from tests.clearing.yard import Yard
from tests.postgres.till import ServerTill

PARTITIONS = 4


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    made = Yard(tmp_path / "shop", till=till)
    yield made
    sound(made)
    till.end()


def sound(yard: Yard) -> None:
    """Everything verifies, and all sums are in order."""
    yard.till.sound()
    trial = trial_balance(yard.till.shop.store.reader())
    assert trial["ok"], trial


def test_one_upload_for_cards_of_every_partition(yard: Yard) -> None:
    cards = [yard.card(100_00, chip=n % 2 == 0) for n in range(12)]
    homes = {card.account_id >> 40 for card in cards}
    assert homes == set(range(PARTITIONS)), "cards live in all of them"
    records = [yard.debit(card, 2_50) if n % 2 == 0 else yard.pay(card, 2_50) for n, card in enumerate(cards)]
    entry = yard.upload_entry(records, key="all")
    assert entry.partition == 0
    assert [yard.on_card(card) for card in cards] == [97_50] * 12
    assert yard.upload_entry(records, key="all") == entry
    assert yard.upload(records).repeated == 12
    reader = yard.store
    legs = reader.find_keys([leg_key(0, entry.position, into) for into in range(1, PARTITIONS)])
    assert len(legs) == PARTITIONS - 1
    first = Cleared.unpack(entry.body)
    parts = [Cleared.unpack(leg.body) for leg in legs.values()]
    assert sum(part.liability_delta_fen for part in parts) + first.liability_delta_of(range(1 << 40)) == first.liability_delta_fen == -30_00
    for card in cards:
        newest = reader.statement(card.account_id, None, 1)[0]
        assert (newest.verb, newest.partition) == ("clear_batch", card.account_id >> 40)
        assert Cleared.unpack(newest.body).paid_by(card.account_id)[0] == 2_50
    chip = next(card for card in cards if card.account_id >> 40 and cards.index(card) % 2 == 0)
    row = reader.read_media([yard.medium(chip, chip=True)])[yard.medium(chip, chip=True)]
    assert (row.offline_counter, row.balance_fen) == (1, 97_50), "what a chip proved is known where it lives"


@pytest.mark.parametrize("seed", range(2))
def test_the_hostile_batch_in_any_pieces_from_three_threads(yard: Yard, seed: int) -> None:
    expected = hostile(yard)
    records = forms(yard, expected)
    rng = random.Random(seed)
    shuffled = records * 2
    rng.shuffle(shuffled)
    before = sum(yard.state()["on_card"].values())
    pieces = [shuffled[at : at + 7] for at in range(0, len(shuffled), 7)]
    with ThreadPoolExecutor(3) as pool:
        entries = list(pool.map(yard.upload_entry, pieces))
    assert sum(Cleared.unpack(entry.body).received for entry in entries) == len(shuffled)
    for record, outcome in expected[1:]:
        assert yard.outcome(record) == outcome, (seed, record)
    paid = sum(record.amount for record, outcome in expected if outcome == "accepted")
    assert before - sum(yard.state()["on_card"].values()) == paid
    wrong = Counter(outcome for _, outcome in expected if outcome != "accepted")
    assert Counter(yard.cases()) == wrong + Counter(["replayed"])
    state = yard.state()
    yard.upload(records)
    assert yard.state() == state


def test_a_loss_is_found_in_the_cards_own_partition(yard: Yard) -> None:
    cards = [yard.card() for _ in range(8)]
    for card in cards:
        yard.till.done("lost", card=card.number, payload={"effective_at": int(yard.now.timestamp()) - 1800})
    late = [yard.pay(card, 1_00, minutes=20) for card in cards]
    yard.upload(late, blacklist=int(yard.now.timestamp()))
    assert {yard.outcome(record) for record in late} == {"card_blocked"}


def test_a_leg_that_is_missing_is_found(tmp_path: Path) -> None:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    yard = Yard(tmp_path / "shop", till=till)
    cards = [yard.card() for _ in range(8)]
    entry = yard.upload_entry([yard.pay(card, 1_00) for card in cards])
    sound(yard)
    before = yard.state()
    assert rebuild(till.shop.store, till.shop.custody.chain_key).ok
    assert yard.state() == before
    ((_, leg),) = yard.store.find_keys([leg_key(0, entry.position, 2)]).items()
    till.shop.close()
    with psycopg.connect(till.database.superuser, autocommit=True) as connection:
        connection.execute("ALTER TABLE entry DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM entry WHERE partition = %s AND position >= %s", (leg.partition, leg.position))
        connection.execute("ALTER TABLE entry ENABLE TRIGGER ALL")
    store = till.database.open(read_only=True)
    bad = verify(store, till.shop.custody.chain_key).first_bad
    store.close()
    assert bad is not None
    assert (bad.partition, bad.key) == (leg.partition, leg.client_key)
    till.end()
