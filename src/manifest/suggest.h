/* SPDX-License-Identifier: MIT */
/* "Did you mean": the nearest of some words to what was written.
 *
 *   struct rusm__suggestion near;
 *   rusm__suggest_start(&near, text, len);
 *   for (...) rusm__suggest_try(&near, word);
 *   near.best   NULL if no word is near enough
 *
 * Distance is that of base/str.h. A third of the word may differ, one character always, three at
 * most. base/str.h has the same for a plain list of words; here the words may come from anywhere.
 */
#ifndef RUSM__MANIFEST_SUGGEST_H
#define RUSM__MANIFEST_SUGGEST_H

#include <stddef.h>

struct rusm__suggestion {
    const char *text;
    size_t len;
    unsigned limit; /* a better word stays below this distance */
    const char *best;
};

void rusm__suggest_start(struct rusm__suggestion *near, const char *text, size_t len);
/* The word is borrowed: it must live as long as `best` is looked at. */
void rusm__suggest_try(struct rusm__suggestion *near, const char *word);

#endif
