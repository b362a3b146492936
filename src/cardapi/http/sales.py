"""Handlers of sales and top-ups: quote, settle, hold, settleBatch, topUp. This is the hot path; it allocates little."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from cardapi.coupons import codes
from cardapi.custody import Custody
from cardapi.desk import Request
from cardapi.http import money_schemas as ask
from cardapi.http.call import JSON, Call, Service
from cardapi.http.explain import explain
from cardapi.http.fields import decode_hook
from cardapi.http.problems import Answer, HttpProblem, from_error
from cardapi.http.sale_body import PlainSale, read_ticket
from cardapi.http.tickets import FULL, PLAIN, refused
from cardapi.people.scope import Caller
from cardcore.errors import CardcoreError
from cardcore.settlement import COVER, MEMBER_ONLY, NO_DISCOUNT, REDEEM, SPECIAL_PRICE, Sale, Settlement, TopUp

FLAGS = {"special": SPECIAL_PRICE, "redeem": REDEEM, "member_only": MEMBER_ONLY, "no_discount": NO_DISCOUNT, "cover": COVER}

_encode = msgspec.json.Encoder().encode
_decode_ticket = msgspec.json.Decoder(ask.BatchTicket, dec_hook=decode_hook).decode
_memo = msgspec.msgpack.Encoder().encode


def memo(channel: str, reference: str) -> bytes:
    """What the journal keeps beside the decision: the channel (P03) and the till's own reference; empty for a plain store sale."""
    return _memo([channel, reference]) if reference or channel != "store" else b""


@lru_cache(maxsize=1024)
def rate(text: str) -> tuple[int, int]:
    """`8/10` as (8, 10); the form was checked by the schema."""
    pay, of = text.split("/")
    return int(pay), int(of)


def _line(line: ask.SaleLine) -> tuple[int, int, str, str, int, int, int, int, int]:
    flags = 0
    for flag in line.flags:
        flags |= FLAGS[flag]
    pay, of = rate(line.counter_rate) if line.counter_rate else (1, 1)
    return line.amount_fen, line.quantity, line.category, line.sku, flags, pay, of, line.discount_fen, line.coupon_fen


def command(verb: str, asked: ask.Sale, hold_seconds: int = 0, coupons: tuple[str, ...] = ()) -> Sale:
    """The core's command of a sale. Raises InvalidCommand, AmountOutOfRange."""
    lines = [
        _line(line)
        if line.flags or line.counter_rate
        else (line.amount_fen, line.quantity, line.category, line.sku, 0, 1, 1, line.discount_fen, line.coupon_fen)
        for line in asked.lines
    ]
    return Sale(
        verb, lines, points=asked.points, shortfall_tender=asked.shortfall_tender,
        shortfall_max_fen=asked.shortfall_max_fen, stored_max_fen=asked.stored_max_fen, hold_seconds=hold_seconds,
        explain=asked.explain, why_not=asked.why_not, coupons=coupons,
        memo=memo(asked.channel, asked.reference),
    )  # fmt: skip


def plain_request(service: Service, caller: Caller, key: str, asked: PlainSale) -> Request:
    """The desk's request of a settle whose body was plain."""
    return Request(
        "settle", caller.client, key, service.custody.fingerprint(asked.meaning), asked.card, asked.command, unit=caller.unit,
        terminal=caller.terminal, operator=caller.operator,
    )  # fmt: skip


def settle_request(service: Service, caller: Caller, key: str, asked: ask.Sale, fingerprint: bytes) -> Request:
    """The desk's request of any settle."""
    return Request(
        "settle", caller.client, key, fingerprint, asked.card, command("settle", asked, coupons=coupon_words(service, asked)),
        asked.further_cards, unit=caller.unit, terminal=caller.terminal, operator=caller.operator, pin=asked.pin,
    )  # fmt: skip


def coupon_words(service: Service, asked: ask.Sale) -> tuple[str, ...]:
    """The coupons of a request, codes replaced by their keyed names: from here on nobody sees a code (A6, N)."""
    return tuple(coupon_word(service.custody, word) for word in asked.coupons)


def coupon_word(custody: Custody, word: str) -> str:
    """One of them. Raises HttpProblem unknown_coupon for a code that was typed wrong."""
    if not word.isupper() and not word.replace("-", "").isdigit():
        return word
    plain = codes.parse(word)
    if not plain:
        raise HttpProblem("unknown_coupon", "this is no coupon code: one of its characters is wrong")
    return "#" + codes.name(custody, plain)


