/* SPDX-License-Identifier: MIT */
/* [components.<name>]: what each component is and how its keys go together. */
#include "manifest/reader.h"

#include <stdlib.h>
#include <string.h>

static const struct rusm__word dynamic_words[] = {
    {"js", RUSM__DYNAMIC_JS},
    {"wasm", RUSM__DYNAMIC_WASM},
    {"wasi-cli", RUSM__DYNAMIC_WASI_CLI},
    {NULL, 0},
};

/* The text for a word that is not known is part of the manifest's specification. */
void rusm__take_dynamic(struct rusm__reader *reader, const struct rusm__slot *slot,
                        const struct rusm__toml *value) {
    struct rusm__manifest_component *component = slot->object;
    int found;
    if (rusm__word_find(dynamic_words, value->as.string.ptr, value->as.string.len, &found)) {
        component->dynamic = (enum rusm__dynamic)found;
        return;
    }
    struct rusm__suggestion near;
    rusm__suggest_start(&near, value->as.string.ptr, value->as.string.len);
    for (const struct rusm__word *word = dynamic_words; word->text != NULL; word++) {
        rusm__suggest_try(&near, word->text);
    }
    RUSM__BAD(reader, value->at,
              "component `%s`: dynamic = %s is not supported (use \"js\", \"wasm\", or "
              "\"wasi-cli\")%s",
              rusm__show(component->name, strlen(component->name)).text, rusm__describe(value).text,
              rusm__read_hint(reader, &near));
}

/* ---- how keys go together ---- */

static bool is_set(const struct rusm__manifest_component *component, enum rusm__component_key key) {
    return component->at[key].line != 0;
}

static void check_template(struct rusm__reader *reader, const struct rusm__manifest_component *c) {
    const char *name = c->name;
    struct rusm__pos at = c->at[RUSM__COMPONENT_DYNAMIC];
    if (c->source.kind != RUSM__SOURCE_NONE) {
        RUSM__BAD(reader, at,
                  "component `%s`: `dynamic` and `source` are mutually exclusive (a template has "
                  "no fixed bundle)",
                  name);
    }
    if (c->dynamic == RUSM__DYNAMIC_WASI_CLI && is_set(c, RUSM__COMPONENT_ENTRY)) {
        RUSM__BAD(reader, c->at[RUSM__COMPONENT_ENTRY],
                  "component `%s`: `entry` has no effect on `dynamic = \"wasi-cli\"` — the "
                  "wasi:cli/run protocol is fixed",
                  name);
    }
    if (c->dynamic == RUSM__DYNAMIC_JS && is_set(c, RUSM__COMPONENT_ENTRY)) {
        RUSM__WARN(reader, c->at[RUSM__COMPONENT_ENTRY],
                   "component `%s`: `entry` has no effect on `dynamic = \"js\"`", name);
    }
    if (c->resident) {
        RUSM__BAD(reader, at,
                  "component `%s`: a dynamic template can't be `resident` (it has no bundle to "
                  "boot-spawn)",
                  name);
    }
    if (is_set(c, RUSM__COMPONENT_RESTART)) {
        RUSM__BAD(reader, c->at[RUSM__COMPONENT_RESTART],
                  "component `%s`: `restart` has no effect on a dynamic template (nothing "
                  "supervises it)",
                  name);
    }
}

static void check_source(struct rusm__reader *reader, const struct rusm__manifest_component *c) {
    if (c->source.kind == RUSM__SOURCE_KV && reader->manifest->node.store == NULL) {
        RUSM__BAD(reader, c->at[RUSM__COMPONENT_SOURCE],
                  "component `%s`: kv source \"%s\" needs a node store: set `store` in [node]",
                  c->name, rusm__show(c->source.text, strlen(c->source.text)).text);
    }
}

/* "; did you mean ...?" over the app's profiles and the built-in ones. */
static const char *hint_profile(struct rusm__reader *reader, const char *id) {
    struct rusm__suggestion near;
    const struct rusm__manifest_profile *profile;
    rusm__suggest_start(&near, id, strlen(id));
    for (size_t i = 0; (profile = rusm__manifest_builtin_profile(i)) != NULL; i++) {
        rusm__suggest_try(&near, profile->name);
    }
    for (size_t i = 0;
         rusm__report_has_room(reader->report) && i < reader->manifest->capability_count; i++) {
        rusm__suggest_try(&near, reader->manifest->capabilities[i].name);
    }
    return rusm__read_hint(reader, &near);
}

