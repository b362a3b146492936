"""Moving up: a shop goes from its file to the server whole, or stays where it was (F6); what it left does not serve.

Method: a shop with sales, holds and a refund; the move stopped before and after each of its steps, and killed while it copies, and
done again; then the same shop sells on. The old file is put back and must be refused.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from importlib import import_module
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import pytest

from cardapi.app import ShopError, create_shop, open_shop
from cardapi.move import move_shop
from cardapi.store.port import Entry
from cardcore.settlement import Refund
from tests.desk.till import Till
from tests.postgres import move_child
from tests.postgres.life import context
from tests.postgres.server import Database, empty
from tests.support import sized


def sold(directory: Path) -> tuple[Till, list[str]]:
    till = Till(directory)
    cards = [till.card(50_00) for _ in range(5)]
    for number, card in enumerate(cards):
        till.sale(card, 10_00 + number)
    sale = till.sale(cards[0], 5_00)
    till.done("refund", of=sale, command=Refund())
    till.sale(cards[1], 3_00, verb="hold")
    return till, cards


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Without tables."""
    database = empty(f"move_{abs(hash(request.node.name)) % 10**9}", 1)
    yield database
    database.drop()


def refusal(directory: Path, store: str, owner: str) -> str:
    with pytest.raises(ShopError) as raised:
        move_shop(directory, store, owner)
    return raised.value.code


def judge_moved(till: Till, journal: list[Entry], balances: list[int], cards: list[str]) -> None:
    """The whole journal is on the server, with one more entry that says so; the shop sells on, and its file does not."""
    moved = open_shop(till.directory)
    till.shop = moved
    assert not moved.embedded
    entries = list(moved.store.journal(0))
    assert entries[:-1] == journal
    assert (entries[-1].verb, entries[-1].client_key) == ("change", f"move:server-{len(journal)}")
    assert [till.balance(card) for card in cards] == balances
    till.sound()
    moved.close()
    # The old file, put back: it is behind what was signed since, though nothing was sold.
    settings = till.directory / "settings.toml"
    kept = settings.read_text()
    settings.write_text("")
    for part in till.directory.glob("cardcore.db.replaced-*"):
        part.rename(till.directory / f"cardcore.db{part.name.partition('Z')[2]}")
    with pytest.raises(ShopError) as raised:
        open_shop(till.directory)
    assert raised.value.code == "behind_checkpoint"
    for part in till.directory.glob("cardcore.db*"):
        part.unlink()
    settings.write_text(kept)
    till.shop = open_shop(till.directory)
    assert till.sale(cards[2], 1_00).outcome == "applied"
    till.sound()
    till.shop.close()


def test_a_shop_moves_and_sells_on(tmp_path: Path, database: Database) -> None:
    till, cards = sold(tmp_path / "shop")
    before = [till.balance(card) for card in cards]
    journal = list(till.shop.store.journal(0))
    assert refusal(till.directory, "postgresql:///nowhere?user=x", "postgresql:///nowhere") == "locked"
    till.shop.close()
    done = move_shop(till.directory, database.url, database.owner)
    assert (done["entries"], done["cards"], done["liability_fen"]) == (len(journal), 5, sum(before) + 3_00)  # a hold is theirs
    assert Path(str(done["set_aside"])).is_file()
    assert refusal(till.directory, database.url, database.owner) == "settings"
    judge_moved(till, journal, before, cards)


# What a move does, in this order; it is stopped before and after each.
STEPS = (
    ("cardapi.stores", "make"), ("cardapi.move", "copy_journal"), ("cardapi.store.verify", "rebuild"), ("cardapi.move", "write_store"),
    ("cardapi.move", "_leave"), ("cardapi.store.backup", "set_aside"),
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=[name for _, name in STEPS])
def test_a_move_is_stopped_at_each_step_and_done_again(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, step: tuple[str, str], after: bool
) -> None:
    till, cards = sold(tmp_path / "shop")
    till.shop.close()
    module, name = import_module(step[0]), step[1]
    whole = getattr(module, name)

    def stopped(*arguments: Any, **options: Any) -> None:
        if after:
            whole(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            move_shop(till.directory, database.url, database.owner)
    switched = STEPS.index(step) + after > STEPS.index(("cardapi.move", "write_store"))
    till.shop = open_shop(till.directory)
    assert till.shop.embedded != switched
    assert till.sale(cards[3], 1, key="meanwhile").outcome == "applied", "in neither place can it be sold"
    balances = [till.balance(card) for card in cards]
    till.sound()
    till.shop.close()
    if not switched:
        journal = list(open_shop(till.directory, read_only=True).store.journal(0))
        move_shop(till.directory, database.url, database.owner)
        judge_moved(till, journal, balances, cards)
        return
    if (step, after) == (STEPS[-1], True):
        assert refusal(till.directory, database.url, database.owner) == "settings", "it was over"
    else:
        move_shop(till.directory, database.url, database.owner)
    assert not (till.directory / "cardcore.db").exists()
    till.shop = open_shop(till.directory)
    assert sum(entry.client_key.startswith("move:") for entry in till.shop.store.journal(0)) == 1
    assert [till.balance(card) for card in cards] == balances
    till.sound()
    till.shop.close()


def test_a_move_is_killed_and_done_again(tmp_path: Path, database: Database) -> None:
    """kill -9 while the journal is copied, again and again, after some commits each."""
    till, cards = sold(tmp_path / "shop")
    rng = random.Random(9)
    lives = context()
    for number in range(sized(3, 40)):
        assert till.sale(cards[number % 5], 1).outcome == "applied", "a move that did not end has changed the shop"
        till.shop.close()
        reading, writing = os.pipe()
        life = lives.Process(target=move_child.run, args=(till.directory, database.url, database.owner, DupFd(writing)))
        life.start()
        os.close(writing)
        for _ in range(rng.randrange(1, 3)):
            os.read(reading, 1)
        life.kill()  # unless it ended before that
        life.join()
        os.close(reading)
        till.shop = open_shop(till.directory)
        if not till.shop.embedded:
            break  # it was done before it was killed
    balances = [till.balance(card) for card in cards]
    journal = list(till.shop.store.journal(0))
    if not till.shop.embedded:
        till.sound()
        till.shop.close()
        return
    till.shop.close()
    move_shop(till.directory, database.url, database.owner)
    judge_moved(till, journal, balances, cards)


def test_another_shop_on_the_server_is_not_written_into(tmp_path: Path, database: Database) -> None:
    one, _ = sold(tmp_path / "one")
    one.shop.close()
    two = tmp_path / "two"
    create_shop(two, password="another shop")
    move_shop(one.directory, database.url, database.owner)
    assert refusal(two, database.url, database.owner) == "exists"
    assert open_shop(two, read_only=True).embedded
