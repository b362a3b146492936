"""The registry in memory: units, terminals, operators, programmes, approvals, closes, sessions, reconciliations.

Small JSON documents changed only by journal entries of verb `change` (A1); the desk writes them in the same transaction
and folds them in here after the commit. Reads are plain dictionary look-ups and cost nothing on the hot path.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from cardapi.ids import is_slug
from cardapi.laws import pack as laws
from cardapi.laws.pack import InvalidLaw, Law
from cardapi.people import policy
from cardapi.people.policy import CardPolicy, MembershipPolicy
from cardcore.errors import CardcoreError
from cardcore.settlement import Programme
from cardcore.settlement.lifecycle import SUSPENDED

KINDS = ("unit", "terminal", "operator", "programme", "approval", "close", "session", "reconciliation", "law", "key", "card_batch",
         "sam", "suspension", "strays", "import", "move")  # fmt: skip
UNIT_KINDS = ("issuer", "hq", "region", "store", "counter")


_SAM = re.compile("[0-9a-f]{12}")
ONLINE_TERMINALS = "ff"
"""How the terminal ids of on-line sessions start (`cardapi.media.purse_chip`)."""
_OFFSET = re.compile("[+-](0[0-9]|1[0-4]):[0-5][0-9]")


class RegistryError(CardcoreError, ValueError):
    """A document that does not fit the registry: unknown kind, bad id, missing field, unknown parent, changed programme."""

    code = "invalid_document"


class Unit(msgspec.Struct, frozen=True):
    """A node of the organisation tree (O01). `path` runs from the issuer down to the unit itself."""

    id: str
    name: str
    kind: str
    parent: str
    path: tuple[str, ...]


class Terminal(msgspec.Struct, frozen=True):
    """A till or reader that may sign requests; it acts for one unit."""

    id: str
    unit: str
    name: str
    state: str  # "active" | "revoked"
    key_version: int


class Grant(msgspec.Struct, frozen=True):
    """A role at a unit and everything below it."""

    role: str
    unit: str


class Operator(msgspec.Struct, frozen=True):
    """A person with a password."""

    id: str
    name: str
    password: str  # argon2id hash
    state: str  # "active" | "revoked"
    grants: tuple[Grant, ...]
    made_by: str = ""  # the operator who made this login and chose its first password; "" where the shop itself did


class SamPeriod(msgspec.Struct, frozen=True, array_like=True):
    """From when on a terminal number stands for a terminal, and so for the unit to be paid; "" for nobody."""

    valid_from: int  # epoch second; it counts until the next period's
    terminal: str
    unit: str


class Sam(msgspec.Struct, frozen=True):
    """A purchase SAM by its terminal number: whose it was when (C4), and the clock its terminal keeps."""

    id: str  # 12 hex digits, lower case
    utc_offset: str  # "+08:00"
    periods: tuple[SamPeriod, ...]

    @property
    def offset_s(self) -> int:
        """Seconds its terminal's clock is ahead of UTC."""
        return (int(self.utc_offset[1:3]) * 3600 + int(self.utc_offset[4:6]) * 60) * (-1 if self.utc_offset[0] == "-" else 1)


class KeyFileMark(msgspec.Struct, frozen=True):
    """Which state of the card key file a change of keys left (`cardapi.keys.keeper`)."""

    generation: int
    digest: str  # SHA-256 of the file, hex


class ProgrammeVersion(msgspec.Struct, frozen=True):
    """One published version: immutable, valid from an epoch second until the next version's."""

    name: str
    version: int
    valid_from: int
    pack: str  # TOML text
    programme: Programme
    policy: CardPolicy
    membership: MembershipPolicy
    asks: frozenset[str]  # facts about member and place that its conditions ask for

    def deciding(self, flags: int) -> Programme:
        """The programme that decides for a card with these flags: without benefits where its membership sleeps (L10)."""
        return _asleep(self.pack) if flags & SUSPENDED else self.programme


@lru_cache(maxsize=256)
def _asleep(text: str) -> Programme:
    from cardcore.settlement import pack

    return pack.load_asleep(text)


