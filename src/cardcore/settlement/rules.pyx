"""A programme compiled from its normalised pack (see docs/pack-format.md), and its calendar.

`pack.load` validates and normalises; this file trusts the shape but not the bounds, and refuses what does not fit
the C structs with InvalidPack.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from cardcore.money cimport AMOUNT_LIMIT, ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, admit_unsigned, cc_rate_of, cc_stack
from cardcore.settlement.model cimport CAPPED, COUPON, EARNED, FEN, KEPT, POINTS, SHARED, VALUED, WHOLE

from cardcore.errors import CardcoreError, InvalidPack

_UNITS = ("fen", "points", "visits", "pass")
_ROLES = {"principal": ROLE_PRINCIPAL, "bonus": ROLE_BONUS, "points": ROLE_POINTS, "entitlement": ROLE_ENTITLEMENT}
_EFFECTS = {
    "discount": RULE_DISCOUNT, "accrue": RULE_ACCRUE, "milestone": RULE_MILESTONE, "bonus": RULE_BONUS,
    "deduct": RULE_DEDUCT, "redeem": RULE_REDEEM, "step": RULE_STEP, "rebate": RULE_REBATE, "gift": RULE_GIFT, "cap": RULE_CAP,
    "promote": RULE_PROMOTE, "score": RULE_SCORE, "period": RULE_PERIOD, "draw": RULE_DRAW,
}
_PREDICATES = {
    "weekday": P_WEEKDAY, "day": P_DAY, "month": P_MONTH, "hour": P_HOUR, "from": P_FROM, "until": P_UNTIL, "birthday": P_BIRTHDAY,
    "before": P_BEFORE, "reached": P_REACHED, "nth": P_NTH, "points_end": P_POINTS_END,
} | dict.fromkeys(("store", "unit", "channel", "tender", "tag", "tag_not", "stock", "event"), P_WORDS)
_COUNTS = {
    "tickets": C_TICKETS, "paid": C_PAID, "quantity": C_QUANTITY, "points": C_POINTS, "topups": C_TOPUPS, "charged": C_CHARGED,
    "quota": C_QUOTA, "events": C_EVENTS, "score": C_SCORE,
}
_UNDONE = {"whole": WHOLE, "capped": CAPPED, "valued": VALUED, "kept": KEPT}
_ON = {"settle": 0, "event": ON_EVENT, "topup": ON_TOPUP}
_PERS = {"day": PER_DAY, "week": PER_WEEK, "month": PER_MONTH, "quarter": PER_QUARTER, "year": PER_YEAR, "life": PER_LIFE}
_TAKES = {"off": TAKES_OFF, "rate": TAKES_RATE, "piece": TAKES_PIECE}
_BEARERS = {"store": BEARER_STORE, "counter": BEARER_COUNTER, "brand": BEARER_BRAND, "hq": BEARER_HQ}
_STACKINGS = {"multiply": 0, "best": 1, "add": 2}
_ROUNDINGS = {"floor": ROUND_FLOOR, "ceiling": ROUND_CEILING, "half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}
_BASES = {"principal": BASE_PRINCIPAL, "bonus": BASE_BONUS, "outside": BASE_OUTSIDE, "further": BASE_FURTHER}


cdef int64_t floor_div(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t q = a // b
    return q - 1 if a % b < 0 else q


cdef int32_t local_day(const Rules* r, int64_t at_s) noexcept nogil:
    """Days since 1970-01-01 in the programme's own time."""
    return <int32_t> floor_div(at_s + r.utc_offset_s, 86400)


cdef int days_in_month(int64_t year, int month) noexcept nogil:
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef int64_t days_from_civil(int64_t y, int m, int d) noexcept nogil:
    """Days since 1970-01-01 of a proleptic Gregorian date: eras of 400 years that begin in March."""
    cdef int64_t era, yoe, doy
    if m <= 2:
        y -= 1
    era = floor_div(y, 400)
    yoe = y - era * 400
    doy = (153 * (m - 3 if m > 2 else m + 9) + 2) // 5 + d - 1
    return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468


