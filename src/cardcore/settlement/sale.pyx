"""quote, settle and hold of one ticket from Python: the doorway of the compiled decision in `ticket.pxd`.

`batch.decide_batch` is the doorway for many. Outcomes get their names here, for both.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from cardcore.money cimport AMOUNT_LIMIT, admit_unsigned
from cardcore.settlement.coupon cimport use_coupons
from cardcore.settlement.counter cimport answer_had, open_tally, put_moves
from cardcore.settlement.fold cimport liability_change
from cardcore.settlement.model cimport (
    F_ALL, HOLD, HOLDS_MAX, LINES_MAX, Note, Posting, QUOTE, R_FURTHER, SETTLE, new_settlement,
)
from cardcore.settlement.predicate cimport Known, answer, know
from cardcore.settlement.rules cimport Programme, Rules
from cardcore.settlement.tender cimport close_work, open_lots, open_work, spend_stored
from cardcore.settlement.ticket cimport decide_own, finish_sale, note_unmet, pay_own, price_own
from cardcore.settlement.value cimport money_elsewhere

from typing import NamedTuple

from cardcore.errors import AmountOutOfRange, Declined, InvalidCommand

cdef enum:
    NOTES_MAX = 8192
    TICKET_COUPONS_MAX = 16

DECLINES = {
    D_INSUFFICIENT_FUNDS: "insufficient_funds",
    D_INSUFFICIENT_POINTS: "insufficient_points",
    D_POINTS_NOT_ALLOWED: "points_not_allowed",
    D_NOT_COVERED: "not_covered",
    D_TOO_SOON: "too_soon",
    D_USED_UP_TODAY: "used_up_today",
    D_LIMIT_EXCEEDED: "limit_exceeded",
}
FAULTS = {
    X_DISCOUNT_OVER_LINE: "the terminal's discount exceeds the line",
    X_COUPON_OVER_LINE: "the coupon exceeds what is left of the line",
    X_REDEEM_LINE: "a redeemed line is one item at list price, not a special-price one, without discount or coupon",
    X_COVER_LINE: "a covered line carries no discount, coupon or redemption",
    X_TOO_MANY_RATES: "too many discounts stack on one line",
    X_TOO_MANY_POSTINGS: "the ticket moves too many lots",
}
_FACTS = {
    D_INSUFFICIENT_FUNDS: "shortfall_fen",
    D_INSUFFICIENT_POINTS: "points_available",
    D_POINTS_NOT_ALLOWED: "points_allowed",
    D_LIMIT_EXCEEDED: "limit",
}


# ------------------------------------------------------------------ Doorways
cdef Work _work
cdef bint _work_open = False
cdef bint _work_taken = False


cdef Work* take_work(Snapshot snapshot, int lines) except NULL:
    """The scalar doorway's scratch memory, grown to fit; give it back with `leave_work`.

    The GIL alone does not keep two decisions apart: a new object may run the collector, a finalizer lets another thread in,
    and a quote would then write into the sale that the desk is deciding. Who finds the memory taken gets some of its own.
    """
    global _work_open, _work_taken
    cdef int lots = max(64, snapshot.account.v.n_lots)
    cdef Snapshot other
    cdef Work* own
    for other in snapshot.others:
        lots = max(lots, other.account.v.n_lots)
    if _work_taken:
        own = <Work*> malloc(sizeof(Work))
        if own == NULL:
            raise MemoryError
        try:
            open_work(own, lots * 2, 8 * (lines + lots) + 64, NOTES_MAX)
        except MemoryError:
            free(own)
            raise
        return own
    if not _work_open:
        open_work(&_work, 64, 256, NOTES_MAX)
        _work_open = True
    if lots > _work.cap_lots or 4 * lines + 4 * lots + 64 > _work.cap_postings:
        close_work(&_work)
        _work_open = False
        open_work(&_work, lots * 2, 8 * (lines + lots) + 64, NOTES_MAX)
        _work_open = True
    _work_taken = True
    return &_work


cdef void leave_work(Work* w) noexcept:
    global _work_taken
    w.cap_notes = 0
    if w == &_work:
        _work_taken = False
    else:
        close_work(w)
        free(w)


class Line(NamedTuple):
    amount_fen: int
    quantity: int = 1
    category: str = ""
    sku: str = ""
    flags: int = 0
    counter_pay: int = 1
    counter_of: int = 1
    discount_fen: int = 0
    coupon_fen: int = 0


cdef str admit_line(LineIn* out, line):
    amount_fen, quantity, category, sku, flags, counter_pay, counter_of, discount_fen, coupon_fen = line
    out.amount_fen = admit_unsigned(amount_fen)
    if type(quantity) is not int or not 1 <= quantity <= 1_000_000:
        raise InvalidCommand("a quantity is 1 to 1000000")
    out.quantity = quantity
    if type(category) is not str or type(sku) is not str or len(category) > 64 or len(sku) > 64:
        raise InvalidCommand("category and sku are strings of at most 64 characters")
    if type(flags) is not int or not 0 <= flags <= F_ALL:
        raise InvalidCommand("unknown line flag")
    out.flags = flags
    if type(counter_pay) is not int or type(counter_of) is not int or not 0 <= counter_pay <= counter_of <= 10_000 or counter_of < 1:
        raise InvalidCommand("a counter rate is a fraction between 0 and 1 with a denominator of at most 10000")
    out.counter_pay = counter_pay
    out.counter_of = counter_of
    out.discount_fen = admit_unsigned(discount_fen)
    out.coupon_fen = admit_unsigned(coupon_fen)
    out.category = -1
    return category


cdef tuple admit_coupons(coupons):
    named = tuple(coupons)
    if len(named) > TICKET_COUPONS_MAX:
        raise InvalidCommand(f"a ticket takes at most {TICKET_COUPONS_MAX} coupons", coupons=len(named))
    for coupon in named:
        if type(coupon) is int and 1 <= coupon <= AMOUNT_LIMIT or type(coupon) is str and 1 <= len(coupon) <= 64:
            continue
        raise InvalidCommand("a coupon is named by its kind or by its lot")
    return named


cdef bint plain_line(line) noexcept:
    """Whether every field of a line is there, so that none has to be filled in."""
    return type(line) is Line or (type(line) is tuple and len(<tuple> line) == 9)


cdef class Sale:
    def __cinit__(self, *args, **kwargs):
        memset(&self.c, 0, sizeof(SaleIn))
        self.coupons = self.skus = ()
        self.shortfall_tender = ""
        self.memo = b""

    def __dealloc__(self):
        free(self.lines)

    def __init__(
        self, str verb not None, lines, *, points=0, str shortfall_tender not None="", shortfall_max_fen=-1, stored_max_fen=-1,
        hold_seconds=0, bint explain=False, bint why_not=False, coupons=(), bytes memo not None=b"",
    ):
        if verb not in ("quote", "settle", "hold"):
            raise InvalidCommand(f"a sale is a quote, settle or hold, not {verb!r}")
        cdef Py_ssize_t count = len(lines)
        if not 1 <= count <= LINES_MAX:
            raise InvalidCommand(f"a ticket has 1 to {LINES_MAX} lines", lines=count)
        self.verb_code = HOLD if verb == "hold" else SETTLE if verb == "settle" else QUOTE
        self.lines = <LineIn*> calloc(count, sizeof(LineIn))
        if self.lines == NULL:
            raise MemoryError
        names = []
        for line in lines:
            names.append(admit_line(&self.lines[self.n_lines], line if plain_line(line) else Line(*line)))
            self.n_lines += 1
        self.category_names = tuple(names)
        self.c.points = -1 if points == -1 and type(points) is int else admit_unsigned(points)
        self.c.shortfall = shortfall_tender != ""
        self.c.shortfall_max_fen = -1 if type(shortfall_max_fen) is int and shortfall_max_fen == -1 else admit_unsigned(shortfall_max_fen)
        self.c.stored_max_fen = -1 if type(stored_max_fen) is int and stored_max_fen == -1 else admit_unsigned(stored_max_fen)
        self.c.explain = 2 if why_not else explain
        self.c.verb = self.verb_code
        self.c.lines = self.lines
        self.c.n_lines = self.n_lines
        self.hold_seconds = admit_unsigned(hold_seconds)
        if self.verb_code == HOLD and not 1 <= self.hold_seconds <= 366 * 86400:
            raise InvalidCommand("a hold lives for 1 second to 366 days")
        if len(shortfall_tender) > 32 or not shortfall_tender.isascii():
            raise InvalidCommand("the name of a tender is at most 32 ASCII characters")
        self.shortfall_tender = shortfall_tender
        self.memo = memo
        if coupons:
            self.coupons = admit_coupons(coupons)
            self.skus = tuple([Line(*line).sku for line in lines])

    @property
    def verb(self):
        return "hold" if self.verb_code == HOLD else "settle" if self.verb_code == SETTLE else "quote"


cdef inline bint unsigned(int64_t value) noexcept nogil:
    return 0 <= value <= AMOUNT_LIMIT


cdef Sale plain_settle(
    const LineIn* lines, int n_lines, tuple categories, int64_t points, str shortfall_tender, int64_t shortfall_max_fen,
    int64_t stored_max_fen, bint explain
):
    """A settle of plain lines from compiled code that has read them: of each its amounts and its quantity. Raises AmountOutOfRange."""
    cdef Sale sale = Sale.__new__(Sale)
    cdef LineIn* line
    cdef int i
    assert 1 <= n_lines <= LINES_MAX and len(categories) == n_lines, "whoever reads lines counts them"
    sale.lines = <LineIn*> calloc(n_lines, sizeof(LineIn))
    if sale.lines == NULL:
        raise MemoryError
    for i in range(n_lines):
        line = &sale.lines[i]
        line.amount_fen = lines[i].amount_fen
        line.discount_fen = lines[i].discount_fen
        line.coupon_fen = lines[i].coupon_fen
        line.quantity = lines[i].quantity
        line.category = -1
        line.counter_pay = 1
        line.counter_of = 1
        if not (unsigned(line.amount_fen) and unsigned(line.discount_fen) and unsigned(line.coupon_fen) and line.quantity >= 1):
            raise AmountOutOfRange("an amount of a line is out of range", limit=AMOUNT_LIMIT)
    if not (-1 <= points <= AMOUNT_LIMIT and -1 <= shortfall_max_fen <= AMOUNT_LIMIT and -1 <= stored_max_fen <= AMOUNT_LIMIT):
        raise AmountOutOfRange("an amount of a sale is out of range", limit=AMOUNT_LIMIT)
    sale.n_lines = n_lines
    sale.verb_code = SETTLE
    sale.category_names = categories
    sale.c.points = points
    sale.c.shortfall = shortfall_tender != ""
    sale.c.shortfall_max_fen = shortfall_max_fen
    sale.c.stored_max_fen = stored_max_fen
    sale.c.explain = explain
    sale.c.verb = SETTLE
    sale.c.lines = sale.lines
    sale.c.n_lines = n_lines
    sale.shortfall_tender = shortfall_tender
    return sale


cdef int refuse(int outcome, Work* w) except -1:
    facts = {}
    if w.fault_line >= 0:
        facts["line"] = w.fault_line
    if outcome in DECLINES:
        if outcome in _FACTS:
            facts[_FACTS[outcome]] = w.fact
        raise Declined(DECLINES[outcome], **facts)
    raise InvalidCommand(FAULTS[outcome], **facts)


cdef tuple coupons_named(Snapshot snapshot, Sale sale):
    """The coupons of a ticket: kinds by name, and lots."""
    if snapshot.coupons is None:
        return sale.coupons
    return tuple([snapshot.coupons.get(word, word) for word in sale.coupons])


cdef int spend_further(Snapshot snapshot, Sale sale, int64_t at_s, Work* w) except -1:
    """Further cards pay what is left, in the order given, each by its own programme's order (L03)."""
    cdef Snapshot other
    cdef Programme programme
    cdef int64_t left, spent
    for other in snapshot.others:
        left = w.t.net_fen - w.t.points_fen - w.t.principal_fen - w.t.bonus_fen - w.t.further_fen
        programme = other.programme
        if programme.currency != (<Programme> snapshot.programme).currency:
            raise Declined("currency_mismatch")
        open_lots(&programme.r, &other.account.v, at_s, w)
        spent = spend_stored(&programme.r, &other.account.v, &sale.c, at_s, w, left, R_FURTHER)
        if spent < 0:
            return <int> -spent
        w.t.further_fen += spent
    return OK


