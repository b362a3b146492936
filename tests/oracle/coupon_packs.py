"""Coupons and gifts of random packs, as TOML text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.oracle.words import CATEGORIES, SKUS

Condition = Callable[[Random], dict[str, object]]
BEARERS = ("store", "counter", "brand", "hq")


def title(zh: str, en: str) -> str:
    return f'title = {{ zh = "{zh}", en = "{en}" }}\n'


def when(choose: Random, tiers: list[str], condition: Condition, *, ticket: bool, counted: bool) -> str:
    """Conditions that are known before anything is paid; `ticket`: there is one to look at."""
    parts: dict[str, object] = {}
    if choose.random() < 0.2:
        parts["tier"] = repr(choose.sample(tiers, choose.randint(1, len(tiers))))
    if choose.random() < (0.15 if ticket else 0.3):
        parts |= {key: value for key, value in condition(choose).items() if key != "tender"}
    if counted and choose.random() < 0.2:
        parts["before"] = '[{ counter = "tickets", max = 2 }]'
    if ticket and choose.random() < 0.1:
        parts |= {"amount_min_fen": choose.choice((100_00, 199_99)), "amount_max_fen": choose.choice((200_00, 10**12))}
    if ticket and choose.random() < 0.2:
        parts["category"] = repr(choose.sample(CATEGORIES, choose.randint(1, 3)))
    if ticket and choose.random() < 0.2:
        parts["sku"] = repr(choose.sample(SKUS, choose.randint(1, 2)))
    if ticket and choose.random() < 0.2:
        parts[choose.choice(("flag", "flag_not"))] = "['special']"
    return "when = { " + ", ".join(f"{key} = {value}" for key, value in parts.items()) + " }\n"


def coupons(choose: Random, tiers: list[str], condition: Condition, *, counted: bool) -> list[str]:
    """A table each, for up to five kinds; two of them often stack."""

    def some(chance: float, text: str) -> str:
        return text if choose.random() < chance else ""

    made = []
    for number in range(choose.choice((1, 2, 3, 5))):
        off, least = choose.choice((1, 5_00, 20_00)), choose.choice((0, 50_00, 100_00))
        text = f'[[coupon]]\nname = "kind-{number}"\n' + title("券", "Coupon")
        text += choose.choice((
            f"off_fen = {off}\n" + (f"spend_min_fen = {least}\n" if least else ""),
            f"off_fen = {off}\neach_fen = {choose.choice((33_33, 200_00))}\n",
            f'rate = "{choose.choice(("8/10", "0/1", "2/3"))}"\n', f"piece = true\npay_fen = {choose.choice((0, 0, 1, 9_90))}\n",
        ))  # fmt: skip
        text += some(0.3, f"max_fen = {choose.choice((1, 10_00, 30_00))}\n") + some(0.3, f"uses = {choose.randint(2, 3)}\n")
        text += some(0.4, f"per_ticket = {choose.randint(2, 4)}\n") + some(0.5, "stackable = true\n") + some(0.3, 'on_refund = "keep"\n')
        text += some(0.2, 'partial_refund = "refused"\n') + f'bearer = "{choose.choice(BEARERS)}"\n'
        text += choose.choice(("", "", 'expires_after = "P7D"\n', 'expires_after = "P1Y"\n')) + some(0.1, 'until = "2040-02-29"\n')
        made.append(text + when(choose, tiers, condition, ticket=True, counted=counted))
    return made


def gifts(choose: Random, tiers: list[str], condition: Condition, kinds: int, *, counted: bool) -> list[str]:
    """Steps of a ladder: things to choose from, and coupons where the pack has `kinds` of them."""
    made = []
    for number in range(choose.choice((0, 1, 2, 3))):
        text = f'[[gift]]\nname = "step-{number}"\n' + title("礼品", "Gift") + f"points = {choose.choice((1, 30, 100))}\n"
        if kinds and choose.random() < 0.5:
            text += f'coupon = "kind-{choose.randrange(kinds)}"\n'
        else:
            text += choose.choice(('items = ["mug"]\n', 'items = ["red", "blue"]\n')) + f"cost_fen = {choose.choice((0, 5_00))}\n"
            text += f'bearer = "{choose.choice(BEARERS)}"\n'
        if choose.random() < 0.4:
            what, per = choose.choice(("times", "units")), choose.choice(("day", "month"))
            text += f'quota = [{{ {what} = {choose.randint(1, 3)}, per = "{per}" }}]\n'
        made.append(text + when(choose, tiers, condition, ticket=False, counted=counted))
    return made
