"""The Authorization header of a signed request, read in one pass, and the check of its MAC; `signature` has the layout."""

from typing import final

from cardcore.mackey import MacKey

@final
class Claim:
    """What a well-formed header says, not yet believed."""

    @property
    def terminal(self) -> str: ...
    @property
    def version(self) -> int:
        """Of the terminal's key."""
    @property
    def time(self) -> int:
        """Epoch seconds at which it says it was signed."""
    @property
    def nonce(self) -> bytes: ...
    def holds(self, key: MacKey, method: bytes, target: bytes, client_key: bytes, body: bytes) -> bool:
        """Whether its MAC is that of this request under this key; the time taken does not depend on where they differ."""

def read(header: bytes) -> Claim | None:
    """None for a header that is not of the fixed form."""
