/* SPDX-License-Identifier: MIT */
/* Opening, closing, looking on. */
#include "kv/kv.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/thread.h"
#include "kv/kv_impl.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* ---- options ---- */

static size_t or_default(size_t value, size_t standard) {
    return value ? value : standard;
}

static size_t whole_pages(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return bytes > SIZE_MAX - page ? bytes / page * page : (bytes + page - 1) / page * page;
}

static int fill_options(struct rusm__kv_options *filled, const struct rusm__kv_options *given,
                        struct rusm__kv_error *error) {
    static const struct rusm__kv_options none;
    const struct rusm__kv_options *from = given ? given : &none;
    size_t most = whole_pages(or_default(from->max_map_bytes, 1024 * GIB));
    *filled = (struct rusm__kv_options){
        .map_bytes = whole_pages(or_default(from->map_bytes, most < GIB ? most : GIB)),
        .max_map_bytes = most,
        .max_value_bytes = or_default(from->max_value_bytes, 16 * MIB),
        .max_batch_bytes = or_default(from->max_batch_bytes, 16 * MIB),
        .max_batch_changes = or_default(from->max_batch_changes, 1024),
        .max_list_bytes = or_default(from->max_list_bytes, 64 * MIB),
        .max_queued_ops = or_default(from->max_queued_ops, 65536),
        .max_queued_bytes = or_default(from->max_queued_bytes, 256 * MIB),
        .max_readers = from->max_readers ? from->max_readers : 1024,
    };
    if (filled->max_value_bytes > GIB)
        return rusm__kv_fail(error, RUSM_EINVAL, "max_value_bytes is %zu, at most %zu is possible",
                             filled->max_value_bytes, GIB);
    if (filled->map_bytes > filled->max_map_bytes)
        return rusm__kv_fail(error, RUSM_EINVAL, "map_bytes is larger than max_map_bytes");
    return RUSM_OK;
}

/* ---- the environment ---- */

/* An empty file becomes ours; a file of another program, or of another version, is left alone. */
static int check_format(MDB_txn *txn, struct rusm__kv *kv, struct rusm__kv_error *error) {
    MDB_dbi top;
    MDB_stat stat;
    MDB_val key = rusm__kv_val(RUSM__KV_FORMAT_KEY, strlen(RUSM__KV_FORMAT_KEY));
    MDB_val wanted = rusm__kv_val(RUSM__KV_FORMAT, strlen(RUSM__KV_FORMAT));
    MDB_val found;
    int mdb = mdb_dbi_open(txn, NULL, 0, &top);
    if (!mdb)
        mdb = mdb_stat(txn, top, &stat);
    if (!mdb)
        mdb = mdb_get(txn, top, &key, &found);
    if (mdb == MDB_NOTFOUND && stat.ms_entries > 0)
        return rusm__kv_fail(error, RUSM_EIO,
                             "opening the store at %.160s: it is an LMDB file of another program",
                             kv->path);
    if (mdb == MDB_NOTFOUND)
        mdb = mdb_put(txn, top, &key, &wanted, 0);
    else if (!mdb && (found.mv_size != wanted.mv_size ||
                      memcmp(found.mv_data, wanted.mv_data, wanted.mv_size) != 0))
        return rusm__kv_fail(
            error, RUSM_EIO,
            "opening the store at %.160s: it was written by another version of rusm", kv->path);
    return mdb ? rusm__kv_fail_mdb(error, "opening the store", mdb) : RUSM_OK;
}

static int open_database(struct rusm__kv *kv, struct rusm__kv_error *error) {
    MDB_txn *txn;
    int mdb = mdb_txn_begin(kv->env, NULL, 0, &txn);
    if (mdb)
        return rusm__kv_fail_mdb(error, "opening the store", mdb);
    int result = check_format(txn, kv, error);
    if (result == RUSM_OK) {
        mdb = mdb_dbi_open(txn, RUSM__KV_DATABASE, MDB_CREATE, &kv->dbi);
        if (!mdb)
            mdb = mdb_dbi_open(txn, RUSM__KV_EXPIRY, MDB_CREATE | MDB_DUPSORT, &kv->expiry);
        if (!mdb)
            mdb = rusm__kv_apply_begin(kv, txn); /* from 1970 on something may be due */
        if (mdb)
            result = rusm__kv_fail_mdb(error, "opening the store", mdb);
    }
    if (result < 0) {
        mdb_txn_abort(txn);
        return result;
    }
    mdb = mdb_txn_commit(txn);
    return mdb ? rusm__kv_fail_mdb(error, "opening the store", mdb) : RUSM_OK;
}

/* The default flags are the durable ones: a commit returns after its pages and then the page that
 * names them have reached the disk. NOTLS ties a read transaction to its reader, not its thread. */
