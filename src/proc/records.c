/* SPDX-License-Identifier: MIT */
#include "proc/records.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/scale.h"

enum { FEW = RUSM__SCALE(4, 2), FIRST_BUCKETS = RUSM__SCALE(16, 2) };

static uint64_t key_of(const struct rusm__records *set, const struct rusm__signal *record) {
    return set->by_peer ? record->peer : record->head.ref;
}

static struct rusm__signal **bucket_of(const struct rusm__records *set, uint64_t key) {
    if (!set->buckets) {
        return (struct rusm__signal **)&set->few;
    }
    return &set->buckets[rusm__hash_u64(key) & set->mask];
}

static uint32_t count_of(const struct rusm__records *set) {
    return atomic_load_explicit(&set->count, memory_order_relaxed);
}

static void set_count(struct rusm__records *set, uint32_t count) {
    atomic_store_explicit(&set->count, count, memory_order_relaxed);
}

void rusm__records_fini(struct rusm__records *set) {
    RUSM_ASSERT(count_of(set) == 0);
    rusm__mem_free(set->buckets);
}

static void rehash(struct rusm__records *set, struct rusm__signal *chain) {
    while (chain) {
        struct rusm__signal *next = chain->chain;
        struct rusm__signal **bucket = bucket_of(set, key_of(set, chain));
        chain->chain = *bucket;
        *bucket = chain;
        chain = next;
    }
}

static void grow(struct rusm__records *set) {
    uint32_t old_size = set->buckets ? set->mask + 1 : 0;
    uint32_t size = old_size ? old_size * 2 : FIRST_BUCKETS;
    struct rusm__signal **old = set->buckets;
    struct rusm__signal **buckets = rusm__mem_try_zalloc(size * sizeof(struct rusm__signal *));
    if (!buckets) {
        return; /* longer chains until the next try */
    }
    struct rusm__signal *few = set->few;
    set->few = NULL;
    set->buckets = buckets;
    set->mask = size - 1;
    rehash(set, few);
    for (uint32_t i = 0; i < old_size; i++) {
        rehash(set, old[i]);
    }
    rusm__mem_free(old);
}

void rusm__records_add(struct rusm__records *set, struct rusm__signal *record) {
    uint32_t count = count_of(set);
    if (count >= (set->buckets ? set->mask + 1 : FEW)) {
        grow(set);
    }
    struct rusm__signal **bucket = bucket_of(set, key_of(set, record));
    record->chain = *bucket;
    *bucket = record;
    set_count(set, count + 1);
}

struct rusm__signal *rusm__records_find(const struct rusm__records *set, uint64_t key) {
    struct rusm__signal *at = *bucket_of(set, key);
    while (at && key_of(set, at) != key) {
        at = at->chain;
    }
    return at;
}

static struct rusm__signal *unlink_at(struct rusm__records *set, struct rusm__signal **where) {
    struct rusm__signal *record = *where;
    *where = record->chain;
    record->chain = NULL;
    set_count(set, count_of(set) - 1);
    return record;
}

struct rusm__signal *rusm__records_remove(struct rusm__records *set, uint64_t key) {
    struct rusm__signal **where = bucket_of(set, key);
    while (*where && key_of(set, *where) != key) {
        where = &(*where)->chain;
    }
    return *where ? unlink_at(set, where) : NULL;
}

struct rusm__signal *rusm__records_pop(struct rusm__records *set) {
    if (set->few) {
        return unlink_at(set, &set->few);
    }
    /* Emptying a set walks its buckets once: the mask shrinks with what is behind us. */
    while (set->buckets && count_of(set) > 0) {
        if (set->buckets[set->mask]) {
            return unlink_at(set, &set->buckets[set->mask]);
        }
        RUSM_CHECK(set->mask > 0);
        set->mask--;
    }
    return NULL;
}
