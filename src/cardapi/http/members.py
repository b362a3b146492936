"""Handlers of member care: enrol, look, search, change, link cards, merge, disclose, erase (Q05, L04-L10)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from cardapi.desk import Request, fees
from cardapi.http import approve, lists
from cardapi.http import member_schemas as ask
from cardapi.http.call import Call, Handler, Service, ok
from cardapi.http.cards import derived_key
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.ticket import time_text
from cardapi.ids import ticket_id
from cardapi.members import model, profile
from cardapi.members.enrol import Claim
from cardapi.members.profile import Evidence, Profile
from cardapi.people import roles
from cardapi.people.scope import reaches
from cardapi.store.port import Entry, Store
from cardcore.settlement import Account, Adjust
from cardcore.settlement.lifecycle import GONE

SEES_ALL = frozenset({roles.MANAGER, roles.HQ, roles.ADMIN})
_FIELDS = ("name", "phone", "email", "birthday", "language", "attributes", "tags")


# ---------------------------------------------------------------- changing
async def create(service: Service, call: Call) -> Answer:
    """Enrol a person; the answer of a retry shows the same member as it is now."""
    asked: ask.CreateMember = call.data
    known: dict[str, Any] = {field: getattr(asked, field) for field in _FIELDS}
    known["tags"] = tuple(asked.tags)
    person = Profile(**known, evidence=_evidence(service, call, asked.evidence))
    claim = Claim(asked.route, asked.single_fen, asked.cumulative_fen, asked.day_fen, asked.organisation, asked.fee_fen)
    facts = {
        "profile": person, "claim": claim, "consents": tuple(asked.consents), "referrer": asked.referrer, "card": asked.card,
        "programme": asked.programme, "fee_tender": asked.fee_tender,
    }  # fmt: skip
    entry = await service.desk.execute(service.request(call, "enrol", card=asked.card, payload=facts))
    name = model.member_id(entry.partition, entry.position)
    paid = await service.desk.ask(lambda store: store.find_keys([fees.enrolment_key(name)]).get(fees.enrolment_key(name)))
    view = await _view(service, call, name)
    return ok(msgspec.structs.replace(view, fee_ticket_id=ticket_id(paid.partition, paid.position)) if paid is not None else view, 201)


def _evidence(service: Service, call: Call, asked: ask.EvidenceIn | None) -> Evidence | None:
    if asked is None:
        return None
    return Evidence(asked.document, asked.number, asked.name, call.caller.operator or call.caller.terminal, service.now())


async def update(service: Service, call: Call) -> Answer:
    """Replace what the body names."""
    asked: ask.UpdateMember = call.data
    changes: dict[str, Any] = {field: value for field in _FIELDS if (value := getattr(asked, field)) is not UNSET}
    if "tags" in changes:
        changes["tags"] = tuple(changes["tags"])
    if asked.evidence is not UNSET:
        changes["evidence"] = _evidence(service, call, asked.evidence)
    await _step(service, call, "profile", {"changes": changes})
    return ok(await _view(service, call, call.path["member"]))


async def set_consent(service: Service, call: Call) -> Answer:
    """What the holder agreed to."""
    return _told(await _step(service, call, "consent", {"consents": tuple(call.data.consents)}), call)


async def link_card(service: Service, call: Call) -> Answer:
    """This card belongs to that member."""
    return _told(await _step(service, call, "link", {}, card=call.data.card), call)


async def unlink_card(service: Service, call: Call) -> Answer:
    """It does so no more."""
    return _told(await _step(service, call, "unlink", {}, card=call.data.card), call)


async def set_state(service: Service, call: Call) -> Answer:
    """Suspend, resume, leave."""
    await _need(service, call)
    return _told(await _step(service, call, "member_state", {"state": call.data.state}), call)


async def erase(service: Service, call: Call) -> Answer:
    """Forget the person."""
    await _need(service, call)
    return _told(await _step(service, call, "erase", {}), call)


async def export(service: Service, call: Call) -> Answer:
    """All that is kept of a member, after the journal has who asked and why."""
    await _need(service, call)
    await _step(service, call, "disclose", {})
    return ok(await _view(service, call, call.path["member"], whole=True))


async def _step(service: Service, call: Call, verb: str, facts: dict[str, Any], card: str = "") -> Entry:
    name = call.path["member"]
    if not model.is_member_id(name):
        raise HttpProblem("unknown_member")
    reason = getattr(call.data, "reason", "")
    return await service.desk.execute(service.request(call, verb, card=card, payload={"member": name, **facts}, reason=reason))


def _told(entry: Entry, call: Call) -> Answer:
    return ok(_member_step(entry, call.path["member"]))


def _member_step(entry: Entry, name: str) -> ask.MemberStep:
    return ask.MemberStep(
        member=name, verb=entry.verb, outcome=entry.outcome, ticket_id=ticket_id(entry.partition, entry.position),
        journal_position=entry.position, client_key=entry.client_key, at=time_text(entry.at_us),
    )  # fmt: skip


# ---------------------------------------------------------------- by two people
def two_person(facts: tuple[str, ...] = ()) -> Handler:
    """The handler that keeps a request for a second person; `facts` are fields that name further members."""

    async def handle(service: Service, call: Call) -> Answer:
        member = await _need(service, call)
        for field in facts:
            await _need(service, call, getattr(call.data, field))
        return await approve.ask_for(service, call, unit=member.unit, card="")

    handle.__doc__ = "Ask for a step of a member that a second person approves."
    return handle


def _approved(verb: str, *facts: str) -> Any:
    def request(service: Service, given: approve.Execution) -> Request:
        payload = {"member": given.document["path"]["member"], **{name: getattr(given.body, name) for name in facts}}
        return given.request(service, verb, payload=payload, reason=given.body.reason)

    return request


async def _zero_points(service: Service, given: approve.Execution) -> None:
    """Take the points of every card the disqualified member holds (L09); each under a key of its own, so that it can be resumed."""
    name = given.document["path"]["member"]
    held = await service.desk.ask(lambda store: store.find_records("holding", "member", name, limit=1_000))
    accounts = [int(row.id, 16) for row in held]
    for account_id, found in (await service.desk.ask(lambda store: store.read_accounts(accounts))).items():
        programme = service.registry.programme(found.card.programme, service.now())
        account = Account.unpack(found.account.state)
        for index, (purse, unit) in enumerate(zip(programme.purses, programme.purse_units, strict=True)):
            points = sum(lot.amount for lot in account.lots() if lot.purse == index)
            if unit == "points" and points:
                request = given.request(service, "adjust", card=found.card.number, command=Adjust(purse, -points), reason=given.body.reason)
                request.client_key = derived_key(request.client_key, f"zero:{account_id}:{index}")
                request.fingerprint = service.fingerprint("zero", (name, account_id, index))
                await service.desk.execute(request)


async def _told_step(service: Service, given: approve.Execution, entry: Entry) -> Answer:
    return ok(_member_step(entry, given.document["path"]["member"]))


async def _disqualified(service: Service, given: approve.Execution, entry: Entry) -> Answer:
    await _zero_points(service, given)
    return await _told_step(service, given, entry)


def approvals(allowed: frozenset[str]) -> dict[str, approve.TwoPerson]:
    """The two-person operations of this file."""
    return {
        "mergeMember": approve.TwoPerson(ask.MergeMember, allowed, _approved("merge", "into"), _told_step),
        "splitMember": approve.TwoPerson(ask.BecauseMember, allowed, _approved("split"), _told_step),
        "disqualifyMember": approve.TwoPerson(ask.BecauseMember, allowed, _approved("disqualify"), _disqualified),
    }


# ---------------------------------------------------------------- looking
async def get(service: Service, call: Call) -> Answer:
    """One member."""
    return ok(await _view(service, call, call.path["member"]))


async def search(service: Service, call: Call) -> Answer:
    """Members by exactly one property; what is searched for never stands in an address."""
    asked: ask.SearchMembers = call.data
    given = {name: value for name in _INDEXES if (value := getattr(asked, name))}
    if len(given) != 1:
        raise HttpProblem("bad_value", f"search by exactly one of {', '.join(_INDEXES)}", field="phone")
    (name, value), after = next(iter(given.items())), lists.cursor_named(asked.cursor)
    ids = await service.desk.ask(lambda store: _INDEXES[name](service, store, value, after, asked.limit + 1))
    shown = ids[: asked.limit]
    views = [await _view(service, call, member) for member in shown]
    return ok(ask.Members(members=views, next_cursor=lists.cursor_text(shown[-1]) if len(ids) > asked.limit else ""))


def _by(index: str, clean: Any = str) -> Any:
    def find(service: Service, store: Store, value: str, after: str, limit: int) -> list[str]:
        blind = service.custody.blind(index, clean(value))
        return [row.id for row in store.find_records("person", index, blind, after=(blind, after), limit=limit)]

    return find


def _by_document(service: Service, store: Store, value: str, after: str, limit: int) -> list[str]:
    number = value.replace(" ", "").replace("-", "").upper()
    found = [_by("document")(service, store, f"{kind}:{number}", after, limit) for kind in profile.DOCUMENTS]
    return sorted(member for ids in found for member in ids)[:limit]


def _by_card(service: Service, store: Store, value: str, after: str, limit: int) -> list[str]:
    del service, limit
    found = store.read([value]).get(value)
    if found is None:
        raise HttpProblem("unknown_card")
    name = model.account_name(found.card.account_id)
    held = store.records("holding", [name]).get(name)
    return [held.body.decode()] if held and not after else []


def _by_referrer(service: Service, store: Store, value: str, after: str, limit: int) -> list[str]:
    del service
    return [row.id for row in store.find_records("member", "referrer", value, after=(value, after), limit=limit)]


_INDEXES: dict[str, Any] = {
    "phone": _by("phone", profile.clean_phone), "phone4": _by("phone4"), "name": _by("name", profile.clean_name), "tag": _by("tag"),
    "birthday": _by("birthday"), "document": _by_document, "card": _by_card, "referrer": _by_referrer,
}  # fmt: skip


async def _need(service: Service, call: Call, name: str = "") -> model.Member:
    """A member within the caller's reach. Raises HttpProblem unknown_member for any other (R4)."""
    name = name or call.path["member"]
    record = (await service.desk.ask(lambda store: store.records("member", [name]))).get(name)
    if record is None:
        raise HttpProblem("unknown_member")
    member = model.from_record(record)
    service.need_reach(call, member.unit, "unknown_member")
    return member


