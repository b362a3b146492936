"""Handlers of coupons and gifts (C10, C15, K06, R03-R06, R09, R11). Using a coupon is a sale's: `sales`."""

from __future__ import annotations

from typing import Any

from cardapi.coupons import codes, model
from cardapi.days import day_of
from cardapi.desk import Request
from cardapi.http import approve
from cardapi.http import coupon_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.cards import read
from cardapi.http.corrections import need_card
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.sales import coupon_word, memo
from cardapi.http.ticket import time_text
from cardapi.http.tickets import refusal
from cardapi.ids import ticket_id
from cardapi.store.port import Entry, Found, Store
from cardcore.errors import CardcoreError
from cardcore.settlement import Account, Give, Programme, Redeem, Settlement, coupon_purse

STEPS_MAX = 5_000  # entries of one account that a trace looks at
BATCH = "system"
TRIES_MAX = 16  # of a batch to give a card its coupon: as many look-ups of keys at most
MOVES = frozenset({"give", "redeem", "settle", "hold", "capture", "void", "refund", "reverse", "expire"})  # verbs that move coupons


# ---------------------------------------------------------------- give
async def give(service: Service, call: Call) -> Answer:
    """Coupons for one card within reach."""
    asked: ask.GiveCoupons = call.data
    await need_card(service, call, asked.card)
    command = Give(asked.coupon, asked.count, expires_at=asked.ends_at)
    entry = await service.desk.execute(service.request(call, "give", card=asked.card, command=command, reason=asked.reason))
    if entry.outcome != "applied":
        return refusal(entry)
    return ok(ask.CouponsGiven(**_head(entry), coupons=await _given(service, entry)))


def _head(entry: Entry) -> dict[str, Any]:
    return {
        "ticket_id": ticket_id(entry.partition, entry.position), "journal_position": entry.position, "client_key": entry.client_key,
        "card": entry.card, "at": time_text(entry.at_us),
    }  # fmt: skip


async def _given(service: Service, entry: Entry) -> list[ask.GivenCoupon]:
    """The coupons that an entry put on its card, with all their uses."""
    settlement = Settlement.unpack(entry.body)
    programme = await service.tickets.programme(entry.card, settlement.programme_version)
    return [
        _view(programme, entry.account_id, posting.target_lot, posting.purse, posting.amount, posting.expires_at)
        for posting in settlement.postings() if posting.unit == "coupon" and posting.target == "customer"
    ]  # fmt: skip


def _view(programme: Programme, account_id: int, lot: int, purse: int, uses: int, ends_at: int) -> ask.GivenCoupon:
    terms = programme.coupons[purse - coupon_purse(0)]
    return ask.GivenCoupon(
        coupon_id=model.coupon_id(account_id, lot), coupon=terms["name"], title=terms["title"], uses=uses, ends_at=ends_at
    )


async def give_batch(service: Service, call: Call) -> Answer:
    """One coupon of each kind for each card; each under a key of its own, so that a part that was sent before changes nothing.

    A refusal uses up its key, so what was refused is tried again under the next one: once for each call, `TRIES_MAX` times in all.
    """
    asked: ask.GiveBatch = call.data
    pairs = list(dict.fromkeys((card, coupon) for card in asked.cards for coupon in asked.coupons))
    tries = await service.desk.ask(lambda store: _tries(store, asked.batch, pairs))
    refused = {"/".join(pair): last.code for pair, (_, last) in tries.items() if last is not None and last.outcome != "applied"}
    before = sum(1 for _, last in tries.values() if last is not None and last.outcome == "applied")
    given = 0
    if not asked.check:
        todo = {pair: key for pair, (key, _) in tries.items() if key}
        requests = [_batch_request(service, call, asked, pair, (BATCH, key)) for pair, key in todo.items()]
        for pair, answer in zip(todo, await service.desk.execute_many(requests), strict=True):
            if isinstance(answer, Entry) and answer.outcome == "applied":
                given += 1
                refused.pop("/".join(pair), None)
            else:
                refused["/".join(pair)] = answer.code
    missing = sum(last is None for _, last in tries.values()) if asked.check else 0
    return ok(ask.BatchGiven(batch=asked.batch, asked=len(pairs), given=given, before=before, missing=missing, refused=refused))


