/* SPDX-License-Identifier: MIT */
/* The runtime object. The schedulers' part is used here, the processes' part is a pointer that
 * this folder never follows. */
#ifndef RUSM__SCHED_RUNTIME_H
#define RUSM__SCHED_RUNTIME_H

#include <stdatomic.h>

#include "rusm/runtime.h"

#include "sched/sched.h"
#include "sync/cacheline.h"
#include "sync/qs.h"

struct rusm_runtime {
    /* Set before the threads start, then only read. */
    uint32_t sched_count;
    struct rusm__sched *scheds;
    struct rusm__sched_hooks hooks;
    struct rusm__procs *procs;
    struct rusm__qs qs;

    /* Read by every scheduler all the time, written when one falls asleep, wakes or stops. */
    _Alignas(RUSM__CACHELINE) _Atomic uint32_t idle; /* schedulers that sleep */
    _Atomic uint32_t watcher; /* 1 + the one that keeps an eye on the busy ones; 0 = nobody */
    _Atomic bool stopping;
    _Atomic bool watchdog_sleeps; /* until a scheduler wakes up and calls hooks.watchdog */

    /* Plain threads. */
    _Alignas(RUSM__CACHELINE) _Atomic uint32_t next_remote; /* they hand out work in turn */
};

#endif
