"""Coupons and gifts over HTTP: given, used in a sale, given back, traced; codes that work once; points for gifts (C15, K06, R04, R06).

Goal: what a till, a manager and a head office can do with coupons, and that a code is used once whoever shows it where.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json

import pytest

from cardapi.http.coupons import TRIES_MAX
from cardapi.store.verify import verify
from tests.coupons.packs import SHOP
from tests.http.client import Reply
from tests.http.conftest import Chain
from tests.settlement.test_grants import BASE, C03, rule


@pytest.fixture(scope="module")
def shop(chain: Chain) -> Chain:
    if not chain.shop.registry.versions("coupon-shop"):
        chain.made(chain.admin.post("/v1/schemes", {"pack": SHOP}))
    return chain


@pytest.fixture
def card(shop: Chain) -> str:
    return shop.card(programme="coupon-shop")


def give(shop: Chain, card: str, coupon: str, count: int = 1) -> list[str]:
    body = {"card": card, "coupon": coupon, "count": count, "reason": "a test"}
    return [given["coupon_id"] for given in shop.made(shop.admin.post("/v1/coupons/give", body))["coupons"]]


def pay(shop: Chain, card: str, fen: int, *coupons: str, verb: str = "settle", **more: object) -> Reply:
    body = {"card": card, "lines": [{"amount_fen": fen}], "shortfall_tender": "cash", "coupons": coupons, **more}
    return shop.tills["store-1"].post(f"/v1/{verb}", body)


def held(shop: Chain, card: str) -> list[str]:
    return [row["coupon"] for row in shop.made(shop.tills["store-1"].get(f"/v1/cards/{card}/coupons"))["coupons"]]


def today() -> dt.date:
    """By the clock of the desk, in the shop's own time."""
    return dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date()


def test_given_quoted_used_refunded(shop: Chain, card: str) -> None:
    (coupon,) = give(shop, card, "off-20")
    assert pay(shop, card, 99_99, "off-20").code == "coupon_not_applicable"
    quoted = shop.made(pay(shop, card, 100_00, "off-20", verb="quote"))
    assert quoted["net_fen"] == 80_00
    sold = shop.made(pay(shop, card, 100_00, coupon, explain=True))
    assert (sold["coupon_fen"], sold["net_fen"], sold["outside_fen"]) == (20_00, 80_00, 80_00)
    assert "优惠券 (满100减20)(总部承担): 20.00, 100.00 -> 80.00" in sold["explanation"]
    assert held(shop, card) == []
    assert pay(shop, card, 100_00, coupon).code == "no_coupon"
    back = shop.made(shop.tills["store-1"].post("/v1/refund", {"ticket_id": sold["ticket_id"], "reason": "a test"}))
    assert back["net_fen"] == 80_00
    assert held(shop, card) == ["off-20"]
    trace = shop.made(shop.admin.post("/v1/coupons/trace", {"coupon": coupon}))
    assert [(step["verb"], step["change"]) for step in trace["steps"]] == [("give", 1), ("settle", -1), ("refund", 1)]
    assert trace["state"] == "unused"


def test_a_coupon_of_another_card_is_no_coupon(shop: Chain, card: str) -> None:
    (coupon,) = give(shop, shop.card(programme="coupon-shop"), "off-20")
    assert pay(shop, card, 100_00, coupon).code == "no_coupon"
    assert pay(shop, card, 100_00, "rebate").code == "unknown_coupon"


def test_a_coupon_that_no_card_can_have_is_no_coupon(shop: Chain, card: str) -> None:
    """Ids as large as the pattern allows: none is more than a store can look for (no 5xx)."""
    for word in ("f" * 15 + ".1", "1." + "f" * 15, "0.0"):
        assert shop.admin.post("/v1/coupons/trace", {"coupon": word}).status == 404
        assert pay(shop, card, 100_00, word).code == "no_coupon"
        assert pay(shop, card, 100_00, word, verb="quote").code == "no_coupon"
    assert shop.admin.post("/v1/coupons/trace", {"coupon": "f" * 16 + ".1"}).status == 422


