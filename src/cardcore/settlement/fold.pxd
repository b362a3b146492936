from libc.stdint cimport int64_t

from cardcore.settlement.model cimport CUSTOMER, FEN, HELD, IN_FLIGHT, ON_CARD, Posting, Value

cdef int fold(Value* v, int64_t account_id, const Posting* postings, int n) noexcept nogil
cdef int credit_lot(
    Value* v, int64_t lot_id, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units
) noexcept nogil


cdef inline bint owed_to_customers(int kind) noexcept nogil:
    return kind == CUSTOMER or kind == HELD or kind == ON_CARD or kind == IN_FLIGHT


cdef inline int64_t liability_change(const Posting* postings, int n) noexcept nogil:
    """What the postings add to all customers' money: held, on cards and on its way to them included (M10)."""
    cdef int i
    cdef int64_t change = 0
    for i in range(n):
        if postings[i].unit == FEN:
            if owed_to_customers(postings[i].target):
                change += postings[i].amount
            if owed_to_customers(postings[i].source):
                change -= postings[i].amount
    return change
