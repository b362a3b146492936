"""The chain of the HTTP suite, and people to enrol in it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.desk.conftest import till
from tests.http.conftest import Chain, chain

__all__ = ["chain", "till"]

_PHONES = itertools.count(13_900_000_000)
ID_CARD = "11010519491231002X"  # the example of GB 11643-1999: born 1949-12-31


class People:
    """Enrols, and approves as a second manager."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.manager = chain.person("manager", "issuer")
        self.second = chain.person("hq", "issuer")

    def body(self, **changes: Any) -> dict[str, Any]:
        return {"name": "张伟", "phone": str(next(_PHONES)), "birthday": "1990-03-15", **changes}

    def enrol(self, **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.chain.made(self.manager.post("/v1/members", self.body(**changes)))
        return made

    def step(self, member: str, step: str, body: dict[str, Any]) -> Any:
        return self.manager.post(f"/v1/members/{member}/{step}", body)

    def by_two(self, member: str, step: str, body: dict[str, Any]) -> Any:
        asked = self.chain.made2(self.step(member, step, body))
        return self.second.post(f"/v1/approvals/{asked['approval_id']}/approve", {})

    def get(self, member: str) -> dict[str, Any]:
        found: dict[str, Any] = self.chain.made(self.manager.get(f"/v1/members/{member}"))
        return found


@pytest.fixture
def people(chain: Chain) -> People:
    return People(chain)
