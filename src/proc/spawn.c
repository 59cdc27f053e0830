/* SPDX-License-Identifier: MIT */
/* How a process comes to be. Nothing shared is written but the new slot and the run queue. */
#include "rusm/process.h"

#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

enum { LABEL_MAX_BYTES = 255 };

struct rusm__label *rusm__label_new(const char *text, size_t len) {
    len = len < LABEL_MAX_BYTES ? len : LABEL_MAX_BYTES;
    struct rusm__label *label = rusm__mem_try_alloc(sizeof(*label) + len + 1);
    if (label) {
        label->len = (uint32_t)len;
        if (len) {
            memcpy(label->text, text, len); /* text may be NULL with len 0 */
        }
        label->text[len] = '\0';
    }
    return label;
}

struct rusm__extra *rusm__extra_new(void) {
    struct rusm__extra *extra = rusm__mem_try_zalloc(sizeof(*extra));
    if (extra) {
        extra->links.by_peer = 1;
        extra->stash_last = &extra->stash_first;
    }
    return extra;
}

struct rusm__extra *rusm__proc_extra(rusm_proc *self) {
    struct rusm__extra *extra = atomic_load_explicit(&self->extra, memory_order_relaxed);
    if (!extra && (extra = rusm__extra_new()) != NULL) {
        /* release: publishes the empty sets to those who ask for information */
        atomic_store_explicit(&self->extra, extra, memory_order_release);
    }
    return extra;
}

static enum rusm__stop_turn stop_turn(uint32_t flags) {
    return flags & RUSM_SPAWN_STOP_LATE    ? RUSM__STOP_LATE
           : flags & RUSM_SPAWN_STOP_EARLY ? RUSM__STOP_EARLY
                                           : RUSM__STOP_PLAIN;
}

static void init(rusm_proc *proc, const rusm_runtime *rt, const rusm_spawn_options *opts) {
    proc->logged = opts->flags & RUSM_SPAWN_LOGGED;
    proc->stop_turn = (uint8_t)stop_turn(opts->flags);
    proc->for_guests = opts->flags & RUSM__SPAWN_FOR_GUESTS;
    proc->wake_ns = UINT64_MAX;
    proc->task.pinned = opts->flags & RUSM_SPAWN_PINNED;
    const struct rusm__procs *procs = rt->procs;
    rusm__mailbox_init(&proc->mailbox,
                       opts->mailbox_messages ? opts->mailbox_messages : procs->default_messages,
                       opts->mailbox_bytes ? opts->mailbox_bytes : procs->default_bytes);
    proc->mailbox.policy =
        opts->mailbox_policy ? (uint8_t)opts->mailbox_policy : procs->default_policy;
}

static bool needs_valve(const rusm_proc *proc) {
    return proc->mailbox.policy == RUSM_MAILBOX_BLOCK_SENDER ||
           proc->mailbox.policy == RUSM_MAILBOX_DROP_OLDEST;
}

/* What the options ask to be there from the first moment. */
static int equip(rusm_proc *proc, const rusm_spawn_options *opts) {
    if (needs_valve(proc) && !(proc->mailbox.valve = rusm__valve_new())) {
        return RUSM_ENOMEM;
    }
    if (opts->label) {
        struct rusm__label *label = rusm__label_new(opts->label, strlen(opts->label));
        if (!label) {
            return RUSM_ENOMEM;
        }
        atomic_init(&proc->label, label);
    }
    if (opts->monitor_by) {
        struct rusm__signal *record = rusm__signal_new(RUSM__TAG_MONITOR, opts->monitor_by);
        struct rusm__extra *extra = record ? rusm__proc_extra(proc) : NULL;
        if (!extra) {
            rusm__mem_free(record);
            return RUSM_ENOMEM;
        }
        record->peer = opts->monitor_by;
        record->head.ref = opts->monitor_ref;
        record->head.flags = RUSM__MSG_UNCHECKED;
        rusm__records_add(&extra->watchers, record);
    }
    return RUSM_OK;
}

