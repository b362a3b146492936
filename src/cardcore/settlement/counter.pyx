"""Counters of an account: small accumulators of a period, for tickets, money, points, events and what a rule has given.

The pack says what a counter counts; the account keeps (id, period, value), and a settlement lists how they move. The fold adds what is listed
and drops what is too old, and knows no pack: `verify` and `rebuild` need nothing but the entries.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memmove, memset

from cardcore.money cimport cc_muldiv
from cardcore.settlement.model cimport CAPPED, DRAWN, EARNED, KEPT, R_REBATE, SHARED, STEPPED, VALUED, Value, WHOLE
from cardcore.settlement.rules cimport (
    C_EVENTS, C_PAID, C_QUANTITY, C_TICKETS, CounterRule, ON_EVENT, P_BEFORE, P_NTH, P_REACHED, PER_DAY, PER_LIFE, PER_MONTH, PER_QUARTER,
    PER_WEEK, Predicate, RULE_CAP, RULE_PERIOD, RULE_PROMOTE, RULE_STEP, RULES_KINDS, Programme, Rule, civil, covers, floor_div,
    local_day, reached_tier,
)


cdef int32_t period_of(int per, int64_t day) noexcept nogil:
    """The number of the period that a local day lies in; weeks begin on Monday."""
    cdef int64_t year = 0
    cdef int month = 0, dom = 0
    if per == PER_LIFE:
        return 0
    if per == PER_DAY:
        return <int32_t> day
    if per == PER_WEEK:
        return <int32_t> floor_div(day + 3, 7)
    civil(day, &year, &month, &dom)
    if per == PER_MONTH:
        return <int32_t> (year * 12 + month - 1)
    if per == PER_QUARTER:
        return <int32_t> (year * 4 + (month - 1) // 3)
    return <int32_t> year


cdef void open_tally(const Rules* r, const Counter* counters, int n_counters, int64_t at_s, Tally* t) noexcept nogil:
    """Read the account's counters: what each has in its present period, or in the last ones of a rolling counter.

    A streak has what the run of periods that reaches to this one, or to the one before, counts.
    """
    cdef int i, k
    cdef int64_t day = floor_div(at_s + r.utc_offset_s, 86400)
    cdef const CounterRule* c
    t.stepped = 0
    for i in range(r.n_counters):
        c = &r.counters[i]
        t.period[i] = period_of(c.per, day)
        t.had[i] = 0
        t.gained[i] = 0
        t.counted[i] = 0
        for k in range(n_counters):
            if counters[k].counter != c.number or not t.period[i] - c.last < counters[k].period <= t.period[i]:
                continue
            t.had[i] = counters[k].value if c.streak else t.had[i] + counters[k].value
            t.counted[i] = counters[k].period == t.period[i]


cdef bint within(const Predicate* p, int64_t value) noexcept nogil:
    return p.low <= value and value <= p.high


cdef void answer_had(const Rules* r, const Tally* t, uint64_t* truth) noexcept nogil:
    """Conditions about what was before this ticket, and about its number."""
    cdef int i
    cdef bint met
    cdef const Predicate* p
    for i in range(r.n_predicates):
        p = &r.predicates[i]
        met = False
        if p.kind == P_BEFORE:
            met = within(p, t.had[p.counter])
        elif p.kind == P_NTH:
            met = (t.had[p.counter] + 1) % p.low == 0 if p.low else t.had[p.counter] + 1 == p.high
            met = met and not (r.counters[p.counter].streak and t.counted[p.counter])
        if met:
            truth[i >> 6] |= <uint64_t> 1 << (i & 63)


cdef void answer_reached(const Rules* r, const Tally* t, uint64_t* truth) noexcept nogil:
    """Conditions about what there is with this ticket."""
    cdef int i
    cdef const Predicate* p
    for i in range(r.n_predicates):
        p = &r.predicates[i]
        if p.kind == P_REACHED and within(p, t.had[p.counter] + t.gained[p.counter]):
            truth[i >> 6] |= <uint64_t> 1 << (i & 63)


cdef void gain(const CounterRule* c, int64_t amount, int i, Tally* t) noexcept nogil:
    t.gained[i] += amount
    if c.streak and t.gained[i]:
        t.gained[i] = 0 if t.counted[i] else 1  # a run counts its periods, not what is in them


cdef void tally_ticket(const Rules* r, const LineOut* lines, int n_lines, int64_t net_fen, int64_t money_fen, Tally* t) noexcept nogil:
    """Count one ticket: itself, its goods, and the money paid for those that a counter is about (points pay no money)."""
    cdef int i, k
    cdef int64_t about, quantity
    cdef bint any_line
    cdef const CounterRule* c
    for i in range(r.n_counters):
        c = &r.counters[i]
        if c.counts != C_TICKETS and c.counts != C_PAID and c.counts != C_QUANTITY:
            continue
        about = 0
        quantity = 0
        any_line = False
        for k in range(n_lines):
            if c.any_category or covers(c.categories, lines[k].category):
                about += lines[k].net_fen
                quantity += lines[k].quantity
                any_line = True
        if c.counts == C_TICKETS:
            gain(c, 1 if any_line else 0, i, t)
        elif c.counts == C_QUANTITY:
            gain(c, quantity, i, t)
        elif net_fen:
            # Rounding: the share of some categories in the money is floored.
            gain(c, cc_muldiv(about, money_fen, net_fen), i, t)


cdef void tally_amount(const Rules* r, int counts, int64_t amount, Tally* t) noexcept nogil:
    """Count something that is no ticket: points, a top-up and its amount."""
    cdef int i
    for i in range(r.n_counters):
        if r.counters[i].counts == counts:
            gain(&r.counters[i], amount, i, t)


cdef int64_t last_moment(const Rules* r, int per, int64_t at_s) noexcept nogil:
    """The last second of the period that ended before the one `at_s` lies in. A life has none: the second before it."""
    cdef int64_t day = floor_div(at_s + r.utc_offset_s, 86400), first = day, year = 0
    cdef int month = 0, dom = 0
    civil(day, &year, &month, &dom)
    if per == PER_WEEK:
        first = day - (day + 3 - floor_div(day + 3, 7) * 7)
    elif per >= PER_MONTH and per != PER_LIFE:
        first = day - dom + 1
        while period_of(per, first - 1) == period_of(per, day):
            civil(first - 1, &year, &month, &dom)
            first -= dom
    return first * 86400 - r.utc_offset_s - 1


cdef int tally_event(Programme programme, str event, Tally* t) except -1:
    """Count an event with the counters that name it."""
    cdef int i
    for i in range(programme.r.n_counters):
        if programme.r.counters[i].counts == C_EVENTS and event in programme.counters[i]["events"]:
            gain(&programme.r.counters[i], 1, i, t)
    return 0


cdef int tier_by_counters(const Rules* r, const Tally* t) noexcept nogil:
    """The highest tier whose counter has what it asks for, or that a rule promoted to, with this ticket; 0 for none."""
    cdef int i, k, on, best = 0
    for on in range(3):
        for i in range(r.first[on * RULES_KINDS + RULE_PROMOTE], r.first[on * RULES_KINDS + RULE_PROMOTE + 1]):
            k = r.rules[r.by_effect[i]].counter
            if t.had[k] + t.gained[k] > 0:
                best = max(best, r.rules[r.by_effect[i]].tier)
    for i in range(1, r.n_tiers):
        k = r.tiers[i].counter
        if k >= 0 and t.had[k] + t.gained[k] >= r.tiers[i].counter_min:
            best = max(best, i)
    return best


cdef int tier_after_return(Settlement s, const Rules* r, Account account, int64_t at_s) except -1:
    """A return takes a tier away if what it takes back had reached it; never below the one the card was issued with (T07)."""
    cdef const Value* v = &account.v
    cdef Account after = account
    cdef Tally tally
    cdef int had = reached_tier(r, v.spend_fen, v.orders, v.points_earned)
    cdef int has = reached_tier(r, v.spend_fen + s.t.spend_delta_fen, v.orders + s.t.orders_delta, v.points_earned + s.t.points_delta)
    if r.n_counters:
        open_tally(r, account.counters_, account.n_counters, at_s, &tally)
        had = max(had, tier_by_counters(r, &tally))
        after = account.copy()
        fold_moves(after, s.moves_, s.n_moves)
        open_tally(r, after.counters_, after.n_counters, at_s, &tally)
        has = max(has, tier_by_counters(r, &tally))
    if r.keep_at_return or has >= had or v.tier > had:
        return v.tier
    return min(v.tier, max(v.base_tier, has))


# ------------------------------------------------------------------ moves
cdef int put_moves(Settlement s, const Rules* r, const Tally* t) except -1:
    """List what the decision adds to the account's counters."""
    cdef int i
    cdef Move* m
    for i in range(r.n_counters):
        if t.gained[i] == 0:
            continue
        m = s.add_move()
        m.counter = r.counters[i].number
        m.period = t.period[i]
        m.since = t.period[i] - r.counters[i].kept + 1
        m.kind = r.counters[i].undone
        m.amount = t.gained[i]
        if r.counters[i].streak:
            m.since = t.period[i]  # the run is told anew, the one it goes on from is dropped
            m.amount = t.had[i] + t.gained[i]
    if t.stepped:
        m = s.add_move()
        m.kind = STEPPED
        m.amount = t.stepped
    return 0


