"""Lines `tac` and `diversify`: card cryptography in batches against `cryptography` called for each item from Python, on one thread.

The Python side is what a careful programmer writes: the master key's context is made once, and single calls are as few as can be.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from cardcore.crypto import Key, available, batch

from .harness import Line, LineFailed, Options, Sample, Subject, Target

ITEMS = 100_000
TDES_MASTER, AES_MASTER = bytes(range(16)), bytes(range(16, 32))
TAC_MUST = {"portable": 10.0, "avx2": 30.0, "avx512": 30.0}
AES_MUST = {"aesni": 60.0}


def _timed(work: Callable[[], object], items: int) -> Sample:
    start = time.thread_time()
    work()
    return Sample((time.thread_time() - start) / items * 1e9)


class Purchases:
    """Records of as many cards, each with a right TAC (or, one in ten, a wrong one)."""

    def __init__(self, items: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.factors = draw.integers(0, 256, (items, 8), np.uint8)
        self.records = draw.integers(0, 256, (items, 22), np.uint8)
        self.rows = [(f.tobytes(), r.tobytes()) for f, r in zip(self.factors, self.records, strict=True)]
        self.context = Cipher(TripleDES(TDES_MASTER + TDES_MASTER[:8]), modes.ECB()).encryptor()
        self.tacs = np.array([list(self.tac(*row)) for row in self.rows], np.uint8)
        self.right = draw.random(items) >= 0.1
        self.tacs[~self.right, 3] ^= 1
        self.presented = [tac.tobytes() for tac in self.tacs]

    def tac(self, factor: bytes, record: bytes) -> bytes:
        """Diversify, fold, CBC-MAC: three calls into the library."""
        key = int.from_bytes(self.context.update(factor + bytes(octet ^ 255 for octet in factor)), "big")
        folded = ((key >> 64) ^ key & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")
        return Cipher(TripleDES(folded * 3), modes.CBC(bytes(8))).encryptor().update(record + b"\x80\x00")[-8:-4]

    def singly(self, items: int) -> Sample:
        """Verify the first items one by one."""

        def work() -> None:
            verdicts = [hmac.compare_digest(self.tac(*row), tac) for row, tac in zip(self.rows[:items], self.presented, strict=False)]
            if verdicts != self.right[:items].tolist():
                raise LineFailed("cryptography finds other verdicts")

        return _timed(work, items)

    def at_once(self, backend: str) -> Sample:
        """Verify all in one call."""
        master = Key("tdes", TDES_MASTER)

        def work() -> None:
            verdicts = batch.verify_tacs(master, self.records, self.tacs, factors=self.factors, backend=backend)
            if not np.array_equal(verdicts, self.right):
                raise LineFailed(f"{backend} finds other verdicts")

        return _timed(work, len(self.records))


class Cards:
    """A card key by AN10922 from UID, AID and system id (17 octets), then a CMAC of 32 octets under it."""

    def __init__(self, items: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.diversifiers = draw.integers(0, 256, (items, 17), np.uint8)
        self.messages = draw.integers(0, 256, (items, 32), np.uint8)
        self.rows = [(d.tobytes(), m.tobytes()) for d, m in zip(self.diversifiers, self.messages, strict=True)]
        self.master = CMAC(AES(AES_MASTER))
        # 18 octets padded to 32 have the sub-key of a part block, as AN10922 wants: no detour is needed in Python.

    def tag(self, diversifier: bytes, message: bytes) -> bytes:
        """Two CMACs, the first from a kept context."""
        first = self.master.copy()
        first.update(b"\x01" + diversifier)
        second = CMAC(AES(first.finalize()))
        second.update(message)
        return second.finalize()

    def singly(self, items: int) -> Sample:
        """The tags of the first items one by one."""
        return _timed(lambda: [self.tag(*row) for row in self.rows[:items]], items)

    def at_once(self, backend: str) -> Sample:
        """All tags in two calls; a few are compared with the other side."""
        master, tags = Key("aes", AES_MASTER), []

        def work() -> None:
            keys = batch.diversify_an10922_batch(master, self.diversifiers, backend=backend)
            tags.append(batch.cmac_batch(keys, self.messages, cipher="aes", backend=backend))

        sample = _timed(work, len(self.messages))
        for i in range(0, len(self.rows), len(self.rows) // 50):
            if tags[0][i].tobytes() != self.tag(*self.rows[i]):
                raise LineFailed(f"{backend} gives other tags")
        return sample


def _line(name: str, title: str, made: Purchases | Cards, musts: dict[str, float], backends: tuple[str, ...], options: Options) -> Line:
    slice_items = 2_000 if options.quick else 10_000
    base = Subject("cryptography, one by one", "ns", lambda: made.singly(slice_items))
    subjects, targets, notes = [base], [], []
    for backend, must in musts.items():
        if backend not in backends:
            notes.append(f"this CPU has no {backend}")
            continue
        subjects.append(Subject(backend, "ns", lambda backend=backend: made.at_once(backend)))  # type: ignore[misc]
        targets.append(Target(f"{title}, {backend}", backend, base.name, must))
    return Line(name, title, subjects, targets, notes)


@contextmanager
def tacs(options: Options) -> Iterator[Line]:
    """Verify the TACs of a settlement file, card keys derived from the master key on the way."""
    yield _line("tac", "PBOC TAC verification", Purchases(ITEMS, options.seed), TAC_MUST, available("des"), options)


@contextmanager
def diversification(options: Options) -> Iterator[Line]:
    """AN10922 and a CMAC of 32 octets for each card."""
    yield _line("diversify", "AN10922 + CMAC of 32 octets", Cards(ITEMS, options.seed), AES_MUST, available("aes"), options)
