"""Goal: whatever is given, awarded, used, held, exchanged and given back in whatever order, each coupon is where it should be, and of what
there is only so much of exactly so many are out (P3). Method: a plain model of lists and counts beside a shop, from a seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from cardapi.coupons import model
from cardapi.store.port import Entry
from cardcore.settlement import Account, Adjust, Capture, Give, Redeem, Refund, Reverse, Sale, Void
from tests.coupons.desk import AWARDING, publish
from tests.desk.till import Till
from tests.support import sized

PACK = (
    AWARDING.replace('id = "off-20"', 'id = "rare"')
    .replace("stock = 3", "stock = 6")
    .replace("per_ticket = 16", "per_ticket = 16\nuses = 2")
    .replace('quota = [{ units = 3, per = "month" }]', "")
)
NOON_US = 1_767_326_400_000_000  # 2026-01-02 12:00 +08:00: gifts go out on the first four days
STOCK = {"rare": 6, "towel:white": 2, "towel:blue": 2}
USES = {"rare": 1, "voucher-5": 2}


@dataclass(eq=False)
class Coupon:
    """One coupon: how many of its uses lie on the card, and whether what gave it was given back meanwhile."""

    card: str
    kind: str
    here: int
    due: bool = False


@dataclass
class Ticket:
    """What a sale or hold used and awarded, or what an entry gave."""

    entry: Entry
    used: list[Coupon] = field(default_factory=list)
    gave: list[Coupon] = field(default_factory=list)
    gift: str = ""
    open: bool = True


class Model:
    """What should be: coupons in the order they were made, counts of what is out, and the codes that answers should have."""

    def __init__(self) -> None:
        self.coupons: list[Coupon] = []
        self.out: Counter[str] = Counter()

    def give(self, card: str, kind: str, count: int) -> list[Coupon] | None:
        if kind in STOCK and self.out[kind] + count > STOCK[kind]:
            return None
        self.out[kind] += count
        made = [Coupon(card, kind, USES[kind]) for _ in range(count)]
        self.coupons += made
        return made

    def first(self, card: str, kind: str) -> Coupon | None:
        return next((one for one in self.coupons if (one.card, one.kind) == (card, kind) and one.here), None)

    def returned(self, ticket: Ticket) -> None:
        """Uses come back, and go on to where they came from if what gave them has gone."""
        for one in ticket.used:
            one.here += 1
            if one.due:
                self.take(one)
        for one in ticket.gave:
            one.due = one.here < USES[one.kind]
            self.take(one)

    def take(self, one: Coupon) -> None:
        self.out[one.kind] -= one.here == USES[one.kind]
        one.here = 0


class Shop:
    """A till beside the model: each step asks the one and tells the other."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.choose = Random(seed)
        self.till = Till(directory, clock=lambda: NOON_US)
        publish(self.till, PACK)
        self.cards = [self.till.card(0, "coupon-shop") for _ in range(3)]
        for card in self.cards:
            self.till.done("adjust", card=card, command=Adjust("points", 10_000), approver="boss")
        self.model = Model()
        self.tickets: list[Ticket] = []
        self.met: Counter[str] = Counter()

    def step(self) -> None:
        card = self.choose.choice(self.cards)
        open_ = [ticket for ticket in self.tickets if ticket.open]
        dice = self.choose.random()
        if open_ and dice < 0.4:
            self.undo(self.choose.choice(open_))
        elif dice < 0.55:
            self.give(card)
        elif dice < 0.65:
            self.exchange(card)
        else:
            self.sell(card)
        self.agree()

    def note(self, what: str, entry: Entry, expected: str) -> bool:
        self.met[f"{what} {entry.code or entry.outcome}"] += 1
        assert (entry.code or entry.outcome) == expected, what
        return entry.outcome == "applied"

    def give(self, card: str) -> None:
        kind, count = self.choose.choice(("rare", "voucher-5")), self.choose.choice((1, 2))
        made = self.model.give(card, kind, count)
        entry = self.till.ask("give", card=card, command=Give(kind, count), meaning=[len(self.tickets), self.choose.random()])
        if self.note("give", entry, "applied" if made is not None else "out_of_stock"):
            self.tickets.append(Ticket(entry, gave=made or []))

    def exchange(self, card: str) -> None:
        item = self.choose.choice(("white", "blue"))
        left = self.model.out[f"towel:{item}"] < STOCK[f"towel:{item}"]
        entry = self.till.ask("redeem", card=card, command=Redeem("towel", item=item), meaning=[card, self.choose.random()])
        if self.note("redeem", entry, "applied" if left else "out_of_stock"):
            self.model.out[f"towel:{item}"] += 1
            self.tickets.append(Ticket(entry, gift=f"towel:{item}"))

    def sell(self, card: str) -> None:
        verb = self.choose.choice(("settle", "settle", "hold"))
        kind = self.choose.choice(("", "rare", "voucher-5"))
        fen = 500_00 if verb == "settle" and self.choose.random() < 0.5 else 100_00
        one = self.model.first(card, kind) if kind else None
        command = Sale(
            verb, [(fen, 1)], shortfall_tender="cash", coupons=(kind,) if kind else (), hold_seconds=600 if verb == "hold" else 0
        )
        entry = self.till.ask(verb, card=card, command=command, meaning=[card, self.choose.random()])
        if not self.note(verb, entry, "no_coupon" if kind and one is None else "applied"):
            return
        ticket = Ticket(entry, [one] if one else [])
        self.tickets.append(ticket)
        if one:
            one.here -= 1
        if fen == 500_00:
            ticket.gave = self.model.give(card, "rare", 2) or []
            self.met["awarded" if ticket.gave else "nothing left to award"] += 1

    def undo(self, ticket: Ticket) -> None:
        verb = ticket.entry.verb
        where = {"card": ticket.entry.card, "ref": ticket.entry.position, "partition": ticket.entry.partition}
        if verb == "hold" and self.choose.random() < 0.5:
            entry = self.till.done("capture", command=Capture(), **where)
            ticket.open = False
            self.tickets.append(Ticket(entry, ticket.used))
            return
        if verb in ("give", "redeem"):
            whole = all(one.here == USES[one.kind] for one in ticket.gave)
            entry = self.till.ask("reverse", command=Reverse(), **where, meaning=[self.choose.random()])
            if not self.note("reverse", entry, "applied" if whole else "value_spent"):
                return
            self.model.out[ticket.gift] -= 1
        elif verb == "hold" or self.choose.random() < 0.5:
            self.till.done("void", command=Void(), **where)
        else:
            self.till.done("refund", command=Refund(), **where)
        ticket.open = False
        self.met["due"] += sum(one.here < USES[one.kind] for one in ticket.gave)
        self.met["back to where it was due"] += sum(one.due for one in ticket.used)
        self.model.returned(ticket)

    def agree(self) -> None:
        """Every use of every coupon, and every count, is what the model says."""
        store = self.till.shop.store.reader()
        found = store.read(self.cards)
        for card in self.cards:
            there = Counter({"rare": 0, "voucher-5": 0})
            programme = self.till.shop.registry.programme("coupon-shop", NOON_US // 1_000_000)
            for lot in Account.unpack(found[card].account.state).lots():
                if programme.unit_of(lot.purse) == "coupon":
                    there[programme.coupons[lot.purse - 64]["name"]] += lot.amount
            expected = Counter({kind: sum(one.here for one in self.model.coupons if (one.card, one.kind) == (card, kind)) for kind in USES})
            assert there == expected, card
        names = {what: model.stock_name("coupon-shop", "gift" if ":" in what else "coupon", what) for what in STOCK}
        records = store.records(model.STOCK, list(names.values()))
        counted = {what: model.unpack_stock(records[name].body) if name in records else 0 for what, name in names.items()}
        assert counted == {what: self.model.out[what] for what in STOCK}


def test_coupons_and_stock_are_where_the_model_has_them(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for seed in range(sized(5, 60)):
        shop = Shop(tmp_path / str(seed), seed)
        for number in range(sized(150, 400)):
            try:
                shop.step()
            except AssertionError as difference:
                raise AssertionError(f"seed {seed}, step {number}: {difference}") from difference
        shop.till.sound()
        shop.till.shop.close()
        met += shop.met
    wanted = {"give out_of_stock", "redeem out_of_stock", "reverse value_spent", "due", "back to where it was due", "awarded",
              "nothing left to award", "settle no_coupon"}  # fmt: skip
    assert wanted <= set(met), wanted - set(met)
