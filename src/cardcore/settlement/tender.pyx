"""Scratch memory, and the tenders that few tickets ask for: entitlements and redeemed gifts. Points and stored value are in tender.pxd.

Every debit names its lot (M7). While a hold is open the same debits go to held money instead of their final account.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from cardcore.money cimport cc_steps
from cardcore.settlement.model cimport (
    DEFERRED, E_COVER, E_REDEEM, ENTITLEMENT_USED, LINES_MAX, LineIn, PASS, POINTS, R_COVER, R_REDEEM, VISITS,
)
from cardcore.settlement.rules cimport RULE_REDEEM, Rule, applies, expiry, fits, local_day


# ------------------------------------------------------------------ scratch memory
cdef int open_work(Work* w, int lots, int postings, int notes) except -1:
    memset(w, 0, sizeof(Work))
    w.postings = <Posting*> calloc(postings, sizeof(Posting))
    w.lines = <LineOut*> calloc(LINES_MAX, sizeof(LineOut))
    w.lots = <Lot*> calloc(lots, sizeof(Lot))
    w.order = <int32_t*> calloc(3 * lots, sizeof(int32_t))
    w.money, w.points = w.order + lots, w.order + 2 * lots
    w.notes = <Note*> calloc(notes, sizeof(Note)) if notes else NULL
    w.cap_postings, w.cap_lots, w.cap_notes = postings, lots, notes
    if w.postings == NULL or w.lines == NULL or w.lots == NULL or w.order == NULL or (notes and w.notes == NULL):
        close_work(w)
        raise MemoryError
    return 0


cdef void close_work(Work* w) noexcept nogil:
    free(w.postings)
    free(w.lines)
    free(w.lots)
    free(w.order)
    free(w.notes)


cdef void note(Work* w, int effect, int rule, int line, int64_t amount, int unit, int64_t before, int64_t after) noexcept nogil:
    cdef Note* n
    if w.n_notes < w.cap_notes:
        n = &w.notes[w.n_notes]
        n.effect, n.rule, n.line, n.unit = effect, rule, line, unit
        n.amount, n.before, n.after = amount, before, after
        w.n_notes += 1


# ------------------------------------------------------------------ 3. entitlements
cdef int cover_line(
    const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w
) except -1 nogil:
    """Take the line's visits from count, package and course lots, or one use from a pass (C05-C09)."""
    cdef int n = select_lots(r, w.lots, w.n_lots, at_s, -1, sale.lines[index].category, w.order)
    cdef int i, k, uses_today, last_use
    cdef int64_t need = sale.lines[index].quantity, take, value
    cdef int today = local_day(r, at_s)
    cdef int refusal = D_NOT_COVERED
    cdef Lot* lot
    cdef Posting* p
    for i in range(n):
        lot = &w.lots[w.order[i]]
        uses_today = 0
        last_use = 0
        for k in range(w.n_lots):
            if w.lots[k].purse == lot.purse:
                last_use = max(last_use, w.lots[k].used_on)
                if w.lots[k].used_on == today:
                    uses_today += w.lots[k].used_times
        if r.purses[lot.purse].min_gap_days and last_use and last_use + r.purses[lot.purse].min_gap_days > today:
            refusal = D_TOO_SOON
            continue
        take = 1 if r.purses[lot.purse].unit == PASS else min(need, lot.amount)
        if r.purses[lot.purse].min_gap_days and take > 1:
            take = 1
            refusal = D_TOO_SOON
        if r.purses[lot.purse].per_day:
            if uses_today >= r.purses[lot.purse].per_day:
                refusal = D_USED_UP_TODAY
                continue
            if take > r.purses[lot.purse].per_day - uses_today:
                take = r.purses[lot.purse].per_day - uses_today
                refusal = D_USED_UP_TODAY
        value = 0
        if r.purses[lot.purse].unit == VISITS and lot.of_units:
            # Rounding: a visit is worth its floored share of the price, always the same, so that uses and returns in any order add
            # up; what no visit carries was income when the product was sold (M12).
            value = lot.paid_fen // lot.of_units * take
        if w.n_postings + 4 > w.cap_postings:
            return X_TOO_MANY_POSTINGS
        # Once: a use that is voided leaves the clock running, or voiding one on the last day would give another year (P3).
        if lot.expires_at == 0 and r.purses[lot.purse].first_use:
            lot.expires_at = expiry(r, at_s, r.purses[lot.purse].months, r.purses[lot.purse].days)
        if r.purses[lot.purse].unit == PASS:
            p = debit(sale, v, w, lot, 0, PASS, ENTITLEMENT_USED, R_COVER, index)
        else:
            p = debit(sale, v, w, lot, take, VISITS, ENTITLEMENT_USED, R_COVER, index)
        p.used_on = today
        p.value_fen = value
        lot.used_times = (lot.used_times if lot.used_on == today else 0) + <int> take
        lot.used_on = today
        issuer_pays(sale, w, value, DEFERRED, R_COVER, index)
        if sale.explain:
            note(w, E_COVER, lot.purse, index, take, r.purses[lot.purse].unit, lot.amount + take, lot.amount)
        if r.purses[lot.purse].unit == PASS:
            return OK
        need -= take
        if need == 0:
            return OK
    return refusal


# ------------------------------------------------------------------ 4. points
cdef int64_t ladder_units(const Rule* rule, int64_t price_fen) noexcept nogil:
    """Points for one item of this list price; -1 where the ladder does not reach (R05)."""
    cdef int i
    cdef int64_t over, further
    for i in range(rule.n_ladder):
        if price_fen <= rule.ladder_price[i]:
            return rule.ladder_units[i]
    if rule.every_price <= 0:
        return -1
    over = price_fen - rule.ladder_price[rule.n_ladder - 1]
    further = cc_steps(over + rule.every_price - 1, rule.every_price, rule.every_units, 1, 1)
    return -1 if further < 0 else rule.ladder_units[rule.n_ladder - 1] + further


cdef int redeem_line(const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w) except -1 nogil:
    cdef int i, k, outcome
    cdef int64_t units, held
    cdef const LineIn* line = &sale.lines[index]
    for k in range(r.first[RULE_REDEEM], r.first[RULE_REDEEM + 1]):
        i = r.by_effect[k]
        if applies(&r.rules[i], v.tier, w.t.gross_fen, w.truth) and fits(&r.rules[i], line.category, line.flags):
            units = ladder_units(&r.rules[i], line.amount_fen)
            if units < 0:
                continue
            held = w.points_held - w.t.points_used
            outcome = take_points(r, v, sale, at_s, w, units, line.amount_fen, R_REDEEM, index)
            if outcome == OK and sale.explain:
                note(w, E_REDEEM, i, index, units, POINTS, held, held - units)
            return outcome
    w.fact = 0
    return D_POINTS_NOT_ALLOWED


# ------------------------------------------------------------------ 5. stored value
