"""Goal: every route x role x scope cell answers as the table says, and nothing is reachable that has no row (R1, R2, Z).

Method: for each operation of the table a call that would pass every other check, made by everybody; the expectation comes
from a second table written here by hand, so that widening a role by mistake fails. Scope is tested with a person of the
right role in the wrong place.
"""

from __future__ import annotations

import itertools
from base64 import b64encode
from typing import Any

import pytest

from cardapi import shipped
from cardapi.desk import Request
from cardapi.http.examples import EXAMPLES
from cardapi.http.operations import OPERATIONS, Operation
from cardapi.people import roles
from cardapi.store.media import Shown, pack_shown
from cardcore.clearing import Header, PurseRecord
from cardcore.clearing.body import unpack_case
from cardcore.clearing.layout import encode_all
from cardcore.settlement import Load
from tests.coupons.packs import SHOP as COUPON_SHOP
from tests.http.client import Reply, Who
from tests.http.conftest import SCHEMES, Chain
from tests.shops import PASSWORD

T, C, M, H, A, U = "terminal", "cashier", "manager", "hq", "admin", "auditor"
EVERYBODY = {T, C, M, H, A, U}

# Who may call what, once more and by hand. The order of the rows is that of the documents.
MAY: dict[str, set[str]] = {
    "quote": {T, C, M, H, A}, "settle": {T, C, M, H, A}, "hold": {T, C, M, H, A}, "capture": {T, C, M, H, A}, "void": {T, C, M, H, A},
    "refund": {T, C, M, H, A}, "reverse": {M, H, A}, "topUp": {T, C, M, H, A}, "transfer": {T, C, M, H, A}, "adjust": {M, H, A},
    "recordEvent": {T, C, M, H, A}, "tierHistory": EVERYBODY,
    "expire": {M, H, A}, "settleBatch": {T}, "getTicket": EVERYBODY, "getByClientKey": EVERYBODY,
    "issueCards": {M, H, A}, "getCard": EVERYBODY, "cardStatement": EVERYBODY, "activateCard": {T, C, M, H, A}, "setPin": {T, C, M, H, A},
    "verifyPin": {T, C, M, H, A}, "unlockPin": {M, H, A}, "reportLost": {T, C, M, H, A}, "freeze": {M, H, A}, "unfreeze": {M, H, A},
    "swapCard": {M, H, A}, "reissueCard": {M, H, A}, "cancelCard": {M, H, A}, "takeBackCard": {C, M, H, A}, "destroyCard": {H, A},
    "createMember": {T, C, M, H, A}, "getMember": EVERYBODY, "searchMembers": EVERYBODY, "updateMember": {C, M, H, A},
    "setConsent": {T, C, M, H, A}, "linkCard": {T, C, M, H, A}, "unlinkCard": {C, M, H, A}, "setMemberState": {M, H, A},
    "mergeMember": {M, H, A}, "splitMember": {M, H, A}, "disqualifyMember": {M, H, A}, "exportMember": {M, H, A}, "eraseMember": {M, H, A},
    "listKeys": {H, A, U}, "retireKey": {A},
    "listJobs": {M, H, A, U}, "runJob": {H, A}, "listMessages": {M, H, A, U}, "sendMessages": {H, A}, "retryMessage": {H, A},
    "getLaw": {C, M, H, A, U}, "setLaw": {A}, "escrowFigures": {H, A, U}, "createImport": {H, A}, "getImport": {H, A, U},
    "importRows": {H, A}, "closeImport": {H, A}, "undoImport": {H, A}, "undoImportRows": {H, A},
    "quoteCardRefund": {M, H, A}, "redeem": {T, C, M, H, A}, "giveCoupons": {M, H, A}, "giveCouponBatch": {H, A}, "cardCoupons": EVERYBODY,
    "traceCoupon": {M, H, A, U}, "makeCouponCodes": {H, A}, "allowCoupons": {M, H, A}, "listGifts": EVERYBODY,
    "logout": {C, M, H, A, U}, "createUnit": {H, A}, "listUnits": {M, H, A, U}, "createTerminal": {M, H, A}, "listTerminals": {M, H, A, U},
    "revokeTerminal": {M, H, A}, "rotateTerminalKey": {M, H, A}, "createOperator": {M, H, A}, "listOperators": {M, H, A, U},
    "grantRole": {M, H, A}, "revokeOperator": {M, H, A}, "listApprovals": {M, H, A, U}, "approve": {M, H, A},
    "openCardSession": {T, C, M, H, A}, "stepCardSession": {T, C, M, H, A}, "closeCardSession": {T, C, M, H, A},
    "listInFlight": EVERYBODY, "cardMedia": EVERYBODY, "registerMedium": {M, H, A}, "retireMedium": {M, H, A}, "blockMedium": {M, H, A},
    "unblockMedium": {M, H, A}, "openBatch": {M, H, A}, "batchStatus": {C, M, H, A, U}, "closeBatch": {M, H, A}, "spoilCard": {M, H, A},
    "uploadClearing": {T, M, H, A}, "clearingStatus": {T, M, H, A, U}, "listCases": {M, H, A, U}, "closeCase": {M, H, A},
    "assignSam": {M, H, A}, "listSams": {M, H, A, U}, "releaseTerminal": {H, A}, "blockedCards": {T},
    "publishScheme": {H, A}, "listSchemes": {C, M, H, A, U}, "closeDay": {M, H, A}, "trialBalance": {H, A, U}, "exportJournal": {H, A, U},
    "verifyLedger": {H, A, U}, "metrics": {H, A, U},
}  # fmt: skip
PUBLIC = {"login", "health", "ready", "openapi", "docs", "docsFile"}
# Operations a person's role must hold at the topmost unit for, and not merely in a store.
ISSUER_WIDE = {"publishScheme", "closeDay", "trialBalance", "exportJournal", "verifyLedger", "metrics", "listJobs", "runJob",
               "listMessages", "sendMessages", "retryMessage", "setLaw", "escrowFigures", "listKeys", "retireKey",
               "createImport", "getImport", "importRows", "closeImport", "undoImport", "undoImportRows",
               "giveCouponBatch", "makeCouponCodes"}
