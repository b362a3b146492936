"""What messages say, in Chinese and English. A template shows facts of `FACTS` and nothing else: no secret can enter one (A6)."""

from __future__ import annotations

import string
from typing import Final

from cardcore.errors import CardcoreError

FACTS: Final = frozenset({"shop", "card", "amount", "balance", "points", "change", "tier", "day", "count"})
"""Names a template may use; `card` is the last four digits, `amount` and `balance` are yuan."""

TEMPLATES: Final[dict[str, dict[str, str]]] = {
    "welcome": {"zh": "【{shop}】欢迎您成为会员。", "en": "{shop}: welcome, you are a member now."},
    "spent": {
        "zh": "【{shop}】您尾号{card}的会员卡消费{amount}元，余额{balance}元，积分{points}。",
        "en": "{shop}: you paid {amount} yuan with card *{card}. Balance {balance} yuan, {points} points.",
    },
    "topped_up": {
        "zh": "【{shop}】您尾号{card}的会员卡充值{amount}元，余额{balance}元。",
        "en": "{shop}: {amount} yuan were paid in to card *{card}. Balance {balance} yuan.",
    },
    "given_back": {
        "zh": "【{shop}】您尾号{card}的会员卡退回{amount}元，余额{balance}元，积分{points}。",
        "en": "{shop}: {amount} yuan were given back to card *{card}. Balance {balance} yuan, {points} points.",
    },
    "transferred": {
        "zh": "【{shop}】您尾号{card}的会员卡转出{amount}元，余额{balance}元。",
        "en": "{shop}: {amount} yuan were moved from card *{card}. Balance {balance} yuan.",
    },
    "points_moved": {
        "zh": "【{shop}】您尾号{card}的会员卡转出{count}积分，剩余{points}积分。",
        "en": "{shop}: {count} points were moved from card *{card}. {points} points are left.",
    },
    "points_end": {
        "zh": "【{shop}】您尾号{card}的会员卡有{count}积分将于{day}到期，请及时使用。",
        "en": "{shop}: {count} points on card *{card} end on {day}.",
    },
    "tier": {"zh": "【{shop}】您的会员等级已变为{tier}。", "en": "{shop}: your tier is now {tier}."},
    "birthday": {"zh": "【{shop}】祝您生日快乐！", "en": "{shop}: happy birthday!"},
    "card_lost": {
        "zh": "【{shop}】您尾号{card}的会员卡已挂失。非本人操作请速与我们联系。",
        "en": "{shop}: card *{card} was reported lost. If this was not you, call us now.",
    },
    "pin_changed": {
        "zh": "【{shop}】您尾号{card}的会员卡密码已修改。非本人操作请速与我们联系。",
        "en": "{shop}: the PIN of card *{card} was changed. If this was not you, call us now.",
    },
    "suspended": {
        "zh": "【{shop}】您已很久没有消费，会员权益暂停，余额不受影响。再次消费即可恢复。",
        "en": "{shop}: your member benefits rest after a long time without a purchase. Your balance stays; the next purchase wakes them.",
    },
}


class BadTemplate(CardcoreError, ValueError):
    """A template of the settings that is unknown, lacks a language or shows what no message may."""

    code = "bad_template"


def check(name: str, texts: dict[str, str]) -> None:
    """Raise BadTemplate unless these texts may replace a template."""
    if name not in TEMPLATES:
        raise BadTemplate(f"there is no template {name!r}; templates are: {', '.join(TEMPLATES)}", template=name)
    for language, text in texts.items():
        try:
            used = [(field, spec, conversion) for _, field, spec, conversion in string.Formatter().parse(text) if field is not None]
        except ValueError as error:
            raise BadTemplate(f"template {name!r}: {error}", template=name) from error
        wrong = [field for field, spec, conversion in used if field not in FACTS or spec or conversion]
        if language not in ("zh", "en") or wrong or not 1 <= len(text) <= 500:
            raise BadTemplate(f"template {name!r} ({language}) shows {', '.join(wrong) or 'too much or nothing'}", template=name)


def render(texts: dict[str, str], language: str, facts: dict[str, str | int]) -> str:
    """The text in a language, Chinese where there is none; a fact that is not there is shown as a dash."""
    shown = {name: str(facts.get(name, "-")) for name in FACTS}
    return texts.get(language, texts["zh"]).format_map(shown)


def yuan(fen: int) -> str:
    """Fen as yuan, exactly."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"
