/* SPDX-License-Identifier: MIT */
/* The world from the inside: threads and points (world.c), atomics and locks (world_sync.c), memory
 * (world_memory.c). Compiled without replace.h. */
#ifndef RUSM_TEST_SIM_WORLD_IMPL_H
#define RUSM_TEST_SIM_WORLD_IMPL_H

#include "base/random.h"
#include "proc/fiber_switch.h"

#include "world.h"

enum { SIM_BUFFER = 8, SIM_KEYS = 4, SIM_TLS_BYTES = 1024, SIM_STACK_BYTES = 256 * 1024 };

/* A store that only its own thread sees yet. */
struct sim_pending {
    void *at;
    size_t bytes;
    unsigned char value[8];
};

enum sim_state { SIM_RUNNABLE, SIM_BLOCKED, SIM_IDLER, SIM_DONE };

struct sim_thread {
    enum sim_state state;
    unsigned index;
    char name[16];
    void *(*fn)(void *arg);
    void *arg;
    /* Where it stopped. */
    rusm__context context;
    char *stack; /* NULL: the stack of the program */
    const void *low;
    size_t bytes;
    void *asan_save;
    void *tsan;
    const char *file;
    int line;
    /* Why it does not run. */
    const void *waits_on;
    uint64_t wake_ns;
    uint64_t stalled_until; /* points */
    /* What is its own. */
    struct sim_pending buffer[SIM_BUFFER];
    unsigned pending;
    const void *specific[SIM_KEYS];
    unsigned char local[SIM_TLS_BYTES];
};

struct sim_world {
    struct sim_report *report;
    bool trace;
    struct rusm__random random; /* the world's choices */
    struct rusm__random work;   /* the workload's */
    uint64_t now;
    struct sim_thread threads[SIM_MAX_THREADS];
    unsigned count;
    struct sim_thread *current;
    struct sim_thread *previous;
    /* The character of this run, drawn from the seed. */
    uint32_t switch_one_in;
    uint32_t stall_one_in; /* 0 = never; likewise below */
    uint32_t stall_points;
    uint32_t jump_one_in;
    uint32_t ns_per_point;
    uint32_t drain_one_in;
    bool weak_stores;
    void (*key_ends[SIM_KEYS])(void *);
    unsigned keys;
};

extern struct sim_world sim_world;

/* A point: time passes, another thread may go on. */
void sim_point(const char *file, int line);
void sim_switch(void); /* the present thread cannot go on, or need not */
void sim_mix(uint64_t what);
uint32_t sim_draw(uint32_t bound);
/* Make stores of the present thread visible: all, or the oldest. */
void sim_flush(void);
void sim_flush_one(void);

#endif
