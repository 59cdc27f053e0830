/* SPDX-License-Identifier: MIT */
/* What one scheduler has of a sandbox. Two cache lines each, so that schedulers never write to a
 * line of another (the second line keeps the prefetcher of neighbours away). */
#ifndef RUSM__SANDBOX_LANE_H
#define RUSM__SANDBOX_LANE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rusm__lane {
    _Atomic uint64_t runs; /* odd while a guest runs. Written by the scheduler, read by the clock */
    _Atomic uint32_t
        spare; /* permits at hand. Written by the scheduler, robbed when they run out */
    /* The scheduler's own. */
    uint32_t starts; /* of guests of no copy (copies.h); it wraps */
    uint32_t lends;  /* turns that guests lent to others; it wraps. For tests */
    bool is_lent;    /* one is lent right now */
    char pad[128 - sizeof(uint64_t) - 4 * sizeof(uint32_t)];
};

static_assert(sizeof(struct rusm__lane) == 128, "two cache lines");

#endif
