"""How `cardcore reader watch` shows what happens: a table that keeps itself current, or a line for each event."""

from __future__ import annotations

import sys
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from cardapi.cli.reader_words import document, named
from cardapi.cli.show import console, emit_json, say, yuan
from cardapi.pcsc.watch import CARD, CARD_GONE, READER_ADDED, READER_GONE, SERVICE_FOUND, SERVICE_LOST, Event

SAID = {
    SERVICE_LOST: "the PC/SC service went away, waiting for it", SERVICE_FOUND: "the PC/SC service is back",
    READER_ADDED: "reader plugged in", READER_GONE: "reader unplugged", CARD_GONE: "card taken away",
}  # fmt: skip


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def told(event: Event) -> str:
    """An event in a few words."""
    if event.what != CARD:
        return SAID[event.what]
    if event.error is not None:
        return f"{event.error} [{getattr(event.error, 'code', 'error')}]"
    balance = event.result.balance_fen
    return named(event.result.found) + (f"  {yuan(balance)}" if balance is not None else "")


class Lines:
    """One line for each event, for programs and for output that is no terminal."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        sys.stdout.flush()

    def tell(self, event: Event) -> None:
        """Print it at once."""
        if self._json:
            row: dict[str, Any] = {"at": datetime.now().astimezone().isoformat(), "event": event.what, "reader": event.reader}
            if event.error is not None:
                row["error"] = {"code": getattr(event.error, "code", "error"), "detail": str(event.error)}
            elif event.what == CARD:
                row["card"] = document(event.result)
            emit_json(row)
        else:
            say(f"{_now()}  {event.reader:<32}  {told(event)}")
        sys.stdout.flush()


class Table:
    """Readers and their cards, drawn again when something happens."""

    def __init__(self) -> None:
        from rich.live import Live

        self._rows: dict[str, tuple[str, str]] = {}
        self._service = ""
        self._live = Live(console=console(), auto_refresh=False, get_renderable=self._draw)

    @staticmethod
    def fits() -> bool:
        """Whether output is a terminal, on which a table can be drawn anew."""
        return sys.stdout.isatty()

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.refresh()
        self._live.stop()

    def tell(self, event: Event) -> None:
        """Take it into the table."""
        match event.what:
            case what if what == SERVICE_LOST:
                self._service = SAID[SERVICE_LOST]
            case what if what == SERVICE_FOUND:
                self._service = ""
            case what if what == READER_GONE:
                self._rows.pop(event.reader, None)
            case what if what == CARD:
                self._rows[event.reader] = told(event), _now()
            case _:
                self._rows[event.reader] = "empty", _now()
        self._live.refresh()

    def _draw(self) -> Any:
        from rich import box
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn(title="Readers (Ctrl-C ends)", box=box.SIMPLE_HEAD, title_justify="left", caption=self._service or None)
        for heading in ("reader", "card", "since"):
            drawn.add_column(heading)
        for reader, (card, since) in sorted(self._rows.items()):
            drawn.add_row(Text(reader), Text(card, style="" if card == "empty" else "bold"), since)
        return drawn
