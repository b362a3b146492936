"""Goal: no check of this folder is blind. Method: each is given a small tree with one fault and must name it, and a sound one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tidy import arrows, checks
from tests.tidy.tree import Tree

LONG = "def f():\n" + "    a = 1\n" * 80
LONG_CYTHON = "cdef int64_t f(\n    int64_t a,\n) except? -1:\n" + "    a = 1\n" * 80 + "\ncdef void g() noexcept nogil:\n    pass\n"
LEFT = "# TO" + "DO later\n"
ELSEWHERE = 'DATA = "/wo' + 'rk/x"\n'


def tree(root: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Tree(root)


BAD = [
    (arrows.crossed_arrows, {"src/cardcore/a.py": "def f():\n    from cardapi import desk\n", "src/cardapi/desk.py": ""}, "cardapi.desk"),
    (arrows.crossed_arrows, {"src/cardcore/a.py": "import time\n"}, "time"),
    (arrows.crossed_arrows, {"src/cardcore/a.pyx": "from cardapi.desk cimport thing\n"}, "cardapi.desk"),
    (arrows.crossed_arrows, {"src/cardcore/a.pyx": "from cardcore.money cimport (\n    admit,\n)\nimport random\n"}, "random"),
    (arrows.crossed_arrows, {"src/cardapi/desk.py": "from .store import sqlite\n", "src/cardapi/store/sqlite.py": ""}, "concrete adapter"),
    (arrows.crossed_arrows, {"src/cardapi/store/port.py": "import cardapi.http.app\n"}, "cardapi.http"),
    (arrows.crossed_arrows, {"src/cardapi/people/a.py": "from ..desk import Desk\n"}, "cardapi.desk"),
    (arrows.crossed_arrows, {"firmware_sim/card.py": "from cardcore.errors import Declined\n"}, "cardcore.errors"),
    (arrows.crossed_arrows, {"firmware_sim/card.py": "from cryptography.hazmat import primitives\n"}, "cryptography"),
    (checks.missing_stubs, {"src/cardcore/a.pyx": ""}, "a.pyi"),
    (checks.long_files, {"tests/a.py": "x = 1\n" * 501}, "501"),
    (checks.long_functions, {"src/cardcore/a.py": LONG}, "f has 81"),
    (checks.long_functions, {"src/cardcore/a.pyx": LONG_CYTHON}, "f has 83"),
    (checks.leftovers, {"docs/a.md": LEFT}, "docs/a.md:1"),
    (checks.machine_paths, {"Makefile": ELSEWHERE}, "Makefile:1"),
    (checks.vectors_without_source, {"tests/vectors/a.json": '{"vectors": []}'}, "a.json"),
    (checks.vectors_without_source, {"tests/vectors/a.json": "[]"}, "a.json"),
    (checks.dead_modules, {"src/cardapi/alive.py": "", "src/cardapi/app.py": "import cardapi.alive", "setup.py": "'cardapi.app'"}, ""),
    (checks.dead_modules, {"src/cardapi/dead.py": "import cardapi.dead", "tests/test_dead.py": "import cardapi.dead"}, "dead.py"),
    (checks.dead_modules, {"firmware_sim/a.py": "", "tests/test_a.py": "import firmware_sim.a"}, ""),
    (checks.dead_modules, {"firmware_sim/a.py": ""}, "a.py"),
    (checks.goalless_tests, {"tests/test_a.py": "def test_a():\n    assert True\n"}, "test_a.py"),
    (checks.undocumented_codes, {"src/cardcore/e.py": 'class E:\n    code: str = "lost_way"\n', "docs/api.md": "lost_way"}, "lost_way"),
    (checks.undocumented_codes, {"src/cardapi/e.py": 'raise Problem("odd_hour", hour=25)\n'}, "odd_hour"),
    (checks.undocumented_codes, {"src/cardcore/e.py": 'DECLINE_CODES: dict = {"too_late": "it is late"}\n'}, "too_late"),
    (checks.unexplained_ids, {"src/cardcore/a.py": "# no float (M2, Z99)\n", "docs/invariants.md": "**M2** ints"}, "Z99"),
    (checks.broken_links, {"docs/a.md": "see [b](b.md)"}, "b.md"),
    (checks.broken_links, {"docs/a.md": "see [b](b.md#down)", "docs/b.md": "# Up\n"}, "no such heading"),
]


@pytest.mark.parametrize(("check", "files", "named"), BAD)
def test_the_fault_is_named(tmp_path: Path, check, files, named) -> None:
    complaints = check(tree(tmp_path, files))
    assert bool(complaints) == bool(named)
    assert all(named in complaint for complaint in complaints)


GOOD = {
    "src/cardcore/money.pyx": "cimport cython\nfrom libc.stdint cimport int64_t\ncdef int64_t f(int64_t a) except? -1:\n    return a\n",
    "src/cardcore/money.pyi": "",
    "src/cardcore/errors.py": 'class E(Exception):\n    code: str = "known"\n',
    "src/cardapi/store/port.py": "import cardcore.money\nfrom cardcore.errors import E\n",
    "src/cardapi/desk.py": "from .store import port\nfrom cardapi.store.port import Entry\n",
    "src/cardapi/app.py": "from cardapi.store import sqlite\nfrom cardapi import desk\n",
    "src/cardapi/store/sqlite.py": "import sqlite3\nfrom cardapi.store.port import Entry\n",
    "pyproject.toml": '[project.scripts]\nx = "cardapi.app:main"\n',
    "tests/vectors/a.json": '{"source": "RFC 4493 section 4", "vectors": []}',
    "tests/test_a.py": '"""Goal: none."""\n',
    "docs/api.md": "# The codes\n`known`: said. [up](#the-codes) [site](https://example.org) `[not](a link)`\n",
}


@pytest.mark.parametrize("check", [arrows.crossed_arrows, *(function for name, function in vars(checks).items() if name in {
    "missing_stubs", "long_files", "long_functions", "leftovers", "machine_paths", "vectors_without_source", "dead_modules",
    "goalless_tests", "undocumented_codes", "unexplained_ids", "broken_links",
})])  # fmt: skip
def test_a_sound_tree_is_left_alone(tmp_path: Path, check) -> None:
    assert check(tree(tmp_path, GOOD)) == []


def test_generated_files_do_not_count(tmp_path: Path) -> None:
    seen = tree(tmp_path, {"src/cardcore/a.pyx": "", "src/cardcore/a.c": LEFT, ".venv/x.py": LEFT, "build/y.py": LEFT, "src/b.c": ""})
    assert [seen.name(path) for path in seen.files] == ["src/b.c", "src/cardcore/a.pyx"]
