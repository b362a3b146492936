"""Goal: who agreed is told what happened, once, in their language; who did not is told nothing; what cannot be sent waits and dies
in order (P06).

Method: a gateway that the test answers for, a clock it turns, kills between every two durable writes.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from cardapi.custody import Pin
from cardapi.desk import Desk
from cardapi.ids import home
from cardapi.messages.courier import CURSOR
from cardapi.messages.model import KIND, TRIES_MAX, from_record
from cardapi.shipped import pack_text
from cardapi.store.port import Record
from cardapi.store.sqlite import SqliteStore
from cardcore.settlement import Adjust, Refund, Sale, Transfer
from tests.jobs.conftest import DAY_S, START_S, Timed
from tests.members.till import enrol, person
from tests.messages.conftest import Gateway
from tests.shops import new_shop


def agreed(till: Timed, **known: object) -> tuple[str, str]:
    """A card and its member, who agreed to SMS."""
    card = till.card(1_000_00, "mall-vip")
    till.clock.at_s += 1  # what happened before is not told
    return card, enrol(till, person(**known), card=card, consents=("sms",))


def messages(till: Timed) -> list[str]:
    return [from_record(row).state for row in till.shop.store.reader().all_records(KIND)]


def test_what_happens_on_a_card_is_told(till: Timed, sms: Gateway) -> None:
    card, _ = agreed(till)
    till.shop.background.courier.once()
    assert [template for template, _ in sms.take()] == ["welcome"]
    sale = till.sale(card, 100_00)
    till.topup(card, 500_00)
    till.done("refund", of=sale, command=Refund(amount_fen=10_00))
    till.done("set_pin", card=card, pin=Pin.parse("482913"))
    till.done("lost", card=card)
    counts = till.shop.background.courier.once()
    told = sms.take()
    assert [template for template, _ in told] == ["spent", "topped_up", "given_back", "pin_changed", "card_lost"]
    assert counts == {"made": 5, "sent": 5, "failed": 0, "dead": 0}
    assert "消费88.00元，余额1112.00元" in told[0][1], "gold pays 8.8折"
    assert "充值500.00元" in told[1][1]
    assert "482913" not in str(told)
    assert all(f"尾号{card[-4:]}" in text for _, text in told)
    assert card not in str(told)
    assert till.shop.background.courier.once() == {"made": 0, "sent": 0, "failed": 0, "dead": 0}
    till.sound()


def test_points_that_move_are_told_as_points(till: Timed, sms: Gateway) -> None:
    """R10: not as 0.00 yuan."""
    document = {"valid_from": 0, "pack": pack_text("alliance")}
    till.done("change", payload={"kind": "programme", "id": "alliance@1", "document": document})
    card, other = till.card(0, "alliance"), till.card(0, "alliance")
    enrol(till, person(), card=card, consents=("sms",))
    till.done("adjust", card=card, command=Adjust("points", 100), approver="boss")
    till.shop.background.courier.once()
    sms.take()
    till.done("transfer", card=card, further=(other,), command=Transfer(60, unit="points"))
    till.shop.background.courier.once()
    [(template, text)] = sms.take()
    assert template == "points_moved"
    assert "转出60积分，剩余40积分" in text


def test_without_members_the_journal_is_not_read(till: Timed, sms: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    card = till.card(1_000_00, "mall-vip")
    till.sale(card, 100_00)
    courier = till.shop.background.courier
    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "journal", lambda *_: pytest.fail("nobody can be told of what is read here"))
        assert courier.once() == {"made": 0, "sent": 0, "failed": 0, "dead": 0}
    cursor = till.shop.store.reader().records(CURSOR, ["00"])["00"]
    assert int(cursor.body) == till.shop.desk.head.position
    enrol(till, person(), card=card, consents=("sms",))
    till.sale(card, 100_00)
    courier.once()
    assert [template for template, _ in sms.take()] == ["welcome", "spent"], "all that came since, and nothing from before"


def test_a_look_through_all_partitions_is_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sales wait while it is written, and a server's journal has 64 partitions."""
    new_shop(tmp_path / "shop", 4)
    till, sms = Timed(tmp_path / "shop"), Gateway()
    courier = till.shop.background.courier
    courier.channels = {"sms": sms}
    kept: list[list[Record]] = []
    real = Desk.keep

    def keep(desk: Desk, records: list[Record]) -> None:
        kept.append(records)
        real(desk, records)

    monkeypatch.setattr(Desk, "keep", keep)
    cards: list[str] = []
    while len({home(card, 4) for card in cards}) < 4:
        cards.append(till.card(1_000_00, "mall-vip"))
    courier.once()
    assert [{row.kind for row in records} for records in kept] == [{CURSOR}], "nobody to tell"
    assert len(kept[0]) == 4
    for card in cards:
        enrol(till, person(), card=card, consents=("sms",))
        till.sale(card, 100_00)
    kept.clear()
    told = 2 * len(cards)
    assert courier.once() == {"made": told, "sent": told, "failed": 0, "dead": 0}
    assert [len(records) for records in kept] == [told + 4, *[1] * told], "all that was made with all the cursors, then each as it is sent"
    assert len(sms.letters) == told
    assert courier.once()["made"] == 0
    till.shop.close()


