/* SPDX-License-Identifier: MIT */
/* What a mailbox needs whose policy is more than "refuse": made at the start of its process, under
 * a lock that only those who send to such a process and the process itself take. Mailboxes without
 * one pay a look at a pointer.
 *
 * block-sender. Sends are counted and pushed under the lock, so the bound is exact. A sender that
 * can wait leaves its message in a waiter, which stands in `waiting` in the order of arrival; who
 * makes room (the receiver that took a message, a sender that gave up) moves what fits into the
 * mailbox, and wakes its sender. So room is handed over, never raced for, and no wake can be lost.
 *
 *     WAITING ──► MOVING ──► SENT          by who holds the lock
 *        │  └───────────────► DEAD         the receiver ended; the message is the sender's again
 *        └──► WITHDRAWN                    by the sender (deadline, kill, its end)
 *
 * A waiter has two references, the sender's and the list's, and names both sides by pid: neither
 * ever follows a pointer into the other, whoever dies first.
 *
 * drop-oldest. Everything that arrives, signals too, goes into `first`, and `knock`, a message
 * that belongs to the valve, tells the receiver through the mailbox to fetch it. Beyond the bound
 * a sender frees the oldest message there. What the receiver has fetched is its own and nobody
 * else's to free, so it drops the oldest of that when it fetches more. */
#ifndef RUSM__PROC_VALVE_H
#define RUSM__PROC_VALVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/process.h"

#include "base/list.h"
#include "proc/mailbox.h"
#include "proc/msg_impl.h"

enum rusm__wait_state {
    RUSM__WAIT_WAITING,
    RUSM__WAIT_MOVING,
    RUSM__WAIT_SENT,
    RUSM__WAIT_DEAD,
    RUSM__WAIT_WITHDRAWN,
};

struct rusm__waiter {
    struct rusm__list node; /* guarded by the valve's lock */
    _Atomic uint32_t refs;
    _Atomic uint32_t state;
    rusm_pid from;
    rusm_pid to;
    uint64_t load;
    rusm_msg *msg; /* the list's from WAITING to MOVING, the sender's in DEAD and WITHDRAWN */
};

struct rusm__valve {
    pthread_mutex_t lock;
    /* Guarded by lock. */
    bool closed;
    bool knocked;              /* `knock` is on its way */
    struct rusm__list waiting; /* block-sender: oldest first; the first one does not fit */
    struct rusm_msg *first;    /* drop-oldest: what arrived, oldest first */
    struct rusm_msg **last;
    struct rusm_msg **oldest; /* there are only signals before this link */
    uint64_t load;            /* of the messages in it, as in the mailbox */
    struct rusm_msg knock;
    /* Any thread. */
    _Atomic uint64_t displaced;
    /* Receiver only; drop-oldest. */
    uint64_t own;              /* load of the messages in its own list */
    struct rusm_msg ***cursor; /* a place there that must stay good while messages are dropped */
};

/* NULL: no memory. */
struct rusm__valve *rusm__valve_new(void);
void rusm__valve_free(struct rusm__valve *valve); /* NULL is allowed */

/* As rusm__mailbox_push and _push_signal, to a process with a valve. Read section. */
enum rusm__push rusm__valve_push(rusm_runtime *rt, rusm_proc *proc, struct rusm_msg *msg);
enum rusm__push rusm__valve_push_signal(rusm_proc *proc, struct rusm_msg *msg);

/* As rusm__valve_push, but what is FULL now waits: the list takes a reference of waiter. */
enum rusm__push rusm__valve_wait(rusm_runtime *rt, rusm_proc *proc, struct rusm__waiter *waiter);
/* The message of waiter is to wait no longer. True: it is the caller's again. Read section. */
bool rusm__valve_withdraw(rusm_runtime *rt, struct rusm__waiter *waiter);
void rusm__waiter_unref(struct rusm__waiter *waiter);

/* Receiver: a message of this load was taken out of the mailbox. */
void rusm__valve_took(struct rusm__mailbox *box, uint64_t load);
/* Receiver: knock arrived. What was fetched, oldest first; then, once that is in the mailbox. */
struct rusm_msg *rusm__valve_fetch(struct rusm__mailbox *box);
void rusm__valve_trim(rusm_proc *self);
/* Receiver: the end, after the mailbox was closed. What was not fetched, oldest first. */
struct rusm_msg *rusm__valve_close(rusm_runtime *rt, struct rusm__valve *valve);

#endif
