/* SPDX-License-Identifier: MIT */
/* A spawn: room for the guest, its place among its parent's children, and one block with the guest,
 * the state of the host calls and, if its time is limited, its unit of work. The instance comes
 * with the first step (guest.c). */
#include "sandbox/sandbox_impl.h"

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proc/proc.h"

/* ---- room ---- */

/* Room for one guest: a permit, and a large slot where these are fewer than permits. */
static bool take_room(struct rusm__component *component, struct rusm__lane *lane, bool by_guest) {
    struct rusm__sandbox *sandbox = component->sandbox;
    if (!rusm__permits_take(&sandbox->permits, lane, by_guest))
        return false;
    if (!component->is_scarce ||
        rusm__pools_take_addresses(&sandbox->pools, component->class, by_guest))
        return true;
    rusm__permits_give(&sandbox->permits, lane);
    return false;
}

void rusm__guest_give_room(const struct rusm__component *component, struct rusm__lane *lane) {
    struct rusm__sandbox *sandbox = component->sandbox;
    if (component->is_scarce)
        rusm__pools_give_addresses(&sandbox->pools, component->class);
    rusm__permits_give(&sandbox->permits, lane);
}

/* ---- family ---- */

/* A guest's count of its children; NULL when memory is short. */
static struct rusm__children *children_of(struct rusm__guest *guest) {
    struct rusm__body *body = rusm__body_of(guest);
    if (!body->children)
        body->children = rusm__children_new();
    return body->children;
}

static int join_siblings(struct rusm__body *body, const struct rusm__component_spawn *options) {
    struct rusm__family family = options->family;
    if (options->parent)
        family = (struct rusm__family){children_of(options->parent),
                                       options->parent->profile->max_children};
    if (!family.children)
        return options->parent ? RUSM_ENOMEM : RUSM_OK;
    if (!rusm__children_add(family.children, family.most))
        return RUSM_ELIMIT;
    body->siblings = family.children;
    return RUSM_OK;
}

uint32_t rusm__guest_children(const struct rusm__guest *guest) {
    const struct rusm__body *body = (const struct rusm__body *)(const void *)guest;
    return rusm__children_alive(body->children);
}

bool rusm__guest_family(struct rusm__guest *guest, struct rusm__family *out_family) {
    *out_family = (struct rusm__family){children_of(guest), guest->profile->max_children};
    if (!out_family->children)
        return false;
    rusm__children_hold(out_family->children);
    return true;
}

void rusm__family_let_go(const struct rusm__family *family) {
    rusm__children_release(family->children);
}

/* ---- spawn ---- */

/* Its limits in nanoseconds; 0: none. */
struct limits {
    uint64_t cpu_ns, wall_ns;
};

static struct limits limits_of(const struct rusm__profile *profile, bool is_request) {
    uint64_t cpu_ms = is_request ? profile->request_cpu_ms : profile->cpu_ms;
    uint64_t wall_ms = is_request ? profile->request_deadline_ms : profile->deadline_ms;
    return (struct limits){cpu_ms * RUSM__MS, wall_ms * RUSM__MS};
}

static void set_time(struct rusm__body *body, struct limits limits, bool is_request) {
    struct rusm__guest *guest = &body->guest;
    body->unit = (void *)(body->calls + guest->component->sandbox->calls_bytes);
    body->unit->cpu_ns = limits.cpu_ns;
    body->unit->wall_ns = limits.wall_ns;
    body->unit->is_request = is_request;
    if (is_request && limits.wall_ns)
        body->unit->end_ns = rusm__clock_ns() + limits.wall_ns;
    guest->has_units = !is_request && guest->component->kind == RUSM__COMPONENT_ACTOR;
}

static struct rusm__body *new_body(struct rusm__component *component, bool is_request) {
    struct rusm__sandbox *sandbox = component->sandbox;
    struct limits limits = limits_of(component->profile, is_request);
    bool is_timed = limits.cpu_ns || limits.wall_ns;
    size_t unit_bytes = is_timed ? sizeof(struct rusm__unit) : 0;
    struct rusm__body *body =
        rusm__mem_try_zalloc(sizeof(*body) + sandbox->calls_bytes + unit_bytes);
    if (!body)
        return NULL;
    rusm__component_hold(component);
    body->guest.component = component;
    body->guest.profile = component->profile;
    body->guest.host_data = sandbox->host_data;
    body->guest.calls = body->calls;
    body->returned = RUSM_ENGINE_PENDING;
    if (is_timed)
        set_time(body, limits, is_request);
    body->born_ns = rusm__clock_coarse_ns();
    return body;
}

static int spawn_process(struct rusm__body *body, const struct rusm__component_spawn *options,
                         rusm_pid *out_pid) {
    const struct rusm__component *component = body->guest.component;
    rusm_spawn_options spawn = {
        .size = sizeof(spawn),
        .ops = &rusm__guest_ops,
        .body = body,
        .label = component->name,
        .first = options->first,
        .out_monitor = options->out_monitor,
        .monitor_by = options->monitor_by,
        .monitor_ref = options->monitor_ref,
        .flags = options->flags | RUSM_SPAWN_LOGGED | RUSM__SPAWN_FOR_GUESTS,
        .mailbox_messages = component->profile->mailbox_messages,
        .mailbox_bytes = component->profile->mailbox_bytes,
        .mailbox_policy = component->profile->mailbox_policy,
    };
    return rusm_proc_spawn(component->sandbox->runtime, &spawn, out_pid);
}

static int spawn_with_permit(struct rusm__component *component,
                             const struct rusm__component_spawn *options, rusm_pid *out_pid) {
    struct rusm__body *body = new_body(component, options->is_request);
    int code = body ? join_siblings(body, options) : RUSM_ENOMEM;
    if (code == RUSM_OK) {
        /* From here on the connection is the body's, which may be gone when spawn returns. */
        body->guest.connection = options->connection;
        body->guest.writer = options->writer;
        body->restarts = options->restarts;
        code = spawn_process(body, options, out_pid);
        if (code < 0)
            rusm__children_remove(body->siblings);
    }
    if (code < 0 && body) {
        rusm__component_let_go(component);
        rusm__mem_free(body);
    }
    return code;
}

int rusm__component_spawn(struct rusm__component *component,
                          const struct rusm__component_spawn *options, rusm_pid *out_pid) {
    struct rusm__sandbox *sandbox = component->sandbox;
    struct rusm__lane *lane = rusm__sandbox_lane(sandbox);
    *out_pid = 0;
    if (!component->prepared)
        return RUSM_ENOTSUP;
    if (!take_room(component, lane, options->parent || options->family.children))
        return RUSM_ELIMIT;
    int code = spawn_with_permit(component, options, out_pid);
    if (code < 0)
        rusm__guest_give_room(component, lane);
    else
        rusm__sandbox_note_change(sandbox);
    return code;
}
