"""quote, settle and hold: price the lines, cover, redeem, deduct points, spend stored value, earn (design: order of a sale).

Everything here works on C structs and scratch memory; `decide_sale` at the end is the doorway for one ticket,
`batch.decide_batch` the one for many. Line: D04 D05 E08; entitlements: C05-C09; points: R01 R05 E04 E07; shortfall: L03.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from cardcore.money cimport admit_unsigned, cc_rate, cc_rate_of, cc_scale, cc_stack
from cardcore.settlement.earn cimport earn
from cardcore.settlement.fold cimport liability_change
from cardcore.settlement.model cimport (
    E_COUNTER, E_COUPON, E_DISCOUNT, E_OUTSIDE, E_PROMOTE, E_TERMINAL, F_ALL, F_COVER, F_NO_DISCOUNT, F_REDEEM, F_SPECIAL,
    FEN, HOLD, HOLDS_MAX, LINES_MAX, OUTSIDE, QUOTE, R_FURTHER, R_OUTSIDE, R_STORED, SALES, SETTLE, Lot, Note, Posting, Totals,
    new_settlement,
)
from cardcore.settlement.rules cimport RULE_DISCOUNT, Programme, Rule, applies, covers, reached_tier
from cardcore.settlement.tender cimport (
    add, close_work, cover_line, deduct_points, money_after, note, open_work, points_after, redeem_line, spend_stored,
)

from typing import NamedTuple

from cardcore.errors import Declined, InvalidCommand

cdef enum:
    RATES_MAX = 5
    NOTES_MAX = 8192

DECLINES = {
    D_INSUFFICIENT_FUNDS: "insufficient_funds",
    D_INSUFFICIENT_POINTS: "insufficient_points",
    D_POINTS_NOT_ALLOWED: "points_not_allowed",
    D_NOT_COVERED: "not_covered",
    D_TOO_SOON: "too_soon",
    D_USED_UP_TODAY: "used_up_today",
    D_LIMIT_EXCEEDED: "limit_exceeded",
}
FAULTS = {
    X_DISCOUNT_OVER_LINE: "the terminal's discount exceeds the line",
    X_COUPON_OVER_LINE: "the coupon exceeds what is left of the line",
    X_REDEEM_LINE: "a redeemed line is one item at list price, not a special-price one, without discount or coupon",
    X_COVER_LINE: "a covered line carries no discount, coupon or redemption",
    X_TOO_MANY_RATES: "too many discounts stack on one line",
    X_TOO_MANY_POSTINGS: "the ticket moves too many lots",
}
_FACTS = {
    D_INSUFFICIENT_FUNDS: "shortfall_fen",
    D_INSUFFICIENT_POINTS: "points_available",
    D_POINTS_NOT_ALLOWED: "points_allowed",
    D_LIMIT_EXCEEDED: "limit",
}


# ------------------------------------------------------------------ 2. price
cdef int price_line(
    const Rules* r, const LineIn* line, LineOut* out, const int32_t* active, int n_active, bint explain, Work* w
) except -1 nogil:
    """discount = amount - amount x (all rates combined exactly), rounded once; then the terminal's discount and coupon."""
    cdef int k, n_rates = 0, index = out.index
    cdef const Rule* rule
    cdef cc_rate rate = cc_rate_of(1, 1)
    cdef int64_t price = line.amount_fen, shown = line.amount_fen
    if line.counter_pay != line.counter_of:
        rate = cc_rate_of(line.counter_pay, line.counter_of)
        n_rates = 1
        if explain:
            if cc_scale(line.amount_fen, rate, r.step_fen, r.rounding, &price) < 0:
                return X_TOO_MANY_RATES
            note(w, E_COUNTER, -1, index, shown - price, FEN, shown, price)
            shown = price
    if not line.flags & (F_SPECIAL | F_NO_DISCOUNT):
        for k in range(n_active):
            rule = &r.rules[active[k]]
            if not rule.any_category and not covers(rule.categories, line.category):
                continue
            if n_rates == RATES_MAX:
                return X_TOO_MANY_RATES
            rate = cc_stack(rate, rule.pay, rule.of, r.stacking)
            n_rates += 1
            if explain:
                if cc_scale(line.amount_fen, rate, r.step_fen, r.rounding, &price) < 0:
                    return X_TOO_MANY_RATES
                note(w, E_DISCOUNT, active[k], index, shown - price, FEN, shown, price)
                shown = price
    if n_rates and cc_scale(line.amount_fen, rate, r.step_fen, r.rounding, &price) < 0:
        return X_TOO_MANY_RATES
    # Rounding up to a step must never charge more than the list price.
    if price > line.amount_fen:
        price = line.amount_fen
    if line.discount_fen > price:
        return X_DISCOUNT_OVER_LINE
    if line.discount_fen and explain:
        note(w, E_TERMINAL, -1, index, line.discount_fen, FEN, price, price - line.discount_fen)
    price -= line.discount_fen
    if line.coupon_fen > price:
        return X_COUPON_OVER_LINE
    if line.coupon_fen and explain:
        note(w, E_COUPON, -1, index, line.coupon_fen, FEN, price, price - line.coupon_fen)
    out.net_fen = price - line.coupon_fen
    out.coupon_fen = line.coupon_fen
    out.discount_fen = line.amount_fen - price
    return OK


