"""Value in, across and out without a ticket: top-up and products, transfer, adjustment, expiry (C04, C05, P01, P04, X01).

Each verb builds its postings on a copy of the account, so that what it decided is what `apply` will fold.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc

from cardcore.money cimport cc_muldiv
from cardcore.settlement.counter cimport (
    Tally, answer_had, answer_reached, open_tally, put_moves, quota_left, tally_amount, tier_by_counters, use_quota,
)
from cardcore.settlement.fold cimport credit_lot, fold, liability_change
from cardcore.settlement.grant cimport promote
from cardcore.settlement.model cimport (
    ADJUST, ADJUSTMENT, AWARD, AWARD_ISSUE, AWARDED, BONUS_COST, COUPON, CUSTOMER, DEFERRED, E_BONUS, E_GRANT, E_WAIVE, ENTITLEMENT_ISSUE,
    ENTITLEMENT_USED, EXPIRE, EXPIRED, FEE, FEES, FEN, LOTS_MAX, Lot, OPEN_PAY, OPEN_UNLOAD, OUTSIDE, POINTS, POINTS_ISSUE, Posting, R_ADJUST,
    R_BONUS, R_EXPIRE, R_FEE, R_PRODUCT, R_TOPUP, R_TRANSFER, SALES, TOPUP, TRANSFER, VISITS, Value, new_settlement,
)
from cardcore.settlement.predicate cimport Known, answer, know
from cardcore.settlement.rules cimport (
    C_CHARGED, C_TOPUPS, ON_TOPUP, PREDICATE_WORDS, ROLE_BONUS, ROLE_PRINCIPAL, RULE_BONUS, RULE_DISCOUNT, Programme, Rule, Rules, applies,
    expiry, first_of_group, fits, lapse, void_after,
)
from cardcore.settlement.tender cimport money_after, points_after, same_lot, select_lots

from math import gcd

from cardcore.errors import Declined


cdef Posting* credit(
    Settlement s, const Rules* r, Account scratch, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units
) except NULL:
    """A posting into a lot of the scratch account (an equal lot, or a new one); the caller names the source.

    What counts from its first use is a lot each: two year cards in one lot would start, and end, together (C06). So is each coupon:
    its lot is what it is traced by (K06).
    """
    cdef Posting* p = s.add_posting()
    cdef int64_t lot_id = 0
    if not r.purses[purse].first_use and r.purses[purse].unit != COUPON:
        lot_id = same_lot(&scratch.v, purse, amount, expires_at, paid_fen, of_units)
    if lot_id == 0:
        lot_id = scratch.v.next_lot
        if scratch.v.n_lots >= LOTS_MAX:
            raise Declined("limit_exceeded", limit=LOTS_MAX, what="lots of one account")
    scratch.reserve(scratch.v.n_lots + 1)
    if credit_lot(&scratch.v, lot_id, purse, amount, expires_at, paid_fen, of_units):
        raise Declined("limit_exceeded", what="one lot of value")
    p.amount = amount
    p.unit = r.purses[purse].unit
    p.target = CUSTOMER
    p.target_account = scratch.v.account_id
    p.target_lot = lot_id
    p.purse = purse
    p.expires_at = expires_at
    p.paid_fen = paid_fen
    p.of_units = of_units
    return p


cdef int64_t rule_end(const Rules* r, const Rule* rule, int purse, int64_t at_s) noexcept nogil:
    """The end of what a rule grants: its own, else the purse's."""
    return expiry(r, at_s, rule.months, rule.days) if rule.own_end else lapse(r, purse, at_s)


cdef int settle_balances(const Rules* r, Settlement s, Account account, int64_t at_s) except -1:
    """The balances after the settlement, from the account as the fold leaves it (L02), and the liability (M10)."""
    after = account.copy()
    cdef Account a = after
    cdef int failed
    a.make_room(s.postings_, s.n_postings)
    failed = fold(&a.v, a.v.account_id, s.postings_, s.n_postings)
    assert failed <= 0, f"posting {failed} does not fit the account it was decided on"
    if failed:
        raise Declined("limit_exceeded", what="one lot of value")
    s.t.after_money_fen = money_after(r, a.v.lots, a.v.n_lots, at_s)
    s.t.after_points = points_after(r, a.v.lots, a.v.n_lots, at_s)
    s.t.liability_delta_fen = liability_change(s.postings_, s.n_postings)
    return 0


