/* SPDX-License-Identifier: MIT */
/* A node's parts, in the order in which they are made; they go in the reverse order. Each file
 * below makes one of them and appends to `error` when it cannot.
 *
 *   config      the manifest and .env: everything that can be wrong on paper
 *   members     the components: profile, artefact, kind
 *   listeners   routes and ports
 *   residents   the supervisor of residents; commands
 *
 * All of it belongs to the thread that starts and stops the node, except what is marked. */
#ifndef RUSM__NODE_NODE_IMPL_H
#define RUSM__NODE_NODE_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "rusm/node.h"
#include "rusm/runtime.h"
#include "rusm/supervisor.h"

#include "base/arena.h"
#include "base/buf.h"
#include "hostcall/hostcall.h"
#include "kv/kv.h"
#include "manifest/manifest.h"
#include "node/census.h"
#include "node/door.h"
#include "node/dotenv.h"
#include "sandbox/sandbox.h"
#include "serve/serve.h"

/* A component of the manifest that was loaded. */
struct rusm__member {
    const struct rusm__manifest_component *declared;
    struct rusm__profile profile;
    struct rusm__component *component;
};

/* A component that is kept running. */
struct rusm__resident {
    const struct rusm__member *member;
    uint32_t starts; /* so far; the supervisor's */
    int code; /* of its latest start; written by the supervisor, and published to who boots by
               * rusm_supervisor_ready */
};

/* What routes one listener. Read by every scheduler, never changed once it is bound. */
struct rusm__route_table {
    const struct rusm__routes *routes;
    struct rusm__serve_target *targets; /* by the route's index */
};

struct rusm_node {
    struct rusm__arena arena; /* whatever lives as long as the node */
    const char *root;
    const rusm_bridge *bridges; /* the program's */
    size_t bridge_count;
    struct rusm__buf error;    /* why the start failed */
    struct rusm__buf warnings; /* what is accepted, but hardly meant */
    struct rusm__report report;
    struct rusm__manifest *manifest;
    struct rusm__dotenv env;
    bool is_logging;
    rusm_runtime *runtime;
    struct rusm__kv *store;  /* NULL: none is configured */
    struct rusm__door *door; /* to the store, for `rusm kv` */
    struct rusm__hostcall *hostcall;
    struct rusm__sandbox *sandbox;
    struct rusm__census *census;  /* NULL: the log is not that wordy */
    struct rusm__member *members; /* in the manifest's order, which is that of names */
    size_t member_count;
    struct rusm__serve *serve; /* NULL: no listeners */
    const char **endpoint_names;
    struct rusm__resident *residents;
    size_t resident_count;
    rusm_supervisor *supervisor; /* of the residents; NULL: there are none */
    const struct rusm__member **on_demand;
    size_t on_demand_count;
};

/* "root/path", or the path itself if it is absolute or root is the current directory. */
const char *rusm__node_path(rusm_node *node, const char *path);

/* The file of the store that the manifest names, for who is no node: *out_path is owned. As
 * rusm_store_open. */
RUSM_MUST_USE int rusm__node_find_store(const char *root, const char *config_path, char **out_path,
                                        rusm_problem *problem);

/* A new line of the error. */
RUSM_PRINTF(2, 3) void rusm__node_fail(rusm_node *node, const char *format, ...);

/* ---- config.c ---- */

/* Read and validate for `command`; the report's lines go to the error. */
RUSM_MUST_USE int rusm__node_read_config(rusm_node *node, const rusm_node_options *options,
                                         enum rusm__manifest_command command);

/* ---- members.c ---- */

/* Load every component, and report all that cannot be loaded. The sandbox is open. */
RUSM_MUST_USE int rusm__node_load_members(rusm_node *node);
/* NULL: no such component. */
const struct rusm__member *rusm__node_find_member(const rusm_node *node, const char *name);

/* ---- listeners.c ---- */

/* Do all routes lead to components that can answer? */
RUSM_MUST_USE int rusm__node_check_routes(rusm_node *node);
/* Take every port. */
RUSM_MUST_USE int rusm__node_bind(rusm_node *node);

/* ---- residents.c ---- */

/* Sort the members into residents and the rest; refuse what cannot be a resident. */
RUSM_MUST_USE int rusm__node_check_residents(rusm_node *node);
/* Run the commands once, start the residents, and wait until each runs. */
RUSM_MUST_USE int rusm__node_boot(rusm_node *node);
/* End the residents, the last one first, and their supervisor, so that nothing is started again.
 * Who has not ended by then is killed. */
void rusm__node_retire_residents(rusm_node *node, uint64_t deadline_ns);

#endif
