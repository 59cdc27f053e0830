/* SPDX-License-Identifier: MIT */
/* The clock thread: one tick each millisecond while a guest runs anywhere, asleep in the kernel
 * while none does.
 *
 * Whether a guest runs is told by each lane's `runs`, which only its scheduler writes: odd while a
 * guest runs, and changed by every run, so that the clock also sees runs that were over before it
 * looked. The clock lingers for a few ticks before it sleeps; a node that answers a request now
 * and then pays a wake-up per pause, not one per request. */
#ifndef RUSM__SANDBOX_TICKER_H
#define RUSM__SANDBOX_TICKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "rusm/export.h"

#include "sandbox/lane.h"

struct rusm__ticker {
    /* fixed at start */
    struct rusm__lane *lanes;
    uint32_t lane_count;
    void (*tick)(void *arg);
    void *arg;
    pthread_t thread;
    /* the clock thread's own */
    uint64_t *seen; /* `runs` of each lane at the last look */
    /* any thread */
    sem_t wake;
    _Atomic uint32_t
        asleep; /* 1: the clock sleeps or is about to; who turns it to 0 posts `wake` */
    _Atomic bool stop;
    char pad[64];
    _Atomic uint64_t ticks; /* since the start; written by the clock, read at ticks by guests */
};

/* Start the thread; tick(arg) is called on it. The lanes stay the caller's. RUSM_ENOMEM, RUSM_EIO.
 */
RUSM_MUST_USE int rusm__ticker_start(struct rusm__ticker *ticker, struct rusm__lane *lanes,
                                     uint32_t lane_count, void (*tick)(void *arg), void *arg);
/* Join it. No guest may run any more. */
void rusm__ticker_stop(struct rusm__ticker *ticker);

void rusm__ticker_rouse(struct rusm__ticker *ticker);

/* A guest begins to run on this lane's scheduler.
 * seq_cst twice: the store of `runs` must not pass the load of `asleep`, as in fall_asleep the
 * store of `asleep` must not pass the loads of `runs`. Otherwise each could miss the other, and a
 * guest would run without ticks. */
static inline void rusm__ticker_enter(struct rusm__ticker *ticker, struct rusm__lane *lane) {
    uint64_t runs = atomic_load_explicit(&lane->runs, memory_order_relaxed); /* own writes only */
    atomic_store_explicit(&lane->runs, runs + 1, memory_order_seq_cst);
    if (atomic_load_explicit(&ticker->asleep, memory_order_seq_cst))
        rusm__ticker_rouse(ticker);
}

/* It ran. Relaxed: a clock that sees this late ticks once more for nothing. */
static inline void rusm__ticker_leave(struct rusm__lane *lane) {
    uint64_t runs = atomic_load_explicit(&lane->runs, memory_order_relaxed);
    atomic_store_explicit(&lane->runs, runs + 1, memory_order_relaxed);
}

/* Relaxed: compared for "is it still the same?" only; a stale value delays a yield by a tick. */
static inline uint64_t rusm__ticker_now(struct rusm__ticker *ticker) {
    return atomic_load_explicit(&ticker->ticks, memory_order_relaxed);
}

#endif