cdef int64_t money_elsewhere(Account account) noexcept:
    """Money of a card's holder that is not in its lots: held or in flight (a hold over several cards whole on the card that opened it),
    and on the card's own memory."""
    cdef int64_t total = account.v.on_card_fen
    cdef int i
    for i in range(account.n_holds):
        if account.holds_[i].kind not in (OPEN_UNLOAD, OPEN_PAY):  # which are still on the card
            total += account.holds_[i].amount_fen
    return total


cdef int64_t whole_money(const Rules* r, Account account, int64_t at_s):
    """All that one card's holder has, unexpired, wherever it is."""
    return money_after(r, account.v.lots, account.v.n_lots, at_s) + money_elsewhere(account)


cdef int settle_all(Snapshot snapshot, Settlement s, int64_t at_s) except -1:
    """`settle_balances`, and what returns to further cards must fit their lots as well: past this point nothing is refused."""
    cdef Snapshot other
    cdef Account after
    cdef int failed
    settle_balances(&(<Programme> snapshot.programme).r, s, snapshot.account, at_s)
    for other in snapshot.others:
        after = other.account.copy()
        after.make_room(s.postings_, s.n_postings)
        failed = fold(&after.v, after.v.account_id, s.postings_, s.n_postings)
        assert failed <= 0, f"posting {failed} does not fit the further account it was decided on"
        if failed:
            raise Declined("limit_exceeded", what="one lot of value")
    return 0


cdef int check_ceiling(const Rules* r, Account account, int64_t at_s, int64_t more_fen) except -1:
    """The programme's ceiling on one card's money, bonus included and wherever it is (W1, M11)."""
    cdef int64_t room = r.balance_max_fen - whole_money(r, account, at_s)
    if more_fen > room:
        raise Declined("limit_exceeded", limit_fen=r.balance_max_fen, room_fen=max(0, room))
    return 0


cdef int purse_with_role(const Rules* r, int role) noexcept nogil:
    cdef int i
    for i in range(r.n_purses):
        if r.purses[i].role == role:
            return i
    return -1


# ------------------------------------------------------------------ top-up
cdef Settlement decide_topup(Snapshot snapshot, object command, int64_t at_us):
    cdef Programme programme = snapshot.programme
    cdef Settlement s = new_settlement(TOPUP, programme, snapshot.account)
    cdef int64_t at_s = at_us // 1_000_000
    cdef Known known
    cdef uint64_t[PREDICATE_WORDS] truth
    cdef Tally tally
    cdef const Rules* r = &programme.r
    s.outside_tender = command.tender
    s.memo = command.memo
    s.t.outside_fen = s.t.gross_fen = s.t.net_fen = command.paid_fen
    if command.product:
        sell_product(s, programme, snapshot.account.copy(), command, at_s)
    else:
        know(snapshot.facts, programme, command.tender, "", &known)
        answer(r, &known, at_s, truth)
        open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, at_s, &tally)
        answer_had(r, &tally, truth)
        tally_amount(r, C_TOPUPS, 1, &tally)
        tally_amount(r, C_CHARGED, command.paid_fen, &tally)
        answer_reached(r, &tally, truth)
        top_up(s, programme, snapshot.account.copy(), command, at_s, truth, &tally)
        promote(r, s.t.tier_before, ON_TOPUP, command.paid_fen, truth, &tally, NULL)
        put_moves(s, r, &tally)
        s.t.tier_after = max(s.t.tier_before, tier_by_counters(r, &tally))
    settle_balances(&programme.r, s, snapshot.account, at_s)
    return s


