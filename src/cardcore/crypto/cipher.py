"""One block-cipher operation at a time, through `cryptography`: ECB, CBC, check values, and keys made of cipher output.

Single DES is triple DES with three equal keys (NIST SP 800-67): the OpenSSL of the wheel has no other. Padding is not done here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, CipherContext, algorithms, modes

from cardcore.crypto.errors import InvalidCryptoInput
from cardcore.crypto.key import Key, wipe

BLOCK_OCTETS = {"des": 8, "tdes": 8, "aes": 16, "sm4": 16}

Octets: TypeAlias = bytes | bytearray | memoryview


def block_octets(key: Key) -> int:
    """Octets of one block of the key's cipher: 8 or 16."""
    return BLOCK_OCTETS[key.algorithm]


@contextmanager
def primitive(key: Key) -> Iterator[BlockCipherAlgorithm]:
    """The key as an algorithm object of `cryptography`; the octets behind it are overwritten at the end."""
    with key.lend() as octets:
        if key.algorithm == "aes":
            yield algorithms.AES(octets)
            return
        if key.algorithm == "sm4":
            yield algorithms.SM4(octets)  # type: ignore[arg-type]
            return
        # K1 K1 K1 for single DES, K1 K2 K1 for two keys; octet by octet, since slices would leave copies behind.
        wide = bytearray(octets[i % len(octets)] for i in range(24))
        try:
            yield TripleDES(wide)  # type: ignore[arg-type]
        finally:
            wipe(wide)


def _run(context: CipherContext, data: Octets, block: int) -> bytearray:
    # A bytearray, because the caller may have to overwrite the result; update_into asks for spare room of a block.
    size = memoryview(data).nbytes
    if size % block:
        raise InvalidCryptoInput(f"not a whole number of {block}-octet blocks", octets=size)
    out = bytearray(size + block - 1)
    context.update_into(data, out)
    del out[size:]
    return out


def encrypt_ecb(key: Key, blocks: Octets) -> bytearray:
    """Each block on its own (NIST SP 800-38A, 6.1). Raises InvalidCryptoInput for part blocks, InvalidKey for a wiped key."""
    with primitive(key) as algorithm:
        return _run(Cipher(algorithm, modes.ECB()).encryptor(), blocks, block_octets(key))  # noqa: S305 - the cards are made so


def decrypt_ecb(key: Key, blocks: Octets) -> bytearray:
    """The reverse of `encrypt_ecb`."""
    with primitive(key) as algorithm:
        return _run(Cipher(algorithm, modes.ECB()).decryptor(), blocks, block_octets(key))  # noqa: S305


def _vector(key: Key, vector: bytes | None) -> bytes:
    block = block_octets(key)
    if vector is None:
        return bytes(block)
    if len(vector) != block:
        raise InvalidCryptoInput(f"an initial vector has {block} octets", octets=len(vector))
    return bytes(vector)


def encrypt_cbc(key: Key, blocks: Octets, vector: bytes | None = None) -> bytearray:
    """Chained (NIST SP 800-38A, 6.2) from `vector`, zero when not given. Raises like `encrypt_ecb`."""
    mode = modes.CBC(_vector(key, vector))
    with primitive(key) as algorithm:
        return _run(Cipher(algorithm, mode).encryptor(), blocks, block_octets(key))


def decrypt_cbc(key: Key, blocks: Octets, vector: bytes | None = None) -> bytearray:
    """The reverse of `encrypt_cbc`."""
    mode = modes.CBC(_vector(key, vector))
    with primitive(key) as algorithm:
        return _run(Cipher(algorithm, mode).decryptor(), blocks, block_octets(key))


def check_value(key: Key, method: str | None = None) -> bytes:
    """What tells two keys apart without giving either away.

    method "zeros": first 3 octets of an encrypted zero block (ANSI X9.24-1, the default for DES, TDES and SM4);
    "cmac": first 5 octets of the CMAC of a zero block (ANSI X9.24-1:2017, the default for AES);
    "ones": first 3 octets of an encrypted block of octets 01 (GlobalPlatform Card Specification, AES keys).
    Raises InvalidCryptoInput for another method.
    """
    from cardcore.crypto.mac import cmac

    block = block_octets(key)
    method = method or ("cmac" if key.algorithm == "aes" else "zeros")
    if method == "zeros":
        return bytes(encrypt_ecb(key, bytes(block))[:3])
    if method == "cmac":
        return bytes(cmac(key, bytes(block))[:5])
    if method == "ones":
        return bytes(encrypt_ecb(key, b"\x01" * block)[:3])
    raise InvalidCryptoInput(f"no check value method {method!r}", method=method)
