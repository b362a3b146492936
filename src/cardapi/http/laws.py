"""Handlers about the law a shop chose (W1-W8): choose it, look at it, escrow figures, the statutory refund of a card."""

from __future__ import annotations

from typing import Any

import msgspec

from cardapi.desk import Request
from cardapi.http import approve
from cardapi.http import law_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.cards import read
from cardapi.http.corrections import need_card
from cardapi.http.problems import Answer, HttpProblem
from cardapi.laws import escrow as figures
from cardapi.laws import history, pack, refund
from cardapi.laws.pack import Law
from cardapi.store.port import Entry
from cardcore.settlement import Account


async def set_law(service: Service, call: Call) -> Answer:
    """Keep the wish for a second person. Raises InvalidLaw before anything is kept."""
    pack.load(call.data.pack)
    unit = service.registry.units()[0].path[0]
    return await approve.ask_for(service, call, unit=unit, card="")


def set_law_request(service: Service, given: approve.Execution) -> Request:
    """The approved choice as a change of the registry."""
    asked: ask.SetLaw = given.body
    document = {"id": "law", "pack": asked.pack, "issuer_class": asked.issuer_class, "licensed": asked.licensed, "state": asked.state}
    return given.request(service, "change", payload={"kind": "law", "id": "law", "document": document}, reason=asked.reason)


async def told(service: Service, given: approve.Execution, entry: Entry) -> Answer:
    """The law as it is after the approval."""
    del given, entry
    return ok(_view(service))


async def get_law(service: Service, call: Call) -> Answer:
    """The chosen law and today's rules."""
    del call
    return ok(_view(service))


def _view(service: Service) -> ask.LawView:
    document = service.registry.document("law", "law")
    if document is None:
        return ask.LawView(name="", title_zh="", title_en="", state="off", issuer_class="", licensed=False, rules={})
    law = pack.load(document["pack"])
    version = law.at(service.now())
    rules: dict[str, Any] = msgspec.to_builtins(version) if version is not None else {}
    return ask.LawView(
        name=law.name, title_zh=law.title["zh"], title_en=law.title["en"], state=document["state"], issuer_class=document["issuer_class"],
        licensed=document["licensed"], rules=rules,
    )  # fmt: skip


def _law(service: Service) -> Law:
    law = service.registry.law()
    if law is None:
        raise HttpProblem("no_law")
    return law


async def escrow(service: Service, call: Call) -> Answer:
    """The figures of a quarter that has ended. Raises BadQuarter."""
    law, quarter, now = _law(service), call.query.get("quarter", ""), service.now()
    found = await service.report(lambda store: figures.quarterly(store, law, quarter, now))
    return ok(ask.EscrowView(**msgspec.structs.asdict(found)))


async def quote_refund(service: Service, call: Call) -> Answer:
    """What the law gives back for a card now; nothing is moved. Raises NoRefund."""
    number, ground, now = call.path["card"], call.data.ground, service.now()
    await need_card(service, call, number)
    version = _law(service).pack.at(now)
    found = await read(service, number)
    account = Account.unpack(found.account.state)
    programme = service.registry.programme(found.card.programme, now)
    told = await service.report(lambda store: history.read(store, found.account.account_id, account, programme))
    if ground == "regret":
        statement = refund.regret(told.paid, now, version.refund_days if version is not None else 0)
    elif ground == "consumer":
        statement = refund.consumer(told.paid, told.used)
    else:
        statement = refund.merchant(told.left)
    lines = [ask.RefundLine(amount_fen=line.amount_fen, zh=line.zh, en=line.en, ticket_id=line.ticket) for line in statement.lines]
    balance = account.money_fen(programme, now)
    return ok(ask.RefundView(card=number, ground=ground, refund_fen=statement.refund_fen, balance_fen=balance, lines=lines))
