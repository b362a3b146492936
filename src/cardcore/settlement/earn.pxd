"""Points on what was paid in money: steps, multipliers, milestones, what is owed first (E01-E07, E16, X01, X03).

Called by a settle with what each tender paid, and by a capture with the captured share.
"""

from libc.stdint cimport int64_t, uint64_t

from cardcore.money cimport AMOUNT_LIMIT, cc_muldiv, cc_steps
from cardcore.settlement.counter cimport quota_left, use_quota
from cardcore.settlement.grant cimport within_caps
from cardcore.settlement.model cimport (
    CUSTOMER, E_EARN, E_MILESTONE, E_OWED, LineOut, LOTS_MAX, OWED, POINTS, POINTS_ISSUE, Posting, R_EARN, Totals, Value,
)
from cardcore.settlement.rules cimport (
    BASE_BONUS, BASE_FURTHER, BASE_OUTSIDE, BASE_PRINCIPAL, RULE_ACCRUE, RULE_CAP, RULE_MILESTONE, RULE_STEP, Rule, Rules, applies, first_of_group, fits, lapse,
)
from cardcore.settlement.tender cimport D_LIMIT_EXCEEDED, OK, Work, add, note, same_lot


cdef inline int64_t lapse_known(const Rules* r, int purse, int64_t at_s, Work* w) noexcept nogil:
    """`lapse`, remembered: a batch asks for the same second again and again."""
    cdef int months = r.purses[purse].months, days = r.purses[purse].days
    if r.purses[purse].first_use or (months == 0 and days == 0):
        return 0
    if w.memo_at_s != at_s or w.memo_months != months or w.memo_days != days or w.memo_offset_s != r.utc_offset_s:
        w.memo_expiry = lapse(r, purse, at_s)
        w.memo_at_s, w.memo_months, w.memo_days, w.memo_offset_s = at_s, months, days, r.utc_offset_s
    return w.memo_expiry


cdef inline void grant_points(const Rules* r, const Value* v, int64_t points, int64_t at_s, Work* w) noexcept nogil:
    """What is owed is paid first (X03); the rest becomes a lot of the points purse."""
    cdef int64_t owed = min(points, v.owed_points)
    cdef int purse = r.points_purse
    cdef Posting* p
    if owed:
        p = add(w)
        p.amount = owed
        p.unit = POINTS
        p.source = POINTS_ISSUE
        p.target = OWED
        p.target_account = v.account_id
        p.role = R_EARN
        if w.cap_notes:
            note(w, E_OWED, -1, -1, owed, POINTS, v.owed_points, v.owed_points - owed)
    if points > owed:
        p = add(w)
        p.amount = points - owed
        p.unit = POINTS
        p.source = POINTS_ISSUE
        p.target = CUSTOMER
        p.target_account = v.account_id
        p.purse = purse
        p.expires_at = lapse_known(r, purse, at_s, w)
        p.role = R_EARN
        p.target_lot = same_lot(v, purse, p.amount, p.expires_at, 0, 0)
        if p.target_lot == 0:
            p.target_lot = w.next_lot
            w.next_lot += 1
        w.t.after_points += points - owed


cdef inline int64_t eligible_fen(const Rule* rule, const LineOut* lines, int n_lines, int64_t net_fen) noexcept nogil:
    """The net of the lines that a rule is about; of what has no lines, all."""
    cdef int k
    cdef int64_t eligible = 0
    if n_lines == 0 or (rule.any_category and not rule.flags_all and not rule.flags_none):
        return net_fen
    for k in range(n_lines):
        if fits(rule, lines[k].category, lines[k].flags):
            eligible += lines[k].net_fen
    return eligible


cdef inline int64_t counted_fen(const Rule* rule, const Totals* t) noexcept nogil:
    """What the tenders that count for a rule have paid."""
    cdef int64_t counted = 0
    if rule.base & BASE_PRINCIPAL:
        counted += t.principal_fen
    if rule.base & BASE_BONUS:
        counted += t.bonus_fen
    if rule.base & BASE_OUTSIDE:
        counted += t.outside_fen
    if rule.base & BASE_FURTHER:
        counted += t.further_fen
    return counted


