/* Boolean circuits of the DES S-boxes (FIPS 46-3, appendix 1). Printed by tools/des_circuits.c; not written by hand.
 * a1..a6: input bits, a1 most significant. The four output bits are added (XOR) into o1..o4, o1 most significant.
 */

/* 59 gates */
static inline __attribute__((always_inline)) void s1(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = ~a4; word g2 = a6 & a5; word g3 = g1 ^ g2; word g4 = a4 & ~a6;
    word g5 = g4 ^ a5; word g6 = g5 & ~a3; word g7 = g3 ^ g6; word g8 = a5 ^ a3;
    word g9 = g8 | g2; word g10 = g9 & ~a4; word g11 = a6 ^ g10; word g12 = g11 & ~a1;
    word g13 = g7 ^ g12; word g14 = g5 & ~a6; word g15 = g14 | g8; word g16 = g7 ^ a3;
    word g17 = g16 & ~g11; word g18 = g17 & ~a1; word g19 = g15 ^ g18; word g20 = g19 & a2;
    word g21 = g13 ^ g20; word g22 = ~g3; word g23 = g17 | a4; word g24 = g23 & a2;
    word g25 = g22 ^ g24; word g26 = g20 | a5; word g27 = g26 & a3; word g28 = g25 ^ g27;
    word g29 = g6 ^ a5; word g30 = g29 | a6; word g31 = a5 & ~g3; word g32 = g9 & ~g31;
    word g33 = g32 & ~a2; word g34 = g30 ^ g33; word g35 = g34 & a1; word g36 = g28 ^ g35;
    word g37 = g17 ^ a2; word g38 = g7 & ~g20; word g39 = g38 ^ g22; word g40 = g39 & a1;
    word g41 = g37 ^ g40; word g42 = g30 ^ g20; word g43 = g20 ^ a5; word g44 = g43 & ~a1;
    word g45 = g44 & a4; word g46 = g42 ^ g45; word g47 = g46 & a3; word g48 = g41 ^ g47;
    word g49 = g36 ^ g21; word g50 = g49 ^ g48; word g51 = g23 | a3; word g52 = g51 & ~a2;
    word g53 = g50 ^ g52; word g54 = g42 & g36; word g55 = g54 ^ g19; word g56 = g55 & ~a6;
    word g57 = g48 ^ g56; word g58 = g57 & a5; word g59 = g53 ^ g58;
    *o1 ^= g48; *o2 ^= g21; *o3 ^= g59; *o4 ^= g36;
}

/* 55 gates */
static inline __attribute__((always_inline)) void s2(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = ~a5; word g2 = a1 & ~a6; word g3 = g1 ^ g2; word g4 = a1 & ~a5;
    word g5 = a6 & ~g4; word g6 = g5 & ~a2; word g7 = g3 ^ g6; word g8 = a5 & ~g2;
    word g9 = g8 | a2; word g10 = g9 & a4; word g11 = g7 ^ g10; word g12 = ~g5;
    word g13 = a6 | a2; word g14 = g13 & ~a1; word g15 = g12 ^ g14; word g16 = g15 & a3;
    word g17 = g11 ^ g16; word g18 = g3 ^ a2; word g19 = g14 & a6; word g20 = g18 ^ g19;
    word g21 = g13 & ~g3; word g22 = g15 & ~g21; word g23 = g22 & a4; word g24 = g20 ^ g23;
    word g25 = g12 | a4; word g26 = g25 & ~g22; word g27 = a6 & ~a2; word g28 = g26 ^ g27;
    word g29 = g28 & a3; word g30 = g24 ^ g29; word g31 = g15 | a4; word g32 = g31 & ~g24;
    word g33 = g10 ^ a5; word g34 = g33 ^ g25; word g35 = g34 & a1; word g36 = g32 ^ g35;
    word g37 = g18 | g5; word g38 = g37 & ~a5; word g39 = g13 ^ g38; word g40 = g39 & ~a3;
    word g41 = g36 ^ g40; word g42 = g34 & ~g32; word g43 = g42 ^ g28; word g44 = g9 ^ a5;
    word g45 = g44 & ~g42; word g46 = g45 & a1; word g47 = g43 ^ g46; word g48 = g17 & a2;
    word g49 = g48 ^ a1; word g50 = g20 & a4; word g51 = g50 ^ g9; word g52 = g51 & ~a1;
    word g53 = g49 ^ g52; word g54 = g53 & a3; word g55 = g47 ^ g54;
    *o1 ^= g17; *o2 ^= g30; *o3 ^= g55; *o4 ^= g41;
}

