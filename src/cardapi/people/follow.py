"""What other processes changed in the registry: read from its journal, applied in order (R5).

Every change is an entry of the registry's partition. A process that did not write it reads it there within `INTERVAL_S`, and
at once before it decides a change itself. When the journal cannot be read the process must not go on serving what may have
been revoked, so `on_error` ends it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cardapi.people.registry import Registry
from cardapi.store.fold import unpack_change
from cardapi.store.port import Store
from cardcore.errors import CardcoreError

REGISTRY = 0  # the partition of registry documents
INTERVAL_S = 0.25
AT_MOST_EVERY_S = 0.02  # for callers who name what is not known here


def catch_up(registry: Registry, store: Store) -> None:
    """Take in the changes journaled since the registry last did. Raises CardcoreError."""
    for entry in store.journal(REGISTRY, registry.position):
        if entry.verb == "change" and entry.outcome == "applied":
            change = unpack_change(entry.body)
            registry.put(change.kind, change.id, change.after, entry.position)
        registry.position = max(registry.position, entry.position)


class Follower:
    """A thread that keeps one process' registry up to date."""

    def __init__(self, store: Store, registry: Registry, on_error: Callable[[CardcoreError], None]) -> None:
        """`store`: a reader of its own, closed by `stop`."""
        self._store = store
        self._registry = registry
        self._on_error = on_error
        self._lock = threading.Lock()
        self.asked_at = 0.0  # when the last look at the journal began, by `time.monotonic`
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cardcore-registry", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def poll(self) -> None:
        """Take in what is new; nothing once it has ended. Raises CardcoreError."""
        with self._lock:
            if not self._ended.is_set():
                began = time.monotonic()
                catch_up(self._registry, self._store)
                self.asked_at = began

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                self.poll()
            except CardcoreError as error:
                self._on_error(error)
                return

    def stop(self) -> None:
        """End the thread and close its reader. Safe to call twice."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._store.close()
