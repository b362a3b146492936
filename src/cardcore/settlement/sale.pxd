"""The compiled decision of a sale, shared by the scalar doorway (`decide`) and the batch (`batch`)."""

from libc.stdint cimport int64_t

from cardcore.settlement.model cimport LineIn, Settlement, Snapshot, Value
from cardcore.settlement.rules cimport Rules
from cardcore.settlement.tender cimport *

cdef class Sale:
    cdef LineIn* lines
    cdef readonly int n_lines
    cdef readonly int verb_code
    cdef SaleIn c
    cdef readonly str shortfall_tender
    cdef readonly int64_t hold_seconds
    cdef readonly bytes memo
    cdef tuple category_names
    cdef object resolved_for

cdef int decide_own(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil
cdef int finish_sale(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil
cdef Settlement decide_sale(Snapshot snapshot, Sale sale, int64_t at_us)
cdef Work* take_work(Snapshot snapshot, int lines) except NULL
cdef void leave_work(Work* w) noexcept
cdef int copy_out(Settlement s, Work* w, int n_lines) except -1
cdef tuple other_accounts(Settlement s)
