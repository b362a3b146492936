"""Keys in a security module, over PKCS#11: made or imported there, not readable, used by enciphering inside.

What leaves the module is what leaves any key store: keys of single cards. The key file keeps the facts, and is opened by a key that the
module has. Without SM4, which PKCS#11 modules do not agree on. Calls take turns: a session belongs to one thread at a time.
"""

from __future__ import annotations

import ctypes
import secrets
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cardapi.keys.errors import KeyFileTampered, KeyMisused, KeyModuleError
from cardapi.keys.keyfile import Record, Seal, about_key
from cardapi.keys.opened import Catalogue
from cardapi.keys.port import KeyInfo
from cardapi.keys.protect import KEY_OCTETS as FILE_KEY_OCTETS
from cardapi.keys.protect import MODULE, SALT_OCTETS, Protection
from cardapi.keys.purposes import AN10922, KEY_OCTETS, PBOC, SHARED, purpose_of
from cardapi.keys.vault import HELD, Store
from cardcore.crypto import InvalidCryptoInput, Key, batch, pboc, sun, wipe
from cardcore.crypto.batch import Octets, Verdicts
from cardcore.crypto.mac import doubled

FILE_KEY: Final = "cardcore-key-file"
CHUNK_OCTETS: Final = 1 << 16
INSTALL: Final = "pip install 'cardcore[hsm]'"


