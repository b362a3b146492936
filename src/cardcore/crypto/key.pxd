"""The key as other modules of this room see it: its octets, for the kernels and nobody else."""

from libc.stdint cimport uint8_t


cdef class Key:
    cdef uint8_t octets[32]
    cdef int length
    cdef readonly str algorithm
    cdef bytes known_check_value

    cdef const uint8_t *open(self) except NULL