async def settle(service: Service, call: Call) -> Answer:
    """A sale paid at once."""
    asked: ask.Settle | PlainSale = call.data
    if isinstance(asked, PlainSale):
        request = plain_request(service, call.caller, call.key, asked)
    else:
        request = settle_request(service, call.caller, call.key, asked, service.fingerprint("settle", asked))
    return await service.tickets.answer(await service.desk.execute(request), explain=asked.explain or asked.why_not)


async def hold(service: Service, call: Call) -> Answer:
    """Reserve the amount of a sale."""
    asked: ask.Hold = call.data
    sale = command("hold", asked, asked.hold_seconds, coupon_words(service, asked))
    request = service.request(call, "hold", card=asked.card, command=sale, further=asked.further_cards, pin=asked.pin)
    return await service.tickets.answer(await service.desk.execute(request), explain=asked.explain or asked.why_not)


async def quote(service: Service, call: Call) -> Answer:
    """Price a sale; nothing is written."""
    asked: ask.Quote = call.data
    at_us = service.clock()
    request = service.request(
        call, "quote", card=asked.card, command=command("quote", asked, coupons=coupon_words(service, asked)),
        further=asked.further_cards, pin=asked.pin,
    )  # fmt: skip
    settlement = await service.desk.quote(request)
    programme = await service.tickets.programme(asked.card, settlement.programme_version)
    return 200, JSON, service.tickets.quoted(settlement, programme, at_us, asked.card, explain=asked.explain or asked.why_not)


async def topup(service: Service, call: Call) -> Answer:
    """Sell value."""
    asked: ask.TopUp = call.data
    bought = TopUp(
        asked.paid_fen, tender=asked.tender, product=asked.product, explain=asked.explain, memo=memo(asked.channel, asked.reference)
    )
    at_once = {"purchase": asked.purchase, "buyer": asked.buyer, "buyer_member": asked.buyer_member}
    entry = await service.desk.execute(service.request(call, "topup", card=asked.card, command=bought, payload=at_once))
    return await service.tickets.answer(entry, explain=asked.explain)


async def settle_batch(service: Service, call: Call) -> Answer:
    """Many sales as one piece of work for the desk. The caller reads the results by position."""
    tickets: tuple[msgspec.Raw, ...] = call.data.tickets
    service.metrics.batch.observe(len(tickets))
    caller = call.caller
    results: list[bytes] = [b""] * len(tickets)
    requests: list[Request] = []
    places: list[tuple[int, int]] = []  # of each request its ticket, and how much its answer shows
    for place, raw in enumerate(tickets):
        asked: PlainSale | ask.BatchTicket = read_ticket(raw) or _ticket(raw, place)
        try:
            service.take_card(asked.card)
            if isinstance(asked, PlainSale):
                requests.append(plain_request(service, caller, asked.client_key, asked))
            else:
                requests.append(settle_request(service, caller, asked.client_key, asked, ticket_fingerprint(service, asked)))
        except CardcoreError as error:
            results[place] = problem(error, asked.client_key)
        else:
            places.append((place, FULL if asked.explain else PLAIN))
    applied = 0
    show = service.tickets
    answers = await service.desk.execute_many(requests)
    names = await show.names(answers)
    for (place, detail), request, done in zip(places, requests, answers, strict=True):
        if isinstance(done, CardcoreError):
            results[place] = problem(done, request.client_key)
        elif done.outcome != "applied":
            results[place] = _encode(refused(done))
        else:
            applied += 1
            settlement = Settlement.unpack(done.body)
            programme = show.version(names[done.card], settlement.programme_version)
            results[place] = show.told(settlement, programme, done, detail)
    return 200, JSON, b'{"results":[%b],"applied":%d,"refused":%d}' % (b",".join(results), applied, len(tickets) - applied)


def _ticket(raw: msgspec.Raw, place: int) -> ask.BatchTicket:
    """Any ticket of a batch. Raises HttpProblem, which names its place."""
    try:
        return _decode_ticket(raw)
    except msgspec.ValidationError as error:
        raise explain(error, f"tickets[{place}]") from error


def ticket_fingerprint(service: Service, asked: ask.BatchTicket) -> bytes:
    """The same as the `settle` call with this body and key would have: a till may retry a batch ticket on its own (O2)."""
    key = asked.client_key
    asked.client_key = msgspec.UNSET  # type: ignore[assignment]  # left out when packed, which leaves a `settle` body
    try:
        return service.fingerprint("settle", asked)
    finally:
        asked.client_key = key


def problem(error: CardcoreError, client_key: str) -> bytes:
    """One ticket's problem inside a batch."""
    status, _, data = from_error(error)
    document: dict[str, object] = msgspec.json.decode(data)
    return _encode({**document, "status": status, "client_key": client_key})
