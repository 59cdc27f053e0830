/* SPDX-License-Identifier: MIT */
/* [serve.routes]: from "METHOD /path" = "target" to compiled routes.
 *
 * A route that is wrong is reported and left out; the rest are compared with each other all the
 * same, so that everything is said in one go. */
#include "manifest/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rusm/error.h"

#include "base/assert.h"

enum { KEY_MAX_BYTES = 1024 };

/* The methods that the HTTP parser knows and that take a path: no other can arrive. */
static const char *const methods[] = {
    "GET",      "HEAD",   "POST",     "PUT",        "DELETE",    "PATCH",       "OPTIONS",
    "TRACE",    "COPY",   "LOCK",     "MKCOL",      "MOVE",      "PROPFIND",    "PROPPATCH",
    "SEARCH",   "UNLOCK", "BIND",     "REBIND",     "UNBIND",    "ACL",         "REPORT",
    "CHECKOUT", "MERGE",  "M-SEARCH", "NOTIFY",     "SUBSCRIBE", "UNSUBSCRIBE", "PURGE",
    "LINK",     "UNLINK", "SOURCE",   "MKACTIVITY", "MKCALENDAR"};

struct context {
    struct rusm__reader *reader;
    const struct rusm__manifest_listener *listener;
    const struct rusm__toml *child; /* the route at hand */
    const char *key;                /* of it, fit to be shown */
};

/* ---- messages ---- */

RUSM_PRINTF(4, 5)
static void say(const struct context *at, enum rusm__severity severity, struct rusm__pos place,
                const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *listen = at->listener->listen.text;
    rusm__report_add(at->reader->report, severity, place, "%s[serve.routes] for %s: %s",
                     severity == RUSM__INVALID ? "invalid " : "",
                     listen != NULL ? listen : "(no address)", text);
}

#define BAD_KEY(at, ...)  (say((at), RUSM__INVALID, (at)->child->key_at, __VA_ARGS__), false)
#define WARN_KEY(at, ...) say((at), RUSM__WARNING, (at)->child->key_at, __VA_ARGS__)

/* ---- the method ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static const char *find_method(const char *text, size_t len) {
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strlen(methods[i]) == len && strncasecmp(methods[i], text, len) == 0) {
            return methods[i];
        }
    }
    return NULL;
}

static bool read_method(const struct context *at, const char *text, size_t len,
                        struct rusm__route *route) {
    route->method = find_method(text, len);
    if (route->method != NULL) {
        if (at->listener->protocol == RUSM__PROTOCOL_WS && strcmp(route->method, "GET") != 0) {
            WARN_KEY(at, "route `%s` is never reached: a WebSocket is opened with GET", at->key);
        }
        return true;
    }
    struct rusm__suggestion near;
    rusm__suggest_start(&near, text, len);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        rusm__suggest_try(&near, methods[i]);
    }
    return BAD_KEY(at, "route `%s`: no request can have the method `%s`%s", at->key,
                   rusm__show(text, len).text, rusm__read_hint(at->reader, &near));
}

/* ---- the path ---- */

static bool is_param_name(const char *name, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '_' || c == '-';
        if (!good) {
            return false;
        }
    }
    return len != 0;
}

static bool check_param(const struct context *at, const struct rusm__route *route,
                        const struct rusm__segment *param) {
    if (param->len == 0) {
        return BAD_KEY(at, "route `%s` has a parameter without a name", at->key);
    }
    struct rusm__shown shown = rusm__show(param->text, param->len);
    if (!is_param_name(param->text, param->len)) {
        return BAD_KEY(at,
                       "route `%s`: the parameter name `%s` may have letters, digits, `_` and `-` "
                       "only (a parameter is always a whole segment)",
                       at->key, shown.text);
    }
    for (const struct rusm__segment *other = route->segments; other < param; other++) {
        if (other->kind == RUSM__SEGMENT_PARAM && other->len == param->len &&
            memcmp(other->text, param->text, param->len) == 0) {
            return BAD_KEY(at, "route `%s` has two parameters named `%s`", at->key, shown.text);
        }
    }
    return true;
}

static struct rusm__segment make_segment(const char *text, size_t len) {
    if (len == 1 && text[0] == '*') {
        return (struct rusm__segment){RUSM__SEGMENT_WILDCARD, text, len};
    }
    if (text[0] == ':') {
        return (struct rusm__segment){RUSM__SEGMENT_PARAM, text + 1, len - 1};
    }
    return (struct rusm__segment){RUSM__SEGMENT_LITERAL, text, len};
}

