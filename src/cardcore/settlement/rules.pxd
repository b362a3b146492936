"""A programme as C structs, for the compiled decisions."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from cardcore.money cimport cc_rate

# What a rule does; anonymous, so that it can index Rules.first.
cdef enum:
    RULE_DISCOUNT = 0
    RULE_ACCRUE = 1
    RULE_MILESTONE = 2
    RULE_BONUS = 3
    RULE_DEDUCT = 4
    RULE_REDEEM = 5
    RULE_STEP = 6
    RULE_REBATE = 7
    RULE_GIFT = 8
    RULE_CAP = 9
    RULE_PROMOTE = 10
    RULE_SCORE = 11
    RULE_PERIOD = 12
    RULE_DRAW = 13
    RULES_KINDS = 14
    # Where in Rules.first the rules of events and top-ups begin; those of sales, and the bonus of a top-up, are at 0.
    ON_EVENT = 14
    ON_TOPUP = 28
    RULES_PLACES = 42

cdef enum PurseRole:
    ROLE_PRINCIPAL = 0
    ROLE_BONUS = 1
    ROLE_POINTS = 2
    ROLE_ENTITLEMENT = 3
    ROLE_COUPON = 4

cdef enum Base:
    BASE_PRINCIPAL = 1
    BASE_BONUS = 2
    BASE_OUTSIDE = 4
    BASE_FURTHER = 8

cdef enum:
    PURSES_MAX = 64
    TIERS_MAX = 32
    RULES_MAX = 250
    LADDER_MAX = 16
    CATEGORY_WORDS = 16
    RATES_MAX = 5
    PREDICATES_MAX = 256
    PREDICATE_WORDS = 4
    GROUPS_MAX = 64
    COUNTERS_MAX = 64
    QUOTAS_MAX = 3
    AWARDS_MAX = 64
    COUPONS_MAX = 64

cdef struct Purse:
    int32_t unit
    int32_t role
    int32_t months
    int32_t days
    int32_t first_use
    int32_t per_day
    int32_t min_gap_days
    int32_t grace_months
    int32_t grace_days
    uint64_t covers[CATEGORY_WORDS]

cdef struct Tier:
    int64_t spend_min_fen
    int64_t orders_min
    int64_t points_min
    int64_t counter_min
    int64_t counter

# Conditions that do not change within a ticket; words are those that the facts of a snapshot answer.
cdef enum PredicateKind:
    P_WORDS = 0
    P_WEEKDAY = 1
    P_DAY = 2
    P_MONTH = 3
    P_HOUR = 4
    P_FROM = 5
    P_UNTIL = 6
    P_BIRTHDAY = 7
    P_BEFORE = 8
    P_REACHED = 9
    P_NTH = 10
    P_POINTS_END = 11

cdef enum Counts:
    C_TICKETS = 0
    C_PAID = 1
    C_QUANTITY = 2
    C_POINTS = 3
    C_TOPUPS = 4
    C_CHARGED = 5
    C_QUOTA = 6
    C_EVENTS = 7
    C_SCORE = 8

cdef enum Per:
    PER_DAY = 0
    PER_WEEK = 1
    PER_MONTH = 2
    PER_QUARTER = 3
    PER_YEAR = 4
    PER_LIFE = 5

# What a counter counts. `number` stands for it on accounts, `last` periods make its value, `kept` are remembered, `undone` is how its moves
# go back (model.MoveKind).
cdef struct CounterRule:
    int32_t number
    int32_t counts
    int32_t per
    int32_t last
    int32_t kept
    int32_t streak
    int32_t undone
    int32_t any_category
    uint64_t categories[CATEGORY_WORDS]

# A bound on what one rule gives one account: times, or units.
cdef struct Quota:
    int64_t limit
    int32_t counter
    int32_t units

cdef struct Predicate:
    int64_t kind
    int64_t low
    int64_t high
    int64_t counter

cdef struct Rule:
    int32_t effect
    # Of what: 0 a sale or the bonus of a top-up, else ON_EVENT or ON_TOPUP.
    int32_t on
    int32_t purse
    # In place of a purse: an award of the pack, -1 none.
    int32_t award
    # The end of what is granted, where it is not the purse's.
    int32_t months
    int32_t days
    int32_t own_end
    # The tier that it promotes to.
    int32_t tier
    int32_t waives
    # The counter of what a rebate for a period has given.
    int32_t given
    int64_t max_fen
    uint32_t tiers
    int32_t any_category
    uint64_t categories[CATEGORY_WORDS]
    # Bits of predicates that must all be set; flags that a line must all have, and must not have; the exclusive group, -1 none.
    uint64_t asks[PREDICATE_WORDS]
    int32_t asking
    int32_t flags_all
    int32_t flags_none
    int32_t group
    int32_t n_quotas
    int32_t counter
    Quota quotas[QUOTAS_MAX]
    int64_t amount_min_fen
    int64_t amount_max_fen
    int64_t earned_min
    int64_t pay
    int64_t of
    int64_t amount
    int64_t per_fen
    int64_t multiplier
    int64_t multiplier_of
    int32_t base
    int32_t n_ladder
    int64_t units
    int64_t worth_fen
    int64_t share
    int64_t share_of
    int64_t ladder_units[LADDER_MAX]
    int64_t ladder_price[LADDER_MAX]
    int64_t every_units
    int64_t every_price

# How a coupon takes off its amount.
cdef enum Takes:
    TAKES_OFF = 0
    TAKES_RATE = 1
    TAKES_PIECE = 2

# Who pays for what a coupon or gift gives: the place that hands it out, or another by a leg of the clearing (O03).
cdef enum Bearer:
    BEARER_STORE = 0
    BEARER_COUNTER = 1
    BEARER_BRAND = 2
    BEARER_HQ = 3

# A kind of coupon: its lots lie in the purse PURSES_MAX + its place. `rule` has its conditions.
cdef struct Coupon:
    Rule rule
    int64_t spend_min_fen
    int64_t off_fen
    int64_t per_fen
    int64_t pay
    int64_t of
    int64_t max_fen
    int64_t until
    int32_t takes
    int32_t uses
    int32_t per_ticket
    int32_t stackable
    int32_t kept
    int32_t whole_only
    int32_t bearer

# What points buy at once: a coupon (its place, else -1), or a thing worth `cost_fen`.
cdef struct Gift:
    Rule rule
    int64_t points
    int64_t cost_fen
    int32_t coupon
    int32_t items
    int32_t bearer

# What all discounts that depend on nothing but tier and category make of a line, and how many they are.
cdef struct Standing:
    cc_rate rate
    int64_t count

cdef struct Rules:
    int32_t n_purses
    int32_t n_tiers
    int32_t n_rules
    int32_t stacking
    int32_t rounding
    int32_t listed_order
    int32_t points_purse
    int32_t utc_offset_s
    int64_t step_fen
    int64_t balance_max_fen
    int64_t topup_min_fen
    int64_t topup_max_fen
    int64_t topup_step_fen
    int32_t transfer
    int32_t member
    # Those of coupons stand behind all that a pack may list, so that both lists only grow.
    Purse purses[PURSES_MAX + COUPONS_MAX]
    Tier tiers[TIERS_MAX]
    Rule* rules
    # Whether a sale may be followed by more than points, and whether it may waive lines; how reviews go (-1 none, else Per).
    int32_t gives
    int32_t waives
    int32_t review_per
    int32_t fall_to_balance
    int32_t keep_at_return
    int32_t reviewed
    int32_t n_coupons
    int32_t n_gifts
    Coupon* coupons
    Gift* gifts
    int32_t n_predicates
    Predicate predicates[PREDICATES_MAX]
    int32_t n_counters
    CounterRule counters[COUNTERS_MAX]
    # Indices of the rules of each effect, by priority, then in the pack's order: by_effect[first[e]] .. by_effect[first[e + 1] - 1].
    int32_t first[43]
    int32_t by_effect[RULES_MAX]
    # Discounts, looked up: standing[tier * (n_categories + 1) + category + 1], and the others, which ask for more.
    int32_t n_categories
    int32_t n_asking
    int32_t asking[RULES_MAX]
    Standing* standing

cdef class Programme:
    cdef Rules r
    cdef readonly str name
    cdef readonly int version
    cdef readonly str currency
    cdef readonly str digest
    cdef readonly tuple purses
    cdef readonly tuple purse_units
    cdef readonly tuple purse_roles
    cdef readonly tuple tiers
    cdef readonly dict categories
    cdef readonly dict products
    cdef readonly tuple rule_names
    cdef readonly dict card
    cdef readonly tuple predicates
    cdef readonly tuple counters
    cdef readonly tuple awards
    cdef readonly tuple rankings
    cdef readonly dict review
    cdef readonly frozenset events
    # Word of a kind -> bits of the conditions that it meets (tag_not: that it rules out); campaigns that must all have stock.
    cdef dict words
    cdef object tag_nots
    cdef tuple campaigns
    cdef readonly tuple rules
    cdef readonly tuple coupons
    cdef readonly tuple gifts
    cdef int _compile_conditions(self, Rule* c, rule) except -1

cdef inline bint covers(const uint64_t* words, int category) noexcept nogil:
    if category < 0 or category >= CATEGORY_WORDS * 64:
        return False
    return (words[category >> 6] >> (category & 63)) & 1


cdef inline const Standing* standing(const Rules* r, int tier, int category) noexcept nogil:
    """The combined discounts of a tier on a category; -1, or a category that no rule names, is none."""
    return &r.standing[tier * (r.n_categories + 1) + (category + 1 if 0 <= category < r.n_categories else 0)]


cdef inline bint applies(const Rule* rule, int tier, int64_t gross_fen, const uint64_t* truth) noexcept nogil:
    """Does a rule's condition hold for this tier, ticket (or top-up) amount, and what is true of the whole ticket?"""
    cdef int i
    if not (rule.tiers >> tier) & 1 or gross_fen < rule.amount_min_fen or gross_fen > rule.amount_max_fen:
        return False
    if rule.asking:
        for i in range(PREDICATE_WORDS):
            if rule.asks[i] & ~truth[i]:
                return False
    return True


