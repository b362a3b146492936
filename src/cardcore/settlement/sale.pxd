"""A sale as a command, and its doorway; the decision itself is in `ticket`."""

from libc.stdint cimport int64_t

from cardcore.settlement.model cimport LineIn, LineOut, Settlement, Snapshot
from cardcore.settlement.tender cimport *

cdef class Sale:
    cdef LineIn* lines
    cdef readonly int n_lines
    cdef readonly int verb_code
    cdef SaleIn c
    cdef readonly str shortfall_tender
    cdef readonly int64_t hold_seconds
    cdef readonly bytes memo
    cdef readonly tuple coupons
    cdef tuple category_names
    cdef tuple skus
    cdef object resolved_for

cdef Sale plain_settle(
    const LineIn* lines, int n_lines, tuple categories, int64_t points, str shortfall_tender, int64_t shortfall_max_fen,
    int64_t stored_max_fen, bint explain
)
cdef Settlement decide_sale(Snapshot snapshot, Sale sale, int64_t at_us)
cdef Work* take_work(Snapshot snapshot, int lines) except NULL
cdef void leave_work(Work* w) noexcept
cdef int copy_out(Settlement s, Work* w, int n_lines) except -1
cdef tuple other_accounts(Settlement s)
