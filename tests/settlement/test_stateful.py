"""Goal: no sequence of verbs breaks a numbered invariant. Method: a Hypothesis state machine drives every verb over three cards of two
programmes, the oracle expects each result, and M1 M3 M4 M5 M7 M8 M10 P1 P2 are checked after each step. A failure prints its example."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cardcore import settlement as core
from cardcore.settlement import pack
from tests.oracle.drive import SCHEMES, START_US
from tests.oracle.model import COVER, NO_DISCOUNT, REDEEM, SPECIAL_PRICE
from tests.oracle.pair import Entry, Pair
from tests.oracle.sale import Item, Order
from tests.support import sized

CARDS = st.integers(0, 2)
FEN = st.one_of(st.sampled_from([0, 1, 99, 100, 200_00, 200_01, 559_00, 1000_00]), st.integers(0, 3000_00))
WAIT = st.sampled_from([0, 1, 60, 86_399, 86_400, 7 * 86_400, 40 * 86_400, 366 * 86_400])
ITEMS = st.builds(
    Item,
    FEN,
    category=st.sampled_from(["cloth", "massage", "gym", "back-treatment"]),
    flags=st.sampled_from([0, 0, 0, SPECIAL_PRICE, NO_DISCOUNT, REDEEM, COVER]),
    counter=st.just((1, 1)),
)
ORDERS = st.builds(
    Order,
    st.just("settle"),
    st.lists(ITEMS, min_size=1, max_size=3),
    points=st.sampled_from([0, 0, -1, 100]),
    tender=st.sampled_from(["", "cash"]),
)
PICK = st.integers(0, 10**6)


def sums(postings: Iterable[core.PostingView]) -> dict[tuple[str, str], int]:
    """Net movement of each (unit, ledger account)."""
    out: dict[tuple[str, str], int] = {}
    for posting in postings:
        out[posting.unit, posting.source] = out.get((posting.unit, posting.source), 0) - posting.amount
        out[posting.unit, posting.target] = out.get((posting.unit, posting.target), 0) + posting.amount
    return out


class Shop(RuleBasedStateMachine):
    """Two cards of the mall, one of the spa."""

    def __init__(self) -> None:
        super().__init__()
        rules = [pack.normalise(SCHEMES[name]) for name in ("mall-vip", "spa")]
        self.pair = Pair(rules, 3, START_US)
        self.folded = [core.Account(index + 1) for index in range(3)]
        self.seen = 0
        self.ledger: dict[tuple[str, str], int] = {}

    @initialize(paid=st.integers(100_00, 5000_00), points=st.integers(1, 20_000))
    def open_shop(self, paid: int, points: int) -> None:
        for card in range(3):
            self.pair.top_up(card, paid)
        self.pair.adjust(0, "points", points)

    # ---------------------------------------------------------------- verbs
    @rule(seconds=WAIT)
    def wait(self, seconds: int) -> None:
        self.pair.at_us += seconds * 1_000_000

    @rule(card=CARDS, paid=st.integers(1, 12_000_00))
    def top_up(self, card: int, paid: int) -> None:
        self.pair.top_up(card, paid)

    @rule(product=st.sampled_from([("massage-10", 1280_00), ("gym-year", 2980_00), ("care-package", 680_00), ("back-course-12", 2400_00)]))
    def buy_product(self, product: tuple[str, int]) -> None:
        self.pair.top_up(1, product[1], product[0])

    @rule(card=CARDS, order=ORDERS, further=st.booleans())
    def settle(self, card: int, order: Order, further: bool) -> None:
        self.pair.sell(card, order, [(card + 1) % 3] if further else [])

    @rule(card=CARDS, order=ORDERS)
    def quote(self, card: int, order: Order) -> None:
        self.pair.sell(card, Order("quote", order.items, order.points, order.tender), [])

    @rule(card=CARDS, order=ORDERS, further=st.booleans(), seconds=st.sampled_from([1, 86_400 * 30]))
    def hold(self, card: int, order: Order, further: bool, seconds: int) -> None:
        made = Order("hold", order.items, order.points, order.tender, hold_seconds=seconds)
        self.pair.sell(card, made, [(card + 1) % 3] if further else [])

    def entry(self, pick: int, *verbs: str) -> Entry | None:
        found = [entry for entry in self.pair.entries.values() if entry.settlement.verb in verbs]
        return found[pick % len(found)] if found else None

    def has(self, *verbs: str) -> bool:
        return self.entry(0, *verbs) is not None

    @precondition(lambda self: self.has("hold"))
    @rule(pick=PICK, share=st.sampled_from([-1, 0, 1, 2, 3]))
    def capture(self, pick: int, share: int) -> None:
        if (hold := self.entry(pick, "hold")) and hold.ticket:
            self.pair.capture(hold, -1 if share < 0 else hold.ticket.net * share // 2)

    @precondition(lambda self: self.has("hold"))
    @rule(pick=PICK)
    def lapse(self, pick: int) -> None:
        if hold := self.entry(pick, "hold"):
            self.pair.lapse(hold)

    @precondition(lambda self: self.has("hold", "settle", "capture"))
    @rule(pick=PICK)
    def void(self, pick: int) -> None:
        if entry := self.entry(pick, "hold", "settle", "capture"):
            self.pair.void(entry)

    @precondition(lambda self: self.has("settle", "capture"))
    @rule(pick=PICK, part=st.sampled_from(["all", "half", "one", "over", "line"]))
    def refund(self, pick: int, part: str) -> None:
        entry = self.entry(pick, "settle", "capture")
        if entry is None or entry.ticket is None:
            return
        left = entry.ticket.net - entry.ticket.returned
        if part == "line":
            self.pair.refund(entry, lines=(pick % len(entry.ticket.lines),))
        elif part == "all":
            self.pair.refund(entry)
        else:
            self.pair.refund(entry, max(1, {"half": left // 2, "one": 1, "over": left + 1}[part]))

    @precondition(lambda self: self.has("topup", "transfer", "adjust"))
    @rule(pick=PICK)
    def reverse(self, pick: int) -> None:
        if entry := self.entry(pick, "topup", "transfer", "adjust"):
            self.pair.reverse(entry)

    @rule(card=CARDS, receiver=CARDS, fen=st.integers(1, 1000_00))
    def transfer(self, card: int, receiver: int, fen: int) -> None:
        self.pair.transfer(card, receiver, fen)

    # ---------------------------------------------------------------- the card's own memory
    @rule(card=CARDS, fen=st.integers(1, 500_00), tender=st.sampled_from(["", "cash"]))
    def load(self, card: int, fen: int, tender: str) -> None:
        self.pair.load(card, fen, tender)

    @rule(card=CARDS, fen=st.integers(1, 500_00))
    def unload(self, card: int, fen: int) -> None:
        self.pair.unload(card, fen)

    @rule(card=CARDS, fen=st.integers(1, 500_00))
    def pay(self, card: int, fen: int) -> None:
        self.pair.pay(card, fen)

    @precondition(lambda self: self.has("load", "unload", "pay"))
    @rule(pick=PICK, arrived=st.booleans())
    def prove(self, pick: int, arrived: bool) -> None:
        if entry := self.entry(pick, "load", "unload", "pay"):
            self.pair.prove(entry, arrived=arrived)

    @rule(card=CARDS, fen=st.integers(1, 100_00))
    def clear(self, card: int, fen: int) -> None:
        self.pair.clear(card, fen)

    # ---------------------------------------------------------------- cycles
    def worth(self) -> list[object]:
        """Everything of value on all cards; points net of what is owed."""
        out: list[object] = []
        for account, programme in zip(self.pair.core, self.pair.programmes, strict=True):
            lots = [lot for lot in account.lots() if programme.purse_units[lot.purse] != "points"]
            points = sum(lot.amount for lot in account.lots() if programme.purse_units[lot.purse] == "points")
            out.append(([(lot.lot_id, lot.amount, lot.used_times) for lot in lots], points - account.owed_points))
            out.append((account.orders, account.spend_fen, account.points_earned))
        return out

    @rule(card=CARDS, order=ORDERS, further=st.booleans(), way=st.sampled_from(["void", "refund", "halves"]))
    def buy_and_return(self, card: int, order: Order, further: bool, way: str) -> None:
        """P3: a sale and its return leave everything as it was."""
        before = self.worth()
        _, entry = self.pair.sell(card, order, [(card + 1) % 3] if further else [])
        if entry is None or entry.ticket is None:
            return
        if way == "void":
            self.pair.void(entry)
        else:
            if way == "halves" and entry.ticket.net > 1:
                self.pair.refund(entry, entry.ticket.net // 2)
            self.pair.refund(entry)
        assert self.worth() == before, "P3"

    @rule(card=CARDS, paid=st.integers(1, 5000_00))
    def top_up_and_reverse(self, card: int, paid: int) -> None:
        """P3: so do a top-up and its reversal."""
        before = self.worth()
        _, entry = self.pair.top_up(card, paid)
        if entry is not None:
            self.pair.reverse(entry)
        assert self.worth() == before, "P3"

    @rule(card=CARDS, purse=st.sampled_from(["points", "principal", "bonus"]), amount=st.integers(-2000, 2000).filter(bool))
    def adjust(self, card: int, purse: str, amount: int) -> None:
        self.pair.adjust(card, purse, amount)

    @rule(card=CARDS)
    def expire(self, card: int) -> None:
        self.pair.expire(card)

    # ---------------------------------------------------------------- invariants
    @invariant()
    def ledger_balances_and_folds(self) -> None:
        """M1: every entry and the whole sum to zero. M3: accounts are the fold. M5, M7, P1, M10: value is in one place and adds up."""
        for position, settlement in self.pair.journal[self.seen :]:
            moved = sums(settlement.postings())
            for unit in ("fen", "points", "visits"):
                assert sum(fen for (kind, _), fen in moved.items() if kind == unit) == 0, "M1"
            for key, fen in moved.items():
                self.ledger[key] = self.ledger.get(key, 0) + fen
            for account in self.folded:
                account.apply(settlement, position)
        self.seen = len(self.pair.journal)
        for account, folded in zip(self.pair.core, self.folded, strict=True):
            assert account.pack() == folded.pack(), "M3"
        for unit in ("fen", "points", "visits"):
            lots = [
                lot.amount
                for account, programme in zip(self.pair.core, self.pair.programmes, strict=True)
                for lot in account.lots()
                if programme.purse_units[lot.purse] == unit
            ]
            assert all(amount > 0 for amount in lots), "M4"
            assert sum(lots) == self.ledger.get((unit, "customer"), 0), "M7, P1"
            assert self.ledger.get((unit, "held"), 0) >= 0, "M4"
        held = sum(
            part.fen
            for account in self.pair.mine.values()
            for hold in account.holds.values()
            for part in hold.parts
            if part.kind in ("stored", "further")
        )
        assert self.ledger.get(("fen", "held"), 0) == held, "M5, M6: held money is exactly that of the open holds"
        places = {place: self.ledger.get(("fen", place), 0) for place in ("customer", "held", "on_card", "in_flight")}
        assert places["on_card"] == sum(account.on_card_fen for account in self.pair.core), "M5"
        loads = [flight.amount_fen for account in self.pair.core for flight in account.flights() if flight.kind == "load"]
        assert places["in_flight"] == sum(loads), "M5, M6"
        assert self.pair.liability == sum(places.values()), "M10"

    @invariant()
    def tickets_are_bounded(self) -> None:
        """M8: what came back of a ticket never exceeds it, in total and per lot. P2: nor do the points taken back."""
        for entry in self.pair.entries.values():
            if entry.settlement.verb not in ("settle", "capture"):
                continue
            back = list(entry.followers)
            for name in (
                "net_fen",
                "principal_fen",
                "bonus_fen",
                "points_fen",
                "further_fen",
                "outside_fen",
                "points_earned",
                "points_used",
            ):
                assert sum(getattr(settlement, name) for settlement in back) <= getattr(entry.settlement, name), name
            out: dict[tuple[int, int], int] = {}
            for posting in entry.settlement.postings():
                if posting.source in ("customer", "held") and posting.source_lot:
                    key = (posting.source_account, posting.source_lot)
                    out[key] = out.get(key, 0) + posting.amount
            for settlement in back:
                for posting in settlement.postings():
                    if posting.target == "customer":
                        key = (posting.target_account, posting.target_lot)
                        out[key] = out.get(key, 0) - posting.amount
            assert all(amount >= 0 for amount in out.values()), "M8 per lot"


Shop.TestCase.settings = settings(max_examples=sized(120, 2_000), stateful_step_count=sized(40, 80), deadline=None)
TestShop = Shop.TestCase