cdef inline int earn(
    const Rules* r, const Value* v, int on, const LineOut* lines, int n_lines, int64_t net_fen, int64_t gross_fen, int64_t at_s, Work* w
) except -1 nogil:
    """Points on what was paid in money (E01-E07, E16), by the rules of sales or events. `net_fen` is the whole ticket's, w.t what each tender paid."""
    cdef int i, j
    cdef int64_t eligible, base, points, left, total = 0
    cdef const Rule* rule
    cdef uint64_t acted = 0
    if r.points_purse < 0 or not r.member:
        return OK
    for j in range(r.first[on + RULE_ACCRUE], r.first[on + RULE_ACCRUE + 1]):
        i = r.by_effect[j]
        rule = &r.rules[i]
        if net_fen > 0 and applies(rule, v.tier, gross_fen, w.truth):
            eligible = eligible_fen(rule, lines, n_lines, net_fen)
            left = quota_left(r, rule, &w.tally) if rule.n_quotas else AMOUNT_LIMIT
            if eligible == 0 or left <= 0 or not first_of_group(rule, &acted):
                continue
            # Rounding: floor, once for the base and once for the steps; the multiplier comes after the step.
            base = cc_muldiv(eligible, counted_fen(rule, &w.t), net_fen)
            points = cc_steps(base, rule.per_fen, rule.amount, rule.multiplier, rule.multiplier_of)
            if points < 0 or points > AMOUNT_LIMIT - total:
                w.fact = AMOUNT_LIMIT
                return D_LIMIT_EXCEEDED
            points = min(points, left)
            if points and rule.n_quotas:
                use_quota(rule, points, &w.tally)
            if points and w.cap_notes:
                note(w, E_EARN, i, -1, points, POINTS, base, total + points)
            total += points
    acted = 0
    for j in range(r.first[on + RULE_MILESTONE], r.first[on + RULE_MILESTONE + 1]):
        i = r.by_effect[j]
        rule = &r.rules[i]
        left = quota_left(r, rule, &w.tally) if rule.n_quotas else AMOUNT_LIMIT
        if (total >= rule.earned_min and (total > 0 or rule.earned_min == 0) and left > 0
                and applies(rule, v.tier, gross_fen, w.truth) and first_of_group(rule, &acted)):
            if min(rule.amount, left) > AMOUNT_LIMIT - total:
                w.fact = AMOUNT_LIMIT
                return D_LIMIT_EXCEEDED
            points = min(rule.amount, left)
            if w.cap_notes:
                note(w, E_MILESTONE, i, -1, points, POINTS, total, total + points)
            use_quota(rule, points, &w.tally)
            total += points
    if total and r.first[on + RULE_CAP] != r.first[on + RULE_CAP + 1]:
        total = within_caps(r, on, r.points_purse, v.tier, gross_fen, 0, total, w)
    for j in range(r.first[on + RULE_STEP], r.first[on + RULE_STEP + 1]):
        i = r.by_effect[j]
        rule = &r.rules[i]
        if applies(rule, v.tier, gross_fen, w.truth):
            # Steps that the counter passes with this ticket; a refund gives back those that it falls below.
            base = w.tally.had[rule.counter] + w.tally.gained[rule.counter]
            points = cc_muldiv(base // rule.per_fen - w.tally.had[rule.counter] // rule.per_fen, rule.amount, 1)
            if points < 0 or points > AMOUNT_LIMIT - total:
                w.fact = AMOUNT_LIMIT
                return D_LIMIT_EXCEEDED
            if points and w.cap_notes:
                note(w, E_MILESTONE, i, -1, points, POINTS, total, total + points)
            w.tally.stepped += points
            total += points
    if total and v.n_lots >= LOTS_MAX:
        w.fact = LOTS_MAX
        return D_LIMIT_EXCEEDED
    w.t.points_earned = total
    if total:
        grant_points(r, v, total, at_s, w)
    return OK
