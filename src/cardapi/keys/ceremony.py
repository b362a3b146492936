"""Key components: octets that different people hold, of which all together, XORed, are the key, and each alone tells nothing."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Final

from cardapi.keys.errors import ComponentMalformed
from cardapi.keys.purposes import KEY_OCTETS
from cardcore.crypto import wipe

DIGITS: Final = frozenset(string.hexdigits)


def component_octets(text: str) -> bytearray:
    """A component as people type it: 32 hex digits, with spaces or dashes. The message never repeats it. Raises ComponentMalformed."""
    digits = text.replace(" ", "").replace("-", "").strip()
    if len(digits) != 2 * KEY_OCTETS or not DIGITS.issuperset(digits):
        raise ComponentMalformed(f"a component is {2 * KEY_OCTETS} hex digits; {len(digits)} characters came", characters=len(digits))
    return bytearray.fromhex(digits)


def combined(parts: Sequence[bytearray]) -> bytearray:
    """The XOR of all parts, which are wiped."""
    whole = bytearray(KEY_OCTETS)
    for part in parts:
        for place, octet in enumerate(part):
            whole[place] ^= octet
        wipe(part)
    return whole
