/* SPDX-License-Identifier: MIT */
/* Targets that are components: each request gets a fresh instance. */
#include "rusm/error.h"

#include "base/log.h"
#include "sandbox/sandbox.h"
#include "serve/serve.h"

/* Of the causes that rusm__component_first_time tells apart, the last is ours. */
#define CAUSE_CANNOT_SERVE 63u

/* The client sees 503 or 502; the operator is told why, once. */
static void report(struct rusm__component *component, int code) {
    struct rusm__buf text;
    if (!rusm__component_first_time(component, CAUSE_CANNOT_SERVE))
        return;
    rusm__buf_init(&text);
    rusm__component_explain(component, code, NULL, &text);
    rusm__log(RUSM__LOG_WARN, "rusm", "http", "a request for `%s` was turned away: %s",
              rusm__component_name(component), rusm__buf_cstr(&text));
    rusm__buf_fini(&text);
}

static int spawn(const struct rusm__serve_target *target, const struct rusm__serve_start *start,
                 rusm_pid *out_pid) {
    const struct rusm__component_spawn options = {
        .monitor_by = start->monitor_by,
        .monitor_ref = start->monitor_ref,
        .first = start->first,
        .flags = RUSM_SPAWN_NEXT,
        .is_request = true,
    };
    int code = rusm__component_spawn(target->data, &options, out_pid);
    if (code != RUSM_OK)
        report(target->data, code);
    return code;
}

void rusm__serve_component_target(struct rusm__serve_target *target,
                                  struct rusm__component *component) {
    *target = (struct rusm__serve_target){.spawn = spawn, .data = component};
}
