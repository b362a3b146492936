"""Programme packs: TOML text in, a compiled `Programme` or a list of problems out (docs/features.md; D05).

A pack is refused as a whole, with every problem found and the line of each; nothing in a pack can raise anything but
`InvalidPack`. What the tables mean is in `pack_tables`; files are read by the caller.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cardcore.errors import InvalidPack
from cardcore.settlement import pack_tables, toml_reader
from cardcore.settlement.toml_reader import Path, Table

if TYPE_CHECKING:
    from cardcore.settlement import Programme

PACK_BYTES_MAX: Final = 256 * 1024
SLEEPING: Final = frozenset({"suspended", "left", "disqualified"})  # states of a member that a `tag` may ask for; tests hold them equal


class PackProblem(NamedTuple):
    """One reason why a pack is refused."""

    line: int  # from 1
    path: str  # "benefit[2].then.discount", "" for the whole pack
    reason: str  # a sentence for the author


def load(text: str | bytes, *, published: bool = False) -> Programme:
    """Compile a pack. Raises InvalidPack, whose `facts["problems"]` lists `{line, path, reason}` in line order.

    `published`: it was, maybe by a release that did not know a rule of today's; what it published stays readable for ever.
    """
    from cardcore.settlement import Programme  # here, so that a pack can be checked while the core is being built

    return Programme(normalise(text, published=published))


def load_asleep(text: str | bytes) -> Programme:
    """A published pack as it decides for a card whose member is suspended, has left or is out (L10).

    Purses, lots and products are what they are; no rule, coupon, gift or threshold of a tier is for such a card. A rule that asks for
    one of these states by `tag` acts. Places in the pack are the same, so that one version's receipts print what the other decided.
    """
    from cardcore.settlement import Programme

    return Programme(_asleep(normalise(text, published=True)))


def _asleep(pack: dict[str, Any]) -> dict[str, Any]:
    said = {
        index for index, predicate in enumerate(pack["predicates"])
        if predicate["kind"] == "tag" and not SLEEPING.isdisjoint(predicate["values"])
    }  # fmt: skip
    for part in ("rules", "coupons", "gifts"):
        pack[part] = [one if said.intersection(one["asks"]) else {**one, "tiers": (), "tier": 0} for one in pack[part]]
    pack["tiers"] = [{"name": tier["name"]} for tier in pack["tiers"]]
    return pack


def check(text: str | bytes) -> list[PackProblem]:
    """Every problem of a pack in line order; empty when `load` would take it."""
    return _read(text)[1]


def normalise(text: str | bytes, *, published: bool = False) -> dict[str, Any]:
    """The plain dict that `Programme` compiles, every default filled in; `published` as in `load`. Raises InvalidPack."""
    normalised, problems = _read(text, published=published)
    if problems:
        first = problems[0]
        raise InvalidPack(f"line {first.line}: {first.reason}", problems=[problem._asdict() for problem in problems])
    return normalised


def describe(text: str | bytes) -> dict[str, dict[str, str]]:
    """`title` and `about` of a valid pack, each by language ("zh", "en"). Raises InvalidPack."""
    normalise(text)
    document = tomllib.loads(_decode(text))
    return {key: dict(document[key]) for key in ("title", "about")}


def _decode(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return data.decode()


def _read(text: str | bytes, *, published: bool = False) -> tuple[dict[str, Any], list[PackProblem]]:
    """The normalised pack and its problems, in line order."""
    size = len(text)
    if size > PACK_BYTES_MAX:
        return {}, [PackProblem(1, "", f"a pack is at most {PACK_BYTES_MAX} bytes")]
    try:
        decoded = _decode(text)
    except UnicodeError:
        return {}, [PackProblem(1, "", "a pack is text in UTF-8")]
    if decoded.startswith("\ufeff"):
        return {}, [PackProblem(1, "", "a pack starts without a byte order mark")]
    try:
        document = tomllib.loads(decoded)
        places = toml_reader.locate(decoded)
    except RecursionError:
        return {}, [PackProblem(1, "", "values are nested too deeply")]
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        return {}, [_syntax_problem(decoded, str(error))]
    found: list[tuple[Path, str]] = []
    normalised = pack_tables.normalise(Table(document, (), found), published=published)
    normalised["digest"] = hashlib.sha256(decoded.encode()).hexdigest()
    problems = {PackProblem(_line(places, path), _spell(path), reason) for path, reason in found}
    return normalised, sorted(problems)


def _syntax_problem(text: str, message: str) -> PackProblem:
    match = re.search(r"\(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", message)
    line = int(match[1]) if match and match[1] else text.count("\n") + 1 if match else 1
    reason = message if not match else message[: match.start()].strip()
    if match and match[2]:
        reason += f" at column {match[2]}"
    return PackProblem(line, "", f"not TOML: {reason[:200]}")


def _line(places: dict[Path, int], path: Path) -> int:
    """Line of the path, or of the nearest table around it when the key itself is missing."""
    while path not in places:
        path = path[:-1]
    return places[path]


def _spell(path: Path) -> str:
    """`("benefit", 2, "then")` as `benefit[3].then`, counting from 1 as people do."""
    out = ""
    for part in path:
        out += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if out else part
    return out
