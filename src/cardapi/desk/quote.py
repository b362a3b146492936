"""Price a sale from what a reader of the store sees: decided as it would be, and nothing is written."""

from __future__ import annotations

from cardapi.custody import Custody
from cardapi.desk import coupons
from cardapi.desk.facts import facts
from cardapi.desk.request import Problem, Request
from cardapi.people.registry import Registry
from cardapi.store.port import Store
from cardcore.settlement import Account, Sale, Settlement, Snapshot, decide
from cardcore.settlement.lifecycle import admit


def quoted(store: Store, request: Request, at_us: int, registry: Registry, custody: Custody) -> Settlement:
    """What a sale would be decided to now, for the desk (`Desk.quote`). Raises Problem, Declined, InvalidCommand."""
    numbers = [request.card, *request.further]
    found = store.read(numbers)
    versions = []
    snapshots = []
    for number in numbers:
        if number not in found:
            raise Problem("unknown_card", "there is no such card")
        card = found[number].card
        admit("settle", card.state, card.state_from, card.valid_until, card.flags, at_us // 1_000_000)
        version = registry.version(card.programme, at_us // 1_000_000)
        if version is None:
            raise Problem("unknown_programme", f"no programme {card.programme!r} is valid now", programme=card.programme)
        versions.append(version)
        snapshots.append((version.deciding(card.flags), Account.unpack(found[number].account.state)))
    if request.command is None:
        raise Problem("invalid_payload", "quote needs a command")
    others = [Snapshot(programme, account) for programme, account in snapshots[1:]]
    told = facts(
        lambda kind, name: store.records(kind, [name]).get(name), registry, custody, request, versions[0].asks,
        found[request.card].card.account_id, versions[0].programme,
    )  # fmt: skip
    programme, account = snapshots[0]
    lots: dict[str, int] | None = None
    if type(request.command) is Sale and request.command.coupons:
        named = coupons.named(
            request.command.coupons, found[request.card].card, account, programme, at_us,
            record=lambda kind, name: store.records(kind, [name]).get(name), by_key=lambda key: store.find_keys([key]).get(key),
        )  # fmt: skip
        account, lots = named.account, named.lots
    return decide(Snapshot(programme, account, others=others, facts=told, coupons=lots), request.command, at_us)
