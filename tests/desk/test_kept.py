"""What a desk keeps of a partition between batches is bounded, is what the store holds, and is believed only if it was written (F3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest

from cardapi.store.port import Begun
from cardcore.errors import InvalidCommand
from cardcore.settlement import TopUp
from tests.desk.till import Till

KEPT = 8


def test_cards_are_forgotten_with_their_accounts_and_kept_again(lone: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cards come by, so many are kept; and one that was used a moment ago is not read again."""
    side = lone.shop.desk._sides._sides[0]
    side.forget()
    side.rows.accounts_max = KEPT
    cards = [lone.card(100_00) for _ in range(3 * KEPT)]
    for card in cards:
        lone.sale(card, 1_00)
        assert side.work is not None
        assert len(side.work.accounts) <= KEPT
        assert len(side.work.cards) <= KEPT, "a card stays for ever once its account was forgotten"
        assert len(side.work.media) <= KEPT

    asked: list[Sequence[str]] = []
    begin = lone.shop.store.begin

    def listening(partitions: Collection[int], keys: Sequence[tuple[str, str]], numbers: Sequence[str], **more: Any) -> Begun:
        asked.append(numbers)
        return begin(partitions, keys, numbers, **more)

    monkeypatch.setattr(lone.shop.store, "begin", listening)
    lone.topup(cards[-1], 1_00)
    lone.topup(cards[0], 1_00)
    lone.topup(cards[0], 1_00)
    assert asked == [[], [cards[0]], []]
    assert [lone.balance(card) for card in cards] == [101_00, *[99_00] * (len(cards) - 2), 100_00]
    lone.sound()


@pytest.mark.parametrize("error", [MemoryError("no room for a row"), InvalidCommand("too late")], ids=lambda error: type(error).__name__)
def test_what_was_folded_and_has_no_entry_is_never_written(till: Till, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The fold had the money on the card and its row could not be made: no later entry may carry that value into the store."""
    card = till.card(100_00)

    def broken(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("cardapi.desk.work.Work.account_row", broken)
        assert till.problem("topup", card=card, command=TopUp(50_00)) == "unexpected"
    assert till.problem("settle", card=card) == "not_ready"
    till.reopen()
    assert till.sale(card, 1_00).outcome == "applied"
    assert till.balance(card) == 99_00
    till.sound()


def test_an_error_that_a_part_of_a_request_forgives_is_not_forgiven_within_the_fold(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some verbs go on where a part of them cannot be done (a coupon that is out of stock): not where that part was half recorded."""
    card = till.card(100_00)
    from cardapi.desk import one

    decided = one._decided

    def forgiving(work: Any, request: Any) -> Any:
        answer = decided(work, request)
        with monkeypatch.context() as patch:
            patch.setattr("cardapi.desk.work.Work.apply", broken)
            try:
                work.add(request, account_id=work.cards[card].account_id, card=card, body=b"", code="out_of_stock", key=("system", "part"))
            except InvalidCommand:
                pass
        return answer

    def broken(*_: object) -> None:
        raise InvalidCommand("half way")

    with monkeypatch.context() as patch:
        patch.setattr(one, "_decided", forgiving)
        assert till.problem("topup", card=card, command=TopUp(50_00)) == "unexpected"
    assert till.problem("settle", card=card) == "not_ready"
    till.reopen()
    assert till.balance(card) == 100_00
    till.sound()


def test_who_no_longer_waits_does_not_end_the_writer(till: Till) -> None:
    card = till.card(100_00)
    desk = till.shop.desk
    with desk._writing:  # so that it cannot be done before it is given up
        given_up = desk.begin([till.request("topup", card=card, command=TopUp(1_00))])
        assert given_up.cancel()
    (answer,) = desk.begin([till.request("topup", card=card, command=TopUp(2_00))]).result(timeout=60)
    assert not isinstance(answer, Exception)
    assert till.balance(card) == 103_00, "what was handed in is done, whoever hears of it"
    assert desk.waiting == 0
    till.sound()
