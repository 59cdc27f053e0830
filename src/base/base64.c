/* SPDX-License-Identifier: MIT */
/* Base 64, several letters at a time in one 64-bit word, in plain C.
 *
 * Encoding spreads 48 bits over eight byte lanes and adds, per lane, what its range of the
 * alphabet needs; there is no table to miss in the cache. Decoding looks eight letters up in a
 * table of 256 bytes and tests once per eight whether all of them were letters. */
#include "base/base64.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "rusm/error.h"

#define LANES(byte) (0x0101010101010101ull * (byte))

static uint64_t load_be(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return be64toh(word);
}

static void store_be(unsigned char *p, uint64_t word) {
    word = htobe64(word);
    memcpy(p, &word, sizeof word);
}

/* 48 bits become eight lanes of six: halves, quarters, eighths move apart. */
static uint64_t spread(uint64_t bits) {
    bits = (bits & 0xffffff000000ull) << 8 | (bits & 0xffffffull);
    bits = (bits & 0x00fff00000fff000ull) << 4 | (bits & 0x00000fff00000fffull);
    return (bits & 0x0fc00fc00fc00fc0ull) << 2 | (bits & 0x003f003f003f003full);
}

/* 1 in each lane that is at least `from`; lanes are below 64, so nothing carries over. */
static uint64_t at_least(uint64_t lanes, unsigned from) {
    return ((lanes + LANES(128 - from)) & LANES(0x80)) >> 7;
}

/* A-Z is 0..25, a-z 26..51, 0-9 52..61, + 62, / 63; each step corrects the one before. */
static uint64_t letters_of(uint64_t lanes) {
    uint64_t text = lanes + LANES('A');
    text += at_least(lanes, 26) * ('a' - 'Z' - 1);
    text -= at_least(lanes, 52) * ('z' + 1 - '0');
    text -= at_least(lanes, 62) * ('9' + 1 - '+');
    text += at_least(lanes, 63) * ('/' - '+' - 1);
    return text;
}

/* One to three last bytes: encoded as if zeros followed, then padded over. */
static void encode_tail(unsigned char *out, const unsigned char *p, size_t len) {
    unsigned char padded[8] = {0};
    unsigned char text[8];
    memcpy(padded, p, len);
    store_be(text, letters_of(spread(load_be(padded) >> 16)));
    for (size_t i = len + 1; i < 4; i++)
        text[i] = '=';
    memcpy(out, text, 4);
}

void rusm__base64_encode(struct rusm__buf *buf, const void *data, size_t len) {
    if (len > SIZE_MAX / 8) {
        buf->failed = true;
        return;
    }
    if (len == 0 || !rusm__buf_reserve(buf, (len + 2) / 3 * 4))
        return;
    const unsigned char *p = data;
    unsigned char *out = buf->data + buf->len;
    for (; len >= 8; len -= 6, p += 6, out += 8) /* 8: load_be reads two bytes that it drops */
        store_be(out, letters_of(spread(load_be(p) >> 16)));
    for (; len > 3; len -= 3, p += 3, out += 4)
        encode_tail(out, p, 3);
    encode_tail(out, p, len); /* len was not 0, so one to three bytes are left */
    out += 4;
    buf->len = (size_t)(out - buf->data);
}

/* Value plus one of each letter, so that the rest of the table may stay zero. */
static const unsigned char value_plus_one[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Bits 0..5 are the value. A byte that is no letter wraps to all ones, which sets bit 63 in any
 * sum of shifted values that it takes part in: see decode_word. */
static uint64_t value_of(unsigned char c) {
    return (uint64_t)value_plus_one[c] - 1;
}

/* Eight letters to 48 bits; bit 63 is set when one of them was no letter. */
static uint64_t decode_word(const unsigned char *p) {
    return value_of(p[0]) << 42 | value_of(p[1]) << 36 | value_of(p[2]) << 30 |
           value_of(p[3]) << 24 | value_of(p[4]) << 18 | value_of(p[5]) << 12 |
           value_of(p[6]) << 6 | value_of(p[7]);
}

/* The last four letters, of which up to two are padding. Returns the bytes written, 0 if bad. */
static size_t decode_tail(unsigned char *out, const unsigned char *p) {
    size_t bytes = p[3] != '=' ? 3 : p[2] != '=' ? 2 : 1;
    uint64_t bits = value_of(p[0]) << 18 | value_of(p[1]) << 12;
    bits |= bytes > 1 ? value_of(p[2]) << 6 : 0;
    bits |= bytes > 2 ? value_of(p[3]) : 0;
    uint64_t unused = bytes == 3 ? 0 : bytes == 2 ? 0xff : 0xffff;
    if (bits >> 63 || bits & unused)
        return 0;
    for (size_t i = 0; i < bytes; i++)
        out[i] = (unsigned char)(bits >> (16 - 8 * i));
    return bytes;
}

int rusm__base64_decode(struct rusm__buf *buf, const void *text, size_t len) {
    const unsigned char *p = text;
    if (len % 4 != 0)
        return RUSM_EINVAL;
    if (len == 0)
        return RUSM_OK;
    if (!rusm__buf_reserve(buf, len / 4 * 3))
        return RUSM_ENOMEM;
    unsigned char *out = buf->data + buf->len;
    for (; len >= 12; len -= 8, p += 8, out += 6) { /* the last group is decoded apart */
        uint64_t bits = decode_word(p);
        if (bits >> 63)
            return RUSM_EINVAL;
        store_be(out, bits << 16); /* two bytes too many, in the room of the groups that follow */
    }
    for (; len; len -= 4, p += 4) {
        size_t bytes = decode_tail(out, p);
        if (bytes == 0 || (bytes < 3 && len > 4))
            return RUSM_EINVAL;
        out += bytes;
    }
    buf->len = (size_t)(out - buf->data);
    return RUSM_OK;
}
