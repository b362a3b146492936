/* The batch kernels: what cardcore.crypto.batch calls, and how a build for one instruction set presents itself.
 *
 * Constant time by construction: no branch and no address depends on a key, a message or a MAC; only counts and lengths,
 * which are public, steer the code. Everything derived from a key lives in one scratch block that is wiped on return.
 * Nothing here allocates, locks or keeps state, so any number of threads may call with the GIL released.
 */
#ifndef CARDCORE_KERNELS_H
#define CARDCORE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* What to do with the (diversified) key and the message of each item. */
enum {
    CC_MAC_NONE = 0,   /* no message: only diversify */
    CC_MAC_CBC = 1,    /* ISO/IEC 9797-1 algorithm 1 with the block cipher of the key */
    CC_MAC_FOLDED = 2, /* 16-octet key, left half XOR right half as a single DES key: the TAC of PBOC */
    CC_MAC_RETAIL = 3, /* ISO/IEC 9797-1 algorithm 3, 16-octet key */
    CC_MAC_CMAC = 4    /* NIST SP 800-38B */
};

typedef struct {
    size_t items;
    const uint8_t *keys;     /* item i's key at keys + i * key_stride; stride 0: one key for all */
    size_t key_stride;
    int key_octets;          /* DES 8, 16 or 24; AES 16, 24 or 32 */
    const uint8_t *factors;  /* DES only: `levels` factors of 8 octets an item, PBOC diversification, outermost first */
    int levels;
    const uint8_t *messages; /* padded to whole blocks; item i's message at messages + i * blocks * block size */
    size_t blocks;
    int mac;                 /* CC_MAC_... */
    int padded;              /* CMAC only: padding was added, so sub-key K2 applies (SP 800-38B, 6.2) */
    uint8_t *macs;           /* block size octets an item, or NULL */
    uint8_t *derived;        /* DES only: the diversified keys, 16 octets an item, or NULL */
} cc_job;

typedef struct {
    const char *name;
    size_t lanes; /* items worked on at once */
    void (*run)(const cc_job *job);
    /* ECB of one block an item; `keys` as in cc_job. */
    void (*crypt)(const uint8_t *keys, size_t key_stride, int key_octets, const uint8_t *in, uint8_t *out, size_t items, int decrypt);
} cc_backend;

/* NULL where this build or this CPU has no such backend. */
const cc_backend *cc_des_portable(void);
const cc_backend *cc_des_avx2(void);
const cc_backend *cc_des_avx512(void);
const cc_backend *cc_aes_ni(void);

/* -DCC_X86=0 builds the portable kernel only. */
#if defined(CC_X86)
#elif (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#define CC_X86 1
#else
#define CC_X86 0
#endif

#endif
