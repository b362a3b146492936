"""Goal: a card that lies ends every dialogue in a result or a declared error, after a bounded number of commands (F4).

Method: Hypothesis bends the answers of simulated cards: cut short, grown, other status words, flipped bits, repeated, reversed, nothing
but noise. `test_guided.py` does the same with coverage as its guide.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.dialogues import COMMANDS_MAX, SCENARIOS, STATUS, Endless, Liar, Scenario, decode
from tests.support import sized

PLANS = st.lists(st.tuples(st.integers(0, 23), st.integers(0, 255)), max_size=12).map(
    lambda moves: bytes(n for move in moves for n in move)
)


@pytest.mark.parametrize("name", SCENARIOS)
@settings(max_examples=sized(15, 2000), deadline=None)
@example(b"")
@example(b"\x03\x01")
@given(PLANS)
def test_a_lying_card_is_survived(name: str, plan: bytes) -> None:
    SCENARIOS[name].play(plan)


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_honest_card_gives_a_result(name: str) -> None:
    """Else the scenario tests nothing: without a bend the dialogue reaches its end."""
    assert SCENARIOS[name].play(b"") in {"NoneType", "int", "list", "tuple", "Application", "Debited", "Moved", "Found", "Seal", "Channel",
                                         "Committed", "ValueMoved", "ValueFound"} or name == "psam check"  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_card_with_one_answer_for_everything(name: str) -> None:
    """The same status word for ever, with and without data: 61xx and 91AF are the ones that could go on without end."""
    for status in range(0, len(STATUS) // 2, sized(3, 1)):
        for how in (2, 3):
            SCENARIOS[name].play(bytes((how, status)))


def test_the_bound_is_noticed() -> None:
    def prepare() -> tuple[Liar, object]:
        liar, _ = SCENARIOS["pboc2-3des balance"].prepare()

        def run() -> None:
            for _ in range(COMMANDS_MAX + 1):
                liar.transmit(bytes.fromhex("805C000204"))

        return liar, run

    with pytest.raises(Endless):
        Scenario("endless", prepare).play(b"")  # type: ignore[arg-type]


@given(st.one_of(st.binary(max_size=300), st.binary(min_size=4, max_size=9)))
def test_apdus_are_read_or_refused(data: bytes) -> None:
    decode(data)
