/* SPDX-License-Identifier: MIT */
/* What anybody may do with a pid: send, wake, kill, look. */
#include "rusm/process.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "proc/proc_impl.h"

struct rusm__proc_local *rusm__proc_local(const rusm_runtime *rt) {
    struct rusm__sched *here = rusm__sched_current_of(rt);
    return here ? rusm__sched_local(here) : NULL;
}

bool rusm__read_begin(rusm_runtime *rt) {
    struct rusm__sched *here = rusm__sched_current_of(rt);
    if (here) {
        rusm__sched_join_readers(here);
        return false;
    }
    rusm__qs_enter(&rt->qs);
    return true;
}

void rusm__read_end(rusm_runtime *rt, bool joined) {
    if (joined) {
        rusm__qs_exit(&rt->qs);
    }
}

rusm_pid rusm_pid_self(const rusm_runtime *rt) {
    return rusm__running_pid(rusm__proc_local(rt));
}

/* ---- sending ---- */

/* Sends of plain threads go to the outside local, which several may count in. */
static void count(rusm_runtime *rt, bool refused) {
    struct rusm__proc_local *local = rusm__proc_local(rt);
    if (local) {
        rusm__count(refused ? &local->refused : &local->sent, 1);
        return;
    }
    struct rusm__proc_local *outside = &rt->procs->locals[rt->sched_count];
    atomic_fetch_add_explicit(refused ? &outside->refused : &outside->sent, 1,
                              memory_order_relaxed);
}

void rusm__count_sent(rusm_runtime *rt) {
    count(rt, false);
}

void rusm__count_displaced(rusm_runtime *rt, uint64_t messages) {
    struct rusm__proc_local *local = rusm__proc_local(rt);
    if (local) {
        rusm__count(&local->displaced, messages);
        rusm__count(&local->dropped, messages);
        return;
    }
    struct rusm__proc_local *outside = &rt->procs->locals[rt->sched_count];
    atomic_fetch_add_explicit(&outside->displaced, messages, memory_order_relaxed);
    atomic_fetch_add_explicit(&outside->dropped, messages, memory_order_relaxed);
}

/* Read section. seq_cst, then the mark: pairs with park in run.c. */
static void raise_on(rusm_runtime *rt, rusm_proc *proc, uint32_t event) {
    atomic_fetch_or_explicit(&proc->events, event, memory_order_seq_cst);
    if (rusm__mailbox_unpark(&proc->mailbox)) {
        rusm__proc_queue(rt, proc);
    }
}

void rusm__count_refused(rusm_runtime *rt, rusm_proc *proc) {
    count(rt, true);
    atomic_fetch_add_explicit(&proc->mailbox.refused, 1, memory_order_relaxed);
}

/* What never fits is its sender's mistake, whatever the policy. A stream may weigh what it likes,
 * so it never is what ends the receiver. */
static int refuse(rusm_runtime *rt, rusm_proc *proc, const rusm_msg *msg) {
    rusm__count_refused(rt, proc);
    if (rusm__msg_weight(msg) > proc->mailbox.max_bytes) {
        return RUSM_ETOOBIG;
    }
    if (proc->mailbox.policy == RUSM_MAILBOX_EXIT && msg->tag == RUSM__TAG_DATA) {
        raise_on(rt, proc, RUSM__EVENT_FULL);
    }
    return RUSM_EFULL;
}

/* Inside a read section. */
static int deliver(rusm_runtime *rt, rusm_pid to, rusm_msg *msg) {
    rusm_proc *proc = rusm__table_find(&rt->procs->table, to);
    if (!proc) {
        return RUSM_ENOPROC;
    }
    enum rusm__push result = proc->mailbox.valve ? rusm__valve_push(rt, proc, msg)
                                                 : rusm__mailbox_push(&proc->mailbox, msg);
    switch (result) {
    case RUSM__PUSH_WAKE:
        rusm__proc_queue(rt, proc);
        break;
    case RUSM__PUSH_OK:
        break;
    case RUSM__PUSH_FULL:
        return refuse(rt, proc, msg);
    default:
        return RUSM_ENOPROC;
    }
    count(rt, false);
    return RUSM_OK;
}

int rusm__msg_deliver(rusm_runtime *rt, rusm_pid to, rusm_msg *msg) {
    bool joined = rusm__read_begin(rt);
    int status = deliver(rt, to, msg);
    rusm__read_end(rt, joined);
    return status;
}

int rusm__msg_deliver_reply(rusm_runtime *rt, rusm_pid to, rusm_msg *msg) {
    bool joined = rusm__read_begin(rt);
    rusm_proc *proc = rusm__table_find(&rt->procs->table, to);
    enum rusm__push result = proc ? rusm__proc_push_signal(proc, msg) : RUSM__PUSH_CLOSED;
    if (result == RUSM__PUSH_WAKE) {
        rusm__proc_queue(rt, proc);
    }
    rusm__read_end(rt, joined);
    if (result == RUSM__PUSH_CLOSED) {
        return RUSM_ENOPROC;
    }
    count(rt, false);
    return RUSM_OK;
}

