# cython: overflowcheck=False
"""The head of one plain request, read in one pass (RFC 9112). What is not plain is left to the server's own parser.

Overflow checks are off: indexes are bounded by the length, and the zero byte behind every bytes object ends each scan.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

cdef enum:
    NAME_MAX = 64  # longer names are nothing we read, and are left to the other parser
    BODY_DIGITS = 7

cdef enum Meaning:
    OTHER
    AUTHORIZATION
    IDEMPOTENCY_KEY
    CONTENT_TYPE
    REQUEST_ID
    CONTENT_LENGTH
    STEERS

# Token characters in lower case (RFC 9110, 5.6.2), 0 for what no field name holds.
cdef unsigned char TOKEN[256]
# What a field value holds here: visible ASCII, space and tab. Others are legal but rare, and the other parser's business.
cdef unsigned char VALUE[256]
# What a target holds here: no query, nothing percent-encoded.
cdef unsigned char PATH[256]
cdef int _byte
for _byte in range(256):
    TOKEN[_byte] = 0
    VALUE[_byte] = 0x20 <= _byte < 0x7F or _byte == 9
    PATH[_byte] = 0
for _byte in b"abcdefghijklmnopqrstuvwxyz0123456789!#$&'*+-.^_`|~":
    TOKEN[_byte] = _byte
for _byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
    TOKEN[_byte] = _byte + 32
for _byte in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.~":
    PATH[_byte] = 1

MEANINGS = {
    b"authorization": AUTHORIZATION,
    b"idempotency-key": IDEMPOTENCY_KEY,
    b"content-type": CONTENT_TYPE,
    b"x-request-id": REQUEST_ID,
    b"content-length": CONTENT_LENGTH,
}
for _name in (b"connection", b"expect", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection", b"te", b"trailer"):
    MEANINGS[_name] = STEERS
cdef dict _meanings = MEANINGS


cdef int meaning(const unsigned char* name, Py_ssize_t length) except -1:
    cdef unsigned char lower[NAME_MAX]
    cdef Py_ssize_t i
    for i in range(length):
        lower[i] = TOKEN[name[i]]
    found = _meanings.get(PyBytes_FromStringAndSize(<char*> lower, length))
    return OTHER if found is None else <int> found


cdef Py_ssize_t size_of(const unsigned char* digits, Py_ssize_t length) noexcept:
    """The value of a Content-Length, -1 when it is not a plain small number."""
    cdef Py_ssize_t value = 0
    cdef Py_ssize_t i
    if not 1 <= length <= BODY_DIGITS:
        return -1
    for i in range(length):
        if not c'0' <= digits[i] <= c'9':
            return -1
        value = value * 10 + digits[i] - c'0'
    return value


def plain(bytes data not None):
    cdef const unsigned char* text = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t i = 5
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef Py_ssize_t name
    cdef Py_ssize_t name_length
    cdef Py_ssize_t size = -1
    cdef int what
    cdef list found = [None, None, None, None, None, None]
    if length < 40 or text[0] != c'P' or text[1] != c'O' or text[2] != c'S' or text[3] != c'T' or text[4] != c' ' or text[5] != c'/':
        return None
    while PATH[text[i]]:
        i += 1
    if length - i < 12 or data[i:i + 11] != b" HTTP/1.1\r\n":
        return None
    found[0] = PyBytes_FromStringAndSize(<char*> text + 5, i - 5)
    i += 11
    while text[i] != c'\r':
        name = i
        while TOKEN[text[i]]:
            i += 1
        name_length = i - name
        if text[i] != c':' or name_length == 0 or name_length > NAME_MAX:
            return None
        i += 1
        while text[i] == c' ' or text[i] == c'\t':
            i += 1
        start = i
        while VALUE[text[i]]:
            i += 1
        end = i
        if text[i] != c'\r' or text[i + 1] != c'\n':
            return None
        i += 2
        if end > start and (text[end - 1] == c' ' or text[end - 1] == c'\t'):
            return None
        what = meaning(text + name, name_length)
        if what == STEERS:
            return None
        if what == CONTENT_LENGTH:
            if size >= 0:
                return None
            size = size_of(text + start, end - start)
            if size < 0:
                return None
        elif what != OTHER:
            if found[what] is not None or end == start:
                return None
            found[what] = PyBytes_FromStringAndSize(<char*> text + start, end - start)
    if text[i + 1] != c'\n' or size < 0 or length - (i + 2) != size:
        return None
    found[5] = PyBytes_FromStringAndSize(<char*> text + i + 2, size)
    return found[0], found[1] or b"", found[2] or b"", found[3] or b"", found[4] or b"", found[5]
