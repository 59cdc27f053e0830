/* SPDX-License-Identifier: MIT */
/* Accepting writes: checked, copied into one allocation, hooked to the end of the queue. */
#include "kv/kv_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

/* Count the write in and hook it up, or say why not. */
static int enqueue(struct rusm__kv *kv, struct rusm__kv_write *write,
                   struct rusm__kv_error *error) {
    int result = RUSM_OK;
    pthread_mutex_lock(&kv->queue_lock);
    if (kv->closing)
        result = rusm__kv_fail(error, RUSM_ESTATE, "the store is closing");
    else if (kv->queued_ops >= kv->options.max_queued_ops)
        result = rusm__kv_fail(error, RUSM_ELIMIT, "the store is busy: %zu writes wait already",
                               kv->queued_ops);
    else if (kv->queued_bytes > 0 && write->bytes > kv->options.max_queued_bytes - kv->queued_bytes)
        result =
            rusm__kv_fail(error, RUSM_ELIMIT, "the store is busy: writes of %zu bytes wait already",
                          kv->queued_bytes);
    if (result == RUSM_OK) {
        kv->queued_ops++;
        kv->queued_bytes += write->bytes;
        bool was_empty = kv->queue.first == NULL;
        *kv->queue.last = write;
        kv->queue.last = &write->next;
        if (kv->wanted_ops ? kv->queued_ops == kv->wanted_ops : was_empty)
            pthread_cond_signal(&kv->queue_filled);
    }
    pthread_mutex_unlock(&kv->queue_lock);
    return result;
}

/* ---- checks ---- */

static int check_value(const struct rusm__kv *kv, size_t len, struct rusm__kv_error *error) {
    if (len <= kv->options.max_value_bytes)
        return RUSM_OK;
    return rusm__kv_fail(error, RUSM_ETOOBIG,
                         "kv value too large: %zu bytes, at most %zu are allowed", len,
                         kv->options.max_value_bytes);
}

/* Adds what the change takes to *bytes. */
static int check_change(const struct rusm__kv *kv, const struct rusm__kv_change *change,
                        size_t *bytes, struct rusm__kv_error *error) {
    size_t key_len;
    if (change->expires && change->is_delete)
        return rusm__kv_fail(error, RUSM_EINVAL, "kv: a key that is deleted has no time to live");
    if (change->expires && change->ttl_ms == 0)
        return rusm__kv_fail(error, RUSM_EINVAL,
                             "kv: a time to live of 0 ms; delete the key, or leave the time out");
    int code = rusm__kv_key_check(change->bucket, change->key, &key_len, error);
    if (code == RUSM_OK && !change->is_delete)
        code = check_value(kv, change->value.len, error);
    *bytes += key_len + 1 + RUSM__KV_TIME_BYTES + (change->is_delete ? 0 : change->value.len);
    return code;
}

/* What a write is made from. */
struct order {
    enum rusm__kv_write_kind kind;
    const struct rusm__kv_change *changes;
    size_t count;
    const struct rusm__kv_bytes *expected;
    int64_t delta;
    rusm__kv_done done;
    void *arg;
};

/* Checks all of it; answers how many bytes its keys and values take at most. */
static int measure(const struct rusm__kv *kv, const struct order *order, size_t *out_bytes,
                   struct rusm__kv_error *error) {
    size_t most = kv->options.max_batch_bytes;
    *out_bytes = 0;
    if (order->count > kv->options.max_batch_changes)
        return rusm__kv_fail(error, RUSM_ETOOBIG,
                             "kv batch too large: %zu changes, at most %zu are allowed",
                             order->count, kv->options.max_batch_changes);
    for (size_t i = 0; i < order->count; i++) {
        int code = check_change(kv, &order->changes[i], out_bytes, error);
        if (code < 0)
            return code;
        if (order->count > 1 && *out_bytes > most)
            return rusm__kv_fail(error, RUSM_ETOOBIG,
                                 "kv batch too large: at most %zu bytes of keys and values are "
                                 "allowed together",
                                 most);
    }
    return order->expected ? check_value(kv, order->expected->len, error) : RUSM_OK;
}

/* ---- copies ---- */

static MDB_val copy(unsigned char **at, const void *bytes, size_t len) {
    unsigned char *to = *at;
    if (len)
        memcpy(to, bytes, len);
    *at += len;
    return rusm__kv_val(to, len);
}

static uint64_t end_of(const struct rusm__kv_change *change) {
    uint64_t now_ms = rusm__kv_now_ms();
    return change->ttl_ms < UINT64_MAX - now_ms ? now_ms + change->ttl_ms : UINT64_MAX;
}