NUMBERS = itertools.count(1)


def caller(chain: Chain, role: str, unit: str) -> Who:
    return chain.tills[unit] if role == T else chain.person(role, unit)


class Things:
    """What the calls name: fresh where a call uses it up."""

    def __init__(self, chain: Chain, unit: str) -> None:
        self.chain, self.unit = chain, unit
        self.manager = chain.person(M, unit)

    def card(self) -> str:
        return self.chain.card(paid_fen=1_000, who=self.manager)

    def ticket(self) -> str:
        body = {"card": self.card(), "lines": [{"amount_fen": 100}]}
        return str(self.chain.made(self.manager.post("/v1/settle", body))["ticket_id"])

    def coupon(self) -> str:
        """The id of a coupon on a card."""
        if not self.chain.shop.registry.versions("coupon-shop"):
            self.chain.made(self.chain.admin.post("/v1/schemes", {"pack": COUPON_SHOP}))
        card = self.chain.card(programme="coupon-shop", who=self.manager)
        body = {"card": card, "coupon": "off-20", "reason": "test"}
        return str(self.chain.made(self.manager.post("/v1/coupons/give", body))["coupons"][0]["coupon_id"])

    def terminal(self) -> str:
        name = f"t{next(NUMBERS)}"
        self.chain.made(self.manager.post("/v1/terminals", {"id": name, "unit": self.unit, "name": name}))
        return name

    def operator(self) -> str:
        name = f"o{next(NUMBERS)}"
        body = {"id": name, "name": name, "password": PASSWORD, "role": C, "unit": self.unit}
        self.chain.made(self.manager.post("/v1/operators", body))
        return name

    def member(self, *, card: str = "") -> str:
        body = {"name": "Wang", "card": card or self.card()}
        return str(self.chain.made(self.manager.post("/v1/members", body))["member"])

    def medium(self) -> str:
        name = f"desfire:{next(NUMBERS):014x}"
        self.chain.made(self.manager.post(f"/v1/cards/{self.card()}/media", {"medium": name, "profile": "desfire-ev2"}))
        return name

    def batch(self) -> str:
        """An open batch; another person than its maker has approved it."""
        number = next(NUMBERS)
        body = {"id": f"b{number}", "unit": self.unit, "programme": "mall-vip", "profile": "desfire-ev2", "first_serial": number * 10}
        name = self.chain.made2(self.manager.post("/v1/batches", body))["approval_id"]
        self.chain.made(self.chain.person(H, "issuer").post(f"/v1/approvals/{name}/approve", {}))
        return f"b{number}"

    def flight(self) -> None:
        """A load that waits for its card."""
        card, name = self.card(), f"desfire:{next(NUMBERS):014x}"
        self.chain.made(self.manager.post(f"/v1/cards/{card}/media", {"medium": name, "profile": "desfire-ev2"}))
        command, key = Load(100, memo=pack_shown(Shown(name))), f"flight-{next(NUMBERS)}"
        request = Request("load", "terminal:till-1", key, bytes(16), card=card, command=command, unit=self.unit, terminal="till-1")
        assert self.chain.loop.run_until_complete(self.chain.shop.desk.execute(request)).outcome == "applied"

    def sam(self) -> str:
        """A purchase SAM of the till in the store."""
        number = f"{next(NUMBERS):012x}"
        till = f"till-{self.unit[-1]}"
        self.chain.made(self.manager.post("/v1/sams", {"sam": number, "terminal": till}))
        return number

    def cleared(self) -> tuple[str, str]:
        """A batch with a record of an unknown card, and the case that it is."""
        number = bytes.fromhex(self.sam())
        record = PurseRecord(100, 6, number, 1, bytes.fromhex("20261122101112"), bytes(4), bytes(8), bytes(10), 0, 100)
        header = Header(number, 1, 0, bytes.fromhex("20261122080000"))
        body = {"batch": b64encode(encode_all(header, [record])).decode()}
        batch = str(self.chain.made(self.manager.post("/v1/clearing", body))["batch"]["batch"])
        reader = self.chain.shop.store.reader()
        case = next(row.id for row in reader.all_records("case") if number.hex() in unpack_case(row.body).facts["record"])
        reader.close()
        return batch, case

    def suspended(self) -> str:
        """A terminal that clearing does not listen to."""
        name = self.terminal()
        document = {"id": name, "day": 0, "bad": 10, "state": "suspended"}
        request = Request(
            "change", "system", f"suspend-{name}", bytes(16), payload={"kind": "suspension", "id": name, "document": document}
        )
        assert self.chain.loop.run_until_complete(self.chain.shop.desk.execute(request)).outcome == "applied"
        return name

    def imported(self) -> str:
        """An import that is open for its rows."""
        name = f"i{next(NUMBERS)}"
        document = {"id": name, "programme": "mall-vip", "rows": 1, "principal_fen": 0, "bonus_fen": 0, "points": 0, "digest": "",
                    "unit": "issuer", "state": "open"}  # fmt: skip
        payload = {"kind": "import", "id": name, "document": document}
        self.chain.shop.desk.call(Request("change", "system", name, bytes(16), payload=payload))
        return name

    def approval(self) -> str:
        body = {"card": self.card(), "purse": "principal", "amount": 1, "reason": "test"}
        return str(self.chain.made2(self.manager.post("/v1/adjust", body))["approval_id"])