class Registry:
    """All documents by (kind, id). Reads may come from any thread; changes come from the desk only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
        self._positions: dict[tuple[str, str], int] = {}
        self.position = 0  # of the registry's partition: every change up to it is taken in
        self._units: dict[str, Unit] = {}
        self._terminals: dict[str, Terminal] = {}
        self._operators: dict[str, Operator] = {}
        self._versions: dict[str, tuple[ProgrammeVersion, ...]] = {}
        self._key_file = KeyFileMark(0, "")
        self._sams: dict[str, Sam] = {}
        self._law: Law | None = None
        self.revision = 0  # another number after each change: what was derived from the documents holds as long as it stays

    def load(self, store: Any) -> None:
        """Read every document from the store; units first, so that paths resolve."""
        self.position = next((head.position for head in store.heads() if head.partition == 0), 0)
        rows = sorted(store.documents(), key=lambda row: KINDS.index(row[0]))
        units = [row for row in rows if row[0] == "unit"]
        for row in _parents_first(units):
            self.put(*row)
        for row in rows:
            if row[0] != "unit":
                self.put(*row)

    def check(self, kind: str, name: str, document: dict[str, Any]) -> None:
        """Raise RegistryError when this change is not allowed. Changes nothing."""
        view = self._interpret(kind, name, document, committed=False)
        if isinstance(view, Sam):
            self._need_terminals(view)

    def put(self, kind: str, name: str, data: bytes, position: int = 0) -> None:
        """Take in a committed document (JSON bytes; b"" when it was removed). One from before the one held is old news."""
        with self._lock:
            if 0 < position <= self._positions.get((kind, name), 0):
                return
            if not data:
                self.revision += 1
                self._documents[kind].pop(name, None)
                if position:
                    self._positions[kind, name] = position
                return
        document = msgspec.json.decode(data)
        view = self._interpret(kind, name, document, committed=True)
        with self._lock:
            if position:
                self._positions[kind, name] = position
            self._documents[kind][name] = document
            if isinstance(view, Unit):
                self._units[name] = view
            elif isinstance(view, Terminal):
                self._terminals[name] = view
            elif isinstance(view, Operator):
                self._operators[name] = view
            elif kind == "law":
                self._law = view if isinstance(view, Law) else None
            elif isinstance(view, KeyFileMark):
                self._key_file = max(self._key_file, view, key=lambda mark: mark.generation)
            elif isinstance(view, Sam):
                self._sams[name] = view
            elif isinstance(view, ProgrammeVersion):
                others = [v for v in self._versions.get(view.name, ()) if v.version != view.version]
                self._versions[view.name] = tuple(sorted([*others, view], key=lambda v: (v.valid_from, v.version)))
            self.revision += 1

    def document(self, kind: str, name: str) -> dict[str, Any] | None:
        """The document itself, or None. Do not change it."""
        return self._documents[kind].get(name)

    def documents(self, kind: str) -> Iterable[tuple[str, dict[str, Any]]]:
        """All (id, document) of a kind, by id."""
        return sorted(self._documents[kind].items())

    def unit(self, name: str) -> Unit | None:
        return self._units.get(name)

    def terminal(self, name: str) -> Terminal | None:
        return self._terminals.get(name)

    def sam(self, name: str) -> Sam | None:
        """A purchase SAM by its terminal number, 12 hex digits."""
        return self._sams.get(name)

    def suspended(self, terminal: str) -> bool:
        """Whether clearing waits for a person to release this terminal (control D)."""
        document = self._documents["suspension"].get(terminal)
        return document is not None and document["state"] == "suspended"

    def operator(self, name: str) -> Operator | None:
        return self._operators.get(name)

    def key_file(self) -> KeyFileMark:
        """The newest state of the card key file that was journaled; generation 0 when there was none."""
        return self._key_file

    def law(self) -> Law | None:
        """The law the shop chose, None while there is none (W1-W8)."""
        return self._law

    def entity(self, name: str) -> str:
        """The legal entity of a unit: its own, else that of the nearest unit above it; "" where nobody said (W6)."""
        unit = self._units.get(name)
        for above in reversed(unit.path if unit is not None else ()):
            entity = self._documents["unit"][above].get("entity", "")
            if entity:
                return str(entity)
        return ""

    def units(self) -> list[Unit]:
        return [unit for _, unit in sorted(self._units.items())]

    def only_programme(self) -> str:
        """The name of the one programme there is, "" when there is none or more than one."""
        return next(iter(self._versions)) if len(self._versions) == 1 else ""

    def programme_names(self) -> list[str]:
        return sorted(self._versions)

    def versions(self, name: str) -> tuple[ProgrammeVersion, ...]:
        """All versions of a programme, oldest first; empty when unknown."""
        return self._versions.get(name, ())

    def version(self, name: str, at: int) -> ProgrammeVersion | None:
        """The version valid at epoch second `at`, None when unknown or not yet valid."""
        versions = self._versions.get(name)
        if versions:
            for version in reversed(versions):
                if version.valid_from <= at:
                    return version
        return None

    def programme(self, name: str, at: int) -> Programme:
        """The compiled programme valid at epoch second `at`. Raises RegistryError when there is none."""
        version = self.version(name, at)
        if version is None:
            raise RegistryError(f"no programme {name!r} is valid at that time", programme=name)
        return version.programme

    def _interpret(self, kind: str, name: str, document: dict[str, Any], *, committed: bool) -> object:
        if kind not in KINDS:
            raise RegistryError(f"unknown kind {kind!r}")
        if document.get("id", name) != name:
            raise RegistryError("the id differs inside the document", id=name)
        try:
            if kind == "unit":
                return self._unit(name, document)
            if kind == "terminal":
                return self._terminal(name, document)
            if kind == "operator":
                return self._operator(name, document)
            if kind == "sam":
                return self._sam(name, document)
            if kind == "programme":
                return self._programme(name, document, committed=committed)
            if kind == "law":
                return self._chosen(name, document)
            if kind == "key":
                return msgspec.convert({field: document[field] for field in ("generation", "digest")}, KeyFileMark)
        except InvalidLaw as error:
            raise RegistryError(error.detail, **error.facts) from error
        except KeyError as error:
            raise RegistryError(f"{kind} {name!r} lacks {error}", id=name) from error
        except msgspec.ValidationError as error:
            raise RegistryError(f"{kind} {name!r}: {error}", id=name) from error
        return None

    @staticmethod
    def _chosen(name: str, document: dict[str, Any]) -> Law | None:
        if name != "law":
            raise RegistryError("there is one law at a time: its document is named law", id=name)
        return laws.chosen(document)

    def _unit(self, name: str, document: dict[str, Any]) -> Unit:
        _slug(name)
        if document["kind"] not in UNIT_KINDS:
            raise RegistryError(f"unit kind {document['kind']!r} is not one of {', '.join(UNIT_KINDS)}", id=name)
        parent = document.get("parent", "")
        above: tuple[str, ...] = ()
        if parent:
            known = self._units.get(parent)
            if known is None:
                raise RegistryError(f"unit {name!r} names an unknown parent", id=name, parent=parent)
            if name in known.path:
                raise RegistryError(f"unit {name!r} would be above itself", id=name, parent=parent)
            above = known.path
        before = self._units.get(name)
        if before is not None and before.parent != parent:
            raise RegistryError(f"unit {name!r} cannot move to another parent", id=name, parent=parent)
        return Unit(name, str(document["name"]), document["kind"], parent, (*above, name))

    def _terminal(self, name: str, document: dict[str, Any]) -> Terminal:
        _slug(name)
        terminal: Terminal = msgspec.convert({"id": name, **document}, Terminal)
        if terminal.state not in ("active", "revoked"):
            raise RegistryError(f"terminal state {terminal.state!r}", id=name)
        if terminal.unit not in self._units:
            raise RegistryError(f"terminal {name!r} names an unknown unit", id=name, unit=terminal.unit)
        return terminal

    def _operator(self, name: str, document: dict[str, Any]) -> Operator:
        _slug(name)
        operator: Operator = msgspec.convert({"id": name, **document}, Operator)
        if operator.state not in ("active", "revoked"):
            raise RegistryError(f"operator state {operator.state!r}", id=name)
        for grant in operator.grants:
            if grant.unit not in self._units:
                raise RegistryError(f"operator {name!r} is granted a role at an unknown unit", id=name, unit=grant.unit)
        return operator

    def _sam(self, name: str, document: dict[str, Any]) -> Sam:
        """Periods are added, never changed: what was paid under them stays paid to whom it was paid (C4)."""
        if _SAM.fullmatch(name) is None:
            raise RegistryError("a terminal number is 12 hex digits in lower case", id=name)
        if name.startswith(ONLINE_TERMINALS):  # what is paid on-line is posted by then, and its TAC goes through the station
            raise RegistryError(f"terminal numbers from {ONLINE_TERMINALS} on stand for on-line sessions, no module has them", id=name)
        sam: Sam = msgspec.convert({"id": name, **document}, Sam)
        if _OFFSET.fullmatch(sam.utc_offset) is None:
            raise RegistryError(f"{sam.utc_offset!r} is no offset such as +08:00", id=name)
        before = self._sams.get(name)
        kept = before.periods if before else ()
        if sam.periods[: len(kept)] != kept or (before and sam.utc_offset != before.utc_offset):
            raise RegistryError("what a terminal number stood for cannot change, only what it stands for next", id=name)
        starts = [period.valid_from for period in sam.periods]
        if not starts or starts[0] < 0 or any(later <= earlier for earlier, later in pairwise(starts)):
            raise RegistryError("each period of a terminal number starts after the one before it", id=name)
        return sam

    def _need_terminals(self, sam: Sam) -> None:
        """A new period names a terminal and the unit it acts for now; later the terminal may go elsewhere."""
        before = self._sams.get(sam.id)
        for period in sam.periods[len(before.periods) if before else 0 :]:
            terminal = self._terminals.get(period.terminal)
            if period.terminal and (terminal is None or terminal.unit != period.unit):
                raise RegistryError("a terminal number names an unknown terminal, or not its unit", id=sam.id, terminal=period.terminal)

    def _programme(self, name: str, document: dict[str, Any], *, committed: bool) -> ProgrammeVersion:
        """A programme document is named `<name>@<version>`; its pack never changes once published.

        `committed`: it is in the journal already, and a shop opens with what it published.
        """
        from cardcore.settlement import pack

        before = self._documents["programme"].get(name)
        if before is not None and before != document:
            raise RegistryError(f"programme {name!r} is published and cannot change", id=name)
        if not isinstance(document["pack"], str):
            raise RegistryError("a pack is text", id=name)
        programme = pack.load(document["pack"], published=committed)
        if name != f"{programme.name}@{programme.version}":
            raise RegistryError("a programme document is named <name>@<version>", id=name)
        if type(document["valid_from"]) is not int or document["valid_from"] < 0:
            raise RegistryError("valid_from is an epoch second", id=name)
        for other in self._versions.get(programme.name, ()):
            _same_places(other.programme, programme)
        policies = policy.read(document["pack"])
        return ProgrammeVersion(programme.name, programme.version, document["valid_from"], document["pack"], programme, *policies)


def _same_places(one: Programme, two: Programme) -> None:
    """Raise RegistryError unless a card of one version is the same card under the other.

    An account keeps its purses and its tier by their place in the pack: a purse that moved would turn fen into points.
    """
    if one.currency != two.currency:
        raise RegistryError(f"programme {two.name!r} is in {one.currency}; that cannot change", id=two.name)
    older, newer = (zip(p.purses, p.purse_units, p.purse_roles, strict=True) for p in (one, two))
    if any(left != right for left, right in zip(older, newer, strict=False)) or (
        len(two.purses) < len(one.purses) and two.version > one.version
    ):
        raise RegistryError("a new version keeps the purses of the others, in their order; new ones come after them", id=two.name)
    for what, first, second in (("coupons", one.coupons, two.coupons), ("gifts", one.gifts, two.gifts)):
        names = [[terms["name"] for terms in listed] for listed in (first, second)]
        if names[0][: len(names[1])] != names[1][: len(names[0])] or (len(second) < len(first) and two.version > one.version):
            raise RegistryError(f"a new version keeps the {what} of the others, in their order; new ones come after them", id=two.name)
    if any(left != right for left, right in zip(one.tiers, two.tiers, strict=False)) or (
        len(two.tiers) < len(one.tiers) and two.version > one.version
    ):
        raise RegistryError("a new version keeps the tiers of the others, in their order; new ones come after them", id=two.name)


def _slug(name: str) -> None:
    if not is_slug(name):
        raise RegistryError("an id is 1 to 32 of a-z, 0-9 and -, not starting with -", id=name)


def _parents_first(rows: list[tuple[str, str, bytes]]) -> list[tuple[str, str, bytes]]:
    """Order unit documents so that every parent precedes its children."""
    waiting = {row[1]: (msgspec.json.decode(row[2]).get("parent", ""), row) for row in rows}
    ordered: list[tuple[str, str, bytes]] = []
    while waiting:
        ready = [name for name, (parent, _) in waiting.items() if parent not in waiting]
        if not ready:
            raise RegistryError("the units form a circle")
        ordered.extend(waiting.pop(name)[1] for name in ready)
    return ordered
