"""`cardcore replay`: the command around `cli/replay/`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.options import Json, Token
from cardapi.cli.show import Mistake, emit_json, note, progress, say, table, yuan

if TYPE_CHECKING:
    from cardapi.cli.replay.drive import Drive, Tally
    from cardapi.cli.replay.enrol import Enrolled
    from cardapi.cli.replay.rule import Rule
    from cardapi.cli.replay.source import Source
    from cardapi.cli.service import Service

INTERRUPTED = 130


def replay(
    url: Annotated[str, typer.Option("--url", envvar="CARDCORE_URL", help="The running service; that of --demo when left out.")] = "",
    data_set: Annotated[
        str, typer.Option("--data-set", help="complete-journey, generated, or auto: the first if it is installed.")
    ] = "auto",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many baskets.")] = None,
    concurrency: Annotated[int, typer.Option("--terminals-concurrency", min=1, max=1024, help="Requests in flight.")] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides who tops up and who pays cash, and what is generated.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Ask first how far each card came, and go on from there.")] = False,
    token: Token = "",
    demo: Annotated[Path | None, typer.Option("--demo", help="Data directory of a demo shop: take address and login from it.")] = None,
    parent: Annotated[str, typer.Option("--parent", help="The unit under which the replay's stores are made.")] = "issuer",
    patience: Annotated[int, typer.Option("--patience", min=1, help="Seconds to wait for a service that does not answer.")] = 30,
    prove: Annotated[bool, typer.Option("--prove/--no-prove", help="Hold the books against the data set's own sums at the end.")] = True,
    as_json: Json = False,
) -> None:
    """Drive a running service with published retail transactions, and prove the control totals.

    One card per household, one signed terminal per store, every basket a ticket with its lines. Stop it with Ctrl-C and run it
    again (with --resume it skips what is done): nothing happens twice, because every basket has a client key of its own.

    Example: cardcore replay --demo var/shop --limit 2000
    """
    import asyncio

    from cardapi.cli.replay.rule import Rule

    source = source_named(data_set, seed, limit)
    rule = Rule(seed)
    with _service(url, token, demo) as (service, address):
        run = _Run(source, rule, service, address, limit, concurrency, patience, parent)
        if not as_json:
            run.preface()
        finished, tally = asyncio.run(run.drive(resume))
        result: dict[str, Any] = {"data_set": source.title, "finished": finished, "run": _plain(tally)}
        if finished and prove:
            result |= run.prove()
        _report(result, as_json)
    if not finished:
        note("stopped; run the same command with --resume to go on")
        raise typer.Exit(INTERRUPTED)
    if prove and not result["proven"]:
        raise Mistake("not_proven", "a control total differs: see the table")


def source_named(name: str, seed: int, limit: int | None) -> Source:
    """The tickets that --data-set or --tickets names. Raises Mistake, NoDataSet."""
    from cardapi.cli.replay.generated import Generated
    from cardapi.cli.replay.journey import Journey, find

    if name == "auto":
        name = "complete-journey" if find() else "generated"
    if name == "complete-journey":
        return Journey()
    if name == "generated":
        return Generated(seed, most=limit)
    raise Mistake("no_data_set", f"the tickets are those of complete-journey, generated or auto, not {name!r}")


class _Opened:
    """The service by address and session, as a context manager."""

    def __init__(self, service: Service, address: str) -> None:
        self._service = service
        self._address = address

    def __enter__(self) -> tuple[Service, str]:
        return self._service, self._address

    def __exit__(self, *_: object) -> None:
        self._service.__exit__(None, None, None)


def _service(url: str, token: str, demo: Path | None) -> _Opened:
    from cardapi.cli.service import Remote, Service, demo_credentials, service_address

    if not url:
        if demo is None:
            raise Mistake(
                "no_address", "say where the service is: --url http://127.0.0.1:8080, or --demo DIR for a demo shop that is running"
            )
        url = service_address(demo)
    service = Service(Remote(url), token)
    if not token:
        made = demo_credentials(demo) if demo else None
        if made is None:
            raise Mistake(
                "no_token", "the replay makes stores, terminals and cards: give an operator's --token, or --demo DIR of a demo shop"
            )
        service.log_in(made["operator"], made["password"])
    return _Opened(service, url)


class _Run:
    """One replay: enrol, drive, prove."""

    def __init__(
        self, source: Source, rule: Rule, service: Service, address: str, limit: int | None, concurrency: int, patience: int, parent: str
    ) -> None:
        self.source = source
        self.rule = rule
        self.service = service
        self.address = address
        self.limit = limit
        self.concurrency = concurrency
        self.patience = patience
        self.parent = parent
        self.totals = source.totals(limit)
        self.index = source.index(limit)
        self.enrolled: Enrolled | None = None

    def preface(self) -> None:
        from cardapi.cli.replay.source import TREATMENT

        say(f"{self.source.title}: {self.totals.tickets:,} baskets, {self.totals.lines:,} lines, {yuan(self.totals.net_fen)} net")
        for caveat in (*self.source.caveats, *TREATMENT, self.rule.words()):
            say(f"  - {caveat}")

    async def drive(self, resume: bool) -> tuple[bool, Tally]:
        """Returns whether it came to the end, and what it did."""
        from cardapi.cli.replay.drive import Drive
        from cardapi.cli.replay.enrol import Enrolment
        from cardapi.cli.replay.wire import Address, Link
        from cardapi.shipped import pack_text

        address = Address.parse(self.address)
        links = [Link(address, self.patience) for _ in range(self.concurrency)]
        try:
            people = len({name.store for name in self.index}) + len({name.household for name in self.index})
            with progress("stores and cards", people) as advance:
                enrolment = Enrolment(links, self.service.token, self.service.where, self.source.key, self.parent, advance)
                self.enrolled = await enrolment.run(self.index, pack_text("replay"))
            with progress("baskets", len(self.index)) as advance:
                paths = {operation: self.service.where(operation)[1] for operation in ("settle", "topUp", "getByClientKey")}
                driver = Drive(links, self.enrolled.cards, self.enrolled.terminals, self.rule, self.source.key, paths, advance)
                _stop_on_signal(driver)
                if resume:
                    await driver.find_progress(self.index)
                tally = await driver.run(self.source.baskets(self.limit))
            return not driver.stopped, tally
        finally:
            for link in links:
                link.close()

    def prove(self) -> dict[str, Any]:
        """Control totals against the service's own books."""
        from cardapi.cli.replay.proof import books, controls

        assert self.enrolled is not None
        note("folding the journal and verifying it ...")
        trial = self.service.do("trialBalance")
        verdict = self.service.do("verifyLedger")
        found = books(trial, (f"{self.source.key}-{store}" for store in self.enrolled.terminals))
        rows = controls(self.totals, found, trial, verdict)
        return {
            "proven": all(row.ok for row in rows) and trial["ok"],
            "controls": [{**row._asdict(), "ok": row.ok} for row in rows],
            "coupons_lapsed_fen": self.totals.lapsed_fen,
            "books": found,
        }