def test_in_the_language_of_the_member(till: Timed, sms: Gateway) -> None:
    card, _ = agreed(till, language="en")
    till.sale(card, 100_00)
    till.shop.background.courier.once()
    assert sms.take()[-1] == ("spent", f"Shop: you paid 88.00 yuan with card *{card[-4:]}. Balance 1112.00 yuan, 8 points.")


def test_nobody_is_told_who_did_not_agree(till: Timed, sms: Gateway) -> None:
    silent = till.card(100_00)
    enrol(till, card=silent)
    stranger = till.card(100_00)
    other = enrol(till, card=till.card(100_00), consents=("email", "webhook"))
    for card in (silent, stranger):
        till.sale(card, 1_00)
    assert till.shop.background.courier.once() == {"made": 0, "sent": 0, "failed": 0, "dead": 0}, "no such channel in this shop"
    till.done("consent", payload={"member": other, "consents": ("sms",)})
    assert till.shop.background.courier.once()["made"] == 0


def test_consent_withdrawn_before_it_was_sent(till: Timed, sms: Gateway) -> None:
    card, member = agreed(till)
    sms.refuses = "unreachable"
    till.sale(card, 1_00)
    till.shop.background.courier.once()
    sms.refuses = ""
    till.done("consent", payload={"member": member, "consents": ()})
    till.clock.at_s += 3_600
    till.shop.background.courier.once()
    assert sms.take() == []
    assert messages(till) == ["dead", "dead"]


def test_an_erased_member_gets_nothing_more(till: Timed, sms: Gateway) -> None:
    card, member = agreed(till)
    till.shop.background.courier.once()
    sms.take()
    till.sale(card, 1_00)
    till.done("erase", payload={"member": member})
    till.shop.background.courier.once()
    assert sms.take() == []


def test_back_off_and_the_dead_letter_list(till: Timed, sms: Gateway) -> None:
    agreed(till)
    began = till.clock.at_s
    sms.refuses = "bad_status"
    tries = []
    for _ in range(60 * 24 * 2):
        counts = till.shop.background.courier.once()
        if counts["failed"] or counts["dead"]:
            tries.append(till.clock.at_s - began)
        if counts["dead"]:
            break
        till.clock.at_s += 60
    assert tries == [0, 60, 180, 420, 900, 1_860, 3_780, 7_620], "each wait is twice the one before"
    assert len(tries) == TRIES_MAX
    (row,) = till.shop.store.reader().all_records(KIND)
    assert (from_record(row).state, from_record(row).error) == ("dead", "bad_status")
    sms.refuses = ""
    till.clock.pass_days(30)
    assert till.shop.background.courier.once()["sent"] == 0, "dead is dead"
    till.shop.background.courier.again(row.id)
    assert till.shop.background.courier.once()["sent"] == 1
    with pytest.raises(Exception, match="no dead message"):
        till.shop.background.courier.again(row.id)


