"""Moving up: a shop goes from its file to the server whole, or stays where it was (F6).

Method: a shop with sales, holds and a refund; the move killed at each of its commits and done again; then the same shop sells on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cardapi.app import ShopError, create_shop, open_shop
from cardapi.move import move_shop
from cardapi.store.postgres import PostgresStore
from cardcore.settlement import Refund
from tests.desk.till import Till
from tests.postgres.server import empty


def sold(directory: Path) -> tuple[Till, list[str]]:
    till = Till(directory)
    cards = [till.card(50_00) for _ in range(5)]
    for number, card in enumerate(cards):
        till.sale(card, 10_00 + number)
    sale = till.sale(cards[0], 5_00)
    till.done("refund", ref=sale.position, command=Refund())
    till.sale(cards[1], 3_00, verb="hold")
    return till, cards


def test_a_shop_moves_and_sells_on(tmp_path: Path) -> None:
    till, cards = sold(tmp_path / "shop")
    before = [till.balance(card) for card in cards]
    journal = list(till.shop.store.journal(0))
    with pytest.raises(ShopError) as raised:
        move_shop(till.directory, "postgresql:///nowhere?user=x", "postgresql:///nowhere")
    assert raised.value.code == "locked"
    till.shop.close()
    database = empty("moved", 1)
    done = move_shop(till.directory, database.url, database.owner)
    assert (done["entries"], done["cards"]) == (len(journal), 5)
    assert Path(str(done["set_aside"])).is_file()
    till.shop = open_shop(till.directory)
    assert not till.shop.embedded
    assert list(till.shop.store.journal(0)) == journal
    assert [till.balance(card) for card in cards] == before
    assert till.sale(cards[2], 1_00).outcome == "applied"
    till.sound()
    till.shop.close()
    with pytest.raises(ShopError):
        move_shop(till.directory, database.url, database.owner)
    database.drop()


def test_a_move_can_be_killed_and_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cardapi import move

    till, cards = sold(tmp_path / "shop")
    till.shop.close()
    database = empty("moved_in_steps", 1)
    monkeypatch.setattr(move, "CHUNK", 7)
    kept, killed = PostgresStore.commit, 0
    for allowed in (0, 1, 1):
        left = allowed

        def commit(self: PostgresStore, batch: Any) -> None:
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            kept(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(PostgresStore, "commit", commit)
            try:
                move_shop(till.directory, database.url, database.owner)
            except KeyboardInterrupt:
                killed += 1
        till.shop = open_shop(till.directory)
        assert till.shop.embedded, "a move that did not end has changed the shop"
        assert till.sale(cards[3], 1).outcome == "applied"
        till.shop.close()
    assert killed == 3
    move_shop(till.directory, database.url, database.owner)
    till.shop = open_shop(till.directory)
    assert not till.shop.embedded
    till.sound()
    till.shop.close()
    database.drop()


def test_another_shop_on_the_server_is_not_written_into(tmp_path: Path) -> None:
    one, _ = sold(tmp_path / "one")
    one.shop.close()
    two = tmp_path / "two"
    create_shop(two, password="another shop")
    database = empty("taken", 1)
    move_shop(one.directory, database.url, database.owner)
    with pytest.raises(ShopError) as raised:
        move_shop(two, database.url, database.owner)
    assert raised.value.code == "exists"
    assert open_shop(two, read_only=True).embedded
    database.drop()
