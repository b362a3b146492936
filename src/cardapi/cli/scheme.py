"""`cardcore scheme`: look at programme packs and check them before they are published."""

from __future__ import annotations

from typing import Annotated

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Token, Url
from cardapi.cli.packs import read_pack
from cardapi.cli.service import reach
from cardapi.cli.show import Mistake, details, emit_json, listing, note, say
from cardapi.cli.what_if import what_if

app = group("Programme packs: the files that say what a card can do.")

Pack = Annotated[str, typer.Argument(help="A pack file, or the name of a pack that ships with cardcore.", show_default=False)]
Lang = Annotated[str, typer.Option("--lang", help="en or zh.")]


@app.command("list")
def list_packs(lang: Lang = "en", as_json: Json = False) -> None:
    """List the packs that ship with cardcore: what each does, and which kinds of card it makes."""
    from cardapi.plans.kinds import KINDS, kinds
    from cardapi.shipped import packs
    from cardcore.settlement import pack

    _language(lang)
    rows = []
    for name, path in packs().items():
        text = path.read_text(encoding="utf-8")
        normal, words = pack.normalise(text), pack.describe(text)
        found = kinds(normal)
        row = {"name": name, "version": normal["version"], "title": words["title"][lang], "about": words["about"][lang]}
        rows.append({**row, "kinds": found if as_json else ", ".join(KINDS[kind][lang == "en"] for kind in found)})
    listing("Packs", rows, {"name": "name", "title": "title", "kinds": "kinds", "about": "about"}, as_json=as_json)


@app.command()
def check(file: Pack, as_json: Json = False) -> None:
    """Check a pack: every problem with its line and reason; exit code 1 when there is one.

    Example: cardcore scheme check my-cards.toml
    """
    from cardcore.settlement import pack

    problems = [problem._asdict() for problem in pack.check(read_pack(file))]
    if as_json:
        emit_json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            note(f"{file}:{problem['line']}: {problem['path'] + ': ' if problem['path'] else ''}{problem['reason']}")
        note(f"error: {len(problems)} problem{'s' if len(problems) > 1 else ''} [invalid_pack]")
    else:
        say(f"{file} is a valid pack")
    if problems:
        raise typer.Exit(1)


@app.command()
def show(file: Pack, lang: Lang = "en", as_json: Json = False) -> None:
    """Show a pack as a contract: plain sentences with every number that it holds, in English or Chinese.

    Example: cardcore scheme show mall-vip
    """
    from cardapi.plans.contract import contract
    from cardcore.settlement import pack

    text = read_pack(file)
    said = contract(text, _language(lang))
    if as_json:
        sections = [section._asdict() for section in said.sections]
        emit_json({**pack.normalise(text), **pack.describe(text), "contract": sections})
        return
    say(said.title)
    say(said.about)
    for number, section in enumerate(said.sections, 1):
        say(f"\n{number}. {section.title}")
        for place, sentence in enumerate(section.sentences, 1):
            say(f"   {number}.{place} {sentence}")


@app.command()
def publish(
    file: Pack,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Publish a pack: cards can be issued by it from now on. What is published never changes; a change needs a new version.

    Example: cardcore scheme publish my-cards.toml
    """
    from cardcore.settlement import pack

    raw = read_pack(file)
    pack.normalise(raw)  # InvalidPack names the lines; no need to ask the service
    text = raw.decode()
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("publishScheme", {"pack": text}, key=key)
    details("Published", made, as_json=as_json)


def _language(lang: str) -> str:
    from cardapi.plans.words import LANGUAGES

    if lang not in LANGUAGES:
        raise Mistake("no_such_language", f"--lang is en or zh, not {lang!r}")
    return lang


app.command("what-if")(what_if)
