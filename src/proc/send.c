/* SPDX-License-Identifier: MIT */
/* Sending that can wait for room: the sender's side of a block-sender mailbox (see valve.h). */
#include "rusm/error.h"

#include "base/mem.h"
#include "proc/proc_impl.h"

static struct rusm__extra *extra_of(const rusm_proc *self) {
    return atomic_load_explicit(&self->extra, memory_order_relaxed);
}

static struct rusm__waiter *waiter_of(const rusm_proc *self) {
    struct rusm__extra *extra = extra_of(self);
    return extra ? extra->waiter : NULL;
}

static void forget(rusm_proc *self) {
    struct rusm__extra *extra = extra_of(self);
    rusm__waiter_unref(extra->waiter);
    extra->waiter = NULL;
}

static bool still_waits(const struct rusm__waiter *waiter) {
    /* acquire: pairs with the releases in valve.c */
    return atomic_load_explicit(&waiter->state, memory_order_acquire) <= RUSM__WAIT_MOVING;
}

static struct rusm__waiter *waiter_new(rusm_proc *self, rusm_pid to, rusm_msg *msg) {
    struct rusm__extra *extra = rusm__proc_extra(self);
    struct rusm__waiter *waiter = extra ? rusm__mem_try_zalloc(sizeof(*waiter)) : NULL;
    if (waiter) {
        rusm__list_init(&waiter->node);
        atomic_init(&waiter->refs, 1);
        atomic_init(&waiter->state, RUSM__WAIT_WAITING);
        waiter->from = self->pid;
        waiter->to = to;
        waiter->load = rusm__mailbox_load_of(msg);
        waiter->msg = msg;
    }
    return waiter;
}

/* What is left to do after a push that was not refused. */
static int pushed(rusm_runtime *rt, rusm_proc *proc, enum rusm__push result) {
    if (result == RUSM__PUSH_CLOSED) {
        return RUSM_ENOPROC;
    }
    if (result == RUSM__PUSH_WAKE) {
        rusm__proc_queue(rt, proc);
    }
    rusm__count_sent(rt);
    return RUSM_OK;
}

/* There was no room a moment ago. */
static int send_or_wait(rusm_proc *self, rusm_proc *proc, rusm_msg *msg) {
    rusm_runtime *rt = rusm_proc_runtime(self);
    struct rusm__waiter *waiter = waiter_new(self, proc->pid, msg);
    if (!waiter) {
        return RUSM_ENOMEM;
    }
    enum rusm__push result = rusm__valve_wait(rt, proc, waiter);
    if (result == RUSM__PUSH_FULL) {
        extra_of(self)->waiter = waiter;
        return RUSM_EAGAIN;
    }
    rusm__waiter_unref(waiter);
    return pushed(rt, proc, result);
}

int rusm__proc_send_marked(rusm_proc *self, rusm_pid to, rusm_msg *msg) {
    rusm_runtime *rt = rusm_proc_runtime(self);
    struct rusm__waiter *before = waiter_of(self);
    if (before && still_waits(before)) {
        return RUSM_EBUSY;
    }
    rusm_proc *proc = rusm__table_find(&rt->procs->table, to);
    if (!proc || proc->mailbox.policy != RUSM_MAILBOX_BLOCK_SENDER || proc == self) {
        return rusm__msg_deliver(rt, to, msg);
    }
    if (rusm__msg_weight(msg) > proc->mailbox.max_bytes) {
        rusm__count_refused(rt, proc);
        return RUSM_ETOOBIG;
    }
    if (before) { /* nobody asked what became of it */
        rusm_msg_free(rusm_proc_send_cancel(self));
    }
    enum rusm__push result = rusm__valve_push(rt, proc, msg);
    return result == RUSM__PUSH_FULL ? send_or_wait(self, proc, msg) : pushed(rt, proc, result);
}

int rusm_proc_send(rusm_proc *self, rusm_pid to, rusm_msg *msg) {
    if (!msg || msg->tag != RUSM__TAG_DATA) {
        return RUSM_EINVAL; /* as rusm_msg_send */
    }
    msg->from = self->pid;
    rusm__msg_mark(msg, 0);
    return rusm__proc_send_marked(self, to, msg);
}

int rusm_proc_send_result(rusm_proc *self, rusm_msg **out_msg) {
    struct rusm__waiter *waiter = waiter_of(self);
    *out_msg = NULL;
    if (!waiter) {
        return RUSM_OK;
    }
    if (still_waits(waiter)) {
        return RUSM_EAGAIN;
    }
    *out_msg = rusm_proc_send_cancel(self);
    return *out_msg ? RUSM_ENOPROC : RUSM_OK;
}

rusm_msg *rusm_proc_send_cancel(rusm_proc *self) {
    struct rusm__waiter *waiter = waiter_of(self);
    if (!waiter) {
        return NULL;
    }
    rusm_msg *msg = rusm__valve_withdraw(rusm_proc_runtime(self), waiter) ? waiter->msg : NULL;
    forget(self);
    return msg;
}
