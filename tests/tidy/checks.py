"""The measures of the house besides the arrows: stubs, length, leftovers, paths, sources, dead files, documents."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

from tests.tidy.tree import CODE, Tree, imported_modules, module_name

LINES_MAX = 500
FUNCTION_LINES_MAX = 70

# Put together from halves, so that this file does not find itself.
LEFTOVER = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MACHINE_FOLDERS = "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"])
MACHINE_PATH = re.compile(rf"(?<![\w.])/(?:{MACHINE_FOLDERS})/[\w.]|\.\./sha" + r"red\b")


def missing_stubs(tree: Tree) -> list[str]:
    """A compiled module has the .pyi that people and type checkers read: its own, or its package's, which then tells all there is."""
    return [
        f"{tree.name(path)} has neither {path.stem}.pyi nor __init__.pyi beside it"
        for path in tree.of(".pyx", under="src")
        if not path.with_suffix(".pyi").exists() and not path.with_name("__init__.pyi").exists()
    ]


def long_files(tree: Tree) -> list[str]:
    """Code files settle under LINES_MAX lines; a table a tool printed says so in its first lines and may be longer."""
    complaints = []
    for path in tree.of(*CODE):
        lines = path.read_text(encoding="utf-8").splitlines()
        printed = any("not written by hand" in line for line in lines[:3])
        if len(lines) > LINES_MAX and not printed:
            complaints.append(f"{tree.name(path)} has {len(lines)} lines; {LINES_MAX} is the limit: divide it by what it is about")
    return complaints


