"""Money verbs at the desk: card state, PIN policy, the entry they name, then the core's decision."""

from __future__ import annotations

from collections.abc import Sequence

from cardapi.custody import Pin
from cardapi.desk import coupons
from cardapi.desk.chips import fit
from cardapi.desk.facts import facts
from cardapi.desk.law import lawful
from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.ids import ACCOUNT_BITS
from cardapi.people.policy import CardPolicy
from cardapi.store.fold import Step, is_settlement, pack_body
from cardapi.store.media import VERBS as MEDIUM_VERBS
from cardapi.store.port import CardRow, Entry, Record
from cardcore.errors import CardcoreError, Declined
from cardcore.settlement import Account, Expire, Give, Sale, Settlement, Snapshot, decide
from cardcore.settlement.lifecycle import GONE, admit

NAMING = frozenset({"capture", "void", "refund", "reverse", "arrive", "return"})  # verbs that name an earlier entry
GIVES_BACK = frozenset({"refund", "void"})
Claims = Sequence[tuple[str, Settlement]]
PIN_VERBS = frozenset({"settle", "hold", "transfer", "redeem", "load"})  # verbs with which a customer spends


def money(work: Work, request: Request) -> Entry:
    """Decide and record one money verb. Raises Problem and the core's InvalidCommand, which record nothing."""
    verb = request.verb
    ticket: Entry | None = None
    if verb in NAMING:
        ticket = _named(work, request)
        if ticket is None:
            assert request.ref_key is not None, "what is named by its place was found"
            return _void_unseen(work, request, request.ref_key)
        if ticket.code == "key_voided" and verb == "void":
            return work.add(request, account_id=0, card="", body=b"", ref=ticket.position)
    card = _card(work, request, ticket)
    try:
        admit(verb, card.state, work.lost_from(card), card.valid_until, card.flags, work.at_s)
        account = work.account(card.account_id)
        if ticket is None and account.lapsed_hold(work.at_s):
            ticket = _end_lapsed(work, request, card, account)
        if verb in MEDIUM_VERBS and request.command is not None:
            fit(work, request, card, ticket.position if ticket else 0)
        settlement, claims = _decide(work, request, card, account, ticket)
        if work.registry.law() is not None:
            try:
                lawful(work, request, card, settlement)
            except Declined as declined:
                if declined.declined_code != "law_validity" or verb != "expire":
                    raise
                settlement = _expire_the_rest(work, card, request, declined)
        stock = _count(work, request, card, settlement) if verb in coupons.STOCKED else []
    except Declined as declined:
        return refuse(work, request, card, declined, ticket.position if ticket else 0)
    if claims:
        coupons.claim(work, request, card, claims)
    entry = work.add(
        request,
        account_id=card.account_id,
        card=card.number,
        body=settlement.pack(),
        ref=ticket.position if ticket else 0,
        settlement=settlement,
    )
    if stock:
        coupons.keep_stock(work, request, entry, stock)
    if verb in coupons.RETURNING or work.version(card, settlement.programme_version).programme.awards:
        coupons.award(work, request, card, entry, settlement)
    return entry


def _named(work: Work, request: Request) -> Entry | None:
    """The entry that this one names; None for a void of a key that nobody has used. Raises Problem unknown_ticket, unknown_card."""
    key = request.ref_key
    ticket = work.named(request)
    if ticket is None and request.verb == "void" and key:
        return None
    if ticket is None and key:
        ticket = work.store.find_keys([key]).get(key)  # perhaps in a partition that the batch does not hold
    if ticket is None:
        raise Problem("unknown_ticket", "there is no such entry")
    if ticket.partition != work.partition:  # named by its key, and beside it a card that is not its own
        raise Problem("unknown_card", "the entry is not one of this card")
    return ticket


def _expire_the_rest(work: Work, card: CardRow, request: Request, declined: Declined) -> Settlement:
    """What a law keeps for the holder stays; all else that has lapsed goes (W2). Raises `declined` where there is nothing else."""
    memo = request.command.memo if request.command is not None else b""
    try:
        snapshot = Snapshot(work.version(card).programme, work.account(card.account_id))
        return decide(snapshot, Expire(keep_principal=True, memo=memo), work.at_us)
    except Declined:
        raise declined from None


