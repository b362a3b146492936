# cython: overflowcheck=False
"""Refuse JSON that two readers could read differently, before anything decodes it (threat model I, M2).

One pass over the bytes without the GIL: grammar of RFC 8259, UTF-8, plus what money needs on top: no key twice in an
object, no fraction, exponent, NaN or Infinity, integers of at most 19 digits, bounded depth and keys. What the values
mean is left to the decoder. Overflow checks are off here on purpose: indexes are bounded by the length, the hash wraps.
"""

from libc.string cimport memcmp
from libc.stdint cimport uint32_t

from cardcore.errors import CardcoreError

DEF_DEPTH = 8
DEF_KEYS = 64

cdef enum:
    DEPTH_LIMIT = 32  # of the fixed stacks below; `depth_max` and `keys_max` stay within
    KEYS_LIMIT = 1024
    DIGITS_MAX = 19

cdef enum Fault:
    NONE
    EMPTY
    SYNTAX
    TRUNCATED
    TRAILING
    DUPLICATE_KEY
    ESCAPED_KEY
    TOO_MANY_KEYS
    FRACTION
    EXPONENT
    NOT_A_NUMBER
    INTEGER_TOO_LONG
    TOO_DEEP
    INVALID_UTF8
    CONTROL_CHARACTER
    BAD_ESCAPE
    LONE_SURROGATE
    NUL_CHARACTER

# In the order of Fault.
CODES = (
    "",
    "json_empty",
    "json_syntax",
    "json_truncated",
    "json_trailing",
    "json_duplicate_key",
    "json_escaped_key",
    "json_too_many_keys",
    "json_fraction",
    "json_exponent",
    "json_not_a_number",
    "json_integer_too_long",
    "json_too_deep",
    "json_invalid_utf8",
    "json_control_character",
    "json_bad_escape",
    "json_lone_surrogate",
    "json_nul_character",
)


class StrictJsonError(CardcoreError, ValueError):
    """A body refused by the strict scan; `code` is one of CODES, `facts["offset"]` the byte where it went wrong."""

    def __init__(self, code, offset):
        super().__init__(f"{code.removeprefix('json_').replace('_', ' ')} at byte {offset}", offset=offset)
        self.code = code
        self.offset = offset


cdef struct Key:
    Py_ssize_t start
    Py_ssize_t length
    uint32_t hash

# PLAIN: a byte that needs no thought inside a string (ASCII, not a control, not a quote, not a backslash).
cdef unsigned char PLAIN[256]
cdef int _byte
for _byte in range(256):
    PLAIN[_byte] = 0x20 <= _byte < 0x80 and _byte != c'"' and _byte != c'\\'


cdef inline Py_ssize_t blank(const unsigned char* text, Py_ssize_t i) noexcept nogil:
    while text[i] == c' ' or text[i] == c'\n' or text[i] == c'\t' or text[i] == c'\r':
        i += 1
    return i


