/* SPDX-License-Identifier: MIT */
#include "sup/restart.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

struct rusm__sup_policy rusm__sup_default_policy(enum rusm__sup_type type) {
    return (struct rusm__sup_policy){
        .type = type,
        .max_restarts = 3,
        .window_ns = 5 * RUSM__SECOND,
        .delay_ns = 10 * RUSM__MS,
        .max_delay_ns = RUSM__SECOND,
    };
}

void rusm__sup_budget_init(struct rusm__sup_budget *budget, uint64_t seed) {
    memset(budget, 0, sizeof(*budget));
    rusm__random_seed(&budget->random, seed);
}

/* Is the restart at at_ns older than the window that ends at now_ns? */
static bool is_past(const struct rusm__sup_policy *policy, uint64_t at_ns, uint64_t now_ns) {
    return now_ns >= at_ns && now_ns - at_ns >= policy->window_ns;
}

uint32_t rusm__sup_used(const struct rusm__sup_policy *policy,
                        const struct rusm__sup_budget *budget, uint64_t now_ns) {
    uint32_t used = 0;
    for (uint32_t i = 0; i < budget->count; i++)
        used += !is_past(policy, budget->at_ns[i], now_ns);
    return used;
}

static bool stays_down(enum rusm__sup_type type, rusm_exit_kind kind) {
    return type == RUSM__SUP_TEMPORARY || (type == RUSM__SUP_TRANSIENT && kind == RUSM_EXIT_NORMAL);
}

static uint64_t next_delay(const struct rusm__sup_policy *policy, struct rusm__sup_budget *budget) {
    uint64_t delay = policy->delay_ns;
    for (uint32_t i = 0; i < budget->streak && delay < policy->max_delay_ns; i++)
        delay *= 2;
    if (delay > policy->max_delay_ns)
        delay = policy->max_delay_ns;
    return delay - (delay / 2 == 0 ? 0 : rusm__random_u64(&budget->random) % (delay / 2 + 1));
}

static void charge(struct rusm__sup_budget *budget, uint64_t now_ns) {
    budget->at_ns[budget->next] = now_ns;
    budget->next = (budget->next + 1) % RUSM__SUP_MAX_RESTARTS;
    if (budget->count < RUSM__SUP_MAX_RESTARTS)
        budget->count++;
    budget->streak++;
}

enum rusm__sup_verdict rusm__sup_decide(const struct rusm__sup_policy *policy,
                                        struct rusm__sup_budget *budget, rusm_exit_kind kind,
                                        uint64_t now_ns, uint64_t *out_delay_ns) {
    RUSM_ASSERT(policy->max_restarts <= RUSM__SUP_MAX_RESTARTS);
    *out_delay_ns = 0;
    if (stays_down(policy->type, kind))
        return RUSM__SUP_DONE;
    uint32_t used = rusm__sup_used(policy, budget, now_ns);
    if (used >= policy->max_restarts)
        return RUSM__SUP_GIVE_UP;
    if (used == 0)
        budget->streak = 0;
    *out_delay_ns = next_delay(policy, budget);
    charge(budget, now_ns);
    return RUSM__SUP_RESTART;
}
