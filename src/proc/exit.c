/* SPDX-License-Identifier: MIT */
/* The one place where a process ends:
 *
 *     free names and tags ─► log ─► drop the body ─► end what other folders keep with it
 *       ─► leave the table ─► close the mailbox ─► give the place back ─► downs ─► links
 *       ─► own monitors ─► memory
 *
 * Names and the body's resources are back before anybody can learn of the end, be it from a look-up
 * that finds nobody (a monitor that answers "noproc"); the place among max_processes is back before
 * anybody is told. Monitors and links that were on their way are told with the others. Mail that
 * arrives until the mailbox is closed is dropped with the rest. */
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

void rusm__proc_doom(rusm_proc *self, rusm_exit_kind kind, struct rusm__reason *reason) {
    if (self->doomed) {
        rusm__reason_unref(reason);
        return;
    }
    self->doomed = true;
    self->exit_kind = (uint8_t)kind;
    rusm__reason_unref(self->exit_reason);
    self->exit_reason = reason;
}

static void free_words(rusm_proc *self, struct rusm__procs *procs, struct rusm__qs_member *qs) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    if (extra) {
        rusm__registry_leave_all(&procs->names, qs, &extra->names);
        rusm__registry_leave_all(&procs->tags, qs, &extra->tags);
    }
}

/* What went wrong is told of everybody, an end as it should be of those who asked for it. */
static void log_end(const rusm_proc *self) {
    enum rusm__log_level level = self->exit_kind == RUSM_EXIT_NORMAL   ? RUSM__LOG_INFO
                                 : self->exit_kind == RUSM_EXIT_KILLED ? RUSM__LOG_WARN
                                                                       : RUSM__LOG_ERROR;
    if ((level != RUSM__LOG_ERROR && !self->logged) || self->muted || !rusm__log_wants(level)) {
        return;
    }
    const char *text = self->exit_reason ? self->exit_reason->text : "";
    rusm__log(level, "rusm", "exit", "%s#%llu  %s%s%s", rusm__proc_name(self),
              (unsigned long long)self->pid, rusm_exit_kind_name((rusm_exit_kind)self->exit_kind),
              *text ? ": " : "", text);
}

static void tell_down(rusm_proc *self, rusm_runtime *rt, struct rusm__signal *record) {
    rusm__signal_notify_down(rt, record, self->pid, (rusm_exit_kind)self->exit_kind,
                             self->exit_reason);
}

static void tell_exit(rusm_proc *self, rusm_runtime *rt, struct rusm__signal *record) {
    rusm__signal_notify_exit(rt, record, self->pid, (rusm_exit_kind)self->exit_kind,
                             self->exit_reason);
}

static void tell_all(rusm_proc *self, rusm_runtime *rt, struct rusm__records *records,
                     void (*tell)(rusm_proc *, rusm_runtime *, struct rusm__signal *)) {
    struct rusm__signal *record;
    while ((record = rusm__records_pop(records)) != NULL) {
        tell(self, rt, record);
    }
}

/* Requests of this kind that were on their way get the answer that they would have got a moment
 * later. Returns the rest. */
static struct rusm_msg *
tell_late(rusm_proc *self, rusm_runtime *rt, struct rusm_msg *late, enum rusm__tag tag,
          void (*tell)(rusm_proc *, rusm_runtime *, struct rusm__signal *)) {
    struct rusm_msg **where = &late;
    while (*where) {
        struct rusm_msg *msg = *where;
        if (msg->tag == tag) {
            *where = msg->next;
            tell(self, rt, (struct rusm__signal *)msg);
        } else {
            where = &msg->next;
        }
    }
    return late;
}

/* First all downs, then all links: who has both on us hears of it in this order. Returns what of
 * `late` was no request. */
static struct rusm_msg *tell_watchers(rusm_proc *self, rusm_runtime *rt, struct rusm__extra *extra,
                                      struct rusm_msg *late) {
    if (extra) {
        tell_all(self, rt, &extra->watchers, tell_down);
    }
    late = tell_late(self, rt, late, RUSM__TAG_MONITOR, tell_down);
    if (extra) {
        tell_all(self, rt, &extra->links, tell_exit);
    }
    return tell_late(self, rt, late, RUSM__TAG_LINK, tell_exit);
}

