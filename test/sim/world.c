/* SPDX-License-Identifier: MIT */
/* Threads, points and time; see world.h. */
#include "world_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#include "world_calls.h"

struct sim_world sim_world;

/* What the core keeps per thread; the names are the linker's. */
extern unsigned char __start_sim_thread_local[], __stop_sim_thread_local[];
static unsigned char fresh_local[SIM_TLS_BYTES];

static const uint64_t MOST_POINTS = 2000000; /* a run has some ten thousand */
/* Who gets no memory for a timer looks at the clock again and again, which may take seconds: after
 * so many points they pass a thousand times as fast. */
static const uint64_t LONG_POINTS = 500000;

/* ---- telling ---- */

static void where_everybody_is(char *text, size_t bytes) {
    size_t used = strlen(text);
    for (unsigned i = 0; i < sim_world.count && used + 1 < bytes; i++) {
        const struct sim_thread *thread = &sim_world.threads[i];
        static const char *const states[] = {"runs", "waits", "waits for quiet", "is done"};
        int len =
            snprintf(text + used, bytes - used, "; %s %s", thread->name, states[thread->state]);
        used += len > 0 ? (size_t)len : 0;
        if (thread->file && used < bytes && thread->state != SIM_DONE) {
            const char *slash = strrchr(thread->file, '/');
            len = snprintf(text + used, bytes - used, " (%s:%d)", slash ? slash + 1 : thread->file,
                           thread->line);
            used += len > 0 ? (size_t)len : 0;
        }
    }
}

void sim_fail(const char *format, ...) {
    struct sim_report *report = sim_world.report;
    va_list args;
    va_start(args, format);
    vsnprintf(report->text, sizeof(report->text), format, args);
    va_end(args);
    where_everybody_is(report->text, sizeof(report->text));
    report->failed = true;
    _exit(1);
}

void sim_trace(const char *format, ...) {
    if (!sim_world.trace) {
        return;
    }
    fprintf(stderr, "%12llu %-8s ", (unsigned long long)sim_world.now, sim_world.current->name);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void sim_mix(uint64_t what) {
    uint64_t hash = sim_world.report->hash ^ what;
    hash *= 0x9e3779b97f4a7c15ull;
    sim_world.report->hash = hash << 29 | hash >> 35;
}

void sim_note(uint64_t what) {
    sim_mix(what);
}

/* ---- chance ---- */

uint32_t sim_draw(uint32_t bound) {
    return rusm__random_below(&sim_world.random, bound);
}

bool sim_fault(uint32_t one_in) {
    return one_in && sim_draw(one_in) == 0;
}

uint32_t sim_below(uint32_t bound) {
    return rusm__random_below(&sim_world.work, bound);
}

bool sim_chance(uint32_t percent) {
    return sim_below(100) < percent;
}

uint64_t sim_now(void) {
    return sim_world.now;
}

ssize_t sim_entropy(void *out, size_t bytes) {
    unsigned char *at = out;
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (unsigned char)rusm__random_u64(&sim_world.random);
    }
    return (ssize_t)bytes;
}

/* ---- jumping ---- */

static void arrive(void) {
    struct sim_thread *here = sim_world.current;
    struct sim_thread *previous = sim_world.previous;
    (void)here;
    (void)previous;
    RUSM__ASAN_ARRIVE(here->asan_save, &previous->low, &previous->bytes);
}

static void jump_to(struct sim_thread *next) {
    struct sim_thread *here = sim_world.current;
    size_t local = (size_t)(__stop_sim_thread_local - __start_sim_thread_local);
    if (next == here) {
        return;
    }
    memcpy(here->local, __start_sim_thread_local, local);
    memcpy(__start_sim_thread_local, next->local, local);
    sim_world.previous = here;
    sim_world.current = next;
    sim_world.report->switches++;
    here->tsan = RUSM__TSAN_CURRENT();
    RUSM__ASAN_LEAVE(here->state == SIM_DONE ? NULL : &here->asan_save, next->low, next->bytes);
    RUSM__TSAN_SWITCH_TO(next->tsan);
    rusm__switch(&here->context, next->context, NULL);
    arrive();
}

/* Those that can go on; sleepers whose time has come among them. */
static unsigned ready(struct sim_thread **out) {
    unsigned count = 0;
    for (unsigned i = 0; i < sim_world.count; i++) {
        struct sim_thread *thread = &sim_world.threads[i];
        if (thread->state == SIM_BLOCKED && thread->wake_ns <= sim_world.now) {
            thread->state = SIM_RUNNABLE;
        }
        if (thread->state == SIM_RUNNABLE && thread->stalled_until <= sim_world.report->points) {
            out[count++] = thread;
        }
    }
    return count;
}

