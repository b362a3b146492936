"""Operators' passwords: argon2id (RFC 9106), off the event loop, few at a time, and the same work for unknown names."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cardcore.errors import CardcoreError

PASSWORD_MIN = 10
PASSWORD_MAX = 128
PARALLEL = 2  # each hash takes 64 MiB and a core for about 0.1 s


class WeakPassword(CardcoreError, ValueError):
    """Shorter than PASSWORD_MIN or longer than PASSWORD_MAX characters."""

    code = "weak_password"


def _nobodys_hash(hasher: PasswordHasher) -> str:
    """A hash that costs the same to compare with and that no password has: random bytes in the place of the digest."""
    salt, digest = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${digest}"


class Passwords:
    """Hash and verify. `quick` lowers the cost for tests; stored hashes carry their own parameters."""

    def __init__(self, *, quick: bool = False) -> None:
        self._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1) if quick else PasswordHasher()
        self._nobody = _nobodys_hash(self._hasher)
        self._threads = ThreadPoolExecutor(PARALLEL, thread_name_prefix="argon2")

    def hash(self, password: str) -> str:
        """The argon2id hash to keep. Raises WeakPassword."""
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
            raise WeakPassword(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")
        return self._hasher.hash(password)

    def matches(self, stored: str | None, password: str) -> bool:
        """Compare; with `stored` None the same work is done against nobody's hash and the answer is False (R4)."""
        try:
            return self._hasher.verify(stored or self._nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    async def hash_async(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.hash, password)

    async def matches_async(self, stored: str | None, password: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.matches, stored, password)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
