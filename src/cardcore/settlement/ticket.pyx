"""What a ticket's prices say for themselves, when the till asks. The decision is in ticket.pxd."""

from libc.stdint cimport uint64_t

from cardcore.money cimport cc_rate, cc_rate_of, cc_scale, cc_stack
from cardcore.settlement.counter cimport quota_left
from cardcore.settlement.model cimport (
    E_COUNTER, E_COUPON, E_COVER, E_DISCOUNT, E_FURTHER, E_STORED, E_UNMET, E_WAIVE, F_NO_DISCOUNT, F_SPECIAL, FEN, LineIn, U_AMOUNT, U_ASLEEP,
    U_CONDITION, U_EARNED, U_GROUP, U_LINE, U_NOTHING, U_QUOTA, U_TIER,
)
from cardcore.settlement.rules cimport RULE_BONUS, RULE_CAP, RULE_DEDUCT, RULE_DISCOUNT, RULE_MILESTONE, RULE_PROMOTE, RULE_STEP, Rule, applies, first_of_group, fits


cdef int note_rates(const Rules* r, const Value* v, const LineIn* line, int index, int64_t gross_fen, Work* w) except -1 nogil:
    """A note for each rate of a line, in the pack's order: what it made of the price that the ones before had left."""
    cdef int i, k
    cdef const Rule* rule
    cdef uint64_t acted = 0
    cdef cc_rate rate = cc_rate_of(1, 1)
    cdef int64_t price = line.amount_fen, shown = line.amount_fen
    for k in range(r.first[RULE_DISCOUNT], r.first[RULE_DISCOUNT + 1] if r.waives else 0):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if rule.waives and (not rule.n_quotas or quota_left(r, rule, &w.tally) > 0) and applies(
                rule, v.tier, gross_fen, w.truth) and fits(rule, line.category, line.flags):
            note(w, E_WAIVE, i, index, price, FEN, price, 0)
            return OK
    if line.counter_pay != line.counter_of:
        rate = cc_rate_of(line.counter_pay, line.counter_of)
        cc_scale(line.amount_fen, rate, r.step_fen, r.rounding, &price)
        note(w, E_COUNTER, -1, index, shown - price, FEN, shown, price)
        shown = price
    if line.flags & (F_SPECIAL | F_NO_DISCOUNT):
        return OK
    for k in range(r.first[RULE_DISCOUNT], r.first[RULE_DISCOUNT + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if rule.waives or rule.n_quotas and quota_left(r, rule, &w.tally) <= 0:
            continue
        if not (applies(rule, v.tier, gross_fen, w.truth) and fits(rule, line.category, line.flags) and first_of_group(rule, &acted)):
            continue
        rate = cc_stack(rate, rule.pay, rule.of, r.stacking)
        cc_scale(line.amount_fen, rate, r.step_fen, r.rounding, &price)
        note(w, E_DISCOUNT, i, index, shown - price, FEN, shown, price)
        shown = price
    return OK


cdef bint noted(const Work* w, int rule) noexcept nogil:
    """Has a rule said that it acted? The notes of lots name purses instead, those of coupons their kind."""
    cdef int i, effect
    for i in range(w.n_notes):
        effect = w.notes[i].effect
        if w.notes[i].rule == rule and effect != E_STORED and effect != E_FURTHER and effect != E_COVER and effect != E_UNMET and effect != E_COUPON:
            return True
    return False


cdef int why_not(const Rules* r, const Rule* rule, const Value* v, const SaleIn* sale, Work* w, int64_t* predicate) noexcept nogil:
    """The first condition that a rule of a sale did not meet."""
    cdef int i
    cdef bint fitting = rule.effect in (RULE_MILESTONE, RULE_DEDUCT, RULE_STEP, RULE_CAP, RULE_PROMOTE)
    if not rule.tiers:  # of no tier at all: of a programme for who sleeps
        return U_ASLEEP
    if not (rule.tiers >> v.tier) & 1:
        return U_TIER
    if w.t.gross_fen < rule.amount_min_fen or w.t.gross_fen > rule.amount_max_fen:
        return U_AMOUNT
    for i in range(r.n_predicates):
        if (rule.asks[i >> 6] & ~w.truth[i >> 6]) >> (i & 63) & 1:
            predicate[0] = i
            return U_CONDITION
    for i in range(sale.n_lines):
        if fits(rule, sale.lines[i].category, sale.lines[i].flags):
            if rule.effect != RULE_DISCOUNT or rule.waives or not sale.lines[i].flags & (F_SPECIAL | F_NO_DISCOUNT):
                fitting = True
    if not fitting:
        return U_LINE
    if rule.effect == RULE_MILESTONE and w.t.points_earned < rule.earned_min:
        return U_EARNED
    if rule.n_quotas and quota_left(r, rule, &w.tally) <= 0:
        return U_QUOTA
    return U_NOTHING if rule.group < 0 else U_GROUP


cdef int note_unmet(const Rules* r, const Value* v, const SaleIn* sale, Work* w) except -1 nogil:
    """A note for each rule of a sale that did not act, in the pack's order, with the reason."""
    cdef int i, reason
    cdef int64_t predicate
    for i in range(r.n_rules):
        if r.rules[i].effect == RULE_BONUS or r.rules[i].on or noted(w, i):
            continue
        predicate = -1
        reason = why_not(r, &r.rules[i], v, sale, w, &predicate)
        note(w, E_UNMET, i, -1, 0, FEN, reason, predicate)
    return 0
