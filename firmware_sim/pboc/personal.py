"""Personalisation of a purse card in one step: files, purses, PIN and keys diversified from master keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware_sim.nvm import Memory, Store
from firmware_sim.pboc.layout import (
    APPLICATION,
    CAPP_FILE,
    CAPP_RECORD_SIZE,
    CAPP_RECORDS,
    HOLDER_FILE,
    LOG_FILE,
    LOG_RECORD_SIZE,
    OPEN,
    PUBLIC_FILE,
    File,
    FileKind,
    Key,
    KeyUse,
    PinState,
    Proof,
    Purse,
    WriteRule,
)
from firmware_sim.pboc.profile import PROFILES, Profile
from firmware_sim.pboc.suite import Suite
from firmware_sim.testkeys import known_key

# Key of the card, its index, and the name of the master key.
KEYS: dict[str, tuple[KeyUse, int]] = {
    "purchase": (KeyUse.PURCHASE, 1),
    "load": (KeyUse.LOAD, 1),
    "unload": (KeyUse.UNLOAD, 1),
    "overdraw": (KeyUse.OVERDRAW, 1),
    "tac": (KeyUse.TAC, 0),
    "maintenance": (KeyUse.MAINTENANCE, 1),
    "unblock-pin": (KeyUse.UNBLOCK_PIN, 1),
    "reload-pin": (KeyUse.RELOAD_PIN, 1),
    "external": (KeyUse.EXTERNAL, 0),
}


def known_master_keys() -> dict[str, bytes]:
    """Test master keys for every use of a purse card."""
    return {name: known_key(name) for name in KEYS}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the card is. `serial` has 10 bytes; its rightmost 8 are the diversification factor."""

    serial: bytes = bytes.fromhex("00000000000000000001")
    issuer: bytes = bytes.fromhex("1000000010000000")
    city: bytes = bytes.fromhex("0000000000000000")
    valid_from: bytes = bytes.fromhex("20260101")
    valid_to: bytes = bytes.fromhex("20361231")
    holder: bytes = b"TEST CARD"
    pin: bytes = bytes.fromhex("123456")

    def __post_init__(self) -> None:
        sizes = {"serial": 10, "issuer": 8, "city": 8, "valid_from": 4, "valid_to": 4}
        for name, size in sizes.items():
            if len(getattr(self, name)) != size:
                raise ValueError(f"{name} must have {size} bytes")
        if len(self.holder) > 39 or not 2 <= len(self.pin) <= 6 or b"\xff" in self.pin:
            raise ValueError("holder has at most 39 bytes, PIN 2 to 6 bytes without FF")

    def factors(self, levels: tuple[str, ...]) -> list[bytes]:
        """Diversification factors of these levels, outermost first."""
        known = {"city": self.city, "issuer": self.issuer, "serial": self.serial[2:]}
        return [known[level] for level in levels]

    def public_data(self) -> bytes:
        """The 30 bytes of EF 0015: issuer, application type and version, serial, dates, FCI data."""
        return self.issuer + b"\x02\x01" + self.serial + self.valid_from + self.valid_to + b"\x00\x00"


def personalise(
    memory: Memory,
    identity: Identity | None = None,
    *,
    profile: Profile = PROFILES["pboc2-3des"],
    master_keys: Mapping[str, bytes] | None = None,
    card_keys: Mapping[str, bytes] | None = None,
    electronic_purse: Purse | None = None,
    electronic_deposit: Purse | None = None,
    key_version: int | None = None,
    algorithm: int | None = None,
) -> None:
    """Write a complete card into a blank memory, in one transaction. Raises ValueError when the memory holds a card.

    Args:
        master_keys: by the names of `KEYS`; test keys when absent.
        card_keys: keys that are used as they are, not diversified.
    """
    store = Store(memory)
    store.load()
    if store.names():
        raise ValueError("the memory holds a card already")
    identity = identity or Identity()
    suite = Suite(profile.cipher, profile.tac_key)
    masters = known_master_keys() if master_keys is None else dict(master_keys)
    keys = {name: suite.chain(value, identity.factors(profile.diversify_by)) for name, value in masters.items()}
    keys.update(card_keys or {})
    version = profile.key_version if key_version is None else key_version
    algorithm = profile.algorithm if algorithm is None else algorithm

    transaction = store.begin()
    transaction.create(APPLICATION, bytes((OPEN,)))
    transaction.create(Purse.name(1), (electronic_deposit or Purse()).pack())
    transaction.create(Purse.name(2), (electronic_purse or Purse()).pack())
    transaction.create(Proof.NAME, bytes(Proof.SIZE))
    transaction.create(PinState.NAME, PinState(0, profile.pin_tries, profile.pin_tries, identity.pin).pack())
    for name, value in keys.items():
        use, index = KEYS[name]
        transaction.create(Key.name(use, index), Key(version, algorithm, profile.key_tries, profile.key_tries, value).pack())
    File(PUBLIC_FILE, FileKind.TRANSPARENT, WriteRule.MAC).create(transaction, identity.public_data())
    File(HOLDER_FILE, FileKind.TRANSPARENT, WriteRule.MAC).create(transaction, identity.holder.ljust(39, b"\x00"))
    capp = b"".join(bytes((number,)) + bytes(CAPP_RECORD_SIZE - 1) for number in range(1, CAPP_RECORDS + 1))
    File(CAPP_FILE, FileKind.LINEAR, WriteRule.MAC, CAPP_RECORD_SIZE, CAPP_RECORDS, 0, CAPP_RECORDS).create(transaction, capp)
    log = File(LOG_FILE, FileKind.CYCLIC, WriteRule.NEVER, LOG_RECORD_SIZE, profile.log_records)
    log.create(transaction, bytes(LOG_RECORD_SIZE * profile.log_records))
    transaction.commit()
