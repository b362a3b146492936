"""From journal entries to messages: which entry calls for which, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cardapi.members import model as members
from cardapi.messages.model import Message
from cardapi.messages.templates import yuan
from cardapi.people.follow import REGISTRY
from cardapi.people.registry import Registry
from cardapi.store.fold import MONEY_VERBS, is_settlement, unpack_records
from cardapi.store.port import Entry, Record, Store
from cardcore.settlement import Settlement

STALE_S = 86_400  # nobody wants to hear today of what happened last week

MONEY = {
    "settle": "spent", "capture": "spent", "pay": "spent", "clear": "spent", "topup": "topped_up", "refund": "given_back",
    "void": "given_back", "reverse": "given_back", "transfer": "transferred",
}  # fmt: skip
STEPS = {"lost": "card_lost", "set_pin": "pin_changed"}

Made = tuple[str, Message]


class Collector:
    """Knows who holds what. One thread at a time."""

    def __init__(self, store: Store, registry: Registry, channels: Callable[[], frozenset[str]]) -> None:
        self._store = store
        self._registry = registry
        self._channels = channels
        self._held: dict[str, Record] = {}
        self._since: dict[int, int] = {}  # position of a holding's entry -> its time, as far as asked

    def expect(self, entries: Sequence[Entry]) -> None:
        """Read who holds the accounts of these entries in one go: on most shops' sales, nobody."""
        names = {members.account_name(entry.account_id) for entry in entries if entry.account_id}
        self._held = self._store.records("holding", sorted(names)) if names else {}

    def of(self, entry: Entry, now: int) -> list[Made]:
        """The messages an expected entry calls for: one for each channel that its member agreed to and the shop has."""
        if entry.outcome != "applied" or entry.at_us // 1_000_000 < now - STALE_S:
            return []
        if entry.verb in MONEY_VERBS and is_settlement(entry):
            member = self._holder(entry)
            told = self._money(entry) if member else []
        elif entry.verb in STEPS:
            told, member = [(STEPS[entry.verb], {"card": entry.card[-4:]})], self._holder(entry)
        elif entry.verb == "enrol":
            told, member = [("welcome", {})], members.member_id(entry.partition, entry.position)
        elif entry.verb == "member_state":
            told, member = self._state(entry)
        else:
            return []
        return self.to(member, f"{entry.partition:02x}-{entry.position:012x}", told, entry.unit, now) if member else []

    def to(self, member: str, about: str, told: list[tuple[str, dict[str, str | int]]], unit: str, now: int) -> list[Made]:
        """Messages to a member, over what it agreed to; nothing for one who left or was merged."""
        record = self._store.records("member", [member]).get(member)
        known = members.from_record(record) if record is not None else None
        if known is None or known.state not in ("active", "suspended"):
            return []
        shop = self._registry.unit(unit)
        facts: dict[str, str | int] = {"shop": shop.name if shop else ""}
        return [
            (f"{about}:{template}:{channel}", Message(member, channel, template, {**facts, **more}, now, next_at=now))
            for template, more in told
            for channel in known.consents
            if channel in self._channels()
        ]

    def _holder(self, entry: Entry) -> str:
        """Who held the account when the entry was made, "" for nobody and for who came later: that is none of their business."""
        held = self._held.get(members.account_name(entry.account_id))
        return held.body.decode() if held is not None and self._was_held(held, entry) else ""

    def _was_held(self, held: Record, entry: Entry) -> bool:
        """Positions compare within a partition; members are in the first, and of an account elsewhere the time has to tell."""
        if entry.partition == REGISTRY:
            return held.changed_at < entry.position
        since = self._since.get(held.changed_at)
        if since is None:
            linked = self._store.entry(REGISTRY, held.changed_at)
            assert linked is not None, "a holding has its entry"
            since = self._since[held.changed_at] = linked.at_us
        return since <= entry.at_us

    def _money(self, entry: Entry) -> list[tuple[str, dict[str, str | int]]]:
        done = Settlement.unpack(entry.body)
        told: list[tuple[str, dict[str, str | int]]] = []
        facts: dict[str, str | int] = {
            "card": entry.card[-4:], "amount": yuan(done.net_fen), "balance": yuan(done.after_money_fen), "points": done.after_points,
        }  # fmt: skip
        if entry.verb == "transfer" and not done.net_fen:
            told.append(("points_moved", {**facts, "count": done.points_used}))
        elif entry.verb in MONEY and not (entry.verb == "void" and done.hold_position):
            told.append((MONEY[entry.verb], facts))
        if done.tier_after != done.tier_before:
            told.append(("tier", {"tier": self._tier(entry.card, done)}))
        return told

    def _tier(self, card: str, done: Settlement) -> str:
        found = self._store.read([card]).get(card)
        for version in self._registry.versions(found.card.programme) if found else ():
            if version.version == done.programme_version:
                return version.programme.tiers[done.tier_after]
        return "-"

    def _state(self, entry: Entry) -> tuple[list[tuple[str, dict[str, str | int]]], str]:
        (row,) = unpack_records(entry.body).after
        state = members.from_record(row)
        return ([("suspended", {})] if state.state == "suspended" and state.asleep else []), row.id
