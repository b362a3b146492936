"""Goal: the README's session with a card is what happens. Method: paste its lines into two shells, compare what they print."""

from __future__ import annotations

from pathlib import Path

from firmware_sim import pcscd
from tests.pcsc import daemon
from tests.pcsc.walkthrough import Terminal, blocks, masked

SECTION = "Cards in the hand"


def test_the_session_of_the_readme(tmp_path: Path):
    daemon.needs_pcsc()
    script, steps = blocks(SECTION)
    assert len(steps) >= 8
    with pcscd.alone():
        one, two = Terminal(tmp_path, tmp_path / "bin"), Terminal(tmp_path, tmp_path / "bin")
        try:
            one.type(script)
            one.until("listening", 60)
            for step in steps:
                if " watch --for " in step.command:  # ends after a time, in which a busy machine may not have come to the cards
                    pcscd.until(lambda step=step: masked(two.run(step.command)) == masked(step.printed), step.command)  # type: ignore[misc]
                else:
                    assert masked(two.run(step.command)) == masked(step.printed), step.command
        finally:
            two.close()
            one.close()
            if pcscd.running():  # killed with its shell, it leaves its socket behind
                pcscd.until(lambda: not pcscd.running(), "the end of pcscd")


def test_a_difference_is_seen():
    assert masked(["made 1 of 1: card 6200000000000047  at 10:20:30"]) == masked(["made 1 of 1: card 6200000000000013  at 11:21:31"])
    assert masked(["paid: ¥12.50"]) != masked(["paid: ¥12.51"])
    _, steps = blocks(SECTION)
    assert any("has proved it" in line for step in steps for line in step.printed)
