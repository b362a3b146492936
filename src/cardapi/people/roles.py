"""The roles a shop gives its people and terminals, and which role may hand out which.

What a role may *do* stands in one place, the `roles` column of `cardapi.http.operations`. Here is only their order:
a role covers another when everything the other may do, it may do too (a test compares this with that column).
"""

from __future__ import annotations

from typing import Final

ADMIN: Final = "admin"
"""Sets the shop up: organisation, people, programmes; also everything below."""
HQ: Final = "hq"
"""Runs the chain: programmes, books, destroying cards."""
MANAGER: Final = "manager"
"""Runs a store: corrections, card service, close, the store's cashiers."""
CASHIER: Final = "cashier"
"""Works a till."""
AUDITOR: Final = "auditor"
"""Reads everything in scope and changes nothing."""
TERMINAL: Final = "terminal"
"""A till, known by its signature. Never granted to a person."""

ROLES: Final = (ADMIN, HQ, MANAGER, CASHIER, AUDITOR, TERMINAL)
GRANTABLE: Final = (ADMIN, HQ, MANAGER, CASHIER, AUDITOR)

COVERS: Final[dict[str, frozenset[str]]] = {
    ADMIN: frozenset({ADMIN, HQ, MANAGER, CASHIER, AUDITOR}),
    HQ: frozenset({HQ, MANAGER, CASHIER, AUDITOR}),
    MANAGER: frozenset({MANAGER, CASHIER}),
    CASHIER: frozenset({CASHIER}),
    AUDITOR: frozenset({AUDITOR}),
}


def covers(own: str, other: str) -> bool:
    """Whether `own` may do all that `other` may: a grant never exceeds the grantor's own (R3)."""
    return other in COVERS.get(own, frozenset())
