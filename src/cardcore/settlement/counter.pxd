"""Counters: what an account has done in a period, read before a decision and moved by it (decision 0013)."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from cardcore.settlement.model cimport Account, Counter, LineOut, Move, Settlement, Totals
from cardcore.settlement.rules cimport COUNTERS_MAX, Programme, Rule, Rules

# Where the counters of a programme stand for one account at one moment, and what the decision adds. Same places as Rules.counters.
cdef struct Tally:
    int32_t period[COUNTERS_MAX]
    int64_t had[COUNTERS_MAX]
    int64_t gained[COUNTERS_MAX]
    int32_t counted[COUNTERS_MAX]
    int64_t stepped

cdef void open_tally(const Rules* r, const Counter* counters, int n_counters, int64_t at_s, Tally* t) noexcept nogil
cdef void answer_had(const Rules* r, const Tally* t, uint64_t* truth) noexcept nogil
cdef void answer_reached(const Rules* r, const Tally* t, uint64_t* truth) noexcept nogil
cdef void tally_ticket(const Rules* r, const LineOut* lines, int n_lines, int64_t net_fen, int64_t money_fen, Tally* t) noexcept nogil
cdef void tally_amount(const Rules* r, int counts, int64_t amount, Tally* t) noexcept nogil
cdef int tier_by_counters(const Rules* r, const Tally* t) noexcept nogil
cdef int tier_after_return(Settlement s, const Rules* r, Account account, int64_t at_s) except -1
cdef int put_moves(Settlement s, const Rules* r, const Tally* t) except -1
cdef int fold_moves(Account account, const Move* moves, int n) except -1
cdef int64_t move_back(
    Settlement s, const Rules* r, Account account, Settlement ticket, int64_t before_fen, int64_t refund_fen, bint whole, list lost_value
) except -1
cdef tuple rebates_gone(const Rules* r, Account account, Settlement event, int64_t at_s)
cdef int move_points_back(Settlement s, const Rules* r, Settlement ticket, int64_t points, int64_t stepped, dict value) except -1
cdef int32_t period_of(int per, int64_t day) noexcept nogil
cdef int64_t last_moment(const Rules* r, int per, int64_t at_s) noexcept nogil
cdef int64_t counted(Account account, int32_t counter, int32_t period) noexcept
cdef int tally_event(Programme programme, str event, Tally* t) except -1
cdef int64_t stepped(Settlement s) noexcept


cdef inline int64_t quota_left(const Rules* r, const Rule* rule, const Tally* t) noexcept nogil:
    """How many units a rule may still give: 0 where its quotas are used up, the largest number where nothing bounds it."""
    cdef int i, k
    cdef int64_t left = <int64_t> 1 << 60, room
    for i in range(rule.n_quotas):
        k = rule.quotas[i].counter
        room = rule.quotas[i].limit - t.had[k] - t.gained[k]
        if room <= 0:
            return 0
        if rule.quotas[i].units:
            left = min(left, room)
    return left


cdef inline void use_quota(const Rule* rule, int64_t units, Tally* t) noexcept nogil:
    """A rule has acted once and given so many units."""
    cdef int i
    for i in range(rule.n_quotas):
        t.gained[rule.quotas[i].counter] += units if rule.quotas[i].units else 1
