"""Keys of single cards from master keys: NXP AN10922, and the nested diversification of the PBOC purse and its SM4 profile."""

from __future__ import annotations

from collections.abc import Sequence

from cardcore.crypto.cipher import block_octets, encrypt_ecb
from cardcore.crypto.errors import InvalidCryptoInput, InvalidKey
from cardcore.crypto.key import Key, wipe
from cardcore.crypto.mac import cmac_into

# AN10922, 2.2 to 2.5: the constants put before the diversification input, by algorithm and key length.
AN10922_CONSTANTS: dict[tuple[str, int], tuple[int, ...]] = {
    ("aes", 16): (0x01,),
    ("aes", 24): (0x11, 0x12),
    ("aes", 32): (0x41, 0x42),
    ("tdes", 16): (0x21, 0x22),
    ("tdes", 24): (0x31, 0x32, 0x33),
}


def an10922(master: Key, diversifier: bytes) -> Key:
    """The key of one card after NXP AN10922: AES-128/192/256, two- and three-key TDEA.

    diversifier: UID [|| AID [|| system identifier]], 1..31 octets for AES, 1..15 for TDEA; always padded to two blocks.
    TDEA keys come without a key version in their parity bits. Raises InvalidKey, InvalidCryptoInput.
    """
    constants = AN10922_CONSTANTS.get((master.algorithm, len(master)))
    if constants is None:
        raise InvalidKey(f"AN10922 has no {master.algorithm} keys of {len(master)} octets", algorithm=master.algorithm)
    least = 2 * block_octets(master)
    if not 1 <= len(diversifier) < least:
        raise InvalidCryptoInput(f"a diversifier has 1 to {least - 1} octets", octets=len(diversifier))
    parts = [cmac_into(master, bytes([constant]) + diversifier, least=least) for constant in constants]
    if master.algorithm == "aes" and len(master) == 24:
        # AN10922, 2.3: first 8 of D1, last 8 of D1 XOR first 8 of D2, last 8 of D2.
        for i in range(8):
            parts[0][8 + i] ^= parts[1][i]
        wide = bytearray(24)
        wide[:16], wide[16:] = parts[0], memoryview(parts[1])[8:]
    else:
        wide = bytearray().join(parts)
    for part in parts:
        wipe(part)
    return Key.take(master.algorithm, wide)


def pboc(master: Key, factors: Sequence[bytes]) -> Key:
    """One level of diversification for each factor, outermost first (issuer, then card serial; a system sets its own list).

    TDES: DK = TDES(MK, F) || TDES(MK, NOT F), JR/T 0025 purse parts; the same formula as EMV Book 2, A1.4.1 before parity.
    SM4: DK = SM4(MK, F || NOT F). factor: 8 octets. Raises InvalidKey, InvalidCryptoInput.
    """
    if (master.algorithm, len(master)) not in (("tdes", 16), ("sm4", 16)):
        raise InvalidKey("PBOC diversification needs a double-length TDES or an SM4 key", algorithm=master.algorithm)
    if not factors:
        raise InvalidCryptoInput("at least one diversification factor")
    key = master
    for factor in factors:
        if len(factor) != 8:
            raise InvalidCryptoInput("a diversification factor has 8 octets", octets=len(factor))
        # Reassigning drops the key of the level above, which wipes itself.
        key = Key.take(master.algorithm, encrypt_ecb(key, bytes(factor) + bytes(octet ^ 0xFF for octet in factor)))
    return key