/* A notice that was received must not become a signal to others. */
static bool is_sendable(const rusm_msg *msg) {
    return msg && msg->tag == RUSM__TAG_DATA;
}

static void sign(const rusm_runtime *rt, rusm_msg *msg) {
    msg->from = rusm__running_pid(rusm__proc_local(rt));
    rusm__msg_mark(msg, 0);
}

int rusm_msg_send(rusm_runtime *rt, rusm_pid to, rusm_msg *msg) {
    if (!is_sendable(msg)) {
        return RUSM_EINVAL;
    }
    sign(rt, msg);
    return rusm__msg_deliver(rt, to, msg);
}

int rusm_name_send(rusm_runtime *rt, const char *name, size_t len, rusm_msg *msg) {
    rusm_pid holder = 0;
    if (!is_sendable(msg) || !rusm__is_word(name, len)) {
        return RUSM_EINVAL;
    }
    sign(rt, msg);
    bool joined = rusm__read_begin(rt);
    rusm__registry_find(&rt->procs->names, name, len, &holder, 1);
    int status = deliver(rt, holder, msg);
    rusm__read_end(rt, joined);
    return status;
}

int rusm__offer_send(rusm_proc *self, rusm_pid to, rusm_msg *msg) {
    msg->from = self->pid;
    return rusm__msg_deliver(rusm_proc_runtime(self), to, msg);
}

/* ---- waking and killing ---- */

static bool raise_event(rusm_runtime *rt, rusm_pid pid, uint32_t event) {
    bool joined = rusm__read_begin(rt);
    rusm_proc *proc = rusm__table_find(&rt->procs->table, pid);
    if (proc) {
        raise_on(rt, proc, event);
    }
    rusm__read_end(rt, joined);
    return proc != NULL;
}

bool rusm__proc_wake(rusm_runtime *rt, rusm_pid pid) {
    return raise_event(rt, pid, RUSM__EVENT_WAKE);
}

void rusm__proc_ring(rusm_runtime *rt, rusm_pid pid) {
    bool joined = rusm__read_begin(rt);
    rusm_proc *proc = rusm__table_find(&rt->procs->table, pid);
    if (proc) {
        raise_on(rt, proc, RUSM__EVENT_WAKE);
        /* relaxed: it says whom to look for, and nothing of what is found */
        if (atomic_load_explicit(&proc->is_due_at_wake, memory_order_relaxed)) {
            rusm__sched_hurry(rt, &proc->task);
        }
    }
    rusm__read_end(rt, joined);
}

bool rusm_pid_kill(rusm_runtime *rt, rusm_pid pid) {
    return raise_event(rt, pid, RUSM__EVENT_KILL);
}

bool rusm__guests_kill(rusm_runtime *rt, rusm_pid pid) {
    bool joined = rusm__read_begin(rt);
    rusm_proc *proc = rusm__table_find(&rt->procs->table, pid);
    bool kills = proc && proc->for_guests;
    if (kills) {
        raise_on(rt, proc, RUSM__EVENT_KILL);
    }
    rusm__read_end(rt, joined);
    return kills;
}

bool rusm_pid_is_alive(rusm_runtime *rt, rusm_pid pid) {
    bool joined = rusm__read_begin(rt);
    bool alive = rusm__table_find(&rt->procs->table, pid) != NULL;
    rusm__read_end(rt, joined);
    return alive;
}

/* ---- words ---- */

rusm_pid rusm_name_whereis(rusm_runtime *rt, const char *name, size_t len) {
    rusm_pid pid = 0;
    if (!rusm__is_word(name, len)) {
        return 0;
    }
    bool joined = rusm__read_begin(rt);
    if (!rusm__registry_find(&rt->procs->names, name, len, &pid, 1)) {
        pid = 0;
    }
    rusm__read_end(rt, joined);
    return pid;
}

size_t rusm_tag_whereis(rusm_runtime *rt, const char *tag, size_t len, rusm_pid *out_pids,
                        size_t cap) {
    if (!rusm__is_word(tag, len)) {
        return 0;
    }
    bool joined = rusm__read_begin(rt);
    size_t count = rusm__registry_find(&rt->procs->tags, tag, len, out_pids, cap);
    rusm__read_end(rt, joined);
    return count;
}

struct killing {
    rusm_runtime *rt;
    bool (*kill)(rusm_runtime *rt, rusm_pid pid);
    size_t killed;
};

static void kill_member(rusm_pid pid, void *arg) {
    struct killing *killing = arg;
    killing->killed += killing->kill(killing->rt, pid);
}

