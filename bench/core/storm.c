/* SPDX-License-Identifier: MIT */
#include "storm.h"

enum { BATCH = 256 }; /* spawned in one turn; what rusm_yield lets pass as well */

static rusm_step child_step(rusm_proc *self, void *body) {
    (void)self;
    (void)body;
    return RUSM_STEP_EXIT;
}

static void child_main(rusm_proc *self, void *arg) {
    (void)self;
    (void)arg;
}

static const struct bench_body child = {.ops = {.name = "child", .step = child_step},
                                        .main = child_main};

static rusm_step spawner_step(rusm_proc *self, void *body) {
    struct storm *storm = body;
    (void)self;
    if (bench_is_over(storm->bench)) {
        return RUSM_STEP_EXIT;
    }
    for (unsigned i = 0; i < BATCH; i++) {
        bench_spawn(storm->bench, &child, NULL, 0);
    }
    storm->spawned += BATCH;
    return RUSM_STEP_AGAIN;
}

static void spawner_main(rusm_proc *self, void *arg) {
    struct storm *storm = arg;
    while (!bench_is_over(storm->bench) && rusm_yield(self) == 0) {
        bench_spawn(storm->bench, &child, NULL, 0);
        storm->spawned++;
    }
}

static const struct bench_body spawner = {.ops = {.name = "spawner", .step = spawner_step},
                                          .main = spawner_main};

void storm_start(struct bench *bench, void *storms) {
    struct storm *storm = storms;
    for (uint32_t i = 0; i < bench->threads; i++) {
        storm[i].bench = bench;
        /* Plain threads hand pinned processes to the schedulers in turn. */
        bench_spawn(bench, &spawner, &storm[i], RUSM_SPAWN_PINNED);
    }
}

uint64_t storm_total(const struct bench *bench, struct storm *storms) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < bench->threads; i++) {
        total += storms[i].spawned;
        storms[i].spawned = 0;
    }
    return total;
}
