"""Goal: what an earlier release wrote is read, folded, verified and explained by this one to the same result (V, M3, O2).
Method: a whole small shop of each release, every verb and every form of body in it, with the projections and answers of its own time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cardapi.app import open_shop
from cardapi.ids import ticket_id
from cardapi.store import sqlite
from cardapi.store.fold import is_settlement
from cardapi.store.verify import rebuild, verify
from cardcore.settlement import Account, Refund, Settlement
from tests.desk.till import Till
from tests.releases import kept
from tests.releases.kept import DATABASE, Kept, Projections
from tests.releases.life import VERBS, live

FORMS = {0x53, 0x54}  # of a settlement, in every release
DOCUMENT_FORM = 0x55  # since a law says which document goes with it
REWORDED = {"欠扣积分: 26.40": "欠扣: 26.40", "欠扣积分: 50.00": "欠扣: 50.00"}
"""Explanations that said something wrong, as they begin, and what they say instead: money that is owed is no points."""
ACCOUNT_FORMS = {0x41, 0x42, 0x43}


def what_is_there(shop: Kept) -> tuple[set[str], set[int], set[int]]:
    """Verbs, forms of settlements, forms of accounts."""
    forms = {entry.body[0] for entry in shop.entries if is_settlement(entry)}
    return {entry.verb for entry in shop.entries}, forms, {row.state[0] for row in shop.projections.accounts}


def same(then: Any, now: Any, where: str = "") -> None:
    """All that was said then is said now, in the same words; what is new beside it is no matter."""
    if isinstance(then, dict):
        for name, value in then.items():
            assert name in now, f"{where}.{name} is not told any more"
            same(value, now[name], f"{where}.{name}")
    elif isinstance(then, list):
        assert len(then) == len(now), where
        for place, (before, after) in enumerate(zip(then, now, strict=True)):
            same(before, after, f"{where}[{place}]")
    elif then != now:
        assert any(str(then).replace(wrong, right) == now for wrong, right in REWORDED.items()), (where, then, now)


@pytest.fixture(params=kept.names())
def old(request: pytest.FixtureRequest) -> Kept:
    return kept.read(request.param)


@pytest.fixture
def directory(old: Kept, tmp_path: Path) -> Path:
    old.unpack(tmp_path / "shop")
    return tmp_path / "shop"


def test_it_has_every_verb_and_form_of_its_time(old: Kept) -> None:
    verbs, forms, accounts = what_is_there(old)
    assert len(verbs) >= 50
    assert (forms - {DOCUMENT_FORM}, accounts) == (FORMS, ACCOUNT_FORMS)
    assert {entry.outcome for entry in old.entries} == {"applied", "refused"}
    assert len(old.genesis) == 2
    assert any(entry.further for entry in old.entries)


def test_it_folds_to_the_same_rows_and_verifies(old: Kept, directory: Path) -> None:
    shop = open_shop(directory, read_only=True)
    key, checkpoints = shop.custody.chain_key, shop.checkpoints.read()
    shop.close()
    store = sqlite.SqliteStore(directory / DATABASE)
    report = rebuild(store, key, checkpoints=checkpoints)
    assert report.ok, report.first_bad
    assert report.entries == len(old.entries)
    assert Projections.of(store) == old.projections
    assert verify(store, key, checkpoints=checkpoints).ok
    store.close()


def test_each_body_is_read_and_packed_to_the_same_bytes(old: Kept) -> None:
    for entry in old.entries:
        if is_settlement(entry):
            assert Settlement.unpack(entry.body).pack() == entry.body, (entry.verb, entry.position)
    for row in old.projections.accounts:
        assert Account.unpack(row.state).pack() == row.state


def test_it_is_told_and_explained_as_it_was(old: Kept, directory: Path) -> None:
    """A retry gets the answer of its time, and a reprint shows the receipt that was handed out."""
    _mended(directory)
    with open_shop(directory) as shop:
        for entry in old.entries:
            name = ticket_id(entry.partition, entry.position)
            same(old.told[name], kept.told(shop, entry), f"{entry.verb} {name}")
    receipts = [told for told in old.told.values() if told.get("receipt")]
    assert len(receipts) > 50
    assert sum("explanation" in told for told in receipts) > 15


def test_the_shop_goes_on(old: Kept, directory: Path) -> None:
    """What was sold then is given back now, once; keys of then have their effect (O1)."""
    _mended(directory)
    till = Till(directory)
    back = {entry.ref for entry in old.entries if entry.verb in ("refund", "void") and entry.partition == 0}
    sales = [entry for entry in old.entries if entry.verb == "settle" and entry.outcome == "applied" and entry.partition == 0]
    open_ones = [entry for entry in sales if entry.position not in back]
    assert open_ones
    for sale in open_ones:
        again = till.done("refund", card=sale.card, ref=sale.position, partition=0, command=Refund())
        assert Settlement.unpack(again.body).net_fen == Settlement.unpack(sale.body).net_fen
        request = till.request("settle", key=sale.client_key, card=sale.card)
        request.fingerprint = sale.fingerprint
        assert till.shop.desk.call(request) == sale
    till.sound()
    till.shop.close()


def _mended(directory: Path) -> None:
    """Make the projections from the journal."""
    with open_shop(directory, read_only=True) as shop:
        key = shop.custody.chain_key
    store = sqlite.SqliteStore(directory / DATABASE)
    assert rebuild(store, key).ok
    store.close()


def test_this_release_can_be_kept_too(tmp_path: Path) -> None:
    """So that the next release finds one: every verb and form of today."""
    live(tmp_path / "shop").till.shop.close()
    today = kept.keep(tmp_path / "shop")
    assert what_is_there(today) == (set(VERBS), FORMS | {DOCUMENT_FORM}, ACCOUNT_FORMS)
    again: Kept = msgspec.json.decode(msgspec.json.encode(today), type=Kept)
    assert again == today
