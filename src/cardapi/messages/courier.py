"""Makes messages from the journal and sends those that are due; one at a time per shop.

Making is exact: messages and the position they were made up to are written together, under names that no second making can
double. Sending is at least once: a kill between a gateway's yes and our note of it sends again, under the same id.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping

import msgspec

from cardapi.custody import Custody
from cardapi.desk import Desk
from cardapi.members import model as members
from cardapi.members import profile
from cardapi.messages.channels import Channel, Letter, SendFailed
from cardapi.messages.collect import Collector, Made
from cardapi.messages.model import KIND, Message, failed, from_record, to_record
from cardapi.messages.templates import TEMPLATES, render
from cardapi.people.registry import Registry
from cardapi.store.port import Head, Record, Store
from cardcore.errors import CardcoreError

ENTRIES_A_STEP = 500
LETTERS_A_STEP = 50
TICK_S = 2
CURSOR = "message_cursor"

_log = logging.getLogger("cardcore.messages")


class UnknownMessage(CardcoreError):
    """There is no such message, or it is not one that can be sent again."""

    code = "unknown_message"


class Courier:
    """The messages of one shop. `store` makes a reader of the thread that uses it."""

    def __init__(
        self, desk: Desk, store: Callable[[], Store], registry: Registry, custody: Custody, now: Callable[[], int],
        channels: Mapping[str, Channel], templates: Mapping[str, dict[str, str]] | None = None,
    ) -> None:  # fmt: skip
        self._desk, self._make, self._registry, self._custody, self._now = desk, store, registry, custody, now
        self.channels = channels
        self.templates = {name: {**texts, **(templates or {}).get(name, {})} for name, texts in TEMPLATES.items()}
        self._store: Store | None = None
        self._alone = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ by itself
    def start(self) -> None:
        """Make and send on a thread of its own."""
        self._thread = threading.Thread(target=self._loop, name="cardcore-messages", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the letter under way. Safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _loop(self) -> None:
        while not self._stop.wait(TICK_S):
            try:
                self.once()
            except Exception as error:  # a gateway or a full disk must not end the thread; the desk judges its own failures
                _log.warning("messages wait: %s", getattr(error, "code", type(error).__name__))

    # ------------------------------------------------------------ on demand
    def once(self) -> dict[str, int]:
        """Make what the journal calls for and send what is due; counts of what was made, sent, failed and dead."""
        with self._alone:
            if self._store is None:
                self._store = self._make()
            counts = {"made": 0, "sent": 0, "failed": 0, "dead": 0}
            heads = self._store.heads()
            # Asked after the heads: who becomes a member later does so behind them, and hears of nothing before that.
            if next(iter(self._store.all_records("member")), None) is None:
                self._skip(self._store, heads)
            else:
                while self._collect(self._store, counts) == ENTRIES_A_STEP and not self._stop.is_set():
                    pass
            while self._deliver(self._store, counts) == LETTERS_A_STEP and not self._stop.is_set():
                pass
            return counts

    def put(self, about: str, member: str, template: str, facts: dict[str, str | int], unit: str, store: Store) -> list[Record]:
        """Messages that no entry calls for (a birthday), ready to be kept; none that was made before."""
        made = self._collector(store).to(member, about, [(template, facts)], unit, self._now())
        return self._fresh(store, made)

    def again(self, name: str) -> None:
        """Send a dead message after all. Raises UnknownMessage."""
        with self._alone:
            store = self._make()
            try:
                record = store.records(KIND, [name]).get(name)
            finally:
                store.close()
            message = from_record(record) if record is not None else None
            if message is None or message.state != "dead":
                raise UnknownMessage("there is no dead message of that id")
            self._desk.keep([to_record(name, msgspec.structs.replace(message, state="due", tries=0, next_at=self._now(), error=""))])

    # ------------------------------------------------------------ inside
    def _collector(self, store: Store) -> Collector:
        return Collector(store, self._registry, lambda: frozenset(self.channels))

    def _fresh(self, store: Store, made: list[Made]) -> list[Record]:
        if not made:
            return []
        there = store.records(KIND, [name for name, _ in made])
        return [to_record(name, message) for name, message in made if name not in there]

    @staticmethod
    def _cursors(store: Store, partitions: Iterable[int]) -> dict[int, int]:
        """The position of each partition up to which its messages were made."""
        names = {partition: f"{partition:02x}" for partition in partitions}
        there = store.records(CURSOR, list(names.values()))
        return {partition: int(there[name].body) if name in there else 0 for partition, name in names.items()}

    def _skip(self, store: Store, heads: list[Head]) -> None:
        """Nobody is there to be told of what is in the journal up to here."""
        cursors = self._cursors(store, [head.partition for head in heads])
        passed = [_cursor(head.partition, head.position) for head in heads if head.position > cursors[head.partition]]
        if passed:  # one commit for all: sales wait while it is written
            self._desk.keep(passed)

    def _collect(self, store: Store, counts: dict[str, int]) -> int:
        """One step through each partition's journal; how many entries were looked at at most."""
        most = 0
        records: dict[str, Record] = {}
        cursors: list[Record] = []
        waiting = 0  # entries looked at since the last commit
        for partition, position in self._cursors(store, store.partitions()).items():
            collector = self._collector(store)
            entries = list(store.journal(partition, position, position + ENTRIES_A_STEP))
            collector.expect(entries)
            for entry in entries:
                for made in self._fresh(store, collector.of(entry, self._now())):
                    records[made.id] = made
            if entries:
                cursors.append(_cursor(partition, entries[-1].position))
            waiting += len(entries)
            most = max(most, len(entries))
            if waiting >= ENTRIES_A_STEP:
                self._keep(records, cursors, counts)
                waiting = 0
        self._keep(records, cursors, counts)
        return most

    def _keep(self, messages: dict[str, Record], cursors: list[Record], counts: dict[str, int]) -> None:
        """Keep messages together with the positions up to which they were made, in one commit; then both are empty."""
        if cursors:
            self._desk.keep([*messages.values(), *cursors])
            counts["made"] += len(messages)
            messages.clear()
            cursors.clear()

    def _deliver(self, store: Store, counts: dict[str, int]) -> int:
        due = store.find_records(KIND, "due", "0", f"{self._now():012d}", limit=LETTERS_A_STEP)
        for record in due:
            message = from_record(record)
            after = self._send(store, record.id, message)
            counts["sent" if after.state == "sent" else "dead" if after.state == "dead" else "failed"] += 1
            self._desk.keep([to_record(record.id, after)])
            if self._stop.is_set():
                break
        return len(due)

    def _send(self, store: Store, name: str, message: Message) -> Message:
        try:
            channel = self.channels.get(message.channel)
            if channel is None:
                raise SendFailed("channel_broken", "the shop has no such channel any more")
            record = store.records("member", [message.member]).get(message.member)
            if record is None or message.channel not in members.from_record(record).consents:
                return msgspec.structs.replace(message, state="dead", error="no_consent")  # withdrawn since it was made
            sealed = store.records("person", [message.member]).get(message.member)
            person = profile.Profile() if sealed is None else profile.unseal(self._custody, sealed)
            address = {"sms": person.phone, "email": person.email, "webhook": person.phone or person.email, "file": "-"}[message.channel]
            if not address:
                raise SendFailed("no_address")
            text = render(self.templates[message.template], person.language, message.facts)
            channel.send(Letter(name, message.member, message.template, person.language, text, address, message.made_at, message.facts),
                         self._now())  # fmt: skip
        except SendFailed as error:
            return failed(message, error.code, self._now())
        except Exception as error:  # a gateway's own mistake; its words may hold an address
            _log.warning("channel %s broke: %s", message.channel, type(error).__name__)
            return failed(message, "channel_broken", self._now())
        return msgspec.structs.replace(message, state="sent", tries=message.tries + 1, error="")


def _cursor(partition: int, position: int) -> Record:
    return Record(CURSOR, f"{partition:02x}", str(position).encode())
