/* SPDX-License-Identifier: MIT */
/* What a scheduler does when its own queues are empty: steal, watch, sleep in the kernel.
 *
 * To take a task from another core costs as much as running a dozen short ones: every cache line of
 * it has to move, and what it frees later moves back. So a task is worth taking only if it would
 * wait for long where it is. Two look after that:
 *
 *   the owner    between two steps, by the clock: what was queued at its last mark and has not run
 *                PATIENCE later is overdue. It says so and wakes a sleeper.
 *   a watcher    one of the sleepers, while others are awake: it wakes every DOZE and takes what
 *                has not moved since, for an owner in the middle of a long step says nothing.
 *
 * And a thief looks back: if what it took was short and took several times as long as it does at
 * home, as when many processes get one message each, then both cores together are slower than one,
 * and it leaves that queue alone for a while, longer each time. Only the watcher's rule still
 * holds.
 *
 * Whoever queues stealable work only sees to it that somebody watches, which is two loads of a
 * cache line that hardly ever changes. When all sleep, nobody watches.
 *
 * `idle` and `watcher` are hints. A stale value may leave a sleeper asleep although there is work,
 * but never loses the work: the one who queued it runs it itself. For work that only the sleeper
 * can do (pinned tasks, posts), rusm__sched_notify is exact. */
#include "base/clock.h"
#include "sched/sched_impl.h"

enum {
    PATIENCE_NS = 100000,
    DOZE_NS = 1000000,
    UNCLEAN_NS = 10000000, /* between two tries to free what is retired */
    JUDGED_SLOTS = 16,     /* fewer say nothing */
    SHORT_NS = 5000,       /* a slot that lasts longer is worth moving, whatever it costs at home */
    TOO_DEAR = 3,          /* times as long as at home */
    KEEP_LEAST_NS = 1000000,
    KEEP_MOST_NS = 64000000,
};

/* ---- for the busy ---- */

