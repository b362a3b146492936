"""Which build of the batch kernels is used: the widest this CPU has, unless a caller forces another.

Forcing is for tests and for measuring; every choice gives the same answers. One call is forced by its `backend` argument, the
process by `force`; the tests read CARDCORE_DES and CARDCORE_AES and call that, since the core reads no environment.
"""

from __future__ import annotations

from cardcore.crypto import kernel
from cardcore.crypto.errors import BackendUnavailable

FALLBACK = "cryptography"


def available(family: str) -> tuple[str, ...]:
    """Usable backends of "des" (avx512, avx2, portable) or "aes" (aesni, cryptography), best first; the last needs no CPU support."""
    return (*kernel.available(family), *((FALLBACK,) if family == "aes" else ()))


_chosen = {family: available(family)[0] for family in ("des", "aes")}


def require(family: str, name: str) -> str:
    """`name` itself. Raises BackendUnavailable when this machine has no such backend: never another one in its place."""
    if name not in available(family):
        raise BackendUnavailable(f"no {family} backend {name!r} on this machine", family=family, backend=name)
    return name


def force(family: str, name: str | None) -> None:
    """Use one backend for all calls that do not name theirs; None goes back to the best. Raises BackendUnavailable."""
    _chosen[family] = available(family)[0] if name is None else require(family, name)


def choose(family: str, forced: str | None = None) -> str:
    """The backend a call uses: `forced` if given, else that of the process. Raises BackendUnavailable."""
    return _chosen[family] if forced is None else require(family, forced)
