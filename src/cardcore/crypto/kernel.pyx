"""The doorway to the C kernels: checks shapes, lends pointers, releases the GIL. See `kernel.pyi`."""

cimport cython
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

import numpy as np

from cardcore.crypto.key cimport Key

from cardcore.crypto.errors import BackendUnavailable, InvalidCryptoInput, InvalidKey


cdef extern from "kernels/wipe.h" nogil:
    void cc_wipe(void *secret, size_t octets)

cdef extern from "kernels/kernels.h" nogil:
    ctypedef struct cc_job:
        const uint8_t *keys
        size_t key_stride
        int key_octets
        const uint8_t *factors
        int levels
        int mac

    ctypedef struct cc_backend:
        const char *name
        size_t lanes
        void (*crypt)(const uint8_t *keys, size_t key_stride, int key_octets, const uint8_t *blocks, uint8_t *out,
                      size_t items, int decrypt) noexcept nogil

    const cc_backend *cc_des_portable()
    const cc_backend *cc_des_avx2()
    const cc_backend *cc_des_avx512()
    const cc_backend *cc_aes_ni()

cdef extern from "kernels/batch.h" nogil:
    ctypedef struct cc_batch:
        cc_job job
        size_t block
        size_t items
        const uint8_t *messages
        size_t message_octets
        uint8_t prefix
        int has_prefix
        int padding
        size_t least
        uint8_t *macs
        const uint8_t *presented
        size_t presented_octets
        size_t first
        size_t step
        uint8_t *valid
        uint8_t *derived

    int cc_run_batch(const cc_backend *backend, const cc_batch *batch)


ITEMS_MAX = 1 << 26
MESSAGE_MAX = 1 << 16
LEVELS_MAX = 8

cdef dict MACS = {"cbc": 1, "folded": 2, "retail": 3, "cmac": 4}
cdef dict PADDINGS = {"zero": 1, "bit": 2, "cmac": 3}
cdef dict KEY_OCTETS = {"des": (8, 16, 24), "aes": (16, 24, 32)}
cdef dict BLOCKS = {"des": 8, "aes": 16}


cdef const cc_backend *find(str family, str name) except NULL:
    cdef const cc_backend *found = NULL
    if family == "des":
        if name == "portable":
            found = cc_des_portable()
        elif name == "avx2":
            found = cc_des_avx2()
        elif name == "avx512":
            found = cc_des_avx512()
    elif family == "aes" and name == "aesni":
        found = cc_aes_ni()
    if found is NULL:
        raise BackendUnavailable(f"no {family} backend {name!r} on this machine", family=family, backend=name)
    return found


def available(str family not None):
    names = {"des": ("avx512", "avx2", "portable"), "aes": ("aesni",)}[family]
    usable = []
    for name in names:
        try:
            find(family, name)
        except BackendUnavailable:
            continue
        usable.append(name)
    return tuple(usable)


def lanes(str family not None, str backend not None):
    return find(family, backend).lanes


@cython.final
cdef class Keys:
    """The keys of a batch for as long as it runs: one Key (copied, so that nobody wipes it meanwhile) or one row an item."""

    cdef uint8_t own[32]
    cdef const uint8_t[:, ::1] rows
    cdef const uint8_t *first
    cdef size_t stride
    cdef int octets

    def __cinit__(self, str family not None, object source not None, Py_ssize_t items):
        cdef Key key
        if type(source) is Key:
            key = source
            memcpy(self.own, key.open(), 32)
            if family != ("des" if key.algorithm in ("des", "tdes") else key.algorithm):
                raise InvalidKey(f"a {key.algorithm} key does not fit the {family} kernels", algorithm=key.algorithm)
            self.first, self.stride, self.octets = self.own, 0, key.length
            return
        self.rows = matrix(source, items, "keys")
        self.octets = <int>self.rows.shape[1]
        self.stride = <size_t>self.octets
        if self.octets not in KEY_OCTETS[family]:
            raise InvalidKey(f"{family} keys have no {self.octets} octets", octets=self.octets)
        self.first = &self.rows[0, 0] if items else self.own

    def __dealloc__(self):
        cc_wipe(self.own, sizeof(self.own))


cdef const uint8_t[:, ::1] matrix(object array, Py_ssize_t items, str what):
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 2:
        raise InvalidCryptoInput(f"{what} must be a two-dimensional uint8 array", what=what)
    if items >= 0 and array.shape[0] != items:
        raise InvalidCryptoInput(f"{what} has {array.shape[0]} rows, not {items}", what=what, rows=array.shape[0])
    if array.shape[0] > ITEMS_MAX or array.shape[1] > MESSAGE_MAX:
        raise InvalidCryptoInput(f"{what} is too large", what=what, rows=array.shape[0], octets=array.shape[1])
    return np.ascontiguousarray(array)


