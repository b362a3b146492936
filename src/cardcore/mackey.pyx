# cython: overflowcheck=False
"""SHA-256, and HMAC with the key taken in once; see the stubs. Overflow checks are off: hashes wrap, sizes are those of objects."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

import hashlib

cdef extern from "crypto/kernels/sha256.h" nogil:
    enum:
        CC_SHA256_BLOCK
        CC_SHA256_SIZE

    ctypedef struct cc_sha256:
        uint32_t state[8]
        size_t length

    ctypedef void (*cc_sha256_compress)(uint32_t* state, const uint8_t* data, size_t blocks) noexcept nogil

    void cc_sha256_portable(uint32_t* state, const uint8_t* data, size_t blocks)
    void cc_sha256_ni(uint32_t* state, const uint8_t* data, size_t blocks)
    bint cc_sha256_has_ni()
    void cc_sha256_begin(cc_sha256* s)
    void cc_sha256_add(cc_sha256* s, cc_sha256_compress compress, const uint8_t* data, size_t size)
    void cc_sha256_end(cc_sha256* s, cc_sha256_compress compress, uint8_t* out)

cdef extern from "crypto/kernels/wipe.h" nogil:
    void cc_wipe(void* secret, size_t octets)

cdef cc_sha256_compress _compress = cc_sha256_ni if cc_sha256_has_ni() else cc_sha256_portable

KERNELS = ("sha-ni", "portable") if cc_sha256_has_ni() else ("portable",)


cdef void hash_with(cc_sha256_compress compress, const uint8_t* data, size_t size, uint8_t* digest) noexcept nogil:
    cdef cc_sha256 s
    cc_sha256_begin(&s)
    cc_sha256_add(&s, compress, data, size)
    cc_sha256_end(&s, compress, digest)


cdef void sha256(const uint8_t* data, size_t size, uint8_t* digest) noexcept nogil:
    hash_with(_compress, data, size, digest)


cdef void start(uint32_t* state, const uint8_t* key, uint8_t pad) noexcept nogil:
    """The state after one block of the key with `pad` over it (RFC 2104, 2)."""
    cdef uint8_t block[CC_SHA256_BLOCK]
    cdef cc_sha256 s
    cdef int i
    for i in range(CC_SHA256_BLOCK):
        block[i] = key[i] ^ pad
    cc_sha256_begin(&s)
    cc_sha256_add(&s, _compress, block, CC_SHA256_BLOCK)
    memcpy(state, s.state, sizeof(s.state))
    cc_wipe(block, sizeof(block))
    cc_wipe(&s, sizeof(s))


@cython.final
cdef class MacKey:
    def __init__(self, bytes key not None):
        cdef uint8_t block[CC_SHA256_BLOCK]
        cdef size_t size = PyBytes_GET_SIZE(key)
        cdef int i
        for i in range(CC_SHA256_BLOCK):
            block[i] = 0
        if size > CC_SHA256_BLOCK:
            sha256(<const uint8_t*> PyBytes_AS_STRING(key), size, block)
        else:
            memcpy(block, PyBytes_AS_STRING(key), size)
        start(self.inner, block, 0x36)
        start(self.outer, block, 0x5C)
        cc_wipe(block, sizeof(block))

    def __dealloc__(self):
        cc_wipe(self.inner, sizeof(self.inner))
        cc_wipe(self.outer, sizeof(self.outer))

    cdef void sign(
        self, const uint8_t* prefix, size_t prefix_size, const uint8_t* message, size_t message_size, uint8_t* mac
    ) noexcept nogil:
        """HMAC-SHA256 of `prefix` and `message` one behind the other, into the 32 bytes at `mac`."""
        cdef cc_sha256 s
        memcpy(s.state, self.inner, sizeof(s.state))
        s.length = CC_SHA256_BLOCK
        cc_sha256_add(&s, _compress, prefix, prefix_size)
        cc_sha256_add(&s, _compress, message, message_size)
        cc_sha256_end(&s, _compress, mac)
        memcpy(s.state, self.outer, sizeof(s.state))
        s.length = CC_SHA256_BLOCK
        cc_sha256_add(&s, _compress, mac, CC_SHA256_SIZE)
        cc_sha256_end(&s, _compress, mac)
        cc_wipe(&s, sizeof(s))

    def digest(self, bytes message not None):
        cdef uint8_t mac[CC_SHA256_SIZE]
        self.sign(NULL, 0, <const uint8_t*> PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), mac)
        return PyBytes_FromStringAndSize(<char*> mac, CC_SHA256_SIZE)

    def __repr__(self):
        return "MacKey(***)"

    def __reduce__(self):
        raise TypeError("a key is not pickled")


def digest(bytes message not None, str kernel not None=""):
    cdef uint8_t out[CC_SHA256_SIZE]
    cdef cc_sha256_compress compress = _compress
    if kernel and kernel not in KERNELS:
        raise ValueError(f"there is no {kernel!r} here")
    if kernel == "portable":
        compress = cc_sha256_portable
    hash_with(compress, <const uint8_t*> PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), out)
    return PyBytes_FromStringAndSize(<char*> out, CC_SHA256_SIZE)


def _self_test():
    """Known answers before anything is signed: every padding, one block and several."""
    message = bytes(range(256))
    for kernel in KERNELS:
        for size in (0, 3, 55, 56, 64, 119, 200, 256):
            if digest(message[:size], kernel) != hashlib.sha256(message[:size]).digest():
                raise ImportError(f"the {kernel} form of SHA-256 computes something else")


_self_test()