def test_a_batch_is_given_once(shop: Chain) -> None:
    cards = [shop.card(programme="coupon-shop") for _ in range(3)]
    body = {"batch": "spring", "coupons": ["off-20", "eighty"], "cards": cards, "reason": "a test"}
    first = shop.made(shop.admin.post("/v1/coupon-batches", body))
    assert (first["asked"], first["given"], first["before"]) == (6, 6, 0)
    again = shop.made(shop.admin.post("/v1/coupon-batches", {**body, "cards": [*cards, "6200000000000000"]}))
    nobody = {f"6200000000000000/{coupon}": "unknown_card" for coupon in ("off-20", "eighty")}
    assert (again["asked"], again["given"], again["before"], again["refused"]) == (8, 0, 6, nobody)
    checked = shop.made(shop.admin.post("/v1/coupon-batches", {**body, "batch": "autumn", "check": True}))
    assert (checked["given"], checked["missing"]) == (0, 6)
    assert sorted(held(shop, cards[0])) == ["eighty", "off-20"]


def test_what_a_batch_refused_is_tried_again(shop: Chain, card: str) -> None:
    """A card that was frozen when the batch came gets its coupon once it is thawed, and once only."""
    body = {"batch": "thaw", "coupons": ["off-20"], "cards": [card], "reason": "a test"}

    def send(**more: object) -> tuple[int, int, int, dict[str, str]]:
        told = shop.made(shop.admin.post("/v1/coupon-batches", {**body, **more}))
        return told["given"], told["before"], told["missing"], told["refused"]

    shop.made(shop.admin.post(f"/v1/cards/{card}/freeze", {"reason": "a test"}))
    refused = {f"{card}/off-20": "card_not_active"}
    assert [send(), send(), send(check=True)] == [(0, 0, 0, refused)] * 3
    shop.made(shop.admin.post(f"/v1/cards/{card}/unfreeze", {"reason": "a test"}))
    assert [send(), send(), send(check=True)] == [(1, 0, 0, {}), (0, 1, 0, {}), (0, 1, 0, {})]
    assert held(shop, card) == ["off-20"]


def test_a_batch_gives_up_on_who_refuses_for_ever(shop: Chain, card: str) -> None:
    body = {"batch": "never", "coupons": ["off-20"], "cards": [card], "reason": "a test"}
    shop.made(shop.admin.post(f"/v1/cards/{card}/freeze", {"reason": "a test"}))
    for _ in range(TRIES_MAX + 1):
        shop.made(shop.admin.post("/v1/coupon-batches", body))
    tried = [line for line in shop.made(shop.admin.get(f"/v1/cards/{card}/statement?limit=50"))["entries"] if line["verb"] == "give"]
    assert len(tried) == TRIES_MAX
    shop.made(shop.admin.post(f"/v1/cards/{card}/unfreeze", {"reason": "a test"}))
    told = shop.made(shop.admin.post("/v1/coupon-batches", body))
    assert (told["given"], told["refused"]) == (0, {f"{card}/off-20": "card_not_active"})


def codes(shop: Chain, count: int, coupon: str = "off-20", key: str = "") -> list[str]:
    body = {"batch": "flyer", "programme": "coupon-shop", "coupon": coupon, "count": count, "reason": "a test"}
    return list(shop.made(shop.admin.post("/v1/coupon-codes", body, key or None))["codes"])


def test_a_code_is_used_once_by_whom_shows_it_first(shop: Chain, card: str) -> None:
    code, other = codes(shop, 2)
    assert pay(shop, card, 100_00, code[:-1] + ("0" if code[-1] != "0" else "1")).code == "unknown_coupon"
    assert shop.made(shop.admin.post("/v1/coupons/trace", {"coupon": code}))["state"] == "open"
    assert pay(shop, card, 50_00, code).code == "coupon_not_applicable"  # and is still to be used
    sold = shop.made(pay(shop, card, 100_00, code))
    assert sold["net_fen"] == 80_00
    thief = shop.card(programme="coupon-shop")
    assert pay(shop, thief, 100_00, code).code == "no_coupon"
    assert pay(shop, card, 200_00, code).code == "no_coupon"
    shop.made(shop.tills["store-1"].post("/v1/void", {"ticket_id": sold["ticket_id"]}))
    assert shop.made(pay(shop, card, 100_00, code))["net_fen"] == 80_00
    assert shop.made(shop.admin.post("/v1/coupons/trace", {"coupon": code}))["state"] == "used"
    assert pay(shop, thief, 100_00, other, verb="quote").json["net_fen"] == 80_00


