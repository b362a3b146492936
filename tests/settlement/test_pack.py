"""Goal: a pack is compiled or refused with line and reason, never a traceback. Method: the shipped packs, one broken line at a
time with the line expected by hand, and seeded mutations of good packs."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from cardcore import settlement as core
from cardcore.errors import CardcoreError, InvalidPack
from cardcore.settlement import pack, pack_conditions, toml_reader

SCHEMES = sorted((Path(__file__).parents[2] / "schemes").glob("*.toml"))
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in SCHEMES}

SMALLEST = """\
schema = 1
name = "tiny"
version = 1
currency = "CNY"
title = { zh = "小", en = "Tiny" }
about = { zh = "小", en = "Tiny" }
utc_offset = "+08:00"

[[purse]]
name = "principal"
unit = "fen"
role = "principal"
"""
LINES = SMALLEST.count("\n")


@pytest.mark.parametrize("name", TEXTS)
def test_a_shipped_pack_is_valid_and_says_what_it_is(name: str) -> None:
    text = TEXTS[name]
    assert pack.check(text) == []
    assert pack.normalise(text)["name"] == name
    header = [line for line in text.splitlines() if line.startswith("#")][:4]
    assert len(header) == 4, "two sentences in Chinese, two in English"
    assert any(ord(c) > 0x4E00 for c in header[0])
    assert header[2].isascii()
    assert set(pack.describe(text)["title"]) == {"zh", "en"}


def test_defaults_are_filled_in() -> None:
    normalised = pack.normalise(SMALLEST)
    assert normalised["stacking"] == "multiply"
    assert normalised["rounding"] == "half_up"
    assert normalised["step_fen"] == 1
    assert normalised["spend_order"] == "expiry"
    assert normalised["utc_offset_s"] == 8 * 3600
    assert normalised["tiers"] == [
        {"name": "standard", "counter": -1, "spend_min_fen": -1, "orders_min": -1, "points_min": -1, "counter_min": -1}
    ]
    assert normalised["limits"] == {
        "balance_max_fen": 10**15,
        "topup_min_fen": 1,
        "topup_max_fen": 10**15,
        "topup_step_fen": 1,
        "transfer": False,
        "transfer_points": False,
    }


def test_text_and_bytes_are_the_same_pack() -> None:
    assert pack.normalise(SMALLEST) == pack.normalise(SMALLEST.encode())
    assert pack.load(SMALLEST).digest == pack.load(SMALLEST.encode()).digest


def test_the_mall_pack_holds_the_numbers_of_the_plan() -> None:
    rules = {rule["name"].split(" ")[0]: rule for rule in pack.normalise(TEXTS["mall-vip"])["rules"]}
    assert (rules["金卡"]["pay"], rules["金卡"]["of"]) == (88, 100)
    redeem = next(rule for rule in rules.values() if rule["effect"] == "redeem")
    assert redeem["ladder"] == [(1000, 200_00), (1500, 400_00)]
    assert redeem["every"] == (500, 200_00)


TABLE = '[[benefit]]\nname = "b"\n'  # the benefit's own lines are LINES+1, LINES+2, its `then` LINES+3
POINTS = '[[purse]]\nname = "points"\nunit = "points"\nrole = "points"\n'

BROKEN = [
    ("schema = 2", 1, "`schema` must be between 1 and 1"),
    ("name = 'Tiny Pack'", 2, "`name` must be 1 to 32 small letters, digits or hyphens"),
    ("version = 1.5", 3, "`version` must be a whole number, not a number with a fraction"),
    ("version = true", 3, "`version` must be a whole number, not true or false"),
    ("version = 0", 3, "`version` must be between 1 and 1000000000"),
    ("currency = 'yuan'", 4, "`currency` must be three capital letters"),
    ("title = 'Tiny'", 5, "`title` must be a table, not text"),
    ("title = { zh = '小' }", 5, "missing key `en`"),
    ("utc_offset = '+25:00'", 7, "`utc_offset` must be an offset"),
    ("utc_ofset = '+08:00'", 7, "unknown key `utc_ofset` (did you mean `utc_offset`?)"),
    ("utc_offset = ", 7, "not TOML"),
]


@pytest.mark.parametrize(("line", "number", "reason"), BROKEN, ids=[line for line, _, _ in BROKEN])
def test_a_broken_line_is_named(line: str, number: int, reason: str) -> None:
    lines = SMALLEST.splitlines()
    lines[number - 1] = line
    problems = pack.check("\n".join(lines))
    assert any(problem.line == number and problem.reason.startswith(reason) for problem in problems), problems


ADDED = [
    ("[card]\npin = 'above'\n", 2, 'pin = "above" needs `pin_above_fen`'),
    ("[card]\npin_above_fen = 100\n", 2, '`pin_above_fen` needs pin = "above"'),
    ("[card]\nvalidity = 'P0Y'\n", 2, "`validity` must be longer than nothing"),
    ("[card]\nvalidity = '2 years'\n", 2, "`validity` must be a duration"),
    ("[card]\nmember = false\n", -3, "a pack with member = false needs `expires_after` in every purse (C11"),
    ("[card]\nmember = false\n[[tier]]\nname = 'gold'\n", 3, "a pack with member = false has no tiers (C11)"),
    ("[card]\nmember = false\n" + POINTS, 6, "a pack with member = false earns no points"),
    ("[limits]\ntopup_min_fen = 5\ntopup_max_fen = 4\n", 2, "`topup_min_fen` is above"),
    ("[pricing]\nstacking = 'multiplied'\n", 2, "`stacking` must be one of multiply, best, add (did you mean `multiply`?)"),
    ("[pricing]\nstage = 'ticket'\n", 2, "`stage` must be one of line"),
    ("[[purse]]\nname = 'principal'\nunit = 'fen'\nrole = 'principal'\n", 2, "another purse is already named `principal`"),
    ("[[purse]]\nname = 'p'\nunit = 'fen'\nrole = 'principal'\n", 4, "only one purse may have the role principal"),
    ("[[purse]]\nname = 'p'\nunit = 'points'\nrole = 'bonus'\n", 3, "a purse of role bonus counts in fen, not points"),
    ("[[purse]]\nname = 'p'\nunit = 'visits'\nrole = 'entitlement'\n", 1, "an entitlement needs `covers`"),
    ("[[purse]]\nname = 'p'\nunit = 'fen'\nrole = 'bonus'\nper_day = 1\n", 5, "`per_day` belongs to purses of role entitlement"),
    ("[[tier]]\nname = 'a'\npoints_min = 1\n", 3, "the first tier is where everyone starts"),
    ("[[tier]]\nname = 'a'\n[[tier]]\nname = 'b'\n", 3, "every tier after the first needs one of"),
    ("[[tier]]\nname = 'a'\n[[tier]]\nname = 'b'\norders_min = 5\n[[tier]]\nname = 'c'\norders_min = 5\n", 8, "`orders_min` must rise"),
    ("[[tier]]\nname = 'a'\n[[tier]]\nname = 'a'\norders_min = 5\n", 4, "another tier is already named `a`"),
    (TABLE + "then = { discount = 0.88 }\n", 3, "`discount` must be a fraction in quotes"),
    (TABLE + "then = { discount = '11/10' }\n", 3, "`discount` must be from 0 and at most 1, not 11/10"),
    (TABLE + "then = { discount = '1/10001' }\n", 3, "the numbers of `discount` must be at most 10000"),
    (TABLE + "then = { discount = '1/0' }\n", 3, "`discount` must be from 0 and at most 1, not 1/0"),
    (TABLE + "then = { discount = '1/2', accrue = 'points' }\n", 3, "`then` must have exactly one of"),
    (TABLE + "then = { forgive = 'all' }\n", 3, "`then` must have exactly one of"),
    (TABLE, 1, "missing key `then`"),
    (TABLE + "when = { tier = ['gold'] }\nthen = { discount = '1/2' }\n", 3, "there is no tier `gold`"),
    (TABLE + "when = { verb = 'topup' }\nthen = { discount = '1/2' }\n", 3, 'this effect belongs to verb = "settle"'),
    (TABLE + "when = { amount_min_fen = 2, amount_max_fen = 1 }\nthen = { discount = '1/2' }\n", 3, "`amount_min_fen` is above"),
    (TABLE + "when = { earned_min = 2 }\nthen = { discount = '1/2' }\n", 3, "`earned_min` and a grant of points belong together"),
    (TABLE + "then = { accrue = 'points', amount = 1, per_fen = 1, base = ['outside'] }\n", 3, "there is no purse `points`"),
    (
        TABLE + "then = { accrue = 'principal', amount = 1, per_fen = 1, base = ['outside'] }\n",
        3,
        "purse `principal` has the role principal",
    ),
    (POINTS + TABLE + "then = { accrue = 'points', amount = 1, per_fen = 0, base = ['outside'] }\n", 7, "`per_fen` must be between 1"),
    (POINTS + TABLE + "then = { accrue = 'points', amount = 1, per_fen = 1 }\n", 7, "missing key `base`"),
    (POINTS + TABLE + "then = { accrue = 'points', amount = 1, per_fen = 1, base = ['cash'] }\n", 7, "each of `base` must be one of"),
    (POINTS + TABLE + "then = { grant = 'points', amount = 1 }\n", 5, "`earned_min` and a grant of points belong together"),
    (POINTS + TABLE + "then = { redeem = 'points', ladder = [] }\n", 7, "there must be 1 to 16 of `ladder`, not 0"),
    (
        POINTS
        + TABLE
        + "[benefit.then]\nredeem = 'points'\nladder = [{ units = 2, price_max_fen = 2 },\n { units = 2, price_max_fen = 3 }]\n",
        10,
        "a ladder must rise",
    ),
    (
        "[[product]]\nname = 'p'\nprice_fen = 1\ngrants = [{ purse = 'principal', amount = 1 }]\n",
        4,
        "purse `principal` has the role principal",
    ),
    ("[[product]]\nname = 'p'\nprice_fen = 1\n", 1, "there must be 1 to 64 of `grants`, not 0"),
    ("[[product]]\nname = 'p'\nprice_fen = '1'\n", 3, "`price_fen` must be a whole number, not text"),
    ("[unheard]\nof = 1\n", 1, "unknown key `unheard`"),
]


@pytest.mark.parametrize(("text", "number", "reason"), ADDED, ids=[str(index) for index in range(len(ADDED))])
def test_a_wrong_rule_is_named(text: str, number: int, reason: str) -> None:
    """`number` counts lines within the added text."""
    problems = pack.check(SMALLEST + text)
    assert any(problem.line == LINES + number and problem.reason.startswith(reason) for problem in problems), problems


def test_all_problems_come_at_once_in_line_order() -> None:
    text = SMALLEST.replace("version = 1", "version = 0").replace('"fen"', '"yuan"') + "[card]\npin = 'seldom'\n"
    problems = pack.check(text)
    assert [problem.line for problem in problems] == [3, 11, 14]
    with pytest.raises(InvalidPack) as caught:
        pack.load(text)
    assert [problem["line"] for problem in caught.value.facts["problems"]] == [3, 11, 14]
    assert caught.value.facts["problems"][1]["path"] == "purse[1].unit"


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        "\ud800",
        "\ufeff" + SMALLEST,
        "a = " + "[" * 50_000,
        "a = " + "{a=" * 3_000,
        "x" * 300_000,
        "a = " + "9" * 5_000,
        "",
        "\x00",
    ],
    ids=["not utf-8", "surrogate", "byte order mark", "deep array", "deep table", "huge", "huge number", "empty", "nul"],
)
def test_hostile_text_is_refused_with_a_reason(text: str | bytes) -> None:
    problems = pack.check(text)
    assert problems
    assert all(problem.line >= 1 and problem.reason for problem in problems)


@pytest.mark.parametrize("count", [64, 65])
def test_the_bound_on_purses(count: int) -> None:
    more = "".join(f"[[purse]]\nname = 'b{index}'\nunit = 'fen'\nrole = 'bonus'\n" for index in range(count - 1))
    assert bool(pack.check(SMALLEST + more)) == (count > 64)


HUGE = """
[[tier]]
name = "only"
[[purse]]
name = "bonus"
unit = "fen"
role = "bonus"
[[purse]]
name = "points"
unit = "points"
role = "points"
[[benefit]]
name = "a"
then = { accrue = "points", amount = 1000000000, per_fen = 1, multiplier = "1000/1", base = ["outside"] }
[[benefit]]
name = "b"
then = { grant = "bonus", amount = 1000000000000000, per_fen = 1 }
[[benefit]]
name = "c"
then = { deduct = "points", units = 1000000000, worth_fen = 1 }
[[benefit]]
name = "d"
then = { redeem = "points", ladder = [{ units = 1, price_max_fen = 1 }], every = { units = 1000000000, price_fen = 1 } }
"""


@pytest.mark.parametrize("fen", [1, 10**6, 10**15])
def test_the_largest_numbers_a_pack_may_hold_are_refused_in_order(fen: int) -> None:
    """Where a rule's result leaves the admitted range the command is refused, with nothing changed and no overflow."""
    programme = pack.load(SMALLEST + HUGE)
    account = core.Account(1)
    account.apply(core.decide(core.Snapshot(programme, account), core.Adjust("points", 10**15), 0), 1)
    before = account.pack()
    commands: list[core.Command] = [
        core.Sale("settle", [core.Line(fen)], shortfall_tender="cash"),
        core.Sale("settle", [core.Line(fen)], points=core.ALL_POINTS, shortfall_tender="cash"),
        core.Sale("settle", [core.Line(fen, flags=core.REDEEM)]),
        core.TopUp(fen),
    ]
    refused = 0
    for command in commands:
        try:
            core.decide(core.Snapshot(programme, account), command, 0)
        except CardcoreError:
            refused += 1
        assert account.pack() == before
    assert refused >= (2 if fen > 1 else 0)


