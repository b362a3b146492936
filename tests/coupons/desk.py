"""What holds of coupons at any desk, whichever store is under it: asked by the suites of both stores."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cardapi.coupons import codes
from cardapi.desk import Desk, Problem, Request
from cardcore.settlement import Account, Give, Refund, Reverse, Sale
from tests.coupons.packs import SHOP
from tests.desk.till import Till

AWARDING = SHOP.replace("[[coupon]]", """[[award]]
name = "thanks"
id = "off-20"
[[benefit]]
name = "a coupon for 500 yuan"
when = { amount_min_fen = 500_00 }
then = { grant = "thanks", amount = 2 }
[[coupon]]""", 1)  # fmt: skip
RACERS = 64


def publish(till: Till, pack: str = SHOP) -> None:
    till.done("change", payload={"kind": "programme", "id": "coupon-shop@1", "document": {"valid_from": 0, "pack": pack}})


def coupons(till: Till, card: str) -> int:
    """How many uses of coupons the store holds for a card."""
    found = till.shop.store.reader().read([card])[card]
    return sum(lot.amount for lot in Account.unpack(found.account.state).lots() if lot.purse >= 64)


def sale(till: Till, card: str, fen: int, *words: str) -> Request:
    return till.request("settle", card=card, meaning=["settle", card, fen, words, next(till.numbers)],
                        command=Sale("settle", [(fen, 1)], shortfall_tender="cash", coupons=words))  # fmt: skip


def done_at(desk: Desk, request: Request) -> str:
    while True:
        try:
            entry = desk.call(request)
        except Problem as problem:  # two processes wanted the same: the same request again, as a till does
            if problem.code != "busy":
                raise
        else:
            return entry.code or entry.outcome


def all_at_once(desks: Sequence[Desk], requests: Sequence[Request]) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda pair: done_at(desks[pair[0] % len(desks)], pair[1]), enumerate(requests)))


def race_for_a_code(till: Till, desks: Sequence[Desk]) -> str:
    """A bearer code is shown with many cards at once: one sale takes it, whichever partition and process. Returns the code."""
    cards = [till.card(0, "coupon-shop") for _ in range(8)]
    facts = {"programme": "coupon-shop", "coupon": "off-20", "count": 1, "ends": 0, "batch": "race"}
    made = till.done("make_codes", payload=facts)
    custody = till.shop.custody
    code = codes.make(custody.coupon_key(made.client, made.client_key), 0)
    word = "#" + codes.name(custody, codes.parse(code))
    outcomes = all_at_once(desks, [sale(till, cards[number % 8], 100_00, word) for number in range(RACERS)])
    assert sorted(outcomes) == ["applied"] + ["no_coupon"] * (RACERS - 1)
    assert [coupons(till, card) for card in cards] == [0] * 8
    return code


def stock_is_exact(till: Till, desks: Sequence[Desk]) -> None:
    """Of three coupons three are given, whoever asks at once; one that is taken back can be given again."""
    cards = [till.card(0, "coupon-shop") for _ in range(8)]
    requests = [till.request("give", card=card, meaning=["give", card, number], command=Give("rare"))
                for number, card in enumerate(cards * 2)]  # fmt: skip
    outcomes = all_at_once(desks, requests)
    assert sorted(outcomes) == ["applied"] * 3 + ["out_of_stock"] * 13
    assert sum(coupons(till, card) for card in cards) == 3
    given = desks[0].call(requests[outcomes.index("applied")])  # the same request: the same entry
    till.done("reverse", card=given.card, of=given, command=Reverse())
    again = [till.ask("give", card=card, meaning=["again", card], command=Give("rare")) for card in cards[:2]]
    assert [entry.outcome for entry in again] == ["applied", "refused"]


def awarded_and_taken_back(till: Till, card: str = "") -> None:
    """A rule awards two coupons; a refund takes back the one that nobody has used, and the other once its sale goes back, too."""
    if not card:
        publish(till, AWARDING)
        card = till.card(0, "coupon-shop")
    bought = till.shop.desk.call(sale(till, card, 500_00))
    assert coupons(till, card) == 2
    used = till.shop.desk.call(sale(till, card, 100_00, "off-20"))
    assert used.outcome == "applied"
    back = till.done("refund", card=card, of=bought, command=Refund())
    assert coupons(till, card) == 0
    names = [f"award:{bought.partition}:{bought.position}:{place}" for place in range(8)]
    made = till.shop.store.reader().find_keys([("system", name) for name in names])
    assert [entry.verb for entry in made.values()] == ["give"]
    assert back.outcome == "applied"
    till.done("refund", card=card, of=used, command=Refund())
    assert coupons(till, card) == 0, "it is due"

