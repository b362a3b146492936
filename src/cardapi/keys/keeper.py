"""The life of card keys: entered in components by different people or generated, confirmed by a second person, retired. Never shown.

Each change replaces the key file first and is journaled second; when a crash comes between, the next opening journals it from the
file. A file older than the journal is refused. What is journaled holds who, when, and check values, and no octet of a key (A1, A6).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeAlias, TypeVar

from msgspec.structs import replace

from cardapi.keys import weak
from cardapi.keys.ceremony import combined, component_octets
from cardapi.keys.errors import (
    CheckValueDiffers,
    ComponentMalformed,
    KeyFileRolledBack,
    KeyRefused,
    KeyState,
    SamePerson,
    UnknownKey,
)
from cardapi.keys.keyfile import (
    FORMAT,
    PRODUCTION,
    TEST,
    Component,
    Content,
    Event,
    Record,
    Seal,
    about_component,
    alone,
    digest,
    read,
    reread,
    stamp,
    write,
)
from cardapi.keys.known import demo_key
from cardapi.keys.port import ACTIVE, FORMING, PENDING, RETIRED, KeyStore, key_id
from cardapi.keys.protect import ROOT, Protector
from cardapi.keys.purposes import PURPOSES, purpose_of
from cardapi.keys.vault import HELD, FileVault, Vault
from cardcore.crypto import Key, wipe

COMPONENTS_MIN: Final = 2
COMPONENTS_MAX: Final = 5
VERSION_MAX: Final = 255
CHECK_DIGITS_MIN: Final = 6
STORE: Final = "store"
"""The id under which the journal tells of the store as a whole."""


class Journal(Protocol):
    """Where changes are told, and what was told last: (generation, digest) of the file, (0, "") when nothing was."""

    def newest(self) -> tuple[int, str]: ...
    def record(self, name: str, document: dict[str, Any], event: Event) -> None: ...


MakeVault: TypeAlias = Callable[[Sequence[Record], Seal], Vault]


P = ParamSpec("P")
R = TypeVar("R")


def _change(method: Callable[Concatenate[Keeper, P], R]) -> Callable[Concatenate[Keeper, P], R]:
    """A change of the newest file there is, by one process at a time."""

    @functools.wraps(method)
    def changing(self: Keeper, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with alone(self._path):
            self.refresh()
            return method(self, *args, **kwargs)

    return changing


class Keeper:
    """An opened key file. Made by `create` or `open`; one for each process of a shop.

    Every change names who makes it (`by`) and when (`at`, epoch seconds), and raises KeyStoreError leaves without having changed anything.
    """

    def __init__(self, path: Path, content: Content, seal: Seal, journal: Journal, make_vault: MakeVault) -> None:
        self._path, self._content, self._seal, self._journal = path, content, seal, journal
        self._stamp = stamp(path)
        self._refreshing = threading.Lock()
        self._vault = make_vault(content.keys, seal)
        self._vault.store.watch(self.refresh)

    @classmethod
    def create(
        cls, path: Path, protector: Protector, journal: Journal, *, mode: str, by: str, at: int, after_loss: bool = False,
        make_vault: MakeVault = FileVault,
    ) -> Self:  # fmt: skip
        """Begin a new file; with `after_loss` in the place of one that is gone with its keys.

        Raises KeyState when there is one, or was, and in production without more than the root secret.
        """
        with alone(path):
            generation = journal.newest()[0]
            if path.exists() or (generation and not after_loss):
                raise KeyState(f"{path} exists already, or the journal knows of one")
            _require_guard(mode, protector.kind)
            protection = protector.fresh()
            seal = Seal(protector.key(protection), protection)
            made = cls(path, Content(FORMAT, generation, mode, protection, "", Event("made")), seal, journal, make_vault)
            made._commit((), Event("made", "", by, at, reason="the file before was lost" if generation else ""))
            return made

    @classmethod
    def open(
        cls, path: Path, protector: Protector, journal: Journal, *, read_only: bool = False, make_vault: MakeVault = FileVault
    ) -> Self:
        """Open a file that is not older than the journal. Raises KeyFileRolledBack, and as `keyfile.read`."""
        before = stamp(path)
        content, seal, mark = read(path, protector)
        generation = _not_older(path, content.generation, mark, journal)
        opened = cls(path, content, seal, journal, make_vault)
        opened._stamp = before  # of a file written since, the first use will read
        if content.generation > generation and not read_only:
            opened._tell(mark)
        return opened

    def refresh(self) -> None:
        """Take in what another process wrote. Costs a look at the file where nothing is new; one that is gone changes nothing.

        Raises KeyFileRolledBack when the journal knows a newer file than lies here, WrongPassphrase when it was sealed anew,
        and as `keyfile.read`.
        """
        with self._refreshing:
            found = stamp(self._path)
            if found is not None and found != self._stamp:
                content, mark = reread(self._path, self._seal)
                _not_older(self._path, content.generation, mark, self._journal)
                self._vault.renew(content.keys, self._seal)
                self._content, self._stamp = content, found
            else:
                _not_older(self._path, self.generation, "", self._journal)

    # ---------------------------------------------------------------- what there is
    @property
    def store(self) -> KeyStore:
        """The port, which sees every later change."""
        return self._vault.store

    @property
    def mode(self) -> str:
        """TEST or PRODUCTION."""
        return self._content.mode

    @property
    def protection(self) -> str:
        """What opens the file: root, passphrase or module."""
        return self._content.protection.kind

    @property
    def generation(self) -> int:
        """How often the file was written."""
        return self._content.generation

    def records(self) -> tuple[Record, ...]:
        """All keys with who did what; sealed octets included, which tell nothing."""
        self.refresh()
        return self._content.keys

    def record(self, key: str) -> Record:
        """Raises UnknownKey."""
        self.refresh()
        for record in self._content.keys:
            if record.id == key:
                return record
        raise UnknownKey(f"there is no key {key!r}", key=key)

    def next_version(self, purpose: str, algorithm: str) -> int:
        """The version a new key gets, or that of the one whose components are being entered."""
        taken = [r for r in self._content.keys if (r.purpose, r.algorithm) == (purpose, algorithm)]
        forming = [r.version for r in taken if r.state == FORMING]
        return forming[0] if forming else max((r.version for r in taken), default=0) + 1

    # ---------------------------------------------------------------- making
    @_change
    def generate(self, purpose: str, algorithm: str, version: int, *, by: str, at: int) -> Record:
        """A random key that nobody has seen; `pending` until someone else activates it."""
        blank = self._blank(purpose, algorithm, version)
        record = replace(blank, state=PENDING, origin="generated", made_by=by, made_at=at)
        return self._formed(record, lambda: self._vault.generate(record), Event("generated", record.id, by, at))

    @_change
    def component(
        self, purpose: str, algorithm: str, version: int, number: int, count: int, text: str, *, by: str, at: int,
        expected: str = "", expected_key: str = "",
    ) -> Record:  # fmt: skip
        """Enter one of `count` components, as hex; the last one forms the key, which is then `pending`.

        expected, expected_key: check values on the custodian's paper, of this component and of the whole key; the latter is looked at
        when the key is formed. Raises ComponentMalformed, CheckValueDiffers, SamePerson, KeyRefused, KeyState.
        """
        record = self._begun(purpose, algorithm, version, count)
        if count != record.component_count or not 1 <= number <= count or any(part.number == number for part in record.components):
            raise ComponentMalformed(f"component {number} of {count} has no place in {record.id}, or is there already", key=record.id)
        if any(part.by == by for part in record.components):
            raise SamePerson("whoever entered one component of a key enters no other", key=record.id)
        octets = component_octets(text)
        try:
            return self._entered(record, number, octets, by, at, expected, expected_key)
        finally:
            wipe(octets)

    def _begun(self, purpose: str, algorithm: str, version: int, count: int) -> Record:
        for record in self._content.keys:
            if record.id == key_id(purpose, algorithm, version) and record.state == FORMING:
                return record
        if not COMPONENTS_MIN <= count <= COMPONENTS_MAX:
            raise ComponentMalformed(f"a key has {COMPONENTS_MIN} to {COMPONENTS_MAX} components")
        return replace(self._blank(purpose, algorithm, version), origin="components", component_count=count)

    def _entered(self, record: Record, number: int, octets: bytearray, by: str, at: int, expected: str, expected_key: str) -> Record:
        with_check = Key(record.algorithm, octets).check_value.hex()
        _compare(with_check, expected, "component")
        # A component of zeros, or one that all the world knows, leaves the key to the other people alone.
        _refuse(weak.fault(record.algorithm, octets) or weak.known(octets) * (self.mode == PRODUCTION), "component")
        part = Component(number, by, at, with_check)
        part = replace(part, sealed=self._seal.close(octets, about_component(record, part)))
        parts = tuple(sorted((*record.components, part), key=lambda one: one.number))
        record = replace(record, components=parts)
        event = Event("component", record.id, by, at, number)
        if len(parts) < record.component_count:
            self._commit(self._with(record), event)
            return record
        whole = combined([self._seal.open(one.sealed, about_component(record, one)) for one in parts])
        try:
            shown = Key(record.algorithm, whole).check_value.hex()
            _compare(shown, expected_key, "key")
            test = self._admit(record, whole)
            cleared = tuple(replace(one, sealed="") for one in parts)
            formed = replace(record, state=PENDING, components=cleared, made_by=by, made_at=at, test=test)
            return self._formed(formed, lambda: self._vault.take(formed, whole), event)
        finally:
            wipe(whole)

    def _admit(self, record: Record, octets: bytearray) -> bool:
        """Whether these octets are a test key. Raises KeyRefused for what is no key, or none for production (control Y)."""
        _refuse(weak.fault(record.algorithm, octets), "key")
        known = weak.known(octets)
        if known and self.mode == PRODUCTION:
            _refuse(known, "key")
        return bool(known)

    def _blank(self, purpose: str, algorithm: str, version: int) -> Record:
        name = key_id(purpose, algorithm, version)
        if algorithm not in purpose_of(purpose).algorithms:
            raise KeyState(f"{purpose} keys are {' or '.join(purpose_of(purpose).algorithms)}")
        if not 1 <= version <= VERSION_MAX:
            raise KeyState(f"a version is 1 to {VERSION_MAX}: cards have one octet for it")
        if any(record.id == name for record in self._content.keys):
            raise KeyState(f"{name} exists already; a version is never used again", key=name)
        return Record(name, purpose, algorithm, version, FORMING)

    def _formed(self, record: Record, keep: Callable[[], str], event: Event) -> Record:
        """Put the octets into the vault and the record into the file, both or neither."""
        try:
            record = replace(record, check_value=keep())
            for other in self._content.keys:
                # One key for one purpose (control Y), told by check values, since not every vault lets octets be compared.
                if other.algorithm == record.algorithm and other.check_value == record.check_value:
                    raise KeyRefused(f"it is the same key as {other.id}: each purpose and version has its own", key=other.id)
            mark = self._write(self._with(record), event)
        except BaseException:
            self._vault.drop(record)
            raise
        self._tell(mark)
        return record

    # ---------------------------------------------------------------- life
    @_change
    def activate(self, key: str, *, by: str, at: int, valid_from: int = 0, valid_to: int = 0) -> Record:
        """Confirm a pending key, from `valid_from` (now when 0) up to `valid_to` (open when 0). Raises KeyState, SamePerson."""
        record = self.record(key)
        if record.state != PENDING:
            raise KeyState(f"{key} is {record.state}, not pending", key=key)
        if record.made_by == by:
            raise SamePerson("whoever made a key does not confirm it", key=key)
        valid_from = valid_from or at
        if valid_to and valid_to <= valid_from:
            raise KeyState("a key is valid up to a later time than from", key=key)
        after = replace(record, state=ACTIVE, valid_from=valid_from, valid_to=valid_to, activated_by=by, activated_at=at)
        self._commit(self._with(after), Event("activated", key, by, at))
        return after

    @_change
    def retire(self, key: str, *, by: str, at: int, ends: int = 0, reason: str = "") -> Record:
        """Give a key to no further card; from `ends` on (never when 0) serve no card and no record with it either (R5).

        Alone and at once, because it only takes away. An end can be brought forward and not put off. Raises KeyState.
        """
        record = self.record(key)
        if record.state not in (ACTIVE, RETIRED):
            raise KeyState(f"{key} is {record.state}: discard it instead", key=key)
        if record.valid_to and ends > record.valid_to:
            raise KeyState(f"{key} ends earlier than that already", key=key)
        ends = ends or record.valid_to
        if record.state == RETIRED and ends == record.valid_to:
            raise KeyState(f"{key} is retired already", key=key)
        after = replace(record, state=RETIRED, valid_to=ends, retired_by=by, retired_at=at)
        self._commit(self._with(after), Event("retired", key, by, at, reason=reason))
        return after

    @_change
    def discard(self, key: str, *, by: str, at: int) -> None:
        """Drop a key that was never in use, or a test key. Raises KeyState."""
        record = self.record(key)
        if record.state not in (FORMING, PENDING) and not record.test:
            raise KeyState(f"{key} is {record.state}: records may name it, so it stays", key=key)
        mark = self._write(tuple(r for r in self._content.keys if r.id != key), Event("discarded", key, by, at))
        self._vault.drop(record)
        self._tell(mark)

    @_change
    def set_production(self, *, by: str, at: int, drop_test_keys: bool = False) -> None:
        """Leave test mode for good. Raises KeyState while the file opens with the root secret alone or holds test keys."""
        if self.mode == PRODUCTION:
            raise KeyState("this store is in production already")
        _require_guard(PRODUCTION, self.protection)
        test = [record for record in self._content.keys if record.test]
        if test and not drop_test_keys:
            raise KeyState(f"{len(test)} test keys are in the store ({test[0].id} ...): discard them first", keys=[r.id for r in test])
        kept = tuple(record for record in self._content.keys if not record.test)
        mark = self._write(kept, Event("production", "", by, at), mode=PRODUCTION)
        for record in test:
            self._vault.drop(record)
        self._tell(mark)

    @_change
    def protect(self, protector: Protector, *, by: str, at: int) -> None:
        """Seal everything anew under another passphrase, or under one for the first time. Raises KeyState."""
        _require_guard(self.mode, protector.kind)
        protection = protector.fresh()
        fresh = Seal(protector.key(protection), protection)
        keys = []
        for record in self._content.keys:
            opened = [(part, self._seal.open(part.sealed, about_component(record, part))) for part in record.components if part.sealed]
            again = {part.number: fresh.close(octets, about_component(record, part)) for part, octets in opened}
            for _, octets in opened:
                wipe(octets)
            parts = tuple(replace(part, sealed=again.get(part.number, "")) for part in record.components)
            keys.append(replace(record, components=parts))
        self._commit(tuple(keys), Event("protected", "", by, at), seal=fresh)

    @_change
    def add_demo_keys(self, *, by: str, at: int) -> None:
        """The card simulator's keys, active for ever, for a shop to try things in. Raises KeyState in production."""
        if self.mode != TEST:
            raise KeyState("test keys are for stores in test mode")
        records = list(self._content.keys)
        for purpose in PURPOSES.values():
            for algorithm in purpose.algorithms:
                record = replace(self._blank(purpose.name, algorithm, 1), state=ACTIVE, test=True, origin="demo")
                shown = self._vault.take(record, demo_key(purpose.name))
                records.append(replace(record, check_value=shown, made_by=by, made_at=at, activated_by=by, activated_at=at))
        self._commit(tuple(records), Event("demo", "", by, at))

    # ---------------------------------------------------------------- writing
    def _with(self, record: Record) -> tuple[Record, ...]:
        """All records with this one in its place."""
        others = [other for other in self._content.keys if other.id != record.id]
        return tuple(sorted((*others, record), key=lambda one: (one.purpose, one.algorithm, one.version)))

    def _commit(self, records: tuple[Record, ...], event: Event, *, seal: Seal | None = None) -> None:
        self._tell(self._write(records, event, seal=seal))

    def _write(self, records: tuple[Record, ...], event: Event, *, mode: str = "", seal: Seal | None = None) -> str:
        """Replace the file; its digest, with which `_tell` journals the change."""
        seal = seal or self._seal
        sealed = tuple(replace(r, sealed=self._vault.sealed(r, seal) if r.state in HELD else "") for r in records)
        content = replace(
            self._content, generation=self.generation + 1, mode=mode or self.mode, protection=seal.protection,
            verifier=seal.verifier, last=event, keys=sealed,
        )  # fmt: skip
        with self._refreshing:
            data = write(self._path, content, seal)
            self._content, self._seal, self._stamp = content, seal, stamp(self._path)
            self._vault.store.refresh([record.info() for record in sealed])
        return digest(data)

    def _tell(self, mark: str) -> None:
        """Journal the last change of the file: once, since the generation names it."""
        event = self._content.last
        document: dict[str, Any] = {
            "id": event.key or STORE, "event": event.what, "by": event.by, "at": event.at, "mode": self.mode,
            "protection": self.protection, "generation": self.generation, "digest": mark,
        }  # fmt: skip
        for record in self._content.keys:
            if record.id == event.key:
                shown = {"purpose", "algorithm", "version", "state", "check_value", "valid_from", "valid_to", "test", "origin"}
                document |= {name: getattr(record, name) for name in sorted(shown)}
                document["components"] = [{"number": c.number, "by": c.by, "check_value": c.check_value} for c in record.components]
        self._journal.record(document["id"], document, event)


def _not_older(path: Path, generation: int, mark: str, journal: Journal) -> int:
    """The generation that the journal knows. Raises KeyFileRolledBack for an older file, or another one ("": not asked) of the same age."""
    known, journaled = journal.newest()
    if generation < known or (generation == known and mark not in ("", journaled)):
        raise KeyFileRolledBack(
            f"{path} is generation {generation}, the journal knows generation {known}: put the newest one back",
            generation=generation,
            journaled=known,
        )
    return known


def _require_guard(mode: str, protection: str) -> None:
    if mode == PRODUCTION and protection == ROOT:
        raise KeyState("in production the key file opens with a passphrase or a security module, not with the root secret beside it")


def _refuse(reason: str, what: str) -> None:
    if reason:
        raise KeyRefused(f"this {what} is refused: {reason}", reason=reason)


def _compare(shown: str, expected: str, what: str) -> None:
    typed = expected.replace(" ", "").lower()
    if typed and (len(typed) < CHECK_DIGITS_MIN or not shown.startswith(typed)):
        raise CheckValueDiffers(f"the check value of the {what} is {shown}, not {expected}; nothing was kept", check_value=shown)
