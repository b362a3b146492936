"""Goal: an installed cardcore finds what it ships. Method: setuptools' own file lists, without compiling, and the lookup in the tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cardapi import shipped
from tests.tidy.tree import ROOT, Tree


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `build_py` copies: the Python packages and their data, laid out as they are installed."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "setup.py", "-q", "egg_info", "-e", str(folder), "build_py", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "CARDCORE_LINK_ONLY": "1"})
    return folder


def test_packs_stubs_pages_and_migrations_are_packaged(built: Path) -> None:
    assert shipped.packs(), "no pack ships"
    packed = {path.stem for path in (built / "cardapi" / "schemes").glob("*.toml")}
    assert packed == set(shipped.packs())
    for source in Tree(ROOT).files:
        if source.is_relative_to(ROOT / "src") and source.suffix not in {".pyx", ".pxi", ".c", ".h"}:
            assert (built / source.relative_to(ROOT / "src")).exists(), f"{source.name} is not packaged"
    assert (built / "cardcore" / "py.typed").exists()
    compiled_from = [*built.rglob("*.pyx"), *built.rglob("*.c"), *built.rglob("*.h")]
    assert not compiled_from, "sources of the core belong in the source archive only"


def test_the_shipped_packs_are_read() -> None:
    for name in shipped.packs():
        assert "schema = 1" in shipped.pack_text(name)
    with pytest.raises(KeyError):
        shipped.pack_text("no-such-pack")
