/* SPDX-License-Identifier: MIT */
/* Sizes by name, the lesser of two numbers, and digits. */
#ifndef RUSM__BASE_NUMBER_H
#define RUSM__BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RUSM__KIB 1024ull
#define RUSM__MIB (1024ull * RUSM__KIB)
#define RUSM__GIB (1024ull * RUSM__MIB)

static inline uint64_t rusm__min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

enum { RUSM__U64_DIGITS = 20 }; /* of 2^64 - 1 */

/* In decimal, without a zero byte; returns where the digits end. For hot paths and buffers: a
 * formatter takes several times as long. */
static inline char *rusm__put_u64(char at[static RUSM__U64_DIGITS], uint64_t value) {
    char digits[RUSM__U64_DIGITS];
    char *first = digits + sizeof(digits);
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    size_t len = (size_t)(digits + sizeof(digits) - first);
    memcpy(at, first, len);
    return at + len;
}

#endif