def _stop_on_signal(driver: Drive) -> None:
    """The first Ctrl-C finishes what is in flight; a second one ends at once (safe too: keys make resending harmless)."""
    from asyncio import get_running_loop

    loop = get_running_loop()

    def stop() -> None:
        if driver.stopped:
            os._exit(INTERRUPTED)
        note("stopping: waiting for the requests in flight (Ctrl-C again ends at once)")
        driver.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _plain(tally: Tally) -> dict[str, Any]:
    import msgspec

    built: dict[str, Any] = msgspec.to_builtins(tally)
    return built


def _report(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(result)
        return
    run = result["run"]
    latency = run["latency_us"]
    rows = [
        ("tickets sent", f"{run['tickets']:,}"),
        ("lines sent", f"{run['lines']:,}"),
        ("skipped, done by an earlier run", f"{run['skipped']:,}"),
        ("top-ups", f"{run['topups']:,} for {yuan(run['topup_fen'])}"),
        ("tickets with cash for the shortfall", f"{run['cash_tickets']:,} for {yuan(run['cash_fen'])}"),
        ("requests a second", f"{run['requests_a_second']:,}"),
        ("seconds", f"{run['seconds']:,}"),
        ("latency " + " ".join(latency), " ".join(_milliseconds(value) for value in latency.values()) + " ms" if latency else "-"),
        ("retries", f"{run['retries']:,}"),
    ]
    table("This run", ["", ""], rows)
    if "controls" not in result:
        return
    shown = []
    for row in result["controls"]:
        money = "_fen" in row["name"] or "fen" in row["name"].split() or "money" in row["name"]
        form = yuan if money else "{:,}".format
        shown.append((row["name"].replace("_fen", ""), form(row["source"]), form(row["books"]), "equal" if row["ok"] else "DIFFERS"))
    table("Control totals", ["", "data set", "service's books", ""], shown, right=["data set", "service's books"])
    lapsed, carried = result["coupons_lapsed_fen"], result["books"]["coupon_fen"]
    say(f"coupons of the data set: {yuan(carried + lapsed)}, of which carried {yuan(carried)}; beyond a basket's value, where no change")
    say(f"is given, {yuan(lapsed)}. The data set's sales_value is net + carried coupons: {yuan(result['books']['net_fen'] + carried)}")


def _milliseconds(micro: int) -> str:
    return f"{micro // 1000}.{micro % 1000 // 100}"
