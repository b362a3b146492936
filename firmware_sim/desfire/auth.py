"""The handshakes: 0A native, 1A ISO, AA AES, 71/77 EV2. The card speaks second and never says which half was wrong."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_sim import ciphers
from firmware_sim.desfire.channel import Channel, Ev1Channel, Ev2Channel, NativeChannel
from firmware_sim.desfire.layout import KeyType
from firmware_sim.desfire.status import AUTHENTICATION, LENGTH, NO_SUCH_KEY, need

if TYPE_CHECKING:
    from firmware_sim.desfire.card import DesfireCard

NATIVE, ISO, AES, EV2_FIRST, EV2_NON_FIRST = 0x0A, 0x1A, 0xAA, 0x71, 0x77
COMMANDS = frozenset((NATIVE, ISO, AES, EV2_FIRST, EV2_NON_FIRST))


@dataclass(frozen=True, slots=True)
class Handshake:
    """Between the two frames: what the card has sent and will compare."""

    ins: int
    key_number: int
    key: bytes
    key_type: KeyType
    random: bytes
    sent: bytes
    ev2: Ev2Channel | None
    """The running EV2 channel, for AuthenticateEV2NonFirst."""
    capabilities: bytes = bytes(6)


def _rotated(random: bytes) -> bytes:
    return random[1:] + random[:1]


def begin(card: DesfireCard, ins: int, body: bytes, running: Channel) -> tuple[Handshake, bytes]:
    """First frame: key number (and capabilities for 71). Returns the state and the enciphered random number."""
    capabilities = b""
    if ins == EV2_FIRST:
        need(len(body) >= 2 and len(body) == 2 + body[1] and body[1] <= 6, LENGTH)
        capabilities = body[2:]
    else:
        need(len(body) == 1, LENGTH)
    application = card.application()
    number = body[0]
    need(number < len(application.keys), NO_SUCH_KEY)
    key, kind = application.keys[number][0], application.key_type
    need((ins in (AES, EV2_FIRST, EV2_NON_FIRST)) == (kind is KeyType.AES), AUTHENTICATION)
    need(ins != NATIVE or kind is KeyType.TDES2, AUTHENTICATION)
    need(card.ev2 or ins not in (EV2_FIRST, EV2_NON_FIRST), AUTHENTICATION)
    ev2 = None
    if ins == EV2_NON_FIRST:
        need(isinstance(running, Ev2Channel), AUTHENTICATION)
        assert isinstance(running, Ev2Channel)
        ev2 = running
    random = card.entropy(8 if kind is KeyType.TDES2 else 16)
    block = ciphers.BLOCK[kind.cipher]
    sent = ciphers.cbc_encrypt(kind.cipher, key, bytes(block), random)
    return Handshake(ins, number, key, kind, random, sent, ev2, capabilities.ljust(6, b"\x00")), sent


def finish(card: DesfireCard, shake: Handshake, body: bytes) -> tuple[Channel, bytes]:
    """Second frame: the reader's proof. Returns the channel and the card's proof. Raises `Fault` AE."""
    size = len(shake.random)
    need(len(body) == 2 * size, LENGTH)
    cipher = shake.key_type.cipher
    zero = bytes(ciphers.BLOCK[cipher])
    if shake.ins == NATIVE:
        plain = NativeChannel(shake.key).decipher(body)
        card_iv = zero
    elif shake.ins in (ISO, AES):
        # One chain over the whole handshake: each message starts from the last block of the one before.
        plain = ciphers.cbc_decrypt(cipher, shake.key, shake.sent[-len(zero) :], body)
        card_iv = body[-len(zero) :]
    else:
        plain = ciphers.cbc_decrypt(cipher, shake.key, zero, body)
        card_iv = zero
    rnd_a, answer = plain[:size], plain[size:]
    need(hmac.compare_digest(answer, _rotated(shake.random)), AUTHENTICATION)
    proof = _rotated(rnd_a)
    channel: Channel
    if shake.ins == EV2_FIRST:
        ti = card.entropy(4)
        channel = Ev2Channel(shake.key, rnd_a, shake.random, ti)
        proof = ti + proof + bytes(6) + shake.capabilities
    elif shake.ins == EV2_NON_FIRST:
        assert shake.ev2 is not None, "NonFirst begins in a running EV2 session"
        channel = Ev2Channel(shake.key, rnd_a, shake.random, shake.ev2.ti, shake.ev2.counter)
    else:
        session = session_key(shake.key_type, shake.key, rnd_a, shake.random)
        channel = NativeChannel(session) if shake.ins == NATIVE else Ev1Channel(cipher, session)
    return channel, ciphers.cbc_encrypt(cipher, shake.key, card_iv, proof)


def session_key(kind: KeyType, key: bytes, rnd_a: bytes, rnd_b: bytes) -> bytes:
    """Session key of the native and EV1 channels; a DES key in both halves gives a DES session key in both halves."""
    if kind is KeyType.AES:
        return rnd_a[:4] + rnd_b[:4] + rnd_a[12:] + rnd_b[12:]
    first = rnd_a[:4] + rnd_b[:4]
    if kind is KeyType.TDES3:
        return first + rnd_a[6:10] + rnd_b[6:10] + rnd_a[12:] + rnd_b[12:]
    left, right = (bytes(b & 0xFE for b in half) for half in (key[:8], key[8:]))
    return first * 2 if left == right else first + rnd_a[4:8] + rnd_b[4:8]