JUNK = [
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "0",
    "-",
    "1e9",
    "true",
    '"""',
    "'''",
    "\\",
    "\u2028",
    "\x00",
    "9" * 20,
    "#",
    ".",
    ",",
    "nan",
    "1979-05-27",
    "\\ud800",
    "[[purse]]\n",
    "[card]\n",
    '"x" = 1\n',
]


def mutated(seed: int) -> str:
    """A good pack with one to three accidents: junk, lost characters, lines swapped, lost or doubled."""
    choose = random.Random(seed)
    text = choose.choice([TEXTS[name] for name in sorted(TEXTS)])
    for _ in range(choose.randint(1, 3)):
        place = choose.randrange(len(text))
        lines = text.split("\n")
        line, other = choose.randrange(len(lines)), choose.randrange(len(lines))
        match choose.randrange(5):
            case 0:
                text = text[:place] + choose.choice(JUNK) + text[place:]
            case 1:
                text = text[:place] + text[place + choose.randint(1, 30) :]
            case 2:
                lines[line], lines[other] = lines[other], lines[line]
                text = "\n".join(lines)
            case 3:
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case _:
                text = "\n".join([*lines[:line], lines[other], *lines[line:]])
    return text


def test_mutations_of_good_packs_are_valid_or_refused_by_line() -> None:
    refused = 0
    for seed in range(400):
        text = mutated(seed)
        problems = pack.check(text)
        last = text.count("\n") + 1
        assert all(1 <= problem.line <= last and problem.reason for problem in problems), (seed, problems)
        refused += bool(problems)
        if not problems:
            pack.load(text)  # what check accepts, the core compiles
    assert 100 < refused < 400, "the mutations hit both sides"


