from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Account, Posting, Settlement, Snapshot

cdef Posting* undo(Settlement s, const Posting* done, int index, int64_t amount) except NULL
cdef Account as_returned(Settlement s, Snapshot snapshot)
cdef Account collect_owed(Settlement s, Snapshot snapshot, bint explain)
cdef dict claw_granted(
    Settlement s, Snapshot snapshot, Account scratch, int64_t remaining_after, bint whole, list undone, list lost_value, int64_t at_s, bint explain
)
cdef int claw_back(
    Settlement s, Snapshot snapshot, Account scratch, int64_t clawed_before, int64_t remaining_after, int64_t lost, int64_t at_s, bint explain
) except -1
