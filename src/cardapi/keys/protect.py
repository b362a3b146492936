"""What opens the key file: the shop's root secret, a passphrase (Argon2id, RFC 9106), or a key in a security module.

All three give a 32-octet key, from which `keyfile` derives what it seals with. Parameters are kept in the file.
"""

from __future__ import annotations

import getpass
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cardapi.keys.errors import KeyFileDamaged, KeyFileUnsafe, PassphraseRequired, PassphraseWeak
from cardcore.crypto import Key

ROOT, PASSPHRASE, MODULE = "root", "passphrase", "module"
PASSPHRASE_MIN: Final = 12
PASSPHRASE_MAX: Final = 1024
PASSPHRASE_FILE: Final = "CARDCORE_KEYS_PASSPHRASE_FILE"  # noqa: S105 (the name of an environment variable)
CREDENTIAL: Final = "cardcore-keys"
"""Name of the systemd credential (LoadCredential=cardcore-keys:PATH)."""
SALT_OCTETS: Final = 16
KEY_OCTETS: Final = 32

Ask: TypeAlias = Callable[[], str]


class Protection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the file's key is made. `memory_kib`, `passes`, `lanes` are Argon2id's; unused fields are empty.

    The default cost is the second recommendation of RFC 9106, 4: 64 MiB, three passes, four lanes.
    """

    kind: str
    salt: str = ""  # hex
    memory_kib: int = 0
    passes: int = 0
    lanes: int = 0
    token: str = ""  # label of the module's token

    def check(self) -> None:
        """Raises KeyFileDamaged for costs no file of ours has: a file from elsewhere must not take the machine's memory."""
        cost = (self.memory_kib, self.passes, self.lanes)
        good = (0, 0, 0) if self.kind != PASSPHRASE else cost
        within = 8_192 <= self.memory_kib <= 1_048_576 and 1 <= self.passes <= 16 and 1 <= self.lanes <= 16
        if self.kind not in (ROOT, PASSPHRASE, MODULE) or cost != good or (self.kind == PASSPHRASE and not within):
            raise KeyFileDamaged("the key file names a protection that this version does not know")


class Protector(Protocol):
    """Makes the file's key. `fresh` gives the parameters of a new file, `key` the key for parameters that were kept."""

    kind: str

    def fresh(self) -> Protection: ...
    def key(self, protection: Protection) -> Key: ...


class RootProtector:
    """Opens without being asked, on the machine that has the shop's root secret. It protects a copy of the file, not of the machine."""

    kind = ROOT

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def fresh(self) -> Protection:
        """See `Protector`."""
        return Protection(ROOT)

    def key(self, protection: Protection) -> Key:
        """See `Protector`."""
        return Key("aes", self._secret)


class PassphraseProtector:
    """Asks when the file is opened, and keeps nothing."""

    kind = PASSPHRASE

    def __init__(self, ask: Ask, *, memory_kib: int = 65_536, passes: int = 3, lanes: int = 4) -> None:
        self._ask = ask
        self._cost = memory_kib, passes, lanes

    def fresh(self) -> Protection:
        """See `Protector`."""
        return Protection(PASSPHRASE, secrets.token_hex(SALT_OCTETS), *self._cost)

    def key(self, protection: Protection) -> Key:
        """Raises PassphraseRequired, PassphraseWeak, KeyFileDamaged."""
        protection.check()
        try:
            salt = bytes.fromhex(protection.salt)
        except ValueError:
            salt = b""
        if len(salt) != SALT_OCTETS:
            raise KeyFileDamaged("the salt of the key file is not whole")
        octets = strong(self._ask()).encode()
        derivation = Argon2id(
            salt=salt, length=KEY_OCTETS, iterations=protection.passes, lanes=protection.lanes, memory_cost=protection.memory_kib
        )
        return Key.take("aes", bytearray(derivation.derive(octets)))


def strong(passphrase: str) -> str:
    """The passphrase. Raises PassphraseWeak for one of less than PASSPHRASE_MIN or more than PASSPHRASE_MAX characters."""
    if not PASSPHRASE_MIN <= len(passphrase) <= PASSPHRASE_MAX:
        raise PassphraseWeak(f"a passphrase has {PASSPHRASE_MIN} to {PASSPHRASE_MAX} characters")
    return passphrase


def given_passphrase() -> str | None:
    """What the machine was given: the file that CARDCORE_KEYS_PASSPHRASE_FILE names, or systemd's credential; None for neither.

    Never an environment variable itself: those are inherited by every child. Raises KeyFileUnsafe, OSError.
    """
    named, folder = os.environ.get(PASSPHRASE_FILE), os.environ.get("CREDENTIALS_DIRECTORY")
    if named:
        path = Path(named)
        if path.stat().st_mode & 0o077:
            raise KeyFileUnsafe(f"{path} must be readable by its owner only (chmod 600)")
    elif folder and (Path(folder) / CREDENTIAL).is_file():
        path = Path(folder) / CREDENTIAL  # its mode is systemd's business
    else:
        return None
    return path.read_text().removesuffix("\n")


def ask_at_start() -> str:
    """The passphrase of a file that is there: given to the machine, else asked for at the terminal. Raises PassphraseRequired."""
    given = given_passphrase()
    if given is not None:
        return given
    if sys.stdin.isatty():
        return getpass.getpass("Passphrase of the card keys: ")
    raise PassphraseRequired(
        f"the card keys need their passphrase: put its file's name into {PASSPHRASE_FILE}, or start at a terminal", variable=PASSPHRASE_FILE
    )
