"""[[coupon]] and [[gift]] of a pack: what a coupon takes off a ticket, and what points buy (C10, K06, R03-R06, R11).

The conditions in `when` are those of benefits; they are read by the caller.
"""

from __future__ import annotations

from typing import Any, Final

from cardcore.settlement import pack_conditions
from cardcore.settlement.toml_reader import Table

COUPONS_MAX: Final = 64
AMOUNT_MAX: Final = 10**15  # as in cardcore.money; tests hold the two equal
STOCK_MAX: Final = 10**9
USES_MAX: Final = 1_000
PER_TICKET_MAX: Final = 16
ITEMS_MAX: Final = 10
SKUS_MAX: Final = 1_000
BEARERS: Final = ("store", "counter", "brand", "hq")
KIND: Final = r"[a-z][a-z0-9-]{0,31}"
KIND_WORDS: Final = "1 to 32 small letters, digits or hyphens, a letter first"
WORD: Final = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,60}"

Normalised = dict[str, Any]


def _title(table: Table) -> dict[str, str]:
    words = table.table("title")
    title = {language: words.text(language, WORD, "1 to 60 characters on one line") for language in ("zh", "en")}
    words.close()
    return title


def coupon(table: Table, conditions: Normalised, when: Table) -> Normalised:
    """One kind of coupon. `conditions` were read from `when`, which is closed here; its quotas stay with `give`."""
    takes = [key for key in ("off_fen", "rate", "piece") if key in table.value]
    if len(takes) != 1:
        table.wrong(None, "a coupon takes exactly one of `off_fen`, `rate`, `piece`")
    kind = {"off_fen": "off", "rate": "rate", "piece": "piece"}[takes[0] if takes else "off_fen"]
    off = table.integer("off_fen", 1, AMOUNT_MAX, 0)
    rate = table.fraction("rate", 1, zero=True, default=(1, 1)) if table.has("rate") else (1, 1)
    if kind == "piece":
        if not table.flag("piece"):
            table.wrong("piece", "`piece` is true or left out")
        off = table.integer("pay_fen", 0, AMOUNT_MAX, 0)
    elif "pay_fen" in table.value:
        table.wrong("pay_fen", "`pay_fen` belongs to `piece`: what is paid for it")
    spend = table.integer("spend_min_fen", 0, AMOUNT_MAX, 0)
    per = table.integer("each_fen", 1, AMOUNT_MAX, 0)
    if per and (kind != "off" or spend):
        table.wrong("each_fen", "`each_fen` belongs to `off_fen`, in place of `spend_min_fen`")
    if kind == "off" and off > (per or spend) > 0:
        table.wrong("off_fen", "the coupon takes off more than what has to be spent")
    months, days = table.duration("expires_after")
    skus = when.names("sku", pack_conditions.WORD, "1 to 64 characters on one line", SKUS_MAX)
    _before_payment(when, conditions)
    out = {
        **conditions, "name": table.text("name", KIND, KIND_WORDS), "title": _title(table), "takes": kind, "off_fen": off, "rate": rate,
        "spend_min_fen": spend, "per_fen": per, "max_fen": table.integer("max_fen", 1, AMOUNT_MAX, 0), "skus": frozenset(skus or ()),
        "months": months, "days": days, "until_day": pack_conditions.date(table, "until"), "until": 0,
        "uses": table.integer("uses", 1, USES_MAX, 1), "per_ticket": table.integer("per_ticket", 1, PER_TICKET_MAX, 1),
        "stackable": table.flag("stackable", False), "on_refund": table.choice("on_refund", ("return", "keep"), "return"),
        "partial_refund": table.choice("partial_refund", ("share", "refused"), "share"),
        "bearer": table.choice("bearer", BEARERS, "store"), "stock": table.integer("stock", 1, STOCK_MAX, 0),
    }  # fmt: skip
    when.close()
    table.close()
    return out


def gift(table: Table, conditions: Normalised, when: Table, coupons: dict[str, int]) -> Normalised:
    """What points buy: coupons of a kind that was listed before, or one of up to ten things."""
    given = table.text("coupon", KIND, "the name of a coupon", "")
    if given and given not in coupons:
        table.wrong("coupon", f"there is no coupon `{given}`; coupons are: {', '.join(coupons) or 'none'}")
    items = table.names("items", WORD, "1 to 60 characters on one line", ITEMS_MAX) or []
    if bool(given) == ("items" in table.value):
        table.wrong(None, "a gift is either a `coupon` or one of `items`")
    if given and ("cost_fen" in table.value or "bearer" in table.value):
        table.wrong("cost_fen" if "cost_fen" in table.value else "bearer", "what a coupon costs, and whom, its own terms say")
    _before_payment(when, conditions)
    for key in ("category", "flag", "flag_not", "amount_min_fen", "amount_max_fen"):
        if key in when.value:
            when.wrong(key, "an exchange has no ticket to look at")
    out = {
        **conditions, "name": table.text("name", KIND, KIND_WORDS), "title": _title(table),
        "points": table.integer("points", 1, AMOUNT_MAX), "coupon": coupons.get(given, -1), "items": tuple(items),
        "cost_fen": table.integer("cost_fen", 0, AMOUNT_MAX, 0), "bearer": table.choice("bearer", BEARERS, "store"),
        "stock": table.integer("stock", 1, STOCK_MAX, 0),
    }  # fmt: skip
    when.close()
    table.close()
    return out


def _before_payment(when: Table, conditions: Normalised) -> None:
    """Coupons and gifts are looked at before anything is paid, and at no event."""
    for key in ("reached", "tender", "event", "points_end"):
        if key in when.value:
            when.wrong(key, "what is known only when the ticket is paid, or at an event, cannot be asked for here")
