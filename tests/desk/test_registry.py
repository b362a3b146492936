"""The registry through the desk (A1, O01): documents change by entries only, follow their rules, and are seen by what comes next."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from cardapi.desk import Problem
from cardapi.store.fold import unpack_change
from cardapi.store.port import Entry
from cardcore.settlement import Account, Line, Sale, pack
from tests.desk.till import PLAIN, Till


def write(till: Till, kind: str, name: str, /, key: str = "", **document: Any) -> Entry:
    return till.ask("change", key=key, payload={"kind": kind, "id": name, "document": document})


def refused(till: Till, kind: str, name: str, /, **document: Any) -> str:
    return till.problem("change", payload={"kind": kind, "id": name, "document": document})


def unit(till: Till, name: str, parent: str = "issuer", kind: str = "store") -> Entry:
    return write(till, "unit", name, name=name.title(), kind=kind, parent=parent)


def test_the_tree_of_units(till: Till) -> None:
    unit(till, "north", kind="region")
    unit(till, "s1", "north")
    registry = till.shop.registry
    found = registry.unit("s1")
    assert found is not None
    assert found.path == ("issuer", "north", "s1")
    before = till.shop.desk.heads
    assert refused(till, "unit", "s2", name="x", kind="store", parent="nowhere") == "invalid_document"
    assert refused(till, "unit", "s2", name="x", kind="castle", parent="north") == "invalid_document"
    assert refused(till, "unit", "S 2", name="x", kind="store", parent="north") == "invalid_document"
    assert refused(till, "unit", "s1", name="x", kind="store", parent="issuer") == "invalid_document"
    assert refused(till, "unit", "north", name="x", kind="region", parent="s1") == "invalid_document"
    assert refused(till, "unit", "s2", kind="store", parent="north") == "invalid_document"
    assert refused(till, "gadget", "g1") == "invalid_document"
    assert till.shop.desk.heads == before
    till.reopen()
    assert till.shop.registry.unit("s1") == found
    assert [each.id for each in till.shop.registry.units()] == ["issuer", "north", "s1"]
    till.sound()


def test_an_entry_holds_before_and_after(till: Till) -> None:
    first = unit(till, "s1")
    second = write(till, "unit", "s1", name="二店", kind="store", parent="issuer")
    one, two = unpack_change(first.body), unpack_change(second.body)
    assert (one.before, two.before) == (b"", one.after)
    assert msgspec.json.decode(two.after)["name"] == "二店"
    assert till.shop.registry.document("unit", "s1") == msgspec.json.decode(two.after)


def test_a_change_is_seen_by_what_follows_in_its_batch(till: Till) -> None:
    store = {"name": "Nine", "kind": "store", "parent": "issuer"}
    here, nowhere = ({"unit": unit, "name": "t", "state": "active", "key_version": 1} for unit in ("s9", "s8"))
    changes = [("unit", "s9", store), ("terminal", "t9", here), ("terminal", "t8", nowhere)]
    requests = [till.request("change", payload={"kind": kind, "id": name, "document": document}) for kind, name, document in changes]
    answers = till.shop.desk.call_many([*requests, till.request("issue", payload={"programme": "plain", "prefix": "8801"})])
    told = [getattr(answer, "outcome", "") or answer.code for answer in answers]
    assert told == ["applied", "applied", "invalid_document", "applied"]
    terminal = till.shop.registry.terminal("t9")
    assert terminal is not None
    assert terminal.unit == "s9"
    till.sound()


def test_a_retry_of_a_change_does_nothing(till: Till) -> None:
    first = write(till, "unit", "s1", key="k", name="One", kind="store", parent="issuer")
    write(till, "unit", "s1", name="Two", kind="store", parent="issuer")
    assert write(till, "unit", "s1", key="k", name="One", kind="store", parent="issuer") == first
    document = till.shop.registry.document("unit", "s1")
    assert document is not None
    assert document["name"] == "Two"


def test_published_programmes_never_change(till: Till) -> None:
    assert refused(till, "programme", "plain@1", valid_from=0, pack=PLAIN.replace("Stored value", "Other")) == "invalid_document"
    assert refused(till, "programme", "plain@3", valid_from=0, pack=PLAIN) == "invalid_document"
    assert refused(till, "programme", "plain@2", valid_from=0, pack="nonsense") == "invalid_pack"
    assert refused(till, "programme", "plain@2", pack=PLAIN) == "invalid_document"


def test_a_shop_opens_with_what_an_earlier_release_published(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign's stock could once be named that no coupon or gift has: such a pack stays in force, the rule never met; none is added."""
    text = PLAIN.replace('"plain"', '"campaign"') + (
        '[[benefit]]\nname = "spring"\nwhen = { stock = ["spring"] }\nthen = { discount = "1/2" }\n'
    )
    document: dict[str, Any] = {"valid_from": 0, "pack": text}
    assert refused(till, "programme", "campaign@1", **document) == "invalid_pack"
    strict = pack.load
    monkeypatch.setattr(pack, "load", lambda text, *, published=False: strict(text, published=True))  # the release before the rule
    write(till, "programme", "campaign@1", **document)
    monkeypatch.setattr(pack, "load", strict)
    till.reopen()
    card = till.card(100_00, "campaign")
    assert till.done("settle", card=card, command=Sale("settle", [Line(80_00)])).card == card
    found = till.shop.store.reader().read([card])[card]
    assert [lot.amount for lot in Account.unpack(found.account.state).lots()] == [20_00], "nothing off"
    newer = text.replace("version = 1", "version = 2")
    assert refused(till, "programme", "campaign@2", valid_from=0, pack=newer) == "invalid_pack"
    till.sound()


def test_versions_by_time(till: Till) -> None:
    now = int(time.time())
    write(till, "programme", "plain@2", valid_from=now + 1_000, pack=PLAIN.replace("version = 1", "version = 2"))
    registry = till.shop.registry
    for reopened in (False, True):
        if reopened:
            till.reopen()
            registry = till.shop.registry
        assert [version.version for version in registry.versions("plain")] == [1, 2]
        assert registry.programme("plain", now).version == 1
        assert registry.programme("plain", now + 1_000).version == 2
        assert registry.version("plain", -1) is None
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "x"}, type(registry.versions("plain")[0]))
    assert till.sale(till.card(10_00), 1_00).outcome == "applied"


@pytest.mark.parametrize("payload", [{}, {"kind": "unit"}, {"kind": "unit", "id": "x"}, {"kind": "unit", "id": "x", "document": "text"}])
def test_malformed_changes(till: Till, payload: dict[str, Any]) -> None:
    with pytest.raises(Problem) as raised:
        till.ask("change", payload=payload)
    assert raised.value.code == "invalid_payload"
