/* SPDX-License-Identifier: MIT */
/* Small helpers for text that people type: manifest keys, component names, command words. */
#ifndef RUSM__BASE_STR_H
#define RUSM__BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

/* Longest text that is compared for likeness; longer ones are like nothing. */
#define RUSM__STR_LIKE_MAX 64u

/* Are the len bytes exactly this text? */
bool rusm__str_is(const char *bytes, size_t len, const char *text);

/* How many insertions, deletions, replacements and swaps of neighbours turn a into b; limit + 1
 * as soon as it is known to be more than limit. ASCII case counts as equal, and so do '-' and
 * '_', since those are mistakes of spelling and not of choice. */
unsigned rusm__str_distance(const char *a, size_t a_len, const char *b, size_t b_len,
                            unsigned limit);

/* What the writer of `word` may have meant: the nearest of `names`, the first one among equals, or
 * NULL when nothing is near (a third of the word may be wrong, and one letter always). */
const char *rusm__str_nearest(const char *word, size_t len, const char *const *names, size_t count);

#endif
