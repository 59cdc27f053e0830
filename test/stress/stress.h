/* SPDX-License-Identifier: MIT */
/* What the stress tests share: how long they run, seeds, and waiting.
 *
 * RUSM_STRESS_SECONDS sets the time (default 1); RUSM_TEST_SEED repeats the choices of a run,
 * though not its interleavings. There are more schedulers than most test machines have cores, so
 * threads lose their core in the middle of everything. Oracles count; nothing is measured in time,
 * and a hang is what a deadline of PATIENCE_S finds. */
#ifndef RUSM_TEST_STRESS_H
#define RUSM_TEST_STRESS_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/process.h"
#include "rusm/runtime.h"

#include "base/random.h"

enum { PATIENCE_S = 100, SCHEDULERS = 4 };

#include "wait.h"

static inline uint64_t stress_end_ns(void) {
    const char *given = getenv("RUSM_STRESS_SECONDS");
    uint64_t seconds = given ? strtoull(given, NULL, 10) : 1;
    return rusm_now_ns() + (seconds ? seconds : 1) * 1000000000ull;
}

/* Printed, so that a failure can be looked into. */
static inline uint64_t stress_seed(void) {
    const char *given = getenv("RUSM_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : rusm__random_system_u64();
    printf("RUSM_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

static inline rusm_runtime *stress_start(uint32_t max_processes) {
    rusm_runtime_options options = {
        .size = sizeof(options), .schedulers = SCHEDULERS, .max_processes = max_processes};
    rusm_runtime *rt;
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_OK);
    return rt;
}

static inline rusm_runtime_stats stats_of(rusm_runtime *rt) {
    rusm_runtime_stats stats = {.size = sizeof(stats)};
    assert_int_equal(rusm_runtime_get_stats(rt, &stats), RUSM_OK);
    return stats;
}

/* Kill whatever lives until nothing does. */
static inline bool stress_kill_all(rusm_runtime *rt) {
    enum { AT_ONCE = 4096 };
    static rusm_pid pids[AT_ONCE];
    size_t count = rusm_pid_list(rt, pids, AT_ONCE);
    for (size_t i = 0; i < count && i < AT_ONCE; i++) {
        rusm_pid_kill(rt, pids[i]);
    }
    return rusm_runtime_process_count(rt) == 0;
}

#endif
