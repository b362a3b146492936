/* AES with the CPU's own instructions, eight items interleaved so that the pipeline stays full. FIPS 197, NIST SP 800-38B.
 *
 * Compiled with function-level target attributes, called only where the CPU has AES-NI and SSSE3. The instructions take the
 * same time for every key and every block; S-box look-ups of the key schedule go through AESENCLAST too.
 */
#include "kernels.h"
#include "wipe.h"

#if CC_X86
#include <immintrin.h>

#define AES __attribute__((target("aes,ssse3,sse4.1")))
#define LANES 8
#define BLOCK 16

typedef struct {
    __m128i round[15][LANES];
    __m128i decrypt[15][LANES]; /* the equivalent inverse cipher, FIPS 197, 5.3.5 */
    __m128i state[LANES], last[LANES];
    __m128i word[2][60];        /* key schedule, one word of four items in each */
    uint8_t spare[LANES][32];   /* keys of a part batch, zero past its end */
} scratch;

static inline AES __m128i sub_words(__m128i words) {
    /* AESENCLAST with a zero key is ShiftRows then SubBytes: undo the shift first. */
    const __m128i unshift = _mm_setr_epi8(0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3);
    return _mm_aesenclast_si128(_mm_shuffle_epi8(words, unshift), _mm_setzero_si128());
}

/* Four items' key octets at..at+15 into four vectors, each one word of every item. */
static inline AES void columns(__m128i out[4], const uint8_t *const key[4], int at) {
    __m128i k[4];
    for (int i = 0; i < 4; i++) k[i] = _mm_loadu_si128((const __m128i *)(key[i] + at));
    __m128i a = _mm_unpacklo_epi32(k[0], k[1]), b = _mm_unpacklo_epi32(k[2], k[3]);
    __m128i c = _mm_unpackhi_epi32(k[0], k[1]), d = _mm_unpackhi_epi32(k[2], k[3]);
    out[0] = _mm_unpacklo_epi64(a, b);
    out[1] = _mm_unpackhi_epi64(a, b);
    out[2] = _mm_unpacklo_epi64(c, d);
    out[3] = _mm_unpackhi_epi64(c, d);
}

