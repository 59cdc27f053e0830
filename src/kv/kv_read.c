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

/* After success the reader's lock is held and its transaction active, until end_read. */
static int begin_read(struct rusm__kv_reader *reader, struct rusm__kv_error *error) {
    int mdb = renew(reader);
    if (mdb == MDB_MAP_RESIZED) {
        int result = adopt_size(reader->kv, error);
        if (result < 0)
            return result;
        mdb = renew(reader);
    }
    return mdb ? rusm__kv_fail_mdb(error, "reading the store", mdb) : RUSM_OK;
}

static void end_read(struct rusm__kv_reader *reader) {
    mdb_txn_reset(reader->txn);
    pthread_mutex_unlock(&reader->lock);
}

/* The stored value under the key, its form checked and cut off; valid until end_read. */
static int find(struct rusm__kv_reader *reader, const unsigned char *key, size_t key_len,
                MDB_val *out_value, struct rusm__kv_error *error) {
    MDB_val name = rusm__kv_val(key, key_len);
    int mdb = mdb_get(reader->txn, reader->kv->dbi, &name, out_value);
    if (mdb == MDB_NOTFOUND)
        return rusm__kv_fail(error, RUSM_ENOTFOUND, "there is no such key");
    if (mdb)
        return rusm__kv_fail_mdb(error, "reading the store", mdb);
    const unsigned char *stored = out_value->mv_data;
    if (out_value->mv_size < 1 || stored[0] != RUSM__KV_FORM_PLAIN)
        return rusm__kv_fail(error, RUSM_EIO,
                             "the value is in a form that this version of rusm does not know");
    *out_value = rusm__kv_val(stored + 1, out_value->mv_size - 1);
    return RUSM_OK;
}

static int copy_out(const MDB_val *value, struct rusm__kv_value *out_value,
                    struct rusm__kv_error *error) {
    unsigned char *copy = rusm__mem_try_alloc(value->mv_size ? value->mv_size : 1);
    if (!copy)
        return rusm__kv_fail(error, RUSM_ENOMEM, "out of memory for a value of %zu bytes",
                             value->mv_size);
    memcpy(copy, value->mv_data, value->mv_size);
    *out_value = (struct rusm__kv_value){.data = copy, .len = value->mv_size};
    return RUSM_OK;
}

int rusm__kv_get(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                 struct rusm__kv_bytes key, struct rusm__kv_value *out_value,
                 struct rusm__kv_error *out_error) {
    unsigned char name[RUSM__KV_LMDB_KEY_BYTES];
    size_t name_len;
    MDB_val value;
    *out_value = (struct rusm__kv_value){0};
    int result = rusm__kv_key_encode(bucket, key, name, &name_len, out_error);
    if (result == RUSM_OK)
        result = begin_read(reader, out_error);
    if (result < 0)
        return result;
    result = find(reader, name, name_len, &value, out_error);
    if (result == RUSM_OK)
        result = copy_out(&value, out_value, out_error);
    end_read(reader);
    return result;
}

int rusm__kv_exists(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                    struct rusm__kv_bytes key, bool *out_exists, struct rusm__kv_error *out_error) {
    unsigned char name[RUSM__KV_LMDB_KEY_BYTES];
    size_t name_len;
    MDB_val value;
    *out_exists = false;
    int result = rusm__kv_key_encode(bucket, key, name, &name_len, out_error);
    if (result == RUSM_OK)
        result = begin_read(reader, out_error);
    if (result < 0)
        return result;
    result = find(reader, name, name_len, &value, out_error);
    end_read(reader);
    *out_exists = result == RUSM_OK;
    return result == RUSM_ENOTFOUND ? RUSM_OK : result;
}

/* ---- lists ---- */

/* Walks the keys of one bucket: from the first that is not less than the bucket's own prefix to
 * the last that begins with it. */
struct walk {
    MDB_cursor *cursor;
    const unsigned char *prefix;
    size_t prefix_len;
    bool begun;
};

