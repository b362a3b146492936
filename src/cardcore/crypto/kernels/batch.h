/* A whole batch for one backend: assembles and pads the messages, runs the kernel part by part, gives or compares the MACs. */
#ifndef CARDCORE_BATCH_H
#define CARDCORE_BATCH_H

#include "kernels.h"

enum {
    CC_PAD_ZERO = 1, /* ISO/IEC 9797-1 padding method 1 */
    CC_PAD_BIT = 2,  /* padding method 2: 80, then zeros, always */
    CC_PAD_CMAC = 3  /* SP 800-38B: 80 and zeros only when the length asks for it */
};

typedef struct {
    cc_job job;              /* messages, blocks, padded, macs and items are filled in here for each part */
    size_t block;            /* 8 or 16 */
    size_t items;
    const uint8_t *messages; /* message_octets an item, one after the other */
    size_t message_octets;
    uint8_t prefix;          /* put before each message when has_prefix */
    int has_prefix;
    int padding;
    size_t least;            /* pad at least to this many octets (AN10922), a multiple of the block */
    uint8_t *macs;           /* block octets an item, or NULL */
    const uint8_t *presented;/* presented_octets an item to compare with MAC octets first, first + step, ... */
    size_t presented_octets, first, step;
    uint8_t *valid;          /* 1 or 0 an item */
    uint8_t *derived;        /* diversified keys, 16 octets an item, or NULL */
} cc_batch;

/* 0, or -1 when there is no memory for the work space. */
int cc_run_batch(const cc_backend *backend, const cc_batch *batch);

#endif
