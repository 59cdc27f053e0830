/* SPDX-License-Identifier: MIT */
/* [capabilities.<name>]: built-in profiles, and the app's own on top of them. */
#include "manifest/reader.h"

#include <stdlib.h>
#include <string.h>

/* Bounds that all built-in profiles share. docs/manifest.md prints them from the table of keys, so
 * a test compares the two. */
#define SHARED_LIMITS                                                                              \
    .max_message_bytes = 16u * 1024 * 1024, .mailbox_bytes = 64u * 1024 * 1024,                    \
    .mailbox_messages = 65536, .mailbox_policy = RUSM__MAILBOX_REFUSE, .max_children = 1024,       \
    .max_names = 256, .max_timers = 4096, .max_streams = 256, .max_host_mb = 128

static const struct rusm__manifest_profile builtin[] = {
    {.name = "sandboxed", .inherits = "sandboxed", .limits = {SHARED_LIMITS, .max_memory_mb = 64}},
    {.name = "network-client",
     .inherits = "network-client",
     .network = true,
     .limits = {SHARED_LIMITS, .max_memory_mb = 64}},
    {.name = "trusted",
     .inherits = "trusted",
     .network = true,
     .spawn = true,
     .process_control = true,
     .stdio = true,
     .storage = true,
     .limits = {SHARED_LIMITS, .max_memory_mb = 1024}},
};

const struct rusm__manifest_profile *rusm__manifest_builtin_profile(size_t index) {
    return index < sizeof(builtin) / sizeof(builtin[0]) ? &builtin[index] : NULL;
}

static int compare_names(const void *name, const void *profile) {
    return strcmp(name, ((const struct rusm__manifest_profile *)profile)->name);
}

const struct rusm__manifest_profile *
rusm__manifest_find_profile(const struct rusm__manifest *manifest, const char *name) {
    const struct rusm__manifest_profile *own = NULL;
    if (manifest->capability_count != 0) {
        own = bsearch(name, manifest->capabilities, manifest->capability_count,
                      sizeof(*manifest->capabilities), compare_names);
    }
    for (size_t i = 0; own == NULL && i < sizeof(builtin) / sizeof(builtin[0]); i++) {
        own = strcmp(builtin[i].name, name) == 0 ? &builtin[i] : NULL;
    }
    return own;
}

/* The profile that everything else starts from. Unknown words are reported when the key is read. */
static const struct rusm__manifest_profile *find_base(const struct rusm__toml *table) {
    const struct rusm__toml *inherits = rusm__read_child(table, "inherits", RUSM__TOML_STRING);
    for (size_t i = 1; inherits != NULL && i < sizeof(builtin) / sizeof(builtin[0]); i++) {
        if (strcmp(inherits->as.string.ptr, builtin[i].name) == 0) {
            return &builtin[i];
        }
    }
    return &builtin[0];
}

/* ---- preopen ---- */

static int compare_guests(const void *a, const void *b) {
    const struct rusm__manifest_preopen *x = a, *y = b;
    int order = strcmp(x->guest, y->guest);
    return order != 0 ? order
                      : rusm__pos_compare(x->at[RUSM__PREOPEN_GUEST], y->at[RUSM__PREOPEN_GUEST]);
}

static void check_guests(struct rusm__reader *reader, const char *where,
                         const struct rusm__manifest_preopen *preopens, size_t count) {
    struct rusm__manifest_preopen *sorted =
        rusm__arena_try_array(reader->arena, count, sizeof(*sorted));
    if (sorted == NULL) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (preopens[i].guest != NULL) {
            sorted[kept++] = preopens[i];
        }
    }
    qsort(sorted, kept, sizeof(*sorted), compare_guests);
    for (size_t i = 1; i < kept; i++) {
        if (strcmp(sorted[i - 1].guest, sorted[i].guest) == 0) {
            RUSM__BAD(reader, sorted[i].at[RUSM__PREOPEN_GUEST],
                      "`guest` in %s: \"%s\" is the guest path of another `preopen` too", where,
                      rusm__show(sorted[i].guest, strlen(sorted[i].guest)).text);
        }
    }
}

static void read_preopens(struct rusm__reader *reader, const char *profile_where,
                          const struct rusm__toml *list, struct rusm__manifest_profile *profile) {
    size_t count = list->as.list.count;
    struct rusm__manifest_preopen *preopens =
        rusm__arena_try_array(reader->arena, count, sizeof(*preopens));
    const char *where = rusm__arena_try_printf(reader->arena, "preopen of %s", profile_where);
    if (preopens == NULL || where == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct rusm__toml *item = &list->as.list.items[i];
        if (item->kind == RUSM__TOML_TABLE) {
            rusm__read_table(reader, &rusm__preopen_keys, where, item, &preopens[i]);
        } else {
            RUSM__BAD(reader, item->at, "%s must be a table with `host` and `guest`, found %s",
                      where, rusm__describe(item).text);
        }
    }
    check_guests(reader, where, preopens, count);
    profile->preopens = preopens;
    profile->preopen_count = count;
}

/* ---- profiles ---- */

static void read_profile(struct rusm__reader *reader, const struct rusm__toml *table,
                         struct rusm__manifest_profile *profile) {
    rusm__check_name(reader, "profile", table->key_at, table->key, table->key_len);
    *profile = *find_base(table);
    profile->name = table->key;
    profile->name_at = table->key_at;
    if (table->kind != RUSM__TOML_TABLE) {
        RUSM__BAD(reader, table->at, "profile `%s` must be a table, found %s",
                  rusm__show(table->key, table->key_len).text, rusm__describe(table).text);
        return;
    }
    const char *where = rusm__read_where(reader, "capabilities", table);
    rusm__read_table(reader, &rusm__capability_keys, where, table, profile);
    const struct rusm__toml *preopen = rusm__read_child(table, "preopen", RUSM__TOML_LIST);
    if (preopen != NULL) {
        read_preopens(reader, where, preopen, profile);
    }
}

void rusm__read_capabilities(struct rusm__reader *reader, const struct rusm__toml *table) {
    size_t count = table->as.list.count;
    struct rusm__manifest_profile *profiles =
        rusm__arena_try_array(reader->arena, count, sizeof(*profiles));
    if (profiles == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        read_profile(reader, &table->as.list.items[i], &profiles[i]);
    }
    reader->manifest->capabilities = profiles;
    reader->manifest->capability_count = count;
}
