"""Accounts, settlements and snapshots: what a decision reads and what it produces.

`Account.apply` is the only way an account changes: the desk, `verify` and `rebuild` all fold the journal with it (M3).
Bytes are written and read in `codec`; the rules live in `rules`, the verbs in their own files.
"""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from cardcore.settlement.codec cimport read_account, read_settlement, write_account, write_settlement
from cardcore.settlement.counter cimport fold_moves
from cardcore.settlement.fold cimport fold_whole

from cardcore.settlement.facts import Facts
from cardcore.settlement.views import (
    AwardView, DOCUMENTS, EFFECTS, LEDGER_KINDS, ROLES, UNITS, VERBS, CounterView, FlightView, HoldView, LineView, LotView, MoveView, NoteView, PostingView,
)

SPECIAL_PRICE = F_SPECIAL
REDEEM = F_REDEEM
MEMBER_ONLY = F_MEMBER_ONLY
NO_DISCOUNT = F_NO_DISCOUNT
COVER = F_COVER
FLIGHTS = ("", "load", "unload", "pay")  # by OpenKind


cdef class Account:
    def __cinit__(self, *args, **kwargs):
        memset(&self.v, 0, sizeof(Value))
        self.v.next_lot = 1

    def __init__(self, int64_t account_id, int tier=0):
        self.v.account_id = account_id
        self.v.tier = tier
        self.v.base_tier = tier

    def __dealloc__(self):
        free(self.v.lots)
        free(self.v.owing)
        free(self.holds_)
        free(self.counters_)

    cdef int reserve(self, int lots) except -1:
        """Room for this many lots in all: at first for no more, since a desk keeps many accounts that are only read."""
        cdef int cap = lots + 2 if self.v.cap_lots else lots
        if lots > self.v.cap_lots:
            grown = <Lot*> realloc(self.v.lots, cap * sizeof(Lot))
            if grown == NULL:
                raise MemoryError
            self.v.lots, self.v.cap_lots = grown, cap
        return 0

    cdef int make_room(self, const Posting* postings, int n) except -1:
        """Room for all that these postings may add: lots, and purses of which something is owed."""
        cdef int i, lots = self.v.n_lots, spare = self.v.cap_lots - lots, more = 0
        cdef const Posting* p
        for i in range(n):
            p = &postings[i]
            if n > spare:
                lots += p.target == CUSTOMER and p.target_account == self.v.account_id and self.find(p.target_lot) == NULL
            more += p.source == OWED and p.unit > POINTS
        self.reserve(lots)
        if more and self.v.n_owing + more > self.v.cap_owing:
            grown = <Owing*> realloc(self.v.owing, (self.v.n_owing + more) * sizeof(Owing))
            if grown == NULL:
                raise MemoryError
            self.v.owing, self.v.cap_owing = grown, self.v.n_owing + more
        return 0

    cdef Lot* find(self, int64_t lot_id) noexcept:
        cdef int i
        for i in range(self.v.n_lots):
            if self.v.lots[i].lot_id == lot_id:
                return &self.v.lots[i]
        return NULL

    @property
    def account_id(self):
        return self.v.account_id

    @property
    def tier(self):
        return self.v.tier

    @property
    def base_tier(self):
        return self.v.base_tier

    @property
    def orders(self):
        return self.v.orders

    @property
    def spend_fen(self):
        return self.v.spend_fen

    @property
    def points_earned(self):
        return self.v.points_earned

    @property
    def owed_points(self):
        return self.v.owed_points

    @property
    def owed_fen(self):
        return self.v.owed_fen

    @property
    def owed_units(self):
        cdef int i
        return {self.v.owing[i].purse: self.v.owing[i].amount for i in range(self.v.n_owing)}

    @property
    def on_card_fen(self):
        return self.v.on_card_fen

    @staticmethod
    def unpack(bytes data):
        cdef Account account = Account.__new__(Account)
        read_account(account, data)
        return account

    def pack(self):
        return write_account(self)

    def copy(self):
        cdef Account other = Account.__new__(Account)
        other.v = self.v
        other.v.lots = NULL
        other.v.owing = NULL
        other.v.cap_lots = other.v.cap_owing = 0
        other.reserve(self.v.n_lots + 4)  # a copy is made to be changed
        if self.v.n_lots:
            memcpy(other.v.lots, self.v.lots, self.v.n_lots * sizeof(Lot))
        if self.v.n_owing:
            other.v.owing = <Owing*> malloc(self.v.n_owing * sizeof(Owing))
            if other.v.owing == NULL:
                raise MemoryError
            other.v.cap_owing = self.v.n_owing
            memcpy(other.v.owing, self.v.owing, self.v.n_owing * sizeof(Owing))
        for i in range(self.n_holds):
            other._open(self.holds_[i].position, self.holds_[i].amount_fen, self.holds_[i].expires_at, self.holds_[i].kind)
        if self.n_counters:
            other.counters_ = <Counter*> malloc(self.n_counters * sizeof(Counter))
            if other.counters_ == NULL:
                raise MemoryError
            memcpy(other.counters_, self.counters_, self.n_counters * sizeof(Counter))
            other.n_counters = other.cap_counters = self.n_counters
        return other

    def _open(self, int64_t position, int64_t amount_fen, int64_t expires_at, int64_t kind):
        cdef Hold* hold
        if self.n_holds == self.cap_holds:
            hold = <Hold*> realloc(self.holds_, (self.cap_holds + 4) * sizeof(Hold))
            if hold == NULL:
                raise MemoryError
            self.holds_ = hold
            self.cap_holds += 4
        hold = &self.holds_[self.n_holds]
        hold.position, hold.amount_fen, hold.expires_at, hold.kind = position, amount_fen, expires_at, kind
        self.n_holds += 1

    def _close(self, int64_t position):
        cdef int i
        for i in range(self.n_holds):
            if self.holds_[i].position == position:
                memmove(&self.holds_[i], &self.holds_[i + 1], (self.n_holds - i - 1) * sizeof(Hold))
                self.n_holds -= 1
                return
        raise AssertionError(f"account {self.v.account_id} has nothing open at {position}")

    cdef Hold* find_open(self, int64_t position) noexcept:
        cdef int i
        for i in range(self.n_holds):
            if self.holds_[i].position == position:
                return &self.holds_[i]
        return NULL

    def apply(self, Settlement settlement not None, int64_t position):
        cdef int failed
        cdef Value* v = &self.v
        cdef bint own = settlement.account_id == v.account_id
        if own and settlement.t.hold_position and self.find_open(settlement.t.hold_position) == NULL:
            raise AssertionError(f"account {v.account_id} has nothing open at {settlement.t.hold_position}")
        self.make_room(settlement.postings_, settlement.n_postings)
        failed = fold_whole(v, settlement.postings_, settlement.n_postings)
        if failed:
            raise AssertionError(f"posting {failed} of the entry at {position} does not fit account {v.account_id}")
        if own:
            v.orders += settlement.t.orders_delta
            v.spend_fen += settlement.t.spend_delta_fen
            v.points_earned += settlement.t.points_delta
            v.tier = <int> settlement.t.tier_after
            if settlement.n_moves:
                fold_moves(self, settlement.moves_, settlement.n_moves)
            if settlement.t.hold_position:
                self._close(settlement.t.hold_position)
            if settlement.verb_code == HOLD:
                self._open(position, settlement.t.hold_fen, settlement.t.expires_at, OPEN_HOLD)
            elif settlement.verb_code == LOAD or settlement.verb_code == UNLOAD:
                self._open(position, settlement.t.hold_fen, 0, OPEN_LOAD if settlement.verb_code == LOAD else OPEN_UNLOAD)
            elif settlement.verb_code == PAY:
                self._open(position, settlement.t.hold_fen, 0, OPEN_PAY)

    def spend_on_card(self, int64_t amount_fen):
        if not 0 <= amount_fen <= self.v.on_card_fen:
            raise AssertionError(f"account {self.v.account_id} has {self.v.on_card_fen} fen on its card, not {amount_fen}")
        self.v.on_card_fen -= amount_fen

    def balance(self, int purse, int64_t at):
        cdef int i
        cdef int64_t total = 0
        for i in range(self.v.n_lots):
            if self.v.lots[i].purse == purse and (self.v.lots[i].expires_at == 0 or self.v.lots[i].expires_at > at):
                total += self.v.lots[i].amount
        return total

    def money_fen(self, programme, int64_t at):
        return sum(self.balance(i, at) for i, unit in enumerate(programme.purse_units) if unit == "fen")

    def lots(self):
        cdef int i
        cdef Lot* all_ = self.v.lots
        return [
            LotView(all_[i].lot_id, all_[i].purse, all_[i].amount, all_[i].expires_at, all_[i].paid_fen, all_[i].of_units, all_[i].used_on,
                    all_[i].used_times) for i in range(self.v.n_lots)
        ]

    def holds(self):
        cdef int i
        return [HoldView(self.holds_[i].position, self.holds_[i].amount_fen, self.holds_[i].expires_at)
                for i in range(self.n_holds) if self.holds_[i].kind == OPEN_HOLD]

    def counters(self):
        cdef int i
        return [CounterView(self.counters_[i].counter, self.counters_[i].period, self.counters_[i].value) for i in range(self.n_counters)]

    def lapsed_hold(self, int64_t at):
        cdef int i
        for i in range(self.n_holds):
            if self.holds_[i].kind == OPEN_HOLD and self.holds_[i].expires_at <= at:
                return self.holds_[i].position
        return 0

    def flights(self):
        cdef int i
        return [FlightView(self.holds_[i].position, self.holds_[i].amount_fen, FLIGHTS[self.holds_[i].kind])
                for i in range(self.n_holds) if self.holds_[i].kind != OPEN_HOLD]

    def __eq__(self, other):
        return isinstance(other, Account) and self.pack() == other.pack()

    def __repr__(self):
        return f"Account({self.v.account_id}, tier={self.v.tier}, lots={self.lots()}, holds={self.holds()})"


