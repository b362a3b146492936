"""Once and only once (O1, O2, O4, O6): one client key has one effect whatever arrives how often, in which order, at the same time.

The same requests are sent in sequence, in one batch, from many threads and after a restart; balances are read past the desk.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from cardapi.desk import Problem
from cardapi.desk.writer import QUESTIONS_MAX
from cardcore.settlement import Refund, Sale, TopUp, Void
from tests.desk.till import Till


def test_same_key_same_answer(till: Till) -> None:
    card = till.card(100_00)
    first = till.sale(card, 30_00, key="sale")
    assert till.sale(card, 30_00, key="sale") == first
    till.reopen()
    assert till.sale(card, 30_00, key="sale") == first
    assert till.balance(card) == 70_00


def test_same_key_other_payload_is_refused_without_effect(till: Till) -> None:
    card = till.card(100_00)
    till.sale(card, 30_00, key="sale")
    before = till.shop.desk.heads
    assert till.problem("settle", card=card, key="sale", meaning="another", command=Sale("settle", [(1, 1)])) == "key_reused"
    assert till.shop.desk.heads == before
    assert till.balance(card) == 70_00


def test_same_key_of_another_client_is_another_key(till: Till) -> None:
    card = till.card(100_00)
    request = till.request("settle", card=card, key="sale", command=Sale("settle", [(10_00, 1)]))
    first = till.shop.desk.call(request)
    request.client = "terminal:t2"
    assert till.shop.desk.call(request).position == first.position + 1
    assert till.balance(card) == 80_00


def test_twice_in_one_batch_is_one_effect(till: Till) -> None:
    card = till.card(100_00)
    requests = [till.request("settle", card=card, key="sale", meaning="m", command=Sale("settle", [(10_00, 1)])) for _ in range(5)]
    requests.append(till.request("settle", card=card, key="sale", meaning="other", command=Sale("settle", [(10_00, 1)])))
    answers = till.shop.desk.call_many(requests)
    assert all(answer == answers[0] for answer in answers[:5])
    assert isinstance(answers[5], Problem)
    assert answers[5].code == "key_reused"
    assert till.balance(card) == 90_00
    till.sound()


def test_parallel_copies(till: Till) -> None:
    card = till.card(1_000_00)
    keys = [f"sale-{n}" for n in range(8)] * 8
    with ThreadPoolExecutor(16) as pool:
        entries = list(pool.map(lambda key: till.sale(card, 10_00, key=key), keys))
    assert len({entry.position for entry in entries}) == 8
    assert till.balance(card) == 920_00
    till.sound()


def test_lost_answer_is_found_by_key(till: Till) -> None:
    """The caller goes away before the answer; the effect stands, once, and the key finds it."""
    card = till.card(100_00)
    desk = till.shop.desk

    async def give_up() -> None:
        request = till.request("settle", card=card, key="lost", meaning="m", command=Sale("settle", [(10_00, 1)]))
        task = asyncio.ensure_future(desk.execute(request))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(give_up())
    answer = till.ask("settle", card=card, key="lost", meaning="m", command=Sale("settle", [(10_00, 1)]))
    found = till.shop.store.reader().find_keys([("terminal:t1", "lost")])
    assert found["terminal:t1", "lost"] == answer
    assert till.balance(card) == 90_00


def test_a_refusal_uses_up_its_key(till: Till) -> None:
    card = till.card(5_00)
    refused = till.sale(card, 30_00, key="sale")
    assert (refused.outcome, refused.code) == ("refused", "insufficient_funds")
    till.topup(card, 100_00)
    assert till.sale(card, 30_00, key="sale") == refused
    assert till.balance(card) == 105_00
    till.sound()


def test_nothing_is_recorded_for_an_unknown_card(till: Till) -> None:
    before = till.shop.desk.heads
    for verb, fields in (
        ("settle", {"command": Sale("settle", [(1, 1)])}), ("topup", {"command": TopUp(1)}), ("activate", {}), ("lost", {}),
        ("set_pin", {}),
    ):  # fmt: skip
        assert till.problem(verb, card="8801000000000009", key="k", **fields) == "unknown_card"
    assert till.problem("refund", ref=10**9, command=Refund()) == "unknown_ticket"
    assert till.shop.desk.heads == before
    assert till.sale(till.card(10_00), 1_00, key="k").outcome == "applied", "the key must still be free"


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "tab\t"])
def test_keys_have_bounds(till: Till, key: str) -> None:
    request = till.request("settle", key="placeholder", card=till.card(10_00), command=Sale("settle", [(1, 1)]))
    request.client_key = key
    with pytest.raises(Problem) as raised:
        till.shop.desk.call(request)
    assert raised.value.code == "key_required"


def test_void_before_its_original(till: Till) -> None:
    """A till that got no answer voids by key; the sale arrives late and is refused for ever (O6)."""
    card = till.card(100_00)
    key = ("terminal:t1", "slow")
    void = till.done("void", ref_key=key, command=Void())
    late = till.sale(card, 30_00, key="slow")
    assert (late.verb, late.outcome, late.code) == ("tombstone", "refused", "key_voided")
    assert void.ref == late.position
    again = till.done("void", ref_key=key, command=Void())
    assert again.ref == late.position, "a second void of the key names the same tombstone"
    till.reopen()
    assert till.sale(card, 30_00, key="slow") == late
    assert till.balance(card) == 100_00
    till.sound()


def test_void_and_its_original_in_one_batch(till: Till) -> None:
    card = till.card(100_00)
    void = till.request("void", ref_key=("terminal:t1", "slow"), command=Void())
    sale = till.request("settle", card=card, key="slow", command=Sale("settle", [(10_00, 1)]))
    answers = till.shop.desk.call_many([void, sale])
    assert [answer.code for answer in answers] == ["", "key_voided"]
    other = till.request("settle", card=card, key="fast", command=Sale("settle", [(10_00, 1)]))
    undo = till.request("void", ref_key=("terminal:t1", "fast"), command=Void())
    answers = till.shop.desk.call_many([other, undo])
    assert [answer.code for answer in answers] == ["", ""]
    assert till.balance(card) == 100_00
    till.sound()


def test_void_by_key_of_a_sale(till: Till) -> None:
    card = till.card(100_00)
    sale = till.sale(card, 30_00, key="sale")
    void = till.done("void", ref_key=("terminal:t1", "sale"), command=Void())
    assert void.ref == sale.position
    assert till.balance(card) == 100_00
    again = till.ask("void", ref_key=("terminal:t1", "sale"), command=Void())
    assert again.code in ("already_reversed", "not_refundable")
    till.sound()


def test_a_void_cannot_name_itself(till: Till) -> None:
    assert till.problem("void", key="v", ref_key=("terminal:t1", "v"), command=Void()) == "invalid_payload"


def test_questions_are_bounded(till: Till) -> None:
    """F4: reads that nobody can answer in time are turned away, and the bound is given back."""
    desk = till.shop.desk
    release = threading.Event()

    async def many() -> Sequence[object]:
        asked = asyncio.gather(*(desk.ask(lambda _: release.wait(20)) for _ in range(QUESTIONS_MAX + 5)), return_exceptions=True)
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(release.set)
        return await asked

    answers = asyncio.run(many())
    assert [getattr(answer, "code", "") for answer in answers].count("busy") == 5
    assert asyncio.run(desk.ask(lambda store: store.counts()))["entries"] > 0


def test_busy_and_not_ready(till: Till) -> None:
    card = till.card(10_00)
    desk = till.shop.desk
    desk._queue_max = 3
    requests = [till.request("settle", card=card, command=Sale("settle", [(1, 1)])) for _ in range(4)]

    async def flood() -> list[object]:
        return await asyncio.gather(*(desk.execute(request) for request in requests * 50), return_exceptions=True)

    codes = {answer.code for answer in asyncio.run(flood()) if isinstance(answer, Problem)}
    assert codes == {"busy"}
    till.shop.close()
    with pytest.raises(Problem) as raised:
        desk.call(requests[0])
    assert raised.value.code == "not_ready"