void rusm__sched_offer(rusm_runtime *rt, const struct rusm__sched *from) {
    if (atomic_load_explicit(&rt->idle, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&rt->watcher, memory_order_relaxed) != 0) {
        return;
    }
    for (uint32_t i = 1; i < rt->sched_count; i++) {
        struct rusm__sched *other = &rt->scheds[(from->index + i) % rt->sched_count];
        uint32_t nobody = 0;
        if (atomic_load_explicit(&other->state, memory_order_relaxed) != RUSM__SCHED_ASLEEP) {
            continue;
        }
        /* relaxed: a hint; one that woke meanwhile gives the duty up when it runs something */
        if (atomic_compare_exchange_strong_explicit(&rt->watcher, &nobody, other->index + 1,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            rusm__sched_notify(other);
        }
        return;
    }
}

/* Overdue, and nobody found that it does not pay to take it. relaxed: hints. */
static bool is_offered(const struct rusm__sched *victim, uint64_t now) {
    return atomic_load_explicit(&victim->overdue, memory_order_relaxed) &&
           now >= atomic_load_explicit(&victim->keep_until_ns, memory_order_relaxed);
}

static void wake_a_thief(const struct rusm__sched *from) {
    rusm_runtime *rt = from->rt;
    for (uint32_t i = 1; i < rt->sched_count; i++) {
        struct rusm__sched *other = &rt->scheds[(from->index + i) % rt->sched_count];
        if (atomic_load_explicit(&other->state, memory_order_seq_cst) == RUSM__SCHED_ASLEEP) {
            rusm__sched_notify(other);
            return;
        }
    }
}

/* Follows cheap slots down at once and dear ones up slowly, since one long step among many short
 * ones must not make all look long. */
static void note_cost(struct rusm__sched *sched, uint64_t now) {
    uint32_t slots = sched->slots - sched->seen_slots;
    if (!slots) {
        return;
    }
    uint64_t each = (now - sched->seen_ns) / slots;
    uint32_t known = atomic_load_explicit(&sched->slot_ns, memory_order_relaxed);
    if (known && each > known) {
        each = known + known / 8 + 1;
    }
    atomic_store_explicit(&sched->slot_ns, each < SHORT_NS ? (uint32_t)each + 1 : SHORT_NS,
                          memory_order_relaxed);
    sched->seen_slots = sched->slots;
    sched->seen_ns = now;
}

void rusm__sched_note_delay(struct rusm__sched *sched, uint64_t now) {
    note_cost(sched, now);
    if (!rusm__run_queue_waits(&sched->queue, sched->mark)) {
        sched->mark = rusm__run_queue_mark(&sched->queue);
        sched->mark_ns = now;
        if (atomic_load_explicit(&sched->overdue, memory_order_relaxed)) {
            atomic_store_explicit(&sched->overdue, false, memory_order_relaxed);
        }
    } else if (now - sched->mark_ns >= PATIENCE_NS) {
        /* seq_cst: we set it and look who sleeps; who falls asleep says so and looks at it (see
         * anything_to_do). One of the two sees the other. */
        atomic_store_explicit(&sched->overdue, true, memory_order_seq_cst);
        if (is_offered(sched, now)) {
            wake_a_thief(sched);
        }
    }
}

/* ---- for the idle ---- */

static bool is_watcher(const struct rusm__sched *sched) {
    /* acquire: the marks of the one before; pairs with the release in rusm__sched_stop_watching,
     * also when somebody else named us in between */
    return atomic_load_explicit(&sched->rt->watcher, memory_order_acquire) == sched->index + 1;
}

void rusm__sched_stop_watching(struct rusm__sched *sched) {
    uint32_t self = sched->index + 1;
    /* release: the next one sees our marks; pairs with the acquires in is_watcher and take_watch */
    atomic_compare_exchange_strong_explicit(&sched->rt->watcher, &self, 0, memory_order_release,
                                            memory_order_relaxed);
}

/* Its owner says that work waits there, or the watcher saw that it did not move. */
static bool is_worth_it(const struct rusm__sched *victim, bool watches, uint64_t now) {
    return is_offered(victim, now) || (watches && now - victim->watch_ns >= DOZE_NS / 2 &&
                                       rusm__run_queue_waits(&victim->queue, victim->watch_mark));
}

/* What we took and cannot run at once has waited long already: the next sleeper may take half of it
 * without waiting again. So work spreads over all schedulers in a few wake-ups. */
static void pass_on(struct rusm__sched *sched, uint64_t now) {
    if (rusm__run_queue_has_stealable(&sched->queue)) {
        sched->mark = rusm__run_queue_mark(&sched->queue);
        sched->mark_ns = now - PATIENCE_NS;
        rusm__sched_note_delay(sched, now);
    }
}

/* What was stolen last is done, or sleeps. relaxed: hints, and several thieves may judge at once.
 */
static void judge_theft(struct rusm__sched *sched, uint64_t now) {
    struct rusm__sched *victim = sched->stole_from;
    if (!victim) {
        return;
    }
    sched->stole_from = NULL;
    uint32_t slots = sched->slots - sched->stole_slots;
    uint64_t home = atomic_load_explicit(&victim->slot_ns, memory_order_relaxed);
    uint64_t keep = 0;
    if (slots < JUDGED_SLOTS || !home) {
        return;
    }
    uint64_t each = (now - sched->stole_ns) / slots;
    if (each < SHORT_NS && each >= TOO_DEAR * home) {
        keep = 2 * atomic_load_explicit(&victim->keep_ns, memory_order_relaxed);
        keep = keep < KEEP_LEAST_NS ? KEEP_LEAST_NS : keep > KEEP_MOST_NS ? KEEP_MOST_NS : keep;
        atomic_store_explicit(&victim->keep_until_ns, now + keep, memory_order_relaxed);
    }
    atomic_store_explicit(&victim->keep_ns, keep, memory_order_relaxed);
}

struct rusm__task *rusm__sched_steal(struct rusm__sched *sched) {
    rusm_runtime *rt = sched->rt;
    uint32_t start = rusm__random_below(&sched->random, rt->sched_count);
    uint64_t now = rusm__clock_ns();
    judge_theft(sched, now);
    bool watches = is_watcher(sched);
    for (uint32_t i = 0; i < rt->sched_count; i++) {
        struct rusm__sched *victim = &rt->scheds[(start + i) % rt->sched_count];
        if (victim == sched || !is_worth_it(victim, watches, now)) {
            continue;
        }
        struct rusm__task *task = rusm__run_queue_steal(&sched->queue, &victim->queue);
        if (task) {
            atomic_store_explicit(&sched->steals, rusm__sched_steals(sched) + 1,
                                  memory_order_relaxed);
            sched->stole_from = victim;
            sched->stole_slots = sched->slots;
            sched->stole_ns = now;
            pass_on(sched, now);
            return task;
        }
    }
    return NULL;
}

static bool others_are_awake(const struct rusm__sched *sched) {
    for (uint32_t i = 0; i < sched->rt->sched_count; i++) {
        const struct rusm__sched *other = &sched->rt->scheds[i];
        if (other != sched &&
            atomic_load_explicit(&other->state, memory_order_seq_cst) != RUSM__SCHED_ASLEEP) {
            return true;
        }
    }
    return false;
}

/* We are to watch, unless another one does. */
static bool take_watch(struct rusm__sched *sched) {
    uint32_t nobody = 0;
    /* acquire: pairs with the release in rusm__sched_stop_watching */
    return is_watcher(sched) ||
           atomic_compare_exchange_strong_explicit(&sched->rt->watcher, &nobody, sched->index + 1,
                                                   memory_order_acquire, memory_order_relaxed);
}

static void mark_all(struct rusm__sched *sched, uint64_t now) {
    for (uint32_t i = 0; i < sched->rt->sched_count; i++) {
        struct rusm__sched *other = &sched->rt->scheds[i];
        if (!rusm__run_queue_waits(&other->queue, other->watch_mark)) {
            other->watch_mark = rusm__run_queue_mark(&other->queue);
            other->watch_ns = now;
        }
    }
}

/* Marked as asleep, about to sleep: true if for a doze only. One that wakes after we gave the duty
 * up finds nobody watching when it queues something; one that woke just before is seen here. */
static bool keep_watch(struct rusm__sched *sched, uint64_t now) {
    if (!others_are_awake(sched)) {
        if (!is_watcher(sched)) {
            return false;
        }
        rusm__sched_stop_watching(sched);
        if (!others_are_awake(sched)) {
            return false;
        }
    }
    if (!take_watch(sched)) {
        return false;
    }
    mark_all(sched, now);
    return true;
}

/* seq_cst, where is_offered is content with a hint: pairs with rusm__sched_note_delay. */
static bool anything_to_do(struct rusm__sched *sched) {
    if (sched->lane || sched->queue.pinned.first || rusm__run_queue_has_stealable(&sched->queue) ||
        atomic_load_explicit(&sched->inbox, memory_order_seq_cst) ||
        atomic_load_explicit(&sched->posts, memory_order_seq_cst) ||
        atomic_load_explicit(&sched->rt->stopping, memory_order_seq_cst)) {
        return true;
    }
    for (uint32_t i = 0; i < sched->rt->sched_count; i++) {
        const struct rusm__sched *other = &sched->rt->scheds[i];
        if (atomic_load_explicit(&other->overdue, memory_order_seq_cst) &&
            is_offered(other, rusm__clock_ns()) && rusm__run_queue_has_stealable(&other->queue)) {
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
    if (keep_watch(sched, now) && wait > DOZE_NS) {
        wait = DOZE_NS;
    }
    return wait;
}

void rusm__sched_sleep(struct rusm__sched *sched) {
    rusm_runtime *rt = sched->rt;
    atomic_fetch_add_explicit(&rt->idle, 1, memory_order_seq_cst);
    rusm__loop_wait(&sched->loop, before_wait, sched);
    atomic_store_explicit(&sched->state, RUSM__SCHED_AWAKE, memory_order_seq_cst);
    atomic_fetch_sub_explicit(&rt->idle, 1, memory_order_seq_cst);
    /* seq_cst: pairs with the store before the watchdog asks whether all are idle */
    if (atomic_load_explicit(&rt->watchdog_sleeps, memory_order_seq_cst)) {
        rt->hooks.watchdog(rt);
    }
    rusm__sched_join_readers(sched);
}

bool rusm__scheds_are_idle(const rusm_runtime *rt) {
    return atomic_load_explicit(&rt->idle, memory_order_seq_cst) == rt->sched_count;
}

void rusm__sched_join_readers(struct rusm__sched *sched) {
    if (!rusm__qs_is_online(sched->qs)) {
        rusm__qs_online(&sched->rt->qs, sched->qs);
    }
}
