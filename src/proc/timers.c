/* SPDX-License-Identifier: MIT */
#include "proc/timers.h"

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

enum { OUTSIDE = 255 };
#define ARMED ((uint64_t)1)

static uint64_t generation_of(uint64_t state) {
    return state >> 32;
}

static rusm_timer id_of(const struct rusm__timer *timer, uint64_t state) {
    return generation_of(state) << 32 | (uint64_t)timer->index << 8 | timer->owner;
}

static struct rusm__timer_slab *slab_of(rusm_runtime *rt, uint8_t owner) {
    uint32_t index = owner == OUTSIDE ? rt->sched_count : owner;
    return index <= rt->sched_count ? &rt->procs->locals[index].timers : NULL;
}

/* ---- the slab ---- */

static struct rusm__timer *at(struct rusm__timer_slab *slab, uint32_t index) {
    /* acquire, twice: pairs with the releases in add_chunk */
    _Atomic(struct rusm__timer *) *chunks =
        atomic_load_explicit(&slab->chunks, memory_order_acquire);
    if (!chunks || index / RUSM__TIMER_CHUNK >= RUSM__TIMER_CHUNKS) {
        return NULL;
    }
    struct rusm__timer *chunk =
        atomic_load_explicit(&chunks[index / RUSM__TIMER_CHUNK], memory_order_acquire);
    return chunk ? &chunk[index % RUSM__TIMER_CHUNK] : NULL;
}

static bool add_chunk(struct rusm__timer_slab *slab, uint8_t owner) {
    _Atomic(struct rusm__timer *) *chunks =
        atomic_load_explicit(&slab->chunks, memory_order_relaxed);
    if (!chunks) {
        chunks = rusm__mem_try_zalloc(RUSM__TIMER_CHUNKS * sizeof(*chunks));
        if (!chunks) {
            return false;
        }
        atomic_store_explicit(&slab->chunks, chunks, memory_order_release);
    }
    uint32_t number = slab->count / RUSM__TIMER_CHUNK;
    if (number == RUSM__TIMER_CHUNKS) {
        return false;
    }
    struct rusm__timer *chunk = rusm__mem_try_zalloc(RUSM__TIMER_CHUNK * sizeof(*chunk));
    if (!chunk) {
        return false;
    }
    for (uint32_t i = RUSM__TIMER_CHUNK; i-- > 0;) {
        chunk[i].index = slab->count + i;
        chunk[i].owner = owner;
        chunk[i].next = slab->free;
        rusm__wheel_node_init(&chunk[i].node);
        slab->free = &chunk[i];
    }
    slab->count += RUSM__TIMER_CHUNK;
    atomic_store_explicit(&chunks[number], chunk, memory_order_release);
    return true;
}

static struct rusm__timer *take(struct rusm__timer_slab *slab, uint8_t owner) {
    if (!slab->free && !add_chunk(slab, owner)) {
        return NULL;
    }
    struct rusm__timer *timer = slab->free;
    slab->free = timer->next;
    return timer;
}

/* The next user of the place gets a new generation. Owner. */
static void give(struct rusm__timer_slab *slab, struct rusm__timer *timer) {
    uint64_t state = atomic_load_explicit(&timer->state, memory_order_relaxed);
    atomic_store_explicit(&timer->state, (generation_of(state) + 1) << 32, memory_order_relaxed);
    timer->next = slab->free;
    slab->free = timer;
}

void rusm__timer_slab_fini(struct rusm__timer_slab *slab) {
    _Atomic(struct rusm__timer *) *chunks =
        atomic_load_explicit(&slab->chunks, memory_order_relaxed);
    for (uint32_t i = 0; i < slab->count; i++) {
        struct rusm__timer *timer = at(slab, i);
        if (atomic_load_explicit(&timer->state, memory_order_relaxed) & ARMED) {
            rusm_msg_free(timer->msg);
        }
    }
    for (uint32_t i = 0; i < slab->count / RUSM__TIMER_CHUNK; i++) {
        rusm__mem_free(atomic_load_explicit(&chunks[i], memory_order_relaxed));
    }
    rusm__mem_free(chunks);
}

