/* SPDX-License-Identifier: MIT */
/* The commit thread: take what has gathered, apply it in one transaction, make it durable, answer.
 *
 * While one transaction waits for the disk the next batch gathers, so the batch size follows the
 * load by itself. A batch that fails as a whole is tried again write by write, in order, so an
 * error reaches only those writes that cannot be made (the one that fills the disk, not the delete
 * beside it). A map that is too small is not an error: it grows and the batch begins again. */
#include "kv/kv_impl.h"

#include <errno.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

/* Bounds what one transaction keeps in memory, and how long the first writer waits for others. */
enum { BATCH_OPS = 8192, BATCH_BYTES = 32 << 20 };

#define GATHER_NS      (2 * RUSM__MS)      /* the longest wait for writers that may come again */
#define SWEEP_AGAIN_NS (10 * RUSM__SECOND) /* after one that failed */

/* Writes that go together; `end` is the first that does not. */
struct batch {
    struct rusm__kv_write *first;
    struct rusm__kv_write *end;
};

/* ---- one transaction ---- */

/* What a transaction does; answers LMDB's codes. */
typedef int (*work_fn)(struct rusm__kv *kv, MDB_txn *txn, void *arg);

static int apply_batch(struct rusm__kv *kv, MDB_txn *txn, void *arg) {
    const struct batch *batch = arg;
    int mdb = rusm__kv_apply_begin(kv, txn);
    for (struct rusm__kv_write *write = batch->first; write != batch->end && !mdb;
         write = write->next)
        mdb = rusm__kv_apply(kv, txn, write);
    return mdb;
}

static int sweep(struct rusm__kv *kv, MDB_txn *txn, void *arg) {
    return rusm__kv_expiry_sweep(kv, txn, arg);
}

static int commit_once(struct rusm__kv *kv, work_fn work, void *arg) {
    MDB_txn *txn;
    int mdb = kv->unmapped ? MDB_PANIC : mdb_txn_begin(kv->env, NULL, 0, &txn);
    if (mdb)
        return mdb;
    mdb = work(kv, txn, arg);
    if (mdb) {
        mdb_txn_abort(txn);
        return mdb;
    }
    return mdb_txn_commit(txn); /* frees txn also when it fails */
}

static size_t bytes_of(const struct batch *batch) {
    size_t bytes = 0;
    for (struct rusm__kv_write *write = batch->first; write != batch->end; write = write->next)
        bytes += write->bytes;
    return bytes;
}

/* Do the work durably, with a larger map if need be. Each round at least doubles the map, up to its
 * limit, so this ends. `bytes`: how much is about to be written. */
static int commit(struct rusm__kv *kv, work_fn work, void *arg, size_t bytes,
                  struct rusm__kv_error *error) {
    int result = RUSM_OK;
    int mdb;
    pthread_mutex_lock(&kv->txn_lock);
    while ((mdb = commit_once(kv, work, arg)) == MDB_MAP_FULL || mdb == MDB_MAP_RESIZED) {
        result =
            mdb == MDB_MAP_FULL ? rusm__kv_map_grow(kv, error) : rusm__kv_map_resize(kv, 0, error);
        if (result < 0)
            break;
    }
    pthread_mutex_unlock(&kv->txn_lock);
    if (result == RUSM_OK && mdb)
        result = rusm__kv_fail_mdb(error, "writing the store",
                                   rusm__kv_find_cause(mdb, kv->lock_fd, bytes));
    if (result == RUSM_OK)
        atomic_fetch_add_explicit(&kv->commits, 1, memory_order_relaxed); /* relaxed: a count */
    return result;
}

/* ---- answers ---- */

static void count_out(struct rusm__kv *kv, const struct rusm__kv_write *write) {
    pthread_mutex_lock(&kv->queue_lock);
    kv->queued_ops--;
    kv->queued_bytes -= write->bytes;
    pthread_mutex_unlock(&kv->queue_lock);
}

/* Counted out before the callback, which may find room for its next write. */
static void answer(struct rusm__kv *kv, struct batch batch, int code, const char *text) {
    struct rusm__kv_write *next;
    for (struct rusm__kv_write *write = batch.first; write != batch.end; write = next) {
        next = write->next;
        struct rusm__kv_result result = {.code = code, .text = text};
        if (code == RUSM_OK)
            result = (struct rusm__kv_result){.code = write->code,
                                              .existed = write->existed,
                                              .number = write->number,
                                              .text = write->text};
        /* relaxed: counts. */
        atomic_fetch_add_explicit(result.code ? &kv->failed : &kv->written, 1,
                                  memory_order_relaxed);
        count_out(kv, write);
        if (write->done)
            write->done(write->arg, &result);
        rusm__mem_free(write);
    }
}

