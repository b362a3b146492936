"""What a body's schema says against it, as a stable code with the field at fault."""

from __future__ import annotations

import re

import msgspec

from cardapi.http.problems import HttpProblem
from cardcore.errors import CardcoreError

_AT = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"`([^`]*)`")


def explain(error: msgspec.ValidationError, within: str = "") -> CardcoreError:
    """msgspec's words as a stable code. `within` is the path of what was decoded. A cause of our own (a malformed PIN) is passed on."""
    if isinstance(error.__cause__, CardcoreError):
        return error.__cause__
    match = _AT.match(str(error))
    assert match is not None, "the pattern matches any text"
    said, field = match[1], f"{within}{match[2] or ''}".lstrip(".")
    name = _NAMED.search(said)
    if said.startswith("Object contains unknown field") and name:
        return HttpProblem("unknown_field", f"unknown field {name[1][:64]}", field=f"{field}.{name[1][:64]}".lstrip("."))
    if said.startswith("Object missing required field") and name:
        return HttpProblem("missing_field", f"missing field {name[1]}", field=f"{field}.{name[1]}".lstrip("."))
    amount = field.endswith("_fen") or field.rpartition(".")[2] in ("amount", "points", "quantity")
    if said.startswith("Expected `int`, got"):
        return HttpProblem("amount_not_integer" if amount else "wrong_type", said, field=field)
    if said.startswith("Expected `int` ") and amount:
        return HttpProblem("amount_out_of_range", said, field=field)
    if ", got `" in said:
        return HttpProblem("wrong_type", said, field=field)
    return HttpProblem("bad_value", said, field=field)
