/* SPDX-License-Identifier: MIT */
#include "sup/restart.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

#define BACKOFF_MAX_NS (3600 * RUSM__SECOND)

/* ---- budgets ---- */

bool rusm__budget_is_valid(rusm_budget limits) {
    bool in_range =
        limits.max_restarts <= RUSM_RESTARTS_MAX || limits.max_restarts == RUSM_RESTARTS_UNLIMITED;
    return in_range && (limits.within_ns || !limits.max_restarts);
}

static bool has_ring(const struct rusm__budget *budget) {
    return budget->max_restarts != RUSM_RESTARTS_UNLIMITED && budget->within_ns != UINT64_MAX;
}

struct rusm__budget *rusm__budget_new(rusm_budget limits) {
    struct rusm__budget *budget;
    bool ring = limits.max_restarts != RUSM_RESTARTS_UNLIMITED && limits.within_ns != UINT64_MAX;
    size_t times = ring ? limits.max_restarts : 0;
    budget = rusm__mem_try_zalloc(sizeof(*budget) + times * sizeof(budget->at_ns[0]));
    if (budget) {
        budget->max_restarts = limits.max_restarts;
        budget->within_ns = limits.within_ns;
    }
    return budget;
}

void rusm__budget_free(struct rusm__budget *budget) {
    rusm__mem_free(budget);
}

void rusm__budget_refill(struct rusm__budget *budget) {
    budget->first = 0;
    budget->count = 0;
}

static void forget_past(struct rusm__budget *budget, uint64_t now_ns) {
    while (budget->count && now_ns - budget->at_ns[budget->first] >= budget->within_ns) {
        budget->first = (budget->first + 1) % budget->max_restarts;
        budget->count--;
    }
}

bool rusm__budget_allows(struct rusm__budget *budget, uint64_t now_ns) {
    if (has_ring(budget))
        forget_past(budget, now_ns);
    return budget->max_restarts == RUSM_RESTARTS_UNLIMITED || budget->count < budget->max_restarts;
}

void rusm__budget_charge(struct rusm__budget *budget, uint64_t now_ns) {
    if (budget->max_restarts == RUSM_RESTARTS_UNLIMITED)
        return; /* nothing looks at the count, which would overflow one day */
    RUSM_ASSERT(budget->count < budget->max_restarts);
    if (has_ring(budget))
        budget->at_ns[(budget->first + budget->count) % budget->max_restarts] = now_ns;
    budget->count++;
}

/* ---- back-off ---- */

bool rusm__backoff_is_valid(const rusm_backoff *backoff) {
    bool in_range = backoff->first_ns <= BACKOFF_MAX_NS && backoff->max_ns <= BACKOFF_MAX_NS;
    return in_range &&
           (!backoff->max_ns || (backoff->first_ns && backoff->first_ns <= backoff->max_ns));
}

static uint64_t longest(const rusm_backoff *backoff) {
    return backoff->max_ns ? backoff->max_ns : backoff->first_ns;
}

uint64_t rusm__backoff_delay(const rusm_backoff *backoff, uint32_t streak, uint64_t random) {
    if (streak < backoff->at_once || backoff->first_ns == 0)
        return 0;
    uint64_t max = longest(backoff);
    uint64_t delay = backoff->first_ns;
    for (uint32_t i = backoff->at_once; i < streak && delay < max; i++)
        delay *= 2; /* both are an hour at most */
    delay = delay < max ? delay : max;
    return delay - random % (delay / 2 + 1);
}

bool rusm__backoff_is_over(const rusm_backoff *backoff, uint64_t up_ns) {
    return up_ns >= 2 * longest(backoff);
}

/* ---- the decision ---- */

static bool stays_down(rusm_restart restart, rusm_exit_kind kind) {
    return restart == RUSM_RESTART_TEMPORARY ||
           (restart == RUSM_RESTART_TRANSIENT && kind == RUSM_EXIT_NORMAL);
}

static enum rusm__verdict verdict_of(rusm_strategy strategy) {
    switch (strategy) {
    case RUSM_ONE_FOR_ALL:
        return RUSM__RESTART_ALL;
    case RUSM_REST_FOR_ONE:
        return RUSM__RESTART_REST;
    case RUSM_ONE_FOR_ONE:
        break;
    }
    return RUSM__RESTART_ONE;
}

enum rusm__verdict rusm__restart_decide(const struct rusm__fall *fall) {
    if (stays_down(fall->restart, fall->kind))
        return RUSM__STAYS_DOWN;
    if (fall->own && !rusm__budget_allows(fall->own, fall->now_ns))
        return fall->strategy == RUSM_ONE_FOR_ONE ? RUSM__GIVE_UP_ONE : RUSM__GIVE_UP;
    if (!rusm__budget_allows(fall->shared, fall->now_ns))
        return RUSM__GIVE_UP;
    if (fall->own)
        rusm__budget_charge(fall->own, fall->now_ns);
    rusm__budget_charge(fall->shared, fall->now_ns);
    return verdict_of(fall->strategy);
}
