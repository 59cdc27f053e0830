/* SPDX-License-Identifier: MIT */
/* Random numbers. Each owner (a scheduler, a simulation, a test) has its own generator, so there
 * is nothing shared and a seed replays what one owner did. Not for secrets: those come from
 * rusm__random_system. */
#ifndef RUSM__BASE_RANDOM_H
#define RUSM__BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct rusm__random {
    uint64_t word[4]; /* never all zero */
};

/* The same seed gives the same numbers on every machine; every seed is good, 0 too. */
void rusm__random_seed(struct rusm__random *random, uint64_t seed);

/* Fill from the system's generator. Any thread; waits at most for the machine's first seeding. */
void rusm__random_system(void *out, size_t len);

/* A seed for rusm__random_seed, from the system. */
uint64_t rusm__random_system_u64(void);

/* 64 random bits: xoshiro256**, by Blackman and Vigna. */
static inline uint64_t rusm__random_u64(struct rusm__random *random) {
    uint64_t *w = random->word;
    uint64_t scrambled = w[1] * 5;
    uint64_t result = (scrambled << 7 | scrambled >> 57) * 9;
    uint64_t carry = w[1] << 17;
    w[2] ^= w[0];
    w[3] ^= w[1];
    w[1] ^= w[2];
    w[0] ^= w[3];
    w[2] ^= carry;
    w[3] = w[3] << 45 | w[3] >> 19;
    return result;
}

/* 0 .. bound-1, every value equally likely; 0 for bound 0. */
uint32_t rusm__random_below(struct rusm__random *random, uint32_t bound);

#endif
