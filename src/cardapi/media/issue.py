"""Personalisation over a session: a blank card becomes the next of its batch, and every serial of the batch is accounted for (Z).

A batch is a registry document that two people made. Each serial is a card number in stock and a medium, both in the journal before the
card is told who it is; the card is issued when it has proved its keys. A serial that was given to a card is never given to another:
torn in between, it waits for that card to come back, or for somebody to write it off as spoiled.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from cardapi.desk import Request
from cardapi.keys.port import KeyInfo
from cardapi.media.desfire_chip import DesfireChip
from cardapi.media.profiles import (
    APPLICATION_ID,
    LOG_FILE,
    MAC_FILE,
    NUMBER_FILE,
    NUMBER_OCTETS,
    PROFILES,
    READ,
    VALUE_FILE,
    DesfireProfile,
    PurseProfile,
    purse_medium,
)
from cardapi.media.purse_chip import PurseChip, card_time
from cardapi.store.port import CardRow, Entry, MediumRow
from cardcore.card import desfire, desfire_issue, issue_seals, purse, purse_issue
from cardcore.card.desfire_issue import Layout
from cardcore.card.desfire_issue import personalise as personalise_desfire
from cardcore.card.dialogue import Dialogue, ToSam
from cardcore.card.purse import Application
from cardcore.card.purse_load import Permit
from cardcore.crypto import Key, pboc

if TYPE_CHECKING:
    from cardapi.media.tap import Room, Script, Tap

KIND = "card_batch"
COUNT_MAX = 100_000
CHUNK = 500  # keys looked for at a time
ALGORITHM_OCTETS = {"tdes": 0x00, "sm4": 0x04}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch of blank cards. Serials run from `first_serial`; dates are YYYYMMDD. `valid_until` (epoch seconds) is of the numbers."""

    id: str
    unit: str
    programme: str
    profile: str
    issuer: str  # 16 hex digits
    first_serial: int
    count: int
    prefix: str
    valid_from: str
    valid_to: str
    purse: int
    limit_fen: int  # the most a DESFire value file holds
    state: str  # open closed
    maker: str
    approver: str
    made_at: int

    def application(self, index: int) -> Application:
        """Who the card of this serial is."""
        serial = bytes.fromhex(f"{self.first_serial + index:020d}")
        dates = bytes.fromhex(self.valid_from), bytes.fromhex(self.valid_to)
        return Application(bytes.fromhex(self.issuer), 2, 1, serial, *dates)

    def key(self, index: int, what: str) -> str:
        """The client key of one entry about one serial (O5)."""
        return f"batch:{self.id}:{index}:{what}"


def batch_of(document: dict[str, Any] | None) -> Batch | None:
    """The batch of its document."""
    return None if document is None else msgspec.convert(document, Batch)