def _count(work: Work, request: Request, card: CardRow, settlement: Settlement) -> list[Record]:
    """The counts of stock, and of what a person gives in a day, after this. Raises Declined out_of_stock, coupon_limit, Elsewhere."""
    changes = coupons.taken(settlement, work.version(card, settlement.programme_version).programme)
    if type(request.command) is Give:
        changes |= coupons.making(work, request, request.command.count)
    return coupons.count_stock(work, changes)


def refuse(work: Work, request: Request, card: CardRow, declined: Declined, ref: int = 0) -> Entry:
    """Record a refusal: the key is used up and a retry gets the same answer (O2, A5)."""
    body = pack_body(declined.facts)
    return work.add(request, account_id=card.account_id, card=card.number, body=body, code=declined.declined_code, ref=ref)


def _void_unseen(work: Work, request: Request, key: tuple[str, str]) -> Entry:
    if key == (request.client, request.client_key):
        raise Problem("invalid_payload", "a void cannot name its own client key")
    tombstone = work.tombstone(request, key)
    return work.add(request, account_id=0, card="", body=b"", ref=tombstone.position)


def _card(work: Work, request: Request, ticket: Entry | None) -> CardRow:
    if request.card:
        card = work.cards.get(request.card) or work.card(request.card)
        if card is not None and card.account_id >> ACCOUNT_BITS != work.partition:
            card = None  # the entry it names is in another card's partition
        if card is not None and ticket is not None and card.state in GONE and card.account_id == ticket.account_id:
            card = work.card_of(card.account_id)  # the ticket's account has moved to another number since (L01)
    elif ticket is not None and ticket.account_id:
        card = work.card_of(ticket.account_id)
    else:
        card = None
    if card is None:
        raise Problem("unknown_card", "there is no such card")
    return card


def _end_lapsed(work: Work, request: Request, card: CardRow, account: Account) -> Entry | None:
    """Give back what lapsed holds of this card still keep, before it is asked for anything new (M6, F5).

    Each is an entry of its own, whatever becomes of the request. An `expire` that finds no lapsed lot is itself the release
    of the last one: the hold it answers.
    """
    at_s = work.at_s
    while position := account.lapsed_hold(at_s):
        hold = work.entry_at(position)
        assert hold is not None, "an open hold has its entry"
        if request.verb == "expire" and sum(item.expires_at <= at_s for item in account.holds()) == 1:
            return None if any(0 < lot.expires_at <= at_s for lot in account.lots()) else hold
        try:
            settlement = decide(_ticket_snapshot(work, card, hold, "expire", request), Expire(), work.at_us)
        except Declined:  # its lots have no room for it: it stays held until they do
            return None
        entry = work.add(
            request,
            account_id=card.account_id,
            card=card.number,
            body=settlement.pack(),
            ref=position,
            settlement=settlement,
            verb="expire",
            key=("system", f"lapsed:{work.partition}:{position}"),
        )
        work.half_made = True
        coupons.award(work, request, card, entry, settlement)
        work.half_made = False
    return None


def _decide(work: Work, request: Request, card: CardRow, account: Account, ticket: Entry | None) -> tuple[Settlement, Claims]:
    """The settlement, and the coupons that bearer codes bring onto the card before it."""
    command = request.command
    if command is None:
        raise Problem("invalid_payload", f"{request.verb} needs a command")
    if request.pin is not None and request.verb in PIN_VERBS:
        check_pin(work, request, card, request.pin)
    if ticket is not None:
        return decide(_ticket_snapshot(work, card, ticket, request.verb, request), command, work.at_us), ()
    version = work.version(card)
    # Whether a tier is kept is looked at whoever holds the card; all else is for who is a member.
    programme = version.programme if request.verb == "review" else version.deciding(card.flags)
    told = None
    if version.asks:
        told = facts(work.record, work.registry, work.custody, request, version.asks, card.account_id, version.programme)
    lots: dict[str, int] | None = None
    claims: Claims = ()
    if type(command) is Sale and command.coupons:
        named = coupons.at_desk(work, command.coupons, card, account, programme)
        account, lots, claims = named.account, named.lots, named.claims
    if not request.further:
        settlement = decide(Snapshot(programme, account, facts=told, coupons=lots), command, work.at_us)
    else:
        further = [_further(work, request, number) for number in request.further]
        others = [Snapshot(work.version(row).programme, work.account(row.account_id)) for row in further]
        settlement = decide(Snapshot(programme, account, others=others, facts=told, coupons=lots), command, work.at_us)
        if request.verb != "transfer":
            _further_pins(work, further, settlement)
    from_till = request.verb == "load" and settlement.outside_fen  # the account gives nothing
    if version.policy.pin != "never" and request.pin is None and request.verb in PIN_VERBS and not from_till:
        _ask_pin(version.policy, settlement.principal_fen + settlement.bonus_fen, card)
    return settlement, claims


