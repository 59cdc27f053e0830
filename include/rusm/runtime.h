/* SPDX-License-Identifier: MIT */
/* A runtime: schedulers (one thread each), the process table, names and timers.
 *
 * A process is named by a pid: slot in the low 32 bits, generation above. A pid is never reused
 * while anyone may hold it; 0 is nobody. Several runtimes may live in one program. */
#ifndef RUSM_RUNTIME_H
#define RUSM_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t rusm_pid;
typedef struct rusm_runtime rusm_runtime;

/* How a process ended. The order is also the severity in the log. */
typedef enum rusm_exit_kind {
    RUSM_EXIT_NORMAL = 0,
    RUSM_EXIT_KILLED = 1,
    RUSM_EXIT_CRASHED = 2,
    RUSM_EXIT_NOPROC = 3, /* in a DOWN or EXIT: there was no such process to monitor or link to */
} rusm_exit_kind;

/* "normal", "killed", "crashed", "noproc"; "unknown" for other values. Static storage. Any thread.
 */
RUSM_API const char *rusm_exit_kind_name(rusm_exit_kind kind);

/* What happens to a message when the mailbox that it is for is at its limit. Signals (down, exit,
 * link, kill) and the replies to calls never count against a limit and are never refused or
 * displaced. A message that is larger than the mailbox may ever hold is refused with RUSM_ETOOBIG
 * whatever the policy, and nothing else happens. */
typedef enum rusm_mailbox_policy {
    RUSM_MAILBOX_DEFAULT = 0, /* the runtime's; there: refuse */
    RUSM_MAILBOX_REFUSE = 1,  /* the sender gets RUSM_EFULL and keeps it */
    /* The newest is queued and the oldest is freed. Until the receiver looks at its mailbox again,
     * which is when older ones than those of the last bound are dropped, it may hold two bounds. */
    RUSM_MAILBOX_DROP_OLDEST = 2,
    /* A sender that can wait does (rusm_send, rusm_call, rusm_proc_send); all others, and the
     * receiver itself, get RUSM_EFULL. Nobody overtakes those that wait. */
    RUSM_MAILBOX_BLOCK_SENDER = 3,
    RUSM_MAILBOX_EXIT = 4, /* the receiver ends, crashed; the sender gets RUSM_EFULL */
} rusm_mailbox_policy;

/* The largest bounds that a mailbox can have. */
#define RUSM_MAILBOX_MAX_MESSAGES 4194303u
#define RUSM_MAILBOX_MAX_BYTES    (((uint64_t)1 << 38) - 1) /* 256 GiB less one */

/* No watchdog. */
#define RUSM_WATCHDOG_OFF UINT32_MAX

/* Set size to sizeof(rusm_runtime_options); everything else may stay 0 for the default. */
typedef struct rusm_runtime_options {
    size_t size;
    uint32_t schedulers;    /* threads; 0 = one per usable core; at most 250 */
    uint32_t max_processes; /* live at once; 0 = 4,194,304; at most 2^30 */
    /* Default bounds per process, at most RUSM_MAILBOX_MAX_...; a message weighs 32 bytes more than
     * its data. */
    uint32_t mailbox_messages;          /* 0 = 1,048,576 */
    uint64_t mailbox_bytes;             /* 0 = 256 MiB */
    rusm_mailbox_policy mailbox_policy; /* default per process; 0 = RUSM_MAILBOX_REFUSE */
    /* A step that runs longer than this is told to the log (rusm/log.h), once, with pid and label:
     * it holds up what is queued behind it. 0 = 250; RUSM_WATCHDOG_OFF */
    uint32_t watchdog_ms;
} rusm_runtime_options;

/* Start a runtime. opts may be NULL. Waits until every thread is made. RUSM_EINVAL: wrong size, or
 * a value over its limit. RUSM_ENOMEM. RUSM_EIO when the system refuses a thread or an event loop.
 */
RUSM_API RUSM_MUST_USE int rusm_runtime_start(const rusm_runtime_options *opts,
                                              rusm_runtime **out_rt);

/* Kill every process, join every scheduler and free the runtime. Returns how many processes were
 * alive at the call, or RUSM_ESTATE from a process of this runtime: nothing happened. RUSM_EINVAL:
 * NULL. Any other thread, once. Waits; a native body that never returns makes it wait for ever. */
RUSM_API int rusm_runtime_stop(rusm_runtime *rt);

/* As rusm_runtime_stop, but first let those wind up who asked for it: from now on no process starts
 * (RUSM_ESTATE); every process that traps exits gets a RUSM_MSG_EXIT from nobody (pid 0), kind
 * RUSM_EXIT_KILLED, text "shutdown"; the others go on, for these may need them. They are told in
 * three turns, each when all who were told before have ended: RUSM_SPAWN_STOP_EARLY (supervisors
 * at the top), those without a flag, RUSM_SPAWN_STOP_LATE (who is supervised, and has been ended by
 * its supervisor as a rule). When all have ended, or grace_ns is over, everything that is left is
 * killed; *out_killed, if not NULL, says how many that were. RUSM_ESTATE from a process of this
 * runtime: nothing happened. RUSM_EINVAL: rt is NULL. */
RUSM_API RUSM_MUST_USE int rusm_runtime_stop_within(rusm_runtime *rt, uint64_t grace_ns,
                                                    size_t *out_killed);

/* Is the calling thread a scheduler of any runtime? All processes there stand still while it waits,
 * and what it waits for may be one of them. */
RUSM_API bool rusm_runtime_is_scheduler(void);

/* Live processes, summed over the schedulers; exact when nothing spawns or ends meanwhile. Any
 * thread; never waits. */
RUSM_API size_t rusm_runtime_process_count(const rusm_runtime *rt);

typedef struct rusm_runtime_stats {
    size_t size;      /* set by the caller */
    uint64_t spawned; /* since the start */
    uint64_t exited;
    uint64_t sent;    /* messages queued */
    uint64_t refused; /* messages refused because of a mailbox' limit */
    /* Messages that were queued and never received: they waited when their process ended, newer
     * ones displaced them, or they were replies to a call that had given up. Once nothing waits
     * any more, sent = received + dropped. */
    uint64_t dropped;
    uint64_t displaced; /* of these, by newer ones (RUSM_MAILBOX_DROP_OLDEST) */
    uint64_t steals;    /* processes that changed scheduler by stealing */
    uint64_t stuck;     /* steps that the watchdog told the log about */
    uint64_t sleeps;    /* times a scheduler slept in the kernel */
    uint32_t schedulers;
} rusm_runtime_stats;

/* Counters per scheduler, summed on read: a moment's picture, not a snapshot. RUSM_EINVAL: no
 * stats, or another size. Any thread; never waits. */
RUSM_API int rusm_runtime_get_stats(const rusm_runtime *rt, rusm_runtime_stats *stats);

/* Nanoseconds of the monotonic clock that all deadlines here are measured on. */
RUSM_API uint64_t rusm_now_ns(void);

#ifdef __cplusplus
}
#endif
#endif
