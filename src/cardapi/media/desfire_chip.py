"""A DESFire card in a session: its value file behind an authenticated channel that ends in this server, not in the station."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cardapi.media.profiles import (
    APPLICATION_ID,
    CREDIT,
    DEBIT,
    KEY_PURPOSES,
    LOG_FILE,
    READ,
    DesfireProfile,
    desfire_medium,
    desfire_profile,
)
from cardapi.store.media import Shown, unpack_keys
from cardapi.store.port import MediumRow
from cardcore.card import UnexpectedAnswer, desfire, desfire_log, desfire_value
from cardcore.card.desfire import MeetChallenge
from cardcore.card.desfire_log import LoggedIntent
from cardcore.card.desfire_value import JudgeCommit, ValueIntent
from cardcore.card.purse_proof import Outcome
from cardcore.crypto import InvalidMac, Key, desfire_ev1, desfire_ev2, tmac

if TYPE_CHECKING:
    from cardapi.media.tap import Item, Script, Tap

VALUE_MAX = (1 << 31) - 1


class DesfireChip:
    """The card on the reader."""

    def __init__(self, tap: Tap, uid: bytes) -> None:
        self.tap = tap
        self.uid = uid
        self.medium = desfire_medium(uid)

    def meet(self, row: MediumRow) -> None:
        """Learn what is registered of it."""
        self.row = row
        self.profile: DesfireProfile = desfire_profile(row)
        self.place = self.profile.place
        # The card does not name its key version before it is authenticated: the newest that is allowed now.
        if not self.tap.key_version:
            now = self.tap.now
            versions = [key.version for key in unpack_keys(row.keys) if key.valid_from <= now and (not key.valid_to or now < key.valid_to)]
            self.tap.key_version = max(versions, default=0)

    # ------------------------------------------------------------ purposes
    def show(self) -> Script:
        """The value."""
        value, _ = yield from self._read()
        return self.tap.result("done", chip_fen=value)

    def load(self) -> Script:
        """Money from the account or the till onto the chip."""
        return (yield from self._move(CREDIT, tmac.CREDIT))

    def unload(self) -> Script:
        """Money from the chip back into the account."""
        return (yield from self._move(DEBIT, tmac.DEBIT))

    def pay(self) -> Script:
        """A purchase with the chip's own money."""
        return (yield from self._move(DEBIT, tmac.DEBIT))

    def _move(self, key_number: int, command: int) -> Script:
        from cardapi.media.tap import TapRefused

        if self.tap.asked.amount_fen > VALUE_MAX:
            raise TapRefused("amount_out_of_range", "a value file holds amounts of 31 bits", most_fen=VALUE_MAX)
        value, counter = yield from self._read()
        if (counter, value) != (self.row.offline_counter, self.row.balance_fen) and counter == self.row.offline_counter:
            self.tap.open_case("balance_differs", value, counter=counter, known=self.row.balance_fen)
            raise TapRefused("balance_differs", "the chip holds another amount than it last proved (K4)", chip_fen=value)
        channel = yield from self.open(key_number)
        amount = self.tap.asked.amount_fen
        if not self.profile.ev2:
            reference = hashlib.blake2b(self.tap.intent_key.encode() + self.tap.room.random(16), digest_size=16).digest()
            script = desfire_log.move_logged(channel, self.uid, self.place, LOG_FILE, command, amount, reference)
            after = yield from self.tap.step(script, self)
            assert self.tap.opened is not None, "a finished step had its intent"
            return self.tap.end(self.tap.opened, Outcome.DONE, Shown(self.medium, -1, -1, after), {"record": reference})
        dialogue = desfire_value.move(channel, self.uid, self.place, command, amount, counter=counter)
        moved: desfire_value.ValueMoved = yield from self.tap.step(self._certified(dialogue), self)
        assert self.tap.opened is not None, "a finished step had its intent"
        shown = Shown(self.medium, -1, moved.committed.counter, moved.intent.value + _delta(moved.intent))
        return self.tap.end(self.tap.opened, Outcome.DONE, shown, {"tmv": moved.committed.value})

    def _certified(self, dialogue: Any) -> Any:
        """The commit, and its transaction MAC checked as clearing would."""
        moved: desfire_value.ValueMoved = yield from dialogue
        if not self._judge(JudgeCommit(moved.intent, moved.inputs, moved.committed)):
            raise InvalidMac
        return moved

    def recover(self, item: Item) -> Script:
        """What became of an open item."""
        channel = yield from self.open(READ)
        if isinstance(item.intent, LoggedIntent):
            dialogue = desfire_log.recover_logged(channel, self.uid, self.place, LOG_FILE, item.intent)
            outcome, value = yield from self.tap.serve(dialogue, self.answers)
            return outcome, Shown(self.medium, -1, -1, value), {"record": item.intent.reference}
        assert isinstance(item.intent, ValueIntent), "a DESFire item is about a value file"
        found: desfire_value.ValueFound = yield from self.tap.serve(
            desfire_value.recover(channel, self.uid, self.place, item.intent), self.answers
        )
        done = found.outcome is Outcome.DONE
        shown = Shown(self.medium, -1, item.intent.counter + done, item.intent.value + _delta(item.intent) * done)
        return found.outcome, shown, {"tmv": found.committed.value} if found.committed else {"told": "counter"}

    # ------------------------------------------------------------ inside
    def open(self, key_number: int) -> Script:
        """Select the application and authenticate with one of its keys."""
        yield from self.tap.serve(desfire.select(APPLICATION_ID), self.answers)
        start = desfire.authenticate_ev2 if self.profile.ev2 else desfire.authenticate_ev1
        return (yield from self.tap.serve(start(key_number), self.answers))

    def _read(self) -> Script:
        """Value and transaction counter, proved by the channel. Raises TapRefused counter_stepped_back (K1)."""
        channel = yield from self.open(READ)
        counter = 0
        if self.profile.ev2:
            last = yield from self.tap.serve(desfire_value.read_last(channel, self.place), self.answers)
            counter = last.counter
            if counter < self.row.offline_counter:
                raise self.tap.stepped_back(counter, self.row.offline_counter)
        value: int = yield from self.tap.serve(desfire.get_value(channel, self.place.file, self.place.mode), self.answers)
        if value < 0:
            raise UnexpectedAnswer("a purse holds no less than nothing", value=value)
        return value, counter

    def _key(self, purpose: str) -> Key:
        room = self.tap.room
        return self.tap.key(purpose, self.tap.key_version, "aes", [self.uid + APPLICATION_ID + room.system])

    def answers(self, request: Any) -> Any:
        """Do what a dialogue asks to be done with keys. Raises TapRefused, and the key store's errors."""
        match request:
            case MeetChallenge(ev2, number, challenge):
                start = desfire_ev2.start if ev2 else desfire_ev1.start
                return start(self._key(KEY_PURPOSES[number]), self.tap.room.random(16), challenge)
            case JudgeCommit():
                return self._judge(request)
        raise AssertionError(f"no answer to {type(request).__name__}")

    def _judge(self, request: JudgeCommit) -> bool:
        key = self._key("desfire-tmac")
        try:
            tmac.verify(key, self.uid, request.committed.counter, request.inputs, request.committed.value)
        except InvalidMac:
            return False
        finally:
            key.wipe()
        return True


def _delta(intent: ValueIntent) -> int:
    """By how much an intended step changes the value."""
    return -intent.amount if intent.command == tmac.DEBIT else intent.amount
