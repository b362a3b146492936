"""Line `rules`: what a decision costs by how many rules its pack has. 200 rules may take at most five times as long as 10.

The rules are of the kinds that packs mix: discounts, accruals, grants and rebates that ask for category, calendar, amounts and counters.
Few of them apply, as on most days of a shop's year: what is measured is looking.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from cardcore.settlement import Account, Programme, Sale, Settlement, Snapshot, decide, pack
from cardcore.settlement import Line as TicketLine

from .harness import Line, Options, Subject, Target, as_line
from .line_core import AT_US, nanoseconds

FEW, MANY = 10, 200
HEAD = """schema = 1
name = "many"
version = 1
currency = "CNY"
title = { zh = "多规则", en = "Many rules" }
about = { zh = "多规则", en = "Many rules" }
utc_offset = "+08:00"
[[purse]]
name = "points"
unit = "points"
role = "points"
[[purse]]
name = "rebates"
unit = "fen"
role = "bonus"
[[counter]]
name = "month"
counts = "paid"
per = "month"
"""
KINDS = (
    ('category = ["c{n}"], amount_min_fen = {n}_00', 'discount = "9/10"'),
    ("day = [{day}], month = [{month}]", 'accrue = "points", amount = 1, per_fen = 1_00, base = ["outside"]'),
    ('before = [{{ counter = "month", min = {n}_000_000 }}]', 'discount = "95/100"'),
    ("amount_min_fen = {n}_000_00, weekday = ['sun']", 'grant = "points", amount = 10'),
    ('category = ["c{n}"]', 'rebate = "rebates", share = "1/100", base = ["outside"]'),
)


def programme(rules: int) -> Programme:
    """A pack of so many rules, a fifth of each kind."""
    text = HEAD
    for n in range(rules):
        when, then = KINDS[n % len(KINDS)]
        values = {"n": n + 1, "day": n % 28 + 1, "month": n % 12 + 1}
        text += f'[[benefit]]\nname = "rule {n}"\nwhen = {{ {when.format(**values)} }}\nthen = {{ {then} }}\n'
    return pack.load(text)


def decider(rules: int) -> Callable[[], Settlement]:
    """A ticket of three lines under a pack of so many rules."""
    snapshot = Snapshot(programme(rules), Account(1))
    goods = [TicketLine(120_00, category="c1"), TicketLine(60_00, 2), TicketLine(30_00, category="c5")]
    sale = Sale("settle", goods, shortfall_tender="cash")
    return lambda: decide(snapshot, sale, AT_US)


def rules(options: Options) -> AbstractContextManager[Line]:
    """One settle decision by the number of rules."""
    seconds = options.seconds(0.35, 0.12)
    subjects = [Subject(f"decision with {count} rules", "ns", nanoseconds(decider(count), seconds)) for count in (FEW, MANY)]
    targets = [Target("200 rules vs 10", subjects[1].name, subjects[0].name, 5, ratio="cost")]
    notes = ["conditions of every kind, counters read, nearly all rules looked at and not met; explanation off"]
    return as_line(Line("rules", "what a decision costs by how many rules its pack has", subjects, targets, notes))
