"""What a sale or an event gives besides points: rebates, grants of value, visits, passes and awards, scores, jumps to a tier, and caps.

Few packs give any of it, so a sale calls in here only where `Rules.gives` says so; an event always does (docs/pack-format.md, C03, K02, T03).
"""

from libc.stdint cimport int64_t, uint64_t

from cardcore.money cimport AMOUNT_LIMIT, cc_muldiv
from cardcore.settlement.counter cimport quota_left, use_quota
from cardcore.settlement.earn cimport counted_fen, eligible_fen
from cardcore.settlement.fold cimport owed_of
from cardcore.settlement.model cimport (
    AWARD, AWARD_ISSUE, AWARDED, BONUS_COST, CUSTOMER, E_CAP, E_GIFT, E_JUMP, E_OWED, E_REBATE, E_SCORE, ENTITLEMENT_ISSUE, FEN, LOTS_MAX, OWED,
    Posting, R_GRANT, R_REBATE, VISITS,
)
from cardcore.settlement.rules cimport (
    RULE_CAP, RULE_GIFT, RULE_PROMOTE, RULE_REBATE, RULE_SCORE, Rule, Rules, applies, expiry, first_of_group, fits, lapse,
)
from cardcore.settlement.tender cimport D_LIMIT_EXCEEDED, OK, Work, X_TOO_MANY_POSTINGS, add, note, same_lot


