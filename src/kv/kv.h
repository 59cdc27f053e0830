/* SPDX-License-Identifier: MIT */
/* The durable store: buckets of keys with values, in one LMDB file that one process holds.
 *
 * Reads happen at once, on the caller's thread, through a reader of the caller's own. Writes are
 * queued; one commit thread takes what has gathered, applies it in one transaction, makes it
 * durable and then tells each writer. So a thousand waiting writers cost one flush of the disk.
 *
 *   - A read that begins after a write's callback has begun sees that write.
 *   - Writes of one thread are applied in the order they were submitted.
 *   - An acknowledged write survives the death of the process and of the machine.
 *   - Bucket and key are any bytes, also empty ones; ("a", "bc") and ("ab", "c") are two keys;
 *     within a bucket keys are ordered by their bytes.
 *   - A key with a time to live is not seen any more once that is over, whoever looks; the commit
 *     thread removes it soon after. The clock is the machine's (UTC), so it outlasts a restart.
 *
 * Every call that fails leaves a text for people in *out_error, which may be NULL. */
#ifndef RUSM__KV_KV_H
#define RUSM__KV_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

/* Bucket and key together. LMDB takes keys of 511 bytes, two of which hold the bucket's length. */
#define RUSM__KV_MAX_KEY_BYTES 509u

struct rusm__kv;        /* an open store */
struct rusm__kv_reader; /* one thread's way to read it */

struct rusm__kv_bytes {
    const unsigned char *ptr; /* may be NULL when len is 0 */
    size_t len;
};

struct rusm__kv_error {
    char text[320]; /* long paths are cut so that the cause fits */
};

/* Anything that is 0 takes its default. */
struct rusm__kv_options {
    size_t map_bytes;         /* address space at first; it doubles when needed. 1 GiB */
    size_t max_map_bytes;     /* the store's greatest size. 1 TiB */
    size_t max_value_bytes;   /* 16 MiB; at most 1 GiB */
    size_t max_batch_bytes;   /* keys and values of one batch. 16 MiB */
    size_t max_batch_changes; /* 1,024 */
    size_t max_list_bytes;    /* keys that one list may return, with 16 bytes each more. 64 MiB */
    size_t max_queued_ops;    /* accepted and not yet committed. 65,536 */
    size_t max_queued_bytes;  /* 256 MiB */
    unsigned max_readers;     /* 1,024 */
};

/* Open the store, made if it is missing, with its folder. options may be NULL. Waits for the
 * disk. RUSM_EBUSY: somebody holds it, the text names who; RUSM_EIO: the system refuses, or the
 * file is no store of ours; RUSM_EINVAL, RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__kv_open(const char *path, const struct rusm__kv_options *options,
                                struct rusm__kv **out_kv, struct rusm__kv_error *out_error);

/* Refuse new writes, wait until every accepted one is committed and its callback has returned,
 * and close. All readers are freed before. Not from a callback. NULL is allowed. */
void rusm__kv_close(struct rusm__kv *kv);

/* ---- reading ---- */

/* A reader serves one thread at a time. RUSM_ENOMEM, RUSM_ELIMIT (max_readers), RUSM_EIO. */
RUSM_MUST_USE int rusm__kv_reader_new(struct rusm__kv *kv, struct rusm__kv_reader **out_reader,
                                      struct rusm__kv_error *out_error);
void rusm__kv_reader_free(struct rusm__kv_reader *reader); /* NULL is allowed */

struct rusm__kv_value {
    unsigned char *data; /* rusm__mem_free releases it; never NULL after success */
    size_t len;
};

struct rusm__kv_keys {
    struct rusm__kv_bytes *keys; /* in byte order; rusm__mem_free(keys) releases everything */
    size_t count;
};

/* A copy of the value. RUSM_ENOTFOUND: no such key (*out_error has a text then, too).
 * RUSM_ETOOBIG: the key is longer than any stored one can be. RUSM_ENOMEM, RUSM_EIO. */
RUSM_MUST_USE int rusm__kv_get(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                               struct rusm__kv_bytes key, struct rusm__kv_value *out_value,
                               struct rusm__kv_error *out_error);

/* RUSM_ETOOBIG, RUSM_EIO. */
RUSM_MUST_USE int rusm__kv_exists(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                                  struct rusm__kv_bytes key, bool *out_exists,
                                  struct rusm__kv_error *out_error);

/* All keys of a bucket at one moment. RUSM_ETOOBIG: they pass max_list_bytes. RUSM_ENOMEM,
 * RUSM_EIO. */
RUSM_MUST_USE int rusm__kv_list(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                                struct rusm__kv_keys *out_keys, struct rusm__kv_error *out_error);

/* How much of a bucket may be looked at. */
struct rusm__kv_patience {
    size_t max_looks; /* 0: any number of entries; RUSM_EAGAIN: there are more */
    /* Asked every thousand entries or so; RUSM_EEXITING: it was false. NULL: it is true. It
     * must not wait. */
    bool (*is_wanted)(void *arg);
    void *arg;
};

