/* SPDX-License-Identifier: MIT */
/* A process from the inside. Stays in this folder. */
#ifndef RUSM__PROC_PROC_IMPL_H
#define RUSM__PROC_PROC_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "proc/label.h"
#include "proc/mailbox.h"
#include "proc/proc.h"
#include "proc/records.h"
#include "proc/registry.h"
#include "proc/stack.h"
#include "proc/table.h"
#include "proc/timers.h"
#include "proc/valve.h"
#include "proc/watchdog.h"
#include "sched/runtime.h"

/* Reasons to run a process although nothing is in its mailbox. */
enum {
    RUSM__EVENT_WAKE = 1u << 0,
    RUSM__EVENT_KILL = 1u << 1,
    RUSM__EVENT_FULL = 1u << 2, /* the mailbox is at its limit and its policy is to end */
};

/* What a turn may cost. An operation that may have to wait, and the taking of an item of mail, cost
 * RUSM__COST_CALL whether they wait or not; each item that a selective receive passes over costs
 * RUSM__COST_LOOK. So a process that always finds something to do still comes to the end of its
 * turn, and there others run and signals are accepted. */
enum {
    RUSM__TURN_BUDGET = RUSM__SCALE(4096, 48),
    RUSM__COST_CALL = 16,
    RUSM__COST_LOOK = 1,
    RUSM__UNWIND_TURNS = RUSM__SCALE(RUSM_UNWIND_TURNS, 24),
};

/* What only few processes need; made on first use, by the process itself. */
struct rusm__extra {
    struct rusm__records watched;       /* monitors that this process set, by reference */
    struct rusm__records watchers;      /* monitors of others on it, by reference */
    struct rusm__records links;         /* by peer */
    struct rusm__member *_Atomic names; /* newest first; readers walk it */
    struct rusm__member *_Atomic tags;
    struct rusm_msg *stash_first;
    struct rusm_msg **stash_last;
    struct rusm__waiter *waiter;    /* of the message that waits for room elsewhere */
    struct rusm__holding *holdings; /* the process itself */
};

/* When rusm_runtime_stop_within tells it, if it traps exits. */
enum rusm__stop_turn { RUSM__STOP_EARLY, RUSM__STOP_PLAIN, RUSM__STOP_LATE };

struct rusm_proc {
    struct rusm__task task; /* first: the schedulers know the process by it */
    rusm_pid pid;
    const rusm_body_ops *ops;
    void *body;

    /* Any thread. */
    struct rusm__mailbox mailbox;
    _Atomic uint32_t events;

    /* Written by the process itself (or its exit), read by anyone. */
    _Atomic bool trap_exit;
    _Atomic(struct rusm__label *) label;
    _Atomic(struct rusm__extra *) extra;

    /* The process itself. */
    bool logged;
    bool muted;        /* its end is not told to the log */
    uint8_t stop_turn; /* enum rusm__stop_turn; set before it is published, then read by anyone */
    bool for_guests;   /* RUSM__SPAWN_FOR_GUESTS; likewise */
    bool doomed;       /* to end: `exit_kind` and `exit_reason` say why */
    uint8_t exit_kind;
    _Atomic bool is_due_at_wake; /* rusm__proc_due_at; read by whoever the timer rings for */
    bool defers;                 /* rusm__proc_defer; until it is queued */
    uint16_t unwinds;            /* turns that it had since it was told to end */
    int16_t budget; /* what is left of this turn, see RUSM__TURN_BUDGET; 0 or less: nothing */
    struct rusm__reason *exit_reason;
    uint64_t call_ref; /* the call whose reply is awaited, 0 = none or accepted */
    union {
        struct {
            rusm_timer wake_timer;
            uint64_t wake_ns; /* what wake_timer is armed for; UINT64_MAX: not armed */
        };
        struct rusm__qs_node qs; /* after its end */
    };
};

/* Per scheduler; the last one is shared by plain threads, under procs->outside_lock. */
struct rusm__proc_local {
    struct rusm__slot_cache slots;
    struct rusm__timer_slab timers;
    struct rusm__stack_cache stacks;
    uint64_t next_ref;
    uint32_t checks;              /* calls of rusm_proc_should_yield */
    _Atomic(rusm_proc *) running; /* read by the watchdog, as is the next */
    _Atomic uint64_t steps;
    /* Counters: written by the owner (plain threads: under the lock), read by anyone. */
    _Atomic uint64_t spawned, exited, sent, refused, dropped, displaced;
    char pad[RUSM__CACHELINE];
};

struct rusm__procs {
    struct rusm__table table;
    struct rusm__registry names;
    struct rusm__registry tags;
    struct rusm__proc_local *locals; /* one per scheduler, then the outside one */
    struct rusm__stack_pool stacks;
    pthread_mutex_t outside_lock;
    uint32_t default_messages;
    uint64_t default_bytes;
    uint8_t default_policy;
    struct rusm__watchdog watchdog;
    _Atomic uint64_t next_full_ns; /* when a full table is told to the log again */
    _Atomic bool closing;          /* no process starts any more */
};

