/* SPDX-License-Identifier: MIT */
/* Inside of the store.
 *
 *   caller threads          commit thread (rusm-kv)               caller threads
 *   kv_set, kv_delete --->  queue ---> one LMDB transaction       get, exists, list
 *        (copies)           (commit.c)  for all that gathered     each through its own reader
 *                                |
 *                                +---> done callbacks, in order
 *
 * Locks, in the order in which they may be taken; no callback runs under any of them:
 *   txn_lock      a write transaction is open, or the map is being changed
 *   readers_lock  the list of readers; taken to add, remove and to stop all of them
 *   reader->lock  this reader is inside of LMDB
 *   queue_lock    the queue; held for a few instructions, never with another lock
 * LMDB forbids changing the map while any transaction of the process is active. So the map
 * changes under txn_lock, readers_lock and every reader's lock: see rusm__kv_map_resize.
 *
 * On disk: the unnamed database holds "rusm-format"; the database "kv" holds the data:
 *   key    length of the bucket (2 bytes, big endian), bucket, key
 *   value  one byte of form (0: plain), then the bytes. The form byte is the room for values
 *          that carry more, such as a time to live, without a conversion of old files. */
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
#define RUSM__KV_FORMAT_KEY     "rusm-format"
#define RUSM__KV_FORMAT         "1"
#define RUSM__KV_DATABASE       "kv"
#define RUSM__KV_DATABASES      8u /* names that the file may hold; one is used so far */

enum rusm__kv_write_kind { RUSM__KV_WRITE_SET, RUSM__KV_WRITE_DELETE };

/* One accepted write: one allocation, made by the submitter, freed by the commit thread. */
struct rusm__kv_write {
    struct rusm__kv_write *next;
    enum rusm__kv_write_kind kind;
    bool existed;
    size_t key_len;   /* as in the database, with its prefix */
    size_t value_len; /* as in the database, with its form byte */
    rusm__kv_done done;
    void *arg;
    unsigned char bytes[]; /* key, value */
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
    MDB_dbi dbi;
    pthread_t thread;

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
    bool closing;

    /* Written by the commit thread, read by anybody. */
    _Atomic(uint64_t) written;
    _Atomic(uint64_t) failed;
    _Atomic(uint64_t) commits;
    _Atomic(uint64_t) grown;
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

/* Write prefix, bucket and key to out. RUSM_ETOOBIG. */
int rusm__kv_key_encode(struct rusm__kv_bytes bucket, struct rusm__kv_bytes key,
                        unsigned char out[RUSM__KV_LMDB_KEY_BYTES], size_t *out_len,
                        struct rusm__kv_error *error);

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

/* ---- kv_map.c ---- */

/* Change the map while no transaction is active: to `bytes`, or with 0 to what another program
 * made of the file. The caller holds txn_lock and has no transaction open. */
int rusm__kv_map_resize(struct rusm__kv *kv, size_t bytes, struct rusm__kv_error *error);

/* Make room for more: twice the map, at most max_map_bytes. As above. RUSM_ELIMIT. */
int rusm__kv_map_grow(struct rusm__kv *kv, struct rusm__kv_error *error);

/* ---- kv_commit.c ---- */

int rusm__kv_commit_start(struct rusm__kv *kv, struct rusm__kv_error *error);
void rusm__kv_commit_stop(struct rusm__kv *kv); /* returns when everything is answered */

#endif
