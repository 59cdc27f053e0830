/* SPDX-License-Identifier: MIT */
/* One turn of a process: take what arrived, step, then wait, queue again, or end. */
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "proc/proc_impl.h"

static uint32_t take_events(rusm_proc *self) {
    /* relaxed: the common case has none; a missed one is seen by the check after parking */
    if (!atomic_load_explicit(&self->events, memory_order_relaxed)) {
        return 0;
    }
    /* acquire: what the waker did before; pairs with the seq_cst or in raise_event. KILL and
     * FULL stay set, so that a body in mid-run sees it (rusm__proc_is_doomed). */
    return atomic_fetch_and_explicit(&self->events, ~RUSM__EVENT_WAKE, memory_order_acquire);
}

/* RUSM_MAILBOX_EXIT. Without memory for the text it ends without one. Apart, for its buffer would
 * cost every step a guarded stack frame. */
__attribute__((noinline, cold)) static void doom_full(rusm_proc *self) {
    char text[128];
    int len =
        snprintf(text, sizeof(text), "the mailbox is at its limit of %u messages and %llu bytes",
                 (unsigned)self->mailbox.max_messages, (unsigned long long)self->mailbox.max_bytes);
    rusm__proc_doom(self, RUSM_EXIT_CRASHED, rusm__reason_new(text, (size_t)len));
}

static void obey(rusm_proc *self, uint32_t events) {
    if (events & RUSM__EVENT_KILL) {
        rusm__proc_doom(self, RUSM_EXIT_KILLED, NULL);
    } else if ((events & RUSM__EVENT_FULL) && !self->doomed) {
        doom_full(self);
    }
}

__attribute__((noinline, cold)) static void tell_cut_off(const rusm_proc *self) {
    const struct rusm__label *label = atomic_load_explicit(&self->label, memory_order_relaxed);
    rusm__log(RUSM__LOG_WARN,
              label             ? label->text
              : self->ops->name ? self->ops->name
                                : "process",
              "stuck", "#%llu was told to end and had not after %u turns: it is cut off",
              (unsigned long long)self->pid, (unsigned)RUSM__UNWIND_TURNS);
}

/* It cannot refuse: waiting is no way out, and its turns are counted. */
static rusm_step unwind(rusm_proc *self) {
    if (!self->ops->unwind) {
        return RUSM_STEP_EXIT;
    }
    if (self->unwinds == RUSM__UNWIND_TURNS) {
        tell_cut_off(self);
        return RUSM_STEP_EXIT;
    }
    self->unwinds++;
    rusm_step result = self->ops->unwind(self, self->body);
    return result == RUSM_STEP_EXIT ? RUSM_STEP_EXIT : RUSM_STEP_AGAIN;
}

/* Inlined: bodies switch stacks, and after that no return is predicted. */
static inline __attribute__((always_inline)) rusm_step step(rusm_proc *self) {
    self->budget = RUSM__TURN_BUDGET;
    if (self->doomed) {
        return unwind(self);
    }
    rusm_step result = self->ops->step(self, self->body);
    /* It may wait only because its share of a turn was used up (rusm_proc_receive). */
    return result == RUSM_STEP_WAIT && self->budget <= 0 ? RUSM_STEP_AGAIN : result;
}

/* True: the process waits. False: something came up in between, run it again. */
static bool park(rusm_proc *self) {
    if (!rusm__mailbox_park(&self->mailbox)) {
        return false;
    }
    /* From here on the process may already run elsewhere, unless we take the mark back. Pairs with
     * raise_event in pid.c: the flag is set before the mark is looked at there, and the mark is set
     * before the flag is looked at here. */
    if (!atomic_load_explicit(&self->events, memory_order_seq_cst)) {
        return true;
    }
    return !rusm__mailbox_unpark(&self->mailbox);
}

/* A turn begins. relaxed and release: for the watchdog (look_at in watchdog.c) */
static void begin(struct rusm__proc_local *local, rusm_proc *self) {
    atomic_store_explicit(&local->steps,
                          atomic_load_explicit(&local->steps, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&local->running, self, memory_order_release);
    rusm__proc_accept_new(self);
    uint32_t events = take_events(self);
    if (events) {
        obey(self, events);
    }
}

/* A turn is over, and the process is not. */
static void wait_or_queue(struct rusm__sched *sched, rusm_proc *self, rusm_step result) {
    if (result == RUSM_STEP_AGAIN) {
        rusm__sched_look_soon(sched);
    }
    /* Doomed: an exit signal was found by rusm_proc_receive, in mid-step. */
    if (result == RUSM_STEP_AGAIN || self->doomed || !park(self)) {
        enum rusm__ready how = self->defers ? RUSM__READY_WAKE : RUSM__READY_TAIL;
        self->defers = false;
        rusm__sched_ready(rusm__sched_runtime(sched), &self->task, how);
    }
}

void rusm__proc_defer(rusm_proc *self) {
    self->defers = true;
}

void rusm__proc_run(struct rusm__sched *sched, struct rusm__task *task) {
    rusm_proc *self = (rusm_proc *)task;
    struct rusm__proc_local *local = rusm__sched_local(sched);
    begin(local, self);
    rusm_step result = step(self);
    if (result == RUSM_STEP_EXIT) {
        /* acquire: as in rusm__proc_is_doomed. A kill that came during the step stays a kill. */
        obey(self, atomic_load_explicit(&self->events, memory_order_acquire));
        rusm__proc_finish(self);
        atomic_store_explicit(&local->running, NULL, memory_order_release);
        return;
    }
    atomic_store_explicit(&local->running, NULL, memory_order_release);
    wait_or_queue(sched, self, result);
}

bool rusm__proc_run_woken(rusm_proc *self, const rusm_body_ops *ops,
                          bool (*suits)(const void *body)) {
    struct rusm__sched *sched = rusm__sched_current();
    struct rusm__proc_local *local = rusm__sched_local(sched);
    rusm_proc *woken = (rusm_proc *)rusm__sched_woken(sched);
    if (!woken || woken->ops != ops || woken->doomed || !suits(woken->body)) {
        return false;
    }
    rusm__sched_take_woken(sched);
    begin(local, woken);
    woken->defers = woken->doomed; /* its end, too */
    rusm_step result = woken->doomed ? RUSM_STEP_AGAIN : step(woken);
    RUSM_CHECK(result != RUSM_STEP_EXIT);
    atomic_store_explicit(&local->running, self, memory_order_release);
    wait_or_queue(sched, woken, result);
    return true;
}
