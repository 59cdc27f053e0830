/* SPDX-License-Identifier: MIT */
/* A node: an app from its manifest to running. This is all that the command line uses, so whatever
 * `rusm run` and `rusm serve` do can be embedded.
 *
 * Threads: the functions of one node are called from one thread that is not a scheduler. */
#ifndef RUSM_NODE_H
#define RUSM_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/bridge.h"
#include "rusm/export.h"
#include "rusm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rusm_node rusm_node;

/* The command that the manifest is read for: what another command needs is accepted, what this
 * one needs and we lack is refused by name. */
typedef enum rusm_node_mode {
    RUSM_NODE_RUN = 1,   /* components, no listeners */
    RUSM_NODE_SERVE = 2, /* components and listeners */
} rusm_node_mode;

/* Set size to sizeof(rusm_node_options). */
typedef struct rusm_node_options {
    size_t size;
    rusm_node_mode mode;     /* not looked at by rusm_node_check */
    const char *root;        /* app folder; NULL = current directory. Relative paths start here */
    const char *config_path; /* NULL = rusm.toml in root, which may be missing */
    const char *node_listen; /* instead of [node] listen; NULL = manifest */
    uint32_t schedulers;     /* 0 = one per core */
    int log_fd;              /* where log lines go; 0 = standard error. Not looked at if the program
                              * has started the log (rusm/log.h) */
    const rusm_bridge *bridges; /* host interfaces of the program's own (rusm/bridge.h) */
    size_t bridge_count;
} rusm_node_options;

/* What went wrong, whole: one or more lines without a final newline. */
typedef struct rusm_problem {
    int code;   /* RUSM_E...; RUSM_OK with a text: it went well, and the text is warnings */
    char *text; /* owned, NULL = none; rusm_problem_clear */
} rusm_problem;
/* Free the text and set everything to 0. Any thread. */
RUSM_API void rusm_problem_clear(rusm_problem *problem);

/* Read and validate everything, open the store, compile, register, bind, boot: in this order, so
 * that nothing is half started when a step fails; what was started is undone. Waits. *problem is
 * written in any case and is to be cleared. Not from a scheduler.
 * RUSM_ECONFIG, RUSM_ENOTSUP: the manifest (every problem of it, a line each); RUSM_EGUEST: an
 * artefact; RUSM_EBUSY: a port or the store is in use; others as they come. */
RUSM_API RUSM_MUST_USE int rusm_node_start(const rusm_node_options *options, rusm_node **out_node,
                                           rusm_problem *problem);

/* Everything that a start validates, artefacts included, without opening the store, binding or
 * running anything. What any command would refuse is refused. Waits; same errors. */
RUSM_API RUSM_MUST_USE int rusm_node_check(const rusm_node_options *options, rusm_problem *problem);

/* How many guests can be alive at once on this machine, what limits that, and what the kernel
 * lacks: the text of *report, which is written in any case and is to be cleared. Starts nothing.
 * Any thread. RUSM_ENOMEM: the text is NULL. */
RUSM_API RUSM_MUST_USE int rusm_node_doctor(rusm_problem *report);

/* Stop accepting, let requests in flight finish for about a second, end every process, close the
 * store, free. Returns how many processes of components were ended. Guests that run are
 * interrupted, so this waits a few seconds at most. NULL is allowed. */
RUSM_API size_t rusm_node_stop(rusm_node *node);

/* Live processes of components: what a stop would end. Any thread. */
RUSM_API size_t rusm_node_process_count(const rusm_node *node);

/* What its processes run on: for spawns, sends and lists of the program's own. Borrowed; it is
 * stopped by rusm_node_stop and by nobody else. */
RUSM_API rusm_runtime *rusm_node_runtime(rusm_node *node);

/* How often core modules have called `rusm.notify`, the raw ABI's way to say that work was done.
 * Any thread. */
RUSM_API uint64_t rusm_node_notifications(const rusm_node *node);

/* Names of the components, in order: those that are kept running, and those that wait to be asked
 * for. Valid as long as the node. NULL: the index is too large. */
RUSM_API size_t rusm_node_resident_count(const rusm_node *node);
RUSM_API const char *rusm_node_resident_name(const rusm_node *node, size_t index);
RUSM_API size_t rusm_node_on_demand_count(const rusm_node *node);
RUSM_API const char *rusm_node_on_demand_name(const rusm_node *node, size_t index);

/* Listeners that are bound. The texts are valid as long as the node; NULL: the index is too large.
 */
typedef struct rusm_node_endpoint {
    const char *name; /* the component, or "routes" */
    const char *url;  /* "http://127.0.0.1:8080", with the real port */
} rusm_node_endpoint;
RUSM_API size_t rusm_node_endpoint_count(const rusm_node *node);
RUSM_API rusm_node_endpoint rusm_node_get_endpoint(const rusm_node *node, size_t index);

#ifdef __cplusplus
}
#endif
#endif