class Module:
    """A token, logged in. Raises KeyModuleError when library, token or PIN are wrong."""

    def __init__(self, library: Path | str, token: str, pin: str) -> None:
        try:
            import pkcs11
        except ImportError:
            raise KeyModuleError(f"security modules need a further package: {INSTALL}") from None
        self._pkcs11 = pkcs11
        self._lock = threading.RLock()
        self.token = token
        with self._speaking("opened"):
            self._session = pkcs11.lib(str(library)).get_token(token_label=token).open(rw=True, user_pin=pin)

    @contextmanager
    def _speaking(self, what: str) -> Iterator[Any]:
        """The module's names, in turn, with its errors turned into ours."""
        with self._lock:
            try:
                yield self._pkcs11
            except (self._pkcs11.PKCS11Error, RuntimeError) as error:
                # Names of the error only: its text could repeat a template.
                raise KeyModuleError(f"the security module cannot be {what}: {type(error).__name__}", error=type(error).__name__) from None

    def close(self) -> None:
        """Log out."""
        with self._speaking("closed"):
            self._session.close()

    # ---------------------------------------------------------------- objects
    def _template(self, label: str, algorithm: str, *, decrypt: bool) -> dict[Any, Any]:
        """What every key of ours is: kept, private, not readable, for one use. `decrypt` for the key that opens taps."""
        names = self._pkcs11.Attribute
        forbidden = (names.SIGN, names.VERIFY, names.WRAP, names.UNWRAP, names.EXTRACTABLE)
        return {
            names.LABEL: label, names.ID: label.encode(), names.TOKEN: True, names.PRIVATE: True, names.SENSITIVE: True,
            names.ENCRYPT: True, names.DECRYPT: decrypt, names.DERIVE: algorithm == "tdes", **dict.fromkeys(forbidden, False),
        }  # fmt: skip

    def _kind(self, algorithm: str) -> Any:
        kinds = {"tdes": self._pkcs11.KeyType.DES2, "aes": self._pkcs11.KeyType.AES}
        if algorithm not in kinds:
            raise KeyModuleError(f"keys of {algorithm} do not lie in a security module")
        return kinds[algorithm]

    def put(self, label: str, algorithm: str, octets: bytearray, *, decrypt: bool = False) -> None:
        """Import a key, which is wiped here. A key of the same label, left by a torn change, goes."""
        kind = self._kind(algorithm)
        self.remove(label)
        with self._speaking("given a key") as p11:
            names = p11.Attribute
            template = {**self._template(label, algorithm, decrypt=decrypt), names.CLASS: p11.ObjectClass.SECRET_KEY}
            try:
                self._session.create_object({**template, names.KEY_TYPE: kind, names.VALUE: bytes(octets)})
            finally:
                wipe(octets)

    def make(self, label: str, algorithm: str, *, bits: int = 8 * KEY_OCTETS, decrypt: bool = False) -> None:
        """Generate a key inside."""
        kind = self._kind(algorithm)
        self.remove(label)
        with self._speaking("asked for a key"):
            length = None if algorithm == "tdes" else bits
            self._session.generate_key(kind, length, store=True, template=self._template(label, algorithm, decrypt=decrypt))

    def remove(self, label: str) -> None:
        """Destroy every key of a label."""
        with self._speaking("cleared of a key") as p11:
            for found in list(self._session.get_objects({p11.Attribute.LABEL: label, p11.Attribute.CLASS: p11.ObjectClass.SECRET_KEY})):
                found.destroy()

    def find(self, label: str) -> Any:
        """The key of a label, or None. Raises KeyModuleError when there are several, or when it could be read out."""
        with self._speaking("searched") as p11:
            names = p11.Attribute
            found = list(self._session.get_objects({names.LABEL: label, names.CLASS: p11.ObjectClass.SECRET_KEY}))
            if len(found) > 1:
                raise KeyModuleError(f"the module has {len(found)} keys {label}", key=label)
            if found and (not found[0][names.SENSITIVE] or found[0][names.EXTRACTABLE]):
                raise KeyModuleError(f"the key {label} of the module can be read out of it", key=label)
            return found[0] if found else None

    # ---------------------------------------------------------------- use
    def encipher(self, key: Any, algorithm: str, blocks: bytes, *, decrypt: bool = False) -> bytearray:
        """ECB inside the module, in pieces that modules take."""
        out = bytearray()
        with self._speaking("used") as p11:
            mechanism = p11.Mechanism.DES3_ECB if algorithm == "tdes" else p11.Mechanism.AES_ECB
            use = key.decrypt if decrypt else key.encrypt
            for start in range(0, len(blocks), CHUNK_OCTETS):
                out += use(blocks[start : start + CHUNK_OCTETS], mechanism=mechanism)
        return out

    @contextmanager
    def derived(self, key: Any, chain: Sequence[bytes]) -> Iterator[Any]:
        """The key at the end of a chain of derivations, which is destroyed after use; with an empty chain the key itself."""
        inner: list[Any] = []
        try:
            for data in chain:
                inner.append(self._derive(inner[-1] if inner else key, data))
            yield inner[-1] if inner else key
        finally:
            with self._speaking("cleared of a key"):
                for made in inner:
                    made.destroy()

    def _derive(self, key: Any, data: bytes) -> Any:
        """A double-length TDES key inside the module, for this session: `data` enciphered (CKM_DES3_ECB_ENCRYPT_DATA)."""
        with self._speaking("used for derivation") as p11:
            names = p11.Attribute
            held = ctypes.create_string_buffer(data, len(data))
            # CK_KEY_DERIVATION_STRING_DATA: a pointer and a length. The binding has no name for it with this mechanism.
            parameter = struct.pack("PN", ctypes.addressof(held), len(data))
            template = {
                names.TOKEN: False, names.SENSITIVE: True, names.EXTRACTABLE: False, names.ENCRYPT: True, names.DERIVE: True,
                names.VALUE_LEN: p11.constants.DEFAULT,
            }  # fmt: skip
            return key.derive_key(
                p11.KeyType.DES2, 128, mechanism=p11.Mechanism.DES3_ECB_ENCRYPT_DATA, mechanism_param=parameter, template=template
            )

    def check_value(self, key: Any, algorithm: str) -> str:
        """As `cardcore.crypto.cipher.check_value`, hex."""
        if algorithm == "tdes":
            return bytes(self.encipher(key, algorithm, bytes(8))[:3]).hex()
        return bytes(self.encipher(key, algorithm, bytes(doubled(self.encipher(key, algorithm, bytes(16)))))[:5]).hex()


