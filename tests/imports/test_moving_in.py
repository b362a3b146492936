"""Goal: moving in comes out to the fen, happens once however often it is run, needs two people, and can be taken back while nothing
was spent (N7).

Method: the served operations over a real desk; rows are sent twice and in disorder, and the journal is replayed after each part.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from cardapi.ids import card_number
from tests.http.conftest import Chain
from tests.members.conftest import People, chain, people
from tests.shops import length

__all__ = ["chain", "people"]
_NUMBERS = itertools.count(500_000)


def owed(chain: Chain) -> int:
    """All that customers have, fen."""
    return sum(head.liability_fen for head in chain.shop.desk.heads)


class Moving:
    """One import, asked for and approved."""

    def __init__(self, chain: Chain, people: People, rows: list[dict[str, Any]], **changes: Any) -> None:
        self.chain, self.people, self.rows = chain, people, rows
        self.name = f"old-{next(_NUMBERS)}"
        totals = {name: sum(row.get(name, 0) for row in rows) for name in ("principal_fen", "bonus_fen", "points")}
        body = {"id": self.name, "programme": "mall-vip", "rows": len(rows), **totals, **changes}
        self.maker = chain.person("hq", "issuer")
        self.second = chain.admin
        asked = chain.made2(self.maker.post("/v1/imports", body))
        assert self.post("rows", {"first": 1, "rows": rows[:1]}).code == "import_not_approved", "nothing before the second person"
        self.approved = chain.made(self.second.post(f"/v1/approvals/{asked['approval_id']}/approve", {}))

    def post(self, step: str, body: Any = None) -> Any:
        return self.maker.post(f"/v1/imports/{self.name}/{step}", body)

    def send(self, first: int, count: int) -> dict[str, Any]:
        made: dict[str, Any] = self.chain.made(self.post("rows", {"first": first, "rows": self.rows[first - 1 : first - 1 + count]}))
        return made

    def close(self) -> Any:
        return self.maker.request("POST", f"/v1/imports/{self.name}/close", b"")

    def take_back(self) -> dict[str, Any]:
        asked = self.chain.made2(self.post("undo", {"reason": "wrong file"}))
        self.chain.made(self.second.post(f"/v1/approvals/{asked['approval_id']}/approve", {}))
        made: dict[str, Any] = self.chain.made(self.post("undo-rows", {"first": 1, "count": 200}))
        return made


def rows(count: int = 5) -> list[dict[str, Any]]:
    numbers = [next(_NUMBERS) for _ in range(count)]
    money = {"bonus_fen": 10_00, "points": 55}
    return [
        {**money, "card": card_number("88", n), "principal_fen": 100_00 + n % 7, "name": f"人{n}", "phone": f"137{n:08d}"} for n in numbers
    ]


def sound(chain: Chain) -> None:
    report = chain.shop.verify(chain.shop.store.reader())
    assert report.ok, report.first_bad


def test_it_comes_out_to_the_fen_however_often_it_is_sent(chain: Chain, people: People) -> None:
    moving = Moving(chain, people, rows())
    early = moving.close()
    assert (early.status, early.code) == (409, "totals_differ")
    for first, count in ((4, 2), (1, 2), (4, 2), (1, 5), (3, 1)):
        assert moving.send(first, count) == {"done": count, "refused": {}}
    head = length(chain.shop)
    moving.send(1, 5)
    assert length(chain.shop) == head, "sent again, nothing is written"
    closed = chain.made(moving.close())
    assert closed["state"] == "closed"
    assert closed["found"] == closed["expected"]
    row = moving.rows[0]
    card = chain.made(people.manager.get(f"/v1/cards/{row['card']}"))
    assert (card["balance_fen"], card["points"], card["state"]) == (row["principal_fen"] + 10_00, 55, "active")
    found = chain.made(people.manager.post("/v1/members/search", {"card": row["card"]}))["members"]
    assert [(member["name"], member["route"]) for member in found] == [(row["name"], "import")]
    assert moving.post("rows", {"first": 1, "rows": moving.rows[:1]}).code == "import_state"
    sound(chain)


def test_two_cards_of_one_person_are_one_member(chain: Chain, people: People) -> None:
    both = rows(2)
    both[1]["phone"] = "+86 " + both[0]["phone"]
    moving = Moving(chain, people, both)
    assert moving.send(1, 2)["refused"] == {}
    found = chain.made(people.manager.post("/v1/members/search", {"phone": both[0]["phone"]}))["members"]
    assert [member["cards"] for member in found] == [sorted(row["card"] for row in both)]


def test_a_changed_row_is_refused_and_totals_hold_the_door(chain: Chain, people: People) -> None:
    moving = Moving(chain, people, rows(2))
    moving.send(1, 1)
    moving.rows[0]["principal_fen"] += 1
    assert moving.send(1, 2) == {"done": 1, "refused": {"1": "key_reused"}}
    moving.rows[0]["principal_fen"] -= 1
    assert chain.made(moving.close())["state"] == "closed"


def test_what_is_not_as_asked_is_told_by_row(chain: Chain, people: People) -> None:
    taken = chain.card()
    bad = rows(3)
    bad[1]["card"] = taken
    bad[2]["phone"] = "12"
    moving = Moving(chain, people, bad)
    assert moving.send(1, 3) == {"done": 1, "refused": {"2": "number_taken", "3": "invalid_profile"}}
    assert moving.close().code == "totals_differ"
    assert moving.post("rows", {"first": 3, "rows": bad[:2]}).code == "bad_value", "beyond the approved rows"


def test_taken_back_nothing_is_left(chain: Chain, people: People) -> None:
    liability = owed(chain)
    moving = Moving(chain, people, rows(3))
    moving.send(1, 3)
    chain.made(moving.close())
    assert owed(chain) > liability
    assert moving.post("undo-rows", {"first": 1, "count": 3}).code == "import_state", "not before the second person"
    assert moving.take_back() == {"done": 3, "refused": {}}
    assert owed(chain) == liability
    done = chain.made(moving.close())
    assert (done["state"], done["found"]["principal_fen"], done["found"]["rows"]) == ("undone", 0, 0)
    assert chain.made(people.manager.get(f"/v1/cards/{moving.rows[0]['card']}"))["state"] == "cancelled"
    assert chain.made(people.manager.post("/v1/members/search", {"phone": moving.rows[0]["phone"]}))["members"] == []
    moving.post("undo-rows", {"first": 1, "count": 3})
    sound(chain)


def test_what_was_spent_stays(chain: Chain, people: People) -> None:
    moving = Moving(chain, people, rows(2))
    moving.send(1, 2)
    spent = moving.rows[0]["card"]
    chain.made(people.manager.post("/v1/settle", {"card": spent, "lines": [{"amount_fen": 1_00}]}))
    result = moving.take_back()
    assert result["done"] == 1
    assert set(result["refused"]) == {"1"}
    assert moving.close().code == "totals_differ"
    assert chain.made(people.manager.get(f"/v1/cards/{spent}"))["state"] == "active"
    sound(chain)


def test_the_maker_does_not_approve(chain: Chain, people: People) -> None:
    body = {"id": f"own-{next(_NUMBERS)}", "programme": "mall-vip", "rows": 1}
    asked = chain.made2(chain.admin.post("/v1/imports", body))
    assert chain.admin.post(f"/v1/approvals/{asked['approval_id']}/approve", {}).code == "maker_is_checker"
    assert chain.admin.post("/v1/imports", {**body, "programme": "none"}).code == "unknown_programme"


@pytest.mark.parametrize("first", [0, 1_000_001])
def test_bounds(chain: Chain, people: People, first: int) -> None:
    moving = Moving(chain, people, rows(1))
    assert moving.post("rows", {"first": first, "rows": moving.rows}).code == "bad_value"
