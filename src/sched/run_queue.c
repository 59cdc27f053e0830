/* SPDX-License-Identifier: MIT */
#include "sched/run_queue.h"

#include "base/assert.h"

enum { RING_MASK = RUSM__RING_SIZE - 1, HALF = RUSM__RING_SIZE / 2 };

void rusm__task_list_push(struct rusm__task_list *list, struct rusm__task *task) {
    task->next = NULL;
    if (list->last) {
        list->last->next = task;
    } else {
        list->first = task;
    }
    list->last = task;
    list->count++;
}

struct rusm__task *rusm__task_list_pop(struct rusm__task_list *list) {
    struct rusm__task *task = list->first;
    if (task) {
        list->first = task->next;
        if (!list->first) {
            list->last = NULL;
        }
        list->count--;
    }
    return task;
}

void rusm__run_queue_init(struct rusm__run_queue *queue) {
    atomic_init(&queue->head, 0);
    atomic_init(&queue->tail, 0);
    for (unsigned i = 0; i < RUSM__RING_SIZE; i++) {
        atomic_init(&queue->ring[i], NULL);
    }
    atomic_init(&queue->overflow_count, 0);
    queue->pinned = (struct rusm__task_list){0};
    queue->overflow = (struct rusm__task_list){0};
    pthread_mutex_init(&queue->overflow_lock, NULL);
}

void rusm__run_queue_fini(struct rusm__run_queue *queue) {
    pthread_mutex_destroy(&queue->overflow_lock);
}

/* Owner: take up to `most` from the ring into out. Returns how many. */
static uint32_t take(struct rusm__run_queue *queue, struct rusm__task **out, uint32_t most) {
    /* acquire: the cells that head..tail promise; pairs with the release of tail in push */
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    for (;;) {
        uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
        uint32_t there = tail - head;
        /* A stale head can make the difference too large: take it as "look again". */
        if (there > RUSM__RING_SIZE) {
            head = atomic_load_explicit(&queue->head, memory_order_acquire);
            continue;
        }
        uint32_t count = there < most ? there : most;
        if (count == 0) {
            return 0;
        }
        for (uint32_t i = 0; i < count; i++) {
            /* relaxed: the swap below tells whether what was read here still counts */
            out[i] =
                atomic_load_explicit(&queue->ring[(head + i) & RING_MASK], memory_order_relaxed);
        }
        /* acq_rel: our reads of the cells are over before the owner may write them again; pairs
         * with the acquire of head in push */
        if (atomic_compare_exchange_strong_explicit(&queue->head, &head, head + count,
                                                    memory_order_acq_rel, memory_order_acquire)) {
            return count;
        }
    }
}

static void overflow_add(struct rusm__run_queue *queue, struct rusm__task **tasks, uint32_t count) {
    pthread_mutex_lock(&queue->overflow_lock);
    for (uint32_t i = 0; i < count; i++) {
        rusm__task_list_push(&queue->overflow, tasks[i]);
    }
    /* relaxed: a hint; the lock orders the list itself */
    atomic_store_explicit(&queue->overflow_count, queue->overflow.count, memory_order_relaxed);
    pthread_mutex_unlock(&queue->overflow_lock);
}

void rusm__run_queue_push(struct rusm__run_queue *queue, struct rusm__task *task) {
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    /* acquire: thieves have read the cells that they took; pairs with the swap in take */
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    if (tail - head == RUSM__RING_SIZE) {
        /* The older half of the ring moves in one go: the lock is taken once in 128 pushes. */
        struct rusm__task *moved[HALF];
        overflow_add(queue, moved, take(queue, moved, HALF));
        head = atomic_load_explicit(&queue->head, memory_order_acquire);
        RUSM_CHECK(tail - head < RUSM__RING_SIZE);
    }
    atomic_store_explicit(&queue->ring[tail & RING_MASK], task, memory_order_relaxed);
    /* release: publishes the cell and the task; pairs with the acquire of tail in take */
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
}

void rusm__run_queue_push_pinned(struct rusm__run_queue *queue, struct rusm__task *task) {
    task->ticket = rusm__run_queue_mark(queue);
    rusm__task_list_push(&queue->pinned, task);
}

static struct rusm__task *pop_overflow(struct rusm__run_queue *queue) {
    /* relaxed: only thieves change it behind the owner's back, and only to less */
    if (atomic_load_explicit(&queue->overflow_count, memory_order_relaxed) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&queue->overflow_lock);
    struct rusm__task *task = rusm__task_list_pop(&queue->overflow);
    atomic_store_explicit(&queue->overflow_count, queue->overflow.count, memory_order_relaxed);
    pthread_mutex_unlock(&queue->overflow_lock);
    return task;
}

struct rusm__task *rusm__run_queue_pop(struct rusm__run_queue *queue) {
    struct rusm__task *task = pop_overflow(queue);
    if (!task && take(queue, &task, 1) == 0) {
        return NULL;
    }
    return task;
}

struct rusm__task *rusm__run_queue_pop_pinned(struct rusm__run_queue *queue) {
    return rusm__task_list_pop(&queue->pinned);
}