cdef int top_up(Settlement s, Programme programme, Account scratch, command, int64_t at_s, const uint64_t* truth, Tally* tally) except -1:
    """Principal for what was paid, bonus by every matching rule, both with the paid ratio of the whole (O02)."""
    cdef const Rules* r = &programme.r
    cdef int64_t paid = command.paid_fen, total_bonus = 0, bonus, divisor
    cdef int i, k, principal = purse_with_role(r, ROLE_PRINCIPAL)
    cdef uint64_t acted = 0
    cdef Posting* p
    if principal < 0:
        raise Declined("topup_not_allowed", reason="the programme holds no stored value")
    if not r.topup_min_fen <= paid <= r.topup_max_fen or paid % r.topup_step_fen:
        raise Declined("topup_not_allowed", min_fen=r.topup_min_fen, max_fen=r.topup_max_fen, step_fen=r.topup_step_fen)
    grants = []
    for k in range(r.first[RULE_BONUS], r.first[RULE_BONUS + 1]):
        i = r.by_effect[k]
        if applies(&r.rules[i], scratch.v.tier, paid, truth):
            # Rounding: full steps only.
            bonus = paid // r.rules[i].per_fen * r.rules[i].amount if r.rules[i].per_fen else r.rules[i].amount
            if r.rules[i].n_quotas:
                bonus = min(bonus, quota_left(r, &r.rules[i], tally))
            if bonus and first_of_group(&r.rules[i], &acted):
                use_quota(&r.rules[i], bonus, tally)
                grants.append((i, r.rules[i].purse, bonus))
                if r.rules[i].award < 0 and r.purses[r.rules[i].purse].unit == FEN:
                    total_bonus += bonus
    check_ceiling(r, scratch, at_s, paid + total_bonus)
    divisor = gcd(paid, paid + total_bonus)
    p = credit(s, r, scratch, principal, paid, lapse(r, principal, at_s), paid // divisor, (paid + total_bonus) // divisor)
    p.source = OUTSIDE
    p.role = R_TOPUP
    s.t.principal_fen = paid
    for rule, purse, amount in grants:
        if r.rules[<int> rule].award >= 0:
            p = s.add_posting()
            p.amount, p.unit, p.source, p.target = amount, AWARD, AWARD_ISSUE, AWARDED
            p.target_account, p.purse = scratch.v.account_id, r.rules[<int> rule].award
            p.expires_at = expiry(r, at_s, r.rules[<int> rule].months, r.rules[<int> rule].days)
        elif r.purses[<int> purse].unit == FEN:
            p = credit(s, r, scratch, purse, amount, lapse(r, purse, at_s), paid // divisor, (paid + total_bonus) // divisor)
            p.source = BONUS_COST
        else:
            p = credit(s, r, scratch, purse, amount, rule_end(r, &r.rules[<int> rule], purse, at_s), 0, 0)
            p.source = POINTS_ISSUE if p.unit == POINTS else ENTITLEMENT_ISSUE
        p.role = R_BONUS
        if command.explain:
            s.add_note(E_BONUS, rule, -1, amount, p.unit, paid, paid + amount)
    s.t.bonus_fen = total_bonus
    return 0


cdef int sell_product(Settlement s, Programme programme, Account scratch, command, int64_t at_s) except -1:
    """A count card, package, course or pass: its price is deferred income until its visits are used (C05, C07, C09)."""
    cdef const Rules* r = &programme.r
    cdef int64_t total = 0, share, left, expires, deferred = 0
    cdef Posting* p
    cdef int purse, months, days
    if command.product not in programme.products:
        raise Declined("unknown_product", product=command.product)
    price, grants = programme.products[command.product]
    if command.paid_fen != price:
        raise Declined("topup_not_allowed", price_fen=price)
    for grant in grants:
        total += <int64_t> grant[1]
    left = price
    for index, (purse, amount, months, days) in enumerate(grants):
        # Rounding: each grant's share of the price by its units, floored; the last one takes what is left.
        share = left if index == len(grants) - 1 else cc_muldiv(price, amount, total)
        left -= share
        deferred += share // <int64_t> amount * <int64_t> amount
        expires = expiry(r, at_s, months, days) if months or days else lapse(r, purse, at_s)
        divisor = gcd(share, amount) or 1
        p = credit(s, r, scratch, purse, amount, expires, share // divisor, amount // divisor)
        p.source = ENTITLEMENT_ISSUE if p.unit >= VISITS else POINTS_ISSUE if p.unit == POINTS else BONUS_COST
        p.role = R_PRODUCT
        if command.explain:
            s.add_note(E_GRANT, -1, -1, amount, p.unit, 0, purse)
    # Rounding: fen that no unit carries are income at once; the rest when units are used or lapse (M12).
    post_money(s, deferred, OUTSIDE, DEFERRED, R_PRODUCT)
    post_money(s, price - deferred, OUTSIDE, SALES, R_PRODUCT)
    return 0


cdef int post_money(Settlement s, int64_t amount_fen, int source, int target, int role, int line=-1) except -1:
    """Money between two of the issuer's accounts; nothing for an amount of 0."""
    cdef Posting* p
    if amount_fen:
        p = s.add_posting()
        p.amount = amount_fen
        p.unit = FEN
        p.source = source
        p.target = target
        p.role = role
        p.line = line
    return 0


cdef int64_t deferred_value(const Rules* r, lot, int64_t units):
    """The money received for units of an entitlement that is not yet income."""
    cdef int64_t paid_fen = lot.paid_fen, of_units = lot.of_units
    if r.purses[<int> lot.purse].unit < VISITS or of_units == 0:
        return 0
    return paid_fen // of_units * units


# ------------------------------------------------------------------ fees
cdef Settlement decide_fee(Snapshot snapshot, object command, int64_t at_us):
    """A fee is the issuer's income, no sale and no stored value; the first rule that waives its kind makes it free (L06, L07)."""
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef const Rule* rule
    cdef Settlement s = new_settlement(FEE, programme, snapshot.account)
    cdef int64_t at_s = at_us // 1_000_000, fee = command.amount_fen
    cdef int k, category = programme.categories.get(command.kind, -1)
    cdef Known known
    cdef uint64_t[PREDICATE_WORDS] truth
    cdef Tally tally
    know(snapshot.facts, programme, command.tender, "", &known)
    answer(r, &known, at_s, truth)
    open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, at_s, &tally)
    answer_had(r, &tally, truth)
    for k in range(r.first[RULE_DISCOUNT], r.first[RULE_DISCOUNT + 1]):
        rule = &r.rules[r.by_effect[k]]
        if (rule.waives and fits(rule, category, 0) and applies(rule, snapshot.account.v.tier, fee, truth)
                and quota_left(r, rule, &tally) > 0):
            use_quota(rule, 0, &tally)
            s.add_note(E_WAIVE, r.by_effect[k], -1, fee, FEN, fee, 0)
            fee = 0
            break
    post_money(s, fee, OUTSIDE, FEES, R_FEE)
    s.t.gross_fen, s.t.discount_fen = command.list_fen, command.list_fen - fee
    s.t.net_fen = s.t.outside_fen = fee
    s.outside_tender = command.tender if fee else ""
    s.memo = command.memo
    put_moves(s, r, &tally)
    settle_balances(r, s, snapshot.account, at_s)
    return s


# ------------------------------------------------------------------ transfer
cdef Settlement decide_transfer(Snapshot snapshot, object command, int64_t at_us):
    """Lots move with their paid ratio and expiry, in the source's spending order (P01, R10, M7)."""
    cdef Programme programme = snapshot.programme
    cdef Snapshot target = snapshot.others[0]
    cdef Programme target_programme = target.programme
    cdef const Rules* r = &programme.r
    cdef Settlement s = new_settlement(TRANSFER, programme, snapshot.account)
    cdef int64_t at_s = at_us // 1_000_000, left = command.amount, take
    cdef Account receiver = target.account.copy()
    cdef Value* v = &snapshot.account.v
    cdef int i, n, unit = FEN if command.unit == "fen" else POINTS
    cdef Lot* lot
    cdef Posting* p
    if v.account_id == receiver.v.account_id:
        raise Declined("same_card")
    if programme.currency != target_programme.currency:
        raise Declined("currency_mismatch")
    if not r.transfer & target_programme.r.transfer & 1 << unit:
        raise Declined("transfer_not_allowed")
    if unit == FEN:
        check_ceiling(&target_programme.r, receiver, at_s, left)
    cdef int32_t* order = <int32_t*> malloc((v.n_lots + 1) * sizeof(int32_t))
    if order == NULL:
        raise MemoryError
    try:
        n = select_lots(r, v.lots, v.n_lots, at_s, unit, -1, order)
        for i in range(n):
            if left == 0:
                break
            lot = &v.lots[order[i]]
            take = min(left, lot.amount)
            purse = purse_in(programme, lot.purse, target_programme)
            p = credit(s, &target_programme.r, receiver, purse, take, lot.expires_at, lot.paid_fen, lot.of_units)
            p.source = CUSTOMER
            p.source_account = v.account_id
            p.source_lot = lot.lot_id
            p.role = R_TRANSFER
            p.line = lot.purse  # the source's own purse, which a reversal needs where the programmes differ
            if unit == POINTS:
                s.t.points_used += take
            elif r.purses[lot.purse].role == ROLE_BONUS:
                s.t.bonus_fen += take
            else:
                s.t.principal_fen += take
            left -= take
    finally:
        free(order)
    if left and unit == POINTS:
        raise Declined("insufficient_points", shortfall=left)
    if left:
        raise Declined("insufficient_funds", shortfall_fen=left)
    if unit == FEN:
        s.t.gross_fen = s.t.net_fen = command.amount
    s.further_accounts = (receiver.v.account_id,)
    s.memo = command.memo
    settle_all(snapshot, s, at_s)
    return s


def purse_in(Programme source not None, int purse, Programme target not None):
    """The purse of the same name and unit in another programme, else the first of the same role. Raises Declined."""
    for index, name in enumerate(target.purses):
        if name == source.purses[purse] and target.purse_units[index] == source.purse_units[purse]:
            return index
    for index, role in enumerate(target.purse_roles):
        if role == source.purse_roles[purse] and target.purse_units[index] == source.purse_units[purse]:
            return index
    raise Declined("transfer_not_allowed", purse=source.purses[purse])


# ------------------------------------------------------------------ adjustment
cdef Settlement decide_adjust(Snapshot snapshot, object command, int64_t at_us):
    """A correction of one purse by two people (O04): into a lot of its own, or out of lots in spending order."""
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Settlement s = new_settlement(ADJUST, programme, snapshot.account)
    cdef int64_t at_s = at_us // 1_000_000, left, take
    cdef Account scratch = snapshot.account.copy()
    cdef int purse
    cdef Posting* p
    if command.purse not in programme.purses:
        raise Declined("limit_exceeded", purse=command.purse, what="the programme has no such purse")
    purse = programme.purses.index(command.purse)
    if command.amount > 0:
        if r.purses[purse].unit == FEN:
            check_ceiling(r, scratch, at_s, command.amount)
        p = credit(s, r, scratch, purse, command.amount, lapse(r, purse, at_s), 0, 0)
        p.source = ADJUSTMENT
        p.role = R_ADJUST
    else:
        left = -command.amount
        lots = sorted(
            (lot for lot in snapshot.account.lots() if lot.purse == purse and (not lot.expires_at or lot.expires_at > at_s)),
            key=lambda lot: (lot.expires_at or 1 << 62, lot.lot_id),
        )
        for lot in lots:
            if left == 0:
                break
            take = min(left, lot.amount)
            p = debit_lot(s, r, snapshot.account.v.account_id, lot, take)
            p.target = ADJUSTMENT
            p.role = R_ADJUST
            post_money(s, deferred_value(r, lot, take), DEFERRED, ADJUSTMENT, R_ADJUST)
            left -= take
        if left:
            raise Declined("insufficient_points" if r.purses[purse].unit == POINTS else "insufficient_funds", shortfall=left)
    s.t.gross_fen = s.t.net_fen = abs(command.amount) if r.purses[purse].unit == FEN else 0
    s.t.principal_fen = s.t.net_fen
    s.memo = command.memo
    settle_balances(r, s, snapshot.account, at_s)
    return s


cdef Posting* debit_lot(Settlement s, const Rules* r, int64_t account_id, lot, int64_t amount) except NULL:
    cdef Posting* p = s.add_posting()
    p.amount = amount
    p.unit = r.purses[<int> lot.purse].unit
    p.source = CUSTOMER
    p.source_account = account_id
    p.source_lot = lot.lot_id
    p.purse = lot.purse
    p.expires_at = lot.expires_at
    p.paid_fen = lot.paid_fen
    p.of_units = lot.of_units
    return p


# ------------------------------------------------------------------ expiry
cdef Settlement decide_expire(Snapshot snapshot, object command, int64_t at_us):
    """Void lapsed lots as postings; unused visits become the merchant's income (X01)."""
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Settlement s = new_settlement(EXPIRE, programme, snapshot.account)
    cdef int64_t at_s = at_us // 1_000_000
    cdef Posting* p
    for lot in snapshot.account.lots():
        if not lot.expires_at or void_after(r, lot.purse, lot.expires_at) > at_s:
            continue
        if command.keep_principal and r.purses[<int> lot.purse].role == ROLE_PRINCIPAL:
            continue
        p = debit_lot(s, r, snapshot.account.v.account_id, lot, lot.amount)
        p.target = EXPIRED if p.unit <= POINTS or p.unit == COUPON else ENTITLEMENT_USED
        p.role = R_EXPIRE
        if p.unit == FEN:
            s.t.net_fen += lot.amount
        if p.unit == POINTS:
            s.t.points_used += lot.amount
        post_money(s, deferred_value(r, lot, lot.amount), DEFERRED, EXPIRED, R_EXPIRE)
    if s.n_postings == 0:
        raise Declined("nothing_to_do")
    s.t.gross_fen = s.t.principal_fen = s.t.net_fen
    s.memo = command.memo
    settle_balances(r, s, snapshot.account, at_s)
    return s
