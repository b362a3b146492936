/* Bitsliced DES with 256-bit words. Compiled for AVX2 whatever the flags of the build are; called only where the CPU has it. */
#include "kernels.h"

#if CC_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

typedef uint64_t word __attribute__((vector_size(32), may_alias));
#define ELEMENTS 4
#define NAME "avx2"
#include "des_bitslice.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const cc_backend *cc_des_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? &backend : NULL;
}
#else
const cc_backend *cc_des_avx2(void) { return NULL; }
#endif
