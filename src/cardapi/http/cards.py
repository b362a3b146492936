"""Handlers of the card service: issue, life cycle, PIN, look at a card, statement (L01, L02, C11)."""

from __future__ import annotations

import hashlib
from typing import Any

from cardapi.desk import Request
from cardapi.http import card_schemas as ask
from cardapi.http import lists
from cardapi.http.call import Call, Handler, Service, ok
from cardapi.http.corrections import need_card
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.ticket import time_text
from cardapi.http.tickets import MONEY_VERBS, card_step, step
from cardapi.ids import ticket_id
from cardapi.people import roles
from cardapi.people.scope import reaches
from cardapi.store.port import Entry, Found
from cardcore.clearing.body import Cleared
from cardcore.errors import CardcoreError
from cardcore.settlement import Account, Settlement
from cardcore.settlement.lifecycle import SUSPENDED, state_at

STATEMENT_MAX = 200
RESETS_PIN = frozenset({roles.MANAGER, roles.HQ, roles.ADMIN})


def derived_key(key: str, part: str) -> str:
    """The client key of one part of a call that makes several entries: made from the caller's key (O5), at most 255 characters."""
    return f"part:{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}:{part}"


async def issue(service: Service, call: Call) -> Answer:
    """Make cards at the caller's unit; the first entry carries the caller's key, the others keys made from it."""
    asked: ask.IssueCards = call.data
    if asked.card and asked.count != 1:
        raise HttpProblem("bad_value", "a card number names one card", field="count")
    if asked.stock and asked.activate:
        raise HttpProblem("bad_value", "a card in stock cannot be active", field="activate")
    facts: dict[str, Any] = {"programme": asked.programme, "kind": asked.kind, "valid_until": asked.valid_until, "prefix": asked.prefix}
    verb = "stock" if asked.stock else "issue"
    requests = [service.request(call, verb, card=asked.card, payload=facts) for _ in range(asked.count)]
    for number, request in enumerate(requests[1:], start=2):
        request.client_key = derived_key(call.key, f"card:{number}")
    entries = await _all(service, requests)
    if asked.activate:
        steps = [_follow(service, call, request, "activate", entry.card) for request, entry in zip(requests, entries, strict=True)]
        await _all(service, steps)
    return ok(ask.IssuedCards(cards=[step(entry) for entry in entries]), 201)


def _follow(service: Service, call: Call, first: Request, verb: str, card: str) -> Request:
    """The next step of one card of a call, keyed by the step before it."""
    request = service.request(call, verb, card=card)
    request.client_key = derived_key(first.client_key, verb)
    return request


async def _all(service: Service, requests: list[Request]) -> list[Entry]:
    """Do all; the first problem or refusal is the answer. What is done stays done, and a retry of the key goes on from there."""
    entries: list[Entry] = []
    for done in await service.desk.execute_many(requests):
        if isinstance(done, CardcoreError):
            raise done
        if done.outcome != "applied":
            raise HttpProblem(done.code, client_key=done.client_key)
        entries.append(done)
    return entries


def life(verb: str, *, own_cards_only: bool) -> Handler:
    """The handler of a plain step. `own_cards_only`: the card must have been issued within the caller's reach."""

    async def handle(service: Service, call: Call) -> Answer:
        number = call.path["card"]
        if own_cards_only:
            await need_card(service, call, number)
        request = service.request(call, verb, card=number, payload=_facts(verb, call.data), reason=call.data.reason)
        return card_step(await service.desk.execute(request))

    handle.__doc__ = f"Life cycle step {verb} (L01)."
    return handle


def _facts(verb: str, asked: Any) -> dict[str, Any]:
    if verb == "lost":
        return {"effective_at": asked.effective_at}
    if verb in ("swap", "reissue"):
        facts: dict[str, Any] = {"to": asked.to_card, "prefix": asked.prefix}
        if verb == "reissue" and asked.fee_fen:
            facts |= {"fee_fen": asked.fee_fen, "fee_tender": asked.fee_tender}
        return {**facts, "valid_until": asked.valid_until} if asked.valid_until else facts
    return {}


