/* SPDX-License-Identifier: MIT */
/* Memory that lives and goes as a unit: many small allocations, one release.
 *
 * Blocks are taken from base/mem.h and grow with use. A failed allocation sets `failed`, so that a
 * run of allocations may be checked once at its end. Used by one thread at a time. */
#ifndef RUSM__BASE_ARENA_H
#define RUSM__BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "rusm/export.h"

struct rusm__arena_block;

struct rusm__arena {
    struct rusm__arena_block *blocks; /* newest first */
    unsigned char *next;
    size_t left;  /* bytes behind next */
    size_t block; /* size of the next block */
    bool failed;
};

void rusm__arena_init(struct rusm__arena *arena);
void rusm__arena_fini(struct rusm__arena *arena);

/* Zeroed and aligned for any type; NULL when memory is short or the size overflows. */
void *rusm__arena_try_alloc(struct rusm__arena *arena, size_t bytes);
void *rusm__arena_try_array(struct rusm__arena *arena, size_t count, size_t bytes);
/* With a terminator behind the text. */
char *rusm__arena_try_strndup(struct rusm__arena *arena, const char *text, size_t len);
RUSM_PRINTF(2, 3)
char *rusm__arena_try_printf(struct rusm__arena *arena, const char *format, ...);

#endif
