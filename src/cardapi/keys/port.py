"""The narrow port of the key store: what the rest of the program may do with card keys.

Master keys stay behind it. What comes out is the key of one card (a `Key` that wipes itself), the keys of a personalisation batch,
or a verdict. Making, entering and retiring keys is not here: see `cardapi.keys.keeper` and `cardcore keys`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from cardcore.crypto import Key, pboc
from cardcore.crypto.batch import Octets, Verdicts
from cardcore.crypto.sun import Tap

FORMING, PENDING, ACTIVE, RETIRED = "forming", "pending", "active", "retired"
"""Components are missing; whole but not confirmed by a second person; in use; no longer given to cards."""
STATES = (FORMING, PENDING, ACTIVE, RETIRED)


class KeyInfo(msgspec.Struct, frozen=True):
    """What may be known of a key: everything but the key. Times are epoch seconds; `valid_to` is exclusive, 0 is open."""

    id: str  # "<purpose>-<algorithm>-<version>"
    purpose: str
    algorithm: str  # "tdes" | "aes" | "sm4"
    version: int  # 1..255: one octet on the card
    state: str
    check_value: str  # hex, "" while components are missing
    valid_from: int
    valid_to: int
    test: bool  # a key that everybody knows

    def valid_at(self, at: int) -> bool:
        """Whether the key was allowed at an epoch second (K6)."""
        return self.state in (ACTIVE, RETIRED) and self.valid_from <= at and (not self.valid_to or at < self.valid_to)


def key_id(purpose: str, algorithm: str, version: int) -> str:
    """The id of a key, which is a slug."""
    return f"{purpose}-{algorithm}-{version}"


class KeyStore(Protocol):
    """Uses keys by their id. Every operation raises UnknownKey, KeyNotValid (neither active nor retired), KeyMisused.

    Operations do not look at the clock: ask `current` or `version` first which key is allowed, then use that one.
    """

    def keys(self) -> Sequence[KeyInfo]:
        """All keys in every state, by purpose, algorithm and version."""
        ...

    def current(self, purpose: str, at: int, algorithm: str = "") -> KeyInfo:
        """The newest active version at epoch second `at`: what a new card gets.

        algorithm: may be left out where the purpose has one. Raises UnknownKey, KeyNotValid, UnknownPurpose.
        """
        ...

    def version(self, purpose: str, version: int, at: int, algorithm: str = "") -> KeyInfo:
        """The version that a card or a record names, if it was allowed at epoch second `at` (K6). Raises as `current`."""
        ...

    def card_key(self, key: str, factors: Sequence[bytes]) -> Key:
        """The key of one card, which wipes itself.

        factors: for purse keys those of `Application.factors` (8 octets each, outermost first); for DESFire and NTAG keys one
        diversification input of 1 to 31 octets (UID || application || system). Raises InvalidCryptoInput for others.
        """
        ...

    def card_keys(self, key: str, factors: Octets) -> Octets:
        """The keys of a batch, one a row; they belong to the caller, who wipes the array (`cardcore.crypto.wipe`).

        factors: a row a card: the purse factors one after the other, or the diversification input.
        """
        ...

    def shared_key(self, key: str) -> Key:
        """The octets of a key that lies on every card alike (transport keys); refused for master keys (KeyMisused)."""
        ...

    def open_picc_data(self, key: str, enciphered: bytes) -> Tap:
        """UID and counter of an NTAG tap (`sun.open_picc_data`). Raises InvalidMac."""
        ...

    def verify_tacs(
        self, key: str, records: NDArray[np.void] | Octets, tacs: Octets, factors: Octets, profile: pboc.Profile = pboc.PBOC2_3DES
    ) -> Verdicts:
        """Whether each TAC belongs to its record (`batch.verify_tacs`); `factors` as in `card_keys`."""
        ...

    def verify_tmacs(
        self,
        key: str,
        diversifiers: Octets,
        uids: Octets,
        counters: NDArray[np.uint32],
        inputs: Octets,
        presented: Octets,
        lengths: NDArray[np.integer] | None = None,
    ) -> Verdicts:
        """Whether each DESFire transaction MAC belongs to its card, counter and input (`batch.verify_tmacs`)."""
        ...
