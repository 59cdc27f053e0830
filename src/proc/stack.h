/* SPDX-License-Identifier: MIT */
/* Stacks of fibers, kept for reuse: a steady load maps and unmaps nothing.
 *
 *     low  [ guard page | ........................ | header ]  high
 *
 * Sizes are powers of two, one list per size. Each scheduler keeps what it used last (its pages are
 * in the cache); surplus moves in chains to a shared pool, and from there back to the system. */
#ifndef RUSM__PROC_STACK_H
#define RUSM__PROC_STACK_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RUSM__STACK_MIN_SHIFT = 14, /* 16 KiB */
    RUSM__STACK_MAX_SHIFT = 26, /* 64 MiB */
    RUSM__STACK_SIZES = RUSM__STACK_MAX_SHIFT - RUSM__STACK_MIN_SHIFT + 1,
};

/* At the high end of its own memory. */
struct rusm__stack {
    struct rusm__stack *next;
    uint32_t size_index;
};

struct rusm__stack_list {
    struct rusm__stack *first;
    uint32_t count;
};

/* One scheduler's. */
struct rusm__stack_cache {
    struct rusm__stack_list sizes[RUSM__STACK_SIZES];
};

struct rusm__stack_pool {
    pthread_mutex_t lock;
    struct rusm__stack_list sizes[RUSM__STACK_SIZES]; /* guarded by lock */
};

void rusm__stack_pool_init(struct rusm__stack_pool *pool);
void rusm__stack_pool_fini(struct rusm__stack_pool *pool);
void rusm__stack_cache_fini(struct rusm__stack_cache *cache, struct rusm__stack_pool *pool);

/* The list for stacks of at least bytes, or -1 when bytes is more than the largest. */
int rusm__stack_size_index(size_t bytes);

/* NULL when the system gives no more memory or mappings. The stack grows down from the result. */
struct rusm__stack *rusm__stack_take(struct rusm__stack_cache *cache, struct rusm__stack_pool *pool,
                                     uint32_t size_index);
void rusm__stack_give(struct rusm__stack_cache *cache, struct rusm__stack_pool *pool,
                      struct rusm__stack *stack);

/* The usable part. */
void *rusm__stack_low(const struct rusm__stack *stack);
size_t rusm__stack_usable(const struct rusm__stack *stack);

#endif
