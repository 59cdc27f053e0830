/* SPDX-License-Identifier: MIT */
/* actor: supervise. A native supervisor whose children are guests, linked to the guest that asked:
 * it ends with it, in whatever way, and takes it along when it gives up.
 *
 * Children that are up count against the asker's max-children, as if it had spawned them; so do the
 * supervisors themselves, which are processes too. What a supervisor knows of its children stays
 * while they are down, so it is on the asker's ledger. */
#include "hostcall/hostcall_impl.h"

#include <string.h>

#include "rusm/error.h"
#include "rusm/supervisor.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proc/proc.h"

/* A child that fell starts again at once, then after 10 ms, 20 ms, up to 1 s: a budget without
 * limits is no licence to burn a core. */
#define BACKOFF ((rusm_backoff){.at_once = 1, .first_ns = 10 * RUSM__MS, .max_ns = RUSM__SECOND})

struct supervised {
    struct rusm__component *component;
    uint32_t starts; /* so far */
    struct rusm__family family;
};

/* ---- on the scheduler of the supervisor ---- */

static int start(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    struct supervised *child = arg;
    (void)self;
    struct rusm__component_spawn options = {.out_monitor = spawn->out_monitor,
                                            .flags = spawn->flags,
                                            .family = child->family,
                                            .restarts = child->starts};
    int code = rusm__component_spawn(child->component, &options, out_pid);
    child->starts += code == RUSM_OK;
    return code;
}

static void drop(void *arg) {
    struct supervised *child = arg;
    rusm__family_let_go(&child->family);
    rusm__mem_free(child);
}

/* ---- the call ---- */

RUSM_PRINTF(2, 3)
static uint32_t refuse(struct rusm__bytes *out_error, const char *format, ...) {
    struct rusm__buf text;
    va_list args;
    rusm__buf_init(&text);
    va_start(args, format);
    rusm__buf_vaddf(&text, format, args);
    va_end(args);
    *out_error = rusm__bytes_take(&text);
    return RUSM__CALL_NONE;
}

static struct supervised *new_child(struct rusm__guest *guest, struct rusm__component *component) {
    struct supervised *child = rusm__mem_try_alloc(sizeof(*child));
    if (!child)
        return NULL;
    child->component = component;
    child->starts = 0;
    if (rusm__guest_family(guest, &child->family))
        return child;
    rusm__mem_free(child);
    return NULL;
}

struct plan {
    struct rusm__arena arena; /* what the supervisor copies */
    rusm_child *children;
    size_t count; /* of those that have an arg */
};

static void free_plan(struct plan *plan, bool taken) {
    while (!taken && plan->count)
        drop(plan->children[--plan->count].arg);
    rusm__arena_fini(&plan->arena);
}

/* All names are looked up now: what they mean later is of no interest. */
static bool add_child(struct rusm__guest *guest, struct plan *plan, struct rusm__slice name,
                      struct rusm__bytes *out_error) {
    struct rusm__component *component = rusm__actor_find(
        guest, name, "` is a dynamic template and can't be a supervised child", out_error);
    if (!component)
        return false;
    struct supervised *arg = new_child(guest, component);
    const char *id = rusm__arena_try_printf(&plan->arena, "%s.%zu", rusm__component_name(component),
                                            plan->count + 1);
    if (!arg || !id) {
        if (arg)
            drop(arg);
        *out_error = rusm__bytes_static("out of memory");
        return false;
    }
    plan->children[plan->count++] = (rusm_child){.size = sizeof(rusm_child),
                                                 .id = id,
                                                 .start = start,
                                                 .arg = arg,
                                                 .drop = drop,
                                                 .restart = RUSM_RESTART_TRANSIENT};
    return true;
}

