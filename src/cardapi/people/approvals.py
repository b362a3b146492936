"""Two people for one effect (R3, O04): the maker's call becomes a pending document, someone else's call executes it.

This file makes and judges the documents; the edge writes them through the desk.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cardapi.people.scope import People, same_hand
from cardcore.errors import CardcoreError

LIFETIME_S = 72 * 3600


class ApprovalRefused(CardcoreError):
    """The approval cannot be given: `code` is maker_is_checker, approval_closed or approval_expired."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def approval_id(client: str, client_key: str) -> str:
    """Derived from the maker's key, so that a retry means the same approval (O5)."""
    mark = f"{len(client)}:{client}{client_key}".encode()
    return "a-" + hashlib.blake2b(mark, digest_size=12, person=b"approval").hexdigest()


def execution_key(name: str) -> str:
    """The client key (of client "system") under which an approved request is executed: at most once, whoever approves."""
    return f"approval:{name}"


def new_approval(
    name: str, *, operation: str, maker: str, unit: str, card: str, path: dict[str, str], body: dict[str, Any], now: int
) -> dict[str, Any]:
    """The pending document. `body` is the decoded request, free of secrets; `unit` is where it takes effect."""
    return {
        "id": name, "operation": operation, "maker": maker, "unit": unit, "card": card, "path": path, "body": body,
        "state": "pending", "made_at": now, "expires_at": now + LIFETIME_S, "approver": "", "outcome": "", "entry": "",
    }  # fmt: skip


def judge(people: People, document: dict[str, Any], approver: str, now: int) -> None:
    """Raise ApprovalRefused unless `approver` may execute this now. Role and scope were judged by the caller.

    An approver who repeats an execution that is already done is let through: the same key answers the same (O2).
    """
    if same_hand(people, document["maker"], approver):
        raise ApprovalRefused("maker_is_checker", "whoever asked for it cannot approve it, nor a login made by the same hand")
    if document["state"] != "pending" and document["approver"] != approver:
        raise ApprovalRefused("approval_closed", "someone else has decided this already")
    if document["state"] == "pending" and document["expires_at"] <= now:
        raise ApprovalRefused("approval_expired", "the request has waited too long; make it again")


def closed(document: dict[str, Any], approver: str, outcome: str, entry: str) -> dict[str, Any]:
    """The document after execution: `outcome` applied or refused, `entry` the ticket id of the effect."""
    return {**document, "state": "executed", "approver": approver, "outcome": outcome, "entry": entry}
