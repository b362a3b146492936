"""The order of a sale: price the lines, cover, redeem, deduct points, spend stored value, earn (D04 D05 E08; C05-C09; R01 R05; L03).

The one compiled decision of a ticket, inline in both of its doorways: `sale.decide_sale` for one, `batch.decide_batch` for many.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

from cardcore.money cimport cc_rate, cc_rate_of, cc_scale, cc_stack
from cardcore.settlement.counter cimport answer_reached, quota_left, tally_amount, tally_ticket, tier_by_counters, use_quota
from cardcore.settlement.earn cimport earn
from cardcore.settlement.grant cimport give_all
from cardcore.settlement.model cimport (
    E_COUPON, E_OUTSIDE, E_PROMOTE, E_TERMINAL, F_COVER, F_NO_DISCOUNT, F_REDEEM, F_SPECIAL, FEN, HOLD, LineIn,
    LineOut, Lot, OUTSIDE, Posting, R_OUTSIDE, R_STORED, SALES, Totals, Value,
)
from cardcore.settlement.rules cimport C_POINTS, RATES_MAX, RULES_MAX, Rule, Rules, Standing, applies, first_of_group, fits, reached_tier, standing
from cardcore.settlement.tender cimport *

cdef int note_rates(const Rules* r, const Value* v, const LineIn* line, int index, int64_t gross_fen, Work* w) except -1 nogil
cdef int note_unmet(const Rules* r, const Value* v, const SaleIn* sale, Work* w) except -1 nogil


cdef inline int price_line(
    const Rules* r, const Value* v, const SaleIn* sale, LineOut* out, const int32_t* active, int n_active, bint* acted_once, Work* w
) except -1 nogil:
    """discount = amount - amount x (all rates combined exactly), rounded once; then the terminal's discount and coupon."""
    cdef int k, index = out.index
    cdef const LineIn* line = &sale.lines[index]
    cdef const Standing* always
    cdef const Rule* rule
    cdef cc_rate rate = cc_rate_of(1, 1)
    cdef int64_t price = line.amount_fen, n_rates = 0
    cdef uint64_t acted = 0
    cdef bint waived = False
    for k in range(n_active if r.waives else 0):
        rule = &r.rules[active[k]]
        if rule.waives and fits(rule, line.category, line.flags):
            acted_once[k] = waived = True
            break  # what costs nothing uses up nothing more
    if waived:
        rate, n_rates = cc_rate_of(0, 1), 1
    elif not line.flags & (F_SPECIAL | F_NO_DISCOUNT):
        always = standing(r, v.tier, line.category)
        rate = always.rate
        n_rates = always.count
        for k in range(n_active):
            rule = &r.rules[active[k]]
            if not rule.waives and fits(rule, line.category, line.flags) and first_of_group(rule, &acted):
                n_rates += 1
                acted_once[k] = True
                if n_rates <= RATES_MAX:
                    rate = cc_stack(rate, rule.pay, rule.of, r.stacking)
    if line.counter_pay != line.counter_of and not waived:
        n_rates += 1
        if n_rates <= RATES_MAX:
            rate = cc_stack(rate, line.counter_pay, line.counter_of, r.stacking)
    if n_rates and (n_rates > RATES_MAX or cc_scale(line.amount_fen, rate, r.step_fen, r.rounding, &price) < 0):
        return X_TOO_MANY_RATES
    if sale.explain:
        note_rates(r, v, line, index, w.t.gross_fen, w)
    # Rounding up to a step must never charge more than the list price.
    if price > line.amount_fen:
        price = line.amount_fen
    if line.discount_fen > price:
        return X_DISCOUNT_OVER_LINE
    if line.discount_fen and sale.explain:
        note(w, E_TERMINAL, -1, index, line.discount_fen, FEN, price, price - line.discount_fen)
    price -= line.discount_fen
    if line.coupon_fen > price:
        return X_COUPON_OVER_LINE
    if line.coupon_fen and sale.explain:
        note(w, E_COUPON, -1, index, line.coupon_fen, FEN, price, price - line.coupon_fen)
    out.net_fen = price - line.coupon_fen
    out.coupon_fen = line.coupon_fen
    out.discount_fen = line.amount_fen - price
    return OK


