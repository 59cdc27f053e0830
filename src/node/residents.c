/* SPDX-License-Identifier: MIT */
/* What runs from the start: commands, once each, and residents, each under its own supervisor with
 * its own budget, so that one that keeps falling takes nobody along. */
#include "node/node_impl.h"

#include <errno.h>

#include "rusm/error.h"
#include "rusm/process.h"

/* ---- who is what ---- */

static int check_member(rusm_node *node, const struct rusm__member *member) {
    if (rusm__component_get_kind(member->component) != RUSM__COMPONENT_HTTP ||
        !member->declared->resident)
        return RUSM_OK;
    rusm__node_fail(node,
                    "component `%s`: a wasi:http component can't be `resident` (it only answers "
                    "requests)",
                    member->declared->name);
    return RUSM_EGUEST;
}

int rusm__node_check_residents(rusm_node *node) {
    size_t count = node->member_count;
    node->residents = rusm__arena_try_array(&node->arena, count + 1, sizeof(*node->residents));
    node->on_demand = rusm__arena_try_array(&node->arena, count + 1, sizeof(*node->on_demand));
    if (!node->residents || !node->on_demand)
        return RUSM_ENOMEM;
    int worst = RUSM_OK;
    for (size_t i = 0; i < count; i++) {
        const struct rusm__member *member = &node->members[i];
        int code = check_member(node, member);
        if (code < 0)
            worst = code;
        if (member->declared->resident)
            node->residents[node->resident_count++].member = member;
        else
            node->on_demand[node->on_demand_count++] = member;
    }
    return worst;
}

/* ---- the child of a supervisor; on schedulers ---- */

static int start_resident(void *data, rusm_pid supervisor, uint64_t ref, rusm_pid *out_pid) {
    const struct rusm__resident *resident = data;
    struct rusm__component_spawn options = {.monitor_by = supervisor, .monitor_ref = ref};
    return rusm__component_spawn(resident->member->component, &options, out_pid);
}

static void resident_changed(void *data, enum rusm__sup_state state, int code) {
    struct rusm__resident *resident = data;
    atomic_store_explicit(&resident->state, (int)state, memory_order_relaxed);
    if (resident->has_first)
        return;
    resident->has_first = true;
    resident->code = code;
    sem_post(resident->first); /* publishes code; pairs with the wait in boot_residents */
}

/* ---- boot ---- */

static enum rusm__sup_type type_of(enum rusm__restart restart) {
    switch (restart) {
    case RUSM__RESTART_PERMANENT:
        return RUSM__SUP_PERMANENT;
    case RUSM__RESTART_TRANSIENT:
        return RUSM__SUP_TRANSIENT;
    case RUSM__RESTART_TEMPORARY:
        return RUSM__SUP_TEMPORARY;
    }
    return RUSM__SUP_TRANSIENT;
}

static void explain(rusm_node *node, const struct rusm__member *member, int code) {
    rusm__node_fail(node, "starting `%s`: ", member->declared->name);
    rusm__component_explain(member->component, code, NULL, &node->error);
}

static int supervise(rusm_node *node, struct rusm__resident *resident, sem_t *first) {
    resident->first = first;
    struct rusm__sup_policy policy =
        rusm__sup_default_policy(type_of(resident->member->declared->restart));
    struct rusm__sup_child child = {
        .name = resident->member->declared->name,
        .start = start_resident,
        .changed = resident_changed,
        .data = resident,
    };
    int code = rusm__sup_one_start(node->runtime, &child, &policy, &resident->supervisor);
    if (code < 0)
        explain(node, resident->member, code);
    return code;
}

static void wait_for(sem_t *first) {
    while (sem_wait(first) != 0 && errno == EINTR) {
        /* a signal that the program handles elsewhere */
    }
}

/* In name order; each runs before the next one is started. */
static int boot_residents(rusm_node *node) {
    sem_t first;
    sem_init(&first, 0, 0);
    int code = RUSM_OK;
    for (size_t i = 0; i < node->resident_count && code == RUSM_OK; i++) {
        struct rusm__resident *resident = &node->residents[i];
        code = supervise(node, resident, &first);
        if (code < 0)
            break;
        wait_for(&first);
        code = resident->code;
        if (code < 0)
            explain(node, resident->member, code);
    }
    /* Everybody who may post has posted: a supervisor does it once, before its first wait. */
    sem_destroy(&first);
    return code;
}

static int boot_commands(rusm_node *node) {
    for (size_t i = 0; i < node->on_demand_count; i++) {
        const struct rusm__member *member = node->on_demand[i];
        if (rusm__component_get_kind(member->component) != RUSM__COMPONENT_COMMAND)
            continue;
        struct rusm__component_spawn options = {0};
        rusm_pid pid;
        int code = rusm__component_spawn(member->component, &options, &pid);
        if (code < 0) {
            explain(node, member, code);
            return code;
        }
    }
    return RUSM_OK;
}

int rusm__node_boot(rusm_node *node) {
    int code = boot_residents(node);
    return code == RUSM_OK ? boot_commands(node) : code;
}

void rusm__node_retire_residents(rusm_node *node) {
    for (size_t i = 0; i < node->resident_count; i++) {
        if (node->residents[i].supervisor)
            rusm_pid_kill(node->runtime, node->residents[i].supervisor);
    }
}
