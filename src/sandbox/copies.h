/* SPDX-License-Identifier: MIT */
/* Copies of busy components, one for each scheduler.
 *
 * An engine counts references: each start and each end of a guest writes to counts of its engine,
 * of its code and of its types. While one scheduler starts guests that costs nothing. When two do,
 * the lines with these counts travel between processors, and on machines where that is slow two
 * schedulers start no more guests than one. So a component that is started very often gets a copy
 * for each scheduler, in an engine of that scheduler, and its guests share nothing that is written.
 *
 *   lane.starts   every 256th start on a lane is a sample
 *   heat          samples of a component on lanes that are in a hurry; at 16 copies are asked for
 *   rusm-copies   the thread that makes them, started by the first component that asks
 *   of            the copies; what starts from now on is theirs
 *
 * The price is memory: the machine code once more for each scheduler, and slots that lie idle in
 * one engine are of no use to another. So the code of all copies together is bounded, and when half
 * of the room for guests is taken all of them come from the common engine again. */
#ifndef RUSM__SANDBOX_COPIES_H
#define RUSM__SANDBOX_COPIES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm_engine.h"

#include "sandbox/lane.h"

struct rusm__component;
struct rusm__sandbox;

/* Machine code of all copies of a sandbox; what would be more is not copied. */
#define RUSM__COPIES_CODE_BYTES ((size_t)64 << 20)

/* The sandbox's part. */
struct rusm__copies {
    struct rusm__sandbox *sandbox;
    _Atomic size_t code_bytes; /* relaxed: it counts and publishes nothing */
    pthread_mutex_t lock;
    pthread_cond_t asked;
    /* guarded by lock */
    struct rusm__component *first; /* those that wait for their copies, each held */
    struct rusm__component *last;
    pthread_t thread;
    bool is_started;
    bool is_stopping;
};

/* A component's part. */
struct rusm__copied {
    /* One for each lane; NULL: there are none. Release when they are whole; acquire in
     * rusm__copies_choose. */
    _Atomic(rusm_engine_prepared **) of;
    size_t code_bytes;            /* what these count for in the sum; written before `of` */
    struct rusm__component *next; /* of those that wait */
    _Atomic uint32_t heat;        /* relaxed: only a number */
};

void rusm__copies_init(struct rusm__copies *copies, struct rusm__sandbox *sandbox);
/* No guest runs any more. Joins the thread; components that still wait are let go. */
void rusm__copies_stop(struct rusm__copies *copies);

/* What a guest that starts on this lane is made from. On the lane's scheduler, by a guest of the
 * component. */
rusm_engine_prepared *rusm__copies_choose(struct rusm__component *component,
                                          struct rusm__lane *lane);

/* The copies of a component that nobody uses any more. Unmaps code: not on a scheduler. */
void rusm__copies_free(struct rusm__component *component);

#endif
