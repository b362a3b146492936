"""`cardcore sign`: sign one terminal request, for trying the API with curl and for testing a till's own code."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir
from cardapi.cli.show import Mistake, say

KEY = "CARDCORE_TERMINAL_KEY"


def sign(
    method: Annotated[str, typer.Argument(help="GET or POST.", show_default=False)],
    path: Annotated[str, typer.Argument(help="Path with its query, such as /v1/settle.", show_default=False)],
    body: Annotated[str, typer.Option("--body", help="The exact body, or - to read it from standard input.")] = "",
    client_key: Annotated[str, typer.Option("--key", help="The Idempotency-Key you will send, if any.")] = "",
    terminal: Annotated[str, typer.Option("--terminal", help="The terminal that signs; the demo's when left out.")] = "",
    version: Annotated[int, typer.Option("--key-version", help="The version of its key.")] = 1,
    data: DataDir = DEFAULT_DATA,
) -> None:
    """Print the Authorization header of a signed terminal request, good for a few minutes and one use.

    The terminal's key (hex) comes from CARDCORE_TERMINAL_KEY, or is the demo shop's.

    Example: curl -H "$(cardcore sign POST /v1/settle --key a1 --body "$B")" -H 'Idempotency-Key: a1' -d "$B" $URL/v1/settle
    """
    from cardapi.cli.replay.wire import TerminalSigner
    from cardapi.cli.service import demo_credentials

    content = typer.get_binary_stream("stdin").read() if body == "-" else body.encode()
    text = os.environ.get(KEY, "")
    if not text:
        demo = demo_credentials(data)
        if demo is None or terminal not in ("", demo["terminal"]):
            raise Mistake("no_terminal_key", f"put the terminal's key into {KEY}: it was shown when the terminal was created")
        terminal, text = demo["terminal"], demo["terminal_key"]
    try:
        signer = TerminalSigner(terminal, version, bytes.fromhex(text))
    except ValueError:
        raise Mistake("no_terminal_key", f"{KEY} is not a key in hex") from None
    say(signer.header(method.upper(), path, client_key, content).rstrip())