cdef int fold_moves(Account account, const Move* moves, int n) except -1:
    """Add what a settlement lists. Counters stay in order of (id, period), without empty ones: equal accounts are equal bytes."""
    cdef int i, k, at
    cdef const Move* m
    cdef Counter* grown
    cdef int64_t value
    for i in range(n):
        m = &moves[i]
        if m.kind == STEPPED or m.kind == DRAWN:
            continue
        value = m.amount
        k = 0
        while k < account.n_counters:
            if account.counters_[k].counter == m.counter and (
                    account.counters_[k].period < m.since or account.counters_[k].period == m.period):
                if account.counters_[k].period == m.period:
                    value += account.counters_[k].value
                memmove(&account.counters_[k], &account.counters_[k + 1], (account.n_counters - k - 1) * sizeof(Counter))
                account.n_counters -= 1
            else:
                k += 1
        if value <= 0:  # what is taken back of a period that is gone
            continue
        if account.n_counters == account.cap_counters:
            grown = <Counter*> realloc(account.counters_, (account.cap_counters + 8) * sizeof(Counter))
            if grown == NULL:
                raise MemoryError
            account.counters_ = grown
            account.cap_counters += 8
        at = account.n_counters
        while at > 0 and (account.counters_[at - 1].counter > m.counter or (
                account.counters_[at - 1].counter == m.counter and account.counters_[at - 1].period > m.period)):
            account.counters_[at] = account.counters_[at - 1]
            at -= 1
        memset(&account.counters_[at], 0, sizeof(Counter))
        account.counters_[at].counter = m.counter
        account.counters_[at].period = m.period
        account.counters_[at].value = value
        account.n_counters += 1
    return 0


