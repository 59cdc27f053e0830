/* SPDX-License-Identifier: MIT */
/* fault-recovery: restarts per second under supervisors whose child crashes as soon as it runs,
 * without back-off and with a budget that never ends. p50 and p99: from the crash to the start of
 * the next child's body; one in 16 is timed. */
#include <stdlib.h>

#include "rusm/error.h"

#include "bench.h"
#include "sup/one.h"

enum { ONE_IN = 16 };

struct tree {
    BENCH_OWN_LINE struct bench *bench;
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
    } /* else it ends normally, and with it the supervisor */
}

static rusm_step child_step(rusm_proc *self, void *body) {
    child_life(self, body);
    return RUSM_STEP_EXIT;
}

static void child_main(rusm_proc *self, void *arg) {
    child_life(self, arg);
}

static const rusm_body_ops child_ops = {.name = "child", .step = child_step};

static int start_child(void *data, rusm_pid supervisor, uint64_t ref, rusm_pid *out_pid) {
    struct tree *tree = data;
    rusm_spawn_options spawn = {.size = sizeof(spawn),
                                .ops = &child_ops,
                                .body = tree,
                                .monitor_by = supervisor,
                                .monitor_ref = ref};
    tree->starts++;
    if (!tree->bench->fiber) {
        return rusm_proc_spawn(tree->bench->rt, &spawn, out_pid);
    }
    rusm_fiber_options options = {
        .size = sizeof(options), .main = child_main, .arg = tree, .spawn = spawn};
    return rusm_fiber_spawn(tree->bench->rt, &options, out_pid);
}

static void start(struct bench *bench, void *arg) {
    struct forest *forest = arg;
    /* The window is over at once, so no restart is ever one too many. */
    struct rusm__sup_policy policy = {
        .type = RUSM__SUP_TRANSIENT, .max_restarts = RUSM__SUP_MAX_RESTARTS, .window_ns = 1};
    for (uint64_t i = 0; i < forest->count; i++) {
        struct rusm__sup_child child = {
            .name = "child", .start = start_child, .data = &forest->trees[i]};
        rusm_pid pid;
        forest->trees[i].bench = bench;
        bench_check(rusm__sup_one_start(bench->rt, &child, &policy, &pid), "supervisor");
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