cdef void civil(int64_t day, int64_t* year, int* month, int* dom) noexcept nogil:
    """The proleptic Gregorian date of a day counted from 1970-01-01: the inverse of `days_from_civil`."""
    cdef int64_t era, doe, yoe, doy
    cdef int mp
    day += 719468
    era = floor_div(day, 146097)
    doe = day - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = <int> ((5 * doy + 2) // 153)
    dom[0] = <int> (doy - (153 * mp + 2) // 5 + 1)
    month[0] = mp + 3 if mp < 10 else mp - 9
    year[0] = yoe + era * 400 + (1 if month[0] <= 2 else 0)


cdef int64_t expiry(const Rules* r, int64_t at_s, int months, int days) noexcept nogil:
    """The midnight that ends the local day `months` and `days` later; 0 (never) for none (X01).

    Whole days, so that what was granted on one day is one lot: a card's lots are bounded by days, not by tickets.
    """
    cdef int64_t day, year = 0, total
    cdef int month = 0, dom = 0
    if months == 0 and days == 0:
        return 0
    day = floor_div(at_s + r.utc_offset_s, 86400)
    if months:
        civil(day, &year, &month, &dom)
        total = year * 12 + month - 1 + months
        year = floor_div(total, 12)
        month = <int> (total - year * 12) + 1
        if dom > days_in_month(year, month):
            dom = days_in_month(year, month)
        day = days_from_civil(year, month, dom)
    return (day + days + 1) * 86400 - r.utc_offset_s


cdef int64_t void_after(const Rules* r, int purse, int64_t expires_at) noexcept nogil:
    """When a lot is voided: its expiry, or the end of the grace for which lapsed points are kept (R08); 0 = never."""
    if expires_at == 0 or (r.purses[purse].grace_months == 0 and r.purses[purse].grace_days == 0):
        return expires_at
    return expiry(r, expires_at - 1, r.purses[purse].grace_months, r.purses[purse].grace_days)


cdef int set_categories(uint64_t* words, categories, int n) except -1:
    cdef int index
    for index in categories:
        if not 0 <= index < n:
            raise InvalidPack(f"category {index} does not exist")
        words[index >> 6] |= <uint64_t> 1 << (index & 63)
    return 0


cdef bint asks_more(const Rule* rule) noexcept nogil:
    """Does a discount depend on more than tier and category?"""
    return (rule.amount_min_fen > 0 or rule.amount_max_fen < AMOUNT_LIMIT or rule.asking or rule.flags_all or rule.flags_none
            or rule.group >= 0 or rule.n_quotas or rule.waives)


cdef class Programme:
    def __cinit__(self, *args):
        memset(&self.r, 0, sizeof(Rules))

    def __dealloc__(self):
        free(self.r.rules)
        free(self.r.standing)
        free(self.r.coupons)
        free(self.r.gifts)

    def __init__(self, dict normalised not None):
        try:
            self._compile(normalised)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, CardcoreError) as problem:
            if isinstance(problem, InvalidPack):
                raise
            raise InvalidPack(f"the pack cannot be compiled: {problem!r}") from problem

    def _compile(self, dict pack):
        cdef Rules* r = &self.r
        self.name, self.version, self.currency, self.digest = pack["name"], pack["version"], pack["currency"], pack["digest"]
        if len(pack["purses"]) > PURSES_MAX or len(pack["rules"]) > RULES_MAX or not 1 <= len(pack["tiers"]) <= TIERS_MAX:
            raise InvalidPack("too many purses, rules or tiers, or no tier")
        if len(pack["categories"]) > CATEGORY_WORDS * 64:
            raise InvalidPack("too many categories")
        self.categories = {name: i for i, name in enumerate(pack["categories"])}
        self.card = dict(pack["card"])
        r.stacking, r.rounding = _STACKINGS[pack["stacking"]], _ROUNDINGS[pack["rounding"]]
        r.step_fen = admit_unsigned(pack["step_fen"])
        r.listed_order = pack["spend_order"] == "listed"
        r.utc_offset_s = pack["utc_offset_s"]
        r.member = bool(self.card.get("member", True))
        limits = pack["limits"]
        r.balance_max_fen = admit_unsigned(limits["balance_max_fen"])
        r.transfer = bool(limits["transfer"]) << FEN | bool(limits.get("transfer_points")) << POINTS
        r.topup_min_fen, r.topup_max_fen = admit_unsigned(limits["topup_min_fen"]), admit_unsigned(limits["topup_max_fen"])
        r.topup_step_fen = admit_unsigned(limits["topup_step_fen"])
        if r.step_fen < 1 or r.topup_step_fen < 1:
            raise InvalidPack("a step must be at least 1")
        self._compile_purses(pack["purses"])
        self._compile_counters(pack.get("counters", ()))
        self._compile_tiers(pack["tiers"])
        self._compile_review(pack.get("review") or {})
        self.review = dict(pack.get("review") or {"per": ""})
        self.awards = tuple(dict(award) for award in pack.get("awards", ()))
        self.rankings = tuple(dict(ranking) for ranking in pack.get("rankings", ()))
        if len(self.awards) > AWARDS_MAX:
            raise InvalidPack(f"a pack has at most {AWARDS_MAX} awards")
        r.rules = <Rule*> calloc(len(pack["rules"]) + 1, sizeof(Rule))
        if r.rules == NULL:
            raise MemoryError
        self._compile_predicates(pack.get("predicates", ()))
        groups = {}
        for rule in pack["rules"]:
            if rule.get("exclusive"):
                groups.setdefault(rule["exclusive"], len(groups))
            self._compile_rule(rule, groups.get(rule.get("exclusive"), -1))
        if len(groups) > GROUPS_MAX:
            raise InvalidPack(f"a pack has at most {GROUPS_MAX} exclusive groups")
        self.rules = tuple(dict(rule) for rule in pack["rules"])
        self._index_rules()
        self._combine_discounts()
        self._compile_coupons(pack.get("coupons", ()))
        self._compile_gifts(pack.get("gifts", ()))
        self.rule_names = tuple(rule["name"] for rule in pack["rules"])
        self.products = {}
        for product in pack["products"]:
            grants = tuple((g["purse"], admit_unsigned(g["amount"]), g.get("months", 0), g.get("days", 0)) for g in product["grants"])
            if any(not 0 <= g[0] < r.n_purses or g[1] < 1 for g in grants):
                raise InvalidPack(f"product {product['name']} grants nothing, or into no purse")
            self.products[product["name"]] = (admit_unsigned(product["price_fen"]), grants)

    def _compile_purses(self, purses):
        cdef Purse* p
        self.r.points_purse = -1
        for index, purse in enumerate(purses):
            p = &self.r.purses[index]
            p.unit, p.role = _UNITS.index(purse["unit"]), _ROLES[purse["role"]]
            p.months, p.days = purse.get("months", 0), purse.get("days", 0)
            p.first_use = bool(purse.get("first_use", False))
            p.per_day, p.min_gap_days = purse.get("per_day", 0), purse.get("min_gap_days", 0)
            p.grace_months, p.grace_days = purse.get("grace", (0, 0))
            if min(p.months, p.days, p.per_day, p.min_gap_days, p.grace_months, p.grace_days) < 0:
                raise InvalidPack(f"purse {purse['name']} has a negative period")
            set_categories(p.covers, purse.get("covers", ()), len(self.categories))
            if p.role == ROLE_POINTS:
                if self.r.points_purse >= 0:
                    raise InvalidPack("a programme has at most one points purse")
                self.r.points_purse = index
        self.r.n_purses = len(purses)
        self.purses = tuple(purse["name"] for purse in purses)
        self.purse_units = tuple(purse["unit"] for purse in purses)
        self.purse_roles = tuple(purse["role"] for purse in purses)

    def _compile_counters(self, counters):
        cdef CounterRule* c
        if len(counters) > COUNTERS_MAX:
            raise InvalidPack(f"a pack has at most {COUNTERS_MAX} counters and quotas")
        for index, counter in enumerate(counters):
            c = &self.r.counters[index]
            c.number, c.counts, c.per = counter["number"], _COUNTS[counter["counts"]], _PERS[counter["per"]]
            c.last, c.streak = counter["last"], counter["streak"]
            c.kept = counter.get("kept", c.last)
            c.undone = KEPT if c.streak else SHARED if c.counts in (C_PAID, C_SCORE) else EARNED if c.counts == C_POINTS else WHOLE
            if counter.get("undone"):
                c.undone = _UNDONE[counter["undone"]]
            c.any_category = counter["categories"] is None
            set_categories(c.categories, counter["categories"] or (), len(self.categories))
            if c.number < 1 or c.last < 1 or c.kept < c.last:
                raise InvalidPack(f"counter {counter['name']} is out of bounds")
        if len({counter["number"] for counter in counters}) != len(counters):
            raise InvalidPack("two counters have the same number")
        self.r.n_counters = len(counters)
        self.counters = tuple(dict(counter) for counter in counters)

    def _counter(self, int index):
        if not 0 <= index < self.r.n_counters:
            raise InvalidPack(f"counter {index} does not exist")
        return index

    def _compile_tiers(self, tiers):
        for index, tier in enumerate(tiers):
            self.r.tiers[index].counter, self.r.tiers[index].counter_min = tier.get("counter", -1), tier.get("counter_min", -1)
            if self.r.tiers[index].counter >= self.r.n_counters:
                raise InvalidPack("a tier names a counter that does not exist")
            self.r.tiers[index].spend_min_fen = tier.get("spend_min_fen", -1)
            self.r.tiers[index].orders_min = tier.get("orders_min", -1)
            self.r.tiers[index].points_min = tier.get("points_min", -1)
        self.r.n_tiers = len(tiers)
        self.tiers = tuple(tier["name"] for tier in tiers)

    def _compile_review(self, review):
        cdef Rules* r = &self.r
        r.review_per = _PERS[review["per"]] if review.get("per") else -1
        r.fall_to_balance = review.get("fall") == "balance"
        r.keep_at_return = review.get("returns") == "at-review"
        r.reviewed = review.get("number", 0)

    def _compile_predicates(self, predicates):
        cdef Predicate* p
        if len(predicates) > PREDICATES_MAX:
            raise InvalidPack(f"a pack has at most {PREDICATES_MAX} different conditions")
        words = {kind: {} for kind, code in _PREDICATES.items() if code == P_WORDS}
        campaigns = []
        self.tag_nots = 0
        for index, predicate in enumerate(predicates):
            p = &self.r.predicates[index]
            p.kind = _PREDICATES[predicate["kind"]]
            if p.kind == P_WORDS:
                bit = 1 << index
                if predicate["kind"] == "stock":
                    campaigns.append((bit, frozenset(predicate["values"])))
                if predicate["kind"] == "tag_not":
                    self.tag_nots |= bit
                meets = words[predicate["kind"]]
                for word in predicate["values"]:
                    meets[word] = meets.get(word, 0) | bit
            elif p.kind == P_BEFORE or p.kind == P_REACHED or p.kind == P_NTH:
                p.counter, p.low, p.high = predicate["values"]
                self._counter(p.counter)
            elif p.kind == P_FROM or p.kind == P_UNTIL or p.kind == P_POINTS_END:
                p.low = predicate["values"][0]
            elif p.kind == P_BIRTHDAY:
                p.low = predicate["values"] == ("month",)
            else:
                for value in predicate["values"]:
                    if not 0 <= value <= 31:
                        raise InvalidPack("a part of a date is out of bounds")
                    p.low |= <int64_t> 1 << <int> value
        self.r.n_predicates = len(predicates)
        self.predicates = tuple(dict(predicate) for predicate in predicates)
        self.campaigns = tuple(campaigns)
        self.events = frozenset(words["event"])
        self.words = words if any(words.values()) else {}

    cdef int _compile_conditions(self, Rule* c, rule) except -1:
        """What a rule, a coupon or a gift asks for before it acts."""
        cdef int index
        quotas = rule.get("quotas", ())
        if len(quotas) > QUOTAS_MAX:
            raise InvalidPack(f"rule {rule['name']} has more than {QUOTAS_MAX} quotas")
        for counter, units, limit in quotas:
            c.quotas[c.n_quotas].counter, c.quotas[c.n_quotas].units = self._counter(counter), bool(units)
            c.quotas[c.n_quotas].limit = admit_unsigned(limit)
            c.n_quotas += 1
        c.flags_all, c.flags_none = rule.get("flags", (0, 0))
        for index in rule.get("asks", ()):
            if not 0 <= index < self.r.n_predicates:
                raise InvalidPack(f"rule {rule['name']} asks for a condition that does not exist")
            c.asks[index >> 6] |= <uint64_t> 1 << (index & 63)
            c.asking = 1
        c.tiers = 0xFFFFFFFF
        if rule.get("tiers") is not None:
            c.tiers = 0
            for index in rule["tiers"]:
                if not 0 <= index < self.r.n_tiers:
                    raise InvalidPack(f"rule {rule['name']} names a tier that does not exist")
                c.tiers |= <uint32_t> 1 << index
        c.any_category = rule.get("categories") is None
        set_categories(c.categories, rule.get("categories") or (), len(self.categories))
        c.amount_min_fen, c.amount_max_fen = admit_unsigned(rule["amount_min_fen"]), admit_unsigned(rule["amount_max_fen"])
        return 0

    def _compile_rule(self, rule, int group):
        cdef Rule* c = &self.r.rules[self.r.n_rules]
        c.group = group
        c.counter = rule.get("counter", -1)
        c.effect, c.on = _EFFECTS[rule["effect"]], _ON[rule.get("on", "settle")]
        if c.effect in (RULE_STEP, RULE_PROMOTE, RULE_SCORE, RULE_PERIOD):
            self._counter(c.counter)
        c.given = self._counter(rule["given"]) if c.effect == RULE_PERIOD else -1
        c.award = rule.get("award", -1)
        if c.award >= <int> len(self.awards):
            raise InvalidPack(f"rule {rule['name']} names no award")
        c.own_end = "ends" in rule
        c.months, c.days = rule.get("ends", (0, 0))
        c.tier = rule.get("tier", 0)
        if not 0 <= c.tier < self.r.n_tiers:
            raise InvalidPack(f"rule {rule['name']} promotes to no tier")
        c.waives = bool(rule.get("waives"))
        self.r.waives |= c.waives
        c.max_fen = admit_unsigned(rule.get("max_fen", AMOUNT_LIMIT))
        self._compile_conditions(c, rule)
        c.earned_min = admit_unsigned(rule.get("earned_min", 0))
        c.pay, c.of = rule.get("pay", 1), rule.get("of", 1)
        c.purse = rule.get("purse", -1)
        if c.effect not in (RULE_DISCOUNT, RULE_PROMOTE, RULE_SCORE) and c.award < 0 and not 0 <= c.purse < self.r.n_purses:
            raise InvalidPack(f"rule {rule['name']} names no purse")
        if c.effect == RULE_DISCOUNT and not 0 <= c.pay <= c.of <= 10_000:
            raise InvalidPack(f"rule {rule['name']}: a rate is a fraction of at most 1 with a denominator of at most 10000")
        c.amount = admit_unsigned(rule.get("amount", 0))
        c.per_fen = admit_unsigned(rule.get("per_fen", 1))
        c.multiplier, c.multiplier_of = rule.get("multiplier", (1, 1))
        c.share, c.share_of = rule.get("max_share", (1, 1))
        c.units, c.worth_fen = admit_unsigned(rule.get("units", 1)), admit_unsigned(rule.get("worth_fen", 1))
        if min(c.of, c.multiplier_of, c.share_of, c.units, c.worth_fen) < 1 or (
                c.per_fen < 1 and c.effect not in (RULE_GIFT, RULE_SCORE, RULE_BONUS)):
            raise InvalidPack(f"rule {rule['name']} divides by nothing")
        if not 0 <= c.multiplier <= 10_000 or not c.share <= c.share_of <= 10_000 or c.multiplier_of > 10_000 or c.share < 0:
            raise InvalidPack(f"rule {rule['name']}: a multiplier or share is out of bounds")
        for name in rule.get("base", ("principal", "bonus", "outside", "further")):
            c.base |= _BASES[name]
        if c.effect in (RULE_REBATE, RULE_GIFT, RULE_PROMOTE, RULE_SCORE) and c.on == 0:
            self.r.gives = 1
        self._compile_ladder(rule)
        self.r.n_rules += 1

    def _compile_coupons(self, coupons):
        cdef Coupon* c
        cdef Purse* p
        if len(coupons) > COUPONS_MAX:
            raise InvalidPack(f"a pack has at most {COUPONS_MAX} kinds of coupon")
        self.r.coupons = <Coupon*> calloc(len(coupons) + 1, sizeof(Coupon))
        if self.r.coupons == NULL:
            raise MemoryError
        for index, coupon in enumerate(coupons):
            c = &self.r.coupons[index]
            p = &self.r.purses[PURSES_MAX + index]
            p.unit, p.role, p.months, p.days = COUPON, ROLE_COUPON, coupon["months"], coupon["days"]
            self._compile_conditions(&c.rule, coupon)
            c.takes = _TAKES[coupon["takes"]]
            c.spend_min_fen, c.off_fen = admit_unsigned(coupon["spend_min_fen"]), admit_unsigned(coupon["off_fen"])
            c.per_fen, c.max_fen = admit_unsigned(coupon["per_fen"]), admit_unsigned(coupon["max_fen"])
            c.pay, c.of = coupon["rate"]
            c.until, c.uses, c.per_ticket = coupon["until"], coupon["uses"], coupon["per_ticket"]
            c.stackable, c.kept, c.whole_only = coupon["stackable"], coupon["on_refund"] == "keep", coupon["partial_refund"] == "refused"
            c.bearer = _BEARERS[coupon["bearer"]]
            if not 0 <= c.pay <= c.of <= 10_000 or c.of < 1 or c.uses < 1 or c.per_ticket < 1:
                raise InvalidPack(f"coupon {coupon['name']} is out of bounds")
        self.r.n_coupons = len(coupons)
        self.coupons = tuple(dict(coupon) for coupon in coupons)

    def _compile_gifts(self, gifts):
        cdef Gift* c
        if len(gifts) > COUPONS_MAX:
            raise InvalidPack(f"a pack has at most {COUPONS_MAX} gifts")
        self.r.gifts = <Gift*> calloc(len(gifts) + 1, sizeof(Gift))
        if self.r.gifts == NULL:
            raise MemoryError
        for index, gift in enumerate(gifts):
            c = &self.r.gifts[index]
            self._compile_conditions(&c.rule, gift)
            c.points, c.cost_fen = admit_unsigned(gift["points"]), admit_unsigned(gift["cost_fen"])
            c.coupon, c.items, c.bearer = gift["coupon"], len(gift["items"]), _BEARERS[gift["bearer"]]
            if c.points < 1 or not -1 <= c.coupon < self.r.n_coupons or (c.coupon < 0) != (c.items > 0):
                raise InvalidPack(f"gift {gift['name']} is out of bounds")
        self.r.n_gifts = len(gifts)
        self.gifts = tuple(dict(gift) for gift in gifts)

    def _index_rules(self):
        cdef int place, n = 0
        order = sorted(range(self.r.n_rules), key=lambda i: -self.rules[i].get("priority", 0))
        for place in range(RULES_PLACES):
            self.r.first[place] = n
            for i in order:
                if self.r.rules[<int> i].effect + (0 if self.r.rules[<int> i].effect == RULE_BONUS else self.r.rules[<int> i].on) == place:
                    self.r.by_effect[n] = i
                    n += 1
        self.r.first[RULES_PLACES] = n

    def _combine_discounts(self):
        """Rates multiply, are compared and add up in any order to the same exact fraction, so what never changes is combined once."""
        cdef Rules* r = &self.r
        cdef Standing* cell
        cdef const Rule* rule
        cdef int tier, category, k
        r.n_categories = len(self.categories)
        r.standing = <Standing*> calloc(r.n_tiers * (r.n_categories + 1), sizeof(Standing))
        if r.standing == NULL:
            raise MemoryError
        for k in range(r.first[RULE_DISCOUNT], r.first[RULE_DISCOUNT + 1]):
            if asks_more(&r.rules[r.by_effect[k]]):
                r.asking[r.n_asking] = r.by_effect[k]
                r.n_asking += 1
        for tier in range(r.n_tiers):
            for category in range(-1, r.n_categories):
                cell = &r.standing[tier * (r.n_categories + 1) + category + 1]
                cell.rate = cc_rate_of(1, 1)
                for k in range(r.first[RULE_DISCOUNT], r.first[RULE_DISCOUNT + 1]):
                    rule = &r.rules[r.by_effect[k]]
                    if not asks_more(rule) and (rule.tiers >> tier) & 1 and (rule.any_category or covers(rule.categories, category)):
                        cell.count += 1
                        if cell.count <= RATES_MAX:
                            cell.rate = cc_stack(cell.rate, rule.pay, rule.of, r.stacking)

    def _compile_ladder(self, rule):
        cdef Rule* c = &self.r.rules[self.r.n_rules]
        ladder = rule.get("ladder", ())
        if len(ladder) > LADDER_MAX or (c.effect == RULE_REDEEM and not ladder):
            raise InvalidPack(f"rule {rule['name']}: a ladder has 1 to {LADDER_MAX} steps")
        for index, (units, price) in enumerate(ladder):
            c.ladder_units[index], c.ladder_price[index] = admit_unsigned(units), admit_unsigned(price)
        c.n_ladder = len(ladder)
        if rule.get("every"):
            c.every_units, c.every_price = admit_unsigned(rule["every"][0]), admit_unsigned(rule["every"][1])
            if c.every_price < 1:
                raise InvalidPack(f"rule {rule['name']}: a further step needs a price")

    def unit_of(self, int purse):
        return "coupon" if purse >= PURSES_MAX else self.purse_units[purse]

    def __reduce__(self):
        raise TypeError("a Programme is compiled from its pack")

    def __repr__(self):
        return f"Programme({self.name!r}, version={self.version})"


# ------------------------------------------------------------------ Doorways
def coupon_purse(int coupon):
    """The purse that lots of a kind of coupon lie in."""
    return PURSES_MAX + coupon


def expires_at(Programme programme not None, int64_t at, int months, int days):
    """When something granted at epoch second `at` lapses by the programme's calendar; 0 = never."""
    return expiry(&programme.r, at, months, days)


def voided_at(Programme programme not None, int purse, int64_t expires_at):
    """When a lot of a purse is voided; 0 = never."""
    if not (0 <= purse < programme.r.n_purses or 0 <= purse - PURSES_MAX < programme.r.n_coupons):
        raise IndexError(purse)
    return void_after(&programme.r, purse, expires_at)


def day_of(Programme programme not None, int64_t at):
    """Days since 1970-01-01 in the programme's own time."""
    return local_day(&programme.r, at)
