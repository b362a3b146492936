"""Goal: an upload whose service is killed in the middle, again and again, comes to the same end as one that nobody disturbed; and so do
purchases of cards with SM4 keys. Method: the real service and `cardcore clear`; a twin of the shop that is left in peace.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from cardapi.clearing import BatchWriter
from cardapi.cli import clearing
from cardapi.cli.service import Service
from cardapi.pcsc.drive import drive
from cardapi.pcsc.identify import identify
from cardapi.pcsc.offline import Till
from cardcore.card import purse
from cardcore.clearing import Header
from cardcore.crypto import pboc
from firmware_sim import build
from firmware_sim.pboc import Identity
from tests.clearing.demo import ISSUER, SAM, SERIAL, purchase, shop_with_purse, told
from tests.clearing.yard import bcd
from tests.cli.shop import call, served
from tests.pcsc.near import Held, NearModule
from tests.shops import copy_shop
from tests.support import sized

RECORDS, PIECE, FEN = 160, 16, 7
BEIJING = timezone(timedelta(hours=8))


def batch(file: Path) -> None:
    """Genuine purchases with a wrong MAC, a record under another one's proof, and one that is in it twice."""
    good = [purchase(1 + n, FEN, n, 100_00 - FEN * n) for n in range(RECORDS - 3)]
    bad = [replace(good[3], amount=99_00), replace(good[30], counter=999), good[60]]
    records = [*good[:50], bad[0], *good[50:100], bad[1], *good[100:], bad[2]]
    with BatchWriter(file, Header(SAM, 1, 0, bcd(datetime.now(UTC)))) as writer:
        for record in records:
            writer.append(record)
        writer.seal()


def books(shop: Path) -> dict[str, Any]:
    """What clearing left behind: value, sales, cases; and whether the books are in order."""
    trial = told("trial", "--data", shop)
    assert told("verify", "--data", shop)["ok"]
    cases = sorted((case["reason"], case["amount_fen"]) for case in told("case", "list", "--data", shop))
    return {"accounts": trial["accounts"], "liability": trial["liability_fen"], "cases": cases}


def kill_under(shop: Path, file: Path, piece: int, after_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload, and kill the service that long after it was sent this piece."""
    plain, numbers = Service.do, itertools.count()
    with served(shop) as service, monkeypatch.context() as patch:

        def do(self: Service, operation: str, *words: Any, **more: Any) -> Any:
            if operation != "uploadClearing" or next(numbers) != piece:
                return plain(self, operation, *words, **more)
            killer = threading.Timer(after_s, service.kill)
            killer.start()
            try:
                return plain(self, operation, *words, **more)
            finally:
                killer.join()

        patch.setattr(Service, "do", do)
        done = call("clear", file, "--data", shop, check=False)
        assert done.returncode == 1
        assert "[unreachable]" in done.stderr


@pytest.mark.timeout(sized(600, 3_600))
@pytest.mark.embedded("on a server a command does its work beside the services, not through one")
def test_the_service_is_killed_under_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, file = shop_with_purse(tmp_path / "shop"), tmp_path / "till.ccb"
    twin = tmp_path / "twin"
    copy_shop(shop, twin)
    batch(file)
    monkeypatch.setattr(clearing, "PIECE", PIECE)
    whole = told("clear", file, "--data", twin)
    assert whole["outcomes"] == {"accepted": RECORDS - 3, "bad_mac": 1, "replayed": 1}
    for number in range(sized(2, 40)):
        kill_under(shop, file, number * 3 % 9, number % 8 / 500, monkeypatch)
    with served(shop):
        done = told("clear", file, "--data", shop)
        assert 0 <= done["posted_now_fen"] <= whole["posted_now_fen"], "some were posted before the kills"
        assert {**done, "posted_now_fen": whole["posted_now_fen"]} == whole, "the same answers, piece by piece"
        monkeypatch.setattr(clearing, "PIECE", 2048)
        again = told("clear", file, "--data", shop)
        assert (again["outcomes"], again["repeated"], again["accepted_fen"]) == ({}, RECORDS, 0)
    assert books(shop) == books(twin)


def test_sm4_cards_from_the_counter_into_the_books(tmp_path: Path) -> None:
    """The card, the module and the shop agree about keys, MACs and TACs of `transit-sm4`; a 3DES card's record is refused."""
    make, path = purse.Make(profile=pboc.TRANSIT_SM4), tmp_path / "today.ccb"
    card = build.purse_card(profile="transit-sm4", identity=Identity(issuer=ISSUER, serial=SERIAL), balance=100_00)
    module = build.purchase_sam(profile="transit-sm4", terminal_id=SAM)
    shop = shop_with_purse(tmp_path / "shop", profile="transit-sm4")

    def now() -> datetime:
        return datetime.now(BEIJING)

    with Till(NearModule(module, make), path, now()) as till:
        for fen in (12_50, 7, 1):
            line = Held(card)
            paid = till.purchase(fen, now).offer(line, drive(identify(make), line))
        assert paid.balance_after == 100_00 - 12_58
        wrong = purchase(9, 5, 3, 100_00 - 12_58)
        till.batch.append(wrong)
    done = told("clear", path, "--data", shop)
    assert done["outcomes"] == {"accepted": 3, "bad_mac": 1}
    assert done["accepted_fen"] == 12_58
    assert told("verify", "--data", shop)["ok"]
