"""An upload on its way to the desk: its records judged by themselves, in one order whatever order they came in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardcore.clearing.body import DIGEST_OCTETS, NOBODY, proven_key
from cardcore.clearing.judge import Columns, Integers, read_columns
from cardcore.clearing.layout import BLOCK, PURSE_BLOCK, Header, Seal
from cardcore.clearing.parse import Fragment

LATE_DAYS, AHEAD_S, LIST_AGE_S, BAD_MACS, STRAYS = 60, 86_400, 86_400, 10, 1_000


@dataclass(frozen=True, slots=True)
class ClearingRules:
    """What an issuer sets. late_days: how old a record may be when it comes; ahead_s: how far a terminal's clock may be ahead.

    list_age_s: how old a station's list of blocked cards may be for the issuer to bear a lost card that is not on it.
    bad_macs: wrong MACs in a day after which a terminal is suspended (control D).
    strays: records without proof, and replays, that are kept of one uploader in a day; more are counted only (F4).
    """

    late_days: int = LATE_DAYS
    ahead_s: int = AHEAD_S
    list_age_s: int = LIST_AGE_S
    bad_macs: int = BAD_MACS
    strays: int = STRAYS


@dataclass(slots=True)
class Upload:
    """Columns of the distinct records of one upload, oldest first; ties go by what is signed, then by digest.

    outcomes: as `judge` gave them; ACCEPTED means proven. cards: number of the card, "" if unknown. payees: index into `tills`
    (unit, terminal), NOBODY for none. media: name of the medium, "" if unknown.
    """

    header: Header
    seal: Seal | None
    received: int
    blocks: NDArray[np.void]
    digests: list[bytes]
    keys: list[bytes]
    outcomes: list[int]
    accounts: list[int]
    cards: list[str]
    media: list[str]
    times: list[int]
    payees: list[int]
    tills: list[tuple[str, str]]
    rules: ClearingRules

    @property
    def numbers(self) -> tuple[str, ...]:
        """The cards that its records name, each once."""
        return tuple(sorted({number for number in self.cards if number}))

    @property
    def batch(self) -> str:
        """The batch's id."""
        return f"{self.header.terminal.hex()}-{self.header.batch}"


def distinct(fragment: Fragment) -> tuple[Columns, list[bytes]]:
    """The records of a fragment without repetitions, in their order, and the digest of each."""
    raw = np.ascontiguousarray(fragment.records).tobytes()
    blake2b = hashlib.blake2b
    found: dict[bytes, bytes] = {}
    for at in range(0, len(raw), BLOCK):
        block = raw[at : at + BLOCK]
        found[blake2b(block, digest_size=DIGEST_OCTETS).digest()] = block
    blocks = np.frombuffer(b"".join(found.values()), PURSE_BLOCK)
    digests = list(found)
    order = _order(blocks, digests)
    return read_columns(blocks[order]), [digests[place] for place in order.tolist()]


def _order(blocks: NDArray[np.void], digests: list[bytes]) -> Integers:
    """By date and time, then the other signed fields, then digest: an order of what was signed, not of how it came."""
    octets = blocks.view(np.uint8).reshape(len(blocks), BLOCK)
    told = np.frombuffer(b"".join(digests), np.uint8).reshape(len(blocks), DIGEST_OCTETS)
    # One string a record, ended by 1: numpy leaves zeros at the end out of comparisons.
    keys = np.concatenate([octets[:, 17:24], octets[:, 2:17], told, np.ones((len(blocks), 1), np.uint8)], axis=1)
    return np.argsort(np.ascontiguousarray(keys).view(f"S{keys.shape[1]}").ravel(), kind="stable")


def proven_keys(columns: Columns, by_issuer: NDArray[np.bool_]) -> list[bytes]:
    """What each record's key is once its card proved it. by_issuer: whether the card's keys are made from its issuer's number too."""
    cards = np.zeros((len(columns.blocks), 16), np.uint8)
    cards[:, :8] = columns.blocks["serial"][:, 2:]
    cards[:, 8:] = np.where(by_issuer[:, None], columns.blocks["issuer"], 0)
    cards[columns.is_chip] = 0
    cards[columns.is_chip, :7] = columns.chips["uid"][columns.is_chip]
    of, raw = cards.tobytes(), columns.blocks.tobytes()
    return [proven_key(raw[at + 2 : at + 24], of[place * 16 : place * 16 + 16]) for place, at in enumerate(range(0, len(raw), BLOCK))]


def numbered(payee: Integers) -> list[int]:
    """Payee indexes as a body keeps them."""
    indexes: list[int] = np.where(payee < 0, NOBODY, payee).tolist()
    return indexes
