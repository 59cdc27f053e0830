/* SPDX-License-Identifier: MIT */
/* Monitors, links and exit signals. A process changes only its own side and tells the other side
 * with a signal; signals ride the mailbox, so they keep their order with messages.
 *
 * A link is one record at each side. A record knows the id of the link call made here
 * (head.ref) and of the one made by the peer (peer_ref), 0 = none: both sides may link at the same
 * time. Unlinking names the ids that it takes back. If the peer has linked again meanwhile, its
 * newer id is not among them and the link stays, at both sides alike. */
#include <string.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

enum { REASON_MAX_BYTES = 4096 };

/* As strnlen, which gcc warns of when it sees through to a caller's shorter array. */
static size_t text_bytes(const char *text) {
    size_t bytes = 0;
    while (bytes < REASON_MAX_BYTES && text[bytes]) {
        bytes++;
    }
    return bytes;
}

uint64_t rusm__ref_new(rusm_proc *self) {
    (void)self;
    struct rusm__sched *sched = rusm__sched_current();
    struct rusm__proc_local *local = rusm__sched_local(sched);
    return ((uint64_t)rusm__sched_index(sched) + 1) << 48 | ++local->next_ref;
}

bool rusm__signal_send(rusm_runtime *rt, rusm_pid to, struct rusm__signal *signal) {
    rusm_proc *proc = rusm__table_find(&rt->procs->table, to);
    enum rusm__push result = proc ? rusm__proc_push_signal(proc, &signal->head) : RUSM__PUSH_CLOSED;
    if (result == RUSM__PUSH_CLOSED) {
        rusm_msg_free(&signal->head);
        return false;
    }
    if (result == RUSM__PUSH_WAKE) {
        rusm__proc_queue(rt, proc);
    }
    return true;
}

static void notify(rusm_runtime *rt, struct rusm__signal *record, enum rusm__tag tag, rusm_pid dead,
                   rusm_exit_kind kind, struct rusm__reason *reason) {
    rusm_pid to = record->peer ? record->peer : record->head.from;
    rusm__mem_free(record->spare); /* of a request; a record is in no set any more */
    record->spare = NULL;
    record->head.tag = (uint8_t)tag;
    record->head.exit_kind = (uint8_t)kind;
    record->head.from = dead;
    record->reason = rusm__reason_ref(reason);
    rusm__signal_send(rt, to, record);
}

void rusm__signal_notify_down(rusm_runtime *rt, struct rusm__signal *record, rusm_pid dead,
                              rusm_exit_kind kind, struct rusm__reason *reason) {
    notify(rt, record, RUSM__TAG_DOWN, dead, kind, reason);
}

void rusm__signal_notify_exit(rusm_runtime *rt, struct rusm__signal *record, rusm_pid dead,
                              rusm_exit_kind kind, struct rusm__reason *reason) {
    record->head.flags = RUSM__MSG_LINKED;
    notify(rt, record, RUSM__TAG_EXIT, dead, kind, reason);
}

/* ---- arriving ---- */

/* Where the records go: what is there already, or what the request brought. */
static struct rusm__extra *adopt_extra(rusm_proc *self, struct rusm__signal *request) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    struct rusm__extra *spare = request->spare;
    request->chain = NULL;
    if (extra) {
        rusm__mem_free(spare);
        return extra;
    }
    RUSM_CHECK(spare);
    /* release: as in rusm__proc_extra */
    atomic_store_explicit(&self->extra, spare, memory_order_release);
    return spare;
}

static void accept_monitor(rusm_proc *self, struct rusm__signal *signal) {
    struct rusm__extra *extra = adopt_extra(self, signal);
    signal->peer = signal->head.from;
    rusm__records_add(&extra->watchers, signal);
}

/* The reference of a monitor that was made at spawn is its spawner's choice, and may be that of
 * another monitor: there is at most one such, and it stays. */
static struct rusm__signal *remove_watcher(struct rusm__extra *extra, uint64_t ref) {
    struct rusm__signal *record = rusm__records_remove(&extra->watchers, ref);
    if (record && (record->head.flags & RUSM__MSG_UNCHECKED)) {
        struct rusm__signal *chosen = record;
        record = rusm__records_remove(&extra->watchers, ref);
        rusm__records_add(&extra->watchers, chosen);
    }
    return record;
}

