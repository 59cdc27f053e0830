/* SPDX-License-Identifier: MIT */
/* What follows when a child ended: its type, the budgets, the strategy, the back-off.
 *
 * The decision is a function of what happened and when, so it is tested without a process and
 * without a clock, and every supervisor shares it.
 *
 *   type       permanent: always. transient: unless it ended normally. temporary: never.
 *   budgets    the child's own, if it has one, and the supervisor's. One more than either allows is
 *              given up: the child alone where its siblings do not need it, else everything.
 *   strategy   who is started anew with it.
 *   back-off   how long that waits. */
#ifndef RUSM__SUP_RESTART_H
#define RUSM__SUP_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "rusm/supervisor.h"

/* Restarts that were granted: a ring of the times of the latest max_restarts ones. A window that
 * never ends needs no ring, nor does a budget without a bound. */
struct rusm__budget {
    uint32_t max_restarts;
    uint32_t first; /* the oldest in the ring */
    uint32_t count; /* granted ones that are in the window */
    uint64_t within_ns;
    uint64_t at_ns[];
};

bool rusm__budget_is_valid(rusm_budget limits);
/* NULL: no memory. */
struct rusm__budget *rusm__budget_new(rusm_budget limits);
void rusm__budget_free(struct rusm__budget *budget);
void rusm__budget_refill(struct rusm__budget *budget);
/* May one more be granted at now_ns? Times never go backwards. */
bool rusm__budget_allows(struct rusm__budget *budget, uint64_t now_ns);
void rusm__budget_charge(struct rusm__budget *budget, uint64_t now_ns);

bool rusm__backoff_is_valid(const rusm_backoff *backoff);
/* The wait before restart number `streak` (from 0) in a row; `random` is any 64 random bits. */
uint64_t rusm__backoff_delay(const rusm_backoff *backoff, uint32_t streak, uint64_t random);
/* Did a child that was up for so long earn a new streak? */
bool rusm__backoff_is_over(const rusm_backoff *backoff, uint64_t up_ns);

enum rusm__verdict {
    RUSM__STAYS_DOWN,   /* its type says so */
    RUSM__RESTART_ONE,  /* start it */
    RUSM__RESTART_ALL,  /* stop all others, then start all */
    RUSM__RESTART_REST, /* stop those after it, then start it and them */
    RUSM__GIVE_UP_ONE,  /* it stays down; its siblings go on */
    RUSM__GIVE_UP,      /* stop everything and crash */
};

struct rusm__fall {
    rusm_strategy strategy;
    rusm_restart restart;
    rusm_exit_kind kind;
    uint64_t now_ns;
    struct rusm__budget *own; /* NULL: it has none */
    struct rusm__budget *shared;
};

/* A granted restart is charged to both budgets, one that is not to neither. */
enum rusm__verdict rusm__restart_decide(const struct rusm__fall *fall);

#endif