def body_of(operation: Operation, things: Things) -> Any:
    name = operation.id
    if operation.asked is None:
        return b""
    if name in ("quote", "settle", "hold"):
        return {"card": things.card(), "lines": [{"amount_fen": 100}]}
    if name == "settleBatch":
        return {"tickets": [{"client_key": f"batch-{next(NUMBERS)}", "card": things.card(), "lines": [{"amount_fen": 100}]}]}
    if name in ("capture", "void", "refund", "reverse"):
        return {"ticket_id": things.ticket(), **({"reason": "test"} if name in ("refund", "reverse") else {})}
    if name == "topUp":
        return {"card": things.card(), "paid_fen": 100_000}
    if name == "transfer":
        return {"card": things.card(), "to_card": things.card(), "amount_fen": 1}
    if name in ("adjust", "expire"):
        return {"card": things.card(), **({"purse": "principal", "amount": 1, "reason": "test"} if name == "adjust" else {})}
    if name in ("redeem", "giveCoupons"):
        return {"card": things.card(), **({"gift": "none"} if name == "redeem" else {"coupon": "none", "reason": "test"})}
    if name == "traceCoupon":
        return {"coupon": things.coupon()}
    if name in ("giveCouponBatch", "makeCouponCodes", "allowCoupons"):
        return EXAMPLES[name]
    number = next(NUMBERS)
    if name == "assignSam":
        return {"sam": f"{number:012x}", "terminal": things.terminal()}
    if name == "uploadClearing":
        return EXAMPLES[name]
    if name == "openBatch":
        return {"id": f"b{number}", "unit": things.unit, "programme": "mall-vip", "profile": "desfire-ev2", "first_serial": number * 10}
    if name in ("retireMedium", "blockMedium", "unblockMedium", "spoilCard"):
        return {"medium": things.medium(), "reason": "test"}
    if name == "mergeMember":
        return {"into": things.member(), "reason": "test"}
    if name in ("linkCard", "unlinkCard"):
        return {"card": things.card()}
    return {
        "createImport": {"id": f"i{number}", "programme": "mall-vip", "rows": 1}, "undoImportRows": {"first": 1, "count": 1},
        "importRows": {"first": 1, "rows": [{"card": "6200000000000018"}]},
        "setLaw": {"pack": shipped.law_text("cn-prepaid"), "issuer_class": "scale", "reason": "test"},
        "quoteCardRefund": {"ground": "merchant"},
        "createMember": {"name": "Li"}, "searchMembers": {"name": "Li"}, "updateMember": {"name": "Lin"}, "setConsent": {"consents": []},
        "setMemberState": {"state": "suspended", "reason": "test"},
        "openCardSession": {"purpose": "show"}, "stepCardSession": {"step": 0, "answers": ["9000"]},
        "registerMedium": {"medium": f"uid:{number:08x}"},
        "issueCards": {"programme": "mall-vip"}, "setPin": {"pin": "123456"}, "verifyPin": {"pin": "123456"},
        "createUnit": {"id": f"u{number}", "name": "u", "kind": "counter", "parent": things.unit},
        "createTerminal": {"id": f"t{number}", "name": "t", "unit": things.unit},
        "createOperator": {"id": f"o{number}", "name": "o", "password": PASSWORD, "role": C, "unit": things.unit},
        "grantRole": {"role": C, "unit": things.unit}, "publishScheme": {"pack": (SCHEMES / "spa.toml").read_text()},
        "closeDay": {"day": "2020-01-01"}, "approve": {}, "activateCard": {}, "swapCard": {}, "reissueCard": {}, "takeBackCard": {},
        "reportLost": {},
    }.get(name, {"reason": "test"})  # fmt: skip


