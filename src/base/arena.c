/* SPDX-License-Identifier: MIT */
/* Bump allocation in blocks that double from 4 KiB to 256 KiB. A request that is larger than a
 * quarter of a block gets a block of its own, so that the rest of the current one is not lost. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 256 * 1024, ALIGNMENT = 16 };

struct rusm__arena_block {
    struct rusm__arena_block *older;
    size_t bytes; /* keeps the payload behind it aligned */
};
_Static_assert(sizeof(struct rusm__arena_block) % ALIGNMENT == 0, "the payload must stay aligned");

void rusm__arena_init(struct rusm__arena *arena) {
    *arena = (struct rusm__arena){.block = FIRST_BLOCK};
}

void rusm__arena_fini(struct rusm__arena *arena) {
    for (struct rusm__arena_block *block = arena->blocks; block != NULL;) {
        struct rusm__arena_block *older = block->older;
        rusm__mem_free(block);
        block = older;
    }
    rusm__arena_init(arena);
}

static unsigned char *add_block(struct rusm__arena *arena, size_t bytes) {
    struct rusm__arena_block *block = rusm__mem_try_alloc(sizeof(*block) + bytes);
    if (block == NULL) {
        return NULL;
    }
    block->older = arena->blocks;
    block->bytes = bytes;
    arena->blocks = block;
    return (unsigned char *)(block + 1);
}

static void *take_from_block(struct rusm__arena *arena, size_t bytes) {
    if (bytes > arena->block / 4) {
        return add_block(arena, bytes);
    }
    if (bytes > arena->left) {
        unsigned char *payload = add_block(arena, arena->block);
        if (payload == NULL) {
            return NULL;
        }
        arena->next = payload;
        arena->left = arena->block;
        arena->block = arena->block < LARGEST_BLOCK ? arena->block * 2 : arena->block;
    }
    void *taken = arena->next;
    arena->next += bytes;
    arena->left -= bytes;
    return taken;
}

void *rusm__arena_try_alloc(struct rusm__arena *arena, size_t bytes) {
    void *taken = NULL;
    if (bytes <= SIZE_MAX / 2) {
        size_t padded = (bytes + (ALIGNMENT - 1)) & ~(size_t)(ALIGNMENT - 1);
        taken = take_from_block(arena, padded == 0 ? ALIGNMENT : padded);
    }
    if (taken == NULL) {
        arena->failed = true;
        return NULL;
    }
    return memset(taken, 0, bytes);
}

void *rusm__arena_try_array(struct rusm__arena *arena, size_t count, size_t bytes) {
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        arena->failed = true;
        return NULL;
    }
    return rusm__arena_try_alloc(arena, total);
}

char *rusm__arena_try_strndup(struct rusm__arena *arena, const char *text, size_t len) {
    char *copy = rusm__arena_try_alloc(arena, len < SIZE_MAX ? len + 1 : SIZE_MAX);
    if (copy != NULL && len != 0) {
        memcpy(copy, text, len);
    }
    return copy;
}

char *rusm__arena_try_printf(struct rusm__arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *text = len < 0 ? NULL : rusm__arena_try_alloc(arena, (size_t)len + 1);
    if (text != NULL) {
        vsnprintf(text, (size_t)len + 1, format, again);
    } else {
        arena->failed = true;
    }
    va_end(again);
    va_end(args);
    return text;
}
