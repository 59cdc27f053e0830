/* SPDX-License-Identifier: MIT */
/* spawn-scale: what a spawn (to its reaping) and a message cost in scheduler time while `live`
 * other processes wait. Scheduler time is elapsed time times threads, so more threads do not look
 * cheaper. The sleepers are state machines; spawned processes and pairs are of the set body.
 *
 *   spawn-scale           spawners on every scheduler, as in spawn-storm
 *   spawn-scale-message   one pair per scheduler, as in ping-pong
 *   spawn-scale-visit     a message to one of the sleepers, chosen at random, which wakes it: here
 *                         the memory of each one is touched, so the caches' sizes show */
#include <stdlib.h>

#include "rusm/error.h"

#include "pair.h"
#include "sleepers.h"
#include "storm.h"

static void report(const struct bench *bench, const char *suffix, struct bench_span span,
                   uint64_t operations, const char *unit) {
    bench_report(bench, &(struct bench_result){.suffix = suffix,
                                               .value = span.seconds * 1e9 * bench->threads /
                                                        (double)operations,
                                               .unit = unit,
                                               .operations = (double)operations,
                                               .span = span});
}

static void spawns(struct bench *bench) {
    struct storm *storms = bench_alloc(bench->threads, sizeof(*storms));
    bench_phase(bench, bench->seconds / 4, storm_start, storms);
    storm_total(bench, storms);
    struct bench_span span = bench_phase(bench, bench->seconds, storm_start, storms);
    report(bench, "", span, storm_total(bench, storms), "ns/spawn");
    free(storms);
}

static void messages(struct bench *bench) {
    struct bench_latency latency = {0};
    struct pairs pairs = pairs_new(bench, bench->threads, UINT32_MAX);
    bench_phase(bench, bench->seconds / 4, pairs_start, &pairs);
    pairs_collect(&pairs, &latency);
    struct bench_span span = bench_phase(bench, bench->seconds, pairs_start, &pairs);
    report(bench, "-message", span, pairs_collect(&pairs, &latency), "ns/message");
    pairs_free(&pairs);
}

/* ---- visits ---- */

enum { TURN = 64 };

struct visitor {
    BENCH_OWN_LINE struct bench *bench;
    rusm_pid *pids;
    size_t count;
    uint64_t random;
    uint64_t visits;
};

static void visit(struct visitor *visitor) {
    rusm_msg *msg;
    visitor->random = visitor->random * 6364136223846793005u + 1442695040888963407u;
    size_t index = (size_t)((visitor->random >> 32) * visitor->count >> 32);
    bench_check(rusm_msg_new(8, &msg), "message");
    bench_check(rusm_msg_send(visitor->bench->rt, visitor->pids[index], msg), "send");
    visitor->visits++;
}

static rusm_step visitor_step(rusm_proc *self, void *body) {
    struct visitor *visitor = body;
    (void)self;
    if (bench_is_over(visitor->bench)) {
        return RUSM_STEP_EXIT;
    }
    for (unsigned i = 0; i < TURN; i++) {
        visit(visitor);
    }
    return RUSM_STEP_AGAIN;
}

static const struct bench_body visitor_body = {.ops = {.name = "visitor", .step = visitor_step}};

static void visitors_start(struct bench *bench, void *arg) {
    struct visitor *visitors = arg;
    for (uint32_t i = 0; i < bench->threads; i++) {
        bench_spawn(bench, &visitor_body, &visitors[i], RUSM_SPAWN_PINNED);
    }
}

static uint64_t visits_total(struct bench *bench, struct visitor *visitors) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < bench->threads; i++) {
        total += visitors[i].visits;
        visitors[i].visits = 0;
    }
    return total;
}

static void visits(struct bench *bench) {
    rusm_pid *pids = bench_alloc(bench->size, sizeof(*pids));
    size_t count = rusm_pid_list(bench->rt, pids, bench->size);
    struct visitor *visitors = bench_alloc(bench->threads, sizeof(*visitors));
    for (uint32_t i = 0; i < bench->threads; i++) {
        visitors[i] = (struct visitor){.bench = bench, .pids = pids, .count = count, .random = i};
    }
    bench_phase(bench, bench->seconds / 4, visitors_start, visitors);
    visits_total(bench, visitors);
    struct bench_span span = bench_phase(bench, bench->seconds, visitors_start, visitors);
    report(bench, "-visit", span, visits_total(bench, visitors), "ns/message");
    free(visitors);
    free(pids);
}

static void run(struct bench *bench) {
    sleepers_start(bench, bench->size, false);
    spawns(bench);
    messages(bench);
    if (!bench->fiber) {
        visits(bench);
    }
}

int main(int argc, char **argv) {
    return bench_main(argc, argv,
                      &(struct bench_scenario){
                          .name = "spawn-scale", .size_name = "live", .size = 1000, .run = run});
}
