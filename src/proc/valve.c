/* SPDX-License-Identifier: MIT */
#include "proc/valve.h"

#include "base/assert.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

struct rusm__valve *rusm__valve_new(void) {
    struct rusm__valve *valve = rusm__mem_try_zalloc(sizeof(*valve));
    if (valve) {
        pthread_mutex_init(&valve->lock, NULL);
        rusm__list_init(&valve->waiting);
        valve->last = valve->oldest = &valve->first;
        valve->knock.tag = RUSM__TAG_KNOCK;
    }
    return valve;
}

void rusm__valve_free(struct rusm__valve *valve) {
    if (valve) {
        RUSM_ASSERT(!valve->first && rusm__list_is_empty(&valve->waiting));
        pthread_mutex_destroy(&valve->lock);
        rusm__mem_free(valve);
    }
}

static void free_chain(struct rusm_msg *msg) {
    while (msg) {
        struct rusm_msg *next = msg->next;
        rusm_msg_free(msg);
        msg = next;
    }
}

/* ---- waiters ---- */

static struct rusm__waiter *waiter_of(struct rusm__list *node) {
    return rusm__list_entry(node, struct rusm__waiter, node);
}

void rusm__waiter_unref(struct rusm__waiter *waiter) {
    /* acq_rel: the last one sees that the other is done with it */
    if (atomic_fetch_sub_explicit(&waiter->refs, 1, memory_order_acq_rel) == 1) {
        rusm__mem_free(waiter);
    }
}

