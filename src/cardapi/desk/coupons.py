"""Coupons at the desk: which lots the words of a ticket stand for, bearer codes put on a card, stock counted in the same commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from cardapi.coupons import codes, model
from cardapi.days import day_of
from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.people.follow import REGISTRY
from cardapi.store.fold import pack_body
from cardapi.store.port import CardRow, Entry, Record
from cardcore.errors import Declined
from cardcore.settlement import Account, Give, Programme, Reverse, Settlement, Snapshot, coupon_purse, decide
from cardcore.settlement.commands import GIVE_MAX

STOCKED = frozenset({"give", "redeem", "reverse"})  # money verbs that hand out or take back what is counted
RETURNING = frozenset({"refund", "void", "expire"})  # verbs that may give a coupon back to its lot

ReadRecord = Callable[[str, str], Record | None]
ReadKey = Callable[[tuple[str, str]], Entry | None]


class Named(msgspec.Struct):
    """What the words of a ticket stand for: lots of the account, as it is once the claims are made."""

    account: Account
    lots: dict[str, int]
    claims: list[tuple[str, Settlement]] = []  # keyed name of a code, and how its coupon comes onto the card


def named(
    words: Sequence[str | int], card: CardRow, account: Account, programme: Programme, at_us: int, *, record: ReadRecord, by_key: ReadKey
) -> Named:
    """Look the words up; names of kinds are the core's to know. Raises Declined unknown_coupon, no_coupon, coupon_expired."""
    found = Named(account, {})
    for word in words:
        if not isinstance(word, str) or word in found.lots:
            continue
        if word.startswith("#"):
            found.lots[word] = _of_code(found, word, card, programme, at_us, record, by_key)
        elif (pair := model.parse_id(word)) is not None:
            if pair[0] != account.account_id:
                raise Declined("no_coupon", coupon=word)
            found.lots[word] = pair[1]
    return found


def _of_code(
    found: Named, word: str, card: CardRow, programme: Programme, at_us: int, record: ReadRecord, by_key: ReadKey
) -> int:
    """The lot that a bearer code stands for: the one it was put on this card as, or a new one."""
    entry = by_key((model.CLAIMED, word[1:]))
    if entry is None:
        kept = record(model.CODE, word[1:])
        code = model.unpack_code(kept.body) if kept is not None else None
        if code is None or code.programme != card.programme:
            raise Declined("unknown_coupon", coupon=word)
        given = decide(Snapshot(programme, found.account), Give(code.coupon, expires_at=code.ends), at_us)
        found.account = found.account.copy()
        found.account.apply(given, 0)
        found.claims.append((word[1:], given))
    elif entry.outcome != "applied" or entry.account_id != found.account.account_id:
        raise Declined("no_coupon", coupon=word)
    else:
        given = Settlement.unpack(entry.body)
    return next(posting.target_lot for posting in given.postings() if posting.unit == "coupon")


def at_desk(work: Work, words: Sequence[str | int], card: CardRow, account: Account, programme: Programme) -> Named:
    """`named` inside a batch."""

    def by_key(key: tuple[str, str]) -> Entry | None:
        for each in work.works.values():
            if key in each.keys:
                return each.keys[key]
        return work.store.find_keys([key]).get(key)

    return named(words, card, account, programme, work.at_us, record=work.record, by_key=by_key)


def claim(work: Work, request: Request, card: CardRow, claims: Sequence[tuple[str, Settlement]]) -> None:
    """Put the coupons of bearer codes on the card that uses them; the code's name is the client key, so it happens once (O1)."""
    for name, given in claims:
        work.add(
            request, account_id=card.account_id, card=card.number, body=given.pack(), settlement=given, verb="give",
            key=(model.CLAIMED, name), fingerprint=work.custody.fingerprint(name.encode()),
        )  # fmt: skip


# ------------------------------------------------------------ awards
def award(work: Work, request: Request, card: CardRow, entry: Entry, settlement: Settlement) -> None:
    """Make the coupons that rules of the pack award with an entry, and take back those that its refund or reversal says (decision 0013).

    Each award is entries of its own, in the same commit, under names made from the place of the award. What cannot be given, being out
    of stock, is a refused entry under its name. Of what is taken back, uses that were made stay made until their ticket gives them back.
    """
    programme = work.version(card, settlement.programme_version).programme
    for won in settlement.awards() if programme.awards else ():
        terms = programme.awards[won.award]
        if terms["kind"] != "coupon" or all(coupon["name"] != terms["id"] for coupon in programme.coupons):
            continue  # somebody else's to hand out
        names = _names(f"award:{entry.partition}:{entry.ref if won.back else entry.position}:{won.posting}", won.quantity)
        if not won.back:
            _award(work, request, card, programme, terms["id"], won.valid_until, names)
            continue
        for name, _ in names:
            if not _take_back(work, request, card, name):
                break
    if entry.verb in RETURNING and programme.coupons:
        _collect_due(work, request, card, entry, settlement)


