"""Value that crosses between the account and the card's own memory, and is spent there (M5, M6, control T).

A load or unload is two entries. The first states the intent, before any command may change the card: the value is then in
flight and can be spent nowhere. The second names it and ends it once, by proof: it arrived, or it returned. What is on
the card is an account of its own and leaves it only by a cleared purchase or an unload.
"""

from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc

from cardcore.settlement.claw cimport undo
from cardcore.settlement.model cimport (
    ARRIVE, CLEAR, CUSTOMER, FEN, Hold, IN_FLIGHT, LOAD, Lot, ON_CARD, OPEN_HOLD, OPEN_LOAD, OPEN_PAY, OUTSIDE, PAY, Posting,
    R_CLEAR, R_LOAD, RETURN, SALES, UNLOAD, Value, new_settlement,
)
from cardcore.settlement.rules cimport ROLE_PRINCIPAL, Programme, Rules, lapse
from cardcore.settlement.tender cimport select_lots
from cardcore.settlement.value cimport credit, purse_with_role, settle_balances, whole_money

from cardcore.errors import Declined


cdef Posting* move(Settlement s, int64_t amount_fen, int source, int target, int role) except NULL:
    """Money between ledger accounts that are not lots; a customer's side is this account."""
    cdef Posting* p = s.add_posting()
    p.amount = amount_fen
    p.unit = FEN
    p.source = source
    p.target = target
    p.role = role
    if source == ON_CARD or source == IN_FLIGHT:
        p.source_account = s.account_id
    if target == ON_CARD or target == IN_FLIGHT:
        p.target_account = s.account_id
    return p


cdef int check_nothing_in_flight(Snapshot snapshot) except -1:
    """One item at a time: the card has one memory, and its proof must not be taken for another item's."""
    cdef int i
    for i in range(snapshot.account.n_holds):
        if snapshot.account.holds_[i].kind != 0:
            raise Declined("in_flight_open", position=snapshot.account.holds_[i].position)
    return 0


