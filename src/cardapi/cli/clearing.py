"""`cardcore clear` and `cardcore case`: off-line purchases on their way into the books, and what a person must look at."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Token, Url
from cardapi.cli.service import Refused, Service, reach
from cardapi.cli.show import Mistake, details, emit_json, listing, note, progress, say, table, yuan

app = group("Cases: what clearing could not accept, and what sequences of records show.")

PIECE = 2_048
"""Records of one upload: the desk decides them at once, and tills wait as long."""

Case = Annotated[str, typer.Argument(metavar="CASE", help="The case's id (cardcore case list).", show_default=False)]
Closed = Annotated[bool, typer.Option("--closed", help="Closed ones instead of open ones.")]
Because = Annotated[str, typer.Option("--reason", help="Only cases of this reason.")]


def clear(
    file: Annotated[Path, typer.Argument(help="A batch file that a station wrote.", exists=True, dir_okay=False, show_default=False)],
    check: Annotated[bool, typer.Option("--check", help="Only read the file through; upload nothing.")] = False,
    seal: Annotated[bool, typer.Option("--seal", help="Close the batch first: nothing more is paid into it.")] = False,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Clear a batch of off-line purchases: upload it in pieces, and sum up what became of its records.

    It may be interrupted and started again, or run twice: every purchase is posted once.

    Example: cardcore clear till-3.ccb
    """
    from cardapi.clearing import scan

    if seal:
        _seal(file)
    content = scan(file)
    if content.torn:
        note(f"the last {content.torn} octets of {file} are no whole record and are left out")
    told: dict[str, Any] = {
        "file": str(file), "batch": f"{content.header.terminal.hex()}-{content.header.batch}", "records": content.count,
        "total_fen": content.total_fen, "sealed": content.seal is not None, "torn": content.torn,
    }  # fmt: skip
    if check:
        details(f"Batch {told['batch']}", told, as_json=as_json)
        return
    with reach(data, url=url, token=token, operator=operator) as service, progress("records", content.count) as advance:
        before = _status(service, told["batch"])
        told |= _upload(service, file, content, advance)
        after = _status(service, told["batch"])
    if after is not None:  # an answer that was given before tells of then
        told["state"] = after
        told["posted_now_fen"] = after["accepted_fen"] - (before["accepted_fen"] if before is not None else 0)
    if as_json:
        emit_json(told)
        return
    say(f"batch {told['batch']}: {content.count:,} records, {yuan(content.total_fen)}{'' if content.seal else ' (still open)'}")
    rows = [(reason, f"{count:,}", told["what"][reason]) for reason, count in told["outcomes"].items()]
    if told["counted"]:
        rows.append(("(counted)", f"{told['counted']:,}", "without proof, beyond what is kept of one uploader in a day"))
    if told["repeated"]:
        rows.append(("repeated", f"{told['repeated']:,}", "known already, and came out the same"))
    table("What became of them", ["outcome", "records", "meaning"], rows, right=["records"])
    state = told["state"]
    say(f"{_posted(told)}; of this batch in all {state['accepted']:,} records, {yuan(state['accepted_fen'])}")
    if state["cases"]:
        note(f"{state['cases']:,} records of this batch are cases: cardcore case list")


def _status(service: Service, batch: str) -> dict[str, Any] | None:
    """What has come of a batch; None for one of which nothing has come, or that is not the caller's to see any more."""
    try:
        found: dict[str, Any] = service.do("clearingStatus", path={"clearing": batch})
    except Refused as error:
        if error.code != "not_found":
            raise
        return None
    return found


def _posted(told: dict[str, Any]) -> str:
    """What of the accepted records this run has posted, and what an earlier one had."""
    now = told.get("posted_now_fen")
    if now is None:
        return f"posted {yuan(told['accepted_fen'])}, now or before"
    known = max(0, told["accepted_fen"] - now)
    return f"posted now {yuan(now)}" + (f", and {yuan(known)} was posted already" if known else "")


def _seal(file: Path) -> None:
    """Close a batch for good, unless it is closed already. Raises TillBusy, and Mistake while a purchase of it is in flight."""
    from cardapi.clearing import BatchWriter, scan
    from cardapi.pcsc.intents import Intents

    if scan(file).seal is not None:
        return
    begun = file.with_name(file.name + ".begun")
    open_ones = 0
    if begun.exists():
        with Intents(begun) as intents:
            open_ones = len(intents.open)
    if open_ones:
        raise Mistake("purchases_open", f"{open_ones} purchases of {file} are in flight until their cards come back: close it later")
    with BatchWriter(file) as writer:
        writer.seal()


def _upload(service: Service, file: Path, content: Any, advance: Any) -> dict[str, Any]:
    """Every piece under a key made from its octets: a second run asks for the answers of the first."""
    from cardapi.clearing import fragments
    from cardcore.clearing.reasons import WHAT

    outcomes: Counter[str] = Counter()
    repeated = accepted_fen = counted = 0
    state: dict[str, Any] = {}
    for piece in fragments(file, content, records=PIECE):
        key = f"clear:{hashlib.sha256(piece).hexdigest()}"
        done = service.do("uploadClearing", {"batch": b64encode(piece).decode()}, key=key)
        outcomes.update(done["outcomes"])
        repeated += done["repeated"]
        counted += done["counted"]
        accepted_fen += done["accepted_fen"]
        state = done["batch"]
        advance(done["received"])
    return {
        "outcomes": dict(sorted(outcomes.items())), "repeated": repeated, "counted": counted, "accepted_fen": accepted_fen, "state": state,
        "what": {reason: WHAT[reason] for reason in outcomes},
    }  # fmt: skip


# ---------------------------------------------------------------- cases
def _cases(service: Service, reason: str, *, closed: bool) -> list[dict[str, Any]]:
    asked = {"show": "closed" if closed else "open", "reason": reason}
    rows = service.pages("listCases", "cases", query=asked)
    return rows if closed else rows + service.pages("listCases", "cases", query={**asked, "about": "sequences"})


@app.command("list")
def list_cases(
    closed: Closed = False,
    reason: Because = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """List cases, oldest first, then what sequences of records show now."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = _cases(service, reason, closed=closed)
    columns = {
        "case": "case", "reason": "reason", "card": "card", "unit": "unit", "terminal": "terminal", "amount_fen": "amount", "note": "note",
    }  # fmt: skip
    listing("Cases", rows, columns, as_json=as_json)


@app.command()
def show(
    case: Case, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False
) -> None:
    """Show a case, with the record it is about field by field."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = _cases(service, "", closed=False) + _cases(service, "", closed=True)
    found = next((row for row in rows if row["case"] == case), None)
    if found is None:
        raise Mistake("unknown_case", f"there is no case {case}")
    details(f"Case {case}", {**found, **_record(found["facts"])}, as_json=as_json)


def _record(facts: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from cardcore.clearing.layout import decode_record

    if "record" not in facts:
        return {}
    fields = asdict(decode_record(bytes.fromhex(facts["record"])))
    return {f"record {name}": value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}


@app.command()
def close(
    case: Case,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is journaled.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Close a case. No money moves.

    Example: cardcore case close terminal_gap:000000000001:7-7 --reason "the station was dropped"
    """
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("closeCase", {"reason": reason}, key=key, path={"case": case})
    details(f"Case {case}", done, as_json=as_json)
