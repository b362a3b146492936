"""The structs that every file of this room shares, and the classes that own them."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef enum Verb:
    QUOTE = 0
    SETTLE = 1
    HOLD = 2
    CAPTURE = 3
    VOID = 4
    REFUND = 5
    REVERSE = 6
    TOPUP = 7
    TRANSFER = 8
    ADJUST = 9
    EXPIRE = 10
    LOAD = 11
    UNLOAD = 12
    ARRIVE = 13
    RETURN = 14
    CLEAR = 15
    PAY = 16
    EVENT = 17
    REVIEW = 18
    GIVE = 19
    REDEMPTION = 20
    FEE = 21

cdef enum Unit:
    FEN = 0
    POINTS = 1
    VISITS = 2
    PASS = 3
    AWARD = 4
    COUPON = 5
    GIFT = 6

# Ledger accounts. CUSTOMER, HELD, OWED, ON_CARD and IN_FLIGHT belong to a customer account, the others to the issuer or to the entry's unit.
cdef enum Kind:
    CUSTOMER = 0
    HELD = 1
    OWED = 2
    SALES = 3
    OUTSIDE = 4
    BONUS_COST = 5
    POINTS_ISSUE = 6
    POINTS_REDEEMED = 7
    POINTS_COST = 8
    GIFT_COST = 9
    ENTITLEMENT_ISSUE = 10
    ENTITLEMENT_USED = 11
    DEFERRED = 12
    EXPIRED = 13
    ADJUSTMENT = 14
    ON_CARD = 15
    IN_FLIGHT = 16
    AWARD_ISSUE = 17
    AWARDED = 18
    COUPON_ISSUE = 19
    COUPON_USED = 20
    COUPON_COST = 21
    GIFT_STOCK = 22
    GIFT_GIVEN = 23
    FEES = 24

# What a posting is for; refunds and captures find their way back by it.
cdef enum Role:
    R_STORED = 0
    R_FURTHER = 1
    R_POINTS = 2
    R_OUTSIDE = 3
    R_COVER = 4
    R_REDEEM = 5
    R_EARN = 6
    R_TOPUP = 7
    R_BONUS = 8
    R_PRODUCT = 9
    R_TRANSFER = 10
    R_ADJUST = 11
    R_EXPIRE = 12
    R_RELEASE = 13
    R_CLAW = 14
    R_LOAD = 15
    R_CLEAR = 16
    R_REBATE = 17
    R_GRANT = 18
    R_DRAW = 19
    R_COUPON = 20
    R_GIVE = 21
    R_GIFT = 22
    R_FEE = 23

cdef enum Effect:
    E_DISCOUNT = 0
    E_COUNTER = 1
    E_TERMINAL = 2
    E_COUPON = 3
    E_COVER = 4
    E_REDEEM = 5
    E_POINTS = 6
    E_STORED = 7
    E_FURTHER = 8
    E_OUTSIDE = 9
    E_EARN = 10
    E_MILESTONE = 11
    E_BONUS = 12
    E_PROMOTE = 13
    E_CLAW = 14
    E_OWED = 15
    E_RETURN = 16
    E_GRANT = 17
    E_UNMET = 18
    E_REBATE = 19
    E_GIFT = 20
    E_CAP = 21
    E_WAIVE = 22
    E_JUMP = 23
    E_SCORE = 24
    E_DRAW = 25

# Why a rule did not act; `before` of an E_UNMET note, `after` is the predicate of U_CONDITION.
cdef enum Unmet:
    U_TIER = 0
    U_AMOUNT = 1
    U_CONDITION = 2
    U_LINE = 3
    U_GROUP = 4
    U_EARNED = 5
    U_NOTHING = 6
    U_QUOTA = 7
    U_ASLEEP = 8

cdef enum LineFlag:
    F_SPECIAL = 1
    F_REDEEM = 2
    F_MEMBER_ONLY = 4
    F_NO_DISCOUNT = 8
    F_COVER = 16
    F_ALL = 31

cdef struct Lot:
    int64_t lot_id
    int64_t amount
    int64_t expires_at
    int64_t paid_fen
    int64_t of_units
    int32_t purse
    int32_t used_on
    int32_t used_times
    int32_t reserved

# Something open on an account: a hold, or value on its way to or from the card's own memory (M6).
cdef enum OpenKind:
    OPEN_HOLD = 0
    OPEN_LOAD = 1
    OPEN_UNLOAD = 2
    OPEN_PAY = 3

cdef struct Hold:
    int64_t position
    int64_t amount_fen
    int64_t expires_at
    int64_t kind

# What the account keeps of a counter: its value in one period. `counter` is a number made from the counter's name and meaning.
cdef struct Counter:
    int64_t value
    int32_t counter
    int32_t period

# How a refund takes a move back: with the last of the ticket, in proportion to money, with the points, never, with the points that accruals
# and grants gave (what a cap counts), with the value that was granted. STEPPED (points of steps) and DRAWN (the random number of a draw) are
# no counter's: accounts do not keep them.
cdef enum MoveKind:
    WHOLE = 0
    SHARED = 1
    EARNED = 2
    KEPT = 3
    STEPPED = 4
    CAPPED = 5
    VALUED = 6
    DRAWN = 7

cdef struct Move:
    int64_t amount
    int32_t counter
    int32_t period
    int32_t since
    int32_t kind

# Units other than fen and points that were taken back and were not there: of one purse.
cdef struct Owing:
    int64_t amount
    int32_t purse
    int32_t reserved

# One account. `lots` may point into memory that somebody else owns (a batch record).
cdef struct Value:
    int64_t account_id
    int64_t next_lot
    int64_t orders
    int64_t spend_fen
    int64_t points_earned
    int64_t owed_points
    int64_t owed_fen
    int64_t on_card_fen
    int32_t tier
    int32_t base_tier
    int32_t n_lots
    int32_t cap_lots
    int32_t n_owing
    int32_t cap_owing
    Lot* lots
    Owing* owing

cdef struct Posting:
    int64_t amount
    int64_t value_fen
    int64_t source_account
    int64_t target_account
    int64_t source_lot
    int64_t target_lot
    int64_t expires_at
    int64_t paid_fen
    int64_t of_units
    int32_t used_on
    int32_t line
    int32_t undoes
    int32_t purse
    uint8_t unit
    uint8_t source
    uint8_t target
    uint8_t role

# One line as it arrives; the layout of LINE_DTYPE.
cdef struct LineIn:
    int64_t amount_fen
    int64_t discount_fen
    int64_t coupon_fen
    int32_t quantity
    int32_t category
    int32_t flags
    int32_t counter_pay
    int32_t counter_of
    int32_t reserved

cdef struct LineOut:
    int64_t amount_fen
    int64_t discount_fen
    int64_t coupon_fen
    int64_t covered_fen
    int64_t net_fen
    int32_t index
    int32_t quantity
    int32_t category
    int32_t flags

cdef struct Note:
    int64_t amount
    int64_t before
    int64_t after
    int32_t effect
    int32_t rule
    int32_t line
    int32_t unit

# The figures of one decision.
cdef struct Totals:
    int64_t gross_fen
    int64_t discount_fen
    int64_t coupon_fen
    int64_t covered_fen
    int64_t uncaptured_fen
    int64_t net_fen
    int64_t principal_fen
    int64_t bonus_fen
    int64_t points_fen
    int64_t further_fen
    int64_t outside_fen
    int64_t points_used
    int64_t points_earned
    int64_t after_money_fen
    int64_t after_points
    int64_t liability_delta_fen
    int64_t orders_delta
    int64_t spend_delta_fen
    int64_t points_delta
    int64_t expires_at
    int64_t hold_position
    int64_t hold_fen
    int64_t tier_before
    int64_t tier_after

cdef enum:
    N_TOTALS = 24
    LINES_MAX = 500
    LOTS_MAX = 4096
    HOLDS_MAX = 256

cdef class Account:
    cdef Value v
    cdef Hold* holds_
    cdef Counter* counters_
    cdef int n_counters
    cdef int cap_counters
    cdef int n_holds
    cdef int cap_holds
    cdef int reserve(self, int lots) except -1
    cdef int make_room(self, const Posting* postings, int n) except -1
    cdef Lot* find(self, int64_t lot_id) noexcept
    cdef Hold* find_open(self, int64_t position) noexcept

cdef class Settlement:
    cdef readonly int verb_code
    cdef readonly int programme_version
    cdef readonly int64_t account_id
    cdef readonly tuple further_accounts
    cdef readonly str outside_tender
    cdef readonly bytes memo
    cdef int document_code
    cdef Totals t
    cdef Posting* postings_
    cdef int n_postings
    cdef int cap_postings
    cdef LineOut* lines_
    cdef int n_lines
    cdef Note* notes_
    cdef int n_notes
    cdef int cap_notes
    cdef Move* moves_
    cdef int n_moves
    cdef int cap_moves
    cdef Posting* add_posting(self) except NULL
    cdef Move* add_move(self) except NULL
    cdef Note* add_note(self, int effect, int rule, int line, int64_t amount, int unit, int64_t before, int64_t after) except NULL

cdef class Snapshot:
    cdef readonly object programme
    cdef readonly Account account
    cdef readonly tuple others
    cdef readonly Settlement ticket
    cdef readonly int64_t ticket_position
    cdef readonly tuple followers
    cdef readonly object facts
    cdef readonly dict coupons

cdef Settlement new_settlement(int verb, object programme, Account account)
