"""Signed checkpoints outside the database (A3), and their comparison with it at start (A4).

A checkpoint says: at this position the chain had this mac and the customers this much money. It is one JSON line in an
append-only file, signed with Ed25519, synced. Whoever can write the database cannot write a checkpoint, so a database
that was cut, rolled back or recomputed no longer fits. Copy or stream the file to another host.

A power cut may leave of the last lines some sectors and of others nothing, which read as zeros. A line with a zero in it was
never synced and so never acted upon: it is passed over, wherever it stands. Any other line must be ours.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cardapi.store.port import Head
from cardcore.errors import CardcoreError

INTERVAL_S = 60
ENTRIES_MAX = 1_000
TAIL_BYTES = 1 << 16
HOLE = b"\0"


class CheckpointError(CardcoreError):
    """`code`: no_checkpoint, bad_checkpoint (unreadable or not ours), behind_checkpoint, off_checkpoint."""

    def __init__(self, code: str, detail: str, **facts: object) -> None:
        super().__init__(detail, **facts)
        self.code = code


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the file. `mac` and `signature` are hex.

    `lost_upto` > 0 marks a reconciliation: an older backup ending at `position` was put back on purpose, and the entries
    after it up to `lost_upto`, which earlier lines may name, are lost. What follows starts from here.
    """

    partition: int
    position: int
    mac: str
    liability_fen: int
    at_us: int
    lost_upto: int = 0
    signature: str = ""

    def message(self) -> bytes:
        """The signed bytes: a MessagePack array, length-prefixed throughout."""
        fields = ("cardcore-checkpoint-1", self.partition, self.position, self.mac, self.liability_fen, self.at_us, self.lost_upto)
        return msgspec.msgpack.encode(fields)


class CheckpointFile:
    """The append-only file."""

    def __init__(self, path: Path, signer: Ed25519PrivateKey) -> None:
        self.path = path
        self._signer = signer
        self._public: Ed25519PublicKey = signer.public_key()

    def append(self, heads: list[Head]) -> None:
        """Sign and write one line per head; durable on return. Raises OSError."""
        self._write([Checkpoint(head.partition, head.position, head.mac.hex(), head.liability_fen, head.at_us) for head in heads])

    def reconcile(self, head: Head, lost_upto: int) -> None:
        """Record that the entries after `head` up to `lost_upto` are lost. Raises OSError."""
        self._write([Checkpoint(head.partition, head.position, head.mac.hex(), head.liability_fen, head.at_us, lost_upto)])

    def _write(self, checkpoints: list[Checkpoint]) -> None:
        lines = []
        for bare in checkpoints:
            signature = self._signer.sign(bare.message()).hex()
            lines.append(msgspec.json.encode(msgspec.structs.replace(bare, signature=signature)) + b"\n")
        created = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # several processes append
            end = _whole_lines(handle)
            os.ftruncate(handle, end)  # a line torn by a crash was never acted upon
            os.pwrite(handle, b"".join(lines), end)
            os.fsync(handle)
        finally:
            os.close(handle)
        if created:
            parent = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(parent)
            finally:
                os.close(parent)

    def read(self) -> Iterator[Checkpoint]:
        """All checkpoints, oldest first, each with its signature checked. Raises CheckpointError."""
        if not self.path.exists():
            raise CheckpointError("no_checkpoint", f"there is no checkpoint file at {self.path}")
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n") and HOLE not in line:
                    yield self._check(line, number)

    def newest(self) -> dict[int, Checkpoint]:
        """The furthest checkpoint of each partition since its last reconciliation.

        Read from the end until every partition was met: one that nobody used for long has its line far back. Several processes
        append, so the last line of a partition need not be the furthest. Raises CheckpointError when there is none or the file
        is not ours.
        """
        if not self.path.exists():
            raise CheckpointError("no_checkpoint", f"there is no checkpoint file at {self.path}")
        found: dict[int, Checkpoint] = {}
        settled: set[int] = set()  # partitions whose lines further back are void
        first = self._first_partitions()
        for lines in _backwards(self.path):
            for line in lines:
                if HOLE in line:
                    continue
                checkpoint = self._check(line, 0)
                number = checkpoint.partition
                if number not in settled and (number not in found or checkpoint.position > found[number].position):
                    found[number] = checkpoint
                if checkpoint.lost_upto:
                    settled.add(number)
            if first <= found.keys():
                break
        if not found:
            raise CheckpointError("no_checkpoint", f"the checkpoint file {self.path} is empty")
        return found

    def _first_partitions(self) -> set[int]:
        """The partitions of the lines at the start of the file: it begins with one line for each."""
        numbers: set[int] = set()
        for checkpoint in self.read():
            if checkpoint.partition in numbers:
                break
            numbers.add(checkpoint.partition)
        return numbers

    def _check(self, line: bytes, number: int) -> Checkpoint:
        try:
            checkpoint = msgspec.json.decode(line, type=Checkpoint)
            self._public.verify(bytes.fromhex(checkpoint.signature), checkpoint.message())
        except (msgspec.DecodeError, ValueError, InvalidSignature) as error:
            where = f"line {number} of " if number else ""
            raise CheckpointError("bad_checkpoint", f"{where}{self.path} is no checkpoint signed by this shop") from error
        return checkpoint


