/* SPDX-License-Identifier: MIT */
/* What runs from the start: commands, once each, and residents, under one supervisor and each with
 * a budget of its own, so that one that keeps falling takes nobody along. */
#include "node/node_impl.h"

#include "rusm/error.h"
#include "rusm/process.h"

#include "base/clock.h"

/* A resident that fell starts again after 10 ms, then 20 ms, up to 1 s; three times in 5 s. */
#define BUDGET  ((rusm_budget){.max_restarts = 3, .within_ns = 5 * RUSM__SECOND})
#define BACKOFF ((rusm_backoff){.first_ns = 10 * RUSM__MS, .max_ns = RUSM__SECOND})

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
        int code = member->component ? check_member(node, member) : RUSM_OK;
        if (code < 0)
            worst = code;
        if (member->declared->resident)
            node->residents[node->resident_count++].member = member;
        else if (member->component)
            node->on_demand[node->on_demand_count++] = member;
    }
    return worst;
}

/* ---- the children of the supervisor; on schedulers ---- */

static int start_resident(rusm_proc *self, void *arg, rusm_spawn_options *spawn,
                          rusm_pid *out_pid) {
    (void)self;
    struct rusm__resident *resident = arg;
    struct rusm__component_spawn options = {
        .out_monitor = spawn->out_monitor, .flags = spawn->flags, .restarts = resident->starts};
    resident->code = rusm__component_spawn(resident->member->component, &options, out_pid);
    resident->starts += resident->code == RUSM_OK;
    return resident->code;
}

/* ---- boot ---- */

static rusm_restart type_of(enum rusm__restart restart) {
    switch (restart) {
    case RUSM__RESTART_PERMANENT:
        return RUSM_RESTART_PERMANENT;
    case RUSM__RESTART_TRANSIENT:
        return RUSM_RESTART_TRANSIENT;
    case RUSM__RESTART_TEMPORARY:
        return RUSM_RESTART_TEMPORARY;
    }
    return RUSM_RESTART_TRANSIENT;
}

static void explain(rusm_node *node, const struct rusm__member *member, int code) {
    rusm__node_fail(node, "starting `%s`: ", member->declared->name);
    rusm__component_explain(member->component, code, NULL, &node->error);
}

static rusm_child child_of(struct rusm__resident *resident) {
    return (rusm_child){.size = sizeof(rusm_child),
                        .id = resident->member->declared->name,
                        .start = start_resident,
                        .arg = resident,
                        .restart = type_of(resident->member->declared->restart),
                        .budget = BUDGET};
}

static int start_supervisor(rusm_node *node, const rusm_child *children) {
    rusm_supervisor_options options = {
        .size = sizeof(options),
        .name = "residents",
        .budget = {RUSM_RESTARTS_UNLIMITED, UINT64_MAX},
        .backoff = BACKOFF,
        .children = children,
        .child_count = node->resident_count,
    };
    rusm_pid pid;
    return rusm_supervisor_start(node->runtime, &options, &pid, &node->supervisor);
}

/* Which of them could not be started? */
static void explain_boot(rusm_node *node, int code) {
    for (size_t i = 0; i < node->resident_count; i++) {
        if (node->residents[i].code < 0) {
            explain(node, node->residents[i].member, code);
            return;
        }
    }
    rusm__node_fail(node, "starting residents: %s", rusm_error_text(code));
}

/* In name order; the first that cannot be started undoes the earlier ones. */
static int boot_residents(rusm_node *node) {
    if (node->resident_count == 0)
        return RUSM_OK;
    rusm_child *children =
        rusm__arena_try_array(&node->arena, node->resident_count, sizeof(*children));
    if (!children)
        return RUSM_ENOMEM;
    for (size_t i = 0; i < node->resident_count; i++)
        children[i] = child_of(&node->residents[i]);
    int code = start_supervisor(node, children);
    if (code == RUSM_OK)
        code = rusm_supervisor_ready(NULL, node->supervisor, UINT64_MAX);
    if (code < 0)
        explain_boot(node, code);
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

void rusm__node_retire_residents(rusm_node *node, uint64_t deadline_ns) {
    if (node->supervisor && rusm_supervisor_stop(NULL, node->supervisor, deadline_ns) != RUSM_OK)
        rusm_pid_kill(node->runtime, rusm_supervisor_pid(node->supervisor));
    rusm_supervisor_free(node->supervisor);
    node->supervisor = NULL;
}
