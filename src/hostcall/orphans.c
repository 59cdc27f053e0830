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
static size_t count_locked(struct rusm__orphans *orphans, struct rusm__orphan **bucket, rusm_pid to,
                           uint64_t now) {
    size_t count = 0;
    struct rusm__orphan **where = bucket;
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

/* Nobody tells of a timer that fires, so at the node's bound it is to be seen how many are left;
 * that costs a millisecond or so, and is worth it once in a while only. */
static bool is_full_locked(struct rusm__orphans *orphans, uint64_t now) {
    if (get_count(orphans) < RUSM__ORPHANS_PER_NODE)
        return false;
    if (now < orphans->next_sweep_ns)
        return true;
    orphans->next_sweep_ns = now + SWEEP_PAUSE_NS;
    for (size_t i = 0; i < RUSM__ORPHANS_BUCKETS; i++)
        (void)count_locked(orphans, &orphans->buckets[i], 0, now);
    return get_count(orphans) >= RUSM__ORPHANS_PER_NODE;
}

static void tell_locked(struct rusm__orphans *orphans, rusm_pid to, size_t there, uint64_t now) {
    orphans->untold++;
    if (now < orphans->next_tell_ns)
        return;
    rusm__log(RUSM__LOG_WARN, "rusm", "timer",
              "a timer to #%llu is cancelled with its setter, as were %zu since this was said "
              "last: %zu more wait for it, %zu in all",
              (unsigned long long)to, orphans->untold - 1, there, get_count(orphans));
    orphans->next_tell_ns = now + TELL_PAUSE_NS;
    orphans->untold = 0;
}

static bool keep_locked(struct rusm__orphans *orphans, rusm_pid to, rusm_timer timer,
                        uint64_t deadline_ns) {
    /* Under the lock: a target that ends after this look finds the orphan below. */
    if (!rusm_pid_is_alive(orphans->runtime, to))
        return false;
    uint64_t now = rusm__clock_ns();
    struct rusm__orphan **bucket = bucket_of(orphans, to);
    size_t there = count_locked(orphans, bucket, to, now);
    if (there >= RUSM__ORPHANS_PER_TARGET || is_full_locked(orphans, now)) {
        tell_locked(orphans, to, there, now);
        return false;
    }
    struct rusm__orphan *orphan = rusm__mem_try_alloc(sizeof(*orphan));
    if (!orphan)
        return false;
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
