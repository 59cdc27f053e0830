/* SPDX-License-Identifier: MIT */
/* Is the file as long as its tables say? LMDB reaches pages through a map, and one that lies behind
 * the end of the file is a deadly signal instead of an error. A copy that ran out of disk leaves
 * such a file, and it opens well: the pages that name the others stand at its beginning.
 *
 * A whole file may be shorter, too: pages that were given back before they were ever written are
 * counted, but not there. All of those are in LMDB's list of free pages. So a short file is whole
 * if that list has every page that is missing; then it is made as long as it says, with a hole. */
#include "kv/kv_impl.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rusm/error.h"

/* LMDB's own database: transaction -> count of pages, then their numbers. */
#define FREE_PAGES ((MDB_dbi)0)

struct extent {
    size_t there, wanted; /* pages */
    size_t page_bytes;
    off_t file_bytes;
};

static int measure(struct rusm__kv *kv, struct extent *out) {
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int mdb = mdb_env_info(kv->env, &info);
    if (!mdb)
        mdb = mdb_env_stat(kv->env, &stat);
    if (!mdb && fstat(kv->lock_fd, &file) < 0)
        mdb = errno;
    if (mdb)
        return mdb;
    *out = (struct extent){.there = (size_t)file.st_size / stat.ms_psize,
                           .wanted = info.me_last_pgno + 1,
                           .page_bytes = stat.ms_psize,
                           .file_bytes = file.st_size};
    return 0;
}

/* How many pages from `first` on one entry of the list has. */
static size_t count_in(const MDB_val *entry, size_t first) {
    const size_t *pages = entry->mv_data;
    size_t room = entry->mv_size / sizeof(*pages);
    size_t count = 0;
    for (size_t i = 1; room && i <= pages[0] && i < room; i++)
        count += pages[i] >= first;
    return count;
}

/* Every page is free once, so their number tells. */
static int count_free(MDB_txn *txn, size_t first, size_t *out_count) {
    MDB_cursor *cursor;
    MDB_val key, entry;
    *out_count = 0;
    int mdb = mdb_cursor_open(txn, FREE_PAGES, &cursor);
    if (mdb)
        return mdb;
    while ((mdb = mdb_cursor_get(cursor, &key, &entry, MDB_NEXT)) == 0)
        *out_count += count_in(&entry, first);
    mdb_cursor_close(cursor);
    return mdb == MDB_NOTFOUND ? 0 : mdb;
}

/* What is missing reads as zeros by now, which is no page: the list itself may be cut. */
static bool is_whole(struct rusm__kv *kv, const struct extent *extent) {
    MDB_txn *txn;
    size_t count = 0;
    if (mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn))
        return false;
    int mdb = count_free(txn, extent->there, &count);
    mdb_txn_abort(txn);
    return !mdb && count == extent->wanted - extent->there;
}

int rusm__kv_check_whole(struct rusm__kv *kv, struct rusm__kv_error *error) {
    struct extent extent;
    int mdb = measure(kv, &extent);
    if (!mdb && extent.there >= extent.wanted)
        return RUSM_OK;
    off_t bytes = mdb ? 0 : (off_t)(extent.wanted * extent.page_bytes);
    if (!mdb && ftruncate(kv->lock_fd, bytes) < 0)
        mdb = errno;
    if (mdb)
        return rusm__kv_fail_mdb(error, "opening the store", mdb);
    if (is_whole(kv, &extent))
        return RUSM_OK;
    /* As it was, for whoever tries to save what is left. */
    if (ftruncate(kv->lock_fd, extent.file_bytes) < 0)
        return rusm__kv_fail_mdb(error, "opening the store", errno);
    return rusm__kv_fail(error, RUSM_EIO,
                         "opening the store at %.160s: it is cut short, with %lld of %lld bytes; "
                         "put a whole copy in its place",
                         kv->path, (long long)extent.file_bytes, (long long)bytes);
}
