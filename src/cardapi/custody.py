"""Key custody: the root secret outside the database and everything derived from it (A6, N, Y).

`DIR/secrets/root.key` holds 32 random bytes (mode 0600). HKDF-SHA256 (RFC 5869) with one label per purpose gives the
chain keys, the PIN key, the terminal keys, the fingerprint key and the seed of the checkpoint signing key, so a copy of
the database alone lets nobody forge a chain, guess a PIN or sign as a terminal.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import struct
from pathlib import Path
from typing import final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cardcore.errors import CardcoreError

ROOT_SIZE = 32
PIN_SALT_SIZE = 16
NONCE_SIZE = 12


class CustodyError(CardcoreError):
    """The root secret is missing, exists already, has a wrong size or can be read by others."""

    code = "custody"


class PinMalformed(CardcoreError, ValueError):
    """A PIN that is not 4 to 12 ASCII digits (ISO 9564-1)."""

    code = "pin_malformed"


class Secret:
    """Bytes that cannot be formatted, pickled or copied into a message by accident (A6)."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes themselves; call it where they are used, never where they are shown."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a secret is not hashable")

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled")


@final
class Pin(Secret):
    """A PIN as typed: 4 to 12 digits. Never stored; see `Custody.pin_value`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Raises PinMalformed (the text is not repeated in the message)."""
        if not (isinstance(text, str) and 4 <= len(text) <= 12 and text.isascii() and text.isdigit()):
            raise PinMalformed("a PIN is 4 to 12 digits")
        return cls(text.encode())


class Custody:
    """The root secret in memory. `create` makes one for a new data directory, `load` reads it."""

    def __init__(self, root: Secret) -> None:
        if len(root.reveal()) != ROOT_SIZE:
            raise CustodyError("the root secret has a wrong size")
        self._root = root
        self._pin_key = self._derive("pin", 1)
        self._fingerprint = hashlib.blake2b(digest_size=16, key=self._derive("fingerprint", 1))  # started, and only ever copied
        self._personal = AESGCM(self._derive("personal", 1))
        self._blind_key = self._derive("blind", 1)

    @staticmethod
    def create(directory: Path) -> Custody:
        """Write a fresh root secret to `directory/root.key`, durably. Raises CustodyError when there is one already."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / "root.key"
        value = secrets.token_bytes(ROOT_SIZE)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise CustodyError(f"{path} exists already") from error
        try:
            os.write(handle, value)
            os.fsync(handle)
        finally:
            os.close(handle)
        parent = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
        return Custody(Secret(value))

    @staticmethod
    def load(directory: Path) -> Custody:
        """Raises CustodyError when the secret is absent, short, or readable by group or others."""
        path = directory / "root.key"
        try:
            mode = path.stat().st_mode
            value = path.read_bytes()
        except OSError as error:
            raise CustodyError(f"cannot read {path}: {error.strerror}") from error
        if mode & 0o077:
            raise CustodyError(f"{path} must be readable by its owner only (chmod 600)")
        return Custody(Secret(value))

    def _derive(self, purpose: str, version: int, size: int = 32, context: bytes = b"") -> bytes:
        """HKDF-SHA256; the label is length-prefixed so that no two purposes share bytes."""
        label = purpose.encode()
        info = b"cardcore" + struct.pack(">BBI", len(label), len(context) & 0xFF, version) + label + context
        return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(self._root.reveal())

    def chain_key(self, partition: int) -> bytes:
        """The key of one partition's journal chain (A2)."""
        return self._derive("chain", 1, context=struct.pack(">I", partition))

    def fingerprint(self, meaning: bytes) -> bytes:
        """16 bytes over the parsed meaning of a request (O2), keyed: a PIN in it cannot be guessed from the database."""
        started = self._fingerprint.copy()
        started.update(meaning)
        return started.digest()

    def pin_value(self, account_id: int, pin: Pin, salt: bytes = b"") -> bytes:
        """What the database keeps of a PIN: salt (16 bytes, random when not given) and HMAC under the PIN key.

        Bound to the account, not the number, so that the PIN follows the holder through swap and reissue (L01).
        """
        salt = salt or secrets.token_bytes(PIN_SALT_SIZE)
        message = struct.pack(">Q", account_id) + salt + pin.reveal()
        return salt + hmac.digest(self._pin_key, message, "sha256")

    def pin_matches(self, account_id: int, pin: Pin, value: bytes) -> bool:
        """Compare in constant time; False for a value that is not one of ours."""
        return hmac.compare_digest(self.pin_value(account_id, pin, value[:PIN_SALT_SIZE] or b"\0"), value)

    def terminal_key(self, terminal_id: str, version: int) -> Secret:
        """The request signing key of one terminal and key version; derived, never stored."""
        return Secret(self._derive("terminal", version, context=terminal_id.encode()))

    def seal(self, whose: str, data: bytes) -> bytes:
        """Personal data as the database keeps it: version, nonce and AES-256-GCM bound to `whose` it is (NIST SP 800-38D)."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return b"\x01" + nonce + self._personal.encrypt(nonce, data, whose.encode())

    def unseal(self, whose: str, sealed: bytes) -> bytes:
        """What `seal` was given. Raises CustodyError for anything else."""
        try:
            if sealed[:1] != b"\x01":
                raise InvalidTag
            return self._personal.decrypt(sealed[1 : 1 + NONCE_SIZE], sealed[1 + NONCE_SIZE :], whose.encode())
        except (InvalidTag, ValueError) as error:
            raise CustodyError("sealed data does not open: it was changed, or belongs to another directory") from error

    def blind(self, index: str, value: str) -> str:
        """A keyed name (128 bits, hex) under which a value can be found without standing there: equal values, equal names."""
        message = struct.pack(">B", len(index)) + index.encode() + value.encode()
        return hashlib.blake2b(message, digest_size=16, key=self._blind_key, person=b"blind-index").hexdigest()

    def coupon_key(self, client: str, client_key: str) -> Secret:
        """Makes the codes of the coupons that one request asks for: nobody else can tell them, the same request always can (O5)."""
        context = struct.pack(">H", len(client)) + client.encode() + client_key.encode()
        return Secret(self._derive("coupon codes", 1, context=hashlib.sha256(context).digest()))

    def key_file_secret(self) -> Secret:
        """What opens a card key file that has no passphrase."""
        return Secret(self._derive("card keys", 1))

    def webhook_key(self) -> Secret:
        """Signs what the shop's webhook is told; whoever receives it has a copy."""
        return Secret(self._derive("webhook", 1))

    def checkpoint_signer(self) -> Ed25519PrivateKey:
        """Signs checkpoints (A3, Ed25519 RFC 8032); the public half may be given to whoever keeps them."""
        return Ed25519PrivateKey.from_private_bytes(self._derive("checkpoint", 1))
