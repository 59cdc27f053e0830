/* SPDX-License-Identifier: MIT */
/* Inside of the store.
 *
 *   caller threads          commit thread (rusm-kv)               caller threads
 *   kv_set, kv_delete --->  queue ---> one LMDB transaction       get, exists, list
 *        (copies)           (commit.c)  for all that gathered     each through its own reader
 *                                |
 *                                +---> done callbacks, in order
 *
 * Locks, in the order in which they may be taken:
 *
 *   txn_lock      a write transaction is open, or the map is being changed
 *   readers_lock  the list of readers; taken to add, remove and to stop all of them
 *   reader->lock  this reader is inside of LMDB
 *   queue_lock    the queue; held for a few instructions, never with another lock
 *
 * No callback runs under any of them but is_wanted of a list, under its reader's. LMDB forbids
 * changing the map while any transaction of the process is active. So the map changes under
 * txn_lock, readers_lock and every reader's lock: see rusm__kv_map_resize.
 *
 * On disk: the unnamed database holds "rusm-format"; the database "kv" holds the data:
 *   key    length of the bucket (2 bytes, big endian), bucket, key
 *   value  one byte of form, then (form 0) the bytes, or (form 1) 8 bytes of time, big endian, in
 *          milliseconds of UNIX time, at which the key is over, and the bytes.
 * The database "expiry" holds those times again, in order: the 8 bytes are its key, and the data's
 * keys are the values under it, each once. Both change in the same transaction. So what is over is
 * found without looking at anything else, and a store without times to live pays nothing. */
#ifndef RUSM__KV_KV_IMPL_H
#define RUSM__KV_KV_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmdb.h>

#include "base/list.h"
#include "kv/kv.h"

#define RUSM__KV_LMDB_KEY_BYTES 511u /* a compile-time constant of Debian's library */
#define RUSM__KV_BUCKET_PREFIX  2u
#define RUSM__KV_FORM_PLAIN     0u
#define RUSM__KV_FORM_EXPIRES   1u
#define RUSM__KV_TIME_BYTES     8u
#define RUSM__KV_FORMAT_KEY     "rusm-format"
#define RUSM__KV_FORMAT         "1"
#define RUSM__KV_DATABASE       "kv"
#define RUSM__KV_EXPIRY         "expiry"
#define RUSM__KV_DATABASES      8u /* names that the file may hold; two are used so far */

enum rusm__kv_write_kind {
    RUSM__KV_WRITE_CHANGE,    /* make the changes */
    RUSM__KV_WRITE_SWAP,      /* make the one change if the value is as expected */
    RUSM__KV_WRITE_INCREMENT, /* add to the number under the change's key */
};

/* One key of a write, as it stands in the database. */
struct rusm__kv_put {
    MDB_val key;
    MDB_val value; /* mv_data NULL: delete */
};

/* One accepted write: one allocation, made by the submitter, freed by the commit thread. */
struct rusm__kv_write {
    struct rusm__kv_write *next;
    size_t bytes; /* of keys and values: what it counts against the queue's bound */
    rusm__kv_done done;
    void *arg;
    enum rusm__kv_write_kind kind;
    bool has_expected;
    MDB_val expected;
    int64_t delta;
    /* What came of it, set anew each time that it is applied. */
    int code;
    const char *text;
    bool existed;
    int64_t number;
    size_t count;
    struct rusm__kv_put puts[]; /* and behind them what they point to */
};

struct rusm__kv_queue {
    struct rusm__kv_write *first;
    struct rusm__kv_write **last; /* where the next one is hooked in */
};

struct rusm__kv_reader {
    struct rusm__kv *kv;
    struct rusm__list node; /* in kv->readers, under readers_lock */
    pthread_mutex_t lock;
    MDB_txn *txn; /* reset whenever lock is free */
};

struct rusm__kv {
    /* Set by open, then constant. */
    struct rusm__kv_options options;
    char *path;
    int lock_fd; /* holds the exclusive flock on the data file */
    MDB_env *env;
    MDB_dbi dbi;    /* the data */
    MDB_dbi expiry; /* when which key is over */
    pthread_t thread;

    /* The commit thread only; open sets them before it starts. */
    bool has_expiring;      /* there are, or may be, keys with a time to live */
    uint64_t next_due_ms;   /* the earliest of their ends, or earlier; UNIX time */
    uint64_t next_sweep_ns; /* not before this; monotonic */
    size_t last_ops;        /* writes in the last batch */
    uint64_t last_ns;       /* how long it took to make it durable */
    bool sweep_failed;      /* the last one; said in the log once */

    pthread_mutex_t txn_lock;
    size_t map_bytes; /* under txn_lock */

    pthread_mutex_t readers_lock;
    struct rusm__list readers;
    size_t reader_count;
    bool unmapped; /* set under txn_lock and all locks of readers; read under any of them */

    pthread_mutex_t queue_lock;
    pthread_cond_t queue_filled;
    struct rusm__kv_queue queue;
    size_t queued_ops; /* accepted and not yet answered, also those out of the queue */
    size_t queued_bytes;
    size_t wanted_ops; /* the commit thread waits for so many; 0: for any */
    bool closing;

    /* Written by the commit thread, read by anybody. */
    _Atomic(uint64_t) written;
    _Atomic(uint64_t) failed;
    _Atomic(uint64_t) commits;
    _Atomic(uint64_t) grown;
    _Atomic(uint64_t) expired;
    _Atomic(uint64_t) map_bytes_seen;
};

/* LMDB takes pointers to data that it only reads as void *. */
static inline MDB_val rusm__kv_val(const void *data, size_t len) {
    return (MDB_val){.mv_size = len, .mv_data = (void *)(uintptr_t)data};
}

