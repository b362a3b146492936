"""The DESFire card: wrapped native framing, frames in and out, who may do what, and which channel carries it.

Subset for stored value, from the public sources that `docs/simulator.md` names: EV1 with native, ISO and AES authentication, EV2 with
secure messaging and transaction MAC.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from firmware_sim import apdu
from firmware_sim.apdu import Command
from firmware_sim.card import Card, Entropy
from firmware_sim.desfire import auth, files, manage, pending, status
from firmware_sim.desfire.channel import Channel, Ev2Channel
from firmware_sim.desfire.layout import FREE, NEVER, PICC, UID, UID_SIZE, Application, File, KeyType, Mode
from firmware_sim.desfire.pending import Pending
from firmware_sim.desfire.status import Fault, need
from firmware_sim.nvm import Memory, MemoryFull, Store

FRAME = 59
ISO_NAME = bytes.fromhex("D2760000850100")
CHANGE_KEY, SELECT = 0xC4, 0x5A


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: plain header bytes, data bytes (None: the length field in the header tells), how it travels and who may."""

    run: Callable[[DesfireCard, bytes], bytes]
    header: int | None = None
    """None: everything is header, as it comes."""
    size: int | None = 0
    how: Literal["default", "file", "full"] = "default"
    rights: tuple[str, ...] = ()
    writes: bool = False
    frame: int = FRAME


def _ins(run: Callable[[DesfireCard, bytes, int], bytes], ins: int) -> Callable[[DesfireCard, bytes], bytes]:
    return lambda card, body: run(card, body, ins)


_ANY, _RW = ("read", "write", "both"), ("both",)
VERBS: dict[int, Verb] = {
    0x6C: Verb(files.get_value, 1, 0, "file", _ANY),
    0x0C: Verb(files.credit, 1, 4, "file", _RW, True),
    0xDC: Verb(files.debit, 1, 4, "file", _ANY, True),
    0x1C: Verb(files.limited_credit, 1, 4, "file", ("write", "both"), True),
    **{i: Verb(_ins(files.read_data, i), 7, 0, "file", ("read", "both"), frame=f) for i, f in ((0xBD, FRAME), (0xAD, 255))},
    **{i: Verb(_ins(files.write_data, i), 7, None, "file", ("write", "both"), True) for i in (0x3D, 0x8D)},
    **{i: Verb(_ins(files.read_records, i), 7, 0, "file", ("read", "both"), frame=f) for i, f in ((0xBB, FRAME), (0xAB, 255))},
    **{i: Verb(_ins(files.write_record, i), 7, None, "file", ("write", "both"), True) for i in (0x3B, 0x8B)},
    0xEB: Verb(files.clear_records, 1, 0, "default", _RW),
    0x5F: Verb(manage.change_file_settings, 1, 3, "full", ("change",), True),
    0xC7: Verb(pending.commit),
    0xA7: Verb(pending.abort),
    0xC8: Verb(pending.commit_reader_id),
    0xCA: Verb(manage.create_application),
    0xDA: Verb(manage.delete_application),
    0xFC: Verb(manage.format_card),
    0x6A: Verb(manage.list_applications),
    0x6F: Verb(manage.list_files),
    0x51: Verb(manage.get_uid, 0, 0, "full"),
    0x60: Verb(manage.get_version),
    0x6E: Verb(manage.free_memory),
    **{i: Verb(_ins(manage.create_data, i)) for i in (0xCD, 0xCB)},
    0xCC: Verb(manage.create_value),
    **{i: Verb(_ins(manage.create_records, i)) for i in (0xC1, 0xC0)},
    0xCE: Verb(manage.create_transaction_mac, 5, 17, "full", (), True),
    0xDF: Verb(manage.delete_file),
    0xF5: Verb(manage.get_file_settings),
    0x45: Verb(manage.get_key_settings),
    0x54: Verb(manage.change_key_settings, 0, 1, "full", (), True),
    0x64: Verb(manage.get_key_version),
}


