/* SPDX-License-Identifier: MIT */
/* Why a guest ended: from what the engine says to the reason that the core keeps.
 * Runs on the scheduler's own stack. */
#include "sandbox/sandbox_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "proc/proc.h"
#include "sandbox/reason.h"

static unsigned long long mib_up(uint64_t bytes) {
    return (unsigned long long)((bytes + (1u << 20) - 1) >> 20);
}

/* A start that does not fit, or a fault after a refusal to grow, is the ceiling's doing. */
static void add_memory_limit(const struct rusm__body *body, struct rusm__buf *text) {
    const struct rusm__profile *profile = body->guest.profile;
    rusm__buf_addf(text,
                   RUSM__REASON_MEMORY ": wanted %llu MiB of linear memory and may have %llu "
                                       "(`max-memory-mb` under [%s.%s])",
                   mib_up(body->denied_bytes), mib_up(profile->max_memory_bytes),
                   RUSM__LIMITS_TABLE(profile));
}

static void add_table_limit(const struct rusm__body *body, struct rusm__buf *text) {
    const struct rusm__profile *profile = body->guest.profile;
    rusm__buf_addf(text,
                   RUSM__REASON_MEMORY
                   ": wanted a table of %llu KiB, and tables have at most %u elements",
                   (unsigned long long)(body->denied_table_bytes >> 10), RUSM__TABLE_ELEMENTS);
    if (profile->max_host_bytes)
        rusm__buf_addf(text,
                       " and %llu MiB with all else that the host holds (`max-host-mb` under "
                       "[%s.%s])",
                       mib_up(profile->max_host_bytes), RUSM__LIMITS_TABLE(profile));
}

static void add_pool_limit(const struct rusm__body *body, struct rusm__buf *text) {
    const struct rusm__sandbox *sandbox = body->guest.component->sandbox;
    rusm__buf_addf(text, "no free slot for an instance with %zu guests alive; ",
                   rusm__sandbox_live(sandbox));
    if (body->guest.component->is_scarce)
        rusm__pools_addresses_remedy(&sandbox->pools, text);
    else
        rusm__pools_remedy(&sandbox->pools, sandbox->setting, text);
}

static void add_handle_limit(const struct rusm__body *body, struct rusm__buf *text) {
    const struct rusm__profile *profile = body->guest.profile;
    rusm__buf_addf(text,
                   RUSM__REASON_MEMORY
                   ": wanted one more handle of WASI than it may hold, one for each %llu KiB of "
                   "`max-host-mb` under [%s.%s]",
                   RUSM__HANDLE_BYTES / RUSM__KIB, RUSM__LIMITS_TABLE(profile));
}

/* It names the limit itself. */
static bool is_limit(const char *cause) {
    return rusm__reason_is(cause, strlen(cause), RUSM__REASON_MEMORY);
}

static void add_cause(const struct rusm__body *body, int kind, const char *cause,
                      struct rusm__buf *text) {
    if (kind == RUSM_ENGINE_ERROR_STOPPED && body->unit && body->unit->over) {
        rusm__unit_explain(body->unit, body->guest.profile, text);
        return;
    }
    if (kind == RUSM_ENGINE_ERROR_POOL) {
        add_pool_limit(body, text);
    } else if (kind == RUSM_ENGINE_ERROR_HANDLES) {
        add_handle_limit(body, text);
    } else if (body->denied_bytes && kind <= RUSM_ENGINE_ERROR_START && !is_limit(cause)) {
        add_memory_limit(body, text);
    } else if (body->denied_table_bytes && kind <= RUSM_ENGINE_ERROR_START && !is_limit(cause)) {
        add_table_limit(body, text);
    } else {
        rusm__buf_add_str(text, cause);
        return;
    }
    if (cause && *cause)
        rusm__buf_addf(text, ": %s", cause);
}

static void settle_trap(struct rusm__body *body, rusm_proc *self) {
    const char *cause = "";
    int kind = rusm_engine_instance_error(body->instance, &cause, NULL);
    struct rusm__buf text;
    rusm__buf_init(&text);
    add_cause(body, kind, cause ? cause : "", &text);
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, rusm__buf_cstr(&text));
    rusm__buf_fini(&text);
}

static void settle_exit(struct rusm__body *body, rusm_proc *self) {
    int status = rusm_engine_instance_exit_status(body->instance);
    if (status == 0)
        return;
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_addf(&text, "exit status %d", status);
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, rusm__buf_cstr(&text));
    rusm__buf_fini(&text);
}

bool rusm__crash_is_kill(const struct rusm__body *body, const rusm_proc *self, int outcome) {
    return outcome == RUSM_ENGINE_TRAPPED && rusm__proc_is_doomed(self) &&
           rusm_engine_instance_error(body->instance, NULL, NULL) == RUSM_ENGINE_ERROR_STOPPED;
}

void rusm__crash_settle(struct rusm__body *body, rusm_proc *self, int outcome) {
    if (outcome == RUSM_ENGINE_TRAPPED)
        settle_trap(body, self);
    else if (outcome == RUSM_ENGINE_EXITED)
        settle_exit(body, self);
}

void rusm__crash_overtime(struct rusm__body *body, rusm_proc *self) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__unit_explain(body->unit, body->guest.profile, &text);
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, rusm__buf_cstr(&text));
    rusm__buf_fini(&text);
}

void rusm__crash_no_memory(rusm_proc *self, const char *what) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_addf(&text, "no memory for %s", what);
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, rusm__buf_cstr(&text));
    rusm__buf_fini(&text);
}

void rusm__component_explain(const struct rusm__component *component, int code,
                             const struct rusm__guest *parent, struct rusm__buf *out) {
    const struct rusm__sandbox *sandbox = component->sandbox;
    uint32_t children = parent ? rusm__guest_children(parent) : 0;
    if (code == RUSM_ENOTSUP) {
        rusm__buf_addf(out, "`%s` serves wasi:http requests only and is not a process",
                       component->name);
    } else if (code != RUSM_ELIMIT) {
        rusm__buf_add_str(out, rusm_error_text(code));
    } else if (parent && children >= parent->profile->max_children) {
        rusm__buf_addf(out,
                       "%u children are alive, the limit of `max-children` under "
                       "[%s.%s]",
                       children, RUSM__LIMITS_TABLE(parent->profile));
    } else {
        rusm__buf_addf(out, "%zu guests are alive%s; ", rusm__sandbox_live(sandbox),
                       parent ? ", the rest of the room is kept for the node" : "");
        if (component->is_scarce &&
            rusm__pools_lack_addresses(&sandbox->pools, component->class, parent != NULL))
            rusm__pools_addresses_remedy(&sandbox->pools, out);
        else
            rusm__pools_remedy(&sandbox->pools, sandbox->setting, out);
    }
}
