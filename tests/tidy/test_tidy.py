"""Goal: the house stays as ARCHITECTURE.md and CONTRIBUTING.md describe it.

Method: every check of this folder reads the project's own files and must have nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tidy.arrows import crossed_arrows
from tests.tidy.checks import (
    broken_links,
    dead_modules,
    goalless_tests,
    leftovers,
    long_files,
    long_functions,
    machine_paths,
    missing_stubs,
    undocumented_codes,
    unexplained_ids,
    vectors_without_source,
)
from tests.tidy.tree import ROOT, Tree

Check = Callable[[Tree], list[str]]

CHECKS: list[Check] = [
    crossed_arrows, missing_stubs, long_files, long_functions, leftovers, machine_paths, vectors_without_source, dead_modules,
    goalless_tests, undocumented_codes, unexplained_ids, broken_links,
]  # fmt: skip


@pytest.fixture(scope="module")
def project() -> Tree:
    return Tree(ROOT)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nothing_to_say(project: Tree, check: Check) -> None:
    complaints = check(project)
    assert not complaints, f"{check.__doc__}\n" + "\n".join(complaints)


def test_the_tree_is_the_project(project: Tree) -> None:
    names = {project.name(path) for path in project.files}
    assert {"pyproject.toml", "Makefile", ".ci/run", "src/cardcore/errors.py", "tests/tidy/tree.py"} <= names
    assert not {name for name in names if name.endswith((".so", ".pyc")) or name.startswith((".venv", ".git/"))}
