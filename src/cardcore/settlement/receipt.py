"""A settlement in words: receipt lines for the till's printer and the explanation of each step, in Chinese or English.

Pure functions of the settlement, its programme and a heading: the same entry prints the same receipt for ever (O2, L02).
Amounts become yuan by integer arithmetic; alignment counts a Chinese character as two columns, as printers do.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from cardcore.settlement.views import UNMET

if TYPE_CHECKING:
    from cardcore.settlement import LineView, NoteView, Programme, Settlement

LANGUAGES: Final = ("zh", "en")
WIDTH: Final = 40

_REDEEM: Final = 2  # cardcore.settlement.REDEEM, restated so that wording needs no compiled module; a test holds them equal
_COUPON_PURSE: Final = 64  # cardcore.settlement.coupon_purse(0), restated for the same reason

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "quote": ("试算", "Quote"),
    "settle": ("消费", "Sale"),
    "hold": ("预授权", "Hold"),
    "capture": ("预授权完成", "Capture"),
    "void": ("撤销", "Void"),
    "refund": ("退货", "Refund"),
    "reverse": ("冲正", "Reversal"),
    "topup": ("充值", "Top-up"),
    "transfer": ("转账", "Transfer"),
    "adjust": ("调整", "Adjustment"),
    "expire": ("到期作废", "Expiry"),
    "fee": ("缴费", "Fee"),
    "enrolment-fee": ("入会费", "Enrolment fee"),
    "replacement-fee": ("补卡费", "Replacement fee"),
    "load": ("圈存", "Load to the card"),
    "unload": ("圈提", "Unload from the card"),
    "arrive": ("圈存圈提确认", "Card confirmed"),
    "pay": ("联机消费", "Card purchase"),
    "give": ("发券", "Coupons given"),
    "clear": ("脱机消费入账", "Card purchase cleared"),
    "event": ("活动", "Event"),
    "review": ("等级评定", "Tier review"),
    "card": ("卡号", "Card"),
    "time": ("时间", "Time"),
    "ticket": ("小票号", "Ticket"),
    "journal": ("流水号", "Journal"),
    "item": ("商品", "Item"),
    "discount": ("折扣", "Discount"),
    "coupon": ("优惠券", "Coupon"),
    "cover": ("权益抵扣", "Covered by entitlement"),
    "redeem": ("积分兑换", "Redeemed with points"),
    "covered": ("权益与兑换", "Covered or redeemed"),
    "net": ("应付", "To pay"),
    "gross": ("原价合计", "List price"),
    "total": ("合计", "Total"),
    "returned": ("退回合计", "Given back"),
    "principal": ("储值本金", "Stored value"),
    "bonus": ("储值赠送", "Bonus value"),
    "points": ("积分抵扣", "Paid with points"),
    "further": ("其他卡", "Other cards"),
    "cash": ("现金", "Cash"),
    "bank": ("银行卡", "Bank card"),
    "points_used": ("使用积分", "Points used"),
    "points_earned": ("获得积分", "Points earned"),
    "points_back": ("退回积分", "Points given back"),
    "points_taken": ("扣回积分", "Points taken back"),
    "tier": ("等级", "Tier"),
    "balance": ("卡余额", "Card balance"),
    "after_points": ("累计积分", "Accumulated points"),
    "invoice": ("发票", "Invoice"),
    "document_none": ("不向持卡人开具", "none to the holder"),
    "document_receipt": ("以本收据为凭", "this receipt instead"),
    "document_untaxed_invoice": ("可申请不征税发票", "untaxed, on request"),
    "document_invoice": ("可申请开具", "on request"),
    "line": ("第 {} 行", "Line {}"),
    "stored": ("储值支付", "Stored value"),
    "further_card": ("其他卡支付", "Other card"),
    "outside": ("其他方式支付", "Other tender"),
    "earn": ("积分累积", "Points earned"),
    "milestone": ("加赠积分", "Extra points"),
    "promote": ("等级变化", "Tier change"),
    "owed": ("欠扣", "Owed"),
    "claw": ("扣回积分", "Points taken back"),
    "terminal": ("收银折让", "Till's discount"),
    "rebate": ("返利", "Rebate"),
    "gift": ("赠送", "Granted"),
    "cap": ("超出上限不计", "Cut by a cap"),
    "waive": ("免收", "Waived"),
    "jump": ("直接升级", "Promoted"),
    "score": ("计分", "Score"),
    "draw": ("抽奖", "Draw"),
    "prize": ("第 {} 项", "prize {}"),
    "unmet": ("未生效", "Not applied"),
    "unmet_asleep": ("会员资格已暂停", "membership is suspended"),
    "unmet_tier": ("等级不符", "another tier"),
    "unmet_amount": ("金额不在范围内", "the amount is outside its bounds"),
    "unmet_line": ("没有适用的商品", "no line it is about"),
    "unmet_group": ("同组的另一规则优先", "another rule of its group comes first"),
    "unmet_earned": ("本单积分不够", "too few points earned"),
    "unmet_nothing": ("没有可给的", "nothing to give"),
    "unmet_quota": ("已达次数或数量上限", "its quota is used up"),
    "before": ("累计不符", "what there was before is outside its bounds"),
    "reached": ("累计未达到", "what there is now is outside its bounds"),
    "nth": ("不是这一次", "not the ticket it is about"),
    "weekday": ("星期不符", "another weekday"),
    "day": ("日期不符", "another day of the month"),
    "month": ("月份不符", "another month"),
    "hour": ("时段不符", "another hour"),
    "from": ("尚未开始", "not yet begun"),
    "until": ("已经结束", "it is over"),
    "birthday": ("不在生日", "no birthday"),
    "store": ("门店不符", "another store"),
    "unit": ("单位不符", "another unit"),
    "channel": ("渠道不符", "another channel"),
    "tender": ("付款方式不符", "another tender"),
    "tag": ("没有所需的会员标签", "the member has no such tag"),
    "tag_not": ("会员标签不允许", "a tag of the member rules it out"),
    "event_unmet": ("不是该事件", "another event"),
    "points_end": ("积分尾数不符", "the balance ends in another digit"),
    "stock": ("活动已领完", "the campaign has nothing left"),
    "counted": (",计分金额 {}", ", for {}"),
    "topped": (",充值 {}", ", for {} paid"),
    "return": ("原路退回", "Returned to its source"),
    "counter": ("柜台促销", "Counter's promotion"),
    "grant": ("发放", "Granted"),
    "coupon_back": ("优惠券退回", "Coupon given back"),
    "borne": ("({}承担)", " (borne by {})"),
    "bearer_counter": ("专柜", "the counter"),
    "bearer_brand": ("品牌", "the brand"),
    "bearer_hq": ("总部", "head office"),
    "added": ("充入本金", "Value added"),
    "added_bonus": ("充入赠送", "Bonus added"),
}
_UNITS: Final = {
    "award": ("份", "piece", "pieces"), "points": ("分", "point", "points"), "visits": ("次", "visit", "visits"),
    "pass": ("张", "pass", "passes"),
    "coupon": ("张", "coupon", "coupons"), "gift": ("件", "gift", "gifts"),
}  # fmt: skip

_GIVES_BACK: Final = ("void", "refund", "reverse")
_SALES: Final = ("quote", "settle", "hold", "capture")


class Heading(NamedTuple):
    """What a receipt shows that the decision did not need."""

    store: str = ""
    card: str = ""  # the full number; printed masked
    at: str = ""  # local time as it shall be printed
    ticket_id: str = ""
    journal_position: int = 0


def yuan(fen: int) -> str:
    """`-1234` as `-12.34`: integer arithmetic, always two places."""
    whole, cents = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole}.{cents:02d}"


def mask(card: str) -> str:
    """All but the last four digits hidden; short numbers entirely."""
    return "*" * len(card) if len(card) < 8 else "*" * (len(card) - 4) + card[-4:]


def width(text: str) -> int:
    """Columns on a printer: wide and fullwidth characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def lines(settlement: Settlement, programme: Programme, heading: Heading, lang: str = "zh", columns: int = WIDTH) -> list[str]:
    """The receipt, line by line. `lang` is "zh" or "en" (anything else prints English)."""
    return _Printer(settlement, programme, lang, columns).receipt(heading)


