"""The law at the desk: gathers what `laws.judge` asks for, inside the batch that posts (M11), and keeps what a purchase added up to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cardapi.desk.request import Request
from cardapi.desk.work import Work
from cardapi.laws import judge
from cardapi.laws.judge import Purchase
from cardapi.laws.pack import LawVersion
from cardapi.members import model
from cardapi.people.follow import REGISTRY
from cardapi.store.port import CardRow, Record
from cardcore.errors import Declined
from cardcore.settlement import Settlement

IN_ACCOUNT = frozenset({"customer", "held", "on_card", "in_flight"})
PREPAID = IN_ACCOUNT | {"deferred"}  # whose money became a sale: the document went with its top-up (W8)
SPENDS = frozenset({"settle", "hold", "pay"})
CASH = "cash"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Purchase).decode


def lawful(work: Work, request: Request, card: CardRow, settlement: Settlement) -> None:
    """Raise Declined where the shop's law forbids this settlement; keep the sum of its purchase, and the document that it asks for."""
    law = work.registry.law()
    version = law.pack.at(work.at_s) if law is not None else None
    if law is None or version is None:
        return
    for account_id, delta in _gains(settlement).items():
        before = _holds(work, card if account_id == card.account_id else None, account_id)
        judge.cap(version, named=named(work, version, account_id), before_fen=before, after_fen=before + delta)
    if request.verb in SPENDS:
        stored = settlement.principal_fen + settlement.bonus_fen
        issued_by, spent_at = (work.registry.entity(unit) for unit in (card.unit, request.unit))
        judge.licence(version, licensed=law.licensed, issued_by=issued_by, spent_at=spent_at, stored_fen=stored)
    if request.verb == "expire" and version.unnamed_min_months:
        _keeps_principal(work.version(card).programme.purse_roles, settlement)
    if request.verb == "topup":
        _sold(work, request, card, settlement, version)
        settlement.document = version.topup_document
    elif any(posting.unit == "fen" and posting.target == "sales" and posting.source in PREPAID for posting in settlement.postings()):
        settlement.document = version.spend_document


def named(work: Work, version: LawVersion, account_id: int) -> bool:
    """Whether an account has a holder, known by evidence where the law asks for it (W1, W3)."""
    held = work.record("holding", model.account_name(account_id))
    member = work.record("member", held.body.decode()) if held is not None else None
    return member is not None and (not version.named_needs_evidence or model.from_record(member).real_name)


def _gains(settlement: Settlement) -> dict[int, int]:
    """Accounts that hold more money after a settlement, with how much more."""
    deltas: dict[int, int] = {}
    for posting in settlement.postings():
        if posting.unit == "fen":
            if posting.target_account and posting.target in IN_ACCOUNT:
                deltas[posting.target_account] = deltas.get(posting.target_account, 0) + posting.amount
            if posting.source_account and posting.source in IN_ACCOUNT:
                deltas[posting.source_account] = deltas.get(posting.source_account, 0) - posting.amount
    return {account_id: delta for account_id, delta in deltas.items() if delta > 0}


def _holds(work: Work, card: CardRow | None, account_id: int) -> int:
    """All money of an account before the settlement: spendable, held, on the card's own memory and under way. In fen."""
    row = card or work.card_of(account_id)
    assert row is not None, "an account that is posted to has a card"
    programme = work.version(row).programme
    account = work.account(account_id)
    lots = sum(lot.amount for lot in account.lots() if programme.unit_of(lot.purse) == "fen")
    return lots + sum(hold.amount_fen for hold in account.holds()) + account.on_card_fen + sum(f.amount_fen for f in account.flights())


def _keeps_principal(roles: Sequence[str], settlement: Settlement) -> None:
    """What a customer paid for stays the customer's after any date (W2)."""
    for posting in settlement.postings():
        if posting.unit == "fen" and posting.target == "expired" and roles[posting.purse] == "principal":
            raise Declined("law_validity", rule="W2", expires_at=posting.expires_at)


def _sold(work: Work, request: Request, card: CardRow, settlement: Settlement, version: LawVersion) -> None:
    """Validity, real name and cash of a top-up, summed over what was sold at once."""
    is_named = named(work, version, card.account_id)
    for posting in settlement.postings():
        if posting.unit == "fen" and posting.role == "topup":
            judge.validity(version, named=is_named, expires_at=posting.expires_at, at_s=work.at_s)
    facts = request.payload
    paid = settlement.net_fen
    number = str(facts.get("purchase", ""))
    name = f"{request.unit}:{number}"
    registry = work.at(REGISTRY) if number else work  # one purchase may be of cards of several partitions
    record = registry.record("purchase", name) if number else None
    bought = _decode(record.body) if record is not None else Purchase()
    bought.unnamed_fen += 0 if is_named else paid
    bought.cash_fen += paid if settlement.outside_tender == CASH else 0
    bought.company |= facts.get("buyer") == "company"
    buyer = work.record("member", str(facts["buyer_member"])) if facts.get("buyer_member") else None
    bought.real_name |= buyer is not None and model.from_record(buyer).real_name
    judge.purchase(version, bought)
    if number:
        registry.kept["purchase", name] = Record("purchase", name, _encode(bought), (("day", f"{work.at_s:012d}"),))
