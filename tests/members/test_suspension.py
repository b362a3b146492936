"""Goal: a card whose member is suspended, has left or is out has no member prices, points or benefits; its value is spent as ever (L10).

Method: the VIP mall's numbers (gold 8.8折, points floored to tens, 100 points = 1 yuan) before, during and after, by every verb that gives
something; and what becomes of the card's flag by every step that changes whose the card is. The journal is replayed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi.desk.quote import quoted
from cardapi.members.model import STATES
from cardapi.store.port import Entry
from cardcore.settlement import (
    Adjust,
    Capture,
    Event,
    Give,
    Line,
    Redeem,
    Refund,
    Sale,
    Settlement,
    TopUp,
    receipt,
)  # fmt: skip
from cardcore.settlement.lifecycle import EXCLUDED, SUSPENDED
from cardcore.settlement.pack import SLEEPING
from tests.desk.till import PLAIN
from tests.jobs.conftest import SCHEMES, Timed
from tests.members.till import CLUB, benefits_follow_the_member, enrol, person, publish, suspended
from tests.shops import journal, length

WELCOME_BACK = PLAIN.replace('"plain"', '"back"') + """
[[benefit]]
name = "nine for all"
then = { discount = "9/10" }
[[benefit]]
name = "eight to come back"
when = { tag = ["suspended"] }
then = { discount = "8/10" }
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Timed]:
    till = Timed(tmp_path / "shop")
    yield till
    till.shop.close()


def gold(shop: Timed) -> tuple[str, str]:
    """A gold member with 1000.00 and 500 points."""
    card = shop.issued("mall-vip")
    shop.done("activate", card=card)
    shop.done("adjust", card=card, command=Adjust("principal", 1000_00))
    shop.done("adjust", card=card, command=Adjust("points", 500))
    return card, enrol(shop, person(), card=card)


def state(shop: Timed, member: str, state: str) -> Entry:
    return shop.done("member_state", payload={"member": member, "state": state})


def sold(shop: Timed, card: str, *lines: Line, points: int = 0, explain: bool = False) -> Settlement:
    asked: dict[str, Any] = {"lines": lines or (Line(100_00),), "points": points, "shortfall_tender": "cash"}
    asked |= {"explain": explain, "why_not": explain}
    before = quoted(
        shop.shop.store.reader(), shop.request("quote", card=card, command=Sale("quote", **asked)), shop.clock(), shop.shop.registry,
        shop.shop.custody,
    )  # fmt: skip
    done = Settlement.unpack(shop.done("settle", card=card, command=Sale("settle", **asked)).body)
    assert (before.net_fen, before.points_earned) == (done.net_fen, done.points_earned), "a quote says what the sale will be"
    return done


def test_prices_and_points_sleep_and_wake(shop: Timed) -> None:
    """D04 and E04: 100.00 costs a gold member 88.00 and earns 8; while suspended 100.00 and nothing; then as before."""
    card, member = gold(shop)
    before = sold(shop, card)
    assert (before.net_fen, before.principal_fen, before.points_earned) == (88_00, 88_00, 8)
    state(shop, member, "suspended")
    during = sold(shop, card)
    assert (during.net_fen, during.principal_fen, during.points_earned, during.discount_fen) == (100_00, 100_00, 0, 0)
    state(shop, member, "active")
    after = sold(shop, card)
    assert (after.net_fen, after.points_earned, after.after_points) == (88_00, 8, 516)
    shop.sound()


def test_points_buy_nothing_meanwhile_and_are_kept(shop: Timed) -> None:
    """R01, R05: 100 points = 1 yuan, and an item for points, are benefits of membership."""
    card, member = gold(shop)
    shop.done("adjust", card=card, command=Adjust("points", 600))
    state(shop, member, "suspended")
    assert shop.ask("settle", card=card, command=Sale("settle", [Line(100_00)], points=100)).code == "points_not_allowed"
    item = Sale("settle", [Line(150_00, flags=2)], shortfall_tender="cash")
    assert shop.ask("settle", card=card, command=item).code in ("points_not_allowed", "insufficient_points")
    assert sold(shop, card, points=-1).points_used == 0, "as many as the rules allow are none"
    assert shop.points(card) == 1100
    state(shop, member, "active")
    assert sold(shop, card, points=100).points_fen == 1_00
    assert Settlement.unpack(shop.done("settle", card=card, command=item).body).points_used == 1000
    shop.sound()


def test_a_top_up_brings_what_was_paid_and_no_bonus(shop: Timed) -> None:
    card, member = gold(shop)
    assert Settlement.unpack(shop.done("topup", card=card, command=TopUp(1000_00)).body).bonus_fen > 0
    state(shop, member, "suspended")
    topped = Settlement.unpack(shop.done("topup", card=card, command=TopUp(1000_00)).body)
    assert (topped.principal_fen, topped.bonus_fen) == (1000_00, 0)
    shop.sound()


