"""Between the processes that serve one shop on one machine: a request goes to the one that has its card's partition.

Any process may write any partition, which the store keeps safe (decision 0014). Two that do so wait for each other's commits and read
again what the other one wrote; each with partitions of its own does neither (decision 0024). A request is passed on whole, as its client
sent it, and comes in there as from any client, signature and all; the answer goes back as it is. A neighbour that is away, does not answer
in time or fails is nothing to wait for: the request is done here, as when a client asks again that had no answer, and its key sees to it
that it has one effect (O1). Then a refusal that is no entry says nothing of what the neighbour did, and the effect is told as unknown (O4).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import struct
from collections.abc import Callable, Coroutine, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from cardapi.http.problems import Answer
from cardapi.ids import NUMBER_MAX, home, parse_ticket_id
from cardapi.people.follow import INTERVAL_S

if TYPE_CHECKING:
    from cardapi.http.edge import Sent
    from cardapi.http.operations import Operation
    from cardapi.people.registry import Registry

TAGS = frozenset({"money", "cards"})
BODY_MAX = 1 << 16  # larger ones are done where they come in
ANSWER_MAX = 1 << 22
LINKS_MAX = 1_024  # to one neighbour
PATIENCE_S = 5.0
LOOK_S = 0.5
REST_S = 0.5  # nothing more is passed to a neighbour that is away
REST_SLOW_S = 10.0  # or did not answer in time
NEWS_S = 2 * INTERVAL_S  # what changed in the registry here is known there by then

log = logging.getLogger("cardapi.http")

Give = Callable[[bytes | None], None]
"""Takes the answer as it came. None: it was not asked, or did nothing; empty: there is none, and the request may have had its effect."""

_NAMED = re.compile(rb'"(card|ticket_id)"\s*:\s*"([0-9a-f-]{3,32})"')
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]{1,7})\r\n")
_OWN = frozenset({b"content-length", b"connection", b"date", b"x-request-id"})  # of an answer's headers: who passes it on has their own


class Neighbours:
    """The processes of one machine by number, as number `number` of them sees the others."""

    def __init__(
        self, meeting: str, number: int, count: int, partitions: int, operations: Iterable[Operation], registry: Registry
    ) -> None:  # fmt: skip
        """`meeting`: a word that they have in common and no others. The number of partitions of the shop says which are whose."""
        self.name = _name(meeting, number)
        self._partitions = partitions
        self._registry = registry
        self._revision = registry.revision
        self._news_until = 0.0
        self._others = [None if other == number else Neighbour(_name(meeting, other)) for other in range(count)]
        self._passed = frozenset(operation.id for operation in operations if _of_one_card(operation))

    def of(self, operation: Operation, body: bytes, card: str = "") -> Neighbour | None:
        """Who has the partition that a request belongs to; None where that is this process, or it names none.

        A hint and nothing more: the body was not checked, and whoever does the request looks at what it really names. Nobody either for
        a moment after a change in the registry: who revoked somebody here does not find them let in next door.
        """
        if operation.id not in self._passed or len(body) > BODY_MAX or len(card) > NUMBER_MAX or self._news():
            return None
        if card:
            return self._others[home(card, self._partitions) % len(self._others)]
        found = _NAMED.search(body)
        if found is None:
            return None
        what, name = found.groups()
        place = home(name.decode(), self._partitions) if what == b"card" else _partition(name.decode())
        return self._others[place % len(self._others)]

    def _news(self) -> bool:
        revision = self._registry.revision
        if revision != self._revision:
            self._revision, self._news_until = revision, monotonic() + NEWS_S
        elif self._news_until and monotonic() >= self._news_until:
            self._news_until = 0.0
        return self._news_until > 0

    @property
    def counts(self) -> tuple[int, int]:
        """How many requests were answered by neighbours, and how many were passed to one and done here after all."""
        others = [other for other in self._others if other is not None]
        return sum([other.answered for other in others]), sum([other.failed for other in others])

    def close(self) -> None:
        """Let go of all connections; what is under way on them is done here."""
        for other in self._others:
            if other is not None:
                other.close()


def _name(meeting: str, number: int) -> str:
    """Of a process' socket. It begins with a zero, so it is in no file system (unix(7)), and gone with the process."""
    return f"\0cardcore-{meeting}-{number}"


def _of_one_card(operation: Operation) -> bool:
    """Whether it has one effect however often it is asked, and names the card or ticket that it is about.

    Not what waits for a second person: it is a document, which whoever asked for it looks at next.
    """
    named = "{card}" in operation.path or bool({"card", "ticket_id"} & set(getattr(operation.asked, "__struct_fields__", ())))
    return operation.keyed and operation.method == "POST" and operation.tag in TAGS and named and operation.status != 202


def _partition(ticket_id: str) -> int:
    try:
        return parse_ticket_id(ticket_id)[0]
    except ValueError:
        return 0


