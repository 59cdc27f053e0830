/* SPDX-License-Identifier: MIT */
/* A scheduler's run queue: a ring that others steal from, an overflow list behind a lock, and a
 * private list of pinned tasks.
 *
 *     overflow: oldest ──► ... ──►  ring: ... ──► newest
 *
 * When the ring is full its older half goes behind the overflow list, and the owner takes from that
 * list first: together they are first in, first out, so nobody is overtaken again and again. Only
 * the owner writes `tail` and the cells; `head` is moved by whoever takes, with a compare-and-swap.
 * A thief copies cells before it moves `head`: if the owner has meanwhile written over one of them,
 * head has moved and the swap fails. */
#ifndef RUSM__SCHED_RUN_QUEUE_H
#define RUSM__SCHED_RUN_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/scale.h"
#include "sched/sched.h"
#include "sync/cacheline.h"

enum { RUSM__RING_SIZE = RUSM__SCALE(256, 8) };

struct rusm__task_list {
    struct rusm__task *first;
    struct rusm__task *last;
    uint32_t count;
};

struct rusm__run_queue {
    /* Any thread. */
    _Alignas(RUSM__CACHELINE) _Atomic uint32_t head;
    /* Written by the owner. */
    _Alignas(RUSM__CACHELINE) _Atomic uint32_t tail;
    _Atomic(struct rusm__task *) ring[RUSM__RING_SIZE];
    struct rusm__task_list pinned; /* owner only */
    /* Guarded by overflow_lock; the count is read without it. */
    _Alignas(RUSM__CACHELINE) pthread_mutex_t overflow_lock;
    struct rusm__task_list overflow;
    _Atomic uint32_t overflow_count;
};

void rusm__run_queue_init(struct rusm__run_queue *queue);
void rusm__run_queue_fini(struct rusm__run_queue *queue);

/* Owner. */
void rusm__run_queue_push(struct rusm__run_queue *queue, struct rusm__task *task);
void rusm__run_queue_push_pinned(struct rusm__run_queue *queue, struct rusm__task *task);
struct rusm__task *rusm__run_queue_pop(struct rusm__run_queue *queue); /* the oldest */
struct rusm__task *rusm__run_queue_pop_pinned(struct rusm__run_queue *queue);
/* The one that has waited longest, pinned or not; NULL when there is none. A pinned task is not
 * overtaken by what was queued after it, nor does it overtake. */
struct rusm__task *rusm__run_queue_next(struct rusm__run_queue *queue);

/* Move all hurried tasks that are not pinned to the end of `out`; both they and the others keep
 * their order. */
void rusm__run_queue_sweep(struct rusm__run_queue *queue, struct rusm__task_list *out);

/* Owner of `to`, whose ring is empty: take up to half of `from` and return one of them. */
struct rusm__task *rusm__run_queue_steal(struct rusm__run_queue *to, struct rusm__run_queue *from);

/* Any thread, a moment's truth, as are the next two; pinned tasks do not count. What was queued
 * before the mark has all been taken once nothing waits any more since the mark. */
uint32_t rusm__run_queue_mark(const struct rusm__run_queue *queue);
bool rusm__run_queue_waits(const struct rusm__run_queue *queue, uint32_t mark);
bool rusm__run_queue_has_stealable(const struct rusm__run_queue *queue);

void rusm__task_list_push(struct rusm__task_list *list, struct rusm__task *task);
struct rusm__task *rusm__task_list_pop(struct rusm__task_list *list);

#endif
