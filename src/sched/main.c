/* SPDX-License-Identifier: MIT */
/* The loop of a scheduler thread.
 *
 * Order of work: the fast lane, but at most RUSM__LANE_LIMIT times in a row: then whoever is in it
 * goes behind all that is queued, so processes that wake each other share one turn, and each of the
 * others gets its own before they are back; then what is urgent; then what is queued here, oldest
 * first; then what other threads sent; then the event loop; then other schedulers' work; then
 * sleep. Inbox, timers and the event loop are also looked at after every few runs, so nothing
 * starves behind a busy queue; then the oldest that other threads sent takes the lane if it is
 * free. A running task may run what is in the lane inside of its own turn (rusm__sched_woken). */
#include <stdio.h>

#include "base/clock.h"
#include "base/scale.h"
#include "sched/sched_impl.h"

enum {
    LOOK_EVERY = RUSM__SCALE(16, 4), /* runs between two looks at the clock and the inbox */
    POLL_EVERY_NS = 100000,          /* at most this long between two looks at the event loop */
    SWEEP_SHARE = 15, /* for each time unit of looking for the hurried, so many of something else */
};

static void fire_timers(struct rusm__sched *sched, uint64_t now) {
    struct rusm__wheel_node *node;
    while ((node = rusm__wheel_pop(&sched->wheel, now)) != NULL) {
        sched->rt->hooks.timer(sched, node);
    }
}

/* Whoever is hurried goes before all others, at once however many they are. To look at a long queue
 * takes a while, so it is done for a part of the time at most. */
static void sweep(struct rusm__sched *sched, uint64_t now) {
    if (now < sched->sweep_after_ns) {
        return;
    }
    /* acquire: the marks of the tasks; pairs with rusm__sched_hurry */
    (void)atomic_exchange_explicit(&sched->sweeps, false, memory_order_acquire);
    rusm__run_queue_sweep(&sched->queue, &sched->urgent);
    uint64_t done = rusm__clock_ns();
    sched->sweep_after_ns = done + SWEEP_SHARE * (done - now);
}

static void look_around(struct rusm__sched *sched) {
    rusm__sched_take_inbox(sched);
    uint64_t now = rusm__clock_ns();
    rusm__sched_note_delay(sched, now);
    fire_timers(sched, now);
    if (atomic_load_explicit(&sched->sweeps, memory_order_relaxed)) {
        sweep(sched, now);
    }
    if (now - sched->last_poll_ns >= POLL_EVERY_NS) {
        sched->last_poll_ns = now;
        rusm__loop_poll(&sched->loop);
    }
}

void rusm__sched_look_soon(struct rusm__sched *sched) {
    sched->runs = LOOK_EVERY;
}

struct rusm__task *rusm__sched_woken(const struct rusm__sched *sched) {
    bool looks_first = sched->runs + 1 >= LOOK_EVERY || sched->lane_runs >= RUSM__LANE_LIMIT;
    return looks_first ? NULL : sched->lane;
}

void rusm__sched_take_woken(struct rusm__sched *sched) {
    sched->lane = NULL;
    sched->lane_runs++;
    sched->runs++;
}

/* Nobody waits: no need to offer it to others. */
static bool end_lane_turn(struct rusm__sched *sched, struct rusm__task *task) {
    sched->lane_runs = 0;
    if (!sched->urgent.first && !sched->queue.pinned.first &&
        !rusm__run_queue_has_stealable(&sched->queue)) {
        return false;
    }
    sched->lane = NULL;
    rusm__sched_enqueue_local(sched, task, RUSM__READY_TAIL);
    return true;
}

static struct rusm__task *from_lane(struct rusm__sched *sched) {
    struct rusm__task *task = sched->lane;
    if (!task || (sched->lane_runs >= RUSM__LANE_LIMIT && end_lane_turn(sched, task))) {
        return NULL;
    }
    sched->lane = NULL;
    sched->lane_runs++;
    return task;
}

static struct rusm__task *from_queues(struct rusm__sched *sched) {
    struct rusm__task *task = rusm__task_list_pop(&sched->urgent);
    if (!task) {
        task = rusm__run_queue_next(&sched->queue);
    }
    sched->lane_runs = 0;
    sched->slots += task != NULL;
    return task ? task : from_lane(sched);
}

static struct rusm__task *from_here(struct rusm__sched *sched) {
    struct rusm__task *task = from_lane(sched);
    return task ? task : from_queues(sched);
}

/* Nothing queued here: look everywhere else once. */
static struct rusm__task *from_afar(struct rusm__sched *sched) {
    if (rusm__sched_take_inbox(sched)) {
        return from_here(sched);
    }
    uint64_t now = rusm__clock_ns();
    rusm__sched_note_delay(sched, now);
    fire_timers(sched, now);
    sched->last_poll_ns = now;
    rusm__loop_poll(&sched->loop);
    struct rusm__task *task = from_here(sched);
    return task ? task : rusm__sched_steal(sched);
}

static struct rusm__task *next_task(struct rusm__sched *sched) {
    if (++sched->runs >= LOOK_EVERY) {
        sched->runs = 0;
        look_around(sched);
    }
    struct rusm__task *task = from_here(sched);
    return task ? task : from_afar(sched);
}

void *rusm__sched_main(void *arg) {
    struct rusm__sched *sched = arg;
    rusm_runtime *rt = sched->rt;
    char name[16];
    snprintf(name, sizeof(name), "rusm-sched-%u", (unsigned)(sched->index % 1000));
    pthread_setname_np(pthread_self(), name);
    rusm__current_sched = sched;
    rusm__qs_online(&rt->qs, sched->qs);
    while (!atomic_load_explicit(&rt->stopping, memory_order_relaxed)) {
        struct rusm__task *task = next_task(sched);
        if (task) {
            if (atomic_load_explicit(&rt->watcher, memory_order_relaxed) == sched->index + 1) {
                rusm__sched_stop_watching(sched);
            }
            rt->hooks.run(sched, task);
        } else {
            rusm__sched_sleep(sched);
        }
        rusm__qs_quiesce(&rt->qs, sched->qs);
    }
    rusm__sched_take_inbox(sched);
    rusm__qs_offline(sched->qs);
    rusm__current_sched = NULL;
    return NULL;
}
