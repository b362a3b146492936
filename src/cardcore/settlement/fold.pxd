"""Postings folded into an account: the one arithmetic of balances, for the desk, `verify`, `rebuild` and the batch (M3, M7).

Inline, as are `tender`, `earn` and `ticket`: a decision is a chain of small functions, and a call into another extension costs more than most.
"""

from libc.stdint cimport int64_t
from libc.string cimport memmove, memset

from cardcore.money cimport AMOUNT_LIMIT
from cardcore.settlement.model cimport CUSTOMER, FEN, HELD, IN_FLIGHT, Lot, ON_CARD, OWED, Posting, R_COVER, Value


cdef inline bint owed_to_customers(int kind) noexcept nogil:
    return kind == CUSTOMER or kind == HELD or kind == ON_CARD or kind == IN_FLIGHT


cdef inline int64_t liability_change(const Posting* postings, int n) noexcept nogil:
    """What the postings add to all customers' money: held, on cards and on its way to them included (M10)."""
    cdef int i
    cdef int64_t change = 0
    for i in range(n):
        if postings[i].unit == FEN:
            if owed_to_customers(postings[i].target):
                change += postings[i].amount
            if owed_to_customers(postings[i].source):
                change -= postings[i].amount
    return change


cdef inline int credit_lot(
    Value* v, int64_t lot_id, int purse, int64_t amount, int64_t expires_at, int64_t paid_fen, int64_t of_units
) noexcept nogil:
    """Add to a lot, or make it anew where it stood: lots stay sorted by id, so equal accounts are equal bytes.

    Returns -1 where the lot would pass the largest amount (sums over LOTS_MAX lots then fit 64 bits), else 0.
    """
    cdef int i = v.n_lots
    while i > 0 and v.lots[i - 1].lot_id > lot_id:
        i -= 1
    if i > 0 and v.lots[i - 1].lot_id == lot_id:
        if amount > AMOUNT_LIMIT - v.lots[i - 1].amount:
            return -1
        v.lots[i - 1].amount += amount
        return 0
    if amount > AMOUNT_LIMIT:
        return -1
    memmove(&v.lots[i + 1], &v.lots[i], (v.n_lots - i) * sizeof(Lot))
    memset(&v.lots[i], 0, sizeof(Lot))
    v.lots[i].lot_id = lot_id
    v.lots[i].purse = purse
    v.lots[i].amount = amount
    v.lots[i].expires_at = expires_at
    v.lots[i].paid_fen = paid_fen
    v.lots[i].of_units = of_units
    v.n_lots += 1
    if lot_id >= v.next_lot:
        v.next_lot = lot_id + 1
    return 0


cdef inline int fold(Value* v, int64_t account_id, const Posting* postings, int n) noexcept nogil:
    """Fold postings into one account: 0, or the number of the posting (from 1) that cannot be, negative where a lot would
    pass the largest amount. Room for the lots is the caller's business.
    """
    cdef int i, k
    cdef const Posting* p
    cdef Lot* lot
    for i in range(n):
        p = &postings[i]
        if p.source == CUSTOMER and p.source_account == account_id:
            lot = NULL
            for k in range(v.n_lots):
                if v.lots[k].lot_id == p.source_lot:
                    lot = &v.lots[k]
                    break
            if lot == NULL or lot.amount < p.amount:
                return i + 1
            lot.amount -= p.amount
            if p.role == R_COVER:
                lot.used_times = (lot.used_times if lot.used_on == p.used_on else 0) + (<int> p.amount if p.amount else 1)
                lot.used_on = p.used_on
                lot.expires_at = p.expires_at
            if lot.amount == 0:
                memmove(lot, lot + 1, (v.n_lots - k - 1) * sizeof(Lot))
                v.n_lots -= 1
        elif p.source == OWED and p.source_account == account_id:
            if p.unit == FEN:
                v.owed_fen += p.amount
            else:
                v.owed_points += p.amount
        elif p.source == ON_CARD and p.source_account == account_id:
            if v.on_card_fen < p.amount:
                return i + 1
            v.on_card_fen -= p.amount
        if p.target == CUSTOMER and p.target_account == account_id:
            if p.amount and credit_lot(v, p.target_lot, p.purse, p.amount, p.expires_at, p.paid_fen, p.of_units):
                return -(i + 1)
            if p.role == R_COVER:
                for k in range(v.n_lots):
                    if v.lots[k].lot_id == p.target_lot and v.lots[k].used_on == p.used_on:
                        v.lots[k].used_times -= <int> p.amount if p.amount else 1
                        if v.lots[k].used_times <= 0:
                            v.lots[k].used_times = 0
                            v.lots[k].used_on = 0
        elif p.target == OWED and p.target_account == account_id:
            if p.unit == FEN:
                if v.owed_fen < p.amount:
                    return i + 1
                v.owed_fen -= p.amount
            else:
                if v.owed_points < p.amount:
                    return i + 1
                v.owed_points -= p.amount
        elif p.target == ON_CARD and p.target_account == account_id:
            if p.amount > AMOUNT_LIMIT - v.on_card_fen:
                return -(i + 1)
            v.on_card_fen += p.amount
    return 0