static void commit_and_answer(struct rusm__kv *kv, struct batch batch) {
    struct rusm__kv_error error = {{0}};
    uint64_t begun_ns = rusm__clock_ns();
    int code = commit(kv, apply_batch, &batch, bytes_of(&batch), &error);
    kv->last_ns = rusm__clock_ns() - begun_ns;
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

/* ---- what ends by time ---- */

static void put_off(struct rusm__kv *kv, const char *why) {
    kv->has_expiring = true; /* whatever it thought before its changes were lost */
    kv->next_due_ms = 0;
    kv->next_sweep_ns = rusm__clock_ns() + SWEEP_AGAIN_NS;
    if (!kv->sweep_failed)
        rusm__log(RUSM__LOG_WARN, "rusm", "kv", "keys whose time is over cannot be removed: %s",
                  why);
}

/* A sweep that fails changes nothing: nobody sees what is over, and the next one tries again. */
static void sweep_if_due(struct rusm__kv *kv) {
    struct rusm__kv_error error = {{0}};
    size_t removed = 0;
    uint64_t wake_ns = rusm__kv_expiry_wake_ns(kv);
    if (wake_ns == RUSM__NEVER || rusm__clock_ns() < wake_ns)
        return;
    int code = commit(kv, sweep, &removed, 0, &error);
    if (code == RUSM_OK) /* relaxed: a count */
        atomic_fetch_add_explicit(&kv->expired, removed, memory_order_relaxed);
    else
        put_off(kv, error.text);
    kv->sweep_failed = code < 0;
}

/* ---- the queue's other end ---- */

/* Writers that were just answered come again, most of them a moment after the first. Without
 * waiting for them the first would have a flush to itself and all others wait for two. So: until as
 * many are there as the last time, but at most for half the time that the last flush took. A writer
 * that is alone does not wait, and a crowd that leaves costs one such wait, since then fewer are
 * expected. Everything was answered, so all that count as queued are in the queue. Meanwhile only
 * the last one signals: this thread sleeps once for all of them. */
static void gather(struct rusm__kv *kv) {
    uint64_t wait_ns = kv->last_ns / 2 < GATHER_NS ? kv->last_ns / 2 : GATHER_NS;
    uint64_t until_ns = rusm__clock_ns() + wait_ns;
    kv->wanted_ops = kv->last_ops;
    while (kv->queued_ops < kv->wanted_ops && !kv->closing && rusm__clock_ns() < until_ns)
        rusm__cond_wait_until(&kv->queue_filled, &kv->queue_lock, until_ns);
    kv->wanted_ops = 0;
}

/* Cut the oldest writes off the queue; waits for some until wake_ns. False: there are none. */
static bool take_batch(struct rusm__kv *kv, uint64_t wake_ns, struct batch *out_batch,
                       bool *out_closing) {
    size_t ops = 0;
    size_t bytes = 0;
    size_t writes = 0;
    pthread_mutex_lock(&kv->queue_lock);
    if (kv->last_ops > 1)
        gather(kv);
    while (!kv->queue.first && !kv->closing && rusm__clock_ns() < wake_ns)
        rusm__cond_wait_until(&kv->queue_filled, &kv->queue_lock, wake_ns);
    struct rusm__kv_write *first = kv->queue.first;
    struct rusm__kv_write **cut = &kv->queue.first;
    while (*cut && ops < BATCH_OPS && bytes < BATCH_BYTES) {
        ops += (*cut)->count;
        bytes += (*cut)->bytes;
        cut = &(*cut)->next;
        writes++;
    }
    kv->last_ops = writes;
    struct rusm__kv_write *rest = *cut;
    *cut = NULL; /* ends the batch, so the two lists share nothing */
    kv->queue.first = rest;
    if (!rest)
        kv->queue.last = &kv->queue.first;
    *out_closing = kv->closing;
    pthread_mutex_unlock(&kv->queue_lock);
    *out_batch = (struct batch){.first = first, .end = NULL};
    return first != NULL;
}

static void *commit_main(void *arg) {
    struct rusm__kv *kv = arg;
    struct batch batch;
    bool closing = false;
    while (take_batch(kv, rusm__kv_expiry_wake_ns(kv), &batch, &closing) || !closing) {
        if (batch.first)
            commit_and_answer(kv, batch);
        sweep_if_due(kv);
    }
    return NULL;
}

int rusm__kv_commit_start(struct rusm__kv *kv, struct rusm__kv_error *error) {
    if (rusm__thread_start(&kv->thread, "rusm-kv", commit_main, kv) < 0)
        return rusm__kv_fail_mdb(error, "starting the store's thread", errno);
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
