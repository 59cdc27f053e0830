/* SPDX-License-Identifier: MIT */
/* A scheduler from the inside. Stays in this folder. */
#ifndef RUSM__SCHED_SCHED_IMPL_H
#define RUSM__SCHED_SCHED_IMPL_H

#include <pthread.h>

#include "io/loop.h"
#include "sched/run_queue.h"
#include "sched/runtime.h"
#include "sched/sched.h"

struct rusm__post {
    struct rusm__post *next;
    void (*fn)(void *arg);
    void *arg;
};

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
    struct rusm__task *lane; /* the fast lane: what the running task woke last */
    uint32_t lane_runs;      /* tasks run from the lane in a row */
    uint32_t runs;           /* since the last look at the clock and the inbox */
    uint64_t last_poll_ns;
    struct rusm__wheel wheel;
    struct rusm__qs_member *qs;
    struct rusm__random random;
    struct rusm__loop loop;
    _Atomic uint64_t steals; /* read by anyone */
    _Atomic uint64_t sleeps;

    struct rusm__run_queue queue;

    /* Any thread. */
    _Alignas(RUSM__CACHELINE) _Atomic(struct rusm__task *) inbox; /* newest first */
    _Atomic(struct rusm__post *) posts;                           /* newest first */
    _Atomic uint32_t state;
};

/* sched.c */
extern _Thread_local struct rusm__sched *rusm__current_sched;
void rusm__sched_enqueue_local(struct rusm__sched *sched, struct rusm__task *task,
                               enum rusm__ready how);
/* Move what other threads sent into our own queues and run posted calls. True if there was any. */
bool rusm__sched_take_inbox(struct rusm__sched *sched);

/* idle.c */
struct rusm__task *rusm__sched_steal(struct rusm__sched *sched);
/* Sleep until there is something to do. */
void rusm__sched_sleep(struct rusm__sched *sched);
/* There is work that another scheduler could take: wake one if one sleeps and none searches. */
void rusm__sched_offer(rusm_runtime *rt, const struct rusm__sched *from);

/* main.c */
void *rusm__sched_main(void *sched);

#endif
