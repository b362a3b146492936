/* Overwriting secrets so that the compiler cannot drop the writes. */
#ifndef CARDCORE_WIPE_H
#define CARDCORE_WIPE_H

#include <stddef.h>
#include <string.h>

static inline void cc_wipe(void *secret, size_t octets) {
    memset(secret, 0, octets);
    /* The memory is an input of this empty statement, so the stores above are needed (no libc function is as portable). */
    __asm__ __volatile__("" : : "r"(secret) : "memory");
}

#endif
