/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "rusm/error.h"

enum { STEPS = 16, STEP_BITS = 4, LINE_BYTES = 128 };

void bench_check(int status, const char *what) {
    if (status != RUSM_OK) {
        fprintf(stderr, "bench: %s: %s\n", what, rusm_error_text(status));
        exit(1);
    }
}

void *bench_alloc(size_t count, size_t bytes) {
    size_t rounded = (count * bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    void *memory = aligned_alloc(LINE_BYTES, rounded);
    if (!memory) {
        fprintf(stderr, "bench: no memory for %zu bytes\n", rounded);
        exit(1);
    }
    return memset(memory, 0, rounded);
}

/* ---- actors ---- */

rusm_pid bench_spawn(struct bench *bench, const struct bench_body *body, void *arg,
                     uint32_t flags) {
    rusm_spawn_options spawn = {.size = sizeof(spawn), .ops = &body->ops, .body = arg};
    rusm_pid pid;
    spawn.flags = flags;
    spawn.mailbox_messages = body->mailbox;
    if (bench->fiber && body->main) {
        rusm_fiber_options options = {
            .size = sizeof(options), .main = body->main, .arg = arg, .spawn = spawn};
        bench_check(rusm_fiber_spawn(bench->rt, &options, &pid), "spawn of a fiber");
    } else {
        bench_check(rusm_proc_spawn(bench->rt, &spawn, &pid), "spawn");
    }
    return pid;
}

/* ---- phases ---- */

void bench_sleep(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

void bench_wait_processes(struct bench *bench, size_t kept) {
    while (rusm_runtime_process_count(bench->rt) > kept) {
        bench_sleep(100e-6);
    }
}

static double cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

struct bench_span bench_phase(struct bench *bench, double seconds,
                              void (*start)(struct bench *, void *), void *arg) {
    size_t kept = rusm_runtime_process_count(bench->rt);
    atomic_store_explicit(&bench->stop, false, memory_order_relaxed);
    uint64_t begin = rusm_now_ns();
    double cpu_begin = cpu_seconds();
    start(bench, arg);
    bench_sleep(seconds);
    atomic_store_explicit(&bench->stop, true, memory_order_relaxed);
    bench_wait_processes(bench, kept);
    return (struct bench_span){.seconds = (double)(rusm_now_ns() - begin) / 1e9,
                               .cpu_seconds = cpu_seconds() - cpu_begin};
}

struct bench_span bench_measure(struct bench *bench, void (*start)(struct bench *, void *),
                                void *arg) {
    (void)bench_phase(bench, bench->seconds / 4, start, arg);
    return bench_phase(bench, bench->seconds, start, arg);
}

/* ---- latencies: log-linear buckets ---- */

static unsigned bucket_of(uint64_t ns) {
    if (ns < STEPS) {
        return (unsigned)ns;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    unsigned step = (unsigned)(ns >> (power - STEP_BITS)) & (STEPS - 1);
    return (power - STEP_BITS + 1) * STEPS + step;
}

/* The middle of a bucket. */
static double ns_of(unsigned bucket) {
    if (bucket < STEPS) {
        return bucket;
    }
    unsigned power = bucket / STEPS + STEP_BITS - 1;
    double width = (double)((uint64_t)1 << (power - STEP_BITS));
    return (double)(STEPS + bucket % STEPS) * width + width / 2;
}

void bench_latency_add(struct bench_latency *latency, uint64_t ns) {
    latency->count++;
    latency->buckets[bucket_of(ns)]++;
}

void bench_latency_merge(struct bench_latency *into, const struct bench_latency *from) {
    into->count += from->count;
    for (unsigned i = 0; i < sizeof(into->buckets) / sizeof(into->buckets[0]); i++) {
        into->buckets[i] += from->buckets[i];
    }
}

double bench_latency_us(const struct bench_latency *latency, double share) {
    double rank = (double)latency->count * share;
    uint64_t below = 0;
    for (unsigned i = 0; i < sizeof(latency->buckets) / sizeof(latency->buckets[0]); i++) {
        below += latency->buckets[i];
        if (below > 0 && (double)below >= rank) {
            return ns_of(i) / 1000;
        }
    }
    return 0;
}

/* ---- results ---- */

uint64_t bench_rss(void) {
    unsigned long size = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2) {
        fprintf(stderr, "bench: cannot read /proc/self/statm\n");
        exit(1);
    }
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t bench_rss_peak(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024;
}

/* What kind of processes it was. Of guests: the ceiling of their memory, which decides how they are
 * kept (src/sandbox/pools.h). */
static void print_body(const struct bench *bench) {
    if (bench->scenario->wasm) {
        printf(" body=wasm-%um%s", bench->memory_mb, bench->limit_ms ? "-limited" : "");
    } else {
        printf(" body=%s", bench->fiber ? "fiber" : "state");
    }
}

void bench_report(const struct bench *bench, const struct bench_result *result) {
    printf("%s%s value=%.2f unit=%s threads=%u", bench->scenario->name,
           result->suffix ? result->suffix : "", result->value, result->unit, bench->threads);
    print_body(bench);
    if (bench->scenario->size_name) {
        printf(" %s=%llu", bench->scenario->size_name, (unsigned long long)bench->size);
    }
    if (result->operations > 0) {
        printf(" cpu_ns=%.1f", result->span.cpu_seconds * 1e9 / result->operations);
    }
    if (result->latency) {
        printf(" p50_us=%.3f p99_us=%.3f", bench_latency_us(result->latency, 0.5),
               bench_latency_us(result->latency, 0.99));
    }
    if (result->rss_bytes) {
        printf(" rss_mb=%.1f", (double)result->rss_bytes / 1e6);
    }
    printf("\n");
}

void bench_report_rate(const struct bench *bench, double operations, struct bench_span span,
                       const char *unit, const struct bench_latency *latency, uint64_t rss_bytes) {
    bench_report(bench, &(struct bench_result){.value = operations / span.seconds,
                                               .unit = unit,
                                               .operations = operations,
                                               .span = span,
                                               .latency = latency,
                                               .rss_bytes = rss_bytes});
}

/* ---- the program ---- */

static void wrong_use(const char *program) {
    fprintf(stderr,
            "usage: %s [--threads N] [--body state|fiber] [--seconds S] [--size N]\n"
            "       of guests, instead of --body: --guest FILE... [--memory-mb N] [--limit-ms N]\n"
            "  N from 1 to 250 threads, S above 0 and up to 3600\n",
            program);
    exit(2);
}

static double number(const char *program, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most)) {
        wrong_use(program);
    }
    return value;
}

/* Options that only benches of guests have. */
static bool parse_wasm(struct bench *bench, const char *program, const char *key,
                       const char *value) {
    if (!bench->scenario->wasm) {
        return false;
    }
    if (strcmp(key, "--memory-mb") == 0) {
        bench->memory_mb = (uint32_t)number(program, value, 1, 4096);
        return true;
    }
    if (strcmp(key, "--limit-ms") == 0) {
        bench->limit_ms = (uint32_t)number(program, value, 1, 3600000);
        return true;
    }
    if (strcmp(key, "--guest") != 0 || bench->guest_count == BENCH_GUESTS) {
        return false;
    }
    bench->guests[bench->guest_count++] = value;
    return true;
}

static bool parse_body(struct bench *bench, const char *key, const char *value) {
    if (bench->scenario->wasm || strcmp(key, "--body") != 0) {
        return false;
    }
    bench->fiber = strcmp(value, "fiber") == 0;
    return bench->fiber || strcmp(value, "state") == 0;
}

static void parse(struct bench *bench, int argc, char **argv) {
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--threads") == 0) {
            bench->threads = (uint32_t)number(argv[0], value, 1, 250);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            bench->seconds = number(argv[0], value, 1e-3, 3600);
        } else if (strcmp(argv[i], "--size") == 0 && bench->scenario->size_name) {
            bench->size = (uint64_t)number(argv[0], value, 0, 1e9);
        } else if (!parse_body(bench, argv[i], value) &&
                   !parse_wasm(bench, argv[0], argv[i], value)) {
            wrong_use(argv[0]);
        }
    }
}

int bench_main(int argc, char **argv, const struct bench_scenario *scenario) {
    struct bench *bench = bench_alloc(1, sizeof(*bench));
    bench->scenario = scenario;
    bench->threads = 2;
    bench->seconds = 1;
    bench->size = scenario->size;
    bench->memory_mb = 64; /* what a profile has by default */
    parse(bench, argc, argv);
    if (scenario->wasm && !bench->guest_count) {
        wrong_use(argv[0]);
    }
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = bench->threads};
    bench_check(rusm_runtime_start(&options, &bench->rt), "start of the runtime");
    scenario->run(bench);
    rusm_runtime_stop(bench->rt);
    free(bench);
    return 0;
}
