"""Where the octets of keys lie: a vault keeps, makes and drops them, and gives the store that uses them. Here: sealed in the key file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Protocol

from cardapi.keys import weak
from cardapi.keys.errors import KeyFileTampered
from cardapi.keys.keyfile import Record, Seal, about_key
from cardapi.keys.opened import OpenedKeys
from cardapi.keys.port import ACTIVE, PENDING, RETIRED, KeyInfo, KeyStore
from cardapi.keys.purposes import KEY_OCTETS
from cardcore.crypto import Key, wipe

HELD = (PENDING, ACTIVE, RETIRED)
"""States in which a key has octets."""


class Store(KeyStore, Protocol):
    """The port, for whoever keeps it up to date."""

    def refresh(self, infos: Iterable[KeyInfo]) -> None: ...
    def watch(self, look: Callable[[], None]) -> None: ...


class Vault(Protocol):
    """What the keeper asks of the place where octets lie. Keys are named by the id of their record."""

    store: Store

    def renew(self, records: Iterable[Record], seal: Seal) -> None:
        """Hold what a key file says that another process wrote, and let the store know. Raises KeyFileTampered."""
        ...

    def take(self, record: Record, octets: bytearray) -> str:
        """Keep these octets, which are wiped; gives the check value (hex). Replaces what a torn change left under the same id."""
        ...

    def generate(self, record: Record) -> str:
        """Make a key where it will lie; gives the check value (hex)."""
        ...

    def drop(self, record: Record) -> None:
        """Forget a key; one that is not there is forgotten already."""
        ...

    def sealed(self, record: Record, seal: Seal) -> str:
        """What the key file keeps of it, bound to what the record says; "" when nothing."""
        ...


class FileVault:
    """Keys in memory, sealed into the file. Raises KeyFileTampered when one does not open with what its record says."""

    def __init__(self, records: Iterable[Record], seal: Seal) -> None:
        self._keys: dict[str, Key] = {}
        self.store: Store = OpenedKeys((), self._keys)
        self.renew(records, seal)

    def renew(self, records: Iterable[Record], seal: Seal) -> None:
        """See `Vault`."""
        records, opened = tuple(records), {}
        for record in records:
            if record.state in HELD:
                key = opened[record.id] = Key.take(record.algorithm, seal.open(record.sealed, about_key(record)))
                if key.check_value.hex() != record.check_value:
                    raise KeyFileTampered(f"the octets of {record.id} do not have its check value", key=record.id)
        # In this order, because other threads use the store meanwhile: what it names is there.
        self._keys.update(opened)
        self.store.refresh(record.info() for record in records)
        for name in self._keys.keys() - opened.keys():
            del self._keys[name]

    def take(self, record: Record, octets: bytearray) -> str:
        """See `Vault`."""
        key = self._keys[record.id] = Key.take(record.algorithm, octets)
        return key.check_value.hex()

    def generate(self, record: Record) -> str:
        """See `Vault`."""
        while True:
            octets = bytearray(secrets.token_bytes(KEY_OCTETS))
            if not weak.fault(record.algorithm, octets):
                return self.take(record, octets)
            wipe(octets)

    def drop(self, record: Record) -> None:
        """See `Vault`."""
        key = self._keys.pop(record.id, None)
        if key is not None:
            key.wipe()

    def sealed(self, record: Record, seal: Seal) -> str:
        """See `Vault`."""
        with self._keys[record.id].lend() as octets:
            return seal.close(octets, about_key(record))
