/* SPDX-License-Identifier: MIT */
/* ping-pong: messages per second between pairs of processes, both directions counted. p50 and p99
 * are of round trips; one in 64 is timed. */
#include "pair.h"

enum { ONE_IN = 64 };

static void run(struct bench *bench) {
    struct bench_latency latency = {0};
    struct pairs pairs = pairs_new(bench, bench->size, ONE_IN);
    bench_phase(bench, bench->seconds / 4, pairs_start, &pairs);
    pairs_collect(&pairs, &latency);
    latency = (struct bench_latency){0};
    struct bench_span span = bench_phase(bench, bench->seconds, pairs_start, &pairs);
    double messages = (double)pairs_collect(&pairs, &latency);
    bench_report_rate(bench, messages, span, "messages/s", &latency, 0);
    pairs_free(&pairs);
}

int main(int argc, char **argv) {
    return bench_main(argc, argv,
                      &(struct bench_scenario){
                          .name = "ping-pong", .size_name = "pairs", .size = 64, .run = run});
}