class Neighbour:
    """One of the others: connections to it, each with one request under way at most."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._links: set[Link] = set()
        self._idle: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._away_until = 0.0
        self._looking = False
        self.answered = self.failed = 0

    def ask(self, request: bytes, give: Give) -> bool:
        """Pass a request on; `give` gets its answer later, in this loop. False: it is not to be had at present, and nothing was sent."""
        if self._away_until:
            now = monotonic()
            if now < self._away_until:
                return False
            self._away_until = now + PATIENCE_S + REST_S  # one asks whether it is there again, the others when it has answered
        if self._idle:
            self._idle.pop().ask(request, give)
        elif len(self._links) + len(self._tasks) < LINKS_MAX:
            self._begin(self._open(request, give))
        else:
            return False
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look)
        return True

    async def answer(self, sent: Sent) -> Answer | None:
        """Pass on a request of which the edge has read all that counts; None as with `ask`."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

        def give(answer: bytes | None) -> None:
            if not future.done():  # its client may have gone
                future.set_result(answer)

        answer = await future if self.ask(_request(sent), give) else None
        sent.lost = answer == b""
        return _read(answer) if answer else None

    def close(self) -> None:
        for link in list(self._links):
            link.end()

    # ---- inside
    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, request: bytes, give: Give) -> None:
        plug = None
        try:
            plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            plug.connect(self._name)  # at once, or not at all
            # Anybody may listen under a name that a process had before it died: proofs are for processes of our user.
            _, user, _ = struct.unpack("3i", plug.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if user != os.geteuid():
                raise PermissionError(f"user {user} listens")
            _, link = await asyncio.get_running_loop().create_unix_connection(lambda: Link(self), sock=plug)
            link.ask(request, give)
        except Exception:  # whatever it is, somebody waits
            if plug is not None:
                plug.close()
            self.fail(give, REST_S)

    def _look(self) -> None:
        """End what has taken too long."""
        self._looking = False
        waiting = [link for link in self._links if link.waiting]
        long_ago = monotonic() - PATIENCE_S
        for link in waiting:
            if link.since < long_ago:
                self._rest(REST_SLOW_S)
                link.end()
        if waiting or self._tasks:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _rest(self, seconds: float) -> None:
        self._away_until = max(self._away_until, monotonic() + seconds)

    # ---- what its links tell
    def opened(self, link: Link) -> None:
        self._links.add(link)

    def closed(self, link: Link) -> None:
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)

    def free(self, link: Link) -> None:
        self._idle.append(link)

    def told(self, give: Give, answer: bytes) -> None:
        """An answer came. One that says 5xx is none: it may be different here."""
        if answer[9:10] == b"5":
            self.fail(give, REST_S, lost=answer[9:12] != b"503")  # busy and not ready say that nothing was recorded
        elif answer[9:12] == b"401" and b'"code":"signature_time"' in answer:
            self.failed += 1  # it began after this was signed, and we did not: it did nothing
            _hand(give, None)
        else:
            self.answered += 1
            self._away_until = 0.0
            _hand(give, answer)

    def fail(self, give: Give, seconds: float, *, lost: bool = False) -> None:
        """There is no answer. `lost`: it was asked, and nobody knows what it did."""
        self._rest(seconds)
        self.failed += 1
        _hand(give, b"" if lost else None)


def _hand(give: Give, answer: bytes | None) -> None:
    """What breaks for its client is no matter of the link that it came by."""
    try:
        give(answer)
    except Exception:
        log.exception("an answer could not be given")


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, neighbour: Neighbour) -> None:
        self._neighbour = neighbour
        self._give: Give | None = None
        self._data = b""
        self.since = 0.0
        self._transport: Any = None

    @property
    def waiting(self) -> bool:
        """Whether a request is under way on it."""
        return self._give is not None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._neighbour.opened(self)

    def ask(self, request: bytes, give: Give) -> None:
        """One request, when none is under way."""
        assert self._give is None, "one at a time"
        self._transport.write(request)
        self._give = give
        self.since = monotonic()

    def end(self) -> None:
        """At once, whatever is under way."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            if len(data) > ANSWER_MAX:
                self.end()
            return
        length = _LENGTH.search(data, 0, head + 2)
        size = head + 4 + int(length[1]) if length else 0
        if not length or size > ANSWER_MAX or len(data) > size or self._give is None:
            self.end()  # nothing that a process of this release says
            return
        if len(data) < size:
            return
        give, self._give, self._data = self._give, None, b""
        if data.find(b"\r\nconnection: close\r\n", 0, head + 2) < 0:
            self._neighbour.free(self)
        else:
            self._transport.close()
        self._neighbour.told(give, data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._neighbour.closed(self)
        if self._give is not None:
            give, self._give = self._give, None
            self._neighbour.fail(give, REST_S, lost=True)


def _request(sent: Sent) -> bytes:
    """The request again, with what counts of its head."""
    fields = (
        (b"host", b"neighbour"), (b"authorization", sent.authorization), (b"idempotency-key", sent.key), (b"content-type", sent.media),
        (b"x-request-id", sent.request_id), (b"content-length", b"%d" % len(sent.body)),
    )  # fmt: skip
    lines = b"".join([b"%b: %b\r\n" % field for field in fields if field[1]])
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (sent.method, sent.target, lines, sent.body)


def _read(answer: bytes) -> Answer:
    """An answer's status, headers and body, without the headers that whoever sends it adds."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    headers = [(name, value) for name, _, value in (each.partition(b": ") for each in rest) if name not in _OWN]
    return int(line[9:12]), tuple(headers), body
