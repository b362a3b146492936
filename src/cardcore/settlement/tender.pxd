"""Outcomes, scratch memory and the tenders of the compiled decision."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from cardcore.settlement.model cimport LineIn, LineOut, Lot, Note, Posting, Totals, Value
from cardcore.settlement.rules cimport Rules

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


cdef int select_lots(const Rules* r, const Lot* lots, int n_lots, int64_t at_s, int unit, int category, int32_t* order) noexcept nogil
cdef int64_t points_after(const Rules* r, const Lot* lots, int n_lots, int64_t at_s) noexcept nogil
cdef int64_t money_after(const Rules* r, const Lot* lots, int n_lots, int64_t at_s) noexcept nogil
cdef int64_t same_lot(const Value* v, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units) noexcept nogil
cdef int cover_line(const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w) except -1 nogil
cdef int redeem_line(const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w) except -1 nogil
cdef int deduct_points(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil
cdef int64_t spend_stored(
    const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w, int64_t want_fen, int role
) except -1 nogil