/* A counter that one thread writes. release: who reads that a process ended also reads that what
 * it started has started; pairs with the acquire loads in rusm_runtime_get_stats. */
static inline void rusm__count(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_release);
}

/* ---- access ---- */

/* For the log. acquire: the label's text, which another thread may have set meanwhile; pairs with
 * the release in rusm_proc_set_label. In a read section, or the process itself. */
static inline const char *rusm__proc_name(const rusm_proc *proc) {
    const struct rusm__label *label = atomic_load_explicit(&proc->label, memory_order_acquire);
    return label ? label->text : proc->ops->name ? proc->ops->name : "process";
}

/* The local part of the calling scheduler, or NULL on a plain thread. */
struct rusm__proc_local *rusm__proc_local(const rusm_runtime *rt);

/* What runs on this scheduler. relaxed: asked by its own thread. */
static inline rusm_proc *rusm__running(const struct rusm__proc_local *local) {
    return atomic_load_explicit(&local->running, memory_order_relaxed);
}
/* Who sends when the calling thread does; local may be NULL. */
static inline rusm_pid rusm__running_pid(const struct rusm__proc_local *local) {
    rusm_proc *running = local ? rusm__running(local) : NULL;
    return running ? running->pid : 0;
}

/* Around look-ups: a scheduler of rt is a reader already or becomes one again, a plain thread joins
 * for a while. */
bool rusm__read_begin(rusm_runtime *rt); /* what to pass to rusm__read_end */
void rusm__read_end(rusm_runtime *rt, bool joined);

struct rusm__extra *rusm__extra_new(void);             /* NULL: no memory */
struct rusm__extra *rusm__proc_extra(rusm_proc *self); /* makes it; NULL: no memory */
void rusm__count_sent(rusm_runtime *rt);
void rusm__count_displaced(rusm_runtime *rt, uint64_t messages); /* also among the dropped */

/* ---- steps of a life ---- */

/* spawn.c: as rusm_proc_spawn, but *out_pid is 0 already, and size, ops and body of opts are not
 * looked at. */
RUSM_MUST_USE int rusm__proc_spawn(rusm_runtime *rt, const rusm_body_ops *ops, void *body,
                                   const rusm_spawn_options *opts, rusm_pid *out_pid);

/* pid.c: the process' own timer rings, on the scheduler that it belongs to. */
void rusm__proc_ring(rusm_runtime *rt, rusm_pid pid);
void rusm__proc_run(struct rusm__sched *sched, struct rusm__task *task); /* run.c */
void rusm__proc_finish(rusm_proc *self);                                 /* exit.c */
/* The first reason stays. Takes reason. */
void rusm__proc_doom(rusm_proc *self, rusm_exit_kind kind, struct rusm__reason *reason);

/* signal.c: empty the inbox: signals are acted upon, mail goes to the own list. */
void rusm__proc_accept_new(rusm_proc *self);
/* Send a signal; freed if nobody is there. Caller is inside a read section. True if delivered. */
bool rusm__signal_send(rusm_runtime *rt, rusm_pid to, struct rusm__signal *signal);
/* Turn a request or record into its notice and send it to the other side. */
void rusm__signal_notify_down(rusm_runtime *rt, struct rusm__signal *record, rusm_pid dead,
                              rusm_exit_kind kind, struct rusm__reason *reason);
void rusm__signal_notify_exit(rusm_runtime *rt, struct rusm__signal *record, rusm_pid dead,
                              rusm_exit_kind kind, struct rusm__reason *reason);
/* As rusm__mailbox_push_signal, to whatever mailbox proc has. */
static inline enum rusm__push rusm__proc_push_signal(rusm_proc *proc, struct rusm_msg *msg) {
    return proc->mailbox.policy == RUSM_MAILBOX_DROP_OLDEST
               ? rusm__valve_push_signal(proc, msg)
               : rusm__mailbox_push_signal(&proc->mailbox, msg);
}
/* As rusm_proc_send, but `from`, `flags` and `ref` stay as they are. */
int rusm__proc_send_marked(rusm_proc *self, rusm_pid to, rusm_msg *msg);
/* As rusm_msg_send, but `from` stays as it is. */
int rusm__msg_deliver(rusm_runtime *rt, rusm_pid to, rusm_msg *msg);
/* Likewise, past every bound: for the reply to a call, of which there is one. RUSM_ENOPROC. */
int rusm__msg_deliver_reply(rusm_runtime *rt, rusm_pid to, rusm_msg *msg);
/* The message was refused, by whatever bound: count it. */
void rusm__count_refused(rusm_runtime *rt, rusm_proc *proc);
/* Has it a stack of its own, so that it can wait where it stands? */
bool rusm__proc_is_fiber(const rusm_proc *self);
/* Unique in the runtime. */
uint64_t rusm__ref_new(rusm_proc *self);

/* Queue the process if a push said so. */
static inline void rusm__proc_queue(rusm_runtime *rt, rusm_proc *proc) {
    rusm__sched_ready(rt, &proc->task, RUSM__READY_WAKE);
}

#endif
