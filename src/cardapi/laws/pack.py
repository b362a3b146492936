"""Reading a law pack: TOML, checked with line and reason, as versions that hold from a date."""

from __future__ import annotations

import datetime
import tomllib
from typing import Any, Final

import msgspec

from cardapi.days import day_of
from cardcore.errors import CardcoreError
from cardcore.settlement.toml_reader import Path, Table, locate

BYTES_MAX: Final = 65_536
AMOUNT_MAX: Final = 10**15
MONTHS_MAX: Final = 1_200
CLASSES: Final = ("scale", "group", "brand")
DOCUMENTS: Final = ("none", "receipt", "untaxed_invoice", "invoice")


class InvalidLaw(CardcoreError, ValueError):
    """A law pack that cannot be read; `facts["problems"]` lists `{line, path, reason}`."""

    code = "invalid_law"


class LawVersion(msgspec.Struct, frozen=True):
    """The rules from a day on. Amounts in fen; 0 is no rule."""

    valid_from: datetime.date
    named_fen: int
    unnamed_fen: int
    unnamed_min_months: int
    named_needs_evidence: bool
    unnamed_from_fen: int
    records_kept_months: int
    company_cash_fen: int
    person_cash_fen: int
    refund_days: int
    shared_needs_licence: bool
    escrow: dict[str, tuple[int, int]]
    topup_document: str
    spend_document: str


class LawPack(msgspec.Struct, frozen=True):
    """A country's rules, oldest version first."""

    name: str
    country: str
    title: dict[str, str]
    versions: tuple[LawVersion, ...]

    def at(self, at_s: int) -> LawVersion | None:
        """The version that holds at an epoch second, None before the first."""
        day = day_of(at_s)
        return next((version for version in reversed(self.versions) if version.valid_from <= day), None)


def load(text: str) -> LawPack:
    """Raises InvalidLaw."""
    pack, problems = _read(text)
    if problems or pack is None:
        raise InvalidLaw(f"line {problems[0]['line']}: {problems[0]['reason']}", problems=problems)
    return pack


def check(text: str) -> list[dict[str, Any]]:
    """Every problem of a pack in line order; empty when `load` would take it."""
    return _read(text)[1]


def _read(text: str) -> tuple[LawPack | None, list[dict[str, Any]]]:
    if len(text.encode()) > BYTES_MAX:
        return None, [{"line": 1, "path": "", "reason": f"a law pack is at most {BYTES_MAX} bytes"}]
    try:
        document = tomllib.loads(text)
        places = locate(text)
    except (ValueError, RecursionError) as error:
        return None, [{"line": 1, "path": "", "reason": f"not TOML: {str(error)[:200]}"}]
    found: list[tuple[Path, str]] = []
    pack = _pack(Table(document, (), found))
    problems = [{"line": _line(places, path), "path": ".".join(map(str, path)), "reason": reason} for path, reason in found]
    return (None if problems else pack), sorted(problems, key=lambda problem: problem["line"])


def _line(places: dict[Path, int], path: Path) -> int:
    while path not in places:
        path = path[:-1]
    return places[path]


def _pack(table: Table) -> LawPack:
    table.integer("schema", 1, 1)
    name = table.text("name", "[a-z0-9][a-z0-9-]{0,31}", "a short id such as \"cn-prepaid\"")
    country = table.text("country", "[A-Z]{2}", "two capital letters of ISO 3166")
    words = table.table("title")
    title = {language: words.text(language, "(?s).{1,60}", "1 to 60 characters") for language in ("zh", "en")}
    words.close()
    versions = [_version(one) for one in table.tables("version", 32, 1)]
    if [version.valid_from for version in versions] != sorted({version.valid_from for version in versions}):
        table.wrong("version", "versions come in order, each from a day of its own")
    table.close()
    return LawPack(name, country, title, tuple(versions))


def _version(table: Table) -> LawVersion:
    text = table.text("valid_from", "[0-9]{4}-[0-9]{2}-[0-9]{2}", "a day such as \"2012-11-01\"")
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        table.wrong("valid_from", "there is no such day")
        day = datetime.date.min
    refund_days = table.integer("refund_days", 0, 365, 0)
    caps, validity, real = table.table("caps", None), table.table("validity", None), table.table("real_name", None)
    cash, licence, escrow = table.table("cash", None), table.table("licence", None), table.table("escrow", None)
    documents = table.table("documents", None)
    version = LawVersion(
        valid_from=day,
        named_fen=caps.integer("named_fen", 0, AMOUNT_MAX, 0),
        unnamed_fen=caps.integer("unnamed_fen", 0, AMOUNT_MAX, 0),
        unnamed_min_months=validity.integer("unnamed_min_months", 0, MONTHS_MAX, 0),
        named_needs_evidence=real.flag("named_needs_evidence", False),
        unnamed_from_fen=real.integer("unnamed_from_fen", 0, AMOUNT_MAX, 0),
        records_kept_months=real.integer("records_kept_months", 0, MONTHS_MAX, 0),
        company_cash_fen=cash.integer("company_from_fen", 0, AMOUNT_MAX, 0),
        person_cash_fen=cash.integer("person_from_fen", 0, AMOUNT_MAX, 0),
        refund_days=refund_days,
        shared_needs_licence=licence.flag("shared_needs_licence", False),
        escrow={name: escrow.fraction(name, 1, zero=True, default=None) for name in CLASSES if escrow.has(name)},
        topup_document=documents.choice("topup", DOCUMENTS, "receipt"),
        spend_document=documents.choice("spend", DOCUMENTS, "receipt"),
    )
    for part in (caps, validity, real, cash, licence, escrow, documents, table):
        part.close()
    return version


class Law(msgspec.Struct, frozen=True):
    """What a shop chose: a pack, its class of issuer, and whether it holds the licence that sharing needs (W6)."""

    pack: LawPack
    issuer_class: str
    licensed: bool


def chosen(document: dict[str, Any]) -> Law | None:
    """The law of a registry document of kind "law"; None while it is off. Raises InvalidLaw, KeyError."""
    if document["state"] not in ("on", "off") or document["issuer_class"] not in CLASSES or type(document["licensed"]) is not bool:
        raise InvalidLaw("a law is on or off, of a known class of issuer, and says whether a licence is held")
    law = Law(load(document["pack"]), document["issuer_class"], document["licensed"])
    return law if document["state"] == "on" else None