def target_of(operation: Operation, things: Things) -> str:
    path = operation.path
    for name, made in (("{card}", things.card), ("{ticket}", things.ticket), ("{case}", lambda: things.cleared()[1]),
        ("{clearing}", lambda: things.cleared()[0]),
        ("{terminal}", things.suspended if operation.id == "releaseTerminal" else things.terminal),
        ("{operator}", things.operator), ("{member}", things.member), ("{job}", lambda: "pruning"), ("{key}", lambda: "none"),
        ("{message}", lambda: "none"), ("{programme}", lambda: "mall-vip"),
                       ("{import}", things.imported),
                       ("{approval}", things.approval), ("{session}", lambda: "00" * 16), ("{batch}", things.batch)):  # fmt: skip
        if name in path:
            path = path.replace(name, made())
    if operation.id == "escrowFigures":
        path += "?quarter=2020Q1"
    return path + ("?client_key=none" if operation.id == "getByClientKey" else "")


def call(chain: Chain, who: Who, operation: Operation, things: Things) -> Reply:
    target, body = target_of(operation, things), body_of(operation, things)
    return who.request(operation.method, target, body, None if operation.keyed else "")


GUARDED = [operation for operation in OPERATIONS if operation.id not in PUBLIC]


def test_the_two_tables_name_the_same_operations() -> None:
    assert {operation.id for operation in GUARDED} == set(MAY)
    assert {operation.id for operation in OPERATIONS if not operation.roles} == PUBLIC
    assert {operation.id for operation in OPERATIONS if operation.scope == "issuer"} == ISSUER_WIDE


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
def test_nobody_without_proof(chain: Chain, operation: Operation) -> None:
    reply = call(chain, chain.nobody, operation, Things(chain, "store-1"))
    assert (reply.status, reply.code) == (401, "unauthenticated")


@pytest.mark.parametrize("role", sorted(EVERYBODY))
@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
def test_each_role_at_its_own_place(chain: Chain, operation: Operation, role: str) -> None:
    """A person of each role at the issuer (a terminal at its store): allowed exactly as written by hand above."""
    who = caller(chain, role, "store-1" if role == T else "issuer")
    if operation.id == "logout" and role != T:
        who = chain.login(f"{role}-issuer") if chain.shop.registry.operator(f"{role}-issuer") else who
    reply = call(chain, who, operation, Things(chain, "store-1"))
    if role in MAY[operation.id]:
        assert reply.status not in (401, 403), reply.body
        assert reply.status < 500, reply.body
        assert reply.code not in ("not_found", "unknown_card") or operation.id == "getByClientKey", reply.body
    else:
        assert (reply.status, reply.code) == (403, "not_allowed")


SCOPED = [operation for operation in GUARDED if operation.scope == "reached" and operation.id not in ("listUnits", "getByClientKey")]


