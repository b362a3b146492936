from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Posting, Value

cdef int fold(Value* v, int64_t account_id, const Posting* postings, int n) noexcept nogil
cdef int credit_lot(
    Value* v, int64_t lot_id, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units
) noexcept nogil
cdef int64_t liability_change(const Posting* postings, int n) noexcept nogil