static void accept_demonitor(rusm_proc *self, struct rusm__signal *signal) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    if (extra) {
        rusm__mem_free(remove_watcher(extra, signal->head.ref));
    }
    rusm_msg_free(&signal->head);
}

static void accept_link(rusm_proc *self, struct rusm__signal *signal) {
    struct rusm__extra *extra = adopt_extra(self, signal);
    struct rusm__signal *record = rusm__records_find(&extra->links, signal->head.from);
    if (record) {
        record->peer_ref = signal->head.ref;
        rusm_msg_free(&signal->head);
        return;
    }
    signal->peer = signal->head.from;
    signal->peer_ref = signal->head.ref;
    signal->head.ref = 0;
    rusm__records_add(&extra->links, signal);
}

/* head.ref: the id of the sender's own link call; peer_ref: of ours, as the sender knew it. */
static void accept_unlink(rusm_proc *self, struct rusm__signal *signal) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    struct rusm__signal *record =
        extra ? rusm__records_find(&extra->links, signal->head.from) : NULL;
    if (record) {
        if (record->peer_ref == signal->head.ref) {
            record->peer_ref = 0;
        }
        if (record->head.ref == signal->peer_ref) {
            record->head.ref = 0;
        }
        if (!record->peer_ref && !record->head.ref) {
            rusm__mem_free(rusm__records_remove(&extra->links, record->peer));
        }
    }
    rusm_msg_free(&signal->head);
}

static void accept_down(rusm_proc *self, struct rusm__signal *signal) {
    if (!(signal->head.flags & RUSM__MSG_UNCHECKED)) {
        struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
        struct rusm__signal *record =
            extra ? rusm__records_remove(&extra->watched, signal->head.ref) : NULL;
        if (!record) { /* demonitored meanwhile */
            rusm_msg_free(&signal->head);
            return;
        }
        rusm__mem_free(record);
    }
    rusm__mailbox_append(&self->mailbox, &signal->head);
}

static void accept_exit(rusm_proc *self, struct rusm__signal *signal) {
    if (signal->head.flags & RUSM__MSG_LINKED) {
        struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
        struct rusm__signal *record =
            extra ? rusm__records_remove(&extra->links, signal->head.from) : NULL;
        if (!record) { /* unlinked meanwhile */
            rusm_msg_free(&signal->head);
            return;
        }
        rusm__mem_free(record);
    }
    if (atomic_load_explicit(&self->trap_exit, memory_order_relaxed)) {
        rusm__mailbox_append(&self->mailbox, &signal->head);
        return;
    }
    /* A normal exit signal ends only who sent it to itself: as in Erlang. */
    if (signal->head.exit_kind != RUSM_EXIT_NORMAL || signal->head.from == self->pid) {
        rusm__proc_doom(self, (rusm_exit_kind)signal->head.exit_kind,
                        rusm__reason_ref(signal->reason));
    }
    rusm_msg_free(&signal->head);
}

static void accept_data(rusm_proc *self, struct rusm_msg *msg) {
    if (msg->flags & RUSM__MSG_REPLY) {
        if (msg->ref != self->call_ref) {
            /* The call has given up: nothing of it may stay behind. */
            rusm_msg_free(msg);
            rusm__count(&rusm__proc_local(rusm_proc_runtime(self))->dropped, 1);
            return;
        }
        self->call_ref = 0; /* one reply; another is late, even if it came with the first */
    }
    rusm__mailbox_append(&self->mailbox, msg);
}

static void accept_one(rusm_proc *self, struct rusm_msg *msg);

static void accept_chain(rusm_proc *self, struct rusm_msg *msg) {
    while (msg) {
        struct rusm_msg *next = msg->next;
        accept_one(self, msg);
        msg = next;
    }
}

/* What a mailbox that drops the oldest holds comes behind one knock. */
static void accept_knock(rusm_proc *self) {
    accept_chain(self, rusm__valve_fetch(&self->mailbox));
    rusm__valve_trim(self);
}

