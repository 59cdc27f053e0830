/* SPDX-License-Identifier: MIT */
/* A place in the manifest's text. Lines and columns count from 1, columns in characters. Line 0:
 * not in the text (a default, or nothing at all). */
#ifndef RUSM__MANIFEST_POS_H
#define RUSM__MANIFEST_POS_H

#include <stdint.h>

struct rusm__pos {
    uint32_t line;
    uint32_t column;
};

/* Negative, 0 or positive, as strcmp. */
static inline int rusm__pos_compare(struct rusm__pos a, struct rusm__pos b) {
    if (a.line != b.line) {
        return a.line < b.line ? -1 : 1;
    }
    return a.column < b.column ? -1 : a.column > b.column;
}

#endif
