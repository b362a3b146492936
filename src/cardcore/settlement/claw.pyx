"""What a return takes back: points that were earned, and what a ticket or event granted (X03, C03, K02).

One rule for value, points, visits and passes: each is taken from the lot it went to, then from others of its purse; what is gone by then is
owed, and paid first from what comes back to the card for nothing later, or is granted to it. So no order of returns leaves any over (P3).
"""

from libc.stdint cimport int64_t

from cardcore.money cimport cc_muldiv
from cardcore.settlement.counter cimport stepped
from cardcore.settlement.fold cimport fold, owed_of
from cardcore.settlement.model cimport (
    AWARD, BONUS_COST, COUPON, CUSTOMER, E_CLAW, E_OWED, FEN, HELD, OWED, POINTS, POINTS_ISSUE, Posting, R_CLAW, R_EARN, R_GRANT, R_REBATE,
)
from cardcore.settlement.rules cimport ROLE_BONUS, ROLE_PRINCIPAL, Programme, Rules

from cardcore.errors import Declined

cdef int64_t OWED_LIMIT = <int64_t> 1 << 60  # the most of one unit that the record of an account holds (codec)


cdef Posting* undo(Settlement s, const Posting* done, int index, int64_t amount) except NULL:
    """`amount` of a posting goes back where it came from: a customer's part to its own lot, even one now gone."""
    cdef Posting* p = s.add_posting()
    p[0] = done[0]
    p.amount = amount
    p.value_fen = 0
    p.undoes = index
    p.source = done.target
    p.source_account = done.target_account
    p.source_lot = done.target_lot
    p.target = CUSTOMER if done.source == HELD else done.source
    p.target_account = done.source_account
    p.target_lot = done.source_lot
    return p


cdef Account as_returned(Settlement s, Snapshot snapshot):
    """A copy of the account with what is given back so far: what may be taken back from."""
    cdef Account scratch = snapshot.account.copy()
    cdef int failed
    scratch.make_room(s.postings_, s.n_postings)
    failed = fold(&scratch.v, scratch.v.account_id, s.postings_, s.n_postings)
    assert failed <= 0, f"posting {failed} does not fit the account it was decided on"
    if failed:
        raise Declined("limit_exceeded", what="one lot of value")
    return scratch


cdef int64_t take_lots(
    Settlement s, const Rules* r, Account scratch, int purse, int64_t own_lot, int64_t amount, int unit, int target, int undoes, int64_t at_s, bint explain
) except -1:
    """Take back from the lot that was granted, then from other lots of its purse, soonest end first. What is left.

    What somebody paid for (visits, passes, the bonus of a top-up with its paid ratio: W5) is never taken for what was given. Value is owed
    in all, whatever its purse, so that before any is owed what other purses of bonus were given is taken, too.
    """
    cdef Posting* p
    cdef int64_t take
    lots = []
    for lot in scratch.lots():
        if lot.lot_id == own_lot:
            lots.append(lot)
        elif lot.of_units or (lot.expires_at and lot.expires_at <= at_s):
            continue
        elif lot.purse == purse or (unit == FEN and r.purses[<int> lot.purse].role == ROLE_BONUS):
            lots.append(lot)
    lots.sort(key=lambda lot: (lot.lot_id != own_lot, lot.purse != purse, lot.expires_at or 1 << 62, lot.lot_id))
    for lot in lots:
        if amount == 0:
            break
        take = min(amount, lot.amount)
        p = s.add_posting()
        p.amount, p.unit, p.role, p.undoes = take, unit, R_CLAW, undoes
        p.source, p.source_account, p.source_lot = CUSTOMER, scratch.v.account_id, lot.lot_id
        p.target = target
        p.purse, p.expires_at = lot.purse, lot.expires_at
        amount -= take
        if explain:
            s.add_note(E_CLAW, -1, -1, take, unit, lot.amount, lot.amount - take)
        fold(&scratch.v, scratch.v.account_id, p, 1)
    return amount


cdef int owe(Settlement s, Account scratch, int64_t amount, int unit, int target, int purse, int undoes, bint explain) except -1:
    """What is no longer there is owed (X03, P2)."""
    cdef Posting* p
    cdef int64_t owed = owed_of(&scratch.v, unit, purse)
    if amount == 0:
        return 0
    if amount > OWED_LIMIT - owed:  # past it the account's record could not be read again
        raise Declined("limit_exceeded", limit=OWED_LIMIT, what="what one account owes")
    p = s.add_posting()
    p.amount, p.unit, p.role, p.undoes, p.purse = amount, unit, R_CLAW, undoes, purse
    p.source, p.source_account = OWED, scratch.v.account_id
    p.target = target
    if explain:
        s.add_note(E_OWED, -1, -1, amount, unit, owed, owed + amount)
    scratch.make_room(p, 1)
    fold(&scratch.v, scratch.v.account_id, p, 1)
    return 0