/* Nobody can go on: end a stall, or leap to the next deadline, or tell who waits for quiet. */
static void move_on(void) {
    struct sim_thread *stalled = NULL, *idler = NULL;
    uint64_t earliest = UINT64_MAX;
    for (unsigned i = 0; i < sim_world.count; i++) {
        struct sim_thread *thread = &sim_world.threads[i];
        if (thread->state == SIM_RUNNABLE && (!stalled || sim_draw(2) == 0)) {
            stalled = thread;
        } else if (thread->state == SIM_BLOCKED && thread->wake_ns < earliest) {
            earliest = thread->wake_ns;
        } else if (thread->state == SIM_IDLER) {
            idler = thread;
        }
    }
    if (stalled && (earliest == UINT64_MAX || sim_draw(2) == 0)) {
        stalled->stalled_until = 0;
    } else if (earliest != UINT64_MAX) {
        sim_world.now = earliest + (sim_draw(4) == 0 ? sim_draw(3000000) : 0);
    } else if (idler) {
        idler->state = SIM_RUNNABLE;
    } else {
        sim_fail("all wait for ever");
    }
}

void sim_switch(void) {
    struct sim_thread *candidates[SIM_MAX_THREADS];
    unsigned count;
    while ((count = ready(candidates)) == 0) {
        move_on();
    }
    struct sim_thread *next = candidates[count > 1 ? sim_draw(count) : 0];
    sim_mix(next->index);
    jump_to(next);
}

void sim_point(const char *file, int line) {
    struct sim_world *world = &sim_world;
    struct sim_thread *here = world->current;
    uint64_t chance = rusm__random_u64(&world->random);
    here->file = file;
    here->line = line;
    sim_mix((uint64_t)line << 8 | here->index);
    if (++world->report->points > MOST_POINTS) {
        sim_fail("no end in sight");
    }
    uint64_t haste = world->report->points > LONG_POINTS ? 1000 : 1;
    world->now += haste * (1 + (chance & 0xff) * world->ns_per_point / 128);
    if (here->pending && (chance >> 8 & 0xff) % world->drain_one_in == 0) {
        sim_flush_one();
    }
    if (world->jump_one_in && (uint32_t)(chance >> 16 & 0xffff) % world->jump_one_in == 0) {
        world->now += sim_draw(50000000);
    }
    if (world->stall_one_in && (uint32_t)(chance >> 32 & 0xffff) % world->stall_one_in == 0) {
        here->stalled_until = world->report->points + 1 + sim_draw(world->stall_points);
        sim_switch();
    } else if ((uint32_t)(chance >> 48) % world->switch_one_in == 0) {
        sim_switch();
    }
}

/* ---- waiting ---- */

void sim_block(const void *on, uint64_t until_ns) {
    struct sim_thread *here = sim_world.current;
    sim_flush();
    here->waits_on = on;
    here->wake_ns = until_ns;
    here->state = SIM_BLOCKED;
    sim_switch();
    here->waits_on = NULL;
}

void sim_wake(const void *on) {
    for (unsigned i = 0; i < sim_world.count; i++) {
        struct sim_thread *thread = &sim_world.threads[i];
        if (thread->state == SIM_BLOCKED && thread->waits_on == on) {
            thread->state = SIM_RUNNABLE;
        }
    }
}

void sim_fence(void) {
    sim_flush();
}

void sim_wait_idle(void) {
    sim_flush();
    sim_world.current->state = SIM_IDLER;
    sim_switch();
}

int sim_sleep(uint64_t ns) {
    sim_block(NULL, sim_world.now + ns);
    return 0;
}

int sim_clock(struct timespec *out_now, const char *file, int line) {
    sim_point(file, line);
    out_now->tv_sec = (time_t)(sim_world.now / 1000000000u);
    out_now->tv_nsec = (long)(sim_world.now % 1000000000u);
    return 0;
}

/* ---- the life of threads ---- */

static void finish_thread(struct sim_thread *here) {
    for (unsigned key = 0; key < sim_world.keys; key++) {
        if (here->specific[key] && sim_world.key_ends[key]) {
            sim_world.key_ends[key]((void *)here->specific[key]);
        }
    }
    sim_flush();
    here->state = SIM_DONE;
    sim_wake(here);
    sim_switch();
    RUSM_CHECK(!"a thread went on after its end");
}

