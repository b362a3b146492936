from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Account, Settlement, Snapshot
from cardcore.settlement.rules cimport Rules

cdef Settlement decide_topup(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_transfer(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_adjust(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_expire(Snapshot snapshot, object command, int64_t at_us)
cdef int settle_balances(const Rules* r, Settlement s, Account account, int64_t at_s) except -1
