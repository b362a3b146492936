"""Coupons and gifts (C10, K06, R03-R06, R08, R11): what a ticket uses, what a card is given, what points buy.

A coupon is a lot of its own, so it is used, held, given back and expired by the arithmetic that keeps money (M4, M6, M7):
what was used once is not there to be used again. Decision 0019.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc

from cardcore.money cimport cc_muldiv
from cardcore.settlement.counter cimport Tally, answer_had, open_tally, put_moves, quota_left, use_quota
from cardcore.settlement.model cimport (
    COUPON, COUPON_COST, COUPON_ISSUE, COUPON_USED, CUSTOMER, E_COUPON, REDEMPTION, F_COVER, F_REDEEM, FEN, GIFT, GIFT_COST, GIFT_GIVEN,
    GIFT_STOCK, GIVE, HOLD, LineOut, Lot, POINTS, POINTS_REDEEMED, Posting, R_COUPON, R_GIFT, R_GIVE, SALES, Account, VOID, new_settlement,
)
from cardcore.settlement.predicate cimport Known, answer, know
from cardcore.settlement.rules cimport (
    BEARER_STORE, COUPONS_MAX, Coupon, Gift, PREDICATE_WORDS, PURSES_MAX, Rule, TAKES_OFF, TAKES_RATE, expiry, fits,
)
from cardcore.settlement.tender cimport add, debit, note, select_lots
from cardcore.settlement.value cimport credit, post_money, settle_balances

from cardcore.errors import Declined


# ------------------------------------------------------------------ used in a ticket
cdef Lot* lot_named(Work* w, Programme programme, named, set used, int64_t at_s) except NULL:
    """The lot of a coupon that this ticket has not `used`: by its number, or the one of a kind that ends first. Raises Declined."""
    cdef int i, purse = -1
    cdef Lot* lot
    cdef Lot* best = NULL
    if type(named) is str:
        for i in range(programme.r.n_coupons):
            if programme.coupons[i]["name"] == named:
                purse = PURSES_MAX + i
        if purse < 0:
            raise Declined("unknown_coupon", coupon=named)
    for i in range(w.n_lots):
        lot = &w.lots[i]
        if lot.amount <= 0 or lot.purse < PURSES_MAX or (lot.purse != purse if purse >= 0 else lot.lot_id != named):
            continue
        if lot.lot_id in used:
            continue
        if lot.purse - PURSES_MAX >= programme.r.n_coupons:
            raise Declined("unknown_coupon", coupon=named)  # of a later version than the one that decides
        if 0 < lot.expires_at <= at_s:
            if purse < 0:
                raise Declined("coupon_expired", coupon=programme.coupons[lot.purse - PURSES_MAX]["name"], expired_at=lot.expires_at)
            continue
        if best == NULL or (lot.expires_at and (best.expires_at == 0 or lot.expires_at < best.expires_at)):
            best = lot
    if best == NULL:
        raise Declined("no_coupon", coupon=named)
    return best


cdef str why_refused(Programme programme, const Rule* rule, int tier, int64_t gross_fen, const uint64_t* truth):
    """The first condition that is not met, "" where all are."""
    cdef int i
    if not (rule.tiers >> tier) & 1:
        return "tier"
    if not rule.amount_min_fen <= gross_fen <= rule.amount_max_fen:
        return "amount"
    for i in range(programme.r.n_predicates):
        if (rule.asks[i >> 6] & ~truth[i >> 6]) >> (i & 63) & 1:
            return programme.predicates[i]["kind"]
    return ""


cdef int64_t deduction(const Coupon* c, Work* w, const bint* about, int n_lines, int64_t eligible, int* piece) noexcept nogil:
    """What the coupon takes off the lines that it is about; `piece` becomes the one line of which it takes a piece."""
    cdef int i
    cdef int64_t off = 0, unit, dearest = -1
    if c.takes == TAKES_OFF:
        off = c.off_fen if c.per_fen == 0 else cc_muldiv(eligible // c.per_fen, c.off_fen, 1)
    elif c.takes == TAKES_RATE:
        off = cc_muldiv(eligible, c.of - c.pay, c.of)  # Rounding: floored, in favour of who bears it.
    else:
        for i in range(n_lines):
            if about[i]:
                unit = w.lines[i].net_fen // w.lines[i].quantity  # Rounding: a piece is worth its floored share of the line.
                if unit > dearest:
                    dearest = unit
                    piece[0] = i
        off = max(0, dearest - c.off_fen)
    if off < 0 or off > eligible:
        off = eligible
    return min(off, c.max_fen) if c.max_fen else off


cdef int use_one(
    Programme programme, const Value* v, Lot* lot, tuple skus, const SaleIn* sale, Work* w
) except -1:
    cdef int k = lot.purse - PURSES_MAX, i, piece = -1
    cdef const Coupon* c = &programme.r.coupons[k]
    cdef dict terms = programme.coupons[k]
    cdef int64_t eligible = 0, off, running = 0, share, before
    cdef bint[500] about
    cdef LineOut* line
    cdef Posting* p
    reason = why_refused(programme, &c.rule, v.tier, w.t.gross_fen, w.truth)
    for i in range(sale.n_lines):
        line = &w.lines[i]
        about[i] = (line.net_fen > 0 and not line.flags & (F_COVER | F_REDEEM) and fits(&c.rule, line.category, line.flags)
                    and (not terms["skus"] or skus[i] in terms["skus"]))
        if about[i]:
            eligible += line.net_fen
    if not reason and eligible == 0:
        reason = "line"
    if not reason and eligible < c.spend_min_fen:
        reason = "spend"
    if reason:
        raise Declined("coupon_not_applicable", coupon=terms["name"], reason=reason)
    off = deduction(c, w, about, sale.n_lines, eligible, &piece)
    if off == 0:
        raise Declined("coupon_not_applicable", coupon=terms["name"], reason="spend")
    for i in range(sale.n_lines):
        line = &w.lines[i]
        if not about[i] or (piece >= 0 and i != piece):
            continue
        # Rounding: each line's part floored on the running total, so that the last line makes up the whole.
        before = running
        running += line.net_fen
        share = off if piece >= 0 else cc_muldiv(off, running, eligible) - cc_muldiv(off, before, eligible)
        line.coupon_fen += share
        line.net_fen -= share
    w.t.coupon_fen += off
    w.t.net_fen -= off
    if w.n_postings + 4 > w.cap_postings:
        raise Declined("limit_exceeded", what="postings of one ticket")
    p = debit(sale, v, w, lot, 1, COUPON, COUPON_USED, R_COUPON, -1)
    p.value_fen = off
    if sale.verb != HOLD and c.bearer != BEARER_STORE:
        p = add(w)
        p.amount, p.unit, p.source, p.target, p.role, p.purse = off, FEN, COUPON_COST, SALES, R_COUPON, lot.purse
    if sale.explain:
        note(w, E_COUPON, k, -1, off, FEN, eligible, eligible - off)
    return k


cdef int use_coupons(Programme programme, const Value* v, tuple coupons, tuple skus, const SaleIn* sale, int64_t at_s, Work* w) except -1:
    """Each coupon takes its part off the lines it is about, in the order given; what is left is what the next one sees."""
    cdef int[COUPONS_MAX] used
    cdef int k, kinds = 0
    cdef bint alone = False
    cdef Lot* lot
    cdef set lots = set()
    for k in range(COUPONS_MAX):
        used[k] = 0
    for named in coupons:
        lot = lot_named(w, programme, named, lots, at_s)
        lots.add(lot.lot_id)
        k = use_one(programme, v, lot, skus, sale, w)
        used[k] += 1
        alone = alone or not programme.r.coupons[k].stackable
        kinds += used[k] == 1
        if used[k] > programme.r.coupons[k].per_ticket or (alone and kinds > 1):
            raise Declined("coupon_not_stackable", coupon=programme.coupons[k]["name"])
    return 0


# ------------------------------------------------------------------ taken back
cdef int capture_coupon(Settlement s, const Rules* r, int posting, int64_t off_fen, int64_t held_fen) except -1:
    """If this posting ends what a hold kept of a coupon, the coupon is used, and its cost is posted now: the share of what was captured."""
    cdef int purse = s.postings_[posting].purse
    cdef int64_t borne
    if s.postings_[posting].unit == COUPON:
        s.postings_[posting].target = COUPON_USED
        if r.coupons[purse - PURSES_MAX].bearer != BEARER_STORE:
            # Rounding: floored, in favour of who bears it.
            borne = cc_muldiv(off_fen, s.t.net_fen, held_fen) if held_fen else off_fen
            if borne:
                post_money(s, borne, COUPON_COST, SALES, R_COUPON)
                s.postings_[s.n_postings - 1].purse = purse
    return 0


cdef int return_coupons(
    Settlement s, const Rules* r, Settlement ticket, list undone, int64_t left_fen, bint whole, bint explain
) except -1:
    """A coupon comes back with the last of its ticket, if its terms say so, always with a void; its cost in proportion to the money."""
    cdef int i
    cdef int64_t back
    cdef const Posting* done
    cdef Posting* p
    for i in range(ticket.n_postings):
        done = &ticket.postings_[i]
        if done.role != R_COUPON:
            continue
        back = 0
        if done.unit == COUPON:
            if not whole and r.coupons[done.purse - PURSES_MAX].whole_only:
                raise Declined("coupon_whole_only", left_fen=left_fen)
            if whole and (s.verb_code == VOID or not r.coupons[done.purse - PURSES_MAX].kept):
                back = 1
        elif whole:
            back = done.amount - <int64_t> undone[i]
        elif ticket.t.net_fen:
            # Rounding: what stays borne is floored, so that the last refund takes the rest.
            back = done.amount - cc_muldiv(done.amount, left_fen, ticket.t.net_fen) - <int64_t> undone[i]
        if back > 0:
            p = s.add_posting()
            done = &ticket.postings_[i]
            p[0] = done[0]
            p.amount, p.value_fen, p.undoes = back, 0, i
            p.source, p.source_account, p.source_lot = done.target, 0, 0
            p.target, p.target_account, p.target_lot = done.source, done.source_account, done.source_lot
            if done.unit == COUPON:
                p.target = CUSTOMER  # a captured one was held in between
            if explain and done.unit == COUPON:
                s.add_note(E_COUPON, done.purse - PURSES_MAX, -1, back, COUPON, 0, back)
    return 0


# ------------------------------------------------------------------ given
cdef int give(Settlement s, Programme programme, Account scratch, int k, int64_t count, int64_t at_s, int64_t ends) except -1:
    """So many coupons of a kind, a lot each; `ends` 0 = as the pack says."""
    cdef const Rules* r = &programme.r
    cdef const Coupon* c = &r.coupons[k]
    cdef int64_t lapses = expiry(r, at_s, r.purses[PURSES_MAX + k].months, r.purses[PURSES_MAX + k].days)
    cdef Posting* p
    for until in (c.until, ends):
        if until and (lapses == 0 or until < lapses):
            lapses = until
    if lapses and lapses <= at_s:
        raise Declined("coupon_expired", coupon=programme.coupons[k]["name"], expired_at=lapses)
    for _ in range(count):
        p = credit(s, r, scratch, PURSES_MAX + k, c.uses, lapses, 0, 0)
        p.source, p.role = COUPON_ISSUE, R_GIVE
    return 0


cdef int place(tuple terms, str name) except -2:
    for index, known in enumerate(terms):
        if known["name"] == name:
            return index
    return -1


cdef Settlement decide_give(Snapshot snapshot, object command, int64_t at_us):
    """Coupons for a card, whoever asked for it: a person, a batch, a rule (C15)."""
    cdef Programme programme = snapshot.programme
    cdef Settlement s = new_settlement(GIVE, programme, snapshot.account)
    cdef int64_t at_s = at_us // 1_000_000
    cdef int k = place(programme.coupons, command.coupon)
    if k < 0:
        raise Declined("unknown_coupon", coupon=command.coupon)
    give(s, programme, snapshot.account.copy(), k, command.count, at_s, command.expires_at)
    s.memo = command.memo
    settle_balances(&programme.r, s, snapshot.account, at_s)
    return s


# ------------------------------------------------------------------ bought with points
cdef Settlement decide_redeem(Snapshot snapshot, object command, int64_t at_us):
    """Points for a coupon or a thing: the steps of a ladder are gifts of their own (R04, R06, R11)."""
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Settlement s = new_settlement(REDEMPTION, programme, snapshot.account)
    cdef Account scratch = snapshot.account.copy()
    cdef int64_t at_s = at_us // 1_000_000, quantity = command.quantity
    cdef int k = place(programme.gifts, command.gift), item = -1
    cdef const Gift* g
    cdef uint64_t[PREDICATE_WORDS] truth
    cdef Known known
    cdef Tally tally
    cdef Posting* p
    if k < 0:
        raise Declined("unknown_gift", gift=command.gift)
    g = &r.gifts[k]
    terms = programme.gifts[k]
    if g.items:
        if command.item not in terms["items"]:
            raise Declined("unknown_gift", gift=command.gift, items=list(terms["items"]))
        item = terms["items"].index(command.item)
    elif command.item:
        raise Declined("unknown_gift", gift=command.gift)
    know(snapshot.facts, programme, "", "", &known)
    answer(r, &known, at_s, truth)
    open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, at_s, &tally)
    answer_had(r, &tally, truth)
    reason = why_refused(programme, &g.rule, scratch.v.tier, 0, truth)
    if not reason and quota_left(r, &g.rule, &tally) < quantity:
        reason = "quota"
    if reason:
        raise Declined("gift_not_available", gift=command.gift, reason=reason)
    spend_points(s, r, snapshot.account, cc_muldiv(g.points, quantity, 1), at_s)
    use_quota(&g.rule, quantity, &tally)
    p = s.add_posting()
    p.amount, p.unit, p.source, p.target, p.role = quantity, GIFT, GIFT_STOCK, GIFT_GIVEN, R_GIFT
    p.purse, p.line, p.value_fen = k, item, cc_muldiv(g.cost_fen, quantity, 1)
    if g.coupon >= 0:
        give(s, programme, scratch, g.coupon, quantity, at_s, 0)
    elif g.bearer != BEARER_STORE:
        post_money(s, cc_muldiv(g.cost_fen, quantity, 1), GIFT_COST, GIFT_GIVEN, R_GIFT)
        s.postings_[s.n_postings - 1].line = item
    put_moves(s, r, &tally)
    s.memo = command.memo
    settle_balances(r, s, snapshot.account, at_s)
    return s


cdef int spend_points(Settlement s, const Rules* r, Account account, int64_t points, int64_t at_s) except -1:
    """Out of the lots of points in spending order. Raises Declined insufficient_points."""
    cdef const Value* v = &account.v
    cdef int64_t left = points, take
    cdef int i, n
    cdef const Lot* lot
    cdef Posting* p
    cdef int32_t* order = <int32_t*> malloc((v.n_lots + 1) * sizeof(int32_t))
    if order == NULL:
        raise MemoryError
    try:
        n = select_lots(r, v.lots, v.n_lots, at_s, POINTS, -1, order)
        for i in range(n):
            if left == 0:
                break
            lot = &v.lots[order[i]]
            take = min(left, lot.amount)
            p = s.add_posting()
            p.amount, p.unit, p.source, p.source_account, p.source_lot = take, POINTS, CUSTOMER, v.account_id, lot.lot_id
            p.target, p.role, p.purse, p.expires_at = POINTS_REDEEMED, R_GIFT, lot.purse, lot.expires_at
            left -= take
    finally:
        free(order)
    if left:
        raise Declined("insufficient_points", points_available=points - left)
    s.t.points_used = points
    return 0
