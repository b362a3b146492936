"""Many sales against many cards, one after another, over NumPy records and without the GIL, by the compiled rules of `ticket`.

A card record is an account's head and a fixed number of lot slots; `card_dtype` makes one with as many slots as wanted.
Semantics are one-by-one: a sale sees what the sale before it left. A ticket that does not fit is refused and changes nothing.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from cardcore.money cimport AMOUNT_LIMIT
from cardcore.settlement.fold cimport fold
from cardcore.settlement.model cimport LineIn, LINES_MAX, Lot, SETTLE, Value
from cardcore.settlement.predicate cimport Known, answer, know
from cardcore.settlement.rules cimport PURSES_MAX, Programme, Rules
from cardcore.settlement.tender cimport SaleIn, Work, close_work, open_work
from cardcore.settlement.ticket cimport decide_own, finish_sale

import numpy as np

from cardcore.errors import InvalidCommand
from cardcore.settlement.sale import DECLINES, FAULTS

cdef extern from *:
    """
    #define cc_prefetch(p) __builtin_prefetch((p), 1, 3)
    """
    void cc_prefetch(const void* p) noexcept nogil

cdef enum:
    BUNCH = 4
    AHEAD = 12  # three bunches
    X_LOTS_FULL = 40
    X_BAD_RECORD = 41

# The head of a card record; Value without its pointer and capacity.
cdef struct CardHead:
    int64_t account_id
    int64_t next_lot
    int64_t orders
    int64_t spend_fen
    int64_t points_earned
    int64_t owed_points
    int32_t tier
    int32_t base_tier
    int32_t n_lots
    int32_t reserved

cdef packed struct SaleRecord:
    int64_t card
    int64_t points
    int64_t stored_max_fen
    int64_t shortfall_max_fen
    int32_t first_line
    int32_t n_lines
    int32_t shortfall
    int32_t reserved

cdef struct Result:
    int64_t gross_fen
    int64_t discount_fen
    int64_t coupon_fen
    int64_t covered_fen
    int64_t net_fen
    int64_t principal_fen
    int64_t bonus_fen
    int64_t points_fen
    int64_t outside_fen
    int64_t points_used
    int64_t points_earned
    int64_t after_money_fen
    int64_t after_points
    int32_t code
    int32_t tier

LOT_DTYPE = np.dtype([
    ("lot_id", "<i8"), ("amount", "<i8"), ("expires_at", "<i8"), ("paid_fen", "<i8"), ("of_units", "<i8"), ("purse", "<i4"),
    ("used_on", "<i4"), ("used_times", "<i4"), ("reserved", "<i4"),
])
SALE_DTYPE = np.dtype([
    ("card", "<i8"), ("points", "<i8"), ("stored_max_fen", "<i8"), ("shortfall_max_fen", "<i8"), ("first_line", "<i4"),
    ("n_lines", "<i4"), ("shortfall", "<i4"), ("reserved", "<i4"),
])
LINE_DTYPE = np.dtype([
    ("amount_fen", "<i8"), ("discount_fen", "<i8"), ("coupon_fen", "<i8"), ("quantity", "<i4"), ("category", "<i4"),
    ("flags", "<i4"), ("counter_pay", "<i4"), ("counter_of", "<i4"), ("reserved", "<i4"),
])
RESULT_DTYPE = np.dtype([
    (name, "<i8") for name in (
        "gross_fen", "discount_fen", "coupon_fen", "covered_fen", "net_fen", "principal_fen", "bonus_fen", "points_fen",
        "outside_fen", "points_used", "points_earned", "after_money_fen", "after_points")
] + [("code", "<i4"), ("tier", "<i4")])
BATCH_CODES = {0: "applied", **DECLINES, **FAULTS, X_LOTS_FULL: "lots_full", X_BAD_RECORD: "bad_record"}


def card_dtype(int lots=4):
    """The record of a card with `lots` slots. Raises InvalidCommand outside 1..64."""
    if not 1 <= lots <= 64:
        raise InvalidCommand("a card record has 1 to 64 lots")
    return np.dtype([
        ("account_id", "<i8"), ("next_lot", "<i8"), ("orders", "<i8"), ("spend_fen", "<i8"), ("points_earned", "<i8"),
        ("owed_points", "<i8"), ("tier", "<i4"), ("base_tier", "<i4"), ("n_lots", "<i4"), ("reserved", "<i4"),
        ("lots", LOT_DTYPE, (lots,)),
    ])


CARD_DTYPE = card_dtype(4)


cdef inline bint fit_purse(const Rules* r, int purse) noexcept nogil:
    return 0 <= purse < r.n_purses or 0 <= purse - PURSES_MAX < r.n_coupons


cdef bint fit_line(const LineIn* line) noexcept nogil:
    """The doorway's bounds, for columns that nobody admitted one by one (M2)."""
    return (0 <= line.amount_fen <= AMOUNT_LIMIT and 0 <= line.discount_fen <= AMOUNT_LIMIT
            and 0 <= line.coupon_fen <= AMOUNT_LIMIT and 1 <= line.quantity <= 1_000_000
            and 0 <= line.flags <= 31 and 1 <= line.counter_of <= 10_000 and 0 <= line.counter_pay <= line.counter_of)