/* 54 gates */
static inline __attribute__((always_inline)) void s3(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = a6 ^ a3; word g2 = a6 | a4; word g3 = g2 & a1; word g4 = g1 ^ g3;
    word g5 = a4 ^ a3; word g6 = g5 | a1; word g7 = g6 & ~a5; word g8 = g4 ^ g7;
    word g9 = g8 ^ a4; word g10 = g9 & ~g1; word g11 = g10 & a1; word g12 = a2 ^ g11;
    word g13 = g12 & a2; word g14 = g8 ^ g13; word g15 = a5 ^ a1; word g16 = g15 ^ g5;
    word g17 = ~g9; word g18 = g11 ^ g6; word g19 = g18 & ~a3; word g20 = g17 ^ g19;
    word g21 = g20 & ~a2; word g22 = g16 ^ g21; word g23 = g18 ^ g10; word g24 = g9 & ~a2;
    word g25 = g23 ^ g24; word g26 = g25 & a6; word g27 = g22 ^ g26; word g28 = a6 ^ a2;
    word g29 = g28 ^ g16; word g30 = a2 & ~g8; word g31 = g30 | a5; word g32 = g31 & ~a3;
    word g33 = g29 ^ g32; word g34 = g8 & ~a5; word g35 = g34 ^ g30; word g36 = g28 | g4;
    word g37 = g36 ^ g22; word g38 = g37 & a1; word g39 = g35 ^ g38; word g40 = g39 & a4;
    word g41 = g33 ^ g40; word g42 = g36 & ~g40; word g43 = g42 ^ g17; word g44 = a5 & ~g42;
    word g45 = g44 | g25; word g46 = g45 & ~a1; word g47 = g43 ^ g46; word g48 = g6 ^ g1;
    word g49 = g48 | g29; word g50 = g37 & ~g30; word g51 = g50 & ~a5; word g52 = g49 ^ g51;
    word g53 = g52 & a6; word g54 = g47 ^ g53;
    *o1 ^= g27; *o2 ^= g41; *o3 ^= g54; *o4 ^= g14;
}

/* 45 gates */
static inline __attribute__((always_inline)) void s4(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = a3 ^ a1; word g2 = a3 & a1; word g3 = g2 ^ a4; word g4 = g3 & ~a5;
    word g5 = g1 ^ g4; word g6 = a5 | a1; word g7 = g6 ^ g2; word g8 = g7 & ~a4;
    word g9 = a3 ^ g8; word g10 = g9 & a2; word g11 = g5 ^ g10; word g12 = g1 | a4;
    word g13 = g12 & a5; word g14 = g13 & ~a3; word g15 = g12 ^ g14; word g16 = a4 | a3;
    word g17 = ~g3; word g18 = g17 & ~a5; word g19 = g16 ^ g18; word g20 = g19 & ~a2;
    word g21 = g15 ^ g20; word g22 = g21 & ~a6; word g23 = g11 ^ g22; word g24 = ~g11;
    word g25 = ~g21; word g26 = g25 & a6; word g27 = g24 ^ g26; word g28 = g7 & ~g10;
    word g29 = g20 | a3; word g30 = g29 & a4; word g31 = g28 ^ g30; word g32 = g24 & ~a2;
    word g33 = g32 ^ a1; word g34 = g33 & ~a5; word g35 = g31 ^ g34; word g36 = g25 & ~g33;
    word g37 = g36 ^ g7; word g38 = g11 & g9; word g39 = g38 & ~a4; word g40 = g37 ^ g39;
    word g41 = g40 & a6; word g42 = g35 ^ g41; word g43 = ~g40; word g44 = g43 & ~a6;
    word g45 = g35 ^ g44;
    *o1 ^= g45; *o2 ^= g42; *o3 ^= g23; *o4 ^= g27;
}