static void accept_one(rusm_proc *self, struct rusm_msg *msg) {
    struct rusm__signal *signal = (struct rusm__signal *)msg;
    switch (msg->tag) {
    case RUSM__TAG_DATA:
        accept_data(self, msg);
        break;
    case RUSM__TAG_STREAM:
        rusm__mailbox_append(&self->mailbox, msg);
        break;
    case RUSM__TAG_DOWN:
        accept_down(self, signal);
        break;
    case RUSM__TAG_EXIT:
        accept_exit(self, signal);
        break;
    case RUSM__TAG_MONITOR:
        accept_monitor(self, signal);
        break;
    case RUSM__TAG_DEMONITOR:
        accept_demonitor(self, signal);
        break;
    case RUSM__TAG_LINK:
        accept_link(self, signal);
        break;
    case RUSM__TAG_KNOCK:
        accept_knock(self);
        break;
    default:
        accept_unlink(self, signal);
        break;
    }
}

void rusm__proc_accept_new(rusm_proc *self) {
    accept_chain(self, rusm__mailbox_take(&self->mailbox));
}

/* ---- sending ---- */

/* A request to target, which may be NULL: nobody. Read section. NULL: no memory. */
static struct rusm__signal *request_new(enum rusm__tag tag, rusm_pid from,
                                        const rusm_proc *target) {
    struct rusm__signal *request = rusm__signal_new(tag, from);
    /* relaxed: only whether there is one; it stays once it is there */
    if (request && target && !atomic_load_explicit(&target->extra, memory_order_relaxed)) {
        request->spare = rusm__extra_new();
        if (!request->spare) {
            rusm__mem_free(request);
            return NULL;
        }
    }
    return request;
}

static void request_free(struct rusm__signal *request) {
    if (request) {
        rusm__mem_free(request->spare);
        rusm__mem_free(request);
    }
}

/* False: target is NULL or has ended, and the request is still the caller's. */
static bool request_send(rusm_runtime *rt, rusm_proc *target, struct rusm__signal *request) {
    enum rusm__push result =
        target ? rusm__proc_push_signal(target, &request->head) : RUSM__PUSH_CLOSED;
    if (result == RUSM__PUSH_WAKE) {
        rusm__proc_queue(rt, target);
    }
    return result != RUSM__PUSH_CLOSED;
}

int rusm_proc_monitor(rusm_proc *self, rusm_pid target, uint64_t *out_ref) {
    *out_ref = 0;
    rusm_runtime *rt = rusm_proc_runtime(self);
    struct rusm__extra *extra = rusm__proc_extra(self);
    rusm_proc *proc = rusm__table_find(&rt->procs->table, target);
    struct rusm__signal *record = rusm__signal_new(RUSM__TAG_DEMONITOR, self->pid);
    struct rusm__signal *request = request_new(RUSM__TAG_MONITOR, self->pid, proc);
    if (!extra || !record || !request) {
        rusm__mem_free(record);
        request_free(request);
        return RUSM_ENOMEM;
    }
    record->head.ref = request->head.ref = rusm__ref_new(self);
    record->peer = target;
    *out_ref = record->head.ref;
    rusm__records_add(&extra->watched, record);
    if (!request_send(rt, proc, request)) {
        request->peer = self->pid;
        rusm__signal_notify_down(rt, request, target, RUSM_EXIT_NOPROC, NULL);
    }
    return RUSM_OK;
}

rusm_pid rusm_proc_monitored(const rusm_proc *self, uint64_t ref) {
    const struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    const struct rusm__signal *record = extra ? rusm__records_find(&extra->watched, ref) : NULL;
    return record ? record->peer : 0;
}

/* Take the DOWN of ref out of the own list. False: it is not there. */
static bool remove_down(rusm_proc *self, uint64_t ref) {
    struct rusm_msg **where = &self->mailbox.first;
    while (*where && !rusm__msg_is_down(*where, ref)) {
        where = &(*where)->next;
    }
    if (!*where) {
        return false;
    }
    rusm_msg_free(rusm__mailbox_remove(&self->mailbox, where));
    return true;
}

