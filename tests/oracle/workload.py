"""Commands from a seed: random and boundary amounts over every verb, driven into a `Pair`."""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

from tests.oracle.model import COUPON, COVER, MEMBER_ONLY, NO_DISCOUNT, REDEEM, SPECIAL_PRICE
from tests.oracle.pair import Entry, Pair
from tests.oracle.sale import Item, Order
from tests.oracle.words import CAMPAIGNS, CATEGORIES, SKUS, STORES, TAGS

EDGES = (
    0, 1, 2, 5, 9, 10, 33, 50, 99, 100, 101, 199_99, 200_00, 200_01, 400_00, 400_01, 550_00, 559_00, 600_00, 600_01, 999_99, 1000_00,
    1000_01, 5000_00,
)  # fmt: skip
SECONDS = (0, 1, 59, 3600, 86_399, 86_400, 86_401, 2 * 86_400, 7 * 86_400, 30 * 86_400, 31 * 86_400, 365 * 86_400)
COUNTERS = ((1, 1), (1, 1), (8, 10), (88, 100), (1, 3), (0, 1), (9999, 10000))


def amount(choose: Random) -> int:
    return choose.choice(EDGES) if choose.random() < 0.5 else choose.randint(0, 700_00)


def item(choose: Random, covered: list[str]) -> Item:
    """A line; `covered` are the categories that entitlements on the card would pay for."""
    flags = choose.choice((0,) * 17 + (SPECIAL_PRICE, NO_DISCOUNT, MEMBER_ONLY, REDEEM, COVER))
    if covered and choose.random() < 0.3:
        flags = COVER
    line = Item(amount(choose), category=choose.choice((*CATEGORIES, "", "unheard of")), flags=flags)
    if flags == COVER:
        line.category = choose.choice(covered if covered and choose.random() < 0.85 else ("massage", "gym", "course", "food"))
        line.quantity = choose.choice((1, 1, 1, 2, 3))
    elif flags != REDEEM or choose.random() < 0.02:
        line.quantity = choose.choice((1, 1, 2, 5))
        line.counter = choose.choice(COUNTERS)
        if choose.random() < 0.15:
            line.discount = choose.choice((1, 5_00, line.amount // 2))
        if choose.random() < 0.15:
            line.coupon = choose.choice((1, 5_00, line.amount // 3))
        if choose.random() < 0.9:  # mostly within what is left of the line
            most = line.amount * line.counter[0] // line.counter[1] // 3
            line.discount, line.coupon = min(line.discount, most), min(line.coupon, most)
    if choose.random() < 0.005:
        line.flags = choose.randrange(32)
    return line


def order(choose: Random, pair: Pair, card: int) -> Order:
    rules = pair.rules[card]
    covered = [rules["categories"][c] for lot in pair.mine[card + 1].lots.values() for c in rules["purses"][lot.purse]["covers"]]
    verb = choose.choice(("quote", "settle", "settle", "settle", "settle", "settle", "hold", "hold"))
    made = Order(verb, [item(choose, covered) for _ in range(choose.choice((1, 1, 1, 2, 3, 5)))])
    made.points = choose.choice((0,) * 10 + (-1, -1, -1, -1, -1, 100, choose.randint(1, 500)))
    made.tender = choose.choice(("", "cash", "cash", "bank"))
    made.tender_max = choose.choice((-1, -1, -1, 0, 100_00))
    made.stored_max = choose.choice((-1, -1, -1, -1, 0, 1, 50_00))
    made.hold_seconds = choose.choice((1, 86_400, 90 * 86_400, 365 * 86_400)) if verb == "hold" else 0
    made.coupons = named_coupons(choose, pair, card)
    if made.coupons and choose.random() < 0.8:  # goods that a coupon takes something off, which somebody pays for
        made.items = [goods(choose) for _ in made.items]
        made.tender, made.tender_max = "cash", -1
    return made


def goods(choose: Random) -> Item:
    """A plain line of some worth."""
    worth = choose.choice((1, 33_33, 50_00, 99_99, 100_00, 100_01, 400_00, choose.randint(1, 700_00)))
    return Item(worth, choose.choice((1, 1, 2, 5)), choose.choice(CATEGORIES), sku=choose.choice(("", *SKUS)))


def named_coupons(choose: Random, pair: Pair, card: int) -> tuple[str | int, ...]:
    """Mostly what is on the card, by kind or by lot, some twice; now and then what is not."""
    names = [terms["name"] for terms in pair.rules[card]["coupons"]]
    there = list(pair.mine[card + 1].coupons.values())
    if not names or choose.random() < (0.15 if there else 0.97):
        return ()
    known: list[str | int] = [choose.choice((lot.lot_id, names[lot.purse - COUPON])) for lot in there if lot.alive(pair.now)]
    if not known or choose.random() < 0.1:
        known = [*names, "no-such", 10**6, choose.randint(1, 50)]
    return tuple(choose.choice(known) for _ in range(choose.choice((1, 1, 1, 2, 2, 3, 5))))


def earlier(choose: Random, pair: Pair, kinds: tuple[str, ...]) -> Entry | None:
    """A recent entry of one of these kinds, mostly one that still has something to undo."""
    found = [entry for entry in list(pair.entries.values())[-20:] if entry.settlement.verb in kinds]
    fresh = [entry for entry in found if not entry.reversed and not (entry.ticket and entry.ticket.closed)]
    if fresh and choose.random() < 0.85:
        found = fresh
    return choose.choice(found) if found else None


def facts(choose: Random, at_us: int) -> dict[str, Any] | None:
    """Nothing, or a place and a member whose birthday is near or far."""
    if choose.random() < 0.2:
        return None
    near = dt.datetime.fromtimestamp(at_us // 1_000_000 + choose.choice((0, 0, 0, 86_400, -86_400)), dt.UTC)
    return {
        "birthday": choose.choice((None, (near.month, near.day), (near.month, 31), (2, 29), (12, 1))),
        "tags": choose.sample(TAGS, choose.randint(0, 3)), "stock": choose.sample(CAMPAIGNS, choose.randint(0, 2)),
        "store": choose.choice((*STORES, "")), "unit": choose.choice(("east", "west")), "channel": choose.choice(("store", "web", "")),
    }  # fmt: skip


def gives(rules: dict[str, Any]) -> bool:
    """Whether a pack has coupons, or gifts that are there to be had: those of a random pack without coupons only stand for campaigns."""
    return bool(rules["coupons"] or (rules["gifts"] and rules["name"] != "random"))


def step(choose: Random, pair: Pair) -> str:
    """One command; answers what became of it ("" when there was nothing to name)."""
    pair.at_us += choose.choice(SECONDS if choose.random() < 0.3 else (0, 0, 1, 60)) * 1_000_000 + choose.randrange(1_000_000)
    pair.facts = facts(choose, pair.at_us)
    cards = len(pair.core)
    card = choose.randrange(cards)
    dice = choose.random()
    if choose.random() < 0.12:
        return step_card(choose, pair, card)
    if gives(pair.rules[card]) and choose.random() < (0.12 if pair.mine[card + 1].coupons else 0.3):
        return step_coupon(choose, pair, card)
    if pair.position >= 3 * cards and choose.random() < 0.12:
        return step_event(choose, pair, card)
    if pair.position < 3 * cards:  # first some value on the cards
        dice = choose.choice((0.5, 0.5, 0.61))
    if dice < 0.40:
        others = [other for other in range(cards) if other != card]
        further = choose.sample(others, choose.choice((0, 0, 0, 1, min(2, len(others)))))
        return pair.sell(card, order(choose, pair, card), further)[0]
    if dice < 0.55:
        if choose.random() < 0.3:
            product, price = choose.choice(
                (("massage-10", 1000_00),) * 3 + (("year", 2980_00),) * 4 + (("bundle", 100_01),) * 4 + (("bundle", 100_00), ("no", 1))
            )
            return pair.top_up(card, price, product)[0]
        return pair.top_up(card, choose.choice((1, 49_99, 50_00, 100_00, 999_99, 1000_00, 2500_00, 5000_00, choose.randint(1, 300_000))))[0]
    if dice < 0.60:
        if choose.random() < 0.4:
            return pair.transfer(card, choose.randrange(cards), choose.choice((1, 100, choose.randint(1, 5_000))), "points")[0]
        return pair.transfer(card, choose.randrange(cards), choose.choice((1, 99_99, choose.randint(1, 100_000))))[0]
    if dice < 0.66:
        names = [purse["name"] for purse in pair.rules[card]["purses"]]
        purse = choose.choice(names * 4 + ["points"] * 20 + ["no-such"])
        return pair.adjust(
            card, purse, choose.choice((1, 1000, 1000, -1, -50, choose.randint(1, 3000), choose.randint(1, 3000), -choose.randint(1, 3000)))
        )[0]
    if dice < 0.70:
        return pair.expire(card)[0]
    return step_back(choose, pair, dice)


def step_coupon(choose: Random, pair: Pair, card: int) -> str:
    """Coupons for a card, points for a gift, or one of these taken back."""
    kinds = [terms["name"] for terms in pair.rules[card]["coupons"]]
    gifts = pair.rules[card]["gifts"]
    dice = choose.random()
    if dice < 0.15 and (entry := earlier(choose, pair, ("give", "redeem"))):
        return pair.reverse(entry, unused=entry.settlement.verb == "give" and choose.random() < 0.5)[0]
    if kinds and dice < 0.65:
        ends = choose.choice((0, 0, 0, 0, 0, 0, pair.now, pair.now + 1, pair.now + 30 * 86_400))
        return pair.give(card, choose.choice(kinds * 10 + ["no-such"]), choose.choice((1, 2, 3, 5)), ends)[0]
    if not gifts:
        return ""
    gift = choose.choice(gifts)
    item = choose.choice(gift["items"] or ("",)) if choose.random() < 0.95 else "no-such"
    return pair.exchange(card, gift["name"] if choose.random() < 0.95 else "no-such", item, choose.choice((1, 1, 1, 2, 3)))[0]


def step_event(choose: Random, pair: Pair, card: int) -> str:
    """Something that happens without a sale: what the pack asks for, mostly."""
    if choose.random() < 0.2:
        return pair.review(card)[0]
    if choose.random() < 0.15 and (entry := earlier(choose, pair, ("event",))):
        return pair.reverse(entry)[0]
    rules = pair.rules[card]
    names = [word for predicate in rules["predicates"] if predicate["kind"] == "event" for word in predicate["values"]]
    names += [word for counter in rules["counters"] for word in counter.get("events", ())]
    name = choose.choice(names) if names and choose.random() < 0.95 else "unheard of"
    return pair.event(card, name, choose.choice((0, 0, amount(choose))), choose.choice((0, choose.getrandbits(62), (1 << 62) - 1)))[0]


def step_card(choose: Random, pair: Pair, card: int) -> str:
    """A command about the card's own memory."""
    amount = choose.choice((1, 50_00, choose.randint(1, 200_00)))
    entry = earlier(choose, pair, ("load", "unload", "pay"))
    match choose.randrange(7):
        case 0:
            return pair.load(card, amount, choose.choice(("", "", "cash")))[0]
        case 1:
            return pair.unload(card, amount)[0]
        case 2:
            return pair.clear(card, amount)[0]
        case 3:
            return pair.pay(card, amount)[0]
        case _:
            return pair.prove(entry, arrived=choose.random() < 0.7)[0] if entry else pair.load(card, amount, "cash")[0]


def step_back(choose: Random, pair: Pair, dice: float) -> str:
    """A command that names an earlier entry, now and then of the wrong kind."""
    if dice < 0.78:
        entry = earlier(choose, pair, ("hold",))
        if entry is None or entry.ticket is None:
            return ""
        net = entry.ticket.net
        match choose.randrange(6):
            case 0:
                return pair.void(entry)[0]
            case 1:
                return pair.lapse(entry)[0]
            case 2:
                return pair.capture(entry, choose.randint(0, net + 1))[0]
            case _:
                return pair.capture(entry, choose.choice((-1, net, max(0, net - 1), net // 2)))[0]
    if dice < 0.93:
        entry = earlier(choose, pair, ("settle", "capture"))
        if entry is None or entry.ticket is None:
            return ""
        left = entry.ticket.net - entry.ticket.returned
        match choose.randrange(5):
            case 0:
                return pair.void(entry)[0]
            case 1:
                return pair.refund(entry)[0]
            case 2:
                count = len(entry.ticket.lines)
                return pair.refund(entry, lines=tuple(choose.sample(range(count), choose.randint(1, count))))[0]
            case _:
                return pair.refund(entry, max(1, choose.choice((1, left, left + 1, left // 2, choose.randint(1, left + 1)))))[0]
    entry = earlier(choose, pair, ("topup", "topup", "transfer", "adjust"))
    return pair.reverse(entry)[0] if entry else ""
