"""The law on a server: what one buyer buys at once is summed over cards of all partitions, in one batch and by two processes.

Method: a purchase of ten unnamed cards, whose tenth reaches the sum that needs a name (W3), done in the orders that could miss one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cardapi import shipped
from cardapi.desk import Desk, Request
from cardapi.ids import home
from cardapi.store.port import Entry
from cardcore.settlement import TopUp
from tests.postgres.till import ServerTill

PARTITIONS = 4
UNNAMED = 1_000_00  # the most that a card without a name may hold; ten of them at once need one


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    law = {"id": "law", "pack": shipped.law_text("cn-prepaid"), "issuer_class": "scale", "licensed": False, "state": "on"}
    till.done("change", payload={"kind": "law", "id": "law", "document": law})
    yield till
    till.end()


def bought(till: ServerTill, purchase: str) -> list[Request]:
    """Twelve full cards of one purchase, three in each partition, one partition after the other."""
    cards: list[str] = []
    while len(cards) < 3 * PARTITIONS:
        number = till.card()
        if sum(home(card, PARTITIONS) == home(number, PARTITIONS) for card in cards) < 3:
            cards.append(number)
    return [
        till.request("topup", card=card, command=TopUp(UNNAMED, tender="bank"), payload={"purchase": purchase}, meaning=[purchase, card])
        for card in sorted(cards, key=lambda card: home(card, PARTITIONS))
    ]


def codes(answers: list[Entry]) -> list[str]:
    return sorted(answer.code for answer in answers)


def test_a_purchase_is_summed_over_all_partitions(till: ServerTill) -> None:
    one_by_one = [till.shop.desk.call(request) for request in bought(till, "po-1")]
    assert [entry.code for entry in one_by_one] == [""] * 9 + ["law_real_name"] * 3
    at_once = till.shop.desk.call_many(bought(till, "po-2"))
    assert [answer.code for answer in at_once] == [""] * 9 + ["law_real_name"] * 3
    till.sound()


def test_two_processes_sum_one_purchase(till: ServerTill) -> None:
    desks: list[Desk] = [till.shop.desk, till.beside().desk]
    wishes = bought(till, "po-3")
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(desks[place % 2].call, request) for place, request in enumerate(wishes)]
        answers = [future.result() for future in asked]
    assert codes(answers) == [""] * 9 + ["law_real_name"] * 3
    till.sound()