/* acquire and release: who leaves WAITING sees, and hands on, the message */
static bool leave_waiting(struct rusm__waiter *waiter, enum rusm__wait_state state) {
    uint32_t waiting = RUSM__WAIT_WAITING;
    return atomic_compare_exchange_strong_explicit(&waiter->state, &waiting, state,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* Without the lock: wake the senders of those that were moved into `told`. */
static void wake_all(rusm_runtime *rt, struct rusm__list *told) {
    struct rusm__list *node;
    while ((node = rusm__list_pop_front(told)) != NULL) {
        rusm__proc_wake(rt, waiter_of(node)->from);
        rusm__waiter_unref(waiter_of(node));
    }
}

/* ---- block-sender; all with the lock ---- */

static bool fits(const struct rusm__mailbox *box, uint64_t load) {
    /* relaxed, here and below: `arrived` of such a mailbox changes under the lock only; `taken` is
     * as new as the receiver's last turn at the lock, which follows each of its changes */
    uint64_t arrived = atomic_load_explicit(&box->arrived, memory_order_relaxed);
    return !rusm__mailbox_over_limit(box, arrived + load);
}

static enum rusm__push push_counted(struct rusm__mailbox *box, struct rusm_msg *msg,
                                    uint64_t load) {
    enum rusm__push result = rusm__mailbox_push_signal(box, msg);
    if (result < RUSM__PUSH_CLOSED) {
        uint64_t arrived = atomic_load_explicit(&box->arrived, memory_order_relaxed);
        atomic_store_explicit(&box->arrived, arrived + load, memory_order_relaxed);
    }
    return result;
}

static enum rusm__push push_if_room(rusm_proc *proc, struct rusm_msg *msg) {
    struct rusm__mailbox *box = &proc->mailbox;
    uint64_t load = rusm__mailbox_load_of(msg);
    if (box->valve->closed) {
        return RUSM__PUSH_CLOSED;
    }
    if (!rusm__list_is_empty(&box->valve->waiting) || !fits(box, load)) {
        return RUSM__PUSH_FULL;
    }
    return push_counted(box, msg, load);
}

/* Move what fits from `waiting` into the mailbox. True: the receiver must be queued. */
static bool admit(rusm_runtime *rt, struct rusm__mailbox *box, struct rusm__list *told) {
    struct rusm__list *waiting = &box->valve->waiting;
    bool wake = false;
    while (!rusm__list_is_empty(waiting) && fits(box, waiter_of(waiting->next)->load)) {
        struct rusm__waiter *waiter = waiter_of(rusm__list_pop_front(waiting));
        if (!leave_waiting(waiter, RUSM__WAIT_MOVING)) {
            rusm__waiter_unref(waiter); /* withdrawn a moment ago */
            continue;
        }
        enum rusm__push result = push_counted(box, waiter->msg, waiter->load);
        if (result == RUSM__PUSH_CLOSED) { /* it ends, and comes for the others in a moment */
            atomic_store_explicit(&waiter->state, RUSM__WAIT_DEAD, memory_order_release);
        } else {
            wake = wake || result == RUSM__PUSH_WAKE;
            rusm__count_sent(rt);
            /* release: who reads SENT sends after this message; pairs with the acquire in
             * rusm_proc_send_result */
            atomic_store_explicit(&waiter->state, RUSM__WAIT_SENT, memory_order_release);
        }
        rusm__list_push_back(told, &waiter->node);
    }
    return wake;
}

/* ---- drop-oldest; all with the lock ---- */

static void append(struct rusm__valve *valve, struct rusm_msg *msg) {
    msg->next = NULL;
    *valve->last = msg;
    valve->last = &msg->next;
}

static bool is_over(const struct rusm__mailbox *box, uint64_t load) {
    return load >> RUSM__LOAD_SHIFT > box->max_messages ||
           (load & RUSM__LOAD_BYTES) > box->max_bytes;
}

/* Unlinked. There is one, for nothing else is counted in `load`. */
static struct rusm_msg *take_oldest(struct rusm__valve *valve) {
    while (!rusm__msg_counts(*valve->oldest)) {
        valve->oldest = &(*valve->oldest)->next;
    }
    struct rusm_msg *msg = *valve->oldest;
    *valve->oldest = msg->next;
    if (!msg->next) {
        valve->last = valve->oldest;
    }
    return msg;
}

/* What is beyond the bound, as a chain. */
static struct rusm_msg *displace(struct rusm__mailbox *box, uint64_t *out_count) {
    struct rusm_msg *chain = NULL;
    *out_count = 0;
    while (is_over(box, box->valve->load)) {
        struct rusm_msg *msg = take_oldest(box->valve);
        uint64_t load = rusm__mailbox_load_of(msg);
        box->valve->load -= load;
        atomic_fetch_sub_explicit(&box->arrived, load, memory_order_relaxed);
        msg->next = chain;
        chain = msg;
        ++*out_count;
    }
    return chain;
}

static enum rusm__push knock(struct rusm__mailbox *box) {
    if (box->valve->knocked) {
        return RUSM__PUSH_OK;
    }
    box->valve->knocked = true;
    return rusm__mailbox_push_signal(box, &box->valve->knock);
}

static enum rusm__push push_and_displace(rusm_runtime *rt, rusm_proc *proc, struct rusm_msg *msg) {
    struct rusm__mailbox *box = &proc->mailbox;
    struct rusm__valve *valve = box->valve;
    uint64_t load = rusm__mailbox_load_of(msg), count = 0;
    struct rusm_msg *chain = NULL;
    enum rusm__push result = RUSM__PUSH_CLOSED;
    pthread_mutex_lock(&valve->lock);
    if (!valve->closed) {
        append(valve, msg);
        valve->load += load;
        atomic_fetch_add_explicit(&box->arrived, load, memory_order_relaxed);
        chain = displace(box, &count);
        result = knock(box);
        /* Closed, but the receiver has not come for the lock yet: it drops what is here. */
        result = result == RUSM__PUSH_CLOSED ? RUSM__PUSH_OK : result;
    }
    pthread_mutex_unlock(&valve->lock);
    if (chain) {
        atomic_fetch_add_explicit(&valve->displaced, count, memory_order_relaxed);
        rusm__count_displaced(rt, count);
        free_chain(chain);
    }
    return result;
}

/* ---- both ---- */

enum rusm__push rusm__valve_push(rusm_runtime *rt, rusm_proc *proc, struct rusm_msg *msg) {
    struct rusm__mailbox *box = &proc->mailbox;
    if (rusm__msg_weight(msg) > box->max_bytes) {
        return RUSM__PUSH_FULL; /* as in rusm__mailbox_push */
    }
    if (box->policy == RUSM_MAILBOX_DROP_OLDEST) {
        return push_and_displace(rt, proc, msg);
    }
    pthread_mutex_lock(&box->valve->lock);
    enum rusm__push result = push_if_room(proc, msg);
    pthread_mutex_unlock(&box->valve->lock);
    return result;
}

enum rusm__push rusm__valve_push_signal(rusm_proc *proc, struct rusm_msg *msg) {
    struct rusm__valve *valve = proc->mailbox.valve;
    enum rusm__push result = RUSM__PUSH_CLOSED;
    pthread_mutex_lock(&valve->lock);
    if (!valve->closed) {
        append(valve, msg);
        result = knock(&proc->mailbox);
        result = result == RUSM__PUSH_CLOSED ? RUSM__PUSH_OK : result; /* it is answered late */
    }
    pthread_mutex_unlock(&valve->lock);
    return result;
}

enum rusm__push rusm__valve_wait(rusm_runtime *rt, rusm_proc *proc, struct rusm__waiter *waiter) {
    struct rusm__valve *valve = proc->mailbox.valve;
    (void)rt;
    pthread_mutex_lock(&valve->lock);
    enum rusm__push result = push_if_room(proc, waiter->msg);
    if (result == RUSM__PUSH_FULL) {
        atomic_fetch_add_explicit(&waiter->refs, 1, memory_order_relaxed);
        rusm__list_push_back(&valve->waiting, &waiter->node);
    }
    pthread_mutex_unlock(&valve->lock);
    return result;
}

bool rusm__valve_withdraw(rusm_runtime *rt, struct rusm__waiter *waiter) {
    if (!leave_waiting(waiter, RUSM__WAIT_WITHDRAWN)) {
        /* acquire: pairs with the releases in leave_waiting and admit */
        return atomic_load_explicit(&waiter->state, memory_order_acquire) == RUSM__WAIT_DEAD;
    }
    rusm_proc *proc = rusm__table_find(&rt->procs->table, waiter->to);
    if (!proc) {
        return true; /* its end empties the list */
    }
    struct rusm__valve *valve = proc->mailbox.valve;
    struct rusm__list told;
    rusm__list_init(&told);
    pthread_mutex_lock(&valve->lock);
    bool linked = !rusm__list_is_empty(&waiter->node);
    rusm__list_unlink(&waiter->node);
    bool wake = admit(rt, &proc->mailbox, &told); /* smaller ones may have stood behind it */
    pthread_mutex_unlock(&valve->lock);
    if (linked) {
        rusm__waiter_unref(waiter);
    }
    if (wake) {
        rusm__proc_queue(rt, proc);
    }
    wake_all(rt, &told);
    return true;
}

/* ---- the receiver ---- */

void rusm__valve_took(struct rusm__mailbox *box, uint64_t load) {
    if (box->policy == RUSM_MAILBOX_DROP_OLDEST) {
        box->valve->own -= load;
        return;
    }
    rusm_runtime *rt = rusm__sched_runtime(rusm__sched_current());
    struct rusm__list told;
    rusm__list_init(&told);
    pthread_mutex_lock(&box->valve->lock);
    bool wake = admit(rt, box, &told);
    pthread_mutex_unlock(&box->valve->lock);
    RUSM_ASSERT(!wake); /* we are running */
    (void)wake;
    wake_all(rt, &told);
}

struct rusm_msg *rusm__valve_fetch(struct rusm__mailbox *box) {
    struct rusm__valve *valve = box->valve;
    pthread_mutex_lock(&valve->lock);
    struct rusm_msg *first = valve->first;
    valve->knocked = false;
    valve->first = NULL;
    valve->last = valve->oldest = &valve->first;
    valve->own += valve->load;
    valve->load = 0;
    pthread_mutex_unlock(&valve->lock);
    return first;
}

/* Drop the message that *where links, and keep the receiver's place. */
static void drop_at(rusm_proc *self, struct rusm_msg **where) {
    struct rusm_msg ***cursor = self->mailbox.valve->cursor;
    if (cursor && *cursor == &(*where)->next) {
        *cursor = where;
    }
    rusm_msg_free(rusm__mailbox_remove(&self->mailbox, where));
}

/* What senders add meanwhile has its own bound, so the count of what is our own is enough. */
void rusm__valve_trim(rusm_proc *self) {
    struct rusm__mailbox *box = &self->mailbox;
    struct rusm_msg **where = &box->first;
    uint64_t count = 0;
    while (is_over(box, box->valve->own)) {
        while (!rusm__msg_counts(*where)) {
            where = &(*where)->next;
        }
        drop_at(self, where);
        count++;
    }
    if (count) {
        atomic_fetch_add_explicit(&box->valve->displaced, count, memory_order_relaxed);
        rusm__count_displaced(rusm_proc_runtime(self), count);
    }
}

struct rusm_msg *rusm__valve_close(rusm_runtime *rt, struct rusm__valve *valve) {
    struct rusm__list told;
    struct rusm__list *node;
    rusm__list_init(&told);
    pthread_mutex_lock(&valve->lock);
    valve->closed = true;
    struct rusm_msg *rest = valve->first;
    valve->first = NULL;
    valve->last = valve->oldest = &valve->first;
    while ((node = rusm__list_pop_front(&valve->waiting)) != NULL) {
        if (leave_waiting(waiter_of(node), RUSM__WAIT_DEAD)) {
            rusm__list_push_back(&told, node);
        } else {
            rusm__waiter_unref(waiter_of(node));
        }
    }
    pthread_mutex_unlock(&valve->lock);
    wake_all(rt, &told);
    return rest;
}
