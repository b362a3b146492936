"""A programme pack as a contract that a merchant can read and sign: plain sentences made from what the pack means, not from its comments.

Every number of the pack is in it, and nothing that is not in the pack; a test holds it to that. Defaults that bind the customer
(rounding, order of spending) are told; those that bind nobody are not.
"""

from __future__ import annotations

import tomllib
from typing import Any, NamedTuple

from cardapi.people.policy import MembershipPolicy, membership_policy
from cardapi.plans.conditions import COUNTED
from cardapi.plans.effects import rule_sentence
from cardapi.plans.offers import coupon_sentences, gift_sentences
from cardapi.plans.words import UNBOUNDED, Words
from cardcore.settlement import pack as packs

Normalised = dict[str, Any]


class Section(NamedTuple):
    """One chapter of a contract."""

    title: str
    sentences: list[str]


class Contract(NamedTuple):
    """A pack in one language."""

    title: str
    about: str
    sections: list[Section]


def contract(text: str | bytes, language: str) -> Contract:
    """The contract of a valid pack, in "zh" or "en". Raises InvalidPack."""
    pack = packs.normalise(text)
    document = tomllib.loads(text if isinstance(text, str) else text.decode())
    words = Words(language)
    sections = [
        Section(words("卡与版本", "The card"), _card(pack, words)),
        Section(words("卡里能放什么", "What the card holds"), [_purse(pack, purse, words) for purse in pack["purses"]]),
        Section(words("充值与余额", "Top-ups and balance"), _limits(pack, words)),
        Section(words("入会", "Membership"), _membership(membership_policy(document), words) if "membership" in document else []),
        Section(words("计数", "What is counted"), [_counter(pack, one, words) for one in pack["counters"] if one["counts"] != "quota"]),
        Section(words("等级", "Tiers"), [_tier(pack, tier, words) for tier in pack["tiers"]] if "tier" in document else []),
        Section(words("等级复核", "Reviews"), _review(pack, words)),
        Section(words("奖励与排名", "Awards and rankings"), _awards(pack, words)),
        Section(words("优惠", "Benefits"), [_benefit(pack, rule, words) for rule in pack["rules"]]),
        Section(words("优惠券", "Coupons"), coupon_sentences(pack, words)),
        Section(words("积分兑换的礼品", "What points buy"), [*gift_sentences(pack, words), *_points_budget(pack, words)]),
        Section(words("价格怎么算", "How prices are made"), _pricing(pack, words)),
        Section(words("出售的次卡、套餐与期卡", "What is sold"), [_product(pack, product, words) for product in pack["products"]]),
    ]
    told = document["title"][language], document["about"][language]
    return Contract(*told, [section for section in sections if section.sentences])


def _card(pack: Normalised, words: Words) -> list[str]:
    sign, seconds = ("-" if pack["utc_offset_s"] < 0 else "+"), abs(pack["utc_offset_s"])
    zone = f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    card = pack["card"]
    said = [
        words(
            f"方案“{pack['name']}”第 {pack['version']} 版,币种 {pack['currency']},日期按 UTC{zone} 计算。",
            f'Programme "{pack["name"]}", version {pack["version"]}, in {pack["currency"]}; days begin at midnight of UTC{zone}.',
        )
    ]
    if not card["member"]:
        said.append(
            words("这不是会员卡:不积分、无等级、无会员优惠。", "This is no member card: it has no points, no tier and no benefits.")
        )
    if card["pin"] == "always":
        said.append(words("每次消费都要密码。", "Every payment asks for the PIN."))
    elif card["pin"] == "above":
        above = words.yuan(card["pin_above_fen"])
        said.append(words(f"卡上支付超过 {above} 要密码。", f"A payment of more than {above} from the card asks for the PIN."))
    if card["validity_months"] or card["validity_days"]:
        span = words.span(card["validity_months"], card["validity_days"])
        said.append(words(f"卡有效 {span};到期不影响本金。", f"The card is valid for {span}; the money on it does not lapse with it."))
    if card["replacement_fee_fen"]:
        fee = words.yuan(card["replacement_fee_fen"])
        said.append(words(f"遗失或到期补卡收费 {fee}。", f"A card in place of one that was lost or has expired costs {fee}."))
    if card["media_max"] > 1:
        most = card["media_max"]
        said.append(words(f"一卡最多同时有 {most} 个介质。", f"A card may have up to {most} media at a time."))
    return said


