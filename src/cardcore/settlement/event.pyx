"""Decisions without a sale: events (E09-E14, L08, R08), and the review of a tier after a period (T05).

An event is decided by the same compiled rules as a ticket, with what it brings as the amount paid; its settlement is folded, refused,
repeated and reversed like any other.
"""

from libc.stdint cimport int64_t, uint64_t

from cardcore.money cimport cc_muldiv
from cardcore.settlement.counter cimport (
    Tally, answer_had, answer_reached, counted, last_moment, open_tally, period_of, put_moves, tally_amount, tally_event, tier_by_counters,
)
from cardcore.settlement.earn cimport earn
from cardcore.settlement.fold cimport liability_change
from cardcore.settlement.grant cimport give, give_all, within_caps, within_room
from cardcore.settlement.model cimport (
    Account, CUSTOMER, DRAWN, E_DRAW, E_PROMOTE, E_REBATE, EVENT, FEN, KEPT, Move, POINTS, POINTS_REDEEMED, Posting, R_DRAW, R_GRANT,
    R_REBATE, REVIEW, Value, new_settlement,
)
from cardcore.settlement.predicate cimport Known, answer, know
from cardcore.settlement.rules cimport (
    C_POINTS, ON_EVENT, P_POINTS_END, RULE_DRAW, RULE_PERIOD, Programme, Rule, Rules, applies, local_day, reached_tier,
)
from cardcore.settlement.sale cimport copy_out, leave_work, take_work
from cardcore.settlement.tender cimport OK, Work, add, money_after, note, points_after
from cardcore.settlement.ticket cimport blank_totals
from cardcore.settlement.value cimport money_elsewhere, settle_balances

from cardcore.errors import Declined


cdef Settlement decide_event(Snapshot snapshot, object command, int64_t at_us):
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef Value* v = &snapshot.account.v
    cdef int64_t at_s = at_us // 1_000_000, drawn = -1, amount_fen = command.amount_fen
    cdef Known known
    cdef Settlement s
    cdef Move* m
    cdef Work* w = take_work(snapshot, r.n_rules)
    cdef int outcome
    try:
        blank_totals(&w.t)
        w.n_postings = w.n_notes = 0
        w.cap_notes = 8192 if command.explain else 0
        w.next_lot, w.fact = v.next_lot, 0
        w.elsewhere_fen = money_elsewhere(snapshot.account)
        w.t.after_money_fen = money_after(r, v.lots, v.n_lots, at_s)
        w.t.after_points = points_after(r, v.lots, v.n_lots, at_s)
        know(snapshot.facts, programme, "", command.name, &known)
        answer(r, &known, at_s, w.truth)
        answer_points(r, w.t.after_points, w.truth)
        open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, at_s, &w.tally)
        answer_had(r, &w.tally, w.truth)
        tally_event(programme, command.name, &w.tally)
        answer_reached(r, &w.tally, w.truth)
        w.t.outside_fen = amount_fen  # what the event brings counts as paid; nobody pays it here
        outcome = earn(r, v, ON_EVENT, NULL, 0, amount_fen, amount_fen, at_s, w)
        if outcome == OK:
            outcome = give_all(r, v, ON_EVENT, NULL, 0, amount_fen, amount_fen, at_s, w)
        if outcome == OK:
            outcome = give_periods(r, snapshot, at_s, w)
        if outcome == OK:
            drawn = draw(programme, snapshot, command, at_s, w)
        if outcome:
            raise Declined("limit_exceeded", limit=w.fact)
        w.t.outside_fen = 0
        w.t.gross_fen = amount_fen
        w.t.points_delta = w.t.points_earned
        if r.n_counters:
            tally_amount(r, C_POINTS, w.t.points_earned, &w.tally)
        w.t.tier_before = v.tier
        w.t.tier_after = max(v.tier, tier_by_counters(r, &w.tally), reached_tier(
            r, v.spend_fen, v.orders, v.points_earned + w.t.points_delta))
        if w.t.tier_after != v.tier:
            note(w, E_PROMOTE, -1, -1, w.t.tier_after, FEN, v.tier, w.t.tier_after)
        s = new_settlement(EVENT, programme, snapshot.account)
        w.t.liability_delta_fen = liability_change(w.postings, w.n_postings)
        s.t = w.t
        copy_out(s, w, 0)
        put_moves(s, r, &w.tally)
    finally:
        leave_work(w)
    if drawn >= 0:
        m = s.add_move()
        m.kind, m.amount = DRAWN, drawn
    if s.n_postings == 0 and s.n_moves == 0 and s.t.tier_after == s.t.tier_before:
        raise Declined("nothing_to_do", event=command.name)
    s.outside_tender = command.name
    s.memo = command.memo
    settle_balances(r, s, snapshot.account, at_s)
    return s


cdef void answer_points(const Rules* r, int64_t points, uint64_t* truth) noexcept nogil:
    """Conditions about the last digit of the points balance (R08)."""
    cdef int i
    for i in range(r.n_predicates):
        if r.predicates[i].kind == P_POINTS_END and points % 10 == r.predicates[i].low:
            truth[i >> 6] |= <uint64_t> 1 << (i & 63)


