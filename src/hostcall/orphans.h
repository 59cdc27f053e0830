/* SPDX-License-Identifier: MIT */
/* Timers that outlive the guest that set them, as they should, but not their target.
 *
 * While a guest lives, its timers are bounded by its own profile. When it ends, those to itself and
 * to the dead are cancelled; the others are kept here under their target, so many and so many bytes
 * of messages per target and per node, and cancelled when the target ends. Only guests are told of
 * as ended: a timer to a native process stays until it fires.
 *
 * Threads: any; one lock, taken at the end of guests that leave timers, and of those that some are
 * kept for. All others look at a number or two. */
#ifndef RUSM__HOSTCALL_ORPHANS_H
#define RUSM__HOSTCALL_ORPHANS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/process.h"

enum {
    RUSM__ORPHANS_PER_TARGET = 1024,
    RUSM__ORPHANS_PER_NODE = 65536,
    RUSM__ORPHANS_BUCKETS = 4096,
};
#define RUSM__ORPHANS_BYTES_PER_TARGET ((uint64_t)64 << 20)
#define RUSM__ORPHANS_BYTES_PER_NODE   ((uint64_t)256 << 20)

struct rusm__orphan {
    struct rusm__orphan *next;
    rusm_pid to;
    rusm_timer timer;
    uint64_t deadline_ns;
    uint64_t bytes; /* of its message */
};

struct rusm__orphans {
    rusm_runtime *runtime;
    /* written under the lock, read without it: how many there are, and how many in each bucket */
    _Atomic size_t count;
    _Atomic uint32_t lengths[RUSM__ORPHANS_BUCKETS];
    pthread_mutex_t lock;
    /* guarded by lock */
    struct rusm__orphan *buckets[RUSM__ORPHANS_BUCKETS]; /* by target */
    uint64_t bytes;                                      /* of all messages */
    uint64_t next_sweep_ns;                              /* not all of them before this */
    uint64_t next_tell_ns;                               /* no line in the log before this */
    size_t untold;                                       /* cancelled since the last line */
};

void rusm__orphans_init(struct rusm__orphans *orphans, rusm_runtime *runtime);
void rusm__orphans_fini(struct rusm__orphans *orphans); /* the runtime has stopped */

/* The setter of an armed timer has ended: keep a copy of what is known of it (but for `next`), or
 * cancel it if its target is dead or a bound is reached (told in the log, at most once a second).
 */
void rusm__orphans_adopt(struct rusm__orphans *orphans, const struct rusm__orphan *orphan);

/* A guest has ended and is not found any more: cancel what was kept for it. */
void rusm__orphans_target_ended(struct rusm__orphans *orphans, rusm_pid target);

#endif
