/* SPDX-License-Identifier: MIT */
/* What a write does inside of the commit thread's transaction. There is one writer, so what is read
 * here cannot change before it is written: compare-and-set and increment need no lock. */
#include "kv/kv_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

enum { NUMBER_TEXT = 24 };

int rusm__kv_apply_begin(struct rusm__kv *kv, MDB_txn *txn) {
    MDB_stat stat;
    int mdb = mdb_stat(txn, kv->expiry, &stat);
    if (!mdb)
        kv->has_expiring = stat.ms_entries > 0;
    return mdb;
}

/* What a reader would see under the key. 0, MDB_NOTFOUND (also when its time is over), or what
 * LMDB says; MDB_INCOMPATIBLE: a form that we do not know. */
static int find_live(struct rusm__kv *kv, MDB_txn *txn, MDB_val *key,
                     struct rusm__kv_stored *out_stored) {
    MDB_val value;
    *out_stored = (struct rusm__kv_stored){0};
    int mdb = mdb_get(txn, kv->dbi, key, &value);
    if (mdb)
        return mdb;
    if (rusm__kv_value_read(&value, out_stored, NULL) < 0)
        return MDB_INCOMPATIBLE;
    return rusm__kv_is_over(out_stored) ? MDB_NOTFOUND : 0;
}

static int put(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_put *put) {
    struct rusm__kv_stored stored;
    int mdb = rusm__kv_expiry_forget(kv, txn, &put->key);
    if (!mdb)
        mdb = mdb_put(txn, kv->dbi, &put->key, &put->value, 0);
    if (!mdb && rusm__kv_value_read(&put->value, &stored, NULL) == 0 && stored.over_ms)
        mdb = rusm__kv_expiry_note(kv, txn, &put->key, stored.over_ms);
    return mdb;
}

/* Whether the key was there is asked only where its time matters: mdb_del knows the rest. */
static int delete(struct rusm__kv *kv, MDB_txn *txn, MDB_val *key, bool *out_existed) {
    struct rusm__kv_stored stored;
    bool is_over = kv->has_expiring && find_live(kv, txn, key, &stored) == MDB_NOTFOUND;
    int mdb = rusm__kv_expiry_forget(kv, txn, key);
    if (mdb)
        return mdb;
    mdb = mdb_del(txn, kv->dbi, key, NULL);
    *out_existed = mdb == 0 && !is_over;
    return mdb == MDB_NOTFOUND ? 0 : mdb;
}

static int change(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_put *one, bool *out_existed) {
    return one->value.mv_data ? put(kv, txn, one) : delete (kv, txn, &one->key, out_existed);
}

static int change_all(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_write *write) {
    int mdb = 0;
    for (size_t i = 0; i < write->count && !mdb; i++)
        mdb = change(kv, txn, &write->puts[i], &write->existed);
    return mdb;
}

static int swap(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_write *write) {
    struct rusm__kv_stored stored;
    bool existed;
    int mdb = find_live(kv, txn, &write->puts[0].key, &stored);
    if (mdb && mdb != MDB_NOTFOUND)
        return mdb;
    bool is_there = mdb == 0;
    write->existed =
        is_there == write->has_expected &&
        (!is_there || (stored.bytes.len == write->expected.mv_size &&
                       memcmp(stored.bytes.ptr, write->expected.mv_data, stored.bytes.len) == 0));
    return write->existed ? change(kv, txn, &write->puts[0], &existed) : 0;
}

static int refuse(struct rusm__kv_write *write, int code, const char *text) {
    write->code = code;
    write->text = text;
    return 0;
}

static int increment(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_write *write) {
    unsigned char value[1 + RUSM__KV_TIME_BYTES + NUMBER_TEXT];
    struct rusm__kv_put *one = &write->puts[0];
    struct rusm__kv_stored stored;
    int64_t number = 0;
    int mdb = find_live(kv, txn, &one->key, &stored);
    if (mdb && mdb != MDB_NOTFOUND)
        return mdb;
    if (!mdb && !rusm__kv_number_read(stored.bytes, &number))
        return refuse(write, RUSM_EINVAL,
                      "kv increment: the value under this key is no number (a 64-bit integer in "
                      "decimal digits); set the key to one, or delete it");
    if (__builtin_add_overflow(number, write->delta, &number))
        return refuse(write, RUSM_ETOOBIG,
                      "kv increment: the sum does not fit into a signed 64-bit integer");
    uint64_t over_ms = mdb ? 0 : stored.over_ms;
    size_t head = rusm__kv_value_head_len(over_ms);
    rusm__kv_value_head(over_ms, value);
    int digits = snprintf((char *)value + head, NUMBER_TEXT, "%lld", (long long)number);
    write->number = number;
    one->value = rusm__kv_val(value, head + (size_t)digits);
    mdb = put(kv, txn, one);
    one->value = (MDB_val){0}; /* `value` ends with this function */
    return mdb;
}

int rusm__kv_apply(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_write *write) {
    write->code = RUSM_OK;
    write->text = "";
    write->existed = false;
    write->number = 0;
    switch (write->kind) {
    case RUSM__KV_WRITE_CHANGE:
        return change_all(kv, txn, write);
    case RUSM__KV_WRITE_SWAP:
        return swap(kv, txn, write);
    case RUSM__KV_WRITE_INCREMENT:
        return increment(kv, txn, write);
    }
    return EINVAL; /* no such kind */
}
