/* SPDX-License-Identifier: MIT */
/* What guests may call: the table of struct rusm__host_calls, filled. One per node.
 *
 *   open -> fill the sandbox's options -> open the sandbox -> load and add components
 *        -> first spawn ... the runtime stops -> close the sandbox -> close -> close the store
 *
 * Threads: open, add and close on one thread, and nothing is added once guests run; the calls
 * themselves come from every scheduler. */
#ifndef RUSM__HOSTCALL_HOSTCALL_H
#define RUSM__HOSTCALL_HOSTCALL_H

#include "rusm/bridge.h"
#include "rusm/export.h"

#include "base/buf.h"
#include "sandbox/sandbox.h"

struct rusm__hostcall;
struct rusm__kv;

struct rusm__hostcall_options {
    rusm_runtime *runtime;
    struct rusm__kv *store;     /* borrowed; NULL: none is configured */
    const rusm_bridge *bridges; /* borrowed */
    size_t bridge_count;
    /* How long spawn-from believes what a source was seen to hold, and keeps what nobody uses; 0:
     * not at all. */
    uint64_t dynamic_ttl_ns;
};

/* RUSM_EINVAL with a text: a bridge that cannot be. RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__hostcall_open(const struct rusm__hostcall_options *options,
                                      struct rusm__hostcall **out_hostcall,
                                      struct rusm__buf *error);
/* After the sandbox is closed and before the store is. Waits for writes that guests left behind.
 * NULL is allowed. */
void rusm__hostcall_close(struct rusm__hostcall *hostcall);

/* Set host, host_data, calls_bytes, guest_end, closing and the interfaces. */
void rusm__hostcall_fill(struct rusm__hostcall *hostcall, struct rusm__sandbox_options *options);

/* Make a component known to actor.spawn under its name. RUSM_EEXIST, RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__hostcall_add(struct rusm__hostcall *hostcall,
                                     struct rusm__component *component);

struct rusm__template_options {
    const char *name;
    const char *entry;                   /* NULL: "run"; not of a command */
    bool is_command;                     /* `dynamic = "wasi-cli"`, else "wasm" */
    const struct rusm__profile *profile; /* borrowed */
};

/* Make a template known, which only spawn-from may start. The first one starts the thread that
 * compiles. RUSM_EEXIST, RUSM_ENOMEM, RUSM_EIO. */
RUSM_MUST_USE int rusm__hostcall_add_template(struct rusm__hostcall *hostcall,
                                              struct rusm__sandbox *sandbox,
                                              const struct rusm__template_options *options);

/* How many sources were compiled so far. */
uint64_t rusm__hostcall_compiled(struct rusm__hostcall *hostcall);

/* How often core modules have called `rusm.notify`. Any thread. */
uint64_t rusm__hostcall_notified(const struct rusm__hostcall *hostcall);

#endif
