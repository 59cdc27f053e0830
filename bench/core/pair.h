/* SPDX-License-Identifier: MIT */
/* Pairs of processes that send one message to and fro until the phase is over. */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include "bench.h"

struct pair {
    BENCH_OWN_LINE struct bench *bench;
    rusm_pid pong;
    uint64_t rounds;              /* there and back */
    uint64_t sampled;             /* when the round that is timed began, 0 = this one is not */
    uint32_t one_in;              /* how many rounds share one look at the clock */
    struct bench_latency latency; /* of round trips */
};

struct pairs {
    struct pair *pair;
    uint64_t count;
};

struct pairs pairs_new(struct bench *bench, uint64_t count, uint32_t one_in);
void pairs_free(struct pairs *pairs);

/* As `start` of bench_phase, with struct pairs. Both of a pair start on the same scheduler, pairs
 * in turn on all. */
void pairs_start(struct bench *bench, void *pairs);

/* Messages since the last call; latencies are added to *latency. Between phases. */
uint64_t pairs_collect(struct pairs *pairs, struct bench_latency *latency);

#endif
