/* SPDX-License-Identifier: MIT */
#include "proc/table.h"

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/scale.h"
#include "proc/proc_impl.h"

enum {
    SEGMENT_BITS = RUSM__SCALE(12, 3),
    SEGMENT_SLOTS = 1 << SEGMENT_BITS,
    KEEP = RUSM__SCALE(16384, 2),
    CHAIN = RUSM__SCALE(1024, 3),
};

static uint32_t slot_number(rusm_pid pid) {
    return (uint32_t)pid;
}

static struct rusm__slot *slot_at(const struct rusm__table *table, uint32_t number) {
    /* acquire: pairs with the release in grow */
    struct rusm__slot *segment =
        atomic_load_explicit(&table->segments[number >> SEGMENT_BITS], memory_order_acquire);
    return &segment[number & (SEGMENT_SLOTS - 1)];
}

/* ---- queues of free slots ---- */

static void queue_push(struct rusm__table *table, struct rusm__slot_queue *queue, uint32_t number) {
    slot_at(table, number)->next = 0;
    if (queue->last) {
        slot_at(table, queue->last)->next = number;
    } else {
        queue->first = number;
    }
    queue->last = number;
    queue->count++;
}

static uint32_t queue_pop(struct rusm__table *table, struct rusm__slot_queue *queue) {
    uint32_t number = queue->first;
    if (number) {
        queue->first = slot_at(table, number)->next;
        if (!queue->first) {
            queue->last = 0;
        }
        queue->count--;
    }
    return number;
}

static void queue_move(struct rusm__table *table, struct rusm__slot_queue *from,
                       struct rusm__slot_queue *to, uint32_t count) {
    while (count-- > 0 && from->count > 0) {
        queue_push(table, to, queue_pop(table, from));
    }
}

/* ---- life ---- */

int rusm__table_init(struct rusm__table *table, uint32_t max_processes, uint32_t caches) {
    *table = (struct rusm__table){.max_processes = max_processes};
    table->keep = max_processes / (2 * caches) < KEEP ? max_processes / (2 * caches) : KEEP;
    table->batch = max_processes / (64 * caches) < CHAIN ? max_processes / (64 * caches) : CHAIN;
    table->batch = table->batch ? table->batch : 1;
    /* Live ones, what caches hold back or have spare, slot 0 which names nobody. */
    uint64_t slots = (uint64_t)max_processes + (uint64_t)caches * (2 * table->keep + 2 * CHAIN) + 1;
    table->segment_count = (uint32_t)((slots + SEGMENT_SLOTS - 1) >> SEGMENT_BITS);
    table->segments = rusm__mem_try_zalloc(table->segment_count * sizeof(*table->segments));
    if (!table->segments) {
        return RUSM_ENOMEM;
    }
    table->issued = 1;
    table->credit = max_processes;
    pthread_mutex_init(&table->lock, NULL);
    return RUSM_OK;
}

void rusm__table_add_cache(struct rusm__table *table, struct rusm__slot_cache *cache) {
    cache->next = table->caches;
    table->caches = cache;
}

void rusm__table_fini(struct rusm__table *table) {
    for (uint32_t i = 0; i < table->segment_count; i++) {
        rusm__mem_free(atomic_load_explicit(&table->segments[i], memory_order_relaxed));
    }
    rusm__mem_free(table->segments);
    pthread_mutex_destroy(&table->lock);
}

/* ---- slots ---- */

/* Every segment that holds a slot below end. Called with the lock. */
static int grow_locked(struct rusm__table *table, uint32_t end) {
    for (uint32_t i = (end - 1) >> SEGMENT_BITS;
         !atomic_load_explicit(&table->segments[i], memory_order_relaxed); i--) {
        struct rusm__slot *segment = rusm__mem_try_zalloc((size_t)SEGMENT_SLOTS * sizeof(*segment));
        if (!segment) {
            return RUSM_ENOMEM;
        }
        /* release: publishes the empty slots; pairs with the acquire in slot_at and find */
        atomic_store_explicit(&table->segments[i], segment, memory_order_release);
        if (i == 0) {
            break;
        }
    }
    return RUSM_OK;
}

static int refill_fresh(struct rusm__table *table, struct rusm__slot_cache *cache) {
    uint64_t most = (uint64_t)table->segment_count << SEGMENT_BITS;
    pthread_mutex_lock(&table->lock);
    uint32_t first = table->issued;
    uint64_t end = (uint64_t)first + table->batch;
    end = end < most ? end : most;
    int status = first < end ? grow_locked(table, (uint32_t)end) : RUSM_EPROCS;
    if (status == RUSM_OK) {
        cache->fresh = first;
        cache->fresh_end = (uint32_t)end;
        table->issued = (uint32_t)end;
    }
    pthread_mutex_unlock(&table->lock);
    return status;
}

static void refill_from_pool(struct rusm__table *table, struct rusm__slot_cache *cache) {
    pthread_mutex_lock(&table->lock);
    queue_move(table, &table->pool, &cache->free, CHAIN);
    pthread_mutex_unlock(&table->lock);
}

