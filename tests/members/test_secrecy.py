"""Goal: personal data stand nowhere in clear: not in the database, its log, a backup, an export, the journal or the program's logs.

Method: enrol people with unmistakable values, then search the bytes of everything that was written for them.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cardapi.cli.root import app
from cardapi.copies import backup_shop
from cardapi.custody import CustodyError
from cardapi.members import profile
from cardapi.members.profile import Evidence, Profile
from tests.desk.till import Problem, Till
from tests.members.conftest import ID_CARD
from tests.members.till import enrol, person
from tests.shops import journal

VALUES = ("Quentin Ozymandias", "欧阳乾坤", "13912345678", "zyx@example.com", "1949-12-31", ID_CARD, "rare-tag", "shoe-size-47")


def filled(till: Till) -> str:
    evidence = Evidence("id_card", ID_CARD, "欧阳乾坤", "t1", 1)
    everything = Profile(
        "Quentin Ozymandias", "13912345678", "zyx@example.com", "1949-12-31", "en", {"size": "shoe-size-47"}, ("rare-tag",), evidence
    )
    name = enrol(till, everything)
    till.done("profile", payload={"member": name, "changes": {"tags": ("rare-tag", "second")}})
    till.done("consent", payload={"member": name, "consents": ("sms",)})
    return name


def found_in(data: bytes) -> list[str]:
    return [value for value in VALUES if value.encode() in data]


@pytest.mark.embedded("its files are searched")
def test_not_in_any_file_of_the_shop_nor_its_backup(till: Till, tmp_path: Path) -> None:
    filled(till)
    backup_shop(till.directory, tmp_path / "copy")
    files = [path for place in (till.directory, tmp_path / "copy") for path in place.rglob("*") if path.is_file()]
    assert len(files) >= 5
    for path in files:
        assert not found_in(path.read_bytes()), path.name
    till.shop.close()
    assert not found_in((till.directory / "cardcore.db").read_bytes())


def test_not_in_the_journal_nor_its_export(till: Till) -> None:
    filled(till)
    for entry in journal(till.shop):
        assert not found_in(repr(entry).encode() + entry.body)
    till.shop.close()
    exported = CliRunner().invoke(app, ["export", "--data", str(till.directory), "--json"])
    assert exported.exit_code == 0, exported.output
    assert not found_in(exported.output.encode())


def test_not_in_logs_reprs_or_problems(till: Till, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    filled(till)
    seen = till.request("enrol", payload={"profile": person(name="Quentin Ozymandias", phone="13912345678"), "claim": None})
    assert not found_in(repr(seen).encode())
    with pytest.raises(Problem):  # a claim that is none: the desk logs and says unexpected
        till.shop.desk.call(seen)
    assert not found_in(caplog.text.encode())


def test_sealed_data_open_for_their_member_only(till: Till) -> None:
    name = filled(till)
    record = till.shop.store.reader().records("person", [name])[name]
    known = profile.unseal(till.shop.custody, record)
    assert known.phone == "13912345678"
    assert repr(known) == "Profile(***)"
    for other in (record.body[:-1] + bytes([record.body[-1] ^ 1]), b"\x02" + record.body[1:], b"\x01", b""):
        with pytest.raises(CustodyError):
            till.shop.custody.unseal(name, other)
    with pytest.raises(CustodyError):
        till.shop.custody.unseal("m00-000000000001", record.body)


def test_equal_profiles_are_sealed_differently_and_found_equally(till: Till) -> None:
    custody = till.shop.custody
    one, two = (profile.seal(custody, "m00-000000000001", person(phone="13800000000")) for _ in range(2))
    assert one.body != two.body
    assert one.keys == two.keys
    assert custody.blind("phone", "1") != custody.blind("phone4", "1")
    values: dict[str, Any] = dict(one.keys)
    assert all(len(value) == 32 for value in values.values())
    assert "13800000000" not in json.dumps(one.keys)
