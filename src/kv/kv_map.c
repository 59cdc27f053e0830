/* SPDX-License-Identifier: MIT */
/* The map: how much address space the file may fill. It grows while the store is open, which
 * needs a moment without any transaction in this process. Reads are short, so waiting for all of
 * them to leave and keeping new ones out takes microseconds, but for a list of a huge bucket; it
 * happens once per doubling. */
#include "kv/kv_impl.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rusm/error.h"

static void stop_readers(struct rusm__kv *kv) {
    pthread_mutex_lock(&kv->readers_lock);
    rusm__list_each(node, &kv->readers) {
        pthread_mutex_lock(&rusm__list_entry(node, struct rusm__kv_reader, node)->lock);
    }
}

static void let_readers_go(struct rusm__kv *kv) {
    rusm__list_each(node, &kv->readers) {
        pthread_mutex_unlock(&rusm__list_entry(node, struct rusm__kv_reader, node)->lock);
    }
    pthread_mutex_unlock(&kv->readers_lock);
}

/* LMDB drops the old map before it makes the new one and cannot go back. So the size is tried
 * first; what can still go wrong after that is another thread that takes the last address space. */
static int try_size(size_t bytes) {
    void *map = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return errno;
    munmap(map, bytes);
    return 0;
}

static void note_size(struct rusm__kv *kv) {
    MDB_envinfo info;
    if (mdb_env_info(kv->env, &info) == 0)
        kv->map_bytes = info.me_mapsize;
    /* relaxed: a figure to look at. */
    atomic_store_explicit(&kv->map_bytes_seen, kv->map_bytes, memory_order_relaxed);
}

int rusm__kv_map_resize(struct rusm__kv *kv, size_t bytes, struct rusm__kv_error *error) {
    int mdb = bytes ? try_size(bytes) : 0;
    if (mdb)
        return rusm__kv_fail_mdb(error, "growing the store's map", mdb);
    stop_readers(kv);
    if (kv->unmapped)
        mdb = MDB_PANIC;
    else if ((mdb = mdb_env_set_mapsize(kv->env, bytes)) != 0)
        kv->unmapped = true; /* nothing may touch the environment any more but close */
    if (!kv->unmapped)
        note_size(kv);
    let_readers_go(kv);
    if (mdb)
        return rusm__kv_fail_mdb(error, "growing the store's map", mdb);
    atomic_fetch_add_explicit(&kv->grown, 1, memory_order_relaxed); /* relaxed: a count */
    return RUSM_OK;
}

int rusm__kv_map_grow(struct rusm__kv *kv, struct rusm__kv_error *error) {
    size_t most = kv->options.max_map_bytes;
    size_t wanted = kv->map_bytes > most / 2 ? most : kv->map_bytes * 2;
    int dead;
    /* A reader that died in another program pins old pages; without it the next commit may find
     * room that this one did not. A failure changes nothing: the map grows. */
    (void)mdb_reader_check(kv->env, &dead);
    if (kv->map_bytes >= most)
        return rusm__kv_fail(error, RUSM_ELIMIT, "the store at %.160s is at its limit of %zu bytes",
                             kv->path, most);
    return rusm__kv_map_resize(kv, wanted, error);
}
