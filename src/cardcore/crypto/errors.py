"""What can go wrong with keys, MACs and ciphers. Messages never carry a key, a MAC that was expected, or plain text."""

from __future__ import annotations

from cardcore.errors import CardcoreError


class CryptoError(CardcoreError):
    """Root of the room's errors; only its leaves are raised."""


class InvalidMac(CryptoError):
    """A MAC, TAC, TMV or check of a cryptogram does not verify. Never says by how much or where."""

    code = "invalid_mac"


class InvalidKey(CryptoError, ValueError):
    """A key of the wrong length or algorithm for the operation, or one already wiped."""

    code = "invalid_key"


class InvalidCryptoInput(CryptoError, ValueError):
    """Input of a length or shape the construction does not take."""

    code = "invalid_crypto_input"


class BackendUnavailable(CryptoError):
    """A backend was forced that this build or this CPU does not have."""

    code = "backend_unavailable"


class SelfTestFailed(CryptoError):
    """A kernel gave a wrong known answer. Raised while importing, so nothing can use it."""

    code = "crypto_self_test_failed"
