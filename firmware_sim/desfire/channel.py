"""Secure channels of DESFire: native (D40), EV1 with its running CMAC, EV2 with its command counter.

A channel opens the body of a command (`header` plain bytes, then data) and seals the data of an answer. `writes` tells whether the
data of the command is what the file's mode is about; before EV2 the mode covers one direction only.
"""

from __future__ import annotations

import hmac

from firmware_sim import ciphers
from firmware_sim.desfire.layout import Mode
from firmware_sim.desfire.status import AUTHENTICATION, INTEGRITY, LENGTH, need

COUNTER_MAX = 0xFFFF


def padded(size: int, block: int) -> int:
    """`size` rounded up to whole blocks."""
    return -(-size // block) * block


class Channel:
    """No authentication: everything travels plain."""

    secure = False

    def body_size(self, header: int, size: int, mode: Mode, writes: bool) -> int:
        """Bytes of a command body that carries `size` bytes of data."""
        return header + size

    def open(self, ins: int, body: bytes, header: int, size: int, mode: Mode, writes: bool) -> bytes:
        """Header and data of a command, verified. Raises `Fault` 1E or 7E."""
        return body

    def seal(self, ins: int, data: bytes, mode: Mode, writes: bool) -> bytes:
        """Answer data as it travels, for status 00."""
        return data


class NativeChannel(Channel):
    """D40 (0A): 4-byte MACs over the data alone, CRC16, zero IVs; the card always enciphers, the reader always deciphers."""

    secure = True

    def __init__(self, key: bytes) -> None:
        self._key = key

    def body_size(self, header: int, size: int, mode: Mode, writes: bool) -> int:
        """See `Channel`."""
        if not writes or mode is Mode.PLAIN:
            return header + size
        return header + (size + 4 if mode is Mode.MAC else padded(size + 2, 8))

    def _mac(self, data: bytes) -> bytes:
        return ciphers.cbc_encrypt("des", self._key, bytes(8), data + bytes(-len(data) % 8))[-8:-4]

    def decipher(self, data: bytes) -> bytes:
        """Undo what the reader made with decryption in its send mode: P = E(C) XOR previous C."""
        blocks = [data[i : i + 8] for i in range(0, len(data), 8)]
        plain = zip(blocks, [bytes(8), *blocks[:-1]], strict=True)
        return b"".join(ciphers.xor(ciphers.encrypt("des", self._key, block), before) for block, before in plain)

    def open(self, ins: int, body: bytes, header: int, size: int, mode: Mode, writes: bool) -> bytes:
        """See `Channel`."""
        need(len(body) == self.body_size(header, size, mode, writes), LENGTH)
        if not writes or mode is Mode.PLAIN:
            return body
        head, data = body[:header], body[header:]
        if mode is Mode.MAC:
            need(hmac.compare_digest(self._mac(data[:-4]), data[-4:]), INTEGRITY)
            return head + data[:-4]
        plain = self.decipher(data)
        expected = plain[:size] + ciphers.crc16(plain[:size])
        need(plain == expected + bytes(len(plain) - len(expected)), INTEGRITY)
        return head + plain[:size]

    def seal(self, ins: int, data: bytes, mode: Mode, writes: bool) -> bytes:
        """See `Channel`."""
        if writes or mode is Mode.PLAIN or not data:
            return data
        if mode is Mode.MAC:
            return data + self._mac(data)
        plain = data + ciphers.crc16(data)
        return ciphers.cbc_encrypt("des", self._key, bytes(8), plain + bytes(-len(plain) % 8))


class Ev1Channel(Channel):
    """EV1 (1A, AA): CMAC and CBC over one running IV; every answer that is not enciphered carries 8 bytes of CMAC."""

    secure = True

    def __init__(self, cipher: str, key: bytes) -> None:
        self._cipher, self._key = cipher, key
        self._block = ciphers.BLOCK[cipher]
        self.iv = bytes(self._block)

    def body_size(self, header: int, size: int, mode: Mode, writes: bool) -> int:
        """See `Channel`."""
        if not writes or mode is Mode.PLAIN:
            return header + size
        return header + (size + 8 if mode is Mode.MAC else padded(size + 4, self._block))

    def _cmac(self, message: bytes) -> bytes:
        self.iv = ciphers.cmac(self._cipher, self._key, message, self.iv)
        return self.iv[:8]

    def decipher(self, data: bytes) -> bytes:
        """CBC with the running IV."""
        need(bool(data) and len(data) % self._block == 0, LENGTH)
        plain = ciphers.cbc_decrypt(self._cipher, self._key, self.iv, data)
        self.iv = data[-self._block :]
        return plain

    def open(self, ins: int, body: bytes, header: int, size: int, mode: Mode, writes: bool) -> bytes:
        """See `Channel`."""
        need(len(body) == self.body_size(header, size, mode, writes), LENGTH)
        command = bytes((ins,))
        if not writes or mode is Mode.PLAIN:
            self._cmac(command + body)
            return body
        if mode is Mode.MAC:
            need(hmac.compare_digest(self._cmac(command + body[:-8]), body[-8:]), INTEGRITY)
            return body[:-8]
        plain = self.decipher(body[header:])
        opened = body[:header] + plain[:size]
        expected = plain[:size] + ciphers.crc32(command + opened)
        need(plain == expected + bytes(len(plain) - len(expected)), INTEGRITY)
        return opened

    def seal(self, ins: int, data: bytes, mode: Mode, writes: bool) -> bytes:
        """See `Channel`."""
        if writes or mode is not Mode.FULL or not data:
            return data + self._cmac(data + b"\x00")
        plain = data + ciphers.crc32(data + b"\x00")
        sealed = ciphers.cbc_encrypt(self._cipher, self._key, self.iv, plain + bytes(-len(plain) % self._block))
        self.iv = sealed[-self._block :]
        return sealed


class Ev2Channel(Channel):
    """EV2 (71, 77): keys for MAC and cipher, transaction identifier, command counter; encrypt, then MAC, in both directions."""

    secure = True

    def __init__(self, key: bytes, rnd_a: bytes, rnd_b: bytes, ti: bytes, counter: int = 0) -> None:
        vector = rnd_a[:2] + ciphers.xor(rnd_a[2:8], rnd_b[:6]) + rnd_b[6:] + rnd_a[8:]
        self.enc_key = ciphers.cmac("aes", key, bytes.fromhex("A55A00010080") + vector)
        self.mac_key = ciphers.cmac("aes", key, bytes.fromhex("5AA500010080") + vector)
        self.ti = ti
        self.counter = counter

    def body_size(self, header: int, size: int, mode: Mode, writes: bool) -> int:
        """See `Channel`."""
        if mode is Mode.PLAIN:
            return header + size
        return header + 8 + (padded(size + 1, 16) if mode is Mode.FULL and size else size)

    def iv(self, label: bytes) -> bytes:
        """IV of a direction: label A55A for commands, 5AA5 for answers."""
        return ciphers.encrypt("aes", self.enc_key, label + self.ti + self.counter.to_bytes(2, "little") + bytes(8))

    def mac(self, first: int, message: bytes) -> bytes:
        """8 bytes over command or status, counter, transaction identifier, message."""
        head = bytes((first,)) + self.counter.to_bytes(2, "little") + self.ti
        return ciphers.odd_bytes(ciphers.cmac("aes", self.mac_key, head + message))

    def open(self, ins: int, body: bytes, header: int, size: int, mode: Mode, writes: bool) -> bytes:
        """See `Channel`."""
        # A session whose counter is used up is over: authenticate again.
        need(self.counter < COUNTER_MAX, AUTHENTICATION)
        need(len(body) == self.body_size(header, size, mode, writes), LENGTH)
        if mode is not Mode.PLAIN:
            body, tag = body[:-8], body[-8:]
            need(hmac.compare_digest(self.mac(ins, body), tag), INTEGRITY)
            if mode is Mode.FULL and size:
                plain = ciphers.cbc_decrypt("aes", self.enc_key, self.iv(b"\xa5\x5a"), body[header:])
                data = ciphers.unpad80(plain)
                need(data is not None and len(data) == size, INTEGRITY)
                assert data is not None
                body = body[:header] + data
        self.counter += 1
        return body

    def seal(self, ins: int, data: bytes, mode: Mode, writes: bool) -> bytes:
        """See `Channel`."""
        if mode is Mode.PLAIN:
            return data
        if mode is Mode.FULL and data:
            data = ciphers.cbc_encrypt("aes", self.enc_key, self.iv(b"\x5a\xa5"), ciphers.pad80(data, 16))
        return data + self.mac(0x00, data)
