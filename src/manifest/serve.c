/* SPDX-License-Identifier: MIT */
/* [[serve]]: the listeners, and whether each has what its protocol needs. */
#include "manifest/reader.h"

#include <stdlib.h>
#include <string.h>

static bool is_set(const struct rusm__manifest_listener *listener, enum rusm__serve_key key) {
    return listener->at[key].line != 0;
}

/* ---- what does not go with the protocol ---- */

static const unsigned HTTP = 1u << RUSM__PROTOCOL_HTTP;
static const unsigned SSE = 1u << RUSM__PROTOCOL_SSE;
static const unsigned WS = 1u << RUSM__PROTOCOL_WS;

/* Accepted, as other servers of this manifest accept it, but never silently: somebody may believe
 * that it protects them. */
static void warn_unless(struct rusm__reader *reader, const struct rusm__manifest_listener *listener,
                        enum rusm__serve_key key, unsigned protocols) {
    if (is_set(listener, key) && (protocols & 1u << listener->protocol) == 0) {
        RUSM__WARN(reader, listener->at[key], "`%s` has no effect with `protocol = \"%s\"`",
                   rusm__serve_keys.keys[key].name,
                   rusm__word_text(rusm__protocol_words, (int)listener->protocol));
    }
}

static void warn_of_idle_keys(struct rusm__reader *reader,
                              const struct rusm__manifest_listener *listener) {
    warn_unless(reader, listener, RUSM__SERVE_SUBPROTOCOLS, WS);
    warn_unless(reader, listener, RUSM__SERVE_MAX_MESSAGE_SIZE, WS);
    warn_unless(reader, listener, RUSM__SERVE_ALLOWED_ORIGINS, WS);
    warn_unless(reader, listener, RUSM__SERVE_HEADERS, HTTP | SSE);
    if (listener->routed && is_set(listener, RUSM__SERVE_SOURCE)) {
        RUSM__WARN(reader, listener->at[RUSM__SERVE_SOURCE],
                   "`source` has no effect on a listener with [serve.routes]: give it to the "
                   "component");
    }
}

/* ---- the handler ---- */

static void report_no_handler(struct rusm__reader *reader,
                              const struct rusm__manifest_listener *listener) {
    static const char *const names[] = {
        [RUSM__PROTOCOL_HTTP] = "Http", [RUSM__PROTOCOL_SSE] = "Sse", [RUSM__PROTOCOL_WS] = "Ws"};
    RUSM__BAD(reader, listener->table_at,
              "the `%s` listener on %s needs a `component` (its handler component)%s",
              names[listener->protocol],
              listener->listen.text != NULL ? listener->listen.text : "(no address)",
              listener->protocol == RUSM__PROTOCOL_HTTP ? ", or a `[serve.routes]` table for HTTP"
                                                        : "");
}

static void check_handler(struct rusm__reader *reader, struct rusm__manifest_listener *listener) {
    if (listener->component != NULL) {
        listener->declared = rusm__manifest_find_component(reader->manifest, listener->component);
    }
    if (listener->routed) {
        return;
    }
    if (listener->component == NULL && !is_set(listener, RUSM__SERVE_COMPONENT)) {
        report_no_handler(reader, listener);
    }
    if (listener->declared != NULL && listener->declared->dynamic != RUSM__DYNAMIC_NONE) {
        RUSM__BAD(
            reader, listener->at[RUSM__SERVE_COMPONENT],
            "`component` in [[serve]]: `%s` is a dynamic template, which has no bundle of its "
            "own to serve with",
            listener->component);
    }
    listener->profile = listener->declared != NULL
                            ? listener->declared->profile
                            : rusm__manifest_find_profile(reader->manifest, "sandboxed");
}

static void check_source(struct rusm__reader *reader,
                         const struct rusm__manifest_listener *listener) {
    if (listener->source.kind == RUSM__SOURCE_KV && reader->manifest->node.store == NULL) {
        RUSM__BAD(reader, listener->at[RUSM__SERVE_SOURCE],
                  "`source` in [[serve]]: kv source \"%s\" needs a node store: set `store` in "
                  "[node]",
                  rusm__show(listener->source.text, strlen(listener->source.text)).text);
    }
}

/* ---- reading ---- */