/* ---- ties to the calling process from the first moment on ---- */

/* The new process is not visible yet and the caller is running, so both sides are written here:
 * no signal is needed, and none can come before the ties are there. */
struct ties {
    rusm_proc *parent;
    struct rusm__signal *link_here, *link_there; /* here: the caller's record */
    struct rusm__signal *watch_here, *watch_there;
};

static void free_ties(struct ties *ties) {
    rusm__mem_free(ties->link_here);
    rusm__mem_free(ties->link_there);
    rusm__mem_free(ties->watch_here);
    rusm__mem_free(ties->watch_there);
}

__attribute__((noinline)) static int make_ties(struct ties *ties, rusm_proc *proc,
                                               const rusm_spawn_options *opts) {
    bool linked = opts->flags & RUSM_SPAWN_LINK, watched = opts->out_monitor != NULL;
    if (!ties->parent) {
        return RUSM_ESTATE;
    }
    bool good = rusm__proc_extra(proc) && rusm__proc_extra(ties->parent);
    if (good && linked) {
        ties->link_here = rusm__signal_new(RUSM__TAG_UNLINK, ties->parent->pid);
        ties->link_there = rusm__signal_new(RUSM__TAG_LINK, ties->parent->pid);
        good = ties->link_here && ties->link_there;
    }
    if (good && watched) {
        ties->watch_here = rusm__signal_new(RUSM__TAG_DEMONITOR, ties->parent->pid);
        ties->watch_there = rusm__signal_new(RUSM__TAG_MONITOR, ties->parent->pid);
        good = ties->watch_here && ties->watch_there;
    }
    return good ? RUSM_OK : RUSM_ENOMEM;
}

static struct rusm__extra *extra_of(const rusm_proc *proc) {
    return atomic_load_explicit(&proc->extra, memory_order_relaxed);
}

/* The process has its pid and nothing can fail any more. */
__attribute__((noinline)) static void tie(struct ties *ties, rusm_proc *proc,
                                          uint64_t *out_monitor) {
    if (ties->link_here) {
        ties->link_here->peer = proc->pid;
        ties->link_there->peer = ties->parent->pid;
        ties->link_here->head.ref = ties->link_there->peer_ref = rusm__ref_new(ties->parent);
        rusm__records_add(&extra_of(ties->parent)->links, ties->link_here);
        rusm__records_add(&extra_of(proc)->links, ties->link_there);
    }
    if (ties->watch_here) {
        ties->watch_here->peer = proc->pid;
        ties->watch_there->peer = ties->parent->pid;
        *out_monitor = rusm__ref_new(ties->parent);
        ties->watch_here->head.ref = ties->watch_there->head.ref = *out_monitor;
        rusm__records_add(&extra_of(ties->parent)->watched, ties->watch_here);
        rusm__records_add(&extra_of(proc)->watchers, ties->watch_there);
    }
}

static void discard(rusm_proc *proc) {
    struct rusm__extra *extra = atomic_load_explicit(&proc->extra, memory_order_relaxed);
    if (extra) {
        rusm__mem_free(rusm__records_pop(&extra->watchers));
        rusm__records_fini(&extra->watchers);
        rusm__mem_free(extra);
    }
    rusm__valve_free(proc->mailbox.valve);
    rusm__mem_free(atomic_load_explicit(&proc->label, memory_order_relaxed));
    rusm__mem_free(proc);
}

static int take_pid(rusm_runtime *rt, struct rusm__proc_local *local, rusm_pid *out_pid) {
    struct rusm__procs *procs = rt->procs;
    if (local) {
        int status = rusm__table_take(&procs->table, &local->slots, out_pid);
        if (status == RUSM_OK) {
            rusm__count(&local->spawned, 1);
        }
        return status;
    }
    struct rusm__proc_local *outside = &procs->locals[rt->sched_count];
    pthread_mutex_lock(&procs->outside_lock);
    int status = rusm__table_take(&procs->table, &outside->slots, out_pid);
    if (status == RUSM_OK) {
        rusm__count(&outside->spawned, 1);
    }
    pthread_mutex_unlock(&procs->outside_lock);
    return status;
}

