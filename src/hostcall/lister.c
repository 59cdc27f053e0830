/* SPDX-License-Identifier: MIT */
#include "hostcall/lister.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/thread.h"
#include "kv/kv.h"

void rusm__lister_init(struct rusm__lister *lister, struct rusm__kv *kv) {
    *lister = (struct rusm__lister){.kv = kv};
    rusm__list_init(&lister->jobs);
    pthread_mutex_init(&lister->lock, NULL);
    pthread_cond_init(&lister->changed, NULL);
}

void rusm__lister_fini(struct rusm__lister *lister) {
    pthread_mutex_lock(&lister->lock);
    bool is_started = lister->is_started;
    lister->is_closing = true;
    pthread_cond_signal(&lister->changed);
    pthread_mutex_unlock(&lister->lock);
    if (is_started)
        pthread_join(lister->thread, NULL);
    RUSM_CHECK(rusm__list_is_empty(&lister->jobs));
    rusm__kv_reader_free(lister->reader);
    pthread_cond_destroy(&lister->changed);
    pthread_mutex_destroy(&lister->lock);
}

/* The oldest job; NULL: there will be none. */
static struct rusm__list_job *take(struct rusm__lister *lister) {
    pthread_mutex_lock(&lister->lock);
    while (rusm__list_is_empty(&lister->jobs) && !lister->is_closing)
        pthread_cond_wait(&lister->changed, &lister->lock);
    struct rusm__list *node = rusm__list_pop_front(&lister->jobs);
    pthread_mutex_unlock(&lister->lock);
    return node ? rusm__list_entry(node, struct rusm__list_job, node) : NULL;
}

static void *lister_main(void *arg) {
    struct rusm__lister *lister = arg;
    struct rusm__list_job *job;
    while ((job = take(lister)))
        job->run(lister, job);
    return NULL;
}

static int start_locked(struct rusm__lister *lister, struct rusm__kv_error *error) {
    if (lister->is_started)
        return RUSM_OK;
    int code = rusm__thread_start(&lister->thread, "rusm-kv-list", lister_main, lister);
    lister->is_started = code == RUSM_OK;
    if (code < 0)
        snprintf(error->text, sizeof(error->text), "starting the thread for long lists: %s",
                 strerror(errno));
    return code;
}

int rusm__lister_add(struct rusm__lister *lister, struct rusm__list_job *job,
                     struct rusm__kv_error *out_error) {
    pthread_mutex_lock(&lister->lock);
    int code = start_locked(lister, out_error);
    if (code == RUSM_OK) {
        rusm__list_push_back(&lister->jobs, &job->node);
        pthread_cond_signal(&lister->changed);
    }
    pthread_mutex_unlock(&lister->lock);
    return code;
}

int rusm__lister_reader(struct rusm__lister *lister, struct rusm__kv_reader **out_reader,
                        struct rusm__kv_error *out_error) {
    int code = RUSM_OK;
    if (!lister->reader)
        code = rusm__kv_reader_new(lister->kv, &lister->reader, out_error);
    *out_reader = lister->reader;
    return code;
}
