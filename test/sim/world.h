/* SPDX-License-Identifier: MIT */
/* A machine in one thread: threads, memory order, locks, time, random numbers and the allocator of
 * the simulated core, all decided by one seed.
 *
 * replace.h, which the core's sources are compiled with, turns every atomic operation, every lock
 * and every thread call into a call of this file. So each of them is a point at which the world may
 * let another thread go on: interleavings inside operations are explored, wherever somebody uses an
 * atomic, without a mark in the sources.
 *
 * Threads are stacks that jump to each other. What is thread-local in the core lies in one section
 * that is swapped at each jump. Time passes a little at every point, and leaps to the next deadline
 * when all wait. Stores weaker than seq_cst may stay in a buffer of their thread for a while, as
 * they do on x86, so a missing fence is a bug that can be seen. What is not explored: loads that
 * are reordered, as on ARM.
 *
 * Everything here ends the program with a text when something is wrong (sim_fail): one run is one
 * program. */
#ifndef RUSM_TEST_SIM_WORLD_H
#define RUSM_TEST_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_MAX_THREADS = 16 };

/* ---- for the runner ---- */

/* What a run tells; lies in memory that is shared with who waits for its end. */
struct sim_report {
    uint64_t hash;   /* of every decision and what led to it */
    uint64_t points; /* passed */
    uint64_t switches;
    uint64_t now_ns;
    bool failed;
    char text[500];
};

/* Begin: the calling thread becomes the first of the world. */
void sim_begin(uint64_t seed, bool trace, struct sim_report *report);
void sim_end(void);

/* ---- for the workload ---- */

_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Goes into the hash: something that was observed. */
void sim_note(uint64_t what);

uint64_t sim_now(void);
uint32_t sim_below(uint32_t bound); /* the workload's own stream */
bool sim_chance(uint32_t percent);

struct sim_thread;
struct sim_thread *sim_thread_start(const char *name, void *(*fn)(void *), void *arg);
void sim_thread_join(struct sim_thread *thread);

/* Everything that this thread stored is visible. */
void sim_fence(void);

/* Wait until nothing can happen any more: every other thread waits, without a deadline. */
void sim_wait_idle(void);

/* Allocations of the core that live now, mapped stacks included. */
size_t sim_live_blocks(void);
size_t sim_live_bytes(void);

/* ---- for loop.c, the event loop of a simulated scheduler ---- */

/* Wait until sim_wake(on), or the time has come. */
void sim_block(const void *on, uint64_t until_ns);
void sim_wake(const void *on);
bool sim_fault(uint32_t one_in); /* from the world's stream: something unusual happens now */

#endif
