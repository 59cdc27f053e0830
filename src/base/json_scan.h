/* SPDX-License-Identifier: MIT */
/* The one scan that reading and writing share; only the two json_*.c files include this. */
#ifndef RUSM__BASE_JSON_SCAN_H
#define RUSM__BASE_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RUSM__JSON_LANES(byte) (0x0101010101010101ull * (byte))

/* Bit 7 of each byte lane that is below 0x20, a quote, a backslash, or not ASCII. A lane may be
 * flagged wrongly only above a rightly flagged one (the subtractions borrow upwards), so zero is
 * exact, which is all that is asked. */
static inline uint64_t rusm__json_special(uint64_t word) {
    uint64_t control = word - RUSM__JSON_LANES(0x20);
    uint64_t quote = (word ^ RUSM__JSON_LANES('"')) - RUSM__JSON_LANES(1);
    uint64_t slash = (word ^ RUSM__JSON_LANES('\\')) - RUSM__JSON_LANES(1);
    return (control | quote | slash | word) & RUSM__JSON_LANES(0x80);
}

/* How many bytes from p on are printable ASCII without quote and backslash (0x7f included). */
static inline size_t rusm__json_plain(const unsigned char *p, size_t len) {
    size_t at = 0;
    uint64_t word;
    for (; len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, p + at, sizeof word);
        if (rusm__json_special(word))
            break;
    }
    while (at < len && p[at] >= 0x20 && p[at] < 0x80 && p[at] != '"' && p[at] != '\\')
        at++;
    return at;
}

#endif
