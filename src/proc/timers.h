/* SPDX-License-Identifier: MIT */
/* Timers that send a message or wake a process.
 *
 * A timer lives in the slab and the wheel of one scheduler. Its id names scheduler, place and
 * generation, so a late cancel cannot hit another timer:
 *
 *     63      32 31          8 7        0
 *     generation |   index    | owner
 *
 * `state` holds generation and ARMED or not; whoever moves it away from ARMED has the timer: the
 * owner when it fires, anybody who cancels. A canceller on another thread hands the timer to its
 * owner, which takes it out of the wheel at the next chance; only then has the place a new user.
 *
 * Timers that plain threads set belong to the outside slab: its free list is under a lock, its
 * timers lie in the wheel of scheduler 0, which is the owner in all that follows. A posted call
 * puts them there, and takes those out that were cancelled meanwhile. Generations start at 1, so
 * no id is 0. */
#ifndef RUSM__PROC_TIMERS_H
#define RUSM__PROC_TIMERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/process.h"

#include "base/scale.h"
#include "timer/wheel.h"

struct rusm__sched;

/* Looked up when the timer fires. */
struct rusm__timer_name {
    uint32_t len;
    char text[];
};

union rusm__timer_target {
    rusm_pid pid;
    struct rusm__timer_name *name; /* owned */
};

/* What a timer does. */
struct rusm__timer_cargo {
    union rusm__timer_target to;
    rusm_msg *msg; /* owned; NULL: wake */
    bool to_name;
};

struct rusm__timer {
    struct rusm__wheel_node node;
    _Atomic uint64_t state;
    /* While armed: its cargo, taken apart so that a timer is one cache line. */
    union rusm__timer_target to;
    rusm_msg *msg;
    struct rusm__timer *next; /* free, or cancelled by another thread */
    uint32_t index;
    uint8_t owner;
    bool to_name;
};
_Static_assert(sizeof(struct rusm__timer) == 64, "one cache line");

enum { RUSM__TIMER_CHUNK = RUSM__SCALE(1024, 4), RUSM__TIMER_CHUNKS = 16384 };

struct rusm__timer_slab {
    /* Owner (outside slab: under its lock). */
    struct rusm__timer *free;
    uint32_t count; /* timers made so far */
    /* Any thread: chunks appear and stay. Made on first use. */
    _Atomic(struct rusm__timer *) *_Atomic chunks;
    _Atomic(struct rusm__timer *) cancelled; /* handed to the owner, newest first */
};

/* Frees what is still armed; the schedulers have stopped. */
void rusm__timer_slab_fini(struct rusm__timer_slab *slab);

/* A timer without a message: wakes `to`. On a scheduler. RUSM_ENOMEM. */
/* Does it ring on the calling scheduler? */
bool rusm__timer_is_here(const rusm_runtime *rt, rusm_timer id);
int rusm__timer_wake(rusm_runtime *rt, uint64_t deadline_ns, rusm_pid to, rusm_timer *out_timer);

/* Scheduler hook: the node is due. */
void rusm__timer_fire(struct rusm__sched *sched, struct rusm__wheel_node *node);

#endif