cdef inline void tell(const Work* w, Result* out) noexcept nogil:
    """The figures of one applied sale."""
    out.gross_fen = w.t.gross_fen
    out.discount_fen = w.t.discount_fen
    out.coupon_fen = w.t.coupon_fen
    out.covered_fen = w.t.covered_fen
    out.net_fen = w.t.net_fen
    out.principal_fen = w.t.principal_fen
    out.bonus_fen = w.t.bonus_fen
    out.points_fen = w.t.points_fen
    out.outside_fen = w.t.outside_fen
    out.points_used = w.t.points_used
    out.points_earned = w.t.points_earned
    out.after_money_fen = w.t.after_money_fen
    out.after_points = w.t.after_points
    out.tier = <int32_t> w.t.tier_after


cdef int decide_one(
    const Rules* r, char* card, int slots, const SaleRecord* record, const LineIn* lines, int64_t n_lines, int64_t at_s, Work* w,
    Result* out
) except -1 nogil:
    """One record: the code of the outcome. The card changes only when it is 0 (applied)."""
    cdef CardHead* head = <CardHead*> card
    cdef Lot* lots = <Lot*> (card + sizeof(CardHead))
    cdef SaleIn sale
    cdef Value v
    cdef int i, outcome
    cdef int64_t last = 0
    if (record.first_line < 0 or record.n_lines < 1 or record.n_lines > LINES_MAX
            or <int64_t> record.first_line + record.n_lines > n_lines or record.points < -1
            or not 0 <= head.n_lots <= slots or not 0 <= head.tier < r.n_tiers or head.owed_points < 0):
        return X_BAD_RECORD
    for i in range(head.n_lots):
        # Rising ids, as in an account: then each posting finds its lot, and what was decided can be folded.
        if not fit_purse(r, lots[i].purse) or not 0 <= lots[i].amount <= AMOUNT_LIMIT or lots[i].lot_id <= last:
            return X_BAD_RECORD
        last = lots[i].lot_id
    if head.next_lot <= last:
        return X_BAD_RECORD
    sale.lines = lines + record.first_line
    sale.n_lines = record.n_lines
    for i in range(sale.n_lines):
        if not fit_line(&sale.lines[i]):
            return X_BAD_RECORD
    sale.verb = SETTLE
    sale.shortfall = record.shortfall
    sale.explain = 0
    sale.points = record.points
    sale.stored_max_fen = record.stored_max_fen
    sale.shortfall_max_fen = record.shortfall_max_fen
    v.account_id = head.account_id
    v.next_lot = head.next_lot
    v.orders = head.orders
    v.spend_fen = head.spend_fen
    v.points_earned = head.points_earned
    v.owed_points = head.owed_points
    v.owed_fen = v.on_card_fen = v.n_owing = 0
    v.owing = NULL
    v.tier = head.tier
    v.base_tier = head.base_tier
    v.n_lots = head.n_lots
    v.cap_lots = w.cap_lots
    v.lots = lots
    outcome = decide_own(r, &v, &sale, at_s, w)
    if outcome == 0:
        outcome = finish_sale(r, &v, &sale, at_s, w)
    if outcome:
        return outcome
    if v.n_lots == slots:
        # The record has no room for a lot more: fold into scratch first.
        memcpy(w.lots, lots, v.n_lots * sizeof(Lot))
        v.lots = w.lots
    if fold(&v, v.account_id, w.postings, w.n_postings):
        return X_BAD_RECORD
    if v.lots == w.lots:
        if v.n_lots > slots:
            return X_LOTS_FULL
        memcpy(lots, w.lots, v.n_lots * sizeof(Lot))
    head.next_lot = v.next_lot
    head.orders += w.t.orders_delta
    head.spend_fen += w.t.spend_delta_fen
    head.points_earned += w.t.points_delta
    head.owed_points = v.owed_points
    head.tier = <int32_t> w.t.tier_after
    head.n_lots = v.n_lots
    tell(w, out)
    return 0


