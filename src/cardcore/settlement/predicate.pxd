from libc.stdint cimport int32_t, int64_t, uint64_t

from cardcore.settlement.rules cimport PREDICATE_WORDS, Programme, Rules

# What the facts of a snapshot say to one programme's conditions.
cdef struct Known:
    uint64_t words[PREDICATE_WORDS]
    int32_t birth_month
    int32_t birth_day

cdef int know(object facts, Programme programme, str tender, str event, Known* out) except -1
cdef void answer(const Rules* r, const Known* known, int64_t at_s, uint64_t* truth) noexcept nogil