cdef inline int price_lines(const Rules* r, const Value* v, const SaleIn* sale, Work* w) except -1 nogil:
    cdef int i, n_active = 0, outcome
    cdef int32_t[RULES_MAX] active
    cdef bint[RULES_MAX] acted_once
    cdef const LineIn* line
    cdef LineOut* out
    cdef Totals* t = &w.t
    for i in range(sale.n_lines):
        t.gross_fen += sale.lines[i].amount_fen
    for i in range(r.n_asking):
        if applies(&r.rules[r.asking[i]], v.tier, t.gross_fen, w.truth):
            if r.rules[r.asking[i]].n_quotas and quota_left(r, &r.rules[r.asking[i]], &w.tally) <= 0:
                continue
            active[n_active] = r.asking[i]
            acted_once[n_active] = False
            n_active += 1
    for i in range(sale.n_lines):
        line = &sale.lines[i]
        out = &w.lines[i]
        out.index = i
        out.amount_fen = line.amount_fen
        out.quantity = line.quantity
        out.category = line.category
        out.flags = line.flags
        out.covered_fen = 0
        w.fault_line = i
        if line.flags & (F_COVER | F_REDEEM):
            if line.discount_fen or line.coupon_fen or line.flags & F_COVER and line.flags & F_REDEEM:
                return X_COVER_LINE if line.flags & F_COVER else X_REDEEM_LINE
            if line.flags & F_REDEEM and (line.quantity != 1 or line.flags & F_SPECIAL):
                return X_REDEEM_LINE
            out.discount_fen = 0
            out.coupon_fen = 0
            out.net_fen = 0
            out.covered_fen = line.amount_fen
        else:
            outcome = price_line(r, v, sale, out, active, n_active, acted_once, w)
            if outcome:
                return outcome
        t.discount_fen += out.discount_fen
        t.coupon_fen += out.coupon_fen
        t.covered_fen += out.covered_fen
        t.net_fen += out.net_fen
    for i in range(n_active):
        if acted_once[i]:
            use_quota(&r.rules[active[i]], 0, &w.tally)
    w.fault_line = -1
    return OK


cdef inline void blank_totals(Totals* t) noexcept nogil:
    """Field by field, as in `add`."""
    t.gross_fen = t.discount_fen = t.coupon_fen = t.covered_fen = t.uncaptured_fen = t.net_fen = 0
    t.principal_fen = t.bonus_fen = t.points_fen = t.further_fen = t.outside_fen = 0
    t.points_used = t.points_earned = t.after_money_fen = t.after_points = t.liability_delta_fen = 0
    t.orders_delta = t.spend_delta_fen = t.points_delta = 0
    t.expires_at = t.hold_position = t.hold_fen = t.tier_before = t.tier_after = 0


