"""Members at the desk, without the edge."""

from __future__ import annotations

import itertools
from typing import Any

from cardapi.desk import Request
from cardapi.members.enrol import Claim
from cardapi.members.model import member_id
from cardapi.members.profile import Profile
from tests.desk.till import Till

_PHONES = itertools.count(15_000_000_000)


def person(**known: Any) -> Profile:
    return Profile(**{"name": "张伟", "phone": str(next(_PHONES)), **known})


def request(till: Till, profile: Profile, *, key: str = "", **facts: Any) -> Request:
    payload = {"profile": profile, "claim": Claim(), **facts}
    return till.request("enrol", key=key, meaning=["enrol", profile.phone, profile.name], payload=payload)


def enrol(till: Till, profile: Profile | None = None, **facts: Any) -> str:
    """Returns the member's id."""
    entry = till.shop.desk.call(request(till, profile or person(), **facts))
    return member_id(entry.partition, entry.position)
