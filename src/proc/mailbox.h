/* SPDX-License-Identifier: MIT */
/* A mailbox: many senders, one receiver, bounded in messages and bytes.
 *
 *     inbox ──► newest ──► ... ──► oldest        pushed by anybody, one compare-and-swap each
 *     mail  ──► oldest ──► ... ──► newest        the receiver's own list, filled in one exchange
 *
 * Instead of a message `inbox` can hold a mark:
 *   NULL     nothing new; the process runs or is queued, so nobody needs to wake it
 *   PARKED   nothing new and the process waits: who replaces this mark must queue it
 *   CLOSED   the process has ended
 *
 * Who takes PARKED away has the receiver's side to itself until it queues the process. So a message
 * to a process that waits goes into `waker` instead of the inbox and is counted on the receiver's
 * side: a request and its reply cost one compare-and-swap to wake and one to wait, each.
 *
 * Bounds: senders add to `arrived` before they push; the receiver publishes in `taken` what it has
 * received. The difference is what waits. A sender's own sum can be older than the `taken` that it
 * reads, which makes the difference negative; so limits reach a quarter of what the counters hold,
 * half of it is room for negative values, and the last quarter for senders that are being refused.
 * A message that wakes is counted a moment after it has won, so each thread that sends in that
 * moment may bring one more than the limit.
 * Signals, and replies to calls, count nothing and are never refused. */
#ifndef RUSM__PROC_MAILBOX_H
#define RUSM__PROC_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/runtime.h"

#include "proc/msg_impl.h"

struct rusm__valve;

/* Messages in the upper 24 bits, bytes in the lower 40, so one addition counts both. */
enum { RUSM__LOAD_SHIFT = 40 };
#define RUSM__LOAD_BYTES           (((uint64_t)1 << RUSM__LOAD_SHIFT) - 1)
#define RUSM__LOAD_MESSAGES        (UINT64_MAX >> RUSM__LOAD_SHIFT)
#define RUSM__MAILBOX_MAX_MESSAGES ((uint32_t)(RUSM__LOAD_MESSAGES / 4))
#define RUSM__MAILBOX_MAX_BYTES    (RUSM__LOAD_BYTES / 4)
_Static_assert(RUSM__MAILBOX_MAX_MESSAGES == RUSM_MAILBOX_MAX_MESSAGES &&
                   RUSM__MAILBOX_MAX_BYTES == RUSM_MAILBOX_MAX_BYTES,
               "what the public header promises");

struct rusm__mailbox {
    /* Any thread. */
    _Atomic(struct rusm_msg *) inbox;
    _Atomic uint64_t arrived;
    /* Written by the receiver, read by senders. */
    _Atomic uint64_t taken;
    uint64_t max_bytes;
    uint32_t max_messages;
    uint8_t policy;            /* rusm_mailbox_policy, never DEFAULT */
    struct rusm__valve *valve; /* what the policy needs; NULL: nothing. See valve.h */
    _Atomic uint64_t refused;  /* any thread, rarely */
    /* The receiver's side. */
    struct rusm_msg *waker; /* what woke the process, until it is taken */
    struct rusm_msg *first;
    struct rusm_msg **last; /* where the next one is linked */
};

enum rusm__push { RUSM__PUSH_OK, RUSM__PUSH_WAKE, RUSM__PUSH_CLOSED, RUSM__PUSH_FULL };

/* Policy refuse; the caller sets another one. */
void rusm__mailbox_init(struct rusm__mailbox *box, uint32_t max_messages, uint64_t max_bytes);

/* Any thread. WAKE: pushed, and the caller must queue the process. CLOSED and FULL: not taken. */
enum rusm__push rusm__mailbox_push(struct rusm__mailbox *box, struct rusm_msg *msg);
enum rusm__push rusm__mailbox_push_signal(struct rusm__mailbox *box, struct rusm_msg *msg);
/* Would more than the limit wait after `arrived`? */
bool rusm__mailbox_over_limit(const struct rusm__mailbox *box, uint64_t arrived);
/* What a message adds to `arrived`. */
uint64_t rusm__mailbox_load_of(const struct rusm_msg *msg);
/* Any thread: turn PARKED into NULL. True: the caller must queue the process. */
bool rusm__mailbox_unpark(struct rusm__mailbox *box);

/* Receiver: everything new, oldest first; NULL if there is nothing. */
struct rusm_msg *rusm__mailbox_take(struct rusm__mailbox *box);
/* Receiver: append to the own list, or put in front of it. */
void rusm__mailbox_append(struct rusm__mailbox *box, struct rusm_msg *msg);
void rusm__mailbox_prepend(struct rusm__mailbox *box, struct rusm_msg *first,
                           struct rusm_msg **last);
/* Receiver: the next of the own list, no longer counted. */
struct rusm_msg *rusm__mailbox_pop(struct rusm__mailbox *box);
/* Receiver: as pop, for the message that *where of the own list links. */
struct rusm_msg *rusm__mailbox_remove(struct rusm__mailbox *box, struct rusm_msg **where);
/* Receiver: count a message as received. */
void rusm__mailbox_count_taken(struct rusm__mailbox *box, const struct rusm_msg *msg);
/* Receiver: mark as waiting. False: something new is there. */
bool rusm__mailbox_park(struct rusm__mailbox *box);
/* Receiver: the end. Everything that was not taken, oldest first. */
struct rusm_msg *rusm__mailbox_close(struct rusm__mailbox *box);

/* Any thread: how many messages wait. A moment's truth. */
uint32_t rusm__mailbox_depth(const struct rusm__mailbox *box);
/* Receiver, after a take: has anything come since? */
bool rusm__mailbox_has_new(const struct rusm__mailbox *box);

#endif
