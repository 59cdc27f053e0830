/* SPDX-License-Identifier: MIT */
/* Processes that wait and do nothing else, until the runtime stops. */
#ifndef BENCH_SLEEPERS_H
#define BENCH_SLEEPERS_H

#include "bench.h"

/* Start `count` more of them, spread over all schedulers, and return once each one has run and
 * waits. fiber: as fibers. */
void sleepers_start(struct bench *bench, uint64_t count, bool fiber);

#endif
