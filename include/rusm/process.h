/* SPDX-License-Identifier: MIT */
/* Processes: one mailbox, one body, one way to end.
 *
 * A body is a small vtable. The runtime calls `step` on some scheduler thread, never on two at
 * once; the body runs until it has nothing to do and returns RUSM_STEP_WAIT, or until its budget
 * is used up and returns RUSM_STEP_AGAIN (it runs again when everything that waits now has run), or
 * ends with RUSM_STEP_EXIT. Mail, signals and timers wake a waiting process; a step may also be
 * called without cause and must bear that. */
#ifndef RUSM_PROCESS_H
#define RUSM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/msg.h"
#include "rusm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rusm_proc rusm_proc; /* the running process; valid inside its own step only */

typedef enum rusm_step {
    RUSM_STEP_WAIT = 0,
    RUSM_STEP_AGAIN = 1,
    RUSM_STEP_EXIT = 2,
} rusm_step;

/* Turns that `unwind` gets, at least. A body that has not ended then is cut off: a line in the log
 * says so, and it is dropped as it is. */
#define RUSM_UNWIND_TURNS 4096

typedef struct rusm_body_ops {
    const char *name; /* for the log when the process has no label; static */
    /* Run. May call everything below that takes a rusm_proc. */
    rusm_step (*step)(rusm_proc *self, void *body);
    /* The process is to end (kill, exit signal) while it waits or is queued. NULL: it ends at
     * once. Otherwise the body winds down and returns RUSM_STEP_EXIT, or RUSM_STEP_AGAIN to be
     * asked once more, RUSM_UNWIND_TURNS times at most. It cannot refuse. */
    rusm_step (*unwind)(rusm_proc *self, void *body);
    /* Free the body. Called once, on a scheduler, after names are free and before watchers are
     * told, so that whatever the body held can be had again by who reacts to its end. */
    void (*drop)(void *body);
} rusm_body_ops;

/* Set size to sizeof(rusm_spawn_options). */
typedef struct rusm_spawn_options {
    size_t size;
    const rusm_body_ops *ops;
    void *body;        /* taken on success */
    const char *label; /* copied; NULL = none */
    rusm_msg *first; /* first mail, RUSM_MSG_DATA; taken on success; NULL = none. Counts against the
                      * bounds of the mailbox, but is not refused by them */
    /* Not NULL: the calling process monitors the new one from the first moment on, as by
     * rusm_proc_monitor; the reference is stored here. RUSM_ESTATE if no process calls. */
    uint64_t *out_monitor;
    rusm_pid monitor_by;       /* gets a DOWN when the process ends, 0 = nobody; must be the calling
                                * process. Such a monitor stays; rusm_proc_demonitor does not know
                                * it, even if another monitor has the same reference */
    uint64_t monitor_ref;      /* the reference in that DOWN */
    uint32_t flags;            /* RUSM_SPAWN_... */
    uint32_t mailbox_messages; /* 0 = the runtime's default; at most RUSM_MAILBOX_MAX_MESSAGES */
    uint64_t mailbox_bytes;    /* 0 = the runtime's default; at most RUSM_MAILBOX_MAX_BYTES */
    rusm_mailbox_policy mailbox_policy; /* 0 = the runtime's default */
    /* Copied; NULL = none. The process holds this name from the first moment on, as by
     * rusm_proc_register. If somebody holds it already: RUSM_EEXIST, nothing was taken, and
     * *out_pid is the holder. So of many who look for a service at the same time one starts it. */
    const char *name;
} rusm_spawn_options;

enum {
    RUSM_SPAWN_PINNED = 1u << 0, /* never leaves the scheduler that it starts on */
    RUSM_SPAWN_NEXT = 1u << 1,   /* run it next on this scheduler, before other queued work */
    RUSM_SPAWN_LOGGED = 1u << 2, /* its end goes to the log however it ends, not only a crash */
    RUSM_SPAWN_LINK = 1u << 3,   /* linked to the calling process from the first moment on, as by
                                  * rusm_proc_link. RUSM_ESTATE if no process calls */
    /* Its turn in rusm_runtime_stop_within: it ends others in an order of its own, so it is told
     * before the others are; or somebody ends it in its turn, so it is told after the others, if it
     * still lives. Both: the latter. */
    RUSM_SPAWN_STOP_EARLY = 1u << 4,
    RUSM_SPAWN_STOP_LATE = 1u << 5,
};

/* Start a process. From a scheduler thread it starts there; otherwise on any. Messages sent after
 * this call returned are never lost. Any thread, never waits. RUSM_ENOMEM, RUSM_EPROCS,
 * RUSM_EINVAL (a wrong size, a value over its limit, another's monitor_by), RUSM_EEXIST (see name),
 * RUSM_ESTATE (the runtime is being stopped): nothing was taken. A table that is full is also told
 * to the log, at most once a second. *out_pid is 0 after an error, but for RUSM_EEXIST. */
