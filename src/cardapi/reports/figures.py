"""The figures of a shop's day: what one fold over journal entries says about tickets, tenders, top-ups and refusals.

One `Figures` serves a terminal, a store, a whole close or the whole journal; they add up because each is the same fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from cardapi.ids import is_leg
from cardapi.store.port import Entry, Head
from cardcore.clearing.body import Cleared
from cardcore.clearing.reasons import ACCEPTED
from cardcore.settlement import VERBS, Settlement

MONEY_VERBS = frozenset(VERBS) - {"quote"}
SALES = frozenset({"settle", "capture"})
CARD_VERBS = frozenset({"load", "unload", "pay", "arrive", "return", "clear"})
LATER = frozenset({
    "events", "reviews", "coupons_given", "redemptions", "card_loads", "card_payments", "card_payments_fen", "fees", "fees_fen",
})  # fmt: skip
GIVEN_BACK = frozenset({"refund", "void"})

Progress = Callable[[int], None]
"""Called now and then with how many entries were folded since the last call."""

PROGRESS_STEP = 2_000


class Ledger(Protocol):
    """The part of the store port that reports read."""

    def heads(self) -> list[Head]: ...
    def entry(self, partition: int, position: int) -> Entry | None: ...
    def journal(self, partition: int, after: int = 0, upto: int | None = None) -> Iterator[Entry]: ...


class Figures(msgspec.Struct):
    """Counts, and amounts in fen unless the name says points. Money fields are exact sums of the entries' own fields."""

    tickets: int = 0  # settle and capture
    gross_fen: int = 0  # of a capture: what was held, so gross less the reductions exceeds net by what a partial capture let go
    discount_fen: int = 0
    coupon_fen: int = 0
    covered_fen: int = 0
    net_fen: int = 0
    principal_fen: int = 0
    bonus_fen: int = 0
    points_fen: int = 0
    further_fen: int = 0
    outside_fen: int = 0
    points_earned: int = 0
    points_used: int = 0
    refunds: int = 0  # refund, and void of a sale
    refund_fen: int = 0
    topups: int = 0
    topup_fen: int = 0  # what customers paid
    topup_bonus_fen: int = 0  # what the programme added
    reversals: int = 0
    transfers: int = 0
    adjustments: int = 0
    expiries: int = 0
    holds: int = 0
    releases: int = 0  # holds voided
    refused: int = 0
    other_entries: int = 0  # card life cycle, PIN, registry changes, tombstones
    events: int = 0  # check-ins, birthdays, perks of a period: decisions without a sale
    reviews: int = 0  # of tiers
    coupons_given: int = 0  # entries that gave coupons
    redemptions: int = 0  # points for gifts
    card_loads: int = 0  # loads and unloads of cards' own memory that their cards proved
    card_payments: int = 0  # sales paid from cards' own memory, proven by the card: on-line and cleared
    card_payments_fen: int = 0
    fees: int = 0  # of membership and of replacement cards, those that a rule waived included
    fees_fen: int = 0
    liability_delta_fen: int = 0  # change of all customers' money
    drawer_fen: dict[str, int] = {}  # by outside tender: taken in less given back

    def add(self, entry: Entry, settlement: Settlement | None) -> None:
        """Fold one entry in. `settlement` is its decoded body when it is an applied money entry."""
        if entry.outcome == "refused":
            self.refused += 1
        elif settlement is None:
            self.other_entries += 1
        else:
            self.add_settlement(entry.verb, settlement)

    def add_settlement(self, verb: str, done: Settlement) -> None:
        """Fold in what a verb did."""
        self.liability_delta_fen += done.liability_delta_fen
        if verb in SALES:
            self._add_sale(done)
        elif verb in GIVEN_BACK:
            if any(posting.source == "held" for posting in done.postings()):
                self.releases += 1
            else:
                self.refunds += 1
                self.refund_fen += done.net_fen
        elif verb == "topup":
            self.topups += 1
            self.topup_fen += done.outside_fen
            self.topup_bonus_fen += done.bonus_fen
        elif verb == "fee":
            self.fees += 1
            self.fees_fen += done.net_fen
        elif verb in CARD_VERBS:
            self._add_card(done)
        else:
            counter = _COUNTERS[verb]
            setattr(self, counter, getattr(self, counter) + 1)
        if done.outside_tender:
            taken = drawer_change(done)
            if taken:
                self.drawer_fen[done.outside_tender] = self.drawer_fen.get(done.outside_tender, 0) + taken

    def _add_card(self, done: Settlement) -> None:
        """Value between account and card memory, and sales paid from it."""
        for posting in done.postings():
            if posting.source == "on_card" and posting.target == "sales":
                self.add_payments(1, posting.amount)
            elif "on_card" in (posting.source, posting.target):
                self.card_loads += 1

    def add_payments(self, count: int, amount_fen: int) -> None:
        """Purchases that left the cards' own memory."""
        self.card_payments += count
        self.card_payments_fen += amount_fen

    def _add_sale(self, done: Settlement) -> None:
        self.tickets += 1
        self.gross_fen += done.gross_fen
        self.discount_fen += done.discount_fen
        self.coupon_fen += done.coupon_fen
        self.covered_fen += done.covered_fen
        self.net_fen += done.net_fen
        self.principal_fen += done.principal_fen
        self.bonus_fen += done.bonus_fen
        self.points_fen += done.points_fen
        self.further_fen += done.further_fen
        self.outside_fen += done.outside_fen
        self.points_earned += done.points_earned
        self.points_used += done.points_used

    def merge(self, other: Figures) -> None:
        """Add another fold of other entries."""
        for name in self.__struct_fields__:
            if name != "drawer_fen":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        for tender, amount in other.drawer_fen.items():
            self.drawer_fen[tender] = self.drawer_fen.get(tender, 0) + amount

    def as_json(self) -> dict[str, Any]:
        """Everything but what came later than the first closes, where there was nothing of it: those keep their digests."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in built.items() if value or name not in LATER}


_COUNTERS = {
    "reverse": "reversals", "transfer": "transfers", "adjust": "adjustments", "expire": "expiries", "hold": "holds", "event": "events",
    "review": "reviews", "give": "coupons_given", "redeem": "redemptions",
}  # fmt: skip


def drawer_change(done: Settlement) -> int:
    """What came in from outside less what went out, in fen: the postings are the evidence, not the headline fields."""
    change = 0
    for posting in done.postings():
        if posting.unit == "fen":
            change += posting.amount * ((posting.source == "outside") - (posting.target == "outside"))
    return change


def settled(entry: Entry) -> Settlement | None:
    """The decoded body of an applied money entry, else None. Raises InvalidRecord on damaged bytes.

    A movement between partitions is counted once, where its first entry stands: its further legs say the same again.
    """
    if is_leg(entry.client, entry.client_key):
        return None
    if entry.outcome == "applied" and entry.verb in MONEY_VERBS and entry.body:  # the void of an unseen key has none (O6)
        return Settlement.unpack(entry.body)
    return None


def split(entry: Entry) -> Iterator[tuple[str, str, Cleared | Settlement | None, list[int]]]:
    """Whose figures an entry belongs to: (unit, terminal, what it did, places in a cleared batch).

    The records of a cleared batch belong to whom they pay, not to whoever uploaded them (C4).
    """
    body = cleared(entry)
    if body is None:
        yield entry.unit, entry.terminal, settled(entry), []
        return
    places: dict[int, list[int]] = {}
    for place, (outcome, payee) in enumerate(zip(body.outcomes, body.payee_index().tolist(), strict=True)):
        if outcome == ACCEPTED:
            places.setdefault(payee, []).append(place)
    for payee, own in sorted(places.items()):
        yield *body.tills[payee], body, own


def cleared(entry: Entry) -> Cleared | None:
    """The decoded body of an entry that cleared off-line purchases, else None: its legs say parts of it again. Raises InvalidRecord."""
    if is_leg(entry.client, entry.client_key):
        return None
    return Cleared.unpack(entry.body) if entry.verb == "clear_batch" and entry.outcome == "applied" else None


def fold_tills(tills: dict[tuple[str, str], Figures], entry: Entry) -> None:
    """Fold one entry into the figures of the tills it belongs to."""
    if entry.verb == "clear_batch" and not is_leg(entry.client, entry.client_key):
        tills.setdefault((entry.unit, entry.terminal), Figures()).other_entries += 1
    for unit, terminal, done, places in split(entry):
        figures = tills.setdefault((unit, terminal), Figures())
        if isinstance(done, Cleared):
            amounts = done.amounts()
            paid_fen = int(sum(amounts[places].tolist()))
            figures.add_payments(len(places), paid_fen)
            figures.liability_delta_fen -= paid_fen
        else:
            figures.add(entry, done)


def journal(store: Ledger, ranges: Iterable[tuple[int, int, int]], progress: Progress | None = None) -> Iterator[Entry]:
    """Entries of several `(partition, after, upto)` ranges, partition by partition, reporting progress."""
    seen = 0
    for partition, after, upto in ranges:
        if upto <= after:
            continue
        for entry in store.journal(partition, after, upto):
            yield entry
            seen += 1
            if progress is not None and seen % PROGRESS_STEP == 0:
                progress(PROGRESS_STEP)
    if progress is not None and seen % PROGRESS_STEP:
        progress(seen % PROGRESS_STEP)


def whole(heads: Iterable[Head]) -> list[tuple[int, int, int]]:
    """The ranges that cover everything up to these heads: fixing them first gives a report one point in time."""
    return [(head.partition, 0, head.position) for head in heads]
