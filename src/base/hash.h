/* SPDX-License-Identifier: MIT */
/* Hashes for tables whose keys others choose (names, tags, header fields).
 *
 * SipHash-1-3 with a secret key per table: without the key nobody can prepare colliding names, so
 * a table stays as fast under attack as it is on a good day. For keys that we make ourselves
 * (pids, references) rusm__hash_u64 is enough. */
#ifndef RUSM__BASE_HASH_H
#define RUSM__BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct rusm__hash_key {
    uint64_t k0;
    uint64_t k1;
};

/* A key from the system's generator. */
struct rusm__hash_key rusm__hash_key_random(void);

/* Any bytes, any length, any thread. Input is read as little endian on every machine. */
uint64_t rusm__hash_bytes(const struct rusm__hash_key *key, const void *data, size_t len);

/* A bijection that spreads every input bit over the result; not secret. */
static inline uint64_t rusm__hash_u64(uint64_t value) {
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    return value;
}

#endif
