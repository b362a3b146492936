"""The import-time self-test fails closed, and the S-box circuits are those of FIPS 46-3 whoever found them.

The self-test is given kernels that lie (one wrong bit in one lane) and must refuse each; in a process where it fails, nothing of
the room can be imported, not even a module that was loaded before the failure.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cardcore.crypto import BackendUnavailable, SelfTestFailed, available, force, kernel, selftest
from cardcore.crypto.backends import choose

SOURCE = Path(__file__).parents[2] / "src"
SBOXES = SOURCE / "cardcore/crypto/kernels/des_sboxes.h"

# FIPS 46-3, appendix 1, the rows of each box as hex digits.
FIPS = """
E4D12FB83A6C5907 0F74E2D1A6CB9538 41E8D62BFC973A50 FC8249175B3EA06D
F18E6B34972DC05A 3D47F28EC01A69B5 0E7BA4D158C6932F D8A13F42B67C05E9
A09E63F51DC7B428 D709346A285ECBF1 D6498F30B12C5AE7 1AD069874FE3B52C
7DE3069A1285BC4F D8B56F03472C1AE9 A690CB7DF13E5284 3F06A1D8945BC72E
2C417AB6853FD0E9 EB2C47D150FA3986 421BAD78F9C5630E B8C71E2D6F09A453
C1AF92680D34E75B AF427C9561DE0B38 9EF528C3704A1DB6 432C95FABE17608D
4B2EF08D3C975A61 D0B7491AE35C2F86 14BDC37EAF680592 6BD814A7950FE23C
D2846FB1A93E50C7 1FD8A374C56B0E92 7B419CE206ADF358 21E74A8DFC90356B
"""


def fips_rows() -> list[list[int]]:
    return [[int(digit, 16) for digit in row] for row in FIPS.split()]


@pytest.mark.parametrize("box", range(1, 9))
def test_circuit(box):
    """Run the printed circuit on all 64 inputs at once, as Python integers of 64 bits."""
    body = re.search(rf"void s{box}\((.*?)\n}}", SBOXES.read_text("utf-8"), re.DOTALL)
    assert body
    every = (1 << 64) - 1
    wires = {f"a{i + 1}": sum((m >> (5 - i) & 1) << m for m in range(64)) for i in range(6)}
    outputs: dict[int, int] = {}
    for statement in body[1].split("{")[1].split(";"):
        if gate := re.fullmatch(r"\s*word (\w+) = (.*)", statement):
            assert re.fullmatch(r"(~?[ag]\d+)( [&|^] ~?[ag]\d+)?", gate[2]), "one gate a statement"
            wires[gate[1]] = eval(gate[2], {"__builtins__": {}}, wires) & every
        elif out := re.fullmatch(r"\s*\*o(\d) \^= (\w+)", statement):
            outputs[int(out[1])] = wires[out[2]]
        else:
            assert not statement.strip(), "a circuit is gates and outputs"
    rows = fips_rows()[4 * (box - 1) : 4 * box]
    for m in range(64):
        found = sum((outputs[o] >> m & 1) << (4 - o) for o in range(1, 5))
        assert found == rows[(m >> 4 & 2) | (m & 1)][m >> 1 & 15]
    assert len(wires) - 6 <= 62, "the circuits are as small as the search found them"


class LyingKernel:
    """The real kernels, except that one function of one backend answers with one bit wrong in one lane."""

    def __init__(self, backend: str, function: str, lane: int) -> None:
        self.backend, self.function, self.lane = backend, function, lane

    def __getattr__(self, name: str):
        real = getattr(kernel, name)
        if name != self.function:
            return real

        def lie(*arguments, **named):
            answer = real(*arguments, **named)
            if self.backend in [argument for argument in arguments[:2] if isinstance(argument, str)]:
                answer = answer.copy()
                answer.view(np.uint8).reshape(len(answer), -1)[self.lane, -1] ^= 1
            return answer

        return lie


LIES = [(family, backend, function) for family in ("des", "aes") for backend in kernel.available(family)
        for function in ("crypt", "macs", *(("diversify",) if family == "des" else ()))]  # fmt: skip


@pytest.mark.parametrize(("family", "backend", "function"), LIES)
def test_one_wrong_bit_in_one_lane_is_noticed(monkeypatch, family, backend, function):
    selftest.run()
    lanes = kernel.lanes(family, backend)
    for lane in {0, lanes // 2, lanes - 1, lanes, lanes + 2}:
        monkeypatch.setattr(selftest, "kernel", LyingKernel(backend, function, lane))
        with pytest.raises(SelfTestFailed):
            selftest.run()


@pytest.mark.parametrize("family", ["des", "aes"])
def test_a_backend_is_forced_for_the_process(family):
    before = choose(family)
    try:
        for backend in available(family):
            force(family, backend)
            assert choose(family) == backend
            assert choose(family, available(family)[0]) == available(family)[0]
        with pytest.raises(BackendUnavailable):
            force(family, "quantum")
        force(family, None)
        assert choose(family) == available(family)[0]
    finally:
        force(family, before)


def test_a_failing_self_test_leaves_nothing_to_import():
    code = """
import sys, importlib, importlib.machinery
import cardcore
# The self-test's own table, with one wrong expected answer, as a broken kernel would look to it.
class Bend(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "cardcore.crypto.selftest":
            return None
        spec = super().find_spec(name, path, target)
        real = spec.loader.get_source(name).replace("1B1A2DDB4C642438", "1B1A2DDB4C642439")
        spec.loader.get_code = lambda _: compile(real, name, "exec")
        return spec
sys.meta_path.insert(0, Bend)
for name in ("cardcore.crypto", "cardcore.crypto.batch", "cardcore.crypto.mac", "cardcore.crypto.kernel"):
    try:
        importlib.import_module(name)
    except Exception as error:
        print(type(error).__name__)
    else:
        print("imported", name)
"""
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["SelfTestFailed"] * 4, done.stdout + done.stderr
