/* SPDX-License-Identifier: MIT */
/* One run: start, let everybody do something, wait for quiet or not, stop, look. */
#include <stdio.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "sync/qs.h"

#include "workload.h"
#include "world.h"

/* Records of plain threads are made once and stay; make them before anything is counted. */
static void *be_a_reader(void *arg) {
    rusm__qs_enter(arg);
    rusm__qs_enter(arg);
    sim_block(arg, UINT64_MAX);
    rusm__qs_exit(arg);
    rusm__qs_exit(arg);
    return NULL;
}

static void make_records(void) {
    static struct rusm__qs qs;
    struct sim_thread *threads[OUTSIDERS + 1];
    if (rusm__qs_init(&qs, 1) != 0) {
        sim_fail("no memory");
    }
    for (unsigned i = 0; i <= OUTSIDERS; i++) {
        threads[i] = sim_thread_start("reader", be_a_reader, &qs);
    }
    sim_wait_idle(); /* all read at the same time */
    sim_wake(&qs);
    for (unsigned i = 0; i <= OUTSIDERS; i++) {
        sim_thread_join(threads[i]);
    }
    rusm__qs_fini(&qs);
}

static void outside_ops(unsigned sender, unsigned ops) {
    for (unsigned i = 0; i < ops; i++) {
        op_anything(sender, NULL, NULL);
    }
    rusm__mem_fail_nth(0);
}

static void *outsider(void *arg) {
    outside_ops((unsigned)(uintptr_t)arg, 10 + sim_below(40));
    return NULL;
}

/* With one allocation that fails, wherever it is, a start leaves nothing behind. */
static void start_without_memory(const rusm_runtime_options *options) {
    size_t blocks = sim_live_blocks();
    rusm__mem_fail_nth(1 + sim_below(160));
    int status = rusm_runtime_start(options, &model.rt);
    rusm__mem_fail_nth(0);
    if (status == RUSM_OK) {
        rusm_runtime_stop(model.rt);
    } else if (status != RUSM_ENOMEM && status != RUSM_EIO) {
        sim_fail("start: answer %d", status);
    }
    if (sim_live_blocks() != blocks) {
        sim_fail("a start that failed (%d) leaves %zu blocks behind", status,
                 sim_live_blocks() - blocks);
    }
}

static void start(void) {
    static const uint32_t most[] = {6, 20, 100};
    model.max_processes = most[sim_below(3)];
    model.starving = sim_chance(30) ? 10 : 0;
    model.violence = sim_below(3) * 50;
    model.tightness = sim_chance(50) ? 15 : 80;
    model.circle = 2 + sim_below(10);
    rusm_runtime_options options = {.size = sizeof(options),
                                    .schedulers = 1 + sim_below(4),
                                    .max_processes = model.max_processes};
    if (sim_chance(10)) {
        start_without_memory(&options);
    }
    int status = rusm_runtime_start(&options, &model.rt);
    if (status) {
        sim_fail("start: answer %d", status);
    }
}

static void act(void) {
    struct sim_thread *threads[OUTSIDERS - 1];
    unsigned count = sim_below(OUTSIDERS);
    for (unsigned i = 0; i < 1 + sim_below(6); i++) {
        op_spawn(ACTORS, NULL, NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "plain-%u", i + 1);
        threads[i] = sim_thread_start(name, outsider, (void *)(uintptr_t)(ACTORS + 1 + i));
    }
    outside_ops(ACTORS, sim_below(30));
    for (unsigned i = 0; i < count; i++) {
        sim_thread_join(threads[i]);
    }
}

static void processes_run(void) {
    start();
    act();
    if (sim_chance(75)) {
        sim_wait_idle();
        check_quiet();
    }
    model.stopping = true;
    rusm_runtime_stop(model.rt);
    check_over();
}

void scenario_run(void) {
    make_records();
    size_t blocks = sim_live_blocks(), bytes = sim_live_bytes();
    if (sim_chance(30)) {
        supervisors_run();
    } else {
        processes_run();
    }
    if (sim_live_blocks() != blocks || sim_live_bytes() != bytes) {
        sim_fail("%zd blocks (%zd bytes) are left", (ssize_t)(sim_live_blocks() - blocks),
                 (ssize_t)(sim_live_bytes() - bytes));
    }
}