# ---------------------------------------------------------------- PIN
async def set_pin(service: Service, call: Call) -> Answer:
    """A first PIN; a new one against the old, or by a manager of where the card was issued, with a reason."""
    asked: ask.SetPin = call.data
    number = call.path["card"]
    # The card is read before the key is looked up: a PIN that a first try of this call sets meanwhile is then known as its own (O2).
    found = await read(service, number)
    resets = bool(asked.reason) and reaches(service.registry, call.caller, found.card.unit, RESETS_PIN)
    if not await service.is_retry(call) and found.card.pin_value and not resets:
        if asked.old_pin is None:
            raise HttpProblem("pin_required", "the card has a PIN: give it as old_pin, or let a manager reset it with a reason")
        proof = service.request(call, "verify_pin", card=number, pin=asked.old_pin)
        proof.client_key = derived_key(call.key, "old_pin")
        entry = await service.desk.execute(proof)
        if entry.outcome != "applied":
            return card_step(entry)
    return card_step(await service.desk.execute(service.request(call, "set_pin", card=number, pin=asked.pin, reason=asked.reason)))


async def verify_pin(service: Service, call: Call) -> Answer:
    """Try a PIN; the desk counts wrong tries durably before it answers (N)."""
    request = service.request(call, "verify_pin", card=call.path["card"], pin=call.data.pin)
    return card_step(await service.desk.execute(request))


# ---------------------------------------------------------------- looking
async def read(service: Service, number: str) -> Found:
    """A card with its account. Raises HttpProblem unknown_card."""
    found = (await service.desk.ask(lambda store: store.read([number]))).get(number)
    if found is None:
        raise HttpProblem("unknown_card")
    return found


async def get_card(service: Service, call: Call) -> Answer:
    """A card and what is on it now."""
    found = await read(service, call.path["card"])
    card = found.card
    account = Account.unpack(found.account.state)
    now = service.now()
    programme = service.registry.programme(card.programme, now)
    units = zip(programme.purses, programme.purse_units, strict=True)
    balances = [ask.Balance(purse=name, unit=unit, amount=account.balance(index, now)) for index, (name, unit) in enumerate(units)]
    owed = [
        ask.Balance(purse=programme.purses[index], unit=programme.purse_units[index], amount=amount)
        for index, amount in sorted(account.owed_units.items())
    ]  # fmt: skip
    view = ask.CardView(
        card=card.number, programme=card.programme, state=state_at(card.state, card.state_from, now), kind=card.kind, unit=card.unit,
        valid_until=card.valid_until, suspended=bool(card.flags & SUSPENDED),
        pin_set=bool(card.pin_value), pin_locked=card.pin_tries >= service.shop.settings.pin_tries_max,
        tier=programme.tiers[account.tier], balance_fen=account.money_fen(programme, now),
        held_fen=sum(hold.amount_fen for hold in account.holds()), points=sum(b.amount for b in balances if b.unit == "points"),
        owed_fen=account.owed_fen, owed_points=account.owed_points, balances=balances, owed=owed,
    )  # fmt: skip
    return ok(view)


async def statement(service: Service, call: Call) -> Answer:
    """Newest entries of a card's account, by pages."""
    number = call.path["card"]
    if call.caller.operator:
        await need_card(service, call, number)
    found = await read(service, number)
    before = lists.cursor_number(call) or None
    most = lists.limit(call, STATEMENT_MAX)
    entries = await service.report(lambda store: store.statement(found.account.account_id, before, most + 1))
    shown = entries[:most]
    cursor = lists.cursor_text(str(shown[-1].position)) if len(entries) > most else ""
    lines = [_statement_line(entry, found.account.account_id) for entry in shown]
    return ok(ask.Statement(card=number, entries=lines, next_cursor=cursor))


def _statement_line(entry: Entry, account_id: int) -> ask.StatementLine:
    net = balance = points = 0
    unit, terminal = entry.unit, entry.terminal
    if entry.verb == "clear_batch":
        net, tills = Cleared.unpack(entry.body).paid_by(account_id)
        unit, terminal = tills[0] if len(tills) == 1 else ("", "")
    if entry.outcome == "applied" and entry.verb in MONEY_VERBS:
        done = Settlement.unpack(entry.body)
        net, balance, points = done.net_fen, done.after_money_fen, done.after_points
    return ask.StatementLine(
        ticket_id=ticket_id(entry.partition, entry.position), journal_position=entry.position, at=time_text(entry.at_us),
        verb=entry.verb, outcome=entry.outcome, code=entry.code, card=entry.card, unit=unit, terminal=terminal,
        operator=entry.operator, net_fen=net, balance_fen=balance, points=points,
    )  # fmt: skip