def test_visits_that_were_paid_for_are_used(shop: Timed) -> None:
    """C05: the holder's money, as stored value is."""
    publish(shop, (SCHEMES / "spa.toml").read_text(encoding="utf-8"))
    card = shop.issued("spa")
    shop.done("activate", card=card)
    member = enrol(shop, person(), card=card)
    price = shop.shop.registry.programme("spa", shop.clock.at_s).products["massage-10"][0]
    shop.done("topup", card=card, command=TopUp(price, product="massage-10"))
    state(shop, member, "suspended")
    assert sold(shop, card, Line(128_00, category="massage", flags=16)).covered_fen == 128_00
    shop.sound()


def test_a_hold_keeps_its_price_and_its_capture_earns_nothing(shop: Timed) -> None:
    """What was decided stays decided; points come with the capture, by the card as it is then."""
    card, member = gold(shop)
    holds = [shop.done("hold", card=card, command=Sale("hold", [Line(100_00)], hold_seconds=3600)) for _ in range(2)]
    state(shop, member, "suspended")
    asleep = Settlement.unpack(shop.done("capture", of=holds[0], command=Capture()).body)
    state(shop, member, "active")
    awake = Settlement.unpack(shop.done("capture", of=holds[1], command=Capture()).body)
    assert [(done.net_fen, done.points_earned) for done in (asleep, awake)] == [(88_00, 0), (88_00, 8)]
    shop.sound()


def test_a_return_undoes_what_its_ticket_did(shop: Timed) -> None:
    """X03: whatever the card is by then; a ticket of a suspended member gave nothing, and nothing is taken for it."""
    card, member = gold(shop)
    first = shop.done("settle", card=card, command=Sale("settle", [Line(100_00)]))
    state(shop, member, "suspended")
    second = shop.done("settle", card=card, command=Sale("settle", [Line(100_00)]))
    back = Settlement.unpack(shop.done("refund", of=first, command=Refund()).body)
    assert (back.net_fen, back.points_earned) == (88_00, 8)
    state(shop, member, "active")
    back = Settlement.unpack(shop.done("refund", of=second, command=Refund()).body)
    assert (back.net_fen, back.points_earned, back.after_points, back.after_money_fen) == (100_00, 0, 500, 1000_00)
    shop.sound()


def test_the_tier_stays_and_what_was_bought_counts_later(shop: Timed) -> None:
    """T01: 5 orders make gold. Orders of a suspended member are counted and lift nothing until the next one after."""
    publish(shop, (SCHEMES / "four-tiers.toml").read_text(encoding="utf-8"))
    card = shop.issued("four-tiers")
    shop.done("activate", card=card)
    member = enrol(shop, person(), card=card)
    state(shop, member, "suspended")
    assert [sold(shop, card, Line(1_00)).tier_after for _ in range(5)] == [0] * 5
    state(shop, member, "active")
    done = sold(shop, card, Line(1_00))
    assert shop.shop.registry.programme("four-tiers", shop.clock.at_s).tiers[done.tier_after] == "gold"
    shop.sound()


def test_coupons_gifts_and_events_wait(shop: Timed) -> None:
    publish(shop, CLUB)
    publish(shop, (SCHEMES / "food-company.toml").read_text(encoding="utf-8"))
    programme = shop.shop.registry.programme("food-company", shop.clock.at_s)
    kind, gift = programme.coupons[0]["name"], programme.gifts[0]["name"]
    card = shop.issued("food-company")
    shop.done("activate", card=card)
    member = enrol(shop, person(), card=card)
    points = programme.purses[programme.purse_units.index("points")]
    shop.done("adjust", card=card, command=Adjust(points, 100_000))
    shop.done("give", card=card, command=Give(kind))
    state(shop, member, "suspended")
    sale = Sale("settle", [Line(500_00)], shortfall_tender="cash", coupons=[kind])
    refused = [
        shop.ask("settle", card=card, command=sale).code, shop.ask("redeem", card=card, command=Redeem(gift)).code,
    ]  # fmt: skip
    assert all(refused), refused
    assert "insufficient_points" not in refused
    other = shop.issued("club")
    shop.done("activate", card=other)
    shop.done("link", card=other, payload={"member": member})
    assert shop.ask("event", card=other, command=Event("referral")).code == "nothing_to_do"
    state(shop, member, "active")
    assert shop.done("event", card=other, command=Event("referral")).outcome == "applied"
    assert shop.done("redeem", card=card, command=Redeem(gift)).outcome == "applied"
    shop.sound()