static bool check_segment(const struct context *at, const struct rusm__route *route,
                          const struct rusm__segment *segment) {
    if (segment > route->segments && segment[-1].kind == RUSM__SEGMENT_WILDCARD) {
        return BAD_KEY(at, "route `%s`: nothing may stand behind a `*` segment", at->key);
    }
    if (segment->kind == RUSM__SEGMENT_PARAM) {
        return check_param(at, route, segment);
    }
    if (segment->kind == RUSM__SEGMENT_LITERAL && memchr(segment->text, '*', segment->len)) {
        WARN_KEY(at, "route `%s`: `%s` matches just that text; a wildcard is a whole segment `*`",
                 at->key, rusm__show(segment->text, segment->len).text);
    }
    return true;
}

static bool check_characters(const struct context *at, const char *path, size_t len) {
    bool ascii = true;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c == ' ') {
            return BAD_KEY(at, "route `%s`: a blank cannot stand in a path", at->key);
        }
        if (c < ' ' || c == 0x7f || c == '?' || c == '#') {
            return BAD_KEY(at, "route `%s`: `%s` cannot stand in a path", at->key,
                           rusm__show(&path[i], 1).text);
        }
        ascii &= c < 0x80;
    }
    if (!ascii) {
        WARN_KEY(at,
                 "route `%s`: clients percent-encode characters beyond ASCII, and paths are "
                 "matched without decoding",
                 at->key);
    }
    return true;
}

static bool read_segments(const struct context *at, const char *path, size_t len,
                          struct rusm__route *route) {
    struct rusm__segment segments[RUSM__ROUTE_SEGMENTS_MAX];
    route->segments = segments;
    for (const char *end = path + len; path < end;) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t part = (size_t)((slash != NULL ? slash : end) - path);
        if (part != 0) {
            if (route->segment_count == RUSM__ROUTE_SEGMENTS_MAX) {
                return BAD_KEY(at, "route `%s` has more than %d segments", at->key,
                               RUSM__ROUTE_SEGMENTS_MAX);
            }
            struct rusm__segment *segment = &segments[route->segment_count++];
            *segment = make_segment(path, part);
            if (!check_segment(at, route, segment)) {
                return false;
            }
        }
        path += part + (slash != NULL);
    }
    struct rusm__segment *kept =
        rusm__arena_try_array(at->reader->arena, route->segment_count, sizeof(*kept));
    if (kept != NULL) {
        memcpy(kept, segments, route->segment_count * sizeof(*kept));
    }
    route->segments = kept;
    return kept != NULL;
}

static bool read_key(const struct context *at, struct rusm__route *route) {
    const char *key = at->child->key;
    size_t len = at->child->key_len, method = 0;
    if (len > KEY_MAX_BYTES) {
        return BAD_KEY(at, "route `%s` is longer than %d bytes", at->key, KEY_MAX_BYTES);
    }
    while (method < len && !is_blank(key[method])) {
        method++;
    }
    size_t path = method;
    while (path < len && is_blank(key[path])) {
        path++;
    }
    for (; len > path && is_blank(key[len - 1]); len--) {
    }
    if (path == method) {
        return BAD_KEY(at, "route `%s` must be `METHOD /path`", at->key);
    }
    if (method == 0) {
        return BAD_KEY(at, "route `%s` has no method", at->key);
    }
    if (path == len || key[path] != '/') {
        return BAD_KEY(at, "route `%s` path must start with `/`", at->key);
    }
    return read_method(at, key, method, route) && check_characters(at, key + path, len - path) &&
           read_segments(at, key + path, len - path, route);
}

/* ---- the target ---- */

static bool bad_target(const struct context *at, const char *why) {
    say(at, RUSM__INVALID, at->child->at, "route target `%s` %s",
        rusm__show(at->child->as.string.ptr, at->child->as.string.len).text, why);
    return false;
}

static bool check_target(const struct context *at) {
    const struct rusm__toml *child = at->child;
    if (child->kind != RUSM__TOML_STRING) {
        say(at, RUSM__INVALID, child->at, "the target of route `%s` must be a string, found %s",
            at->key, rusm__describe(child).text);
        return false;
    }
    if (child->as.string.len > RUSM__MANIFEST_TEXT_MAX) {
        return bad_target(at, "is too long");
    }
    for (size_t i = 0; i < child->as.string.len; i++) {
        unsigned char c = (unsigned char)child->as.string.ptr[i];
        if (c < 0x20 || c == 0x7f) {
            return bad_target(at, "has a control character");
        }
    }
    return true;
}

static bool split_http(const struct context *at, struct rusm__route *route) {
    const char *text = at->child->as.string.ptr;
    const char *hash = strchr(text, '#');
    if (hash == NULL || hash == text || hash[1] == '\0') {
        return bad_target(at, "must be `component#action`");
    }
    route->action = hash + 1;
    route->component = rusm__arena_try_strndup(at->reader->arena, text, (size_t)(hash - text));
    return route->component != NULL;
}

