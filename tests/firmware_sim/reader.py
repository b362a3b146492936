"""The reader's side of DESFire, written from the specification: handshakes, commands in each mode, answers verified.

It shares the block ciphers and MACs of `firmware_sim.ciphers` (which have their own vectors) but none of the card's channels.
"""

from __future__ import annotations

from typing import Literal

from firmware_sim import ciphers
from firmware_sim.desfire import DesfireCard

Kind = Literal["none", "native", "iso", "aes", "ev2"]
PLAIN, MAC, FULL = 0, 1, 3


def le(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little", signed=size == 4)


def rotated(data: bytes) -> bytes:
    return data[1:] + data[:1]


class Refusal(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"91{status:02X}")
        self.status = status


class Reader:
    """One session with a card. `frame` is how many command bytes it sends at once."""

    def __init__(self, card: DesfireCard, frame: int = 250) -> None:
        self.card, self.frame = card, frame
        self.kind: Kind = "none"

    def raw(self, ins: int, body: bytes = b"") -> tuple[bytes, int]:
        """One frame: data and status."""
        lc = bytes((len(body),)) if body else b""
        answer = self.card.transmit(bytes((0x90, ins, 0, 0)) + lc + body + b"\x00")
        assert answer[-2] == 0x91, answer.hex()
        return answer[:-2], answer[-1]

    def exchange(self, ins: int, body: bytes = b"") -> bytes:
        """All frames of a command and of its answer. Raises `Refusal`."""
        data, status = self.raw(ins, body[: self.frame])
        for start in range(self.frame, len(body), self.frame):
            assert (data, status) == (b"", 0xAF)
            data, status = self.raw(0xAF, body[start : start + self.frame])
        while status == 0xAF:
            more, status = self.raw(0xAF)
            data += more
        if status:
            self.kind = "none"
            raise Refusal(status)
        return data

    def select(self, aid: bytes) -> None:
        self.exchange(0x5A, aid)
        self.kind = "none"

    def authenticate(self, kind: Kind, number: int, key: bytes, ins: int | None = None) -> None:
        """Run the handshake of a channel and check the card's proof."""
        ins = ins or {"native": 0x0A, "iso": 0x1A, "aes": 0xAA, "ev2": 0x71}[kind]
        cipher = "aes" if kind in ("aes", "ev2") else "des"
        size = 16 if cipher == "aes" or len(key) == 24 else 8
        block = 16 if cipher == "aes" else 8
        first, status = self.raw(ins, bytes((number,)) + (b"\x00" if ins == 0x71 else b""))
        if status != 0xAF:
            raise Refusal(status)
        rnd_a = bytes(range(0xA0, 0xA0 + size))
        rnd_b = ciphers.cbc_decrypt(cipher, key, bytes(block), first)
        token = rnd_a + rotated(rnd_b)
        if kind == "native":
            sent, previous = b"", bytes(8)
            for start in range(0, len(token), 8):
                previous = ciphers.decrypt("des", key, ciphers.xor(token[start : start + 8], previous))
                sent += previous
            iv = bytes(8)
        else:
            chained = kind != "ev2"
            sent = ciphers.cbc_encrypt(cipher, key, first[-block:] if chained else bytes(block), token)
            iv = sent[-block:] if chained else bytes(block)
        last, status = self.raw(0xAF, sent)
        if status:
            raise Refusal(status)
        proof = ciphers.cbc_decrypt(cipher, key, iv, last)
        if ins == 0x71:
            self.ti, proof, self.counter = proof[:4], proof[4:20], 0
        assert proof == rotated(rnd_a), "the card knows the key"
        self.kind = kind
        if kind == "ev2":
            vector = rnd_a[:2] + ciphers.xor(rnd_a[2:8], rnd_b[:6]) + rnd_b[6:] + rnd_a[8:]
            self.enc = ciphers.cmac("aes", key, bytes.fromhex("A55A00010080") + vector)
            self.mac_key = ciphers.cmac("aes", key, bytes.fromhex("5AA500010080") + vector)
        else:
            self.cipher, self.block = cipher, block
            middle = (6, 10) if size == 16 else (4, 8)
            parts = [rnd_a[:4], rnd_b[:4]]
            if cipher == "des" and (len(key) == 24 or key[:8] != key[8:]):
                parts += [rnd_a[slice(*middle)], rnd_b[slice(*middle)]]
            elif cipher == "des":
                parts *= 2
            if size == 16:
                parts += [rnd_a[12:], rnd_b[12:]]
            self.session, self.iv = b"".join(parts), bytes(block)

    def command(self, ins: int, header: bytes = b"", data: bytes = b"", mode: int = PLAIN, *, writes: bool = False) -> bytes:
        """A command in a mode; the data of the answer. `mode` is the file's, or MAC for other commands in EV2."""
        if self.kind == "none":
            return self.exchange(ins, header + data)
        return {"native": self._native, "ev2": self._ev2}.get(self.kind, self._ev1)(ins, header, data, mode, writes)

    def _native(self, ins: int, header: bytes, data: bytes, mode: int, writes: bool) -> bytes:
        zero = bytes(8)

        def mac(content: bytes) -> bytes:
            return ciphers.cbc_encrypt("des", self.session, zero, content + bytes(-len(content) % 8))[-8:-4]

        if writes and mode == MAC:
            data += mac(data)
        elif writes and mode == FULL:
            data += ciphers.crc16(data)
            data += bytes(-len(data) % 8)
            sent, previous = b"", zero
            for start in range(0, len(data), 8):
                previous = ciphers.decrypt("des", self.session, ciphers.xor(data[start : start + 8], previous))
                sent += previous
            data = sent
        answer = self.exchange(ins, header + data)
        if writes or mode == PLAIN or not answer:
            return answer
        if mode == MAC:
            assert answer[-4:] == mac(answer[:-4])
            return answer[:-4]
        return self._without_checksum(ciphers.cbc_decrypt("des", self.session, zero, answer), ciphers.crc16, 2, b"")

    @staticmethod
    def _without_checksum(plain: bytes, checksum, width: int, tail: bytes) -> bytes:
        # From the shortest: data with its CRC16 has itself a checksum of zero, which looks like padding.
        for end in range(max(1, len(plain) - width - 15), len(plain) - width + 1):
            if plain[end : end + width] == checksum(plain[:end] + tail) and not any(plain[end + width :]):
                return plain[:end]
        raise AssertionError("no checksum fits")

    def _cmac(self, message: bytes) -> bytes:
        self.iv = ciphers.cmac(self.cipher, self.session, message, self.iv)
        return self.iv[:8]

    def _ev1(self, ins: int, header: bytes, data: bytes, mode: int, writes: bool) -> bytes:
        command = bytes((ins,))
        if writes and mode == FULL:
            plain = data + ciphers.crc32(command + header + data)
            data = ciphers.cbc_encrypt(self.cipher, self.session, self.iv, plain + bytes(-len(plain) % self.block))
            self.iv = data[-self.block :]
        else:
            tag = self._cmac(command + header + data)
            if writes and mode == MAC:
                data += tag
        answer = self.exchange(ins, header + data)
        if not writes and mode == FULL and answer:
            plain = ciphers.cbc_decrypt(self.cipher, self.session, self.iv, answer)
            self.iv = answer[-self.block :]
            return self._without_checksum(plain, ciphers.crc32, 4, b"\x00")
        assert answer[-8:] == self._cmac(answer[:-8] + b"\x00"), "the answer is the card's"
        return answer[:-8]

    def ev2_mac(self, first: int, message: bytes) -> bytes:
        return ciphers.cmac("aes", self.mac_key, bytes((first,)) + self.counter.to_bytes(2, "little") + self.ti + message)[1::2]

    def _ev2_iv(self, label: bytes) -> bytes:
        return ciphers.encrypt("aes", self.enc, label + self.ti + self.counter.to_bytes(2, "little") + bytes(8))

    def _ev2(self, ins: int, header: bytes, data: bytes, mode: int, writes: bool) -> bytes:
        if mode == FULL and data:
            data = ciphers.cbc_encrypt("aes", self.enc, self._ev2_iv(b"\xa5\x5a"), ciphers.pad80(data, 16))
        tag = b"" if mode == PLAIN else self.ev2_mac(ins, header + data)
        answer = self.exchange(ins, header + data + tag)
        self.counter += 1
        if mode == PLAIN:
            return answer
        answer, tag = answer[:-8], answer[-8:]
        assert tag == self.ev2_mac(0x00, answer), "the answer is the card's"
        if mode == FULL and answer:
            plain = ciphers.unpad80(ciphers.cbc_decrypt("aes", self.enc, self._ev2_iv(b"\x5a\xa5"), answer))
            assert plain is not None
            return plain
        return answer

    @property
    def usual(self) -> int:
        """Mode of commands that are not about the data of a file."""
        return MAC if self.kind == "ev2" else PLAIN

    def plain_command(self, ins: int, body: bytes = b"") -> bytes:
        """A command outside files."""
        return self.command(ins, body, mode=self.usual)

    def commit(self) -> bytes:
        """CommitTransaction; counter and TMV where there is a transaction MAC."""
        return self.plain_command(0xC7, b"\x01")

    def value(self, number: int, mode: int = PLAIN) -> int:
        return int.from_bytes(self.command(0x6C, bytes((number,)), mode=mode), "little", signed=True)

    def move(self, ins: int, number: int, amount: int, mode: int = PLAIN) -> None:
        """Credit 0C, Debit DC, LimitedCredit 1C."""
        self.command(ins, bytes((number,)), le(amount), mode, writes=True)

    def write(self, ins: int, number: int, data: bytes, offset: int = 0, mode: int = PLAIN) -> None:
        self.command(ins, bytes((number,)) + le(offset, 3) + le(len(data), 3), data, mode, writes=True)

    def read(self, ins: int, number: int, offset: int = 0, length: int = 0, mode: int = PLAIN) -> bytes:
        return self.command(ins, bytes((number,)) + le(offset, 3) + le(length, 3), mode=mode)
