"""The life of a card: which state follows which, and which verbs a state lets through (K5, L01, C11, C19).

stock -> issued -> active <-> frozen
                   active <-> lost -> (reissue) swapped
                   active -> (swap) swapped
cancelled, swapped, expired -> destroyed: the number is dead and never comes back
"""

from __future__ import annotations

from typing import Final

from cardcore.errors import Declined

STATES: Final = ("stock", "issued", "active", "lost", "frozen", "swapped", "cancelled", "expired", "destroyed")
EXCLUDED: Final = 1  # card flag: the holder may not use member cards (C19)
SUSPENDED: Final = 2  # card flag: its member is suspended, has left or is out: value is spent as ever, without any benefit (L10)

# life cycle verb -> (states it may start from, state it leads to)
STEPS: Final[dict[str, tuple[frozenset[str], str]]] = {
    "issue": (frozenset({"stock"}), "issued"),
    "activate": (frozenset({"issued"}), "active"),
    "lost": (frozenset({"active", "frozen"}), "lost"),
    "freeze": (frozenset({"active"}), "frozen"),
    "unfreeze": (frozenset({"frozen", "lost"}), "active"),  # also withdraws a report of loss
    "swap": (frozenset({"active"}), "swapped"),  # exchange for another medium
    "reissue": (frozenset({"lost", "expired"}), "swapped"),  # replacement after loss or expiry
    "cancel": (frozenset({"stock", "issued", "active", "frozen", "lost", "expired"}), "cancelled"),
    "expire_card": (frozenset({"issued", "active", "frozen", "lost"}), "expired"),
    "take_back": (frozenset({"active", "expired"}), "cancelled"),  # an empty gift card handed in at a store
    "destroy": (frozenset({"stock", "cancelled", "expired", "swapped"}), "destroyed"),
}
GONE: Final = frozenset({"swapped", "destroyed"})  # numbers that no longer stand for their account
TAKES_OVER: Final = frozenset({"stock", "issued"})  # states of a number that swap or reissue may move an account to

# States in which what was already agreed may be finished or undone, though nothing new may be bought.
_SETTLED_LATER: Final = frozenset({"active", "frozen", "lost", "expired"})
_ANY_BUT_DEAD: Final = frozenset(STATES) - {"destroyed", "stock"}
_MONEY: Final[dict[str, frozenset[str]]] = {
    "capture": _SETTLED_LATER,
    "void": _SETTLED_LATER,
    "refund": _SETTLED_LATER,
    "reverse": _SETTLED_LATER,
    "arrive": _SETTLED_LATER,
    "return": _SETTLED_LATER,
    "clear": _ANY_BUT_DEAD,
    "adjust": _ANY_BUT_DEAD,
    "expire": _ANY_BUT_DEAD,
}
_ACTIVE: Final = frozenset({"active"})
PIN_STATES: Final = frozenset({"issued", "active", "frozen"})  # in which a PIN may be set; verified only when active


def next_state(state: str, verb: str) -> str:
    """The state after a life cycle verb. Raises Declined state_not_allowed (facts: state, verb)."""
    start, end = STEPS[verb]
    if state not in start:
        raise Declined("state_not_allowed", state=state, verb=verb)
    return end


def state_at(state: str, state_from: int, at: int) -> str:
    """The state that counts at epoch second `at`: a loss with an effective time still ahead leaves the card active."""
    return "active" if state == "lost" and state_from > at else state


def admit(verb: str, state: str, state_from: int, valid_until: int, flags: int, at: int) -> None:
    """Let a money verb through at epoch second `at`, or raise Declined.

    Codes: holder_excluded, card_lost, card_expired, card_not_active (facts: state). What is given back to the customer
    (refund, void, reverse, capture of a hold) stays possible on a lost, frozen or expired card.
    """
    if state == "active" and not flags and (valid_until == 0 or at < valid_until):
        return
    state = state_at(state, state_from, at)
    allowed = _MONEY.get(verb, _ACTIVE)
    if allowed is _ACTIVE:
        if flags & EXCLUDED:
            raise Declined("holder_excluded")
        if state == "expired" or (state == "active" and 0 < valid_until <= at):
            raise Declined("card_expired", valid_until=valid_until)
    if state not in allowed:
        if state == "lost":
            raise Declined("card_lost", since=state_from)
        raise Declined("card_not_active", state=state)