def _backwards(path: Path) -> Iterator[list[bytes]]:
    """The whole lines of a file, some at a time, the last first."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        rest, torn = b"", True
        while end > 0:
            start = max(0, end - TAIL_BYTES)
            file.seek(start)
            lines = (file.read(end - start) + rest).split(b"\n")
            if torn and len(lines) > 1:
                lines.pop()  # what follows the last line end was never acted upon
                torn = False
            rest = lines.pop(0) if start else b""  # its beginning lies further back
            lines.reverse()
            yield [] if torn else lines
            end = start


def _whole_lines(handle: int) -> int:
    """Where the last whole line ends."""
    size = os.fstat(handle).st_size
    start = max(0, size - TAIL_BYTES)
    return start + os.pread(handle, size - start, start).rfind(b"\n") + 1


class Named(Protocol):
    """What a checkpoint says of an entry."""

    @property
    def mac(self) -> bytes: ...

    @property
    def liability_fen(self) -> int: ...


class Journal(Protocol):
    """Where entries are looked up: any `Store`, or less."""

    def entry(self, partition: int, position: int) -> Named | None: ...


def compare(store: Journal, newest: dict[int, Checkpoint]) -> None:
    """Raise CheckpointError when the database is behind a checkpoint or off it (A4)."""
    for checkpoint in newest.values():
        where = {"partition": checkpoint.partition, "position": checkpoint.position}
        if checkpoint.position == 0:
            continue
        entry = store.entry(checkpoint.partition, checkpoint.position)
        if entry is None:
            raise CheckpointError(
                "behind_checkpoint",
                f"the database ends before entry {checkpoint.position} of partition {checkpoint.partition}, "
                "which a signed checkpoint names: it is an older copy or was cut",
                **where,
            )
        if entry.mac.hex() != checkpoint.mac or entry.liability_fen != checkpoint.liability_fen:
            raise CheckpointError(
                "off_checkpoint",
                f"entry {checkpoint.position} of partition {checkpoint.partition} is not the one a signed checkpoint names",
                **where,
            )


class Lag(NamedTuple):
    """What was committed and is not under a checkpoint yet."""

    entries: int
    age_s: float  # since the first of them was committed


class Checkpointer:
    """Writes checkpoints on a thread of its own: every 1,000 entries, every 60 s when something changed, and at stop."""

    def __init__(
        self,
        file: CheckpointFile,
        on_error: Callable[[OSError], None],
        *,
        interval_s: float = INTERVAL_S,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._file = file
        self._on_error = on_error
        self._interval_s = interval_s
        self._entries_max = entries_max
        self._heads: dict[int, Head] = {}
        self._entries = 0
        self._noted = self._signed = 0  # entries that were committed, and of these under a checkpoint
        self._waiting_since = self._writing_since = 0.0  # when the first entry was noted that waits, or is being written; 0: none
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="cardcore-checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def committed(self, heads: Sequence[Head], entries: int) -> None:
        """Note a durable commit; called by the writer thread, never waits."""
        for head in heads:
            self._heads[head.partition] = head
        self._entries += entries
        self._noted += entries
        if not self._waiting_since:
            self._waiting_since = time.monotonic()
        if self._entries >= self._entries_max:
            self._entries = 0
            self._wake.set()

    def lag(self) -> Lag:
        """How far the checkpoints are behind the commits."""
        since = self._writing_since or self._waiting_since
        return Lag(self._noted - self._signed, time.monotonic() - since if since else 0.0)

    def _run(self) -> None:
        written: dict[int, Head] = {}
        while True:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            self._writing_since, self._waiting_since = self._waiting_since, 0.0  # a commit from here on begins to wait anew
            ended, noted, heads = self._ended, self._noted, self._heads.copy()
            fresh = [head for number, head in sorted(heads.items()) if head is not written.get(number)]
            if fresh:
                try:
                    self._file.append(fresh)
                except OSError as error:
                    self._on_error(error)
                    return
                written = heads
            self._signed, self._writing_since = noted, 0.0
            if ended:
                return

    def stop(self) -> None:
        """Write what is new and end."""
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