def _purse(pack: Normalised, purse: Normalised, words: Words) -> str:
    role = words(*{
        "principal": ("储值本金", "the money that was paid in"),
        "bonus": ("赠送的金额", "money that the shop adds"),
        "points": ("积分", "points"),
        "entitlement": ("次数", "visits that were paid for") if purse["unit"] == "visits" else ("期卡", "a pass"),
    }[purse["role"]])  # fmt: skip
    said = [words(f"“{purse['name']}”:{role}", f'"{purse["name"]}": {role}')]
    if purse["covers"]:
        covers = words.any_of([pack["categories"][index] for index in purse["covers"]])
        said.append(words(f"用于{covers}", f"for {covers}"))
    if purse["months"] or purse["days"]:
        span = words.span(purse["months"], purse["days"])
        since = words("首次使用", "the first use") if purse["first_use"] else words("得到", "the day it was given")
        said.append(words(f"自{since}起 {span} 有效", f"good for {span} from {since}"))
    else:
        said.append(words("不过期", "without an end"))
    if any(purse.get("grace") or ()):
        grace = words.span(*purse["grace"])
        said.append(words(f"过期后 {grace} 内仍可抽奖", f"for {grace} after it lapsed still good for draws"))
    if purse["per_day"]:
        said.append(words(f"每天最多 {purse['per_day']} 次", f"at most {words.amount(purse['per_day'], 'times')} a day"))
    if purse["min_gap_days"]:
        said.append(words(f"两次至少间隔 {purse['min_gap_days']} 天", f"at least {words.span(0, purse['min_gap_days'])} between two uses"))
    return words(",", ", ").join(said) + words("。", ".")


def _limits(pack: Normalised, words: Words) -> list[str]:
    limits, said = pack["limits"], []
    if limits["balance_max_fen"] < UNBOUNDED:
        most = words.yuan(limits["balance_max_fen"])
        said.append(words(f"一张卡上的钱最多 {most},赠送在内。", f"A card holds at most {most}, bonus included."))
    if limits["topup_min_fen"] > 1:
        least = words.yuan(limits["topup_min_fen"])
        said.append(words(f"每次充值不少于 {least}。", f"A top-up is at least {least}."))
    if limits["topup_max_fen"] < UNBOUNDED:
        most = words.yuan(limits["topup_max_fen"])
        said.append(words(f"每次充值不超过 {most}。", f"A top-up is at most {most}."))
    if limits["topup_step_fen"] > 1:
        step = words.yuan(limits["topup_step_fen"])
        said.append(words(f"充值金额须为 {step} 的整数倍。", f"A top-up is a multiple of {step}."))
    if any(purse["unit"] == "fen" for purse in pack["purses"]):
        said.append(words(*(
            ("可与其他卡互转余额。", "Money may move to and from other cards.") if limits["transfer"]
            else ("不可与其他卡互转余额。", "Money may not move to or from other cards.")
        )))  # fmt: skip
        said.append(words(*(
            ("先用最早到期的钱,到期相同按上列次序。", "What expires soonest is spent first; of equal expiry, in the order above.")
            if pack["spend_order"] == "expiry"
            else ("按上列次序用钱,同一钱包先用最早到期的。", "Money is spent in the order above, in each what expires soonest first.")
        )))  # fmt: skip
    if any(purse["unit"] == "points" for purse in pack["purses"]):
        said.append(words(*(
            ("可与其他卡互转积分。", "Points may move to and from other cards.") if limits["transfer_points"]
            else ("不可与其他卡互转积分。", "Points may not move to or from other cards.")
        )))  # fmt: skip
    return said


def _points_budget(pack: Normalised, words: Words) -> list[str]:
    if not pack["points_budget"]:
        return []
    share = words.share(*pack["points_budget"])
    return [
        words(
            f"店方预算:花掉的积分成本不超过其来源销售额的 {share}。",
            f"The shop's budget for points that are spent is {share} of the sales that earned them.",
        )
    ]


