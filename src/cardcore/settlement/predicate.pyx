"""The conditions of a pack that do not change within a ticket, each answered once into a bit set.

A rule holds when every bit it asks for is set (`rules.applies`), so it costs the same whatever it asks. Calendar conditions go by the
programme's own time; those about words are answered from the facts of the snapshot, and are not met where nothing is told.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from cardcore.settlement.rules cimport (
    P_BIRTHDAY, P_DAY, P_FROM, P_HOUR, P_MONTH, P_UNTIL, P_WEEKDAY, PREDICATE_WORDS, Predicate, Programme, Rules, civil, days_in_month,
    floor_div,
)


cdef int know(object facts, Programme programme, str tender, str event, Known* out) except -1:
    """The answers that only words give, for one programme: each word brings the bits of the conditions that it meets."""
    cdef dict words = programme.words
    cdef int i
    memset(out, 0, sizeof(Known))
    if facts is not None and facts.birthday is not None:
        out.birth_month, out.birth_day = facts.birthday
    if not words:
        return 0
    met = words["tender"].get(tender, 0) | words["event"].get(event, 0)
    if facts is not None:
        met |= words["store"].get(facts.store, 0) | words["unit"].get(facts.unit, 0) | words["channel"].get(facts.channel, 0)
        ruled_out = 0
        for tag in facts.tags:
            met |= words["tag"].get(tag, 0)
            ruled_out |= words["tag_not"].get(tag, 0)
        met |= programme.tag_nots & ~ruled_out
        for bit, campaigns in programme.campaigns:
            if campaigns <= facts.stock:
                met |= bit
    for i in range(PREDICATE_WORDS):
        out.words[i] = met >> 64 * i & 0xFFFF_FFFF_FFFF_FFFF
    return 0


cdef bint is_birthday(const Known* known, int64_t year, int month, int day) noexcept nogil:
    """On the day; who was born on 29 February has it on the 28th in other years."""
    return known.birth_month == month and (
        known.birth_day == day or (known.birth_day > day and day == days_in_month(year, month)))


cdef void answer(const Rules* r, const Known* known, int64_t at_s, uint64_t* truth) noexcept nogil:
    cdef int64_t day = floor_div(at_s + r.utc_offset_s, 86400)
    cdef int64_t year = 0
    cdef int month = 0, dom = 0, i
    cdef int hour = <int> ((at_s + r.utc_offset_s - day * 86400) // 3600)
    cdef int weekday = <int> (day + 3 - floor_div(day + 3, 7) * 7)  # 1970-01-01 was a Thursday; Monday is 0
    cdef const Predicate* p
    cdef bint met
    civil(day, &year, &month, &dom)
    for i in range(PREDICATE_WORDS):
        truth[i] = known.words[i]
    for i in range(r.n_predicates):
        p = &r.predicates[i]
        met = False
        if p.kind == P_WEEKDAY:
            met = (p.low >> weekday) & 1
        elif p.kind == P_DAY:
            met = (p.low >> dom) & 1
        elif p.kind == P_MONTH:
            met = (p.low >> month) & 1
        elif p.kind == P_HOUR:
            met = (p.low >> hour) & 1
        elif p.kind == P_FROM:
            met = day >= p.low
        elif p.kind == P_UNTIL:
            met = day <= p.low
        elif p.kind == P_BIRTHDAY:
            met = known.birth_month == month if p.low else is_birthday(known, year, month, dom)
        if met:
            truth[i >> 6] |= <uint64_t> 1 << (i & 63)