/* As rusm__kv_list, unless its patience ends before. */
RUSM_MUST_USE int rusm__kv_list_within(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                                       const struct rusm__kv_patience *patience,
                                       struct rusm__kv_keys *out_keys,
                                       struct rusm__kv_error *out_error);

/* A part of a bucket: the keys that begin with `prefix` and, unless `after` is NULL, come after it.
 * At most `limit` of them (0, or more than RUSM__KV_PAGE_KEYS: that many). */
struct rusm__kv_range {
    struct rusm__kv_bytes bucket, prefix;
    const struct rusm__kv_bytes *after;
    size_t limit;
};

#define RUSM__KV_PAGE_KEYS 1000u

/* Keys of a range, in byte order. *out_more: there may be others, and keys[count] is the `after`
 * that leads on. One page looks at a bounded number of entries; with many expired ones among them
 * it may hold fewer keys than asked for, even none, and still lead on. RUSM_ETOOBIG: bucket with
 * prefix, or with `after`, is longer than any stored key can be. RUSM_ENOMEM, RUSM_EIO. */
RUSM_MUST_USE int rusm__kv_page(struct rusm__kv_reader *reader, const struct rusm__kv_range *range,
                                struct rusm__kv_keys *out_keys, bool *out_more,
                                struct rusm__kv_error *out_error);

/* ---- writing; any thread, never waits for the disk ---- */

struct rusm__kv_result {
    /* 0: durable. RUSM_EIO, RUSM_ELIMIT (max_map_bytes), RUSM_ENOMEM; increment: RUSM_EINVAL (the
     * value is no number), RUSM_ETOOBIG (the sum has more than 64 bits); nothing is changed then.
     */
    int code;
    bool existed;     /* delete: the key was there before. compare_and_set: it was as expected */
    int64_t number;   /* increment: the new value */
    const char *text; /* for people; "" when code is 0; valid until the callback returns */
};

/* Called exactly once for each accepted write, on the commit thread, which waits for it: hand the
 * result over and return. It may submit further writes. */
typedef void (*rusm__kv_done)(void *arg, const struct rusm__kv_result *result);

/* Queue a write; everything is copied. done may be NULL. On error done is not called:
 * RUSM_ETOOBIG: key or value over its limit, the text names it. RUSM_ELIMIT: the queue is full,
 * try later. RUSM_ESTATE: the store is closing. RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__kv_set(struct rusm__kv *kv, struct rusm__kv_bytes bucket,
                               struct rusm__kv_bytes key, struct rusm__kv_bytes value,
                               rusm__kv_done done, void *arg, struct rusm__kv_error *out_error);
RUSM_MUST_USE int rusm__kv_delete(struct rusm__kv *kv, struct rusm__kv_bytes bucket,
                                  struct rusm__kv_bytes key, rusm__kv_done done, void *arg,
                                  struct rusm__kv_error *out_error);

/* One change of a write. */
struct rusm__kv_change {
    struct rusm__kv_bytes bucket, key;
    struct rusm__kv_bytes value; /* unless is_delete */
    bool is_delete;
    bool expires; /* after ttl_ms, which is greater than 0; not with is_delete */
    uint64_t ttl_ms;
};

/* All changes in one transaction: all are durable, or none is made. Later ones win. As above;
 * RUSM_ETOOBIG also for max_batch_*. RUSM_EINVAL: a time to live of 0, or for a delete. */
RUSM_MUST_USE int rusm__kv_batch(struct rusm__kv *kv, const struct rusm__kv_change *changes,
                                 size_t count, rusm__kv_done done, void *arg,
                                 struct rusm__kv_error *out_error);

/* Make the change if the value is *expected, or if there is none and expected is NULL; whether it
 * was made is the result's `existed`. As rusm__kv_batch. */
RUSM_MUST_USE int rusm__kv_compare_and_set(struct rusm__kv *kv,
                                           const struct rusm__kv_bytes *expected,
                                           const struct rusm__kv_change *change, rusm__kv_done done,
                                           void *arg, struct rusm__kv_error *out_error);

/* Add delta to the number under the key, which is written in decimal digits; no key counts as 0. A
 * time to live stays as it is. As rusm__kv_set. */
RUSM_MUST_USE int rusm__kv_increment(struct rusm__kv *kv, struct rusm__kv_bytes bucket,
                                     struct rusm__kv_bytes key, int64_t delta, rusm__kv_done done,
                                     void *arg, struct rusm__kv_error *out_error);

/* ---- looking on; any thread ---- */

struct rusm__kv_stats {
    uint64_t written;   /* writes acknowledged */
    uint64_t failed;    /* accepted writes that were answered with an error */
    uint64_t commits;   /* transactions made durable */
    uint64_t grown;     /* times the map was made larger */
    uint64_t expired;   /* keys removed because their time was over */
    uint64_t queued;    /* accepted, not yet answered */
    uint64_t map_bytes; /* address space now */
};

void rusm__kv_get_stats(struct rusm__kv *kv, struct rusm__kv_stats *out_stats);

#endif