cdef int price_lines(const Rules* r, const Value* v, const SaleIn* sale, Work* w) except -1 nogil:
    cdef int i, n_active = 0, outcome
    cdef int32_t[250] active
    cdef const LineIn* line
    cdef LineOut* out
    cdef Totals* t = &w.t
    for i in range(sale.n_lines):
        t.gross_fen += sale.lines[i].amount_fen
    for i in range(r.first[RULE_DISCOUNT], r.first[RULE_DISCOUNT + 1]):
        if applies(&r.rules[r.by_effect[i]], v.tier, t.gross_fen):
            active[n_active] = r.by_effect[i]
            n_active += 1
    for i in range(sale.n_lines):
        line = &sale.lines[i]
        out = &w.lines[i]
        out.index = i
        out.amount_fen = line.amount_fen
        out.quantity = line.quantity
        out.category = line.category
        out.flags = line.flags
        out.discount_fen = 0
        out.coupon_fen = 0
        out.covered_fen = 0
        out.net_fen = 0
        w.fault_line = i
        if line.flags & (F_COVER | F_REDEEM):
            if line.discount_fen or line.coupon_fen or line.flags & F_COVER and line.flags & F_REDEEM:
                return X_COVER_LINE if line.flags & F_COVER else X_REDEEM_LINE
            if line.flags & F_REDEEM and (line.quantity != 1 or line.flags & F_SPECIAL):
                return X_REDEEM_LINE
            out.covered_fen = line.amount_fen
        else:
            outcome = price_line(r, line, out, active, n_active, sale.explain, w)
            if outcome:
                return outcome
        t.discount_fen += out.discount_fen
        t.coupon_fen += out.coupon_fen
        t.covered_fen += out.covered_fen
        t.net_fen += out.net_fen
    w.fault_line = -1
    return OK


