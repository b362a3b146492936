"""What a card key may be used for: one purpose a key, for ever (control Y). The closed list, and what each purpose allows.

A master key never leaves the key store; what leaves is the key of one card. A few keys are on every card alike and are no masters:
the transport key of a delivery, and the key that hides a tag's UID, which must be used before the UID is known.
"""

from __future__ import annotations

from typing import Final

import msgspec

from cardapi.keys.errors import UnknownPurpose

PBOC, AN10922, SHARED = "pboc", "an10922", "shared"
"""How the key of a card comes from the stored one: nested PBOC diversification, NXP AN10922, or not at all."""


class Purpose(msgspec.Struct, frozen=True):
    """One row of the list. `diversification` is one of PBOC, AN10922, SHARED; `algorithms` are those of `cardcore.crypto.Key`."""

    name: str
    diversification: str
    algorithms: tuple[str, ...]
    what: str

    @property
    def family(self) -> str:
        """pboc, desfire or ntag: which cards it belongs to."""
        return self.name.partition("-")[0]


_PURSE: Final = ("tdes", "sm4")

PURPOSES: Final = {
    purpose.name: purpose
    for purpose in (
        Purpose("pboc-purchase", PBOC, _PURSE, "MAC1 and MAC2 of purchases (DPK); the only purse key a field SAM may hold"),
        Purpose("pboc-load", PBOC, _PURSE, "MAC1 and MAC2 of loads (DLK)"),
        Purpose("pboc-unload", PBOC, _PURSE, "MACs of unloads (DULK)"),
        Purpose("pboc-overdraw", PBOC, _PURSE, "MACs of overdraw updates (DUK)"),
        Purpose("pboc-tac", PBOC, _PURSE, "transaction certificates (DTK)"),
        Purpose("pboc-maintenance", PBOC, _PURSE, "files, keys and blocking of the application (DAMK)"),
        Purpose("pboc-unblock-pin", PBOC, _PURSE, "unblocking of a PIN (DPUK)"),
        Purpose("pboc-reload-pin", PBOC, _PURSE, "a new PIN (DRPK)"),
        Purpose("pboc-external", PBOC, _PURSE, "external authentication towards the card"),
        Purpose("pboc-transport", SHARED, _PURSE, "cards of a delivery before they are personalised"),
        Purpose("desfire-transport", SHARED, ("aes",), "blank DESFire cards of a delivery that does not come with the factory's zero key"),
        Purpose("desfire-picc", AN10922, ("aes",), "master key of the card itself"),
        Purpose("desfire-master", AN10922, ("aes",), "master key of the application"),
        Purpose("desfire-credit", AN10922, ("aes",), "loading the value file"),
        Purpose("desfire-debit", AN10922, ("aes",), "paying from the value file"),
        Purpose("desfire-read", AN10922, ("aes",), "reading value, log and transaction MAC"),
        Purpose("desfire-tmac", AN10922, ("aes",), "transaction MACs"),
        Purpose("ntag-meta", SHARED, ("aes",), "UID and counter of a tap (SDMMetaReadKey)"),
        Purpose("ntag-file", AN10922, ("aes",), "the MAC of a tap (SDMFileReadKey)"),
    )
}

KEY_OCTETS: Final = 16
"""Octets of every stored key: double-length TDES, AES-128, SM4."""


def purpose_of(name: str) -> Purpose:
    """Raises UnknownPurpose."""
    try:
        return PURPOSES[name]
    except KeyError:
        raise UnknownPurpose(f"there is no purpose {name!r}", purpose=name) from None
