"""A demo shop with a purse card that holds money and a purchase SAM at its till, for the commands of clearing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cardapi.app import open_shop
from cardapi.desk import Request
from cardapi.store.media import Shown, pack_shown
from cardapi.store.port import Entry
from cardcore.clearing import PurseRecord
from cardcore.settlement import Arrive, Load
from tests.clearing.yard import bcd, tac
from tests.cli.shop import call, demo_shop

SAM = bytes(5) + b"\x07"
ISSUER, SERIAL = bytes.fromhex("1000000010000000"), (9).to_bytes(10)


def told(*words: str | Path) -> Any:
    """What a command tells in JSON."""
    return json.loads(call(*words, "--json").stdout)


def purchase(number: int, fen: int, counter: int, balance: int) -> PurseRecord:
    """A genuine purchase of the shop's card two hours ago."""
    at = bcd(datetime.now(UTC) - timedelta(hours=2))
    record = PurseRecord(fen, 6, SAM, number, at, bytes(4), ISSUER, SERIAL, counter, balance)
    return replace(record, tac=tac(record))


def shop_with_purse(data: Path, *, fen: int = 100_00, sam: bytes = SAM, profile: str = "pboc2-3des") -> Path:
    """Make the shop at `data`."""
    with_purse(data, demo_shop(data)["cards"]["mall-vip"], fen=fen, sam=sam, profile=profile)
    return data


def with_purse(data: Path, card: str, *, fen: int = 100_00, sam: bytes = SAM, profile: str = "pboc2-3des") -> None:
    """Put the purse into a demo shop at `data`, as the chip of a card of it."""
    medium = f"pboc:{ISSUER.hex()}{SERIAL.hex()}"
    with open_shop(data) as opened:

        def done(verb: str, key: str, **facts: Any) -> Entry:
            entry = opened.desk.call(Request(verb, "terminal:t", key, bytes(16), unit="issuer", **facts))
            assert entry.outcome == "applied", entry.code
            return entry

        payload = {"medium": medium, "profile": profile, "keys": [[1, 0, 0]], "purse": 2}
        done("register_medium", "m", card=card, payload=payload)
        load = done("load", "l", card=card, command=Load(fen, tender="cash", memo=pack_shown(Shown(medium))))
        done("arrive", "a", ref=load.position, partition=load.partition, command=Arrive(memo=pack_shown(Shown(medium))))
    till = told("terminal", "list", "--data", data)[0]["id"]
    told("terminal", "sam", sam.hex(), "--terminal", till, "--data", data)
