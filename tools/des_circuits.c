/* Finds the boolean circuits of the eight DES S-boxes and prints src/cardcore/crypto/kernels/des_sboxes.h.
 *
 * Method: each of the four output bits is a 64-entry truth table. A target is met by an existing gate, by one gate over
 * two existing ones, by two gates over three, or else by splitting on an input bit and solving the halves, each with the
 * other half as don't-care (the idea is Matthew Kwan's, "Reducing the gate count of bitslice DES"; the code is new).
 * Gates of earlier outputs are reused by later ones. Many random orders are tried and the smallest circuit is kept.
 *
 * Run twice or more and keep the best of each box (the printed total is on stderr).
 * Run:  cc -O3 -march=native -o /tmp/des_circuits tools/des_circuits.c && /tmp/des_circuits SECONDS_PER_BOX SEED > des_sboxes.h
 * The result is checked by tests/crypto/test_des_circuits.py against the tables of FIPS 46-3, whoever found it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AND, OR, XOR, ANDN, NOT, INPUT };
#define GATES 128

typedef struct { int n; uint64_t table[GATES]; uint8_t op[GATES], a[GATES], b[GATES]; } circuit;

/* FIPS 46-3, appendix 1: S[box][row][column]. */
static const uint8_t S[8][4][16] = {
 {{14,4,13,1,2,15,11,8,3,10,6,12,5,9,0,7},{0,15,7,4,14,2,13,1,10,6,12,11,9,5,3,8},{4,1,14,8,13,6,2,11,15,12,9,7,3,10,5,0},{15,12,8,2,4,9,1,7,5,11,3,14,10,0,6,13}},
 {{15,1,8,14,6,11,3,4,9,7,2,13,12,0,5,10},{3,13,4,7,15,2,8,14,12,0,1,10,6,9,11,5},{0,14,7,11,10,4,13,1,5,8,12,6,9,3,2,15},{13,8,10,1,3,15,4,2,11,6,7,12,0,5,14,9}},
 {{10,0,9,14,6,3,15,5,1,13,12,7,11,4,2,8},{13,7,0,9,3,4,6,10,2,8,5,14,12,11,15,1},{13,6,4,9,8,15,3,0,11,1,2,12,5,10,14,7},{1,10,13,0,6,9,8,7,4,15,14,3,11,5,2,12}},
 {{7,13,14,3,0,6,9,10,1,2,8,5,11,12,4,15},{13,8,11,5,6,15,0,3,4,7,2,12,1,10,14,9},{10,6,9,0,12,11,7,13,15,1,3,14,5,2,8,4},{3,15,0,6,10,1,13,8,9,4,5,11,12,7,2,14}},
 {{2,12,4,1,7,10,11,6,8,5,3,15,13,0,14,9},{14,11,2,12,4,7,13,1,5,0,15,10,3,9,8,6},{4,2,1,11,10,13,7,8,15,9,12,5,6,3,0,14},{11,8,12,7,1,14,2,13,6,15,0,9,10,4,5,3}},
 {{12,1,10,15,9,2,6,8,0,13,3,4,14,7,5,11},{10,15,4,2,7,12,9,5,6,1,13,14,0,11,3,8},{9,14,15,5,2,8,12,3,7,0,4,10,1,13,11,6},{4,3,2,12,9,5,15,10,11,14,1,7,6,0,8,13}},
 {{4,11,2,14,15,0,8,13,3,12,9,7,5,10,6,1},{13,0,11,7,4,9,1,10,14,3,5,12,2,15,8,6},{1,4,11,13,12,3,7,14,10,15,6,8,0,5,9,2},{6,11,13,8,1,4,10,7,9,5,0,15,14,2,3,12}},
 {{13,2,8,4,6,15,11,1,10,9,3,14,5,0,12,7},{1,15,13,8,10,3,7,4,12,5,6,11,0,14,9,2},{7,11,4,1,9,12,14,2,0,6,10,13,15,3,5,8},{2,1,14,7,4,10,8,13,15,12,9,0,3,5,6,11}}};

