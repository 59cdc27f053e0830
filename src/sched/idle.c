/* SPDX-License-Identifier: MIT */
/* What a scheduler does when its own queues are empty: steal, then sleep in the kernel.
 *
 * Waking is cheap to skip: whoever queues stealable work looks at two counters that hardly ever
 * change. `idle` and `searching` are hints. A stale value may leave a sleeper asleep although
 * there is work, but never loses the work: the one who queued it runs it itself. For work that only
 * the sleeper can do (pinned tasks, posts), rusm__sched_notify is exact. */
#include "base/clock.h"
#include "sched/sched_impl.h"

enum { UNCLEAN_NS = 10000000 }; /* between two tries to free what is retired */

void rusm__sched_offer(rusm_runtime *rt, const struct rusm__sched *from) {
    if (atomic_load_explicit(&rt->idle, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&rt->searching, memory_order_relaxed) != 0) {
        return;
    }
    for (uint32_t i = 1; i < rt->sched_count; i++) {
        struct rusm__sched *other = &rt->scheds[(from->index + i) % rt->sched_count];
        if (atomic_load_explicit(&other->state, memory_order_relaxed) == RUSM__SCHED_ASLEEP) {
            rusm__sched_notify(other);
            return;
        }
    }
}

struct rusm__task *rusm__sched_steal(struct rusm__sched *sched) {
    rusm_runtime *rt = sched->rt;
    uint32_t start = rusm__random_below(&sched->random, rt->sched_count);
    struct rusm__task *task = NULL;
    atomic_fetch_add_explicit(&rt->searching, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < rt->sched_count && !task; i++) {
        struct rusm__sched *victim = &rt->scheds[(start + i) % rt->sched_count];
        if (victim != sched) {
            task = rusm__run_queue_steal(&sched->queue, &victim->queue);
        }
    }
    atomic_fetch_sub_explicit(&rt->searching, 1, memory_order_relaxed);
    if (task) {
        atomic_store_explicit(&sched->steals, rusm__sched_steals(sched) + 1, memory_order_relaxed);
        /* There may be more where this came from. */
        if (rusm__run_queue_has_stealable(&sched->queue)) {
            rusm__sched_offer(rt, sched);
        }
    }
    return task;
}

static bool anything_to_do(struct rusm__sched *sched) {
    if (sched->lane || sched->queue.pinned.first ||
        atomic_load_explicit(&sched->inbox, memory_order_seq_cst) ||
        atomic_load_explicit(&sched->posts, memory_order_seq_cst) ||
        atomic_load_explicit(&sched->rt->stopping, memory_order_seq_cst)) {
        return true;
    }
    for (uint32_t i = 0; i < sched->rt->sched_count; i++) {
        if (rusm__run_queue_has_stealable(&sched->rt->scheds[i].queue)) {
            return true;
        }
    }
    return false;
}

/* The loop is about to block; timers of the loop have just run and may have queued something. */
static uint64_t before_wait(void *arg) {
    struct rusm__sched *sched = arg;
    rusm__qs_offline(sched->qs);
    bool clean = rusm__qs_drain(&sched->rt->qs, sched->qs);
    /* seq_cst: pairs with rusm__sched_notify; after this, look once more. */
    atomic_store_explicit(&sched->state, RUSM__SCHED_ASLEEP, memory_order_seq_cst);
    if (anything_to_do(sched)) {
        return 0;
    }
    atomic_store_explicit(&sched->sleeps, rusm__sched_sleeps(sched) + 1, memory_order_relaxed);
    uint64_t deadline = rusm__wheel_next_ns(&sched->wheel);
    uint64_t now = rusm__clock_ns();
    uint64_t wait = deadline == UINT64_MAX ? UINT64_MAX : deadline > now ? deadline - now : 0;
    if (!clean && wait > UNCLEAN_NS) {
        wait = UNCLEAN_NS; /* another scheduler still holds up what we retired */
    }
    return wait;
}

void rusm__sched_sleep(struct rusm__sched *sched) {
    rusm_runtime *rt = sched->rt;
    atomic_fetch_add_explicit(&rt->idle, 1, memory_order_seq_cst);
    rusm__loop_wait(&sched->loop, before_wait, sched);
    atomic_store_explicit(&sched->state, RUSM__SCHED_AWAKE, memory_order_seq_cst);
    atomic_fetch_sub_explicit(&rt->idle, 1, memory_order_seq_cst);
    rusm__sched_join_readers(sched);
}

void rusm__sched_join_readers(struct rusm__sched *sched) {
    if (!rusm__qs_is_online(sched->qs)) {
        rusm__qs_online(&sched->rt->qs, sched->qs);
    }
}