def _membership(policy: MembershipPolicy, words: Words) -> list[str]:
    said = []
    if policy.age_min:
        said.append(words(f"年满 {policy.age_min} 周岁可入会。", f"Members are at least {policy.age_min} years old."))
    if policy.routes:
        routes = words.any_of([words(*_ROUTES[route]) for route in policy.routes])
        said.append(words(f"入会途径:{routes}。", f"One becomes a member by {routes}."))
    for amount, zh, en in (
        (policy.single_fen, "单笔消费满 {} 可入会。", "One ticket of at least {} makes a member."),
        (policy.cumulative_fen, "累计消费满 {} 可入会。", "Tickets of at least {} in all make a member."),
        (policy.day_fen, "一天消费满 {} 可入会。", "Spending at least {} in one day makes a member."),
        (policy.fee_fen, "入会费 {}。", "The fee is {}."),
        (policy.free_from_fen, "单笔消费满 {} 免入会费。", "A single purchase of at least {} makes it free."),
    ):
        if amount:
            said.append(words(zh, en).format(words.yuan(amount)))
    pay, of = (int(part) for part in policy.group_rate.split("/"))
    if (pay, of) != (1, 1):
        said.append(words(f"团体入会费按 {words.price(pay, of)} 收。", f"A group pays {words.share(pay, of)} of the fee."))
    if not policy.referral:
        said.append(words("不设推荐。", "Members do not bring in others."))
    for months, zh, en in (
        (
            policy.suspend_months, "{} 没有消费,会员优惠与积分暂停,余额照用。",
            "After {} without a purchase benefits and points stop; the money stays spendable.",
        ),
        (policy.leave_months, "{} 没有消费,会籍终止,余额保留。", "After {} without a purchase membership ends; balances stay."),
    ):
        if months:
            said.append(words(zh, en).format(words.span(months, 0)))
    return said


_ROUTES = {
    "registration": ("登记", "registration"),
    "purchase": ("消费", "purchases"), "day": ("单日消费", "a day's spending"),
    "fee": ("缴费", "a fee"),
    "group": ("团体", "a group"), "import": ("导入", "import from another system"),
}  # fmt: skip


def _counter(pack: Normalised, counter: Normalised, words: Words) -> str:
    what = words(*{
        "tickets": ("消费单数", "tickets"), "paid": ("实付金额", "money paid"), "quantity": ("件数", "pieces bought"),
        "points": ("所得积分", "points earned"), "topups": ("充值次数", "top-ups"), "charged": ("充值金额", "money topped up"),
        "events": ("事件次数", "times of events"), "score": ("评分", "score"),
    }[counter["counts"]])  # fmt: skip
    if counter["categories"] is not None:
        names = words.any_of([pack["categories"][index] for index in counter["categories"]])
        what += words(f"(仅{names})", f" for {names}")
    if counter.get("events"):
        what += words(f"({words.any_of(counter['events'])})", f" ({words.any_of(counter['events'])})")
    per = words.per(counter["per"])
    if counter["streak"]:
        return words(
            f"“{counter['name']}”:连续有的期数({per}为一期)。", f'"{counter["name"]}": how many periods in a row ({per}) had a ticket.'
        )
    span = (
        words(f",连同之前共 {counter['last']} 期", f", this one and those before it, {counter['last']} in all")
        if counter["last"] > 1
        else ""
    )
    return words(f"“{counter['name']}”:{per}的{what}{span}。", f'"{counter["name"]}": {what} {per}{span}.')


def _tier(pack: Normalised, tier: Normalised, words: Words) -> str:
    ways = []
    if tier["spend_min_fen"] >= 0:
        ways.append(words(f"累计实付满 {words.yuan(tier['spend_min_fen'])}", f"money paid in all of {words.yuan(tier['spend_min_fen'])}"))
    if tier["orders_min"] >= 0:
        ways.append(words(f"累计 {tier['orders_min']} 单", words.amount(tier["orders_min"], "tickets")))
    if tier["points_min"] >= 0:
        ways.append(words(f"累计积分 {tier['points_min']} 分", f"{words.amount(tier['points_min'], 'points')} earned in all"))
    if tier["counter_min"] >= 0:
        counter = pack["counters"][tier["counter"]]
        least = words.amount(tier["counter_min"], COUNTED[counter["counts"]])
        ways.append(words(f"“{counter['name']}”满 {least}", f'{least} of "{counter["name"]}"'))
    if not ways:
        return words(f"“{tier['name']}”:人人由此开始。", f'"{tier["name"]}": everyone starts here.')
    return words(f"“{tier['name']}”:{words.any_of(ways)}。", f'"{tier["name"]}": reached by {words.any_of(ways)}.')


