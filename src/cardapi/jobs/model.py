"""What a job is, what it may use, and what is kept of its runs."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from cardapi.custody import Custody
from cardapi.desk import Desk, Request
from cardapi.people.registry import Registry
from cardapi.store.port import Entry, Record, Store

KIND = "job"
CLIENT = "system"


class JobState(msgspec.Struct):
    """Body of a record of kind "job": the last run. Kept beside the journal: it only says where to go on."""

    day: str = ""  # YYYY-MM-DD of the run
    state: str = ""  # "" never | running | done | failed
    cursor: str = ""
    started_at: int = 0  # epoch seconds
    ended_at: int = 0
    counts: dict[str, int] = {}
    error: str = ""


class Step(msgspec.Struct):
    """One durable step: where a next run goes on, and what was done."""

    cursor: str
    counts: dict[str, int] = {}


class Context(msgspec.Struct):
    """What a job may use. `store` is a reader of the runner's own thread."""

    desk: Desk
    store: Store
    registry: Registry
    custody: Custody
    now: Callable[[], int]  # epoch seconds

    def request(self, verb: str, key: str, **facts: Any) -> Request:
        """A request of the system's own; `key` names what it is about, for ever."""
        return Request(verb, CLIENT, key, self.desk.fingerprint([verb, key]), unit=self.top(), reason=facts.pop("reason", "job"), **facts)

    def top(self) -> str:
        """The issuer unit, where the system's own entries are booked."""
        units = self.registry.units()
        return next((unit.id for unit in units if not unit.parent), "")

    def do(self, requests: Iterable[Request]) -> list[Entry]:
        """Have the desk do these; what it refused or could not take is left out. Raises CardcoreError when it takes nothing at all."""
        asked = list(requests)
        answers = self.desk.call_many(asked)
        if self.desk.failed is not None:
            raise self.desk.failed
        return [answer for answer in answers if isinstance(answer, Entry) and answer.outcome == "applied"]


class Job(Protocol):
    """Work of one business day."""

    name: str
    title: tuple[str, str]  # zh and en

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """Do the day's work from `cursor` on ("" from the start); yield after each durable step. Doing a step again is harmless."""
        ...


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(JobState).decode


def load(store: Store, name: str) -> JobState:
    """The last run of a job; an empty one if it never ran."""
    record = store.records(KIND, [name]).get(name)
    return JobState() if record is None else _decode(record.body)


def to_record(name: str, state: JobState) -> Record:
    """As the store keeps it."""
    return Record(KIND, name, _encode(state))


def chunks(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size`."""
    part: list[Any] = []
    for row in rows:
        part.append(row)
        if len(part) >= size:
            yield part
            part = []
    if part:
        yield part
