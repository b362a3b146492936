/* Bitsliced DES with 512-bit words. Compiled for AVX-512 (F) whatever the flags of the build are; called only where the CPU has it. */
#include "kernels.h"

#if CC_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif

typedef uint64_t word __attribute__((vector_size(64), may_alias));
#define ELEMENTS 8
#define NAME "avx512"
#include "des_bitslice.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const cc_backend *cc_des_avx512(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") ? &backend : NULL;
}
#else
const cc_backend *cc_des_avx512(void) { return NULL; }
#endif
