/* SPDX-License-Identifier: MIT */
/* The process table: pid to process, without locks.
 *
 * A pid is slot + generation. A slot holds the process and the generation that its next owner
 * gets. Looking up reads the slot and compares the pid inside the process, whose memory stays
 * readable until the reader's next quiescent point.
 *
 * Slots are handed out from per-scheduler queues, oldest first, and only once a few thousand wait,
 * so that a generation (32 bits) takes years to come around; a slot whose generations are used up
 * is never handed out again. Surplus moves between schedulers in chains, through a locked pool.
 *
 * How many may live is counted with credits: a start takes one, an end gives one back. Caches hold
 * them in batches, so that the steady state touches nothing shared; once the common stock is used
 * up, a start takes from the other caches. So max_processes is exact, wherever processes end. */
#ifndef RUSM__PROC_TABLE_H
#define RUSM__PROC_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/process.h"

#include "sync/cacheline.h"

struct rusm__slot {
    _Atomic(rusm_proc *) proc;
    uint32_t generation; /* written by who frees the slot, read by who takes it next */
    uint32_t next;       /* the queue of free slots that it is in; 0 = end */
};

struct rusm__slot_queue {
    uint32_t first;
    uint32_t last;
    uint32_t count;
};

/* What one scheduler (or, under a lock, all plain threads) takes slots from. */
struct rusm__slot_cache {
    struct rusm__slot_queue free;
    uint32_t fresh; /* never used: fresh .. fresh_end - 1 */
    uint32_t fresh_end;
    struct rusm__slot_cache *next; /* all of the table's; set at init */
    _Atomic int32_t credit; /* processes that may still be started here; others take in need */
};

struct rusm__table {
    /* Set at init. */
    _Atomic(struct rusm__slot *) *segments;
    uint32_t segment_count;
    uint32_t max_processes;
    uint32_t keep;  /* free slots that a cache holds back before it reuses one */
    uint32_t batch; /* credit and fresh slots come in this many */
    struct rusm__slot_cache *caches;
    /* Guarded by lock. */
    _Alignas(RUSM__CACHELINE) pthread_mutex_t lock;
    struct rusm__slot_queue pool;
    uint32_t issued; /* slots handed out so far; also the end of the segments that are there */
    uint32_t credit; /* starts that no cache holds */
};

/* For `caches` caches, which are then added one by one. RUSM_ENOMEM. */
int rusm__table_init(struct rusm__table *table, uint32_t max_processes, uint32_t caches);
void rusm__table_add_cache(struct rusm__table *table, struct rusm__slot_cache *cache);
void rusm__table_fini(struct rusm__table *table);

/* Take a slot; out_pid is what a process there is called. The slot is not visible before
 * rusm__table_publish. RUSM_EPROCS, RUSM_ENOMEM. Owner of the cache. */
int rusm__table_take(struct rusm__table *table, struct rusm__slot_cache *cache, rusm_pid *out_pid);
void rusm__table_publish(struct rusm__table *table, rusm_pid pid, rusm_proc *proc);
/* No look-up finds it any more. */
void rusm__table_hide(struct rusm__table *table, rusm_pid pid);
/* Give the slot back (hidden, or never published). Owner of the cache. */
void rusm__table_give(struct rusm__table *table, struct rusm__slot_cache *cache, rusm_pid pid);

/* Any member of the reclamation domain; the result is valid until its next quiescent point. */
rusm_proc *rusm__table_find(const struct rusm__table *table, rusm_pid pid);
/* Call visit for every process of one part, counted from 0; likewise. False: there is no such part,
 * nor a later one. */
bool rusm__table_part(const struct rusm__table *table, uint32_t part,
                      void (*visit)(rusm_proc *proc, void *arg), void *arg);
/* Call visit for every process; likewise. */
void rusm__table_each(const struct rusm__table *table, void (*visit)(rusm_proc *proc, void *arg),
                      void *arg);

#endif