def _read(store: Store, name: str) -> tuple[Any, Any, list[str]]:
    held = store.find_records("holding", "member", name, limit=200)
    found = store.read_accounts([int(row.id, 16) for row in held])
    cards = sorted(row.card.number for row in found.values() if row.card.state not in GONE)
    return store.records("member", [name]).get(name), store.records("person", [name]).get(name), cards


async def _view(service: Service, call: Call, name: str, *, whole: bool = False) -> ask.MemberView:
    record, sealed, cards = await service.desk.ask(lambda store: _read(store, name))
    if record is None:
        raise HttpProblem("unknown_member")
    member = model.from_record(record)
    person = Profile() if sealed is None else profile.unseal(service.custody, sealed)
    shown = person if whole or reaches(service.registry, call.caller, member.unit, SEES_ALL) else profile.masked(person)
    evidence = ask.EvidenceView(**msgspec.structs.asdict(person.evidence)) if whole and person.evidence else None
    return ask.MemberView(
        member=name, state=member.state, unit=member.unit, enrolled_at=member.enrolled_at, route=member.route, referrer=member.referrer,
        consents=list(member.consents), merged_into=member.merged_into, real_name=person.evidence is not None, name=shown.name,
        phone=shown.phone, email=shown.email, birthday=shown.birthday, language=shown.language, tags=list(shown.tags),
        attributes=shown.attributes, cards=cards, evidence=evidence,
    )  # fmt: skip
