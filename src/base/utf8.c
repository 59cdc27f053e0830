/* SPDX-License-Identifier: MIT */
/* Checking and writing UTF-8. The second byte alone decides about overlong forms, surrogates and
 * the upper end (Unicode Standard, table 3-7); all later bytes are 80..BF. */
#include "base/utf8.h"

#include <string.h>

/* How long a sequence with this first byte is (0: none starts so), and what may come second. */
static int shape(unsigned char first, unsigned char *out_low, unsigned char *out_high) {
    *out_low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *out_high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

int rusm__utf8_step(const unsigned char *p, size_t len) {
    unsigned char low, high;
    int wanted = shape(p[0], &low, &high);
    if (wanted <= 1)
        return wanted ? 1 : -1;
    if (len < 2 || p[1] < low || p[1] > high)
        return -1;
    for (int i = 2; i < wanted; i++)
        if ((size_t)i >= len || (p[i] & 0xc0) != 0x80)
            return -i;
    return wanted;
}

size_t rusm__utf8_good(const unsigned char *p, size_t len) {
    size_t at = 0;
    while (at < len) {
        uint64_t word;
        if (len - at >= sizeof word) {
            memcpy(&word, p + at, sizeof word);
            if (!(word & 0x8080808080808080ull)) {
                at += sizeof word;
                continue;
            }
        }
        int step = rusm__utf8_step(p + at, len - at);
        if (step < 0)
            break;
        at += (size_t)step;
    }
    return at;
}

size_t rusm__utf8_put(unsigned char out[4], uint32_t code) {
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (unsigned char)(0x80 | (code & 0x3f));
    out[0] = (unsigned char)(lead[len] | code);
    return len;
}