cdef int64_t stepped(Settlement s) noexcept:
    """Points that a settlement gave, or took back (negative), for steps that a counter passed."""
    cdef int i
    cdef int64_t points = 0
    for i in range(s.n_moves):
        if s.moves_[i].kind == STEPPED:
            points += s.moves_[i].amount
    return points


cdef int64_t counted(Account account, int32_t counter, int32_t period) noexcept:
    """What an account has of a counter in one period."""
    cdef int k
    for k in range(account.n_counters):
        if account.counters_[k].counter == counter and account.counters_[k].period == period:
            return account.counters_[k].value
    return 0


cdef int64_t steps_lost(const Rules* r, Account account, const Move* m) noexcept:
    """Points of the steps that a counter falls back below, so that what was granted is always what the counter says."""
    cdef int i, k
    cdef int64_t value = counted(account, m.counter, m.period), points = 0
    cdef const Rule* rule
    for k in range(r.first[RULE_STEP], r.first[RULE_STEP + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if r.counters[rule.counter].number == m.counter:
            points += (value // rule.per_fen - max(0, value + m.amount) // rule.per_fen) * rule.amount
    return points


cdef int period_lost(Settlement s, const Rules* r, Account account, const Move* m, list lost) except -1:
    """Value that rebates for a period gave and its counter no longer says, as (purse, fen); what they gave goes down by it."""
    cdef int k
    cdef int64_t given, due
    cdef const Rule* rule
    cdef Move* back
    cdef int64_t value = counted(account, m.counter, m.period) + m.amount
    for k in range(r.first[ON_EVENT + RULE_PERIOD], r.first[ON_EVENT + RULE_PERIOD + 1]):
        rule = &r.rules[r.by_effect[k]]
        if r.counters[rule.counter].number != m.counter:
            continue
        given = counted(account, r.counters[rule.given].number, m.period)
        due = min(cc_muldiv(max(0, value), rule.share, rule.share_of), rule.max_fen)
        if given > due:
            back = s.add_move()
            back.counter, back.period, back.since, back.kind = r.counters[rule.given].number, m.period, -(1 << 30), KEPT
            back.amount = due - given
            lost.append((rule.purse, given - due))
    return 0


cdef tuple rebates_gone(const Rules* r, Account account, Settlement event, int64_t at_s):
    """What returns took back already of an event's rebates for a period: for each of its postings, and in all by purse.

    The counter of what a rule gave says what is left of it. Of a period that may be dropped by now nothing is known: then nothing is gone.
    """
    cdef int i, k, n
    cdef int64_t left, share, now, day = local_day(r, at_s)
    cdef const Rule* rule
    cdef const CounterRule* given
    cdef const Move* done
    taken = [0] * event.n_postings
    gone = {}
    for k in range(r.first[ON_EVENT + RULE_PERIOD], r.first[ON_EVENT + RULE_PERIOD + 1]):
        rule = &r.rules[r.by_effect[k]]
        given = &r.counters[rule.given]
        now = period_of(given.per, day)
        for i in range(event.n_moves):
            done = &event.moves_[i]
            left = counted(account, done.counter, done.period)
            if done.counter != given.number or left >= done.amount or (left == 0 and done.period < now - given.kept):
                continue
            left = done.amount - left
            gone[rule.purse] = gone.get(rule.purse, 0) + left
            for n in range(event.n_postings - 1, -1, -1):  # rebates for a period are the last ones of an event
                if event.postings_[n].role == R_REBATE and event.postings_[n].purse == rule.purse:
                    share = min(left, event.postings_[n].amount - <int64_t> taken[n])
                    taken[n] += share
                    left -= share
    return taken, gone


cdef int64_t move_back(
    Settlement s, const Rules* r, Account account, Settlement ticket, int64_t before_fen, int64_t refund_fen, bint whole, list lost_value
) except -1:
    """What a refund moves back of its ticket's counters, in the ticket's own periods. Answers the points of steps that are lost, and adds
    to `lost_value` what rebates for a period are.

    Rounding: money in proportion, floored on the running total, so that all of it is back with the last fen.
    """
    cdef int i
    cdef int64_t back, lost = 0, net = ticket.t.net_fen
    cdef const Move* done
    cdef Move* m
    cdef Move moved
    for i in range(ticket.n_moves):
        done = &ticket.moves_[i]
        back = 0
        if done.kind == WHOLE:
            back = done.amount if whole else 0
        elif done.kind == SHARED:
            back = done.amount if net == 0 else cc_muldiv(done.amount, before_fen + refund_fen, net) - cc_muldiv(done.amount, before_fen, net)
        if back == 0:
            continue
        m = s.add_move()
        m.counter, m.period, m.since, m.kind = done.counter, done.period, -(1 << 30), done.kind
        m.amount = -back
        moved = m[0]  # what follows may move the list
        lost += steps_lost(r, account, &moved)
        period_lost(s, r, account, &moved, lost_value)
    if lost:
        m = s.add_move()
        m.kind = STEPPED
        m.amount = -lost
    return lost


cdef int move_points_back(Settlement s, const Rules* r, Settlement ticket, int64_t points, int64_t stepped, dict value) except -1:
    """Counters of points and caps go down by what was taken back: points (`stepped` of them for steps), and value by purse."""
    cdef int i, k
    cdef int64_t back
    cdef const Move* done
    cdef Move* m
    for i in range(ticket.n_moves):
        done = &ticket.moves_[i]
        back = 0
        if done.kind == EARNED:
            back = points
        elif done.kind == CAPPED:
            back = points - stepped
        elif done.kind == VALUED:
            for k in range(r.n_rules):
                if r.rules[k].effect == RULE_CAP and r.rules[k].counter >= 0 and r.counters[r.rules[k].counter].number == done.counter:
                    back = value.get(r.rules[k].purse, 0)
        back = min(back, done.amount)
        if back > 0:
            m = s.add_move()
            m.counter, m.period, m.since, m.kind = done.counter, done.period, -(1 << 30), done.kind
            m.amount = -back
    return 0