static size_t kill_members(rusm_runtime *rt, const char *tag, size_t len,
                           bool (*kill)(rusm_runtime *rt, rusm_pid pid)) {
    struct killing killing = {.rt = rt, .kill = kill};
    if (!rusm__is_word(tag, len)) {
        return 0;
    }
    bool joined = rusm__read_begin(rt);
    rusm__registry_each(&rt->procs->tags, tag, len, kill_member, &killing);
    rusm__read_end(rt, joined);
    return killing.killed;
}

size_t rusm_tag_kill(rusm_runtime *rt, const char *tag, size_t len) {
    return kill_members(rt, tag, len, rusm_pid_kill);
}

size_t rusm__guests_kill_tag(rusm_runtime *rt, const char *tag, size_t len) {
    return kill_members(rt, tag, len, rusm__guests_kill);
}

/* ---- looking ---- */

struct listing {
    rusm_pid *pids;
    size_t cap;
    size_t count;
};

static void list_one(rusm_proc *proc, void *arg) {
    struct listing *listing = arg;
    if (listing->count < listing->cap) {
        listing->pids[listing->count] = proc->pid;
    }
    listing->count++;
}

size_t rusm_pid_list(rusm_runtime *rt, rusm_pid *out_pids, size_t cap) {
    struct listing listing = {.pids = out_pids, .cap = cap};
    bool joined = rusm__read_begin(rt);
    rusm__table_each(&rt->procs->table, list_one, &listing);
    rusm__read_end(rt, joined);
    return listing.count;
}

struct measure {
    size_t names;
    size_t bytes;
};

static struct measure measure_names(struct rusm__member *first) {
    struct measure sum = {0};
    for (struct rusm__member *at = first; at;
         at = atomic_load_explicit(&at->own_next, memory_order_acquire)) {
        sum.names++;
        sum.bytes += at->word->len + 1u;
    }
    return sum;
}

/* One block: the record, the array of names, the texts. Names that are added meanwhile are at the
 * front, so the walk starts where the measuring did and finds the same or fewer. */
static rusm_proc_info *new_info(struct rusm__member *names, const struct rusm__label *label) {
    struct measure sum = measure_names(names);
    size_t array = sum.names * sizeof(char *);
    rusm_proc_info *info =
        rusm__mem_try_zalloc(sizeof(*info) + array + sum.bytes + (label ? label->len + 1u : 0));
    if (!info) {
        return NULL;
    }
    info->names = (const char **)(info + 1);
    char *text = (char *)info->names + array;
    for (struct rusm__member *at = names; at && info->name_count < sum.names;
         at = atomic_load_explicit(&at->own_next, memory_order_acquire)) {
        memcpy(text, at->word->text, at->word->len + 1u);
        info->names[info->name_count++] = text;
        text += at->word->len + 1u;
    }
    if (label) {
        memcpy(text, label->text, label->len + 1u);
        info->label = text;
    }
    return info;
}

static int read_info(rusm_runtime *rt, rusm_pid pid, rusm_proc_info **out_info) {
    rusm_proc *proc = rusm__table_find(&rt->procs->table, pid);
    if (!proc) {
        return RUSM_ENOPROC;
    }
    struct rusm__extra *extra = atomic_load_explicit(&proc->extra, memory_order_acquire);
    rusm_proc_info *info =
        new_info(extra ? atomic_load_explicit(&extra->names, memory_order_acquire) : NULL,
                 atomic_load_explicit(&proc->label, memory_order_acquire));
    if (!info) {
        return RUSM_ENOMEM;
    }
    info->pid = pid;
    info->mailbox_depth = rusm__mailbox_depth(&proc->mailbox);
    info->mailbox_policy = (rusm_mailbox_policy)proc->mailbox.policy;
    info->refused = atomic_load_explicit(&proc->mailbox.refused, memory_order_relaxed);
    if (proc->mailbox.valve) {
        info->displaced =
            atomic_load_explicit(&proc->mailbox.valve->displaced, memory_order_relaxed);
    }
    info->trap_exit = atomic_load_explicit(&proc->trap_exit, memory_order_relaxed);
    if (extra) {
        info->links = atomic_load_explicit(&extra->links.count, memory_order_relaxed);
        info->monitors = atomic_load_explicit(&extra->watchers.count, memory_order_relaxed);
    }
    *out_info = info;
    return RUSM_OK;
}

int rusm_pid_info(rusm_runtime *rt, rusm_pid pid, rusm_proc_info **out_info) {
    *out_info = NULL;
    bool joined = rusm__read_begin(rt);
    int status = read_info(rt, pid, out_info);
    rusm__read_end(rt, joined);
    return status;
}

void rusm_proc_info_free(rusm_proc_info *info) {
    rusm__mem_free(info);
}
