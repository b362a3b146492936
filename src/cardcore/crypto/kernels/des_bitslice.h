/* DES and triple DES, bitsliced: bit number b of every item in the batch sits in word b, so one logic instruction works on
 * `LANES` items. Included once for each instruction set by a file that defines:
 *
 *   word      the vector type, a GNU C vector of uint64_t or uint64_t itself
 *   ELEMENTS  how many uint64_t a word holds (LANES = 64 * ELEMENTS)
 *   BACKEND   the name of the cc_backend to define, NAME its printed name
 *
 * Bits are numbered 0..63 here, 0 the most significant of the first octet: FIPS 46-3 counts the same way from 1.
 */
#include "kernels.h"
#include "wipe.h"

#define LANES (64 * ELEMENTS)

#include "des_sboxes.h"

typedef word planes[64];

/* FIPS 46-3 tables, counted from 0. */
static const uint8_t IP[64] = {
    57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
    56, 48, 40, 32, 24, 16, 8, 0, 58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6};
static const uint8_t PC1[56] = {
    56, 48, 40, 32, 24, 16, 8, 0, 57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35,
    62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 60, 52, 44, 36, 28, 20, 12, 4, 27, 19, 11, 3};
static const uint8_t PC2[48] = {
    13, 16, 10, 23, 0, 4, 2, 27, 14, 5, 20, 9, 22, 18, 11, 3, 25, 7, 15, 6, 26, 19, 12, 1,
    40, 51, 30, 36, 46, 54, 29, 39, 50, 44, 32, 47, 43, 48, 38, 55, 33, 52, 45, 41, 49, 35, 28, 31};
static const uint8_t SHIFTED[16] = {1, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 28};

/* Which key bit feeds which S-box input in which round: the whole key schedule is wiring. */
static void wire_key(uint8_t wires[16][48]) {
    for (int round = 0; round < 16; round++)
        for (int i = 0; i < 48; i++) {
            int half = PC2[i] / 28, place = (PC2[i] % 28 + SHIFTED[round]) % 28;
            wires[round][i] = PC1[28 * half + place];
        }
}

/* 64 x 64 bit matrix transposition in each 64-bit element at once (Warren, Hacker's Delight, 7-3). Its own inverse. */
static void transpose(planes x) {
    uint64_t mask = 0x00000000FFFFFFFFull;
    for (int width = 32; width; width >>= 1, mask ^= mask << width)
        for (int k = 0; k < 64; k = ((k | width) + 1) & ~width) {
            word swap = (x[k] ^ (x[k | width] >> width)) & mask;
            x[k] ^= swap;
            x[k | width] ^= swap << width;
        }
}

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static void store64(uint8_t *p, uint64_t v) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, 8);
}

/* `items` blocks of 8 octets, `stride` apart, into planes; lanes past the end hold zero. Stride 0 puts one block in every lane. */
static void load(planes x, const uint8_t *blocks, size_t stride, size_t items) {
    uint64_t *rows = (uint64_t *)x;
    if (stride == 0) {
        uint64_t block = load64(blocks);
        for (int bit = 0; bit < 64; bit++)
            for (int e = 0; e < ELEMENTS; e++) rows[bit * ELEMENTS + e] = 0 - (block >> (63 - bit) & 1);
        return;
    }
    for (size_t i = 0; i < LANES; i++)
        rows[(i & 63) * ELEMENTS + (i >> 6)] = i < items ? load64(blocks + i * stride) : 0;
    transpose(x);
}

/* The reverse of `load`; x is left transposed. */
static void store(planes x, uint8_t *blocks, size_t stride, size_t items) {
    const uint64_t *rows = (const uint64_t *)x;
    transpose(x);
    for (size_t i = 0; i < items; i++) store64(blocks + i * stride, rows[(i & 63) * ELEMENTS + (i >> 6)]);
}

/* One S-box: six bits of R (expansion E) with six of the round key, four bits added to L (permutation P). */
#define BOX(n, r1, r2, r3, r4, r5, r6, l1, l2, l3, l4)                                                                       \
    s##n(right[r1] ^ key[wire[6 * n - 6]], right[r2] ^ key[wire[6 * n - 5]], right[r3] ^ key[wire[6 * n - 4]],                \
         right[r4] ^ key[wire[6 * n - 3]], right[r5] ^ key[wire[6 * n - 2]], right[r6] ^ key[wire[6 * n - 1]],                \
         &left[l1], &left[l2], &left[l3], &left[l4])

static inline void des_round(word *restrict left, const word *restrict right, const word *restrict key, const uint8_t *wire) {
    BOX(1, 31, 0, 1, 2, 3, 4, 8, 16, 22, 30);
    BOX(2, 3, 4, 5, 6, 7, 8, 12, 27, 1, 17);
    BOX(3, 7, 8, 9, 10, 11, 12, 23, 15, 29, 5);
    BOX(4, 11, 12, 13, 14, 15, 16, 25, 19, 9, 0);
    BOX(5, 15, 16, 17, 18, 19, 20, 7, 13, 24, 2);
    BOX(6, 19, 20, 21, 22, 23, 24, 3, 28, 10, 18);
    BOX(7, 23, 24, 25, 26, 27, 28, 31, 11, 21, 6);
    BOX(8, 27, 28, 29, 30, 31, 0, 4, 26, 14, 20);
}

typedef struct {
    uint8_t wires[16][48];
    planes key[3];     /* the key of each item: single, double or triple length */
    planes left, right;/* of diversification, before they become the key */
    planes state, chain, factor;
    word halves[2][32];
} scratch;

