"""The DESFire transaction MAC: session keys, the input TMI that both sides build up, the value TMV, the reader id chain.

Sources: MF2DL(H)x0 data sheet, 10.3, and the public reader library; no vendor vector of a TMV is public, so confirm on silicon.
"""

from __future__ import annotations

from cardcore.crypto.cipher import decrypt_cbc, encrypt_cbc
from cardcore.crypto.errors import InvalidCryptoInput, InvalidKey
from cardcore.crypto.key import Key
from cardcore.crypto.mac import cmac_into, odd_octets, require_equal
from cardcore.crypto.padding import pad_zeros

TMV_OCTETS = 8
MAC_PREFIX, ENCIPHER_PREFIX = b"\x5a\x00\x01\x00\x80", b"\xa5\x00\x01\x00\x80"

GET_VALUE, CREDIT, DEBIT, LIMITED_CREDIT = 0x6C, 0x0C, 0xDC, 0x1C
READ_DATA, WRITE_DATA, WRITE_RECORD, COMMIT_READER_ID, CLEAR_RECORD_FILE = 0xBD, 0x3D, 0x3B, 0xC8, 0xEB


def _session_key(prefix: bytes, key: Key, counter: int, uid: bytes) -> Key:
    if key.algorithm != "aes" or len(key) != 16:
        raise InvalidKey("an AppTransactionMACKey is an AES-128 key", algorithm=key.algorithm)
    if len(uid) != 7 or not 0 < counter <= 0xFFFFFFFF:
        raise InvalidCryptoInput("a UID has 7 octets and a transaction counter is 1 to 2**32 - 1")
    return Key.take("aes", cmac_into(key, prefix + counter.to_bytes(4, "little") + uid))


def mac_session_key(key: Key, counter: int, uid: bytes) -> Key:
    """SesTMMACKey. counter: the TMC that Commit returns, which is already the stepped one. Raises InvalidKey, InvalidCryptoInput."""
    return _session_key(MAC_PREFIX, key, counter, uid)


def encipher_session_key(key: Key, counter: int, uid: bytes) -> Key:
    """SesTMENCKey, for the chain of reader ids."""
    return _session_key(ENCIPHER_PREFIX, key, counter, uid)


def value_input(command: int, file: int, value: int) -> bytes:
    """What GetValue, Credit, Debit and LimitedCredit add to TMI: command, file, value (4, signed, little endian), zeros to 16."""
    return pad_zeros(bytes([command, file]) + value.to_bytes(4, "little", signed=True), 16)


def data_input(command: int, file: int, offset: int, data: bytes) -> bytes:
    """What ReadData, WriteData and WriteRecord add: command, file, offset 3, length 3, zeros to 16; the data, zeros to 16.

    data: as plain text, whatever the mode of the file, and at its true length even when the command said 0 for all.
    """
    head = bytes([command, file]) + offset.to_bytes(3, "little") + len(data).to_bytes(3, "little")
    return pad_zeros(head, 16) + (pad_zeros(data, 16) if data else b"")


def clear_input(file: int) -> bytes:
    """What ClearRecordFile adds."""
    return pad_zeros(bytes([CLEAR_RECORD_FILE, file]), 16)


def reader_input(reader: bytes, enciphered_previous: bytes = b"") -> bytes:
    """What CommitReaderID adds: C8, the reader id 16, and when authenticated the enciphered previous id 16; zeros to 16."""
    if len(reader) != 16 or len(enciphered_previous) not in (0, 16):
        raise InvalidCryptoInput("reader ids have 16 octets")
    return pad_zeros(bytes([COMMIT_READER_ID]) + reader + enciphered_previous, 16)


def encipher_reader(session: Key, previous: bytes) -> bytes:
    """EncTMRI under SesTMENCKey, as the card answers CommitReaderID."""
    return bytes(encrypt_cbc(session, previous))


def decipher_reader(session: Key, enciphered: bytes) -> bytes:
    """The reader id of the transaction before: lets the back office chain a card's transactions."""
    return bytes(decrypt_cbc(session, enciphered))


def value(session: Key, inputs: bytes) -> bytes:
    """TMV: octets 1, 3, ... 15 of AES-CMAC(SesTMMACKey, TMI)."""
    return odd_octets(cmac_into(session, inputs))


def verify(key: Key, uid: bytes, counter: int, inputs: bytes, presented: bytes) -> None:
    """Raises InvalidMac unless `presented` is the TMV of `inputs` for this card and counter."""
    session = mac_session_key(key, counter, uid)
    try:
        require_equal(value(session, inputs), presented)
    finally:
        session.wipe()
