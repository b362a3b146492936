"""The doorway to the C kernels (`kernels/`): checks shapes, lends pointers, releases the GIL. `batch` is what others call.

family: "des" (DES and TDES, bitsliced: "portable", "avx2", "avx512") or "aes" ("aesni"). keys: one `Key` for all items or one row
of octets an item. Constant time: no branch or address depends on keys, messages or MACs.
"""

from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from cardcore.crypto.key import Key

ITEMS_MAX: Final[int]
MESSAGE_MAX: Final[int]
LEVELS_MAX: Final[int]

def available(family: str) -> tuple[str, ...]:
    """The kernels this build and this CPU have, best first."""

def lanes(family: str, backend: str) -> int:
    """Items a kernel works on at once. Raises BackendUnavailable."""

@overload
def macs(
    family: str,
    backend: str,
    keys: Key | NDArray[np.uint8],
    messages: NDArray[np.uint8],
    *,
    kind: str,
    padding: str,
    prefix: int = -1,
    least: int = 0,
    factors: NDArray[np.uint8] | None = None,
    presented: None = None,
    first: int = 0,
    step: int = 1,
) -> NDArray[np.uint8]:
    """The MAC of each row, a whole block.

    kind: "cbc" (ISO/IEC 9797-1 algorithm 1), "retail" (algorithm 3), "folded" (single DES under left XOR right half), "cmac".
    padding: "zero" (method 1), "bit" (method 2), "cmac". prefix: an octet put before each message, -1 for none.
    least: pad at least to so many octets. factors: diversify each key first, 8 octets a level (see `diversify.pboc`).
    Raises InvalidCryptoInput, InvalidKey, BackendUnavailable.
    """

@overload
def macs(
    family: str,
    backend: str,
    keys: Key | NDArray[np.uint8],
    messages: NDArray[np.uint8],
    *,
    kind: str,
    padding: str,
    prefix: int = -1,
    least: int = 0,
    factors: NDArray[np.uint8] | None = None,
    presented: NDArray[np.uint8],
    first: int = 0,
    step: int = 1,
) -> NDArray[np.bool_]:
    """Whether octets first, first + step, ... of each MAC equal the presented row, compared in constant time."""

def diversify(backend: str, keys: Key | NDArray[np.uint8], factors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """PBOC diversification of double-length TDES keys: 16 octets an item."""

def crypt(
    family: str, backend: str, keys: Key | NDArray[np.uint8], blocks: NDArray[np.uint8], decrypt: bool = False
) -> NDArray[np.uint8]:
    """One block an item, ECB."""
