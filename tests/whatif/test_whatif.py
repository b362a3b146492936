"""Goal: a pack is judged by what people did, and by nothing else. Method: the identity (the same pack again is what happened, to the byte
of every account, after weeks of every verb from a seed), figures by hand for another pack, and determinism of report and picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cardapi.shipped import pack_text
from cardapi.whatif.happening import Followed, Given, Redeemed, Sold, ToppedUp
from cardapi.whatif.journal import Journal
from cardapi.whatif.picture import picture
from cardapi.whatif.report import BANDS_FEN, Side, bands, compare, share, side
from cardapi.whatif.tally import point_worth
from cardapi.whatif.world import World
from cardcore.settlement import COVER, REDEEM, Give, Line, Programme, Sale, Settlement, pack
from tests.coupons.desk import publish
from tests.coupons.packs import SHOP
from tests.desk.till import Till
from tests.members.till import enrol
from tests.support import sized
from tests.whatif.shop import COUPON_SHOP, LivedIn

DAY_US = 86_400_000_000
FOREVER = 2**62
AT_US = 1_767_312_000_000_000  # 2026-01-02


def shipped(name: str) -> Programme:
    return pack.load(pack_text(name))


@pytest.fixture
def lived(tmp_path: Path) -> Iterator[LivedIn]:
    shop = LivedIn(tmp_path / "shop", seed=7)
    yield shop
    shop.till.shop.close()


def past_of(lived: LivedIn, until_us: int = FOREVER) -> Journal:
    shop = lived.till.shop
    return Journal(shop.store.reader(), shop.registry, shop.custody, frozenset({"stock"}), lambda account, at_us: True, until_us)


def test_the_same_packs_again_are_what_happened(tmp_path: Path) -> None:
    verbs: set[str] = set()
    for seed in range(sized(4, 60)):
        lived = LivedIn(tmp_path / str(seed), seed)
        lived.live(sized(300, 1_000))
        applied = [entry for entry in lived.entries if entry.outcome == "applied"]
        verbs |= {entry.verb for entry in applied}
        verbs |= {"points" for entry in applied if entry.verb == "transfer" and Settlement.unpack(entry.body).points_used}
        past = past_of(lived)
        world = World(past.programme_of, past.named, deciding=past.deciding)
        for happening in past.happenings():
            world.happen(happening)
            account = getattr(happening, "account", 0)
            # Where the pack awards coupons, the record has yet to come to the entries that an award makes.
            if not past.programme_of(account, happening.at_us // 1_000_000).awards:
                assert world.accounts[account].pack() == past.accounts[account].pack(), (seed, happening)
        assert not world.tally.not_replayed, (seed, world.tally.not_replayed)
        stored = {row.account_id: row.state for row in lived.till.shop.store.reader().accounts()}
        assert {account: value.pack() for account, value in world.accounts.items()} == {key: stored[key] for key in world.accounts}
        assert world.tally.figures == past.tally.figures
        assert world.tally.cards == past.tally.cards
        assert world.tally.tiers == past.tally.tiers
        lived.till.shop.close()
    wanted = "settle hold capture topup refund void reverse transfer points adjust event give redeem"
    assert verbs >= set(wanted.split())


def world_of(name: str, sold: list[Any]) -> World:
    programme = shipped(name)
    world = World(lambda account, at: programme, {one.key for one in sold})
    for one in sold:
        world.happen(one)
    return world


def test_figures_by_hand() -> None:
    """D04: gold pays 88 %. 1000.00 less 120.00; 88 points at a fen; 200.00 of bonus for 1000.00 paid."""
    sold = [ToppedUp((0, 1), 0, 1, 1000_00), Sold((0, 2), 0, 1, (Line(1000_00),)), Sold((0, 3), 0, 2, (Line(5_00),))]
    world = world_of("mall-vip", sold)
    gold = Side("gold", shipped("mall-vip"), world.tally, world.accounts)
    told = side(gold, [1, 2], 0)
    assert told["cost"] | {"given": {}} == {
        "discount_fen": 120_60, "value_fen": 200_00, "points_fen": 88, "total_fen": 321_48, "share_of_sales": "36.35 %", "given": {},
    }  # fmt: skip
    assert told["liability"] == {"money_fen": 320_00, "points": 88, "points_fen": 88}
    assert told["tiers"] == {"gold": 2, "diamond": 0}
    base = world_of("replay", sold)  # no discount, 5.00 of bonus for each 500.00, points that buy nothing
    found = compare(Side("replay", shipped("replay"), base.tally, base.accounts), gold, str)
    assert (found["gain"], found["lose"], found["sum_fen"]) == (2, 0, 321_48 - 10_00)
    assert found["top_gains"][0] == {"card": "1", "difference_fen": 120_00 + 200_00 + 88 - 10_00, "tickets": 1}


def test_what_a_pack_cannot_do_is_told_and_not_guessed() -> None:
    asked = [
        ToppedUp((0, 1), 0, 1, 680_00, "cash", "care-package"),
        Sold((0, 2), 0, 1, (Line(100_00, flags=REDEEM), Line(50_00, flags=COVER, category="facial")), points=100),
        Sold((0, 3), 0, 1, (Line(100_00, discount_fen=95_00),)),
    ]
    world = world_of("four-tiers", asked)
    told = {why: world.tally.not_replayed_fen[why] for why in world.tally.not_replayed}
    assert told == {
        "products that this pack does not sell at that price": 680_00,
        "points that were not taken, or not all": 0,
        "gifts that were not given": 100_00,
        "visits that were paid with money instead": 50_00,
    }
    silver = world_of("four-tiers", [*asked[1:], Sold((0, 4), 0, 1, (Line(100_00, discount_fen=99_00),))])
    assert silver.tally.not_replayed_fen["discounts of the till beyond the price"] == 1_00
    assert silver.tally.figures.net_fen == 50_00 + 5_00


def test_a_point_is_worth_what_it_pays() -> None:
    assert [str(point_worth(shipped(name))[0]) for name in ("mall-vip", "points-as-yuan", "cash-off", "replay")] == ["1", "100", "10", "0"]
    assert point_worth(shipped("supermarket"))[1] == "gift"


def test_a_window_counts_its_own_days_only(lived: LivedIn) -> None:
    lived.live(120)
    middle = lived.entries[60].at_us
    parts = []
    for low, high in ((0, middle), (middle + 1, FOREVER), (0, FOREVER)):
        shop = lived.till.shop
        past = Journal(
            shop.store.reader(), shop.registry, shop.custody, frozenset(),
            lambda account, at_us, low=low, high=high: low <= at_us <= high, high,  # type: ignore[misc]
        )  # fmt: skip
        for _ in past.happenings():
            pass
        parts.append(past.tally.figures)
    parts[0].merge(parts[1])
    assert parts[0] == parts[2]
    assert parts[2].tickets > 10


def test_report_and_picture_are_the_same_again(lived: LivedIn) -> None:
    lived.live(100)
    drawn = []
    tried = shipped("multi-store")
    for _ in range(2):
        past = past_of(lived)
        world = World(lambda account, at: tried, past.named)
        for happening in past.happenings():
            world.happen(happening)
        base, other = Side("then", shipped("mall-vip"), past.tally, past.accounts), Side("<now>", tried, world.tally, world.accounts)
        cards = sorted(account for account, name in past.programmes.items() if name == "mall-vip")
        report = {
            "baseline": side(base, cards, past.ended_at),
            "packs": [side(other, cards, past.ended_at) | {"holders": compare(base, other, str)}],
        }
        drawn.append((report, picture(report)))
    assert drawn[0] == drawn[1]
    tree = ElementTree.fromstring(drawn[0][1])
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "What it costs" in texts
    assert "<now>" in texts


def test_bands_hold_every_difference_once() -> None:
    edges = [fen + step for fen in BANDS_FEN for step in (-1, 0, 1)]
    found = bands(edges)
    assert sum(band["cards"] for band in found) == len(edges)
    assert [band["cards"] for band in found] == [2, 3, 2, 1, 2, 3, 2]
    assert (share(1, 3), share(-1, 8), share(1, 0)) == ("33.33 %", "-12.50 %", "-")


def test_coupons_and_gifts_go_by_the_names_of_the_pack() -> None:
    """Of two packs one has the coupon and the gift: there they are given, used, awarded and exchanged; elsewhere that is told."""
    asked: list[Any] = [
        Given((0, 1), AT_US, 1, "off-20", 2),
        Sold((0, 2), AT_US, 1, (Line(500_00),), tender="cash", coupons=("off-20",)),
        Redeemed((0, 3), AT_US, 1, "voucher", "", 1, 0),
        Sold((0, 4), AT_US, 1, (Line(100_00),), tender="cash", coupons=("off-20", "voucher-5")),
    ]
    coupons = pack.load(COUPON_SHOP)
    here, there = World(lambda account, at: coupons), world_of("mall-vip", asked)
    for one in asked:
        here.happen(one)
    assert here.tally.not_replayed == {"coupons that were not taken": 1}, "off-20 is in no ticket with another"
    assert here.tally.figures.as_json()["coupon_fen"] == 20_00 + 20_00
    left = Counter(coupons.coupons[lot.purse - 64]["name"] for lot in here.accounts[1].lots() if lot.purse >= 64)
    assert left == {"off-20": 2, "voucher-5": 1}, "two given, two awarded by the ticket of 500 yuan, two used; one bought with points"
    assert there.tally.not_replayed == {
        "coupons that this pack does not have": 1, "coupons that were not taken": 3, "gifts that this pack does not have": 1,
    }  # fmt: skip
    assert there.tally.figures.as_json()["coupon_fen"] == 0


def test_what_there_is_only_so_much_of_runs_out() -> None:
    """Of three rare coupons three are given, whoever asks; what is taken back can be given again."""
    asked: list[Any] = [
        Given((0, 1), AT_US, 1, "rare", 2), Given((0, 2), AT_US, 2, "rare", 2), Followed((0, 3), AT_US, 1, "reverse", (0, 1)),
        Given((0, 4), AT_US, 2, "rare", 3), Given((0, 5), AT_US, 1, "rare", 1),
    ]  # fmt: skip
    coupons = pack.load(SHOP)
    here = World(lambda account, at: coupons, {one.key for one in asked})
    for one in asked:
        here.happen(one)
    assert here.tally.not_replayed == {"coupons that were not given (out_of_stock)": 2}
    assert [len(here.accounts[number].lots()) for number in (1, 2)] == [0, 3]


def test_tickets_with_a_coupon_for_some_articles_are_told(tmp_path: Path) -> None:
    """What such a coupon took off stays as an amount, counted and summed up; a coupon of this pack for articles is told, too."""
    till = Till(tmp_path / "shop")
    publish(till, SHOP)
    card = till.card(0, "coupon-shop")
    till.done("give", card=card, command=Give("cup"))
    latte = Sale("settle", [Line(30_00, sku="latte")], shortfall_tender="cash", coupons=("cup",))
    assert till.done("settle", card=card, command=latte).outcome == "applied"
    shop = till.shop
    past = Journal(shop.store.reader(), shop.registry, shop.custody, frozenset(), lambda account, at_us: True, FOREVER)
    world = World(past.programme_of, past.named)
    for happening in past.happenings():
        world.happen(happening)
    assert past.by_article == [1, 30_00]
    assert world.tally.figures.as_json()["coupon_fen"] == 30_00
    assert [lot.amount for lot in world.accounts[1].lots()] == [3], "the coupon itself is not used"
    shop.close()
    there = World(lambda account, at: pack.load(SHOP))
    for one in (Given((0, 1), AT_US, 1, "cup", 1), Sold((0, 2), AT_US, 1, (Line(30_00),), tender="cash", coupons=("cup",))):
        there.happen(one)
    assert there.tally.not_replayed == {"coupons for some articles, which the journal does not name": 1}


def test_cards_that_sleep_have_no_benefits_of_the_same_pack(tmp_path: Path) -> None:
    """L10: what the record's cards were when each sale was made, they are in the supposed shop."""
    lived = LivedIn(tmp_path / "shop", 1)
    till = lived.till
    card = next(number for number, name in lived.cards if name == "mall-vip")
    member = enrol(till, card=card)
    nets = []
    for state in ("suspended", "active"):
        till.done("member_state", payload={"member": member, "state": state})
        sale = Sale("settle", [(100_00, 1)], shortfall_tender="cash")
        nets.append(Settlement.unpack(till.done("settle", card=card, command=sale).body).net_fen)
    assert nets == [100_00, 88_00]
    past = past_of(lived)
    world = World(past.programme_of, past.named, deciding=past.deciding)
    for happening in past.happenings():
        world.happen(happening)
    assert world.tally.figures == past.tally.figures
    assert world.tally.figures.net_fen == sum(nets)
    till.shop.close()
