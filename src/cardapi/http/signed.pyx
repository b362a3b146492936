# cython: overflowcheck=False
"""The Authorization header of a signed request, read in one pass, and the check of its MAC. Overflow checks are off: digits are counted."""

cimport cython
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from cardcore.mackey cimport MacKey, sha256

cdef extern from "Python.h":
    str PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)

cdef enum:
    SMALL = 768  # a message that fits here needs no memory of its own
    MAC_SIZE = 32
    MAC_DIGITS = 64
    SLUG_MAX = 32
    VERSION_DIGITS = 6
    TIME_DIGITS = 12
    NONCE_MIN = 16
    NONCE_MAX = 64

cdef const char* HEXADECIMAL = b"0123456789abcdef"

cdef enum Kind:
    SLUG = 1  # a-z 0-9 -
    DIGIT = 2
    NONCE = 4  # A-Z a-z 0-9 _ -
    HEX = 8  # 0-9 a-f

cdef uint8_t KINDS[256]
cdef int _byte
for _byte in range(256):
    KINDS[_byte] = 0
for _byte in b"abcdefghijklmnopqrstuvwxyz0123456789-":
    KINDS[_byte] |= SLUG
for _byte in b"0123456789":
    KINDS[_byte] |= DIGIT
for _byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-":
    KINDS[_byte] |= NONCE
for _byte in b"0123456789abcdef":
    KINDS[_byte] |= HEX

cdef struct Text:
    const uint8_t* at
    Py_ssize_t size


cdef const uint8_t* part(const uint8_t* p, const char* name, Py_ssize_t size, int kind, Py_ssize_t least, Py_ssize_t most, Text* out) noexcept:
    """`name` and then `least` to `most` characters of a kind; the place behind them, or NULL. The zero byte behind a bytes object ends it."""
    cdef Py_ssize_t i
    for i in range(size):  # not memcmp: nothing behind the end is looked at
        if p[i] != <uint8_t> name[i]:
            return NULL
    p += size
    out.at = p
    while KINDS[p[0]] & kind:
        p += 1
    out.size = p - out.at
    return p if least <= out.size <= most else NULL


cdef int64_t number(const Text* digits) noexcept:
    cdef int64_t value = 0
    cdef Py_ssize_t i
    for i in range(digits.size):
        value = value * 10 + (digits.at[i] - c'0')
    return value


cdef inline uint8_t* put(uint8_t* out, const void* data, Py_ssize_t size) noexcept:
    memcpy(out, data, size)
    out[size] = c'\n'
    return out + size + 1


@cython.final
cdef class Claim:
    cdef bytes header  # what the parts point into
    cdef Text time_
    cdef Text nonce_
    cdef Text mac_
    cdef readonly str terminal
    cdef readonly int version
    cdef readonly int64_t time

    @property
    def nonce(self):
        return PyBytes_FromStringAndSize(<const char*> self.nonce_.at, self.nonce_.size)

    def holds(self, MacKey key not None, bytes method not None, bytes target not None, bytes client_key not None, bytes body not None):
        cdef uint8_t small[SMALL]
        cdef uint8_t digest[MAC_SIZE]
        cdef uint8_t* text = small
        cdef uint8_t* out
        cdef int differs = 0
        cdef int i
        cdef Py_ssize_t size = (
            PyBytes_GET_SIZE(method) + PyBytes_GET_SIZE(target) + PyBytes_GET_SIZE(client_key) + TIME_DIGITS + NONCE_MAX + MAC_DIGITS + 32
        )
        if size > SMALL:
            text = <uint8_t*> malloc(size)
            if text == NULL:
                raise MemoryError
        out = put(text, b"cardcore-hmac-1", 15)
        out = put(out, PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method))
        out = put(out, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
        out = put(out, self.time_.at, self.time_.size)
        out = put(out, self.nonce_.at, self.nonce_.size)
        out = put(out, PyBytes_AS_STRING(client_key), PyBytes_GET_SIZE(client_key))
        sha256(<const uint8_t*> PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), digest)
        for i in range(MAC_SIZE):
            out[2 * i] = HEXADECIMAL[digest[i] >> 4]
            out[2 * i + 1] = HEXADECIMAL[digest[i] & 15]
        key.sign(NULL, 0, text, out + MAC_DIGITS - text, digest)
        if text != small:
            free(text)
        for i in range(MAC_SIZE):  # all of it, whatever was found before: the time says nothing
            differs |= HEXADECIMAL[digest[i] >> 4] ^ self.mac_.at[2 * i]
            differs |= HEXADECIMAL[digest[i] & 15] ^ self.mac_.at[2 * i + 1]
        return differs == 0


def read(bytes header not None):
    cdef const uint8_t* p = <const uint8_t*> PyBytes_AS_STRING(header)
    cdef const uint8_t* end = p + PyBytes_GET_SIZE(header)
    cdef Text name
    cdef Text version
    cdef Claim claim = Claim.__new__(Claim)
    p = part(p, b"Cardcore-HMAC terminal=", 23, SLUG, 1, SLUG_MAX, &name)
    if p == NULL or name.at[0] == c'-':
        return None
    p = part(p, b",version=", 9, DIGIT, 1, VERSION_DIGITS, &version)
    if p == NULL or version.at[0] == c'0':
        return None
    p = part(p, b",time=", 6, DIGIT, 1, TIME_DIGITS, &claim.time_)
    if p == NULL or claim.time_.at[0] == c'0':
        return None
    p = part(p, b",nonce=", 7, NONCE, NONCE_MIN, NONCE_MAX, &claim.nonce_)
    if p == NULL:
        return None
    p = part(p, b",mac=", 5, HEX, MAC_DIGITS, MAC_DIGITS, &claim.mac_)
    if p != end:
        return None
    claim.header = header
    claim.terminal = PyUnicode_DecodeASCII(<const char*> name.at, name.size, NULL)
    claim.version = <int> number(&version)
    claim.time = number(&claim.time_)
    return claim
