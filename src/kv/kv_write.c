/* SPDX-License-Identifier: MIT */
/* Accepting writes: checked, copied into one allocation, hooked to the end of the queue. */
#include "kv/kv_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

/* Count the write in and hook it up, or say why not. */
static int enqueue(struct rusm__kv *kv, struct rusm__kv_write *write,
                   struct rusm__kv_error *error) {
    size_t size = write->key_len + write->value_len;
    int result = RUSM_OK;
    pthread_mutex_lock(&kv->queue_lock);
    if (kv->closing)
        result = rusm__kv_fail(error, RUSM_ESTATE, "the store is closing");
    else if (kv->queued_ops >= kv->options.max_queued_ops)
        result = rusm__kv_fail(error, RUSM_ELIMIT, "the store is busy: %zu writes wait already",
                               kv->queued_ops);
    else if (kv->queued_bytes > 0 && size > kv->options.max_queued_bytes - kv->queued_bytes)
        result =
            rusm__kv_fail(error, RUSM_ELIMIT, "the store is busy: writes of %zu bytes wait already",
                          kv->queued_bytes);
    if (result == RUSM_OK) {
        kv->queued_ops++;
        kv->queued_bytes += size;
        bool was_empty = kv->queue.first == NULL;
        *kv->queue.last = write;
        kv->queue.last = &write->next;
        if (was_empty)
            pthread_cond_signal(&kv->queue_filled);
    }
    pthread_mutex_unlock(&kv->queue_lock);
    return result;
}

/* value is NULL for writes without one. */
static int submit(struct rusm__kv *kv, enum rusm__kv_write_kind kind, struct rusm__kv_bytes bucket,
                  struct rusm__kv_bytes key, const struct rusm__kv_bytes *value, rusm__kv_done done,
                  void *arg, struct rusm__kv_error *error) {
    unsigned char name[RUSM__KV_LMDB_KEY_BYTES];
    size_t name_len;
    int result = rusm__kv_key_encode(bucket, key, name, &name_len, error);
    if (result < 0)
        return result;
    size_t value_len = value ? value->len + 1 : 0;
    struct rusm__kv_write *write = rusm__mem_try_alloc(sizeof *write + name_len + value_len);
    if (!write)
        return rusm__kv_fail(error, RUSM_ENOMEM, "out of memory");
    *write = (struct rusm__kv_write){
        .kind = kind, .key_len = name_len, .value_len = value_len, .done = done, .arg = arg};
    memcpy(write->bytes, name, name_len);
    if (value) {
        write->bytes[name_len] = RUSM__KV_FORM_PLAIN;
        if (value->len)
            memcpy(write->bytes + name_len + 1, value->ptr, value->len);
    }
    result = enqueue(kv, write, error);
    if (result < 0)
        rusm__mem_free(write);
    return result;
}

int rusm__kv_set(struct rusm__kv *kv, struct rusm__kv_bytes bucket, struct rusm__kv_bytes key,
                 struct rusm__kv_bytes value, rusm__kv_done done, void *arg,
                 struct rusm__kv_error *out_error) {
    if (value.len > kv->options.max_value_bytes)
        return rusm__kv_fail(out_error, RUSM_ETOOBIG,
                             "kv value too large: %zu bytes, at most %zu are allowed", value.len,
                             kv->options.max_value_bytes);
    return submit(kv, RUSM__KV_WRITE_SET, bucket, key, &value, done, arg, out_error);
}

int rusm__kv_delete(struct rusm__kv *kv, struct rusm__kv_bytes bucket, struct rusm__kv_bytes key,
                    rusm__kv_done done, void *arg, struct rusm__kv_error *out_error) {
    return submit(kv, RUSM__KV_WRITE_DELETE, bucket, key, NULL, done, arg, out_error);
}
