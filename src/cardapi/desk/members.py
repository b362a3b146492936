"""Verbs of members at the desk. Each is one entry without personal data, and at most one sealed record beside the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from cardapi.days import day_of
from cardapi.desk import fees
from cardapi.desk.events import joined
from cardapi.desk.money import card_images
from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.ids import ACCOUNT_BITS
from cardapi.members import model, profile
from cardapi.members.enrol import Claim, Refused, judge, judge_referrer
from cardapi.members.model import Member
from cardapi.members.profile import Profile
from cardapi.people.policy import CardPolicy, MembershipPolicy
from cardapi.store.fold import Step, pack_body, unpack_records
from cardapi.store.port import CardRow, Entry, Record
from cardcore.settlement.lifecycle import GONE, SUSPENDED

_replace = msgspec.structs.replace


def _member(work: Work, name: Any, *, states: tuple[str, ...] = ("active", "suspended", "left")) -> Member:
    record = work.record("member", name) if isinstance(name, str) and name else None
    if record is None:
        raise Refused("unknown_member", "there is no such member")
    member = model.from_record(record)
    if member.state not in states:
        raise Refused("member_state", f"the member is {member.state}", state=member.state)
    return member


def _profile(work: Work, name: str) -> Profile:
    record = work.record("person", name)
    return Profile() if record is None else profile.unseal(work.custody, record)


def _alone(work: Work, name: str, person: Profile) -> None:
    """One account per person (L09): no other member has this document or phone number."""
    for index, value in profile.person_keys(person):
        for record in work.find_record("person", index, work.custody.blind(index, value)):
            if record.id != name and _member(work, record.id, states=model.STATES).merged_into != name:
                raise Refused("member_exists", f"another member has this {index}", field=index)


def _policies(work: Work, card: CardRow | None, programme: str) -> tuple[CardPolicy, MembershipPolicy]:
    if card is not None:
        version = work.version(card)
    elif programme:
        found = work.registry.version(programme, work.at_s)
        if found is None:
            raise Problem("unknown_programme", f"no programme {programme!r} is valid now", programme=programme)
        version = found
    else:
        return CardPolicy(), MembershipPolicy()
    return version.policy, version.membership


def _free_card(work: Work, number: str) -> CardRow:
    """A card that somebody may be linked to. Raises Problem, Refused."""
    card = work.card_anywhere(number)
    if card is None or card.state in GONE:
        raise Problem("unknown_card", "there is no such card")
    if not work.version(card).policy.member:
        raise Refused("member_not_allowed", "cards of this programme carry no member data")
    if work.record("holding", model.account_name(card.account_id)) is not None:
        raise Refused("card_has_member", "the card belongs to a member already")
    return card


def _benefits(work: Work, request: Request, entry: Entry, state: str, held: Iterable[Record]) -> None:
    """The cards of these accounts have what the state of their member gives, in the commit of the entry that says so (L10).

    What decides is the card's own flag: a sale reads no member. "active" is also who is nobody's.
    """
    asleep = state != "active"
    for holding in held:
        account_id = int(holding.id, 16)
        there = work.at(account_id >> ACCOUNT_BITS)
        card = there.card_of(account_id)
        if card is None or bool(card.flags & SUSPENDED) == asleep:
            continue
        before, after = card_images(card, flags=card.flags ^ SUSPENDED)
        there.add(
            request, account_id=account_id, card=card.number, body=pack_body(Step([before], [after])),
            verb="suspend" if asleep else "resume", key=("system", f"benefits:{entry.partition}:{entry.position}:{account_id}"),
        )  # fmt: skip


def enrol(work: Work, request: Request) -> Entry:
    """A new member, perhaps with a card (L04-L06, L08, L09)."""
    facts = request.payload
    claim: Claim = facts["claim"]
    name = model.member_id(work.partition, work.position + 1)
    person = profile.clean(facts["profile"], day_of(work.at_s))
    card = _free_card(work, facts["card"]) if facts.get("card") else None
    card_rules, rules = _policies(work, card, facts.get("programme", ""))
    if not card_rules.member:
        raise Refused("member_not_allowed", "cards of this programme carry no member data")
    judge(rules, claim, person, day_of(work.at_s))
    due = fees.enrolment(rules, claim, card)
    _alone(work, name, person)
    referrer = facts.get("referrer", "")
    if referrer:
        record = work.record("member", referrer)
        judge_referrer(rules, None if record is None else model.from_record(record))
    member = Member("active", request.unit, work.at_s, claim.route, referrer, tuple(sorted(set(facts.get("consents", ())))))
    after = [model.to_record(name, _replace(member, real_name=person.evidence is not None))]
    if card is not None:
        after.append(model.holding(card.account_id, name))
    kept = (profile.seal(work.custody, name, person),)
    told = {"claim": msgspec.to_builtins(claim), "fields": _fields(person)}
    account_id, number = (card.account_id, card.number) if card else (0, "")
    entry = work.add_records(request, after, kept=kept, facts=told, account_id=account_id, card=number)
    if card is not None:
        if due is not None:
            fees.take(work, request, card, due, stated_fen=claim.fee_fen, key=fees.enrolment_key(name))
        joined(work, request, name, card)
    return entry


def _fields(person: Profile) -> list[str]:
    """Names of what is known, for the journal; never the values."""
    return [field for field in person.__struct_fields__ if getattr(person, field) != getattr(Profile(), field)]


def change_profile(work: Work, request: Request) -> Entry:
    """Replace some fields of what is known."""
    name = request.payload["member"]
    member = _member(work, name)
    changes: dict[str, Any] = request.payload["changes"]
    person = profile.clean(_replace(_profile(work, name), **changes), day_of(work.at_s))
    _alone(work, name, person)
    sealed = profile.seal(work.custody, name, person)
    known = [model.to_record(name, _replace(member, real_name=True))] if person.evidence and not member.real_name else []
    return work.add_records(request, known, kept=(sealed,), facts={"member": name, "fields": sorted(changes)})


def consent(work: Work, request: Request) -> Entry:
    """Which channels may be used for messages; the journal proves what was agreed, and when."""
    name = request.payload["member"]
    member = _replace(_member(work, name), consents=tuple(sorted(set(request.payload["consents"]))))
    return work.add_records(request, [model.to_record(name, member)])


def link(work: Work, request: Request) -> Entry:
    """Say who holds a card: its account, so that it follows through swap and reissue (L01)."""
    name = request.payload["member"]
    member = _member(work, name, states=("active", "suspended"))
    card = _free_card(work, request.card)
    first = not work.find_record("holding", "member", name)
    held = model.holding(card.account_id, name)
    entry = work.add_records(request, [held], account_id=card.account_id, card=card.number)
    _benefits(work, request, entry, member.state, [held])
    if first:
        joined(work, request, name, card)
    return entry


def unlink(work: Work, request: Request) -> Entry:
    """The card belongs to nobody known any more; its value stays on it."""
    card = work.card_anywhere(request.card)
    if card is None:
        raise Problem("unknown_card", "there is no such card")
    held = work.record("holding", model.account_name(card.account_id))
    if held is None or held.body.decode() != request.payload["member"]:
        raise Refused("card_without_member", "the card does not belong to this member")
    gone = model.holding(card.account_id, "")
    entry = work.add_records(request, [gone], account_id=card.account_id, card=card.number)
    _benefits(work, request, entry, "active", [gone])
    return entry


def member_state(work: Work, request: Request) -> Entry:
    """Suspend, resume or leave (L10); balances stay, benefits go and come with the state."""
    name, state = request.payload["member"], request.payload["state"]
    asleep = bool(request.payload.get("asleep"))
    member = _replace(_member(work, name, states=model.STEPS[state]), state=state, asleep=asleep)
    return _in_state(work, request, name, member)


def _in_state(work: Work, request: Request, name: str, member: Member) -> Entry:
    entry = work.add_records(request, [model.to_record(name, member)])
    _benefits(work, request, entry, member.state, work.find_record("holding", "member", name))
    return entry


def disqualify(work: Work, request: Request) -> Entry:
    """Out for cheating, by two people (L09)."""
    name = request.payload["member"]
    return _in_state(work, request, name, _replace(_member(work, name), state="disqualified"))


def merge(work: Work, request: Request) -> Entry:
    """Two members were one person: the cards of the first go to the second. By two people."""
    name, into = request.payload["member"], request.payload["into"]
    if name == into:
        raise Refused("same_member", "a member cannot be merged into itself")
    target, member = _member(work, into, states=("active",)), _member(work, name)
    if target.referrer == name:
        raise Refused("same_member", "a member cannot be merged into one it referred")
    held = work.find_record("holding", "member", name)
    after = [_replace(row, body=into.encode(), keys=(("member", into),)) for row in held]
    gone = _replace(member, state="merged", merged_into=into, brought=tuple(row.id for row in held))
    entry = work.add_records(request, [model.to_record(name, gone), *after], facts={"into": into, "state": member.state})
    _benefits(work, request, entry, target.state, after)
    return entry


def split(work: Work, request: Request) -> Entry:
    """Undo a merge: what the member brought and the other still holds goes back, and its state is what it was. By two people."""
    name = request.payload["member"]
    record = work.record("member", name)
    if record is None:
        raise Refused("unknown_member", "there is no such member")
    member = model.from_record(record)
    if member.state != "merged":
        raise Refused("not_merged", "the member was not merged")
    _alone(work, name, _profile(work, name))
    back: list[Record] = []
    for account in member.brought:
        row = work.record("holding", account)
        if row is not None and row.body.decode() == member.merged_into:
            back.append(_replace(row, body=name.encode(), keys=(("member", name),)))
    merged = work.entry_at(record.changed_at)
    assert merged is not None, "a member is merged by an entry"
    state = unpack_records(merged.body).facts["state"]
    again = _replace(member, state=state, merged_into="", brought=())
    entry = work.add_records(request, [model.to_record(name, again), *back], facts={"from": member.merged_into})
    _benefits(work, request, entry, state, back)
    return entry


def disclose(work: Work, request: Request) -> Entry:
    """Somebody is about to be shown all that is kept of a member: who and why stands in the journal first."""
    name = request.payload["member"]
    _member(work, name, states=model.STATES)
    return work.add_records(request, [], facts={"member": name})


def erase(work: Work, request: Request) -> Entry:
    """Forget the person: the sealed record goes, cards are of nobody known, the journal stays as it is (M9)."""
    name = request.payload["member"]
    member = _member(work, name, states=tuple(state for state in model.STATES if state != "erased"))
    held = work.find_record("holding", "member", name)
    after = [model.holding(int(row.id, 16), "") for row in held]
    gone = Member("erased", member.unit, member.enrolled_at, member.route, merged_into=member.merged_into)
    kept = (Record("person", name, b""),) if work.record("person", name) is not None else ()
    entry = work.add_records(request, [model.to_record(name, gone), *after], kept=kept)
    _benefits(work, request, entry, "active", after)
    return entry


HANDLERS: dict[str, Callable[[Work, Request], Entry]] = {
    "enrol": enrol, "profile": change_profile, "consent": consent, "link": link, "unlink": unlink, "member_state": member_state,
    "disqualify": disqualify, "merge": merge, "split": split, "disclose": disclose, "erase": erase,
}  # fmt: skip
