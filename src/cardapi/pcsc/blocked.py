"""The till's own copy of the list of blocked cards: fetched while the service answers, believed by its MAC, asked before every payment."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from cardapi.pcsc.errors import PcscError
from cardcore.clearing import blocked
from cardcore.clearing.blocked import Blocked

TRIES = 4
PAGE = 5_000
STALE = frozenset({"cursor_malformed"})
"""Codes with which the service says that it does not keep the list any more whose pages were asked for."""


class NotGenuineList(PcscError):
    """A list of blocked cards that this till's own service did not make, or a file that was changed."""

    code = "list_not_genuine"
    advice = "take the file away, and let the till fetch the list while the service answers"


class ListTooOld(PcscError):
    """There is no list of blocked cards, or it is older than the till may go by."""

    code = "list_too_old"
    advice = "let the till reach the service once: cardcore reader blocked"


class CardBlocked(PcscError):
    """The card is on the list of blocked cards."""

    code = "card_blocked"
    advice = "take no money from it and give nothing out; its holder may ask the issuer"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    terminal: str
    version: int
    digest: str
    mac: str
    rows: list[Blocked]


class BlockedCards:
    """One list, whole and checked. `version`: the second up to which it has every blocked card."""

    def __init__(self, terminal: str, key: bytes, version: int, rows: list[Blocked], digest: str, mac: str) -> None:
        """key: the terminal's own, by which it knows its service. Raises NotGenuineList."""
        self.terminal, self.version, self.rows = terminal, version, rows
        self._digest, self._mac = digest, mac
        own = blocked.digest(rows)
        made = blocked.mac(key, terminal, version, len(rows), own)
        if own.hex() != digest or not hmac.compare_digest(made.hex(), mac):
            raise NotGenuineList("the list of blocked cards was not made for this till by its service")
        self._by_medium = {row.medium: row for row in rows}

    def need_free(self, medium: str, now: int) -> None:
        """Raises CardBlocked for a medium that is blocked at epoch second `now`."""
        row = self._by_medium.get(medium)
        if row is not None and row.since <= now:
            raise CardBlocked(f"this card is {row.state}", state=row.state)

    @classmethod
    def read(cls, path: Path, terminal: str, key: bytes) -> Self | None:
        """The list in a file; None where there is none. Raises NotGenuineList."""
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise NotGenuineList(f"{path} is no list of blocked cards") from error
        if file.terminal != terminal:
            raise NotGenuineList(f"{path} was made for the terminal {file.terminal}, this is {terminal}")
        return cls(terminal, key, file.version, file.rows, file.digest, file.mac)

    def write(self, path: Path) -> None:
        """Put the list in the place of an older one, durably and at once."""
        data = msgspec.json.encode(_File(self.terminal, self.version, self._digest, self._mac, self.rows))
        beside = path.with_name(f"{path.name}.{os.getpid()}.new")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    @classmethod
    def fetch(cls, ask: Callable[[dict[str, Any]], Any], terminal: str, key: bytes, known: BlockedCards | None = None) -> Self:
        """The newest list of the service: what changed since the known one, or the whole. ask: operation blockedCards by its query.

        Raises NotGenuineList, and the service's errors.
        """
        refused: Exception | None = None
        for _ in range(TRIES):
            try:
                return cls._fetch(ask, terminal, key, known)
            except NotGenuineList as error:  # what was known may not go with the changes: the whole list tells
                refused, known = error, None
            except Exception as error:
                if getattr(error, "code", "") not in STALE:
                    raise
                refused = error
        assert refused is not None, "there was a try"
        raise refused

    @classmethod
    def _fetch(cls, ask: Callable[[dict[str, Any]], Any], terminal: str, key: bytes, known: BlockedCards | None) -> Self:
        query: dict[str, Any] = {"since": known.version if known is not None else 0, "limit": PAGE, "cursor": ""}
        page = ask(query)
        changes: list[Blocked] = []
        while True:
            changes += [Blocked(row["medium"], row["state"], row["since"]) for row in page["cards"]]
            if not page["next_cursor"]:
                break
            page = ask({**query, "cursor": page["next_cursor"]})
        base = known.rows if known is not None and page["since"] == known.version else []
        if known is not None and page["version"] < known.version:
            raise NotGenuineList("the service gave an older list than it gave before")
        return cls(terminal, key, page["version"], blocked.merge(base, changes), page["digest"], page["mac"])


def need_young(cards: BlockedCards | None, now: int, age_s: int) -> None:
    """Raises ListTooOld where there is no list, or it is older than `age_s` seconds. 0 asks for none."""
    if not age_s:
        return
    if cards is None:
        raise ListTooOld("this till has no list of blocked cards")
    if now - cards.version > age_s:
        raise ListTooOld(f"the list of blocked cards is {(now - cards.version) // 3600} hours old", version=cards.version)