class Places:
    """Where each batch stands. One serial at a time: two stations never get the same."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.given: dict[str, int] = {}  # batch -> serials before this one are all given
        self.untold: dict[str, list[int]] = {}  # batch -> serials whose card left before it was told of them


def personalise(tap: Tap, chip: PurseChip | DesfireChip) -> Script:
    """Make the card on the reader the next of the batch, or go on with what it was to become."""
    from cardapi.media.tap import TapRefused

    room = tap.room
    batch = batch_of(room.registry.document(KIND, tap.asked.batch))
    unit = room.registry.unit(tap.caller.unit)
    if batch is None or unit is None or batch.unit not in unit.path:
        raise TapRefused("unknown_batch", "there is no such batch here")
    if batch.state != "open":
        raise TapRefused("batch_closed", "this batch is closed")
    profile = PROFILES[batch.profile]
    if isinstance(profile, PurseProfile) != isinstance(chip, PurseChip):
        raise TapRefused("wrong_chip", f"this batch is of {batch.profile} cards", profile=batch.profile)
    infos = _keys(room, profile, tap.now)
    row = None
    if not (isinstance(chip, PurseChip) and not any(chip.application.serial)):
        row = tap.look(lambda store: store.read_media([chip.medium])).get(chip.medium)
        if row is None and isinstance(chip, PurseChip):
            raise TapRefused("wrong_chip", "this card is personalised already, and not of this shop")
    if row is None:
        row = _take(tap, batch, chip, infos)
    number = row.card
    card: CardRow = tap.look(lambda store: store.read([number]))[number].card
    tap.row, tap.card = row, card
    tap.facts.update(medium=row.medium, card=number)
    if card.state != "stock" or row.state != "active":
        raise TapRefused("medium_taken", "this card is issued, or written off, already")
    index = _place(tap, batch, row)
    if isinstance(chip, PurseChip):
        assert isinstance(profile, PurseProfile)
        yield from _purse(tap, chip, profile, batch, index, infos, row)
    else:
        assert isinstance(profile, DesfireProfile)
        yield from _desfire(tap, chip, profile, batch, infos, row, card)
    entry = _call(tap, batch, index, "issue", card=card.number)
    assert entry.outcome == "applied", "a card in stock can be issued"
    return tap.result("done", happened=True)


# ------------------------------------------------------------ stock
def _take(tap: Tap, batch: Batch, chip: PurseChip | DesfireChip, infos: dict[str, KeyInfo]) -> MediumRow:
    """Give this card the next serial: a number in stock and its medium, durable before the card hears of it."""
    from cardapi.media.tap import TapRefused

    places = tap.room.places
    with places.lock:
        index = places.untold[batch.id].pop() if places.untold.get(batch.id) else _next(tap, batch)
        if index is None:
            raise TapRefused("batch_exhausted", "every serial of this batch is given", count=batch.count)
        facts = {"programme": batch.programme, "prefix": batch.prefix, "kind": "primary"}
        stocked = _call(tap, batch, index, "stock", payload=facts)
        medium = purse_medium(batch.application(index)) if isinstance(chip, PurseChip) else chip.medium
        versions = sorted({info.version for info in infos.values()})
        start = max(info.valid_from for info in infos.values())
        end = min((info.valid_to for info in infos.values() if info.valid_to), default=0)
        payload = {
            "medium": medium, "profile": batch.profile, "keys": [[version, start, end] for version in versions],
            "purse": batch.purse if isinstance(chip, PurseChip) else 0, "batch": batch.id, "index": index,
        }  # fmt: skip
        registered = _call(tap, batch, index, "register_medium", card=stocked.card, payload=payload)
        if registered.outcome != "applied":
            raise TapRefused(registered.code)
        places.given[batch.id] = max(index + 1, places.given.get(batch.id, 0))
    row: MediumRow = tap.look(lambda store: store.read_media([medium]))[medium]
    return row


def _next(tap: Tap, batch: Batch) -> int | None:
    """The first serial without a medium; None when there is none left."""
    start = tap.room.places.given.get(batch.id, 0)
    while start < batch.count:
        end = min(start + CHUNK, batch.count)
        given = registered(tap.look, batch, start, end)
        for index in range(start, end):
            if index not in given:
                return index
        start = end
    return None


def registered(look: Any, batch: Batch, start: int, end: int) -> dict[int, str]:
    """Serials with a medium, by their place in the batch: the card numbers."""
    names = {("system", batch.key(index, "register_medium")): index for index in range(start, end)}
    found = look(lambda store: store.find_keys(list(names)))
    return {names[name]: entry.card for name, entry in found.items() if entry.outcome == "applied"}


def _place(tap: Tap, batch: Batch, row: MediumRow) -> int:
    """Which serial of the batch a medium in stock is. Raises TapRefused wrong_chip when it is of another batch."""
    from cardapi.desk import unpack_step
    from cardapi.media.tap import TapRefused

    for entry in tap.look(lambda store: store.statement(row.account_id, None, 20)):
        if entry.verb == "register_medium" and entry.outcome == "applied":
            facts = unpack_step(entry.body).facts
            if facts.get("batch") == batch.id and facts.get("medium") == row.medium:
                return int(facts["index"])
    raise TapRefused("wrong_chip", "this card is of another batch")


def _call(tap: Tap, batch: Batch, index: int, verb: str, **facts: Any) -> Entry:
    caller, key = tap.caller, batch.key(index, verb)
    fingerprint = tap.room.desk.fingerprint([verb, key])
    return tap.room.desk.call(Request(
        verb, "system", key, fingerprint, unit=batch.unit, terminal=caller.terminal, operator=caller.operator, approver=batch.approver,
        **facts,
    ))  # fmt: skip


# ------------------------------------------------------------ keys
def _keys(room: Room, profile: PurseProfile | DesfireProfile, at: int) -> dict[str, KeyInfo]:
    """The keys of a new card by their names in the dialogues: the version that loads now, of every purpose. Raises KeyStoreError."""
    if isinstance(profile, PurseProfile):
        version = room.keys.current("pboc-load", at, profile.algorithm).version
        return {name: room.keys.version(f"pboc-{name}", version, at, profile.algorithm) for name in purse_issue.KEYS}
    version = room.keys.current("desfire-credit", at, "aes").version
    names = ("master", "credit", "debit", "read", *(("tmac",) if profile.ev2 else ()))
    return {name: room.keys.version(f"desfire-{name}", version, at, "aes") for name in names}


def _purse(
    tap: Tap, chip: PurseChip, profile: PurseProfile, batch: Batch, index: int, infos: dict[str, KeyInfo], row: MediumRow
) -> Script:
    application = batch.application(index)
    factors = application.factors(profile.make)
    told = any(chip.application.serial)

    def fetch(name: str) -> Key:
        if name == "transport":
            return tap.room.keys.shared_key(tap.room.keys.current("pboc-transport", tap.now, profile.algorithm).id)
        return tap.room.keys.card_key(infos[name].id, factors)

    def answers(request: Any) -> Any:
        nonlocal told
        told = told or isinstance(request, purse_issue.SealLine)  # the next command tells the card who it is
        return issue_seals.answer_purse(profile.make, fetch, request)

    versions = {name: info.version for name, info in infos.items()}
    new = purse_issue.NewPurse(application, b"", versions, ALGORITHM_OCTETS[profile.algorithm])
    try:
        chip.application = yield from tap.serve(purse_issue.personalise(profile.make, new), answers)
    finally:
        if not told:
            with tap.room.places.lock:
                tap.room.places.untold.setdefault(batch.id, []).append(index)
    chip.medium = row.medium
    chip.meet(row)
    pin = chip.pin_octets()
    if pin:
        yield from tap.serve(purse_issue.unblock_pin(profile.make, pin), answers)
        yield from tap.serve(purse.verify_pin(pin), answers)
        yield from tap.serve(_prove_load_key(chip, tap.room.random(6), card_time(tap.now)), chip.answers)


def _prove_load_key(chip: PurseChip, challenge: bytes, at: bytes) -> Dialogue[None]:
    """An INITIALIZE FOR LOAD of nothing: its MAC1 shows that the card took its load key. Raises InvalidMac."""
    opened = yield from purse.initialize_online(0x00, chip.row.purse, 1, 0, challenge)
    kind = pboc.LOAD_EP if chip.row.purse == purse.EP else pboc.LOAD_ED
    yield ToSam(Permit(
        chip.application, kind, 0, challenge, at, opened.balance, opened.counter, opened.random, opened.key_version, opened.algorithm,
        opened.mac1,
    ))  # fmt: skip


def _desfire(
    tap: Tap, chip: DesfireChip, profile: DesfireProfile, batch: Batch, infos: dict[str, KeyInfo], row: MediumRow, card: CardRow
) -> Script:
    from cardapi.media.tap import TapRefused

    factors = [chip.uid + APPLICATION_ID + tap.room.system]

    def fetch(name: str) -> Key:
        return tap.room.keys.card_key(infos[name].id, factors)

    def answers(request: Any) -> Any:
        return issue_seals.answer_desfire(fetch, tap.room.random(16), request)

    layout = Layout(
        APPLICATION_ID, batch.limit_fen, infos["credit"].version, ev2=profile.ev2, mode=profile.mode, value_file=VALUE_FILE,
        log_file=LOG_FILE, number_file=NUMBER_FILE, mac_file=MAC_FILE if profile.ev2 else None,
    )  # fmt: skip
    number = card.number.encode()
    assert len(number) <= NUMBER_OCTETS, "a card number fits its file"
    yield from tap.serve(personalise_desfire(layout, number), answers)
    yield from _secure(tap, chip, profile)
    chip.meet(row)
    channel = yield from chip.open(READ)
    value = yield from tap.serve(desfire.get_value(channel, VALUE_FILE, profile.mode), chip.answers)
    if value:
        raise TapRefused("balance_differs", "a new card holds nothing", chip_fen=value)


def _secure(tap: Tap, chip: DesfireChip, profile: DesfireProfile) -> Script:
    """The card's own master key: with the factory's anybody could format it."""
    info = tap.room.keys.current("desfire-picc", tap.now, "aes")
    factors = [chip.uid + desfire_issue.CARD_LEVEL + tap.room.system]

    def fetch(name: str) -> Key:
        assert name == "card", "securing a card is about its own key only"
        return tap.room.keys.card_key(info.id, factors)

    def answers(request: Any) -> Any:
        return issue_seals.answer_desfire(fetch, tap.room.random(16), request, master="card")

    yield from tap.serve(desfire_issue.secure_card(info.version, ev2=profile.ev2), answers)