static bool make_plan(struct rusm__guest *guest, const struct rusm__slice *names, size_t count,
                      struct plan *plan, struct rusm__bytes *out_error) {
    *plan = (struct plan){.count = 0};
    rusm__arena_init(&plan->arena);
    plan->children = rusm__arena_try_array(&plan->arena, count + 1, sizeof(*plan->children));
    if (!plan->children)
        *out_error = rusm__bytes_static("out of memory");
    bool made = plan->children != NULL;
    for (size_t i = 0; made && i < count; i++)
        made = add_child(guest, plan, names[i], out_error);
    if (!made)
        free_plan(plan, false);
    return made;
}

static int start_supervisor(struct rusm__guest *guest, const rusm_supervisor_options *with,
                            struct plan *plan, rusm_pid *out_pid) {
    rusm_supervisor_options options = *with;
    options.size = sizeof(options);
    options.name = rusm__arena_try_printf(&plan->arena, "%s.supervisor",
                                          rusm__component_name(guest->component));
    options.backoff = BACKOFF;
    options.spawn.flags = RUSM__SPAWN_FOR_GUESTS;
    options.parent = guest->pid;
    options.children = plan->children;
    options.child_count = plan->count;
    int code = options.name
                   ? rusm_supervisor_start(rusm__runtime_of(guest), &options, out_pid, NULL)
                   : RUSM_ENOMEM;
    free_plan(plan, code == RUSM_OK);
    return code;
}

static rusm_budget budget_of(uint32_t max_restarts, uint32_t within_ms) {
    return (rusm_budget){
        .max_restarts = max_restarts ? max_restarts : RUSM_RESTARTS_UNLIMITED,
        .within_ns = within_ms ? within_ms * (uint64_t)RUSM__MS : UINT64_MAX,
    };
}

uint32_t rusm__actor_supervise(struct rusm__guest *guest, uint32_t strategy,
                               const struct rusm__slice *children, size_t count,
                               uint32_t max_restarts, uint32_t within_ms, uint64_t *out_pid,
                               struct rusm__bytes *out_error) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    const struct rusm__profile *profile = guest->profile;
    if (!profile->spawn) {
        struct rusm__slice none = {(const unsigned char *)"nobody", strlen("nobody")};
        struct rusm__slice first = count ? children[0] : none;
        rusm__gate_deny(guest, RUSM__REFUSED_SUPERVISE, first.ptr, first.len);
        *out_error = rusm__bytes_static("supervise denied: missing the spawn capability");
        return RUSM__CALL_NONE;
    }
    if (count > RUSM_CHILDREN_MAX)
        return refuse(out_error, "cannot supervise: more than %u children", RUSM_CHILDREN_MAX);
    if (count > profile->max_children || calls->supervisors >= profile->max_children)
        return refuse(out_error,
                      "cannot supervise: more than %u children or supervisors, the limit of "
                      "`max-children` under [%s.%s]",
                      profile->max_children, RUSM__LIMITS_TABLE(profile));
    if (max_restarts > RUSM_RESTARTS_MAX)
        return refuse(out_error, "cannot supervise: max-restarts is at most %u, or 0 for no limit",
                      RUSM_RESTARTS_MAX);
    if (!rusm__ledger_fits(guest, RUSM__WEIGHT_SUPERVISOR + count * RUSM__WEIGHT_SUPERVISED))
        return refuse(out_error,
                      "cannot supervise: no more supervisors and children fit into `max-host-mb` "
                      "under [%s.%s]",
                      RUSM__LIMITS_TABLE(profile));
    struct plan plan;
    if (!make_plan(guest, children, count, &plan, out_error))
        return RUSM__CALL_NONE;
    rusm_supervisor_options options = {.strategy = (rusm_strategy)strategy,
                                       .budget = budget_of(max_restarts, within_ms)};
    int code = start_supervisor(guest, &options, &plan, out_pid);
    if (code < 0)
        return refuse(out_error, "cannot supervise: %s", rusm_error_text(code));
    calls->supervisors++;
    calls->supervised += count;
    return RUSM__CALL_OK;
}