RUSM_API RUSM_MUST_USE int rusm_proc_spawn(rusm_runtime *rt, const rusm_spawn_options *opts,
                                           rusm_pid *out_pid);

/* ---- the running process; only inside its own step or unwind ---- */

/* What others know it by, and where it runs. */
RUSM_API rusm_pid rusm_proc_pid(const rusm_proc *self);
RUSM_API rusm_runtime *rusm_proc_runtime(const rusm_proc *self);

/* The next item of the mailbox. Returns owned. NULL: there is none, or this turn has received a few
 * hundred: the step should come to its end, and even if it says RUSM_STEP_WAIT it is called again
 * for the rest, after others have run. */
RUSM_API rusm_msg *rusm_proc_receive(rusm_proc *self);

/* As rusm_msg_send; and when the mailbox of `to` has the policy RUSM_MAILBOX_BLOCK_SENDER and is at
 * its limit: RUSM_EAGAIN, msg is taken and is queued as soon as there is room, in the order in
 * which senders began to wait; then the process is woken. One message per process waits like
 * this: RUSM_EBUSY for a second one. It is withdrawn when the process ends. Never waits itself;
 * fibers use rusm_send. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_proc_send(rusm_proc *self, rusm_pid to, rusm_msg *msg);

/* What became of the message that waited. RUSM_EAGAIN: it still waits. RUSM_OK: it was queued, or
 * none waited. RUSM_ENOPROC: the receiver ended; *out_msg is the caller's again. */
RUSM_API RUSM_MUST_USE int rusm_proc_send_result(rusm_proc *self, rusm_msg **out_msg);

/* Take the message that waits back. Returns owned; NULL if it was queued meanwhile or none waited.
 */
RUSM_API rusm_msg *rusm_proc_send_cancel(rusm_proc *self);

/* Should the step return RUSM_STEP_AGAIN soon? For bodies in long work, between two units of it (a
 * microsecond or so each): a few nanoseconds, and a look at what waits every 64 calls. True at once
 * when the process is to end. */
RUSM_API bool rusm_proc_should_yield(const rusm_proc *self);

/* Ask to be woken at deadline_ns (rusm_now_ns clock), replacing an earlier request; UINT64_MAX
 * takes the request back. A deadline in the past wakes at once. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_proc_wake_at(rusm_proc *self, uint64_t deadline_ns);

/* Say why the process ends, before RUSM_STEP_EXIT; text is copied, may be NULL, is cut at 4,096
 * bytes, and is left out when there is no memory for it. Without it the reason is normal. A kill
 * that comes before the end stays a kill. RUSM_EINVAL: no such kind. RUSM_EEXITING: the process was
 * told to end already, and that reason stays. */
RUSM_API int rusm_proc_set_exit(rusm_proc *self, rusm_exit_kind kind, const char *text);

/* Set a message aside, and later put all of them back in front of the mailbox, oldest first.
 * stash takes msg. */
RUSM_API void rusm_proc_stash(rusm_proc *self, rusm_msg *msg);
RUSM_API void rusm_proc_unstash(rusm_proc *self);

/* With trap, exit signals of others arrive as RUSM_MSG_EXIT mail; a kill is never trapped. */
RUSM_API void rusm_proc_trap_exit(rusm_proc *self, bool trap);

/* One DOWN with this reference arrives when target ends, at once with RUSM_EXIT_NOPROC if there
 * is no such process. Each call makes one monitor. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_proc_monitor(rusm_proc *self, rusm_pid target, uint64_t *out_ref);

/* Whom this monitor of the own (rusm_proc_monitor, rusm_spawn_options.out_monitor) watches. 0:
 * there is none, or its DOWN has come. */
RUSM_API rusm_pid rusm_proc_monitored(const rusm_proc *self, uint64_t ref);

/* Take a monitor back. After this call its DOWN is not delivered any more, and one that already
 * waits in the mailbox is removed. RUSM_ENOTFOUND: no monitor of this process has this reference,
 * or its DOWN was received; nothing happened. */
RUSM_API int rusm_proc_demonitor(rusm_proc *self, uint64_t ref);

/* Both ways: when one ends abnormally the other gets an exit signal of that reason. Linking twice
 * or to oneself does nothing; linking to a process that has ended brings an exit signal with
 * RUSM_EXIT_NOPROC. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_proc_link(rusm_proc *self, rusm_pid other);

/* End a link, whoever made it. After this call no exit signal comes over it any more; an EXIT that
 * already waits in the mailbox stays there. Nothing happens without a link. */
RUSM_API void rusm_proc_unlink(rusm_proc *self, rusm_pid other);