WRONG = ["-1", "0", "1.5", "true", '"no such word"', "[]", "{}", "99999999999999999999", '"0/0"', '["a", 1]', "{ a = 1 }"]
"""Values that some keys take and most do not."""
VALUE = re.compile(r"""([a-z_]+) = (-?[0-9][0-9_]*|"[^"]*"|true|false|\[[^\[\]{}]*\])""")


def test_wrong_values_are_refused_by_their_line() -> None:
    """Each shipped pack with one value made wrong, key by key: a value that is refused is refused on its own line."""
    refused = 0
    for name in sorted(TEXTS):
        choose = random.Random(name)
        lines = TEXTS[name].splitlines()
        for number, line in enumerate(lines, 1):
            for found in VALUE.finditer(line.split("#")[0]):
                broken = line[: found.start(2)] + choose.choice(WRONG) + line[found.end(2) :]
                problems = pack.check("\n".join([*lines[: number - 1], broken, *lines[number:]]))
                if not problems:
                    continue
                refused += 1
                assert all(problem.reason for problem in problems)
                near = any(abs(problem.line - number) <= 3 for problem in problems)  # a missing key is told at its table
                assert near or found[1] in ("name", "tier"), (name, broken, problems)  # a lost name is told where it is used
    assert refused >= 200, refused


