/* SPDX-License-Identifier: MIT */
/* What the native benches share: settings, actors in both styles, phases, results.
 *
 * One run of a program is one measurement: a runtime is started, the scenario runs once to warm up
 * and once for the figure, and one line per figure is printed in the form of bench/lib/core.sh,
 * which repeats runs and takes medians. A phase starts actors from the main thread, lets them run
 * for the set time, tells them to stop, and lasts until the last one has been reaped, so everything
 * that is counted was finished inside the time that is counted.
 *
 * The main thread sleeps during a phase. Whatever fails ends the program with a text and status 1:
 * a figure of a run in which something failed would mean nothing. */
#ifndef BENCH_H
#define BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/fiber.h"
#include "rusm/process.h"
#include "rusm/runtime.h"

/* Actors count in memory of their own, so that counting does not couple cores. */
#define BENCH_OWN_LINE _Alignas(128)

enum { BENCH_GUESTS = 4 };

struct bench {
    rusm_runtime *rt;
    uint32_t threads;
    bool fiber;
    double seconds;
    uint64_t size; /* pairs, live processes: what the scenario says */
    /* --guest FILE, once or more, --memory-mb N, --limit-ms N: for the scenarios of bench/wasm */
    const char *guests[BENCH_GUESTS];
    uint32_t guest_count;
    uint32_t memory_mb;
    uint32_t limit_ms; /* of cpu-ms and deadline-ms; 0: none */
    const struct bench_scenario *scenario;
    BENCH_OWN_LINE _Atomic bool stop;
};

struct bench_scenario {
    const char *name;
    const char *size_name; /* key under which size is printed; NULL: the scenario has none */
    uint64_t size;         /* default */
    bool wasm;             /* its processes are guests: --guest and --memory-mb, no --body */
    void (*run)(struct bench *bench);
};

/* Parse options, start the runtime, run, stop. Options: --threads N --body state|fiber --seconds S
 * --size N; of guests: --guest FILE (up to BENCH_GUESTS times), --memory-mb N, --limit-ms N. The
 * value is for main to return. */
int bench_main(int argc, char **argv, const struct bench_scenario *scenario);

/* End the program unless status is RUSM_OK. */
void bench_check(int status, const char *what);
/* calloc on cache lines of its own, or the end of the program. free() gives it back. */
void *bench_alloc(size_t count, size_t bytes);

/* ---- actors ---- */

/* One behaviour in both styles. */
struct bench_body {
    rusm_body_ops ops;
    rusm_fiber_main main; /* NULL: a state machine whatever the settings say */
    uint32_t mailbox;     /* bound in messages, 0 = the default */
};

/* Any thread. arg stays the scenario's. */
rusm_pid bench_spawn(struct bench *bench, const struct bench_body *body, void *arg, uint32_t flags);

static inline bool bench_is_over(const struct bench *bench) {
    /* relaxed: seen a moment later is soon enough */
    return atomic_load_explicit(&bench->stop, memory_order_relaxed);
}

/* ---- phases ---- */

struct bench_span {
    double seconds;
    double cpu_seconds; /* of all threads together */
};

/* start(bench, arg) starts the actors; the span is from its call to the end of the last process.
 * Processes that were there before stay. */
struct bench_span bench_phase(struct bench *bench, double seconds,
                              void (*start)(struct bench *, void *), void *arg);
/* A phase of a quarter of the set time to warm up, then the one that counts. start makes the actors
 * anew: what they counted before is forgotten. */
struct bench_span bench_measure(struct bench *bench, void (*start)(struct bench *, void *),
                                void *arg);
/* Wait until no more than `kept` processes are left. */
void bench_wait_processes(struct bench *bench, size_t kept);
void bench_sleep(double seconds);

/* ---- results ---- */

struct bench_latency {
    uint64_t count;
    uint32_t buckets[64 * 16]; /* a power of two in sixteen steps: 6 % wide */
};
void bench_latency_add(struct bench_latency *latency, uint64_t ns);
void bench_latency_merge(struct bench_latency *into, const struct bench_latency *from);
/* The time that a share of all samples stays below, in microseconds. */
double bench_latency_us(const struct bench_latency *latency, double share);

/* One figure. What is 0 or NULL is left out, but for the value. */
struct bench_result {
    const char *suffix; /* added to the scenario's name: "-message" */
    double value;
    const char *unit;
    double operations; /* with span: the CPU time that one took is printed as cpu_ns */
    struct bench_span span;
    const struct bench_latency *latency; /* p50_us, p99_us */
    uint64_t rss_bytes;                  /* rss_mb */
};
void bench_report(const struct bench *bench, const struct bench_result *result);
/* The common case: operations per second of elapsed time. */
void bench_report_rate(const struct bench *bench, double operations, struct bench_span span,
                       const char *unit, const struct bench_latency *latency, uint64_t rss_bytes);

/* Resident memory of this program, now and at its highest. */
uint64_t bench_rss(void);
uint64_t bench_rss_peak(void);

#endif
