/* SPDX-License-Identifier: MIT */
/* Supervisors: processes that start children, watch them, and start them again when they fall.
 *
 * Children are started from left to right, and one that cannot be started undoes the earlier ones.
 * They are stopped from right to left: each gets an exit signal (kind killed, text "shutdown") and
 * its grace time to end, and is killed after that. A supervisor ends with its children: when its
 * parent ends, when it is stopped, when the runtime winds up (rusm_runtime_stop_within), when it
 * gives up (reason crashed, after stopping all), and when it is killed (its children are killed
 * then). What it did goes to the log: each restart as a warning, each give-up as an error.
 *
 * A child is whatever its start function spawns: a state machine, a fiber, a guest, or another
 * supervisor. The supervisor runs on scheduler threads as any process does. */
#ifndef RUSM_SUPERVISOR_H
#define RUSM_SUPERVISOR_H

#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/process.h"
#include "rusm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Who else is started anew when a child is. */
typedef enum rusm_strategy {
    RUSM_ONE_FOR_ONE = 0,  /* nobody */
    RUSM_ONE_FOR_ALL = 1,  /* all children */
    RUSM_REST_FOR_ONE = 2, /* those that were started after it */
} rusm_strategy;

/* Whether a child that ended by itself is started again. */
typedef enum rusm_restart {
    RUSM_RESTART_PERMANENT = 0, /* always */
    RUSM_RESTART_TRANSIENT = 1, /* unless its end was normal */
    RUSM_RESTART_TEMPORARY = 2, /* never; it is forgotten once it has ended */
} rusm_restart;

#define RUSM_RESTARTS_MAX       4096u
#define RUSM_RESTARTS_UNLIMITED UINT32_MAX

/* At most max_restarts within any within_ns. max_restarts is 0 (the first fall is one too many) to
 * RUSM_RESTARTS_MAX, or RUSM_RESTARTS_UNLIMITED. within_ns UINT64_MAX: in the whole life. Both 0:
 * the default of whoever has the budget; within_ns 0 alone is RUSM_EINVAL. */
typedef struct rusm_budget {
    uint32_t max_restarts;
    uint64_t within_ns;
} rusm_budget;

/* How long a restart waits: the first `at_once` ones not at all, the next one first_ns, each
 * further one twice as long up to max_ns; a random part of up to half is taken off, so that
 * children that fell together do not rise together. A child that stayed up for twice max_ns starts
 * over. All 0: the supervisor's, and there: no restart waits. at_once UINT32_MAX alone never waits.
 */
typedef struct rusm_backoff {
    uint32_t at_once;
    uint64_t first_ns;
    uint64_t max_ns; /* at least first_ns, at most an hour; 0 = first_ns */
} rusm_backoff;

#define RUSM_GRACE_KILL 1u /* do not ask, kill */

/* Start the child. `spawn` holds what the supervisor needs to watch it (out_monitor, flags) and the
 * child's id as its label: complete it (ops and body, or as rusm_fiber_options.spawn, or as
 * rusm_supervisor_options.spawn) and spawn with it. Runs in a step of the supervisor, `self`, so it
 * must neither wait nor receive. An error counts as a crash of the child, and so does every other
 * answer that is not RUSM_OK with the pid of another process (RUSM_EINVAL); what it had spawned
 * with `spawn` is killed then. A process that was spawned without `spawn` is watched from the
 * return on, so that the kind of an early end is not known: it counts as a crash. */
typedef int (*rusm_child_start)(rusm_proc *self, void *arg, rusm_spawn_options *spawn,
                                rusm_pid *out_pid);

/* Set size to sizeof(rusm_child). */
typedef struct rusm_child {
    size_t size;
    const char *id; /* copied; 1 to 255 bytes, one of its kind in the supervisor */
    rusm_child_start start;
    void *arg; /* stays the caller's, unless there is a drop */
    /* Called once when the supervisor forgets the child, on a scheduler (rusm_supervisor_add: or by
     * the caller); it must not wait. NULL = nothing */
    void (*drop)(void *arg);
    rusm_restart restart;
    uint64_t grace_ns; /* 0 = 5 s; RUSM_GRACE_KILL; UINT64_MAX waits for ever (for supervisors) */
    /* Of the child alone, on top of the supervisor's; by default it has none. When it is used up
     * the child is given up and stays down, and under one-for-one its siblings live on; under the
     * other strategies they need it, so the supervisor gives up. */
    rusm_budget budget;
    rusm_backoff backoff;
} rusm_child;

#define RUSM_CHILDREN_MAX 16384u

/* Set size to sizeof(rusm_supervisor_options). */
typedef struct rusm_supervisor_options {
    size_t size;
    const char *name; /* in the log, and the label; copied, cut at 255 bytes; NULL = "supervisor" */
    rusm_strategy strategy;
    rusm_budget budget; /* default: 3 restarts in 5 s. When it is used up the supervisor gives up */
    rusm_backoff backoff;
    rusm_pid parent; /* linked to: when it ends, in whatever way, the supervisor stops and ends;
                      * when the supervisor gives up, the parent gets its exit signal. 0 = nobody */
    const rusm_child *children; /* in starting order; taken on success */
    size_t child_count;         /* at most RUSM_CHILDREN_MAX */
    /* out_monitor, monitor_by, flags, mailbox; size may be 0. ops, body and first must be NULL, the
     * label is the name. Not RUSM_SPAWN_LINK: name the parent. RUSM_SPAWN_STOP_EARLY is set unless
     * there is a parent or a supervisor above. */
    rusm_spawn_options spawn;
} rusm_supervisor_options;

