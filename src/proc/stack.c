/* SPDX-License-Identifier: MIT */
#include "proc/stack.h"

#include <sys/mman.h>

#include "base/assert.h"
#include "base/scale.h"

enum {
    GUARD_BYTES = 4096,
    CHAIN = RUSM__SCALE(64, 2),
    CACHE_MOST = 2 * CHAIN,
    POOL_MOST = RUSM__SCALE(4096, 3),
};

static size_t bytes_of(uint32_t size_index) {
    return (size_t)1 << (RUSM__STACK_MIN_SHIFT + size_index);
}

static char *base_of(const struct rusm__stack *stack) {
    return (char *)(stack + 1) - bytes_of(stack->size_index);
}

void *rusm__stack_low(const struct rusm__stack *stack) {
    return base_of(stack) + GUARD_BYTES;
}

size_t rusm__stack_usable(const struct rusm__stack *stack) {
    return (size_t)((const char *)stack - base_of(stack)) - GUARD_BYTES;
}

int rusm__stack_size_index(size_t bytes) {
    for (int index = 0; index < RUSM__STACK_SIZES; index++) {
        if (bytes_of((uint32_t)index) >= bytes) {
            return index;
        }
    }
    return -1;
}

static struct rusm__stack *map_stack(uint32_t size_index) {
    size_t bytes = bytes_of(size_index);
    char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(base, GUARD_BYTES, PROT_NONE) != 0) {
        munmap(base, bytes);
        return NULL;
    }
    struct rusm__stack *stack = (struct rusm__stack *)(base + bytes) - 1;
    *stack = (struct rusm__stack){.size_index = size_index};
    return stack;
}

static void unmap_stack(struct rusm__stack *stack) {
    RUSM_CHECK(munmap(base_of(stack), bytes_of(stack->size_index)) == 0);
}

static void push(struct rusm__stack_list *list, struct rusm__stack *stack) {
    stack->next = list->first;
    list->first = stack;
    list->count++;
}

static struct rusm__stack *pop(struct rusm__stack_list *list) {
    struct rusm__stack *stack = list->first;
    if (stack) {
        list->first = stack->next;
        list->count--;
    }
    return stack;
}

static void move(struct rusm__stack_list *from, struct rusm__stack_list *to, uint32_t count) {
    struct rusm__stack *stack;
    while (count-- > 0 && (stack = pop(from)) != NULL) {
        push(to, stack);
    }
}

static void unmap_list(struct rusm__stack_list *list) {
    struct rusm__stack *stack;
    while ((stack = pop(list)) != NULL) {
        unmap_stack(stack);
    }
}

void rusm__stack_pool_init(struct rusm__stack_pool *pool) {
    *pool = (struct rusm__stack_pool){0};
    pthread_mutex_init(&pool->lock, NULL);
}

void rusm__stack_pool_fini(struct rusm__stack_pool *pool) {
    for (unsigned i = 0; i < RUSM__STACK_SIZES; i++) {
        unmap_list(&pool->sizes[i]);
    }
    pthread_mutex_destroy(&pool->lock);
}

void rusm__stack_cache_fini(struct rusm__stack_cache *cache, struct rusm__stack_pool *pool) {
    for (unsigned i = 0; i < RUSM__STACK_SIZES; i++) {
        move(&cache->sizes[i], &pool->sizes[i], UINT32_MAX);
    }
}

struct rusm__stack *rusm__stack_take(struct rusm__stack_cache *cache, struct rusm__stack_pool *pool,
                                     uint32_t size_index) {
    struct rusm__stack_list *own = &cache->sizes[size_index];
    if (!own->first) {
        pthread_mutex_lock(&pool->lock);
        move(&pool->sizes[size_index], own, CHAIN);
        pthread_mutex_unlock(&pool->lock);
    }
    struct rusm__stack *stack = pop(own);
    return stack ? stack : map_stack(size_index);
}

void rusm__stack_give(struct rusm__stack_cache *cache, struct rusm__stack_pool *pool,
                      struct rusm__stack *stack) {
    struct rusm__stack_list *own = &cache->sizes[stack->size_index];
    struct rusm__stack_list surplus = {0};
    push(own, stack);
    if (own->count <= CACHE_MOST) {
        return;
    }
    uint32_t index = stack->size_index;
    pthread_mutex_lock(&pool->lock);
    move(own, &pool->sizes[index], CHAIN);
    if (pool->sizes[index].count > POOL_MOST) {
        move(&pool->sizes[index], &surplus, CHAIN);
    }
    pthread_mutex_unlock(&pool->lock);
    unmap_list(&surplus);
}