cdef inline int price_own(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil:
    """Step 2: the price of each line."""
    blank_totals(&w.t)
    w.n_postings = 0
    w.n_notes = 0
    w.fact = 0
    w.next_lot = v.next_lot
    w.fault_line = -1
    open_lots(r, v, at_s, w)
    return price_lines(r, v, sale, w)


cdef inline int pay_own(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil:
    """Steps 3 to 5 on the card's own account. The balances are left as they are before earning."""
    cdef int i, outcome
    cdef int64_t want, spent
    cdef SaleIn cold  # what is not inline gets a copy, so that the compiler keeps the sale itself in registers
    for i in range(sale.n_lines):
        if sale.lines[i].flags & F_COVER:
            cold = sale[0]
            outcome = cover_line(r, v, &cold, i, at_s, w)
            if outcome:
                w.fault_line = i
                return outcome
    for i in range(sale.n_lines):
        if sale.lines[i].flags & F_REDEEM:
            cold = sale[0]
            outcome = redeem_line(r, v, &cold, i, at_s, w)
            if outcome:
                w.fault_line = i
                return outcome
    if sale.points:
        outcome = deduct_points(r, v, sale, at_s, w)
        if outcome:
            return outcome
    want = w.t.net_fen - w.t.points_fen
    if sale.stored_max_fen >= 0:
        want = min(want, sale.stored_max_fen)
    spent = spend_stored(r, v, sale, at_s, w, want, R_STORED)
    if spent < 0:
        return <int> -spent
    w.t.after_points = w.points_held - w.t.points_used
    w.t.after_money_fen = w.money_held_fen - w.t.principal_fen - w.t.bonus_fen
    return OK


cdef inline int decide_own(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil:
    """Steps 2 to 5 of a ticket without coupons, which come between them."""
    cdef int outcome = price_own(r, v, sale, at_s, w)
    return outcome if outcome else pay_own(r, v, sale, at_s, w)


cdef inline int follow(
    const Rules* r, const Value* v, const LineOut* lines, int n_lines, int64_t whole_fen, int64_t gross_fen, int64_t at_s, bint explain, Work* w
) except -1 nogil:
    """What follows a paid ticket: counters, points, what it gives, the tier. `whole_fen` is the net of its lines, w.t what was paid of it."""
    cdef Totals* t = &w.t
    cdef int outcome
    if r.n_counters:
        tally_ticket(r, lines, n_lines, whole_fen, t.net_fen - t.points_fen, &w.tally)
        answer_reached(r, &w.tally, w.truth)
    outcome = earn(r, v, 0, lines, n_lines, whole_fen, gross_fen, at_s, w)
    if outcome:
        return outcome
    if r.gives:
        outcome = give_all(r, v, 0, lines, n_lines, whole_fen, gross_fen, at_s, w)
        if outcome:
            return outcome
    t.orders_delta = 1
    t.spend_delta_fen = t.net_fen - t.points_fen
    t.points_delta = t.points_earned
    t.tier_after = max(v.tier, reached_tier(
        r, v.spend_fen + t.spend_delta_fen, v.orders + 1, v.points_earned + t.points_delta))
    if r.n_counters:
        tally_amount(r, C_POINTS, t.points_earned, &w.tally)
        t.tier_after = max(t.tier_after, tier_by_counters(r, &w.tally))
    if t.tier_after != v.tier and explain:
        note(w, E_PROMOTE, -1, -1, t.tier_after, FEN, v.tier, t.tier_after)
    return OK


cdef inline int finish_sale(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil:
    """Steps 6 to 8: the shortfall, points, counters and tier, and the balances on the receipt."""
    cdef Totals* t = &w.t
    cdef Posting* p
    cdef int outcome
    t.outside_fen = t.net_fen - t.points_fen - t.principal_fen - t.bonus_fen - t.further_fen
    if t.outside_fen and (not sale.shortfall or (sale.shortfall_max_fen >= 0 and t.outside_fen > sale.shortfall_max_fen)):
        w.fact = t.outside_fen
        return D_INSUFFICIENT_FUNDS
    if w.n_postings + 4 > w.cap_postings:
        return X_TOO_MANY_POSTINGS
    if t.outside_fen:
        if sale.verb != HOLD:
            p = add(w)
            p.amount = t.outside_fen
            p.unit = FEN
            p.source = OUTSIDE
            p.target = SALES
            p.role = R_OUTSIDE
        if sale.explain:
            note(w, E_OUTSIDE, -1, -1, t.outside_fen, FEN, t.outside_fen, 0)
    t.tier_before = v.tier
    t.tier_after = v.tier
    if sale.verb != HOLD:
        outcome = follow(r, v, w.lines, sale.n_lines, t.net_fen, t.gross_fen, at_s, sale.explain, w)
        if outcome:
            return outcome
    else:
        # All that this hold keeps, further cards included: the open holds are part of the liability (M10).
        t.hold_fen = t.principal_fen + t.bonus_fen + t.further_fen
    return OK
