"""Events that come with something else at the desk: a member's registration and referral (L08, E10), in the commit that enrols."""

from __future__ import annotations

from typing import Final

from cardapi.desk import coupons
from cardapi.desk.facts import facts
from cardapi.desk.request import Request
from cardapi.desk.work import Work
from cardapi.ids import ACCOUNT_BITS
from cardapi.members import model
from cardapi.people.registry import ProgrammeVersion
from cardapi.store.port import CardRow
from cardcore.errors import Declined
from cardcore.settlement import Event, Snapshot, decide
from cardcore.settlement.lifecycle import admit

PERIODS: Final = ("week", "month", "quarter", "year")
SYSTEM: Final = frozenset({"registration", "referral", "referred", "birthday", *PERIODS})
"""Events that nobody but the system may say."""


def reserved(name: str, version: ProgrammeVersion) -> bool:
    """Whether an event is the system's own: by its name, or as a place in a ranking of the pack."""
    ranking, _, place = name.rpartition("-")
    return name in SYSTEM or (place.isdecimal() and any(one["name"] == ranking for one in version.programme.rankings))


def happen(work: Work, request: Request, card: CardRow | None, name: str, key: str) -> None:
    """Record an event of the system's own on a card, once for its key. What gives nothing, or cannot be given now, leaves no trace."""
    if card is None:
        return
    version = work.version(card)
    if name not in version.programme.events and not any(name in one.get("events", ()) for one in version.programme.counters):
        return
    home = work.at(card.account_id >> ACCOUNT_BITS)
    home.card(card.number)  # with its account: a batch that was begun for something else need not have read it
    if ("system", key) in home.keys or home.store.find_keys([("system", key)]):
        return
    told = None
    if version.asks:
        told = facts(work.record, work.registry, work.custody, request, version.asks, card.account_id, version.programme)
    try:
        admit("event", card.state, work.lost_from(card), card.valid_until, card.flags, work.at_s)
        settlement = decide(Snapshot(version.deciding(card.flags), home.account(card.account_id), facts=told), Event(name), work.at_us)
    except Declined:
        return
    entry = home.add(
        request, account_id=card.account_id, card=card.number, body=settlement.pack(), settlement=settlement, verb="event",
        key=("system", key),
    )  # fmt: skip
    if version.programme.awards:
        coupons.award(home, request, card, entry, settlement)


def joined(work: Work, request: Request, member: str, card: CardRow) -> None:
    """A member's first card: its registration, and the referral on both sides. Once for each member."""
    happen(work, request, card, "registration", f"registration:{member}")
    record = work.record("member", member)
    referrer = model.from_record(record).referrer if record is not None else ""
    if not referrer:
        return
    happen(work, request, card, "referred", f"referred:{member}")
    for held in work.find_record("holding", "member", referrer):
        of_referrer = work.card_of(int(held.id, 16))
        if of_referrer is not None and of_referrer.state == "active":
            happen(work, request, of_referrer, "referral", f"referral:{member}")
            return
