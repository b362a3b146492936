"""A supposed shop: every account under a pack that was not in force, fed with what people did. Pure: memory in, memory out.

What the pack cannot do as it was asked is done as near to it as a till would, and counted (`Tally.miss`):
points that the pack does not take stay on the card; a gift it does not give is not taken; a visit it does not cover is paid; value that
is not there is paid in cash; a till's discount never exceeds the price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from cardapi.desk.coupons import STOCKED, taken
from cardapi.desk.facts import what_is_left
from cardapi.whatif.happening import Followed, Given, Happening, Key, Moved, Occurred, Redeemed, Sold, SpentOnCard, ToppedUp
from cardapi.whatif.tally import Tally
from cardcore.errors import CardcoreError, Declined, InvalidCommand
from cardcore.settlement import (
    COVER,
    REDEEM,
    Account,
    Adjust,
    Arrive,
    Capture,
    Clear,
    Command,
    Event,
    Expire,
    Facts,
    Give,
    Load,
    Pay,
    Programme,
    Redeem,
    Refund,
    Return,
    Reverse,
    Review,
    Sale,
    Settlement,
    Snapshot,
    TopUp,
    Transfer,
    Unload,
    Void,
    decide,
)
from cardcore.settlement.commands import GIVE_MAX

ProgrammeOf = Callable[[int, int], Programme]
"""(account, epoch second) -> the programme of that card then."""

TRIES_MAX = 600  # a ticket of 500 lines may need each of its discounts capped


class Made(NamedTuple):
    """What came of a happening that a later one names."""

    done: Settlement
    programme: Programme
    discount_fen: int
    followers: list[Settlement]


class World:
    """One supposed shop. `named`: keys that later happenings will name. `counted`: whether a card and time belong to the report."""

    def __init__(
        self, programme_of: ProgrammeOf, named: Iterable[Key] = (), counted: Callable[[int, int], bool] | None = None,
        deciding: ProgrammeOf | None = None,
    ) -> None:  # fmt: skip
        self.programme_of = programme_of
        self.deciding = deciding or programme_of  # for a sale and what gives: without benefits while the card's member sleeps (L10)
        self.accounts: dict[int, Account] = {}
        self.tally = Tally()
        self.short: Callable[[Sold, int], bool] | None = None  # a card is short of so much: whether it was topped up, else cash pays
        self._named = frozenset(named)
        self._made: dict[Key, Made] = {}
        self._awarded: dict[tuple[Key, int], list[Settlement]] = {}  # coupons by the place of their award
        self._stock: dict[str, int] = {}  # how many were given of what there is only so much of
        self._due: dict[tuple[int, int], Settlement] = {}  # (account, lot): used coupons of an award that was taken back
        self._counted = counted or (lambda account, at_us: True)

    def account(self, account_id: int) -> Account:
        """The account as it stands here; a new one is empty."""
        found = self.accounts.get(account_id)
        if found is None:
            found = self.accounts[account_id] = Account(account_id)
        return found

    def happen(self, what: Happening) -> Settlement | None:
        """Let it happen here. Returns the decision; None where it could not happen, which the tally then tells."""
        if isinstance(what, Sold):
            return self.sell(what)
        if isinstance(what, ToppedUp):
            return self.top_up(what)
        if isinstance(what, Occurred):
            return self._occur(what)
        if isinstance(what, Given):
            return self._give(what)
        if isinstance(what, Redeemed):
            return self._redeem(what)
        if isinstance(what, Followed):
            return self._follow(what)
        if isinstance(what, Moved):
            return self._move(what)
        self._spend_on_card(what)
        return None

    # ------------------------------------------------------------ sales
    def sell(self, sold: Sold) -> Settlement | None:
        """A sale or hold, as near to what was asked as the pack allows."""
        for _ in range(TRIES_MAX):
            if not sold.lines:
                return None
            try:
                sale = _sale(sold)
                done = decide(self._snapshot(sold, sold.further, sold.facts), sale, sold.at_us)
            except Declined as declined:
                nearer = self._nearer(sold, declined)
            except InvalidCommand as wrong:
                nearer = self._cap(sold, wrong)
            else:
                return self._take(sold, done, done.discount_fen - sum(line.discount_fen for line in sold.lines))
            if nearer is None:
                return None
            sold = nearer
        self._miss(sold, "a ticket that fits in no way")
        return None

    def _nearer(self, sold: Sold, declined: Declined) -> Sold | None:
        """The nearest ticket that this pack may take, after it refused this one."""
        code, facts = declined.declined_code, declined.facts
        if code in ("insufficient_points", "points_not_allowed"):
            if sold.points > 0:
                allowed = min(facts.get("points_available", sold.points - 1), facts.get("points_allowed", sold.points - 1), sold.points - 1)
                self._miss(sold, "points that were not taken, or not all")
                return sold._replace(points=max(allowed, 0))
            kept = tuple(line for line in sold.lines if not line.flags & REDEEM)
            if len(kept) < len(sold.lines):
                self._miss(sold, "gifts that were not given", sum(line.amount_fen for line in sold.lines if line.flags & REDEEM))
                return sold._replace(lines=kept)
        if code in _OF_COUPONS and sold.coupons:
            left = list(sold.coupons)
            left.remove(facts["coupon"])
            articles = any(terms["name"] == facts["coupon"] and terms["skus"] for terms in self._programme(sold).coupons)
            self._miss(sold, "coupons for some articles, which the journal does not name" if articles else "coupons that were not taken")
            return sold._replace(coupons=tuple(left))
        if code in ("not_covered", "too_soon", "used_up_today") and any(line.flags & COVER for line in sold.lines):
            covered = sum(line.amount_fen for line in sold.lines if line.flags & COVER)
            self._miss(sold, "visits that were paid with money instead", covered)
            return sold._replace(lines=tuple(line._replace(flags=line.flags & ~COVER) for line in sold.lines))
        if code == "insufficient_funds" and not sold.tender:
            if self.short is not None and self.short(sold, facts["shortfall_fen"]):
                return sold
            return sold._replace(tender="cash")
        if sold.further:
            self._miss(sold, "further cards that did not pay")
            return sold._replace(further=())
        self._miss(sold, f"sales refused: {code}", sum(line.amount_fen for line in sold.lines))
        return None

    def _cap(self, sold: Sold, wrong: InvalidCommand) -> Sold | None:
        """A till's discount or an outside coupon beyond the price of a line: what is left of the price bounds it."""
        place = wrong.facts.get("line")
        if place is None or not (sold.lines[place].discount_fen or sold.lines[place].coupon_fen):
            self._miss(sold, "sales that this pack cannot price", sum(line.amount_fen for line in sold.lines))
            return None
        bare = tuple(line._replace(discount_fen=0, coupon_fen=0) for line in sold.lines)
        quote = Sale("quote", bare, shortfall_tender="cash")
        try:
            priced = decide(self._snapshot(sold, facts=sold.facts), quote, sold.at_us)
        except CardcoreError:
            self._miss(sold, "sales that this pack cannot price", sum(line.amount_fen for line in sold.lines))
            return None
        line, price = sold.lines[place], priced.lines()[place].net_fen
        given = min(line.discount_fen, price)
        capped = line._replace(discount_fen=given, coupon_fen=min(line.coupon_fen, price - given))
        if capped == line:
            return None
        beyond = line.discount_fen - given + line.coupon_fen - capped.coupon_fen
        self._miss(sold, "discounts of the till beyond the price", beyond)
        return sold._replace(lines=(*sold.lines[:place], capped, *sold.lines[place + 1 :]))

    def top_up(self, what: ToppedUp) -> Settlement | None:
        """A top-up, or a product if this pack sells it at that price."""
        product = what.product
        if product and self._programme(what).products.get(product, (0,))[0] != what.paid_fen:
            self._miss(what, "products that this pack does not sell at that price", what.paid_fen)
            return None
        command = TopUp(what.paid_fen, tender=what.tender or "cash", product=product)
        return self._do(what, command, "top-ups refused", what.paid_fen, facts=what.facts)

    def _occur(self, what: Occurred) -> Settlement | None:
        """An event; where this pack has nothing to say to it, nothing happens."""
        command = Event(what.name, amount_fen=what.amount_fen, random=what.random)
        try:
            return self._take(what, decide(self._snapshot(what, facts=what.facts), command, what.at_us), 0)
        except Declined as declined:
            if declined.declined_code != "nothing_to_do":
                self._miss(what, f"refused: {what.name} ({declined.declined_code})")
            return None

    def _give(self, what: Given) -> Settlement | None:
        """Coupons of that name, if this pack has them."""
        if all(coupon["name"] != what.coupon for coupon in self._programme(what).coupons):
            self._miss(what, "coupons that this pack does not have")
            return None
        return self._do(what, Give(what.coupon, what.quantity, expires_at=what.expires_at), "coupons that were not given", 0)

    def _redeem(self, what: Redeemed) -> Settlement | None:
        """Points for a gift of that name, if this pack has one; it costs what this pack asks for it."""
        if all(gift["name"] != what.gift for gift in self._programme(what).gifts):
            self._miss(what, "gifts that this pack does not have", what.cost_fen)
            return None
        command = Redeem(what.gift, item=what.item, quantity=what.quantity)
        return self._do(what, command, "gifts that were not given", what.cost_fen, facts=what.facts)

    # ------------------------------------------------------------ the rest
    def _follow(self, what: Followed) -> Settlement | None:
        made = self._made.get(what.ref)
        if made is None:
            self._miss(what, "what followed something that did not happen")
            return None
        net = made.done.net_fen
        part = what.part * net // what.of if what.of else -1
        command: Command
        if what.verb == "capture":
            command = Capture(part)
        elif what.verb == "refund":
            left = net - sum(done.net_fen for done in made.followers)
            if part >= 0 and min(part, left) < 1:
                self._miss(what, "refunds of nothing", what.part)
                return None
            command = Refund(lines=what.lines) if what.lines else Refund(amount_fen=min(part, left) if part >= 0 else -1)
        else:
            command = _NAMING[what.verb]()
        others = tuple(account for account in made.done.further_accounts)
        done = self._do(what, command, f"refused: {what.verb}", what.part, others=others, facts=what.facts, made=made)
        if done is not None:
            made.followers.append(done)
        return done

    def _move(self, what: Moved) -> Settlement | None:
        if what.verb in _DUE:
            try:
                return self._take(what, decide(self._snapshot(what), _DUE[what.verb](), what.at_us), 0)
            except Declined:  # nothing has lapsed here, or there is nothing to review
                return None
        command: Command
        others = (what.other,) if what.other else ()
        if what.verb == "adjust":
            if what.purse not in self._programme(what).purses:
                self._miss(what, "corrections of a purse that this pack does not have")
                return None
            command = Adjust(what.purse, what.amount)
        elif what.verb == "load":
            command = Load(what.amount, tender=what.tender)
        else:
            command = _AMOUNTS[what.verb](what.amount)
        missed_fen = 0 if what.verb == "points" else what.amount
        return self._do(what, command, f"refused: {what.verb}", missed_fen, others=others)

    def _spend_on_card(self, what: SpentOnCard) -> None:
        for account_id, amount_fen in what.paid:
            account = self.account(account_id)
            if account.on_card_fen < amount_fen:
                self._miss(Moved(what.key, what.at_us, account_id, "clear"), "off-line purchases without their value", amount_fen)
            else:
                account.spend_on_card(amount_fen)

    # ------------------------------------------------------------ one decision
    def _do(
        self, what: Any, command: Command, why: str, fen: int, *, others: tuple[int, ...] = (), facts: Facts | None = None,
        made: Made | None = None,
    ) -> Settlement | None:  # fmt: skip
        try:
            done = decide(self._snapshot(what, others, facts, made), command, what.at_us)
        except (Declined, InvalidCommand) as error:
            self._miss(what, f"{why} ({getattr(error, 'declined_code', error.code)})", fen)
            return None
        if not self._count(self._programme(what), done):
            self._miss(what, f"{why} (out_of_stock)", fen)
            return None
        return self._take(what, done, share_given_back(made, done))

    def _count(self, programme: Programme, done: Settlement) -> bool:
        """Count what is given of what there is only so much of, as the desk does; False where there are not as many left."""
        changes = taken(done, programme) if done.verb in STOCKED else {}
        if any(count > 0 and self._stock.get(name, 0) + count > most for name, (count, most) in changes.items()):
            return False
        for name, (count, _) in changes.items():
            self._stock[name] = max(0, self._stock.get(name, 0) + count)
        return True

    def _informed(self, programme: Programme, facts: Facts | None) -> Facts | None:
        """The facts of the happening, but for what is left here of coupons and gifts."""
        if facts is None or all(predicate["kind"] != "stock" for predicate in programme.predicates):
            return facts
        left = what_is_left(programme, lambda name: self._stock.get(name, 0))
        return Facts(birthday=facts.birthday, tags=facts.tags, store=facts.store, unit=facts.unit, channel=facts.channel, stock=left)

    def _snapshot(self, what: Any, others: tuple[int, ...] = (), facts: Facts | None = None, made: Made | None = None) -> Snapshot:
        further = [Snapshot(self.programme_of(account, what.at_us // 1_000_000), self.account(account)) for account in others]
        if made is None:
            programme = self._programme(what) if isinstance(what, Moved) else self.deciding(what.account, what.at_us // 1_000_000)
            return Snapshot(programme, self.account(what.account), others=further, facts=self._informed(programme, facts))
        return Snapshot(
            made.programme, self.account(what.account), others=further, ticket=made.done, ticket_position=what.ref[1],
            followers=made.followers, facts=self._informed(made.programme, facts),
        )  # fmt: skip

    def _programme(self, what: Any) -> Programme:
        return self.programme_of(what.account, what.at_us // 1_000_000)

    def _take(self, what: Any, done: Settlement, discount_fen: int) -> Settlement:
        """Fold a decision into the accounts and count it."""
        for account_id in (done.account_id, *done.further_accounts):
            self.account(account_id).apply(done, what.key[1])
        programme = self._programme(what)
        if what.key in self._named:
            self._made.setdefault(what.key, Made(done, programme, discount_fen, []))  # what it awards is taken under its key, after it
        if self._counted(done.account_id, what.at_us):
            self.tally.add(programme, done, discount_fen if done.verb != "hold" else 0)
        if programme.coupons:
            self._award(what, done, programme)
        return done

    # ------------------------------------------------------------ coupons that rules award
    def _award(self, what: Any, done: Settlement, programme: Programme) -> None:
        """Give what an entry awards, and take back what its refund says; what is used by then, once it comes back (decision 0019)."""
        for won in done.awards():
            terms = programme.awards[won.award]
            if terms["kind"] != "coupon" or all(coupon["name"] != terms["id"] for coupon in programme.coupons):
                continue
            name = (what.ref if won.back else what.key), won.posting
            if won.back:
                for given in self._awarded.pop(name, ()):
                    self._take_back(what, given)
                continue
            for start in range(0, won.quantity, GIVE_MAX):
                command = Give(terms["id"], min(GIVE_MAX, won.quantity - start), expires_at=won.valid_until)
                made = self._do(what, command, "coupons that were not given", 0)
                if made is not None:
                    self._awarded.setdefault(name, []).append(made)
        for posting in done.postings() if done.verb in _RETURNING else ():
            owed = self._due.pop((posting.target_account, posting.target_lot), None) if posting.target == "customer" else None
            if owed is not None:
                self._take_back(what, owed)

    def _take_back(self, what: Any, given: Settlement) -> None:
        """What nobody has used of an award."""
        account = self.account(given.account_id)
        left = {lot.lot_id: lot.amount for lot in account.lots()}
        for posting in given.postings():
            if left.get(posting.target_lot, 0) < posting.amount:
                self._due[given.account_id, posting.target_lot] = given
        programme = self._programme(what)
        snapshot = Snapshot(programme, account, ticket=given, ticket_position=what.key[1])
        with suppress(Declined):  # all of it is used
            back = decide(snapshot, Reverse(unused=True), what.at_us)
            self._count(programme, back)
            self._take(what, back, 0)

    def _miss(self, what: Any, why: str, fen: int = 0) -> None:
        if self._counted(what.account, what.at_us):
            self.tally.miss(why, fen)


def share_given_back(made: Made | None, done: Settlement) -> int:
    """The pack's part of a named ticket's discounts: of a capture all of it, of what is given back its share (floored), negative."""
    if made is None or done.verb in ("arrive", "return", "expire"):
        return 0
    if done.verb == "capture":
        return made.discount_fen
    if not made.done.net_fen or made.done.verb == "hold":
        return 0
    before = sum(follower.net_fen for follower in made.followers)
    return (made.discount_fen * before // made.done.net_fen) - made.discount_fen * (before + done.net_fen) // made.done.net_fen


def _sale(sold: Sold) -> Sale:
    return Sale(
        "hold" if sold.hold_seconds else "settle", sold.lines, points=sold.points, shortfall_tender=sold.tender,
        stored_max_fen=sold.stored_max_fen, hold_seconds=sold.hold_seconds, coupons=sold.coupons,
    )  # fmt: skip


_OF_COUPONS = frozenset({"unknown_coupon", "no_coupon", "coupon_expired", "coupon_not_applicable", "coupon_not_stackable"})
_RETURNING = frozenset({"refund", "void", "expire"})
_NAMING: dict[str, Callable[[], Command]] = {"void": Void, "reverse": Reverse, "arrive": Arrive, "return": Return, "expire": Expire}
_DUE: dict[str, Callable[[], Command]] = {"expire": Expire, "review": Review}
_AMOUNTS: dict[str, Callable[[int], Command]] = {
    "transfer": Transfer, "points": partial(Transfer, unit="points"), "unload": Unload, "pay": Pay, "clear": Clear,
}  # fmt: skip
