from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Posting, Settlement, Snapshot

cdef Posting* undo(Settlement s, const Posting* done, int index, int64_t amount) except NULL
cdef Settlement decide_capture(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_void(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_release(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_refund(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_reverse(Snapshot snapshot, object command, int64_t at_us)
