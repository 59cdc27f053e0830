/* SPDX-License-Identifier: MIT */
/* A thread for reads that are too long for a scheduler: lists of large buckets. It starts with the
 * first of them, so a node that has none has no thread. One list at a time: those of many guests
 * take one core together and not all of them, and one answer after the other.
 *
 * A job belongs to the lister from add until its run is called, which must not wait for anything
 * but the store. Who asked cannot take it back, but run can see that nobody asks any more. */
#ifndef RUSM__HOSTCALL_LISTER_H
#define RUSM__HOSTCALL_LISTER_H

#include <pthread.h>
#include <stdbool.h>

#include "rusm/export.h"

#include "base/list.h"

struct rusm__kv;
struct rusm__kv_reader;
struct rusm__kv_error;
struct rusm__lister;

/* Part of a longer block. */
struct rusm__list_job {
    struct rusm__list node;                                               /* in jobs */
    void (*run)(struct rusm__lister *lister, struct rusm__list_job *job); /* on the thread */
};

struct rusm__lister {
    struct rusm__kv *kv;
    struct rusm__kv_reader *reader; /* the thread's alone */
    pthread_mutex_t lock;           /* guards the rest; with it held no other lock is taken */
    pthread_cond_t changed;
    pthread_t thread;
    bool is_started;
    bool is_closing;
    struct rusm__list jobs; /* oldest first */
};

void rusm__lister_init(struct rusm__lister *lister, struct rusm__kv *kv);
/* Every job has run. Ends the thread, if there is one. */
void rusm__lister_fini(struct rusm__lister *lister);

/* Any thread. RUSM_EIO with a text: the system gives no thread; the job does not run then. */
RUSM_MUST_USE int rusm__lister_add(struct rusm__lister *lister, struct rusm__list_job *job,
                                   struct rusm__kv_error *out_error);

/* The thread's reader; from a job only. As rusm__kv_reader_new. */
RUSM_MUST_USE int rusm__lister_reader(struct rusm__lister *lister,
                                      struct rusm__kv_reader **out_reader,
                                      struct rusm__kv_error *out_error);

#endif
