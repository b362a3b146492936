"""Fees of membership and of replacement cards (L06, L07): what is due, and a money entry of its own in the commit of what it is paid for.

The till states what it took. It must be what the pack asks for, once a rule that waives the fee is asked too; else nothing happens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cardapi.desk.facts import facts
from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.ids import ACCOUNT_BITS, ticket_id
from cardapi.members.enrol import Claim, Refused, fee_due
from cardapi.people.policy import CardPolicy, MembershipPolicy
from cardapi.store.port import CardRow, Entry
from cardcore.errors import InvalidCommand
from cardcore.settlement import Fee, Snapshot, decide
from cardcore.settlement.commands import ENROLMENT_FEE, REPLACEMENT_FEE


class Due(msgspec.Struct, frozen=True):
    """A fee as the pack asks for it, before any waiver. In fen."""

    kind: str  # of FEE_KINDS
    amount_fen: int
    list_fen: int  # what it is for who is in no group


def enrolment_key(member: str) -> tuple[str, str]:
    """The client key of a member's enrolment fee: there is one in a life."""
    return "system", f"fee:{member}"


def replacement_key(entry: Entry) -> tuple[str, str]:
    """The client key of the fee of a reissue."""
    return "system", f"fee:{ticket_id(entry.partition, entry.position)}"


def enrolment(policy: MembershipPolicy, claim: Claim, card: CardRow | None) -> Due | None:
    """What membership costs; None where it is free. Raises Refused fee_differs, fee_needs_card."""
    amount_fen = fee_due(policy, claim)
    if not amount_fen:
        _agree(0, claim.fee_fen)
        return None
    if card is None:
        raise Refused("fee_needs_card", "a fee is taken with the card that the member gets: name it", fee_due_fen=amount_fen)
    _agree_but_for_waiver(amount_fen, claim.fee_fen)
    return Due(ENROLMENT_FEE, amount_fen, policy.fee_fen)


def replacement(policy: CardPolicy, request: Request, stated_fen: int) -> Due | None:
    """What a card costs in place of one that was lost or has expired; an exchange is free. Raises Refused fee_differs."""
    amount_fen = policy.replacement_fee_fen if request.verb == "reissue" else 0
    if not amount_fen:
        _agree(0, stated_fen)
        return None
    _agree_but_for_waiver(amount_fen, stated_fen)
    return Due(REPLACEMENT_FEE, amount_fen, amount_fen)


def take(work: Work, request: Request, card: CardRow, due: Due, *, stated_fen: int, key: tuple[str, str]) -> Entry:
    """The entry of a fee, under a name that the entry it belongs to gives (O5). Raises Refused fee_differs, Problem, Elsewhere."""
    version = work.version(card)
    told = None
    if version.asks:
        told = facts(work.record, work.registry, work.custody, request, version.asks, card.account_id, version.programme)
    tender: Any = request.payload.get("fee_tender", "cash")
    try:
        command = Fee(due.kind, due.amount_fen, list_fen=due.list_fen, tender=tender)
    except InvalidCommand as wrong:
        raise Problem("invalid_payload", str(wrong), name="fee_tender") from wrong
    home = work.at(card.account_id >> ACCOUNT_BITS)
    home.admit_cards({card.number})  # it may live elsewhere than the member
    settlement = decide(Snapshot(version.deciding(card.flags), home.account(card.account_id), facts=told), command, work.at_us)
    _agree(settlement.net_fen, stated_fen)
    return home.add(
        request, account_id=card.account_id, card=card.number, body=settlement.pack(), settlement=settlement, verb="fee",
        key=key,
    )  # fmt: skip


def _agree_but_for_waiver(due_fen: int, stated_fen: int) -> None:
    """Before anything is written: a rule makes a fee free or leaves it as it is."""
    if stated_fen:
        _agree(due_fen, stated_fen)


def _agree(due_fen: int, stated_fen: int) -> None:
    if due_fen != stated_fen:
        raise Refused("fee_differs", f"the fee is {due_fen} fen", fee_due_fen=due_fen)
