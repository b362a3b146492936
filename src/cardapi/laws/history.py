"""A card's history as the statutory refund asks for it (W5): walked from the journal, newest entry first."""

from __future__ import annotations

from cardapi.ids import ticket_id
from cardapi.laws.refund import Left, NoRefund, Paid, Used
from cardapi.store.port import Entry, Store
from cardcore.settlement import Account, Programme, Settlement

PAGE = 200
ENTRIES_MAX = 20_000
SALES = frozenset({"settle", "capture"})
UNDOES = frozenset({"refund", "void", "reverse"})


class History:
    """What was paid in, what was used, what is left."""

    def __init__(self, paid: list[Paid], used: list[Used], left: list[Left]) -> None:
        self.paid, self.used, self.left = paid, used, left


def read(store: Store, account_id: int, account: Account, programme: Programme) -> History:
    """Raises NoRefund when the history is longer than is read."""
    entries: list[Entry] = []
    before: int | None = None
    while page := store.statement(account_id, before, PAGE):
        entries += page
        before = page[-1].position
        if len(entries) > ENTRIES_MAX:
            raise NoRefund(f"the card has more than {ENTRIES_MAX} entries; work it out by hand from its statement")
    lots = {lot.lot_id: lot for lot in account.lots() if programme.unit_of(lot.purse) == "fen"}
    remaining = {lot_id: lot.amount for lot_id, lot in lots.items()}
    back: dict[int, list[int]] = {}  # ticket -> [gross, net, stored] given back
    paid, used = [], []
    for entry in entries:  # newest first: what undoes comes before what it undoes, and the newest top-ups keep what is left
        if entry.account_id != account_id or entry.outcome != "applied" or entry.verb not in SALES | UNDOES | {"topup"} or not entry.body:
            continue
        done = Settlement.unpack(entry.body)
        stored = done.principal_fen + done.bonus_fen
        gone = back.get(entry.position, [0, 0, 0])
        if entry.verb in UNDOES:
            sums = back.setdefault(entry.ref, [0, 0, 0])
            back[entry.ref] = [sums[0] + done.gross_fen, sums[1] + done.net_fen, sums[2] + stored]
        elif entry.verb == "topup":
            if gone[1] < done.net_fen and done.principal_fen:
                paid.append(_paid(entry, done, remaining, programme))
        elif stored > gone[2]:
            used.append(_used(entry, done, gone, stored))
    left = [Left(lot.amount, lot.paid_fen, lot.of_units) for lot in lots.values() if lot.amount and lot.of_units]
    return History(paid[::-1], used[::-1], left)


def _paid(entry: Entry, done: Settlement, remaining: dict[int, int], programme: Programme) -> Paid:
    left = 0
    for posting in done.postings():
        if posting.unit == "fen" and posting.target == "customer" and programme.purse_roles[posting.purse] == "principal":
            there = min(posting.amount, remaining.get(posting.target_lot, 0))
            remaining[posting.target_lot] = remaining.get(posting.target_lot, 0) - there
            left += there
    return Paid(entry.at_us // 1_000_000, done.net_fen, left, ticket_id(entry.partition, entry.position))


def _used(entry: Entry, done: Settlement, gone: list[int], stored: int) -> Used:
    """A sale less what was given back of it; list price in the proportion of what is left of the price paid."""
    net = done.net_fen - gone[1]
    gross = done.gross_fen if not gone[1] or not done.net_fen else (2 * done.gross_fen * net + done.net_fen) // (2 * done.net_fen)
    return Used(gross, net, stored - gone[2], ticket_id(entry.partition, entry.position))
