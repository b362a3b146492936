"""The EV2 channel (AuthenticateEV2First and NonFirst, AES): handshake, session keys, MACs and full encipherment.

Sources: NXP AN12343 and AN12196, MF2DL(H)x0 data sheet. Used by DESFire EV2, EV3 and Light and by NTAG 424 DNA.
"""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.crypto.cipher import decrypt_cbc, encrypt_cbc, encrypt_ecb
from cardcore.crypto.desfire_ev1 import Handshake, rotated
from cardcore.crypto.desfire_ev1 import start as start_ev1
from cardcore.crypto.errors import InvalidCryptoInput, InvalidMac
from cardcore.crypto.key import Key
from cardcore.crypto.mac import cmac, cmac_into, odd_octets, require_equal
from cardcore.crypto.padding import pad_bit, unpad_bit

MAC_OCTETS = 8
COUNTER_MAX = 0xFFFF


def session_vectors(random_terminal: bytes, random_card: bytes) -> tuple[bytes, bytes]:
    """SV1 and SV2 (AN12343, 7.1): the CMAC inputs of the encryption and the MAC key. Raises InvalidCryptoInput."""
    a, b = random_terminal, random_card
    if len(a) != 16 or len(b) != 16:
        raise InvalidCryptoInput("randoms have 16 octets")
    mixed = bytes(x ^ y for x, y in zip(a[2:8], b[:6], strict=True))
    context = b"\x00\x01\x00\x80" + a[:2] + mixed + b[6:] + a[8:]
    return b"\xa5\x5a" + context, b"\x5a\xa5" + context


def session_keys(key: Key, random_terminal: bytes, random_card: bytes) -> tuple[Key, Key]:
    """SesAuthENCKey and SesAuthMACKey."""
    encipher, authenticate = (Key.take("aes", cmac_into(key, vector)) for vector in session_vectors(random_terminal, random_card))
    return encipher, authenticate


def start(key: Key, random_terminal: bytes, challenge: bytes) -> Handshake:
    """Answer the first cryptogram of 71 or 77: E(K, IV 0, RndA || RndB rotated). Raises InvalidCryptoInput."""
    first = start_ev1(key, random_terminal, challenge)
    answer = encrypt_cbc(key, random_terminal + rotated(first.random_card))  # EV2 does not chain the IV
    return Handshake(key, random_terminal, first.random_card, bytes(answer))


def finish_first(handshake: Handshake, proof: bytes) -> Session:
    """Open the session from the answer TI || RndA rotated || PDcap2 || PCDcap2. Raises InvalidMac."""
    if len(proof) != 32:
        raise InvalidMac
    plain = bytes(decrypt_cbc(handshake.key, proof))
    require_equal(rotated(handshake.random_terminal), plain[4:20])
    keys = session_keys(handshake.key, handshake.random_terminal, handshake.random_card)
    return Session(*keys, plain[:4], card_capabilities=plain[20:26], terminal_capabilities=plain[26:32])


def finish_non_first(handshake: Handshake, proof: bytes, running: Session) -> Session:
    """Change keys inside a transaction: the answer is RndA rotated; TI and counter go on. Raises InvalidMac."""
    if len(proof) != 16:
        raise InvalidMac
    require_equal(rotated(handshake.random_terminal), decrypt_cbc(handshake.key, proof))
    keys = session_keys(handshake.key, handshake.random_terminal, handshake.random_card)
    return Session(*keys, running.transaction, running.counter, running.card_capabilities, running.terminal_capabilities)


@dataclass(slots=True)
class Session:
    """The channel after AuthenticateEV2. `counter` is the CmdCtr of the next command; the caller steps it with `accepted`."""

    encipher_key: Key
    mac_key: Key
    transaction: bytes
    """The transaction identifier TI, 4 octets."""
    counter: int = 0
    card_capabilities: bytes = b""
    terminal_capabilities: bytes = b""

    def accepted(self) -> None:
        """The card accepted a command: from here on the answer and all that follows use the next counter."""
        if self.counter >= COUNTER_MAX:
            raise InvalidCryptoInput("the command counter is used up; authenticate again")
        self.counter += 1

    def _context(self) -> bytes:
        return self.counter.to_bytes(2, "little") + self.transaction

    def _mac(self, first: int, data: bytes) -> bytes:
        return odd_octets(cmac(self.mac_key, bytes([first]) + self._context() + data))

    def mac_command(self, command: int, data: bytes = b"") -> bytes:
        """8 octets over command || CmdCtr || TI || header and data."""
        return self._mac(command, data)

    def verify_answer(self, status: int, data: bytes, presented: bytes) -> None:
        """Check the MAC over status || CmdCtr || TI || data, after `accepted`. Raises InvalidMac."""
        require_equal(self._mac(status, data), presented)

    def vector(self, *, answer: bool) -> bytes:
        """The IV of full mode: E(SesAuthENC, A5 5A or 5A A5 || TI || CmdCtr || zeros) (AN12343, 8)."""
        block = (b"\x5a\xa5" if answer else b"\xa5\x5a") + self.transaction + self.counter.to_bytes(2, "little") + bytes(8)
        return bytes(encrypt_ecb(self.encipher_key, block))

    def seal_command(self, command: int, header: bytes, data: bytes) -> bytes:
        """Full mode: header stays plain, data is padded, enciphered, then all is MACed. Gives header || cryptogram || MAC."""
        sealed = bytes(encrypt_cbc(self.encipher_key, pad_bit(data, 16), self.vector(answer=False))) if data else b""
        return header + sealed + self.mac_command(command, header + sealed)

    def open_answer(self, status: int, sealed: bytes, presented: bytes) -> bytes:
        """The data of a full-mode answer, after `accepted`. Raises InvalidMac before anything is deciphered."""
        self.verify_answer(status, sealed, presented)
        if not sealed:
            return b""
        return unpad_bit(bytes(decrypt_cbc(self.encipher_key, sealed, self.vector(answer=True))))

    def close(self) -> None:
        """Forget the session keys."""
        self.encipher_key.wipe()
        self.mac_key.wipe()
