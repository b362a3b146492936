"""A first draft of a new pack: the shipped pack of a card kind under a new name, with its comments, ready to be edited and checked."""

from __future__ import annotations

import re
from typing import Final

from cardcore.errors import InvalidPack
from cardcore.settlement import pack as packs

KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "C01": ("cash-off", "积分卡", "points"),
    "C02": ("discount-card", "折扣卡", "discount"),
    "C03": ("rebate-card", "返利卡", "rebate"),
    "C04": ("stored-value", "储值卡", "stored value"),
    "C05": ("count-card", "计次卡", "count"),
    "C06": ("time-card", "时限卡", "time"),
    "C07": ("package-card", "套餐卡", "package"),
    "C08": ("trial-card", "体验卡", "trial"),
    "C09": ("course-card", "疗程卡", "treatment course"),
    "C10": ("deduction-card", "抵扣卡", "deduction"),
    "C11": ("gift-card", "礼品卡", "gift card"),
    "C12": ("mall-vip", "会员卡", "member card"),
    "C13": ("special-card", "特定卡", "special card"),
    "C14": ("staff-card", "员工卡", "staff card"),
    "C15": ("offer-card", "电子优惠卡", "offer card"),
    "C16": ("alliance", "联盟卡", "alliance card"),
    "C17": ("media-card", "多介质卡", "several media"),
    "C18": ("purse-card", "电子钱包卡", "value on the card"),
    "C19": ("no-dealers", "除外持卡人", "excluded holders"),
}
"""Card kind -> the shipped pack that is it, and its name in both languages."""


def draft(text: str, kind: str, name: str, title_zh: str, title_en: str) -> str:
    """The pack `text` of a kind as a new pack. Raises InvalidPack for a name or title that no pack can have."""
    body = text.splitlines()
    while body and body[0].startswith("#"):
        del body[0]
    zh, en = KINDS[kind][1:]
    head = [
        f"# {title_zh}:{zh}({kind})。改这里的两句话、下面的名称和数字,就是一张新卡。",
        "# 每改一次用 cardcore scheme check 检查;发布后的版本不再改动,修改就把 version 加一。",
        f"# {title_en}: {en} ({kind}). Change these sentences, the names and the numbers below, and it is a new card.",
        "# Check it with cardcore scheme check after each change; what is published never changes, a change raises version by one.",
    ]
    made = "\n".join([*head, *body]) + "\n"
    for key, value in (("name", _quoted(name)), ("version", "1"), ("title", f"{{ zh = {_quoted(title_zh)}, en = {_quoted(title_en)} }}")):
        made = re.sub(rf"(?m)^{key} = .*$", lambda _, line=f"{key} = {value}": line, made, count=1)  # type: ignore[misc]
    problems = packs.check(made)
    if problems:
        raise InvalidPack(problems[0].reason, problems=[problem._asdict() for problem in problems])
    return made


def _quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