def _tries(store: Store, batch: str, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, Entry | None]]:
    """For each card and kind: the client key to try next, "" where there is none left, and what the last try made of it."""
    found: dict[tuple[str, str], tuple[str, Entry | None]] = dict.fromkeys(pairs, ("", None))
    open_ = pairs
    for number in range(TRIES_MAX):
        keys = {pair: f"coupons:{batch}:{pair[1]}:{pair[0]}" + (f":{number}" if number else "") for pair in open_}
        there = store.find_keys([(BATCH, key) for key in keys.values()])
        open_ = []
        for pair, key in keys.items():
            entry = there.get((BATCH, key))
            found[pair] = (key, found[pair][1]) if entry is None else ("", entry)
            if entry is not None and entry.outcome != "applied":
                open_.append(pair)
        if not open_:
            break
    return found


def _batch_request(service: Service, call: Call, asked: ask.GiveBatch, pair: tuple[str, str], key: tuple[str, str]) -> Request:
    caller = call.caller
    return Request(
        "give", *key, service.fingerprint("coupon batch", [asked.batch, *pair]), card=pair[0], command=Give(pair[1]), unit=caller.unit,
        terminal=caller.terminal, operator=caller.operator, reason=asked.reason,
    )  # fmt: skip


# ---------------------------------------------------------------- look
async def card_coupons(service: Service, call: Call) -> Answer:
    """What a card can use now."""
    number = call.path["card"]
    found = await read(service, number)
    programme = service.registry.programme(found.card.programme, service.now())
    views = [
        _view(programme, found.account.account_id, lot.lot_id, lot.purse, lot.amount, lot.expires_at)
        for lot in Account.unpack(found.account.state).lots()
        if programme.unit_of(lot.purse) == "coupon" and not 0 < lot.expires_at <= service.now()
    ]  # fmt: skip
    views.sort(key=lambda view: (view.ends_at or 1 << 62, view.coupon_id))
    return ok(ask.CardCoupons(card=number, coupons=views))


async def trace(service: Service, call: Call) -> Answer:
    """Where a coupon came from, where it was used and given back."""
    word = coupon_word(service.custody, call.data.coupon)
    if word.startswith("#"):
        found = await service.report(lambda store: _claimed(store, word[1:]))
        if isinstance(found, model.Code):
            return ok(ask.CouponTrace(coupon_id="", coupon=found.coupon, card="", state="open", uses=0, steps=[]))
        account_id, lot = found
    else:
        pair = model.parse_id(word)
        if pair is None:
            raise HttpProblem("unknown_coupon", "a trace is of one coupon: give its id or its code")
        account_id, lot = pair
    holder, entries = await service.report(lambda store: _history(store, account_id))
    if holder is None:
        raise HttpProblem("not_found")
    service.need_reach(call, holder.card.unit)
    return ok(await _trace(service, holder, lot, entries))


def _claimed(store: Store, name: str) -> model.Code | tuple[int, int]:
    """The lot a code became, or the code while nobody has shown it. Raises HttpProblem not_found."""
    entry = store.find_keys([(model.CLAIMED, name)]).get((model.CLAIMED, name))
    if entry is not None and entry.outcome == "applied":
        return entry.account_id, Settlement.unpack(entry.body).postings()[0].target_lot
    kept = store.records(model.CODE, [name]).get(name)
    if kept is None:
        raise HttpProblem("not_found")
    return model.unpack_code(kept.body)


def _history(store: Store, account_id: int) -> tuple[Found | None, list[Entry]]:
    return store.read_accounts([account_id]).get(account_id), store.statement(account_id, None, STEPS_MAX)


async def _trace(service: Service, holder: Found, lot: int, entries: list[Entry]) -> ask.CouponTrace:
    steps: list[ask.CouponStep] = []
    kind = ""
    for entry in reversed(entries):
        if entry.outcome != "applied" or not entry.body or entry.verb not in MOVES:
            continue
        settlement = Settlement.unpack(entry.body)
        for posting in settlement.postings():
            if posting.unit != "coupon" or lot not in (posting.source_lot, posting.target_lot):
                continue
            programme = await service.tickets.programme(entry.card, settlement.programme_version)
            kind = programme.coupons[posting.purse - coupon_purse(0)]["name"]
            steps.append(ask.CouponStep(
                ticket_id=ticket_id(entry.partition, entry.position), journal_position=entry.position, at=time_text(entry.at_us),
                verb=entry.verb, card=entry.card, unit=entry.unit, terminal=entry.terminal, operator=entry.operator,
                change=posting.amount * ((posting.target == "customer") - (posting.source == "customer")),
            ))  # fmt: skip
    if not steps:
        raise HttpProblem("not_found")
    uses = sum(step.change for step in steps)
    state = "unused" if uses else "ended" if steps[-1].verb == "expire" else "used"
    return ask.CouponTrace(
        coupon_id=model.coupon_id(holder.account.account_id, lot), coupon=kind, card=holder.card.number, state=state, uses=uses, steps=steps
    )


