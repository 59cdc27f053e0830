/* SPDX-License-Identifier: MIT */
/* Schedulers: N threads that run tasks. A task is whatever can be run for a while (the process
 * folder makes processes of it); a scheduler knows only its link and how to call it.
 *
 * Each scheduler owns a run queue with a one-slot fast lane, a timer wheel and an event loop.
 * Idle schedulers steal, then sleep in the kernel. A task is in one run queue, or runs, or is
 * neither; whoever moves it from "neither" calls rusm__sched_ready exactly once. */
#ifndef RUSM__SCHED_SCHED_H
#define RUSM__SCHED_SCHED_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "rusm/runtime.h"

#include "base/random.h"
#include "sync/qs.h"
#include "timer/wheel.h"

struct rusm__sched;

struct rusm__task {
    struct rusm__task *next; /* the queue that it is in */
    uint32_t ticket;         /* of a queued pinned task: how many were queued before it */
    uint16_t home;           /* where a pinned task runs */
    bool pinned;
    _Atomic bool hurried; /* rusm__sched_hurry; taken back by whoever moves it forward */
};

/* What the owner of the tasks gives to the schedulers. All are called on scheduler threads. */
struct rusm__sched_hooks {
    void (*run)(struct rusm__sched *sched, struct rusm__task *task);
    void (*timer)(struct rusm__sched *sched, struct rusm__wheel_node *node);
    /* One woke up while rt->watchdog_sleeps. NULL if that is never set. */
    void (*watchdog)(rusm_runtime *rt);
};

/* ---- life ---- */

/* Start count threads; locals[i] becomes rusm__sched_local of scheduler i. Waits until all run. */
int rusm__scheds_start(rusm_runtime *rt, uint32_t count, const struct rusm__sched_hooks *hooks,
                       void **locals);
/* Stop and join them; nothing may be queued any more. */
void rusm__scheds_stop(rusm_runtime *rt);

/* ---- who am I ---- */

/* The scheduler whose thread this is, or NULL. */
struct rusm__sched *rusm__sched_current(void);
/* The same, but NULL when it belongs to another runtime. */
struct rusm__sched *rusm__sched_current_of(const rusm_runtime *rt);
uint32_t rusm__sched_index(const struct rusm__sched *sched);
uint32_t rusm__sched_count(const rusm_runtime *rt);
rusm_runtime *rusm__sched_runtime(const struct rusm__sched *sched);
struct rusm__sched *rusm__sched_get(const rusm_runtime *rt, uint32_t index);
void *rusm__sched_local(const struct rusm__sched *sched);

/* ---- for its own thread ---- */

/* Its event loop. Handles are made, used and closed on this scheduler's thread only, from process
 * steps (of pinned processes), posted calls or callbacks of the loop itself. No prepare handles. */
uv_loop_t *rusm__sched_loop(struct rusm__sched *sched);
struct rusm__wheel *rusm__sched_wheel(struct rusm__sched *sched);
struct rusm__qs_member *rusm__sched_qs(struct rusm__sched *sched);
struct rusm__random *rusm__sched_random(struct rusm__sched *sched);
/* Call before reading what others may retire, unless inside a step. Callbacks of the event loop
 * begin while the scheduler still counts as asleep, which means as one that reads nothing. */
void rusm__sched_join_readers(struct rusm__sched *sched);
/* Something else waits to run here, or it is time to look at the event loop. */
bool rusm__sched_has_work(struct rusm__sched *sched);
/* What the running task woke last and may run inside of its own turn; NULL: nothing, or it is time
 * for this scheduler to look around first. Whoever runs it calls take_woken before. */
struct rusm__task *rusm__sched_woken(const struct rusm__sched *sched);
void rusm__sched_take_woken(struct rusm__sched *sched);
/* The running task has used up its budget: timers, the inbox and the event loop may be overdue. */
void rusm__sched_look_soon(struct rusm__sched *sched);

/* ---- any thread ---- */

enum rusm__ready {
    RUSM__READY_WAKE, /* something arrived for it: soon, hot in the cache */
    RUSM__READY_NEXT, /* before everything else here */
    RUSM__READY_TAIL, /* behind everything that waits (its budget is used up, or it is new) */
};

/* Queue a task: on the calling scheduler, or on its home if it is pinned, or, from a plain thread,
 * on any. */
void rusm__sched_ready(rusm_runtime *rt, struct rusm__task *task, enum rusm__ready how);

/* If the task waits among those that any scheduler may run, wherever that is, it runs before them:
 * each scheduler takes such tasks out of its queue when it next looks around, all at once. One that
 * runs, or is just being stolen, may have to wait for its turn. */
void rusm__sched_hurry(rusm_runtime *rt, struct rusm__task *task);

/* Call fn(arg) once on scheduler `index` between two steps. RUSM_ENOMEM. */
int rusm__sched_post(rusm_runtime *rt, uint32_t index, void (*fn)(void *arg), void *arg);

/* Wake the scheduler if it sleeps. */
void rusm__sched_notify(struct rusm__sched *sched);

/* All of them sleep. Exact for who has said before, with seq_cst, what a waking one looks at. */
bool rusm__scheds_are_idle(const rusm_runtime *rt);

/* Counters, for rusm_runtime_stats. */
uint64_t rusm__sched_steals(const struct rusm__sched *sched);
uint64_t rusm__sched_sleeps(const struct rusm__sched *sched);

#endif
