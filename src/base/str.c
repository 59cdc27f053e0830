/* SPDX-License-Identifier: MIT */
/* Likeness of words: the Damerau-Levenshtein distance in its restricted form (no piece is edited
 * twice), over three rows on the stack, given up once a whole row is over the limit. */
#include "base/str.h"

#include <string.h>

bool rusm__str_is(const char *bytes, size_t len, const char *text) {
    return strlen(text) == len && memcmp(bytes, text, len) == 0;
}

static char fold(char c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '_' ? '-' : c;
}

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

struct rows {
    unsigned store[3][RUSM__STR_LIKE_MAX + 1];
    unsigned *before; /* two letters of a ago: reached by a swap */
    unsigned *last;
    unsigned *now;
};

static void rotate_rows(struct rows *rows) {
    unsigned *freed = rows->before;
    rows->before = rows->last;
    rows->last = rows->now;
    rows->now = freed;
}

/* Fill rows->now for letter i (from 1) of a. Returns the least number in it. */
static unsigned fill_row(struct rows *rows, const char *a, size_t i, const char *b, size_t b_len) {
    unsigned smallest = rows->now[0] = (unsigned)i;
    for (size_t j = 1; j <= b_len; j++) {
        bool same = fold(a[i - 1]) == fold(b[j - 1]);
        unsigned cost = least(rows->last[j], rows->now[j - 1]) + 1;
        cost = least(cost, rows->last[j - 1] + !same);
        if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
            cost = least(cost, rows->before[j - 2] + 1);
        rows->now[j] = cost;
        smallest = least(smallest, cost);
    }
    return smallest;
}

unsigned rusm__str_distance(const char *a, size_t a_len, const char *b, size_t b_len,
                            unsigned limit) {
    size_t gap = a_len > b_len ? a_len - b_len : b_len - a_len;
    if (a_len > RUSM__STR_LIKE_MAX || b_len > RUSM__STR_LIKE_MAX || gap > limit)
        return limit + 1;
    struct rows rows;
    rows.before = rows.store[0];
    rows.last = rows.store[1];
    rows.now = rows.store[2];
    for (size_t j = 0; j <= b_len; j++)
        rows.last[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        /* The least number of a row is at most one more than that of the row before. So if it is
         * over limit + 1, the row before is over the limit too, and a swap from there as well. */
        if (fill_row(&rows, a, i, b, b_len) > limit + 1)
            return limit + 1;
        rotate_rows(&rows);
    }
    return least(rows.last[b_len], limit + 1);
}

const char *rusm__str_nearest(const char *word, size_t len, const char *const *names,
                              size_t count) {
    const char *nearest = NULL;
    unsigned limit = len < 3 ? 1 : len > RUSM__STR_LIKE_MAX ? 0 : (unsigned)len / 3;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = rusm__str_distance(word, len, names[i], strlen(names[i]), limit);
        if (distance > limit)
            continue;
        nearest = names[i];
        if (distance == 0)
            break;
        limit = distance - 1; /* only a nearer one may take its place */
    }
    return nearest;
}
