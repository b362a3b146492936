/* Bitsliced DES in plain C: 64 items at once in 64-bit words, for every CPU. */
#include <stdint.h>

typedef uint64_t word;
#define ELEMENTS 1
#define NAME "portable"
#include "des_bitslice.h"

const cc_backend *cc_des_portable(void) { return &backend; }