def test_sixty_four_tills_with_one_code(shop: Chain) -> None:
    (code,) = codes(shop, 1)
    cards = [shop.card(programme="coupon-shop") for _ in range(8)]
    body = {"lines": [{"amount_fen": 100_00}], "shortfall_tender": "cash", "coupons": [code]}

    async def race() -> list[Reply]:
        till, asked = shop.tills["store-2"], []
        for number in range(64):
            data, key = json.dumps({**body, "card": cards[number % 8]}).encode(), shop.client.key()
            sent = {**till.headers("POST", "/v1/settle", data, key), "Idempotency-Key": key}
            asked.append(shop.client.acall("POST", "/v1/settle", data, sent))
        return await asyncio.gather(*asked)

    answers = shop.loop.run_until_complete(race())
    assert sorted({answer.status for answer in answers}) == [200, 409]
    assert sum(answer.status == 200 for answer in answers) == 1
    assert {answer.code for answer in answers if answer.status == 409} == {"no_coupon"}


def test_one_person_makes_so_many_a_day_and_more_with_a_second(shop: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes, coupons for a card and batches count together; what a second person allowed is for one operator and one day (R3)."""
    for module in ("desk", "http"):
        monkeypatch.setattr(f"cardapi.{module}.coupons.day_of", lambda at_s: dt.date(2030, 1, 1))
    hq, store = shop.person("hq", "issuer"), shop.person("manager", "store-1")
    card = shop.card(programme="coupon-shop", who=store)
    body = {"batch": "flood", "programme": "coupon-shop", "coupon": "off-20", "reason": "a test"}
    made = [hq.post("/v1/coupon-codes", {**body, "count": count}, key=f"flood-{count}") for count in (500, 499)]
    assert [reply.status for reply in made] == [201, 201]
    one = {"card": card, "coupon": "voucher-5", "reason": "a test"}
    refused = hq.post("/v1/coupons/give", {**one, "count": 2})
    assert (refused.code, refused.json["left"], refused.json["limit"]) == ("coupon_limit", 1, 1_000)
    batch = {"batch": "flood", "coupons": ["voucher-5", "eighty"], "cards": [card], "reason": "a test"}
    assert shop.made(hq.post("/v1/coupon-batches", batch))["refused"] == {f"{card}/eighty": "coupon_limit"}
    refused = hq.post("/v1/coupon-codes", {**body, "count": 1})
    assert (refused.code, "today" in refused.json["detail"]) == ("coupon_limit", True)
    assert hq.post("/v1/coupon-codes", {**body, "count": 499}, key="flood-499").json == made[1].json, "what was made is shown again"
    shop.made(store.post("/v1/coupons/give", one))  # somebody else's day

    wish = {"count": 2, "reason": "the anniversary"}
    name = shop.made2(hq.post("/v1/coupon-allowances", wish, key="wish"))["approval_id"]
    assert shop.made2(hq.post("/v1/coupon-allowances", wish, key="wish"))["approval_id"] == name
    assert hq.post("/v1/coupons/give", one).code == "coupon_limit", "asking is not having"
    assert hq.post(f"/v1/approvals/{name}/approve", {}).code == "maker_is_checker"
    assert store.post(f"/v1/approvals/{name}/approve", {}).code == "not_found", "a store does not allow head office anything"
    allowed = {"operator": "hq-issuer", "day": "2030-01-01", "limit": 1_002, "made": 1_000}
    for _ in range(2):
        assert shop.made(shop.admin.post(f"/v1/approvals/{name}/approve", {})) == allowed
    assert shop.made(hq.post("/v1/coupon-batches", batch))["given"] == 1, "what was refused is tried again"
    shop.made(hq.post("/v1/coupons/give", one))
    assert hq.post("/v1/coupons/give", one).json["left"] == 0
    assert store.post("/v1/coupons/give", {**one, "count": 100}).status == 200
    for module in ("desk", "http"):
        monkeypatch.setattr(f"cardapi.{module}.coupons.day_of", lambda at_s: dt.date(2030, 1, 2))
    assert hq.post("/v1/coupons/give", {**one, "count": 100}).status == 200, "another day"


def test_stock_is_counted(shop: Chain, card: str) -> None:
    give(shop, card, "rare", 2)
    body = {"card": card, "coupon": "rare", "count": 2, "reason": "a test"}
    refused = shop.admin.post("/v1/coupons/give", body)
    assert (refused.code, refused.json["left"]) == ("out_of_stock", 1)
    give(shop, card, "rare")
    assert shop.admin.post("/v1/coupons/give", {**body, "count": 1}).code == "out_of_stock"


def test_points_for_a_voucher_and_for_a_thing(shop: Chain, card: str) -> None:
    shop.made(pay(shop, card, 2_500_00))
    bought = shop.made(shop.tills["store-1"].post("/v1/redeem", {"card": card, "gift": "voucher", "quantity": 2}))
    assert (bought["points_used"], bought["points"], len(bought["coupons"])) == (2_000, 500, 2)
    assert shop.made(pay(shop, card, 12_00, "voucher-5", "voucher-5"))["net_fen"] == 2_00
    assert shop.tills["store-1"].post("/v1/redeem", {"card": card, "gift": "voucher"}).code == "insufficient_points"
    before = today()
    answer = shop.tills["store-1"].post("/v1/redeem", {"card": card, "gift": "towel", "item": "blue"})
    if before == today():  # not over midnight
        assert answer.code == ("" if before.day <= 4 else "gift_not_available")
    gifts = shop.made(shop.tills["store-1"].get("/v1/schemes/coupon-shop/gifts"))["gifts"]
    assert [gift["gift"] for gift in gifts] == ["voucher", "towel"]


WELCOME = SHOP.replace('"coupon-shop"', '"welcome-shop"').replace("[[coupon]]", """[[award]]
name = "welcome"
id = "off-20"
[[award]]
name = "birthday"
id = "cup"
[[benefit]]
name = "a coupon for who registers (K06)"
when = { event = ["registration"] }
then = { grant = "welcome", amount = 2 }
[[benefit]]
name = "a coffee on the birthday (K04)"
when = { birthday = "day" }
then = { grant = "birthday", amount = 1 }
[[coupon]]""", 1)  # fmt: skip


def test_what_registers_and_has_a_birthday_gets_its_coupons(shop: Chain) -> None:
    shop.made(shop.admin.post("/v1/schemes", {"pack": WELCOME}))
    card = shop.card(programme="welcome-shop")
    day = today()
    born = day.replace(year=1988)  # a leap year: any day is one of its
    shop.made(shop.tills["store-1"].post("/v1/members", {"name": "Zhang", "birthday": born.isoformat(), "card": card}))
    assert held(shop, card) == ["off-20", "off-20"]
    sold = shop.made(pay(shop, card, 10_00))
    if day == today():  # not over midnight
        assert sorted(held(shop, card)) == ["cup", "off-20", "off-20"]
    shop.made(shop.tills["store-1"].post("/v1/refund", {"ticket_id": sold["ticket_id"], "reason": "a test"}))
    assert held(shop, card) == ["off-20", "off-20"]


def test_a_card_tells_what_it_owes_and_pays_it(shop: Chain) -> None:
    """Eight visits, a rebate and a point for each yuan, of which some are used before the ticket goes back (decision 0020)."""
    points = rule("points", 'accrue = "points", amount = 1, per_fen = 1_00, base = ["outside"]')
    spent = rule("pay", 'deduct = "points", units = 1, worth_fen = 1')
    stamps = rule("stamp", 'grant = "wash", amount = 8', "amount_min_fen = 400_00")
    text = BASE.replace('"plan"', '"owing"') + C03 + stamps + points + spent
    shop.made(shop.admin.post("/v1/schemes", {"pack": text}))
    card, till = shop.card(programme="owing"), shop.tills["store-1"]
    wash = {"amount_fen": 10_00, "quantity": 3, "category": "wash", "flags": ["cover"]}

    def owed() -> tuple[int, int, list[dict[str, object]]]:
        shown = shop.made(till.get(f"/v1/cards/{card}"))
        return shown["owed_fen"], shown["owed_points"], shown["owed"]

    bought = shop.made(pay(shop, card, 400_00))
    assert owed() == (0, 0, [])
    shop.made(till.post("/v1/settle", {"card": card, "lines": [wash]}))
    shop.made(pay(shop, card, 24_00, points=400))
    shop.made(till.post("/v1/refund", {"ticket_id": bought["ticket_id"], "reason": "a test"}))
    assert owed() == (20_00, 400, [{"purse": "wash", "unit": "visits", "amount": 3}])
    shop.made(pay(shop, card, 400_00))
    assert owed() == (0, 0, [])


def test_the_books_are_in_order(shop: Chain) -> None:
    report = verify(shop.shop.desk._store.reader(), shop.shop.custody.chain_key)
    assert report.ok, report.first_bad
