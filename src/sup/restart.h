/* SPDX-License-Identifier: MIT */
/* When a child that ended is started again: its type, its budget, its back-off.
 *
 * The decision is a function of what happened and when, so it is tested without a process and
 * without a clock, and every kind of supervisor shares it.
 *
 *   type       permanent: always. transient: after a crash or a kill. temporary: never.
 *   budget     more than `max_restarts` within `window_ns` and the supervisor gives up.
 *   back-off   the first restart of a quiet child waits `delay_ns`, each further one twice as long,
 *              up to `max_delay_ns`; a random part of up to half is taken off, so that children
 *              that fell together do not rise together. A child that ran for a whole window
 *              starts over. */
#ifndef RUSM__SUP_RESTART_H
#define RUSM__SUP_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "rusm/runtime.h"

#include "base/random.h"

#define RUSM__SUP_MAX_RESTARTS 64u

enum rusm__sup_type { RUSM__SUP_PERMANENT, RUSM__SUP_TRANSIENT, RUSM__SUP_TEMPORARY };

struct rusm__sup_policy {
    enum rusm__sup_type type;
    uint32_t max_restarts; /* at most RUSM__SUP_MAX_RESTARTS; 0: the first one is too many */
    uint64_t window_ns;
    uint64_t delay_ns;
    uint64_t max_delay_ns;
};

/* 3 restarts in 5 s; 10 ms, doubling up to 1 s. */
struct rusm__sup_policy rusm__sup_default_policy(enum rusm__sup_type type);

/* The restarts of the last window, and the random numbers of the back-off. */
struct rusm__sup_budget {
    uint64_t at_ns[RUSM__SUP_MAX_RESTARTS]; /* a ring: when restarts were granted */
    uint32_t next;                          /* where the next one goes */
    uint32_t count;                         /* granted ones in the ring */
    uint32_t streak;                        /* restarts since the child last ran a window long */
    struct rusm__random random;
};

void rusm__sup_budget_init(struct rusm__sup_budget *budget, uint64_t seed);

enum rusm__sup_verdict {
    RUSM__SUP_DONE,    /* its type says that it stays down */
    RUSM__SUP_RESTART, /* start it again after *out_delay_ns */
    RUSM__SUP_GIVE_UP, /* the budget is used up */
};

/* The child ended as `kind` at now_ns. A granted restart is charged to the budget. */
enum rusm__sup_verdict rusm__sup_decide(const struct rusm__sup_policy *policy,
                                        struct rusm__sup_budget *budget, rusm_exit_kind kind,
                                        uint64_t now_ns, uint64_t *out_delay_ns);

/* Granted restarts within the window that ends at now_ns. */
uint32_t rusm__sup_used(const struct rusm__sup_policy *policy,
                        const struct rusm__sup_budget *budget, uint64_t now_ns);

#endif