cdef int give_periods(const Rules* r, Snapshot snapshot, int64_t at_s, Work* w) except -1:
    """Rebates for the period that has ended: what its counter says by now, less what was given for it (C03)."""
    cdef const Value* v = &snapshot.account.v
    cdef const Rule* rule
    cdef Tally ended
    cdef int i, k, outcome
    cdef int64_t due
    for k in range(r.first[ON_EVENT + RULE_PERIOD], r.first[ON_EVENT + RULE_PERIOD + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if not applies(rule, v.tier, 0, w.truth):
            continue
        open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, last_moment(r, r.counters[rule.counter].per, at_s), &ended)
        # Rounding: the share is floored to a fen.
        due = min(cc_muldiv(ended.had[rule.counter], rule.share, rule.share_of), rule.max_fen) - ended.had[rule.given]
        if due > 0:
            due = within_caps(r, ON_EVENT, rule.purse, v.tier, 0, 0, within_room(r, v, due, w), w)
        if due <= 0:
            continue
        if w.cap_notes:
            note(w, E_REBATE, i, -1, due, FEN, ended.had[rule.counter], due)
        w.tally.period[rule.given] = ended.period[rule.given]
        w.tally.gained[rule.given] = due
        outcome = give(r, v, rule.purse, -1, rule.months, rule.days, rule.own_end, due, at_s, R_REBATE, w)
        if outcome:
            return outcome
    return OK


# ------------------------------------------------------------------ draws
cdef int64_t draw(Programme programme, Snapshot snapshot, object command, int64_t at_s, Work* w) except? -2:
    """Points buy a draw of the first rule that fits (R08). Answers the random number it used, -1 for no draw. Raises Declined."""
    cdef const Rules* r = &programme.r
    cdef const Value* v = &snapshot.account.v
    cdef const Rule* rule
    cdef int i, k
    cdef int64_t left, take, weights = 0, number = command.random
    cdef Posting* p
    for k in range(r.first[ON_EVENT + RULE_DRAW], r.first[ON_EVENT + RULE_DRAW + 1]):
        i = r.by_effect[k]
        rule = &r.rules[i]
        if not applies(rule, v.tier, command.amount_fen, w.truth):
            continue
        left = rule.units
        lots = [lot for lot in snapshot.account.lots() if lot.purse == rule.purse and (
            not lot.expires_at or lot.expires_at > at_s or programme.rules[i]["lapsed"])]
        for lot in sorted(lots, key=lambda lot: (lot.expires_at or 1 << 62, lot.lot_id)):
            take = min(left, lot.amount)
            if take == 0:
                break
            p = add(w)
            p.amount, p.unit, p.role, p.purse, p.expires_at = take, POINTS, R_DRAW, rule.purse, lot.expires_at
            p.source, p.source_account, p.source_lot, p.target = CUSTOMER, v.account_id, lot.lot_id, POINTS_REDEEMED
            left -= take
        if left:
            raise Declined("insufficient_points", points_available=rule.units - left)
        w.t.points_used = rule.units
        prizes = programme.rules[i]["prizes"]
        for prize in prizes:
            weights += prize["weight"]
        left = number % weights
        place = 0
        while left >= prizes[place]["weight"]:
            left -= prizes[place]["weight"]
            place += 1
        prize = prizes[place]
        if w.cap_notes:
            note(w, E_DRAW, i, -1, rule.units, POINTS, place, len(prizes))
        left = prize["amount"]
        if left and prize["purse"] >= 0 and r.purses[<int> prize["purse"]].unit == FEN:
            left = within_room(r, v, left, w)
        if left:
            months, days = prize["ends"] or (0, 0)
            if give(r, v, prize["purse"], prize["award"], months, days, prize["ends"] is not None, left, at_s, R_GRANT, w):
                raise Declined("limit_exceeded", limit=w.fact)
        return number
    return -1


# ------------------------------------------------------------------ reviews
cdef Settlement decide_review(Snapshot snapshot, object command, int64_t at_us):
    """Keep the tier, or fall: by what the counters said when the last period ended, or say by now (T05). Once for a period."""
    cdef Programme programme = snapshot.programme
    cdef const Rules* r = &programme.r
    cdef const Value* v = &snapshot.account.v
    cdef Settlement s
    cdef Tally tally
    cdef int64_t at_s = at_us // 1_000_000, ended
    cdef int reached, period, tier = v.tier
    cdef Move* m
    if r.review_per < 0:
        raise Declined("nothing_to_do", what="the programme reviews no tiers")
    ended = last_moment(r, r.review_per, at_s)
    open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, ended, &tally)
    period = period_of(r.review_per, local_day(r, ended))
    if counted(snapshot.account, r.reviewed, period):
        raise Declined("nothing_to_do", what="the period was reviewed")
    reached = max(tier_by_counters(r, &tally), reached_tier(r, v.spend_fen, v.orders, v.points_earned))
    open_tally(r, snapshot.account.counters_, snapshot.account.n_counters, at_s, &tally)
    reached = max(reached, tier_by_counters(r, &tally), v.base_tier)
    if reached < tier:
        tier = reached if r.fall_to_balance else max(reached, tier - 1)
    s = new_settlement(REVIEW, programme, snapshot.account)
    s.t.tier_after = tier
    s.add_note(E_PROMOTE, -1, -1, tier, FEN, v.tier, tier)
    m = s.add_move()
    m.counter, m.period, m.since, m.kind, m.amount = r.reviewed, period, period, KEPT, 1
    s.memo = command.memo
    settle_balances(r, s, snapshot.account, at_s)
    return s


# ------------------------------------------------------------------ Doorways
def ended_value(Programme programme not None, Account account not None, int counter, int64_t at):
    """What an account's counter had in its period that ended before the one that epoch second `at` lies in."""
    cdef Tally tally
    if not 0 <= counter < programme.r.n_counters:
        raise IndexError(counter)
    open_tally(&programme.r, account.counters_, account.n_counters, last_moment(&programme.r, programme.r.counters[counter].per, at), &tally)
    return tally.had[counter]
