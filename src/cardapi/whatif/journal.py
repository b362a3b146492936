"""A shop's journal as happenings, and what came of them: the record that every supposed shop is compared with.

The journal has what came of a sale, not what was asked. What is asked again is read back from it:
- a line's discount is the pack's own, decided again on the card as it stood, and the rest is the till's (its counter's rate included),
  which is kept as an amount;
- points, visits and gifts are what the customer used them for; stored value first, unless the customer kept some back;
- a category that the deciding pack did not know is not in the journal: such lines have none, and are counted;
- articles are not in the journal: what a ticket's coupons took off stays as an amount where one of them was for some articles only;
- tags, birthdays and units are today's. What was refused is not asked again.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from cardapi.coupons.model import STOCK
from cardapi.custody import Custody
from cardapi.desk.facts import facts
from cardapi.desk.request import Request
from cardapi.ids import is_leg
from cardapi.people.registry import ProgrammeVersion, Registry
from cardapi.reports.figures import Progress, cleared
from cardapi.store.fold import accounts_in, is_settlement, unpack_records
from cardapi.store.port import CardRow, Entry, Head, Record
from cardapi.whatif.happening import Followed, Given, Happening, Key, Moved, Occurred, Redeemed, Sold, SpentOnCard, ToppedUp
from cardapi.whatif.tally import Tally
from cardapi.whatif.world import Made, share_given_back
from cardcore.errors import CardcoreError
from cardcore.settlement import Account, Facts, Line, LineView, Programme, Sale, Settlement, Snapshot, Void, coupon_purse, decide
from cardcore.settlement.lifecycle import SUSPENDED

STEP = 1_000
SLEEPS = {"suspend": True, "resume": False}  # steps of a card: whether it sleeps after them
MOVING = frozenset({"transfer", "adjust", "expire", "review", "load", "unload", "pay", "clear"})
SYSTEM, OF_AWARDS = "system", ("award:", "due:")  # whose entries give and take back what rules award, and how their keys begin
COUNTING = frozenset({"make_codes", "count_stock"})
FOLLOWING = frozenset({"capture", "void", "refund", "reverse", "arrive", "return"})


class Past(Protocol):
    """The part of the store port that is read."""

    def heads(self) -> list[Head]: ...
    def journal(self, partition: int, after: int = 0, upto: int | None = None) -> Iterator[Entry]: ...
    def cards(self) -> Iterator[CardRow]: ...
    def records(self, kind: str, ids: Any) -> dict[str, Record]: ...


class Journal:
    """The record of a shop, read once from its beginning up to `until_us`, both partitions and time in order.

    `asks`: facts about members and places that some pack asks for. `counted`: which cards and times belong to the report.
    """

    def __init__(
        self, store: Past, registry: Registry, custody: Custody, asks: frozenset[str], counted: Callable[[int, int], bool],
        until_us: int, progress: Progress = lambda step: None,
    ) -> None:  # fmt: skip
        self._store = store
        self._registry = registry
        self._custody = custody
        self._asks = asks
        self._counted = counted
        self._until_us = until_us
        self._progress = progress
        self._records: dict[tuple[str, str], Record | None] = {}
        self._made: dict[Key, Made] = {}
        self._heads = store.heads()
        self.programmes = {card.account_id: card.programme for card in store.cards()}
        self.numbers = {card.account_id: card.number for card in store.cards()}
        self.accounts: dict[int, Account] = {}
        self.asleep: set[int] = set()  # accounts whose card has no benefits, as its member is not active (L10)
        self.tally = Tally()
        self.refused = 0
        self.events: set[str] = set()  # names of those that happened
        self.uncategorised = [0, 0]  # lines, fen
        self.by_article = [0, 0]  # tickets with a coupon for some articles, what their coupons took off
        self._stock: dict[str, Record] = {}  # how many were given of what there is only so much of, as the walk goes
        self.ended_at = 0  # epoch second of the last entry taken in
        self.named = self._names()

    def entries(self) -> int:
        """How many entries there are, for progress."""
        return sum(head.position for head in self._heads)

    def programme_of(self, account_id: int, at: int) -> Programme:
        """The programme that was in force for a card; of one issued before its first version, that."""
        return self._in_force(account_id, at).programme

    def deciding(self, account_id: int, at: int) -> Programme:
        """The same, without benefits while the card's member sleeps."""
        return self._in_force(account_id, at).deciding(SUSPENDED if account_id in self.asleep else 0)

    def _in_force(self, account_id: int, at: int) -> ProgrammeVersion:
        name = self.programmes[account_id]
        return self._registry.version(name, at) or self._registry.versions(name)[0]

    def happenings(self) -> Iterator[Happening]:
        """What happened, in order. The record (`accounts`, `tally`) is at the moment of the happening just yielded."""
        for entry in self._walk():
            if entry.at_us > self._until_us:
                continue
            self.ended_at = max(self.ended_at, entry.at_us // 1_000_000)
            yield from self._take(entry)

    def _walk(self) -> Iterator[Entry]:
        parts = [self._store.journal(head.partition, 0, head.position) for head in self._heads]
        for count, entry in enumerate(heapq.merge(*parts, key=lambda entry: entry.at_us) if len(parts) > 1 else parts[0], 1):
            yield entry
            if count % STEP == 0:
                self._progress(STEP)

    def _names(self) -> frozenset[Key]:
        """Keys of the entries that later ones name."""
        return frozenset(
            (entry.partition, entry.ref)
            for head in self._heads
            for entry in self._store.journal(head.partition, 0, head.position)
            if entry.ref
        )

    # ------------------------------------------------------------ one entry
    def _take(self, entry: Entry) -> Iterator[Happening]:
        key = entry.partition, entry.position
        batch = cleared(entry)
        if batch is not None:
            paid = tuple(batch.paid())
            for account_id, amount_fen in paid:
                self.accounts[account_id].spend_on_card(amount_fen)
            yield SpentOnCard(key, entry.at_us, paid)
            return
        if not is_settlement(entry):
            if entry.verb in COUNTING and entry.outcome == "applied":
                self._stock.update({row.id: row for row in unpack_records(entry.body).after if row.kind == STOCK})
            if entry.verb in SLEEPS and entry.outcome == "applied":
                (self.asleep.add if SLEEPS[entry.verb] else self.asleep.discard)(entry.account_id)
            if entry.outcome == "refused" and self._counted(entry.account_id, entry.at_us):
                self.refused += 1
            return
        done = Settlement.unpack(entry.body)
        happening = None
        if not is_leg(entry.client, entry.client_key):
            happening = self._asked(entry, done, key)
        for account_id in accounts_in(done, entry.partition):
            self._account(account_id).apply(done, entry.position)
        if happening is not None:
            yield happening

    def _account(self, account_id: int) -> Account:
        found = self.accounts.get(account_id)
        if found is None:
            found = self.accounts[account_id] = Account(account_id)
        return found

    def _asked(self, entry: Entry, done: Settlement, key: Key) -> Happening | None:
        """What was asked, told from what came of it; the record's tally takes it in.

        Fees, and what takes them back, are told of nowhere: no rule of a sale changes them.
        """
        if done.verb == "fee":
            return None
        programme = self._version(done, entry)
        discount = 0
        happening: Happening | None
        if done.verb in ("settle", "hold"):
            told = self._facts(entry, done)
            decided = self.deciding(done.account_id, entry.at_us // 1_000_000) if done.account_id in self.asleep else programme
            lines, coupons = self._lines(decided, done, told, entry.at_us)
            discount = done.discount_fen - sum(line.discount_fen for line in lines)
            happening = _sold(entry, done, key, lines, told)._replace(coupons=coupons)
        elif done.verb == "topup":
            told, product = self._facts(entry, done), _product(programme, done)
            happening = ToppedUp(key, entry.at_us, done.account_id, done.outside_fen, done.outside_tender, product, told)
        elif done.verb == "redeem":
            happening = _redeemed(entry, done, key, programme, self._facts(entry, done))
        elif entry.client == SYSTEM and entry.client_key.startswith(OF_AWARDS):
            happening = None  # a supposed shop awards and takes back what its own pack says
        elif done.verb == "give":
            happening = _given(entry, done, key, programme)
        elif done.verb in FOLLOWING or (done.verb == "expire" and entry.ref):
            named = self._made.get((entry.partition, entry.ref))
            if named is None:
                return None
            discount = share_given_back(named, done)
            happening = _followed(entry, done, key, named, self._facts(entry, done) if done.verb == "capture" else None)
            named.followers.append(done)
        elif done.verb == "event":
            self.events.add(done.outside_tender)
            happening = _occurred(entry, done, key, self._facts(entry, done))
        else:
            assert done.verb in MOVING, f"nobody says what the verb {done.verb} asks for"
            happening = _moved(entry, done, key, programme)
        if key in self.named:
            self._made[key] = Made(done, programme, discount, [])
        if self._counted(done.account_id, entry.at_us):
            self.tally.add(programme, done, discount if done.verb != "hold" else 0)
        return happening

    def _version(self, done: Settlement, entry: Entry) -> Programme:
        for version in self._registry.versions(self.programmes[done.account_id]):
            if version.version == done.programme_version:
                return version.programme
        return self.programme_of(done.account_id, entry.at_us // 1_000_000)

    def _lines(self, programme: Programme, done: Settlement, told: Facts | None, at_us: int) -> tuple[tuple[Line, ...], tuple[str, ...]]:
        """The lines as the till sent them, and the coupons of the pack that it named: what the pack took off is told apart from what the
        till did."""
        views = done.lines()
        names = list(programme.categories)
        bare = [
            Line(line.amount_fen, line.quantity, names[line.category] if line.category >= 0 else "", flags=line.flags) for line in views
        ]
        if self._counted(done.account_id, at_us):
            unknown = [line.amount_fen for line in views if line.category < 0]
            self.uncategorised[0] += len(unknown)
            self.uncategorised[1] += sum(unknown)
        if done.discount_fen:
            gives = any(rule["effect"] in ("discount", "waive") for rule in programme.rules)
            own = self._quoted(programme, done, bare, (), told, at_us) if gives else None
            given = [line.discount_fen for line in own or ()] or [0] * len(views)  # where it cannot be told, all is the till's
            bare = [
                line._replace(discount_fen=max(view.discount_fen - less, 0)) for line, view, less in zip(bare, views, given, strict=True)
            ]
        used = [
            programme.coupons[posting.purse - coupon_purse(0)]
            for posting in done.postings()
            if posting.unit == "coupon" and posting.source == "customer"
        ]
        coupons = tuple(terms["name"] for terms in used)
        if any(terms["skus"] for terms in used):
            coupons = ()
            if self._counted(done.account_id, at_us):
                self.by_article[0] += 1
                self.by_article[1] += done.coupon_fen
        took = self._quoted(programme, done, bare, coupons, told, at_us) if coupons else []
        if took is None:
            took, coupons = [], ()
        off = [line.coupon_fen for line in took] or [0] * len(views)
        lines = (
            line._replace(coupon_fen=max(view.coupon_fen - less, 0)) for line, view, less in zip(bare, views, off, strict=True)
        )
        return tuple(lines), coupons

    def _quoted(
        self, programme: Programme, done: Settlement, lines: list[Line], coupons: tuple[str, ...], told: Facts | None, at_us: int
    ) -> list[LineView] | None:
        """What the pack makes of these lines on the card as it stood before; None where it cannot."""
        sale = Sale("quote", lines, shortfall_tender=done.outside_tender or "cash", coupons=coupons)
        try:
            return decide(Snapshot(programme, self._account(done.account_id), facts=told), sale, at_us).lines()
        except CardcoreError:
            return None

    # ------------------------------------------------------------ member and place
    def _facts(self, entry: Entry, done: Settlement) -> Facts | None:
        if not self._asks:
            return None
        request = Request(entry.verb, entry.client, entry.client_key, b"", command=Void(memo=done.memo), unit=entry.unit)
        programme = self._version(done, entry)
        return facts(self._record, self._registry, self._custody, request, self._asks, done.account_id, programme)

    def _record(self, kind: str, name: str) -> Record | None:
        if kind == STOCK:
            return self._stock.get(name)
        if (kind, name) not in self._records:
            self._records[kind, name] = self._store.records(kind, [name]).get(name)
        return self._records[kind, name]


def _sold(entry: Entry, done: Settlement, key: Key, lines: tuple[Line, ...], told: Facts | None) -> Sold:
    at_s = entry.at_us // 1_000_000
    stored = done.principal_fen + done.bonus_fen
    kept_back = done.after_money_fen > 0 and (done.outside_fen > 0 or done.further_fen > 0)
    points = sum(posting.amount for posting in done.postings() if posting.unit == "points" and posting.role == "points")
    return Sold(
        key, entry.at_us, done.account_id, lines, points, done.outside_tender, stored if kept_back else -1, done.further_accounts,
        done.expires_at - at_s if done.verb == "hold" else 0, told,
    )  # fmt: skip


def _occurred(entry: Entry, done: Settlement, key: Key, told: Facts | None) -> Occurred:
    """The number that a draw used is in the entry; where none was drawn, one that follows from the entry's place."""
    drawn = [move.amount for move in done.moves() if move.counter == 0]
    number = drawn[0] if drawn else int.from_bytes(hashlib.blake2b(b"%d:%d" % key, digest_size=8).digest(), "big") >> 2
    return Occurred(key, entry.at_us, done.account_id, done.outside_tender, done.gross_fen, number, told)


def _given(entry: Entry, done: Settlement, key: Key, programme: Programme) -> Given:
    given = [posting for posting in done.postings() if posting.unit == "coupon"]
    name = programme.coupons[given[0].purse - coupon_purse(0)]["name"]
    return Given(key, entry.at_us, done.account_id, name, len(given), given[0].expires_at)


def _redeemed(entry: Entry, done: Settlement, key: Key, programme: Programme, told: Facts | None) -> Redeemed:
    (given,) = (posting for posting in done.postings() if posting.unit == "gift")
    gift = programme.gifts[given.purse]
    item = gift["items"][given.line] if given.line >= 0 else ""
    return Redeemed(key, entry.at_us, done.account_id, gift["name"], item, given.amount, gift["cost_fen"] * given.amount, told)


def _product(programme: Programme, done: Settlement) -> str:
    """The product that a top-up bought, told by its price and what it brought; "" for value."""
    brought = sorted((posting.purse, posting.amount) for posting in done.postings() if posting.unit in ("visits", "pass"))
    if not brought:
        return ""
    for name, (price_fen, grants) in programme.products.items():
        if price_fen == done.outside_fen and sorted((purse, amount) for purse, amount, *_ in grants) == brought:
            return name
    return "?"


def _followed(entry: Entry, done: Settlement, key: Key, named: Made, told: Facts | None) -> Followed:
    part, of = 0, 0
    lines: tuple[int, ...] = ()
    if done.verb == "capture" and done.net_fen < named.done.net_fen:
        part, of = done.net_fen, named.done.net_fen
    elif done.verb == "refund":
        returned: tuple[LineView, ...] = tuple(line for follower in (*named.followers, done) for line in follower.lines())
        if done.lines() and len(returned) < len(named.done.lines()):
            lines = tuple(line.line for line in done.lines())
        elif not done.lines():
            part, of = done.net_fen, named.done.net_fen
    return Followed(key, entry.at_us, done.account_id, done.verb, (entry.partition, entry.ref), part, of, lines, told)


def _moved(entry: Entry, done: Settlement, key: Key, programme: Programme) -> Moved:
    postings = [posting for posting in done.postings() if posting.role != "claw"]
    if done.verb in ("expire", "review"):
        return Moved(key, entry.at_us, done.account_id, done.verb)
    if done.verb == "adjust":
        signed = sum(posting.amount * (1 if posting.source == "adjustment" else -1) for posting in postings)
        return Moved(key, entry.at_us, done.account_id, "adjust", signed, programme.purses[postings[0].purse])
    amount = sum(posting.amount for posting in postings if posting.unit == "fen")
    other = done.further_accounts[0] if done.further_accounts else 0
    if done.verb == "transfer" and not amount:
        return Moved(key, entry.at_us, done.account_id, "points", done.points_used, "", other)
    return Moved(key, entry.at_us, done.account_id, done.verb, amount, "", other, done.outside_tender)