/* Of a process that was never published: it was never started, either. */
static void give_pid(rusm_runtime *rt, struct rusm__proc_local *local, rusm_pid pid) {
    struct rusm__procs *procs = rt->procs;
    if (local) {
        rusm__table_give(&procs->table, &local->slots, pid);
        rusm__count(&local->spawned, (uint64_t)-1);
        return;
    }
    struct rusm__proc_local *outside = &procs->locals[rt->sched_count];
    pthread_mutex_lock(&procs->outside_lock);
    rusm__table_give(&procs->table, &outside->slots, pid);
    rusm__count(&outside->spawned, (uint64_t)-1);
    pthread_mutex_unlock(&procs->outside_lock);
}

/* A pinned process starts where its creator runs; creators outside take turns. */
static uint16_t choose_home(rusm_runtime *rt) {
    struct rusm__sched *here = rusm__sched_current_of(rt);
    if (here) {
        return (uint16_t)rusm__sched_index(here);
    }
    uint32_t turn = atomic_fetch_add_explicit(&rt->next_remote, 1, memory_order_relaxed);
    return (uint16_t)(turn % rt->sched_count);
}

static void add_first(rusm_runtime *rt, rusm_proc *proc, rusm_msg *first) {
    struct rusm__proc_local *local = rusm__proc_local(rt);
    first->from = rusm__running_pid(local);
    rusm__msg_mark(first, 0);
    rusm__mailbox_append(&proc->mailbox, first);
    atomic_init(&proc->mailbox.arrived, rusm__mailbox_load_of(first));
    if (proc->mailbox.valve) {
        proc->mailbox.valve->own = rusm__mailbox_load_of(first);
    }
    rusm__count_sent(rt);
}

/* What a spawn is about. */
struct birth {
    rusm_runtime *rt;
    rusm_proc *proc;
    const rusm_spawn_options *opts;
    struct ties *ties; /* NULL: none */
};

/* Nothing can fail any more. From here on others find the process by its pid. */
static void publish(void *arg) {
    const struct birth *birth = arg;
    rusm_proc *proc = birth->proc;
    if (birth->ties) {
        tie(birth->ties, proc, birth->opts->out_monitor);
    }
    if (proc->task.pinned) {
        proc->task.home = choose_home(birth->rt);
    }
    if (birth->opts->first) {
        add_first(birth->rt, proc, birth->opts->first);
    }
    rusm__table_publish(&birth->rt->procs->table, proc->pid, proc);
}

/* With a name from the first moment on. RUSM_EEXIST: *out_pid holds it. */
__attribute__((noinline)) static int publish_named(struct birth *birth, rusm_pid *out_pid) {
    rusm_proc *proc = birth->proc;
    struct rusm__extra *extra = rusm__proc_extra(proc);
    struct rusm__sched *here = rusm__sched_current_of(birth->rt);
    if (!extra) {
        return RUSM_ENOMEM;
    }
    struct rusm__claim claim = {.text = birth->opts->name,
                                .len = strlen(birth->opts->name),
                                .own = &extra->names,
                                .publish = publish,
                                .arg = birth,
                                .out_holder = out_pid};
    return rusm__registry_claim(&birth->rt->procs->names, here ? rusm__sched_qs(here) : NULL,
                                proc->pid, &claim);
}

/* The setting that would help, at most once a second. */
__attribute__((noinline, cold)) static void tell_full(rusm_runtime *rt) {
    uint64_t now = rusm__clock_ns();
    uint64_t next = atomic_load_explicit(&rt->procs->next_full_ns, memory_order_relaxed);
    /* relaxed: who moves the time on writes the line */
    if (now >= next && atomic_compare_exchange_strong_explicit(
                           &rt->procs->next_full_ns, &next, now + 1000 * RUSM__MS,
                           memory_order_relaxed, memory_order_relaxed)) {
        rusm__log(RUSM__LOG_WARN, "rusm", "spawn",
                  "refused: %u processes live, which is the limit (max_processes)",
                  (unsigned)rt->procs->table.max_processes);
    }
}

