from libc.stdint cimport int64_t

from cardcore.settlement.model cimport Account, Posting, Settlement, Snapshot
from cardcore.settlement.rules cimport Rules

cdef Settlement decide_topup(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_fee(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_transfer(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_adjust(Snapshot snapshot, object command, int64_t at_us)
cdef Settlement decide_expire(Snapshot snapshot, object command, int64_t at_us)
cdef int post_money(Settlement s, int64_t amount_fen, int source, int target, int role, int line=*) except -1
cdef int settle_balances(const Rules* r, Settlement s, Account account, int64_t at_s) except -1
cdef int settle_all(Snapshot snapshot, Settlement s, int64_t at_s) except -1
cdef Posting* credit(
    Settlement s, const Rules* r, Account scratch, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units
) except NULL
cdef int purse_with_role(const Rules* r, int role) noexcept nogil
cdef int64_t money_elsewhere(Account account) noexcept
cdef int64_t whole_money(const Rules* r, Account account, int64_t at_s)
