/* SPDX-License-Identifier: MIT */
/* An app from its manifest to running, and back.
 *
 * Order: everything that can be wrong on paper; then what costs nothing to undo (log, runtime,
 * store, sandbox, components); then the ports; only then does a guest run, and last of all
 * somebody may connect. So whatever fails, nobody outside has noticed a half started node. */
#include "node/node_impl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/proc.h"

#define DRAIN_MS 1000

/* ---- small things that the parts share ---- */

void rusm_problem_clear(rusm_problem *problem) {
    rusm__mem_free(problem->text);
    *problem = (rusm_problem){0};
}

void rusm__node_fail(rusm_node *node, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (node->error.len)
        rusm__buf_add_char(&node->error, '\n');
    rusm__buf_vaddf(&node->error, format, args);
    va_end(args);
}

const char *rusm__node_path(rusm_node *node, const char *path) {
    if (path[0] == '/' || strcmp(node->root, ".") == 0)
        return rusm__arena_try_strndup(&node->arena, path, strlen(path));
    return rusm__arena_try_printf(&node->arena, "%s/%s", node->root, path);
}

/* ---- the parts that need no file of their own ---- */

static int start_log(rusm_node *node, const rusm_node_options *options) {
    int fd = options->log_fd ? options->log_fd : STDERR_FILENO;
    int code = rusm__log_start(fd, node->manifest->log.level);
    node->is_logging = code == RUSM_OK;
    if (code < 0)
        rusm__node_fail(node, "cannot start the log: %s", rusm_error_text(code));
    return code;
}

static int start_runtime(rusm_node *node, const rusm_node_options *options) {
    rusm_runtime_options runtime = {.size = sizeof(runtime), .schedulers = options->schedulers};
    int code = rusm_runtime_start(&runtime, &node->runtime);
    if (code < 0)
        rusm__node_fail(node, "cannot start the schedulers: %s", rusm_error_text(code));
    return code;
}

static int start_census(rusm_node *node) {
    if (!rusm__log_wants(RUSM__LOG_INFO))
        return RUSM_OK;
    return rusm__census_new(node->runtime, &node->census);
}

static int open_store(rusm_node *node) {
    if (!node->manifest->node.store)
        return RUSM_OK;
    const char *path = rusm__node_path(node, node->manifest->node.store);
    if (!path)
        return RUSM_ENOMEM;
    struct rusm__kv_error error;
    int code = rusm__kv_open(path, NULL, &node->store, &error);
    if (code == RUSM_OK)
        code = rusm__door_open(path, node->store, &node->door, &error);
    if (code < 0)
        rusm__node_fail(node, "%s", error.text);
    return code;
}

/* Compiled code, shared by all apps of a user: $RUSM_CACHE_DIR ("" for none), or where the
 * desktop's rules put caches. NULL: without a cache. */
static const char *cache_folder(rusm_node *node) {
    const char *own = getenv("RUSM_CACHE_DIR");
    if (own)
        return own[0] ? own : NULL;
    const char *caches = getenv("XDG_CACHE_HOME");
    if (caches && caches[0] == '/')
        return rusm__arena_try_printf(&node->arena, "%s/rusm", caches);
    const char *home = getenv("HOME");
    if (home && home[0] == '/')
        return rusm__arena_try_printf(&node->arena, "%s/.cache/rusm", home);
    return NULL;
}

static int open_sandbox(rusm_node *node) {
    struct rusm__hostcall_options hostcall = {
        .runtime = node->runtime,
        .store = node->store,
        .dynamic_ttl_ns = node->manifest->node.dynamic_wasm_ttl_secs * RUSM__SECOND,
        .bridges = node->bridges,
        .bridge_count = node->bridge_count,
    };
    int code = rusm__hostcall_open(&hostcall, &node->hostcall, &node->error);
    if (code < 0)
        return code;
    struct rusm__sandbox_options sandbox = {
        .runtime = node->runtime,
        .cache_dir = cache_folder(node),
        .changed = node->census ? rusm__census_note : NULL,
        .changed_arg = node->census,
    };
    rusm__hostcall_fill(node->hostcall, &sandbox);
    code = rusm__sandbox_open(&sandbox, &node->sandbox, &node->error);
    if (code == RUSM_OK && node->census)
        rusm__census_watch(node->census, node->sandbox);
    return code;
}

