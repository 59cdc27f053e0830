/* SPDX-License-Identifier: MIT */
/* Spawners: one process on every scheduler that starts processes which end at once. */
#ifndef BENCH_STORM_H
#define BENCH_STORM_H

#include "bench.h"

struct storm {
    BENCH_OWN_LINE struct bench *bench;
    uint64_t spawned;
};

/* One per thread, pinned to it; as `start` of bench_phase, with an array of bench->threads. */
void storm_start(struct bench *bench, void *storms);
/* What they have spawned since the last call. Between phases. */
uint64_t storm_total(const struct bench *bench, struct storm *storms);

#endif
