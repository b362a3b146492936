"""The MACs of the PBOC purse: process keys, MAC1, MAC2, MAC3 and TAC of load, purchase, unload and overdraw update.

Sources: the purse parts of JR/T 0025 as read in public terminal code and card manuals (docs/crypto.md lists what is witnessed).
Where public sources disagree or are silent the answer is an option of the `Profile`. Amounts are fen, unsigned 32 bits, big endian.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cardcore.crypto.cipher import Octets, block_octets, encrypt_ecb
from cardcore.crypto.errors import InvalidCryptoInput, InvalidKey
from cardcore.crypto.key import Key, wipe
from cardcore.crypto.mac import mac_algorithm1, mac_algorithm3, require_equal
from cardcore.crypto.padding import pad_bit, pad_zeros

MAC_OCTETS = 4
LOAD_ED, LOAD_EP, UNLOAD, CASH_WITHDRAWAL, PURCHASE_ED, PURCHASE_EP, OVERDRAW_UPDATE, CREDIT_PURCHASE, COMPOUND_PURCHASE = range(1, 10)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a purse scheme leaves open.

    cipher: "tdes" or "sm4", of the card's keys. tac_folded: the TAC key is its left half XOR its right half (TDES: single DES).
    challenge_octets: of GET CHALLENGE before maintenance commands, 4 (then filled with zeros) or 8 (used whole).
    process_padding, mac_padding: ISO/IEC 9797-1 method, 1 or 2, that fills the process key block of a 16-octet cipher and the MAC input.
    """

    name: str
    cipher: str
    tac_folded: bool
    challenge_octets: int
    process_padding: int = 2
    mac_padding: int = 2


PBOC2_3DES = Profile("pboc2-3des", "tdes", tac_folded=True, challenge_octets=4)
TRANSIT_SM4 = Profile("transit-sm4", "sm4", tac_folded=False, challenge_octets=8)
PROFILES = {profile.name: profile for profile in (PBOC2_3DES, TRANSIT_SM4)}


def _unsigned(value: int, octets: int, what: str) -> bytes:
    if type(value) is not int or not 0 <= value < 1 << 8 * octets:
        raise InvalidCryptoInput(f"{what} must be an unsigned number of {octets} octets", what=what)
    return value.to_bytes(octets, "big")


def _octets(value: bytes, octets: int, what: str) -> bytes:
    if len(value) != octets:
        raise InvalidCryptoInput(f"{what} has {octets} octets, not {len(value)}", what=what, octets=len(value))
    return bytes(value)


def _require(profile: Profile, key: Key) -> Key:
    if key.algorithm != profile.cipher or len(key) != 16:
        raise InvalidKey(f"profile {profile.name} takes double-length {profile.cipher} keys", algorithm=key.algorithm)
    return key


def _process_key(profile: Profile, key: Key, block: bytes) -> Key:
    _require(profile, key)
    algorithm = "des" if profile.cipher == "tdes" else profile.cipher
    if len(block) < block_octets(key):
        block = (pad_zeros if profile.process_padding == 1 else pad_bit)(block, block_octets(key))
    return Key.take(algorithm, encrypt_ecb(key, block))


def load_key(profile: Profile, key: Key, random: bytes, online_counter: int) -> Key:
    """The process key of load, unload and overdraw update: cipher(DLK, random || online ATC || 80 00).

    key: the card's DLK, DULK or DUK. online_counter: as INITIALIZE returned it, before the step. A single DES key, or SM4.
    Raises InvalidKey, InvalidCryptoInput.
    """
    block = _octets(random, 4, "random") + _unsigned(online_counter, 2, "online counter") + b"\x80\x00"
    return _process_key(profile, key, block)


def purchase_key(profile: Profile, key: Key, random: bytes, offline_counter: int, terminal_number: int) -> Key:
    """The process key of purchase, withdrawal and compound purchase: random || offline ATC || last two octets of the terminal number.

    key: the card's DPK. terminal_number: the terminal transaction number, counted by the PSAM. Raises as `load_key`.
    """
    number = _unsigned(terminal_number, 4, "terminal number")
    return _process_key(profile, key, _octets(random, 4, "random") + _unsigned(offline_counter, 2, "offline counter") + number[2:])


def tac_key(profile: Profile, key: Key) -> Key:
    """The key TACs are computed with, from the card's DTK."""
    _require(profile, key)
    if not profile.tac_folded:
        with key.lend() as octets:
            return Key(key.algorithm, octets)
    if key.algorithm == "tdes":
        return key.fold()
    # [?] SM4 with folded halves: the 8-octet XOR twice, so that it stays an SM4 key.
    with key.lend() as octets:
        return Key.take("sm4", bytearray(octets[i % 8] ^ octets[8 + i % 8] for i in range(16)))


def mac4(key: Key, message: bytes, profile: Profile = PBOC2_3DES) -> bytes:
    """CBC-MAC from zero, padding 80 00, leftmost 4 octets; `key` is a process key or the result of `tac_key`.

    Always algorithm 1 with the key's own cipher, also with the double-length key of a profile that has whole TAC keys.
    """
    return mac_algorithm1(key, message, profile.mac_padding)[:MAC_OCTETS]


