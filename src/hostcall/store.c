/* SPDX-License-Identifier: MIT */
#include "hostcall/store.h"

#include "rusm/error.h"

#include "base/mem.h"
#include "kv/kv.h"
#include "sched/sched.h"

#define MAX_UNTAKEN_BYTES ((uint64_t)64 << 20)

int rusm__store_init(struct rusm__store *store, struct rusm__kv *kv, rusm_runtime *runtime) {
    *store = (struct rusm__store){.kv = kv,
                                  .runtime = runtime,
                                  .reader_count = rusm__sched_count(runtime),
                                  .max_untaken_bytes = MAX_UNTAKEN_BYTES};
    store->readers = rusm__mem_try_zalloc(store->reader_count * sizeof(*store->readers));
    if (!store->readers)
        return RUSM_ENOMEM;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->quiet, NULL);
    pthread_cond_init(&store->taken, NULL);
    rusm__lister_init(&store->lister, kv);
    return RUSM_OK;
}

void rusm__store_fini(struct rusm__store *store) {
    pthread_mutex_lock(&store->lock);
    while (store->owed)
        pthread_cond_wait(&store->quiet, &store->lock);
    pthread_mutex_unlock(&store->lock);
    rusm__lister_fini(&store->lister);
    for (uint32_t i = 0; i < store->reader_count; i++)
        rusm__kv_reader_free(store->readers[i]);
    rusm__mem_free(store->readers);
    pthread_cond_destroy(&store->taken);
    pthread_cond_destroy(&store->quiet);
    pthread_mutex_destroy(&store->lock);
}

int rusm__store_reader(struct rusm__store *store, struct rusm__kv_reader **out_reader,
                       struct rusm__kv_error *out_error) {
    struct rusm__kv_reader **own = &store->readers[rusm__sched_index(rusm__sched_current())];
    int code = *own ? RUSM_OK : rusm__kv_reader_new(store->kv, own, out_error);
    *out_reader = *own;
    return code;
}
