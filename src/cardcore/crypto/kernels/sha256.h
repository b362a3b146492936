/* SHA-256 (FIPS 180-4) for short messages from compiled code: no context to allocate, no library call, no interpreter lock.
 *
 * Two forms of the compression function, of which the CPU chooses: portable C, and the SHA extensions of x86 (SHA-NI), which
 * take a tenth of its time. No branch and no address depends on what is hashed.
 */
#ifndef CARDCORE_SHA256_H
#define CARDCORE_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"
#include "wipe.h"

enum { CC_SHA256_BLOCK = 64, CC_SHA256_SIZE = 32 };

typedef struct {
    uint32_t state[8];
    uint64_t length; /* octets taken in so far */
    uint8_t rest[CC_SHA256_BLOCK];
} cc_sha256;

typedef void (*cc_sha256_compress)(uint32_t state[8], const uint8_t *data, size_t blocks);

static const uint32_t CC_SHA256_START[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint32_t CC_SHA256_K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t cc_sha256_load(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void cc_sha256_store(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}

static inline uint32_t cc_sha256_turn(uint32_t v, int by) { return v >> by | v << (32 - by); }

/* FIPS 180-4, 6.2.2, with the names of the standard. */
static void cc_sha256_portable(uint32_t state[8], const uint8_t *data, size_t blocks) {
    uint32_t w[64];
    for (; blocks; blocks--, data += CC_SHA256_BLOCK) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
        for (int t = 0; t < 16; t++) w[t] = cc_sha256_load(data + 4 * t);
        for (int t = 16; t < 64; t++) {
            uint32_t s0 = cc_sha256_turn(w[t - 15], 7) ^ cc_sha256_turn(w[t - 15], 18) ^ w[t - 15] >> 3;
            uint32_t s1 = cc_sha256_turn(w[t - 2], 17) ^ cc_sha256_turn(w[t - 2], 19) ^ w[t - 2] >> 10;
            w[t] = w[t - 16] + s0 + w[t - 7] + s1;
        }
        for (int t = 0; t < 64; t++) {
            uint32_t sum1 = cc_sha256_turn(e, 6) ^ cc_sha256_turn(e, 11) ^ cc_sha256_turn(e, 25);
            uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + CC_SHA256_K[t] + w[t];
            uint32_t sum0 = cc_sha256_turn(a, 2) ^ cc_sha256_turn(a, 13) ^ cc_sha256_turn(a, 22);
            uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
    cc_wipe(w, sizeof w);
}

#if CC_X86
#include <cpuid.h>
#include <immintrin.h>

/* Intel SHA extensions: the instructions want the state as (a b e f) and (c d g h), and four words of the schedule at a time. */
__attribute__((target("sha,sse4.1,ssse3"))) static void cc_sha256_ni(uint32_t state[8], const uint8_t *data, size_t blocks) {
    const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(abcd, efgh, 8), cdgh = _mm_blend_epi16(efgh, abcd, 0xF0);
    for (; blocks; blocks--, data += CC_SHA256_BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
#pragma GCC unroll 16
        for (int t = 0; t < 16; t++) { /* four rounds each */
            __m128i *now = &w[t & 3], next = w[(t + 1) & 3], last = w[(t + 3) & 3];
            if (t < 4)
                *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * t)), big_endian);
            else
                *now = _mm_sha256msg2_epu32(
                    _mm_add_epi32(_mm_sha256msg1_epu32(*now, next), _mm_alignr_epi8(last, w[(t + 2) & 3], 4)), last);
            __m128i wk = _mm_add_epi32(*now, _mm_load_si128((const __m128i *)(CC_SHA256_K + 4 * t)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int cc_sha256_has_ni(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & 1u << 29)) return 0;
    __builtin_cpu_init();
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1");
}
#else
#define cc_sha256_ni cc_sha256_portable
static int cc_sha256_has_ni(void) { return 0; }
#endif

static inline void cc_sha256_begin(cc_sha256 *s) {
    memcpy(s->state, CC_SHA256_START, sizeof s->state);
    s->length = 0;
}

static inline void cc_sha256_add(cc_sha256 *s, cc_sha256_compress compress, const uint8_t *data, size_t size) {
    size_t held = s->length % CC_SHA256_BLOCK;
    if (!size) return; /* `data` may be no address at all */
    s->length += size;
    if (held) {
        size_t more = CC_SHA256_BLOCK - held;
        if (size < more) {
            memcpy(s->rest + held, data, size);
            return;
        }
        memcpy(s->rest + held, data, more);
        compress(s->state, s->rest, 1);
        data += more, size -= more;
    }
    if (size >= CC_SHA256_BLOCK) compress(s->state, data, size / CC_SHA256_BLOCK);
    memcpy(s->rest, data + size / CC_SHA256_BLOCK * CC_SHA256_BLOCK, size % CC_SHA256_BLOCK);
}

static inline void cc_sha256_end(cc_sha256 *s, cc_sha256_compress compress, uint8_t out[CC_SHA256_SIZE]) {
    size_t held = s->length % CC_SHA256_BLOCK;
    uint64_t bits = s->length * 8;
    s->rest[held++] = 0x80;
    if (held > CC_SHA256_BLOCK - 8) {
        memset(s->rest + held, 0, CC_SHA256_BLOCK - held);
        compress(s->state, s->rest, 1);
        held = 0;
    }
    memset(s->rest + held, 0, CC_SHA256_BLOCK - 8 - held);
    cc_sha256_store(s->rest + 56, (uint32_t)(bits >> 32));
    cc_sha256_store(s->rest + 60, (uint32_t)bits);
    compress(s->state, s->rest, 1);
    for (int i = 0; i < 8; i++) cc_sha256_store(out + 4 * i, s->state[i]);
}

#endif
