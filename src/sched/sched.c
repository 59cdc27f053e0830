/* SPDX-License-Identifier: MIT */
/* Schedulers: their life, and how work gets to them. */
#include "sched/sched.h"

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

enum { VISIT_LIMIT = RUSM__SCALE(8, 2) }; /* runs from the lane that a visitor begins */

_Thread_local struct rusm__sched *rusm__current_sched;

struct rusm__sched *rusm__sched_current(void) {
    return rusm__current_sched;
}

struct rusm__sched *rusm__sched_current_of(const rusm_runtime *rt) {
    struct rusm__sched *sched = rusm__current_sched;
    return sched && sched->rt == rt ? sched : NULL;
}

uint32_t rusm__sched_index(const struct rusm__sched *sched) {
    return sched->index;
}

uint32_t rusm__sched_count(const rusm_runtime *rt) {
    return rt->sched_count;
}

rusm_runtime *rusm__sched_runtime(const struct rusm__sched *sched) {
    return sched->rt;
}

struct rusm__sched *rusm__sched_get(const rusm_runtime *rt, uint32_t index) {
    return &rt->scheds[index];
}

void *rusm__sched_local(const struct rusm__sched *sched) {
    return sched->local;
}

uv_loop_t *rusm__sched_loop(struct rusm__sched *sched) {
    return &sched->loop.uv;
}

struct rusm__wheel *rusm__sched_wheel(struct rusm__sched *sched) {
    return &sched->wheel;
}

struct rusm__qs_member *rusm__sched_qs(struct rusm__sched *sched) {
    return sched->qs;
}

struct rusm__random *rusm__sched_random(struct rusm__sched *sched) {
    return &sched->random;
}

uint64_t rusm__sched_steals(const struct rusm__sched *sched) {
    return atomic_load_explicit(&sched->steals, memory_order_relaxed);
}

uint64_t rusm__sched_sleeps(const struct rusm__sched *sched) {
    return atomic_load_explicit(&sched->sleeps, memory_order_relaxed);
}

bool rusm__sched_has_work(struct rusm__sched *sched) {
    return sched->lane || sched->urgent.first || sched->queue.pinned.first ||
           rusm__run_queue_has_stealable(&sched->queue) ||
           atomic_load_explicit(&sched->inbox, memory_order_relaxed) ||
           atomic_load_explicit(&sched->posts, memory_order_relaxed) ||
           rusm__clock_ns() - sched->last_poll_ns > RUSM__MS / 2;
}

/* ---- work ---- */

void rusm__sched_enqueue_local(struct rusm__sched *sched, struct rusm__task *task,
                               enum rusm__ready how) {
    struct rusm__task *queued = task;
    if (how != RUSM__READY_TAIL) {
        queued = sched->lane; /* the older one makes room and becomes visible to thieves */
        sched->lane = task;
    }
    if (!queued) {
        return;
    }
    if (queued->pinned) {
        rusm__run_queue_push_pinned(&sched->queue, queued);
    } else {
        rusm__run_queue_push(&sched->queue, queued);
        rusm__sched_offer(sched->rt, sched);
    }
}

void rusm__sched_hurry(rusm_runtime *rt, struct rusm__task *task) {
    struct rusm__sched *here = rusm__sched_current_of(rt);
    atomic_store_explicit(&task->hurried, true, memory_order_relaxed);
    for (uint32_t i = 0; i < rt->sched_count; i++) {
        /* release: the task's mark; pairs with the acquire in sweep (main.c) */
        atomic_store_explicit(&rt->scheds[i].sweeps, true, memory_order_release);
    }
    if (here) {
        rusm__sched_look_soon(here);
    }
}

void rusm__sched_notify(struct rusm__sched *sched) {
    /* The caller has just published work with a seq_cst operation; the sleeper publishes ASLEEP
     * with one and then looks for work again. One of the two sees the other. */
    uint32_t state = atomic_load_explicit(&sched->state, memory_order_seq_cst);
    if (state == RUSM__SCHED_ASLEEP &&
        atomic_compare_exchange_strong_explicit(&sched->state, &state, RUSM__SCHED_NOTIFIED,
                                                memory_order_seq_cst, memory_order_relaxed)) {
        rusm__loop_wake(&sched->loop);
    }
}

static void send_to(struct rusm__sched *sched, struct rusm__task *task) {
    task->next = atomic_load_explicit(&sched->inbox, memory_order_relaxed);
    /* seq_cst: publishes the task to rusm__sched_take_inbox, and see rusm__sched_notify */
    while (!atomic_compare_exchange_weak_explicit(&sched->inbox, &task->next, task,
                                                  memory_order_seq_cst, memory_order_relaxed)) {
    }
    rusm__sched_notify(sched);
}

void rusm__sched_ready(rusm_runtime *rt, struct rusm__task *task, enum rusm__ready how) {
    struct rusm__sched *here = rusm__sched_current_of(rt);
    if (task->pinned && (!here || here->index != task->home)) {
        send_to(&rt->scheds[task->home], task);
    } else if (here) {
        rusm__sched_enqueue_local(here, task, how);
    } else {
        uint32_t turn = atomic_fetch_add_explicit(&rt->next_remote, 1, memory_order_relaxed);
        send_to(&rt->scheds[turn % rt->sched_count], task);
    }
}

