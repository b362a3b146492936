"""Outcomes, scratch memory and what pays a ticket: points and stored value, lot by lot, without the GIL.

Every debit names its lot (M7). While a hold is open the same debits go to held money instead of their final account.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from cardcore.money cimport AMOUNT_LIMIT, cc_muldiv, cc_steps
from cardcore.settlement.counter cimport Tally
from cardcore.settlement.model cimport (
    CUSTOMER, E_FURTHER, E_POINTS, E_STORED, FEN, GIFT_COST, HELD, HOLD, LineIn, LineOut, Lot, Note, POINTS, POINTS_COST,
    POINTS_REDEEMED, Posting, R_POINTS, R_REDEEM, R_STORED, SALES, Totals, VISITS, Value,
)
from cardcore.settlement.rules cimport PREDICATE_WORDS, ROLE_BONUS, RULE_DEDUCT, Rule, Rules, applies, covers

# Outcomes of the compiled decision; named in sale.pyx: DECLINES and FAULTS.
cdef enum Outcome:
    OK = 0
    D_INSUFFICIENT_FUNDS = 1
    D_INSUFFICIENT_POINTS = 2
    D_POINTS_NOT_ALLOWED = 3
    D_NOT_COVERED = 4
    D_TOO_SOON = 5
    D_USED_UP_TODAY = 6
    D_LIMIT_EXCEEDED = 7
    X_DISCOUNT_OVER_LINE = 20
    X_COUPON_OVER_LINE = 21
    X_REDEEM_LINE = 22
    X_COVER_LINE = 23
    X_TOO_MANY_RATES = 24
    X_TOO_MANY_POSTINGS = 25

cdef struct SaleIn:
    const LineIn* lines
    int32_t n_lines
    int32_t verb
    int32_t shortfall
    int32_t explain
    int64_t points
    int64_t stored_max_fen
    int64_t shortfall_max_fen

cdef struct Work:
    Posting* postings
    LineOut* lines
    # The lots of the card that pays, what they hold unexpired, and which of them pay in which order.
    Lot* lots
    int32_t* money
    int32_t* points
    int32_t* order
    Note* notes
    int64_t money_held_fen
    int64_t points_held
    int32_t n_money
    int32_t n_points
    int32_t n_postings
    int32_t cap_postings
    int32_t n_lots
    int32_t cap_lots
    int32_t n_notes
    int32_t cap_notes
    int32_t fault_line
    int32_t memo_months
    int32_t memo_days
    int32_t memo_offset_s
    int64_t memo_at_s
    int64_t memo_expiry
    int64_t fact
    # The lot that is made next; money of the card that is not in its lots: held, in flight, on its own memory.
    int64_t next_lot
    int64_t elsewhere_fen
    # What is true of the whole ticket (predicate.answer); the doorway sets it.
    uint64_t truth[PREDICATE_WORDS]
    # Where the account's counters stand; read only where the programme counts.
    Tally tally
    Totals t

cdef int open_work(Work* w, int lots, int postings, int notes) except -1
cdef void close_work(Work* w) noexcept nogil
cdef void note(Work* w, int effect, int rule, int line, int64_t amount, int unit, int64_t before, int64_t after) noexcept nogil


cdef inline Posting* add(Work* w) noexcept nogil:
    """The next posting, blank. The caller has made sure there is room.

    Field by field: what the caller then fills in costs nothing here, and `memset` of a short record costs more than the arithmetic.
    """
    cdef Posting* p = &w.postings[w.n_postings]
    p.amount = 0
    p.value_fen = 0
    p.source_account = 0
    p.target_account = 0
    p.source_lot = 0
    p.target_lot = 0
    p.expires_at = 0
    p.paid_fen = 0
    p.of_units = 0
    p.used_on = 0
    p.line = -1
    p.undoes = -1
    p.purse = -1
    p.unit = 0
    p.source = 0
    p.target = 0
    p.role = 0
    w.n_postings += 1
    return p


# Lots; inline, because each decision asks several times and a call between modules costs more than the answer.
cdef inline bint before(const Rules* r, const Lot* a, const Lot* b) noexcept nogil:
    """The programme's spending order: soonest expiry (never = last), then listed purse, then age; or purse first."""
    cdef int64_t ea = a.expires_at if a.expires_at else (<int64_t> 1 << 62)
    cdef int64_t eb = b.expires_at if b.expires_at else (<int64_t> 1 << 62)
    if r.listed_order and a.purse != b.purse:
        return a.purse < b.purse
    if ea != eb:
        return ea < eb
    if a.purse != b.purse:
        return a.purse < b.purse
    return a.lot_id < b.lot_id