/* 57 gates */
static inline __attribute__((always_inline)) void s5(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = a6 ^ a4; word g2 = a6 ^ a3; word g3 = g2 | a4; word g4 = g3 & ~a2;
    word g5 = g1 ^ g4; word g6 = g3 ^ a1; word g7 = g6 | a3; word g8 = g7 & ~a5;
    word g9 = g5 ^ g8; word g10 = a5 & ~g3; word g11 = g10 ^ a3; word g12 = g7 ^ a4;
    word g13 = g12 & a2; word g14 = g11 ^ g13; word g15 = g14 & ~a1; word g16 = g9 ^ g15;
    word g17 = a5 | a3; word g18 = g17 ^ g6; word g19 = g16 ^ a6; word g20 = g19 | g8;
    word g21 = g20 & ~a2; word g22 = g18 ^ g21; word g23 = g16 | a4; word g24 = g15 & ~a5;
    word g25 = g23 ^ g24; word g26 = g18 | g13; word g27 = g26 & ~a3; word g28 = g25 ^ g27;
    word g29 = g28 & ~a6; word g30 = g22 ^ g29; word g31 = ~g14; word g32 = g28 & ~a2;
    word g33 = g31 ^ g32; word g34 = a3 & ~g13; word g35 = g34 & a5; word g36 = g33 ^ g35;
    word g37 = g21 | g6; word g38 = g37 & ~g32; word g39 = g11 ^ a2; word g40 = g39 & ~g24;
    word g41 = g40 & ~a1; word g42 = g38 ^ g41; word g43 = g42 & ~a6; word g44 = g36 ^ g43;
    word g45 = g44 ^ g16; word g46 = g30 & a2; word g47 = g45 ^ g46; word g48 = ~g22;
    word g49 = g48 & ~a5; word g50 = g47 ^ g49; word g51 = g2 | g1; word g52 = g51 & ~g22;
    word g53 = g43 ^ g29; word g54 = g53 & a5; word g55 = g52 ^ g54; word g56 = g55 & a1;
    word g57 = g50 ^ g56;
    *o1 ^= g57; *o2 ^= g16; *o3 ^= g44; *o4 ^= g30;
}

/* 54 gates */
static inline __attribute__((always_inline)) void s6(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = a5 | a1; word g2 = g1 ^ a2; word g3 = a5 ^ a1; word g4 = g3 & a3;
    word g5 = g2 ^ g4; word g6 = g2 | a3; word g7 = g6 ^ g3; word g8 = g7 & ~a4;
    word g9 = g5 ^ g8; word g10 = g6 & a1; word g11 = g6 ^ a1; word g12 = g2 & a2;
    word g13 = g11 ^ g12; word g14 = g13 & a4; word g15 = g10 ^ g14; word g16 = g15 & a6;
    word g17 = g9 ^ g16; word g18 = ~g7; word g19 = a5 | a3; word g20 = g19 & ~a4;
    word g21 = g18 ^ g20; word g22 = a4 ^ a1; word g23 = g22 | g9; word g24 = a3 & a2;
    word g25 = g23 ^ g24; word g26 = a4 ^ a3; word g27 = g26 & ~g25; word g28 = g27 & a5;
    word g29 = g25 ^ g28; word g30 = g29 & a6; word g31 = g21 ^ g30; word g32 = g26 ^ g7;
    word g33 = g21 | g5; word g34 = g33 ^ g28; word g35 = g34 & a2; word g36 = g32 ^ g35;
    word g37 = g21 | g9; word g38 = g37 ^ g29; word g39 = g32 | a4; word g40 = g39 ^ g19;
    word g41 = g40 & ~a1; word g42 = g38 ^ g41; word g43 = g42 & a6; word g44 = g36 ^ g43;
    word g45 = g15 ^ a2; word g46 = g45 ^ g32; word g47 = g41 & ~a4; word g48 = g46 ^ g47;
    word g49 = g21 | g11; word g50 = g1 & ~g29; word g51 = g50 & a3; word g52 = g49 ^ g51;
    word g53 = g52 & ~a6; word g54 = g48 ^ g53;
    *o1 ^= g31; *o2 ^= g54; *o3 ^= g44; *o4 ^= g17;
}

