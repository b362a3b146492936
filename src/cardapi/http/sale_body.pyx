# cython: overflowcheck=False
"""The body of a plain sale in one pass over its bytes: strict JSON, its schema, the core's command and its packed meaning.

Overflow checks are off: every scan is bounded by `end`, numbers by their digits, and what is written by WRITTEN_MAX.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.ref cimport Py_INCREF

cimport cython
from cardcore.money cimport AMOUNT_LIMIT
from cardcore.settlement.model cimport LineIn
from cardcore.settlement.sale cimport Sale, plain_settle

cdef extern from "Python.h":
    str PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)

cdef enum:
    LINES_PLAIN = 32  # tickets with more lines are left to the other reader
    WORD_MAX = 64
    KEY_MAX = 255
    CARD_MIN = 8
    CARD_MAX = 32
    TENDER_MAX = 32
    QUANTITY_MAX = 1_000_000
    DIGITS_MAX = 16
    WRITTEN_MAX = 512 + LINES_PLAIN * 256  # of the packed meaning: names, numbers of at most 9 bytes, words

# Where a member's value goes; the bits of what was seen already.
cdef enum Member:
    CARD
    LINES
    POINTS
    SHORTFALL_TENDER
    SHORTFALL_MAX_FEN
    STORED_MAX_FEN
    EXPLAIN
    CLIENT_KEY
    AMOUNT_FEN
    QUANTITY
    CATEGORY
    SKU
    DISCOUNT_FEN
    COUPON_FEN
    OTHER

cdef struct Text:
    const uint8_t* at
    Py_ssize_t size

cdef struct LineText:
    int64_t amount_fen
    int64_t quantity
    int64_t discount_fen
    int64_t coupon_fen
    Text category
    Text sku

cdef struct SaleText:
    unsigned int seen
    int n_lines
    bint explain
    int64_t points
    int64_t shortfall_max_fen
    int64_t stored_max_fen
    Text card
    Text tender
    Text client_key
    LineText lines[LINES_PLAIN]

# What a string holds here: printable ASCII without the quote and the backslash. Other text is the other reader's business.
cdef bint PLAIN[256]
cdef int _byte
for _byte in range(256):
    PLAIN[_byte] = 0x20 <= _byte < 0x7F and _byte != 0x22 and _byte != 0x5C


# ---------------------------------------------------------------- reading. Each gives the place behind what it read, or NULL
cdef inline const uint8_t* blank(const uint8_t* p, const uint8_t* end) noexcept nogil:
    while p < end and (p[0] == 0x20 or p[0] == 0x0A or p[0] == 0x0D or p[0] == 0x09):
        p += 1
    return p


cdef inline const uint8_t* sign(const uint8_t* p, const uint8_t* end, uint8_t which) noexcept nogil:
    """`which` between blanks."""
    p = blank(p, end)
    if p == end or p[0] != which:
        return NULL
    return blank(p + 1, end)


cdef inline const uint8_t* string(const uint8_t* p, const uint8_t* end, Text* out, Py_ssize_t most) noexcept nogil:
    if p == end or p[0] != c'"':
        return NULL
    p += 1
    out.at = p
    while p < end and PLAIN[p[0]]:
        p += 1
    out.size = p - out.at
    if p == end or p[0] != c'"' or out.size > most:
        return NULL
    return p + 1


cdef inline const uint8_t* integer(const uint8_t* p, const uint8_t* end, int64_t* out, int64_t least, int64_t most) noexcept nogil:
    cdef int64_t value = 0
    cdef bint negative = p < end and p[0] == c'-'
    cdef const uint8_t* first
    if negative:
        p += 1
    first = p
    while p < end and c'0' <= p[0] <= c'9':
        if p - first == DIGITS_MAX:
            return NULL
        value = value * 10 + (p[0] - c'0')
        p += 1
    if p == first or (first[0] == c'0' and (p - first > 1 or negative)):
        return NULL
    if p < end and (p[0] == c'.' or p[0] == c'e' or p[0] == c'E'):
        return NULL
    out[0] = -value if negative else value
    return p if least <= out[0] <= most else NULL


cdef inline const uint8_t* truth(const uint8_t* p, const uint8_t* end, bint* out) noexcept nogil:
    if end - p >= 4 and memcmp(p, b"true", 4) == 0:
        out[0] = True
        return p + 4
    if end - p >= 5 and memcmp(p, b"false", 5) == 0:
        out[0] = False
        return p + 5
    return NULL


cdef inline bint is_name(const Text* name, const char* text, Py_ssize_t size) noexcept nogil:
    return name.size == size and memcmp(name.at, text, size) == 0


cdef Member member_of_sale(const Text* name) noexcept nogil:
    if is_name(name, b"card", 4):
        return CARD
    if is_name(name, b"lines", 5):
        return LINES
    if is_name(name, b"points", 6):
        return POINTS
    if is_name(name, b"client_key", 10):
        return CLIENT_KEY
    if is_name(name, b"explain", 7):
        return EXPLAIN
    if is_name(name, b"shortfall_tender", 16):
        return SHORTFALL_TENDER
    if is_name(name, b"shortfall_max_fen", 17):
        return SHORTFALL_MAX_FEN
    if is_name(name, b"stored_max_fen", 14):
        return STORED_MAX_FEN
    return OTHER


cdef Member member_of_line(const Text* name) noexcept nogil:
    if is_name(name, b"amount_fen", 10):
        return AMOUNT_FEN
    if is_name(name, b"quantity", 8):
        return QUANTITY
    if is_name(name, b"category", 8):
        return CATEGORY
    if is_name(name, b"sku", 3):
        return SKU
    if is_name(name, b"discount_fen", 12):
        return DISCOUNT_FEN
    if is_name(name, b"coupon_fen", 10):
        return COUPON_FEN
    return OTHER


cdef const uint8_t* line(const uint8_t* p, const uint8_t* end, LineText* out) noexcept nogil:
    """One object of `lines`; `p` stands behind its opening brace."""
    cdef unsigned int seen = 0
    cdef Text name
    cdef Member member
    out.quantity = 1
    out.discount_fen = 0
    out.coupon_fen = 0
    out.category.size = 0
    out.sku.size = 0
    while True:
        p = string(p, end, &name, WORD_MAX)
        if p == NULL:
            return NULL
        member = member_of_line(&name)
        p = sign(p, end, c':')
        if p == NULL or member == OTHER or seen >> member & 1:
            return NULL
        seen |= 1u << member
        if member == AMOUNT_FEN:
            p = integer(p, end, &out.amount_fen, 0, AMOUNT_LIMIT)
        elif member == QUANTITY:
            p = integer(p, end, &out.quantity, 1, QUANTITY_MAX)
        elif member == CATEGORY:
            p = string(p, end, &out.category, WORD_MAX)
        elif member == SKU:
            p = string(p, end, &out.sku, WORD_MAX)
        elif member == DISCOUNT_FEN:
            p = integer(p, end, &out.discount_fen, 0, AMOUNT_LIMIT)
        else:
            p = integer(p, end, &out.coupon_fen, 0, AMOUNT_LIMIT)
        if p == NULL:
            return NULL
        p = blank(p, end)
        if p == end:
            return NULL
        if p[0] == c'}':
            return p + 1 if seen >> AMOUNT_FEN & 1 else NULL
        p = sign(p, end, c',')
        if p == NULL:
            return NULL


cdef const uint8_t* lines(const uint8_t* p, const uint8_t* end, SaleText* out) noexcept nogil:
    p = sign(p, end, c'[')
    out.n_lines = 0
    while p != NULL:
        p = sign(p, end, c'{')
        if p == NULL or out.n_lines == LINES_PLAIN:
            return NULL
        p = line(p, end, &out.lines[out.n_lines])
        if p == NULL:
            return NULL
        out.n_lines += 1
        p = blank(p, end)
        if p < end and p[0] == c']':
            return p + 1
        p = sign(p, end, c',')
    return NULL


cdef const uint8_t* value_of(Member member, const uint8_t* p, const uint8_t* end, SaleText* out) noexcept nogil:
    if member == CARD:
        return string(p, end, &out.card, CARD_MAX)
    if member == LINES:
        return lines(p, end, out)
    if member == POINTS:
        return integer(p, end, &out.points, -1, AMOUNT_LIMIT)
    if member == CLIENT_KEY:
        return string(p, end, &out.client_key, KEY_MAX)
    if member == EXPLAIN:
        return truth(p, end, &out.explain)
    if member == SHORTFALL_TENDER:
        return string(p, end, &out.tender, TENDER_MAX)
    if member == SHORTFALL_MAX_FEN:
        return integer(p, end, &out.shortfall_max_fen, -1, AMOUNT_LIMIT)
    if member == STORED_MAX_FEN:
        return integer(p, end, &out.stored_max_fen, -1, AMOUNT_LIMIT)
    return NULL


cdef bint well_formed(const SaleText* s) noexcept nogil:
    """What a schema says of the words: a card is digits, a tender is a name."""
    cdef Py_ssize_t i
    cdef uint8_t c
    if not (s.seen >> CARD & 1 and s.seen >> LINES & 1) or s.card.size < CARD_MIN:
        return False
    for i in range(s.card.size):
        if not c'0' <= s.card.at[i] <= c'9':
            return False
    for i in range(s.tender.size):
        c = s.tender.at[i]
        if not (c'a' <= c <= c'z' or (i and (c'0' <= c <= c'9' or c == c'_'))):
            return False
    return s.client_key.size > 0 or not s.seen >> CLIENT_KEY & 1


cdef bint sale(const uint8_t* p, const uint8_t* end, SaleText* out) noexcept nogil:
    """The whole document; False when it is not a plain sale, be it wrong or only unusual."""
    cdef Text name
    cdef Member member
    out.seen = 0
    out.explain = False
    out.points = 0
    out.shortfall_max_fen = -1
    out.stored_max_fen = -1
    out.tender.size = 0
    out.client_key.size = 0
    p = sign(p, end, c'{')
    while p != NULL:
        p = string(p, end, &name, WORD_MAX)
        if p == NULL:
            return False
        member = member_of_sale(&name)
        p = sign(p, end, c':')
        if p == NULL or member == OTHER or out.seen >> member & 1:
            return False
        out.seen |= 1u << member
        p = value_of(member, p, end, out)
        if p == NULL:
            return False
        p = blank(p, end)
        if p < end and p[0] == c'}':
            return blank(p + 1, end) == end and well_formed(out)
        p = sign(p, end, c',')
    return False


# ---------------------------------------------------------------- packing. Each gives the place behind what it wrote
cdef inline uint8_t* put_name(uint8_t* out, const char* text, Py_ssize_t size) noexcept nogil:
    """A string of less than 32 bytes (MessagePack fixstr)."""
    out[0] = <uint8_t> (0xA0 | size)
    memcpy(out + 1, text, size)
    return out + 1 + size


cdef inline uint8_t* put_text(uint8_t* out, const Text* text) noexcept nogil:
    if text.size < 32:
        return put_name(out, <const char*> text.at, text.size)
    out[0] = 0xD9
    out[1] = <uint8_t> text.size
    memcpy(out + 2, text.at, text.size)
    return out + 2 + text.size


cdef inline uint8_t* put_number(uint8_t* out, int64_t value) noexcept nogil:
    """The shortest form; -1 is the only negative one here."""
    cdef int size
    cdef int i
    if value < 128:
        out[0] = <uint8_t> value
        return out + 1
    size = 1 if value < 1 << 8 else 2 if value < 1 << 16 else 4 if value < <int64_t> 1 << 32 else 8
    out[0] = 0xCC if size == 1 else 0xCD if size == 2 else 0xCE if size == 4 else 0xCF
    for i in range(size):
        out[1 + i] = <uint8_t> (<uint64_t> value >> (8 * (size - 1 - i)))
    return out + 1 + size


cdef uint8_t* put_line(uint8_t* out, const LineText* s) noexcept nogil:
    out[0] = 0x81 + (s.quantity != 1) + (s.category.size > 0) + (s.sku.size > 0) + (s.discount_fen != 0) + (s.coupon_fen != 0)
    out = put_number(put_name(out + 1, b"amount_fen", 10), s.amount_fen)
    if s.quantity != 1:
        out = put_number(put_name(out, b"quantity", 8), s.quantity)
    if s.category.size:
        out = put_text(put_name(out, b"category", 8), &s.category)
    if s.sku.size:
        out = put_text(put_name(out, b"sku", 3), &s.sku)
    if s.discount_fen:
        out = put_number(put_name(out, b"discount_fen", 12), s.discount_fen)
    if s.coupon_fen:
        out = put_number(put_name(out, b"coupon_fen", 10), s.coupon_fen)
    return out


cdef uint8_t* put_sale(uint8_t* out, const SaleText* s) noexcept nogil:
    """Members in the order of the schema, those at their default left out, as msgspec packs the struct (O2)."""
    cdef int i
    out[0] = 0x82 + (s.points != 0) + (s.tender.size > 0) + (s.shortfall_max_fen != -1) + (s.stored_max_fen != -1) + s.explain
    out = put_text(put_name(out + 1, b"card", 4), &s.card)
    out = put_name(out, b"lines", 5)
    if s.n_lines < 16:
        out[0] = <uint8_t> (0x90 | s.n_lines)
        out += 1
    else:
        out[0] = 0xDC
        out[1] = 0
        out[2] = <uint8_t> s.n_lines
        out += 3
    for i in range(s.n_lines):
        out = put_line(out, &s.lines[i])
    if s.points:
        out = put_number(put_name(out, b"points", 6), s.points)
    if s.tender.size:
        out = put_text(put_name(out, b"shortfall_tender", 16), &s.tender)
    if s.shortfall_max_fen != -1:
        out = put_number(put_name(out, b"shortfall_max_fen", 17), s.shortfall_max_fen)
    if s.stored_max_fen != -1:
        out = put_number(put_name(out, b"stored_max_fen", 14), s.stored_max_fen)
    if s.explain:
        out = put_name(out, b"explain", 7)
        out[0] = 0xC3
        out += 1
    return out


# ---------------------------------------------------------------- doorways
cdef inline str ascii(const Text* text):
    return PyUnicode_DecodeASCII(<const char*> text.at, text.size, NULL) if text.size else ""


cdef Sale command(const SaleText* s):
    cdef LineIn line_in[LINES_PLAIN]
    cdef tuple categories = PyTuple_New(s.n_lines)
    cdef str category
    cdef int i
    for i in range(s.n_lines):
        line_in[i].amount_fen = s.lines[i].amount_fen
        line_in[i].discount_fen = s.lines[i].discount_fen
        line_in[i].coupon_fen = s.lines[i].coupon_fen
        line_in[i].quantity = <int> s.lines[i].quantity
        category = ascii(&s.lines[i].category)
        Py_INCREF(category)
        PyTuple_SET_ITEM(categories, i, category)
    return plain_settle(
        line_in, s.n_lines, categories, s.points, ascii(&s.tender), s.shortfall_max_fen, s.stored_max_fen, s.explain
    )


@cython.final
cdef class PlainSale:
    cdef readonly str card
    cdef readonly str client_key
    cdef readonly bint explain
    cdef readonly bint why_not  # never: a sale that asks is not plain
    cdef readonly Sale command
    cdef readonly bytes meaning


cdef PlainSale take(data, bint keyed):
    cdef uint8_t written[WRITTEN_MAX]
    cdef uint8_t* behind
    cdef SaleText text
    cdef Py_buffer view
    cdef PlainSale out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if not sale(<const uint8_t*> view.buf, <const uint8_t*> view.buf + view.len, &text) or <bint> (text.seen >> CLIENT_KEY & 1) != keyed:
            return None
        out = PlainSale.__new__(PlainSale)
        out.card = ascii(&text.card)
        out.client_key = ascii(&text.client_key)
        out.explain = text.explain
        out.command = command(&text)
        memcpy(written, b"settle\0", 7)
        behind = put_sale(written + 7, &text)
        out.meaning = PyBytes_FromStringAndSize(<char*> written, behind - written)
        return out
    finally:
        PyBuffer_Release(&view)


def read(data):
    return take(data, False)


def read_ticket(data):
    return take(data, True)
