"""What is asked and told about card keys; no key is ever in it."""

from __future__ import annotations

from cardapi.http.fields import Asked, Reason, Second, Told


class RetireKey(Asked):
    """`ends_at` (epoch second, 0: never): from then on no card and no later record is served with the key (R5)."""

    reason: Reason
    ends_at: Second = 0


class KeyView(Told):
    """A card key: all that may be known. Times are epoch seconds, 0 for none; `valid_to` is the first second that is too late."""

    id: str
    purpose: str
    algorithm: str
    version: int
    state: str
    check_value: str
    valid_from: int
    valid_to: int
    test: bool


class Keys(Told):
    """All card keys, by purpose, algorithm and version, and the mode of the store: test, production, or empty without one."""

    mode: str
    keys: list[KeyView]