def _review(pack: Normalised, words: Words) -> list[str]:
    review = pack.get("review") or {}
    said = []
    if review.get("per"):
        per = words.per(review["per"])
        fall = words(
            *(("降一级", "falls by one tier") if review["fall"] == "one" else ("降到当期达到的等级", "falls to the tier it reached"))
        )
        said.append(
            words(f"{per}复核一次:当期未再达到等级的{fall}。", f"Reviewed once {per}: a card that did not reach its tier again {fall}.")
        )
    if review.get("returns") == "at-review":
        said.append(words("退货不立即降级,复核时再看。", "A return takes no tier at once; the next review sees it."))
    return said


def _awards(pack: Normalised, words: Words) -> list[str]:
    said = []
    for award in pack.get("awards", ()):
        kind = words(*{"coupon": ("优惠券", "coupon"), "gift": ("礼品", "gift"), "message": ("消息", "message")}[award["kind"]])
        good = words.span(award["months"], award["days"])
        span = words(f",{good}有效", f", good for {good}") if good else ""
        said.append(words(f"“{award['name']}”:{kind}“{award['id']}”{span}。", f'"{award["name"]}": the {kind} "{award["id"]}"{span}.'))
    for ranking in pack.get("rankings", ()):
        counter, top = pack["counters"][ranking["counter"]]["name"], ranking["top"]
        said.append(words(
            f"“{ranking['name']}”:每期按“{counter}”排名,取前 {top} 名。",
            f'"{ranking["name"]}": after each period the first {top} by "{counter}".',
        ))  # fmt: skip
    return said


def _benefit(pack: Normalised, rule: Normalised, words: Words) -> str:
    return words(f"“{rule['name']}”:", f'"{rule["name"]}": ') + rule_sentence(pack, rule, words)


def _pricing(pack: Normalised, words: Words) -> list[str]:
    if not any(rule["effect"] == "discount" for rule in pack["rules"]):
        return []
    stacking = words(*{
        "multiply": ("相乘", "are multiplied with each other"), "best": ("取最低一个", "do not add up: the lowest counts"),
        "add": ("优惠幅度相加", "add up by what they take off"),
    }[pack["stacking"]])  # fmt: skip
    rounding = words(*{
        "half_up": ("四舍五入", "half up"), "floor": ("舍去", "down"), "ceiling": ("进一", "up"),
        "half_even": ("四舍六入五成双", "half to even"),
    }[pack["rounding"]])  # fmt: skip
    step = pack["step_fen"]
    return [
        words(
            f"同一商品的几个折扣{stacking},柜台促销也在内。",
            f"Several rates on the same goods {stacking}, the counter's own promotion included.",
        ),
        words(f"每行折后价{rounding}到 {step} 分。", f"The price of each line is rounded once, {rounding}, to {step} fen."),
        words("特价商品和柜台声明不打折的商品不打折。", "Special-price goods, and goods whose counter opted out, get no discount."),
    ]


def _product(pack: Normalised, product: Normalised, words: Words) -> str:
    parts = []
    for grant in product["grants"]:
        purse = pack["purses"][grant["purse"]]
        part = words.amount(grant["amount"], purse["unit"]) + words(f"“{purse['name']}”", f' of "{purse["name"]}"')
        if grant["months"] or grant["days"]:
            span = words.span(grant["months"], grant["days"])
            part += words(f"({span}有效)", f" (good for {span})")
        parts.append(part)
    price = words.yuan(product["price_fen"])
    return words(
        f"“{product['name']}”售 {price},含 {'、'.join(parts)}。", f'"{product["name"]}" costs {price} and brings {", ".join(parts)}.'
    )