# ---------------------------------------------------------------- codes
async def make_codes(service: Service, call: Call) -> Answer:
    """Codes of a batch, shown to whoever has the key of this call."""
    asked: ask.MakeCodes = call.data
    facts = {"programme": asked.programme, "coupon": asked.coupon, "count": asked.count, "ends": asked.ends_at, "batch": asked.batch}
    request = service.request(call, "make_codes", payload=facts, reason=asked.reason)
    entry = await service.desk.execute(request)
    if entry.outcome != "applied":
        return refusal(entry)
    key = service.custody.coupon_key(entry.client, entry.client_key)
    return ok(ask.Codes(batch=asked.batch, coupon=asked.coupon, codes=[codes.make(key, index) for index in range(asked.count)]), 201)


# ---------------------------------------------------------------- how many one person may make
async def allow(service: Service, call: Call) -> Answer:
    """Ask for more than a day's bound; somebody else, whose reach is as wide, approves it."""
    units = [own.unit for own in call.caller.reach if own.role in call.operation.roles]
    found = [unit for name in units if (unit := service.registry.unit(name)) is not None]
    widest = min(found, key=lambda unit: (len(unit.path), unit.id)).id
    return await approve.ask_for(service, call, unit=widest, card="")


def allow_request(service: Service, facts: approve.Execution) -> Request:
    """The approved allowance, for whoever asked."""
    asked: ask.AllowCoupons = facts.body
    return facts.request(service, "allow_coupons", payload={"count": asked.count}, reason=asked.reason)


async def allowed(service: Service, facts: approve.Execution, entry: Entry) -> Answer:
    """What the operator may make on that day now."""
    day = day_of(entry.at_us // 1_000_000).isoformat()
    names = model.made_name(entry.operator, day), model.allowed_name(entry.operator, day)
    records = await service.desk.ask(lambda store: store.records(model.STOCK, list(names)))
    made, more = (model.unpack_stock(records[name].body) if name in records else 0 for name in names)
    limit = service.shop.settings.coupons_a_day + more
    return ok(ask.CouponAllowance(operator=entry.operator, day=day, limit=limit, made=made))


# ---------------------------------------------------------------- gifts
async def redeem(service: Service, call: Call) -> Answer:
    """Points for a gift."""
    asked: ask.Redeem = call.data
    command = Redeem(asked.gift, item=asked.item, quantity=asked.quantity, memo=memo(asked.channel, asked.reference))
    request = service.request(call, "redeem", card=asked.card, command=command, pin=asked.pin, reason=asked.reason)
    entry = await service.desk.execute(request)
    if entry.outcome != "applied":
        return refusal(entry)
    settlement = Settlement.unpack(entry.body)
    return ok(ask.Redeemed(
        **_head(entry), gift=asked.gift, item=asked.item, quantity=asked.quantity, points_used=settlement.points_used,
        points=settlement.after_points, coupons=await _given(service, entry),
    ))  # fmt: skip


async def list_gifts(service: Service, call: Call) -> Answer:
    """The gifts of a programme, with what is left of them."""
    name = call.path["programme"]
    try:
        programme = service.registry.programme(name, service.now())
    except CardcoreError as error:
        raise HttpProblem("unknown_programme") from error
    counted = {
        model.stock_name(name, "gift", f"{gift['name']}:{item}" if item else gift["name"]): (gift["name"], item, gift["stock"])
        for gift in programme.gifts if gift["stock"] for item in gift["items"] or ("",)
    }  # fmt: skip
    records = await service.desk.ask(lambda store: store.records(model.STOCK, list(counted)))
    left: dict[str, dict[str, int]] = {}
    for stock, (gift, item, most) in counted.items():
        given = model.unpack_stock(records[stock].body) if stock in records else 0
        left.setdefault(gift, {})[item] = max(0, most - given)
    views = [
        ask.GiftView(
            gift=gift["name"], title=gift["title"], points=gift["points"], items=list(gift["items"]), left=left.get(gift["name"], {}),
            coupon=programme.coupons[gift["coupon"]]["name"] if gift["coupon"] >= 0 else "",
        )
        for gift in programme.gifts
    ]  # fmt: skip
    return ok(ask.Gifts(programme=name, gifts=views))
