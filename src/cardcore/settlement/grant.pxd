from libc.stdint cimport int64_t, uint64_t

from cardcore.settlement.counter cimport Tally
from cardcore.settlement.model cimport LineOut, Posting, Value
from cardcore.settlement.rules cimport Rule, Rules
from cardcore.settlement.tender cimport Work

cdef int64_t within_room(const Rules* r, const Value* v, int64_t amount, Work* w) noexcept nogil
cdef int64_t within_caps(
    const Rules* r, int on, int purse, int tier, int64_t gross_fen, int64_t so_far, int64_t amount, Work* w
) noexcept nogil
cdef int give(
    const Rules* r, const Value* v, int purse, int award, int months, int days, int own_end, int64_t amount, int64_t at_s, int role, Work* w
) except -1 nogil
cdef int give_all(
    const Rules* r, const Value* v, int on, const LineOut* lines, int n_lines, int64_t net_fen, int64_t gross_fen, int64_t at_s, Work* w
) except -1 nogil
cdef void promote(const Rules* r, int tier, int on, int64_t gross_fen, const uint64_t* truth, Tally* t, Work* w) noexcept nogil
cdef int64_t given_of(const Work* w, int purse) noexcept nogil
