# cython: overflowcheck=False
"""Nonces seen in the last minutes, 16 bytes each: a Python set would take five times the memory at till rates (F4).

One open-addressed table of 64-bit digests per span of signed time. A span is dropped whole once its time is out of the
window, and can never come back: `floor` only rises. Overflow checks are off: indexes are masked.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

cdef enum:
    SPAN_S = 64
    FIRST_SIZE = 1024


cdef class _Span:
    """The digests of one span; 0 marks a free slot, so a digest of 0 is kept as 1."""

    cdef uint64_t* slots
    cdef uint64_t size
    cdef readonly uint64_t used

    def __cinit__(self):
        self.size = FIRST_SIZE
        self.slots = <uint64_t*> calloc(FIRST_SIZE, sizeof(uint64_t))
        if self.slots is NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.slots)

    cdef bint put(self, uint64_t digest) except? -1:
        """True when it was new."""
        if self.used * 2 >= self.size:
            self.grow()
        cdef uint64_t at = digest & (self.size - 1)
        while self.slots[at] != 0:
            if self.slots[at] == digest:
                return False
            at = (at + 1) & (self.size - 1)
        self.slots[at] = digest
        self.used += 1
        return True

    cdef bint has(self, uint64_t digest) noexcept:
        cdef uint64_t at = digest & (self.size - 1)
        while self.slots[at] != 0:
            if self.slots[at] == digest:
                return True
            at = (at + 1) & (self.size - 1)
        return False

    cdef int grow(self) except -1:
        cdef uint64_t* old = self.slots
        cdef uint64_t old_size = self.size
        cdef uint64_t i
        cdef uint64_t at
        cdef uint64_t* fresh = <uint64_t*> calloc(old_size * 2, sizeof(uint64_t))
        if fresh is NULL:
            raise MemoryError()
        for i in range(old_size):
            if old[i] != 0:
                at = old[i] & (old_size * 2 - 1)
                while fresh[at] != 0:
                    at = (at + 1) & (old_size * 2 - 1)
                fresh[at] = old[i]
        self.slots = fresh
        self.size = old_size * 2
        free(old)
        return 0


cdef class NonceTable:
    cdef dict spans
    cdef uint64_t limit
    cdef int64_t window_s
    cdef readonly int64_t floor

    def __init__(self, uint64_t limit, int64_t window_s):
        self.spans = {}
        self.limit = limit
        self.window_s = window_s
        self.floor = 0

    def forget_before(self, int64_t second):
        if second > self.floor:
            self.floor = second

    def add(self, int64_t digest, int64_t signed_at, int64_t now):
        if signed_at < self.floor:
            return 1
        cdef int64_t number = signed_at // SPAN_S
        cdef _Span span = self.spans.get(number)
        if span is None:
            self.drop(now)
            span = self.spans[number] = _Span()
        cdef uint64_t mark = <uint64_t> digest if digest != 0 else 1
        cdef uint64_t used = 0
        for other in self.spans.values():  # a dozen at most; the same nonce under another time is refused too
            if (<_Span> other).has(mark):
                return 1
            used += (<_Span> other).used
        if used >= self.limit:
            return -1
        span.put(mark)
        return 0

    cdef int drop(self, int64_t now) except -1:
        """Let go of the spans whose every second is out of the window."""
        for number in list(self.spans):
            if (number + 1) * SPAN_S <= now - self.window_s:
                del self.spans[number]
                self.forget_before((number + 1) * SPAN_S)
        return 0

    def count(self):
        cdef uint64_t total = 0
        for span in self.spans.values():
            total += (<_Span> span).used
        return total