/* Names: one name belongs to one live process, a process may hold several; all are free again
 * before anybody is told of its end. 1 to 255 bytes. RUSM_EEXIST, RUSM_EINVAL, RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_proc_register(rusm_proc *self, const char *name, size_t len);

/* Give up an own name. RUSM_EPERM: another process holds it. RUSM_ENOTFOUND. */
RUSM_API RUSM_MUST_USE int rusm_proc_unregister(rusm_proc *self, const char *name, size_t len);

/* Tags: any number of processes may share one. Joining twice is one membership. Same limits. */
RUSM_API RUSM_MUST_USE int rusm_proc_join(rusm_proc *self, const char *tag, size_t len);
RUSM_API void rusm_proc_leave(rusm_proc *self, const char *tag, size_t len);

/* What people see in logs and lists; replaces an earlier one; cut at 255 bytes. RUSM_EINVAL: NULL
 * with a length. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_proc_set_label(rusm_proc *self, const char *label, size_t len);

/* ---- any thread ---- */

/* The process of this runtime whose step, unwind or drop runs on the calling thread; 0 = none.
 * Never waits. */
RUSM_API rusm_pid rusm_pid_self(const rusm_runtime *rt);

/* It has started and not ended. The answer may be old when it arrives: only an end is for ever.
 * Never waits. */
RUSM_API bool rusm_pid_is_alive(rusm_runtime *rt, rusm_pid pid);

/* End a process whatever it does; nothing traps it. True if it was alive. Never waits: the target
 * ends at its next suspension or tick. */
RUSM_API bool rusm_pid_kill(rusm_runtime *rt, rusm_pid pid);

/* Send an exit signal with a reason. It keeps its order with the sender's messages. A process that
 * traps gets it as RUSM_MSG_EXIT mail; another one ends, but for RUSM_EXIT_NORMAL, which does
 * nothing unless it sent the signal itself. To oneself the signal has arrived when the call
 * returns: without a trap the process is to end from then on, and a trap that is set later changes
 * nothing. Any thread; never waits. RUSM_ENOPROC, RUSM_EINVAL (no such kind), RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_pid_exit(rusm_runtime *rt, rusm_pid pid, rusm_exit_kind kind,
                                         const char *text);

/* The holder of a name, 0 if nobody, or if it is no name (NULL, empty, longer than 255 bytes).
 * Lock-free, as are the next two. */
RUSM_API rusm_pid rusm_name_whereis(rusm_runtime *rt, const char *name, size_t len);

/* Members of a tag, up to cap of them; returns how many there are. */
RUSM_API size_t rusm_tag_whereis(rusm_runtime *rt, const char *tag, size_t len, rusm_pid *out_pids,
                                 size_t cap);

/* Kill every member; returns how many were alive. */
RUSM_API size_t rusm_tag_kill(rusm_runtime *rt, const char *tag, size_t len);

/* All live pids, up to cap; returns how many there are. */
RUSM_API size_t rusm_pid_list(rusm_runtime *rt, rusm_pid *out_pids, size_t cap);

typedef struct rusm_proc_info rusm_proc_info;

/* A moment's picture of a process. Returns owned. RUSM_ENOPROC, RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_pid_info(rusm_runtime *rt, rusm_pid pid, rusm_proc_info **out_info);
RUSM_API void rusm_proc_info_free(rusm_proc_info *info);

struct rusm_proc_info {
    rusm_pid pid;
    uint32_t links;
    uint32_t monitors;      /* of others on it */
    uint32_t mailbox_depth; /* messages that wait; signals and replies not counted */
    rusm_mailbox_policy mailbox_policy;
    uint64_t refused;   /* messages for it that its bounds refused since it was started */
    uint64_t displaced; /* messages in its mailbox that newer ones displaced */
    bool trap_exit;
    const char *label; /* NULL = none */
    size_t name_count;
    const char **names;
};

/* ---- timers ---- */

typedef uint64_t rusm_timer;

/* Send msg to pid at deadline_ns, at once if that has passed. Takes msg on success. The timer
 * outlives the process that set it. An id is never 0. Any thread, never waits. RUSM_EINVAL: not a
 * RUSM_MSG_DATA. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_timer_send(rusm_runtime *rt, uint64_t deadline_ns, rusm_pid to,
                                           rusm_msg *msg, rusm_timer *out_timer);

/* As rusm_timer_send, to whoever holds the name when the timer fires; to nobody if nobody does. The
 * name is copied. RUSM_EINVAL also for a name that is empty or longer than 255 bytes. */
RUSM_API RUSM_MUST_USE int rusm_timer_send_name(rusm_runtime *rt, uint64_t deadline_ns,
                                                const char *name, size_t len, rusm_msg *msg,
                                                rusm_timer *out_timer);

/* True if the timer had not fired and now never will. False for one that fired, was cancelled,
 * or never was. Any thread. */
RUSM_API bool rusm_timer_cancel(rusm_runtime *rt, rusm_timer timer);

#ifdef __cplusplus
}
#endif
#endif