cdef Settlement finish(Settlement s, Snapshot snapshot, int64_t amount_fen, bytes memo, int64_t at_us):
    s.t.gross_fen = s.t.net_fen = s.t.principal_fen = amount_fen
    s.memo = memo
    settle_balances(&(<Programme> snapshot.programme).r, s, snapshot.account, at_us // 1_000_000)
    return s


cdef Settlement decide_load(Snapshot snapshot, object command, int64_t at_us):
    """The intent of a load: principal from the account, or money taken at the till (C18, P04)."""
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Settlement s = new_settlement(LOAD, programme, snapshot.account)
    cdef Value* v = &snapshot.account.v
    cdef int64_t at_s = at_us // 1_000_000, left = command.amount_fen, take, room
    cdef int i, n
    cdef int32_t* order
    cdef Lot* lot
    cdef Posting* p
    check_nothing_in_flight(snapshot)
    room = r.balance_max_fen - (whole_money(r, snapshot.account, at_s) if command.tender else v.on_card_fen)
    if left > room:
        raise Declined("limit_exceeded", limit_fen=r.balance_max_fen, room_fen=max(0, room))
    s.t.hold_fen = left
    if command.tender:
        s.outside_tender = command.tender
        s.t.outside_fen = left
        move(s, left, OUTSIDE, IN_FLIGHT, R_LOAD)
        return finish(s, snapshot, command.amount_fen, command.memo, at_us)
    order = <int32_t*> malloc((v.n_lots + 1) * sizeof(int32_t))
    if order == NULL:
        raise MemoryError
    try:
        n = select_lots(r, v.lots, v.n_lots, at_s, FEN, -1, order)
        for i in range(n):
            lot = &v.lots[order[i]]
            # Bonus and dated value stay in the account: on a card they would outlive their rules.
            if left == 0 or r.purses[lot.purse].role != ROLE_PRINCIPAL or lot.expires_at:
                continue
            take = min(left, lot.amount)
            p = move(s, take, CUSTOMER, IN_FLIGHT, R_LOAD)
            p.source_account = v.account_id
            p.source_lot = lot.lot_id
            p.purse = lot.purse
            p.paid_fen = lot.paid_fen
            p.of_units = lot.of_units
            left -= take
    finally:
        free(order)
    if left:
        raise Declined("insufficient_funds", shortfall_fen=left)
    return finish(s, snapshot, command.amount_fen, command.memo, at_us)


cdef Settlement decide_unload(Snapshot snapshot, object command, int64_t at_us):
    """The intent of an unload: nothing moves until the card has proved its debit."""
    return debit(UNLOAD, snapshot, command, at_us)


cdef Settlement decide_pay(Snapshot snapshot, object command, int64_t at_us):
    """The intent of a payment with the card's own value while on-line: nothing moves until the card has proved its debit."""
    return debit(PAY, snapshot, command, at_us)


cdef Settlement debit(int verb, Snapshot snapshot, object command, int64_t at_us):
    cdef Settlement s = new_settlement(verb, snapshot.programme, snapshot.account)
    check_nothing_in_flight(snapshot)
    if command.amount_fen > snapshot.account.v.on_card_fen:
        raise Declined("card_overdrawn", on_card_fen=snapshot.account.v.on_card_fen)
    s.t.hold_fen = command.amount_fen
    return finish(s, snapshot, command.amount_fen, command.memo, at_us)


cdef Hold* open_flight(Snapshot snapshot) except NULL:
    cdef Hold* item
    if snapshot.ticket.account_id != snapshot.account.v.account_id:
        raise Declined("not_same_card")
    item = snapshot.account.find_open(snapshot.ticket_position)
    if snapshot.followers or item == NULL or item.kind == OPEN_HOLD:
        raise Declined("not_in_flight")
    return item


cdef Settlement decide_arrive(Snapshot snapshot, object command, int64_t at_us):
    """Proof that the card took what was sent to it, or gave what was asked of it."""
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Settlement s = new_settlement(ARRIVE, programme, snapshot.account)
    cdef Hold* item = open_flight(snapshot)
    cdef int64_t amount = item.amount_fen
    cdef int principal
    cdef Posting* p
    s.t.hold_position = snapshot.ticket_position
    if item.kind == OPEN_LOAD:
        move(s, amount, IN_FLIGHT, ON_CARD, R_LOAD)
    elif item.kind == OPEN_PAY:
        if amount > snapshot.account.v.on_card_fen:
            raise Declined("card_overdrawn", on_card_fen=snapshot.account.v.on_card_fen)
        move(s, amount, ON_CARD, SALES, R_CLEAR)
    else:
        principal = purse_with_role(r, ROLE_PRINCIPAL)
        if amount > snapshot.account.v.on_card_fen:
            raise Declined("card_overdrawn", on_card_fen=snapshot.account.v.on_card_fen)
        if principal < 0:
            raise Declined("topup_not_allowed", reason="the programme holds no stored value")
        p = credit(s, r, snapshot.account.copy(), principal, amount, lapse(r, principal, at_us // 1_000_000), 1, 1)
        p.source = ON_CARD
        p.source_account = s.account_id
        p.role = R_LOAD
    return finish(s, snapshot, amount, command.memo, at_us)


cdef Settlement decide_return(Snapshot snapshot, object command, int64_t at_us):
    """Proof that the card is as it was: a load goes back where it came from, an unload or payment ends without effect."""
    cdef Settlement s = new_settlement(RETURN, snapshot.programme, snapshot.account)
    cdef Settlement sent = snapshot.ticket
    cdef Hold* item = open_flight(snapshot)
    cdef int64_t amount = item.amount_fen
    cdef int i
    s.t.hold_position = snapshot.ticket_position
    s.t.outside_fen = sent.t.outside_fen
    s.outside_tender = sent.outside_tender
    for i in range(sent.n_postings):
        undo(s, &sent.postings_[i], i, sent.postings_[i].amount)
    return finish(s, snapshot, amount, command.memo, at_us)


cdef Settlement decide_clear(Snapshot snapshot, object command, int64_t at_us):
    """A purchase that the card paid and proved: its own value becomes the store's sale (C1, K3)."""
    cdef Settlement s = new_settlement(CLEAR, snapshot.programme, snapshot.account)
    if command.amount_fen > snapshot.account.v.on_card_fen:
        raise Declined("card_overdrawn", on_card_fen=snapshot.account.v.on_card_fen)
    move(s, command.amount_fen, ON_CARD, SALES, R_CLEAR)
    return finish(s, snapshot, command.amount_fen, command.memo, at_us)
