"""One example body for each operation that takes one; a test decodes every one with its own schema."""

from __future__ import annotations

from typing import Any

_CARD = "6200000000000018"
_TICKET = "00-00000000002a"
_SALE: dict[str, Any] = {
    "card": _CARD,
    "lines": [{"amount_fen": 12_800, "category": "clothes", "counter_rate": "8/10"}, {"amount_fen": 3_000, "quantity": 2}],
    "points": 0,
    "shortfall_tender": "cash",
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "quote": _SALE,
    "settle": {**_SALE, "explain": True},
    "hold": {**_SALE, "hold_seconds": 3_600},
    "capture": {"ticket_id": _TICKET, "amount_fen": 10_000},
    "void": {"client_key": "till-3-000017", "reason": "no answer"},
    "refund": {"ticket_id": _TICKET, "lines": [0], "reason": "returned goods"},
    "reverse": {"ticket_id": _TICKET, "reason": "wrong card"},
    "topUp": {"card": _CARD, "paid_fen": 100_000, "tender": "cash"},
    "transfer": {"card": _CARD, "to_card": "6200000000000026", "amount_fen": 5_000},
    "adjust": {"card": _CARD, "purse": "principal", "amount": -500, "reason": "keyed twice on 2026-11-21"},
    "expire": {"card": _CARD},
    "settleBatch": {"tickets": [{**_SALE, "client_key": "till-3-000018"}]},
    "issueCards": {"programme": "mall-vip", "count": 10, "prefix": "62"},
    "activateCard": {},
    "setPin": {"pin": "482913"},
    "verifyPin": {"pin": "482913"},
    "unlockPin": {"reason": "identity checked"},
    "reportLost": {"reason": "left on the bus"},
    "freeze": {"reason": "dispute"},
    "unfreeze": {"reason": "dispute settled"},
    "swapCard": {"reason": "chip worn out"},
    "reissueCard": {"reason": "lost"},
    "cancelCard": {"reason": "holder left"},
    "takeBackCard": {},
    "destroyCard": {"reason": "monthly count"},
    "createMember": {"name": "张伟", "phone": "13800138000", "birthday": "1990-03-15", "card": _CARD, "consents": ["sms"]},
    "searchMembers": {"phone": "13800138000"},
    "updateMember": {"tags": ["vip"], "reason": "asked for at the counter"},
    "setConsent": {"consents": ["sms", "email"]},
    "linkCard": {"card": _CARD},
    "unlinkCard": {"card": _CARD, "reason": "given to a friend"},
    "setMemberState": {"state": "suspended", "reason": "no purchase in a year"},
    "mergeMember": {"into": "m00-00000000002b", "reason": "enrolled twice"},
    "splitMember": {"reason": "two people after all"},
    "disqualifyMember": {"reason": "points for returned goods, 40 times"},
    "exportMember": {"reason": "the member asked for a copy"},
    "eraseMember": {"reason": "the member asked to be forgotten"},
    "login": {"operator": "admin", "password": "correct horse battery"},
    "createUnit": {"id": "store-1", "name": "First store", "kind": "store", "parent": "issuer"},
    "createTerminal": {"id": "till-1", "unit": "store-1", "name": "Till by the door"},
    "revokeTerminal": {"reason": "stolen"},
    "rotateTerminalKey": {"reason": "yearly change"},
    "createOperator": {"id": "li", "name": "Li Na", "password": "correct horse battery", "role": "cashier", "unit": "store-1"},
    "grantRole": {"role": "manager", "unit": "store-1"},
    "revokeOperator": {"reason": "left the company"},
    "approve": {"reason": "receipt seen"},
    "publishScheme": {"pack": 'schema = 1\nname = "mall-vip"\nversion = 1\n', "valid_from": 0},
    "closeDay": {"day": "2026-11-22", "utc_offset": "+08:00"},
}