def test_lines_of_every_shape_of_key() -> None:
    text = 'a.b = 1\n[t]\n"q.r" = """\nx\n"""\nlast = [\n  1,\n  { deep = 2 }, # note ]\n]\n'
    text += '[[t.many]]\n[[t.many]]\nk = "]"\n[t.many.sub]\nz = 1.5\n'
    places = toml_reader.locate(text)
    assert places["a", "b"] == 1
    assert places["t", "q.r"] == 3
    assert places["t", "last"] == 6
    assert places["t", "last", 1, "deep"] == 8
    assert places["t", "many", 0] == 10
    assert places["t", "many", 1, "k"] == 12
    assert places["t", "many", 1, "sub", "z"] == 14


# ---------------------------------------------------------------- documents
DOCS = Path(__file__).parents[2] / "docs"


def toml_blocks(name: str) -> list[str]:
    return [block.split("```")[0] for block in (DOCS / name).read_text(encoding="utf-8").split("```toml\n")[1:]]


def test_the_tutorial_builds_a_valid_pack_step_by_step() -> None:
    text = ""
    for block in toml_blocks("tutorial.md"):
        text += block + "\n"
        assert pack.check(text) == []
    assert len(pack.load(text).rule_names) == 4
    lines = text.replace('"95/100"', "0.95").splitlines()
    [problem] = pack.check("\n".join(lines))
    told = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    assert f"tea.toml:{problem.line}: {problem.path}: {problem.reason}" in told


def test_the_packs_of_the_documents_are_valid() -> None:
    assert [pack.check(block) for block in toml_blocks("packs.md")] == [[]]


def test_the_reference_names_every_key() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(pack.__file__).parent.glob("pack_*.py"))
    keys = set(re.findall(r'\.(?:integer|text|choice|flag|fraction|duration|names|numbers|table|tables|has)\(\s*"([a-z_]+)"', source))
    keys |= set(pack_conditions.WORD_KINDS) | {"day", "month", "hour", "from", "until"}
    assert len(keys) > 30
    reference = (DOCS / "pack-format.md").read_text(encoding="utf-8")
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", reference)] == []