static void resolve_profile(struct rusm__reader *reader, struct rusm__manifest_component *c) {
    if (c->capability == NULL || c->capability[0] == '\0') {
        return; /* is reported */
    }
    c->profile = rusm__manifest_find_profile(reader->manifest, c->capability);
    if (c->profile == NULL) {
        RUSM__BAD(reader, c->at[RUSM__COMPONENT_CAPABILITY],
                  "`capability` in [components.%s]: there is no profile `%s` (built in: "
                  "`sandboxed`, `network-client`, `trusted`; others are declared as "
                  "[capabilities.<name>])%s",
                  c->name, rusm__show(c->capability, strlen(c->capability)).text,
                  hint_profile(reader, c->capability));
    }
}

/* ---- limits of its own ---- */

static const struct rusm__key *limit_key(const struct rusm__key_set *set, size_t first, size_t i) {
    return &set->keys[first + i];
}

static void copy_limit(struct rusm__manifest_profile *profile,
                       const struct rusm__manifest_component *c, size_t i) {
    const struct rusm__key *to =
        limit_key(&rusm__capability_keys, RUSM__CAPABILITY_MAX_MEMORY_MB, i);
    const struct rusm__key *from =
        limit_key(&rusm__component_keys, RUSM__COMPONENT_MAX_MEMORY_MB, i);
    memcpy((char *)profile + to->offset, (const char *)c + from->offset, to->width);
    profile->at[RUSM__CAPABILITY_MAX_MEMORY_MB + i] = c->at[RUSM__COMPONENT_MAX_MEMORY_MB + i];
}

/* Its profile is then a copy of the one that it names. */
static void apply_own_limits(struct rusm__reader *reader, struct rusm__manifest_component *c) {
    struct rusm__manifest_profile *own = NULL;
    for (size_t i = 0; i < RUSM__LIMIT_KEYS && c->profile != NULL; i++) {
        if (c->at[RUSM__COMPONENT_MAX_MEMORY_MB + i].line == 0) {
            continue;
        }
        if (own == NULL) {
            own = rusm__arena_try_array(reader->arena, 1, sizeof(*own));
            if (own == NULL) {
                return; /* the arena remembers */
            }
            *own = *c->profile;
            own->limits_of = c->name;
            c->profile = own;
        }
        copy_limit(own, c, i);
    }
}

/* ---- reading ---- */

static void read_component(struct rusm__reader *reader, const struct rusm__toml *table,
                           struct rusm__manifest_component *component) {
    component->name = table->key;
    component->name_at = table->key_at;
    bool named = rusm__check_name(reader, "component", table->key_at, table->key, table->key_len);
    if (table->kind != RUSM__TOML_TABLE) {
        RUSM__BAD(reader, table->at, "component `%s` must be a table, found %s",
                  rusm__show(table->key, table->key_len).text, rusm__describe(table).text);
        return;
    }
    rusm__read_table(reader, &rusm__component_keys, rusm__read_where(reader, "components", table),
                     table, component);
    if (!named) {
        return; /* the checks below print the name */
    }
    resolve_profile(reader, component);
    apply_own_limits(reader, component);
    check_source(reader, component);
    if (component->dynamic != RUSM__DYNAMIC_NONE) {
        check_template(reader, component);
    }
}

void rusm__read_components(struct rusm__reader *reader, const struct rusm__toml *table) {
    size_t count = table->as.list.count;
    struct rusm__manifest_component *components =
        rusm__arena_try_array(reader->arena, count, sizeof(*components));
    if (components == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        read_component(reader, &table->as.list.items[i], &components[i]);
    }
    reader->manifest->components = components;
    reader->manifest->component_count = count;
}

static int compare_names(const void *name, const void *component) {
    return strcmp(name, ((const struct rusm__manifest_component *)component)->name);
}

const struct rusm__manifest_component *
rusm__manifest_find_component(const struct rusm__manifest *manifest, const char *name) {
    return manifest->component_count == 0
               ? NULL
               : bsearch(name, manifest->components, manifest->component_count,
                         sizeof(*manifest->components), compare_names);
}
