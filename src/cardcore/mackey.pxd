"""Hashes and MACs for compiled code: bytes in, bytes out, without the interpreter lock."""

from libc.stdint cimport uint8_t, uint32_t


cdef class MacKey:
    cdef uint32_t inner[8]
    cdef uint32_t outer[8]

    cdef void sign(
        self, const uint8_t* prefix, size_t prefix_size, const uint8_t* message, size_t message_size, uint8_t* mac
    ) noexcept nogil

cdef void sha256(const uint8_t* data, size_t size, uint8_t* digest) noexcept nogil
