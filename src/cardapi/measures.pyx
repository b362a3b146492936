"""Counts and times; see the stubs."""

cimport cython
from libc.stdint cimport int64_t

cdef enum:
    BOUNDS_MAX = 20

LATENCY_US = (250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000)
SYNC_US = (50, 100, *LATENCY_US)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)


@cython.final
cdef class Histogram:
    cdef readonly tuple bounds
    cdef readonly int64_t total
    cdef int buckets  # without the one above the last bound
    cdef int64_t upto[BOUNDS_MAX]
    cdef int64_t counted[BOUNDS_MAX + 1]

    def __init__(self, tuple bounds not None):
        cdef int i
        if len(bounds) > BOUNDS_MAX:
            raise ValueError("too many bounds")
        self.bounds = bounds
        self.total = 0
        self.buckets = <int> len(bounds)
        for i in range(self.buckets):
            self.upto[i] = bounds[i]
        for i in range(self.buckets + 1):
            self.counted[i] = 0

    @property
    def counts(self):
        return [self.counted[i] for i in range(self.buckets + 1)]

    cdef int count(self, int64_t value) except -1:
        cdef int i = 0
        while i < self.buckets and value > self.upto[i]:
            i += 1
        self.counted[i] += 1
        self.total += value
        return 0

    def observe(self, int64_t value):
        self.count(value)

    def add(self, Histogram other not None):
        cdef int i
        if other.bounds != self.bounds:
            raise ValueError("histograms of other bounds")
        for i in range(self.buckets + 1):
            self.counted[i] += other.counted[i]
        self.total += other.total


@cython.final
cdef class Commits:
    cdef readonly Histogram entries
    cdef readonly Histogram write_us
    cdef readonly Histogram sync_us
    cdef public int64_t tried_again

    def __cinit__(self):
        self.entries = Histogram(SIZES)
        self.write_us = Histogram(SYNC_US)
        self.sync_us = Histogram(SYNC_US)
        self.tried_again = 0

    def record(self, int64_t entries, int64_t write_ns, int64_t sync_ns):
        self.entries.count(entries)
        self.write_us.count(write_ns // 1_000)
        self.sync_us.count(sync_ns // 1_000)

    @classmethod
    def sum(cls, parts):
        cdef Commits whole = Commits()
        cdef Commits part
        for part in parts:
            whole.entries.add(part.entries)
            whole.write_us.add(part.write_us)
            whole.sync_us.add(part.sync_us)
            whole.tried_again += part.tried_again
        return whole