cdef inline void queue(const Rules* r, const Lot* lots, int lot, int32_t* order, int* n) noexcept nogil:
    """Insert a lot where the spending order wants it."""
    cdef int k = n[0]
    while k > 0 and before(r, &lots[lot], &lots[order[k - 1]]):
        order[k] = order[k - 1]
        k -= 1
    order[k] = lot
    n[0] += 1


cdef inline int select_lots(
    const Rules* r, const Lot* lots, int n_lots, int64_t at_s, int unit, int category, int32_t* order
) noexcept nogil:
    """Indices of the unexpired lots of a unit (category >= 0: of entitlements that cover it) in spending order."""
    cdef int i, n = 0
    cdef const Lot* lot
    for i in range(n_lots):
        lot = &lots[i]
        if lot.amount <= 0 or (lot.expires_at and lot.expires_at <= at_s):
            continue
        if category >= 0:
            if r.purses[lot.purse].unit < VISITS or not covers(r.purses[lot.purse].covers, category):
                continue
        elif r.purses[lot.purse].unit != unit:
            continue
        queue(r, lots, i, order, &n)
    return n


cdef inline void open_lots(const Rules* r, const Value* v, int64_t at_s, Work* w) noexcept nogil:
    """Take a card's lots into scratch, and put its money and its points in spending order, in one pass."""
    cdef int i, unit, n_money = 0, n_points = 0
    cdef int64_t money = 0, points = 0
    cdef const Lot* lot
    for i in range(v.n_lots):
        lot = &v.lots[i]
        w.lots[i] = lot[0]
        unit = r.purses[lot.purse].unit
        if unit > POINTS or (lot.expires_at and lot.expires_at <= at_s):
            continue
        if unit == FEN:
            money += lot.amount
            queue(r, w.lots, i, w.money, &n_money)
        else:
            points += lot.amount
            queue(r, w.lots, i, w.points, &n_points)
    w.n_lots = v.n_lots
    w.n_money, w.n_points = n_money, n_points
    w.money_held_fen, w.points_held = money, points


cdef inline int64_t sum_lots(const Rules* r, const Lot* lots, int n_lots, int64_t at_s, int unit) noexcept nogil:
    cdef int i
    cdef int64_t total = 0
    for i in range(n_lots):
        if r.purses[lots[i].purse].unit == unit and (lots[i].expires_at == 0 or lots[i].expires_at > at_s):
            total += lots[i].amount
    return total


cdef inline int64_t points_after(const Rules* r, const Lot* lots, int n_lots, int64_t at_s) noexcept nogil:
    return sum_lots(r, lots, n_lots, at_s, POINTS)


cdef inline int64_t money_after(const Rules* r, const Lot* lots, int n_lots, int64_t at_s) noexcept nogil:
    return sum_lots(r, lots, n_lots, at_s, FEN)


cdef inline int64_t same_lot(
    const Value* v, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units
) noexcept nogil:
    """The lot that already stands for the same purse, expiry and paid ratio, or 0: equal value is kept in one lot."""
    cdef int i
    cdef const Lot* lot
    for i in range(v.n_lots):
        lot = &v.lots[i]
        if (lot.purse == purse and lot.expires_at == expires_at and lot.paid_fen == paid_fen and lot.of_units == of_units
                and lot.used_on == 0 and lot.amount <= AMOUNT_LIMIT - amount):
            return lot.lot_id
    return 0


# ------------------------------------------------------------------ 4 and 5: points, then stored value
cdef inline Posting* debit(
    const SaleIn* sale, const Value* v, Work* w, Lot* lot, int64_t amount, int unit, int target, int role, int line
) noexcept nogil:
    """Take from a lot in scratch and post it: to its final account, or to held money while a hold is open."""
    cdef Posting* p = add(w)
    p.amount = amount
    p.unit = unit
    p.source = CUSTOMER
    p.source_account = v.account_id
    p.source_lot = lot.lot_id
    p.target = target
    p.purse = lot.purse
    p.expires_at = lot.expires_at
    p.paid_fen = lot.paid_fen
    p.of_units = lot.of_units
    p.role = role
    p.line = line
    if sale.verb == HOLD:
        p.target = HELD
        p.target_account = v.account_id
    lot.amount -= amount
    return p