def macs(str family not None, str backend not None, keys not None, messages not None, *, str kind not None, str padding not None,
         int prefix=-1, int least=0, factors=None, presented=None, int first=0, int step=1):
    cdef const cc_backend *engine = find(family, backend)
    cdef const uint8_t[:, ::1] rows = matrix(messages, -1, "messages"), factor_rows, presented_rows
    cdef Py_ssize_t items = rows.shape[0]
    cdef Keys held = Keys(family, keys, items)
    cdef cc_batch batch
    cdef uint8_t[:, ::1] out
    cdef uint8_t[::1] valid
    cdef int failed

    memset(&batch, 0, sizeof(batch))
    batch.job.keys, batch.job.key_stride, batch.job.key_octets = held.first, held.stride, held.octets
    batch.job.mac, batch.padding = MACS[kind], PADDINGS[padding]
    batch.block, batch.items = BLOCKS[family], <size_t>items
    if kind in ("folded", "retail") and (family != "des" or held.octets != 16):
        raise InvalidKey(f"{kind} MACs need double-length TDES keys", octets=held.octets)
    batch.message_octets = <size_t>rows.shape[1]
    batch.has_prefix, batch.prefix, batch.least = prefix >= 0, <uint8_t>max(prefix, 0), <size_t>least
    if least % BLOCKS[family] or (least and rows.shape[1] + batch.has_prefix > least):
        raise InvalidCryptoInput("longer than the construction allows", octets=rows.shape[1], most=least)
    if factors is not None:
        factor_rows = levels_of(family, held.octets, factors, items)
        batch.job.levels = <int>(factor_rows.shape[1] // 8)
    result = np.zeros(items, np.bool_) if presented is not None else np.empty((items, BLOCKS[family]), np.uint8)
    if presented is not None:
        presented_rows = matrix(presented, items, "presented")
        if presented_rows.shape[1] < 4 or step < 1 or first < 0 or first + step * (presented_rows.shape[1] - 1) >= BLOCKS[family]:
            raise InvalidCryptoInput("presented MACs of no length the construction gives", octets=presented_rows.shape[1])
        batch.presented_octets, batch.first, batch.step = <size_t>presented_rows.shape[1], <size_t>first, <size_t>step
    if items == 0:
        return result
    # Empty messages have no address; any valid one does, nothing is read from it.
    batch.messages = &rows[0, 0] if rows.shape[1] else held.own
    if batch.job.levels:
        batch.job.factors = &factor_rows[0, 0]
    if presented is None:
        out = result
        batch.macs = &out[0, 0]
    else:
        valid = result.view(np.uint8)
        batch.presented, batch.valid = &presented_rows[0, 0], &valid[0]
    with nogil:
        failed = cc_run_batch(engine, &batch)
    if failed:
        raise MemoryError
    return result


cdef const uint8_t[:, ::1] levels_of(str family, int key_octets, object factors, Py_ssize_t items):
    cdef const uint8_t[:, ::1] rows = matrix(factors, items, "factors")
    if family != "des" or key_octets != 16:
        raise InvalidKey("PBOC diversification needs a double-length TDES key", octets=key_octets)
    if rows.shape[1] % 8 or not 8 <= rows.shape[1] <= 8 * LEVELS_MAX:
        raise InvalidCryptoInput(f"1 to {LEVELS_MAX} factors of 8 octets, not {rows.shape[1]} octets", octets=rows.shape[1])
    return rows


def diversify(str backend not None, keys not None, factors not None):
    cdef const cc_backend *engine = find("des", backend)
    cdef Py_ssize_t items = len(factors)
    cdef Keys held = Keys("des", keys, items)
    cdef const uint8_t[:, ::1] rows = levels_of("des", held.octets, factors, items)
    cdef cc_batch batch
    cdef uint8_t[:, ::1] out
    cdef int failed
    result = np.empty((items, 16), np.uint8)
    if items == 0:
        return result
    out = result
    memset(&batch, 0, sizeof(batch))
    batch.job.keys, batch.job.key_stride, batch.job.key_octets = held.first, held.stride, held.octets
    batch.job.factors, batch.job.levels = &rows[0, 0], <int>(rows.shape[1] // 8)
    batch.block, batch.items, batch.derived = 8, <size_t>items, &out[0, 0]
    with nogil:
        failed = cc_run_batch(engine, &batch)
    if failed:
        raise MemoryError
    return result


def crypt(str family not None, str backend not None, keys not None, blocks not None, bint decrypt=False):
    cdef const cc_backend *engine = find(family, backend)
    cdef const uint8_t[:, ::1] rows = matrix(blocks, -1, "blocks")
    cdef Keys held = Keys(family, keys, rows.shape[0])
    cdef size_t items = <size_t>rows.shape[0]
    cdef uint8_t[:, ::1] out
    cdef const uint8_t *source
    cdef uint8_t *target
    if rows.shape[1] != BLOCKS[family]:
        raise InvalidCryptoInput(f"one block of {BLOCKS[family]} octets an item", octets=rows.shape[1])
    result = np.empty((items, BLOCKS[family]), np.uint8)
    if items == 0:
        return result
    out = result
    source, target = &rows[0, 0], &out[0, 0]
    with nogil:
        engine.crypt(held.first, held.stride, held.octets, source, target, items, decrypt)
    return result
