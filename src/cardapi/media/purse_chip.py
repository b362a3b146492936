"""A PBOC purse in a session: the dialogues of `cardcore.card.purse*`, their questions answered with the key store's keys of this card."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from cardapi.media.asked import LogLine
from cardapi.media.profiles import PurseProfile, purse_medium, purse_profile
from cardapi.people.registry import ONLINE_TERMINALS
from cardapi.store.media import Shown
from cardapi.store.port import MediumRow
from cardcore.card import purse, purse_debit, purse_load, purse_proof, seals
from cardcore.card.purse_debit import CachedRecord, CheckPurchase, DebitIntent, SealPurchase
from cardcore.card.purse_load import CheckProof, OnlineIntent, Permit
from cardcore.card.purse_proof import JudgeProof, Outcome
from cardcore.crypto import Key, pboc

if TYPE_CHECKING:
    from cardapi.media.tap import Item, Script, Tap

OWN_TERMINAL = bytes.fromhex(ONLINE_TERMINALS)
"""First octet of the terminal id of on-line steps; five octets of a hash of the client follow. No SAM is numbered so."""
LOCAL_OFFSET_S = 8 * 3600  # cards carry local time, UTC+8


def terminal_id(client: str) -> bytes:
    """The 6 octets that stand for a station in a card's log and in its MACs."""
    return OWN_TERMINAL + hashlib.blake2b(client.encode(), digest_size=5).digest()


def card_time(at: int) -> bytes:
    """Date and time in BCD, YYYYMMDDhhmmss, of an epoch second."""
    return bytes.fromhex(time.strftime("%Y%m%d%H%M%S", time.gmtime(at + LOCAL_OFFSET_S)))