cdef Settlement decide_sale(Snapshot snapshot, Sale sale, int64_t at_us):
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Value* v = &snapshot.account.v
    cdef Work* w
    cdef int64_t at_s = at_us // 1_000_000
    cdef int i, outcome
    cdef Known known
    cdef Settlement s
    if sale.verb_code == HOLD and snapshot.account.n_holds >= HOLDS_MAX:
        raise Declined("limit_exceeded", limit=HOLDS_MAX, what="open holds of one account")
    if sale.resolved_for is not programme:
        for i in range(sale.n_lines):
            sale.lines[i].category = programme.categories.get(sale.category_names[i], -1)
        sale.resolved_for = programme
    w = take_work(snapshot, sale.n_lines)
    try:
        w.cap_notes = NOTES_MAX if sale.c.explain else 0
        if r.gives:
            w.elsewhere_fen = money_elsewhere(snapshot.account)
        if r.n_predicates:
            know(snapshot.facts, programme, sale.shortfall_tender, "", &known)
            answer(r, &known, at_s, w.truth)
        if r.n_counters:
            open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, at_s, &w.tally)
            answer_had(r, &w.tally, w.truth)
        if sale.coupons:
            outcome = price_own(r, v, &sale.c, at_s, w)
            if outcome == OK:
                use_coupons(programme, v, coupons_named(snapshot, sale), sale.skus, &sale.c, at_s, w)
                outcome = pay_own(r, v, &sale.c, at_s, w)
        else:
            outcome = decide_own(r, v, &sale.c, at_s, w)
        if outcome == OK and snapshot.others:
            others = [(<Snapshot> other).account.v.account_id for other in snapshot.others]
            if len(others) > 8:
                raise InvalidCommand("a ticket has at most 8 further cards")
            if len({v.account_id, *others}) != len(others) + 1:
                raise Declined("same_card")
            outcome = spend_further(snapshot, sale, at_s, w)
        if outcome == OK:
            outcome = finish_sale(r, v, &sale.c, at_s, w)
        if outcome:
            refuse(outcome, w)
        if sale.c.explain == 2:
            note_unmet(r, v, &sale.c, w)
        s = new_settlement(sale.verb_code, programme, snapshot.account)
        w.t.liability_delta_fen = liability_change(w.postings, w.n_postings)
        s.t = w.t
        copy_out(s, w, sale.n_lines)
        if r.n_counters:
            put_moves(s, r, &w.tally)
    finally:
        leave_work(w)
    s.memo = sale.memo
    if s.t.outside_fen:
        s.outside_tender = sale.shortfall_tender
    if sale.verb_code == HOLD:
        s.t.expires_at = at_s + sale.hold_seconds
        s.outside_tender = sale.shortfall_tender
    if snapshot.others:
        s.further_accounts = other_accounts(s)
    return s


