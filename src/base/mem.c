/* SPDX-License-Identifier: MIT */
/* Memory: the one door to the allocator, and the countdown that fault tests use.
 *
 * The countdown is one thread-local number that every try_ call decrements; the call that brings
 * it to zero fails. Outside of tests it starts at 0, so the first call wraps it to SIZE_MAX and it
 * does not reach zero again in the life of a machine: the price of the facility is one decrement
 * and one branch that is never taken. */
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef RUSM_WITH_MIMALLOC
#include <mimalloc.h>
#define SYSTEM_ALLOC   mi_malloc
#define SYSTEM_ZALLOC  mi_zalloc
#define SYSTEM_REALLOC mi_realloc
#define SYSTEM_FREE    mi_free
#else
#define SYSTEM_ALLOC         malloc
#define SYSTEM_ZALLOC(bytes) calloc(1, (bytes))
#define SYSTEM_REALLOC       realloc
#define SYSTEM_FREE          free
#endif

static _Thread_local size_t calls_left;  /* until the call that fails */
static _Thread_local size_t calls_start; /* value of calls_left when it was last set */

static inline bool must_fail(void) {
    return __builtin_expect(--calls_left == 0, 0);
}

void *rusm__mem_try_alloc(size_t bytes) {
    return must_fail() ? NULL : SYSTEM_ALLOC(bytes);
}

void *rusm__mem_try_zalloc(size_t bytes) {
    return must_fail() ? NULL : SYSTEM_ZALLOC(bytes);
}

void *rusm__mem_try_zalloc_aligned(size_t bytes, size_t alignment) {
    if (must_fail())
        return NULL;
#ifdef RUSM_WITH_MIMALLOC
    return mi_zalloc_aligned(bytes, alignment);
#else
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void *memory = aligned_alloc(alignment, rounded);
    return memory ? memset(memory, 0, rounded) : NULL;
#endif
}

/* A size of 0 would let some allocators free `old` and answer NULL, which reads as a failure. */
void *rusm__mem_try_realloc(void *old, size_t bytes) {
    return must_fail() ? NULL : SYSTEM_REALLOC(old, bytes ? bytes : 1);
}

char *rusm__mem_try_strndup(const char *text, size_t len) {
    char *copy = len == SIZE_MAX ? NULL : rusm__mem_try_alloc(len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

static void *or_die(void *memory, size_t bytes) {
    if (!memory) {
        fprintf(stderr, "rusm: out of memory at start-up: %zu bytes wanted\n", bytes);
        abort();
    }
    return memory;
}

void *rusm__mem_alloc(size_t bytes) {
    return or_die(SYSTEM_ALLOC(bytes), bytes);
}

void *rusm__mem_zalloc(size_t bytes) {
    return or_die(SYSTEM_ZALLOC(bytes), bytes);
}

void rusm__mem_free(void *memory) {
    SYSTEM_FREE(memory);
}

size_t rusm__mem_fail_nth(size_t nth) {
    size_t calls = calls_start - calls_left; /* modulo 2^64, so a wrapped countdown counts too */
    calls_left = nth;
    calls_start = nth;
    return calls;
}
