/* SPDX-License-Identifier: MIT */
/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef RUSM__BASE_UTF8_H
#define RUSM__BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first sequence of 1 or more bytes at p: its length when it is good; otherwise the negative
 * of how many bytes one U+FFFD replaces (the longest beginning of a good sequence, at least 1). */
int rusm__utf8_step(const unsigned char *p, size_t len);

/* How many bytes from p on are good UTF-8: len, or the place of the first bad sequence. */
size_t rusm__utf8_good(const unsigned char *p, size_t len);

static inline bool rusm__utf8_is_valid(const void *p, size_t len) {
    return rusm__utf8_good(p, len) == len;
}

/* Write a code point, which is no surrogate and at most 0x10FFFF; returns the bytes used. */
size_t rusm__utf8_put(unsigned char out[4], uint32_t code);

#endif