cdef tuple other_accounts(Settlement s):
    """The other accounts whose value the postings move, in posting order (for a sale: in tender order)."""
    cdef int i
    seen = []
    for i in range(s.n_postings):
        for account in (s.postings_[i].source_account, s.postings_[i].target_account):
            if account and account != s.account_id and account not in seen:
                seen.append(account)
    return tuple(seen)


cdef int copy_out(Settlement s, Work* w, int n_lines) except -1:
    s.postings_ = <Posting*> malloc(w.n_postings * sizeof(Posting) + 1)
    s.lines_ = <LineOut*> malloc(n_lines * sizeof(LineOut) + 1)
    s.notes_ = <Note*> malloc(w.n_notes * sizeof(Note) + 1) if w.n_notes else NULL
    if s.postings_ == NULL or s.lines_ == NULL or (w.n_notes and s.notes_ == NULL):
        raise MemoryError
    memcpy(s.postings_, w.postings, w.n_postings * sizeof(Posting))
    memcpy(s.lines_, w.lines, n_lines * sizeof(LineOut))
    if w.n_notes:
        memcpy(s.notes_, w.notes, w.n_notes * sizeof(Note))
    s.n_postings = s.cap_postings = w.n_postings
    s.n_lines = n_lines
    s.n_notes = s.cap_notes = w.n_notes
    return 0
