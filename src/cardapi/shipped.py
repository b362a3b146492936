"""What ships with the program as data: programme packs (`schemes/` of the source tree, `cardapi/schemes/` once installed) and law
packs (`laws/`, `cardapi/lawpacks/`)."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path


def version() -> str:
    """The version of the installed package; "0" in a source tree that was never installed."""
    try:
        return installed("cardcore")
    except PackageNotFoundError:
        return "0"


def packs_folder() -> Path:
    """The folder of the shipped packs, wherever the program runs from."""
    return _folder("schemes", "schemes")


def _folder(installed_as: str, in_tree: str) -> Path:
    installed = Path(__file__).with_name(installed_as)
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / in_tree


def packs() -> dict[str, Path]:
    """Every shipped pack by its file name without suffix, sorted."""
    return _files(packs_folder())


def laws() -> dict[str, Path]:
    """Every shipped law pack by its file name without suffix, sorted."""
    return _files(_folder("lawpacks", "laws"))


def _files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def pack_text(name: str) -> str:
    """The TOML text of one shipped pack. Raises KeyError for a name that does not ship."""
    return packs()[name].read_text(encoding="utf-8")


def law_text(name: str) -> str:
    """The TOML text of one shipped law pack. Raises KeyError for a name that does not ship."""
    return laws()[name].read_text(encoding="utf-8")