cdef Settlement new_settlement(int verb, object programme, Account account):
    cdef Settlement s = Settlement.__new__(Settlement)
    s.verb_code = verb
    s.programme_version = programme.version
    s.account_id = account.v.account_id
    s.t.tier_before = account.v.tier
    s.t.tier_after = account.v.tier
    return s


cdef class Settlement:
    def __cinit__(self, *args, **kwargs):
        memset(&self.t, 0, sizeof(Totals))
        self.further_accounts = ()
        self.outside_tender = ""
        self.memo = b""

    def __init__(self):
        raise TypeError("a Settlement comes from decide() or Settlement.unpack()")

    def __dealloc__(self):
        free(self.postings_)
        free(self.moves_)
        free(self.lines_)
        free(self.notes_)

    cdef Posting* add_posting(self) except NULL:
        cdef Posting* grown
        if self.n_postings == self.cap_postings:
            grown = <Posting*> realloc(self.postings_, (self.cap_postings * 2 + 8) * sizeof(Posting))
            if grown == NULL:
                raise MemoryError
            self.postings_ = grown
            self.cap_postings = self.cap_postings * 2 + 8
        memset(&self.postings_[self.n_postings], 0, sizeof(Posting))
        self.postings_[self.n_postings].line = -1
        self.postings_[self.n_postings].undoes = -1
        self.postings_[self.n_postings].purse = -1
        self.n_postings += 1
        return &self.postings_[self.n_postings - 1]

    cdef Move* add_move(self) except NULL:
        cdef Move* grown
        if self.n_moves == self.cap_moves:
            grown = <Move*> realloc(self.moves_, (self.cap_moves * 2 + 8) * sizeof(Move))
            if grown == NULL:
                raise MemoryError
            self.moves_ = grown
            self.cap_moves = self.cap_moves * 2 + 8
        memset(&self.moves_[self.n_moves], 0, sizeof(Move))
        self.n_moves += 1
        return &self.moves_[self.n_moves - 1]

    cdef Note* add_note(self, int effect, int rule, int line, int64_t amount, int unit, int64_t before, int64_t after) except NULL:
        cdef Note* note
        if self.n_notes == self.cap_notes:
            note = <Note*> realloc(self.notes_, (self.cap_notes * 2 + 8) * sizeof(Note))
            if note == NULL:
                raise MemoryError
            self.notes_ = note
            self.cap_notes = self.cap_notes * 2 + 8
        note = &self.notes_[self.n_notes]
        note.effect, note.rule, note.line, note.unit = effect, rule, line, unit
        note.amount, note.before, note.after = amount, before, after
        self.n_notes += 1
        return note

    @property
    def verb(self):
        return VERBS[self.verb_code]

    @property
    def gross_fen(self):
        return self.t.gross_fen

    @property
    def discount_fen(self):
        return self.t.discount_fen

    @property
    def coupon_fen(self):
        return self.t.coupon_fen

    @property
    def covered_fen(self):
        return self.t.covered_fen

    @property
    def uncaptured_fen(self):
        return self.t.uncaptured_fen

    @property
    def net_fen(self):
        return self.t.net_fen

    @property
    def principal_fen(self):
        return self.t.principal_fen

    @property
    def bonus_fen(self):
        return self.t.bonus_fen

    @property
    def points_fen(self):
        return self.t.points_fen

    @property
    def further_fen(self):
        return self.t.further_fen

    @property
    def outside_fen(self):
        return self.t.outside_fen

    @property
    def points_used(self):
        return self.t.points_used

    @property
    def points_earned(self):
        return self.t.points_earned

    @property
    def after_money_fen(self):
        return self.t.after_money_fen

    @property
    def after_points(self):
        return self.t.after_points

    @property
    def liability_delta_fen(self):
        return self.t.liability_delta_fen

    @property
    def tier_before(self):
        return self.t.tier_before

    @property
    def tier_after(self):
        return self.t.tier_after

    @property
    def expires_at(self):
        return self.t.expires_at

    @property
    def hold_position(self):
        return self.t.hold_position

    @property
    def document(self):
        return DOCUMENTS[self.document_code]

    @document.setter
    def document(self, str name not None):
        self.document_code = DOCUMENTS.index(name)

    def lines(self):
        cdef int i
        cdef LineOut* each = self.lines_
        return [
            LineView(each[i].index, each[i].amount_fen, each[i].quantity, each[i].flags, each[i].discount_fen, each[i].coupon_fen,
                     each[i].covered_fen, each[i].net_fen, each[i].category) for i in range(self.n_lines)
        ]

    def postings(self):
        cdef int i
        cdef Posting* p
        out = []
        for i in range(self.n_postings):
            p = &self.postings_[i]
            out.append(PostingView(p.amount, UNITS[p.unit], LEDGER_KINDS[p.source], LEDGER_KINDS[p.target], p.source_account,
                                   p.target_account, p.purse, p.source_lot, p.target_lot, p.expires_at, p.paid_fen,
                                   p.of_units, ROLES[p.role], p.line))
        return out

    @property
    def event(self):
        return self.outside_tender if self.verb_code == EVENT else ""

    def awards(self):
        cdef int i
        cdef Posting* p
        out = []
        for i in range(self.n_postings):
            p = &self.postings_[i]
            if p.unit == AWARD:
                back = p.source == AWARDED
                out.append(AwardView(p.purse, p.amount, p.expires_at, back, p.undoes if back else i))
        return out

    def granted(self, str unit not None):
        cdef int i
        cdef int64_t total = 0
        for i in range(self.n_postings):
            if self.postings_[i].role in (R_REBATE, R_GRANT) and UNITS[self.postings_[i].unit] == unit:
                total += self.postings_[i].amount
        return total

    def moves(self):
        cdef int i
        return [MoveView(self.moves_[i].counter, self.moves_[i].period, self.moves_[i].amount) for i in range(self.n_moves)]

    def notes(self):
        cdef int i
        cdef Note* n
        out = []
        for i in range(self.n_notes):
            n = &self.notes_[i]
            out.append(NoteView(EFFECTS[n.effect], n.rule, n.line, n.amount, UNITS[n.unit], n.before, n.after))
        return out

    def pack(self):
        return write_settlement(self)

    @staticmethod
    def unpack(bytes data):
        cdef Settlement s = Settlement.__new__(Settlement)
        read_settlement(s, data)
        return s

    def __eq__(self, other):
        return isinstance(other, Settlement) and self.pack() == other.pack()


cdef class Snapshot:
    def __init__(
        self, programme, Account account not None, *, others=(), Settlement ticket=None, int64_t ticket_position=0, followers=(),
        facts=None, dict coupons=None,
    ):
        if facts is not None and type(facts) is not Facts:
            raise TypeError("facts are Facts")
        self.facts = facts
        self.coupons = coupons
        self.programme = programme
        self.account = account
        self.others = tuple(others)
        self.ticket = ticket
        self.ticket_position = ticket_position
        self.followers = tuple(followers)
