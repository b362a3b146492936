# cython: overflowcheck=False
"""The one writer of a ticket's JSON: `money_schemas.Ticket`, straight from the settlement's own records.

Made as Python objects first, an answer took 11 us, more than the decision, its entry and its chain together; this takes one.
Overflow checks are off: nothing is computed but sizes, of which each is bounded before its bytes are written.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from cardcore.settlement.model cimport LineOut, Settlement

from datetime import datetime, timedelta

import msgspec

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef object _encode = msgspec.json.Encoder().encode

cdef enum:
    FIRST_SIZE = 1_600
    DIGITS = 20  # of the longest int64, its sign included

cdef const char* HEXADECIMAL = b"0123456789abcdef"
cdef object _EPOCH = datetime(1970, 1, 1)

# The second written last: tills answer many tickets a second.
cdef int64_t _second = -(1 << 62)
cdef bytes _second_text = b""


cdef struct Out:
    char* data
    Py_ssize_t length
    Py_ssize_t cap


cdef int room(Out* out, Py_ssize_t more) except -1:
    cdef char* grown
    if out.length + more > out.cap:
        grown = <char*> realloc(out.data, (out.length + more) * 2)
        if grown == NULL:
            raise MemoryError
        out.data = grown
        out.cap = (out.length + more) * 2
    return 0


cdef int raw(Out* out, const char* text, Py_ssize_t size) except -1:
    room(out, size)
    memcpy(out.data + out.length, text, size)
    out.length += size
    return 0


cdef int name(Out* out, bytes text) except -1:
    """Punctuation and a field's name, as they stand."""
    return raw(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef int string(Out* out, str text) except -1:
    """A JSON string. Text that needs escapes goes through msgspec."""
    cdef Py_ssize_t size
    cdef Py_ssize_t i
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    for i in range(size):
        if <unsigned char> data[i] < 0x20 or data[i] == c'"' or data[i] == c'\\':
            return name(out, _encode(text))
    room(out, size + 2)
    out.data[out.length] = c'"'
    memcpy(out.data + out.length + 1, data, size)
    out.data[out.length + size + 1] = c'"'
    out.length += size + 2
    return 0


cdef int number(Out* out, int64_t value) except -1:
    cdef char digits[DIGITS]
    cdef int at = DIGITS
    cdef uint64_t rest = <uint64_t> value if value >= 0 else <uint64_t> 0 - <uint64_t> value
    while True:
        at -= 1
        digits[at] = <char> (c'0' + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if value < 0:
        at -= 1
        digits[at] = c'-'
    return raw(out, &digits[at], DIGITS - at)


cdef int hexadecimal(Out* out, uint64_t value, int digits) except -1:
    cdef int i
    room(out, digits)
    for i in range(digits):
        out.data[out.length + i] = HEXADECIMAL[(value >> (4 * (digits - 1 - i))) & 0xF]
    out.length += digits
    return 0


cdef int line_of(Out* out, LineOut* line) except -1:
    name(out, b'{"amount_fen":')
    number(out, line.amount_fen)
    name(out, b',"quantity":')
    number(out, line.quantity)
    name(out, b',"discount_fen":')
    number(out, line.discount_fen)
    name(out, b',"coupon_fen":')
    number(out, line.coupon_fen)
    name(out, b',"covered_fen":')
    number(out, line.covered_fen)
    name(out, b',"net_fen":')
    number(out, line.net_fen)
    return name(out, b'}')


cdef int totals_of(Out* out, Settlement s) except -1:
    name(out, b',"programme_version":')
    number(out, s.programme_version)
    name(out, b',"gross_fen":')
    number(out, s.t.gross_fen)
    name(out, b',"discount_fen":')
    number(out, s.t.discount_fen)
    name(out, b',"coupon_fen":')
    number(out, s.t.coupon_fen)
    name(out, b',"covered_fen":')
    number(out, s.t.covered_fen)
    name(out, b',"net_fen":')
    number(out, s.t.net_fen)
    name(out, b',"principal_fen":')
    number(out, s.t.principal_fen)
    name(out, b',"bonus_fen":')
    number(out, s.t.bonus_fen)
    name(out, b',"points_fen":')
    number(out, s.t.points_fen)
    name(out, b',"further_fen":')
    number(out, s.t.further_fen)
    name(out, b',"outside_fen":')
    number(out, s.t.outside_fen)
    name(out, b',"outside_tender":')
    string(out, s.outside_tender)
    name(out, b',"points_used":')
    number(out, s.t.points_used)
    name(out, b',"points_earned":')
    return number(out, s.t.points_earned)


cdef int time_of(Out* out, int64_t at_us) except -1:
    """ISO 8601 with offset, to the microsecond, without quotes."""
    global _second, _second_text
    cdef int64_t rest = at_us % 1_000_000
    cdef int64_t scale = 100_000
    if rest < 0:
        rest += 1_000_000
    cdef int64_t second = (at_us - rest) // 1_000_000
    if second != _second:
        _second_text = (_EPOCH + timedelta(seconds=second)).isoformat().encode()
        _second = second
    name(out, _second_text)
    name(out, b'.')
    room(out, 6)
    while scale:
        out.data[out.length] = <char> (c'0' + rest // scale % 10)
        out.length += 1
        scale //= 10
    return name(out, b'+00:00')


def time_text(int64_t at_us):
    cdef Out out
    out.length = 0
    out.cap = 64
    out.data = <char*> malloc(out.cap)
    if out.data == NULL:
        raise MemoryError
    try:
        time_of(&out, at_us)
        return out.data[:out.length].decode("ascii")
    finally:
        free(out.data)


cdef int head_of(
    Out* out, uint64_t partition, uint64_t position, str client_key, str verb, str outcome, str card, int64_t at_us
) except -1:
    name(out, b'{"ticket_id":"')
    if position:
        hexadecimal(out, partition, 2)
        name(out, b'-')
        hexadecimal(out, position, 12)
    name(out, b'","journal_position":')
    number(out, position)
    name(out, b',"client_key":')
    string(out, client_key)
    name(out, b',"verb":')
    string(out, verb)
    name(out, b',"outcome":')
    string(out, outcome)
    name(out, b',"card":')
    string(out, card)
    name(out, b',"at":"')
    time_of(out, at_us)
    return name(out, b'"')


def write(
    Settlement settlement not None, *, uint64_t partition, uint64_t position, int64_t at_us, str client_key not None,
    str verb not None, str outcome not None, str card not None, str programme not None, str tier not None, bint lines,
    receipt=(), explanation=(),
):
    cdef Out out
    cdef int i
    out.length = 0
    out.cap = FIRST_SIZE
    out.data = <char*> malloc(FIRST_SIZE)
    if out.data == NULL:
        raise MemoryError
    try:
        head_of(&out, partition, position, client_key, verb, outcome, card, at_us)
        name(&out, b',"programme":')
        string(&out, programme)
        totals_of(&out, settlement)
        name(&out, b',"tier":')
        string(&out, tier)
        name(&out, b',"balance_fen":')
        number(&out, settlement.t.after_money_fen)
        name(&out, b',"points":')
        number(&out, settlement.t.after_points)
        name(&out, b',"expires_at":')
        number(&out, settlement.t.expires_at)
        if settlement.document_code:
            name(&out, b',"document":')
            string(&out, settlement.document)
        if lines and settlement.n_lines:
            name(&out, b',"lines":[')
            for i in range(settlement.n_lines):
                if i:
                    name(&out, b',')
                line_of(&out, &settlement.lines_[i])
            name(&out, b']')
        if receipt:
            name(&out, b',"receipt":')
            name(&out, _encode(receipt))
        if explanation:
            name(&out, b',"explanation":')
            name(&out, _encode(explanation))
        name(&out, b'}')
        return PyBytes_FromStringAndSize(out.data, out.length)
    finally:
        free(out.data)
