/* SPDX-License-Identifier: MIT */
/* A sandbox's life, and how many guests it holds. */
#include "sandbox/sandbox_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/log.h"
#include "base/mem.h"
#include "sched/sched.h"

struct rusm__lane *rusm__sandbox_lane(struct rusm__sandbox *sandbox) {
    const struct rusm__sched *sched = rusm__sched_current_of(sandbox->runtime);
    return sched ? &sandbox->lanes[rusm__sched_index(sched)] : NULL;
}

static void tick_engines(void *arg) {
    rusm__pools_tick(arg);
}

static int init_memory(struct rusm__sandbox *sandbox, const struct rusm__sandbox_options *options) {
    const char *setting = options->max_instances_setting;
    if (!setting)
        setting = "max_instances";
    sandbox->setting = rusm__mem_try_strndup(setting, strlen(setting));
    sandbox->lanes = rusm__mem_try_zalloc(sandbox->lane_count * sizeof(*sandbox->lanes));
    return sandbox->setting && sandbox->lanes ? RUSM_OK : RUSM_ENOMEM;
}

static void warn_if_lowered(const struct rusm__sandbox *sandbox, uint32_t wanted) {
    if (wanted <= sandbox->pools.capacity)
        return;
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_addf(&text, "%s = %u is more than fits here, %u are used: ", sandbox->setting, wanted,
                   sandbox->pools.capacity);
    rusm__pools_remedy(&sandbox->pools, sandbox->setting, &text);
    rusm__log_bytes(RUSM__LOG_WARN, "rusm", "limit", text.data, text.len);
    rusm__buf_fini(&text);
}

static int open_parts(struct rusm__sandbox *sandbox, const struct rusm__sandbox_options *options) {
    int code = init_memory(sandbox, options);
    if (code < 0)
        return code;
    struct rusm__machine machine;
    if (options->machine)
        machine = *options->machine;
    else
        rusm__machine_measure(&machine);
    code = rusm__pools_init(&sandbox->pools, options->host, options->runtime, options->cache_dir,
                            &machine, options->max_instances, sandbox->lane_count);
    if (code < 0)
        return code;
    sandbox->pools.config.interfaces = options->interfaces;
    sandbox->pools.config.interface_count = options->interface_count;
    rusm__permits_init(&sandbox->permits, sandbox->lanes, sandbox->lane_count,
                       sandbox->pools.capacity);
    code = rusm__ticker_start(&sandbox->ticker, sandbox->lanes, sandbox->lane_count, tick_engines,
                              &sandbox->pools);
    if (code < 0)
        rusm__pools_fini(&sandbox->pools);
    return code;
}

static void free_memory(struct rusm__sandbox *sandbox) {
    rusm__mem_free(sandbox->lanes);
    rusm__mem_free(sandbox->setting);
    rusm__mem_free(sandbox);
}

/* What follows the state of host calls in a guest's block is aligned as that is. */
static size_t whole_words(size_t bytes) {
    return (bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t);
}

int rusm__sandbox_open(const struct rusm__sandbox_options *options,
                       struct rusm__sandbox **out_sandbox, struct rusm__buf *error) {
    *out_sandbox = NULL;
    struct rusm__sandbox *sandbox = rusm__mem_try_zalloc(sizeof(*sandbox));
    int code = RUSM_ENOMEM;
    if (sandbox) {
        sandbox->runtime = options->runtime;
        sandbox->host_data = options->host_data;
        sandbox->calls_bytes = whole_words(options->calls_bytes);
        sandbox->guest_end = options->guest_end;
        sandbox->guest_held = options->guest_held;
        sandbox->interfaces = options->interfaces;
        sandbox->interface_count = options->interface_count;
        sandbox->closing = options->closing;
        sandbox->changed = options->changed;
        sandbox->changed_arg = options->changed_arg;
        sandbox->lane_count = rusm__sched_count(options->runtime);
        code = open_parts(sandbox, options);
    }
    if (code < 0) {
        rusm__buf_addf(error, "cannot start the sandbox: %s", rusm_error_text(code));
        if (sandbox)
            free_memory(sandbox);
        return code;
    }
    pthread_mutex_init(&sandbox->lock, NULL);
    rusm__reports_init(&sandbox->reports);
    rusm__copies_init(&sandbox->copies, sandbox);
    warn_if_lowered(sandbox, options->max_instances);
    *out_sandbox = sandbox;
    return RUSM_OK;
}

/* Copies first: their thread makes engines, and it holds components. */
void rusm__sandbox_calm(struct rusm__sandbox *sandbox) {
    rusm__copies_stop(&sandbox->copies);
    rusm__pools_close_gates(&sandbox->pools);
}

void rusm__sandbox_close(struct rusm__sandbox *sandbox) {
    rusm__sandbox_calm(sandbox);
    if (sandbox->closing)
        sandbox->closing(sandbox->host_data);
    rusm__ticker_stop(&sandbox->ticker);
    while (sandbox->components) {
        struct rusm__component *component = sandbox->components;
        sandbox->components = component->next;
        rusm__component_free(component);
    }
    rusm__copies_fini(&sandbox->copies);
    rusm__pools_fini(&sandbox->pools);
    rusm__reports_fini(&sandbox->reports);
    pthread_mutex_destroy(&sandbox->lock);
    free_memory(sandbox);
}

void rusm__sandbox_watch(struct rusm__sandbox *sandbox) {
    if (sandbox->changed) /* seq_cst: pairs with rusm__sandbox_note_change */
        atomic_store_explicit(&sandbox->is_watched, true, memory_order_seq_cst);
}

/* The look alone is the common case: changes are told seldom. seq_cst: pairs with the store in
 * rusm__sandbox_watch, after which whoever watches looks at the processes. */
void rusm__sandbox_note_change(struct rusm__sandbox *sandbox) {
    if (atomic_load_explicit(&sandbox->is_watched, memory_order_seq_cst) &&
        atomic_exchange_explicit(&sandbox->is_watched, false, memory_order_seq_cst))
        sandbox->changed(sandbox->changed_arg);
}

size_t rusm__sandbox_live(const struct rusm__sandbox *sandbox) {
    return sandbox->permits.capacity - rusm__permits_free(&sandbox->permits);
}

size_t rusm__sandbox_capacity(const struct rusm__sandbox *sandbox) {
    return sandbox->permits.capacity;
}