def _names(name: str, quantity: int) -> Iterator[tuple[str, int]]:
    """The entries of an award, each of as many as one command gives: name, how many."""
    for start in range(0, quantity, GIVE_MAX):
        yield f"{name}:{start}" if start else name, min(GIVE_MAX, quantity - start)


def _award(
    work: Work, request: Request, card: CardRow, programme: Programme, kind: str, ends: int, names: Iterable[tuple[str, int]]
) -> None:
    for name, count in names:
        key, fingerprint = ("system", name), work.custody.fingerprint(name.encode())
        try:
            given = decide(Snapshot(programme, work.account(card.account_id)), Give(kind, count, expires_at=ends), work.at_us)
            stock = count_stock(work, taken(given, programme))
        except Declined as declined:
            work.add(
                request, account_id=card.account_id, card=card.number, body=pack_body(declined.facts), code=declined.declined_code,
                verb="give", key=key, fingerprint=fingerprint,
            )  # fmt: skip
            return  # there is no room for more either
        made = work.add(
            request, account_id=card.account_id, card=card.number, body=given.pack(), settlement=given, verb="give", key=key,
            fingerprint=fingerprint,
        )  # fmt: skip
        keep_stock(work, request, made, stock)


def _take_back(work: Work, request: Request, card: CardRow, name: str) -> bool:
    """Take back what an entry awarded, as far as it is there. Answers whether there was such an entry."""
    made = work.keys.get(("system", name)) or work.store.find_keys([("system", name)]).get(("system", name))
    if made is None or made.outcome != "applied":
        return False
    left = {lot.lot_id: lot.amount for lot in work.account(card.account_id).lots()}
    due = [
        model.due_record(model.coupon_id(card.account_id, posting.target_lot), made.position)
        for posting in Settlement.unpack(made.body).postings()
        if left.get(posting.target_lot, 0) < posting.amount
    ]  # fmt: skip
    _reverse_unused(work, request, card, made, f"{name}:back")
    if due:
        work.add_records(request, due, account_id=card.account_id, card=card.number, verb="owe_coupons", key=("system", f"{name}:due"))
    return True


def _collect_due(work: Work, request: Request, card: CardRow, entry: Entry, settlement: Settlement) -> None:
    """Coupons that an entry gave back to their lots, and whose award was taken back meanwhile, go back as well (P3)."""
    for posting in settlement.postings():
        if posting.unit != "coupon" or posting.target != "customer":
            continue
        owed = work.record(model.DUE, model.coupon_id(posting.target_account, posting.target_lot))
        if owed is not None:
            made = work.entry_at(model.unpack_due(owed.body))
            assert made is not None, "a coupon that is due has the entry that gave it"
            _reverse_unused(work, request, card, made, f"due:{entry.partition}:{entry.position}:{posting.target_lot}")


def _reverse_unused(work: Work, request: Request, card: CardRow, made: Entry, name: str) -> None:
    ticket = Settlement.unpack(made.body)
    programme = work.version(card, ticket.programme_version).programme
    try:
        snapshot = Snapshot(programme, work.account(card.account_id), ticket=ticket, ticket_position=made.position)
        back = decide(snapshot, Reverse(unused=True), work.at_us)
    except Declined:  # nothing of it is there
        return
    stock = count_stock(work, taken(back, programme))
    entry = work.add(
        request, account_id=card.account_id, card=card.number, body=back.pack(), settlement=back, verb="reverse", ref=made.position,
        key=("system", name), fingerprint=work.custody.fingerprint(name.encode()),
    )  # fmt: skip
    keep_stock(work, request, entry, stock)


