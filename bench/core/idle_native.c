/* SPDX-License-Identifier: MIT */
/* idle-native: resident bytes of this program per process that waits, everything included: process,
 * place in the table, stack of a fiber. A state machine has no memory of its own here. Each one
 * ran once, so that what a first step needs is there. */
#include "bench.h"
#include "sleepers.h"

static void run(struct bench *bench) {
    sleepers_start(bench, 1000, bench->fiber); /* whatever is made once */
    uint64_t before = bench_rss();
    sleepers_start(bench, bench->size, bench->fiber);
    uint64_t after = bench_rss();
    bench_report(bench, &(struct bench_result){
                            .value = (double)(after - before) / (double)bench->size,
                            .unit = "bytes/process",
                            .rss_bytes = after,
                        });
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){
            .name = "idle-native", .size_name = "processes", .size = 1000000, .run = run});
}