def explain(settlement: Settlement, programme: Programme, lang: str = "zh") -> list[str]:
    """One sentence for each step of the decision: which rule gave or took what (empty unless decided with explain)."""
    return [_sentence(note, programme, lang) for note in settlement.notes()]


def amount(units: int, unit: str, lang: str) -> str:
    """An amount with its unit: yuan for fen, else a count."""
    if unit == "fen":
        return yuan(units)
    chinese, one, many = _UNITS[unit]
    return f"{units} {chinese if lang == 'zh' else one if units == 1 else many}"


def _word(key: str, lang: str) -> str:
    words = _WORDS.get(key)
    return key.replace("_", " ") if words is None else words[0 if lang == "zh" else 1]


_OF_PURSE: Final = ("cover", "stored", "further_card")
"""Effects whose note names a purse where the others name a rule."""


def _sentence(note: NoteView, programme: Programme, lang: str) -> str:
    where = _word("line", lang).format(note.line + 1) + " " if note.line >= 0 else ""
    if note.effect == "promote":
        return f"{where}{_word('promote', lang)}: {programme.tiers[note.before]} -> {programme.tiers[note.after]}"
    if note.effect == "unmet":
        reason = UNMET[note.before]
        kind = str(programme.predicates[note.after]["kind"]) if reason == "condition" else f"unmet_{reason}"
        key = "event_unmet" if kind == "event" else kind
        return f"{_word('unmet', lang)} ({programme.rule_names[note.rule]}): {_word(key, lang)}"
    name = ""
    if note.effect == "jump":
        return f"{_word('jump', lang)} ({programme.rule_names[note.rule]}): {programme.tiers[note.after]}"
    if note.effect == "gift":
        given = programme.awards[note.after]["name"] if note.unit == "award" else programme.purses[note.after]
        return f"{_word('gift', lang)} ({programme.rule_names[note.rule]}): {given} {amount(note.amount, note.unit, lang)}"
    if note.effect == "draw":
        prize = _word("prize", lang).format(note.before + 1)
        return f"{_word('draw', lang)} ({programme.rule_names[note.rule]}): {amount(note.amount, 'points', lang)}, {prize}"
    if note.effect == "score":
        return f"{_word('score', lang)} ({programme.rule_names[note.rule]}): {note.before} -> {note.after}"
    if note.effect == "grant":
        name = f" ({programme.purses[note.after]})"
    elif note.effect in ("cover", "stored"):
        name = f" ({programme.purses[note.rule]})"
    elif note.effect == "coupon" and note.rule >= 0:
        coupon = programme.coupons[note.rule]
        name = f" ({coupon['title'][lang if lang in LANGUAGES else 'en']})"
        if note.unit == "coupon":
            return f"{_word('coupon_back', lang)}{name}"
        if coupon["bearer"] != "store":
            name += _word("borne", lang).format(_word(f"bearer_{coupon['bearer']}", lang))
    elif note.rule >= 0 and note.effect not in _OF_PURSE:  # a further card's purses are its own programme's
        name = f" ({programme.rule_names[note.rule]})"
    return f"{where}{_word(note.effect, lang)}{name}: {amount(note.amount, note.unit, lang)}{_change(note, lang)}"


