"""Goal: fuzzing that follows coverage finds no crash in what reads cards, batch files and sales. Method: atheris in a process
of its own, from seeds that are whole dialogues, a real batch and a sale, with a fixed random seed; only in `make test-long`,
which installs it where it can.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cardcore.clearing import Header, PurseRecord, Seal
from cardcore.clearing.layout import encode_all
from tests.fuzz.guided import TARGETS
from tests.support import LONG

ROOT = Path(__file__).resolve().parents[2]
RUNS = {"answers": 10_000, "apdus": 300_000, "batches": 300_000, "sales": 300_000}
HEADER = Header(bytes(6), 1, 0, bytes(7))
RECORD = PurseRecord(1250, 6, bytes(6), 1, bytes(7), b"TACX", b"ISSUER01", b"SERIAL0001", 1, 10_000, 5, 2, 3, 1, bytes(10))
BATCH = encode_all(HEADER, [RECORD, RECORD])
SALE = b'{"card":"6200000000000018","lines":[{"amount_fen":100,"quantity":2,"category":"a"},{"amount_fen":1}],"points":5,"explain":true}'
SEEDS = {
    "answers": [bytes([name, 0, 0, how, 3]) for name in range(40) for how in (0, 1, 2)],
    "apdus": [bytes.fromhex("00A4040007A0000000031010"), bytes.fromhex("9000"), bytes.fromhex("80500002000B0100000001000000000001")],
    "sales": [b"\x00" + SALE, b"\x01" + SALE.replace(b"{", b'{"client_key":"k",', 1)],
    "batches": [b"\x00" + BATCH, b"\x01" + BATCH, b"\x01" + BATCH + Seal(2, 2500, bytes(32)).encode()],
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_pass(name: str) -> None:
    """Also where atheris is not installed."""
    for seed in SEEDS[name]:
        TARGETS[name](seed)


if LONG:  # two minutes each

    @pytest.mark.parametrize("name", TARGETS)
    def test_nothing_new_is_found(name: str, tmp_path: Path) -> None:
        if importlib.util.find_spec("atheris") is None:
            pytest.skip("needs atheris: pip install atheris (it has no wheel for every Python)")
        corpus = tmp_path / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(SEEDS[name]):
            (corpus / str(number)).write_bytes(seed)
        words = [sys.executable, "-m", "tests.fuzz.guided", name, str(corpus), f"-runs={RUNS[name]}", "-seed=1", "-max_len=600",
                 "-max_total_time=120", "-timeout=20", f"-artifact_prefix={tmp_path}/crash-"]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        assert "Done" in done.stderr, done.stderr[-2000:]
