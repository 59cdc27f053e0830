/* SPDX-License-Identifier: MIT */
#include "proc/mailbox.h"

#include "base/assert.h"
#include "proc/valve.h"

static struct rusm_msg parked_mark;
static struct rusm_msg closed_mark;
#define PARKED (&parked_mark)
#define CLOSED (&closed_mark)

uint64_t rusm__mailbox_load_of(const struct rusm_msg *msg) {
    return ((uint64_t)1 << RUSM__LOAD_SHIFT) + rusm__msg_weight(msg);
}

void rusm__mailbox_init(struct rusm__mailbox *box, uint32_t max_messages, uint64_t max_bytes) {
    atomic_init(&box->inbox, NULL);
    atomic_init(&box->arrived, 0);
    atomic_init(&box->taken, 0);
    box->max_messages =
        max_messages < RUSM__MAILBOX_MAX_MESSAGES ? max_messages : RUSM__MAILBOX_MAX_MESSAGES;
    box->max_bytes = max_bytes < RUSM__MAILBOX_MAX_BYTES ? max_bytes : RUSM__MAILBOX_MAX_BYTES;
    box->policy = RUSM_MAILBOX_REFUSE;
    box->valve = NULL;
    atomic_init(&box->refused, 0);
    box->waker = NULL;
    box->first = NULL;
    box->last = &box->first;
}

/* ---- senders ---- */

bool rusm__mailbox_unpark(struct rusm__mailbox *box) {
    struct rusm_msg *old = PARKED;
    /* acquire: the receiver's side as it was left; pairs with rusm__mailbox_park. seq_cst on
     * failure too: "not parked" must be as fresh as the event that the caller raised before; pairs
     * with rusm__mailbox_park and the look at the events after it. */
    return atomic_compare_exchange_strong_explicit(&box->inbox, &old, NULL, memory_order_seq_cst,
                                                   memory_order_seq_cst);
}

static bool is_parked(const struct rusm__mailbox *box) {
    /* relaxed: who takes the mark away decides */
    return atomic_load_explicit(&box->inbox, memory_order_relaxed) == PARKED;
}

static void set_waker(struct rusm__mailbox *box, struct rusm_msg *msg) {
    msg->next = NULL;
    box->waker = msg;
}