static bool is_valid(const rusm_spawn_options *opts) {
    return (!opts->first || opts->first->tag == RUSM__TAG_DATA) &&
           (!opts->name ||
            rusm__is_word(opts->name, strnlen(opts->name, RUSM__WORD_MAX_BYTES + 1))) &&
           opts->mailbox_messages <= RUSM_MAILBOX_MAX_MESSAGES &&
           opts->mailbox_bytes <= RUSM_MAILBOX_MAX_BYTES &&
           opts->mailbox_policy <= RUSM_MAILBOX_EXIT &&
           !(opts->flags &
             ~(uint32_t)(RUSM_SPAWN_PINNED | RUSM_SPAWN_NEXT | RUSM_SPAWN_LOGGED | RUSM_SPAWN_LINK |
                         RUSM_SPAWN_STOP_EARLY | RUSM_SPAWN_STOP_LATE | RUSM__SPAWN_FOR_GUESTS));
}

int rusm_proc_spawn(rusm_runtime *rt, const rusm_spawn_options *opts, rusm_pid *out_pid) {
    if (!out_pid) {
        return RUSM_EINVAL;
    }
    *out_pid = 0;
    if (!rt || !opts || opts->size != sizeof(*opts) || !opts->ops || !opts->ops->step) {
        return RUSM_EINVAL;
    }
    return rusm__proc_spawn(rt, opts->ops, opts->body, opts, out_pid);
}

int rusm__proc_spawn(rusm_runtime *rt, const rusm_body_ops *ops, void *body,
                     const rusm_spawn_options *opts, rusm_pid *out_pid) {
    if (!is_valid(opts)) {
        return RUSM_EINVAL;
    }
    if (opts->out_monitor) {
        *opts->out_monitor = 0;
    }
    struct rusm__proc_local *local = rusm__proc_local(rt);
    if (opts->monitor_by && opts->monitor_by != rusm__running_pid(local)) {
        return RUSM_EINVAL;
    }
    /* relaxed: a stop kills what it finds until nothing is left, so a late start is found too */
    if (atomic_load_explicit(&rt->procs->closing, memory_order_relaxed)) {
        return RUSM_ESTATE;
    }
    rusm_proc *proc = rusm__mem_try_zalloc(sizeof(*proc));
    if (!proc) {
        return RUSM_ENOMEM;
    }
    proc->ops = ops;
    proc->body = body;
    init(proc, rt, opts);
    struct ties ties; /* looked at only if there are any */
    bool tied = (opts->flags & RUSM_SPAWN_LINK) || opts->out_monitor;
    if (tied) {
        ties = (struct ties){.parent = local ? rusm__running(local) : NULL};
    }
    int status = equip(proc, opts);
    if (status == RUSM_OK && tied) {
        status = make_ties(&ties, proc, opts);
    }
    if (status == RUSM_OK) {
        status = take_pid(rt, local, &proc->pid);
    }
    if (status == RUSM_OK) {
        struct birth birth = {rt, proc, opts, tied ? &ties : NULL};
        if (!opts->name) {
            publish(&birth);
        } else if ((status = publish_named(&birth, out_pid)) != RUSM_OK) {
            give_pid(rt, local, proc->pid);
        }
    }
    if (status) {
        if (tied) {
            free_ties(&ties);
        }
        discard(proc);
        if (status == RUSM_EPROCS) {
            tell_full(rt);
        }
        return status;
    }
    *out_pid = proc->pid; /* the process may be gone once it is queued */
    rusm__sched_ready(rt, &proc->task,
                      opts->flags & RUSM_SPAWN_NEXT ? RUSM__READY_NEXT : RUSM__READY_TAIL);
    return RUSM_OK;
}
