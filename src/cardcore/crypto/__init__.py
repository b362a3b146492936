"""Card cryptography: keys and octets in, keys and octets out. No I/O, clock or randomness; randoms arrive as arguments.

`key` and `cipher` hold the primitives (through `cryptography`); `mac`, `diversify`, `pboc`, `desfire_ev1`, `desfire_ev2`, `tmac`,
`sun` and `lrp` the constructions, one item at a time; `batch` the same for whole files, in C kernels.
Importing the package runs the self-test of every kernel; when one fails, the import fails (docs/crypto.md).
"""

from __future__ import annotations

import sys

from cardcore.crypto import batch, cipher, desfire_ev1, desfire_ev2, desfire_native, diversify, lrp, mac, pboc, selftest, sun, tmac
from cardcore.crypto.backends import available, force
from cardcore.crypto.errors import BackendUnavailable, CryptoError, InvalidCryptoInput, InvalidKey, InvalidMac, SelfTestFailed
from cardcore.crypto.key import Key, wipe

try:
    selftest.run()
except BaseException:
    # Fail closed for good: what was already loaded must not be found by a later import that skips this file.
    for _name in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
        del sys.modules[_name]
    raise

__all__ = [
    "BackendUnavailable",
    "CryptoError",
    "InvalidCryptoInput",
    "InvalidKey",
    "InvalidMac",
    "Key",
    "SelfTestFailed",
    "available",
    "batch",
    "cipher",
    "desfire_ev1",
    "desfire_ev2",
    "desfire_native",
    "diversify",
    "force",
    "lrp",
    "mac",
    "pboc",
    "sun",
    "tmac",
    "wipe",
]