def _change(note: NoteView, lang: str) -> str:
    """What the step started from and left: of the line, the lot, the ticket or the points so far."""
    if note.effect == "grant":
        return ""
    if note.effect in ("earn", "rebate"):  # from the money that counted
        return _word("counted", lang).format(yuan(note.before))
    if note.effect == "bonus":
        return _word("topped", lang).format(yuan(note.before))
    unit = "fen" if note.effect == "points" else note.unit  # points pay: the ticket's money goes down
    return f", {amount(note.before, unit, lang)} -> {amount(note.after, unit, lang)}"


class _Printer:
    """Gathers the lines of one receipt."""

    def __init__(self, settlement: Settlement, programme: Programme, lang: str, columns: int) -> None:
        self.settlement = settlement
        self.programme = programme
        self.lang = lang
        self.columns = columns
        self.out: list[str] = []

    def receipt(self, heading: Heading) -> list[str]:
        settlement = self.settlement
        if heading.store:
            self.centre(heading.store)
        self.centre(_word(settlement.verb, self.lang))
        self.pair("card", mask(heading.card))
        self.pair("time", heading.at)
        self.rule()
        if settlement.verb in _SALES:
            for index, line in enumerate(settlement.lines()):
                self.item(index, line)
            if settlement.lines():
                self.rule()
        if settlement.verb == "fee":
            self.pair(settlement.memo.decode(), yuan(settlement.gross_fen))
            self.less("discount", settlement.discount_fen, indent=0)
        self.totals()
        self.tenders()
        self.points()
        self.rule()
        self.pair("balance", yuan(settlement.after_money_fen))
        if "points" in self.programme.purse_units:
            self.pair("after_points", str(settlement.after_points))
        if settlement.document:
            self.pair("invoice", _word(f"document_{settlement.document}", self.lang))
        self.pair("ticket", heading.ticket_id)
        self.pair("journal", str(heading.journal_position) if heading.journal_position else "")
        return self.out

    def item(self, index: int, line: LineView) -> None:
        """List price, what was taken off it and what is left to pay for one ticket line."""
        times = f" x{line.quantity}" if line.quantity != 1 else ""
        self.columns_of(f"{index + 1}. {_word('item', self.lang)}{times}", yuan(line.amount_fen))
        self.less("discount", line.discount_fen)
        self.less("coupon", line.coupon_fen)
        self.less("redeem" if line.flags & _REDEEM else "cover", line.covered_fen)
        if line.net_fen != line.amount_fen:
            self.pair("net", yuan(line.net_fen), indent=3)

    def totals(self) -> None:
        settlement = self.settlement
        if settlement.verb in _SALES and settlement.gross_fen != settlement.net_fen:
            self.pair("gross", yuan(settlement.gross_fen))
            self.less("discount", settlement.discount_fen, indent=0)
            self.less("coupon", settlement.coupon_fen, indent=0)
            self.less("covered", settlement.covered_fen, indent=0)
        if settlement.verb not in ("event", "review"):
            self.pair("returned" if settlement.verb in _GIVES_BACK else "total", yuan(settlement.net_fen))

    def tenders(self) -> None:
        settlement = self.settlement
        outside = settlement.outside_tender or "outside"
        if settlement.verb in ("event", "review"):
            self.granted()
            return
        if settlement.verb in ("give", "redeem"):
            self.handed_out()
            return
        if settlement.verb == "topup":
            self.pair(outside, yuan(settlement.outside_fen), indent=2)
            self.plus("added", settlement.principal_fen)
            self.plus("added_bonus", settlement.bonus_fen)
            self.granted()
            return
        for key, fen in (
            ("bonus", settlement.bonus_fen),
            ("principal", settlement.principal_fen),
            ("points", settlement.points_fen),
            ("further", settlement.further_fen),
            (outside, settlement.outside_fen),
        ):
            self.plus(key, fen, indent=2)
        if settlement.verb in _SALES:
            self.granted()

    def granted(self) -> None:
        """The visits and passes of a product (C05-C07, C09)."""
        for posting in self.settlement.postings():
            if posting.target == "customer" and posting.unit in ("visits", "pass"):
                self.columns_of(self.programme.purses[posting.purse], "+" + amount(posting.amount, posting.unit, self.lang))

    def handed_out(self) -> None:
        """Coupons given, and gifts that points bought."""
        language = self.lang if self.lang in LANGUAGES else "en"
        for posting in self.settlement.postings():
            if posting.unit == "coupon":
                coupon = self.programme.coupons[posting.purse - _COUPON_PURSE]
                self.columns_of(coupon["title"][language], "+" + amount(1, "coupon", self.lang))
            elif posting.unit == "gift":
                gift = self.programme.gifts[posting.purse]
                name = gift["items"][posting.line] if posting.line >= 0 else gift["title"][language]
                self.columns_of(name, amount(posting.amount, "gift", self.lang))

    def points(self) -> None:
        settlement = self.settlement
        back = settlement.verb in _GIVES_BACK
        if settlement.points_used:
            self.pair("points_back" if back else "points_used", str(settlement.points_used))
        if rebate := settlement.granted("fen"):
            self.pair("rebate", yuan(rebate))
        for award in settlement.awards():
            sign = "-" if award.back else "+"
            self.columns_of(self.programme.awards[award.award]["name"], sign + amount(award.quantity, "award", self.lang))
        if settlement.points_earned:
            self.pair("points_taken" if back else "points_earned", str(settlement.points_earned))
        if len(self.programme.tiers) > 1:
            self.pair("tier", self.programme.tiers[settlement.tier_after])

    def less(self, key: str, fen: int, indent: int = 3) -> None:
        if fen:
            self.pair(key, yuan(-fen), indent)

    def plus(self, key: str, fen: int, indent: int = 0) -> None:
        if fen:
            self.pair(key, yuan(fen), indent)

    def pair(self, key: str, value: str, indent: int = 0) -> None:
        if value:
            self.columns_of(" " * indent + _word(key, self.lang), value)

    def columns_of(self, left: str, right: str) -> None:
        """Left and right edge; a line that does not fit becomes two."""
        gap = self.columns - width(left) - width(right)
        if gap < 1:
            self.out.append(left)
            gap, left = max(0, self.columns - width(right)), ""
        self.out.append(left + " " * gap + right)

    def centre(self, text: str) -> None:
        self.out.append(" " * max(0, (self.columns - width(text)) // 2) + text)

    def rule(self) -> None:
        self.out.append("-" * self.columns)
