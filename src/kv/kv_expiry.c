/* SPDX-License-Identifier: MIT */
/* Times to live: the index of what ends when, and the sweep that follows it.
 *
 * Reads do not depend on any of this: they look at the time beside the value. The sweep gives back
 * the space. It reads the index from its beginning and stops at the first time that has not come,
 * so its cost is that of the keys which it removes. One transaction removes a bounded number, and
 * there is at most one a second unless more is due, so writers are not held up by it. */
#include "kv/kv_impl.h"

#include <string.h>

#include "base/clock.h"

enum { SWEEP_KEYS = 4096 };

#define PAUSE_NS    RUSM__SECOND /* between two sweeps */
#define PATIENCE_MS 10000u       /* the machine's clock may be set: look at it again after this */

int rusm__kv_expiry_note(struct rusm__kv *kv, MDB_txn *txn, MDB_val *key, uint64_t over_ms) {
    unsigned char time[RUSM__KV_TIME_BYTES];
    MDB_val when = rusm__kv_val(time, sizeof(time));
    rusm__kv_time_write(over_ms, time);
    int mdb = mdb_put(txn, kv->expiry, &when, key, MDB_NODUPDATA);
    if (mdb == MDB_KEYEXIST)
        mdb = 0;
    if (!mdb && (!kv->has_expiring || over_ms < kv->next_due_ms))
        kv->next_due_ms = over_ms;
    kv->has_expiring = true;
    return mdb;
}

int rusm__kv_expiry_forget(struct rusm__kv *kv, MDB_txn *txn, MDB_val *key) {
    unsigned char time[RUSM__KV_TIME_BYTES];
    MDB_val when = rusm__kv_val(time, sizeof(time));
    MDB_val value;
    struct rusm__kv_stored stored;
    if (!kv->has_expiring)
        return 0;
    int mdb = mdb_get(txn, kv->dbi, key, &value);
    if (mdb || rusm__kv_value_read(&value, &stored, NULL) < 0 || !stored.over_ms)
        return mdb == MDB_NOTFOUND ? 0 : mdb;
    rusm__kv_time_write(stored.over_ms, time);
    mdb = mdb_del(txn, kv->expiry, &when, key);
    return mdb == MDB_NOTFOUND ? 0 : mdb;
}

/* The first entry of the index, copied out of the map, which the next change may move. */
struct entry {
    uint64_t over_ms;
    size_t key_len;
    unsigned char time[RUSM__KV_TIME_BYTES];
    unsigned char key[RUSM__KV_LMDB_KEY_BYTES];
};

static int first_entry(MDB_cursor *cursor, struct entry *out_entry) {
    MDB_val when, key;
    int mdb = mdb_cursor_get(cursor, &when, &key, MDB_FIRST);
    if (mdb)
        return mdb;
    if (when.mv_size != sizeof(out_entry->time) || key.mv_size > sizeof(out_entry->key))
        return MDB_CORRUPTED;
    memcpy(out_entry->time, when.mv_data, when.mv_size);
    memcpy(out_entry->key, key.mv_data, key.mv_size);
    out_entry->key_len = key.mv_size;
    out_entry->over_ms = rusm__kv_time_read(out_entry->time);
    return 0;
}

/* A version of rusm that knows no times may have written the key anew, so the value has the say. */
static int remove_key(struct rusm__kv *kv, MDB_txn *txn, const struct entry *entry) {
    MDB_val key = rusm__kv_val(entry->key, entry->key_len);
    MDB_val value;
    struct rusm__kv_stored stored;
    int mdb = mdb_get(txn, kv->dbi, &key, &value);
    if (!mdb && rusm__kv_value_read(&value, &stored, NULL) == 0 && stored.over_ms == entry->over_ms)
        mdb = mdb_del(txn, kv->dbi, &key, NULL);
    return mdb == MDB_NOTFOUND ? 0 : mdb;
}

static int sweep_with(struct rusm__kv *kv, MDB_txn *txn, MDB_cursor *cursor, size_t *out_removed) {
    struct entry entry = {0};
    uint64_t now_ms = rusm__kv_now_ms();
    int mdb = first_entry(cursor, &entry);
    while (!mdb && entry.over_ms <= now_ms && *out_removed < SWEEP_KEYS) {
        mdb = remove_key(kv, txn, &entry);
        if (!mdb)
            mdb = mdb_cursor_del(cursor, 0);
        *out_removed += !mdb;
        if (!mdb)
            mdb = first_entry(cursor, &entry);
    }
    kv->has_expiring = mdb != MDB_NOTFOUND;
    kv->next_due_ms = entry.over_ms;
    return mdb == MDB_NOTFOUND ? 0 : mdb;
}

int rusm__kv_expiry_sweep(struct rusm__kv *kv, MDB_txn *txn, size_t *out_removed) {
    MDB_cursor *cursor;
    *out_removed = 0;
    int mdb = mdb_cursor_open(txn, kv->expiry, &cursor);
    if (mdb)
        return mdb;
    mdb = sweep_with(kv, txn, cursor, out_removed);
    mdb_cursor_close(cursor);
    kv->next_sweep_ns = *out_removed < SWEEP_KEYS ? rusm__clock_ns() + PAUSE_NS : 0;
    return mdb;
}

uint64_t rusm__kv_expiry_wake_ns(const struct rusm__kv *kv) {
    if (!kv->has_expiring)
        return RUSM__NEVER;
    uint64_t now_ms = rusm__kv_now_ms();
    uint64_t left_ms = kv->next_due_ms > now_ms ? kv->next_due_ms - now_ms : 0;
    uint64_t wake_ns =
        rusm__clock_ns() + (left_ms < PATIENCE_MS ? left_ms : PATIENCE_MS) * RUSM__MS;
    return wake_ns > kv->next_sweep_ns ? wake_ns : kv->next_sweep_ns;
}
