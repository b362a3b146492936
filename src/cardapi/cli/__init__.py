"""The command line `cardcore`: one file per command group, started by `main`.

Heavy modules are imported inside the commands that use them, so that `cardcore --help` is there at once.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the installed command."""
    from cardapi.cli.root import app

    app()
