"""Several writers in one process, for a server store: while one waits for its commit, another decides.

A lane is a desk of its own with a connection of its own. A request goes to the lane its partition falls to, so lanes seldom
want the same partition; where they do (a transfer between cards of two lanes), the store lets one write at a time, as it does
between processes. So any lane may do any request, and nothing is shared but the registry and the checkpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from cardapi.desk.request import Problem, Request
from cardapi.desk.route import hint
from cardapi.desk.writer import Answer, Checkpoints, Desk, Parts, Taker
from cardapi.measures import Commits
from cardapi.store.port import Head, Store
from cardcore.errors import CardcoreError


class _Told:
    """The checkpoints as a further lane sees them: it tells, and does not end them."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.committed = checkpoints.committed

    def stop(self) -> None:
        """The first lane does."""


class _Lane(Desk):
    """A further lane; when it fails the whole desk has failed (F2)."""

    whole: Lanes

    def fail(self, error: CardcoreError) -> None:
        super().fail(error)
        self.whole.fail(error)


class Lanes(Desk):
    """A desk whose first lane is itself. The doorways are the same."""

    def __init__(self, stores: Sequence[Store], parts: Parts) -> None:
        """`stores`: one for each lane; all but the first are closed with the desk."""
        share = replace(parts, queue_max=max(1, parts.queue_max // len(stores)))
        super().__init__(stores[0], share)
        self._stores = stores
        self._lanes: list[Desk] = [self]
        if parts.checkpoints is not None:
            share = replace(share, checkpoints=_Told(parts.checkpoints))
        for store in stores[1:]:
            lane = _Lane(store, share)
            lane.whole = self
            self._lanes.append(lane)

    # ------------------------------------------------------------ life
    def start(self) -> None:
        super().start()
        for lane in self._lanes[1:]:
            lane.start()

    def stop(self) -> None:
        for lane, store in zip(self._lanes[1:], self._stores[1:], strict=True):
            lane.stop()
            store.close()
        super().stop()

    def fail(self, error: CardcoreError) -> None:
        super().fail(error)
        for lane in self._lanes[1:]:
            Desk.fail(lane, error)

    @property
    def heads(self) -> list[Head]:
        furthest: dict[int, Head] = {}
        for lane in self._lanes:
            for head in Desk.heads.fget(lane):  # type: ignore[attr-defined]  # the property of each lane by itself
                if head.partition not in furthest or head.position > furthest[head.partition].position:
                    furthest[head.partition] = head
        return [head for _, head in sorted(furthest.items())]

    @property
    def waiting(self) -> int:
        return sum(lane._waiting for lane in self._lanes)

    @property
    def commits(self) -> Commits:
        return Commits.sum(lane._commits for lane in self._lanes)

    def stalled_s(self) -> float:
        return max(Desk.stalled_s(lane) for lane in self._lanes)

    # ------------------------------------------------------------ doorways
    def hand_in(self, request: Request, taker: Taker) -> None:
        Desk.hand_in(self._lane(request), request, taker)

    async def execute_many(self, requests: Sequence[Request]) -> list[Answer]:
        parts = self._divided(requests)
        if len(parts) == 1:
            ((lane, _),) = parts.items()
            return await (super().execute_many(requests) if lane == 0 else self._lanes[lane].execute_many(requests))
        answers: list[Answer | None] = [None] * len(requests)
        running = [
            (Desk.execute_many(self._lanes[lane], [requests[place] for place in places]), places) for lane, places in parts.items()
        ]
        done = await asyncio.gather(*(part for part, _ in running), return_exceptions=True)
        for (_, places), part in zip(running, done, strict=True):
            _put_back(answers, places, part)
        return answers  # type: ignore[return-value]  # every place belongs to a lane

    def call_many(self, requests: Sequence[Request]) -> list[Answer]:
        parts = self._divided(requests)
        if len(parts) <= 1:
            only = self._lanes[next(iter(parts), 0)]
            return super().call_many(requests) if only is self else only.call_many(requests)
        answers: list[Answer | None] = [None] * len(requests)
        running: list[tuple[Future[list[Answer]] | BaseException, list[int]]] = []
        for lane, places in parts.items():
            try:
                running.append((self._lanes[lane].begin([requests[place] for place in places]), places))
            except Problem as problem:
                running.append((problem, places))
        for part, places in running:
            _put_back(answers, places, part if isinstance(part, BaseException) else part.result())
        return answers  # type: ignore[return-value]  # every place belongs to a lane

    # ------------------------------------------------------------ inside
    def _lane(self, request: Request) -> Desk:
        return self._lanes[max(0, hint(request, self._sides.count)) % len(self._lanes)]

    def _divided(self, requests: Sequence[Request]) -> dict[int, list[int]]:
        """Lane -> places of its requests. Requests that name each other by key, or the same key, stay together, in order."""
        keys = {(request.client, request.client_key) for request in requests}
        if len(keys) < len(requests) or any(request.ref_key for request in requests):
            return {0: list(range(len(requests)))}
        parts: dict[int, list[int]] = {}
        for place, request in enumerate(requests):
            parts.setdefault(max(0, hint(request, self._sides.count)) % len(self._lanes), []).append(place)
        return parts


def _put_back(answers: list[Answer | None], places: Sequence[int], part: list[Answer] | BaseException) -> None:
    if isinstance(part, CardcoreError):
        part = [part] * len(places)
    elif isinstance(part, BaseException):
        raise part
    for place, answer in zip(places, part, strict=True):
        answers[place] = answer