cdef int pay_owed(Settlement s, const Rules* r, Account scratch, bint explain) except -1:
    """What these postings bring back to lots pays first what is owed of its kind; what was paid for, principal above all, does not."""
    cdef int i, n = s.n_postings
    cdef int64_t owed, paid
    cdef Posting came
    cdef Posting* p
    for i in range(n):
        came = s.postings_[i]
        if came.undoes < 0 or came.target != CUSTOMER or came.target_account != scratch.v.account_id or came.of_units:
            continue
        if r.purses[came.purse].role == ROLE_PRINCIPAL or came.unit == COUPON:
            continue
        owed = owed_of(&scratch.v, came.unit, came.purse)
        paid = min(came.amount, owed)
        if paid == 0:
            continue
        p = s.add_posting()
        p.amount, p.unit, p.role, p.purse, p.expires_at = paid, came.unit, R_CLAW, came.purse, came.expires_at
        p.source, p.source_account, p.source_lot = CUSTOMER, scratch.v.account_id, came.target_lot
        p.target, p.target_account = OWED, scratch.v.account_id
        if explain:
            s.add_note(E_OWED, -1, -1, paid, came.unit, owed, owed - paid)
        fold(&scratch.v, scratch.v.account_id, p, 1)
    return 0


cdef Account collect_owed(Settlement s, Snapshot snapshot, bint explain):
    """`pay_owed` of the card and of the further cards that something came back to. Answers a copy of the card's account as it then is."""
    cdef Snapshot other
    cdef Account scratch
    for other in snapshot.others:
        pay_owed(s, &(<Programme> other.programme).r, as_returned(s, other), explain)
    scratch = as_returned(s, snapshot)
    pay_owed(s, &(<Programme> snapshot.programme).r, scratch, explain)
    return scratch


cdef dict claw_granted(
    Settlement s, Snapshot snapshot, Account scratch, int64_t remaining_after, bint whole, list undone, list lost_value, int64_t at_s, bint explain
):
    """Take back rebates in proportion to the money, other grants with the last of the ticket (C03, K02). Answers the value by purse.

    Rounding: what the customer keeps of each rebate is floored, so partial refunds never leave more than the share.
    """
    cdef Settlement ticket = snapshot.ticket
    cdef int64_t back, left, keep
    cdef const Posting* done
    cdef Posting* p
    cdef const Rules* r = &(<Programme> snapshot.programme).r
    cdef int i
    value = {}
    for i in range(ticket.n_postings):
        done = &ticket.postings_[i]
        if done.role != R_REBATE and done.role != R_GRANT:
            continue
        keep = 0 if whole else done.amount
        if done.role == R_REBATE and ticket.t.net_fen and not whole:
            keep = cc_muldiv(done.amount, remaining_after, ticket.t.net_fen)
        back = done.amount - <int64_t> undone[i] - keep
        if back <= 0:
            continue
        if done.unit == AWARD:
            p = undo(s, done, i, back)
            p.role = R_CLAW
            continue
        left = take_lots(s, r, scratch, done.purse, done.target_lot, back, done.unit, done.source, i, at_s, explain)  # no lot: it paid a debt
        owe(s, scratch, left, done.unit, done.source, done.purse, i, explain)
        if done.unit == FEN:
            value[done.purse] = value.get(done.purse, 0) + back
    for purse, fen in lost_value:
        left = take_lots(s, r, scratch, purse, 0, fen, FEN, BONUS_COST, -1, at_s, explain)
        owe(s, scratch, left, FEN, BONUS_COST, purse, -1, explain)
    return value


cdef int claw_back(
    Settlement s, Snapshot snapshot, Account scratch, int64_t clawed_before, int64_t remaining_after, int64_t lost, int64_t at_s, bint explain
) except -1:
    """Take back the share of the earned points: from the ticket's own lot, then in expiry order, the rest is owed (X03, P2)."""
    cdef Settlement ticket = snapshot.ticket
    cdef int64_t earned = ticket.t.points_earned - stepped(ticket), keep = 0, claw
    cdef int64_t own_lot = 0
    cdef const Rules* r = &(<Programme> snapshot.programme).r
    cdef int i, purse = r.points_purse
    if ticket.t.net_fen:
        # Rounding: what the customer keeps is floored, so partial refunds never leave more than the share.
        keep = cc_muldiv(earned, remaining_after, ticket.t.net_fen)
    claw = earned - clawed_before - keep + lost
    s.t.points_earned = claw
    for i in range(ticket.n_postings):
        if ticket.postings_[i].role == R_EARN and ticket.postings_[i].target == CUSTOMER:
            own_lot = ticket.postings_[i].target_lot
    if claw:
        claw = take_lots(s, r, scratch, purse, own_lot, claw, POINTS, POINTS_ISSUE, -1, at_s, explain)
        owe(s, scratch, claw, POINTS, POINTS_ISSUE, -1, -1, explain)
    return 0