static int take_slot(struct rusm__table *table, struct rusm__slot_cache *cache,
                     uint32_t *out_number) {
    int status = RUSM_OK;
    if (cache->free.count <= table->keep && cache->fresh == cache->fresh_end) {
        status = refill_fresh(table, cache);
        if (status != RUSM_OK && cache->free.count == 0) {
            refill_from_pool(table, cache);
        }
    }
    if (cache->free.count <= table->keep && cache->fresh < cache->fresh_end) {
        *out_number = cache->fresh++;
        return RUSM_OK;
    }
    *out_number = queue_pop(table, &cache->free);
    return *out_number ? RUSM_OK : status;
}

/* ---- credits; relaxed throughout: they are numbers that order nothing else ---- */

static bool take_one(struct rusm__slot_cache *cache) {
    int32_t had = atomic_load_explicit(&cache->credit, memory_order_relaxed);
    while (had > 0) {
        if (atomic_compare_exchange_weak_explicit(&cache->credit, &had, had - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* With the lock, under which credits move: nobody misses one that is on its way. */
static bool take_common_locked(struct rusm__table *table, struct rusm__slot_cache *cache) {
    if (table->credit > 0) {
        uint32_t count = table->credit < table->batch ? table->credit : table->batch;
        table->credit -= count;
        atomic_fetch_add_explicit(&cache->credit, (int32_t)count - 1, memory_order_relaxed);
        return true;
    }
    for (struct rusm__slot_cache *other = table->caches; other; other = other->next) {
        if (take_one(other)) {
            return true;
        }
    }
    return false;
}

static bool take_credit(struct rusm__table *table, struct rusm__slot_cache *cache) {
    if (take_one(cache)) {
        return true;
    }
    pthread_mutex_lock(&table->lock);
    bool taken = take_common_locked(table, cache);
    pthread_mutex_unlock(&table->lock);
    return taken;
}

static void give_credit(struct rusm__table *table, struct rusm__slot_cache *cache) {
    int32_t batch = (int32_t)table->batch;
    int32_t had = atomic_fetch_add_explicit(&cache->credit, 1, memory_order_relaxed) + 1;
    if (had <= 2 * batch) {
        return;
    }
    pthread_mutex_lock(&table->lock);
    while (had > batch &&
           !atomic_compare_exchange_weak_explicit(&cache->credit, &had, had - batch,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    table->credit += had > batch ? table->batch : 0;
    pthread_mutex_unlock(&table->lock);
}

/* ---- taking and giving ---- */

int rusm__table_take(struct rusm__table *table, struct rusm__slot_cache *cache, rusm_pid *out_pid) {
    if (!take_credit(table, cache)) {
        return RUSM_EPROCS;
    }
    uint32_t number;
    int status = take_slot(table, cache, &number);
    if (status) {
        give_credit(table, cache);
        return status;
    }
    *out_pid = (uint64_t)slot_at(table, number)->generation << 32 | number;
    return RUSM_OK;
}

void rusm__table_publish(struct rusm__table *table, rusm_pid pid, rusm_proc *proc) {
    /* release: publishes the process; pairs with the acquire in find */
    atomic_store_explicit(&slot_at(table, slot_number(pid))->proc, proc, memory_order_release);
}

void rusm__table_hide(struct rusm__table *table, rusm_pid pid) {
    atomic_store_explicit(&slot_at(table, slot_number(pid))->proc, NULL, memory_order_release);
}

void rusm__table_give(struct rusm__table *table, struct rusm__slot_cache *cache, rusm_pid pid) {
    give_credit(table, cache);
    struct rusm__slot *slot = slot_at(table, slot_number(pid));
    if (++slot->generation == 0) {
        return; /* used up: never again */
    }
    queue_push(table, &cache->free, slot_number(pid));
    if (cache->free.count > 2 * table->keep + CHAIN) {
        pthread_mutex_lock(&table->lock);
        queue_move(table, &cache->free, &table->pool, CHAIN);
        pthread_mutex_unlock(&table->lock);
    }
}

/* ---- look-up ---- */

rusm_proc *rusm__table_find(const struct rusm__table *table, rusm_pid pid) {
    uint32_t number = slot_number(pid);
    if (number >> SEGMENT_BITS >= table->segment_count) {
        return NULL;
    }
    struct rusm__slot *segment =
        atomic_load_explicit(&table->segments[number >> SEGMENT_BITS], memory_order_acquire);
    if (!segment) {
        return NULL;
    }
    /* acquire: pairs with the release in publish */
    rusm_proc *proc =
        atomic_load_explicit(&segment[number & (SEGMENT_SLOTS - 1)].proc, memory_order_acquire);
    return proc && proc->pid == pid ? proc : NULL;
}

bool rusm__table_part(const struct rusm__table *table, uint32_t part,
                      void (*visit)(rusm_proc *, void *), void *arg) {
    if (part >= table->segment_count) {
        return false;
    }
    struct rusm__slot *segment = atomic_load_explicit(&table->segments[part], memory_order_acquire);
    for (uint32_t s = 0; segment && s < SEGMENT_SLOTS; s++) {
        rusm_proc *proc = atomic_load_explicit(&segment[s].proc, memory_order_acquire);
        if (proc) {
            visit(proc, arg);
        }
    }
    return segment != NULL; /* segments are made in order */
}

void rusm__table_each(const struct rusm__table *table, void (*visit)(rusm_proc *, void *),
                      void *arg) {
    for (uint32_t part = 0; rusm__table_part(table, part, visit, arg);) {
        part++;
    }
}
