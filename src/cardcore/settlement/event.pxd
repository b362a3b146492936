from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Settlement, Snapshot

cdef Settlement decide_event(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_review(Snapshot snapshot, object command, int64_t at_us)
