"""`cardcore scheme`: look at programme packs and check them before they are published."""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Token, Url
from cardapi.cli.packs import read_pack
from cardapi.cli.service import reach
from cardapi.cli.show import Mistake, details, emit_json, listing, note, say, table
from cardapi.cli.what_if import what_if

app = group("Programme packs: the files that say what a card can do.")

Pack = Annotated[str, typer.Argument(help="A pack file, or the name of a pack that ships with cardcore.", show_default=False)]
Lang = Annotated[str, typer.Option("--lang", help="en or zh.")]


@app.command("list")
def list_packs(lang: Lang = "en", as_json: Json = False) -> None:
    """List the packs that ship with cardcore: what each does, and which kinds of card it makes."""
    from cardapi.plans.draft import KINDS
    from cardapi.plans.kinds import kinds
    from cardapi.shipped import packs
    from cardcore.settlement import pack

    _language(lang)
    rows = []
    for name, path in packs().items():
        text = path.read_text(encoding="utf-8")
        normal, words = pack.normalise(text), pack.describe(text)
        found = kinds(normal)
        row = {"name": name, "version": normal["version"], "title": words["title"][lang], "about": words["about"][lang]}
        rows.append({**row, "kinds": found if as_json else ", ".join(KINDS[kind][1 + (lang == "en")] for kind in found)})
    listing("Packs", rows, {"name": "name", "title": "title", "kinds": "kinds", "about": "about"}, as_json=as_json)


@app.command()
def check(
    file: Pack,
    budget: Annotated[
        str, typer.Option("--budget", help="What spent points may cost, in percent of sales; the pack's own, or 0.6, when absent.")
    ] = "",
    lang: Lang = "en",
    as_json: Json = False,
) -> None:
    """Check a pack: every problem with its line and reason; exit code 1 when there is one.

    A valid pack is told what it lets customers gain by dividing or joining tickets (a rule that states a step for each ticket bounds
    it), and what points cost that are spent, with a warning above the budget: the one that the pack
    declares in `[budget]`, else 0.6 percent of the sales that earned them.

    Example: cardcore scheme check my-cards.toml
    """
    from cardapi.plans.budget import cost_sentence, costs, percent
    from cardapi.plans.gains import gain_sentence, gains
    from cardapi.plans.words import Words
    from cardcore.settlement import pack

    words, bound = Words(_language(lang)), _share(budget) if budget else None
    text = read_pack(file)
    problems = [problem._asdict() for problem in pack.check(text)]
    normal = {} if problems else pack.normalise(text)
    found, spent = (gains(normal), costs(normal, bound)) if normal else ([], [])
    if as_json:
        told = [
            {**one._asdict(), **{key: percent(getattr(one, key)) for key in ("low", "high", "budget")}, "over": one.over} for one in spent
        ]
        emit_json({"ok": not problems, "problems": problems, "gains": [one._asdict() for one in found], "costs": told})
    elif problems:
        for problem in problems:
            note(f"{file}:{problem['line']}: {problem['path'] + ': ' if problem['path'] else ''}{problem['reason']}")
        note(f"error: {len(problems)} problem{'s' if len(problems) > 1 else ''} [invalid_pack]")
    else:
        say(f"{file} is a valid pack")
        for gain in found:
            say(f"gain: {gain_sentence(gain, words)}")
        for cost in spent:
            say(f"{'warning' if cost.over else 'cost'}: {cost_sentence(cost, words)}")
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
def new(
    name: Annotated[str, typer.Argument(help="The new pack's name: small letters, digits, hyphens.", show_default=False)],
    kind: Annotated[str, typer.Option("--kind", help="The card kind to start from, C01 to C19; asked for when left out.")] = "",
    title_zh: Annotated[str, typer.Option("--title-zh", help="Its title in Chinese.")] = "",
    title_en: Annotated[str, typer.Option("--title-en", help="Its title in English.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; NAME.toml when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Write a new pack, with comments, to start from: the shipped pack of a card kind under a new name.

    Example: cardcore scheme new tea-house --kind C04 --title-zh 茶馆卡 --title-en "Tea house card"
    """
    from cardapi.plans.draft import KINDS, draft
    from cardapi.shipped import pack_text

    asking = sys.stdin.isatty()
    if not kind and asking:
        table("Card kinds", ["kind", "what", "from the pack"], ([one, f"{zh} {en}", source] for one, (source, zh, en) in KINDS.items()))
        kind = typer.prompt("Which kind")
    if kind not in KINDS:
        raise Mistake("no_such_kind", f"--kind is one of {', '.join(KINDS)}" + (f", not {kind!r}" if kind else ""))
    source, zh, en = KINDS[kind]
    title_zh = title_zh or (typer.prompt("Title in Chinese", zh) if asking else zh)
    title_en = title_en or (typer.prompt("Title in English", en.capitalize()) if asking else en.capitalize())
    target = out or Path(f"{name}.toml")
    text = draft(pack_text(source), kind, name, title_zh, title_en)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Mistake("file_exists", f"{target} is there already; choose another name or --out") from None
    if as_json:
        emit_json({"file": str(target), "kind": kind, "from": source})
        return
    say(f"{target}: {en} ({kind}), from the pack {source}. Edit it, then:")
    say(f"  cardcore scheme check {target}")
    say(f"  cardcore scheme show {target}")
    say(f"  cardcore scheme publish {target}")


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


def _share(text: str) -> Fraction:
    """A share from percent such as `0.6`. Raises Mistake."""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,4})?", text):
        raise Mistake("bad_budget", f"--budget is in percent, such as 0.6, not {text!r}")
    return Fraction(text) / 100


app.command("what-if")(what_if)
