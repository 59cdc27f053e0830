/* SPDX-License-Identifier: MIT */
/* The nearest word so far; base/str.h measures. */
#include "manifest/suggest.h"

#include <string.h>

#include "base/str.h"

void rusm__suggest_start(struct rusm__suggestion *near, const char *text, size_t len) {
    unsigned limit = len / 3 < 1 ? 1 : len / 3 > 3 ? 3 : (unsigned)(len / 3);
    *near = (struct rusm__suggestion){
        .text = text, .len = len, .limit = len == 0 || len > RUSM__STR_LIKE_MAX ? 0 : limit + 1};
}

void rusm__suggest_try(struct rusm__suggestion *near, const char *word) {
    if (near->limit == 0) {
        return; /* an exact match was seen, or nothing can be near */
    }
    unsigned distance =
        rusm__str_distance(near->text, near->len, word, strlen(word), near->limit - 1);
    if (distance < near->limit) {
        near->limit = distance;
        near->best = word;
    }
}