def _further(work: Work, request: Request, number: str) -> CardRow:
    row = work.card(number)
    if row is None:
        raise Problem("unknown_card", "there is no such further card", card=number)
    admit("topup" if request.verb == "transfer" else request.verb, row.state, work.lost_from(row), row.valid_until, row.flags, work.at_s)
    return row


def _further_pins(work: Work, further: Sequence[CardRow], settlement: Settlement) -> None:
    """A further card that wants its own PIN cannot be used: a request carries the first card's PIN only."""
    for row in further:
        if row.account_id in settlement.further_accounts:
            _ask_pin(work.version(row).policy, settlement.further_fen, row)


def _ask_pin(policy: CardPolicy, spent_fen: int, card: CardRow) -> None:
    if policy.pin == "always" or (policy.pin == "above" and spent_fen > policy.pin_above_fen):
        raise Declined("pin_required", card=card.number)


def check_pin(work: Work, request: Request, card: CardRow, pin: Pin) -> None:
    """Raises Declined pin_not_set, pin_locked, pin_wrong (facts: tries_left); a right PIN clears the count.

    The caller records a wrong one as an entry, which counts it in the same durable commit that precedes the answer (N).
    """
    if not card.pin_value:
        raise Declined("pin_not_set")
    if card.pin_tries >= work.pin_tries_max:
        raise Declined("pin_locked")
    if not work.custody.pin_matches(card.account_id, pin, card.pin_value):
        raise Declined("pin_wrong", tries_left=work.pin_tries_max - card.pin_tries - 1)
    if card.pin_tries and request.verb != "verify_pin":
        before, after = card_images(card, pin_tries=0)
        work.add(
            request,
            account_id=card.account_id,
            card=card.number,
            body=pack_body(Step([before], [after])),
            verb="pin_cleared",
            key=("system", f"pin:{work.partition}:{work.position + 1}"),
        )


def card_images(card: CardRow, **changes: object) -> tuple[CardRow, CardRow]:
    """A card row before and after, as a `Step` carries them."""
    from msgspec.structs import replace

    return replace(card, changed_at=0), replace(card, changed_at=0, **changes)


def _ticket_snapshot(work: Work, card: CardRow, ticket: Entry, verb: str, request: Request) -> Snapshot:
    """What a verb that names an entry may see: the entry, what followed it, and every account it touched."""
    if ticket.account_id != card.account_id:
        raise Declined("not_same_card")
    if not is_settlement(ticket):
        raise Declined("not_refundable", verb=ticket.verb, outcome=ticket.outcome)
    named = _settlement(work, ticket)
    others = []
    for account_id in named.further_accounts:
        other = work.card_of(account_id)
        if other is None:
            raise CardcoreError(f"account {account_id} has no card")
        if verb in GIVES_BACK and named.verb != "hold":  # as for the card itself: nothing is given to a number that is dead
            admit(verb, other.state, work.lost_from(other), other.valid_until, other.flags, work.at_s)
        others.append(Snapshot(work.version(other).programme, work.account(account_id)))
    followers = [_settlement(work, entry) for entry in work.followers(ticket.position) if is_settlement(entry)]
    version = work.version(card, named.programme_version)
    programme, told = version.programme, None
    if verb == "capture":  # what is given for the captured sale may ask for the member and the place
        programme = version.deciding(card.flags)
        if version.asks:
            told = facts(work.record, work.registry, work.custody, request, version.asks, card.account_id, version.programme)
    return Snapshot(
        programme, work.account(card.account_id), others=others, ticket=named, ticket_position=ticket.position,
        followers=followers, facts=told,
    )  # fmt: skip


def _settlement(work: Work, entry: Entry) -> Settlement:
    return Settlement.unpack(entry.body)
