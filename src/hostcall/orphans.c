/* SPDX-License-Identifier: MIT */
#include "hostcall/orphans.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#define SWEEP_PAUSE_NS (100 * RUSM__MS) /* between two looks at all of them */
#define TELL_PAUSE_NS  RUSM__SECOND

void rusm__orphans_init(struct rusm__orphans *orphans, rusm_runtime *runtime) {
    *orphans = (struct rusm__orphans){.runtime = runtime};
    pthread_mutex_init(&orphans->lock, NULL);
}

static size_t index_of(rusm_pid to) {
    return rusm__hash_u64(to) % RUSM__ORPHANS_BUCKETS;
}

static struct rusm__orphan **bucket_of(struct rusm__orphans *orphans, rusm_pid to) {
    return &orphans->buckets[index_of(to)];
}

/* relaxed: hints for rusm__orphans_target_ended, which explains */
static void count_in(struct rusm__orphans *orphans, rusm_pid to) {
    atomic_fetch_add_explicit(&orphans->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&orphans->lengths[index_of(to)], 1, memory_order_relaxed);
}

static void count_out(struct rusm__orphans *orphans, rusm_pid to) {
    atomic_fetch_sub_explicit(&orphans->count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&orphans->lengths[index_of(to)], 1, memory_order_relaxed);
}

static size_t get_count(const struct rusm__orphans *orphans) {
    return atomic_load_explicit(&orphans->count, memory_order_relaxed);
}

static void remove_at(struct rusm__orphans *orphans, struct rusm__orphan **where) {
    struct rusm__orphan *orphan = *where;
    *where = orphan->next;
    orphans->bytes -= orphan->bytes;
    count_out(orphans, orphan->to);
    rusm__mem_free(orphan);
}

void rusm__orphans_fini(struct rusm__orphans *orphans) {
    for (size_t i = 0; i < RUSM__ORPHANS_BUCKETS; i++) {
        while (orphans->buckets[i])
            remove_at(orphans, &orphans->buckets[i]);
    }
    pthread_mutex_destroy(&orphans->lock);
}

struct load {
    size_t count;
    uint64_t bytes;
};

/* What of a bucket is for `to`; those that have fired since are taken out on the way. */
static struct load count_locked(struct rusm__orphans *orphans, struct rusm__orphan **bucket,
                                rusm_pid to, uint64_t now) {
    struct load load = {0};
    struct rusm__orphan **where = bucket;
    while (*where) {
        if ((*where)->deadline_ns <= now) {
            remove_at(orphans, where);
            continue;
        }
        if ((*where)->to == to) {
            load.count++;
            load.bytes += (*where)->bytes;
        }
        where = &(*where)->next;
    }
    return load;
}

static bool is_over_bound(const struct rusm__orphans *orphans, uint64_t more) {
    return get_count(orphans) >= RUSM__ORPHANS_PER_NODE ||
           orphans->bytes + more > RUSM__ORPHANS_BYTES_PER_NODE;
}

/* Nobody tells of a timer that fires, so at the node's bound it is to be seen how many are left;
 * that costs a millisecond or so, and is worth it once in a while only. */
static bool is_full_locked(struct rusm__orphans *orphans, uint64_t more, uint64_t now) {
    if (!is_over_bound(orphans, more))
        return false;
    if (now < orphans->next_sweep_ns)
        return true;
    orphans->next_sweep_ns = now + SWEEP_PAUSE_NS;
    for (size_t i = 0; i < RUSM__ORPHANS_BUCKETS; i++)
        (void)count_locked(orphans, &orphans->buckets[i], 0, now);
    return is_over_bound(orphans, more);
}

static void tell_locked(struct rusm__orphans *orphans, rusm_pid to, const struct load *there,
                        uint64_t now) {
    orphans->untold++;
    if (now < orphans->next_tell_ns)
        return;
    rusm__log(RUSM__LOG_WARN, "rusm", "timer",
              "a timer to #%llu is cancelled with its setter, as were %zu since this was said "
              "last: %zu more of %llu bytes wait for it, %zu of %llu in all",
              (unsigned long long)to, orphans->untold - 1, there->count,
              (unsigned long long)there->bytes, get_count(orphans),
              (unsigned long long)orphans->bytes);
    orphans->next_tell_ns = now + TELL_PAUSE_NS;
    orphans->untold = 0;
}

static bool keep_locked(struct rusm__orphans *orphans, const struct rusm__orphan *from) {
    /* Under the lock: a target that ends after this look finds the orphan below. */
    if (!rusm_pid_is_alive(orphans->runtime, from->to))
        return false;
    uint64_t now = rusm__clock_ns();
    struct rusm__orphan **bucket = bucket_of(orphans, from->to);
    struct load there = count_locked(orphans, bucket, from->to, now);
    if (there.count >= RUSM__ORPHANS_PER_TARGET ||
        there.bytes + from->bytes > RUSM__ORPHANS_BYTES_PER_TARGET ||
        is_full_locked(orphans, from->bytes, now)) {
        tell_locked(orphans, from->to, &there, now);
        return false;
    }
    struct rusm__orphan *orphan = rusm__mem_try_alloc(sizeof(*orphan));
    if (!orphan)
        return false;
    *orphan = *from;
    orphan->next = *bucket;
    *bucket = orphan;
    orphans->bytes += orphan->bytes;
    count_in(orphans, orphan->to);
    return true;
}

void rusm__orphans_adopt(struct rusm__orphans *orphans, const struct rusm__orphan *orphan) {
    pthread_mutex_lock(&orphans->lock);
    bool kept = keep_locked(orphans, orphan);
    pthread_mutex_unlock(&orphans->lock);
    if (!kept)
        rusm_timer_cancel(orphans->runtime, orphan->timer);
}

void rusm__orphans_target_ended(struct rusm__orphans *orphans, rusm_pid target) {
    /* A stale zero can only miss an orphan that is being added right now, and whoever adds it may
     * still have seen us alive: it then stays until it fires, counted against the node. */
    if (get_count(orphans) == 0 ||
        !atomic_load_explicit(&orphans->lengths[index_of(target)], memory_order_relaxed))
        return;
    pthread_mutex_lock(&orphans->lock);
    struct rusm__orphan **where = bucket_of(orphans, target);
    while (*where) {
        if ((*where)->to == target) {
            rusm_timer_cancel(orphans->runtime, (*where)->timer);
            remove_at(orphans, where);
        } else {
            where = &(*where)->next;
        }
    }
    pthread_mutex_unlock(&orphans->lock);
}
