"""Verbs that name an earlier entry: capture, void, release of a lapsed hold, refund, reverse (P01, M6-M9, X03).

An undoing posting carries the number of the posting it undoes, so what is left of a ticket is a sum over the entries
that name it, per lot and per tender (M8). Nothing is edited: each of these is a new settlement.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy

from cardcore.money cimport cc_muldiv
from cardcore.settlement.claw cimport as_returned, claw_back, claw_granted, collect_owed, undo
from cardcore.settlement.counter cimport (
    answer_had, move_back, move_points_back, open_tally, put_moves, rebates_gone, stepped, tier_after_return,
)
from cardcore.settlement.coupon cimport capture_coupon, return_coupons
from cardcore.settlement.model cimport (
    CAPTURE, CUSTOMER, DEFERRED, E_RETURN, ENTITLEMENT_USED, EVENT, EXPIRE, F_REDEEM, FEE, FEN, GIFT_COST, GIVE, HELD, HOLD, LineOut, OUTSIDE,
    PASS, POINTS, POINTS_COST, POINTS_REDEEMED, R_COVER, R_DRAW, R_FURTHER, R_OUTSIDE, R_POINTS, R_REDEEM, R_RELEASE, R_STORED,
    REDEMPTION, REFUND, REVERSE, SALES, SETTLE, TOPUP, TRANSFER, ADJUST, VOID, Account, Lot, Posting, Value, new_settlement,
)
from cardcore.settlement.predicate cimport Known, answer, know
from cardcore.settlement.rules cimport ROLE_BONUS, Programme, Rules
from cardcore.settlement.sale cimport leave_work, other_accounts, take_work
from cardcore.settlement.tender cimport Work
from cardcore.settlement.ticket cimport follow
from cardcore.settlement.value cimport post_money, settle_all, whole_money

from cardcore.errors import Declined, InvalidCommand
from cardcore.money import allot


cdef int check_ticket(Snapshot snapshot) except -1:
    if snapshot.ticket.account_id != snapshot.account.v.account_id:
        raise Declined("not_same_card")
    return 0


# ------------------------------------------------------------------ holds
cdef int check_open_hold(Snapshot snapshot, int64_t at_s, bint lapsed) except -1:
    cdef Settlement hold = snapshot.ticket
    check_ticket(snapshot)
    if snapshot.followers or not any(h.position == snapshot.ticket_position for h in snapshot.account.holds()):
        raise Declined("hold_not_open")
    if lapsed and hold.t.expires_at > at_s:
        raise Declined("nothing_to_do", expires_at=hold.t.expires_at)
    return 0


cdef Settlement release_all(Snapshot snapshot, int verb, command):
    """Everything held goes back to its lots; nothing was sold."""
    cdef Settlement hold = snapshot.ticket
    cdef Settlement s = new_settlement(verb, snapshot.programme, snapshot.account)
    cdef Posting* p
    cdef int i
    for i in range(hold.n_postings):
        p = undo(s, &hold.postings_[i], i, hold.postings_[i].amount)
        if p.role != R_COVER:
            p.role = R_RELEASE
    s.t.hold_position = snapshot.ticket_position
    s.t.gross_fen = s.t.net_fen = hold.t.principal_fen + hold.t.bonus_fen + hold.t.further_fen
    s.t.principal_fen, s.t.bonus_fen, s.t.further_fen = hold.t.principal_fen, hold.t.bonus_fen, hold.t.further_fen
    s.t.points_used = hold.t.points_used
    s.further_accounts = hold.further_accounts
    s.memo = command.memo
    move_back(s, &(<Programme> snapshot.programme).r, snapshot.account, hold, 0, 0, True, [])
    collect_owed(s, snapshot, False)
    return s


cdef Settlement decide_release(Snapshot snapshot, object command, int64_t at_us):
    cdef Settlement s
    if snapshot.ticket.verb_code != HOLD:
        raise Declined("nothing_to_do")
    check_open_hold(snapshot, at_us // 1_000_000, True)
    s = release_all(snapshot, EXPIRE, command)
    settle_all(snapshot, s, at_us // 1_000_000)
    return s


cdef Settlement decide_capture(Snapshot snapshot, object command, int64_t at_us):
    """Take tenders in their order up to the captured amount; what is over returns to its lots (P01)."""
    cdef Programme programme = snapshot.programme
    cdef Settlement hold = snapshot.ticket
    cdef Settlement s
    cdef int64_t at_s = at_us // 1_000_000
    cdef int64_t amount
    check_ticket(snapshot)
    if hold.verb_code != HOLD:
        raise Declined("hold_not_open")
    check_open_hold(snapshot, at_s, False)
    if hold.t.expires_at <= at_s:
        raise Declined("hold_not_open", expired_at=hold.t.expires_at)
    amount = hold.t.net_fen if command.amount_fen == -1 else command.amount_fen
    if amount > hold.t.net_fen:
        raise Declined("over_hold", held_fen=hold.t.net_fen)
    if amount < hold.t.points_fen:
        raise Declined("points_not_allowed", points_fen=hold.t.points_fen)
    s = new_settlement(CAPTURE, programme, snapshot.account)
    s.t.gross_fen, s.t.discount_fen, s.t.coupon_fen = hold.t.gross_fen, hold.t.discount_fen, hold.t.coupon_fen
    s.t.covered_fen, s.t.net_fen, s.t.uncaptured_fen = hold.t.covered_fen, amount, hold.t.net_fen - amount
    s.t.points_fen, s.t.points_used = hold.t.points_fen, hold.t.points_used
    s.t.hold_position = snapshot.ticket_position
    s.lines_ = <LineOut*> malloc(hold.n_lines * sizeof(LineOut) + 1)
    if s.lines_ == NULL:
        raise MemoryError
    memcpy(s.lines_, hold.lines_, hold.n_lines * sizeof(LineOut))
    s.n_lines = hold.n_lines
    s.further_accounts = hold.further_accounts
    s.memo = command.memo
    capture_tenders(s, &programme.r, hold, amount - hold.t.points_fen)
    if s.t.outside_fen:
        s.outside_tender = hold.outside_tender
    capture_earnings(s, snapshot, hold, at_s, command.explain)
    collect_owed(s, snapshot, command.explain)
    settle_all(snapshot, s, at_s)
    return s


cdef int capture_tenders(Settlement s, const Rules* r, Settlement hold, int64_t left) except -1:
    cdef int i
    cdef int64_t take
    cdef const Posting* held
    cdef Posting* p
    if hold.t.points_fen:  # tender order: points before stored value, as in a settle
        post_money(s, hold.t.points_fen, POINTS_COST, SALES, R_POINTS)
    for i in range(hold.n_postings):
        held = &hold.postings_[i]
        take = held.amount
        if held.role == R_STORED or held.role == R_FURTHER:
            take = min(left, held.amount)
            left -= take
            if held.role == R_FURTHER:
                s.t.further_fen += take
            elif r.purses[held.purse].role == ROLE_BONUS:
                s.t.bonus_fen += take
            else:
                s.t.principal_fen += take
            if take < held.amount:
                p = undo(s, held, i, held.amount - take)
                p.role = R_RELEASE
        if take or held.unit == PASS:
            p = s.add_posting()
            p[0] = held[0]
            p.amount = take
            p.source = HELD
            p.target_account = 0
            p.target = SALES if held.unit == FEN else POINTS_REDEEMED if held.unit == POINTS else ENTITLEMENT_USED
            capture_coupon(s, r, s.n_postings - 1, held.value_fen, hold.t.net_fen)
        if held.role == R_COVER:
            post_money(s, held.value_fen, DEFERRED, SALES, R_COVER, held.line)
    for i in range(hold.n_lines):
        if hold.lines_[i].flags & F_REDEEM:
            post_money(s, hold.lines_[i].covered_fen, GIFT_COST, SALES, R_REDEEM, hold.lines_[i].index)
    post_money(s, left, OUTSIDE, SALES, R_OUTSIDE)
    s.t.outside_fen = left
    return 0


cdef int capture_earnings(Settlement s, Snapshot snapshot, Settlement hold, int64_t at_s, bint explain) except -1:
    """Points on the captured share, counters and tier, by the same compiled rules as a settle."""
    cdef Programme programme = snapshot.programme
    cdef const Value* v = &snapshot.account.v
    cdef Work* w = take_work(snapshot, hold.n_lines)
    cdef const Rules* r = &programme.r
    cdef Account returned
    cdef Known known
    cdef int i
    cdef Posting* p
    try:
        w.t = s.t
        w.n_postings = 0
        w.n_notes = 0
        w.cap_notes = 8192 if explain else 0
        if programme.r.n_predicates:
            know(snapshot.facts, programme, hold.outside_tender, "", &known)
            answer(r, &known, at_s, w.truth)
        if r.n_counters:
            open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, at_s, &w.tally)
            answer_had(r, &w.tally, w.truth)
        w.next_lot = v.next_lot
        if r.gives:
            # What the hold gives back stands again: a gift of the same purse and end joins that lot, and finds the room it leaves.
            returned = as_returned(s, snapshot)
            v = &returned.v
            w.t.after_money_fen, w.elsewhere_fen = whole_money(r, returned, at_s) - hold.t.hold_fen, 0
        if follow(r, v, hold.lines_, hold.n_lines, hold.t.net_fen, hold.t.gross_fen, at_s, explain, w):
            raise Declined("limit_exceeded", limit=w.fact)
        s.t = w.t
        if r.n_counters:
            put_moves(s, r, &w.tally)
        for i in range(w.n_postings):
            p = s.add_posting()
            p[0] = w.postings[i]
        for i in range(w.n_notes):
            s.add_note(w.notes[i].effect, w.notes[i].rule, w.notes[i].line, w.notes[i].amount, w.notes[i].unit,
                       w.notes[i].before, w.notes[i].after)
    finally:
        leave_work(w)
    return 0


# ------------------------------------------------------------------ void and refund
cdef Settlement decide_void(Snapshot snapshot, object command, int64_t at_us):
    cdef Settlement ticket = snapshot.ticket
    cdef Settlement s
    check_ticket(snapshot)
    if ticket.verb_code == HOLD:
        check_open_hold(snapshot, 0, False)
        s = release_all(snapshot, VOID, command)
        settle_all(snapshot, s, at_us // 1_000_000)
        return s
    if ticket.verb_code != SETTLE and ticket.verb_code != CAPTURE:
        raise Declined("not_refundable", verb=ticket.verb)
    if snapshot.followers:
        raise Declined("already_reversed")
    return give_back(snapshot, VOID, -1, None, at_us // 1_000_000, False, command.memo)


cdef Settlement decide_refund(Snapshot snapshot, object command, int64_t at_us):
    cdef Settlement ticket = snapshot.ticket
    check_ticket(snapshot)
    if ticket.verb_code != SETTLE and ticket.verb_code != CAPTURE:
        raise Declined("not_refundable", verb=ticket.verb)
    if command.lines and ticket.t.uncaptured_fen:
        raise Declined("not_refundable", uncaptured_fen=ticket.t.uncaptured_fen)
    return give_back(snapshot, REFUND, command.amount_fen, command.lines or None, at_us // 1_000_000, command.explain, command.memo)


cdef Settlement give_back(Snapshot snapshot, int verb, int64_t amount, lines, int64_t at_s, bint explain, bytes memo):
    """Run a ticket backwards: all that is left (amount -1, no lines), an amount, or whole lines."""
    cdef Programme programme = snapshot.programme
    cdef Settlement ticket = snapshot.ticket
    cdef Settlement s = new_settlement(verb, programme, snapshot.account)
    cdef Settlement other
    cdef int i, index
    cdef int64_t refunded_before = 0, clawed_before = 0, refund, remaining, lost
    cdef Account scratch
    undone = [0] * ticket.n_postings
    times = [0] * ticket.n_postings
    lines_before = set()
    closed = False
    for other in snapshot.followers:
        closed = closed or other.t.orders_delta < 0
        refunded_before += other.t.net_fen
        clawed_before += other.t.points_earned + stepped(other)
        for i in range(other.n_postings):
            if other.postings_[i].undoes >= 0:
                undone[other.postings_[i].undoes] += other.postings_[i].amount
                times[other.postings_[i].undoes] += 1
        for i in range(other.n_lines):
            lines_before.add(other.lines_[i].index)
    remaining = ticket.t.net_fen - refunded_before
    whole = amount == -1 and lines is None
    if whole:
        refund = remaining
        lines = tuple(i for i in range(ticket.n_lines) if i not in lines_before)
    elif lines is not None:
        refund = 0
        for index in lines:
            if index >= ticket.n_lines:
                raise InvalidCommand(f"the ticket has no line {index}", line=index)
            if index in lines_before:
                raise Declined("over_refund", line=index, remaining_fen=remaining)
            refund += ticket.lines_[index].net_fen
    else:
        refund, lines = amount, ()
    if refund > remaining:
        raise Declined("over_refund", remaining_fen=remaining)
    refund_money(s, &programme.r, ticket, refund, undone)
    returned = return_lines(s, ticket, lines, undone, times)
    # A ticket that cost nothing can be given back once; a ticket given back whole has nothing left.
    if closed or (refund == 0 and not returned and not lines):
        raise Declined("over_refund", remaining_fen=remaining)
    s.t.net_fen = refund
    s.t.gross_fen = refund + s.t.covered_fen
    s.outside_tender = ticket.outside_tender if s.t.outside_fen else ""
    s.further_accounts = other_accounts(s)
    s.memo = memo
    paid_back = remaining == refund and all_returned(ticket, times, s)
    whole = paid_back and free_returned(ticket, lines_before.union(lines))
    return_coupons(s, &programme.r, ticket, undone, remaining - refund, whole, explain)
    lost_value = []
    lost = move_back(s, &programme.r, snapshot.account, ticket, refunded_before, refund, whole, lost_value)
    scratch = collect_owed(s, snapshot, explain)
    claw_back(s, snapshot, scratch, clawed_before, remaining - refund, lost, at_s, explain)
    value = claw_granted(s, snapshot, scratch, remaining - refund, paid_back, undone, lost_value, at_s, explain)
    move_points_back(s, &programme.r, ticket, s.t.points_earned, lost, value)
    if explain:
        s.add_note(E_RETURN, -1, -1, refund, FEN, remaining, remaining - refund)
    s.t.orders_delta = -1 if whole else 0
    s.t.spend_delta_fen = -(refund - s.t.points_fen)
    s.t.points_delta = -s.t.points_earned
    s.t.tier_after = tier_after_return(s, &programme.r, snapshot.account, at_s)
    settle_all(snapshot, s, at_s)
    return s


cdef bint all_returned(Settlement ticket, times, Settlement s):
    cdef int i
    now = {s.postings_[i].undoes for i in range(s.n_postings)}
    for i in range(ticket.n_postings):
        if ticket.postings_[i].role == R_COVER or ticket.postings_[i].role == R_REDEEM:
            if not times[i] and i not in now:
                return False
    return True


cdef bint free_returned(Settlement ticket, set lines):
    """Whether every line that a coupon, a waiver or a discount made free is among these: who keeps it keeps no coupon and no quota for it."""
    cdef int i
    for i in range(ticket.n_lines):
        if (ticket.lines_[i].net_fen == 0 and ticket.lines_[i].amount_fen and ticket.lines_[i].covered_fen == 0
                and ticket.lines_[i].index not in lines):
            return False
    return True


cdef int refund_money(Settlement s, const Rules* r, Settlement ticket, int64_t refund, list undone) except -1:
    """Allot the refund over what is left of each money tender: floors first, remainders in tender order (M8)."""
    cdef int i
    cdef Posting* p
    cdef int64_t given, points_total = 0, points_back = 0, fen_back
    tenders = []
    weights = []
    for i in range(ticket.n_postings):
        p = &ticket.postings_[i]
        if p.unit == FEN and p.target == SALES and (
                p.role == R_STORED or p.role == R_FURTHER or p.role == R_OUTSIDE or p.role == R_POINTS):
            tenders.append(i)
            weights.append(p.amount - undone[i])
        if p.unit == POINTS and p.role == R_POINTS:
            points_total += p.amount
            points_back += undone[i]
    if refund == 0:
        return 0
    for i, share in zip(tenders, allot(refund, weights), strict=True):
        if share == 0:
            continue
        p = undo(s, &ticket.postings_[i], i, share)
        if p.role == R_OUTSIDE:
            s.t.outside_fen += share
        elif p.role == R_FURTHER:
            s.t.further_fen += share
        elif p.role == R_POINTS:
            s.t.points_fen += share
            fen_back = undone[i] + share
            # Rounding: points return with the money they paid, floored on the running total, so all return with the last fen.
            given = cc_muldiv(points_total, fen_back, ticket.postings_[i].amount) - points_back
            return_points(s, ticket, given, undone)
        elif r.purses[p.purse].role == ROLE_BONUS:
            s.t.bonus_fen += share
        else:
            s.t.principal_fen += share
    return 0


cdef int return_points(Settlement s, Settlement ticket, int64_t points, list undone) except -1:
    cdef int i
    cdef int64_t share
    for i in range(ticket.n_postings):
        if points == 0:
            break
        if ticket.postings_[i].unit == POINTS and ticket.postings_[i].role == R_POINTS:
            share = min(points, ticket.postings_[i].amount - <int64_t> undone[i])
            if share:
                undo(s, &ticket.postings_[i], i, share)
                s.t.points_used += share
                points -= share
    assert points == 0, "more points would return than were used"
    return 0


cdef bint return_lines(Settlement s, Settlement ticket, lines, list undone, list times) except -1:
    """Whole lines: their visits and redeemed points return, and the lines are marked as given back."""
    cdef int i, index
    cdef bint any_back = False
    chosen = set(lines)
    for i in range(ticket.n_postings):
        if ticket.postings_[i].line in chosen and (
                ticket.postings_[i].role == R_COVER or ticket.postings_[i].role == R_REDEEM) and not times[i]:
            undo(s, &ticket.postings_[i], i, ticket.postings_[i].amount)
            if ticket.postings_[i].unit == POINTS:
                s.t.points_used += ticket.postings_[i].amount
            any_back = True
    if chosen:
        s.lines_ = <LineOut*> malloc(len(chosen) * sizeof(LineOut))
        if s.lines_ == NULL:
            raise MemoryError
        for index in sorted(chosen):
            s.lines_[s.n_lines] = ticket.lines_[index]
            s.t.covered_fen += ticket.lines_[index].covered_fen
            s.n_lines += 1
    return any_back


# ------------------------------------------------------------------ reverse
cdef Settlement reverse_event(Snapshot snapshot, object command, int64_t at_s):
    """An event never happened: what it gave is taken back as after a return, points that bought a draw return to their lots."""
    cdef Programme programme = snapshot.programme
    cdef Settlement done = snapshot.ticket
    cdef Settlement s = new_settlement(REVERSE, programme, snapshot.account)
    cdef Account scratch
    cdef int64_t lost
    cdef int i
    if snapshot.followers:
        raise Declined("already_reversed")
    for i in range(done.n_postings):
        if done.postings_[i].role == R_DRAW:
            undo(s, &done.postings_[i], i, done.postings_[i].amount)
            s.t.points_used += done.postings_[i].amount
    lost_value = []
    lost = move_back(s, &programme.r, snapshot.account, done, 0, 0, True, lost_value)
    scratch = collect_owed(s, snapshot, False)
    claw_back(s, snapshot, scratch, 0, 0, lost, at_s, False)
    undone, gone = rebates_gone(&programme.r, snapshot.account, done, at_s)
    value = claw_granted(s, snapshot, scratch, 0, True, undone, lost_value, at_s, False)
    for purse, fen in gone.items():
        value[purse] = value.get(purse, 0) + fen
    move_points_back(s, &programme.r, done, s.t.points_earned, lost, value)
    s.t.points_delta = -s.t.points_earned
    s.t.tier_after = tier_after_return(s, &programme.r, snapshot.account, at_s)
    s.memo = command.memo
    settle_all(snapshot, s, at_s)
    return s


cdef Settlement decide_reverse(Snapshot snapshot, object command, int64_t at_us):
    """Undo a top-up, fee, transfer, adjustment, gift or coupons given exactly: each lot must still hold what it was given (M7, M9)."""
    cdef Settlement done = snapshot.ticket
    cdef Settlement s = new_settlement(REVERSE, snapshot.programme, snapshot.account)
    cdef Snapshot other
    cdef Account account
    cdef Posting* p
    cdef Lot* lot
    cdef int i
    cdef int64_t back
    check_ticket(snapshot)
    if done.verb_code == EVENT:
        return reverse_event(snapshot, command, at_us // 1_000_000)
    if done.verb_code not in (TOPUP, FEE, TRANSFER, ADJUST, GIVE, REDEMPTION):
        raise Declined("not_refundable", verb=done.verb)
    if snapshot.followers:
        raise Declined("already_reversed")
    accounts = {snapshot.account.v.account_id: snapshot.account.copy()}
    for other in snapshot.others:
        accounts[other.account.v.account_id] = other.account.copy()
    for i in range(done.n_postings):
        back = done.postings_[i].amount
        if command.unused and done.verb_code == GIVE:
            lot = snapshot.account.find(done.postings_[i].target_lot)
            if lot == NULL:
                continue
            back = min(back, lot.amount)
        p = undo(s, &done.postings_[i], i, back)
        if p.source == CUSTOMER:
            account = accounts.get(p.source_account)
            if account is None:
                raise InvalidCommand("reversing a transfer needs its target's account")
            lot = account.find(p.source_lot)
            if lot == NULL or lot.amount < p.amount or lot.used_on:
                raise Declined("value_spent", missing=p.amount - (lot.amount if lot != NULL else 0))
            lot.amount -= p.amount
        if p.target == CUSTOMER and done.verb_code == TRANSFER:
            p.purse = done.postings_[i].line
    if s.n_postings == 0 and done.verb_code != FEE:  # a fee that was waived only gives its quota back
        raise Declined("value_spent")
    collect_owed(s, snapshot, False)
    s.t.gross_fen, s.t.net_fen, s.t.outside_fen = done.t.gross_fen, done.t.net_fen, done.t.outside_fen
    s.t.principal_fen, s.t.bonus_fen, s.t.points_used = done.t.principal_fen, done.t.bonus_fen, done.t.points_used
    move_back(s, &(<Programme> snapshot.programme).r, snapshot.account, done, 0, done.t.net_fen, True, [])
    s.t.tier_after = tier_after_return(s, &(<Programme> snapshot.programme).r, snapshot.account, at_us // 1_000_000)
    s.outside_tender = done.outside_tender
    s.further_accounts = other_accounts(s)
    s.memo = command.memo
    settle_all(snapshot, s, at_us // 1_000_000)
    return s