static void read_tls(struct rusm__reader *reader, struct rusm__manifest_listener *listener,
                     const struct rusm__toml *table) {
    struct rusm__manifest_tls *tls = rusm__arena_try_alloc(reader->arena, sizeof(*tls));
    if (tls != NULL) {
        rusm__read_table(reader, &rusm__tls_keys, "[serve.tls]", table, tls);
    }
    listener->tls = tls;
}

static void read_listener(struct rusm__reader *reader, const struct rusm__toml *table,
                          struct rusm__manifest_listener *listener) {
    listener->table_at = table->at;
    rusm__read_table(reader, &rusm__serve_keys, "[[serve]]", table, listener);
    const struct rusm__toml *headers = rusm__read_child(table, "headers", RUSM__TOML_TABLE);
    const struct rusm__toml *tls = rusm__read_child(table, "tls", RUSM__TOML_TABLE);
    const struct rusm__toml *routes = rusm__toml_find(table, "routes");
    if (headers != NULL) {
        rusm__read_headers(reader, listener, headers);
    }
    if (tls != NULL) {
        read_tls(reader, listener, tls);
    }
    check_source(reader, listener);
    if (listener->protocol == 0) { /* is reported, and nothing can be said about the handler */
        return;
    }
    listener->routed =
        routes != NULL && (routes->kind != RUSM__TOML_TABLE || routes->as.list.count);
    if (listener->routed && routes->kind == RUSM__TOML_TABLE) {
        listener->routes = rusm__read_routes(reader, listener, routes);
    }
    check_handler(reader, listener);
    warn_of_idle_keys(reader, listener);
}

/* Sorted by port, only listeners of one port have to be compared with each other. */
static int compare_ports(const void *a, const void *b) {
    const struct rusm__manifest_listener *x = *(const struct rusm__manifest_listener *const *)a;
    const struct rusm__manifest_listener *y = *(const struct rusm__manifest_listener *const *)b;
    if (x->listen.port != y->listen.port) {
        return x->listen.port < y->listen.port ? -1 : 1;
    }
    return rusm__pos_compare(x->at[RUSM__SERVE_LISTEN], y->at[RUSM__SERVE_LISTEN]);
}

static void check_address(struct rusm__reader *reader,
                          const struct rusm__manifest_listener *const *sorted, size_t index) {
    const struct rusm__manifest_listener *listener = sorted[index];
    for (size_t i = index; i-- > 0 && sorted[i]->listen.port == listener->listen.port;) {
        if (rusm__address_overlaps(&sorted[i]->listen, &listener->listen)) {
            RUSM__BAD(reader, listener->at[RUSM__SERVE_LISTEN],
                      "`listen` in [[serve]]: %s claims the port that the listener on %s (line %u) "
                      "has already",
                      listener->listen.text, sorted[i]->listen.text,
                      sorted[i]->at[RUSM__SERVE_LISTEN].line);
            return;
        }
    }
}

static void check_addresses(struct rusm__reader *reader,
                            const struct rusm__manifest_listener *listeners, size_t count) {
    const struct rusm__manifest_listener **sorted =
        rusm__arena_try_array(reader->arena, count, sizeof(*sorted));
    if (sorted == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &listeners[i];
    }
    qsort(sorted, count, sizeof(*sorted), compare_ports);
    for (size_t i = 1; i < count; i++) {
        if (sorted[i]->listen.port != 0 && rusm__report_has_room(reader->report)) {
            check_address(reader, sorted, i);
        }
    }
}

void rusm__read_serve(struct rusm__reader *reader, const struct rusm__toml *list) {
    size_t count = list->as.list.count, kept = 0;
    struct rusm__manifest_listener *listeners =
        rusm__arena_try_array(reader->arena, count, sizeof(*listeners));
    if (listeners == NULL) {
        return;
    }
    if (count > RUSM__MANIFEST_LISTENERS_MAX) {
        RUSM__BAD(reader, list->as.list.items[RUSM__MANIFEST_LISTENERS_MAX].at,
                  "more than %d [[serve]] listeners", RUSM__MANIFEST_LISTENERS_MAX);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct rusm__toml *item = &list->as.list.items[i];
        if (item->kind == RUSM__TOML_TABLE) {
            read_listener(reader, item, &listeners[kept++]);
        } else {
            RUSM__BAD(reader, item->at, "`serve` must be a list of tables, found %s in it",
                      rusm__describe(item).text);
        }
    }
    check_addresses(reader, listeners, kept);
    reader->manifest->serve = listeners;
    reader->manifest->serve_count = kept;
}