@pytest.mark.parametrize("operation", SCOPED, ids=lambda operation: operation.id)
def test_the_right_role_in_the_wrong_place_finds_nothing(chain: Chain, operation: Operation) -> None:
    """A thing of store-1, asked for by the best role that may, but in the south: it looks absent (R4)."""
    things = Things(chain, "store-1")
    if operation.id.startswith("list"):
        things.flight()
        things.cleared()
        things.approval()
        here = call(chain, chain.person(M, "store-1"), operation, things).body
        there = call(chain, chain.person(M, "south"), operation, things).body
        assert b"store-1" in here
        assert b"store-1" not in there
        return
    for who in [chain.person(H, "south")] + (
        [chain.tills["store-3"]] if T in MAY[operation.id] and operation.id not in ("cardStatement", "cardMedia", "tierHistory") else []
    ):
        reply = call(chain, who, operation, things)
        assert reply.status == 404, reply.body
        absent = who.request(operation.method, *absent_of(operation, things), None if operation.keyed else "")
        assert (absent.status, absent.body) == (reply.status, reply.body), "refused and absent must look alike"


def absent_of(operation: Operation, things: Things) -> tuple[str, Any]:
    """The same call, naming something that does not exist."""
    body = body_of(operation, things)
    path = operation.path
    for name, nothing in (("{card}", "6200000099999997"), ("{ticket}", "00-0000ffffffff"), ("{terminal}", "none"), ("{operator}", "none"),
                          ("{member}", "m00-0000ffffffff"), ("{approval}", "none"), ("{batch}", "none"),
                          ("{case}", "r-none"), ("{clearing}", "0000000000ff-1")):  # fmt: skip
        path = path.replace(name, nothing)
    if isinstance(body, dict) and "{" not in operation.path:
        for name, nothing in (("card", "6200000099999997"), ("ticket_id", "00-0000ffffffff"), ("parent", "none"), ("unit", "none"),
                              ("medium", "uid:none"), ("terminal", "none")):  # fmt: skip
            if name in body:
                body[name] = nothing
        if operation.id == "traceCoupon":
            body["coupon"] = "fffff.1"
    return path, body


@pytest.mark.parametrize("name", sorted(ISSUER_WIDE))
def test_the_books_need_a_role_at_the_top(chain: Chain, name: str) -> None:
    operation = next(row for row in OPERATIONS if row.id == name)
    reply = call(chain, chain.person(H, "north"), operation, Things(chain, "store-1"))
    assert (reply.status, reply.code) == (403, "not_allowed")


def test_a_session_acts_at_its_unit_only(chain: Chain) -> None:
    chain.person(C, "north")
    name = "cashier-north"
    at_store = chain.login(name, unit="store-2")
    card = chain.card(paid_fen=1_000)
    ticket = chain.made(at_store.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 1}]}))
    shown = next(row for row in chain.admin.get(f"/v1/cards/{card}/statement").json["entries"] if row["ticket_id"] == ticket["ticket_id"])
    assert (shown["unit"], shown["operator"]) == ("store-2", name)
    wrong = chain.client.call("POST", "/v1/login", {"operator": name, "password": PASSWORD, "unit": "store-3"})
    assert (wrong.status, wrong.code) == (401, "login_failed")


def test_roles_cover_as_the_table_says() -> None:
    """`people.roles.COVERS` and the table agree: a role covers another exactly when it may do all the other may."""
    may = {role: {name for name, allowed in MAY.items() if role in allowed} for role in roles.GRANTABLE}
    for own, other in itertools.product(roles.GRANTABLE, repeat=2):
        if own != other and not (own == roles.HQ and other == roles.ADMIN):  # equal powers; only the rank differs
            assert roles.covers(own, other) == (may[other] <= may[own]), (own, other)
    assert not roles.covers(roles.HQ, roles.ADMIN)


def test_denials_are_counted_and_told(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "cardapi.denials"):
        chain.person(C, "store-1").post("/v1/units", {"id": "x", "name": "x", "kind": "store", "parent": "issuer"})
    told = [record.facts for record in caplog.records if record.getMessage() == "denied"]  # type: ignore[attr-defined]
    assert [(facts["client"], facts["operation"], facts["code"]) for facts in told] == [
        ("operator:cashier-store-1", "createUnit", "not_allowed")
    ]
    assert 'cardcore_problems_total{operation="createUnit",code="not_allowed"}' in chain.admin.get("/metrics").body.decode()