def verify_mac4(key: Key, message: bytes, presented: bytes, profile: Profile = PBOC2_3DES) -> None:
    """Raises InvalidMac unless `presented` is `mac4(key, message)`."""
    require_equal(mac4(key, message, profile), presented)


# The inputs of section 2.5 of the purse description. `at` is date and time in BCD: YYYYMMDDhhmmss, 7 octets.


def _deal(amount: int, kind: int, terminal: bytes) -> bytes:
    return _unsigned(amount, 4, "amount") + _unsigned(kind, 1, "transaction type") + _octets(terminal, 6, "terminal")


def initialize_input(balance: int, amount: int, kind: int, terminal: bytes) -> bytes:
    """MAC1 of load and unload, by the card: old balance, amount, type, terminal."""
    return _unsigned(balance, 4, "balance") + _deal(amount, kind, terminal)


def command_input(amount: int, kind: int, terminal: bytes, at: bytes) -> bytes:
    """MAC2 of load and unload (host) and MAC1 of purchase (PSAM): amount, type, terminal, date and time."""
    return _deal(amount, kind, terminal) + _octets(at, 7, "date and time")


def debited_input(amount: int) -> bytes:
    """MAC2 of purchase, by the card: the amount."""
    return _unsigned(amount, 4, "amount")


def credited_input(new_balance: int, online_counter: int, amount: int, kind: int, terminal: bytes, at: bytes) -> bytes:
    """TAC of load and MAC3 of unload: new balance, online ATC before the step, amount, type, terminal, date and time."""
    head = _unsigned(new_balance, 4, "new balance") + _unsigned(online_counter, 2, "online counter")
    return head + command_input(amount, kind, terminal, at)


def purchase_tac_input(amount: int, kind: int, terminal: bytes, terminal_number: int, at: bytes) -> bytes:
    """TAC of purchase: amount, type, terminal, terminal number, date and time. It covers neither balance nor offline ATC."""
    return _deal(amount, kind, terminal) + _unsigned(terminal_number, 4, "terminal number") + _octets(at, 7, "date and time")


def overdraw_mac1_input(balance: int, old_limit: int, terminal: bytes) -> bytes:
    """MAC1 of overdraw update, by the card: balance, old limit (3 octets), type 07, terminal."""
    return _unsigned(balance, 4, "balance") + _unsigned(old_limit, 3, "old limit") + b"\x07" + _octets(terminal, 6, "terminal")


def overdraw_mac2_input(new_limit: int, terminal: bytes, at: bytes) -> bytes:
    """MAC2 of overdraw update, by the host: new limit, type 07, terminal, date and time."""
    return _unsigned(new_limit, 3, "new limit") + b"\x07" + _octets(terminal, 6, "terminal") + _octets(at, 7, "date and time")


def overdraw_tac_input(new_balance: int, online_counter: int, new_limit: int, terminal: bytes, at: bytes) -> bytes:
    """TAC of overdraw update: the balance after the shift of the limit, online ATC, then as MAC2."""
    head = _unsigned(new_balance, 4, "new balance") + _unsigned(online_counter, 2, "online counter")
    return head + overdraw_mac2_input(new_limit, terminal, at)


def reload_mac(profile: Profile, key: Key, pin: bytes) -> bytes:
    """The MAC of RELOAD PIN over the new PIN: reload key, halves XORed whatever the profile does with TAC keys, 4 octets."""
    folded = tac_key(replace(profile, tac_folded=True), key)
    try:
        return mac4(folded, pin, profile)
    finally:
        folded.wipe()


def cryptogram(key: Key, challenge: bytes) -> bytes:
    """EXTERNAL AUTHENTICATE: the challenge, filled with zeros to a block, enciphered. Raises InvalidCryptoInput."""
    return bytes(encrypt_ecb(key, challenge.ljust(block_octets(key), b"\x00")))


def conceal(key: Key, data: Octets) -> bytes:
    """Confidential data of a command (a new PIN, a key): length, data, 80 00.. unless it is whole blocks; ECB.

    data: at most 255 octets. Raises InvalidCryptoInput.
    """
    plain = bytearray(_unsigned(len(data), 1, "length of confidential data"))
    plain += data
    if len(plain) % block_octets(key):
        plain += b"\x80"
        plain += bytes(-len(plain) % block_octets(key))
    try:
        return bytes(encrypt_ecb(key, plain))
    finally:
        wipe(plain)


def maintenance_mac(profile: Profile, key: Key, challenge: bytes, header: bytes, data: bytes = b"") -> bytes:
    """The MAC of a command with line protection (CLA 84 or 04): CLA INS P1 P2 Lc || data, Lc counting the MAC; 4 octets.

    key: single DES (algorithm 1), double-length TDES (algorithm 3) or SM4 (algorithm 1). The initial vector is the challenge.
    Raises InvalidCryptoInput when the challenge or the header (5 octets) has another length.
    """
    _octets(header, 5, "header")
    vector = _octets(challenge, profile.challenge_octets, "challenge").ljust(block_octets(key), b"\x00")
    algorithm = mac_algorithm3 if key.algorithm == "tdes" else mac_algorithm1
    return algorithm(key, header + data, 2, vector)[:MAC_OCTETS]
