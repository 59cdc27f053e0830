/* SPDX-License-Identifier: MIT */
/* fault-recovery: restarts per second under supervisors whose child crashes as soon as it runs,
 * without back-off and with a budget that never ends. p50 and p99: from the crash to the start of
 * the next child's body; one in 16 is timed. */
#include <stdlib.h>

#include "rusm/error.h"
#include "rusm/supervisor.h"

#include "bench.h"

enum { ONE_IN = 16 };

struct tree {
    BENCH_OWN_LINE struct bench *bench;
    rusm_pid supervisor;
    uint64_t starts;
    uint64_t crashed_ns; /* when the timed child ended, 0 = the present restart is not timed */
    struct bench_latency latency;
};

struct forest {
    struct tree *trees;
    uint64_t count;
};

static void child_life(rusm_proc *self, struct tree *tree) {
    if (tree->crashed_ns) {
        bench_latency_add(&tree->latency, rusm_now_ns() - tree->crashed_ns);
        tree->crashed_ns = 0;
    }
    if (!bench_is_over(tree->bench)) {
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, NULL);
        tree->crashed_ns = tree->starts % ONE_IN == 0 ? rusm_now_ns() : 0;
    } else {
        rusm_pid_kill(tree->bench->rt, tree->supervisor);
    }
}

static rusm_step child_step(rusm_proc *self, void *body) {
    child_life(self, body);
    return RUSM_STEP_EXIT;
}

static void child_main(rusm_proc *self, void *arg) {
    child_life(self, arg);
}

static const rusm_body_ops child_ops = {.name = "child", .step = child_step};

static int start_child(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    struct tree *tree = arg;
    tree->supervisor = rusm_proc_pid(self);
    tree->starts++;
    if (!tree->bench->fiber) {
        spawn->ops = &child_ops;
        spawn->body = tree;
        return rusm_proc_spawn(tree->bench->rt, spawn, out_pid);
    }
    rusm_fiber_options options = {
        .size = sizeof(options), .main = child_main, .arg = tree, .spawn = *spawn};
    return rusm_fiber_spawn(tree->bench->rt, &options, out_pid);
}

static void start(struct bench *bench, void *arg) {
    struct forest *forest = arg;
    for (uint64_t i = 0; i < forest->count; i++) {
        rusm_child child = {.size = sizeof(child),
                            .id = "child",
                            .start = start_child,
                            .arg = &forest->trees[i],
                            .restart = RUSM_RESTART_TRANSIENT};
        rusm_supervisor_options options = {.size = sizeof(options),
                                           .budget = {RUSM_RESTARTS_UNLIMITED, UINT64_MAX},
                                           .children = &child,
                                           .child_count = 1};
        rusm_pid pid;
        forest->trees[i].bench = bench;
        bench_check(rusm_supervisor_start(bench->rt, &options, &pid, NULL), "supervisor");
    }
}

static uint64_t collect(struct forest *forest, struct bench_latency *latency) {
    uint64_t restarts = 0;
    for (uint64_t i = 0; i < forest->count; i++) {
        struct tree *tree = &forest->trees[i];
        restarts += tree->starts - 1;
        bench_latency_merge(latency, &tree->latency);
        *tree = (struct tree){0};
    }
    return restarts;
}

static void run(struct bench *bench) {
    struct bench_latency latency = {0};
    struct forest forest = {.trees = bench_alloc(bench->size, sizeof(struct tree)),
                            .count = bench->size};
    bench_phase(bench, bench->seconds / 4, start, &forest);
    collect(&forest, &latency);
    latency = (struct bench_latency){0};
    struct bench_span span = bench_phase(bench, bench->seconds, start, &forest);
    double restarts = (double)collect(&forest, &latency);
    bench_report_rate(bench, restarts, span, "restarts/s", &latency, 0);
    free(forest.trees);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){
            .name = "fault-recovery", .size_name = "supervisors", .size = 64, .run = run});
}