cdef inline void issuer_pays(const SaleIn* sale, Work* w, int64_t amount_fen, int source, int role, int line) noexcept nogil:
    """The money side of points, gifts and entitlements; a hold posts it at capture."""
    cdef Posting* p
    if sale.verb != HOLD and amount_fen:
        p = add(w)
        p.amount = amount_fen
        p.unit = FEN
        p.source = source
        p.target = SALES
        p.role = role
        p.line = line


cdef inline int take_points(
    const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w, int64_t units, int64_t worth_fen, int role, int line
) except -1 nogil:
    cdef int i
    cdef int64_t left = units, take
    cdef Lot* lot
    for i in range(w.n_points):
        if left == 0:
            break
        lot = &w.lots[w.points[i]]
        take = min(left, lot.amount)
        if take == 0:
            continue
        if w.n_postings + 4 > w.cap_postings:
            return X_TOO_MANY_POSTINGS
        debit(sale, v, w, lot, take, POINTS, POINTS_REDEEMED, role, line)
        left -= take
    if left:
        w.fact = units - left
        return D_INSUFFICIENT_POINTS
    w.t.points_used += units
    issuer_pays(sale, w, worth_fen, GIFT_COST if role == R_REDEEM else POINTS_COST, role, line)
    return OK


cdef inline int deduct_points(const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w) except -1 nogil:
    """Points pay part of the ticket in whole steps, up to the rule's share of it (R01-R03)."""
    cdef int i, k, outcome
    cdef int64_t cap, steps, allowed
    cdef const Rule* rule
    for k in range(r.first[RULE_DEDUCT], r.first[RULE_DEDUCT + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if not applies(rule, v.tier, w.t.gross_fen, w.truth):
            continue
        # Rounding: the share is floored, so that points never pay more than it.
        cap = cc_muldiv(w.t.net_fen, rule.share, rule.share_of)
        allowed = cap // rule.worth_fen
        if sale.points < 0:
            steps = min(allowed, (w.points_held - w.t.points_used) // rule.units)
        else:
            steps = sale.points // rule.units
            if sale.points % rule.units or steps > allowed:
                w.fact = cc_steps(allowed, 1, rule.units, 1, 1)
                return D_POINTS_NOT_ALLOWED
        if steps == 0:
            return OK
        outcome = take_points(r, v, sale, at_s, w, steps * rule.units, steps * rule.worth_fen, R_POINTS, -1)
        if outcome == OK:
            w.t.points_fen = steps * rule.worth_fen
            if sale.explain:
                note(w, E_POINTS, i, -1, steps * rule.units, POINTS, w.t.net_fen, w.t.net_fen - w.t.points_fen)
        return outcome
    if sale.points < 0:
        return OK
    w.fact = 0
    return D_POINTS_NOT_ALLOWED


cdef inline int64_t spend_stored(
    const Rules* r, const Value* v, const SaleIn* sale, int64_t at_s, Work* w, int64_t want_fen, int role
) except -1 nogil:
    """Spend up to `want_fen` from the money lots in w.lots; returns what was spent, or -X_TOO_MANY_POSTINGS."""
    cdef int i
    cdef int64_t left = want_fen, take
    cdef Lot* lot
    if want_fen <= 0:
        return 0
    for i in range(w.n_money):
        if left == 0:
            break
        if w.n_postings + 4 > w.cap_postings:
            return -X_TOO_MANY_POSTINGS
        lot = &w.lots[w.money[i]]
        take = min(left, lot.amount)
        debit(sale, v, w, lot, take, FEN, SALES, role, -1)
        if role == R_STORED:
            if r.purses[lot.purse].role == ROLE_BONUS:
                w.t.bonus_fen += take
            else:
                w.t.principal_fen += take
        if sale.explain:
            note(w, E_STORED if role == R_STORED else E_FURTHER, lot.purse, -1, take, FEN, lot.amount + take, lot.amount)
        left -= take
    return want_fen - left


cdef int cover_line(const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w) except -1 nogil
cdef int redeem_line(const Rules* r, const Value* v, const SaleIn* sale, int index, int64_t at_s, Work* w) except -1 nogil
