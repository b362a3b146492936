"""Core and oracle side by side: every command goes to both, and every number, lot and counter must agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cardcore import settlement as core
from cardcore.errors import AmountOutOfRange, Declined, InvalidCommand
from tests.oracle import gifts, happened, medium, sale, undo, value
from tests.oracle.counters import Tally
from tests.oracle.model import Account, Nonsense, Programme, Refused, Ticket
from tests.oracle.moment import Moment


@dataclass
class Entry:
    """An applied entry as both sides remember it."""

    position: int
    own: int
    settlement: core.Settlement
    ticket: Ticket | None = None
    moves: list[value.Move | gifts.Handed] = field(default_factory=list)
    followers: list[core.Settlement] = field(default_factory=list)
    reversed: bool = False


class Pair:
    """Several cards in two worlds. `run_*` answers "applied", "declined:CODE" or "invalid" after comparing."""

    def __init__(self, programmes: list[Programme], cards: int, at_us: int) -> None:
        self.rules = [programmes[index % len(programmes)] for index in range(cards)]
        compiled = [core.Programme(programme) for programme in programmes]
        self.programmes = [compiled[index % len(programmes)] for index in range(cards)]
        self.core = [core.Account(index + 1) for index in range(cards)]
        self.mine = {index + 1: Account(index + 1, purses=self.rules[index]["purses"]) for index in range(cards)}
        self.at_us = at_us
        self.facts: dict[str, Any] | None = None  # of the next command
        self.position = 0
        self.entries: dict[int, Entry] = {}
        self.journal: list[tuple[int, core.Settlement]] = []
        self.liability = 0
        self.outcomes: dict[str, int] = {}

    # ------------------------------------------------------------------ snapshots
    def snapshot(self, card: int, others: list[int] = [], entry: Entry | None = None) -> core.Snapshot:  # noqa: B006 - never changed
        more: dict[str, Any] = {}
        if entry is not None:
            more = {"ticket": entry.settlement, "ticket_position": entry.position, "followers": list(entry.followers)}
        further = [core.Snapshot(self.programmes[other], self.core[other]) for other in others]
        facts = None if self.facts is None else core.Facts(**self.facts)
        return core.Snapshot(self.programmes[card], self.core[card], others=further, facts=facts, **more)

    def moment(self, tender: str = "") -> Moment:
        return Moment(self.now, tender, self.facts)

    def copies(self) -> dict[int, Account]:
        return {key: account.copy() for key, account in self.mine.items()}

    # ------------------------------------------------------------------ one step
    def decide(self, label: str, snapshot: core.Snapshot, command: Any, oracle: Any, *, commit: bool = True) -> tuple[str, Entry | None]:
        """Put `command` to the core and call `oracle(accounts)`; compare; apply on both sides."""
        before = [account.pack() for account in self.core]
        settlement = None
        try:
            settlement = core.decide(snapshot, command, self.at_us)
            got = "applied"
        except Declined as declined:
            got = f"declined:{declined.declined_code}"
            if declined.declined_code in ("coupon_not_applicable", "gift_not_available"):
                got += f":{declined.facts['reason']}"
        except (InvalidCommand, AmountOutOfRange):
            got = "invalid"
        accounts = self.copies()
        numbers: dict[str, Any] = {}
        extra: Any = None
        try:
            numbers, extra = oracle(accounts)
            expected = "applied"
        except Refused as refused:
            expected = f"declined:{refused.code}" + (f":{refused.reason}" if refused.reason else "")
        except Nonsense:
            expected = "invalid"
        assert got == expected, f"{label}: core {got}, oracle {expected}"
        assert [account.pack() for account in self.core] == before, f"{label}: deciding changed an account"
        self.outcomes[f"{label} {got}"] = self.outcomes.get(f"{label} {got}", 0) + 1
        if settlement is None:
            return got, None
        awards = [(one.award, one.quantity, one.valid_until, one.back) for one in settlement.awards()]
        expected_awards = numbers.pop("awards", [])
        assert sorted(awards) == sorted(expected_awards), f"{label}: awards core {awards}, oracle {expected_awards}"
        borne = self.borne(settlement)
        assert borne == numbers.pop("borne", 0), f"{label}: others bear {borne} fen in the core"
        for key, number in numbers.items():
            assert getattr(settlement, key) == number, f"{label}: {key} core {getattr(settlement, key)}, oracle {number}"
        if not commit:
            return got, None
        self.note_given(settlement)
        self.position += 1
        packed = settlement.pack()
        again = core.Settlement.unpack(packed)  # what the journal keeps is all that the fold and later verbs may need
        assert again.pack() == packed, f"{label}: the codec is not canonical"
        for account in self.core:
            account.apply(again, self.position)
        self.mine = accounts
        self.journal.append((self.position, again))
        self.liability += settlement.liability_delta_fen
        entry = Entry(self.position, snapshot.account.account_id - 1, again)
        if isinstance(extra, Ticket):
            entry.ticket = extra
        elif isinstance(extra, list):
            entry.moves = extra
        self.entries[self.position] = entry
        self.compare(label)
        return got, entry

    @staticmethod
    def borne(settlement: core.Settlement) -> int:
        """What others than the store bear of coupons and gifts by this entry, less what they are given back."""
        costs = {("coupon_cost", "sales"): 1, ("gift_cost", "gift_given"): 1, ("sales", "coupon_cost"): -1, ("gift_given", "gift_cost"): -1}
        return sum(costs.get((posting.source, posting.target), 0) * posting.amount for posting in settlement.postings())

    def note_given(self, settlement: core.Settlement) -> None:
        """What was given and taken back besides points, so that a test can ask whether it was ever met."""
        met = {f"gave {unit}" for unit in ("fen", "visits", "pass") if settlement.granted(unit)}
        met |= {"awards back" if award.back else "gave awards" for award in settlement.awards()}
        met |= {
            f"{posting.unit} owed" if posting.source == "owed" else f"{posting.unit} from {posting.source} paid to what is owed"
            for posting in settlement.postings()
            if "owed" in (posting.source, posting.target)
        }
        met |= {f"coupon {p.source} to {p.target}" for p in settlement.postings() if p.unit == "coupon"}
        met |= {f"{p.source} to {p.target}" for p in settlement.postings() if p.unit == "fen" and "_cost" in p.source + p.target}
        if settlement.verb == "event" and settlement.points_used:
            met.add("a draw")
        if settlement.verb == "review" and settlement.tier_after < settlement.tier_before:
            met.add("a tier fell")
        for what in met:
            self.outcomes[what] = self.outcomes.get(what, 0) + 1

    def compare(self, label: str) -> None:
        for account in self.core:
            mine = self.mine[account.account_id]
            for name in ("tier", "orders", "spend_fen", "points_earned", "owed_points", "owed_fen"):
                assert getattr(account, name) == getattr(mine, name), (
                    f"{label}: {name} core {getattr(account, name)}, oracle {getattr(mine, name)}"
                )
            assert account.owed_units == mine.owed_units, f"{label}: owed units core {account.owed_units}, oracle {mine.owed_units}"
            lots = [tuple(lot) for lot in account.lots()]
            expected = [
                (lot.lot_id, lot.purse, lot.amount, lot.expires_at, lot.paid_fen, lot.of_units, lot.used_on, lot.used_times)
                for _, lot in sorted((mine.lots | mine.coupons).items())
            ]
            assert lots == expected, f"{label}: lots\n core   {lots}\n oracle {expected}"
            assert sorted(hold.position for hold in account.holds()) == sorted(mine.holds), f"{label}: holds"
            flights = [(flight.position, flight.amount_fen, flight.kind) for flight in account.flights()]
            flight = mine.flight
            assert flights == ([(flight.position, flight.amount, flight.kind)] if flight else []), f"{label}: in flight"
            counters = {(number, period): value for number, period, value in account.counters()}
            assert counters == mine.counters, f"{label}: counters\n core   {counters}\n oracle {mine.counters}"
            assert account.on_card_fen == mine.on_card, f"{label}: on card"

    # ------------------------------------------------------------------ verbs
    def sell(self, card: int, order: sale.Order, further: list[int]) -> tuple[str, Entry | None]:
        try:
            command = core.Sale(
                order.verb,
                [
                    core.Line(i.amount, i.quantity, i.category, i.sku, i.flags, i.counter[0], i.counter[1], i.discount, i.coupon)
                    for i in order.items
                ],
                points=order.points, shortfall_tender=order.tender, shortfall_max_fen=order.tender_max, stored_max_fen=order.stored_max,
                hold_seconds=order.hold_seconds, explain=True, coupons=order.coupons,
            )  # fmt: skip
        except InvalidCommand as problem:
            raise AssertionError("the workload makes well-formed sales") from problem

        def oracle(accounts: dict[int, Account]) -> Any:
            others = [(self.rules[other], accounts[other + 1]) for other in further]
            return sale.sell(self.rules[card], accounts[card + 1], others, order, self.moment(order.tender), self.position + 1)

        return self.decide(order.verb, self.snapshot(card, further), command, oracle, commit=order.verb != "quote")

    def top_up(self, card: int, paid: int, product: str = "") -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            account = accounts[card + 1]
            if product:
                return value.buy(self.rules[card], account, paid, product, self.now)
            return value.top_up(self.rules[card], account, paid, self.moment("cash"))

        return self.decide("buy" if product else "topup", self.snapshot(card), core.TopUp(paid, product=product), oracle)

    def transfer(self, card: int, target: int, amount: int, unit: str = "fen") -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            return value.transfer(self.rules[card], accounts[card + 1], self.rules[target], accounts[target + 1], amount, unit, self.now)

        label = "transfer" if unit == "fen" else "points transfer"
        return self.decide(label, self.snapshot(card, [target]), core.Transfer(amount, unit=unit), oracle)

    def adjust(self, card: int, purse: str, amount: int) -> tuple[str, Entry | None]:
        return self.decide(
            "adjust", self.snapshot(card), core.Adjust(purse, amount),
            lambda accounts: value.adjust(self.rules[card], accounts[card + 1], purse, amount, self.now),
        )  # fmt: skip

    def expire(self, card: int) -> tuple[str, Entry | None]:
        return self.decide(
            "expire", self.snapshot(card), core.Expire(), lambda accounts: value.expire(self.rules[card], accounts[card + 1], self.now)
        )

    # ------------------------------------------------------------------ verbs that name an entry
    def _undo(self, label: str, entry: Entry, command: Any, oracle: Any) -> tuple[str, Entry | None]:
        others = [account - 1 for account in entry.settlement.further_accounts]
        paid_for = self.paid_for()
        got, made = self.decide(label, self.snapshot(entry.own, others, entry), command, oracle)
        if made is not None:
            entry.followers.append(made.settlement)
        if label.startswith("refund") or label == "void":
            lost = [before - after for before, after in zip(paid_for, self.paid_for(), strict=True)]
            assert max(lost) <= 0, f"{label}: {lost} of what somebody paid for was taken back (W5, decision 0020)"
        return got, made

    def paid_for(self) -> list[int]:
        """What each card has that somebody paid for, whole or in part: what the law gives back of it is reckoned by these lots (W5)."""
        return [sum(lot.amount for lot in account.lots() if lot.of_units) for account in self.core]

    def capture(self, entry: Entry, amount: int) -> tuple[str, Entry | None]:
        assert entry.ticket is not None
        hold = entry.ticket
        return self._undo(
            "capture", entry, core.Capture(amount),
            lambda accounts: undo.capture(
                self.rules[entry.own], accounts, entry.own + 1, hold, amount, self.moment(hold.tender), self.position + 1
            ),
        )  # fmt: skip

    def void(self, entry: Entry) -> tuple[str, Entry | None]:
        return self._undo(
            "void",
            entry,
            core.Void(),
            lambda accounts: (undo.void(self.rules[entry.own], accounts, entry.own + 1, entry.ticket, self.now), None),
        )

    def lapse(self, entry: Entry) -> tuple[str, Entry | None]:
        assert entry.ticket is not None
        hold = entry.ticket
        return self._undo(
            "lapse",
            entry,
            core.Expire(),
            lambda accounts: (undo.release(self.rules[entry.own], accounts, entry.own + 1, hold, self.now, lapsed=True), None),
        )

    def refund(self, entry: Entry, amount: int = -1, lines: tuple[int, ...] = ()) -> tuple[str, Entry | None]:
        assert entry.ticket is not None
        ticket = entry.ticket
        kind = "refund lines" if lines else "refund all" if amount == -1 else "refund amount"
        return self._undo(
            kind,
            entry,
            core.Refund(amount_fen=amount, lines=lines),
            lambda accounts: (
                undo.refund(self.rules[entry.own], accounts, entry.own + 1, ticket, self.now, amount=amount, lines=lines),
                None,
            ),
        )

    def reverse(self, entry: Entry, *, unused: bool = False) -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            if entry.reversed:
                raise Refused("already_reversed")
            if entry.ticket is not None:
                return happened.never_happened(self.rules[entry.own], accounts[entry.own + 1], entry.ticket, self.now), None
            return undo.reverse(self.rules[entry.own], accounts, entry.own + 1, entry.moves, self.now, unused=unused), None

        got, made = self._undo("reverse unused" if unused else "reverse", entry, core.Reverse(unused=unused), oracle)
        entry.reversed = entry.reversed or made is not None
        return got, made

    # ------------------------------------------------------------------ coupons and gifts
    def give(self, card: int, kind: str, count: int, ends: int = 0) -> tuple[str, Entry | None]:
        return self.decide(
            "give", self.snapshot(card), core.Give(kind, count, expires_at=ends),
            lambda accounts: gifts.give(self.rules[card], accounts[card + 1], kind, count, ends, self.now),
        )  # fmt: skip

    def exchange(self, card: int, gift: str, item: str, quantity: int) -> tuple[str, Entry | None]:
        return self.decide(
            "redeem", self.snapshot(card), core.Redeem(gift, item=item, quantity=quantity),
            lambda accounts: gifts.exchange(self.rules[card], accounts[card + 1], gift, item, quantity, self.moment()),
        )  # fmt: skip

    # ------------------------------------------------------------------ what happens without a sale
    def event(self, card: int, name: str, amount: int, random: int) -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            return happened.event(self.rules[card], accounts[card + 1], name, amount, random, self.moment(), self.position + 1)

        return self.decide("event", self.snapshot(card), core.Event(name, amount_fen=amount, random=random, explain=True), oracle)

    def review(self, card: int) -> tuple[str, Entry | None]:
        self.compare_ended(card)
        return self.decide(
            "review", self.snapshot(card), core.Review(), lambda accounts: happened.review(self.rules[card], accounts[card + 1], self.now)
        )

    def compare_ended(self, card: int) -> None:
        """What each counter had when its last period ended: what a ranking goes by (E14)."""
        mine = self.mine[card + 1]
        for index, counter in enumerate(self.rules[card]["counters"]):
            ended = happened.last_moment(self.rules[card], counter["per"], self.now)
            had = Tally.of(self.rules[card], mine, ended).had[index]
            assert core.ended_value(self.programmes[card], self.core[card], index, self.now) == had, f"ended value of {counter['name']}"
            self.outcomes["ended value"] = self.outcomes.get("ended value", 0) + (had > 0)

    # ------------------------------------------------------------------ the card's own memory
    def load(self, card: int, amount: int, tender: str) -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            return medium.load(self.rules[card], accounts[card + 1], amount, tender, self.now, self.position + 1), None

        return self.decide("load", self.snapshot(card), core.Load(amount, tender=tender), oracle)

    def unload(self, card: int, amount: int) -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            return medium.unload(self.rules[card], accounts[card + 1], amount, self.now, self.position + 1), None

        return self.decide("unload", self.snapshot(card), core.Unload(amount), oracle)

    def pay(self, card: int, amount: int) -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            return medium.pay(self.rules[card], accounts[card + 1], amount, self.now, self.position + 1), None

        return self.decide("pay", self.snapshot(card), core.Pay(amount), oracle)

    def prove(self, entry: Entry, *, arrived: bool) -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            end = medium.arrive if arrived else medium.give_up
            return end(self.rules[entry.own], accounts[entry.own + 1], entry.position, self.now), None

        return self._undo("arrive" if arrived else "return", entry, core.Arrive() if arrived else core.Return(), oracle)

    def clear(self, card: int, amount: int) -> tuple[str, Entry | None]:
        def oracle(accounts: dict[int, Account]) -> Any:
            return medium.clear(self.rules[card], accounts[card + 1], amount, self.now), None

        return self.decide("clear", self.snapshot(card), core.Clear(amount), oracle)

    @property
    def now(self) -> int:
        return self.at_us // 1_000_000
