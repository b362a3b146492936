"""The file that keeps card keys: readable facts, and octets that only its key opens.

Each key is sealed (AES-256-GCM) together with everything said about it, so neither can be exchanged alone; a MAC over the whole file
(HMAC-SHA256) holds the keys together; a generation that the journal knows tells an older copy. Written whole: a new file, fsync, rename.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cardapi.keys.errors import KeyFileDamaged, KeyFileMissing, KeyFileTampered, KeyFileUnsafe, WrongPassphrase
from cardapi.keys.port import STATES, KeyInfo, key_id
from cardapi.keys.protect import Protection, Protector
from cardapi.keys.purposes import PURPOSES
from cardcore.crypto import Key

FORMAT: Final = "cardcore card keys 1"
TEST, PRODUCTION = "test", "production"
NONCE_OCTETS: Final = 12
SIZE_MAX: Final = 4 << 20
"""Far above 19 purposes of 255 versions each."""


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's part of a key. `sealed` (hex) is empty once the key is formed. `at` in epoch seconds."""

    number: int
    by: str
    at: int
    check_value: str
    sealed: str = ""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key: what `KeyInfo` tells, who did what and when (epoch seconds), and the sealed octets (hex), empty where a module has them."""

    id: str
    purpose: str
    algorithm: str
    version: int
    state: str
    check_value: str = ""
    valid_from: int = 0
    valid_to: int = 0
    test: bool = False
    origin: str = ""  # generated | components | demo
    made_by: str = ""
    made_at: int = 0
    activated_by: str = ""
    activated_at: int = 0
    retired_by: str = ""
    retired_at: int = 0
    component_count: int = 0
    components: tuple[Component, ...] = ()
    sealed: str = ""

    def info(self) -> KeyInfo:
        """What may be known of it."""
        return KeyInfo(**{name: getattr(self, name) for name in KeyInfo.__struct_fields__})


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the last change was: what the journal is told, and told again when a crash came between."""

    what: str  # made component generated activated retired discarded production protected demo
    key: str = ""
    by: str = ""
    at: int = 0
    component: int = 0
    reason: str = ""


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file but its MAC."""

    format: str
    generation: int
    mode: str
    protection: Protection
    verifier: str
    last: Event
    keys: tuple[Record, ...] = ()


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it is written, in JSON."""

    content: Content
    seal: str


class Seal:
    """Seals and opens with the file's key, and forgets it when it goes."""

    def __init__(self, key: Key, protection: Protection) -> None:
        with key.lend() as octets:
            self._sealing = Key.take("aes", _derived(octets, b"seal keys"))
            self._binding = Key.take("aes", _derived(octets, b"bind the file"))
        self.protection = protection

    @property
    def verifier(self) -> str:
        """Tells a wrong passphrase from a damaged file."""
        return self._mac(b"verifier", msgspec.msgpack.encode(self.protection))[:32]

    def bind(self, content: Content) -> str:
        """The MAC over everything that is said in the file."""
        return self._mac(b"content", msgspec.msgpack.encode(content))

    def _mac(self, label: bytes, message: bytes) -> str:
        with self._binding.lend() as octets:
            return hmac.digest(octets, bytes([len(label)]) + label + message, "sha256").hex()

    def close(self, octets: bytes | bytearray, about: bytes) -> str:
        """Octets sealed together with what is said about them."""
        nonce = secrets.token_bytes(NONCE_OCTETS)
        with self._sealing.lend() as key:
            return (nonce + AESGCM(key).encrypt(nonce, octets, about)).hex()

    def open(self, sealed: str, about: bytes) -> bytearray:
        """Raises KeyFileTampered."""
        try:
            data = bytes.fromhex(sealed)
            with self._sealing.lend() as key:
                return bytearray(AESGCM(key).decrypt(data[:NONCE_OCTETS], data[NONCE_OCTETS:], about))
        except (ValueError, InvalidTag):
            raise KeyFileTampered("a key does not belong to what the file says about it") from None


