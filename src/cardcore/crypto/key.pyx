"""A symmetric key that is hard to leak: it has no text form but its check value, and is overwritten when it goes.

What it cannot promise: copies made by the interpreter, by `cryptography` inside OpenSSL, or by the operating system (swap).
"""

cimport cython
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from cardcore.crypto.errors import InvalidKey


cdef extern from "kernels/wipe.h" nogil:
    void cc_wipe(void *secret, size_t octets)


cdef dict LENGTHS = {"des": (8,), "tdes": (16, 24), "aes": (16, 24, 32), "sm4": (16,)}


@cython.final
cdef class Loan:
    """The octets for the length of a `with` block, overwritten at its end."""

    cdef Key key
    cdef bytearray octets

    def __cinit__(self, Key key not None):
        self.key = key

    def __enter__(self):
        # Copied straight into the buffer that is wiped: a slice of the pointer would leave a bytes object behind.
        cdef const uint8_t *source = self.key.open()
        cdef uint8_t[::1] view
        self.octets = bytearray(self.key.length)
        view = self.octets
        memcpy(&view[0], source, self.key.length)
        return self.octets

    def __exit__(self, *_):
        wipe(self.octets)


@cython.final
cdef class Key:
    def __init__(self, str algorithm not None, octets not None):
        cdef const uint8_t[::1] view
        lengths = LENGTHS.get(algorithm)
        if lengths is None:
            raise InvalidKey(f"no key algorithm {algorithm!r}", algorithm=algorithm)
        view = memoryview(octets).cast("B")
        if view.shape[0] not in lengths:
            raise InvalidKey(f"{algorithm} keys have {' or '.join(map(str, lengths))} octets, not {view.shape[0]}",
                             algorithm=algorithm, octets=view.shape[0])
        # Wiped first: __init__ may be called again on a live key.
        cc_wipe(self.octets, sizeof(self.octets))
        memcpy(self.octets, &view[0], view.shape[0])
        self.length = <int>view.shape[0]
        self.algorithm = algorithm
        self.known_check_value = None

    def __dealloc__(self):
        cc_wipe(self.octets, sizeof(self.octets))

    @staticmethod
    def take(str algorithm not None, bytearray octets not None):
        try:
            return Key(algorithm, octets)
        finally:
            wipe(octets)

    cdef const uint8_t *open(self) except NULL:
        if self.length == 0:
            raise InvalidKey("this key has been wiped", algorithm=self.algorithm)
        return self.octets

    def lend(self):
        return Loan(self)

    def wipe(self):
        cc_wipe(self.octets, sizeof(self.octets))
        self.length = 0

    def fold(self):
        cdef uint8_t folded[8]
        cdef int i
        if self.algorithm != "tdes" or self.length == 24:
            raise InvalidKey("only a double-length TDES key folds", algorithm=self.algorithm)
        self.open()
        for i in range(8):
            folded[i] = self.octets[i] ^ self.octets[8 + i]
        try:
            return Key("des", <const uint8_t[:8]>folded)
        finally:
            cc_wipe(folded, sizeof(folded))

    @property
    def check_value(self):
        if self.known_check_value is None:
            from cardcore.crypto.cipher import check_value

            self.known_check_value = check_value(self)
        return self.known_check_value

    def __len__(self):
        return self.length

    def __eq__(self, other):
        cdef Key that
        cdef uint8_t difference = 0
        cdef int i
        if type(other) is not Key:
            return NotImplemented
        that = other
        if self.algorithm != that.algorithm or self.length != that.length or self.length == 0:
            return self is that
        for i in range(32):
            difference |= self.octets[i] ^ that.octets[i]
        return difference == 0

    # Equal by content, so not hashable by identity; nobody needs keys in sets.
    __hash__ = None

    def __repr__(self):
        if self.length == 0:
            return f"Key({self.algorithm}, wiped)"
        return f"Key({self.algorithm}-{self.length * 8}, check value {self.check_value.hex().upper()})"

    def __reduce_ex__(self, protocol):
        raise TypeError("a key is neither copied nor pickled")


def wipe(octets not None):
    cdef uint8_t[::1] view = memoryview(octets).cast("B")
    if view.shape[0]:
        cc_wipe(&view[0], <size_t>view.shape[0])