def python_functions(source: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each Python function, its docstring not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
            docstring = (first.end_lineno or 0) - first.lineno + 1 if text else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - docstring


DOCSTRING = re.compile(r':[ \t]*(?:#[^\n]*)?\n\s*(""".*?""")', re.DOTALL)


def cython_functions(source: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each Cython function, told by indentation, since `ast` cannot read it."""
    head = re.compile(r"^( *)(?:cp?def|def)\b(?!.*\b(?:struct|enum|class|extern|union)\b)[^=#\n]*?(\w+)\(")
    lines = source.splitlines()
    for start, line in enumerate(lines):
        found = head.match(line)
        if not found:
            continue
        last, opened = start, True
        for number in range(start + 1, len(lines)):
            if not lines[number].strip():
                continue
            deeper = len(lines[number]) - len(lines[number].lstrip()) > len(found[1])
            opened = opened and not lines[number - 1].rstrip().endswith(":")
            if not deeper and not opened:
                break
            last = number
        text = DOCSTRING.search("\n".join(lines[start : last + 1]))
        yield found[2], last - start + 1 - (text[1].count("\n") + 1 if text else 0)


def long_functions(tree: Tree) -> list[str]:
    """Functions of the program fit a screen."""
    complaints = []
    for path in [*tree.of(".py", ".pyx", under="src"), *tree.of(".py", under="firmware_sim")]:
        source = path.read_text(encoding="utf-8")
        functions = python_functions(source) if path.suffix == ".py" else cython_functions(source)
        complaints += [f"{tree.name(path)}: {name} has {count} lines" for name, count in functions if count > FUNCTION_LINES_MAX]
    return complaints


def leftovers(tree: Tree) -> list[str]:
    """Finish a thing before starting the next: no notes to oneself."""
    return [
        f"{tree.name(path)}:{number}: {found[0]}"
        for path, text in tree.texts()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := LEFTOVER.search(line))
    ]


def machine_paths(tree: Tree) -> list[str]:
    """Nothing names a folder of the machine it was written on."""
    return [
        f"{tree.name(path)}:{number}: {found[0]}"
        for path, text in tree.texts()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := MACHINE_PATH.search(line))
    ]


def vectors_without_source(tree: Tree) -> list[str]:
    """Each vector file says where its numbers were published."""
    complaints = []
    for path in tree.of(".json", under="tests/vectors"):
        document = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(document, dict) and str(document.get("source", "")).strip()):
            complaints.append(f"{tree.name(path)} has no source")
    return complaints


def dead_modules(tree: Tree) -> list[str]:
    """Each module of the program is imported, or named as a dotted string, by another file of the program.

    Tests do not count, but for the simulator, which is there for them.
    """
    program = [*tree.of(".py", ".pyx", ".pxd", under="src"), *tree.of(".py", under="firmware_sim")]
    used: set[str] = set()
    text = ""
    for path in [*program, *(path for path in tree.of(".py", ".toml") if path.parent == tree.root)]:
        own = module_name(path.relative_to(tree.root))
        if path.suffix != ".toml":
            used |= imported_modules(tree, path) - {own}
        text += path.read_text(encoding="utf-8")
    tested = {name for path in tree.of(".py", under="tests") for name in imported_modules(tree, path)}
    used |= {name for name in tested if name.startswith("firmware_sim.")}
    complaints = []
    for path in program:
        module = module_name(path.relative_to(tree.root))
        started_by_name = path.stem in {"__init__", "__main__"} or "/schema/" in tree.name(path)
        named = re.search(rf"[\"']{re.escape(module)}[\"':]", text)
        if path.suffix != ".pxd" and not started_by_name and module not in used and not named:
            complaints.append(f"{tree.name(path)} is imported by nothing in the program")
    return complaints


def goalless_tests(tree: Tree) -> list[str]:
    """A test file opens with its goal and method."""
    return [
        f"{tree.name(path)} does not open with a docstring"
        for path in tree.of(".py", under="tests")
        if path.stem.startswith("test_") and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]


def codes_in(tree: Tree) -> dict[str, str]:
    """Every stable code the program can answer -> where it is defined."""
    codes: dict[str, str] = {}
    for path in tree.of(".py", under="src"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant | ast.Dict):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = {target.id for target in targets if isinstance(target, ast.Name)}
                if "code" in names and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                    codes[node.value.value] = tree.name(path)
                if "DECLINE_CODES" in names and isinstance(node.value, ast.Dict):
                    codes |= {str(key.value): tree.name(path) for key in node.value.keys if isinstance(key, ast.Constant)}
            elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Problem":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    codes[first.value] = tree.name(path)
    return {code: place for code, place in codes.items() if code}


def undocumented_codes(tree: Tree) -> list[str]:
    """Every code a caller or a person at the command line can meet is in a document; the roots of the tree are never answered."""
    names = ("api.md", "reference.md", "operations.md", "crypto.md", "cards.md", "keys.md", "clearing.md", "readers.md")
    documents = [tree.root / "docs" / name for name in names]
    told = "".join(path.read_text(encoding="utf-8") for path in documents if path.exists())
    return [
        f"code {code} ({place}) is in none of docs/{', docs/'.join(names)}"
        for code, place in sorted(codes_in(tree).items())
        if f"`{code}`" not in told and code not in {"error", "declined"}
    ]


def unexplained_ids(tree: Tree) -> list[str]:
    """An id of a rule or feature that code names in brackets, such as (M3) or (D04), is explained in a document."""
    documents = [tree.root / "docs" / name for name in ("invariants.md", "features.md")]
    told = set(re.findall(r"\b[A-Z]\d{1,2}\b", "".join(path.read_text(encoding="utf-8") for path in documents if path.exists())))
    named: dict[str, str] = {}
    for path in tree.of(".py", ".pyx", ".pxd", ".pyi", under="src"):
        for group in re.findall(r"\(([A-Z]\d{1,2}(?:[,;] [A-Z]\d{1,2})*)\)", path.read_text(encoding="utf-8")):
            named |= dict.fromkeys(re.split(r"[,;] ", group), tree.name(path))
    unknown = sorted(set(named) - told)
    return [f"{name} ({named[name]}) is in neither docs/invariants.md nor docs/features.md" for name in unknown]


LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a Markdown file, made the way GitHub makes them."""
    headings = re.findall(r"^#+ +(.*?)\s*$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(tree: Tree) -> list[str]:
    """Links between documents lead somewhere, headings included."""
    complaints = []
    for path in tree.of(".md"):
        text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            aim = (path.parent / file).resolve() if file else path
            if not aim.exists():
                complaints.append(f"{tree.name(path)} links to {target}, which is not there")
            elif anchor and aim.suffix == ".md" and anchor not in anchors(aim.read_text(encoding="utf-8")):
                complaints.append(f"{tree.name(path)} links to {target}, which has no such heading")
    return complaints