/* FIPS 197, 5.2, for four items a vector and two vectors at a time: word w of items 0..3 (4..7) in word[0][w] (word[1][w]). */
static inline __attribute__((always_inline)) AES int expand_words(scratch *s, const uint8_t *keys, size_t stride, int key_words,
                                                                  size_t items) {
    const __m128i rotate = _mm_setr_epi8(1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
    int rounds = key_words + 6;
    const uint8_t *key[LANES];
    for (size_t i = 0; i < LANES; i++) {
        key[i] = keys + i * stride;
        if (key_words != 6 && (i < items || stride == 0)) continue;
        memset(s->spare[i], 0, sizeof s->spare[i]);
        if (i < items || stride == 0) memcpy(s->spare[i], key[i], 4 * key_words);
        key[i] = s->spare[i];
    }
    for (int half = 0; 4 * half < key_words; half++) /* a 24-octet key reads past its end, into the zeros of `spare` */
        for (int h = 0; h < 2; h++) columns(&s->word[h][4 * half], key + 4 * h, 16 * half);
    int rcon = 1;
    __m128i last[2] = {s->word[0][key_words - 1], s->word[1][key_words - 1]};
    for (int w = key_words; w < 4 * (rounds + 1); w++)
        for (int h = 0; h < 2; h++) {
            __m128i t = last[h];
            if (w % key_words == 0) {
                t = _mm_xor_si128(sub_words(_mm_shuffle_epi8(t, rotate)), _mm_set1_epi32(rcon));
                if (h == 1) rcon = (rcon << 1) ^ (rcon >> 7) * 0x11B;
            } else if (key_words > 6 && w % key_words == 4) {
                t = sub_words(t);
            }
            last[h] = s->word[h][w] = _mm_xor_si128(s->word[h][w - key_words], t);
        }
    for (int r = 0; r <= rounds; r++)
        for (int h = 0; h < 2; h++) {
            __m128i *w = &s->word[h][4 * r];
            const uint8_t *const row[4] = {(uint8_t *)w, (uint8_t *)(w + 1), (uint8_t *)(w + 2), (uint8_t *)(w + 3)};
            columns(&s->round[r][4 * h], row, 0); /* back: the transposition is its own inverse */
        }
    return rounds;
}

/* One copy for each key length, so that the compiler sees its divisions and unrolls its loops. */
static AES int expand(scratch *s, const uint8_t *keys, size_t stride, int key_octets, size_t items) {
    if (key_octets == 16) return expand_words(s, keys, stride, 4, items);
    if (key_octets == 24) return expand_words(s, keys, stride, 6, items);
    return expand_words(s, keys, stride, 8, items);
}

static inline AES void encrypt(__m128i block[LANES], __m128i round[15][LANES], int rounds) {
    __m128i x[LANES]; /* a local copy stays in registers */
    for (int i = 0; i < LANES; i++) x[i] = _mm_xor_si128(block[i], round[0][i]);
    for (int r = 1; r < rounds; r++)
        for (int i = 0; i < LANES; i++) x[i] = _mm_aesenc_si128(x[i], round[r][i]);
    for (int i = 0; i < LANES; i++) block[i] = _mm_aesenclast_si128(x[i], round[rounds][i]);
}

static AES void decrypt(__m128i x[LANES], scratch *s, int rounds) {
    for (int r = 0; r <= rounds; r++)
        for (int i = 0; i < LANES; i++) {
            __m128i k = s->round[rounds - r][i];
            s->decrypt[r][i] = r == 0 || r == rounds ? k : _mm_aesimc_si128(k);
        }
    for (int i = 0; i < LANES; i++) x[i] = _mm_xor_si128(x[i], s->decrypt[0][i]);
    for (int r = 1; r < rounds; r++)
        for (int i = 0; i < LANES; i++) x[i] = _mm_aesdec_si128(x[i], s->decrypt[r][i]);
    for (int i = 0; i < LANES; i++) x[i] = _mm_aesdeclast_si128(x[i], s->decrypt[rounds][i]);
}

/* Multiplication by x in GF(2^128), most significant bit first: SP 800-38B, 6.1. */
static inline AES __m128i doubled(__m128i block) {
    const __m128i reverse = _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m128i v = _mm_shuffle_epi8(block, reverse);
    /* The top bit of each 32-bit part moves into the part above; that of the highest comes back as 87. */
    __m128i carry = _mm_shuffle_epi32(_mm_srai_epi32(v, 31), _MM_SHUFFLE(2, 1, 0, 3));
    carry = _mm_and_si128(carry, _mm_setr_epi32(0x87, 1, 1, 1));
    return _mm_shuffle_epi8(_mm_xor_si128(_mm_slli_epi32(v, 1), carry), reverse);
}

static AES void sub_keys(scratch *s, int rounds, int padded) {
    for (int i = 0; i < LANES; i++) s->last[i] = _mm_setzero_si128();
    encrypt(s->last, s->round, rounds);
    for (int i = 0; i < LANES; i++) {
        s->last[i] = doubled(s->last[i]);
        if (padded) s->last[i] = doubled(s->last[i]);
    }
}

static AES void run(const cc_job *job) {
    scratch s;
    int rounds = 0;
    for (size_t done = 0; done < job->items; done += LANES) {
        size_t items = job->items - done < LANES ? job->items - done : LANES;
        if (done == 0 || job->key_stride) {
            rounds = expand(&s, job->keys + done * job->key_stride, job->key_stride, job->key_octets, items);
            if (job->mac == CC_MAC_CMAC) sub_keys(&s, rounds, job->padded);
        }
        const uint8_t *message[LANES];
        for (size_t i = 0; i < LANES; i++) { /* lanes past the end repeat the last item */
            message[i] = job->messages + (done + (i < items ? i : items - 1)) * job->blocks * BLOCK;
            s.state[i] = _mm_setzero_si128();
        }
        for (size_t b = 0; b < job->blocks; b++) {
            for (int i = 0; i < LANES; i++) {
                s.state[i] = _mm_xor_si128(s.state[i], _mm_loadu_si128((const __m128i *)(message[i] + b * BLOCK)));
                if (job->mac == CC_MAC_CMAC && b + 1 == job->blocks) s.state[i] = _mm_xor_si128(s.state[i], s.last[i]);
            }
            encrypt(s.state, s.round, rounds);
        }
        for (size_t i = 0; i < items; i++) _mm_storeu_si128((__m128i *)(job->macs + (done + i) * BLOCK), s.state[i]);
    }
    cc_wipe(&s, sizeof s);
}

static AES void crypt_blocks(const uint8_t *keys, size_t key_stride, int key_octets, const uint8_t *in, uint8_t *out, size_t items,
                             int reverse) {
    scratch s;
    int rounds = 0;
    for (size_t done = 0; done < items; done += LANES) {
        size_t part = items - done < LANES ? items - done : LANES;
        if (done == 0 || key_stride) rounds = expand(&s, keys + done * key_stride, key_stride, key_octets, part);
        for (size_t i = 0; i < LANES; i++)
            s.state[i] = _mm_loadu_si128((const __m128i *)(in + (done + (i < part ? i : part - 1)) * BLOCK));
        if (reverse) decrypt(s.state, &s, rounds);
        else encrypt(s.state, s.round, rounds);
        for (size_t i = 0; i < part; i++) _mm_storeu_si128((__m128i *)(out + (done + i) * BLOCK), s.state[i]);
    }
    cc_wipe(&s, sizeof s);
}

static const cc_backend backend = {"aesni", LANES, run, crypt_blocks};

const cc_backend *cc_aes_ni(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") ? &backend : NULL;
}
#else
const cc_backend *cc_aes_ni(void) { return NULL; }
#endif