/* ---- arming ---- */

static rusm_timer mark_armed(struct rusm__timer *timer, rusm_pid to, rusm_msg *msg) {
    timer->to = to;
    timer->msg = msg;
    uint64_t state = atomic_load_explicit(&timer->state, memory_order_relaxed) | ARMED;
    /* release: publishes msg to a canceller; pairs with the swap in rusm_timer_cancel */
    atomic_store_explicit(&timer->state, state, memory_order_release);
    return id_of(timer, state);
}

static void collect_cancelled(struct rusm__timer_slab *slab) {
    if (!atomic_load_explicit(&slab->cancelled, memory_order_relaxed)) {
        return;
    }
    struct rusm__timer *timer =
        atomic_exchange_explicit(&slab->cancelled, NULL, memory_order_acquire);
    while (timer) {
        struct rusm__timer *next = timer->next;
        rusm__wheel_cancel(&timer->node);
        give(slab, timer);
        timer = next;
    }
}

static int arm_here(struct rusm__sched *sched, uint64_t deadline_ns, rusm_pid to, rusm_msg *msg,
                    rusm_timer *out_timer) {
    struct rusm__proc_local *local = rusm__sched_local(sched);
    collect_cancelled(&local->timers);
    struct rusm__timer *timer = take(&local->timers, (uint8_t)rusm__sched_index(sched));
    if (!timer) {
        return RUSM_ENOMEM;
    }
    *out_timer = mark_armed(timer, to, msg);
    rusm__wheel_arm(rusm__sched_wheel(sched), &timer->node, deadline_ns);
    return RUSM_OK;
}

/* ---- plain threads: armed on scheduler 0 by a posted call ---- */

struct request {
    rusm_runtime *rt;
    struct rusm__timer *timer;
    uint64_t deadline_ns;
};

static void give_outside(rusm_runtime *rt, struct rusm__timer *timer) {
    pthread_mutex_lock(&rt->procs->outside_lock);
    give(slab_of(rt, OUTSIDE), timer);
    pthread_mutex_unlock(&rt->procs->outside_lock);
}

static void arm_posted(void *arg) {
    struct request *request = arg;
    struct rusm__timer *timer = request->timer;
    rusm__wheel_arm(rusm__sched_wheel(rusm__sched_get(request->rt, 0)), &timer->node,
                    request->deadline_ns);
    rusm__mem_free(request);
}

static int arm_outside(rusm_runtime *rt, uint64_t deadline_ns, rusm_pid to, rusm_msg *msg,
                       rusm_timer *out_timer) {
    struct request *request = rusm__mem_try_alloc(sizeof(*request));
    pthread_mutex_lock(&rt->procs->outside_lock);
    struct rusm__timer *timer = request ? take(slab_of(rt, OUTSIDE), OUTSIDE) : NULL;
    pthread_mutex_unlock(&rt->procs->outside_lock);
    if (!timer) {
        rusm__mem_free(request);
        return RUSM_ENOMEM;
    }
    *request = (struct request){.rt = rt, .timer = timer, .deadline_ns = deadline_ns};
    *out_timer = mark_armed(timer, to, msg);
    int status = rusm__sched_post(rt, 0, arm_posted, request);
    if (status) {
        atomic_fetch_and_explicit(&timer->state, ~ARMED, memory_order_relaxed);
        give_outside(rt, timer);
        rusm__mem_free(request);
    }
    return status;
}

int rusm_timer_send(rusm_runtime *rt, uint64_t deadline_ns, rusm_pid to, rusm_msg *msg,
                    rusm_timer *out_timer) {
    *out_timer = 0;
    struct rusm__sched *sched = rusm__sched_current_of(rt);
    struct rusm__proc_local *local = sched ? rusm__sched_local(sched) : NULL;
    msg->from = local && local->running ? local->running->pid : 0;
    msg->flags = 0;
    return sched ? arm_here(sched, deadline_ns, to, msg, out_timer)
                 : arm_outside(rt, deadline_ns, to, msg, out_timer);
}