static enum rusm__push push(struct rusm__mailbox *box, struct rusm_msg *msg) {
    if (is_parked(box) && rusm__mailbox_unpark(box)) {
        set_waker(box, msg);
        return RUSM__PUSH_WAKE;
    }
    /* relaxed: only compared, never followed */
    struct rusm_msg *old = atomic_load_explicit(&box->inbox, memory_order_relaxed);
    do {
        if (old == CLOSED) {
            return RUSM__PUSH_CLOSED;
        }
        msg->next = old == PARKED ? NULL : old;
        /* release: publishes the message; pairs with the acquire in take and close. seq_cst for
         * the sender that goes to sleep right after (see rusm__sched_notify). */
    } while (!atomic_compare_exchange_weak_explicit(&box->inbox, &old, msg, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return old == PARKED ? RUSM__PUSH_WAKE : RUSM__PUSH_OK;
}

/* More than the limit, and not a negative number. */
static bool exceeds(uint64_t value, uint64_t limit, uint64_t range) {
    return value > limit && value <= range / 2;
}

bool rusm__mailbox_over_limit(const struct rusm__mailbox *box, uint64_t arrived) {
    /* relaxed: an old value of `taken` may refuse a message that would just have fitted; a new one
     * may hold messages that came after `arrived` was read (see the head of mailbox.h) */
    uint64_t waiting = arrived - atomic_load_explicit(&box->taken, memory_order_relaxed);
    return exceeds(waiting >> RUSM__LOAD_SHIFT, box->max_messages, RUSM__LOAD_MESSAGES) ||
           exceeds(waiting & RUSM__LOAD_BYTES, box->max_bytes, RUSM__LOAD_BYTES);
}

/* The receiver's side: change what counts as received. Only that side writes `taken`, so a load and
 * a store do. Both counters run modulo 2^64; their difference is what matters. */
static void add_taken(struct rusm__mailbox *box, uint64_t more) {
    uint64_t taken = atomic_load_explicit(&box->taken, memory_order_relaxed);
    atomic_store_explicit(&box->taken, taken + more, memory_order_relaxed);
}

/* To a process that waits: its side is ours for a moment, so no counter is shared. */
static bool push_waker(struct rusm__mailbox *box, struct rusm_msg *msg, uint64_t load) {
    if (!is_parked(box)) {
        return false;
    }
    uint64_t arrived = atomic_load_explicit(&box->arrived, memory_order_relaxed);
    if (rusm__mailbox_over_limit(box, arrived + load) || !rusm__mailbox_unpark(box)) {
        return false;
    }
    set_waker(box, msg);
    add_taken(box, -load);
    return true;
}

enum rusm__push rusm__mailbox_push(struct rusm__mailbox *box, struct rusm_msg *msg) {
    uint64_t load = rusm__mailbox_load_of(msg);
    if (rusm__msg_weight(msg) > box->max_bytes) {
        return RUSM__PUSH_FULL; /* never fits, so it must not crowd out others for a moment */
    }
    if (push_waker(box, msg, load)) {
        return RUSM__PUSH_WAKE;
    }
    /* relaxed: a count; the message itself is published by the push */
    uint64_t arrived = atomic_fetch_add_explicit(&box->arrived, load, memory_order_relaxed) + load;
    enum rusm__push result =
        rusm__mailbox_over_limit(box, arrived) ? RUSM__PUSH_FULL : push(box, msg);
    if (result >= RUSM__PUSH_CLOSED) {
        atomic_fetch_sub_explicit(&box->arrived, load, memory_order_relaxed);
    }
    return result;
}

enum rusm__push rusm__mailbox_push_signal(struct rusm__mailbox *box, struct rusm_msg *msg) {
    return push(box, msg);
}

/* ---- the receiver ---- */

static struct rusm_msg *reversed(struct rusm_msg *newest) {
    struct rusm_msg *oldest = NULL;
    while (newest) {
        struct rusm_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static struct rusm_msg *take_waker(struct rusm__mailbox *box) {
    struct rusm_msg *waker = box->waker;
    box->waker = NULL;
    return waker;
}

/* What woke the process came before everything that is in the inbox. */
static struct rusm_msg *in_order(struct rusm_msg *waker, struct rusm_msg *newest) {
    struct rusm_msg *oldest = reversed(newest);
    if (!waker) {
        return oldest;
    }
    waker->next = oldest;
    return waker;
}

struct rusm_msg *rusm__mailbox_take(struct rusm__mailbox *box) {
    struct rusm_msg *waker = take_waker(box);
    if (!atomic_load_explicit(&box->inbox, memory_order_relaxed)) {
        return waker;
    }
    /* acquire: pairs with the release in push */
    struct rusm_msg *newest = atomic_exchange_explicit(&box->inbox, NULL, memory_order_acquire);
    RUSM_ASSERT(newest != PARKED && newest != CLOSED);
    return in_order(waker, newest);
}

void rusm__mailbox_append(struct rusm__mailbox *box, struct rusm_msg *msg) {
    msg->next = NULL;
    *box->last = msg;
    box->last = &msg->next;
}

void rusm__mailbox_prepend(struct rusm__mailbox *box, struct rusm_msg *first,
                           struct rusm_msg **last) {
    *last = box->first;
    if (!box->first) {
        box->last = last;
    }
    box->first = first;
}

void rusm__mailbox_count_taken(struct rusm__mailbox *box, const struct rusm_msg *msg) {
    uint64_t load = rusm__mailbox_load_of(msg);
    add_taken(box, load);
    if (box->valve) {
        rusm__valve_took(box, load);
    }
}

struct rusm_msg *rusm__mailbox_remove(struct rusm__mailbox *box, struct rusm_msg **where) {
    struct rusm_msg *msg = *where;
    *where = msg->next;
    if (!*where) {
        box->last = where;
    }
    msg->next = NULL;
    if (rusm__msg_counts(msg)) {
        rusm__mailbox_count_taken(box, msg);
    }
    return msg;
}

struct rusm_msg *rusm__mailbox_pop(struct rusm__mailbox *box) {
    return box->first ? rusm__mailbox_remove(box, &box->first) : NULL;
}

bool rusm__mailbox_park(struct rusm__mailbox *box) {
    struct rusm_msg *old = NULL;
    /* seq_cst: whoever sets an event flag afterwards sees PARKED; see raise_event in pid.c */
    return atomic_compare_exchange_strong_explicit(&box->inbox, &old, PARKED, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

struct rusm_msg *rusm__mailbox_close(struct rusm__mailbox *box) {
    struct rusm_msg *newest = atomic_exchange_explicit(&box->inbox, CLOSED, memory_order_acq_rel);
    RUSM_ASSERT(newest != PARKED && newest != CLOSED);
    return in_order(take_waker(box), newest);
}

uint32_t rusm__mailbox_depth(const struct rusm__mailbox *box) {
    uint64_t taken = atomic_load_explicit(&box->taken, memory_order_relaxed);
    uint64_t arrived = atomic_load_explicit(&box->arrived, memory_order_relaxed);
    uint64_t messages = (arrived - taken) >> RUSM__LOAD_SHIFT;
    /* A torn pair can look negative: then it was about empty. */
    return messages > RUSM__LOAD_MESSAGES / 2 ? 0 : (uint32_t)messages;
}

bool rusm__mailbox_has_new(const struct rusm__mailbox *box) {
    return atomic_load_explicit(&box->inbox, memory_order_relaxed) != NULL;
}
