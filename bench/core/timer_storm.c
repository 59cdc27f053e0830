/* SPDX-License-Identifier: MIT */
/* timer-storm: timers per second that are armed with a message and cancelled, while `armed` others
 * wait in the wheels. One process per scheduler arms 256 timers, then cancels each of them; a
 * cancel that does not find its timer ends the run. Deadlines lie 1 to 60 seconds ahead. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum { BATCH = 256, MESSAGE_BYTES = 8 };
static const uint64_t SOONEST_NS = 1000000000;
static const uint64_t SPAN_NS = 59000000000;
static const uint64_t FAR_NS = 3600000000000; /* for those that stay armed */

struct armer {
    BENCH_OWN_LINE struct bench *bench;
    uint64_t random;
    uint64_t base_ns; /* deadlines count from here: when the turn began */
    uint64_t pairs;   /* arm + cancel */
    uint64_t to_arm;  /* that stay armed, before anything else */
    rusm_timer timers[BATCH];
};

static uint64_t deadline(struct armer *armer, uint64_t soonest) {
    armer->random = armer->random * 6364136223846793005u + 1442695040888963407u;
    return armer->base_ns + soonest + (armer->random >> 32) * (SPAN_NS >> 16) / (1u << 16);
}

static rusm_timer arm(struct armer *armer, rusm_pid to, uint64_t soonest) {
    rusm_msg *msg;
    rusm_timer timer;
    bench_check(rusm_msg_new(MESSAGE_BYTES, &msg), "message");
    bench_check(rusm_timer_send(armer->bench->rt, deadline(armer, soonest), to, msg, &timer),
                "timer");
    return timer;
}

static void turn(struct armer *armer, rusm_pid self) {
    armer->base_ns = rusm_now_ns();
    for (unsigned i = 0; i < BATCH; i++) {
        armer->timers[i] = arm(armer, self, SOONEST_NS);
    }
    for (unsigned i = 0; i < BATCH; i++) {
        if (!rusm_timer_cancel(armer->bench->rt, armer->timers[i])) {
            fprintf(stderr, "bench: a timer was not found\n");
            exit(1);
        }
    }
    armer->pairs += BATCH;
}

static rusm_step armer_step(rusm_proc *self, void *body) {
    struct armer *armer = body;
    if (bench_is_over(armer->bench)) {
        return RUSM_STEP_EXIT;
    }
    turn(armer, rusm_proc_pid(self));
    return RUSM_STEP_AGAIN;
}

static void armer_main(rusm_proc *self, void *arg) {
    struct armer *armer = arg;
    while (!bench_is_over(armer->bench)) {
        turn(armer, rusm_proc_pid(self));
        bench_check(rusm_yield(self), "yield");
    }
}

static const struct bench_body armer_body = {.ops = {.name = "armer", .step = armer_step},
                                             .main = armer_main};

/* ---- timers that stay ---- */

static rusm_step filler_step(rusm_proc *self, void *body) {
    struct armer *armer = body;
    armer->base_ns = rusm_now_ns();
    for (unsigned i = 0; i < BATCH && armer->to_arm > 0; i++, armer->to_arm--) {
        arm(armer, rusm_proc_pid(self), FAR_NS);
    }
    return armer->to_arm > 0 ? RUSM_STEP_AGAIN : RUSM_STEP_EXIT;
}

static const struct bench_body filler_body = {.ops = {.name = "filler", .step = filler_step}};

/* ---- the scenario ---- */

static void start_all(struct bench *bench, struct armer *armers, const struct bench_body *body) {
    for (uint32_t i = 0; i < bench->threads; i++) {
        bench_spawn(bench, body, &armers[i], RUSM_SPAWN_PINNED);
    }
}

static void start(struct bench *bench, void *armers) {
    start_all(bench, armers, &armer_body);
}

static uint64_t total(struct bench *bench, struct armer *armers) {
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < bench->threads; i++) {
        pairs += armers[i].pairs;
        armers[i].pairs = 0;
    }
    return pairs;
}

static void run(struct bench *bench) {
    struct armer *armers = bench_alloc(bench->threads, sizeof(*armers));
    for (uint32_t i = 0; i < bench->threads; i++) {
        armers[i].bench = bench;
        armers[i].random = i;
        armers[i].to_arm = bench->size / bench->threads;
    }
    start_all(bench, armers, &filler_body);
    bench_wait_processes(bench, 0);
    bench_phase(bench, bench->seconds / 4, start, armers);
    total(bench, armers);
    struct bench_span span = bench_phase(bench, bench->seconds, start, armers);
    bench_report_rate(bench, (double)total(bench, armers), span, "timers/s", NULL, 0);
    free(armers);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){.name = "timer-storm", .size_name = "armed", .run = run});
}