static bool split_connection(const struct context *at, struct rusm__route *route) {
    const char *text = at->child->as.string.ptr;
    size_t len = at->child->as.string.len;
    for (; len > 0 && is_blank(*text); text++, len--) {
    }
    for (; len > 0 && is_blank(text[len - 1]); len--) {
    }
    if (len == 0 || memchr(text, '#', len) != NULL) {
        return bad_target(
            at, "must be a component name (a per-connection ws/sse handler takes no `#action`)");
    }
    route->component = rusm__arena_try_strndup(at->reader->arena, text, len);
    return route->component != NULL;
}

static void find_declared(const struct context *at, struct rusm__route *route) {
    const struct rusm__manifest *manifest = at->reader->manifest;
    route->declared = rusm__manifest_find_component(manifest, route->component);
    if (route->declared == NULL) {
        struct rusm__suggestion near;
        rusm__suggest_start(&near, route->component, strlen(route->component));
        for (size_t i = 0;
             rusm__report_has_room(at->reader->report) && i < manifest->component_count; i++) {
            rusm__suggest_try(&near, manifest->components[i].name);
        }
        say(at, RUSM__INVALID, at->child->at,
            "route `%s` names the component `%s`, which is not in [components]%s", at->key,
            rusm__show(route->component, strlen(route->component)).text,
            rusm__read_hint(at->reader, &near));
    } else if (route->declared->dynamic != RUSM__DYNAMIC_NONE) {
        say(at, RUSM__INVALID, at->child->at,
            "route `%s` names `%s`, which is a dynamic template: it has no bundle of its own to "
            "answer with",
            at->key, route->component);
    }
}

static void read_target(const struct context *at, struct rusm__route *route) {
    if (!check_target(at)) {
        return;
    }
    bool split = at->listener->protocol == RUSM__PROTOCOL_HTTP ? split_http(at, route)
                                                               : split_connection(at, route);
    if (split) {
        find_declared(at, route);
    }
}

/* ---- all routes of a listener ---- */

static int compare_by_shape_and_place(const void *a, const void *b) {
    int order = rusm__route_compare(a, b);
    return order != 0 ? order
                      : rusm__pos_compare(((const struct rusm__route *)a)->at,
                                          ((const struct rusm__route *)b)->at);
}

/* Report all routes that have the shape of an earlier one. */
static bool check_shapes(struct context *at, struct rusm__route *routes, size_t count) {
    bool good = true;
    qsort(routes, count, sizeof(*routes), compare_by_shape_and_place);
    for (size_t i = 1; i < count; i++) {
        if (rusm__route_compare(&routes[i - 1], &routes[i]) == 0) {
            say(at, RUSM__INVALID, routes[i].at,
                "route `%s` has the same shape as `%s` (line %u): no request could tell them apart",
                rusm__show(routes[i].key, strlen(routes[i].key)).text,
                rusm__show(routes[i - 1].key, strlen(routes[i - 1].key)).text,
                routes[i - 1].at.line);
            good = false;
        }
    }
    return good;
}

static size_t collect(struct context *at, const struct rusm__toml *table,
                      struct rusm__route *routes) {
    size_t kept = 0;
    for (size_t i = 0; i < table->as.list.count; i++) {
        struct rusm__route *route = &routes[kept];
        at->child = &table->as.list.items[i];
        struct rusm__shown shown = rusm__show(at->child->key, at->child->key_len);
        at->key = shown.text;
        *route = (struct rusm__route){.key = at->child->key, .at = at->child->key_at};
        /* A bad target spoils the manifest, but the route still takes part in comparing shapes. */
        bool readable = read_key(at, route);
        read_target(at, route);
        kept += readable;
    }
    at->child = NULL;
    at->key = NULL;
    return kept;
}

const struct rusm__routes *rusm__read_routes(struct rusm__reader *reader,
                                             const struct rusm__manifest_listener *listener,
                                             const struct rusm__toml *table) {
    struct context at = {.reader = reader, .listener = listener};
    struct rusm__route *routes =
        rusm__arena_try_array(reader->arena, table->as.list.count, sizeof(*routes));
    if (routes == NULL) {
        return NULL;
    }
    size_t count = collect(&at, table, routes);
    if (!check_shapes(&at, routes, count)) {
        return NULL;
    }
    struct rusm__routes *compiled = NULL;
    int code = rusm__routes_compile(reader->arena, routes, count, &compiled);
    /* What else it could refuse has been looked for above. ENOMEM: the arena remembers. */
    RUSM_ASSERT(code == RUSM_OK || code == RUSM_ENOMEM);
    return compiled;
}