/* Monitors that this process had set: the records become the requests to forget them. */
static void forget_watched(rusm_runtime *rt, struct rusm__extra *extra) {
    struct rusm__signal *record;
    while ((record = rusm__records_pop(&extra->watched)) != NULL) {
        record->head.tag = RUSM__TAG_DEMONITOR;
        rusm__signal_send(rt, record->peer, record);
    }
}

/* Frees all and counts the messages: those of the mailbox, not what was stashed, for that had been
 * received. */
static uint64_t free_list(struct rusm_msg *msg) {
    uint64_t messages = 0;
    while (msg) {
        struct rusm_msg *next = msg->next;
        messages += rusm__msg_is_unread(msg);
        if (msg->tag != RUSM__TAG_KNOCK) { /* that is the valve's */
            rusm_msg_free(msg);
        }
        msg = next;
    }
    return messages;
}

/* Everything that nobody received. */
static struct rusm_msg *close_mailbox(rusm_proc *self, rusm_runtime *rt) {
    struct rusm_msg *late = rusm__mailbox_close(&self->mailbox);
    if (self->mailbox.valve) {
        struct rusm_msg **last = &late;
        while (*last) {
            last = &(*last)->next;
        }
        *last = rusm__valve_close(rt, self->mailbox.valve);
    }
    return late;
}

static void end_holdings(rusm_proc *self) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    struct rusm__holding *at = extra ? extra->holdings : NULL;
    while (at) {
        struct rusm__holding *next = at->next;
        at->end(at, (rusm_exit_kind)self->exit_kind);
        at = next;
    }
}

static void reclaim(struct rusm__qs_node *node) {
    rusm_proc *proc = (rusm_proc *)((char *)node - offsetof(rusm_proc, qs));
    struct rusm__extra *extra = atomic_load_explicit(&proc->extra, memory_order_relaxed);
    if (extra) {
        rusm__records_fini(&extra->watched);
        rusm__records_fini(&extra->watchers);
        rusm__records_fini(&extra->links);
        rusm__mem_free(extra);
    }
    if (proc->mailbox.valve) {
        rusm__valve_free(proc->mailbox.valve);
    }
    rusm__mem_free(atomic_load_explicit(&proc->label, memory_order_relaxed));
    rusm__reason_unref(proc->exit_reason);
    rusm__mem_free(proc);
}

void rusm__proc_finish(rusm_proc *self) {
    struct rusm__sched *sched = rusm__sched_current();
    rusm_runtime *rt = rusm__sched_runtime(sched);
    struct rusm__proc_local *local = rusm__sched_local(sched);
    struct rusm__procs *procs = rt->procs;
    struct rusm__qs_member *qs = rusm__sched_qs(sched);

    self->doomed = true; /* whatever `drop` does, the reason stays */
    free_words(self, procs, qs);
    log_end(self);
    if (self->wake_ns != UINT64_MAX) {
        rusm_timer_cancel(rt, self->wake_timer);
    }
    if (self->ops->drop) {
        self->ops->drop(self->body);
    }
    end_holdings(self);
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    if (extra && extra->waiter) {
        rusm_msg_free(rusm_proc_send_cancel(self));
    }
    rusm__table_hide(&procs->table, self->pid);
    struct rusm_msg *late = close_mailbox(self, rt);
    rusm__table_give(&procs->table, &local->slots, self->pid);
    rusm__count(&local->exited, 1);
    uint64_t dropped = free_list(tell_watchers(self, rt, extra, late));
    if (extra) {
        forget_watched(rt, extra);
        free_list(extra->stash_first);
    }
    dropped += free_list(self->mailbox.first);
    if (dropped) {
        rusm__count(&local->dropped, dropped);
    }
    rusm__qs_retire(&rt->qs, qs, &self->qs, reclaim);
}