class PurseChip:
    """The purse on the reader."""

    def __init__(self, tap: Tap, application: purse.Application) -> None:
        self.tap = tap
        self.application = application
        self.medium = purse_medium(application)
        self.terminal = terminal_id(tap.caller.client)
        self._process: tuple[Key, int] | None = None  # of the purchase that was sealed last, and its amount

    def meet(self, row: MediumRow) -> None:
        """Learn what is registered of it."""
        self.row = row
        self.profile: PurseProfile = purse_profile(row)
        self.make = self.profile.make

    # ------------------------------------------------------------ purposes
    def show(self) -> Script:
        """Balance and log."""
        fen = yield from self.tap.serve(purse.balance(self.row.purse), self.answers)
        records = yield from self.tap.serve(purse.read_log(), self.answers)
        lines = tuple(
            LogLine(kind=r.kind, amount_fen=r.amount, counter=r.counter, terminal=r.terminal.hex(), at=r.at.hex()) for r in records
        )
        return self.tap.result("done", chip_fen=fen, log=lines)

    def load(self) -> Script:
        """Money from the account or the till onto the chip."""
        yield from self._pin()
        dialogue = purse_load.load(self.application, self.tap.asked.amount_fen, self.terminal, self._at(), purse=self.row.purse)
        return (yield from self._online(dialogue, "tac"))

    def unload(self) -> Script:
        """Money from the chip back into the account."""
        yield from self._pin()
        dialogue = purse_load.unload(self.application, self.tap.asked.amount_fen, self.terminal, self._at(), purse=self.row.purse)
        return (yield from self._online(dialogue, "mac3"))

    def _online(self, dialogue: Any, proof: str) -> Script:
        moved: purse_load.Moved = yield from self.tap.step(dialogue, self)
        permit = moved.intent.permit
        assert self.tap.opened is not None, "a finished step had its intent"
        shown = Shown(self.medium, permit.counter + 1, -1, permit.balance_after)
        return self.tap.end(self.tap.opened, Outcome.DONE, shown, {proof: moved.proof})

    def pay(self) -> Script:
        """A purchase with the chip's own money; the server is the SAM. With records it is a compound purchase."""
        asked = self.tap.asked
        kind = pboc.PURCHASE_ED if self.row.purse == purse.ED else pboc.COMPOUND_PURCHASE if asked.records else pboc.PURCHASE_EP
        if self.row.purse == purse.ED:
            yield from self._pin()
        records = [CachedRecord(record.number, bytes.fromhex(record.data)) for record in asked.records]
        dialogue = purse_debit.debit(self.make, self.application, kind, asked.amount_fen, self.terminal, self._at(), records=records)
        debited: purse_debit.Debited = yield from self.tap.step(self._certified(dialogue), self)
        intent = debited.intent
        assert self.tap.opened is not None, "a finished step had its intent"
        shown = Shown(self.medium, -1, intent.counter + 1, intent.balance - intent.amount)
        return self.tap.end(self.tap.opened, Outcome.DONE, shown, {"tac": debited.tac, "mac2": debited.mac2})

    def _certified(self, dialogue: Any) -> Any:
        """The debit, and its TAC checked as clearing would."""
        debited: purse_debit.Debited = yield from dialogue
        key = self._key("tac", self.tap.key_version)
        try:
            seals.check_purchase_tac_by(self.make, key, debited.intent, debited.tac)
        finally:
            key.wipe()
        return debited

    def recover(self, item: Item) -> Script:
        """What became of an open item, proved to the server over a station that it does not trust."""
        assert isinstance(item.intent, OnlineIntent | DebitIntent), "a purse's item is about a purse"
        yield from self._pin()
        dialogue = purse_proof.recover(self.make, self.application, item.intent, self.tap.room.random(6))
        found: purse_proof.Found = yield from self.tap.serve(dialogue, self.answers)
        proof: dict[str, Any] = {name: value for name, value in (("tac", found.tac), ("mac", found.mac)) if value}
        done = found.outcome is Outcome.DONE
        if isinstance(item.intent, DebitIntent):
            shown = Shown(self.medium, -1, item.intent.counter + done, item.intent.balance - item.intent.amount * done)
        else:
            permit = item.intent.permit
            shown = Shown(self.medium, permit.counter + done, -1, permit.balance_after if done else permit.balance)
        return found.outcome, shown, proof or {"told": "counter"}

    # ------------------------------------------------------------ inside
    def _at(self) -> bytes:
        return card_time(self.tap.now)

    def _pin(self) -> Script:
        """VERIFY, when the holder has given a PIN. It goes to the card and nowhere else (A6)."""
        coded = self.pin_octets()
        if coded:
            yield from self.tap.serve(purse.verify_pin(coded), self.answers)

    def pin_octets(self) -> bytes:
        """The PIN that was given, as cards take it: BCD, filled with F. Empty when none was given."""
        if self.tap.asked.pin is None:
            return b""
        digits = self.tap.asked.pin.reveal().decode()
        return bytes.fromhex(digits + "F" * (len(digits) % 2))

    def _key(self, purpose: str, version: int) -> Key:
        return self.tap.key(f"pboc-{purpose}", version, self.profile.algorithm, self.application.factors(self.make))

    def answers(self, request: Any) -> Any:
        """Do what a dialogue asks to be done with keys. Raises InvalidMac, TapRefused, and the key store's errors."""
        match request:
            case Permit():
                return self._permit(request)
            case CheckProof(permit, _):
                purpose = "unload" if permit.kind == pboc.UNLOAD else "tac"
                return self._with(purpose, permit.key_version, lambda key: seals.check_proof_by(self.make, key, request))
            case SealPurchase():
                return self._seal(request)
            case CheckPurchase(mac2):
                assert self._process is not None, "a purchase was sealed"
                (process, amount), self._process = self._process, None
                return seals.check_debited(self.make, process, amount, mac2)
            case JudgeProof():
                purpose = "unload" if seals.judged_by_unload(request) else "tac"
                return self._with(purpose, self.tap.key_version, lambda key: seals.judge_by(self.make, key, request))
        raise AssertionError(f"no answer to {type(request).__name__}")

    def _with(self, purpose: str, version: int, use: Any) -> Any:
        key = self._key(purpose, version)
        try:
            return use(key)
        finally:
            key.wipe()

    def _permit(self, request: Permit) -> bytes:
        from cardapi.media.tap import TapRefused

        purpose = "unload" if request.kind == pboc.UNLOAD else "load"
        mac2: bytes = self._with(purpose, request.key_version, lambda key: seals.permit_by(self.make, key, request))
        # MAC1 has proved balance and counter.
        if request.counter < self.row.online_counter:
            raise self.tap.stepped_back(request.counter, self.row.online_counter)
        # With no load or unload since, purchases off line have taken from it at most (K4); before the first one nothing is known.
        if request.counter == self.row.online_counter > 0 and request.balance > self.row.balance_fen:
            self.tap.open_case("balance_differs", request.balance, counter=request.counter, known=self.row.balance_fen)
            raise TapRefused("balance_differs", "the purse holds more than it last proved and was given since (K4)")
        self.tap.key_version = request.key_version
        return mac2

    def _seal(self, request: SealPurchase) -> purse_debit.Seal:
        from cardapi.media.tap import TapRefused

        if request.counter < self.row.offline_counter:  # unproved: the session ends, the card is not frozen for it
            raise TapRefused("counter_stepped_back", f"the card shows counter {request.counter}, it was at {self.row.offline_counter}")
        self.tap.key_version = request.key_version
        # Unique for ever with card and terminal, as a card's counter takes one purchase only (K2).
        seal, process = self._with(
            "purchase", request.key_version, lambda key: seals.seal_by(self.make, key, request, self.terminal, request.counter + 1)
        )
        self._process = process, request.amount
        return seal  # type: ignore[no-any-return]
