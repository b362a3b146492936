"""`cardcore sign`: sign one terminal request, for trying the API with curl and for testing a till's own code."""

from __future__ import annotations

from typing import Annotated

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir
from cardapi.cli.show import say


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
    from cardapi.cli.service import terminal_signer

    content = typer.get_binary_stream("stdin").read() if body == "-" else body.encode()
    signer = terminal_signer(data, terminal, version)
    say(signer.header(method.upper(), path, client_key, content).rstrip())
