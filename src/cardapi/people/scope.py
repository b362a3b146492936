"""Who is calling and how far it reaches (R1, R2): always taken from the session or the signing terminal, never from a body."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol

import msgspec

from cardapi.people import roles


class _Unit(Protocol):
    @property
    def path(self) -> tuple[str, ...]: ...


class Units(Protocol):
    """What scope needs of the registry."""

    def unit(self, name: str) -> _Unit | None: ...


class _Grant(Protocol):
    @property
    def role(self) -> str: ...
    @property
    def unit(self) -> str: ...


class _Operator(Protocol):
    @property
    def made_by(self) -> str: ...
    @property
    def grants(self) -> Sequence[_Grant]: ...


class People(Units, Protocol):
    """What telling people apart needs of the registry."""

    def operator(self, name: str) -> _Operator | None: ...


class Reach(msgspec.Struct, frozen=True):
    """One role and the unit below which it holds."""

    role: str
    unit: str


class Caller(msgspec.Struct, frozen=True):
    """An authenticated principal. `unit` is where its entries are booked."""

    client: str  # "terminal:<id>" | "operator:<id>", as in the journal
    unit: str
    terminal: str = ""
    operator: str = ""
    session: str = ""  # id of the session, for logout
    reach: tuple[Reach, ...] = ()

    def has_role(self, allowed: Container[str]) -> bool:
        """Whether any of its roles is among `allowed`, wherever it holds."""
        return any(own.role in allowed for own in self.reach)


def terminal_caller(terminal: str, unit: str) -> Caller:
    """A terminal acts for its own unit and nothing else."""
    return Caller(f"terminal:{terminal}", unit, terminal=terminal, reach=(Reach(roles.TERMINAL, unit),))


def within(units: Units, unit: str, top: str) -> bool:
    """Whether `unit` is `top` or below it. An unknown unit is within nothing."""
    found = units.unit(unit)
    return found is not None and top in found.path


def reaches(units: Units, caller: Caller, unit: str, allowed: Container[str]) -> bool:
    """Whether one of the caller's allowed roles holds at `unit`."""
    return any(own.role in allowed and within(units, unit, own.unit) for own in caller.reach)


def may_grant(units: Units, caller: Caller, role: str, unit: str) -> bool:
    """Whether the caller itself holds a role that covers `role` at `unit` or above it (R3)."""
    return any(roles.covers(own.role, role) and within(units, unit, own.unit) for own in caller.reach)


def same_hand(people: People, one: str, other: str) -> bool:
    """Whether two operators count as one person where two are asked for (R3).

    Whoever makes a login chooses its password and can use it: so a login, those it made and those that made it are one hand. The
    admins of the whole shop make everybody's logins and are trusted with that; they make no two people one.
    """
    return not _hands(people, one).isdisjoint(_hands(people, other))


def _hands(people: People, name: str) -> set[str]:
    """Who can act under this login: itself, who made it, who made that one, and so on up to the shop's admins."""
    hands = {name}
    found = people.operator(name)
    while found is not None and found.made_by and found.made_by not in hands:
        maker = people.operator(found.made_by)
        if maker is not None and _runs_the_shop(people, maker):
            break
        hands.add(found.made_by)
        found = maker
    return hands


def _runs_the_shop(people: People, operator: _Operator) -> bool:
    """Whether an operator is admin at a topmost unit."""
    for grant in operator.grants:
        unit = people.unit(grant.unit)
        if grant.role == roles.ADMIN and unit is not None and len(unit.path) == 1:
            return True
    return False
