"""A symmetric key that is hard to leak: it has no text form but its check value, and is overwritten when it goes.

What it cannot promise: copies made by the interpreter, by `cryptography` inside OpenSSL, or by the operating system (swap).
"""

from typing import Any, ClassVar, NoReturn, final

import numpy as np
from numpy.typing import NDArray

@final
class Loan:
    """The octets for the length of a `with` block, overwritten at its end."""

    def __new__(cls, key: Key) -> Loan: ...
    def __enter__(self) -> bytearray: ...
    def __exit__(self, *_: object) -> None: ...

@final
class Key:
    """The octets of one key and the cipher they belong to (control Y: a key has one purpose).

    algorithm: "des" (8 octets), "tdes" (16 or 24), "aes" (16, 24, 32) or "sm4" (16). DES parity bits are not looked at.
    Raises InvalidKey for any other length or name, and whenever a wiped key is used.
    """

    def __init__(self, algorithm: str, octets: bytes | bytearray | memoryview) -> None: ...
    @property
    def algorithm(self) -> str: ...
    @staticmethod
    def take(algorithm: str, octets: bytearray) -> Key:
        """A key from a buffer that is wiped, whether or not the octets were good."""

    def lend(self) -> Loan:
        """`with key.lend() as octets:` gives a bytearray that is overwritten when the block ends."""

    def wipe(self) -> None:
        """Overwrite the octets now; the key is unusable afterwards."""

    def fold(self) -> Key:
        """Left half XOR right half as a single DES key: the TAC and reload-PIN key of PBOC (specs: TAC)."""

    @property
    def check_value(self) -> bytes:
        """What may be shown of a key: see `cardcore.crypto.cipher.check_value`."""

    def __len__(self) -> int:
        """Octets of the key; 0 once wiped."""

    def __eq__(self, other: object, /) -> bool:
        """Same algorithm and octets, compared in constant time. A wiped key equals only itself."""

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> NoReturn: ...

def wipe(octets: bytearray | memoryview | NDArray[np.uint8]) -> None:
    """Overwrite a writable buffer (bytearray, numpy array) with zeros."""