def test_a_rule_for_the_suspended_acts(shop: Timed) -> None:
    """A pack may say something to just those who sleep: the rule that asks for the state by `tag` is theirs, no other is."""
    publish(shop, WELCOME_BACK)
    card = shop.card(1000_00, "back")
    member = enrol(shop, person(), card=card)
    assert sold(shop, card).net_fen == 90_00
    state(shop, member, "suspended")
    done = sold(shop, card, explain=True)
    assert done.net_fen == 80_00
    programme = shop.shop.registry.programme("back", shop.clock.at_s)
    assert "Not applied (nine for all): membership is suspended" in receipt.explain(done, programme, "en")
    assert "未生效 (nine for all): 会员资格已暂停" in receipt.explain(done, programme, "zh")
    shop.sound()


def test_the_states_that_sleep_are_the_members_own() -> None:
    assert {"active", "merged", "erased"} | SLEEPING == set(STATES)


def test_link_and_unlink(shop: Timed) -> None:
    card, member = gold(shop)
    other, _ = gold(shop)
    third = shop.card(0, "mall-vip")
    state(shop, member, "suspended")
    assert [suspended(shop, one) for one in (card, other, third)] == [True, False, False], "only the member's own"
    shop.done("link", card=third, payload={"member": member})
    assert suspended(shop, third)
    shop.done("unlink", card=third, payload={"member": member})
    assert not suspended(shop, third), "a card of nobody is anybody's"
    state(shop, member, "left")
    assert suspended(shop, card)
    state(shop, member, "active")
    assert not suspended(shop, card)
    shop.sound()


def test_merge_and_split(shop: Timed) -> None:
    """A merge brings the cards to an active member; a split gives them back to what the member was."""
    (card, member), (_, into) = gold(shop), gold(shop)
    state(shop, member, "suspended")
    shop.done("merge", payload={"member": member, "into": into})
    assert not suspended(shop, card)
    shop.done("split", payload={"member": member})
    assert suspended(shop, card), "two people undid the merge, not the suspension"
    state(shop, member, "active")
    shop.done("merge", payload={"member": member, "into": into})
    state(shop, into, "suspended")
    assert suspended(shop, card), "it is the other's card now"
    shop.done("split", payload={"member": member})
    assert not suspended(shop, card), "and its own again"
    shop.sound()


def test_out_and_erased(shop: Timed) -> None:
    card, member = gold(shop)
    shop.done("disqualify", payload={"member": member})
    assert suspended(shop, card)
    assert sold(shop, card).net_fen == 100_00
    shop.done("erase", payload={"member": member})
    assert not suspended(shop, card)
    shop.sound()


def test_the_flag_follows_to_the_new_card_and_stands_beside_the_other(shop: Timed) -> None:
    card, member = gold(shop)
    state(shop, member, "suspended")
    shop.done("exclude", card=card, payload={"excluded": True})
    row = shop.shop.store.reader().read([card])[card].card
    assert row.flags == EXCLUDED | SUSPENDED
    assert shop.ask("settle", card=card, command=Sale("settle", [Line(1_00)])).code == "holder_excluded"
    shop.done("exclude", card=card, payload={"excluded": False})
    new = [row.number for row in shop.shop.store.reader().cards() if row.number != card]
    shop.done("swap", card=card, payload={"prefix": "8805"})
    (fresh,) = {row.number for row in shop.shop.store.reader().cards()} - {card, *new}
    assert suspended(shop, fresh)
    assert sold(shop, fresh).net_fen == 100_00
    state(shop, member, "active")
    assert sold(shop, fresh).net_fen == 88_00
    shop.sound()


def test_a_step_that_changes_nothing_writes_nothing_to_cards(shop: Timed) -> None:
    """Suspended, then left: the card is as it was, and no entry says otherwise. A repeated step is one entry with its cards' (O2)."""
    card, member = gold(shop)
    before = journal(shop.shop)
    asked = shop.request("member_state", key="once", payload={"member": member, "state": "suspended"})
    step = shop.shop.desk.call(asked)
    assert shop.shop.desk.call(asked) == step
    assert sorted((entry.verb, entry.card, entry.client) for entry in journal(shop.shop) if entry not in before) == [
        ("member_state", "", "terminal:t1"), ("suspend", card, "system")
    ]  # fmt: skip
    state(shop, member, "active")
    state(shop, member, "left")
    assert length(shop.shop) == len(before) + 6
    assert suspended(shop, card)
    shop.reopen()
    assert suspended(shop, card)
    shop.sound()


def test_every_card_of_a_member(shop: Timed) -> None:
    benefits_follow_the_member(shop, [shop.shop.desk])
    shop.sound()