cdef int64_t within_caps(
    const Rules* r, int on, int purse, int tier, int64_t gross_fen, int64_t so_far, int64_t amount, Work* w
) noexcept nogil:
    """What the caps of a purse leave of an amount, counted by them. `so_far`: what this ticket has given of it."""
    cdef int i, k
    cdef int64_t left = amount, room
    cdef const Rule* rule
    for k in range(r.first[on + RULE_CAP], r.first[on + RULE_CAP + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if rule.purse != purse or not applies(rule, tier, gross_fen, w.truth):
            continue
        room = rule.amount - (so_far if rule.counter < 0 else w.tally.had[rule.counter] + w.tally.gained[rule.counter])
        if room < left:
            room = max(0, room)
            if w.cap_notes:
                note(w, E_CAP, i, -1, left - room, r.purses[purse].unit, left, room)
            left = room
    for k in range(r.first[on + RULE_CAP], r.first[on + RULE_CAP + 1]):
        rule = &r.rules[r.by_effect[k]]
        if rule.purse == purse and rule.counter >= 0 and applies(rule, tier, gross_fen, w.truth):
            w.tally.gained[rule.counter] += left
    return left


cdef int64_t still_owed(const Value* v, const Work* w, int unit, int purse) noexcept nogil:
    """What the account owes of a unit, less what this decision has paid of it."""
    cdef int i
    cdef int64_t owed = owed_of(v, unit, purse)
    for i in range(w.n_postings if owed else 0):
        if w.postings[i].target == OWED and w.postings[i].unit == unit and (unit == FEN or w.postings[i].purse == purse):
            owed -= w.postings[i].amount
    return owed


cdef int64_t within_room(const Rules* r, const Value* v, int64_t amount, Work* w) noexcept nogil:
    """What of value that is granted the card may still hold, beside what it pays of a debt (W1, M11): a purchase is not refused for a gift."""
    cdef int64_t left = max(0, r.balance_max_fen - w.elsewhere_fen - w.t.after_money_fen) + still_owed(v, w, FEN, -1)
    if left >= amount:
        return amount
    if w.cap_notes:
        note(w, E_CAP, -1, -1, amount - left, FEN, amount, left)
    return left


cdef int64_t given_of(const Work* w, int purse) noexcept nogil:
    """What this decision has given of a purse of bonus so far."""
    cdef int i
    cdef int64_t total = 0
    for i in range(w.n_postings):
        if (w.postings[i].role == R_REBATE or w.postings[i].role == R_GRANT) and w.postings[i].unit == FEN and w.postings[i].purse == purse:
            total += w.postings[i].amount
    return total


cdef int64_t pending_lot(const Value* v, const Work* w, int purse, int64_t expires_at) noexcept nogil:
    """The lot that this very decision has begun for the same purse and end, or 0."""
    cdef int i
    cdef const Posting* p
    for i in range(w.n_postings):
        p = &w.postings[i]
        if p.target == CUSTOMER and p.target_lot >= v.next_lot and p.purse == purse and p.expires_at == expires_at and p.of_units == 0:
            return p.target_lot
    return 0


cdef int64_t room_in(const Value* v, const Work* w, int64_t lot_id) noexcept nogil:
    """What a lot can still take with what this decision puts into it; the fold takes no more (M2)."""
    cdef int i
    cdef int64_t room = AMOUNT_LIMIT
    for i in range(v.n_lots):
        if v.lots[i].lot_id == lot_id:
            room -= v.lots[i].amount
    for i in range(w.n_postings):
        if w.postings[i].target == CUSTOMER and w.postings[i].target_lot == lot_id:
            room -= w.postings[i].amount
    return room


cdef int give(
    const Rules* r, const Value* v, int purse, int award, int months, int days, int own_end, int64_t amount, int64_t at_s, int role, Work* w
) except -1 nogil:
    """Post what a rule gives: an award, or a lot of a purse; what is owed is paid first (P2)."""
    cdef Posting* p
    cdef int64_t owed, paid, lot_id = 0, expires_at
    cdef int unit, source
    if w.n_postings + 4 > w.cap_postings:
        return X_TOO_MANY_POSTINGS
    if award >= 0:
        p = add(w)
        p.amount, p.unit, p.source, p.target = amount, AWARD, AWARD_ISSUE, AWARDED
        p.target_account, p.purse, p.role = v.account_id, award, role
        p.expires_at = expiry(r, at_s, months, days)
        return OK
    unit = r.purses[purse].unit
    source = BONUS_COST if unit == FEN else ENTITLEMENT_ISSUE
    owed = still_owed(v, w, unit, purse)
    paid = min(amount, owed)
    if paid:
        p = add(w)
        p.amount, p.unit, p.source, p.target = paid, unit, source, OWED
        p.target_account, p.purse, p.role = v.account_id, purse, role
        if w.cap_notes:
            note(w, E_OWED, -1, -1, paid, unit, owed, owed - paid)
        amount -= paid
        if amount == 0:
            return OK
    if unit == FEN:
        w.t.after_money_fen += amount
    expires_at = expiry(r, at_s, months, days) if own_end else lapse(r, purse, at_s)
    # What counts from its first use is a lot each: two in one lot would start, and end, together (C06).
    if not r.purses[purse].first_use:
        lot_id = same_lot(v, purse, amount, expires_at, 0, 0)
        if lot_id == 0:
            lot_id = pending_lot(v, w, purse, expires_at)
    if lot_id == 0:
        if v.n_lots + (w.next_lot - v.next_lot) >= LOTS_MAX:
            w.fact = LOTS_MAX
            return D_LIMIT_EXCEEDED
        lot_id = w.next_lot
        w.next_lot += 1
    if amount > room_in(v, w, lot_id):
        w.fact = AMOUNT_LIMIT
        return D_LIMIT_EXCEEDED
    p = add(w)
    p.amount, p.unit, p.source, p.target = amount, unit, source, CUSTOMER
    p.target_account, p.target_lot, p.purse, p.expires_at, p.role = v.account_id, lot_id, purse, expires_at, role
    return OK


cdef int64_t worth(const Rule* rule, const LineOut* lines, int n_lines, int64_t net_fen, int64_t paid_fen) except? -1 nogil:
    """What a rule gives for a ticket or event: once, or for each full step of what was paid for the lines it is about; 0 where none is.

    Rounding: full steps only, of the floored share.
    """
    cdef int k
    cdef int64_t base = paid_fen
    cdef bint any_line = n_lines == 0
    if n_lines and (not rule.any_category or rule.flags_all or rule.flags_none):
        for k in range(n_lines):
            if fits(rule, lines[k].category, lines[k].flags):
                any_line = True
        if not any_line:
            return 0
        base = cc_muldiv(eligible_fen(rule, lines, n_lines, net_fen), paid_fen, net_fen) if net_fen else 0
    if rule.per_fen == 0:
        return rule.amount
    return cc_muldiv(base // rule.per_fen, rule.amount, 1)


cdef void promote(const Rules* r, int tier, int on, int64_t gross_fen, const uint64_t* truth, Tally* t, Work* w) noexcept nogil:
    """Count the jumps to a tier; `tier_by_counters` then sees them. `w` may be NULL: nobody asks for an explanation."""
    cdef int i, k
    cdef uint64_t acted = 0
    cdef const Rule* rule
    for k in range(r.first[on + RULE_PROMOTE], r.first[on + RULE_PROMOTE + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if applies(rule, tier, gross_fen, truth) and (not rule.n_quotas or quota_left(r, rule, t) > 0) and first_of_group(rule, &acted):
            t.gained[rule.counter] += 1
            use_quota(rule, 1, t)
            if w != NULL and w.cap_notes:
                note(w, E_JUMP, i, -1, 0, FEN, tier, rule.tier)


cdef int give_all(
    const Rules* r, const Value* v, int on, const LineOut* lines, int n_lines, int64_t net_fen, int64_t gross_fen, int64_t at_s, Work* w
) except -1 nogil:
    """Rebates, grants, scores and jumps, in this order. `net_fen` is the whole ticket's, w.t what was paid by each tender."""
    cdef int i, k, outcome, unit
    cdef int64_t amount, base, left, paid = w.t.principal_fen + w.t.bonus_fen + w.t.further_fen + w.t.outside_fen
    cdef uint64_t acted = 0
    cdef const Rule* rule
    if not r.member:
        return OK
    for k in range(r.first[on + RULE_REBATE], r.first[on + RULE_REBATE + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if net_fen == 0 or not applies(rule, v.tier, gross_fen, w.truth):
            continue
        # Rounding: the share of the lines and tenders that count is floored to a fen, and so is the rebate.
        base = cc_muldiv(eligible_fen(rule, lines, n_lines, net_fen), counted_fen(rule, &w.t), net_fen)
        amount = min(cc_muldiv(base, rule.share, rule.share_of), rule.max_fen)
        if rule.n_quotas:
            amount = min(amount, quota_left(r, rule, &w.tally))
        if amount <= 0 or not first_of_group(rule, &acted):
            continue
        amount = within_caps(r, on, rule.purse, v.tier, gross_fen, given_of(w, rule.purse), within_room(r, v, amount, w), w)
        if amount == 0:
            continue
        use_quota(rule, amount, &w.tally)
        if w.cap_notes:
            note(w, E_REBATE, i, -1, amount, FEN, base, amount)
        outcome = give(r, v, rule.purse, -1, rule.months, rule.days, rule.own_end, amount, at_s, R_REBATE, w)
        if outcome:
            return outcome
    acted = 0
    for k in range(r.first[on + RULE_GIFT], r.first[on + RULE_GIFT + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        left = quota_left(r, rule, &w.tally) if rule.n_quotas else AMOUNT_LIMIT
        if left <= 0 or not applies(rule, v.tier, gross_fen, w.truth):
            continue
        amount = min(worth(rule, lines, n_lines, net_fen, paid), left)
        if amount <= 0 or not first_of_group(rule, &acted):
            continue
        unit = AWARD if rule.award >= 0 else r.purses[rule.purse].unit
        if unit == FEN:
            amount = within_caps(r, on, rule.purse, v.tier, gross_fen, given_of(w, rule.purse), within_room(r, v, amount, w), w)
            if amount == 0:
                continue
        use_quota(rule, amount, &w.tally)
        if w.cap_notes:
            note(w, E_GIFT, i, -1, amount, unit, 0, rule.award if rule.award >= 0 else rule.purse)
        outcome = give(r, v, rule.purse, rule.award, rule.months, rule.days, rule.own_end, amount, at_s, R_GRANT, w)
        if outcome:
            return outcome
    acted = 0
    for k in range(r.first[on + RULE_SCORE], r.first[on + RULE_SCORE + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        left = quota_left(r, rule, &w.tally) if rule.n_quotas else AMOUNT_LIMIT
        if left <= 0 or not applies(rule, v.tier, gross_fen, w.truth):
            continue
        amount = min(worth(rule, lines, n_lines, net_fen, paid), left)
        if amount > 0 and first_of_group(rule, &acted):
            use_quota(rule, amount, &w.tally)
            if w.cap_notes:
                note(w, E_SCORE, i, -1, amount, VISITS, w.tally.had[rule.counter] + w.tally.gained[rule.counter],
                     w.tally.had[rule.counter] + w.tally.gained[rule.counter] + amount)
            w.tally.gained[rule.counter] += amount
    promote(r, v.tier, on, gross_fen, w.truth, &w.tally, w)
    return OK
