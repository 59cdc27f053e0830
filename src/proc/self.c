/* SPDX-License-Identifier: MIT */
/* What a process does to itself: its mail, its timer, its words, its label. */
#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proc/label.h"
#include "proc/proc_impl.h"

rusm_pid rusm_proc_pid(const rusm_proc *self) {
    return self->pid;
}

rusm_runtime *rusm_proc_runtime(const rusm_proc *self) {
    (void)self; /* a process runs on a scheduler of its runtime */
    return rusm__sched_runtime(rusm__sched_current());
}

void *rusm__proc_body(rusm_proc *self) {
    return self->body;
}

bool rusm__proc_is_doomed(const rusm_proc *self) {
    return self->doomed || (atomic_load_explicit(&self->events, memory_order_acquire) &
                            (RUSM__EVENT_KILL | RUSM__EVENT_FULL));
}

bool rusm__proc_should_yield(const rusm_proc *self) {
    return rusm__mailbox_has_new(&self->mailbox) || rusm__sched_has_work(rusm__sched_current());
}

bool rusm_proc_should_yield(const rusm_proc *self) {
    enum { LOOK_EVERY = 64 };
    struct rusm__sched *sched = rusm__sched_current();
    struct rusm__proc_local *local = rusm__sched_local(sched);
    return rusm__proc_is_doomed(self) ||
           (++local->checks % LOOK_EVERY == 0 && rusm__sched_has_work(sched));
}

const char *rusm__proc_label(const rusm_proc *self) {
    return rusm__proc_name(self);
}

rusm_exit_kind rusm__proc_exit(const rusm_proc *self, const char **out_text) {
    *out_text = self->exit_reason ? self->exit_reason->text : "";
    return (rusm_exit_kind)self->exit_kind;
}

void rusm__proc_mute(rusm_proc *self) {
    self->muted = true;
}

uint32_t rusm__proc_mail_depth(const rusm_proc *self) {
    return rusm__mailbox_depth(&self->mailbox);
}

/* ---- mail ---- */

rusm_msg *rusm__proc_receive(rusm_proc *self) {
    rusm_msg *msg = rusm__mailbox_pop(&self->mailbox);
    if (msg || !rusm__mailbox_has_new(&self->mailbox)) {
        return msg;
    }
    /* Something came while we ran: take it without giving up the turn. */
    rusm__proc_accept_new(self);
    /* An exit signal among it ends us at the next turn; mail is not handed out any more. */
    return self->doomed ? NULL : rusm__mailbox_pop(&self->mailbox);
}

rusm_msg *rusm_proc_receive(rusm_proc *self) {
    bool bounded = self->budget > 0;
    /* A fiber that asks here, instead of waiting, has nobody to ask it again. */
    if (!bounded && !rusm__proc_is_fiber(self)) {
        return NULL;
    }
    rusm_msg *msg = rusm__proc_receive(self);
    if (msg && bounded) {
        self->budget = (int16_t)(self->budget - RUSM__COST_CALL);
    }
    return msg;
}

rusm_msg *rusm__proc_receive_kinds(rusm_proc *self, unsigned kinds) {
    rusm__proc_accept_new(self);
    struct rusm_msg **where = &self->mailbox.first;
    while (*where && !(kinds & RUSM__KIND((*where)->tag))) {
        where = &(*where)->next;
    }
    return *where && !self->doomed ? rusm__mailbox_remove(&self->mailbox, where) : NULL;
}

void rusm_proc_stash(rusm_proc *self, rusm_msg *msg) {
    struct rusm__extra *extra = rusm__proc_extra(self);
    msg->next = NULL;
    msg->flags |= RUSM__MSG_TAKEN;
    if (!extra) { /* no memory for the list: it stays the next to be received */
        rusm__mailbox_prepend(&self->mailbox, msg, &msg->next);
        return;
    }
    *extra->stash_last = msg;
    extra->stash_last = &msg->next;
}

void rusm_proc_unstash(rusm_proc *self) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    if (extra && extra->stash_first) {
        rusm__mailbox_prepend(&self->mailbox, extra->stash_first, extra->stash_last);
        extra->stash_first = NULL;
        extra->stash_last = &extra->stash_first;
    }
}

void rusm_proc_trap_exit(rusm_proc *self, bool trap) {
    atomic_store_explicit(&self->trap_exit, trap, memory_order_relaxed);
}

/* ---- time ---- */

static void cancel_wake(rusm_proc *self) {
    if (self->wake_ns != UINT64_MAX) {
        rusm_timer_cancel(rusm_proc_runtime(self), self->wake_timer);
        self->wake_ns = UINT64_MAX;
    }
}