int rusm__timer_wake(rusm_runtime *rt, uint64_t deadline_ns, rusm_pid to, rusm_timer *out_timer) {
    return arm_here(rusm__sched_current_of(rt), deadline_ns, to, NULL, out_timer);
}

/* ---- the end of a timer ---- */

static void hand_to_owner(struct rusm__timer_slab *slab, struct rusm__timer *timer) {
    timer->next = atomic_load_explicit(&slab->cancelled, memory_order_relaxed);
    /* release: pairs with the exchange in collect_cancelled */
    while (!atomic_compare_exchange_weak_explicit(&slab->cancelled, &timer->next, timer,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

/* True, and *out_msg is ours, if the timer was armed under this id. */
static bool disarm(struct rusm__timer *timer, rusm_timer id, rusm_msg **out_msg) {
    uint64_t state = generation_of(id) << 32 | ARMED;
    /* acquire: what the arming thread wrote */
    if (!atomic_compare_exchange_strong_explicit(&timer->state, &state, state & ~ARMED,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return false;
    }
    *out_msg = timer->msg;
    return true;
}

/* It stays in the wheel until it is due: rusm__timer_fire gives it back, under the same lock, so
 * the message is read before the place can have a new user. */
static bool cancel_outside(rusm_runtime *rt, struct rusm__timer *timer, rusm_timer id) {
    rusm_msg *msg = NULL;
    pthread_mutex_lock(&rt->procs->outside_lock);
    bool ours = disarm(timer, id, &msg);
    pthread_mutex_unlock(&rt->procs->outside_lock);
    rusm_msg_free(msg);
    return ours;
}

bool rusm_timer_cancel(rusm_runtime *rt, rusm_timer id) {
    uint8_t owner = (uint8_t)id;
    struct rusm__timer_slab *slab = slab_of(rt, owner);
    struct rusm__timer *timer = slab ? at(slab, (uint32_t)(id & UINT32_MAX) >> 8) : NULL;
    if (!timer) {
        return false;
    }
    if (owner == OUTSIDE) {
        return cancel_outside(rt, timer, id);
    }
    rusm_msg *msg = NULL;
    if (!disarm(timer, id, &msg)) {
        return false;
    }
    rusm_msg_free(msg);
    struct rusm__sched *here = rusm__sched_current_of(rt);
    if (here && owner == rusm__sched_index(here)) {
        rusm__wheel_cancel(&timer->node);
        give(slab, timer);
    } else {
        hand_to_owner(slab, timer);
    }
    return true;
}

static void deliver(rusm_runtime *rt, rusm_pid to, rusm_msg *msg) {
    if (!msg) {
        rusm__proc_wake(rt, to);
        return;
    }
    if (rusm__msg_deliver(rt, to, msg) != RUSM_OK) {
        rusm_msg_free(msg); /* dead, or refused and counted */
    }
}

void rusm__timer_fire(struct rusm__sched *sched, struct rusm__wheel_node *node) {
    rusm_runtime *rt = rusm__sched_runtime(sched);
    struct rusm__timer *timer = rusm__list_entry(node, struct rusm__timer, node);
    uint64_t state = atomic_load_explicit(&timer->state, memory_order_relaxed);
    /* acquire: what the arming thread wrote */
    bool ours = (state & ARMED) &&
                atomic_compare_exchange_strong_explicit(&timer->state, &state, state & ~ARMED,
                                                        memory_order_acquire, memory_order_relaxed);
    rusm_pid to = timer->to;
    rusm_msg *msg = timer->msg;
    if (timer->owner == OUTSIDE) {
        give_outside(rt, timer);
    } else if (ours) {
        give(slab_of(rt, timer->owner), timer);
    } /* else its canceller has put it on our list */
    if (ours) {
        deliver(rt, to, msg);
    }
}