/* What a supervisor can be asked with. It outlives the process, and freeing it does not end the
 * process. Any thread. */
typedef struct rusm_supervisor rusm_supervisor;

/* Start a supervisor, which starts its children in its first steps. out_supervisor may be NULL,
 * else it is returned owned. Any thread; never waits. RUSM_EINVAL: an option is out of range or an
 * id is missing or there twice; RUSM_ENOMEM, RUSM_EPROCS, RUSM_ESTATE as of rusm_proc_spawn. */
RUSM_API RUSM_MUST_USE int rusm_supervisor_start(rusm_runtime *rt,
                                                 const rusm_supervisor_options *opts,
                                                 rusm_pid *out_pid,
                                                 rusm_supervisor **out_supervisor);
RUSM_API void rusm_supervisor_free(rusm_supervisor *supervisor); /* NULL is allowed */
RUSM_API rusm_pid rusm_supervisor_pid(const rusm_supervisor *supervisor);

typedef enum rusm_child_state {
    RUSM_CHILD_UP = 0,
    RUSM_CHILD_STOPPING = 1, /* was asked to end, or killed */
    RUSM_CHILD_WAITING = 2,  /* fell and will be started again */
    RUSM_CHILD_DOWN = 3,     /* not started yet, terminated, or ended and not to be restarted */
    RUSM_CHILD_GIVEN_UP = 4, /* its own budget is used up */
} rusm_child_state;

typedef struct rusm_child_info {
    char id[256];
    rusm_pid pid; /* 0 unless up or stopping */
    rusm_child_state state;
    rusm_restart restart;
    uint64_t restarts; /* times that it was started again, together with siblings or not */
} rusm_child_info;

/* The children in starting order, up to cap of them (out_infos NULL: none); returns how many there
 * are, 0 once the supervisor has ended. A moment's picture. Any thread; never waits. */
RUSM_API size_t rusm_supervisor_children(rusm_supervisor *supervisor, rusm_child_info *out_infos,
                                         size_t cap);

/* The requests below go to the supervisor, which does one after another in the order they were made
 * and none before its first children are started. `self` is the fiber that waits for the answer;
 * NULL: a plain thread waits. A deadline in the past waits for nothing, so that state machines can
 * make requests too (with NULL). RUSM_ETIMEDOUT: no answer yet; the request may be done later.
 * RUSM_EEXITING: the fiber is to end; likewise. RUSM_ENOPROC: the supervisor has ended or ended
 * before it came to the request. RUSM_ESTATE: the supervisor is stopping; or the caller may not
 * wait like this: a scheduler thread with NULL and a deadline to come, a process that is no fiber
 * with itself. RUSM_ENOMEM, RUSM_EFULL, RUSM_EBUSY (as of rusm_call): no request was made. A start
 * function must not wait for its own supervisor. */

/* Wait until the first children are started. The error of the child that could not be. */
RUSM_API RUSM_MUST_USE int rusm_supervisor_ready(rusm_proc *self, rusm_supervisor *supervisor,
                                                 uint64_t deadline_ns);

/* Start one more child, to the right of all others. Its arg is taken, whatever is returned: if
 * there is a drop, it is called once, sooner (by the caller or the supervisor, when the child did
 * not come to be) or later. (A `child` that is NULL or of another size cannot be read, so nothing
 * of it is taken.) When its start fails it is forgotten and the error is the answer. RUSM_EEXIST:
 * the id is in use. RUSM_ELIMIT: RUSM_CHILDREN_MAX. RUSM_EINVAL. */
RUSM_API RUSM_MUST_USE int rusm_supervisor_add(rusm_proc *self, rusm_supervisor *supervisor,
                                               const rusm_child *child, uint64_t deadline_ns);

/* Stop a child and keep it down until somebody restarts it, or a restart of all or the rest
 * includes it. Answered when it is down. A temporary child is forgotten. RUSM_ENOTFOUND. */
RUSM_API RUSM_MUST_USE int rusm_supervisor_terminate(rusm_proc *self, rusm_supervisor *supervisor,
                                                     const char *id, uint64_t deadline_ns);

/* Start a child that is down, given up or waiting, without a wait and without charging a budget;
 * a budget of its own is full again. Its error is the answer and it stays down. RUSM_ENOTFOUND.
 * RUSM_EEXIST: it is up or stopping. */
RUSM_API RUSM_MUST_USE int rusm_supervisor_restart(rusm_proc *self, rusm_supervisor *supervisor,
                                                   const char *id, uint64_t deadline_ns);

/* Forget a child that is down, given up or waiting. RUSM_ENOTFOUND. RUSM_EEXIST: it is up or
 * stopping. */
RUSM_API RUSM_MUST_USE int rusm_supervisor_remove(rusm_proc *self, rusm_supervisor *supervisor,
                                                  const char *id, uint64_t deadline_ns);

/* Stop all children in order and end with reason normal. Answered when everything is down; RUSM_OK
 * too if it had ended before. Does not wait for earlier requests. */
RUSM_API RUSM_MUST_USE int rusm_supervisor_stop(rusm_proc *self, rusm_supervisor *supervisor,
                                                uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif
#endif
