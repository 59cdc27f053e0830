/* SPDX-License-Identifier: MIT */
#include "sleepers.h"

#include <stdlib.h>

enum { BATCH = 256 };

static _Atomic uint64_t parked; /* sleepers that have run */

/* Its first step finds no mail; later ones only come with some. */
static rusm_step sleeper_step(rusm_proc *self, void *body) {
    rusm_msg *msg = rusm_proc_receive(self);
    (void)body;
    if (!msg) {
        atomic_fetch_add_explicit(&parked, 1, memory_order_relaxed);
    }
    for (; msg; msg = rusm_proc_receive(self)) {
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static void sleeper_main(rusm_proc *self, void *arg) {
    rusm_msg *msg;
    (void)arg;
    atomic_fetch_add_explicit(&parked, 1, memory_order_relaxed);
    while (rusm_receive(self, RUSM_FOREVER, &msg) == 0) {
        rusm_msg_free(msg);
    }
}

static const struct bench_body state = {.ops = {.name = "sleeper", .step = sleeper_step}};
static const struct bench_body fiber = {.main = sleeper_main};

/* ---- nurseries: one per scheduler starts its share, so that memory comes from that thread ---- */

struct nursery {
    BENCH_OWN_LINE struct bench *bench;
    uint64_t left;
    bool fiber;
};

static rusm_step nursery_step(rusm_proc *self, void *body) {
    struct nursery *nursery = body;
    (void)self;
    for (unsigned i = 0; i < BATCH && nursery->left > 0; i++, nursery->left--) {
        bench_spawn(nursery->bench, nursery->fiber ? &fiber : &state, NULL, 0);
    }
    return nursery->left > 0 ? RUSM_STEP_AGAIN : RUSM_STEP_EXIT;
}

static const struct bench_body nursery_body = {.ops = {.name = "nursery", .step = nursery_step}};

void sleepers_start(struct bench *bench, uint64_t count, bool as_fiber) {
    size_t before = rusm_runtime_process_count(bench->rt);
    uint64_t awaited = atomic_load_explicit(&parked, memory_order_relaxed) + count;
    struct nursery *nurseries = bench_alloc(bench->threads, sizeof(*nurseries));
    for (uint32_t i = 0; i < bench->threads; i++) {
        nurseries[i].bench = bench;
        nurseries[i].fiber = as_fiber;
        nurseries[i].left = count / bench->threads + (i < count % bench->threads);
        bench_spawn(bench, &nursery_body, &nurseries[i], RUSM_SPAWN_PINNED);
    }
    while (atomic_load_explicit(&parked, memory_order_relaxed) < awaited) {
        bench_sleep(1e-3);
    }
    bench_wait_processes(bench, before + count); /* the nurseries are gone */
    free(nurseries);
}
