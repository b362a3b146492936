"""Postings folded into an account: the one arithmetic of balances, for the desk, `verify`, `rebuild` and the batch (M3, M7).

Inline, as are `tender`, `earn` and `ticket`: a decision is a chain of small functions, and a call into another extension costs more than most.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from cardcore.money cimport AMOUNT_LIMIT
from cardcore.settlement.model cimport CUSTOMER, FEN, HELD, IN_FLIGHT, Lot, ON_CARD, OWED, Owing, POINTS, Posting, R_COVER, Value


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


cdef inline int64_t owed_of(const Value* v, int unit, int purse) noexcept nogil:
    """What an account owes of a unit: fen and points in all, others by purse (X03, P2)."""
    cdef int i
    if unit == FEN:
        return v.owed_fen
    if unit == POINTS:
        return v.owed_points
    for i in range(v.n_owing):
        if v.owing[i].purse == purse:
            return v.owing[i].amount
    return 0


cdef inline bint owe_more(Value* v, int unit, int purse, int64_t amount) noexcept nogil:
    """Add to what is owed, or take from it (negative); False where less is owed. Owed purses stay sorted: equal accounts are equal bytes."""
    cdef int i = 0
    if unit == FEN:
        v.owed_fen += amount
        return v.owed_fen >= 0
    if unit == POINTS:
        v.owed_points += amount
        return v.owed_points >= 0
    while i < v.n_owing and v.owing[i].purse < purse:
        i += 1
    if i == v.n_owing or v.owing[i].purse != purse:
        if amount <= 0:
            return amount == 0
        memmove(&v.owing[i + 1], &v.owing[i], (v.n_owing - i) * sizeof(Owing))
        v.owing[i].purse, v.owing[i].reserved, v.owing[i].amount = purse, 0, 0
        v.n_owing += 1
    v.owing[i].amount += amount
    if v.owing[i].amount > 0:
        return True
    if v.owing[i].amount < 0:
        return False
    memmove(&v.owing[i], &v.owing[i + 1], (v.n_owing - i - 1) * sizeof(Owing))
    v.n_owing -= 1
    return True


cdef inline int fold(Value* v, int64_t account_id, const Posting* postings, int n) noexcept nogil:
    """Fold postings into one account: 0, or the number of the posting (from 1) that cannot be, negative where a lot would
    pass the largest amount. Room for lots and for what is owed is the caller's business (`Account.make_room`).
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
            owe_more(v, p.unit, p.purse, p.amount)
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
            if not owe_more(v, p.unit, p.purse, -p.amount):
                return i + 1
        elif p.target == ON_CARD and p.target_account == account_id:
            if p.amount > AMOUNT_LIMIT - v.on_card_fen:
                return -(i + 1)
            v.on_card_fen += p.amount
    return 0


cdef inline int fold_whole(Value* v, const Posting* postings, int n) except? -1:
    """`fold` of an account's own, or the account as it was: what fails half way leaves nothing behind."""
    cdef int failed
    cdef Value saved = v[0]
    cdef Lot* lots = <Lot*> malloc((saved.n_lots + 1) * sizeof(Lot) + saved.n_owing * sizeof(Owing))
    cdef Owing* owing = <Owing*> (lots + saved.n_lots + 1)
    if lots == NULL:
        raise MemoryError
    memcpy(lots, v.lots, saved.n_lots * sizeof(Lot))
    if saved.n_owing:
        memcpy(owing, v.owing, saved.n_owing * sizeof(Owing))
    failed = fold(v, v.account_id, postings, n)
    if failed:
        v[0] = saved
        memcpy(v.lots, lots, saved.n_lots * sizeof(Lot))
        if saved.n_owing:
            memcpy(v.owing, owing, saved.n_owing * sizeof(Owing))
    free(lots)
    return failed
