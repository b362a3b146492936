"""A DESFire card with a purse on it, so that a till can be tried without personalising first. TEST KEYS, diversified by UID.

key  0 master, 1 credit (load), 2 debit (till), 3 read
file 1 value, enciphered: read 3, debit and limited credit 2, credit 1        file 2 cyclic log of 10 records of 32 bytes
file 3 card number and issuer, free to read                                   file 15 transaction MAC, reader id by key 2
"""

from __future__ import annotations

from firmware_sim.desfire.layout import Application, File, FileType, KeyType, Mode, Records, TransactionMac, Value
from firmware_sim.diversify import diversify
from firmware_sim.nvm import Memory, Store
from firmware_sim.testkeys import known_key

AID = bytes.fromhex("F05201")
SYSTEM = b"CARDCORE-TEST"
KEY_NAMES = ("desfire-master", "desfire-credit", "desfire-debit", "desfire-read")
VALUE_FILE, LOG_FILE, NUMBER_FILE, MAC_FILE = 1, 2, 3, 15
RIGHTS = 0x3210
LOG_SIZE, LOG_ROOM = 32, 11
NUMBER_SIZE = 32


def card_key(name: str, uid: bytes) -> bytes:
    """Key of a card from the test key of that name: AN10922 over UID, application and system."""
    return diversify("aes128", known_key(name), uid + AID + SYSTEM)


def add_purse(memory: Memory, uid: bytes, value: int, number: bytes, *, transaction_mac: bool) -> None:
    """Write application, keys and files into a fresh card. `value` and the limit of 1,000,000 are in fen."""
    store = Store(memory)
    store.load()
    keys = tuple((card_key(name, uid), 1) for name in KEY_NAMES)
    # 0B: master key and settings changeable, free listing, creation and key changes by key 0 only.
    transaction = store.begin().create(Application.name(AID), Application(AID, 0x0B, KeyType.AES, keys).pack())
    log = Records(LOG_SIZE, LOG_ROOM).pack() + bytes(LOG_SIZE * LOG_ROOM)
    files = [
        (File(AID, VALUE_FILE, FileType.VALUE, Mode.FULL, RIGHTS), Value(0, 1_000_000, value, 1).pack()),
        (File(AID, LOG_FILE, FileType.CYCLIC, Mode.MAC, RIGHTS), log),
        (
            File(AID, NUMBER_FILE, FileType.STANDARD, Mode.PLAIN, 0xE000),
            NUMBER_SIZE.to_bytes(3, "little") + number.ljust(NUMBER_SIZE, b"\0"),
        ),
    ]
    if transaction_mac:
        mac = TransactionMac(card_key("desfire-transaction-mac", uid), 1)
        files.append((File(AID, MAC_FILE, FileType.TRANSACTION_MAC, Mode.MAC, 0x3F20), mac.pack()))
    for file, content in files:
        transaction.create(file.name, file.header() + content)
    transaction.commit()
