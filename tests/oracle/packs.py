"""Programmes for the comparison: random packs as TOML text, so that pack, core and oracle all meet odd combinations of rules."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.oracle import coupon_packs
from tests.oracle.words import CAMPAIGNS, CATEGORIES, STORES, TAGS

HEAD = """schema = 1
name = "random"
version = 1
currency = "CNY"
title = {{ zh = "随机", en = "Random" }}
about = {{ zh = "随机", en = "Random" }}
utc_offset = "{offset}"
[limits]
balance_max_fen = {balance_max}
topup_min_fen = {topup_min}
topup_step_fen = {topup_step}
transfer = {transfer}
transfer_points = {transfer_points}
[spend]
order = "{order}"
[pricing]
stacking = "{stacking}"
rounding = "{rounding}"
step_fen = {step}
"""
RATES = ("88/100", "8/10", "1/2", "0/1", "95/100", "2/3", "999/1000", "1/3", "705/1000")


def random_pack(choose: Random, *, given: bool = False) -> str:
    """A valid pack with a bit of everything; `given`: with coupons, and gifts."""
    text = HEAD.format(
        offset=choose.choice(["+08:00", "+00:00", "-05:30", "+14:00"]),
        balance_max=choose.choice([5000_00, 100_000_00, 10**12]),
        topup_min=choose.choice([1, 1, 50_00]),
        topup_step=choose.choice([1, 1, 10_00]),
        transfer=choose.choice(["true", "true", "false"]),
        transfer_points=choose.choice(["true", "true", "false"]),
        order=choose.choice(["expiry", "listed"]),
        stacking=choose.choice(["multiply", "best", "add"]),
        rounding=choose.choice(["half_up", "floor", "ceiling", "half_even"]),
        step=choose.choice([1, 1, 5, 10, 100]),
    )
    tiers = ["standard", "gold", "diamond"][: choose.randint(1, 3)]
    value = purses(choose)
    second = "gift" if '"gift"' in value else "extra"
    counted = choose.random() < 0.6
    middle = (counters(choose) if counted else "") + tier_tables(choose, tiers, counted)
    rules = benefits(choose, tiers, counted) + (happenings(choose, tiers, counted) if choose.random() < 0.7 else "")
    kinds = coupon_packs.coupons(choose, tiers, condition, counted=counted) if given else []
    some = coupon_packs.gifts(choose, tiers, condition, len(kinds), counted=counted) if given else []
    asked = [name for name in CAMPAIGNS if f"'{name}'" in rules + "".join(kinds + some)]
    last = "".join(kinds + some + list(map(campaign, asked)))
    return text + value + AWARDS + middle + rules.replace('"gift"', f'"{second}"') + PRODUCTS + last


def campaign(name: str) -> str:
    """A gift of this name."""
    return f'[[gift]]\nname = "{name}"\n{coupon_packs.title("礼品", "Gift")}points = 100\nitems = ["mug"]\n'


def purses(choose: Random) -> str:
    """Money and points with random ends; entitlements with every kind of bound."""
    end = ['expires_after = "P1Y"', 'expires_after = "P30D"', 'expires_after = "P1M2D"', ""]
    tables = [
        f'[[purse]]\nname = "bonus"\nunit = "fen"\nrole = "bonus"\n{choose.choice(end)}\n',
        f'[[purse]]\nname = "{choose.choice(["gift", "extra"])}"\nunit = "fen"\nrole = "bonus"\n{choose.choice(end)}\n',
        f'[[purse]]\nname = "principal"\nunit = "fen"\nrole = "principal"\n{choose.choice(end)}\n',
        f'[[purse]]\nname = "points"\nunit = "points"\nrole = "points"\n{choose.choice(end)}\n',
    ]
    choose.shuffle(tables)
    covers = choose.choice(['"massage"', '"massage"', '"massage", "course"'])
    visits = f'[[purse]]\nname = "massage"\nunit = "visits"\nrole = "entitlement"\ncovers = [{covers}]\n{choose.choice(end)}\n'
    one_pass = '[[purse]]\nname = "year"\nunit = "pass"\nrole = "entitlement"\ncovers = ["gym"]\nexpires_after = "P1Y"\n'
    one_pass += f"per_day = {choose.randint(1, 3)}\n"
    if choose.random() < 0.5:
        one_pass += 'from = "first_use"\n'
    course = '[[purse]]\nname = "course"\nunit = "visits"\nrole = "entitlement"\ncovers = ["course"]\nexpires_after = "P6M"\n'
    course += choose.choice(["", "per_day = 1\n", "per_day = 2\n", "min_gap_days = 7\n", "min_gap_days = 2\nper_day = 1\n"])
    return "".join(tables) + visits + one_pass + course


def tier_tables(choose: Random, tiers: list[str], counted: bool) -> str:
    text = ""
    if len(tiers) > 1 and choose.random() < 0.5:
        per, fall = choose.choice(("month", "quarter", "year")), choose.choice(("one", "balance"))
        text += f'[review]\nper = "{per}"\nfall = "{fall}"\nreturns = "{choose.choice(("at-once", "at-review"))}"\n'
    for index, name in enumerate(tiers):
        text += f'[[tier]]\nname = "{name}"\n'
        if index:
            if counted and choose.random() < 0.4:
                text += f'counter = "spent"\ncounter_min = {index * 700_00}\n'
                continue
            measure = choose.choice(["spend_min_fen", "orders_min", "points_min"])
            text += f"{measure} = {index * {'spend_min_fen': 3000_00, 'orders_min': 4, 'points_min': 500}[measure]}\n"
    return text


def benefits(choose: Random, tiers: list[str], counted: bool) -> str:
    out = []

    def when(*, after: bool = False, **more: object) -> str:
        parts = {key: value for key, value in more.items() if value is not None}
        if choose.random() < 0.3:
            parts["tier"] = repr(choose.sample(tiers, choose.randint(1, len(tiers))))
        if choose.random() < 0.2:
            low = choose.choice([0, 100_00, 199_99, 200_00])
            parts |= {"amount_min_fen": low, "amount_max_fen": low + choose.choice([0, 1, 1000_00, 10**12])}
        if choose.random() < 0.35:
            parts |= condition(choose)
        if counted and choose.random() < 0.25:
            parts |= about_counters(choose, after=after)
        return "when = { " + ", ".join(f"{key} = {value}" for key, value in parts.items()) + " }\n"

    def category() -> str | None:
        return repr(choose.sample(CATEGORIES, choose.randint(1, 3))) if choose.random() < 0.4 else None

    for _ in range(choose.choice((0, 1, 2, 3, 3, 5))):
        wanted = choose.choice((None, None, None, "['member-only']"))
        unwanted = choose.choice((None, None, "['member-only']")) if wanted is None else None
        out.append(
            quota(choose, counted, units=False)
            + when(category=category(), flag=wanted, flag_not=unwanted)
            + f'then = {{ discount = "{choose.choice(RATES)}" }}\n'
        )
    for _ in range(choose.randint(0, 3)):
        base = choose.sample(["principal", "bonus", "outside", "further"], choose.randint(1, 4))
        out.append(
            quota(choose, counted, units=True)
            + when(after=True, category=category(), flag_not=choose.choice((None, None, "['special']")))
            + f'then = {{ accrue = "points", amount = {choose.choice([1, 10, 25])}, per_fen = {choose.choice([1, 100, 10_00, 100_00])}, '
            f'multiplier = "{choose.choice(["1/1", "2/1", "3/2", "1/3"])}", base = {base!r} }}\n'
        )
    if choose.random() < 0.6:
        out.append(
            quota(choose, counted, units=True)
            + when(after=True, earned_min=choose.choice([1, 55, 200]))
            + 'then = { grant = "points", amount = 10 }\n'
        )
    for _ in range(choose.randint(0, 2)):
        purse, amount, per = choose.choice(["bonus", "gift"]), choose.choice([1, 20_00, 200_00]), choose.choice([100_00, 1000_00])
        rule = f'then = {{ grant = "{purse}", amount = {amount}, per_fen = {per} }}\n'
        out.append(quota(choose, counted, units=True) + when(after=True) + rule)
    out += gives(choose, tiers, counted, category, when) if choose.random() < 0.7 else []
    if choose.random() < 0.8:
        units, worth = choose.choice([(100, 1_00), (1, 1_00), (10, 1_00), (3, 7)])
        share = choose.choice(["1/1", "1/2", "1/3"])
        out.append(when() + f'then = {{ deduct = "points", units = {units}, worth_fen = {worth}, max_share = "{share}" }}\n')
    if choose.random() < 0.7:
        every = choose.choice(["", ", every = { units = 500, price_fen = 200_00 }"])
        out.append(
            when(category=category())
            + 'then = { redeem = "points", ladder = [{ units = 100, price_max_fen = 200_00 }, { units = 150, price_max_fen = 400_00 }]'
            + every
            + " }\n"
        )
    choose.shuffle(out)
    ruled = [ranked(choose, group="{ cap = " not in rule) + rule for rule in out]
    text = "".join(f'[[benefit]]\nname = "rule {index}"\n{rule}' for index, rule in enumerate(ruled))
    if counted and choose.random() < 0.6:
        step, points = choose.choice((100_00, 500_00, 33_33)), choose.choice((1, 100))
        text += f'[[benefit]]\nname = "steps"\nthen = {{ grant = "points", amount = {points}, each = {step}, counter = "spent" }}\n'
    return text


def gives(choose: Random, tiers: list[str], counted: bool, category: Callable[[], str | None], when: Callable[..., str]) -> list[str]:
    """What a sale or a top-up gives besides points, and what bounds it."""
    out = []

    def some(chance: float) -> bool:
        return choose.random() < chance

    for _ in range(choose.choice((0, 1, 1, 2))):
        base = choose.sample(["principal", "bonus", "outside", "further"], choose.randint(1, 4))
        share, most = choose.choice(("2/100", "1/3", "1/1")), choose.choice(("", "", ", max_fen = 50_00"))
        rule = f'then = {{ rebate = "{choose.choice(["bonus", "gift"])}", share = "{share}", base = {base!r}{most} }}\n'
        out.append(quota(choose, counted, units=True) + when(after=True, category=category()) + rule)
    for thing in choose.sample(("bonus", "gift", "massage", "course", "year", "tea", "mug"), choose.randint(0, 3)):
        per = choose.choice(("", ", per_fen = 33_33")) if thing != "year" else ""
        end = choose.choice(("", ', expires_after = "P7D"')) if thing not in ("tea", "mug") else ""
        rule = f'then = {{ grant = "{thing}", amount = {1 if thing == "year" else choose.randint(1, 300)}{per}{end} }}\n'
        verb = '"topup"' if some(0.2) and thing not in ("bonus", "gift") else '"settle"'
        about = None if verb == '"topup"' else category()
        out.append(quota(choose, counted, units=thing != "year") + when(after=True, verb=verb, category=about) + rule)
    for _ in range(choose.choice((0, 0, 1, 2))):
        purse, per = choose.choice(("points", "bonus", "gift")), choose.choice(("ticket", "day", "month", "life"))
        out.append(when() + f'then = {{ cap = "{purse}", amount = {choose.choice((0, 1, 50, 2000))}, per = "{per}" }}\n')
    out += [
        quota(choose, counted, units=False)
        + when(flag_not=choose.choice((None, "['special']"))) + f"then = {{ waive = {choose.sample(CATEGORIES, 2)!r} }}\n"
        for _ in range(choose.choice((0, 0, 0, 1, 2)))
    ]  # fmt: skip
    if len(tiers) > 1 and some(0.4):
        verb, per = choose.choice(('"topup"', '"settle"')), choose.choice(("day", "month", "life"))
        rule = f'then = {{ promote = "{choose.choice(tiers[1:])}", per = "{per}" }}\n'
        out.append(quota(choose, counted, units=False) + when(verb=verb, amount_min_fen=choose.choice((None, 500_00))) + rule)
    if counted and some(0.4):
        rule = f'then = {{ score = "score", amount = {choose.randint(1, 20)}{choose.choice(("", ", per_fen = 10_00"))} }}\n'
        out.append(quota(choose, counted, units=True) + when(after=True, category=category()) + rule)
    return out


EVENTS = ("check-in", "task", "friend", "month")


def happenings(choose: Random, tiers: list[str], counted: bool) -> str:
    """Rules for what happens without a sale, and draws."""

    def when(**more: object) -> str:
        parts = {"event": repr(choose.sample(EVENTS, choose.randint(1, 3)))} | more
        if choose.random() < 0.3:
            parts["tier"] = repr(choose.sample(tiers, choose.randint(1, len(tiers))))
        if choose.random() < 0.2:
            parts |= condition_of_event(choose)
        if counted and choose.random() < 0.25:
            parts |= {"nth": '{ counter = "visits-run", every = 2 }'}
        return "when = { " + ", ".join(f"{key} = {value}" for key, value in parts.items()) + " }\n"

    purse = choose.choice(("bonus", "gift"))
    some = [
        when() + f'then = {{ accrue = "points", amount = {choose.choice((1, 10))}, per_fen = 10_00 }}\n',
        when() + 'then = { grant = "points", amount = 7 }\n',
        when() + f'then = {{ grant = "{choose.choice(("points", "massage", "tea", purse))}", amount = {choose.randint(1, 50)} }}\n',
        when() + f'then = {{ grant = "{purse}", amount = 1_00, per_fen = 33_33 }}\n',
        when() + 'then = { draw = "points", units = 50, prizes = [{ weight = 1, grant = "bonus", amount = 5_00 }, '
        '{ weight = 2, grant = "tea", amount = 1 }, { weight = 3 }] }\n',
        when(verb='"event"') + f'then = {{ cap = "{choose.choice(("points", purse))}", amount = 60, per = "month" }}\n',
    ]
    if len(tiers) > 1:
        some.append(when() + f'then = {{ promote = "{choose.choice(tiers[1:])}", per = "year" }}\n')
    if counted:
        some.append(when() + f'then = {{ score = "score", amount = {choose.randint(1, 20)} }}\n')
        some.append(f'then = {{ rebate = "{purse}", share = "1/50", counter = "quarter", returns = 1 }}\n')
    text = ""
    for index, rule in enumerate(choose.sample(some, choose.randint(1, 5))):
        bare = any(word in rule for word in (" cap = ", " draw = ", " returns = "))
        bound = "" if bare else quota(choose, counted, units=False)
        text += f'[[benefit]]\nname = "event {index}"\n' + ranked(choose, group=not bare) + bound + rule
    return text


def condition_of_event(choose: Random) -> dict[str, object]:
    """Conditions that hold of events, too."""
    some: dict[str, object] = {
        "points_end": choose.choice((0, 5)), "birthday": '"month"', "tag": repr(choose.sample(TAGS, 2)),
        "day": repr(choose.sample(range(1, 32), 20)), "amount_min_fen": 50_00,
    }  # fmt: skip
    key = choose.choice(sorted(some))
    return {key: some[key]}


AWARDS = """[[award]]
name = "tea"
expires_after = "P30D"
[[award]]
name = "mug"
kind = "gift"
"""
COUNTED = """
[[counter]]
name = "tickets"
counts = "tickets"
per = "{per}"
[[counter]]
name = "spent"
counts = "paid"
per = "{other}"
{category}
[[counter]]
name = "pieces"
counts = "quantity"
per = "day"
last = 3
category = ["food", "toys"]
[[counter]]
name = "run"
counts = "tickets"
per = "day"
streak = true
[[counter]]
name = "earned"
counts = "points"
per = "month"
last = 2
[[counter]]
name = "topups"
counts = "topups"
per = "life"
[[counter]]
name = "charged"
counts = "charged"
per = "month"
[[counter]]
name = "score"
counts = "score"
per = "year"
[[counter]]
name = "visits-run"
counts = "events"
event = ["check-in", "task"]
per = "day"
streak = true
[[counter]]
name = "quarter"
counts = "paid"
per = "quarter"
[[counter]]
name = "happened"
counts = "events"
event = ["friend"]
per = "month"
"""


def counters(choose: Random) -> str:
    periods = ("day", "week", "month", "quarter", "year", "life")
    return COUNTED.format(
        per=choose.choice(periods), other=choose.choice(periods), category=choose.choice(("", "", 'category = ["cloth", "food"]'))
    )


def about_counters(choose: Random, *, after: bool) -> dict[str, str]:
    """A condition about what was before, about the number of the ticket or top-up, or (once it is paid) about what there is now."""
    some = {
        "before": choose.choice(
            ('[{ counter = "tickets", max = 2 }]', '[{ counter = "run", min = 1 }]', '[{ counter = "pieces", min = 2, max = 9 }]')
        ),
        "nth": choose.choice(('{ counter = "tickets", every = 2 }', '{ counter = "run", every = 2 }', '{ counter = "topups", at = 1 }')),
    }
    if after:
        some["reached"] = choose.choice(('[{ counter = "spent", min = 200_00 }]', '[{ counter = "charged", min = 1000_00 }]'))
    key = choose.choice(sorted(some))
    return {key: some[key]}


def quota(choose: Random, counted: bool, *, units: bool) -> str:
    """Now and then a bound or two on what a rule gives one account."""
    if not counted or choose.random() < 0.6:
        return ""
    bounds = [f'{{ times = {choose.randint(1, 3)}, per = "{choose.choice(("day", "month", "life"))}" }}']
    if units:
        bounds.append(f'{{ units = {choose.choice((1, 50, 25_000))}, per = "{choose.choice(("day", "week", "year"))}" }}')
    return f"quota = [{', '.join(choose.sample(bounds, choose.randint(1, len(bounds))))}]\n"


def ranked(choose: Random, *, group: bool) -> str:
    """Now and then a priority, an exclusive group, or both."""
    return (f"priority = {choose.randint(-2, 2)}\n" if choose.random() < 0.3 else "") + (
        f'exclusive = "{choose.choice(("one", "two"))}"\n' if group and choose.random() < 0.3 else ""
    )


def condition(choose: Random) -> dict[str, object]:
    """One or two conditions besides tier, category and amount, which hold often enough to matter."""
    some: dict[str, object] = {
        "weekday": repr(choose.sample(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], choose.randint(1, 5))),
        "day": repr(choose.sample(range(1, 32), 15)), "month": repr(choose.sample(range(1, 13), 6)),
        "hour": repr(choose.sample(range(24), 12)), "from": f'"20{choose.randint(26, 45)}-02-28"',
        "until": f'"20{choose.randint(45, 60)}-12-31"',
        "birthday": choose.choice(('"day"', '"month"')), "store": repr(choose.sample(STORES, 2)), "unit": '["east"]',
        "channel": '["store", "app"]', "tender": '["cash"]', "tag": repr(choose.sample(TAGS, 2)), "tag_not": repr(choose.sample(TAGS, 1)),
        "stock": repr(choose.sample(CAMPAIGNS, choose.randint(1, 2))),
    }  # fmt: skip
    return {key: some[key] for key in choose.sample(sorted(some), choose.choice((1, 1, 2)))}


PRODUCTS = """
[[product]]
name = "massage-10"
price_fen = 1000_00
grants = [{ purse = "massage", amount = 10 }]
[[product]]
name = "year"
price_fen = 2980_00
grants = [{ purse = "year", amount = 1 }]
[[product]]
name = "bundle"
price_fen = 100_01
grants = [{ purse = "course", amount = 3, expires_after = "P40D" }, { purse = "massage", amount = 4 }]
"""
