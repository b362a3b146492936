"""A journal in memory for report tests: entries decided by the real core, kept in a list behind the store port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cardapi.shipped import pack_text
from cardapi.store.port import Entry, Head
from cardcore.settlement import Account, Capture, Line, Refund, Sale, Settlement, Snapshot, TopUp, Transfer, Void, decide, pack

DAY_US = 86_400_000_000
START_US = 1_795_305_600_000_000  # 2026-11-22 00:00:00 UTC
HERE = Path(__file__).parent


class Books:
    """One partition; only what reports read of the port."""

    def __init__(self) -> None:
        self.programme = pack.load(pack_text("replay"))
        self.entries: list[Entry] = []
        self.accounts: dict[int, Account] = {}
        self.settlements: dict[int, Settlement] = {}
        self.clock_us = START_US
        self.liability = 0

    # ------------------------------------------------------------ writing
    def write(
        self, verb: str, account: int, body: bytes, *, terminal: str, outcome: str = "applied", change_fen: int = 0, ref: int = 0
    ) -> int:
        position = len(self.entries) + 1
        self.liability += change_fen
        unit = terminal.split("-", maxsplit=1)[0] if terminal else "issuer"
        self.entries.append(
            Entry(
                partition=0,
                position=position,
                at_us=self.clock_us,
                verb=verb,
                outcome=outcome,
                code="" if outcome == "applied" else "insufficient_funds",
                account_id=account,
                card="",
                client=f"terminal:{terminal}",
                client_key=f"key-{position}",
                fingerprint=b"f" * 16,
                unit=unit,
                terminal=terminal,
                operator="",
                approver="",
                reason="",
                ref=ref,
                prior=0,
                further=b"",
                liability_fen=self.liability,
                body=body,
                mac=b"m",
            )
        )
        self.clock_us += 1_000_000
        return position

    def do(self, command: Any, account: int = 1, *, terminal: str = "s1-a", ref: int = 0, others: tuple[int, ...] = ()) -> int:
        own = self.accounts.setdefault(account, Account(account))
        more = [self.accounts.setdefault(number, Account(number)) for number in others]
        snapshot = Snapshot(
            self.programme, own, others=[Snapshot(self.programme, other) for other in more],
            ticket=self.settlements.get(ref), ticket_position=ref,
        )  # fmt: skip
        done = decide(snapshot, command, self.clock_us)
        position = self.write(done.verb, account, done.pack(), terminal=terminal, change_fen=done.liability_delta_fen, ref=ref)
        for touched in (own, *more):
            touched.apply(done, position)
        self.settlements[position] = done
        return position

    # ------------------------------------------------------------ the port
    def heads(self) -> list[Head]:
        last = self.entries[-1] if self.entries else None
        return [Head(0, len(self.entries), b"", last.liability_fen if last else 0, last.at_us if last else 0)]

    def entry(self, partition: int, position: int) -> Entry | None:
        return self.entries[position - 1] if partition == 0 and 1 <= position <= len(self.entries) else None

    def journal(self, partition: int, after: int = 0, upto: int | None = None) -> Iterator[Entry]:
        assert partition == 0
        yield from self.entries[after : len(self.entries) if upto is None else upto]


def a_day(books: Books) -> None:
    """Every verb a till uses, at three terminals of two stores; known sums are in the tests."""
    books.do(TopUp(500_00))  # brings 5.00 bonus
    ticket = books.do(Sale("settle", [Line(100_00, 1, "", "a", 0, 1, 1, 10_00, 5_00)]))
    books.do(TopUp(200_00, tender="bank"), 2, terminal="s1-b")
    books.do(Sale("settle", [Line(250_00)], shortfall_tender="cash"), 2, terminal="s1-b")
    books.do(Refund(amount_fen=10_00), ref=ticket)
    held = books.do(Sale("hold", [Line(30_00)], hold_seconds=9_000), terminal="s2-a")
    books.do(Capture(20_00), terminal="s2-a", ref=held)
    free = books.do(Sale("hold", [Line(7_00)], hold_seconds=9_000), terminal="s2-a")
    books.do(Void(), terminal="s2-a", ref=free)
    cash = books.do(Sale("settle", [Line(60_00)], shortfall_tender="cash"), 2, terminal="s2-a")
    books.do(Void(), 2, terminal="s2-a", ref=cash)
    books.do(Transfer(15_00), 1, others=(3,))
    books.write("settle", 3, b"", terminal="s1-b", outcome="refused")
    books.write("freeze", 3, b"\x80", terminal="")
