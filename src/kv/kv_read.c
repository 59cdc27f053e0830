/* SPDX-License-Identifier: MIT */
/* Reading. A reader keeps one read transaction for good: it is renewed at the beginning of a read
 * and reset at its end, which costs a few loads and stores and no lock that others want. Between
 * reads it pins no old pages. */
#include "kv/kv_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

/* ---- readers ---- */

static int begin_txn(struct rusm__kv_reader *reader, struct rusm__kv_error *error) {
    struct rusm__kv *kv = reader->kv;
    if (kv->reader_count >= kv->options.max_readers)
        return rusm__kv_fail(error, RUSM_ELIMIT, "the store has its limit of %u readers",
                             kv->options.max_readers);
    int mdb = kv->unmapped ? MDB_PANIC : mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &reader->txn);
    if (mdb)
        return rusm__kv_fail_mdb(error, "reading the store", mdb);
    mdb_txn_reset(reader->txn);
    return RUSM_OK;
}

int rusm__kv_reader_new(struct rusm__kv *kv, struct rusm__kv_reader **out_reader,
                        struct rusm__kv_error *out_error) {
    *out_reader = NULL;
    struct rusm__kv_reader *reader = rusm__mem_try_zalloc(sizeof *reader);
    if (!reader)
        return rusm__kv_fail(out_error, RUSM_ENOMEM, "out of memory");
    reader->kv = kv;
    pthread_mutex_init(&reader->lock, NULL);
    pthread_mutex_lock(&kv->readers_lock); /* keeps the map in place */
    int result = begin_txn(reader, out_error);
    if (result == RUSM_OK) {
        rusm__list_push_back(&kv->readers, &reader->node);
        kv->reader_count++;
    }
    pthread_mutex_unlock(&kv->readers_lock);
    if (result < 0) {
        pthread_mutex_destroy(&reader->lock);
        rusm__mem_free(reader);
        return result;
    }
    *out_reader = reader;
    return RUSM_OK;
}

void rusm__kv_reader_free(struct rusm__kv_reader *reader) {
    if (!reader)
        return;
    pthread_mutex_lock(&reader->kv->readers_lock);
    rusm__list_unlink(&reader->node);
    reader->kv->reader_count--;
    mdb_txn_abort(reader->txn);
    pthread_mutex_unlock(&reader->kv->readers_lock);
    pthread_mutex_destroy(&reader->lock);
    rusm__mem_free(reader);
}

/* ---- one read: begin, look, end ---- */

static int renew(struct rusm__kv_reader *reader) {
    pthread_mutex_lock(&reader->lock);
    int mdb = reader->kv->unmapped ? MDB_PANIC : mdb_txn_renew(reader->txn);
    if (mdb)
        pthread_mutex_unlock(&reader->lock);
    return mdb;
}

/* Another program, which does not know our lock, made the file larger than our map. */
static int adopt_size(struct rusm__kv *kv, struct rusm__kv_error *error) {
    pthread_mutex_lock(&kv->txn_lock);
    int result = rusm__kv_map_resize(kv, 0, error);
    pthread_mutex_unlock(&kv->txn_lock);
    return result;
}

/* After success the reader's lock is held and its transaction active, until rusm__kv_read_end. */
int rusm__kv_read_begin(struct rusm__kv_reader *reader, struct rusm__kv_error *error) {
    int mdb = renew(reader);
    if (mdb == MDB_MAP_RESIZED) {
        int result = adopt_size(reader->kv, error);
        if (result < 0)
            return result;
        mdb = renew(reader);
    }
    return mdb ? rusm__kv_fail_mdb(error, "reading the store", mdb) : RUSM_OK;
}

void rusm__kv_read_end(struct rusm__kv_reader *reader) {
    mdb_txn_reset(reader->txn);
    pthread_mutex_unlock(&reader->lock);
}

/* The value under the key; valid until rusm__kv_read_end. */
static int find(struct rusm__kv_reader *reader, const unsigned char *key, size_t key_len,
                struct rusm__kv_bytes *out_value, struct rusm__kv_error *error) {
    MDB_val name = rusm__kv_val(key, key_len);
    MDB_val value;
    struct rusm__kv_stored stored = {0};
    int mdb = mdb_get(reader->txn, reader->kv->dbi, &name, &value);
    if (mdb && mdb != MDB_NOTFOUND)
        return rusm__kv_fail_mdb(error, "reading the store", mdb);
    int code = mdb ? RUSM_OK : rusm__kv_value_read(&value, &stored, error);
    if (code < 0)
        return code;
    if (mdb == MDB_NOTFOUND || rusm__kv_is_over(&stored))
        return rusm__kv_fail(error, RUSM_ENOTFOUND, "there is no such key");
    *out_value = stored.bytes;
    return RUSM_OK;
}

static int copy_out(const struct rusm__kv_bytes *value, struct rusm__kv_value *out_value,
                    struct rusm__kv_error *error) {
    unsigned char *copy = rusm__mem_try_alloc(value->len ? value->len : 1);
    if (!copy)
        return rusm__kv_fail(error, RUSM_ENOMEM, "out of memory for a value of %zu bytes",
                             value->len);
    memcpy(copy, value->ptr, value->len);
    *out_value = (struct rusm__kv_value){.data = copy, .len = value->len};
    return RUSM_OK;
}

/* Begin a read of one key. RUSM_OK: the value is there until the read ends, which is for the caller
 * to do; otherwise nothing is left open. */
static int begin_find(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                      struct rusm__kv_bytes key, struct rusm__kv_bytes *out_value,
                      struct rusm__kv_error *error) {
    unsigned char name[RUSM__KV_LMDB_KEY_BYTES];
    size_t name_len;
    int result = rusm__kv_key_encode(bucket, key, name, &name_len, error);
    if (result == RUSM_OK)
        result = rusm__kv_read_begin(reader, error);
    if (result < 0)
        return result;
    result = find(reader, name, name_len, out_value, error);
    if (result < 0)
        rusm__kv_read_end(reader);
    return result;
}

int rusm__kv_get(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                 struct rusm__kv_bytes key, struct rusm__kv_value *out_value,
                 struct rusm__kv_error *out_error) {
    struct rusm__kv_bytes value;
    *out_value = (struct rusm__kv_value){0};
    int result = begin_find(reader, bucket, key, &value, out_error);
    if (result < 0)
        return result;
    result = copy_out(&value, out_value, out_error);
    rusm__kv_read_end(reader);
    return result;
}

int rusm__kv_exists(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                    struct rusm__kv_bytes key, bool *out_exists, struct rusm__kv_error *out_error) {
    struct rusm__kv_bytes value;
    int result = begin_find(reader, bucket, key, &value, out_error);
    *out_exists = result == RUSM_OK;
    if (*out_exists)
        rusm__kv_read_end(reader);
    return result == RUSM_ENOTFOUND ? RUSM_OK : result;
}