def test_killed_between_any_two_writes_nothing_is_lost_or_made_twice(till: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [agreed(till)[0] for _ in range(3)]
    for card in cards:
        till.sale(card, 10_00)
    gateway, killed = Gateway(), 0

    class Killed(BaseException):
        pass

    for after in range(60):
        left, real = [after], Desk.keep

        def keep(self: Desk, records: object, left: list[int] = left, real: object = real) -> None:
            for edge in range(2):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                if edge == 0:
                    real(self, records)  # type: ignore[operator]

        till.shop.background.courier.channels = {"sms": gateway}
        with monkeypatch.context() as patch:
            patch.setattr(Desk, "keep", keep)
            try:
                till.shop.background.courier.once()
            except Killed:
                killed += 1
            else:
                break
        till.reopen()
    assert killed >= 5, "the faults did not reach the courier"
    ids = [letter.id for letter in gateway.letters]
    assert len(set(ids)) == 6, "3 welcomes, 3 sales: none lost, none made twice"
    assert len(ids) - len(set(ids)) <= killed, "sent again only where the note of it was lost"
    assert messages(till) == ["sent"] * 6


def test_old_news_are_not_told(till: Timed, sms: Gateway) -> None:
    card, _ = agreed(till)
    till.sale(card, 1_00)
    till.clock.pass_days(2)
    assert till.shop.background.courier.once()["made"] == 0
    till.sale(card, 1_00)
    assert till.shop.background.courier.once()["made"] == 1


def test_a_change_of_tier_is_told(till: Timed, sms: Gateway) -> None:
    card = till.card(1_00, "mall-vip")
    enrol(till, card=card, consents=("sms",))
    till.done("settle", card=card, command=Sale("settle", [(100_000_00, 1)], shortfall_tender="cash"))
    while till.shop.background.courier.once()["sent"]:
        pass
    told = dict(sms.take())
    assert told["tier"] == "【Shop】您的会员等级已变为diamond。"


def test_birthdays_on_the_day_once_a_year(till: Timed, sms: Gateway) -> None:
    for birthday in ("1990-01-02", "1990-01-03", "2000-02-29"):
        enrol(till, person(birthday=birthday), consents=("sms",))
    till.shop.background.courier.once()
    sms.take()
    seen = {}
    for _ in range(366 + 365 * 2):
        till.clock.pass_days(1)
        till.shop.background.jobs.run("birthdays")
        till.shop.background.jobs.run("birthdays")
        if till.shop.background.courier.once()["sent"]:
            day = datetime.datetime.fromtimestamp(till.clock.at_s, datetime.UTC) + datetime.timedelta(hours=8)
            seen[day.date().isoformat()] = [template for template, _ in sms.take()]
    assert seen == {
        day: ["birthday"]
        for day in ("2026-01-02", "2026-01-03", "2026-02-28", "2027-01-02", "2027-01-03", "2027-02-28", "2028-01-02", "2028-01-03",
                    "2028-02-29")
    }  # fmt: skip


def test_points_are_announced_a_month_before_they_end_once(till: Timed, sms: Gateway) -> None:
    card, _ = agreed(till)
    till.sale(card, 500_00)
    till.shop.background.courier.once()
    sms.take()
    # Accrued on 2026-01-01, they end with 2029-01-01: from 2028-12-01 on it is a month.
    till.clock.at_s = START_S + 1064 * DAY_S
    said = []
    for _ in range(40):
        till.clock.pass_days(1)
        till.shop.background.jobs.run("reminders")
        till.shop.background.courier.once()
        said += [(day(till), text) for _, text in sms.take()]
    assert said == [("2028-12-01", f"【Shop】您尾号{card[-4:]}的会员卡有44积分将于2029-01-01到期，请及时使用。")]


def day(till: Timed) -> str:
    return (datetime.datetime.fromtimestamp(till.clock.at_s, datetime.UTC) + datetime.timedelta(hours=8)).date().isoformat()


def test_sent_messages_are_pruned(till: Timed, sms: Gateway) -> None:
    agreed(till)
    till.shop.background.courier.once()
    till.clock.pass_days(89)
    assert till.shop.background.jobs.run("pruning").counts == {}
    till.clock.pass_days(1)
    assert till.shop.background.jobs.run("pruning").counts == {"messages": 1}
    assert messages(till) == []
    till.sound()
