/* SPDX-License-Identifier: MIT */
/* Memory. Every allocation of the C code goes through here: mimalloc in normal builds, the
 * system's malloc in sanitizer builds, and a countdown to failure in fault tests. */
#ifndef RUSM__BASE_MEM_H
#define RUSM__BASE_MEM_H

#include <stddef.h>

/* NULL when memory is short; the caller fails only the operation at hand. */
void *rusm__mem_try_alloc(size_t bytes);
void *rusm__mem_try_zalloc(size_t bytes);
/* alignment: a power of two. */
void *rusm__mem_try_zalloc_aligned(size_t bytes, size_t alignment);
void *rusm__mem_try_realloc(void *old, size_t bytes);      /* old stays valid on NULL */
char *rusm__mem_try_strndup(const char *text, size_t len); /* adds the terminator */

/* For start-up only: prints what was wanted and aborts when memory is short. */
void *rusm__mem_alloc(size_t bytes);
void *rusm__mem_zalloc(size_t bytes);

void rusm__mem_free(void *memory); /* NULL is allowed */

/* Tests: let the nth try_ call of this thread from now on fail, once; 0 takes it back. Returns
 * how many calls were made since the last call of this function. */
size_t rusm__mem_fail_nth(size_t nth);

#endif
