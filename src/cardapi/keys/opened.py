"""The key store over keys that are in memory: what the encrypted file opens to, and what tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cardapi.keys.errors import KeyMisused, KeyNotValid, UnknownKey
from cardapi.keys.port import ACTIVE, RETIRED, KeyInfo
from cardapi.keys.purposes import AN10922, PBOC, SHARED, purpose_of
from cardcore.crypto import InvalidCryptoInput, Key, batch, diversify, pboc, sun, wipe
from cardcore.crypto.batch import Octets, Verdicts

ONLY = {
    "pboc-tac": "only a TAC key verifies TACs",
    "desfire-tmac": "only a transaction MAC key verifies transaction MACs",
    "ntag-meta": "only the key of UID and counter opens them",
}


class Catalogue:
    """Which keys there are and which one is meant; knows nothing of octets. The first half of `port.KeyStore`."""

    def __init__(self, infos: Iterable[KeyInfo] = ()) -> None:
        self._look: Callable[[], None] = lambda: None
        self.refresh(infos)

    def watch(self, look: Callable[[], None]) -> None:
        """Call this before each use: it brings in what another process has changed."""
        self._look = look

    def refresh(self, infos: Iterable[KeyInfo]) -> None:
        """Take in what has changed; whoever holds the store sees it at the next use."""
        self._infos = {info.id: info for info in infos}

    def keys(self) -> Sequence[KeyInfo]:
        """See `port.KeyStore`."""
        self._look()
        return sorted(self._infos.values(), key=lambda info: (info.purpose, info.algorithm, info.version))

    def current(self, purpose: str, at: int, algorithm: str = "") -> KeyInfo:
        """See `port.KeyStore`."""
        found = [info for info in self._of(purpose, algorithm) if info.state == ACTIVE and info.valid_at(at)]
        if not found:
            raise KeyNotValid(f"no {purpose} key is in use at that time", purpose=purpose)
        if len({info.algorithm for info in found}) > 1:
            raise UnknownKey(f"{purpose} keys of several algorithms are in use: say which", purpose=purpose)
        return max(found, key=lambda info: info.version)

    def version(self, purpose: str, version: int, at: int, algorithm: str = "") -> KeyInfo:
        """See `port.KeyStore`."""
        found = [info for info in self._of(purpose, algorithm) if info.version == version]
        if len(found) != 1:
            raise UnknownKey(f"no {purpose} key has version {version}", purpose=purpose, version=version)
        if not found[0].valid_at(at):
            raise KeyNotValid(f"version {version} of {purpose} was not allowed at that time", key=found[0].id)
        return found[0]

    def _of(self, purpose: str, algorithm: str) -> list[KeyInfo]:
        purpose_of(purpose)
        self._look()
        found = [info for info in self._infos.values() if info.purpose == purpose and algorithm in ("", info.algorithm)]
        if not found:
            raise UnknownKey(f"there is no {' '.join(filter(None, (algorithm, purpose)))} key", purpose=purpose)
        return found

    def usable(self, key: str, *diversifications: str) -> KeyInfo:
        """The key, if it is in a state to be used and its purpose allows this way of using it."""
        self._look()
        info = self._infos.get(key)
        if info is None:
            raise UnknownKey(f"there is no key {key!r}", key=key)
        if info.state not in (ACTIVE, RETIRED):
            raise KeyNotValid(f"key {key} is {info.state}", key=key)
        if purpose_of(info.purpose).diversification not in diversifications:
            raise KeyMisused(f"{info.purpose} keys are not for this", key=key)
        return info

    def need_purpose(self, key: str, purpose: str) -> None:
        """As `usable`, for what one purpose alone is for. Raises KeyMisused with what that is."""
        if self.usable(key, purpose_of(purpose).diversification).purpose != purpose:
            raise KeyMisused(ONLY[purpose], key=key)


class OpenedKeys(Catalogue):
    """`port.KeyStore` with the keys at hand, by id."""

    def __init__(self, infos: Iterable[KeyInfo], keys: Mapping[str, Key]) -> None:
        super().__init__(infos)
        self._keys = keys

    def card_key(self, key: str, factors: Sequence[bytes]) -> Key:
        """See `port.KeyStore`."""
        info = self.usable(key, PBOC, AN10922)
        if purpose_of(info.purpose).diversification == PBOC:
            return diversify.pboc(self._keys[key], factors)
        if len(factors) != 1:
            raise InvalidCryptoInput("AN10922 takes one diversification input", factors=len(factors))
        return diversify.an10922(self._keys[key], factors[0])

    def card_keys(self, key: str, factors: Octets) -> Octets:
        """See `port.KeyStore`."""
        info = self.usable(key, PBOC, AN10922)
        if purpose_of(info.purpose).diversification == AN10922:
            return batch.diversify_an10922_batch(self._keys[key], factors)
        if info.algorithm == "tdes":
            return batch.diversify_pboc_batch(self._keys[key], factors)
        return singly(self._keys[key], factors)

    def shared_key(self, key: str) -> Key:
        """See `port.KeyStore`."""
        info = self.usable(key, SHARED)
        if info.purpose == "ntag-meta":
            raise KeyMisused("the key of UID and counter is used in the store", key=key)
        with self._keys[key].lend() as octets:
            return Key(info.algorithm, octets)

    def open_picc_data(self, key: str, enciphered: bytes) -> sun.Tap:
        """See `port.KeyStore`."""
        self.need_purpose(key, "ntag-meta")
        return sun.open_picc_data(self._keys[key], enciphered)

    def verify_tacs(
        self, key: str, records: NDArray[np.void] | Octets, tacs: Octets, factors: Octets, profile: pboc.Profile = pboc.PBOC2_3DES
    ) -> Verdicts:
        """See `port.KeyStore`."""
        self.need_purpose(key, "pboc-tac")
        return batch.verify_tacs(self._keys[key], records, tacs, factors=factors, profile=profile)

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
        """See `port.KeyStore`."""
        self.need_purpose(key, "desfire-tmac")
        keys = batch.diversify_an10922_batch(self._keys[key], diversifiers)
        try:
            return batch.verify_tmacs(keys, uids, counters, inputs, presented, lengths=lengths)
        finally:
            wipe(keys)


def singly(master: Key, factors: Octets) -> Octets:
    """PBOC keys of a batch one at a time, for ciphers without kernel. Raises InvalidCryptoInput."""
    if factors.ndim != 2 or factors.dtype != np.uint8 or not factors.shape[1] or factors.shape[1] % 8:
        raise InvalidCryptoInput("factors are rows of 8 octets a level")
    keys = np.empty((len(factors), len(master)), np.uint8)
    for row, octets in zip(keys, factors, strict=True):
        plain = bytes(octets)
        with diversify.pboc(master, [plain[i : i + 8] for i in range(0, len(plain), 8)]).lend() as lent:
            row[:] = np.frombuffer(lent, np.uint8)
    return keys
