"""Why a record was cleared or not: the closed list of outcomes, one for each record, and of what sequences of records show."""

from __future__ import annotations

from typing import Final, NamedTuple


class Reason(NamedTuple):
    """One row: its stable name, and one sentence for people."""

    name: str
    what: str


# The place in this table is written into the journal: only append. 0 is the only one that moved money.
OUTCOMES: Final = (
    Reason("accepted", "proven by the card and posted"),
    Reason("malformed", "no amount, a type that is no purchase, or no date and time"),
    Reason("unknown_terminal", "the terminal number was assigned to nobody at that time"),
    Reason("unknown_card", "no medium with this number is registered"),
    Reason("key_not_allowed", "the key version was not allowed for this card at that time, or the key store has no such key"),
    Reason("bad_mac", "the card's MAC does not belong to the signed fields"),
    Reason("payee_unproven", "the MAC is right but names no terminal, so nobody proved that he is to be paid"),
    Reason("terminal_suspended", "held: the terminal had too many wrong MACs; upload again once it is released"),
    Reason("replayed", "the same purchase again, with other fields that the MAC does not cover"),
    Reason("future_dated", "dated after it was uploaded"),
    Reason("late_upload", "uploaded later than the rules allow"),
    Reason("card_dead", "the card was destroyed, or was never given out"),
    Reason("card_blocked", "the card was lost and on the list of blocked cards that the station had"),
    Reason("stale_blacklist", "the card was lost, and the station's list of blocked cards was too old to know"),
    Reason("card_overdrawn", "the card's memory was never given as much; posted at a later upload once it has been"),
)
SEQUENCES: Final = (
    Reason("terminal_fork", "two purchases carry one terminal transaction number"),
    Reason("terminal_gap", "terminal transaction numbers between those that came are missing"),
    Reason("counter_fork", "two purchases carry one counter of one card"),
    Reason("counter_gap", "counters of a card between those that came are missing"),
    Reason("balance_break", "the balance before a purchase is not the balance after the one before it"),
)
TAPS: Final = (
    Reason("counter_stepped_back", "a card proved a counter lower than one it had proved before: a copy, or memory put back; it is frozen"),
    Reason("proof_refused", "a card did a step, and its proof does not belong to its keys: the money is in flight until somebody decides"),
    Reason("balance_differs", "a card proved another balance than at the same counter before"),
)
"""What a card on-line showed that a person must look at (K1, K4)."""
NAMES: Final = tuple(reason.name for reason in OUTCOMES)
(
    ACCEPTED, MALFORMED, UNKNOWN_TERMINAL, UNKNOWN_CARD, KEY_NOT_ALLOWED, BAD_MAC, PAYEE_UNPROVEN, TERMINAL_SUSPENDED, REPLAYED,
    FUTURE_DATED, LATE_UPLOAD, CARD_DEAD, CARD_BLOCKED, STALE_BLACKLIST, CARD_OVERDRAWN,
) = range(len(OUTCOMES))  # fmt: skip
UNPROVEN: Final = frozenset({MALFORMED, UNKNOWN_TERMINAL, UNKNOWN_CARD, KEY_NOT_ALLOWED, BAD_MAC})
"""What anybody can make up without a card, as many as he likes."""
WHAT: Final = {reason.name: reason.what for reason in (*OUTCOMES, *SEQUENCES, *TAPS)}
