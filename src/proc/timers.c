/* SPDX-License-Identifier: MIT */
#include "proc/timers.h"

#include <string.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

enum { OUTSIDE = 255 };
#define ARMED       ((uint64_t)1)
#define FIRST_STATE ((uint64_t)1 << 32)

static uint64_t generation_of(uint64_t state) {
    return state >> 32;
}

static rusm_timer id_of(const struct rusm__timer *timer, uint64_t state) {
    return generation_of(state) << 32 | (uint64_t)timer->index << 8 | timer->owner;
}

static struct rusm__timer_slab *slab_of(rusm_runtime *rt, uint8_t owner) {
    if (owner != OUTSIDE && owner >= rt->sched_count) {
        return NULL;
    }
    return &rt->procs->locals[owner == OUTSIDE ? rt->sched_count : owner].timers;
}

/* ---- cargo ---- */

static struct rusm__timer_cargo cargo_of(const struct rusm__timer *timer) {
    return (struct rusm__timer_cargo){
        .to = timer->to, .msg = timer->msg, .to_name = timer->to_name};
}

static void free_name(const struct rusm__timer_cargo *cargo) {
    if (cargo->to_name) {
        rusm__mem_free(cargo->to.name);
    }
}

static void free_cargo(const struct rusm__timer_cargo *cargo) {
    free_name(cargo);
    rusm_msg_free(cargo->msg);
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
        atomic_init(&chunk[i].state, FIRST_STATE);
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

/* The next user of the place gets a new generation. Owner, or the outside lock. */
static void give(struct rusm__timer_slab *slab, struct rusm__timer *timer) {
    uint64_t state = atomic_load_explicit(&timer->state, memory_order_relaxed);
    uint64_t next = (generation_of(state) + 1) << 32;
    atomic_store_explicit(&timer->state, next ? next : FIRST_STATE, memory_order_relaxed);
    timer->next = slab->free;
    slab->free = timer;
}

void rusm__timer_slab_fini(struct rusm__timer_slab *slab) {
    _Atomic(struct rusm__timer *) *chunks =
        atomic_load_explicit(&slab->chunks, memory_order_relaxed);
    for (uint32_t i = 0; i < slab->count; i++) {
        struct rusm__timer *timer = at(slab, i);
        if (atomic_load_explicit(&timer->state, memory_order_relaxed) & ARMED) {
            struct rusm__timer_cargo cargo = cargo_of(timer);
            free_cargo(&cargo);
        }
    }
    for (uint32_t i = 0; i < slab->count / RUSM__TIMER_CHUNK; i++) {
        rusm__mem_free(atomic_load_explicit(&chunks[i], memory_order_relaxed));
    }
    rusm__mem_free(chunks);
}

/* ---- arming ---- */

static rusm_timer mark_armed(struct rusm__timer *timer, const struct rusm__timer_cargo *cargo) {
    timer->to = cargo->to;
    timer->msg = cargo->msg;
    timer->to_name = cargo->to_name;
    uint64_t state = atomic_load_explicit(&timer->state, memory_order_relaxed) | ARMED;
    /* release: publishes the cargo to a canceller; pairs with the swap in rusm_timer_cancel */
    atomic_store_explicit(&timer->state, state, memory_order_release);
    return id_of(timer, state);
}

/* Owner: take out of the wheel what others cancelled. The outside slab: with its lock. */
static void collect_cancelled(struct rusm__timer_slab *slab) {
    if (!atomic_load_explicit(&slab->cancelled, memory_order_relaxed)) {
        return;
    }
    /* acquire: pairs with the release in hand_to_owner */
    struct rusm__timer *timer =
        atomic_exchange_explicit(&slab->cancelled, NULL, memory_order_acquire);
    while (timer) {
        struct rusm__timer *next = timer->next;
        rusm__wheel_cancel(&timer->node);
        give(slab, timer);
        timer = next;
    }
}

static int arm_here(struct rusm__sched *sched, uint64_t deadline_ns,
                    const struct rusm__timer_cargo *cargo, rusm_timer *out_timer) {
    struct rusm__proc_local *local = rusm__sched_local(sched);
    collect_cancelled(&local->timers);
    struct rusm__timer *timer = take(&local->timers, (uint8_t)rusm__sched_index(sched));
    if (!timer) {
        return RUSM_ENOMEM;
    }
    *out_timer = mark_armed(timer, cargo);
    rusm__wheel_arm(rusm__sched_wheel(sched), &timer->node, deadline_ns);
    return RUSM_OK;
}

/* ---- plain threads: armed on scheduler 0 by a posted call ---- */

struct request {
    rusm_runtime *rt;
    struct rusm__timer *timer;
    rusm_timer id;
    uint64_t deadline_ns;
};

static void give_outside(rusm_runtime *rt, struct rusm__timer *timer) {
    pthread_mutex_lock(&rt->procs->outside_lock);
    give(slab_of(rt, OUTSIDE), timer);
    pthread_mutex_unlock(&rt->procs->outside_lock);
}

/* On scheduler 0. The timer may have been cancelled meanwhile, and even be somebody else's. */
static void arm_posted(void *arg) {
    struct request *request = arg;
    struct rusm__timer *timer = request->timer;
    rusm_runtime *rt = request->rt;
    /* acquire: what the arming thread wrote */
    uint64_t state = atomic_load_explicit(&timer->state, memory_order_acquire);
    if ((state & ARMED) && id_of(timer, state) == request->id) {
        rusm__wheel_arm(rusm__sched_wheel(rusm__sched_get(rt, 0)), &timer->node,
                        request->deadline_ns);
    }
    rusm__mem_free(request);
    pthread_mutex_lock(&rt->procs->outside_lock);
    collect_cancelled(slab_of(rt, OUTSIDE));
    pthread_mutex_unlock(&rt->procs->outside_lock);
}

static int arm_outside(rusm_runtime *rt, uint64_t deadline_ns,
                       const struct rusm__timer_cargo *cargo, rusm_timer *out_timer) {
    struct request *request = rusm__mem_try_alloc(sizeof(*request));
    pthread_mutex_lock(&rt->procs->outside_lock);
    struct rusm__timer *timer = request ? take(slab_of(rt, OUTSIDE), OUTSIDE) : NULL;
    pthread_mutex_unlock(&rt->procs->outside_lock);
    if (!timer) {
        rusm__mem_free(request);
        return RUSM_ENOMEM;
    }
    *request = (struct request){.rt = rt, .timer = timer, .deadline_ns = deadline_ns};
    request->id = *out_timer = mark_armed(timer, cargo);
    int status = rusm__sched_post(rt, 0, arm_posted, request);
    if (status) {
        *out_timer = 0;
        atomic_fetch_and_explicit(&timer->state, ~ARMED, memory_order_relaxed);
        give_outside(rt, timer);
        rusm__mem_free(request);
    }
    return status;
}

static int arm(rusm_runtime *rt, uint64_t deadline_ns, const struct rusm__timer_cargo *cargo,
               rusm_timer *out_timer) {
    struct rusm__sched *sched = rusm__sched_current_of(rt);
    struct rusm__proc_local *local = sched ? rusm__sched_local(sched) : NULL;
    cargo->msg->from = rusm__running_pid(local);
    rusm__msg_mark(cargo->msg, 0);
    return sched ? arm_here(sched, deadline_ns, cargo, out_timer)
                 : arm_outside(rt, deadline_ns, cargo, out_timer);
}

int rusm_timer_send(rusm_runtime *rt, uint64_t deadline_ns, rusm_pid to, rusm_msg *msg,
                    rusm_timer *out_timer) {
    struct rusm__timer_cargo cargo = {.to.pid = to, .msg = msg};
    *out_timer = 0;
    if (msg->tag != RUSM__TAG_DATA) {
        return RUSM_EINVAL; /* as rusm_msg_send */
    }
    return arm(rt, deadline_ns, &cargo, out_timer);
}

int rusm_timer_send_name(rusm_runtime *rt, uint64_t deadline_ns, const char *name, size_t len,
                         rusm_msg *msg, rusm_timer *out_timer) {
    struct rusm__timer_cargo cargo = {.msg = msg, .to_name = true};
    *out_timer = 0;
    if (msg->tag != RUSM__TAG_DATA || !rusm__is_word(name, len)) {
        return RUSM_EINVAL;
    }
    cargo.to.name = rusm__mem_try_alloc(sizeof(*cargo.to.name) + len);
    if (!cargo.to.name) {
        return RUSM_ENOMEM;
    }
    cargo.to.name->len = (uint32_t)len;
    memcpy(cargo.to.name->text, name, len);
    int status = arm(rt, deadline_ns, &cargo, out_timer);
    if (status) {
        free_name(&cargo);
    }
    return status;
}

int rusm__timer_wake(rusm_runtime *rt, uint64_t deadline_ns, rusm_pid to, rusm_timer *out_timer) {
    struct rusm__timer_cargo cargo = {.to.pid = to};
    return arm_here(rusm__sched_current_of(rt), deadline_ns, &cargo, out_timer);
}

/* ---- the end of a timer ---- */

static void hand_to_owner(struct rusm__timer_slab *slab, struct rusm__timer *timer) {
    timer->next = atomic_load_explicit(&slab->cancelled, memory_order_relaxed);
    /* release: pairs with the exchange in collect_cancelled */
    while (!atomic_compare_exchange_weak_explicit(&slab->cancelled, &timer->next, timer,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

/* True, and the cargo is ours, if the timer was armed under this id. */
static bool disarm(struct rusm__timer *timer, rusm_timer id, struct rusm__timer_cargo *out_cargo) {
    uint64_t state = generation_of(id) << 32 | ARMED;
    /* acquire: what the arming thread wrote */
    if (!atomic_compare_exchange_strong_explicit(&timer->state, &state, state & ~ARMED,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return false;
    }
    *out_cargo = cargo_of(timer);
    return true;
}

/* The calling thread may change the slab and the wheel that the timer is in. The outside slab's
 * free list needs a lock besides, so its timers always go through the list. */
static bool is_owner(const rusm_runtime *rt, uint8_t owner) {
    struct rusm__sched *here = rusm__sched_current_of(rt);
    return here && owner == rusm__sched_index(here);
}

bool rusm__timer_is_here(const rusm_runtime *rt, rusm_timer id) {
    return is_owner(rt, (uint8_t)id);
}

bool rusm_timer_cancel(rusm_runtime *rt, rusm_timer id) {
    uint8_t owner = (uint8_t)id;
    struct rusm__timer_slab *slab = slab_of(rt, owner);
    struct rusm__timer *timer = slab ? at(slab, (uint32_t)(id & UINT32_MAX) >> 8) : NULL;
    struct rusm__timer_cargo cargo;
    if (!timer || !disarm(timer, id, &cargo)) {
        return false;
    }
    free_cargo(&cargo);
    if (is_owner(rt, owner)) {
        rusm__wheel_cancel(&timer->node);
        give(slab, timer);
    } else {
        hand_to_owner(slab, timer);
    }
    return true;
}

static void deliver(rusm_runtime *rt, const struct rusm__timer_cargo *cargo) {
    rusm_pid to = cargo->to_name ? rusm_name_whereis(rt, cargo->to.name->text, cargo->to.name->len)
                                 : cargo->to.pid;
    if (!cargo->msg) {
        rusm__proc_ring(rt, to);
    } else if (rusm__msg_deliver(rt, to, cargo->msg) != RUSM_OK) {
        rusm_msg_free(cargo->msg); /* dead, or refused and counted */
    }
    free_name(cargo);
}

void rusm__timer_fire(struct rusm__sched *sched, struct rusm__wheel_node *node) {
    rusm_runtime *rt = rusm__sched_runtime(sched);
    struct rusm__timer *timer = rusm__list_entry(node, struct rusm__timer, node);
    struct rusm__timer_cargo cargo;
    uint64_t state = atomic_load_explicit(&timer->state, memory_order_relaxed);
    if (!(state & ARMED) || !disarm(timer, id_of(timer, state), &cargo)) {
        return; /* its canceller puts it on our list */
    }
    if (timer->owner == OUTSIDE) {
        give_outside(rt, timer);
    } else {
        give(slab_of(rt, timer->owner), timer);
    }
    deliver(rt, &cargo);
}