# ------------------------------------------------------------ stock
def taken(settlement: Settlement, programme: Programme) -> dict[str, tuple[int, int]]:
    """What a settlement gives of what is counted: name of the stock -> (how many, negative for what comes back; how many there are)."""
    changes: dict[str, tuple[int, int]] = {}
    for posting in settlement.postings():
        if posting.unit == "coupon" and "coupon_issue" in (posting.source, posting.target):
            terms = programme.coupons[posting.purse - coupon_purse(0)]
            # What comes back use by use stays counted: somebody had it.
            name, count = model.stock_name(programme.name, "coupon", terms["name"]), int(posting.amount == terms["uses"])
            sign = 1 if posting.source == "coupon_issue" else -1
        elif posting.unit == "gift":
            terms = programme.gifts[posting.purse]
            what = f"{terms['name']}:{terms['items'][posting.line]}" if posting.line >= 0 else terms["name"]
            name, count = model.stock_name(programme.name, "gift", what), posting.amount
            sign = 1 if posting.source == "gift_stock" else -1
        else:
            continue
        if terms["stock"]:
            changes[name] = (changes.get(name, (0, 0))[0] + sign * count, terms["stock"])
    return changes


def count_stock(work: Work, changes: dict[str, tuple[int, int]]) -> list[Record]:
    """The counts after these changes, all of them in one place, the registry's partition. Raises Declined out_of_stock, Elsewhere."""
    after = []
    for name, (count, limit) in sorted(changes.items()):
        given = _counted(work, name) + count
        if count > 0 and given > limit:
            raise Declined("out_of_stock", left=max(0, limit - given + count))
        after.append(model.stock_record(name, max(0, given)))
    return after


def _counted(work: Work, name: str) -> int:
    record = work.at(REGISTRY).record(model.STOCK, name)
    return model.unpack_stock(record.body) if record is not None else 0


def making(work: Work, request: Request, count: int) -> dict[str, tuple[int, int]]:
    """What is counted of the coupons that a person makes in a day, as `taken` says it (R3). Raises Declined coupon_limit, Elsewhere."""
    if not request.operator:
        return {}
    day = day_of(work.at_s).isoformat()
    name, most = model.made_name(request.operator, day), work.coupons_a_day + _counted(work, model.allowed_name(request.operator, day))
    left = max(0, most - _counted(work, name))
    if count > left:
        raise Declined("coupon_limit", left=left, limit=most)
    return {name: (count, most)}


def allow_coupons(work: Work, request: Request) -> Entry:
    """So many more for an operator today, as two people decided. Raises Problem coupon_limit."""
    operator, count = request.operator, request.payload["count"]
    day = day_of(work.at_s).isoformat()
    try:
        after = count_stock(work, {model.allowed_name(operator, day): (count, model.ALLOWED_MAX)})
    except Declined as declined:
        raise Problem("coupon_limit", "no more can be allowed for one day", limit=model.ALLOWED_MAX, **declined.facts) from declined
    return work.add_records(request, after, facts={"operator": operator, "day": day, "count": count})


def keep_stock(work: Work, request: Request, entry: Entry, after: list[Record]) -> None:
    """Write the counts that go with an entry, in its commit."""
    if after:
        key = ("system", f"stock:{entry.partition}:{entry.position}")
        facts = {"entry": [entry.partition, entry.position]}
        work.at(REGISTRY).add_records(request, after, facts=facts, verb="count_stock", key=key)


# ------------------------------------------------------------ bearer codes
def make_codes(work: Work, request: Request) -> Entry:
    """Codes of one batch. They follow from the request's key, so that a retry shows the same ones; only their names are kept."""
    facts = request.payload
    version = work.registry.version(facts["programme"], work.at_s)
    if version is None:
        raise Problem("unknown_programme", f"no programme {facts['programme']!r} is valid now", programme=facts["programme"])
    terms = next((coupon for coupon in version.programme.coupons if coupon["name"] == facts["coupon"]), None)
    if terms is None:
        raise Problem("unknown_coupon", "the programme has no such kind of coupon")
    count, ends = facts["count"], facts["ends"]
    if 0 < ends <= work.at_s or 0 < terms["until"] <= work.at_s:
        raise Problem("coupon_expired", "the coupon would have lapsed before anybody can use it")
    code = model.Code(facts["programme"], facts["coupon"], ends, facts["batch"])
    key = work.custody.coupon_key(request.client, request.client_key)
    names = [codes.name(work.custody, codes.parse(codes.make(key, index))) for index in range(count)]
    after = [model.code_record(name, code) for name in names]
    try:
        changes = making(work, request, count)
        if terms["stock"]:
            changes[model.stock_name(version.name, "coupon", terms["name"])] = (count, terms["stock"])
        after += count_stock(work, changes)
    except Declined as declined:
        left = "there are not as many left" if declined.declined_code == "out_of_stock" else "one person may make no more of them today"
        raise Problem(declined.declined_code, left, **declined.facts) from declined
    return work.add_records(request, after, facts={"batch": code.batch, "count": count})