static uint64_t input_table[6], target_table[4];
static double deadline;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }

static uint64_t apply(int op, uint64_t a, uint64_t b) {
    switch (op) { case AND: return a & b; case OR: return a | b; case XOR: return a ^ b; case ANDN: return a & ~b; default: return ~a; }
}

static int add(circuit *c, int op, int a, int b) {
    c->table[c->n] = apply(op, c->table[a], c->table[b]);
    c->op[c->n] = op; c->a[c->n] = a; c->b[c->n] = b;
    return c->n++;
}

/* The four 2-input functions of a pair, ANDN both ways round. */
static int one_gate(circuit *c, uint64_t want, uint64_t mask) {
    for (int i = 0; i < c->n; i++) if (!((~c->table[i] ^ want) & mask)) return add(c, NOT, i, i);
    for (int i = 0; i < c->n; i++) for (int j = 0; j < i; j++) {
        uint64_t a = c->table[i], b = c->table[j];
        if (!(((a & b) ^ want) & mask)) return add(c, AND, i, j);
        if (!(((a | b) ^ want) & mask)) return add(c, OR, i, j);
        if (!(((a ^ b) ^ want) & mask)) return add(c, XOR, i, j);
        if (!(((a & ~b) ^ want) & mask)) return add(c, ANDN, i, j);
        if (!(((b & ~a) ^ want) & mask)) return add(c, ANDN, j, i);
    }
    return -1;
}

static int two_gates(circuit *c, uint64_t want, uint64_t mask) {
    int n = c->n;
    for (int i = 0; i < n; i++) for (int j = 0; j < i; j++) for (int f = 0; f < 5; f++) {
        int x = f == 4 ? j : i, y = f == 4 ? i : j, op = f == 4 ? ANDN : f;
        uint64_t r = apply(op, c->table[x], c->table[y]);
        for (int k = 0; k < n; k++) {
            uint64_t t = c->table[k];
            int second = -1, flip = 0;
            if (!(((r ^ t) ^ want) & mask)) second = XOR;
            else if (!(((r & t) ^ want) & mask)) second = AND;
            else if (!(((r | t) ^ want) & mask)) second = OR;
            else if (!(((r & ~t) ^ want) & mask)) second = ANDN;
            else if (!(((t & ~r) ^ want) & mask)) { second = ANDN; flip = 1; }
            if (second >= 0) { int g = add(c, op, x, y); return flip ? add(c, second, k, g) : add(c, second, g, k); }
        }
        if (!((~r ^ want) & mask)) { int g = add(c, op, x, y); return add(c, NOT, g, g); }
    }
    return -1;
}

/* A gate equal to `want` wherever `mask` is set, with at most `limit` gates in all; -1 if none was found. */
static int solve(circuit *c, uint64_t want, uint64_t mask, unsigned used, int limit) {
    for (int i = 0; i < c->n; i++) if (!((c->table[i] ^ want) & mask)) return i;
    if (c->n + 1 > limit) return -1;
    int g = one_gate(c, want, mask);
    if (g >= 0 || c->n + 2 > limit) return g;
    if ((g = two_gates(c, want, mask)) >= 0 || c->n + 3 > limit || now() > deadline) return g;
    circuit best; int found = -1;
    int start = rand() % 6;
    for (int k = 0; k < 6; k++) {
        int bit = (start + k) % 6;
        if (used >> bit & 1) continue;
        uint64_t in = input_table[bit];
        for (int side = 0; side < 2; side++) {
            circuit t = *c;
            uint64_t base = side ? in : ~in;
            int f = solve(&t, want, mask & base, used | 1u << bit, limit - 2);
            if (f < 0) continue;
            int h = solve(&t, want ^ t.table[f], mask & ~base, used | 1u << bit, limit - 2);
            if (h < 0) continue;
            int m = side ? add(&t, ANDN, h, bit) : add(&t, AND, h, bit);
            int r = add(&t, XOR, f, m);
            if (t.n <= limit) { best = t; found = r; limit = t.n - 1; }
        }
    }
    if (found >= 0) *c = best;
    return found;
}