cdef int decide_own(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil:
    """Steps 2 to 5 on the card's own account. w.lots is left as the account will be, before earning."""
    cdef int i, outcome
    cdef int64_t want, spent
    memset(&w.t, 0, sizeof(Totals))
    w.n_postings = 0
    w.n_notes = 0
    w.fact = 0
    w.fault_line = -1
    memcpy(w.lots, v.lots, v.n_lots * sizeof(Lot))
    w.n_lots = v.n_lots
    outcome = price_lines(r, v, sale, w)
    if outcome:
        return outcome
    for i in range(sale.n_lines):
        if sale.lines[i].flags & F_COVER:
            outcome = cover_line(r, v, sale, i, at_s, w)
            if outcome:
                w.fault_line = i
                return outcome
    for i in range(sale.n_lines):
        if sale.lines[i].flags & F_REDEEM:
            outcome = redeem_line(r, v, sale, i, at_s, w)
            if outcome:
                w.fault_line = i
                return outcome
    if sale.points:
        outcome = deduct_points(r, v, sale, at_s, w)
        if outcome:
            return outcome
    want = w.t.net_fen - w.t.points_fen
    if sale.stored_max_fen >= 0:
        want = min(want, sale.stored_max_fen)
    spent = spend_stored(r, v, sale, at_s, w, want, R_STORED)
    if spent < 0:
        return <int> -spent
    return OK


# ------------------------------------------------------------------ 6 to 8
cdef int finish_sale(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil:
    """Steps 6 to 8: the shortfall, points, counters and tier, and the balances on the receipt."""
    cdef Totals* t = &w.t
    cdef Posting* p
    cdef int outcome
    t.outside_fen = t.net_fen - t.points_fen - t.principal_fen - t.bonus_fen - t.further_fen
    if t.outside_fen and (not sale.shortfall or (sale.shortfall_max_fen >= 0 and t.outside_fen > sale.shortfall_max_fen)):
        w.fact = t.outside_fen
        return D_INSUFFICIENT_FUNDS
    if w.n_postings + 4 > w.cap_postings:
        return X_TOO_MANY_POSTINGS
    if t.outside_fen:
        if sale.verb != HOLD:
            p = add(w)
            p.amount = t.outside_fen
            p.unit = FEN
            p.source = OUTSIDE
            p.target = SALES
            p.role = R_OUTSIDE
        if sale.explain:
            note(w, E_OUTSIDE, -1, -1, t.outside_fen, FEN, t.outside_fen, 0)
    t.after_points = points_after(r, w.lots, w.n_lots, at_s)
    t.after_money_fen = money_after(r, w.lots, w.n_lots, at_s)
    t.tier_before = v.tier
    t.tier_after = v.tier
    if sale.verb != HOLD:
        outcome = earn(r, v, w.lines, sale.n_lines, t.net_fen, t.gross_fen, at_s, w)
        if outcome:
            return outcome
        t.orders_delta = 1
        t.spend_delta_fen = t.net_fen - t.points_fen
        t.points_delta = t.points_earned
        t.tier_after = max(v.tier, reached_tier(
            r, v.spend_fen + t.spend_delta_fen, v.orders + 1, v.points_earned + t.points_delta))
        if t.tier_after != v.tier and sale.explain:
            note(w, E_PROMOTE, -1, -1, t.tier_after, FEN, v.tier, t.tier_after)
    else:
        # All that this hold keeps, further cards included: the open holds are part of the liability (M10).
        t.hold_fen = t.principal_fen + t.bonus_fen + t.further_fen
    t.liability_delta_fen = liability_change(w.postings, w.n_postings)
    return OK


# ------------------------------------------------------------------ Doorways
cdef Work _work
cdef bint _work_open = False
cdef bint _work_taken = False


cdef Work* take_work(Snapshot snapshot, int lines) except NULL:
    """The scalar doorway's scratch memory, grown to fit; give it back with `leave_work`.

    The GIL alone does not keep two decisions apart: a new object may run the collector, a finalizer lets another thread in,
    and a quote would then write into the sale that the desk is deciding. Who finds the memory taken gets some of its own.
    """
    global _work_open, _work_taken
    cdef int lots = max(64, snapshot.account.v.n_lots)
    cdef Snapshot other
    cdef Work* own
    for other in snapshot.others:
        lots = max(lots, other.account.v.n_lots)
    if _work_taken:
        own = <Work*> malloc(sizeof(Work))
        if own == NULL:
            raise MemoryError
        try:
            open_work(own, lots * 2, 8 * (lines + lots) + 64, NOTES_MAX)
        except MemoryError:
            free(own)
            raise
        return own
    if not _work_open:
        open_work(&_work, 64, 256, NOTES_MAX)
        _work_open = True
    if lots > _work.cap_lots or 4 * lines + 4 * lots + 64 > _work.cap_postings:
        close_work(&_work)
        _work_open = False
        open_work(&_work, lots * 2, 8 * (lines + lots) + 64, NOTES_MAX)
        _work_open = True
    _work_taken = True
    return &_work


cdef void leave_work(Work* w) noexcept:
    global _work_taken
    w.cap_notes = 0
    if w == &_work:
        _work_taken = False
    else:
        close_work(w)
        free(w)


class Line(NamedTuple):
    amount_fen: int
    quantity: int = 1
    category: str = ""
    sku: str = ""
    flags: int = 0
    counter_pay: int = 1
    counter_of: int = 1
    discount_fen: int = 0
    coupon_fen: int = 0


cdef str admit_line(LineIn* out, line):
    amount_fen, quantity, category, sku, flags, counter_pay, counter_of, discount_fen, coupon_fen = line
    out.amount_fen = admit_unsigned(amount_fen)
    if type(quantity) is not int or not 1 <= quantity <= 1_000_000:
        raise InvalidCommand("a quantity is 1 to 1000000")
    out.quantity = quantity
    if type(category) is not str or type(sku) is not str or len(category) > 64 or len(sku) > 64:
        raise InvalidCommand("category and sku are strings of at most 64 characters")
    if type(flags) is not int or not 0 <= flags <= F_ALL:
        raise InvalidCommand("unknown line flag")
    out.flags = flags
    if type(counter_pay) is not int or type(counter_of) is not int or not 0 <= counter_pay <= counter_of <= 10_000 or counter_of < 1:
        raise InvalidCommand("a counter rate is a fraction between 0 and 1 with a denominator of at most 10000")
    out.counter_pay = counter_pay
    out.counter_of = counter_of
    out.discount_fen = admit_unsigned(discount_fen)
    out.coupon_fen = admit_unsigned(coupon_fen)
    out.category = -1
    return category


cdef class Sale:
    def __cinit__(self, *args, **kwargs):
        memset(&self.c, 0, sizeof(SaleIn))

    def __dealloc__(self):
        free(self.lines)

    def __init__(
        self, str verb not None, lines, *, points=0, str shortfall_tender not None="", shortfall_max_fen=-1, stored_max_fen=-1,
        hold_seconds=0, bint explain=False, bytes memo not None=b"",
    ):
        if verb not in ("quote", "settle", "hold"):
            raise InvalidCommand(f"a sale is a quote, settle or hold, not {verb!r}")
        cdef Py_ssize_t count = len(lines)
        if not 1 <= count <= LINES_MAX:
            raise InvalidCommand(f"a ticket has 1 to {LINES_MAX} lines", lines=count)
        self.verb_code = HOLD if verb == "hold" else SETTLE if verb == "settle" else QUOTE
        self.lines = <LineIn*> calloc(count, sizeof(LineIn))
        if self.lines == NULL:
            raise MemoryError
        names = []
        for line in lines:
            names.append(admit_line(&self.lines[self.n_lines], line if type(line) is Line else Line(*line)))
            self.n_lines += 1
        self.category_names = tuple(names)
        self.c.points = -1 if points == -1 and type(points) is int else admit_unsigned(points)
        self.c.shortfall = shortfall_tender != ""
        self.c.shortfall_max_fen = -1 if type(shortfall_max_fen) is int and shortfall_max_fen == -1 else admit_unsigned(shortfall_max_fen)
        self.c.stored_max_fen = -1 if type(stored_max_fen) is int and stored_max_fen == -1 else admit_unsigned(stored_max_fen)
        self.c.explain = explain
        self.c.verb = self.verb_code
        self.c.lines = self.lines
        self.c.n_lines = self.n_lines
        self.hold_seconds = admit_unsigned(hold_seconds)
        if self.verb_code == HOLD and not 1 <= self.hold_seconds <= 366 * 86400:
            raise InvalidCommand("a hold lives for 1 second to 366 days")
        if len(shortfall_tender) > 32 or not shortfall_tender.isascii():
            raise InvalidCommand("the name of a tender is at most 32 ASCII characters")
        self.shortfall_tender = shortfall_tender
        self.memo = memo

    @property
    def verb(self):
        return "hold" if self.verb_code == HOLD else "settle" if self.verb_code == SETTLE else "quote"


cdef int refuse(int outcome, Work* w) except -1:
    facts = {}
    if w.fault_line >= 0:
        facts["line"] = w.fault_line
    if outcome in DECLINES:
        if outcome in _FACTS:
            facts[_FACTS[outcome]] = w.fact
        raise Declined(DECLINES[outcome], **facts)
    raise InvalidCommand(FAULTS[outcome], **facts)


cdef int spend_further(Snapshot snapshot, Sale sale, int64_t at_s, Work* w) except -1:
    """Further cards pay what is left, in the order given, each by its own programme's order (L03)."""
    cdef Snapshot other
    cdef Programme programme
    cdef int64_t left, spent
    for other in snapshot.others:
        left = w.t.net_fen - w.t.points_fen - w.t.principal_fen - w.t.bonus_fen - w.t.further_fen
        programme = other.programme
        if programme.currency != (<Programme> snapshot.programme).currency:
            raise Declined("currency_mismatch")
        memcpy(w.lots, other.account.v.lots, other.account.v.n_lots * sizeof(Lot))
        w.n_lots = other.account.v.n_lots
        spent = spend_stored(&programme.r, &other.account.v, &sale.c, at_s, w, left, R_FURTHER)
        if spent < 0:
            return <int> -spent
        w.t.further_fen += spent
    return OK


cdef Settlement decide_sale(Snapshot snapshot, Sale sale, int64_t at_us):
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Value* v = &snapshot.account.v
    cdef Work* w
    cdef int64_t at_s = at_us // 1_000_000
    cdef int i, outcome, own_lots
    cdef Settlement s
    if sale.verb_code == HOLD and snapshot.account.n_holds >= HOLDS_MAX:
        raise Declined("limit_exceeded", limit=HOLDS_MAX, what="open holds of one account")
    if sale.resolved_for is not programme:
        for i in range(sale.n_lines):
            sale.lines[i].category = programme.categories.get(sale.category_names[i], -1)
        sale.resolved_for = programme
    w = take_work(snapshot, sale.n_lines)
    try:
        w.cap_notes = NOTES_MAX if sale.c.explain else 0
        outcome = decide_own(r, v, &sale.c, at_s, w)
        if outcome == OK and snapshot.others:
            others = [(<Snapshot> other).account.v.account_id for other in snapshot.others]
            if len(others) > 8:
                raise InvalidCommand("a ticket has at most 8 further cards")
            if len({v.account_id, *others}) != len(others) + 1:
                raise Declined("same_card")
            own_lots = w.n_lots
            kept = (<char*> w.lots)[:own_lots * sizeof(Lot)]
            outcome = spend_further(snapshot, sale, at_s, w)
            memcpy(w.lots, <char*> kept, own_lots * sizeof(Lot))
            w.n_lots = own_lots
        if outcome == OK:
            outcome = finish_sale(r, v, &sale.c, at_s, w)
        if outcome:
            refuse(outcome, w)
        s = new_settlement(sale.verb_code, programme, snapshot.account)
        s.t = w.t
        copy_out(s, w, sale.n_lines)
    finally:
        leave_work(w)
    s.memo = sale.memo
    if s.t.outside_fen:
        s.outside_tender = sale.shortfall_tender
    if sale.verb_code == HOLD:
        s.t.expires_at = at_s + sale.hold_seconds
        s.outside_tender = sale.shortfall_tender
    if snapshot.others:
        s.further_accounts = other_accounts(s)
    return s


cdef tuple other_accounts(Settlement s):
    """The other accounts whose value the postings move, in posting order (for a sale: in tender order)."""
    cdef int i
    seen = []
    for i in range(s.n_postings):
        for account in (s.postings_[i].source_account, s.postings_[i].target_account):
            if account and account != s.account_id and account not in seen:
                seen.append(account)
    return tuple(seen)


cdef int copy_out(Settlement s, Work* w, int n_lines) except -1:
    s.postings_ = <Posting*> malloc(w.n_postings * sizeof(Posting) + 1)
    s.lines_ = <LineOut*> malloc(n_lines * sizeof(LineOut) + 1)
    s.notes_ = <Note*> malloc(w.n_notes * sizeof(Note) + 1) if w.n_notes else NULL
    if s.postings_ == NULL or s.lines_ == NULL or (w.n_notes and s.notes_ == NULL):
        raise MemoryError
    memcpy(s.postings_, w.postings, w.n_postings * sizeof(Posting))
    memcpy(s.lines_, w.lines, n_lines * sizeof(LineOut))
    if w.n_notes:
        memcpy(s.notes_, w.notes, w.n_notes * sizeof(Note))
    s.n_postings = s.cap_postings = w.n_postings
    s.n_lines = n_lines
    s.n_notes = s.cap_notes = w.n_notes
    return 0
