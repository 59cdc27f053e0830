/* SPDX-License-Identifier: MIT */
/* The commit thread: take what has gathered, apply it in one transaction, make it durable, answer.
 *
 * While one transaction waits for the disk the next batch gathers, so the batch size follows the
 * load by itself. A batch that fails as a whole is tried again write by write, in order, so an
 * error reaches only those writes that cannot be made (the one that fills the disk, not the delete
 * beside it). A map that is too small is not an error: it grows and the batch begins again. */
#include "kv/kv_impl.h"

#include <errno.h>
#include <signal.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"

/* Bounds what one transaction keeps in memory, and how long the first writer waits for others. */
enum { BATCH_OPS = 8192, BATCH_BYTES = 32 << 20 };

/* Writes that go together; `end` is the first that does not. */
struct batch {
    struct rusm__kv_write *first;
    struct rusm__kv_write *end;
};

/* ---- one transaction ---- */

static int apply(struct rusm__kv *kv, MDB_txn *txn, struct rusm__kv_write *write) {
    MDB_val key = {.mv_size = write->key_len, .mv_data = write->bytes};
    MDB_val value = {.mv_size = write->value_len, .mv_data = write->bytes + write->key_len};
    int mdb;
    write->existed = false;
    switch (write->kind) {
    case RUSM__KV_WRITE_SET:
        return mdb_put(txn, kv->dbi, &key, &value, 0);
    case RUSM__KV_WRITE_DELETE:
        mdb = mdb_del(txn, kv->dbi, &key, NULL);
        write->existed = mdb == 0;
        return mdb == MDB_NOTFOUND ? 0 : mdb;
    }
    return EINVAL; /* no such kind */
}

static int commit_once(struct rusm__kv *kv, struct batch batch) {
    MDB_txn *txn;
    int mdb = kv->unmapped ? MDB_PANIC : mdb_txn_begin(kv->env, NULL, 0, &txn);
    if (mdb)
        return mdb;
    for (struct rusm__kv_write *write = batch.first; write != batch.end && !mdb;
         write = write->next)
        mdb = apply(kv, txn, write);
    if (mdb) {
        mdb_txn_abort(txn);
        return mdb;
    }
    return mdb_txn_commit(txn); /* frees txn also when it fails */
}

static size_t bytes_of(struct batch batch) {
    size_t bytes = 0;
    for (struct rusm__kv_write *write = batch.first; write != batch.end; write = write->next)
        bytes += write->key_len + write->value_len;
    return bytes;
}

/* Commit the batch, with a larger map if need be. Each round at least doubles the map, up to its
 * limit, so this ends. */
static int commit(struct rusm__kv *kv, struct batch batch, struct rusm__kv_error *error) {
    int result = RUSM_OK;
    int mdb;
    pthread_mutex_lock(&kv->txn_lock);
    while ((mdb = commit_once(kv, batch)) == MDB_MAP_FULL || mdb == MDB_MAP_RESIZED) {
        result =
            mdb == MDB_MAP_FULL ? rusm__kv_map_grow(kv, error) : rusm__kv_map_resize(kv, 0, error);
        if (result < 0)
            break;
    }
    pthread_mutex_unlock(&kv->txn_lock);
    if (result == RUSM_OK && mdb)
        result = rusm__kv_fail_mdb(error, "writing the store",
                                   rusm__kv_find_cause(mdb, kv->lock_fd, bytes_of(batch)));
    if (result == RUSM_OK)
        atomic_fetch_add_explicit(&kv->commits, 1, memory_order_relaxed); /* relaxed: a count */
    return result;
}

/* ---- answers ---- */

static void count_out(struct rusm__kv *kv, const struct rusm__kv_write *write) {
    pthread_mutex_lock(&kv->queue_lock);
    kv->queued_ops--;
    kv->queued_bytes -= write->key_len + write->value_len;
    pthread_mutex_unlock(&kv->queue_lock);
}

/* Counted out before the callback, which may find room for its next write. */
static void answer(struct rusm__kv *kv, struct batch batch, int code, const char *text) {
    struct rusm__kv_write *next;
    for (struct rusm__kv_write *write = batch.first; write != batch.end; write = next) {
        next = write->next;
        /* relaxed: counts. */
        atomic_fetch_add_explicit(code ? &kv->failed : &kv->written, 1, memory_order_relaxed);
        count_out(kv, write);
        const struct rusm__kv_result result = {
            .code = code, .existed = code == RUSM_OK && write->existed, .text = text};
        if (write->done)
            write->done(write->arg, &result);
        rusm__mem_free(write);
    }
}

static void commit_and_answer(struct rusm__kv *kv, struct batch batch) {
    struct rusm__kv_error error = {{0}};
    int code = commit(kv, batch, &error);
    bool single = batch.first->next == batch.end;
    if (code == RUSM_OK || single) {
        answer(kv, batch, code, code ? error.text : "");
        return;
    }
    while (batch.first != batch.end) {
        struct rusm__kv_write *after = batch.first->next; /* answering frees the first */
        commit_and_answer(kv, (struct batch){.first = batch.first, .end = after});
        batch.first = after;
    }
}

/* ---- the queue's other end ---- */

/* Cut the oldest writes off the queue; waits for some. False: closing, and none are left. */
static bool take_batch(struct rusm__kv *kv, struct batch *out_batch) {
    size_t ops = 0;
    size_t bytes = 0;
    pthread_mutex_lock(&kv->queue_lock);
    while (!kv->queue.first && !kv->closing)
        pthread_cond_wait(&kv->queue_filled, &kv->queue_lock);
    struct rusm__kv_write *first = kv->queue.first;
    struct rusm__kv_write **cut = &kv->queue.first;
    while (*cut && ops < BATCH_OPS && bytes < BATCH_BYTES) {
        ops++;
        bytes += (*cut)->key_len + (*cut)->value_len;
        cut = &(*cut)->next;
    }
    struct rusm__kv_write *rest = *cut;
    *cut = NULL; /* ends the batch, so the two lists share nothing */
    kv->queue.first = rest;
    if (!rest)
        kv->queue.last = &kv->queue.first;
    pthread_mutex_unlock(&kv->queue_lock);
    *out_batch = (struct batch){.first = first, .end = NULL};
    return first != NULL;
}

static void *commit_main(void *arg) {
    struct rusm__kv *kv = arg;
    struct batch batch;
    while (take_batch(kv, &batch))
        commit_and_answer(kv, batch);
    return NULL;
}

int rusm__kv_commit_start(struct rusm__kv *kv, struct rusm__kv_error *error) {
    sigset_t all, old;
    sigfillset(&all); /* signals are for the threads that expect them */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&kv->thread, NULL, commit_main, kv);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return rusm__kv_fail_mdb(error, "starting the store's thread", failed);
    pthread_setname_np(kv->thread, "rusm-kv");
    return RUSM_OK;
}

void rusm__kv_commit_stop(struct rusm__kv *kv) {
    RUSM_CHECK(!pthread_equal(pthread_self(), kv->thread)); /* a callback cannot wait for itself */
    pthread_mutex_lock(&kv->queue_lock);
    kv->closing = true;
    pthread_cond_signal(&kv->queue_filled);
    pthread_mutex_unlock(&kv->queue_lock);
    pthread_join(kv->thread, NULL);
}
