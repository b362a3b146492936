"""The answers to an issuer's `ToSam` questions, made with keys at hand: for the server with its key store, and for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cardcore.card.desfire import MeetChallenge
from cardcore.card.desfire_issue import BLANK, MeetBlank, MeetFactory, NewKey
from cardcore.card.purse import Make
from cardcore.card.purse_issue import ConcealKey, ConcealPin, ProveIssuer, SealLine, SealReload
from cardcore.crypto import Key, desfire_ev1, desfire_ev2, desfire_native, pboc, wipe

FetchKey = Callable[[str], Key]
"""A key of this card by its name in `purse_issue.KEYS` or `desfire_issue.KEYS`, or "transport". It is wiped after use."""


def answer_purse(make: Make, fetch: FetchKey, request: Any) -> bytes:
    """MAC or cryptogram that a purse dialogue of `purse_issue` asks for. Raises what `fetch` raises, and TypeError for other questions."""
    match request:
        case ProveIssuer(challenge, ours):
            return _with(fetch("external" if ours else "transport"), lambda key: pboc.cryptogram(key, challenge))
        case SealLine(name, ours, challenge, header, data):
            key = fetch(name if ours else "transport")
            return _with(key, lambda held: pboc.maintenance_mac(make.profile, held, challenge, header, data))
        case ConcealKey(name, version, algorithm, ours):
            return _concealed(fetch(name), fetch("maintenance" if ours else "transport"), version, algorithm)
        case ConcealPin(pin):
            return _with(fetch("unblock-pin"), lambda key: pboc.conceal(key, pin))
        case SealReload(pin):
            return _with(fetch("reload-pin"), lambda key: pboc.reload_mac(make.profile, key, pin))
    raise TypeError(f"no answer to {type(request).__name__}")


def _with(key: Key, use: Callable[[Key], bytes]) -> bytes:
    try:
        return use(key)
    finally:
        key.wipe()


def _concealed(new: Key, under: Key, version: int, algorithm: int) -> bytes:
    with new.lend() as octets:
        plain = bytearray((version, algorithm)) + octets
    try:
        return _with(under, lambda key: pboc.conceal(key, plain))
    finally:
        wipe(plain)
        new.wipe()


def answer_desfire(
    fetch: FetchKey, random: bytes, request: Any, *, master: str = "master"
) -> desfire_ev1.Handshake | Key:
    """The half handshake or new key that `desfire_issue` asks for. random: 16 fresh octets. Raises as `answer_purse`.

    A new key belongs to the dialogue, which wipes it. master: whose key 0 a `MeetChallenge` is about; "card" in `secure_card`.
    """
    match request:
        case MeetFactory(challenge):
            return desfire_native.start(Key("des", bytes(8)), random[: desfire_native.RANDOM_OCTETS], challenge)
        case MeetBlank(ev2, challenge):
            return _met(Key("aes", BLANK), random, challenge, ev2=ev2)
        case MeetChallenge(ev2, 0, challenge):
            return _met(fetch(master), random, challenge, ev2=ev2)
        case NewKey(name):
            return fetch(name)
    raise TypeError(f"no answer to {type(request).__name__}")


def _met(key: Key, random: bytes, challenge: bytes, *, ev2: bool) -> desfire_ev1.Handshake:
    # The handshake keeps the key until it is finished; it wipes itself when both are gone.
    start = desfire_ev2.start if ev2 else desfire_ev1.start
    return start(key, random, challenge)
