/* SPDX-License-Identifier: MIT */
/* Listeners: the manifest's routes as the router that serve asks, and the ports. */
#include "node/node_impl.h"

#include <assert.h>
#include <string.h>

#include "rusm/error.h"

static_assert((size_t)RUSM__SERVE_PARAMS_MAX >= (size_t)RUSM__ROUTE_SEGMENTS_MAX,
              "every parameter of a route fits into a match");

/* ---- the router; on schedulers ---- */

static void copy_params(const struct rusm__route_match *from, struct rusm__serve_match *to) {
    to->param_count = from->param_count;
    for (size_t i = 0; i < from->param_count; i++) {
        to->params[i] = (struct rusm__serve_param){
            .name = from->params[i].name,
            .name_len = from->params[i].name_len,
            .raw = from->params[i].raw,
            .raw_len = from->params[i].raw_len,
            .ragged = from->params[i].ragged,
        };
    }
}

static enum rusm__serve_found match(const void *data, const char *method, size_t method_len,
                                    const char *path, size_t path_len,
                                    struct rusm__serve_match *out_match) {
    const struct rusm__route_table *table = data;
    struct rusm__route_match found;
    switch (rusm__routes_match(table->routes, method, method_len, path, path_len, &found)) {
    case RUSM__ROUTE_NO_PATH:
        return RUSM__SERVE_NO_PATH;
    case RUSM__ROUTE_OTHER_METHOD:
        return RUSM__SERVE_OTHER_METHOD;
    case RUSM__ROUTE_FOUND:
        break;
    }
    out_match->target = &table->targets[found.route->index];
    out_match->action = found.route->action;
    out_match->action_len = strlen(found.route->action);
    copy_params(&found, out_match);
    return RUSM__SERVE_FOUND;
}

/* No method is called "", so the answer names all that the path has. */
static void allow(const void *data, const char *path, size_t path_len, struct rusm__buf *out) {
    const struct rusm__route_table *table = data;
    struct rusm__route_match found;
    char text[RUSM__ROUTE_ALLOW_MAX];
    if (rusm__routes_match(table->routes, "", 0, path, path_len, &found) !=
        RUSM__ROUTE_OTHER_METHOD)
        return;
    rusm__routes_allow(table->routes, found.allowed, text, sizeof(text));
    rusm__buf_add_str(out, text);
}

/* ---- what a route may lead to ---- */

static const char *why_it_cannot_answer(enum rusm__component_kind kind) {
    switch (kind) {
    case RUSM__COMPONENT_ACTOR:
        return NULL;
    case RUSM__COMPONENT_COMMAND:
        return "a wasi:cli command, which answers no requests";
    case RUSM__COMPONENT_HTTP:
        return "a wasi:http component, which takes no routes";
    }
    return "of an unknown kind";
}

static int check_listener(rusm_node *node, const struct rusm__manifest_listener *listener) {
    int code = RUSM_OK;
    for (size_t i = 0; listener->routes && i < rusm__routes_count(listener->routes); i++) {
        const struct rusm__route *route = rusm__routes_at(listener->routes, i);
        const struct rusm__member *member = rusm__node_find_member(node, route->component);
        const char *why = member ? why_it_cannot_answer(rusm__component_get_kind(member->component))
                                 : "not in [components]";
        if (why) {
            rusm__node_fail(node, "%s:%u:%u: route `%s` leads to `%s`, which is %s",
                            node->manifest->path, route->at.line, route->at.column, route->key,
                            route->component, why);
            code = RUSM_EGUEST;
        }
    }
    return code;
}

int rusm__node_check_routes(rusm_node *node) {
    int worst = RUSM_OK;
    for (size_t i = 0; i < node->manifest->serve_count; i++) {
        int code = check_listener(node, &node->manifest->serve[i]);
        if (code < 0)
            worst = code;
    }
    return worst;
}

/* ---- ports ---- */

static struct rusm__route_table *make_table(rusm_node *node, const struct rusm__routes *routes) {
    size_t count = rusm__routes_count(routes);
    struct rusm__route_table *table = rusm__arena_try_alloc(&node->arena, sizeof(*table));
    struct rusm__serve_target *targets =
        rusm__arena_try_array(&node->arena, count, sizeof(*targets));
    if (!table || !targets)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const struct rusm__member *member =
            rusm__node_find_member(node, rusm__routes_at(routes, i)->component);
        rusm__serve_component_target(&targets[i], member->component);
    }
    *table = (struct rusm__route_table){routes, targets};
    return table;
}

static struct rusm__serve_header *copy_headers(rusm_node *node,
                                               const struct rusm__manifest_listener *listener) {
    struct rusm__serve_header *headers =
        rusm__arena_try_array(&node->arena, listener->header_count + 1, sizeof(*headers));
    for (size_t i = 0; headers && i < listener->header_count; i++)
        headers[i] =
            (struct rusm__serve_header){listener->headers[i].name, listener->headers[i].value};
    return headers;
}

static const char *endpoint_name(const struct rusm__manifest_listener *listener) {
    return listener->component ? listener->component : "routes";
}

static int bind_listener(rusm_node *node, const struct rusm__manifest_listener *from) {
    struct rusm__route_table *table = make_table(node, from->routes);
    struct rusm__serve_header *headers = copy_headers(node, from);
    if (!table || !headers)
        return RUSM_ENOMEM;
    struct rusm__serve_listener listener = {
        .listen = from->listen.text,
        .name = endpoint_name(from),
        .router = {.match = match, .allow = allow, .data = table},
        .headers = headers,
        .header_count = from->header_count,
        .max_connections = from->max_connections,
    };
    return rusm__serve_bind(node->serve, &listener, &node->error);
}

/* How long a connection waits for its handler: a little longer than the longest deadline that a
 * profile sets, so that the limit that is written down is the one that is met. 0: the default,
 * which also holds for handlers without a deadline. */
static uint32_t handler_ms(const rusm_node *node) {
    enum { DEFAULT_MS = 60000, LATER_MS = 1000 };
    uint64_t longest = 0;
    for (size_t i = 0; i < node->member_count; i++) {
        uint64_t deadline = node->members[i].profile.request_deadline_ms;
        longest = deadline > longest ? deadline : longest;
    }
    return longest + LATER_MS > DEFAULT_MS ? (uint32_t)(longest + LATER_MS) : 0;
}

int rusm__node_bind(rusm_node *node) {
    size_t count = node->manifest->serve_count;
    if (count == 0)
        return RUSM_OK;
    node->endpoint_names =
        rusm__arena_try_array(&node->arena, count, sizeof(*node->endpoint_names));
    if (!node->endpoint_names)
        return RUSM_ENOMEM;
    struct rusm__serve_options options = {.runtime = node->runtime,
                                          .limits.handler_ms = handler_ms(node)};
    int code = rusm__serve_new(&options, &node->serve);
    for (size_t i = 0; code == RUSM_OK && i < count; i++) {
        node->endpoint_names[i] = endpoint_name(&node->manifest->serve[i]);
        code = bind_listener(node, &node->manifest->serve[i]);
    }
    return code;
}
