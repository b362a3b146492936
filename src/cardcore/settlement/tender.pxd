"""Outcomes, scratch memory and the tenders of the compiled decision."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from cardcore.money cimport AMOUNT_LIMIT
from cardcore.settlement.model cimport FEN, LineIn, LineOut, Lot, Note, POINTS, Posting, Totals, VISITS, Value
from cardcore.settlement.rules cimport Rules, covers

# Outcomes of the compiled decision; named in sale.pyx: DECLINES and FAULTS.
cdef enum Outcome:
    OK = 0
    D_INSUFFICIENT_FUNDS = 1
    D_INSUFFICIENT_POINTS = 2
    D_POINTS_NOT_ALLOWED = 3
    D_NOT_COVERED = 4
    D_TOO_SOON = 5
    D_USED_UP_TODAY = 6
    D_LIMIT_EXCEEDED = 7
    X_DISCOUNT_OVER_LINE = 20
    X_COUPON_OVER_LINE = 21
    X_REDEEM_LINE = 22
    X_COVER_LINE = 23
    X_TOO_MANY_RATES = 24
    X_TOO_MANY_POSTINGS = 25

cdef struct SaleIn:
    const LineIn* lines
    int32_t n_lines
    int32_t verb
    int32_t shortfall
    int32_t explain
    int64_t points
    int64_t stored_max_fen
    int64_t shortfall_max_fen

cdef struct Work:
    Posting* postings
    LineOut* lines
    Lot* lots
    int32_t* order
    Note* notes
    int32_t n_postings
    int32_t cap_postings
    int32_t n_lots
    int32_t cap_lots
    int32_t n_notes
    int32_t cap_notes
    int32_t fault_line
    int32_t memo_months
    int32_t memo_days
    int32_t memo_offset_s
    int64_t memo_at_s
    int64_t memo_expiry
    int64_t fact
    Totals t

cdef int open_work(Work* w, int lots, int postings, int notes) except -1
cdef void close_work(Work* w) noexcept nogil
cdef void note(Work* w, int effect, int rule, int line, int64_t amount, int unit, int64_t before, int64_t after) noexcept nogil


cdef inline Posting* add(Work* w) noexcept nogil:
    """The next posting, blank. The caller has made sure there is room."""
    cdef Posting* p = &w.postings[w.n_postings]
    memset(p, 0, sizeof(Posting))
    p.line = -1
    p.undoes = -1
    p.purse = -1
    w.n_postings += 1
    return p


# Lots; inline, because each decision asks several times and a call between modules costs more than the answer.
cdef inline bint before(const Rules* r, const Lot* a, const Lot* b) noexcept nogil:
    """The programme's spending order: soonest expiry (never = last), then listed purse, then age; or purse first."""
    cdef int64_t ea = a.expires_at if a.expires_at else (<int64_t> 1 << 62)
    cdef int64_t eb = b.expires_at if b.expires_at else (<int64_t> 1 << 62)
    if r.listed_order and a.purse != b.purse:
        return a.purse < b.purse
    if ea != eb:
        return ea < eb
    if a.purse != b.purse:
        return a.purse < b.purse
    return a.lot_id < b.lot_id


cdef inline int select_lots(
    const Rules* r, const Lot* lots, int n_lots, int64_t at_s, int unit, int category, int32_t* order
) noexcept nogil:
    """Indices of the unexpired lots of a unit (category >= 0: of entitlements that cover it) in spending order."""
    cdef int i, k, n = 0
    cdef const Lot* lot
    for i in range(n_lots):
        lot = &lots[i]
        if lot.amount <= 0 or (lot.expires_at and lot.expires_at <= at_s):
            continue
        if category >= 0:
            if r.purses[lot.purse].unit < VISITS or not covers(r.purses[lot.purse].covers, category):
                continue
        elif r.purses[lot.purse].unit != unit:
            continue
        k = n
        while k > 0 and before(r, lot, &lots[order[k - 1]]):
            order[k] = order[k - 1]
            k -= 1
        order[k] = i
        n += 1
    return n


cdef inline int64_t sum_lots(const Rules* r, const Lot* lots, int n_lots, int64_t at_s, int unit) noexcept nogil:
    cdef int i
    cdef int64_t total = 0
    for i in range(n_lots):
        if r.purses[lots[i].purse].unit == unit and (lots[i].expires_at == 0 or lots[i].expires_at > at_s):
            total += lots[i].amount
    return total


cdef inline int64_t points_after(const Rules* r, const Lot* lots, int n_lots, int64_t at_s) noexcept nogil:
    return sum_lots(r, lots, n_lots, at_s, POINTS)


cdef inline int64_t money_after(const Rules* r, const Lot* lots, int n_lots, int64_t at_s) noexcept nogil:
    return sum_lots(r, lots, n_lots, at_s, FEN)


cdef inline int64_t same_lot(
    const Value* v, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units
) noexcept nogil:
    """The lot that already stands for the same purse, expiry and paid ratio, or 0: equal value is kept in one lot."""
    cdef int i
    cdef const Lot* lot
    for i in range(v.n_lots):
        lot = &v.lots[i]
        if (lot.purse == purse and lot.expires_at == expires_at and lot.paid_fen == paid_fen and lot.of_units == of_units
                and lot.used_on == 0 and lot.amount <= AMOUNT_LIMIT - amount):
            return lot.lot_id
    return 0


cdef int cover_line(const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w) except -1 nogil
cdef int redeem_line(const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w) except -1 nogil
cdef int deduct_points(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil
cdef int64_t spend_stored(
    const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w, int64_t want_fen, int role
) except -1 nogil