def _derived(octets: bytearray, label: bytes) -> bytearray:
    return bytearray(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"cardcore key file: " + label).derive(octets))


def _same(ours: str, presented: str) -> bool:
    return hmac.compare_digest(ours.encode(), presented.encode(errors="replace"))


def about_key(record: Record) -> bytes:
    """Everything said about a key, injectively."""
    said = msgspec.structs.replace(record, sealed="", components=tuple(msgspec.structs.replace(c, sealed="") for c in record.components))
    return b"key " + msgspec.msgpack.encode(said)


def about_component(record: Record, part: Component) -> bytes:
    """What a component is part of, and what is said about it."""
    whole = (record.id, record.purpose, record.algorithm, record.version, record.component_count)
    return b"component " + msgspec.msgpack.encode((*whole, msgspec.structs.replace(part, sealed="")))


def write(path: Path, content: Content, seal: Seal) -> bytes:
    """Replace the file, durably or not at all. Returns its bytes."""
    whole = msgspec.structs.replace(content, protection=seal.protection, verifier=seal.verifier)
    data = msgspec.json.format(msgspec.json.encode(Stored(whole, seal.bind(whole))), indent=1)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return data


def digest(data: bytes) -> str:
    """What the journal keeps of a file."""
    return hashlib.sha256(data).hexdigest()


def peek(path: Path) -> tuple[Content, str, bytes]:
    """What the file says, unproven, with its MAC and its bytes. Raises KeyFileMissing, KeyFileUnsafe, KeyFileDamaged."""
    try:
        mode, size = path.stat().st_mode, path.stat().st_size
    except FileNotFoundError:
        raise KeyFileMissing(f"{path} is not there") from None
    if mode & 0o077:
        raise KeyFileUnsafe(f"{path} must be readable by its owner only (chmod 600)")
    if size > SIZE_MAX:
        raise KeyFileDamaged(f"{path} is no key file")
    data = path.read_bytes()
    try:
        stored = msgspec.json.decode(data, type=Stored)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeyFileDamaged(f"{path} is cut off or is no key file") from None
    if stored.content.format != FORMAT:
        raise KeyFileDamaged(f"{path} was written by another version")
    stored.content.protection.check()
    return stored.content, stored.seal, data


def read(path: Path, protector: Protector) -> tuple[Content, Seal, str]:
    """The file, proven, with what seals it and its digest.

    Raises as `peek`, and WrongPassphrase, KeyFileTampered, and what the protector raises.
    """
    content, bound, data = peek(path)
    seal = Seal(protector.key(content.protection), content.protection)
    return _proven(path, content, bound, seal), seal, digest(data)


def reread(path: Path, seal: Seal) -> tuple[Content, str]:
    """The file that another process wrote, proven by what opened the one before, and its digest. Raises as `read`."""
    content, bound, data = peek(path)
    if content.protection != seal.protection:
        raise WrongPassphrase(f"{path} was sealed anew meanwhile: start this process again")
    return _proven(path, content, bound, seal), digest(data)


def _proven(path: Path, content: Content, bound: str, seal: Seal) -> Content:
    if not _same(seal.verifier, content.verifier):
        raise WrongPassphrase(f"{path} does not open with this {'root secret' if content.protection.kind == 'root' else 'passphrase'}")
    if not _same(seal.bind(content), bound):
        raise KeyFileTampered(f"{path} was changed by somebody who could not open it")
    for record in content.keys:
        assert record.id == key_id(record.purpose, record.algorithm, record.version), "a proven key file names keys as we do"
        assert record.purpose in PURPOSES, "a proven key file holds known purposes"
        assert record.state in STATES, "a proven key file holds known states"
    return content


def stamp(path: Path) -> tuple[int, int] | None:
    """Tells one written file from the next without reading it; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let no other process, and no other thread, change the file meanwhile. Whoever only reads it need not wait."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
