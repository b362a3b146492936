from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Settlement, Snapshot

cdef Settlement decide_load(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_unload(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_pay(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_arrive(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_return(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_clear(Snapshot snapshot, object command, int64_t at_us)
