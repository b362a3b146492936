"""The group every command hangs in: errors end in one sentence with a stable code and exit 1, never in a traceback."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from cardapi.cli.show import fail, note
from cardcore.errors import CardcoreError

_OWN = (typer.Exit, typer.Abort, typer.BadParameter.__mro__[2])
"""What the command line library raises to end a command or, by a class it does not name, to complain about its use."""


class CardcoreGroup(TyperGroup):
    """Turns what commands raise on purpose, and what the machine refuses, into a sentence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CardcoreError as error:
            raise fail(error) from None
        except BrokenPipeError:
            # Whoever read our output has enough (`| head`): not an error, and nothing more may be written at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            note(f"error: {error.strerror or error}{place} [system]")
            raise typer.Exit(1) from None
        except Exception as error:
            # A mistake of ours. A traceback may hold secrets (A6), so it is shown only to whoever asks for it.
            if isinstance(error, _OWN) or os.environ.get("CARDCORE_TRACE"):
                raise
            note(f"error: something broke that should not: {type(error).__name__} [unexpected]; CARDCORE_TRACE=1 shows where")
            raise typer.Exit(70) from None


def group(text: str) -> typer.Typer:
    """A command group that shows its help when called alone."""
    return typer.Typer(
        help=text, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, cls=CardcoreGroup
    )
