/* SPDX-License-Identifier: MIT */
/* SipHash with one compression round and three final rounds, after the paper of Aumasson and
 * Bernstein (2012). The state is four words; every eight input bytes are one word. */
#include "base/hash.h"

#include "base/random.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

static inline void mix(struct state *s) {
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word) {
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

/* Compilers turn the full-length case into one load. */
static inline uint64_t load_le(const unsigned char *p, size_t len) {
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

uint64_t rusm__hash_bytes(const struct rusm__hash_key *key, const void *data, size_t len) {
    struct state s = {
        key->k0 ^ 0x736f6d6570736575ull,
        key->k1 ^ 0x646f72616e646f6dull,
        key->k0 ^ 0x6c7967656e657261ull,
        key->k1 ^ 0x7465646279746573ull,
    };
    const unsigned char *p = data;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        absorb(&s, load_le(p, 8));
    absorb(&s, (uint64_t)len << 56 | load_le(p, left));
    s.v2 ^= 0xff;
    mix(&s);
    mix(&s);
    mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

struct rusm__hash_key rusm__hash_key_random(void) {
    struct rusm__hash_key key;
    rusm__random_system(&key, sizeof key);
    return key;
}
