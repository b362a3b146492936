"""Goal: an install from the lock files is complete, exact and from anywhere. Method: read them beside pyproject.toml."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
NEEDED = {
    "run": [*PROJECT["project"]["dependencies"], *EXTRAS["build"]],
    "dev": [*PROJECT["project"]["dependencies"], *EXTRAS["build"], *EXTRAS["dev"], *EXTRAS["bench"]],
}


def pins(name: str) -> list[Requirement]:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    return [Requirement(line.split(" \\")[0].split(" --hash")[0]) for line in text.splitlines() if re.match(r"[a-z0-9]", line)]


@pytest.mark.parametrize("name", NEEDED)
def test_every_dependency_is_pinned_within_its_range(name: str) -> None:
    pinned: dict[str, list[Requirement]] = {}
    for pin in pins(name):
        pinned.setdefault(canonicalize_name(pin.name), []).append(pin)
    for wanted in map(Requirement, NEEDED[name]):
        found = pinned.get(canonicalize_name(wanted.name), [])
        assert found, f"{wanted.name} is not in requirements/{name}.lock: run `make lock`"
        for pin in found:
            version = str(pin.specifier).removeprefix("==")
            assert wanted.specifier.contains(version), f"{pin} is outside {wanted}: run `make lock`"


@pytest.mark.parametrize("name", NEEDED)
def test_every_pin_is_exact_and_has_a_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert len(blocks) == len(pins(name)) > 20
    for block in blocks:
        assert re.match(r"[\w.-]+==[\w.]+", block), block[:60]
        assert "--hash=sha256:" in block, block[:60]


@pytest.mark.parametrize("name", NEEDED)
def test_no_address_is_named(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|index|find-links|@", text)


def test_both_files_agree() -> None:
    assert {str(pin) for pin in pins("run")} - {str(pin) for pin in pins("dev")} <= {'colorama==0.4.6; sys_platform == "win32"'}