/* ---- kv_error.c ---- */

/* Set the text unless error is NULL; answers code. */
RUSM_PRINTF(3, 4)
int rusm__kv_fail(struct rusm__kv_error *error, int code, const char *format, ...);

/* Our code for one of LMDB or the system, whose text goes behind what failed. */
int rusm__kv_fail_mdb(struct rusm__kv_error *error, const char *what, int mdb);

/* LMDB answers EIO when the system took only a part of what it wrote, which is how a full disk
 * often shows. Answers the likelier cause when `bytes` more would not fit, otherwise mdb. */
int rusm__kv_find_cause(int mdb, int fd, size_t bytes);

/* ---- kv_key.c ---- */

/* How many bytes the encoded key has. RUSM_ETOOBIG. */
int rusm__kv_key_check(struct rusm__kv_bytes bucket, struct rusm__kv_bytes key, size_t *out_len,
                       struct rusm__kv_error *error);

/* Write prefix, bucket and key to out, which has room for as many. RUSM_ETOOBIG. */
int rusm__kv_key_encode(struct rusm__kv_bytes bucket, struct rusm__kv_bytes key, unsigned char *out,
                        size_t *out_len, struct rusm__kv_error *error);

/* ---- kv_value.c ---- */

/* A value as it stands in the database, taken apart. */
struct rusm__kv_stored {
    uint64_t over_ms; /* 0: never */
    struct rusm__kv_bytes bytes;
};

/* RUSM_EIO: a form that we do not know. */
int rusm__kv_value_read(const MDB_val *value, struct rusm__kv_stored *out_stored,
                        struct rusm__kv_error *error);

/* How many bytes stand in front of a value, and these bytes. over_ms 0: never. */
size_t rusm__kv_value_head_len(uint64_t over_ms);
void rusm__kv_value_head(uint64_t over_ms, unsigned char *out);
void rusm__kv_time_write(uint64_t ms, unsigned char out[RUSM__KV_TIME_BYTES]);
uint64_t rusm__kv_time_read(const unsigned char bytes[RUSM__KV_TIME_BYTES]);

uint64_t rusm__kv_now_ms(void); /* UNIX time */

/* Is its time over? Asks the clock only for values that have one. */
bool rusm__kv_is_over(const struct rusm__kv_stored *stored);

/* A whole number in decimal digits with an optional minus, nothing else. */
bool rusm__kv_number_read(struct rusm__kv_bytes bytes, int64_t *out_number);

/* ---- kv_file.c ---- */

/* Make the folders of path that are missing. */
int rusm__kv_make_folder(const char *path, struct rusm__kv_error *error);

/* Open the data file and lock it against other processes. The lock lasts as long as *out_fd. */
int rusm__kv_lock_file(const char *path, int *out_fd, struct rusm__kv_error *error);

/* Give LMDB's lock file its disk space now: LMDB reaches it through a map, and a full disk behind
 * a map is a deadly signal instead of an error. Before the environment is opened. */
int rusm__kv_reserve_lock_file(const char *path, unsigned max_readers,
                               struct rusm__kv_error *error);

/* Make the entry of path in its folder durable. */
int rusm__kv_sync_folder(const char *path, struct rusm__kv_error *error);

/* ---- kv_whole.c ---- */

/* Before the first transaction: a page that the file does not have must never be looked at. */
int rusm__kv_check_whole(struct rusm__kv *kv, struct rusm__kv_error *error);

/* ---- kv_map.c ---- */

/* Change the map while no transaction is active: to `bytes`, or with 0 to what another program
 * made of the file. The caller holds txn_lock and has no transaction open. */
int rusm__kv_map_resize(struct rusm__kv *kv, size_t bytes, struct rusm__kv_error *error);

/* Make room for more: twice the map, at most max_map_bytes. As above. RUSM_ELIMIT. */
int rusm__kv_map_grow(struct rusm__kv *kv, struct rusm__kv_error *error);

/* ---- kv_apply.c; the commit thread, inside of its transaction; all answer LMDB's codes ---- */

/* At the beginning of a transaction that changes keys. */
int rusm__kv_apply_begin(struct rusm__kv *kv, MDB_txn *txn);
/* Do what the write wants. A write that cannot be done for reasons of its own (no number to
 * increment) gets its code and changes nothing; the answer is 0. */
int rusm__kv_apply(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_write *write);

/* ---- kv_expiry.c; likewise ---- */

/* Take the key's time out of the index, if it has one. */
int rusm__kv_expiry_forget(struct rusm__kv *kv, MDB_txn *txn, MDB_val *key);
int rusm__kv_expiry_note(struct rusm__kv *kv, MDB_txn *txn, MDB_val *key, uint64_t over_ms);
/* Remove keys whose time is over, a bounded number of them. */
int rusm__kv_expiry_sweep(struct rusm__kv *kv, MDB_txn *txn, size_t *out_removed);
/* When to sweep, on the monotonic clock; RUSM__NEVER: nothing ends. */
uint64_t rusm__kv_expiry_wake_ns(const struct rusm__kv *kv);

/* ---- kv_read.c ---- */

/* Enter LMDB with this reader, and leave it. */
int rusm__kv_read_begin(struct rusm__kv_reader *reader, struct rusm__kv_error *error);
void rusm__kv_read_end(struct rusm__kv_reader *reader);

/* ---- kv_commit.c ---- */

int rusm__kv_commit_start(struct rusm__kv *kv, struct rusm__kv_error *error);
void rusm__kv_commit_stop(struct rusm__kv *kv); /* returns when everything is answered */

#endif
