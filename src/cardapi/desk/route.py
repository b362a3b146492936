"""Which partition a request belongs to: its card's home, the entry it names, or (when it names neither) its client key's.

The same request always goes to the same partition, on whatever process it arrives: a retry meets its first try (O2).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

from cardapi.desk.request import Request
from cardapi.ids import home
from cardapi.people.follow import REGISTRY
from cardapi.store.fold import CLEARING_VERBS, RECORD_VERBS
from cardapi.store.port import Store

# Journaled in one partition, so that each sees the others: what makes a person or a document unique is known in one place.
REGISTRY_VERBS = frozenset({"change"}) | RECORD_VERBS | CLEARING_VERBS


def partitions_of(requests: Sequence[Request], partitions: int, store: Store) -> list[int]:
    """The partition of each request. Reads the store only for those that name their entry by key, or a medium and no card."""
    if partitions == 1:
        return [0] * len(requests)
    places = [hint(request, partitions) for request in requests]
    if -1 in places:
        keys = {request.ref_key for request, place in zip(requests, places, strict=True) if place < 0 and request.ref_key}
        media = {_medium(request) for request, place in zip(requests, places, strict=True) if place < 0 and not request.ref_key}
        by_key = {key: entry.partition for key, entry in store.find_keys(list(keys)).items()} if keys else {}
        by_medium = {name: row.account_id >> 40 for name, row in store.read_media(list(media)).items()} if media else {}
        for index, request in enumerate(requests):
            if places[index] < 0:
                places[index] = _looked_up(request, by_key, by_medium, lambda client, key: _of_key(client, key, partitions))
            by_key.setdefault((request.client, request.client_key), places[index])  # what it makes may be named later in the batch
    return places


def hint(request: Request, partitions: int) -> int:
    """The partition of a request as far as the request itself tells; -1 when the store has to be asked."""
    if request.verb in REGISTRY_VERBS:
        return REGISTRY
    if request.ref:
        return request.partition if 0 <= request.partition < partitions else 0
    if request.card:
        return home(request.card, partitions)
    if request.ref_key or _medium(request):
        return -1
    return _of_key(request.client, request.client_key, partitions)


def _looked_up(
    request: Request,
    by_key: Mapping[tuple[str, str], int],
    by_medium: Mapping[str, int],
    otherwise: Callable[[str, str], int],
) -> int:
    if request.ref_key:
        # A key nobody has used yet gets its tombstone where its own name leads (O6).
        return by_key.get(request.ref_key, otherwise(*request.ref_key))
    return by_medium.get(_medium(request), otherwise(request.client, request.client_key))


def _medium(request: Request) -> str:
    name = request.payload.get("medium", "")
    return name if isinstance(name, str) else ""


def _of_key(client: str, client_key: str, partitions: int) -> int:
    return zlib.crc32(f"{client}\0{client_key}".encode(errors="replace")) % partitions