int rusm_proc_demonitor(rusm_proc *self, uint64_t ref) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    struct rusm__signal *record = extra ? rusm__records_remove(&extra->watched, ref) : NULL;
    if (record) {
        rusm__signal_send(rusm_proc_runtime(self), record->peer, record);
        return RUSM_OK;
    }
    return extra && remove_down(self, ref) ? RUSM_OK : RUSM_ENOTFOUND;
}

int rusm_proc_link(rusm_proc *self, rusm_pid other) {
    if (other == self->pid) {
        return RUSM_OK;
    }
    rusm_runtime *rt = rusm_proc_runtime(self);
    struct rusm__extra *extra = rusm__proc_extra(self);
    if (!extra) {
        return RUSM_ENOMEM;
    }
    struct rusm__signal *record = rusm__records_find(&extra->links, other);
    if (record && record->head.ref) {
        return RUSM_OK;
    }
    rusm_proc *proc = rusm__table_find(&rt->procs->table, other);
    struct rusm__signal *request = request_new(RUSM__TAG_LINK, self->pid, proc);
    struct rusm__signal *fresh = record ? NULL : rusm__signal_new(RUSM__TAG_UNLINK, self->pid);
    if (!request || (!record && !fresh)) {
        request_free(request);
        rusm__mem_free(fresh);
        return RUSM_ENOMEM;
    }
    if (fresh) {
        fresh->peer = other;
        rusm__records_add(&extra->links, fresh);
        record = fresh;
    }
    record->head.ref = request->head.ref = rusm__ref_new(self);
    if (!request_send(rt, proc, request)) {
        request->peer = self->pid;
        rusm__signal_notify_exit(rt, request, other, RUSM_EXIT_NOPROC, NULL);
    }
    return RUSM_OK;
}

void rusm_proc_unlink(rusm_proc *self, rusm_pid other) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    struct rusm__signal *record = extra ? rusm__records_remove(&extra->links, other) : NULL;
    if (record) {
        record->head.tag = RUSM__TAG_UNLINK;
        record->head.from = self->pid;
        rusm__signal_send(rusm_proc_runtime(self), other, record);
    }
}

int rusm_pid_exit(rusm_runtime *rt, rusm_pid pid, rusm_exit_kind kind, const char *text) {
    if (kind < RUSM_EXIT_NORMAL || kind > RUSM_EXIT_NOPROC) {
        return RUSM_EINVAL;
    }
    struct rusm__proc_local *local = rusm__proc_local(rt);
    struct rusm__signal *signal = rusm__signal_new(RUSM__TAG_EXIT, rusm__running_pid(local));
    if (!signal) {
        return RUSM_ENOMEM;
    }
    signal->head.exit_kind = (uint8_t)kind;
    if (text && *text) {
        signal->reason = rusm__reason_new(text, text_bytes(text));
        if (!signal->reason) {
            rusm_msg_free(&signal->head);
            return RUSM_ENOMEM;
        }
    }
    bool joined = rusm__read_begin(rt);
    bool delivered = rusm__signal_send(rt, pid, signal);
    rusm__read_end(rt, joined);
    rusm_proc *running = local ? rusm__running(local) : NULL;
    if (delivered && running && running->pid == pid) {
        /* To oneself: acted upon before the call returns, after what had arrived before it. */
        rusm__proc_accept_new(running);
    }
    return delivered ? RUSM_OK : RUSM_ENOPROC;
}

int rusm_proc_set_exit(rusm_proc *self, rusm_exit_kind kind, const char *text) {
    if (kind < RUSM_EXIT_NORMAL || kind > RUSM_EXIT_NOPROC) {
        return RUSM_EINVAL;
    }
    if (self->doomed) {
        return RUSM_EEXITING;
    }
    rusm__reason_unref(self->exit_reason);
    self->exit_kind = (uint8_t)kind;
    self->exit_reason = text && *text ? rusm__reason_new(text, text_bytes(text)) : NULL;
    return RUSM_OK;
}
