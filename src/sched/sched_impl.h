/* SPDX-License-Identifier: MIT */
/* A scheduler from the inside. Stays in this folder. */
#ifndef RUSM__SCHED_SCHED_IMPL_H
#define RUSM__SCHED_SCHED_IMPL_H

#include <pthread.h>

#include "base/scale.h"
#include "io/loop.h"
#include "sched/run_queue.h"
#include "sched/runtime.h"
#include "sched/sched.h"

struct rusm__post {
    struct rusm__post *next;
    void (*fn)(void *arg);
    void *arg;
};

enum { RUSM__LANE_LIMIT = RUSM__SCALE(32, 4) };

enum rusm__sched_state {
    RUSM__SCHED_AWAKE = 0,
    RUSM__SCHED_ASLEEP = 1,   /* in the kernel, or about to be: whoever queues work wakes it */
    RUSM__SCHED_NOTIFIED = 2, /* a wake is under way */
};

struct rusm__sched {
    /* Set before the thread starts, then only read. */
    rusm_runtime *rt;
    uint32_t index;
    void *local;
    pthread_t thread;

    /* Its own thread only. */
    struct rusm__task *lane;       /* the fast lane: what the running task woke last */
    uint32_t lane_runs;            /* tasks run from the lane in a row */
    struct rusm__task_list urgent; /* before the queues; see rusm__sched_hurry */
    uint32_t runs;                 /* since the last look at the clock and the inbox */
    uint64_t last_poll_ns;
    uint64_t sweep_after_ns; /* the hurried are not looked for before that */
    uint32_t mark;           /* what was queued up to here... */
    uint64_t mark_ns;        /* ...was all there at this time */
    uint32_t slots;          /* tasks taken from the queues, each with what it woke into the lane */
    uint32_t seen_slots;
    uint64_t seen_ns;               /* when seen_slots was noted */
    struct rusm__sched *stole_from; /* NULL: what was stolen last is judged */
    uint32_t stole_slots;
    uint64_t stole_ns;
    struct rusm__wheel wheel;
    struct rusm__qs_member *qs;
    struct rusm__random random;
    struct rusm__loop loop;
    _Atomic uint64_t steals; /* read by anyone */
    _Atomic uint64_t sleeps;

    struct rusm__run_queue queue;

    /* Written by the owner, read by those that look for work: tasks here wait too long. */
    _Alignas(RUSM__CACHELINE) _Atomic bool overdue;
    _Atomic uint32_t slot_ns; /* what a slot costs here when it is cheap; 0: not known */
    /* Written by thieves. */
    _Atomic uint64_t keep_until_ns; /* until then what is short stays here */
    _Atomic uint64_t keep_ns;       /* how long that was the last time; 0: stealing paid */
    /* The watcher's (see idle.c): as mark and mark_ns. */
    uint32_t watch_mark;
    uint64_t watch_ns;

    /* Any thread. */
    _Alignas(RUSM__CACHELINE) _Atomic(struct rusm__task *) inbox; /* newest first */
    _Atomic(struct rusm__post *) posts;                           /* newest first */
    _Atomic uint32_t state;
    _Atomic bool sweeps; /* somebody in a queue may be hurried */
};

/* sched.c */
extern _Thread_local struct rusm__sched *rusm__current_sched;
void rusm__sched_enqueue_local(struct rusm__sched *sched, struct rusm__task *task,
                               enum rusm__ready how);
/* Move what other threads sent into our own queues and run posted calls. True if there was any. */
bool rusm__sched_take_inbox(struct rusm__sched *sched);

/* idle.c */
/* Queued work that is worth taking from another scheduler, or NULL. */
struct rusm__task *rusm__sched_steal(struct rusm__sched *sched);
/* Sleep until there is something to do. */
void rusm__sched_sleep(struct rusm__sched *sched);
/* Something that another could take was queued here: see that somebody watches. */
void rusm__sched_offer(rusm_runtime *rt, const struct rusm__sched *from);
/* How long has it waited? If too long, wake somebody who takes it. For the owner, now and then. */
void rusm__sched_note_delay(struct rusm__sched *sched, uint64_t now);
/* There is something to run. */
void rusm__sched_stop_watching(struct rusm__sched *sched);

/* main.c */
void *rusm__sched_main(void *sched);

#endif
