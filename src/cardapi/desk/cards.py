"""The life cycle, PIN and registry verbs at the desk: each writes the rows before and after into one entry (A1, K5, L01)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cardapi.desk import fees, members
from cardapi.desk.clearing import clear, close_case, open_case
from cardapi.desk.coupons import allow_coupons, make_codes
from cardapi.desk.media import HANDLERS as MEDIA
from cardapi.desk.media import medium_verb, retired, taken_over
from cardapi.desk.money import card_images, check_pin, refuse
from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.ids import card_number_in, home, is_card_number
from cardapi.people.scope import same_hand
from cardapi.store.fold import Change, Step, pack_body
from cardapi.store.port import CardRow, Entry, MediumRow
from cardcore.errors import Declined
from cardcore.settlement.lifecycle import EXCLUDED, PIN_STATES, STEPS, TAKES_OVER, next_state, state_at

REMOVABLE = frozenset({"session"})  # kinds of documents that may go; all others only change
NUMBER_TRIES = 24  # beyond 8 million numbers given by hand in a row
KIND_MAX = 32
INTEGER_MAX = 1 << 40  # bound of times in a payload
_json = msgspec.json.Encoder(order="sorted").encode


def _fact(request: Request, name: str, kind: type, default: Any) -> Any:
    """One typed fact of the payload. Raises Problem invalid_payload."""
    value: Any = request.payload.get(name, default)
    fits = type(value) is kind
    if fits and kind is int:
        fits = 0 <= value < INTEGER_MAX
    if not fits:
        raise Problem("invalid_payload", f"{name} must be {kind.__name__}", name=name)
    return value


def _known(work: Work, request: Request) -> CardRow:
    card = work.card(request.card) if request.card else None
    if card is None:
        raise Problem("unknown_card", "there is no such card")
    return card


def _record(
    work: Work,
    request: Request,
    before: list[CardRow],
    after: list[CardRow],
    ref: int = 0,
    media: tuple[list[MediumRow], list[MediumRow]] = ([], []),
) -> Entry:
    body = pack_body(Step(before, after, request.payload, *media))
    return work.add(request, account_id=after[0].account_id, card=after[0].number, body=body, ref=ref)


def _new_card(work: Work, request: Request) -> Entry:
    """stock, or issue of a number that was not in stock: a card and its account."""
    programme = _fact(request, "programme", str, "")
    if not work.registry.versions(programme):
        raise Problem("unknown_programme", f"there is no programme {programme!r}", programme=programme)
    kind = _fact(request, "kind", str, "primary")
    if len(kind) > KIND_MAX or not kind.isascii() or not kind.isprintable():
        raise Problem("invalid_payload", f"kind is at most {KIND_MAX} ASCII characters", name="kind")
    valid_until = _fact(request, "valid_until", int, 0)
    prefix = _fact(request, "prefix", str, "")
    if request.card and not is_card_number(request.card):
        raise Problem("invalid_payload", "a card number is 8 to 32 digits ending in its Luhn digit", name="card")
    number = request.card or _free_number(work, prefix, work.next_account or work.store.next_account_number(work.partition))
    account_id = work.new_account()
    state = "stock" if request.verb == "stock" else "issued"
    row = CardRow(number, account_id, programme, state, 0, request.unit, kind, valid_until, 0, b"", 0, 0)
    return _record(work, request, [], [row])


def _free_number(work: Work, prefix: str, serial: int, way: int = 1) -> str:
    """A number made from a serial, which no retry can change: the entry already holds it (O5).

    Where that number was given by hand, one further along `way` (1 or -1): the steps double, so that a run of numbers given by hand
    costs few looks, and numbers are left out.
    """
    for tries in range(NUMBER_TRIES):
        try:
            number = card_number_in(prefix, serial + way * ((1 << tries) - 1), work.partition, work.partitions)
        except ValueError as error:
            if tries:
                break
            raise Problem("invalid_payload", f"prefix: {error}", name="prefix") from error
        if work.card(number) is None:
            return number
    raise Problem("number_taken", f"no number is free near serial {serial}", name="prefix")


def stock(work: Work, request: Request) -> Entry:
    """Count a card into stock."""
    if request.card and work.card(request.card) is not None:
        raise Problem("number_taken", f"card {request.card} exists", card=request.card)
    return _new_card(work, request)


def issue(work: Work, request: Request) -> Entry:
    """Issue a card from stock, or a new number."""
    card = work.card(request.card) if request.card else None
    if card is None:
        return _new_card(work, request)
    if card.state not in STEPS["issue"][0]:
        raise Problem("number_taken", f"card {request.card} is issued already", card=request.card)
    valid_until = _fact(request, "valid_until", int, card.valid_until)
    before, after = card_images(card, state="issued", unit=request.unit, valid_until=valid_until)
    return _record(work, request, [before], [after])


def step(work: Work, request: Request) -> Entry:
    """activate, freeze, unfreeze: one state to the next."""
    card = _known(work, request)
    before, after = card_images(card, state=next_state(card.state, request.verb), state_from=0)
    return _record(work, request, [before], [after])


def lost(work: Work, request: Request) -> Entry:
    """Report a loss, effective now or at a stated time (K5). One that does not count yet may be brought forward, never put off."""
    card = _known(work, request)
    effective_at = _fact(request, "effective_at", int, 0) or work.at_s
    earlier = card.state == "lost" and work.at_s < work.lost_from(card) > effective_at
    state = card.state if earlier else next_state(card.state, "lost")
    if card.state == "frozen":
        effective_at = min(effective_at, work.at_s)  # a frozen card does not become usable by being reported
    before, after = card_images(card, state=state, state_from=effective_at)
    return _record(work, request, [before], [after])


def end(work: Work, request: Request) -> Entry:
    """cancel, take_back (both only when empty) and expire_card."""
    card = _known(work, request)
    state = next_state(card.state, request.verb)
    if request.verb != "expire_card" and card.state not in TAKES_OVER:
        account = work.accounts[card.account_id]
        balance_fen = account.money_fen(work.version(card).programme, work.at_s)
        if balance_fen or account.holds() or account.on_card_fen or account.flights():
            raise Declined("state_not_allowed", reason="value_left", balance_fen=balance_fen)
    before, after = card_images(card, state=state, state_from=0)
    return _record(work, request, [before], [after])


def destroy(work: Work, request: Request) -> Entry:
    """The second of two steps, by another person than the first; the number is dead (C11, R3)."""
    card = _known(work, request)
    state = next_state(card.state, "destroy")
    first = work.named(msgspec.structs.replace(request, ref=card.changed_at, partition=work.partition, ref_key=None))
    if first is not None and first.operator and same_hand(work.registry, first.operator, request.operator):
        raise Problem("maker_is_checker", "another person must destroy the card than the one who took it back")
    before, after = card_images(card, state=state, state_from=0)
    return _record(work, request, [before], [after], ref=card.changed_at)


def exchange(work: Work, request: Request) -> Entry:
    """swap and reissue: the account, its value and the PIN move to another number; the old one is dead (L01). A reissue may cost a fee."""
    card = _known(work, request)
    state = next_state(card.state, request.verb)
    valid_until = _fact(request, "valid_until", int, card.valid_until)
    stated_fen = _fact(request, "fee_fen", int, 0)
    due = fees.replacement(work.version(card).policy, request, stated_fen)
    if card.state == "expired" and 0 < valid_until <= work.at_s:
        raise Problem("invalid_payload", "an expired card is reissued with a later valid_until", name="valid_until")
    to = _fact(request, "to", str, "")
    before_old, after_old = card_images(card, state=state, state_from=0)
    if to and home(to, work.partitions) != work.partition:
        raise Problem("number_taken", f"card {to} belongs to another partition of the journal than {card.number}", card=to)
    taken = work.card(to) if to else None
    if taken is not None:
        if taken.state not in TAKES_OVER or taken.programme != card.programme or work.accounts[taken.account_id].lots():
            raise Problem("number_taken", f"card {to} cannot take over an account", card=to)
    elif to and not is_card_number(to):
        raise Problem("invalid_payload", "a card number is 8 to 32 digits ending in its Luhn digit", name="to")
    else:
        # Replacements are numbered from the top of the prefix down, issued cards from the bottom up.
        prefix = _fact(request, "prefix", str, "")
        to = to or _free_number(work, prefix, 10 ** (15 - len(prefix)) // work.partitions - 1 - work.position, -1)
    new = msgspec.structs.replace(after_old, number=to, state="active", unit=request.unit, kind="replacement", valid_until=valid_until)
    before = [before_old] if taken is None else [before_old, card_images(taken)[0]]
    before_media, after_media = retired(work, card)
    if taken is not None:  # a chip that was made for the new number comes along
        moved = taken_over(work, taken, card)
        before_media, after_media = [*before_media, *moved[0]], [*after_media, *moved[1]]
    entry = _record(work, request, before, [after_old, new], media=(before_media, after_media))
    if due is not None:
        fees.take(work, request, new, due, stated_fen=stated_fen, key=fees.replacement_key(entry))
    return entry


def exclude(work: Work, request: Request) -> Entry:
    """Set or clear the holder flag that refuses purchases (C19)."""
    card = _known(work, request)
    flags = card.flags | EXCLUDED if _fact(request, "excluded", bool, True) else card.flags & ~EXCLUDED
    before, after = card_images(card, flags=flags)
    return _record(work, request, [before], [after])


def set_pin(work: Work, request: Request) -> Entry:
    """Set or replace the PIN; unlocks. The entry holds the keyed value only (A6)."""
    card = _known(work, request)
    if request.pin is None:
        raise Problem("invalid_payload", "set_pin needs a PIN", name="pin")
    if card.state not in PIN_STATES:
        raise Declined("state_not_allowed", state=card.state, verb="set_pin")
    before, after = card_images(card, pin_value=work.custody.pin_value(card.account_id, request.pin), pin_tries=0)
    return _record(work, request, [before], [after])


def unlock_pin(work: Work, request: Request) -> Entry:
    """Let a locked PIN be tried again; the PIN stays what it was."""
    card = _known(work, request)
    if not card.pin_value:
        raise Declined("pin_not_set")
    before, after = card_images(card, pin_tries=0)
    return _record(work, request, [before], [after])


def verify_pin(work: Work, request: Request) -> Entry:
    """Check a PIN alone; counts like any other try (N)."""
    card = _known(work, request)
    if request.pin is None:
        raise Problem("invalid_payload", "verify_pin needs a PIN", name="pin")
    if state_at(card.state, work.lost_from(card), work.at_s) != "active":
        raise Declined("card_not_active", state=card.state)
    check_pin(work, request, card, request.pin)
    before, after = card_images(card, pin_tries=0)
    return _record(work, request, [before], [after])


def change(work: Work, request: Request) -> Entry:
    """Write one registry document (A1: before and after in the entry)."""
    kind, name = _fact(request, "kind", str, ""), _fact(request, "id", str, "")
    remove = _fact(request, "remove", bool, False)
    document = None if remove else _fact(request, "document", dict, None)
    if document is not None:
        work.registry.check(kind, name, document)
    now = work.registry.document(kind, name) if document is not None or kind in REMOVABLE else None
    seen = request.payload.get("seen")
    if seen is not None and seen != _json(now):
        # Whoever asked had read another one: another process changed it meanwhile, and it would be overwritten unread.
        raise Problem("busy", "this was changed a moment ago; try again")
    if document is None and now is None:
        raise Problem("invalid_payload", "only ended sessions are removed", name="remove")
    before = _json(now) if now is not None else b""
    if before:
        work.documents[kind, name] = before
    after = b"" if document is None else _json(document)
    return work.add(request, account_id=0, card="", body=pack_body(Change(kind, name, before, after)))


def clear_batch(work: Work, request: Request) -> Entry:
    """Clear an upload. A chip of which it shows a copy is frozen in the same commit (K1), once for one counter."""
    entry, forks = clear(work, request)
    for fork in forks:
        key = f"k1:{fork.medium}:{fork.counter}"
        there = work.at(home(fork.card, work.partitions))
        card = there.card(fork.card)
        known = ("system", key) in work.keys or work.store.find_keys([("system", key)])
        if card is not None and card.state == "active" and not known:
            reason = f"K1: {fork.medium} proved two purchases at counter {fork.counter}"
            step(there, Request(
                "freeze", "system", key, work.custody.fingerprint(key.encode()), card=fork.card, unit=request.unit,
                terminal=request.terminal, operator=request.operator, reason=reason,
            ))  # fmt: skip
    return entry


CLEARING = {"clear_batch": clear_batch, "close_case": close_case, "open_case": open_case}
HANDLERS: dict[str, Callable[[Work, Request], Entry]] = {
    "stock": stock, "issue": issue, "activate": step, "freeze": step, "unfreeze": step, "lost": lost, "cancel": end, "take_back": end,
    "expire_card": end, "destroy": destroy, "swap": exchange, "reissue": exchange, "exclude": exclude, "set_pin": set_pin,
    "verify_pin": verify_pin, "unlock_pin": unlock_pin, "change": change, **members.HANDLERS, "make_codes": make_codes,
    "allow_coupons": allow_coupons,
}  # fmt: skip


def card_verb(work: Work, request: Request) -> Entry:
    """Do one life cycle, PIN, registry or member verb; a Declined on a known card is recorded. Raises Problem, RegistryError."""
    if request.verb in MEDIA:
        return medium_verb(work, request)
    if request.verb in CLEARING:
        return CLEARING[request.verb](work, request)
    handler = HANDLERS.get(request.verb)
    if handler is None:
        raise Problem("invalid_payload", f"no verb {request.verb!r}", name="verb")
    try:
        return handler(work, request)
    except Declined as declined:
        card = work.card(request.card)
        if card is None:
            raise
        return refuse(work, request, card, declined)
