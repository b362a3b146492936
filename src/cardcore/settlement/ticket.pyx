"""What a ticket's prices say for themselves, when the till asks. The decision is in ticket.pxd."""

from cardcore.money cimport cc_rate, cc_rate_of, cc_scale, cc_stack
from cardcore.settlement.model cimport E_COUNTER, E_DISCOUNT, F_NO_DISCOUNT, F_SPECIAL, FEN, LineIn
from cardcore.settlement.rules cimport RULE_DISCOUNT, Rule, applies, covers


cdef int note_rates(const Rules* r, const Value* v, const LineIn* line, int index, int64_t gross_fen, Work* w) except -1 nogil:
    """A note for each rate of a line, in the pack's order: what it made of the price that the ones before had left."""
    cdef int i, k
    cdef const Rule* rule
    cdef cc_rate rate = cc_rate_of(1, 1)
    cdef int64_t price = line.amount_fen, shown = line.amount_fen
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
        if not applies(rule, v.tier, gross_fen) or not (rule.any_category or covers(rule.categories, line.category)):
            continue
        rate = cc_stack(rate, rule.pay, rule.of, r.stacking)
        cc_scale(line.amount_fen, rate, r.step_fen, r.rounding, &price)
        note(w, E_DISCOUNT, i, index, shown - price, FEN, shown, price)
        shown = price
    return OK
