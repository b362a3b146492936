"""The programme packs that ship with the program: `schemes/` of the source tree, `cardapi/schemes/` once installed."""

from __future__ import annotations

from pathlib import Path


def packs_folder() -> Path:
    """The folder of the shipped packs, wherever the program runs from."""
    installed = Path(__file__).with_name("schemes")
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "schemes"


def packs() -> dict[str, Path]:
    """Every shipped pack by its file name without suffix, sorted."""
    return {path.stem: path for path in sorted(packs_folder().glob("*.toml"))}


def pack_text(name: str) -> str:
    """The TOML text of one shipped pack. Raises KeyError for a name that does not ship."""
    return packs()[name].read_text(encoding="utf-8")
