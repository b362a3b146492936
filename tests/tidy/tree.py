"""The project's own files, as the checks see them: what is built, downloaded or written at run time is left out.

A check takes a `Tree`, so that it can be pointed at a small bad sample and be seen to fail.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LEFT_OUT = {"build", "dist", "var", "data", "__pycache__", "node_modules", "results", "work"}
SHOWN_DOT_FOLDERS = {".ci", ".github"}
CODE = {".py", ".pyx", ".pxd", ".pxi", ".pyi", ".c", ".h", ".sh"}
TEXT = CODE | {".md", ".toml", ".json", ".txt", ".lock", ".cfg", ".ini", ".mako", ".html", ".in", ".svg", ""}

CIMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import[ \t]+([^\n#]+)|c?import[ \t]+([\w.]+))", re.MULTILINE)


@dataclass(frozen=True)
class Tree:
    """The files under `root`."""

    root: Path

    @cached_property
    def files(self) -> list[Path]:
        """Every file that belongs to the project, sorted."""
        return sorted(self._walk(self.root))

    @cached_property
    def modules(self) -> set[str]:
        """Dotted names of our modules, Python and Cython."""
        return {module_name(path.relative_to(self.root)) for path in self.of(".py", ".pyx") if path.parent != self.root}

    def _walk(self, folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            hidden = path.name.startswith(".") and path.name not in SHOWN_DOT_FOLDERS
            if path.is_dir():
                if not hidden and path.name not in LEFT_OUT and not path.name.endswith(".egg-info"):
                    yield from self._walk(path)
            elif not self._generated(path):
                yield path

    @staticmethod
    def _generated(path: Path) -> bool:
        """C and HTML that Cython wrote beside its .pyx, shared objects, and a worktree's .git file."""
        if path.suffix in {".so", ".pyc", ".pyd"} or path.name == ".git":
            return True
        return path.suffix in {".c", ".html"} and path.with_suffix(".pyx").exists()

    def name(self, path: Path) -> str:
        """Path relative to the root, as the complaints print it."""
        return path.relative_to(self.root).as_posix()

    def of(self, *suffixes: str, under: str = "") -> list[Path]:
        """Files with one of these suffixes, in one folder of the root if `under` is given."""
        start = self.root / under
        return [path for path in self.files if path.suffix in suffixes and path.is_relative_to(start)]

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Every text file with its content."""
        for path in self.files:
            if path.suffix in TEXT:
                yield path, path.read_text(encoding="utf-8")


def module_name(relative: Path) -> str:
    """`src/cardapi/http/app.py` -> `cardapi.http.app`; a package's `__init__` is the package."""
    parts = list(relative.with_suffix("").parts)
    if parts[0] == "src":
        parts = parts[1:]
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)


def imported_names(source: str, module: str, *, is_package: bool) -> Iterator[tuple[str, str]]:
    """(module, name) of every import of a Python source, in functions and `if TYPE_CHECKING` too; name "" for `import a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                base = ".".join([*parents[: len(parents) - node.level + is_package], base]).rstrip(".")
            yield from ((base, alias.name) for alias in node.names)


def imported_modules(tree: Tree, path: Path) -> set[str]:
    """Modules a .py, .pyx or .pxd imports or cimports: `from a import b` is a.b if that is a module of ours, else a."""
    source = path.read_text(encoding="utf-8")
    module = module_name(path.relative_to(tree.root))
    if path.suffix == ".py":
        named = imported_names(source, module, is_package=path.stem == "__init__")
    else:
        named = cython_imports(source)
    return {f"{base}.{name}" if f"{base}.{name}" in tree.modules else base for base, name in named}


def cython_imports(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of the import and cimport statements of a .pyx or .pxd, which `ast` cannot read."""
    joined = re.sub(r"\(\s*#?[^()]*\)", lambda match: match[0].replace("\n", " "), source)
    for base, names, plain in CIMPORT.findall(joined):
        yield from ((base or plain, name) for name in re.findall(r"\w+", re.sub(r"\bas \w+", "", names)) or [""])
