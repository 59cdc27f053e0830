/* SPDX-License-Identifier: MIT */
/* Sizes by name, and the lesser of two numbers. */
#ifndef RUSM__BASE_NUMBER_H
#define RUSM__BASE_NUMBER_H

#include <stdint.h>

#define RUSM__KIB 1024ull
#define RUSM__MIB (1024ull * RUSM__KIB)
#define RUSM__GIB (1024ull * RUSM__MIB)

static inline uint64_t rusm__min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

#endif