static int wake_at(rusm_proc *self, uint64_t deadline_ns) {
    /* The same again, and it cannot have fired yet; one that has fired is to fire again. */
    if (deadline_ns == self->wake_ns &&
        (deadline_ns == UINT64_MAX || rusm__clock_ns() < deadline_ns)) {
        return RUSM_OK;
    }
    cancel_wake(self);
    if (deadline_ns == UINT64_MAX) {
        return RUSM_OK;
    }
    int status =
        rusm__timer_wake(rusm_proc_runtime(self), deadline_ns, self->pid, &self->wake_timer);
    if (status == RUSM_OK) {
        self->wake_ns = deadline_ns;
    }
    return status;
}

int rusm_proc_wake_at(rusm_proc *self, uint64_t deadline_ns) {
    atomic_store_explicit(&self->is_due_at_wake, false, memory_order_relaxed);
    return wake_at(self, deadline_ns);
}

/* Who has moved takes its timer along. */
int rusm__proc_due_at(rusm_proc *self, uint64_t deadline_ns) {
    if (!rusm__timer_is_here(rusm_proc_runtime(self), self->wake_timer)) {
        cancel_wake(self);
    }
    atomic_store_explicit(&self->is_due_at_wake, true, memory_order_relaxed);
    return wake_at(self, deadline_ns);
}

/* ---- words ---- */

static struct rusm__qs_member *own_qs(void) {
    return rusm__sched_qs(rusm__sched_current());
}

int rusm_proc_register(rusm_proc *self, const char *name, size_t len) {
    if (!rusm__is_word(name, len)) {
        return RUSM_EINVAL;
    }
    struct rusm__extra *extra = rusm__proc_extra(self);
    return extra ? rusm__registry_join(&rusm_proc_runtime(self)->procs->names, own_qs(), name, len,
                                       self->pid, &extra->names)
                 : RUSM_ENOMEM;
}

int rusm_proc_unregister(rusm_proc *self, const char *name, size_t len) {
    if (!rusm__is_word(name, len)) {
        return RUSM_EINVAL;
    }
    struct rusm__registry *names = &rusm_proc_runtime(self)->procs->names;
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    int status =
        extra ? rusm__registry_leave(names, own_qs(), name, len, &extra->names) : RUSM_ENOTFOUND;
    rusm_pid holder;
    if (status == RUSM_ENOTFOUND && rusm__registry_find(names, name, len, &holder, 1)) {
        return RUSM_EPERM;
    }
    return status;
}

int rusm_proc_join(rusm_proc *self, const char *tag, size_t len) {
    if (!rusm__is_word(tag, len)) {
        return RUSM_EINVAL;
    }
    struct rusm__extra *extra = rusm__proc_extra(self);
    int status = extra ? rusm__registry_join(&rusm_proc_runtime(self)->procs->tags, own_qs(), tag,
                                             len, self->pid, &extra->tags)
                       : RUSM_ENOMEM;
    return status == RUSM_EEXIST ? RUSM_OK : status;
}

void rusm_proc_leave(rusm_proc *self, const char *tag, size_t len) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    if (extra && rusm__is_word(tag, len)) {
        rusm__registry_leave(&rusm_proc_runtime(self)->procs->tags, own_qs(), tag, len,
                             &extra->tags);
    }
}

static uint32_t count_own(struct rusm__member *_Atomic *own) {
    uint32_t count = 0;
    /* relaxed: only the process itself changes its list */
    struct rusm__member *at = atomic_load_explicit(own, memory_order_relaxed);
    for (; at; at = atomic_load_explicit(&at->own_next, memory_order_relaxed)) {
        count++;
    }
    return count;
}

uint32_t rusm__proc_word_count(const rusm_proc *self) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    return extra ? count_own(&extra->names) + count_own(&extra->tags) : 0;
}

/* ---- label ---- */

static void reclaim_label(struct rusm__qs_node *node) {
    rusm__mem_free(node);
}

int rusm_proc_set_label(rusm_proc *self, const char *text, size_t len) {
    if (!text && len) {
        return RUSM_EINVAL;
    }
    struct rusm__label *fresh = rusm__label_new(text, len);
    if (!fresh) {
        return RUSM_ENOMEM;
    }
    /* acq_rel: readers see the whole label; only we replace it */
    struct rusm__label *old = atomic_exchange_explicit(&self->label, fresh, memory_order_acq_rel);
    if (old) {
        rusm__qs_retire(&rusm_proc_runtime(self)->qs, own_qs(), &old->qs, reclaim_label);
    }
    return RUSM_OK;
}

/* ---- holdings ---- */

int rusm__proc_hold(rusm_proc *self, struct rusm__holding *holding) {
    struct rusm__extra *extra = rusm__proc_extra(self);
    if (!extra) {
        return RUSM_ENOMEM;
    }
    holding->next = extra->holdings;
    extra->holdings = holding;
    return RUSM_OK;
}

struct rusm__holding *rusm__proc_held(const rusm_proc *self,
                                      void (*end)(struct rusm__holding *holding,
                                                  rusm_exit_kind kind)) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    struct rusm__holding *at = extra ? extra->holdings : NULL;
    while (at && at->end != end) {
        at = at->next;
    }
    return at;
}
