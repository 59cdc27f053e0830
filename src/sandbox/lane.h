/* SPDX-License-Identifier: MIT */
/* What one scheduler has of a sandbox. Two cache lines each, so that schedulers never write to a
 * line of another (the second line keeps the prefetcher of neighbours away). */
#ifndef RUSM__SANDBOX_LANE_H
#define RUSM__SANDBOX_LANE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

struct rusm__lane {
    _Atomic uint64_t runs; /* odd while a guest runs. Written by the scheduler, read by the clock */
    _Atomic uint32_t
        spare;       /* permits at hand. Written by the scheduler, robbed when they run out */
    uint32_t starts; /* of guests of no copy (copies.h); it wraps. The scheduler's own */
    char pad[128 - sizeof(uint64_t) - 2 * sizeof(uint32_t)];
};

static_assert(sizeof(struct rusm__lane) == 128, "two cache lines");

#endif
