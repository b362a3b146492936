from libc.stdint cimport int64_t

from cardcore.settlement.model cimport LineOut, Value
from cardcore.settlement.rules cimport Rules
from cardcore.settlement.tender cimport Work

cdef int earn(
    const Rules* r, const Value* v, const LineOut* lines, int n_lines, int64_t net_fen, int64_t gross_fen, int64_t at_s, Work* w
) except -1 nogil