/* The keys were checked: they can be encoded. */
static int copy_change(const struct rusm__kv_change *change, struct rusm__kv_put *out_put,
                       unsigned char **at, struct rusm__kv_error *error) {
    size_t len;
    int code = rusm__kv_key_encode(change->bucket, change->key, *at, &len, error);
    if (code < 0)
        return code;
    out_put->key = rusm__kv_val(*at, len);
    out_put->value = (MDB_val){0};
    *at += len;
    if (change->is_delete)
        return RUSM_OK;
    uint64_t over_ms = change->expires ? end_of(change) : 0;
    size_t head = rusm__kv_value_head_len(over_ms);
    unsigned char *value = *at;
    rusm__kv_value_head(over_ms, value);
    *at += head;
    copy(at, change->value.ptr, change->value.len);
    out_put->value = rusm__kv_val(value, head + change->value.len);
    return RUSM_OK;
}

static int fill(struct rusm__kv_write *write, const struct order *order,
                struct rusm__kv_error *error) {
    unsigned char *first = (unsigned char *)&write->puts[order->count];
    unsigned char *at = first;
    for (size_t i = 0; i < order->count; i++) {
        int code = copy_change(&order->changes[i], &write->puts[i], &at, error);
        if (code < 0)
            return code;
    }
    if (order->expected)
        write->expected = copy(&at, order->expected->ptr, order->expected->len);
    write->bytes = (size_t)(at - first);
    return RUSM_OK;
}

static int submit(struct rusm__kv *kv, const struct order *order, struct rusm__kv_error *error) {
    size_t bytes;
    int code = measure(kv, order, &bytes, error);
    if (code < 0)
        return code;
    bytes += order->expected ? order->expected->len : 0;
    struct rusm__kv_write *write =
        rusm__mem_try_alloc(sizeof *write + order->count * sizeof write->puts[0] + bytes);
    if (!write)
        return rusm__kv_fail(error, RUSM_ENOMEM, "out of memory");
    *write = (struct rusm__kv_write){.kind = order->kind,
                                     .done = order->done,
                                     .arg = order->arg,
                                     .delta = order->delta,
                                     .has_expected = order->expected != NULL,
                                     .text = "",
                                     .count = order->count};
    code = fill(write, order, error);
    if (code == RUSM_OK)
        code = enqueue(kv, write, error);
    if (code < 0)
        rusm__mem_free(write);
    return code;
}

/* ---- the calls ---- */

int rusm__kv_batch(struct rusm__kv *kv, const struct rusm__kv_change *changes, size_t count,
                   rusm__kv_done done, void *arg, struct rusm__kv_error *out_error) {
    struct order order = {.kind = RUSM__KV_WRITE_CHANGE,
                          .changes = changes,
                          .count = count,
                          .done = done,
                          .arg = arg};
    return submit(kv, &order, out_error);
}

int rusm__kv_set(struct rusm__kv *kv, struct rusm__kv_bytes bucket, struct rusm__kv_bytes key,
                 struct rusm__kv_bytes value, rusm__kv_done done, void *arg,
                 struct rusm__kv_error *out_error) {
    struct rusm__kv_change change = {.bucket = bucket, .key = key, .value = value};
    return rusm__kv_batch(kv, &change, 1, done, arg, out_error);
}

int rusm__kv_delete(struct rusm__kv *kv, struct rusm__kv_bytes bucket, struct rusm__kv_bytes key,
                    rusm__kv_done done, void *arg, struct rusm__kv_error *out_error) {
    struct rusm__kv_change change = {.bucket = bucket, .key = key, .is_delete = true};
    return rusm__kv_batch(kv, &change, 1, done, arg, out_error);
}

int rusm__kv_compare_and_set(struct rusm__kv *kv, const struct rusm__kv_bytes *expected,
                             const struct rusm__kv_change *change, rusm__kv_done done, void *arg,
                             struct rusm__kv_error *out_error) {
    struct order order = {.kind = RUSM__KV_WRITE_SWAP,
                          .changes = change,
                          .count = 1,
                          .expected = expected,
                          .done = done,
                          .arg = arg};
    return submit(kv, &order, out_error);
}

int rusm__kv_increment(struct rusm__kv *kv, struct rusm__kv_bytes bucket, struct rusm__kv_bytes key,
                       int64_t delta, rusm__kv_done done, void *arg,
                       struct rusm__kv_error *out_error) {
    /* A delete, as far as checks and copies go: the value is made when it is applied. */
    struct rusm__kv_change change = {.bucket = bucket, .key = key, .is_delete = true};
    struct order order = {.kind = RUSM__KV_WRITE_INCREMENT,
                          .changes = &change,
                          .count = 1,
                          .delta = delta,
                          .done = done,
                          .arg = arg};
    return submit(kv, &order, out_error);
}