class DesfireCard(Card):
    """A DESFire card, made by `DesfireCard.fresh`.

    Args:
        ev2: False for an EV1 chip, without EV2 authentication and transaction MAC.
        reader_id_required: refuse CommitTransaction without CommitReaderID where the application has it enabled (sources are silent).
        errors_end_session: any refusal ends the authentication, not only the transaction (the stricter reading).
    """

    ATR = bytes.fromhex("3B8180018080")

    def __init__(
        self,
        memory: Memory,
        entropy: Entropy = secrets.token_bytes,
        *,
        ev2: bool = True,
        reader_id_required: bool = False,
        errors_end_session: bool = True,
    ) -> None:
        super().__init__(memory, entropy)
        self.ev2 = ev2
        self.description = f"DESFire compatible card EV{1 + ev2}"
        self.reader_id_required = reader_id_required
        self.errors_end_session = errors_end_session
        self.start()

    @staticmethod
    def fresh(memory: Memory, uid: bytes, master_key: bytes = bytes(16), key_type: KeyType = KeyType.TDES2) -> None:
        """Write a card as it leaves the factory: no applications, a zero DES master key. Raises ValueError."""
        store = Store(memory)
        store.load()
        if store.names() or len(uid) != UID_SIZE:
            raise ValueError("a blank memory and a UID of 7 bytes are needed")
        picc = Application(PICC, 0x0F, key_type, ((master_key, 0),))
        # Room for the largest key: the type of the master key may change.
        store.begin().create(UID, uid).create(Application.name(PICC), picc.pack()).commit()

    def start(self) -> None:
        """Forget selection, session, transaction and frames."""
        self.aid = PICC
        self.leave()

    def leave(self) -> None:
        """End session and transaction."""
        self.channel: Channel = Channel()
        self.key_number: int | None = None
        self._shake: auth.Handshake | None = None
        self._out: list[bytes] = []
        self._in: tuple[int, bytes] | None = None
        self.drop_transaction()

    def drop_transaction(self) -> None:
        """Forget the shadow of all files."""
        self.pending = Pending()

    def application(self) -> Application:
        """The selected application, or the card itself."""
        found = Application.find(self.store, self.aid)
        assert found is not None, "a selected application is there"
        return found

    def execute(self, command: Command) -> bytes:
        """Answer a wrapped native command; also ISO SELECT of the card's own name."""
        if command.cla == 0x00 and command.ins == 0xA4:
            apdu.need(command.p1 == 0x04 and command.data == ISO_NAME, apdu.FILE_NOT_FOUND)
            self.start()
            return b"\x90\x00"
        apdu.need(command.cla == 0x90, apdu.WRONG_CLA)
        apdu.need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
        try:
            data, more = self._native(command.ins, command.data)
        except MemoryFull:
            fault = Fault(status.OUT_OF_MEMORY)
        except Fault as caught:
            fault = caught
        else:
            return data + bytes((0x91, status.MORE if more else status.OK))
        self._shake, self._out, self._in = None, [], None
        self.drop_transaction()
        if self.errors_end_session or fault.status in (status.INTEGRITY, status.AUTHENTICATION):
            self.leave()
        return bytes((0x91, fault.status))

    def _native(self, ins: int, body: bytes) -> tuple[bytes, bool]:
        """Answer data and whether another frame follows. Raises `Fault`."""
        shake, out, incoming = self._shake, self._out, self._in
        self._shake, self._out, self._in = None, [], None
        if ins == status.MORE:
            if shake is not None:
                return self._finish(shake, body)
            if out:
                need(not body, status.LENGTH)
                return self._frames(out)
            need(incoming is not None, status.ABORTED)
            assert incoming is not None
            need(bool(body), status.LENGTH)
            ins, body = incoming[0], incoming[1] + body
        if ins in auth.COMMANDS:
            running = self.channel
            if ins != auth.EV2_NON_FIRST:
                self.leave()
            self._shake, sent = auth.begin(self, ins, body, running)
            return sent, True
        if ins == SELECT:
            manage.select(self, body)
            return b"", False
        if ins == CHANGE_KEY:
            return self._change_key(body), False
        return self._run(ins, body)

    def _finish(self, shake: auth.Handshake, body: bytes) -> tuple[bytes, bool]:
        self.channel, proof = auth.finish(self, shake, body)
        self.key_number = shake.key_number
        return proof, False

    def _change_key(self, body: bytes) -> bytes:
        need(self.key_number is not None, status.AUTHENTICATION)
        answer, own = manage.change_key(self, body)
        if not own:
            return self.channel.seal(CHANGE_KEY, answer, self._default_mode(), True)
        self.leave()
        return answer

    def _default_mode(self) -> Mode:
        """How commands travel that are not about the data of a file."""
        return Mode.MAC if isinstance(self.channel, Ev2Channel) else Mode.PLAIN

    def _run(self, ins: int, body: bytes) -> tuple[bytes, bool]:
        verb = VERBS.get(ins)
        need(verb is not None, status.ILLEGAL_COMMAND)
        assert verb is not None
        mode = self._mode(verb, body)
        header, size = self._sizes(verb, body, mode)
        total = self.channel.body_size(header, size, mode, verb.writes)
        if verb.size is None and len(body) < total:
            self._in = ins, body
            return b"", True
        if verb.how == "file":
            pending.check_counter(self)
        opened = self.channel.open(ins, body, header, size, mode, verb.writes)
        if verb.header is not None:
            need(len(opened) == header + size, status.LENGTH)
        answer = self.channel.seal(ins, verb.run(self, opened), mode, verb.writes)
        if ins == 0x60:
            return self._frames([answer[:7], answer[7:14], answer[14:]])
        return self._frames([answer[i : i + verb.frame] for i in range(0, len(answer), verb.frame)] or [b""])

    def _frames(self, frames: list[bytes]) -> tuple[bytes, bool]:
        self._out = frames[1:]
        return frames[0], bool(self._out)

    def _sizes(self, verb: Verb, body: bytes, mode: Mode) -> tuple[int, int]:
        """Header and data bytes of a command, from its fixed layout, its length field, or whatever came."""
        if verb.header is None:
            return max(0, len(body) - self.channel.body_size(0, 0, mode, verb.writes)), 0
        need(len(body) >= verb.header, status.LENGTH)
        if verb.size is not None:
            return verb.header, verb.size
        return verb.header, int.from_bytes(body[4:7], "little")

    def _mode(self, verb: Verb, body: bytes) -> Mode:
        """How the command travels, after the file's rights. Raises `Fault` AE, 9D, F0, 7E."""
        if not verb.rights:
            need(verb.how != "full" or self.channel.secure, status.AUTHENTICATION)
            return Mode.FULL if verb.how == "full" else self._default_mode()
        need(self.aid != PICC, status.PERMISSION_DENIED)
        need(bool(body), status.LENGTH)
        file = files.find(self, body[0])
        by_key = self._by_key(file, verb.rights)
        if verb.how == "full":
            return Mode.FULL if by_key else Mode.PLAIN
        return self._default_mode() if verb.how == "default" else file.mode if by_key else Mode.PLAIN

    def _by_key(self, file: File, rights: tuple[str, ...]) -> bool:
        """True when the session's key gives one of the rights, False when one is free. Raises `Fault`."""
        nibbles = file.nibbles(*rights)
        if self.key_number is not None and self.key_number in nibbles:
            return True
        need(any(n != NEVER for n in nibbles), status.PERMISSION_DENIED)
        need(FREE in nibbles, status.AUTHENTICATION)
        return False