static void shuffle(int *v, int n) { for (int i = n - 1; i > 0; i--) { int j = rand() % (i + 1), t = v[i]; v[i] = v[j]; v[j] = t; } }

static void print(int box, circuit *c, int *out) {
    static const char *form[] = {"%s & %s", "%s | %s", "%s ^ %s", "%s & ~%s"};
    char name[GATES][16];
    for (int i = 0; i < c->n; i++) snprintf(name[i], sizeof name[i], i < 6 ? "a%d" : "g%d", i < 6 ? i + 1 : i - 5);
    printf("/* %d gates */\nstatic inline __attribute__((always_inline)) void s%d(word a1, word a2, word a3, word a4, word a5, word a6,\n"
           "                                                        word *o1, word *o2, word *o3, word *o4) {\n", c->n - 6, box + 1);
    for (int i = 6; i < c->n; i++) {
        printf("%sword %s = ", (i - 6) % 4 ? " " : "    ", name[i]);
        if (c->op[i] == NOT) printf("~%s", name[c->a[i]]); else printf(form[c->op[i]], name[c->a[i]], name[c->b[i]]);
        printf((i - 6) % 4 == 3 || i + 1 == c->n ? ";\n" : ";");
    }
    printf("   ");
    for (int o = 0; o < 4; o++) printf(" *o%d ^= %s;", o + 1, name[out[o]]);
    printf("\n}\n%s", box < 7 ? "\n" : "");
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 20;
    srand(argc > 2 ? atoi(argv[2]) : 1);
    /* Input bit 1 is the most significant; minterm m is entry m of the table read as a 6-bit number. */
    for (int i = 0; i < 6; i++) { input_table[i] = 0; for (int m = 0; m < 64; m++) input_table[i] |= (uint64_t)(m >> (5 - i) & 1) << m; }
    printf("/* Boolean circuits of the DES S-boxes (FIPS 46-3, appendix 1). Printed by tools/des_circuits.c; not written by hand.\n"
           " * a1..a6: input bits, a1 most significant. The four output bits are added (XOR) into o1..o4, o1 most significant.\n */\n\n");
    int total = 0;
    for (int box = 0; box < 8; box++) {
        for (int o = 0; o < 4; o++) { target_table[o] = 0; for (int m = 0; m < 64; m++)
            target_table[o] |= (uint64_t)(S[box][(m >> 4 & 2) | (m & 1)][m >> 1 & 15] >> (3 - o) & 1) << m; }
        circuit best; int best_out[4]; best.n = GATES - 1;
        double end = now() + seconds;
        while (now() < end) {
            circuit c; memset(&c, 0, sizeof c); c.n = 6;
            for (int i = 0; i < 6; i++) { c.table[i] = input_table[i]; c.op[i] = INPUT; }
            int order[4] = {0, 1, 2, 3}, out[4], ok = 1;
            shuffle(order, 4);
            for (int k = 0; k < 4 && ok; k++) {
                deadline = now() + seconds / 8;
                out[order[k]] = solve(&c, target_table[order[k]], ~0ull, 0, best.n - 1);
                ok = out[order[k]] >= 0;
            }
            if (ok && c.n < best.n) { best = c; memcpy(best_out, out, sizeof out); fprintf(stderr, "S%d %d\n", box + 1, c.n - 6); }
        }
        if (best.n == GATES - 1) { fprintf(stderr, "S%d: nothing found\n", box + 1); return 1; }
        print(box, &best, best_out);
        total += best.n - 6;
        fflush(stdout);
    }
    fprintf(stderr, "total %d\n", total);
    return 0;
}