class ModuleProtector:
    """Opens the key file with a key of the module, made when the file is begun."""

    kind = MODULE

    def __init__(self, module: Module) -> None:
        self._module = module

    def fresh(self) -> Protection:
        """See `protect.Protector`."""
        if self._module.find(FILE_KEY) is None:
            self._module.make(FILE_KEY, "aes", bits=256)
        return Protection(MODULE, salt=secrets.token_hex(SALT_OCTETS), token=self._module.token)

    def key(self, protection: Protection) -> Key:
        """Two blocks that only the module can encipher so. Raises KeyModuleError when it has no such key."""
        held = self._module.find(FILE_KEY)
        if held is None or protection.token != self._module.token:
            raise KeyModuleError(f"the token {self._module.token} has no key for this key file (it names {protection.token})")
        salt = bytes.fromhex(protection.salt)
        blocks = b"".join(bytes([number]) + salt[1:] for number in range(1, FILE_KEY_OCTETS // 16 + 1))
        return Key.take("aes", self._module.encipher(held, "aes", blocks))


class ModuleVault:
    """`vault.Vault` in a module. Keys that all cards share lie sealed in the key file, since they are written to cards as they are.

    Raises KeyFileTampered when the module lacks a key of the file, or has another one under its name.
    """

    def __init__(self, records: Iterable[Record], seal: Seal, module: Module) -> None:
        self._module = module
        self._shared: dict[str, Key] = {}
        self._held: dict[str, Any] = {}
        self.store: Store = ModuleKeys((), module, self._held, self._shared)
        self.renew(records, seal)

    def renew(self, records: Iterable[Record], seal: Seal) -> None:
        """See `vault.Vault`."""
        records = tuple(records)
        for record in records:
            if record.state not in HELD:
                continue
            if _readable(record):
                self._shared[record.id] = Key.take(record.algorithm, seal.open(record.sealed, about_key(record)))
            elif self._check_value(record) != record.check_value:
                raise KeyFileTampered(f"the module has another key {record.id} than the key file, or none", key=record.id)
        self.store.refresh(record.info() for record in records)
        for held in (self._held, self._shared):
            for name in held.keys() - {record.id for record in records}:
                del held[name]

    def _check_value(self, record: Record) -> str:
        found = self._module.find(record.id)
        if found is None:
            return ""
        self._held[record.id] = found
        return self._module.check_value(found, record.algorithm)

    def take(self, record: Record, octets: bytearray) -> str:
        """See `vault.Vault`."""
        if _readable(record):
            key = self._shared[record.id] = Key.take(record.algorithm, octets)
            return key.check_value.hex()
        self._module.put(record.id, record.algorithm, octets, decrypt=_opens_taps(record))
        return self._check_value(record)

    def generate(self, record: Record) -> str:
        """See `vault.Vault`."""
        if _readable(record):
            return self.take(record, bytearray(secrets.token_bytes(KEY_OCTETS)))
        self._module.make(record.id, record.algorithm, decrypt=_opens_taps(record))
        return self._check_value(record)

    def drop(self, record: Record) -> None:
        """See `vault.Vault`."""
        key = self._shared.pop(record.id, None)
        if key is not None:
            key.wipe()
        elif not _readable(record):
            self._held.pop(record.id, None)
            self._module.remove(record.id)

    def sealed(self, record: Record, seal: Seal) -> str:
        """See `vault.Vault`."""
        if not _readable(record):
            return ""
        with self._shared[record.id].lend() as octets:
            return seal.close(octets, about_key(record))


def _opens_taps(record: Record) -> bool:
    return record.purpose == "ntag-meta"


def _readable(record: Record) -> bool:
    return purpose_of(record.purpose).diversification == SHARED and not _opens_taps(record)


class ModuleKeys(Catalogue):
    """`port.KeyStore` over keys in a module."""

    def __init__(self, infos: Iterable[KeyInfo], module: Module, held: dict[str, Any], shared: dict[str, Key]) -> None:
        super().__init__(infos)
        self._module, self._held, self._shared = module, held, shared

    def card_key(self, key: str, factors: Sequence[bytes]) -> Key:
        """See `port.KeyStore`."""
        info = self.usable(key, PBOC, AN10922)
        if purpose_of(info.purpose).diversification == AN10922 and len(factors) != 1:
            raise InvalidCryptoInput("AN10922 takes one diversification input", factors=len(factors))
        keys = self.card_keys(key, np.frombuffer(b"".join(factors), np.uint8)[None])
        try:
            return Key(info.algorithm, memoryview(keys[0]))
        finally:
            wipe(keys)

    def card_keys(self, key: str, factors: Octets) -> Octets:
        """See `port.KeyStore`."""
        info = self.usable(key, PBOC, AN10922)
        if factors.ndim != 2 or factors.dtype != np.uint8:
            raise InvalidCryptoInput("factors are rows of octets")
        if not len(factors):
            return np.empty((0, KEY_OCTETS), np.uint8)
        if purpose_of(info.purpose).diversification == AN10922:
            return self._an10922(self._held[key], factors)
        return self._pboc(self._held[key], factors)

    def _pboc(self, master: Any, factors: Octets) -> Octets:
        """Every level but the last is derived inside; the last enciphers F || NOT F (`diversify.pboc`)."""
        rows, width = factors.shape
        if not width or width % 8:
            raise InvalidCryptoInput("factors are rows of 8 octets a level")
        keys = np.empty((rows, KEY_OCTETS), np.uint8)
        above, which = np.unique(factors[:, :-8], axis=0, return_inverse=True) if width > 8 else (factors[:1, :0], np.zeros(rows, int))
        for number, chain in enumerate(above):
            octets = chain.tobytes()
            of = np.flatnonzero(which.reshape(-1) == number)
            last = factors[of, -8:]
            with self._module.derived(master, [_both(octets[start : start + 8]) for start in range(0, len(octets), 8)]) as inner:
                out = self._module.encipher(inner, "tdes", np.concatenate([last, ~last], axis=1).tobytes())
            keys[of] = np.frombuffer(out, np.uint8).reshape(-1, KEY_OCTETS)
            wipe(out)
        return keys

    def _an10922(self, master: Any, inputs: Octets) -> Octets:
        """Two-block CMACs over 01 || M, all rows at once: three calls of the module (AN10922, 2.2; NIST SP 800-38B)."""
        rows, width = inputs.shape
        if not 1 <= width <= 31:
            raise InvalidCryptoInput("a diversifier has 1 to 31 octets", octets=width)
        blocks = np.zeros((rows, 32), np.uint8)
        blocks[:, 0] = 1
        blocks[:, 1 : 1 + width] = inputs
        sub_key = doubled(self._module.encipher(master, "aes", bytes(16)))
        if width < 31:
            blocks[:, 1 + width] = 0x80
            sub_key = doubled(sub_key)
        chained = self._module.encipher(master, "aes", blocks[:, :16].tobytes())
        last = np.frombuffer(chained, np.uint8).reshape(rows, 16) ^ blocks[:, 16:] ^ np.frombuffer(sub_key, np.uint8)
        keys = np.frombuffer(self._module.encipher(master, "aes", last.tobytes()), np.uint8).reshape(rows, 16)
        for secret in (sub_key, chained, last):
            wipe(secret)
        return keys

    def shared_key(self, key: str) -> Key:
        """See `port.KeyStore`."""
        info = self.usable(key, SHARED)
        if key not in self._shared:
            raise KeyMisused("the key of UID and counter is used in the store", key=key)
        with self._shared[key].lend() as octets:
            return Key(info.algorithm, octets)

    def open_picc_data(self, key: str, enciphered: bytes) -> sun.Tap:
        """See `port.KeyStore`."""
        self.need_purpose(key, "ntag-meta")
        if len(enciphered) != 16:
            raise InvalidCryptoInput("PICCENCData has 16 octets", octets=len(enciphered))
        return sun.read_picc_data(bytes(self._module.encipher(self._held[key], "aes", enciphered, decrypt=True)))

    def verify_tacs(
        self, key: str, records: NDArray[np.void] | Octets, tacs: Octets, factors: Octets, profile: pboc.Profile = pboc.PBOC2_3DES
    ) -> Verdicts:
        """See `port.KeyStore`."""
        self.need_purpose(key, "pboc-tac")
        return self._judged(self.card_keys(key, factors), lambda keys: batch.verify_tacs(keys, records, tacs, profile=profile))

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
        keys = self.card_keys(key, diversifiers)
        return self._judged(keys, lambda own: batch.verify_tmacs(own, uids, counters, inputs, presented, lengths=lengths))

    @staticmethod
    def _judged(keys: Octets, judge: Callable[[Octets], Verdicts]) -> Verdicts:
        try:
            return judge(keys)
        finally:
            wipe(keys)


def _both(factor: bytes) -> bytes:
    return factor + bytes(octet ^ 0xFF for octet in factor)
