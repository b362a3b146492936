"""Which build of the batch kernels is used: the widest this CPU has, unless the environment or the caller says otherwise.

CARDCORE_DES = avx512 | avx2 | portable and CARDCORE_AES = aesni | cryptography force one for the process, read at import.
Forcing exists for tests and for measuring; every choice gives the same answers.
"""

from __future__ import annotations

import os

from cardcore.crypto import kernel
from cardcore.crypto.errors import BackendUnavailable

FALLBACK = "cryptography"


def available(family: str) -> tuple[str, ...]:
    """Usable backends of "des" or "aes", best first. AES always ends with `cryptography`, which needs no CPU support."""
    return (*kernel.available(family), *((FALLBACK,) if family == "aes" else ()))


def _default(family: str) -> str:
    forced = os.environ.get(f"CARDCORE_{family.upper()}")
    return require(family, forced) if forced else available(family)[0]


def require(family: str, name: str) -> str:
    """`name` itself. Raises BackendUnavailable when this machine has no such backend: never another one in its place."""
    if name not in available(family):
        raise BackendUnavailable(f"no {family} backend {name!r} on this machine", family=family, backend=name)
    return name


DEFAULTS = {family: _default(family) for family in ("des", "aes")}


def choose(family: str, forced: str | None) -> str:
    """The backend to use: `forced` if given, else the default of the process. Raises BackendUnavailable."""
    return DEFAULTS[family] if forced is None else require(family, forced)
