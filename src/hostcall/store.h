/* SPDX-License-Identifier: MIT */
/* The store as the schedulers use it: a reader for each, and the way back from other threads.
 *
 * A write's callback comes from the commit thread, and that of a long list from the lister's, when
 * the guest may be long gone, and with it the runtime. `lock` orders the two: whoever comes second,
 * the callback or the writer's end, finds what the first has left and frees the call. While the
 * lock is held and the writer is not gone, the runtime is there to be woken. Closing waits until no
 * callback is owed. */
#ifndef RUSM__HOSTCALL_STORE_H
#define RUSM__HOSTCALL_STORE_H

#include <pthread.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/runtime.h"

#include "hostcall/lister.h"

struct rusm__kv;
struct rusm__kv_reader;
struct rusm__kv_error;

struct rusm__store {
    struct rusm__kv *kv; /* NULL: none is configured */
    rusm_runtime *runtime;
    struct rusm__kv_reader **readers; /* one per scheduler, each made and used by it only */
    uint32_t reader_count;
    pthread_mutex_t lock;
    pthread_cond_t quiet;
    uint64_t owed; /* callbacks still to come; guarded by lock */
    struct rusm__lister lister;
    /* Long lists that their guests have not taken yet: the next one is begun below the bound. */
    uint64_t untaken_bytes; /* guarded by lock */
    uint64_t max_untaken_bytes;
    pthread_cond_t taken; /* some of them, or a guest is gone */
};

/* RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__store_init(struct rusm__store *store, struct rusm__kv *kv,
                                   rusm_runtime *runtime);
/* After the last guest. Waits for writes that guests left behind. */
void rusm__store_fini(struct rusm__store *store);

/* This scheduler's reader. As rusm__kv_reader_new. */
RUSM_MUST_USE int rusm__store_reader(struct rusm__store *store, struct rusm__kv_reader **out_reader,
                                     struct rusm__kv_error *out_error);

#endif
