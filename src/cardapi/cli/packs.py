"""Pack files as commands name them: a path, or the name of a pack that ships."""

from __future__ import annotations

from pathlib import Path

from cardapi.cli.show import Mistake


def read_pack(file: str) -> bytes:
    """The text of a pack. Raises Mistake no_such_pack."""
    from cardapi.shipped import packs

    path = Path(file)
    if not path.is_file():
        shipped = packs()
        if file not in shipped:
            raise Mistake("no_such_pack", f"there is no file {file!r} and no shipped pack of that name ({', '.join(shipped)})")
        path = shipped[file]
    return path.read_bytes()