static void entry(void *unused) {
    (void)unused;
    arrive();
    struct sim_thread *here = sim_world.current;
    here->fn(here->arg);
    finish_thread(here);
}

static struct sim_thread *take_place(void) {
    for (unsigned i = 0; i < sim_world.count; i++) {
        if (sim_world.threads[i].state == SIM_DONE && !sim_world.threads[i].stack) {
            return &sim_world.threads[i];
        }
    }
    RUSM_CHECK(sim_world.count < SIM_MAX_THREADS);
    return &sim_world.threads[sim_world.count++];
}

static struct sim_thread *new_thread(const char *name) {
    struct sim_thread *thread = take_place();
    *thread = (struct sim_thread){.index = (unsigned)(thread - sim_world.threads)};
    snprintf(thread->name, sizeof(thread->name), "%s", name);
    memcpy(thread->local, fresh_local, sizeof(fresh_local));
    return thread;
}

struct sim_thread *sim_thread_start(const char *name, void *(*fn)(void *), void *arg) {
    sim_flush();
    struct sim_thread *thread = new_thread(name);
    thread->fn = fn;
    thread->arg = arg;
    thread->bytes = SIM_STACK_BYTES;
    thread->stack = mmap(NULL, SIM_STACK_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    RUSM_CHECK(thread->stack != MAP_FAILED);
    thread->low = thread->stack;
    thread->tsan = RUSM__TSAN_CREATE();
    thread->context = rusm__context_make(thread->stack + SIM_STACK_BYTES, SIM_STACK_BYTES, entry);
    sim_point(__FILE__, __LINE__);
    return thread;
}

void sim_thread_join(struct sim_thread *thread) {
    while (thread->state != SIM_DONE) {
        sim_block(thread, UINT64_MAX);
    }
    RUSM__TSAN_DESTROY(thread->tsan);
    RUSM_CHECK(munmap(thread->stack, SIM_STACK_BYTES) == 0);
    thread->stack = NULL;
}

int sim_thread_create(void **out_thread, void *(*fn)(void *), void *arg) {
    *out_thread = sim_thread_start("thread", fn, arg);
    return 0;
}

int sim_thread_wait(void *thread) {
    sim_thread_join(thread);
    return 0;
}

int sim_thread_let_go(void *thread) {
    (void)thread; /* its stack stays until the end of the run */
    return 0;
}

void sim_thread_name(void *thread, const char *name) {
    struct sim_thread *named = thread ? thread : sim_world.current;
    snprintf(named->name, sizeof(named->name), "%s", name);
}

/* ---- begin and end ---- */

static uint32_t one_of(const uint32_t *choices, uint32_t count) {
    return choices[sim_draw(count)];
}
#define ONE_OF(...)                                                                                \
    one_of((const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void draw_character(struct sim_world *world) {
    world->switch_one_in = ONE_OF(2, 5, 20, 100, 400);
    world->stall_one_in = ONE_OF(0, 100, 1000, 5000);
    world->stall_points = ONE_OF(50, 500, 5000);
    world->jump_one_in = ONE_OF(0, 0, 5000, 60000);
    world->ns_per_point = ONE_OF(20, 500, 5000);
    world->drain_one_in = ONE_OF(2, 10, 60);
    world->weak_stores = sim_draw(2) == 0;
}

void sim_begin(uint64_t seed, bool trace, struct sim_report *report) {
    size_t local = (size_t)(__stop_sim_thread_local - __start_sim_thread_local);
    RUSM_CHECK(local <= SIM_TLS_BYTES);
    memcpy(fresh_local, __start_sim_thread_local, local);
    unsigned keys = sim_world.keys; /* a key is made once in a program */
    void (*key_ends[SIM_KEYS])(void *);
    memcpy(key_ends, sim_world.key_ends, sizeof(key_ends));
    sim_world = (struct sim_world){.report = report, .trace = trace, .now = 1000000000u};
    sim_world.keys = keys;
    memcpy(sim_world.key_ends, key_ends, sizeof(key_ends));
    *report = (struct sim_report){.hash = seed};
    rusm__random_seed(&sim_world.random, seed);
    rusm__random_seed(&sim_world.work, ~seed);
    sim_world.current = new_thread("main");
    draw_character(&sim_world);
}

void sim_end(void) {
    sim_flush();
    struct sim_thread *here = sim_world.current;
    for (unsigned key = 0; key < sim_world.keys; key++) {
        if (here->specific[key] && sim_world.key_ends[key]) {
            sim_world.key_ends[key]((void *)here->specific[key]);
        }
    }
    sim_world.report->now_ns = sim_world.now;
}
