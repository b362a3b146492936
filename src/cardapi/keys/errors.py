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


class KeyFileMissing(KeyStoreError):
    """The journal tells of keys, and the file that holds them is not there."""

    code = "key_file_missing"


class KeyFileUnsafe(KeyStoreError):
    """The key file, or a file with its passphrase, can be read or written by others, or is no file."""

    code = "key_file_unsafe"


class KeyFileDamaged(KeyStoreError):
    """The key file is cut off, or is not of a form that this version reads."""

    code = "key_file_damaged"


class KeyFileTampered(KeyStoreError):
    """The key file opens, but a key or what is said about it was changed by somebody without the passphrase."""

    code = "key_file_tampered"


class KeyFileRolledBack(KeyStoreError):
    """The key file is older than the journal says, or another one of the same age."""

    code = "key_file_rolled_back"


class WrongPassphrase(KeyStoreError):
    """The passphrase (or the root secret, or the module) does not open the key file."""

    code = "wrong_passphrase"


class PassphraseRequired(KeyStoreError):
    """The key file needs a passphrase, and none was given and nobody could be asked."""

    code = "passphrase_required"


class PassphraseWeak(KeyStoreError, ValueError):
    """A new passphrase shorter than PASSPHRASE_MIN characters."""

    code = "weak_passphrase"


class KeyRefused(KeyStoreError, ValueError):
    """Octets that are no key to work with: zero, repeated, weak for DES, known to everybody (in production), or another key's."""

    code = "key_refused"


class CheckValueDiffers(KeyStoreError, ValueError):
    """The check value of a component or key is not the one that was expected; nothing was kept."""

    code = "check_value_differs"


class ComponentMalformed(KeyStoreError, ValueError):
    """A component that is not the right number of hex digits, or has no place in this key."""

    code = "component_malformed"


class SamePerson(KeyStoreError):
    """Components of one key come from different people, and whoever made a key does not confirm it (R3)."""

    code = "same_person"


class KeyState(KeyStoreError):
    """The key's state, or the mode of the store, does not allow this."""

    code = "key_state"


class KeyModuleError(KeyStoreError):
    """The security module is not there, refuses, or holds what it should not."""

    code = "key_module"
