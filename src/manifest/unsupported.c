/* SPDX-License-Identifier: MIT */
/* What a manifest may ask for and this release does not do yet. One table; a feature that gets
 * built is deleted here and nowhere else.
 *
 * What only the bundle tells (a JavaScript component in ./wasm) is refused where it is loaded. */
#include "manifest/unsupported.h"

#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

enum {
    NODES = RUSM__FOR_RUN | RUSM__FOR_SERVE | RUSM__FOR_DEV | RUSM__FOR_NODE_START,
    LISTENING = RUSM__FOR_SERVE | RUSM__FOR_DEV,
};

/* ---- listeners ---- */

static bool uses_sse(const void *object) {
    return ((const struct rusm__manifest_listener *)object)->protocol == RUSM__PROTOCOL_SSE;
}

static bool uses_ws(const void *object) {
    return ((const struct rusm__manifest_listener *)object)->protocol == RUSM__PROTOCOL_WS;
}

static bool is_route_less_http(const void *object) {
    const struct rusm__manifest_listener *listener = object;
    return listener->protocol == RUSM__PROTOCOL_HTTP && !listener->routed &&
           listener->component != NULL;
}

static bool uses_tls(const void *object) {
    return ((const struct rusm__manifest_listener *)object)->tls != NULL;
}

static bool uses_compression(const void *object) {
    return ((const struct rusm__manifest_listener *)object)->compression;
}

static bool uses_authentication(const void *object) {
    return ((const struct rusm__manifest_listener *)object)->authentication != NULL;
}

static bool listener_uses_source(const void *object) {
    const struct rusm__manifest_listener *listener = object;
    return listener->source.kind != RUSM__SOURCE_NONE && !listener->routed;
}

/* ---- components ---- */

static bool component_uses_source(const void *object) {
    const struct rusm__manifest_component *component = object;
    return component->source.kind != RUSM__SOURCE_NONE;
}

static bool is_dynamic_js(const void *object) {
    return ((const struct rusm__manifest_component *)object)->dynamic == RUSM__DYNAMIC_JS;
}

/* ---- the table ---- */

static const struct rusm__feature features[] = {
    {&rusm__serve_keys, RUSM__SERVE_PROTOCOL, "`protocol = \"sse\"`", LISTENING, uses_sse},
    {&rusm__serve_keys, RUSM__SERVE_PROTOCOL, "`protocol = \"ws\"`", LISTENING, uses_ws},
    {&rusm__serve_keys, RUSM__SERVE_PROTOCOL, "`protocol = \"http\"` without [serve.routes]",
     LISTENING, is_route_less_http},
    {&rusm__serve_keys, RUSM__SERVE_TLS, "`tls`", LISTENING, uses_tls},
    {&rusm__serve_keys, RUSM__SERVE_COMPRESSION, "`compression = true`", LISTENING,
     uses_compression},
    {&rusm__serve_keys, RUSM__SERVE_AUTHENTICATION, "`authentication`", LISTENING,
     uses_authentication},
    {&rusm__serve_keys, RUSM__SERVE_SOURCE, "`source`", LISTENING, listener_uses_source},
    {&rusm__component_keys, RUSM__COMPONENT_SOURCE, "`source`", NODES, component_uses_source},
    {&rusm__component_keys, RUSM__COMPONENT_DYNAMIC, "`dynamic = \"js\"`", NODES, is_dynamic_js},
};

const struct rusm__feature *rusm__feature_at(size_t index) {
    return index < sizeof(features) / sizeof(features[0]) ? &features[index] : NULL;
}

/* ---- looking ---- */

struct search {
    unsigned needed; /* features of these commands */
    struct rusm__report *report;
    bool found;
};

static void look(struct search *search, const struct rusm__key_set *set, const void *object,
                 struct rusm__pos table_at, const char *where) {
    const struct rusm__pos *places =
        (const struct rusm__pos *)((const char *)object + set->at_offset);
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        const struct rusm__feature *feature = &features[i];
        if (feature->set == set && (feature->commands & search->needed) && feature->used(object)) {
            struct rusm__pos at = places[feature->key].line != 0 ? places[feature->key] : table_at;
            rusm__report_add(search->report, RUSM__UNSUPPORTED, at, "%s in %s is not supported yet",
                             feature->text, where);
            search->found = true;
        }
    }
}

static void look_named(struct search *search, const struct rusm__key_set *set, const void *object,
                       struct rusm__pos name_at, const char *table, const char *name) {
    char where[sizeof(struct rusm__shown) + 32];
    snprintf(where, sizeof(where), "[%s.%s]", table, rusm__show(name, strlen(name)).text);
    look(search, set, object, name_at, where);
}

int rusm__manifest_unsupported(const struct rusm__manifest *manifest,
                               enum rusm__manifest_command command, struct rusm__report *report) {
    struct search search = {.needed = command == RUSM__FOR_CHECK ? ~0u : command, .report = report};
    for (size_t i = 0; i < manifest->serve_count; i++) {
        const struct rusm__manifest_listener *listener = &manifest->serve[i];
        look(&search, &rusm__serve_keys, listener, listener->table_at, "[[serve]]");
    }
    for (size_t i = 0; i < manifest->component_count; i++) {
        const struct rusm__manifest_component *component = &manifest->components[i];
        look_named(&search, &rusm__component_keys, component, component->name_at, "components",
                   component->name);
    }
    rusm__report_sort(report);
    return search.found ? RUSM_ENOTSUP : RUSM_OK;
}
