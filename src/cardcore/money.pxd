from libc.stdint cimport int32_t, int64_t

cdef enum Rounding:
    ROUND_FLOOR = 0
    ROUND_CEILING = 1
    ROUND_HALF_UP = 2
    ROUND_HALF_EVEN = 3

cdef enum Stacking:
    STACK_MULTIPLY = 0
    STACK_BEST = 1
    STACK_ADD = 2

cdef extern from *:
    """
    #include <stdint.h>
    #define CC_AMOUNT_LIMIT 1000000000000000LL
    #ifndef CARDCORE_EXACT
    #define CARDCORE_EXACT
    /* A rate as an exact fraction. 128 bits carry five rates of 1/10000 times the largest amount (10^20 * 10^15). */
    typedef struct { __int128 pay; __int128 of; } cc_rate;

    static inline cc_rate cc_rate_of(int64_t pay, int64_t of) {
        cc_rate r; r.pay = pay; r.of = of; return r;
    }

    static inline cc_rate cc_stack(cc_rate a, int64_t pay, int64_t of, int stacking) {
        cc_rate r;
        if (stacking == 0) {
            if ((a.pay | a.of) >> 48 == 0 && (uint64_t)(pay | of) >> 15 == 0) {   /* the common case multiplies in 64 bits */
                r.pay = (uint64_t)a.pay * (uint64_t)pay;
                r.of = (uint64_t)a.of * (uint64_t)of;
                return r;
            }
            r.pay = a.pay * pay; r.of = a.of * of; return r;
        }
        if (stacking == 1) {
            if ((__int128)pay * a.of < a.pay * of) { r.pay = pay; r.of = of; return r; }
            return a;
        }
        r.of = a.of * of;
        r.pay = a.pay * of + (__int128)pay * a.of - r.of;      /* 1 - (1-a) - (1-b) */
        if (r.pay < 0) { r.pay = 0; r.of = 1; }
        return r;
    }

    /* amount * pay / of to a multiple of step, rounded once; the result is checked by the caller's bounds. */
    static inline __int128 cc_round_div(__int128 n, __int128 d, int mode) {
        __int128 q, r;
        if (n >= 0 && (n >> 63) == 0 && (d >> 63) == 0) {      /* the common case divides in 64 bits */
            uint64_t n64 = (uint64_t)n, d64 = (uint64_t)d;
            q = n64 / d64; r = n64 % d64;
        } else {
            q = n / d; r = n % d;
            if (r < 0) { q -= 1; r += d; }                     /* floor, so that 0 <= r < d */
        }
        if (r == 0) return q;
        switch (mode) {
            case 0: return q;
            case 1: return q + 1;
            case 2: {
                __int128 twice = r * 2;
                if (twice == d) return n > 0 ? q + 1 : q;      /* halves go away from zero */
                return twice > d ? q + 1 : q;
            }
            default: {
                __int128 twice = r * 2;
                if (twice == d) return q + (q & 1);
                return twice > d ? q + 1 : q;
            }
        }
    }

    static inline int cc_scale(int64_t amount, cc_rate rate, int64_t step, int mode, int64_t *out) {
        if (step == 1 && (uint64_t)amount >> 31 == 0 && (rate.pay | rate.of) >> 32 == 0) {   /* the common case: all in 64 bits */
            uint64_t n = (uint64_t)amount * (uint64_t)rate.pay, d = (uint64_t)rate.of, q = n / d, rest = n % d;
            switch (mode) {
                case 0: break;
                case 1: q += rest != 0; break;
                case 2: q += 2 * rest >= d; break;
                default: q += 2 * rest > d || (2 * rest == d && (q & 1)); break;
            }
            if (q > 1000000000000000ULL) return -1;
            *out = (int64_t)q;
            return 0;
        }
        __int128 v = cc_round_div((__int128)amount * rate.pay, rate.of * step, mode) * step;
        if (v > (__int128)1000000000000000LL || v < -(__int128)1000000000000000LL) return -1;
        *out = (int64_t)v;
        return 0;
    }

    /* floor(a * b / c) for non-negative a, b and positive c; the quotient must fit 64 bits. */
    static inline int64_t cc_muldiv(int64_t a, int64_t b, int64_t c) {
        int64_t product;
        if (b == c) return a;                                  /* a whole share or one kind of tender: no division */
        if (a == c) return b;
        if (!__builtin_mul_overflow(a, b, &product)) return (int64_t)((uint64_t)product / (uint64_t)c);
        return (int64_t)(((__int128)a * b) / c);
    }

    /* floor(floor(base / per) * amount * n / d), or -1 past the largest amount. */
    static inline int64_t cc_steps(int64_t base, int64_t per, int64_t amount, int64_t n, int64_t d) {
        __int128 v = (__int128)(base / per) * amount;
        if (v > (__int128)1000000000000000LL * 10000) return -1;
        if (n == d) ;                                          /* no multiplier */
        else if (v >> 48 == 0 && (uint64_t)n >> 15 == 0) v = (uint64_t)v * (uint64_t)n / (uint64_t)d;
        else v = v * n / d;
        return v > (__int128)1000000000000000LL ? -1 : (int64_t)v;
    }
    #endif
    """
    const int64_t AMOUNT_LIMIT "CC_AMOUNT_LIMIT"
    ctypedef struct cc_rate:
        pass
    cc_rate cc_rate_of(int64_t pay, int64_t of) nogil
    cc_rate cc_stack(cc_rate a, int64_t pay, int64_t of, int stacking) nogil
    int cc_scale(int64_t amount, cc_rate rate, int64_t step, int mode, int64_t *out) nogil
    int64_t cc_muldiv(int64_t a, int64_t b, int64_t c) nogil
    int64_t cc_steps(int64_t base, int64_t per, int64_t amount, int64_t n, int64_t d) nogil

cdef int64_t admit_amount(object value) except? -1
cdef int64_t admit_unsigned(object value) except? -1
