"""`cardcore reader blocked`, and how a till off line comes by its list of blocked cards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Url
from cardapi.cli.reader_online import KeyVersion, Terminal
from cardapi.cli.show import Mistake, details, note

if TYPE_CHECKING:
    from cardapi.pcsc.blocked import BlockedCards

FRESH_S = 600
"""A list this young is not fetched again for a payment."""
TIMEOUT_S = 5.0
"""How long a payment waits for a service that may not be there."""
LIST = Path("cards.blocked")

List = Annotated[Path | None, typer.Option("--list", help="Off line: the list of blocked cards; beside the batch when left out.")]
ListAge = Annotated[
    float, typer.Option("--list-age", envvar="CARDCORE_LIST_AGE", min=0, help="Off line: hours that list may be old; 0 asks for none.")
]


def beside(batch: Path) -> Path:
    """Where the list of a batch lies when nobody says."""
    return batch.with_name(LIST.name)


def current(path: Path, now: int, *, data: Path, url: str, terminal: str, version: int, age_s: int = FRESH_S) -> BlockedCards | None:
    """The till's list: the one in `path`, fetched anew where it is older than `age_s` seconds and a service answers.

    None where there is none and none can be had. Raises NotGenuineList, and Mistake no_terminal_key for a list that cannot be checked.
    """
    from cardapi.cli.service import service_address, terminal_key
    from cardapi.pcsc.blocked import BlockedCards
    from cardcore.errors import CardcoreError

    try:
        name, key = terminal_key(data, terminal)
    except Mistake:
        if path.exists():
            raise
        return None
    known = BlockedCards.read(path, name, key)
    if known is not None and now - known.version < age_s:
        return known
    try:
        address = url or service_address(data)
    except Mistake:
        return known  # off line
    try:
        cards = _fetched(address, name, version, key, known)
    except CardcoreError as error:
        note(f"the list of blocked cards could not be fetched: {error}")
        return known
    cards.write(path)
    return cards


def _fetched(address: str, terminal: str, version: int, key: bytes, known: BlockedCards | None) -> BlockedCards:
    from cardapi.cli.replay.wire import TerminalSigner
    from cardapi.cli.service import Remote, Service
    from cardapi.pcsc.blocked import BlockedCards

    with Service(Remote(address, TerminalSigner(terminal, version, key), timeout_s=TIMEOUT_S)) as service:
        return BlockedCards.fetch(lambda query: service.do("blockedCards", query=query), terminal, key, known)


def need_young(cards: BlockedCards | None, now: int, hours: float) -> None:
    """Raises ListTooOld for a list older than a till may go by; says so where there is none and none is asked for."""
    from cardapi.pcsc.blocked import need_young as judge

    judge(cards, now, round(hours * 3_600))
    if cards is None:
        note("this till has no list of blocked cards: what it takes from a lost one is its own loss")


def blocked(
    list_: Annotated[Path, typer.Option("--list", help="Where the list lies, or is to lie.")] = LIST,
    data: DataDir = DEFAULT_DATA, url: Url = "", terminal: Terminal = "", key_version: KeyVersion = 1, as_json: Json = False,
) -> None:  # fmt: skip
    """Fetch the list of blocked cards, by which a till takes payments off line, and say how old it is.

    Without a service that answers it tells of the list that is there.

    Example: cardcore reader blocked --list cards.blocked
    """
    from cardapi.pcsc.blocked import ListTooOld

    now = int(time.time())
    cards = current(list_, now, data=data, url=url, terminal=terminal, version=key_version, age_s=0)
    if cards is None:
        raise ListTooOld("this till has no list of blocked cards")
    told: dict[str, Any] = {
        "file": str(list_), "terminal": cards.terminal, "version": cards.version, "cards": len(cards.rows),
        "minutes_old": (now - cards.version) // 60,
    }  # fmt: skip
    details("Blocked cards", told, as_json=as_json)
