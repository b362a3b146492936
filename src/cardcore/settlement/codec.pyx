"""Bytes of accounts and settlements: a version byte, then zigzag varints, canonical and self-delimiting (A2).

A record is read back only if every byte is what the writer would have written: overlong numbers, trailing bytes,
impossible counts and unknown codes raise InvalidRecord.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from cardcore.settlement.model cimport (
    Account, Counter, DRAWN, Hold, LineOut, LINES_MAX, Lot, Move, N_TOTALS, Note, OPEN_PAY, Owing, Posting, Settlement,
)
from cardcore.settlement.rules cimport COUPONS_MAX, PURSES_MAX

from cardcore.errors import InvalidRecord

cdef enum:
    # The second form of each is the first with counters behind it, the third of an account has what it owes in fen behind those, the
    # fourth what it owes of purses behind that; the third of a settlement has the document that a law asks for behind its counters. What
    # has none keeps the form before, so old and new bytes are equal.
    ACCOUNT_FORM = 0x41
    ACCOUNT_COUNTERS = 0x42
    ACCOUNT_OWED = 0x43
    ACCOUNT_OWING = 0x44
    SETTLEMENT_FORM = 0x53
    SETTLEMENT_MOVES = 0x54
    SETTLEMENT_DOCUMENT = 0x55
    COUNT_MAX = 100_000
    N_VERBS = 22
    N_UNITS = 7
    N_KINDS = 25
    N_ROLES = 24
    N_EFFECTS = 26
    N_DOCUMENTS = 5


cdef struct Out:
    uint8_t* data
    Py_ssize_t length
    Py_ssize_t cap


cdef struct In:
    const uint8_t* data
    Py_ssize_t length
    Py_ssize_t at


cdef int room(Out* out, Py_ssize_t more) except -1 nogil:
    cdef uint8_t* grown
    if out.length + more > out.cap:
        grown = <uint8_t*> realloc(out.data, (out.length + more) * 2)
        if grown == NULL:
            with gil:
                raise MemoryError
        out.data = grown
        out.cap = (out.length + more) * 2
    return 0


# Bits are meant to leave the top here.
@cython.overflowcheck(False)
cdef inline void put(Out* out, int64_t value) noexcept nogil:
    """Ten bytes of room must be there."""
    cdef uint64_t rest = (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)
    while rest >= 0x80:
        out.data[out.length] = <uint8_t> (rest | 0x80)
        out.length += 1
        rest >>= 7
    out.data[out.length] = <uint8_t> rest
    out.length += 1


@cython.overflowcheck(False)
cdef int64_t get(In* source) except? -7:
    cdef uint64_t rest = 0
    cdef int shift = 0
    cdef uint8_t byte
    while True:
        if source.at >= source.length:
            raise InvalidRecord("the record is truncated")
        byte = source.data[source.at]
        source.at += 1
        if shift == 63 and byte > 1:
            raise InvalidRecord("a number is too long")
        rest |= <uint64_t> (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise InvalidRecord("a number is not in its shortest form")
            break
        shift += 7
        if shift > 63:
            raise InvalidRecord("a number is too long")
    return <int64_t> (rest >> 1) ^ -<int64_t> (rest & 1)


cdef int64_t get_within(In* source, int64_t low, int64_t high) except? -7:
    cdef int64_t value = get(source)
    if value < low or value > high:
        raise InvalidRecord(f"a field of the record is out of bounds: {value}")
    return value


cdef int put_bytes(Out* out, bytes data) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    room(out, size + 10)
    put(out, size)
    memcpy(out.data + out.length, PyBytes_AS_STRING(data), size)
    out.length += size
    return 0


cdef bytes get_bytes(In* source):
    cdef int64_t size = get_within(source, 0, source.length - source.at)
    if size > source.length - source.at:
        raise InvalidRecord("the record is truncated")
    data = PyBytes_FromStringAndSize(<const char*> source.data + source.at, size)
    source.at += size
    return data


cdef int open_record(In* source, bytes data, int form, int longest) except -1:
    """Which of the forms it is: 0 for the first."""
    source.data = <const uint8_t*> PyBytes_AS_STRING(data)
    source.length = PyBytes_GET_SIZE(data)
    source.at = 1
    if source.length < 1 or not form <= source.data[0] <= longest:
        raise InvalidRecord("the record has an unknown form")
    return source.data[0] - form


cdef void* array(int64_t count, size_t size) except? NULL:
    cdef void* block
    if count == 0:
        return NULL
    block = malloc(count * size)
    if block == NULL:
        raise MemoryError
    memset(block, 0, count * size)
    return block


# ------------------------------------------------------------------ accounts
cdef bytes write_account(Account account):
    cdef Out out
    cdef int i, form
    cdef Lot* lot
    cdef Hold* hold
    out.cap = 178 + account.v.n_owing * 20 + account.v.n_lots * 80 + account.n_holds * 40 + account.n_counters * 20
    out.length = 1
    out.data = <uint8_t*> malloc(out.cap)
    if out.data == NULL:
        raise MemoryError
    form = ACCOUNT_COUNTERS if account.n_counters else ACCOUNT_FORM
    if account.v.owed_fen:
        form = ACCOUNT_OWED
    if account.v.n_owing:
        form = ACCOUNT_OWING
    out.data[0] = <uint8_t> form
    put(&out, account.v.account_id)
    put(&out, account.v.next_lot)
    put(&out, account.v.orders)
    put(&out, account.v.spend_fen)
    put(&out, account.v.points_earned)
    put(&out, account.v.owed_points)
    put(&out, account.v.on_card_fen)
    put(&out, account.v.tier)
    put(&out, account.v.base_tier)
    put(&out, account.v.n_lots)
    for i in range(account.v.n_lots):
        lot = &account.v.lots[i]
        put(&out, lot.lot_id)
        put(&out, lot.purse)
        put(&out, lot.amount)
        put(&out, lot.expires_at)
        put(&out, lot.paid_fen)
        put(&out, lot.of_units)
        put(&out, lot.used_on)
        put(&out, lot.used_times)
    put(&out, account.n_holds)
    for i in range(account.n_holds):
        hold = &account.holds_[i]
        put(&out, hold.position)
        put(&out, hold.amount_fen)
        put(&out, hold.expires_at)
        put(&out, hold.kind)
    if form >= ACCOUNT_COUNTERS:
        put(&out, account.n_counters)
    for i in range(account.n_counters):
        put(&out, account.counters_[i].counter)
        put(&out, account.counters_[i].period)
        put(&out, account.counters_[i].value)
    if form >= ACCOUNT_OWED:
        put(&out, account.v.owed_fen)
    if form == ACCOUNT_OWING:
        put(&out, account.v.n_owing)
    for i in range(account.v.n_owing):
        put(&out, account.v.owing[i].purse)
        put(&out, account.v.owing[i].amount)
    data = PyBytes_FromStringAndSize(<char*> out.data, out.length)
    free(out.data)
    return data


cdef int read_counters(Account account, In* source, int least) except -1:
    cdef int i, n = <int> get_within(source, least, COUNT_MAX)
    cdef Counter* c
    account.counters_ = <Counter*> array(n, sizeof(Counter))
    account.cap_counters = n
    for i in range(n):
        c = &account.counters_[i]
        c.counter = <int32_t> get_within(source, 1, 2147483647)
        c.period = <int32_t> get_within(source, -(1 << 30), 1 << 30)
        c.value = get_within(source, 1, 1 << 60)
        if i and (c.counter, c.period) <= (account.counters_[i - 1].counter, account.counters_[i - 1].period):
            raise InvalidRecord("the counters of an account are out of order")
        account.n_counters = i + 1
    return 0


cdef int read_owing(Account account, In* source) except -1:
    cdef int i, n = <int> get_within(source, 1, PURSES_MAX + COUPONS_MAX)
    account.v.owing = <Owing*> array(n, sizeof(Owing))
    account.v.cap_owing = n
    for i in range(n):
        account.v.owing[i].purse = <int32_t> get_within(source, 0, PURSES_MAX + COUPONS_MAX - 1)
        account.v.owing[i].amount = get_within(source, 1, 1 << 60)
        if i and account.v.owing[i].purse <= account.v.owing[i - 1].purse:
            raise InvalidRecord("what an account owes is out of order")
        account.v.n_owing = i + 1
    return 0


cdef int read_account(Account account, bytes data) except -1:
    cdef In source
    cdef int i, n
    cdef Lot* lot
    cdef int form = open_record(&source, data, ACCOUNT_FORM, ACCOUNT_OWING)
    account.v.account_id = get(&source)
    account.v.next_lot = get_within(&source, 1, 1 << 60)
    account.v.orders = get(&source)
    account.v.spend_fen = get(&source)
    account.v.points_earned = get(&source)
    account.v.owed_points = get_within(&source, 0, 1 << 60)
    account.v.on_card_fen = get_within(&source, 0, 1 << 60)
    account.v.tier = <int32_t> get_within(&source, 0, 31)
    account.v.base_tier = <int32_t> get_within(&source, 0, 31)
    n = <int> get_within(&source, 0, COUNT_MAX)
    account.reserve(n)
    for i in range(n):
        lot = &account.v.lots[i]
        memset(lot, 0, sizeof(Lot))
        lot.lot_id = get_within(&source, 1, account.v.next_lot - 1)
        if i and lot.lot_id <= account.v.lots[i - 1].lot_id:
            raise InvalidRecord("the lots of an account are out of order")
        lot.purse = <int32_t> get_within(&source, 0, PURSES_MAX + COUPONS_MAX - 1)
        lot.amount = get_within(&source, 1, 1 << 60)
        lot.expires_at = get(&source)
        lot.paid_fen = get_within(&source, 0, 1 << 60)
        lot.of_units = get_within(&source, 0, 1 << 60)
        lot.used_on = <int32_t> get_within(&source, 0, 1 << 30)
        lot.used_times = <int32_t> get_within(&source, 0, 2147483647)
        account.v.n_lots = i + 1
    n = <int> get_within(&source, 0, COUNT_MAX)
    for _ in range(n):
        account._open(get(&source), get(&source), get(&source), get_within(&source, 0, OPEN_PAY))
    if form:
        read_counters(account, &source, 1 if form == 1 else 0)
    if form >= 2:
        account.v.owed_fen = get_within(&source, 1 if form == 2 else 0, 1 << 60)
    if form == 3:
        read_owing(account, &source)
    if source.at != source.length:
        raise InvalidRecord("bytes follow the record")
    return 0


# ------------------------------------------------------------------ settlements
cdef void put_posting(Out* out, Posting* p) noexcept nogil:
    put(out, p.role)
    put(out, p.unit)
    put(out, p.source)
    put(out, p.target)
    put(out, p.amount)
    put(out, p.value_fen)
    put(out, p.purse)
    put(out, p.source_account)
    put(out, p.target_account)
    put(out, p.source_lot)
    put(out, p.target_lot)
    put(out, p.expires_at)
    put(out, p.paid_fen)
    put(out, p.of_units)
    put(out, p.used_on)
    put(out, p.line)
    put(out, p.undoes)


cdef int get_posting(In* source, Posting* p) except -1:
    p.role = <uint8_t> get_within(source, 0, N_ROLES - 1)
    p.unit = <uint8_t> get_within(source, 0, N_UNITS - 1)
    p.source = <uint8_t> get_within(source, 0, N_KINDS - 1)
    p.target = <uint8_t> get_within(source, 0, N_KINDS - 1)
    p.amount = get_within(source, 0, 1 << 60)
    p.value_fen = get_within(source, 0, 1 << 60)
    p.purse = <int32_t> get_within(source, -1, PURSES_MAX + COUPONS_MAX - 1)
    p.source_account = get(source)
    p.target_account = get(source)
    p.source_lot = get_within(source, 0, 1 << 60)
    p.target_lot = get_within(source, 0, 1 << 60)
    p.expires_at = get(source)
    p.paid_fen = get_within(source, 0, 1 << 60)
    p.of_units = get_within(source, 0, 1 << 60)
    p.used_on = <int32_t> get_within(source, 0, 1 << 30)
    p.line = <int32_t> get_within(source, -1, LINES_MAX)
    p.undoes = <int32_t> get_within(source, -1, COUNT_MAX)
    return 0


cdef bytes write_settlement(Settlement s):
    cdef Out out
    cdef int i
    cdef int64_t* totals = <int64_t*> &s.t
    cdef LineOut* line
    cdef Note* note
    cdef bytes tender = s.outside_tender.encode()
    out.cap = 400 + s.n_postings * 100 + s.n_lines * 60 + s.n_notes * 60
    out.length = 1
    out.data = <uint8_t*> malloc(out.cap)
    if out.data == NULL:
        raise MemoryError
    out.data[0] = SETTLEMENT_DOCUMENT if s.document_code else SETTLEMENT_MOVES if s.n_moves else SETTLEMENT_FORM
    put(&out, s.verb_code)
    put(&out, s.programme_version)
    put(&out, s.account_id)
    for i in range(N_TOTALS):
        put(&out, totals[i])
    put(&out, s.n_postings)
    for i in range(s.n_postings):
        room(&out, 170)
        put_posting(&out, &s.postings_[i])
    put(&out, s.n_lines)
    for i in range(s.n_lines):
        room(&out, 90)
        line = &s.lines_[i]
        put(&out, line.index)
        put(&out, line.quantity)
        put(&out, line.category)
        put(&out, line.flags)
        put(&out, line.amount_fen)
        put(&out, line.discount_fen)
        put(&out, line.coupon_fen)
        put(&out, line.covered_fen)
        put(&out, line.net_fen)
    put(&out, s.n_notes)
    for i in range(s.n_notes):
        room(&out, 70)
        note = &s.notes_[i]
        put(&out, note.effect)
        put(&out, note.rule)
        put(&out, note.line)
        put(&out, note.unit)
        put(&out, note.amount)
        put(&out, note.before)
        put(&out, note.after)
    room(&out, 10 + 11 * len(s.further_accounts))
    put(&out, len(s.further_accounts))
    for account_id in s.further_accounts:
        put(&out, account_id)
    put_bytes(&out, tender)
    put_bytes(&out, s.memo)
    room(&out, 20 + 50 * s.n_moves)
    if s.n_moves or s.document_code:
        put(&out, s.n_moves)
    for i in range(s.n_moves):
        put(&out, s.moves_[i].kind)
        put(&out, s.moves_[i].counter)
        put(&out, s.moves_[i].period)
        put(&out, s.moves_[i].since)
        put(&out, s.moves_[i].amount)
    if s.document_code:
        put(&out, s.document_code)
    data = PyBytes_FromStringAndSize(<char*> out.data, out.length)
    free(out.data)
    return data


cdef int read_moves(Settlement s, In* source, int least) except -1:
    cdef int n = <int> get_within(source, least, min(COUNT_MAX, source.length))
    cdef Move* m
    for _ in range(n):
        m = s.add_move()
        m.kind = <int32_t> get_within(source, 0, DRAWN)
        m.counter = <int32_t> get_within(source, 0, 2147483647)
        m.period = <int32_t> get_within(source, -(1 << 30), 1 << 30)
        m.since = <int32_t> get_within(source, -(1 << 30), 1 << 30)
        # A random number has the 62 bits that `Event` takes; all else is an amount.
        m.amount = get_within(source, 0, (1 << 62) - 1) if m.kind == DRAWN else get_within(source, -(1 << 60), 1 << 60)
    return 0


cdef int read_settlement(Settlement s, bytes data) except -1:
    cdef In source
    cdef int i, n
    cdef int64_t* totals = <int64_t*> &s.t
    cdef LineOut* line
    cdef Note* note
    cdef int form = open_record(&source, data, SETTLEMENT_FORM, SETTLEMENT_DOCUMENT)
    s.verb_code = <int> get_within(&source, 0, N_VERBS - 1)
    s.programme_version = <int> get_within(&source, 0, 1 << 30)
    s.account_id = get(&source)
    for i in range(N_TOTALS):
        totals[i] = get(&source)
    n = <int> get_within(&source, 0, min(COUNT_MAX, source.length))
    s.postings_ = <Posting*> array(n, sizeof(Posting))
    s.cap_postings = n
    for i in range(n):
        get_posting(&source, &s.postings_[i])
        s.n_postings = i + 1
    n = <int> get_within(&source, 0, LINES_MAX)
    s.lines_ = <LineOut*> array(n, sizeof(LineOut))
    for i in range(n):
        line = &s.lines_[i]
        line.index = <int32_t> get_within(&source, 0, LINES_MAX)
        line.quantity = <int32_t> get_within(&source, 0, 1 << 30)
        line.category = <int32_t> get_within(&source, -1, 1 << 30)
        line.flags = <int32_t> get_within(&source, 0, 1 << 30)
        line.amount_fen = get(&source)
        line.discount_fen = get(&source)
        line.coupon_fen = get(&source)
        line.covered_fen = get(&source)
        line.net_fen = get(&source)
        s.n_lines = i + 1
    n = <int> get_within(&source, 0, min(COUNT_MAX, source.length))
    s.notes_ = <Note*> array(n, sizeof(Note))
    s.cap_notes = n
    for i in range(n):
        note = &s.notes_[i]
        note.effect = <int32_t> get_within(&source, 0, N_EFFECTS - 1)
        note.rule = <int32_t> get_within(&source, -1, 1 << 30)
        note.line = <int32_t> get_within(&source, -1, LINES_MAX)
        note.unit = <int32_t> get_within(&source, 0, N_UNITS - 1)
        note.amount = get(&source)
        note.before = get(&source)
        note.after = get(&source)
        s.n_notes = i + 1
    n = <int> get_within(&source, 0, 100)
    s.further_accounts = tuple([get(&source) for _ in range(n)])
    try:
        s.outside_tender = get_bytes(&source).decode()
    except UnicodeDecodeError:
        raise InvalidRecord("a name in the record is not UTF-8") from None
    s.memo = get_bytes(&source)
    if form:
        read_moves(s, &source, 1 if form == 1 else 0)
    if form == 2:
        s.document_code = <int> get_within(&source, 1, N_DOCUMENTS - 1)
    if source.at != source.length:
        raise InvalidRecord("bytes follow the record")
    return 0
