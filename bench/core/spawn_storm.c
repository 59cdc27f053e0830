/* SPDX-License-Identifier: MIT */
/* spawn-storm: processes per second that are spawned, run, end and are reaped. */
#include <stdlib.h>

#include "storm.h"

static void run(struct bench *bench) {
    struct storm *storms = bench_alloc(bench->threads, sizeof(*storms));
    bench_phase(bench, bench->seconds / 4, storm_start, storms);
    storm_total(bench, storms);
    struct bench_span span = bench_phase(bench, bench->seconds, storm_start, storms);
    bench_report_rate(bench, (double)storm_total(bench, storms), span, "spawns/s", NULL, 0);
    free(storms);
}

int main(int argc, char **argv) {
    return bench_main(argc, argv, &(struct bench_scenario){.name = "spawn-storm", .run = run});
}
