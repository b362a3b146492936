"""A shop that lives through some weeks from a seed: every money verb, through the desk, on cards of several programmes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random

from cardapi.shipped import pack_text
from cardapi.store.port import Entry
from cardcore.errors import InvalidCommand
from cardcore.settlement import (
    COVER,
    REDEEM,
    SPECIAL_PRICE,
    Adjust,
    Capture,
    Event,
    Expire,
    Give,
    Line,
    Redeem,
    Refund,
    Reverse,
    Sale,
    TopUp,
    Transfer,
    Void,
)
from tests.coupons.desk import AWARDING
from tests.desk.till import Problem, Till

START_S = 1_767_312_000  # 2026-01-02 00:00:00 UTC
# Points buy sooner, what there is only so much of runs out, rules ask whether it has, and articles, which the journal does not have, are
# not asked for.
COUPON_SHOP = (
    AWARDING.replace("points = 1_000", "points = 100")
    .replace("stock = 3", "stock = 1")
    .replace('when = { sku = ["latte", "mocha"] }', "")
    .replace('[[award]]', """[[benefit]]
name = "while there are towels"
when = { stock = ["towel"] }
then = { grant = "points", amount = 7 }
[[benefit]]
name = "while there are rare coupons"
when = { stock = ["rare"] }
then = { discount = "9/10" }
[[award]]""", 1)
    .replace("[[purse]]", "[limits]\ntransfer_points = true\n[[purse]]", 1)
)  # fmt: skip
PACKS = ("mall-vip", "spa", "four-tiers", "rebate-card", "e-commerce", "lottery-shop", "coupon-shop")
EVENTS = ("check-in", "referral", "registration", "draw", "quarter", "unheard-of")
CATEGORIES = {"mall-vip": ("", "shoes"), "spa": ("massage", "gym", "facial", "foot-bath"), "four-tiers": ("shipping", "", "tea")}
PRODUCTS = (("massage-10", 1280_00), ("gym-year", 2980_00), ("care-package", 680_00), ("back-course-12", 2400_00))


class LivedIn:
    """A till whose clock the test moves, with three cards of each pack."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.choose = Random(seed)
        self.now_us = START_S * 1_000_000
        self.till = Till(directory, clock=lambda: self.now_us, partitions=1)
        for name in PACKS:
            text = COUPON_SHOP if name == "coupon-shop" else pack_text(name)
            payload = {"kind": "programme", "id": f"{name}@1", "document": {"valid_from": 0, "pack": text}}
            self.till.ask("change", key=f"publish {name}", payload=payload)
        self.cards = [(self.till.card(0, name), name) for name in PACKS for _ in range(2)]
        self.entries: list[Entry] = []

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.now_us += self.choose.choice((1, 3_600, 86_400, 3 * 86_400)) * 1_000_000
            with contextlib.suppress(InvalidCommand, Problem):  # a till's mistake: nothing is recorded
                self.entries.append(self.step())

    def step(self) -> Entry:
        """One request; what the desk refuses is part of the life."""
        number, name = self.choose.choice(self.cards)
        dice = self.choose.random()
        if name == "coupon-shop" and dice < 0.45:
            return self.coupons(number, dice)
        if dice < 0.25:
            return self.top_up(number, name)
        if dice < 0.75:
            return self.sell(number, name)
        if dice < 0.88 and self.entries:
            entry = self.choose.choice(self.entries[-12:])
            command = self.undo(entry)
            if command is not None and entry.outcome == "applied":
                return self.till.ask(command[0], command=command[1], of=entry, meaning=[command[0], entry.position])
        match self.choose.randrange(5):
            case 0:
                return self.till.ask(
                    "transfer", card=number, command=Transfer(self.choose.randint(1, 50_00)), further=(self.other(number),)
                )
            case 1:
                return self.till.ask("expire", card=number, command=Expire())
            case 2 | 3:
                happens = Event(self.choose.choice(EVENTS), random=self.choose.getrandbits(62))
                return self.till.ask("event", card=number, command=happens)
            case _:
                purse = self.choose.choice(("principal", "points", "bonus"))
                return self.till.ask("adjust", card=number, command=Adjust(purse, self.choose.choice((2_000, 50_00, -5))), approver="boss")

    def coupons(self, number: str, dice: float) -> Entry:
        """Coupons are given, used and bought with points, and points move."""
        if dice < 0.05:
            [other] = [other for other, name in self.cards if name == "coupon-shop" and other != number]
            moved = Transfer(self.choose.randint(1, 50), unit="points")
            return self.till.ask("transfer", card=number, command=moved, further=(other,))
        if dice < 0.15:
            kind = self.choose.choice(("off-20", "eighty", "cup", "voucher-5", "rare", "rare"))
            return self.till.ask("give", card=number, command=Give(kind, self.choose.choice((1, 2))))
        if dice < 0.28:
            gift = self.choose.choice((Redeem("voucher"), Redeem("towel", item=self.choose.choice(("white", "blue")))))
            return self.till.ask("redeem", card=number, command=gift)
        words = self.choose.choice((("off-20",), ("eighty", "voucher-5"), ("cup",), ("each-50",), ("eighty",)))
        sale = Sale("settle", [Line(self.choose.choice((120_00, 560_00))), Line(30_00)], shortfall_tender="cash", coupons=words)
        return self.till.ask("settle", card=number, command=sale)

    def other(self, number: str) -> str:
        return self.choose.choice([other for other, _ in self.cards[:4] if other != number])  # of packs that allow transfers

    def top_up(self, number: str, name: str) -> Entry:
        if name == "spa" and self.choose.random() < 0.5:
            product, price = self.choose.choice(PRODUCTS)
            return self.till.ask("topup", card=number, command=TopUp(price, product=product, tender="bank"))
        return self.till.ask("topup", card=number, command=TopUp(self.choose.choice((50_00, 1000_00, 2500_00))))

    def sell(self, number: str, name: str) -> Entry:
        verb = self.choose.choice(("settle",) * 5 + ("hold",))
        sale = Sale(
            verb, [self.line(name) for _ in range(self.choose.choice((1, 1, 2, 4)))], points=self.choose.choice((0, 0, 0, -1, 100)),
            shortfall_tender=self.choose.choice(("cash", "cash", "bank", "")), stored_max_fen=self.choose.choice((-1, -1, -1, 20_00)),
            hold_seconds=self.choose.choice((3_600, 9 * 86_400)) if verb == "hold" else 0,
        )  # fmt: skip
        further = (self.other(number),) if self.choose.random() < 0.15 else ()
        return self.till.ask(verb, card=number, command=sale, further=further)

    def line(self, name: str) -> Line:
        flags = self.choose.choice((0, 0, 0, 0, SPECIAL_PRICE, REDEEM if name == "mall-vip" else 0, COVER if name == "spa" else 0))
        price = self.choose.choice((79_01, 188_00, 399_99, self.choose.randint(1, 900_00)))
        if flags in (REDEEM, COVER):
            return Line(price, 1, self.choose.choice(CATEGORIES.get(name, ("",))), flags=flags)
        rate = self.choose.choice(((1, 1), (1, 1), (8, 10), (2, 3)))
        less = self.choose.choice((0, 0, 0, 1, price // 9))
        return Line(
            price,
            self.choose.choice((1, 1, 3)),
            self.choose.choice(CATEGORIES.get(name, ("",))),
            "",
            flags,
            *rate,
            less,
            self.choose.choice((0, 0, less // 2)),
        )

    def undo(self, entry: Entry) -> tuple[str, Capture | Void | Refund | Reverse] | None:
        match entry.verb:
            case "hold":
                return self.choose.choice((("capture", Capture()), ("capture", Capture(self.choose.randint(1, 79_00))), ("void", Void())))
            case "settle" | "capture":
                part = Refund(amount_fen=self.choose.randint(1, 79_00))
                return self.choose.choice(
                    (("refund", part), ("refund", part), ("refund", Refund(lines=(0,))), ("refund", Refund()), ("void", Void()))
                )
            case "topup" | "transfer" | "adjust" | "give" | "redeem":
                return "reverse", Reverse()
            case _:
                return None
