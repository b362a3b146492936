"""What can go wrong with stored keys. No message carries octets of a key, a component or a passphrase (A6)."""

from __future__ import annotations

from cardcore.errors import CardcoreError


class KeyStoreError(CardcoreError):
    """Root of the room's errors; only its leaves are raised."""


class UnknownPurpose(KeyStoreError, ValueError):
    """A purpose that is not in the list."""

    code = "unknown_key_purpose"


class UnknownKey(KeyStoreError):
    """No key of this id, purpose, algorithm or version is in the store."""

    code = "unknown_key"


class KeyNotValid(KeyStoreError):
    """The key is there, but was not allowed at that time (K6): not yet active, not yet or no longer valid."""

    code = "key_not_valid"


class KeyMisused(KeyStoreError, ValueError):
    """An operation that the key's purpose does not allow (control Y: usage is bound to the key)."""

    code = "key_misused"