static int load(rusm_node *node) {
    int code = open_sandbox(node);
    if (code == RUSM_OK)
        code = rusm__node_load_members(node);
    if (code == RUSM_OK)
        code = rusm__node_check_residents(node);
    if (code == RUSM_OK)
        code = rusm__node_check_routes(node);
    return code;
}

/* ---- life ---- */

static rusm_node *new_node(const rusm_node_options *options) {
    rusm_node *node = rusm__mem_try_zalloc(sizeof(*node));
    if (!node)
        return NULL;
    rusm__arena_init(&node->arena);
    rusm__buf_init(&node->error);
    rusm__buf_init(&node->warnings);
    rusm__report_init(&node->report);
    rusm__dotenv_init(&node->env);
    const char *root = options->root ? options->root : ".";
    node->bridges = options->bridges;
    node->bridge_count = options->bridge_count;
    node->root = rusm__arena_try_strndup(&node->arena, root, strlen(root));
    return node;
}

/* In the reverse order of the start, whatever of it was reached. */
static void free_node(rusm_node *node) {
    rusm__census_stop(node->census);
    if (node->sandbox)
        rusm__sandbox_calm(node->sandbox);
    if (node->runtime)
        rusm_runtime_stop(node->runtime);
    rusm__serve_free(node->serve);
    if (node->sandbox)
        rusm__sandbox_close(node->sandbox);
    rusm__census_free(node->census);
    rusm__hostcall_close(node->hostcall);
    rusm__door_close(node->door);
    rusm__kv_close(node->store);
    if (node->is_logging)
        rusm__log_stop();
    rusm__manifest_free(node->manifest);
    rusm__dotenv_fini(&node->env);
    rusm__report_fini(&node->report);
    rusm__buf_fini(&node->warnings);
    rusm__buf_fini(&node->error);
    rusm__arena_fini(&node->arena);
    rusm__mem_free(node);
}

/* Returns how many component processes had to be ended. */
static size_t stop_node(rusm_node *node, uint64_t drain_ms) {
    uint64_t deadline_ns = rusm_now_ns() + drain_ms * RUSM__MS;
    if (node->serve && rusm__serve_stop(node->serve, drain_ms) < 0)
        rusm__log(RUSM__LOG_WARN, "rusm", "stop", "a scheduler did not close its connections");
    size_t ended = rusm_node_process_count(node);
    if (node->runtime)
        rusm__node_retire_residents(node, deadline_ns);
    free_node(node);
    return ended;
}

static int start(rusm_node *node, const rusm_node_options *options) {
    bool serves = options->mode == RUSM_NODE_SERVE;
    int code = rusm__node_read_config(node, options, serves ? RUSM__FOR_SERVE : RUSM__FOR_RUN);
    if (code == RUSM_OK)
        code = start_log(node, options);
    if (code == RUSM_OK)
        code = start_runtime(node, options);
    if (code == RUSM_OK)
        code = start_census(node);
    if (code == RUSM_OK)
        code = open_store(node);
    if (code == RUSM_OK)
        code = load(node);
    if (code == RUSM_OK && serves)
        code = rusm__node_bind(node);
    if (code == RUSM_OK)
        code = rusm__node_boot(node);
    if (code == RUSM_OK && node->serve)
        code = rusm__serve_start(node->serve, &node->error);
    return code;
}

static int check(rusm_node *node, const rusm_node_options *options) {
    int code = rusm__node_read_config(node, options, RUSM__FOR_CHECK);
    if (code == RUSM_OK)
        code = start_log(node, options);
    if (code == RUSM_OK)
        code = start_runtime(node, options);
    return code == RUSM_OK ? load(node) : code;
}

static void tell(const struct rusm__buf *text, rusm_problem *problem) {
    if (text->len)
        problem->text = rusm__mem_try_strndup((const char *)text->data, text->len);
}