cdef inline int hexadecimal(unsigned char c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    if c'a' <= c <= c'f':
        return c - c'a' + 10
    if c'A' <= c <= c'F':
        return c - c'A' + 10
    return -1


cdef int hex4(const unsigned char* text, Py_ssize_t i, Py_ssize_t length) noexcept nogil:
    """The code unit of four hexadecimal digits, -1 if they are not, -2 if the text ends before. The NUL behind the text stops it."""
    cdef int value = 0
    cdef int digit
    cdef int step
    for step in range(4):
        digit = hexadecimal(text[i + step])
        if digit < 0:
            return -2 if i + step == length else -1
        value = value * 16 + digit
    return value


cdef Fault escape(const unsigned char* text, Py_ssize_t* at, Py_ssize_t length) noexcept nogil:
    """Step over one escape; `at` stands on the backslash."""
    cdef Py_ssize_t i = at[0]
    cdef unsigned char c = text[i + 1]
    cdef int unit
    if c != c'u':
        if c == c'"' or c == c'\\' or c == c'/' or c == c'b' or c == c'f' or c == c'n' or c == c'r' or c == c't':
            at[0] = i + 2
            return NONE
        return TRUNCATED if i + 1 == length else BAD_ESCAPE
    unit = hex4(text, i + 2, length)
    if unit < 0:
        return TRUNCATED if unit == -2 else BAD_ESCAPE
    if unit == 0:
        return NUL_CHARACTER
    i += 6
    if 0xD800 <= unit <= 0xDFFF:
        if i == length or (i + 1 == length and text[i] == c'\\'):
            return TRUNCATED
        if unit >= 0xDC00 or text[i] != c'\\' or text[i + 1] != c'u':
            return LONE_SURROGATE
        unit = hex4(text, i + 2, length)
        if unit == -2:
            return TRUNCATED
        if not 0xDC00 <= unit <= 0xDFFF:
            return LONE_SURROGATE
        i += 6
    at[0] = i
    return NONE


cdef Py_ssize_t utf8_step(const unsigned char* text, Py_ssize_t i) noexcept nogil:
    """Length of the well-formed UTF-8 sequence at `i` (Unicode 15, table 3-7), 0 if it is none."""
    cdef unsigned char a = text[i]
    cdef unsigned char low = 0x80
    cdef unsigned char high = 0xBF
    cdef Py_ssize_t more
    cdef Py_ssize_t step
    if 0xC2 <= a <= 0xDF:
        more = 1
    elif 0xE0 <= a <= 0xEF:
        more = 2
        if a == 0xE0:
            low = 0xA0
        elif a == 0xED:
            high = 0x9F
    elif 0xF0 <= a <= 0xF4:
        more = 3
        if a == 0xF0:
            low = 0x90
        elif a == 0xF4:
            high = 0x8F
    else:
        return 0
    if not low <= text[i + 1] <= high:
        return 0
    for step in range(2, more + 1):
        if not 0x80 <= text[i + step] <= 0xBF:
            return 0
    return more + 1


cdef Fault string(const unsigned char* text, Py_ssize_t* at, Py_ssize_t length, bint is_key, Key* key) noexcept nogil:
    """Step over a string; `at` stands on its opening quote. Fills `key` for an object's key."""
    cdef Py_ssize_t i = at[0] + 1
    cdef Py_ssize_t start = i
    cdef Py_ssize_t step
    cdef uint32_t mix
    cdef Fault fault
    while True:
        while PLAIN[text[i]]:
            i += 1
        at[0] = i
        if text[i] == c'"':
            break
        if text[i] == c'\\':
            if is_key:
                return ESCAPED_KEY
            fault = escape(text, at, length)
            if fault != NONE:
                return fault
            i = at[0]
        elif text[i] < 0x20:
            return TRUNCATED if i == length else CONTROL_CHARACTER
        else:
            step = utf8_step(text, i)
            if step == 0:
                return INVALID_UTF8
            i += step
    if is_key:
        key.start = start
        key.length = i - start
        mix = 2166136261  # FNV-1a: only to skip most comparisons, equality is decided on the bytes
        for step in range(start, i):
            mix = (mix ^ text[step]) * 16777619
        key.hash = mix
    at[0] = i + 1
    return NONE


cdef Fault number(const unsigned char* text, Py_ssize_t* at) noexcept nogil:
    cdef Py_ssize_t i = at[0]
    cdef Py_ssize_t first
    if text[i] == c'-':
        i += 1
    first = i
    while c'0' <= text[i] <= c'9':
        i += 1
    if i == first:
        at[0] = i
        return NOT_A_NUMBER if text[i] == c'I' else (TRUNCATED if text[i] == 0 else SYNTAX)
    if text[first] == c'0' and i > first + 1:
        at[0] = first
        return SYNTAX
    if text[i] == c'.':
        return FRACTION
    if text[i] == c'e' or text[i] == c'E':
        return EXPONENT
    if i - first > DIGITS_MAX:
        return INTEGER_TOO_LONG
    at[0] = i
    return NONE


cdef Fault word(const unsigned char* text, Py_ssize_t* at) noexcept nogil:
    cdef const unsigned char* here = text + at[0]
    if here[0] == c't' and here[1] == c'r' and here[2] == c'u' and here[3] == c'e':
        at[0] += 4
    elif here[0] == c'f' and here[1] == c'a' and here[2] == c'l' and here[3] == c's' and here[4] == c'e':
        at[0] += 5
    elif here[0] == c'n' and here[1] == c'u' and here[2] == c'l' and here[3] == c'l':
        at[0] += 4
    elif (here[0] == c'N' and here[1] == c'a') or (here[0] == c'I' and here[1] == c'n'):
        return NOT_A_NUMBER
    else:
        return TRUNCATED if here[0] == 0 else SYNTAX
    return NONE


cdef Fault member(
    const unsigned char* text, Py_ssize_t* where, Py_ssize_t length, Key* keys, int first, int* key_count, int keys_max
) noexcept nogil:
    """Step over a key and its colon; the keys of this object are keys[first:key_count], to which it is added."""
    cdef Key* new = &keys[key_count[0]]
    cdef int k
    cdef Fault fault
    if text[where[0]] != c'"':
        return TRUNCATED if where[0] == length else SYNTAX
    if key_count[0] - first >= keys_max or key_count[0] == KEYS_LIMIT:
        return TOO_MANY_KEYS
    fault = string(text, where, length, True, new)
    if fault != NONE:
        return fault
    for k in range(first, key_count[0]):
        if (
            keys[k].hash == new.hash
            and keys[k].length == new.length
            and memcmp(text + keys[k].start, text + new.start, new.length) == 0
        ):
            where[0] = new.start - 1
            return DUPLICATE_KEY
    key_count[0] += 1
    where[0] = blank(text, where[0])
    if text[where[0]] != c':':
        return TRUNCATED if where[0] == length else SYNTAX
    where[0] = blank(text, where[0] + 1)
    return NONE


cdef Fault scan(const unsigned char* text, Py_ssize_t length, int depth_max, int keys_max, Py_ssize_t* where) noexcept nogil:
    """The whole document. `where` is the offset reached: that of the fault when there is one."""
    cdef Key keys[KEYS_LIMIT + 1]  # of all objects that are open, outermost first
    cdef int first_key[DEPTH_LIMIT]  # index of the first key of each open object, -1 for an array
    cdef int key_count = 0
    cdef int depth = 0
    cdef bint opened = False  # just behind "{" or "[", where it may close at once
    cdef bint want_key = False
    cdef Fault fault
    where[0] = blank(text, 0)
    if where[0] == length:
        return EMPTY
    while True:
        # ---- a value, or the end of a container that has just been opened
        where[0] = blank(text, where[0])
        if opened and text[where[0]] == (c']' if first_key[depth - 1] < 0 else c'}'):
            opened = False
        else:
            opened = False
            if want_key:
                fault = member(text, where, length, keys, first_key[depth - 1], &key_count, keys_max)
                if fault != NONE:
                    return fault
                want_key = False
            if text[where[0]] == c'{' or text[where[0]] == c'[':
                if depth >= depth_max:
                    return TOO_DEEP
                want_key = text[where[0]] == c'{'
                first_key[depth] = key_count if want_key else -1
                depth += 1
                opened = True
                where[0] += 1
                continue
            if text[where[0]] == c'"':
                fault = string(text, where, length, False, NULL)
            elif text[where[0]] == c'-' or c'0' <= text[where[0]] <= c'9':
                fault = number(text, where)
            else:
                fault = TRUNCATED if where[0] == length else word(text, where)
            if fault != NONE:
                return fault
        # ---- behind a value: close what closes here, then a comma or the end
        while True:
            where[0] = blank(text, where[0])
            if depth == 0:
                return NONE if where[0] == length else TRAILING
            if text[where[0]] == (c']' if first_key[depth - 1] < 0 else c'}'):
                depth -= 1
                if first_key[depth] >= 0:
                    key_count = first_key[depth]
                where[0] += 1
                continue
            if text[where[0]] != c',':
                return TRUNCATED if where[0] == length else SYNTAX
            where[0] += 1
            want_key = first_key[depth - 1] >= 0
            break


# ---------------------------------------------------------------- doorways
def find(data, int depth_max=DEF_DEPTH, int keys_max=DEF_KEYS):
    if type(data) is not bytes:  # a bytes object ends in a NUL, on which the scan leans
        raise TypeError(f"data must be bytes, not {type(data).__name__}")
    if not (0 < depth_max <= DEPTH_LIMIT and 0 < keys_max <= KEYS_LIMIT):
        raise ValueError("depth_max or keys_max out of range")
    cdef const unsigned char* text = data
    cdef Py_ssize_t length = len(data)
    cdef Py_ssize_t where = 0
    cdef Fault fault
    with nogil:
        fault = scan(text, length, depth_max, keys_max, &where)
    return None if fault == NONE else (CODES[<int>fault], where)


def check(data, int depth_max=DEF_DEPTH, int keys_max=DEF_KEYS):
    found = find(data, depth_max, keys_max)
    if found is not None:
        raise StrictJsonError(*found)
