"""The one path of every verb: look up the key, read, decide, fold, chain, commit, answer.

Idempotency, batching, PIN policy and card state live here, once. The desk owns the writer thread; callers hand in
`Request`s and get `Entry`s (or a `Problem`) after the fsync, never before (O3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from cardapi.custody import Custody, Pin
from cardapi.people.registry import Registry
from cardapi.store.port import Entry, Store
from cardcore.errors import CardcoreError
from cardcore.settlement import Command, Settlement

T = TypeVar("T")


class Request(msgspec.Struct):
    """One verb as an edge hands it in: who, what and under which client key. Scope was judged before (R1, R2).

    verbs: settle hold capture void refund reverse topup transfer adjust expire (with `command`); the life cycle
    issue activate lost freeze unfreeze swap reissue cancel expire_card take_back destroy exclude; set_pin verify_pin; change.
    """

    verb: str
    client: str  # "terminal:<id>" | "operator:<id>" | "system"
    client_key: str  # 1..255 printable characters, made by the caller before its first try (O1)
    fingerprint: bytes  # 16 bytes: `Desk.fingerprint(meaning)`
    card: str = ""  # may stay empty when `ref` or `ref_key` names the entry
    command: Command | None = None
    further: tuple[str, ...] = ()  # further cards in tender order, or a transfer's target
    ref: int = 0  # position of the entry this one names
    ref_key: tuple[str, str] | None = None  # or its (client, client_key); a void of an unseen key leaves a tombstone (O6)
    partition: int = 0  # of `ref`
    unit: str = ""
    terminal: str = ""
    operator: str = ""
    approver: str = ""
    reason: str = ""
    pin: Pin | None = None
    payload: dict[str, Any] = {}
    """Facts of a life cycle verb or of `change`:
    issue {"prefix", "programme", "kind", "valid_until"} (number made from the account when `card` is empty; "stock": true leaves it in stock)
    lost {"effective_at"} epoch seconds; swap, reissue {"to": new number or "", "prefix"}; exclude {"excluded": bool}
    change {"kind", "id", "document"}
    """


class Problem(CardcoreError):
    """A request the desk does not take: nothing recorded, nothing changed. `code` is per instance.

    key_reused key_required unknown_card unknown_ticket unknown_programme unknown_verb invalid_payload number_taken
    maker_is_checker not_ready busy
    """

    def __init__(self, code: str, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or code.replace("_", " "), **facts)
        self.code = code  # type: ignore[misc]


class Desk:
    """Owns the writer thread. Every method may be called from any thread or event loop."""

    failed: CardcoreError | None
    """Set after a storage error: nothing is acknowledged any more (F2); `health` says not ready."""

    def __init__(
        self, store: Store, custody: Custody, registry: Registry, clock: Callable[[], int], checkpoints: Any = None
    ) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Read the heads and start the writer thread."""
        raise NotImplementedError

    def stop(self) -> None:
        """Finish what is queued, write a last checkpoint, end the threads. Safe to call twice."""
        raise NotImplementedError

    def fingerprint(self, meaning: object) -> bytes:
        """16 keyed bytes over the parsed meaning of a request: any JSON-able value; keys sorted (O2)."""
        raise NotImplementedError

    async def execute(self, request: Request) -> Entry:
        """Do one request; durable when it returns (O3). Raises Problem; a `Declined` is an Entry with outcome "refused"."""
        raise NotImplementedError

    async def execute_many(self, requests: Sequence[Request]) -> list[Entry | Problem]:
        """Do many in order as one queue item; results positionally. Raises Problem only for busy and not_ready."""
        raise NotImplementedError

    def call(self, request: Request) -> Entry:
        """Blocking `execute`, for the command line, jobs and tests; not on an event loop's thread."""
        raise NotImplementedError

    def call_many(self, requests: Sequence[Request]) -> list[Entry | Problem]:
        """Blocking `execute_many`."""
        raise NotImplementedError

    async def quote(self, request: Request) -> Settlement:
        """Decide without commit and without a client key. Raises Problem, Declined, InvalidCommand."""
        raise NotImplementedError

    async def ask(self, question: Callable[[Store], T]) -> T:
        """A bounded read on a reader connection, off the writer thread (statements, reports, tickets)."""
        raise NotImplementedError
