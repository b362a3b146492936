"""Goal: an installed cardcore finds what it ships. Method: setuptools' own file lists, without compiling, and the lookup in the tree."""

from __future__ import annotations

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
    program = (
        "import Cython.Build, sys; Cython.Build.cythonize = lambda *a, **k: []; sys.path.insert(0, '.');"
        f"sys.argv = ['setup.py', '-q', 'egg_info', '-e', {str(folder)!r}, 'build_py', '-d', {str(folder)!r}];"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'), {'__file__': 'setup.py', '__name__': '__main__'})"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
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
