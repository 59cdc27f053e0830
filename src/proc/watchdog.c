/* SPDX-License-Identifier: MIT */
#include "proc/watchdog.h"

#include "rusm/error.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "proc/proc_impl.h"

enum { LOOKS_PER_LIMIT = 4 };

/* ---- looking ---- */

/* In a read section that began before `proc` was read: a process that runs is not freed before its
 * scheduler's next quiescent point, which comes after `running` was cleared. */
static void report(struct rusm__watchdog *dog, const rusm_proc *proc, uint64_t ran_ns) {
    rusm__log(RUSM__LOG_WARN, rusm__proc_name(proc), "stuck", "#%llu has not yielded for %llu ms",
              (unsigned long long)proc->pid, (unsigned long long)(ran_ns / RUSM__MS));
    atomic_fetch_add_explicit(&dog->reported, 1, memory_order_relaxed);
}

/* A step that began before `since_ns` and still runs. */
static void look_at(struct rusm__watchdog *dog, const struct rusm__proc_local *local,
                    struct rusm__watch_mark *mark, uint64_t now) {
    /* acquire: what the process was made of; pairs with the release in rusm__proc_run. The count
     * is raised before `running` is set, so a process that is seen with the old count has run since
     * then. */
    const rusm_proc *proc = atomic_load_explicit(&local->running, memory_order_acquire);
    uint64_t steps = atomic_load_explicit(&local->steps, memory_order_relaxed);
    if (!proc || steps != mark->steps) {
        *mark = (struct rusm__watch_mark){.steps = steps, .since_ns = now};
    } else if (!mark->reported && now - mark->since_ns >= dog->limit_ns) {
        mark->reported = true;
        report(dog, proc, now - mark->since_ns);
    }
}

static void look(rusm_runtime *rt) {
    struct rusm__watchdog *dog = &rt->procs->watchdog;
    bool joined = rusm__read_begin(rt);
    uint64_t now = rusm__clock_ns();
    for (uint32_t i = 0; i < rt->sched_count; i++) {
        look_at(dog, &rt->procs->locals[i], &dog->marks[i], now);
    }
    rusm__read_end(rt, joined);
}

/* ---- the thread ---- */

/* Nobody has been awake since the last look. A load with pauses does not count as idle, so that its
 * every request need not wake us. */
static bool is_idle(rusm_runtime *rt) {
    struct rusm__watchdog *dog = &rt->procs->watchdog;
    uint64_t before = dog->sleeps;
    dog->sleeps = 0;
    for (uint32_t i = 0; i < rt->sched_count; i++) {
        dog->sleeps += rusm__sched_sleeps(rusm__sched_get(rt, i));
    }
    return rusm__scheds_are_idle(rt) && dog->sleeps == before;
}

/* With the lock. */
static void sleep_while_idle(rusm_runtime *rt) {
    struct rusm__watchdog *dog = &rt->procs->watchdog;
    /* seq_cst: we say that we sleep, then look who is awake; who wakes up says so, then looks
     * whether we sleep (rusm__sched_sleep). One of the two sees the other. */
    atomic_store_explicit(&rt->watchdog_sleeps, true, memory_order_seq_cst);
    if (!rusm__scheds_are_idle(rt)) {
        atomic_store_explicit(&rt->watchdog_sleeps, false, memory_order_relaxed);
        return;
    }
    while (!dog->stopping && atomic_load_explicit(&rt->watchdog_sleeps, memory_order_relaxed)) {
        pthread_cond_wait(&dog->changed, &dog->lock);
    }
}

static void pause_between(struct rusm__watchdog *dog) {
    uint64_t until_ns = rusm__clock_ns() + dog->limit_ns / LOOKS_PER_LIMIT;
    if (!dog->stopping) {
        rusm__cond_wait_until(&dog->changed, &dog->lock, until_ns);
    }
}

static void *watch(void *arg) {
    rusm_runtime *rt = arg;
    struct rusm__watchdog *dog = &rt->procs->watchdog;
    pthread_mutex_lock(&dog->lock);
    while (!dog->stopping) {
        if (is_idle(rt)) {
            sleep_while_idle(rt);
        }
        pause_between(dog);
        pthread_mutex_unlock(&dog->lock);
        look(rt);
        pthread_mutex_lock(&dog->lock);
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

/* ---- life ---- */

void rusm__watchdog_wake(rusm_runtime *rt) {
    struct rusm__watchdog *dog = &rt->procs->watchdog;
    pthread_mutex_lock(&dog->lock);
    atomic_store_explicit(&rt->watchdog_sleeps, false, memory_order_relaxed);
    pthread_cond_signal(&dog->changed);
    pthread_mutex_unlock(&dog->lock);
}

static void fini(struct rusm__watchdog *dog) {
    dog->limit_ns = 0;
    pthread_cond_destroy(&dog->changed);
    pthread_mutex_destroy(&dog->lock);
    rusm__mem_free(dog->marks);
}

int rusm__watchdog_start(rusm_runtime *rt, uint64_t limit_ns) {
    struct rusm__watchdog *dog = &rt->procs->watchdog;
    if (!limit_ns) {
        return RUSM_OK;
    }
    dog->marks = rusm__mem_try_zalloc(rt->sched_count * sizeof(*dog->marks));
    if (!dog->marks) {
        return RUSM_ENOMEM;
    }
    rusm__cond_init_monotonic(&dog->changed);
    pthread_mutex_init(&dog->lock, NULL);
    dog->limit_ns = limit_ns;
    int status = rusm__thread_start(&dog->thread, "rusm-watch", watch, rt);
    if (status) {
        fini(dog);
    }
    return status;
}

void rusm__watchdog_stop(rusm_runtime *rt) {
    struct rusm__watchdog *dog = &rt->procs->watchdog;
    if (!dog->limit_ns) {
        return;
    }
    pthread_mutex_lock(&dog->lock);
    dog->stopping = true;
    pthread_cond_signal(&dog->changed);
    pthread_mutex_unlock(&dog->lock);
    pthread_join(dog->thread, NULL);
}

void rusm__watchdog_fini(rusm_runtime *rt) {
    if (rt->procs->watchdog.limit_ns) {
        fini(&rt->procs->watchdog);
    }
}