cdef inline void fetch(
    char* cards, int64_t n_cards, int64_t stride, const SaleRecord* sales, int64_t first, int64_t end
) noexcept nogil:
    """Ask for the cards of a bunch of coming sales.

    Together, because an ask that needs a walk of the page tables holds up what follows it: walks of one bunch overlap each other, a walk
    among the instructions of a decision overlaps nothing. A bunch is small, because a processor drops what it cannot keep track of.
    """
    cdef int64_t i, line
    for i in range(first, end):
        if 0 <= sales[i].card < n_cards:
            cc_prefetch(cards + sales[i].card * stride)
    for i in range(first, end):
        if 0 <= sales[i].card < n_cards:
            for line in range(64, min(stride, 320), 64):
                cc_prefetch(cards + sales[i].card * stride + line)


cdef int64_t decide_all(
    const Rules* r, char* cards, int64_t n_cards, int64_t stride, int slots, const SaleRecord* sales, int64_t n_sales,
    const LineIn* lines, int64_t n_lines, Result* results, int64_t at_s, Work* w
) except -1 nogil:
    cdef int64_t i, applied = 0
    cdef int code
    for i in range(n_sales):
        if i % BUNCH == 0:
            fetch(cards, n_cards, stride, sales, i + AHEAD if i else 0, min(n_sales, i + AHEAD + BUNCH))
        code = X_BAD_RECORD
        if 0 <= sales[i].card < n_cards:
            code = decide_one(r, cards + sales[i].card * stride, slots, &sales[i], lines, n_lines, at_s, w, &results[i])
        if code == 0:
            applied += 1
        else:
            memset(&results[i], 0, sizeof(Result))
        results[i].code = code
    return applied


cdef char* base_of(array, dtype, str what) except? NULL:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1 or not array.flags.c_contiguous:
        raise InvalidCommand(f"{what} must be a contiguous one-dimensional array of its dtype")
    return <char*> <size_t> array.ctypes.data


def decide_batch(Programme programme not None, cards, sales, lines, results, int64_t at_us):
    cdef Work w
    cdef Known known
    if programme.r.n_counters:
        raise InvalidCommand("card records have no counters: this programme counts, decide its tickets one by one")
    if programme.r.gives:
        raise InvalidCommand("card records have no room for rebates and grants: decide the tickets of this programme one by one")
    cdef int64_t applied
    if not isinstance(cards, np.ndarray) or "lots" not in (cards.dtype.names or ()):
        raise InvalidCommand("cards must be an array of card_dtype()")
    cdef int slots = cards.dtype["lots"].shape[0]
    cdef char* card_base = base_of(cards, card_dtype(slots), "cards")
    cdef SaleRecord* sale_base = <SaleRecord*> base_of(sales, SALE_DTYPE, "sales")
    cdef LineIn* line_base = <LineIn*> base_of(lines, LINE_DTYPE, "lines")
    cdef Result* result_base = <Result*> base_of(results, RESULT_DTYPE, "results")
    cdef int64_t n_cards = len(cards), n_sales = len(sales), n_lines = len(lines), stride = cards.dtype.itemsize
    if len(results) < n_sales:
        raise InvalidCommand("there must be a result for each sale")
    if not results.flags.writeable or not cards.flags.writeable:
        raise InvalidCommand("cards and results must be writeable")
    open_work(&w, slots + 8, 4 * LINES_MAX + 4 * slots + 64, 0)
    know(None, programme, "", "", &known)
    answer(&programme.r, &known, at_us // 1_000_000, w.truth)
    try:
        with nogil:
            applied = decide_all(&programme.r, card_base, n_cards, stride, slots, sale_base, n_sales, line_base, n_lines,
                                 result_base, at_us // 1_000_000, &w)
    finally:
        close_work(&w)
    return applied
