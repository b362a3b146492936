"""SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104) with the key taken in once.

Half of an HMAC over a short message is hashing the padded key, and a journal's chain or a till's requests use one key for
every message; most of the rest is a library's context. Kept as two started states, on the stack, a MAC over 300 bytes takes
0.3 us instead of 1.5. `mackey.pxd` has the same for compiled code. Both forms of the hash are compared with `hashlib` when
the module is imported: one that differs is not used, and the import fails.
"""

from typing import Final, NoReturn, final

KERNELS: Final[tuple[str, ...]]
"""The forms of the hash that this machine has, best first: "sha-ni", "portable"."""

@final
class MacKey:
    """One key, ready to sign. It shows nothing of the key when printed (A6) and is overwritten when it goes."""

    def __init__(self, key: bytes) -> None: ...
    def digest(self, message: bytes) -> bytes:
        """The 32 bytes of HMAC-SHA256(key, message)."""

    def __reduce__(self) -> NoReturn: ...

def digest(message: bytes, kernel: str = "") -> bytes:
    """The 32 bytes of SHA-256(message); with `kernel`, by that form. Raises ValueError for a form that is not there."""
