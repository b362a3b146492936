from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Settlement, Snapshot

cdef Settlement decide_capture(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_void(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_release(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_refund(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_reverse(Snapshot snapshot, object command, int64_t at_us)
