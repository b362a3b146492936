"""A shop in whose journal every verb stands, in every form of body: what is kept of a release, for later ones to read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cardapi.app import create_shop
from cardapi.coupons import codes
from cardapi.custody import Pin
from cardapi.ids import home
from cardapi.members.enrol import Claim
from cardapi.members.profile import Evidence
from cardapi.shipped import law_text
from cardapi.store.fold import CARD_VERBS, CLEARING_VERBS, MONEY_VERBS, RECORD_VERBS
from cardapi.store.media import Shown, pack_shown
from cardapi.store.port import Entry
from cardcore.clearing.body import Case
from cardcore.settlement import (
    Adjust,
    Arrive,
    Capture,
    Clear,
    Event,
    Expire,
    Give,
    Load,
    Pay,
    Redeem,
    Refund,
    Return,
    Reverse,
    Review,
    Sale,
    TopUp,
    Transfer,
    Unload,
    Void,
)  # fmt: skip
from tests.clearing.yard import NOW, Yard
from tests.coupons.desk import AWARDING
from tests.desk.till import PLAIN, Till
from tests.members.till import MARKET, enrol, person, publish

VERBS = frozenset(MONEY_VERBS - {"quote"} | CARD_VERBS | RECORD_VERBS | CLEARING_VERBS | {"change", "tombstone"})
PARTITIONS = 2
DAY_US = 86_400_000_000
EVERY = PLAIN.replace('"plain"', '"every"').replace("[[purse]]", """[membership]
suspend_months = 6
[review]
per = "year"
fall = "balance"
[[counter]]
name = "paid-year"
counts = "paid"
per = "year"
[[tier]]
name = "ordinary"
[[tier]]
name = "gold"
counter = "paid-year"
counter_min = 1000_00
[[purse]]
name = "rebates"
unit = "fen"
role = "bonus"
[[purse]]
name = "points"
unit = "points"
role = "points"
expires_after = "P1Y"
[[benefit]]
name = "a point a yuan"
then = { accrue = "points", amount = 1, per_fen = 1_00, base = ["principal", "outside"] }
[[benefit]]
name = "gold pays 88 %"
when = { tier = ["gold"] }
then = { discount = "88/100" }
[[benefit]]
name = "5 % back"
then = { rebate = "rebates", share = "5/100", base = ["principal", "outside"] }
[[benefit]]
name = "welcome"
when = { event = ["registration"] }
then = { grant = "points", amount = 100 }
[[benefit]]
name = "a draw"
when = { event = ["draw"] }
then = { draw = "points", units = 50, prizes = [{ weight = 1, grant = "rebates", amount = 5_00 }, { weight = 1 }] }
[[purse]]""", 1)  # fmt: skip


class Life:
    """The clock stands where `now` says, so that years pass between two entries. Microseconds."""

    def __init__(self, directory: Path) -> None:
        create_shop(directory, password="correct horse", partitions=PARTITIONS)
        self.now = int(NOW.timestamp()) * 1_000_000
        self.till = Till(directory, self.clock)
        for name, pack in (("every", EVERY), ("coupon-shop", AWARDING)):
            self.done("change", payload={"kind": "programme", "id": f"{name}@1", "document": {"valid_from": 0, "pack": pack}})

    def clock(self) -> int:
        self.now += 1
        return self.now

    def done(self, verb: str, **fields: Any) -> Entry:
        return self.till.done(verb, **fields)

    def of(self, entry: Entry, verb: str, command: Any) -> Entry:
        """A verb about an entry of before."""
        return self.done(verb, card=entry.card, ref=entry.position, partition=entry.partition, command=command)

    def sale(self, card: str, fen: int, *, verb: str = "settle", **words: Any) -> Entry:
        command = Sale(verb, [(fen, 1)], shortfall_tender="cash", hold_seconds=600, explain=True, **words)
        return self.done(verb, card=card, command=command, operator="admin")

    def apart(self, fen: int) -> tuple[str, str]:
        """Two cards that live in different partitions."""
        cards: dict[int, str] = {}
        while len(cards) < PARTITIONS:
            number = self.till.card(fen)
            cards[home(number, PARTITIONS)] = number
        return cards[0], cards[1]


def live(directory: Path) -> Life:
    """A new shop that did everything once."""
    life = Life(directory)
    _clearing(life)
    _cards(life)
    _money(life)
    _rules(life)
    _members(life)
    _coupons(life)
    _chips(life)
    _lawful(life)
    life.now += 800 * DAY_US
    late = life.till.card(1_00, "every")
    life.sale(late, 900_00)
    life.now += 800 * DAY_US
    life.done("expire", card=late, command=Expire())
    life.done("review", card=late, command=Review())
    return life


def _cards(life: Life) -> None:
    till, pin = life.till, Pin.parse("482913")
    card = till.card(0, "guarded", "482913")
    till.ask("verify_pin", card=card, pin=Pin.parse("000000"))
    life.done("verify_pin", card=card, pin=pin)
    till.ask("verify_pin", card=card, pin=Pin.parse("000000"))
    till.topup(card, 100_00)
    life.done("settle", card=card, pin=pin, command=Sale("settle", [(20_00, 1)]))  # after a wrong try: `pin_cleared` comes with it
    for _ in range(3):
        till.ask("verify_pin", card=card, pin=Pin.parse("000000"))
    life.done("unlock_pin", card=card)
    for verb in ("freeze", "unfreeze", "lost"):
        life.done(verb, card=card, operator="admin", reason="found in the shop 门店")
    life.done("reissue", card=card, payload={"prefix": "8802"})
    life.done("swap", card=till.card(3_00), payload={"prefix": "8802"})
    life.done("exclude", card=till.card())
    life.done("expire_card", card=till.card())
    life.done("cancel", card=till.card())
    life.done("take_back", card=(back := till.card()), operator="admin")
    life.done("destroy", card=back, operator="second")
    life.done("issue", card=life.done("stock", payload={"programme": "plain", "prefix": "8803"}).card, payload={})


def _money(life: Life) -> None:
    till = life.till
    one, two = life.apart(20_00)
    moved = life.done("transfer", card=one, further=(two,), command=Transfer(5_00))
    life.of(moved, "reverse", Reverse())
    joint = life.done("settle", card=one, further=(two,), command=Sale("settle", [(15_00, 1), (5_00, 3)]))
    life.of(joint, "refund", Refund(lines=[1]))
    life.of(joint, "refund", Refund())
    life.of(life.sale(two, 50_00), "refund", Refund(amount_fen=7_77))
    life.of(life.sale(two, 8_00), "void", Void())
    hold = life.sale(two, 4_00, verb="hold")
    life.of(hold, "capture", Capture(1_50))
    life.of(life.sale(one, 1_00, verb="hold"), "void", Void())
    life.sale(one, 1_00, verb="hold")  # stays open
    life.done("adjust", card=one, command=Adjust("principal", -2_00), operator="admin", approver="second", reason="counted twice")
    life.done("void", ref_key=("terminal:t1", "never sent"), command=Void())
    till.sale(one, 10_000_00)  # refused


def _rules(life: Life) -> None:
    """Counters, tiers, rebates that were spent before their ticket was given back, draws."""
    card = life.till.card(0, "every")
    bought = life.sale(card, 1000_00)
    life.sale(card, 30_00)  # paid by the rebate, at the tier that the first sale gave
    life.of(bought, "refund", Refund())  # the rebate is owed now
    life.sale(card, 600_00)
    owing = life.till.card(0, "every")
    bought = life.sale(owing, 100_00)
    life.sale(owing, 5_00)
    life.of(bought, "refund", Refund())  # and stays owed
    for number in range(2):
        life.done("event", card=card, meaning=["event", number], command=Event("draw", random=1 << 61, explain=True))
    life.done("topup", card=card, command=TopUp(33_00, tender="bank"))


def _members(life: Life) -> None:
    card = life.till.card(0, "every")
    evidence = Evidence("id_card", "11010519491231002X", "张伟")
    first = enrol(life.till, person(evidence=evidence, birthday="1949-12-31", tags=("vip",)), card=card, consents=("sms",))
    second = enrol(life.till, referrer=first)
    facts = {"member": first, "changes": {"email": "zhang@example.com"}}
    life.done("profile", payload=facts)
    life.done("consent", payload={"member": first, "consents": ("email",)})
    other = life.till.card(1_00)
    life.done("link", card=other, payload={"member": second})
    life.done("member_state", payload={"member": second, "state": "suspended"})
    life.done("member_state", payload={"member": second, "state": "active"})
    life.done("unlink", card=other, payload={"member": second})
    life.done("disclose", payload={"member": first}, operator="admin", reason="asked by the member")
    two = {"operator": "admin", "approver": "second", "reason": "one person"}
    life.done("merge", payload={"member": first, "into": enrol(life.till)}, **two)
    life.done("split", payload={"member": first}, **two)
    life.done("disqualify", payload={"member": first}, **two)
    life.done("erase", payload={"member": second}, operator="admin", reason="asked by the member")
    publish(life.till, MARKET)
    paying = life.till.card(0, "market")
    enrol(life.till, card=paying, claim=Claim("group", fee_fen=4_00))
    life.done("lost", card=paying)
    life.done("reissue", card=paying, payload={"prefix": "8801", "fee_fen": 2_00, "fee_tender": "bank"})


def _lawful(life: Life) -> None:
    """A top-up and a purchase while a law says which document goes with them."""
    document = {"id": "law", "pack": law_text("cn-prepaid"), "issuer_class": "scale", "licensed": False, "state": "on"}
    life.done("change", payload={"kind": "law", "id": "law", "document": document})
    card = life.till.card(100_00)
    life.sale(card, 10_00)
    life.done("change", payload={"kind": "law", "id": "law", "document": document | {"state": "off"}})


def _coupons(life: Life) -> None:
    till = life.till
    card = till.card(0, "coupon-shop")
    given = life.done("give", card=card, command=Give("rare", 2))
    life.of(given, "reverse", Reverse(unused=True))
    bought = life.sale(card, 2000_00)  # awards two coupons
    used = life.sale(card, 100_00, coupons=("off-20",))
    life.of(bought, "refund", Refund())  # one of the two is used: it is owed
    life.of(used, "refund", Refund())  # and goes back with its ticket
    life.sale(card, 2000_00)
    life.done("redeem", card=card, command=Redeem("voucher"))
    life.done("allow_coupons", payload={"count": 5}, operator="ann", approver="bob")
    facts = {"programme": "coupon-shop", "coupon": "eighty", "count": 2, "ends": 0, "batch": "leaflet"}
    made = life.done("make_codes", payload=facts)
    custody = till.shop.custody
    code = codes.make(custody.coupon_key(made.client, made.client_key), 0)
    life.sale(card, 50_00, coupons=("#" + codes.name(custody, codes.parse(code)),))
    life.now += 10 * DAY_US  # gifts go out on the first four days of a month
    life.done("redeem", card=card, command=Redeem("towel", item="blue"))


def _chips(life: Life) -> None:
    card, other = life.till.card(50_00), life.till.card()
    chip = "pboc:1000000010000000" + "00" * 9 + "01"
    for number, name in ((card, chip), (other, "uid:01")):
        life.done("register_medium", card=number, payload={"medium": name, "keys": [[1, 0, 0]], "purse": 2 * (name == chip)})
    for verb in ("block_medium", "unblock_medium", "retire_medium"):
        life.done(verb, payload={"medium": "uid:01"})
    shown = [pack_shown(Shown(chip, n, 0, fen)) for n, fen in ((0, 0), (1, 20_00), (1, 15_00), (1, 10_00))]
    life.of(life.done("load", card=card, command=Load(20_00, memo=shown[0])), "arrive", Arrive(memo=shown[1]))
    life.of(life.done("pay", card=card, command=Pay(5_00, memo=shown[1])), "return", Return(memo=shown[1]))
    life.of(life.done("pay", card=card, command=Pay(5_00, memo=shown[1])), "arrive", Arrive(memo=shown[2]))
    life.done("clear", card=card, command=Clear(5_00, memo=shown[2]))
    life.done("unload", card=card, command=Unload(1_00, memo=shown[3]))  # stays in flight


def _clearing(life: Life) -> None:
    yard = Yard(life.till.directory, till=life.till)  # with a clock of its own
    card, chip = yard.card(80_00), yard.card(30_00, chip=True)
    odd = yard.card(10_00)
    odd.balance = 100_00  # by what it says itself
    good, held = yard.pay(card, 12_50), yard.pay(odd, 60_00)
    forged = replace(yard.pay(card, 1_00), tac=bytes(4))
    yard.upload([good, held, forged, good])
    yard.upload([yard.debit(chip, 4_00, terminal=1)], batch=2)
    case = Case("seen:1", "counter_back", "", 0, "a", "s1", 0, 0, 0, "", {"counter": 7})
    life.done("open_case", payload={"case": case})
    life.done("close_case", payload={"case": "seen:1"}, operator="admin", reason="the card was read twice")
    life.till.shop.desk._clock = life.clock
