/* SPDX-License-Identifier: MIT */
/* A supervisor of one child: a native process that starts it, watches it, and starts it again as
 * its policy says (sup/restart.h). Every restart is logged as a warning, giving up as an error.
 *
 * Built on the public process API. The caller says how a child is started, so that the child may
 * be anything: a Wasm instance, a native body. When the supervisor is told to end, it takes its
 * child along; when it is done or gives up, it ends by itself.
 *
 * Threads: the calls of rusm__sup_child are made on scheduler threads, one at a time. */
#ifndef RUSM__SUP_ONE_H
#define RUSM__SUP_ONE_H

#include "rusm/export.h"
#include "rusm/runtime.h"

#include "sup/restart.h"

/* Where a supervisor stands with its child. */
enum rusm__sup_state {
    RUSM__SUP_UP,      /* the child runs */
    RUSM__SUP_DOWN,    /* it fell and will be started again */
    RUSM__SUP_ENDED,   /* it ended and its type says that it stays down */
    RUSM__SUP_GIVEN_UP /* the budget is used up, or its first start failed */
};

/* name and data outlive the supervisor. */
struct rusm__sup_child {
    const char *name; /* in the log */
    /* Start the child so that its end comes to `supervisor` as a DOWN with this reference: set
     * both in the spawn's options, which leaves no gap between start and watch. The supervisor is
     * the running process. An error counts as a crash, except the first time: then the
     * supervisor gives up at once. */
    int (*start)(void *data, rusm_pid supervisor, uint64_t ref, rusm_pid *out_pid);
    /* Told on every change, before the next mail is read. `code` is that of a failed start, else
     * 0. May be NULL. */
    void (*changed)(void *data, enum rusm__sup_state state, int code);
    void *data;
};

/* Start the supervisor, which starts the child in its first step. Any thread, never waits.
 * RUSM_ENOMEM, RUSM_EPROCS; RUSM_EINVAL when max_restarts is too many. */
RUSM_MUST_USE int rusm__sup_one_start(rusm_runtime *rt, const struct rusm__sup_child *child,
                                      const struct rusm__sup_policy *policy, rusm_pid *out_pid);

#endif
