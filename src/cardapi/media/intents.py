"""Card intents as facts of a journal entry, and back: what is durable before a card changes must tell what became of it (control T)."""

from __future__ import annotations

from typing import Any

from cardcore.card.desfire_log import LoggedIntent
from cardcore.card.desfire_value import ValueIntent
from cardcore.card.purse import Application
from cardcore.card.purse_debit import DebitIntent
from cardcore.card.purse_load import OnlineIntent, Permit

Intent = OnlineIntent | DebitIntent | ValueIntent | LoggedIntent


def _application(given: Application) -> list[Any]:
    return [given.issuer, given.kind, given.version, given.serial, given.valid_from, given.valid_to]


def to_facts(intent: Intent) -> dict[str, Any]:
    """Numbers and octets only: nothing in it is secret."""
    if isinstance(intent, ValueIntent):
        return {"intent": "value", "uid": intent.uid, "command": intent.command, "amount": intent.amount, "value": intent.value,
                "counter": intent.counter, "reader": intent.reader, "previous": intent.previous}  # fmt: skip
    if isinstance(intent, LoggedIntent):
        return {"intent": "logged", "uid": intent.uid, "command": intent.command, "amount": intent.amount, "value": intent.value,
                "reference": intent.reference}  # fmt: skip
    if isinstance(intent, DebitIntent):
        return {
            "intent": "debit", "application": _application(intent.application), "purse": intent.purse, "kind": intent.kind,
            "amount": intent.amount, "balance": intent.balance, "counter": intent.counter, "terminal": intent.terminal,
            "number": intent.number, "at": intent.at,
        }  # fmt: skip
    permit = intent.permit
    return {
        "intent": "online", "application": _application(permit.application), "purse": intent.purse, "kind": permit.kind,
        "amount": permit.amount, "terminal": permit.terminal, "at": permit.at, "balance": permit.balance, "counter": permit.counter,
        "random": permit.random, "key_version": permit.key_version, "algorithm": permit.algorithm, "mac1": permit.mac1,
    }  # fmt: skip


def from_facts(facts: dict[str, Any]) -> Intent:
    """Raises KeyError for facts that `to_facts` did not write."""
    kind, rest = facts["intent"], {name: value for name, value in facts.items() if name != "intent"}
    if kind == "value":
        return ValueIntent(**rest)
    if kind == "logged":
        return LoggedIntent(**rest)
    application, purse = Application(*rest.pop("application")), rest.pop("purse")
    if kind == "debit":
        return DebitIntent(application=application, purse=purse, **rest)
    return OnlineIntent(Permit(application=application, **rest), purse)


def before(intent: Intent) -> tuple[int, int, int]:
    """On-line counter, off-line counter and balance before the step; -1 for what the intent does not know."""
    if isinstance(intent, ValueIntent):
        return -1, intent.counter, intent.value
    if isinstance(intent, LoggedIntent):
        return -1, -1, intent.value
    if isinstance(intent, DebitIntent):
        return -1, intent.counter, intent.balance
    return intent.permit.counter, -1, intent.permit.balance