static int open_env(struct rusm__kv *kv, struct rusm__kv_error *error) {
    int dead = 0;
    MDB_envinfo info;
    int mdb = mdb_env_create(&kv->env);
    if (!mdb)
        mdb = mdb_env_set_mapsize(kv->env, kv->options.map_bytes);
    if (!mdb)
        mdb = mdb_env_set_maxreaders(kv->env, kv->options.max_readers);
    if (!mdb)
        mdb = mdb_env_set_maxdbs(kv->env, RUSM__KV_DATABASES);
    if (!mdb)
        mdb = mdb_env_open(kv->env, kv->path, MDB_NOSUBDIR | MDB_NOTLS, 0600);
    if (!mdb)
        mdb = mdb_reader_check(kv->env, &dead); /* slots of processes that died while reading */
    if (!mdb)
        mdb = mdb_env_info(kv->env, &info);
    if (mdb == MDB_INVALID || mdb == MDB_VERSION_MISMATCH)
        return rusm__kv_fail(error, RUSM_EIO,
                             "opening the store at %.160s: it is not a store of rusm", kv->path);
    if (mdb)
        return rusm__kv_fail_mdb(error, "opening the store", mdb);
    kv->map_bytes = info.me_mapsize;
    atomic_store_explicit(&kv->map_bytes_seen, info.me_mapsize, memory_order_relaxed);
    int key_bytes = mdb_env_get_maxkeysize(kv->env);
    if (key_bytes < (int)RUSM__KV_LMDB_KEY_BYTES)
        return rusm__kv_fail(error, RUSM_ENOTSUP,
                             "this system's LMDB was built for keys of %d bytes; %u are needed",
                             key_bytes, RUSM__KV_LMDB_KEY_BYTES);
    return RUSM_OK;
}

static int open_all(struct rusm__kv *kv, struct rusm__kv_error *error) {
    int result = rusm__kv_make_folder(kv->path, error);
    if (result == RUSM_OK)
        result = rusm__kv_lock_file(kv->path, &kv->lock_fd, error);
    if (result == RUSM_OK)
        result = rusm__kv_reserve_lock_file(kv->path, kv->options.max_readers, error);
    if (result == RUSM_OK)
        result = open_env(kv, error);
    if (result == RUSM_OK)
        result = rusm__kv_check_whole(kv, error);
    if (result == RUSM_OK)
        result = open_database(kv, error);
    if (result == RUSM_OK)
        result = rusm__kv_sync_folder(kv->path, error);
    return result == RUSM_OK ? rusm__kv_commit_start(kv, error) : result;
}

/* Everything but the thread. The lock goes last: until then nobody else may come in. */
static void release(struct rusm__kv *kv) {
    if (kv->env)
        mdb_env_close(kv->env);
    if (kv->lock_fd >= 0)
        close(kv->lock_fd);
    pthread_cond_destroy(&kv->queue_filled);
    pthread_mutex_destroy(&kv->queue_lock);
    pthread_mutex_destroy(&kv->readers_lock);
    pthread_mutex_destroy(&kv->txn_lock);
    rusm__mem_free(kv->path);
    rusm__mem_free(kv);
}

static struct rusm__kv *kv_new(const char *path) {
    struct rusm__kv *kv = rusm__mem_try_zalloc(sizeof *kv);
    char *copy = kv ? rusm__mem_try_strndup(path, strlen(path)) : NULL;
    if (!copy) {
        rusm__mem_free(kv);
        return NULL;
    }
    kv->path = copy;
    kv->lock_fd = -1;
    kv->queue.last = &kv->queue.first;
    rusm__list_init(&kv->readers);
    pthread_mutex_init(&kv->txn_lock, NULL);
    pthread_mutex_init(&kv->readers_lock, NULL);
    pthread_mutex_init(&kv->queue_lock, NULL);
    rusm__cond_init_monotonic(&kv->queue_filled);
    return kv;
}

int rusm__kv_open(const char *path, const struct rusm__kv_options *options,
                  struct rusm__kv **out_kv, struct rusm__kv_error *out_error) {
    struct rusm__kv_options filled;
    *out_kv = NULL;
    if (!*path)
        return rusm__kv_fail(out_error, RUSM_EINVAL, "the path of the store is empty");
    int result = fill_options(&filled, options, out_error);
    if (result < 0)
        return result;
    struct rusm__kv *kv = kv_new(path);
    if (!kv)
        return rusm__kv_fail(out_error, RUSM_ENOMEM, "out of memory");
    kv->options = filled;
    result = open_all(kv, out_error);
    if (result < 0) {
        release(kv);
        return result;
    }
    *out_kv = kv;
    return RUSM_OK;
}

void rusm__kv_close(struct rusm__kv *kv) {
    if (!kv)
        return;
    rusm__kv_commit_stop(kv);
    RUSM_CHECK(rusm__list_is_empty(&kv->readers));
    release(kv);
}

void rusm__kv_get_stats(struct rusm__kv *kv, struct rusm__kv_stats *out_stats) {
    pthread_mutex_lock(&kv->queue_lock);
    uint64_t queued = kv->queued_ops;
    pthread_mutex_unlock(&kv->queue_lock);
    /* relaxed: figures of a moment, each right by itself. */
    *out_stats = (struct rusm__kv_stats){
        .written = atomic_load_explicit(&kv->written, memory_order_relaxed),
        .failed = atomic_load_explicit(&kv->failed, memory_order_relaxed),
        .commits = atomic_load_explicit(&kv->commits, memory_order_relaxed),
        .grown = atomic_load_explicit(&kv->grown, memory_order_relaxed),
        .expired = atomic_load_explicit(&kv->expired, memory_order_relaxed),
        .queued = queued,
        .map_bytes = atomic_load_explicit(&kv->map_bytes_seen, memory_order_relaxed),
    };
}
