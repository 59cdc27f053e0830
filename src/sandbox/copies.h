/* SPDX-License-Identifier: MIT */
/* Copies of busy components, one for each scheduler.
 *
 * An engine counts references: each start and each end of a guest writes to counts of its engine,
 * of its code and of its types. While one scheduler starts guests that costs nothing. When two do,
 * the lines with these counts travel between processors, and on machines where that is slow two
 * schedulers start no more guests than one. So a component that is started very often gets a copy
 * for each scheduler, in an engine of that scheduler.
 *
 *   lane.starts   every 251st start on a lane is a sample
 *   samples       16 of one component within a second, from two lanes: it is busy
 *   rusm-copies   the thread that makes copies, started by the first component that is busy
 *   of            the copies; what starts from now on is theirs
 *
 * What its guests on two schedulers still write to in common is one counter of Wasmtime's, which
 * numbers stores, and, if the component is dynamic, the count of its holders.
 *
 * The price is the machine code once more for each scheduler; so the code of all copies together is
 * bounded, and so is their number, because each takes mappings. Slots and stacks are not copied:
 * all engines of a class share them. */
#ifndef RUSM__SANDBOX_COPIES_H
#define RUSM__SANDBOX_COPIES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm_engine.h"

#include "base/list.h"
#include "sandbox/lane.h"

struct rusm__component;
struct rusm__sandbox;

/* All copies of a sandbox: their machine code, and how many there are; each takes up to three of
 * the kernel's mappings. A component whose copies would be more has none. */
#define RUSM__COPIES_CODE_BYTES ((size_t)64 << 20)
#define RUSM__COPIES_MAX        ((size_t)512)

/* The sandbox's part. */
struct rusm__copies {
    struct rusm__sandbox *sandbox;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    /* guarded by lock */
    size_t code_bytes;
    size_t count;
    struct rusm__list waiting; /* for their copies: components, each held */
    pthread_t thread;
    bool is_started;
    bool is_stopping;
};

/* A component's part. */
struct rusm__copied {
    /* One for each lane; NULL: there are none. Release when they are whole; acquire in
     * rusm__copies_choose. */
    _Atomic(rusm_engine_prepared **) of;
    /* guarded by the lock of rusm__copies */
    uint64_t since; /* the clock's ticks at the first sample of the present second */
    uint32_t samples;
    uint32_t lane; /* of the first sample */
    bool is_on_two_lanes;
    bool is_asked;
    size_t code_bytes;      /* what its copies count for in the sum; 0: nothing */
    struct rusm__list node; /* in waiting */
    /* of the thread that copies */
    bool is_refusal_told;
};

void rusm__copies_init(struct rusm__copies *copies, struct rusm__sandbox *sandbox);
/* Joins the thread; components that still wait are let go, and no more are taken. Twice is as good
 * as once. */
void rusm__copies_stop(struct rusm__copies *copies);
/* After it was stopped. */
void rusm__copies_fini(struct rusm__copies *copies);

/* What a guest that starts on this lane is made from. On the lane's scheduler, by a guest of the
 * component. */
rusm_engine_prepared *rusm__copies_choose(struct rusm__component *component,
                                          struct rusm__lane *lane);

/* The copies of a component that nobody uses any more. Unmaps code: not on a scheduler. */
void rusm__copies_free(struct rusm__component *component);

#endif
