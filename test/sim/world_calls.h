/* SPDX-License-Identifier: MIT */
/* What the macros of replace.h call. */
#ifndef RUSM_TEST_SIM_WORLD_CALLS_H
#define RUSM_TEST_SIM_WORLD_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* world_sync.c: atomics */
void sim_atomic_load(const void *from, void *to, size_t bytes, const char *file, int line);
void sim_atomic_store(void *to, const void *from, size_t bytes, int order, const char *file,
                      int line);
/* A point at which all stores of this thread become visible; what follows is one step. */
void sim_atomic_step(const char *file, int line);
void sim_atomic_fence(int order, const char *file, int line);
bool sim_atomic_swap(void *at, void *expected, const void *wanted, size_t bytes, bool weak,
                     const char *file, int line);

/* world_sync.c: locks; world.c: threads */
struct sim_mutex {
    unsigned owner; /* 1 + thread; 0 = free */
    bool ready;
};
struct sim_cond {
    unsigned waiters;
};

int sim_thread_create(void **out_thread, void *(*fn)(void *), void *arg);
int sim_thread_wait(void *thread);
int sim_thread_let_go(void *thread);
void sim_thread_name(void *thread, const char *name); /* NULL: the one that runs */
int sim_mutex_init(struct sim_mutex *mutex);
int sim_mutex_destroy(struct sim_mutex *mutex);
int sim_mutex_lock(struct sim_mutex *mutex, const char *file, int line);
int sim_mutex_trylock(struct sim_mutex *mutex, const char *file, int line);
int sim_mutex_unlock(struct sim_mutex *mutex, const char *file, int line);
int sim_cond_init(struct sim_cond *cond);
int sim_cond_wait(struct sim_cond *cond, struct sim_mutex *mutex, uint64_t until_ns);
int sim_cond_wake(struct sim_cond *cond);
int sim_key_create(unsigned *out_key, void (*at_end)(void *));
int sim_key_set(unsigned key, const void *value);

/* world.c: time and chance; world_memory.c: memory */
int sim_clock(struct timespec *out_now, const char *file, int line);
int sim_sleep(uint64_t ns);
ssize_t sim_entropy(void *out, size_t bytes);
void *sim_alloc(size_t bytes, size_t alignment, bool zeroed);
void *sim_realloc(void *old, size_t bytes);
void sim_free(void *memory);
void *sim_map(size_t bytes, int protection, int flags);
int sim_unmap(void *memory, size_t bytes);

#endif
