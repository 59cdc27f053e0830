/* SPDX-License-Identifier: MIT */
#include "hostcall/orphans.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

void rusm__orphans_init(struct rusm__orphans *orphans, rusm_runtime *runtime) {
    orphans->runtime = runtime;
    pthread_mutex_init(&orphans->lock, NULL);
}

static struct rusm__orphan **bucket_of(struct rusm__orphans *orphans, rusm_pid to) {
    return &orphans->buckets[rusm__hash_u64(to) % RUSM__ORPHANS_BUCKETS];
}

static void set_count(struct rusm__orphans *orphans, size_t count) {
    /* relaxed: a hint for rusm__orphans_target_ended, which explains */
    atomic_store_explicit(&orphans->count, count, memory_order_relaxed);
}

static size_t get_count(const struct rusm__orphans *orphans) {
    return atomic_load_explicit(&orphans->count, memory_order_relaxed);
}

static void remove_at(struct rusm__orphans *orphans, struct rusm__orphan **where) {
    struct rusm__orphan *orphan = *where;
    *where = orphan->next;
    rusm__mem_free(orphan);
    set_count(orphans, get_count(orphans) - 1);
}

void rusm__orphans_fini(struct rusm__orphans *orphans) {
    for (size_t i = 0; i < RUSM__ORPHANS_BUCKETS; i++) {
        while (orphans->buckets[i])
            remove_at(orphans, &orphans->buckets[i]);
    }
    pthread_mutex_destroy(&orphans->lock);
}

/* How many of a bucket are for `to`; those that have fired since are taken out on the way. */
static size_t count_locked(struct rusm__orphans *orphans, rusm_pid to) {
    uint64_t now = rusm__clock_ns();
    size_t count = 0;
    struct rusm__orphan **where = bucket_of(orphans, to);
    while (*where) {
        if ((*where)->deadline_ns <= now) {
            remove_at(orphans, where);
            continue;
        }
        count += (*where)->to == to;
        where = &(*where)->next;
    }
    return count;
}

static bool keep_locked(struct rusm__orphans *orphans, rusm_pid to, rusm_timer timer,
                        uint64_t deadline_ns) {
    /* Under the lock: a target that ends after this look finds the orphan below. */
    if (!rusm_pid_is_alive(orphans->runtime, to))
        return false;
    size_t there = count_locked(orphans, to);
    if (there >= RUSM__ORPHANS_PER_TARGET || get_count(orphans) >= RUSM__ORPHANS_PER_NODE) {
        rusm__log(RUSM__LOG_WARN, "rusm", "timer",
                  "a timer to #%llu is cancelled with its setter: %zu more wait for it, %zu in all",
                  (unsigned long long)to, there, get_count(orphans));
        return false;
    }
    struct rusm__orphan *orphan = rusm__mem_try_alloc(sizeof(*orphan));
    if (!orphan)
        return false;
    struct rusm__orphan **bucket = bucket_of(orphans, to);
    *orphan = (struct rusm__orphan){
        .next = *bucket, .to = to, .timer = timer, .deadline_ns = deadline_ns};
    *bucket = orphan;
    set_count(orphans, get_count(orphans) + 1);
    return true;
}

void rusm__orphans_adopt(struct rusm__orphans *orphans, rusm_pid to, rusm_timer timer,
                         uint64_t deadline_ns) {
    pthread_mutex_lock(&orphans->lock);
    bool kept = keep_locked(orphans, to, timer, deadline_ns);
    pthread_mutex_unlock(&orphans->lock);
    if (!kept)
        rusm_timer_cancel(orphans->runtime, timer);
}

void rusm__orphans_target_ended(struct rusm__orphans *orphans, rusm_pid target) {
    /* A stale zero can only miss an orphan that is being added right now, and whoever adds it may
     * still have seen us alive: it then stays until it fires, counted against the node. */
    if (get_count(orphans) == 0)
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