static bool are_usable(const rusm_node_options *options) {
    return options && options->size == sizeof(*options) &&
           (options->mode == RUSM_NODE_RUN || options->mode == RUSM_NODE_SERVE);
}

static int find_store(rusm_node *node, const rusm_node_options *options, char **out_path) {
    int code = rusm__node_read_config(node, options, RUSM__FOR_KV);
    if (code < 0)
        return code;
    const char *store = node->manifest->node.store;
    if (!store) {
        rusm__node_fail(node, "no durable store configured — set ‹store› in the [node] table of "
                              "rusm.toml");
        return RUSM_ENOTFOUND;
    }
    const char *path = rusm__node_path(node, store);
    *out_path = path ? rusm__mem_try_strndup(path, strlen(path)) : NULL;
    return *out_path ? RUSM_OK : RUSM_ENOMEM;
}

int rusm__node_find_store(const char *root, const char *config_path, char **out_path,
                          rusm_problem *problem) {
    const rusm_node_options options = {.root = root, .config_path = config_path};
    rusm_node *node = new_node(&options);
    *out_path = NULL;
    int code = node && node->root ? find_store(node, &options, out_path) : RUSM_ENOMEM;
    problem->code = code;
    if (node) {
        tell(code < 0 ? &node->error : &node->warnings, problem);
        free_node(node);
    }
    return code;
}

int rusm_node_start(const rusm_node_options *options, rusm_node **out_node, rusm_problem *problem) {
    *out_node = NULL;
    *problem = (rusm_problem){.code = RUSM_EINVAL};
    if (!are_usable(options))
        return RUSM_EINVAL;
    rusm_node *node = new_node(options);
    int code = node && node->root ? start(node, options) : RUSM_ENOMEM;
    problem->code = code;
    if (node)
        tell(code < 0 ? &node->error : &node->warnings, problem);
    if (code == RUSM_OK)
        *out_node = node;
    else if (node)
        stop_node(node, 0);
    return code;
}

int rusm_node_check(const rusm_node_options *options, rusm_problem *problem) {
    *problem = (rusm_problem){.code = RUSM_EINVAL};
    if (!options || options->size != sizeof(*options))
        return RUSM_EINVAL;
    rusm_node *node = new_node(options);
    int code = node && node->root ? check(node, options) : RUSM_ENOMEM;
    problem->code = code;
    if (node) {
        tell(code < 0 ? &node->error : &node->warnings, problem);
        stop_node(node, 0);
    }
    return code;
}

size_t rusm_node_stop(rusm_node *node) {
    return node ? stop_node(node, DRAIN_MS) : 0;
}

/* ---- what a node is made of ---- */

size_t rusm_node_process_count(const rusm_node *node) {
    return node->sandbox ? rusm__sandbox_live(node->sandbox) : 0;
}

uint64_t rusm_node_notifications(const rusm_node *node) {
    return rusm__hostcall_notified(node->hostcall);
}

rusm_runtime *rusm_node_runtime(rusm_node *node) {
    return node->runtime;
}

size_t rusm_node_resident_count(const rusm_node *node) {
    return node->resident_count;
}

const char *rusm_node_resident_name(const rusm_node *node, size_t index) {
    return index < node->resident_count ? node->residents[index].member->declared->name : NULL;
}

size_t rusm_node_on_demand_count(const rusm_node *node) {
    return node->on_demand_count;
}

const char *rusm_node_on_demand_name(const rusm_node *node, size_t index) {
    return index < node->on_demand_count ? node->on_demand[index]->declared->name : NULL;
}

size_t rusm_node_endpoint_count(const rusm_node *node) {
    return node->serve ? rusm__serve_listener_count(node->serve) : 0;
}

rusm_node_endpoint rusm_node_get_endpoint(const rusm_node *node, size_t index) {
    if (index >= rusm_node_endpoint_count(node))
        return (rusm_node_endpoint){0};
    return (rusm_node_endpoint){node->endpoint_names[index], rusm__serve_url(node->serve, index)};
}
