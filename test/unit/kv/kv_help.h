/* SPDX-License-Identifier: MIT */
/* What the tests of the store share: a folder of their own, waiting for writes, short calls. */
#ifndef KV_HELP_H
#define KV_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ftw.h>
#include <semaphore.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "kv/kv.h"

static char folder[64]; /* made by folder_set_up, removed by folder_tear_down */

static inline int folder_set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/rusm-kv-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *info, int type,
                             struct FTW *place) {
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static inline int folder_tear_down(void **state) {
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline struct rusm__kv_bytes text(const char *bytes) {
    return (struct rusm__kv_bytes){.ptr = (const unsigned char *)bytes, .len = strlen(bytes)};
}

static inline struct rusm__kv_bytes bytes_of(const void *bytes, size_t len) {
    return (struct rusm__kv_bytes){.ptr = bytes, .len = len};
}

static inline struct rusm__kv *open_store(const char *name,
                                          const struct rusm__kv_options *options) {
    struct rusm__kv *kv = NULL;
    struct rusm__kv_error error = {{0}};
    int result = rusm__kv_open(path_of(name), options, &kv, &error);
    if (result < 0)
        fail_msg("%s: %s", rusm_error_name(result), error.text);
    return kv;
}

static inline struct rusm__kv_reader *open_reader(struct rusm__kv *kv) {
    struct rusm__kv_reader *reader = NULL;
    assert_int_equal(rusm__kv_reader_new(kv, &reader, NULL), 0);
    return reader;
}

/* ---- a write and the wait for its answer ---- */

struct waiting {
    sem_t answered;
    int code;
    bool existed;
    int64_t number;
    char text[sizeof((struct rusm__kv_error *)0)->text];
};

static inline void take_answer(void *arg, const struct rusm__kv_result *result) {
    struct waiting *waiting = arg;
    waiting->code = result->code;
    waiting->existed = result->existed;
    waiting->number = result->number;
    snprintf(waiting->text, sizeof waiting->text, "%s", result->text);
    sem_post(&waiting->answered);
}

static inline struct waiting wait_for(struct waiting *waiting, int submitted) {
    if (submitted == 0)
        while (sem_wait(&waiting->answered) < 0)
            continue;
    else
        waiting->code = submitted;
    sem_destroy(&waiting->answered);
    return *waiting;
}

static inline struct waiting set(struct rusm__kv *kv, struct rusm__kv_bytes bucket,
                                 struct rusm__kv_bytes key, struct rusm__kv_bytes value) {
    struct waiting waiting = {.code = 1};
    struct rusm__kv_error error = {{0}};
    sem_init(&waiting.answered, 0, 0);
    int submitted = rusm__kv_set(kv, bucket, key, value, take_answer, &waiting, &error);
    if (submitted < 0)
        snprintf(waiting.text, sizeof waiting.text, "%s", error.text);
    return wait_for(&waiting, submitted);
}

static inline struct waiting del(struct rusm__kv *kv, struct rusm__kv_bytes bucket,
                                 struct rusm__kv_bytes key) {
    struct waiting waiting = {.code = 1};
    sem_init(&waiting.answered, 0, 0);
    return wait_for(&waiting, rusm__kv_delete(kv, bucket, key, take_answer, &waiting, NULL));
}

static inline struct waiting batch(struct rusm__kv *kv, const struct rusm__kv_change *changes,
                                   size_t count) {
    struct waiting waiting = {.code = 1};
    struct rusm__kv_error error = {{0}};
    sem_init(&waiting.answered, 0, 0);
    int submitted = rusm__kv_batch(kv, changes, count, take_answer, &waiting, &error);
    if (submitted < 0)
        snprintf(waiting.text, sizeof waiting.text, "%s", error.text);
    return wait_for(&waiting, submitted);
}

/* expected NULL: no such key. The change is a delete when its value is NULL. */
static inline struct waiting swap(struct rusm__kv *kv, const char *key, const char *expected,
                                  const char *value) {
    struct waiting waiting = {.code = 1};
    struct rusm__kv_bytes wanted = text(expected ? expected : "");
    struct rusm__kv_change change = {.bucket = text("b"),
                                     .key = text(key),
                                     .value = text(value ? value : ""),
                                     .is_delete = !value};
    sem_init(&waiting.answered, 0, 0);
    int submitted = rusm__kv_compare_and_set(kv, expected ? &wanted : NULL, &change, take_answer,
                                             &waiting, NULL);
    return wait_for(&waiting, submitted);
}

static inline struct waiting increment(struct rusm__kv *kv, const char *key, int64_t delta) {
    struct waiting waiting = {.code = 1};
    sem_init(&waiting.answered, 0, 0);
    return wait_for(
        &waiting, rusm__kv_increment(kv, text("b"), text(key), delta, take_answer, &waiting, NULL));
}

/* In bucket "b", for ttl_ms. */
static inline int set_for(struct rusm__kv *kv, const char *key, const char *value,
                          uint64_t ttl_ms) {
    struct rusm__kv_change change = {.bucket = text("b"),
                                     .key = text(key),
                                     .value = text(value),
                                     .expires = true,
                                     .ttl_ms = ttl_ms};
    return batch(kv, &change, 1).code;
}

static inline int set_text(struct rusm__kv *kv, const char *bucket, const char *key,
                           const char *value) {
    return set(kv, text(bucket), text(key), text(value)).code;
}

/* ---- reads that compare ---- */

static inline void check_value(struct rusm__kv_reader *reader, const char *bucket, const char *key,
                               const char *wanted) {
    struct rusm__kv_value value;
    bool exists;
    int result = rusm__kv_get(reader, text(bucket), text(key), &value, NULL);
    assert_int_equal(result, wanted ? 0 : RUSM_ENOTFOUND);
    assert_int_equal(rusm__kv_exists(reader, text(bucket), text(key), &exists, NULL), 0);
    assert_int_equal(exists, wanted != NULL);
    if (!wanted)
        return;
    assert_int_equal(value.len, strlen(wanted));
    assert_memory_equal(value.data, wanted, value.len);
    rusm__mem_free(value.data);
}

/* wanted: the keys, each followed by a comma. */
static inline void check_list(struct rusm__kv_reader *reader, const char *bucket,
                              const char *wanted) {
    struct rusm__kv_keys keys;
    char seen[1024] = "";
    assert_int_equal(rusm__kv_list(reader, text(bucket), &keys, NULL), 0);
    for (size_t i = 0; i < keys.count; i++) {
        strncat(seen, (const char *)keys.keys[i].ptr, keys.keys[i].len);
        strcat(seen, ",");
    }
    assert_string_equal(seen, wanted);
    rusm__mem_free(keys.keys);
}

#endif
