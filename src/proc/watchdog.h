/* SPDX-License-Identifier: MIT */
/* Reports processes whose step runs longer than a limit, for such a body holds up everything that
 * is queued behind it. One thread per runtime looks at what each scheduler publishes anyway, which
 * process runs, and at a count of steps. While all schedulers sleep it sleeps, too: the first that
 * wakes up, wakes it. */
#ifndef RUSM__PROC_WATCHDOG_H
#define RUSM__PROC_WATCHDOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/runtime.h"

struct rusm__watch_mark {
    uint64_t steps; /* when we looked first ... */
    uint64_t since_ns;
    bool reported;
};

struct rusm__watchdog {
    uint64_t limit_ns;              /* 0: there is no thread */
    struct rusm__watch_mark *marks; /* one per scheduler; its thread only */
    uint64_t sleeps;                /* of all schedulers, at the last look */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;             /* guarded by lock */
    _Atomic uint64_t reported; /* read by anyone */
};

/* The schedulers run. limit_ns 0: nothing is started. RUSM_ENOMEM, RUSM_EIO. */
int rusm__watchdog_start(rusm_runtime *rt, uint64_t limit_ns);
/* Its thread is gone after this; fini when the schedulers have stopped. */
void rusm__watchdog_stop(rusm_runtime *rt);
void rusm__watchdog_fini(rusm_runtime *rt);

/* Scheduler hook: one woke up while the watchdog slept. */
void rusm__watchdog_wake(rusm_runtime *rt);

#endif
