"""The code of a bearer coupon: 75 secret bits and a check character, in Crockford's base 32, as `XXXX-XXXX-XXXX-XXXX`.

Codes follow from the request that made them and a key nobody else has, so a repeated request shows the same ones (O2, O5),
and none is ever stored: the database knows a code by its keyed name (control N).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cardapi.custody import Custody, Secret

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DATA: Final = 15
LENGTH: Final = DATA + 1
_POLYNOMIAL: Final = 0b100101  # x^5 + x^2 + 1, primitive over GF(2)
_SEEN_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})


def make(key: Secret, index: int) -> str:
    """The code of this place in a batch. `key`: `Custody.coupon_key` of the request that makes the batch."""
    bits = int.from_bytes(hmac.digest(key.reveal(), index.to_bytes(4, "big"), hashlib.sha256)[:10], "big") >> 5
    digits = [bits >> 5 * place & 31 for place in range(DATA)]
    text = "".join(ALPHABET[digit] for digit in (*digits, _check(digits)))
    return "-".join(text[at : at + 4] for at in range(0, LENGTH, 4))


def _check(digits: list[int]) -> int:
    """A weighted sum over GF(32) with weights of powers of x: finds each wrong character and each exchange of two."""
    total = 0
    for digit in digits:
        total ^= digit
        total <<= 1
        if total & 32:
            total ^= _POLYNOMIAL
    return total


def parse(text: str) -> str:
    """The sixteen characters of a code as typed: hyphens and spaces do not matter, O is 0, I and L are 1. "" for what is none."""
    plain = text.upper().translate(_SEEN_AS).replace("-", "").replace(" ", "")
    if len(plain) != LENGTH or any(character not in ALPHABET for character in plain):
        return ""
    digits = [ALPHABET.index(character) for character in plain]
    return plain if _check(digits[:-1]) == digits[-1] else ""


def name(custody: Custody, plain: str) -> str:
    """The keyed name under which a code is known, of its sixteen characters."""
    return custody.blind("coupon", plain)