/* Cells below head - overflow_count have been taken. Thieves, who prefer the ring, can make that
 * number too large while there is overflow: then a little less is thought to wait than does. */
bool rusm__run_queue_waits(const struct rusm__run_queue *queue, uint32_t mark) {
    uint32_t gone = atomic_load_explicit(&queue->head, memory_order_relaxed) -
                    atomic_load_explicit(&queue->overflow_count, memory_order_relaxed);
    return (int32_t)(gone - mark) < 0;
}

uint32_t rusm__run_queue_mark(const struct rusm__run_queue *queue) {
    return atomic_load_explicit(&queue->tail, memory_order_relaxed);
}

static bool pinned_is_due(const struct rusm__run_queue *queue) {
    const struct rusm__task *pinned = queue->pinned.first;
    return pinned && !rusm__run_queue_waits(queue, pinned->ticket);
}

struct rusm__task *rusm__run_queue_next(struct rusm__run_queue *queue) {
    struct rusm__task *task = pinned_is_due(queue) ? NULL : rusm__run_queue_pop(queue);
    return task ? task : rusm__run_queue_pop_pinned(queue);
}

/* The mark is set by any thread, and taken back by who has the task in hand. Relaxed: it says
 * nothing of anything else. */
static bool take_hurry(struct rusm__task *task) {
    bool hurried = atomic_load_explicit(&task->hurried, memory_order_relaxed);
    if (hurried) {
        atomic_store_explicit(&task->hurried, false, memory_order_relaxed);
    }
    return hurried;
}

static void sweep_overflow(struct rusm__run_queue *queue, struct rusm__task_list *out) {
    struct rusm__task_list *list = &queue->overflow;
    if (atomic_load_explicit(&queue->overflow_count, memory_order_relaxed) == 0) {
        return;
    }
    pthread_mutex_lock(&queue->overflow_lock);
    struct rusm__task *last = NULL, *next;
    for (struct rusm__task *task = list->first; task; task = next) {
        next = task->next;
        if (!take_hurry(task)) {
            last = task;
            continue;
        }
        *(last ? &last->next : &list->first) = next;
        list->last = next ? list->last : last;
        list->count--;
        rusm__task_list_push(out, task);
    }
    atomic_store_explicit(&queue->overflow_count, list->count, memory_order_relaxed);
    pthread_mutex_unlock(&queue->overflow_lock);
}

/* Once round: only the oldest can be taken, and only the end is free. Thieves may take some of them
 * meanwhile; then a few are moved twice. */
static void sweep_ring(struct rusm__run_queue *queue, struct rusm__task_list *out) {
    uint32_t count = atomic_load_explicit(&queue->tail, memory_order_relaxed) -
                     atomic_load_explicit(&queue->head, memory_order_acquire);
    struct rusm__task *oldest;
    for (; count > 0 && take(queue, &oldest, 1) == 1; count--) {
        if (take_hurry(oldest)) {
            rusm__task_list_push(out, oldest);
        } else {
            rusm__run_queue_push(queue, oldest);
        }
    }
}

void rusm__run_queue_sweep(struct rusm__run_queue *queue, struct rusm__task_list *out) {
    sweep_overflow(queue, out);
    sweep_ring(queue, out);
}

/* Thief, whose own ring is empty. */
static struct rusm__task *steal_overflow(struct rusm__run_queue *to, struct rusm__run_queue *from) {
    struct rusm__task *moved[HALF];
    uint32_t count = 0;
    /* relaxed: a stale zero leaves these tasks to their owner */
    if (atomic_load_explicit(&from->overflow_count, memory_order_relaxed) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&from->overflow_lock);
    while (count < HALF && (moved[count] = rusm__task_list_pop(&from->overflow)) != NULL) {
        count++;
    }
    atomic_store_explicit(&from->overflow_count, from->overflow.count, memory_order_relaxed);
    pthread_mutex_unlock(&from->overflow_lock);
    for (uint32_t i = 1; i < count; i++) {
        rusm__run_queue_push(to, moved[i]);
    }
    return count ? moved[0] : NULL;
}

struct rusm__task *rusm__run_queue_steal(struct rusm__run_queue *to, struct rusm__run_queue *from) {
    uint32_t head = atomic_load_explicit(&from->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&from->tail, memory_order_acquire);
    uint32_t there = tail - head;
    if (there == 0 || there > RUSM__RING_SIZE) {
        return steal_overflow(to, from);
    }
    struct rusm__task *taken[HALF];
    uint32_t count = take(from, taken, there - there / 2 < HALF ? there - there / 2 : HALF);
    for (uint32_t i = 1; i < count; i++) {
        rusm__run_queue_push(to, taken[i]);
    }
    return count ? taken[0] : NULL;
}

bool rusm__run_queue_has_stealable(const struct rusm__run_queue *queue) {
    return atomic_load_explicit(&queue->head, memory_order_relaxed) !=
               atomic_load_explicit(&queue->tail, memory_order_relaxed) ||
           atomic_load_explicit(&queue->overflow_count, memory_order_relaxed) != 0;
}
