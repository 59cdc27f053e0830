/* SPDX-License-Identifier: MIT */
/* Seeding, and numbers below a bound without the bias of a plain remainder. */
#include "base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "base/clock.h"

/* One step of splitmix64, which turns similar seeds into unrelated states. */
static uint64_t split(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

void rusm__random_seed(struct rusm__random *random, uint64_t seed) {
    for (int i = 0; i < 4; i++)
        random->word[i] = split(&seed);
}

/* Only where a filter forbids getrandom: the sixteen random bytes that the kernel gives every
 * program at its start, stirred with time and an address. Good enough against collisions made in
 * advance, and better than ending a server. */
static void fill_without_system(unsigned char *out, size_t len) {
    uint64_t state = rusm__clock_ns() ^ (uint64_t)(uintptr_t)out;
    const unsigned char *given = (const unsigned char *)getauxval(AT_RANDOM);
    for (int i = 0; given && i < 16; i++)
        state = (state << 8 | state >> 56) ^ given[i] * 0x9e3779b97f4a7c15ull;
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)(split(&state) >> 32);
}

void rusm__random_system(void *out, size_t len) {
    unsigned char *at = out;
    while (len) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno != EINTR) {
            fill_without_system(at, len);
            return;
        }
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

uint64_t rusm__random_system_u64(void) {
    uint64_t value;
    rusm__random_system(&value, sizeof value);
    return value;
}

/* Lemire's method: the high half of a product is the result; the few low halves that would make
 * some results likelier are drawn again. */
uint32_t rusm__random_below(struct rusm__random *random, uint32_t bound) {
    uint64_t product = (rusm__random_u64(random) >> 32) * bound;
    if ((uint32_t)product < bound) {
        uint32_t threshold = bound ? (uint32_t)(0u - bound) % bound : 0;
        while ((uint32_t)product < threshold)
            product = (rusm__random_u64(random) >> 32) * bound;
    }
    return (uint32_t)(product >> 32);
}