static void des(scratch *s, word *block, const word *key, int decrypt) {
    word *left = s->halves[0], *right = s->halves[1];
    for (int i = 0; i < 32; i++) {
        left[i] = block[IP[i]];
        right[i] = block[IP[32 + i]];
    }
    for (int round = 0; round < 16; round += 2) {
        des_round(left, right, key, s->wires[decrypt ? 15 - round : round]);
        des_round(right, left, key, s->wires[decrypt ? 14 - round : round + 1]);
    }
    /* No exchange after the last round, then the inverse of IP. */
    for (int i = 0; i < 32; i++) {
        block[IP[i]] = right[i];
        block[IP[32 + i]] = left[i];
    }
}

/* E, or EDE with two or three keys (NIST SP 800-67). */
static void cipher(scratch *s, word *block, planes *key, int key_octets, int decrypt) {
    if (key_octets == 8) {
        des(s, block, key[0], decrypt);
        return;
    }
    int outer = key_octets == 24 ? 2 : 0;
    des(s, block, key[decrypt ? outer : 0], decrypt);
    des(s, block, key[1], !decrypt);
    des(s, block, key[decrypt ? 0 : outer], decrypt);
}

static void load_key(scratch *s, const uint8_t *keys, size_t stride, int key_octets, size_t items) {
    for (int part = 0; part * 8 < key_octets; part++) load(s->key[part], keys + part * 8, stride, items);
}

/* One level of PBOC diversification: the key becomes TDES(key, F) || TDES(key, NOT F). */
static void diversify(scratch *s, const uint8_t *factors, size_t stride, size_t items) {
    load(s->factor, factors, stride, items);
    for (int i = 0; i < 64; i++) {
        s->left[i] = s->factor[i];
        s->right[i] = ~s->factor[i];
    }
    cipher(s, s->left, s->key, 16, 0);
    cipher(s, s->right, s->key, 16, 0);
    memcpy(s->key[0], s->left, sizeof(planes));
    memcpy(s->key[1], s->right, sizeof(planes));
}

/* CMAC sub-key K1 or K2 into s->chain: the encrypted zero block doubled once or twice in GF(2^64), SP 800-38B, 6.1. */
static void sub_key(scratch *s, int key_octets, int doublings) {
    memset(s->chain, 0, sizeof(planes));
    cipher(s, s->chain, s->key, key_octets, 0);
    while (doublings--) {
        word carry = s->chain[0];
        for (int i = 0; i < 63; i++) s->chain[i] = s->chain[i + 1];
        s->chain[63] = carry; /* 1B = bits 59, 60, 62, 63 */
        s->chain[62] ^= carry;
        s->chain[60] ^= carry;
        s->chain[59] ^= carry;
    }
}

static void mac(scratch *s, const cc_job *job, const uint8_t *messages, size_t items) {
    int key_octets = job->key_octets, retail = job->mac == CC_MAC_RETAIL;
    if (job->mac == CC_MAC_FOLDED) {
        for (int i = 0; i < 64; i++) s->key[0][i] ^= s->key[1][i];
        key_octets = 8;
    }
    if (job->mac == CC_MAC_CMAC) sub_key(s, key_octets, job->padded ? 2 : 1);
    memset(s->state, 0, sizeof(planes));
    for (size_t b = 0; b < job->blocks; b++) {
        load(s->factor, messages + 8 * b, 8 * job->blocks, items);
        for (int i = 0; i < 64; i++) s->state[i] ^= s->factor[i];
        if (job->mac == CC_MAC_CMAC && b + 1 == job->blocks)
            for (int i = 0; i < 64; i++) s->state[i] ^= s->chain[i];
        if (retail) des(s, s->state, s->key[0], 0);
        else cipher(s, s->state, s->key, key_octets, 0);
    }
    if (retail) { /* output transformation 3: decrypt under the right half, encrypt under the left */
        des(s, s->state, s->key[1], 1);
        des(s, s->state, s->key[0], 0);
    }
}

static void run(const cc_job *job) {
    scratch s;
    wire_key(s.wires);
    for (size_t done = 0; done < job->items; done += LANES) {
        size_t items = job->items - done < LANES ? job->items - done : LANES;
        load_key(&s, job->keys + done * job->key_stride, job->key_stride, job->key_octets, items);
        for (int level = 0; level < job->levels; level++)
            diversify(&s, job->factors + 8 * (done * job->levels + level), 8 * job->levels, items);
        if (job->derived) {
            memcpy(s.state, s.key[0], sizeof(planes));
            store(s.state, job->derived + 16 * done, 16, items);
            memcpy(s.state, s.key[1], sizeof(planes));
            store(s.state, job->derived + 16 * done + 8, 16, items);
        }
        if (job->mac != CC_MAC_NONE) {
            mac(&s, job, job->messages + 8 * job->blocks * done, items);
            store(s.state, job->macs + 8 * done, 8, items);
        }
    }
    cc_wipe(&s, sizeof s);
}

static void crypt_blocks(const uint8_t *keys, size_t key_stride, int key_octets, const uint8_t *in, uint8_t *out, size_t items,
                         int decrypt) {
    scratch s;
    wire_key(s.wires);
    for (size_t done = 0; done < items; done += LANES) {
        size_t part = items - done < LANES ? items - done : LANES;
        load_key(&s, keys + done * key_stride, key_stride, key_octets, part);
        load(s.state, in + 8 * done, 8, part);
        cipher(&s, s.state, s.key, key_octets, decrypt);
        store(s.state, out + 8 * done, 8, part);
    }
    cc_wipe(&s, sizeof s);
}

static const cc_backend backend = {NAME, LANES, run, crypt_blocks};