int rusm__sched_post(rusm_runtime *rt, uint32_t index, void (*fn)(void *arg), void *arg) {
    struct rusm__sched *sched = &rt->scheds[index];
    struct rusm__post *post = rusm__mem_try_alloc(sizeof(*post));
    if (!post) {
        return RUSM_ENOMEM;
    }
    *post = (struct rusm__post){.fn = fn, .arg = arg};
    post->next = atomic_load_explicit(&sched->posts, memory_order_relaxed);
    /* seq_cst: as in send_to */
    while (!atomic_compare_exchange_weak_explicit(&sched->posts, &post->next, post,
                                                  memory_order_seq_cst, memory_order_relaxed)) {
    }
    rusm__sched_notify(sched);
    return RUSM_OK;
}

/* Whoever comes from elsewhere was woken there: the oldest of them is as near as if it had been
 * woken here. Otherwise, with processes here that use up their slices, each message that crosses
 * schedulers would wait for all of these. It brings only a few along, so that with something always
 * on its way those in the queue have at least one turn in VISIT_LIMIT + 1. */
static void take_in(struct rusm__sched *sched, struct rusm__task *task) {
    if (sched->lane) {
        rusm__sched_enqueue_local(sched, task, RUSM__READY_TAIL);
        return;
    }
    rusm__sched_enqueue_local(sched, task, RUSM__READY_WAKE);
    if (sched->lane_runs < RUSM__LANE_LIMIT - VISIT_LIMIT) {
        sched->lane_runs = RUSM__LANE_LIMIT - VISIT_LIMIT;
    }
}

static bool take_tasks(struct rusm__sched *sched) {
    if (!atomic_load_explicit(&sched->inbox, memory_order_relaxed)) {
        return false;
    }
    /* acquire: pairs with send_to */
    struct rusm__task *newest = atomic_exchange_explicit(&sched->inbox, NULL, memory_order_acquire);
    struct rusm__task *oldest = NULL;
    while (newest) {
        struct rusm__task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct rusm__task *next = oldest->next;
        take_in(sched, oldest);
        oldest = next;
    }
    return true;
}

static bool take_posts(struct rusm__sched *sched) {
    if (!atomic_load_explicit(&sched->posts, memory_order_relaxed)) {
        return false;
    }
    struct rusm__post *newest = atomic_exchange_explicit(&sched->posts, NULL, memory_order_acquire);
    struct rusm__post *oldest = NULL;
    while (newest) {
        struct rusm__post *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct rusm__post *next = oldest->next;
        oldest->fn(oldest->arg);
        rusm__mem_free(oldest);
        oldest = next;
    }
    return true;
}

bool rusm__sched_take_inbox(struct rusm__sched *sched) {
    bool tasks = take_tasks(sched);
    bool posts = take_posts(sched);
    return tasks || posts;
}

/* ---- life ---- */

static int init_one(rusm_runtime *rt, uint32_t index, void *local) {
    struct rusm__sched *sched = &rt->scheds[index];
    sched->rt = rt;
    sched->index = index;
    sched->local = local;
    sched->qs = &rt->qs.members[index];
    rusm__random_seed(&sched->random, rusm__random_system_u64());
    rusm__run_queue_init(&sched->queue);
    rusm__wheel_init(&sched->wheel, rusm__clock_ns());
    return rusm__loop_init(&sched->loop);
}

static void fini_one(struct rusm__sched *sched) {
    rusm__loop_fini(&sched->loop);
    rusm__run_queue_fini(&sched->queue);
}

static void stop_threads(rusm_runtime *rt, uint32_t count) {
    atomic_store_explicit(&rt->stopping, true, memory_order_seq_cst);
    for (uint32_t i = 0; i < count; i++) {
        rusm__loop_wake(&rt->scheds[i].loop);
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(rt->scheds[i].thread, NULL);
    }
}

int rusm__scheds_start(rusm_runtime *rt, uint32_t count, const struct rusm__sched_hooks *hooks,
                       void **locals) {
    rt->hooks = *hooks;
    rt->sched_count = count;
    /* Over-aligned: each scheduler has cache lines of its own. */
    rt->scheds = rusm__mem_try_zalloc_aligned(count * sizeof(*rt->scheds), RUSM__CACHELINE);
    int status = rt->scheds ? rusm__qs_init(&rt->qs, count) : RUSM_ENOMEM;
    if (status) {
        rusm__mem_free(rt->scheds);
        return status;
    }
    uint32_t ready = 0;
    while (ready < count && (status = init_one(rt, ready, locals[ready])) == RUSM_OK) {
        ready++;
    }
    uint32_t running = 0;
    while (status == RUSM_OK && running < count) {
        struct rusm__sched *sched = &rt->scheds[running];
        if (pthread_create(&sched->thread, NULL, rusm__sched_main, sched) != 0) {
            status = RUSM_EIO;
        } else {
            running++;
        }
    }
    if (status) {
        stop_threads(rt, running);
        for (uint32_t i = 0; i < ready; i++) {
            fini_one(&rt->scheds[i]);
        }
        rusm__qs_fini(&rt->qs);
        rusm__mem_free(rt->scheds);
    }
    return status;
}

void rusm__scheds_stop(rusm_runtime *rt) {
    stop_threads(rt, rt->sched_count);
    for (uint32_t i = 0; i < rt->sched_count; i++) {
        fini_one(&rt->scheds[i]);
    }
    rusm__qs_fini(&rt->qs);
    rusm__mem_free(rt->scheds);
}
