/* See batch.h. The work space is small enough to stay in the cache, and wiped: it holds MACs that were expected. */
#include "batch.h"
#include "wipe.h"

#include <stdlib.h>

#define PART 2048               /* items at a time, a multiple of every backend's lanes */
#define PART_LEAST 512
#define PART_OCTETS (1u << 20)  /* of padded messages, above PART_LEAST items */

static size_t padded_octets(const cc_batch *b, size_t octets, int *padded) {
    size_t whole = (octets + b->block - 1) / b->block * b->block;
    if (b->padding == CC_PAD_BIT) whole = (octets / b->block + 1) * b->block;
    if (whole == 0) whole = b->block;
    if (whole < b->least) whole = b->least;
    *padded = whole != octets;
    return whole;
}

static void assemble(const cc_batch *b, uint8_t *out, size_t whole, size_t from, size_t items) {
    size_t octets = b->message_octets, head = b->has_prefix ? 1 : 0;
    for (size_t i = 0; i < items; i++, out += whole) {
        size_t filled = head + octets;
        out[0] = b->prefix;
        memcpy(out + head, b->messages + (from + i) * octets, octets);
        if (filled == whole) continue;
        memset(out + filled, 0, whole - filled);
        if (b->padding != CC_PAD_ZERO) out[filled] = 0x80;
    }
}

/* 1 where the octets agree, without a branch on any of them. */
static void compare(const cc_batch *b, const uint8_t *macs, size_t from, size_t items) {
    for (size_t i = 0; i < items; i++) {
        const uint8_t *mac = macs + i * b->block + b->first, *presented = b->presented + (from + i) * b->presented_octets;
        unsigned difference = 0;
        for (size_t k = 0; k < b->presented_octets; k++) difference |= mac[k * b->step] ^ presented[k];
        b->valid[from + i] = 1 & ((difference - 1) >> 8);
    }
}

int cc_run_batch(const cc_backend *backend, const cc_batch *b) {
    size_t octets = b->message_octets + (b->has_prefix ? 1 : 0);
    int padded = 0;
    size_t whole = b->job.mac == CC_MAC_NONE ? 0 : padded_octets(b, octets, &padded);
    size_t part = PART;
    while (part > PART_LEAST && part * whole > PART_OCTETS) part /= 2;
    size_t message_space = part * whole, space = message_space + part * b->block;
    uint8_t *work = malloc(space);
    if (!work) return -1;

    for (size_t from = 0; from < b->items; from += part) {
        cc_job job = b->job;
        job.items = b->items - from < part ? b->items - from : part;
        job.keys += from * job.key_stride;
        if (job.levels) job.factors += from * 8 * job.levels;
        if (b->derived) job.derived = b->derived + 16 * from;
        if (job.mac != CC_MAC_NONE) {
            job.blocks = whole / b->block;
            job.padded = padded;
            job.macs = b->macs ? b->macs + from * b->block : work + message_space;
            if (padded || b->has_prefix) {
                assemble(b, work, whole, from, job.items);
                job.messages = work;
            } else {
                job.messages = b->messages + from * whole;
            }
        }
        backend->run(&job);
        if (b->presented) compare(b, job.macs, from, job.items);
    }
    cc_wipe(work, space);
    free(work);
    return 0;
}