/* 0: the next key is in *out_key, its prefix cut off. MDB_NOTFOUND: there are no more. */
static int walk_next(struct walk *walk, MDB_val *out_key) {
    MDB_val value;
    *out_key = rusm__kv_val(walk->prefix, walk->prefix_len);
    int mdb = mdb_cursor_get(walk->cursor, out_key, &value, walk->begun ? MDB_NEXT : MDB_SET_RANGE);
    walk->begun = true;
    if (mdb)
        return mdb;
    if (out_key->mv_size < walk->prefix_len ||
        memcmp(out_key->mv_data, walk->prefix, walk->prefix_len) != 0)
        return MDB_NOTFOUND;
    out_key->mv_data = (unsigned char *)out_key->mv_data + walk->prefix_len;
    out_key->mv_size -= walk->prefix_len;
    return 0;
}

/* How many keys there are and how many bytes they have; stops when they pass the limit. */
static int measure(struct walk walk, size_t most, size_t *out_count, size_t *out_bytes,
                   struct rusm__kv_error *error) {
    MDB_val key;
    int mdb;
    *out_count = *out_bytes = 0;
    while ((mdb = walk_next(&walk, &key)) == 0) {
        *out_count += 1;
        *out_bytes += key.mv_size;
        if (*out_bytes > most || *out_count > (most - *out_bytes) / sizeof(struct rusm__kv_bytes))
            return rusm__kv_fail(error, RUSM_ETOOBIG,
                                 "the bucket has more keys than one list may return "
                                 "(%zu bytes with all overhead)",
                                 most);
    }
    return mdb == MDB_NOTFOUND ? RUSM_OK : rusm__kv_fail_mdb(error, "reading the store", mdb);
}

/* Copy what measure has counted: the transaction sees the same keys. */
static int collect(struct walk walk, size_t count, struct rusm__kv_bytes *keys,
                   struct rusm__kv_error *error) {
    unsigned char *at = (unsigned char *)(keys + count);
    MDB_val key;
    for (size_t i = 0; i < count; i++) {
        int mdb = walk_next(&walk, &key);
        if (mdb)
            return rusm__kv_fail_mdb(error, "reading the store", mdb);
        memcpy(at, key.mv_data, key.mv_size);
        keys[i] = (struct rusm__kv_bytes){.ptr = at, .len = key.mv_size};
        at += key.mv_size;
    }
    return RUSM_OK;
}

static int list_with(struct walk walk, size_t most, struct rusm__kv_keys *out_keys,
                     struct rusm__kv_error *error) {
    size_t count, bytes;
    int result = measure(walk, most, &count, &bytes, error);
    if (result < 0)
        return result;
    size_t size = count * sizeof *out_keys->keys + bytes;
    struct rusm__kv_bytes *keys = rusm__mem_try_alloc(size ? size : 1);
    if (!keys)
        return rusm__kv_fail(error, RUSM_ENOMEM, "out of memory for a list of %zu keys", count);
    result = collect(walk, count, keys, error);
    if (result < 0) {
        rusm__mem_free(keys);
        return result;
    }
    *out_keys = (struct rusm__kv_keys){.keys = keys, .count = count};
    return RUSM_OK;
}

int rusm__kv_list(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                  struct rusm__kv_keys *out_keys, struct rusm__kv_error *out_error) {
    unsigned char prefix[RUSM__KV_LMDB_KEY_BYTES];
    struct walk walk = {.prefix = prefix};
    *out_keys = (struct rusm__kv_keys){0};
    int result = rusm__kv_key_encode(bucket, (struct rusm__kv_bytes){0}, prefix, &walk.prefix_len,
                                     out_error);
    if (result == RUSM_OK)
        result = begin_read(reader, out_error);
    if (result < 0)
        return result;
    int mdb = mdb_cursor_open(reader->txn, reader->kv->dbi, &walk.cursor);
    if (mdb) {
        result = rusm__kv_fail_mdb(out_error, "reading the store", mdb);
    } else {
        result = list_with(walk, reader->kv->options.max_list_bytes, out_keys, out_error);
        mdb_cursor_close(walk.cursor);
    }
    end_read(reader);
    return result;
}