cdef inline bint fits(const Rule* rule, int category, int flags) noexcept nogil:
    """Is a line of this category and with these flags one that the rule is about?"""
    return ((rule.any_category or covers(rule.categories, category)) and flags & rule.flags_all == rule.flags_all
            and not flags & rule.flags_none)


cdef inline bint first_of_group(const Rule* rule, uint64_t* acted) noexcept nogil:
    """May a rule act, where of an exclusive group one acts? Marks the group."""
    cdef uint64_t bit
    if rule.group < 0:
        return True
    bit = <uint64_t> 1 << rule.group
    if acted[0] & bit:
        return False
    acted[0] |= bit
    return True


cdef int64_t floor_div(int64_t a, int64_t b) noexcept nogil
cdef int days_in_month(int64_t year, int month) noexcept nogil
cdef void civil(int64_t day, int64_t* year, int* month, int* dom) noexcept nogil
cdef int64_t expiry(const Rules* r, int64_t at_s, int months, int days) noexcept nogil
cdef inline int64_t lapse(const Rules* r, int purse, int64_t at_s) noexcept nogil:
    """The end of what enters a purse now, 0 = never; what counts from its first use has none before it."""
    return 0 if r.purses[purse].first_use else expiry(r, at_s, r.purses[purse].months, r.purses[purse].days)


cdef int64_t void_after(const Rules* r, int purse, int64_t expires_at) noexcept nogil
cdef int32_t local_day(const Rules* r, int64_t at_s) noexcept nogil


cdef inline int reached_tier(const Rules* r, int64_t spend_fen, int64_t orders, int64_t points) noexcept nogil:
    """The highest tier of which any one threshold is reached (T01, T03)."""
    cdef int i, best = 0
    for i in range(1, r.n_tiers):
        if ((r.tiers[i].spend_min_fen >= 0 and spend_fen >= r.tiers[i].spend_min_fen)
                or (r.tiers[i].orders_min >= 0 and orders >= r.tiers[i].orders_min)
                or (r.tiers[i].points_min >= 0 and points >= r.tiers[i].points_min)):
            best = i
    return best
