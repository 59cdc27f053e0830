/* SPDX-License-Identifier: MIT */
/* mixed-latency: round trips of pairs beside processes that only compute and never wait, as many as
 * half the threads, at least one. Such a process works in pieces of a fraction of a microsecond and
 * says after each that others may run; the budget is the runtime's (fiber) or 256 pieces (state
 * machine). Every round trip is timed; the value is the 99th percentile. */
#include <stdlib.h>

#include "pair.h"

enum { TURN = 256, PIECE = 256 };

struct hog {
    BENCH_OWN_LINE struct bench *bench;
    volatile uint64_t sum; /* so that the work is done */
};

struct load {
    struct hog *hogs;
    struct pairs pairs;
};

static void compute(struct hog *hog) {
    uint64_t sum = hog->sum;
    for (unsigned i = 0; i < PIECE; i++) {
        sum = sum * 6364136223846793005u + 1442695040888963407u;
    }
    hog->sum = sum;
}

static rusm_step hog_step(rusm_proc *self, void *body) {
    struct hog *hog = body;
    (void)self;
    for (unsigned i = 0; i < TURN; i++) {
        compute(hog);
    }
    return bench_is_over(hog->bench) ? RUSM_STEP_EXIT : RUSM_STEP_AGAIN;
}

static void hog_main(rusm_proc *self, void *arg) {
    struct hog *hog = arg;
    while (!bench_is_over(hog->bench) && rusm_yield(self) == 0) {
        compute(hog);
    }
}

static const struct bench_body hog_body = {.ops = {.name = "hog", .step = hog_step},
                                           .main = hog_main};

static uint32_t hog_count(const struct bench *bench) {
    return bench->threads / 2 ? bench->threads / 2 : 1;
}

static void start(struct bench *bench, void *arg) {
    struct load *load = arg;
    for (uint32_t i = 0; i < hog_count(bench); i++) {
        load->hogs[i].bench = bench;
        bench_spawn(bench, &hog_body, &load->hogs[i], 0);
    }
    pairs_start(bench, &load->pairs);
}

static void run(struct bench *bench) {
    struct bench_latency latency = {0};
    struct load load = {.hogs = bench_alloc(hog_count(bench), sizeof(struct hog)),
                        .pairs = pairs_new(bench, bench->size, 1)};
    bench_phase(bench, bench->seconds / 4, start, &load);
    pairs_collect(&load.pairs, &latency);
    latency = (struct bench_latency){0};
    bench_phase(bench, bench->seconds, start, &load);
    pairs_collect(&load.pairs, &latency);
    bench_report(bench, &(struct bench_result){.value = bench_latency_us(&latency, 0.99),
                                               .unit = "us",
                                               .latency = &latency});
    pairs_free(&load.pairs);
    free(load.hogs);
}

int main(int argc, char **argv) {
    return bench_main(argc, argv,
                      &(struct bench_scenario){
                          .name = "mixed-latency", .size_name = "pairs", .size = 8, .run = run});
}