/* 54 gates */
static inline __attribute__((always_inline)) void s7(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = a4 ^ a2; word g2 = a3 & ~a6; word g3 = g1 ^ g2; word g4 = a6 | a4;
    word g5 = a4 ^ a3; word g6 = g5 & ~a2; word g7 = g4 ^ g6; word g8 = g7 & a5;
    word g9 = g3 ^ g8; word g10 = g7 | a5; word g11 = a2 & ~a3; word g12 = g10 ^ g11;
    word g13 = g11 | g8; word g14 = g13 & a4; word g15 = g6 ^ g14; word g16 = g15 & ~a6;
    word g17 = g12 ^ g16; word g18 = g17 & ~a1; word g19 = g9 ^ g18; word g20 = g17 ^ g9;
    word g21 = a4 & ~a3; word g22 = a6 & ~g21; word g23 = g22 & a2; word g24 = g20 ^ g23;
    word g25 = g15 ^ a6; word g26 = ~g25; word g27 = g16 | g9; word g28 = g27 & a4;
    word g29 = g3 ^ g28; word g30 = g29 & a2; word g31 = g26 ^ g30; word g32 = g31 & ~a1;
    word g33 = g24 ^ g32; word g34 = a5 ^ a2; word g35 = g34 ^ g7; word g36 = g13 & ~g27;
    word g37 = g36 ^ g24; word g38 = g37 & a4; word g39 = g35 ^ g38; word g40 = g11 ^ g9;
    word g41 = g40 & g24; word g42 = g41 & a6; word g43 = a1 ^ g42; word g44 = g43 & a1;
    word g45 = g39 ^ g44; word g46 = a5 & ~g38; word g47 = g46 ^ g3; word g48 = g10 & a1;
    word g49 = g47 ^ g48; word g50 = g40 & ~g32; word g51 = g32 & a5; word g52 = g50 ^ g51;
    word g53 = g52 & a6; word g54 = g49 ^ g53;
    *o1 ^= g19; *o2 ^= g33; *o3 ^= g54; *o4 ^= g45;
}

/* 54 gates */
static inline __attribute__((always_inline)) void s8(word a1, word a2, word a3, word a4, word a5, word a6,
                                                        word *o1, word *o2, word *o3, word *o4) {
    word g1 = a3 ^ a1; word g2 = a3 | a2; word g3 = g2 & a6; word g4 = g1 ^ g3;
    word g5 = a6 | a2; word g6 = g1 & ~g5; word g7 = g6 & a1; word g8 = g5 ^ g7;
    word g9 = g8 & ~a5; word g10 = g4 ^ g9; word g11 = a2 & ~a1; word g12 = ~g11;
    word g13 = g12 & ~a5; word g14 = a2 ^ g13; word g15 = g10 & g1; word g16 = g15 ^ a6;
    word g17 = g16 & a6; word g18 = g14 ^ g17; word g19 = g18 & ~a4; word g20 = g10 ^ g19;
    word g21 = a1 & ~g16; word g22 = g1 & ~a5; word g23 = g21 ^ g22; word g24 = g21 | a5;
    word g25 = g24 & ~a4; word g26 = g23 ^ g25; word g27 = g18 ^ g4; word g28 = g27 | a3;
    word g29 = g17 & ~g20; word g30 = g29 & ~a4; word g31 = g28 ^ g30; word g32 = g31 & a2;
    word g33 = g26 ^ g32; word g34 = g18 ^ g2; word g35 = g12 | a5; word g36 = g35 & a4;
    word g37 = g34 ^ g36; word g38 = g28 ^ a4; word g39 = g8 & ~g38; word g40 = g39 & a1;
    word g41 = g22 ^ g40; word g42 = g41 & ~a6; word g43 = g37 ^ g42; word g44 = g33 ^ g20;
    word g45 = g44 ^ g43; word g46 = g17 | a4; word g47 = g46 | g34; word g48 = g47 & ~a2;
    word g49 = g45 ^ g48; word g50 = g31 | g4; word g51 = g50 & a2; word g52 = g25 ^ g51;
    word g53 = g52 & a5; word g54 = g49 ^ g53;
    *o1 ^= g54; *o2 ^= g43; *o3 ^= g33; *o4 ^= g20;
}
