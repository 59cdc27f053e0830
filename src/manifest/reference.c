/* SPDX-License-Identifier: MIT */
/* The manual's tables, printed from the tables that the reader obeys. */
#include <inttypes.h>
#include <string.h>

#include "manifest/keys.h"
#include "manifest/manifest.h"
#include "manifest/unsupported.h"

static const char *type_text(const struct rusm__key *key) {
    static const char *const texts[] = {
        [RUSM__KEY_STRING] = "string",           [RUSM__KEY_WORD] = "word",
        [RUSM__KEY_BOOLEAN] = "boolean",         [RUSM__KEY_INTEGER] = "integer",
        [RUSM__KEY_STRINGS] = "list of strings", [RUSM__KEY_TABLE] = "table",
        [RUSM__KEY_TABLES] = "list of tables",   [RUSM__KEY_MAP] = "table"};
    return texts[key->type];
}

static void add_default(struct rusm__buf *out, const struct rusm__key *key) {
    if (key->required) {
        rusm__buf_add_str(out, "**required**");
    } else if (key->fallback != NULL) {
        rusm__buf_addf(out, "`%s`", key->fallback);
    } else {
        rusm__buf_add_str(out, key->standard != NULL ? key->standard : "empty");
    }
}

static void add_allowed(struct rusm__buf *out, const struct rusm__key *key) {
    if (key->type == RUSM__KEY_WORD) {
        for (const struct rusm__word *word = key->words; word->text != NULL; word++) {
            rusm__buf_addf(out, "%s`%s`", word == key->words ? "" : ", ", word->text);
        }
    } else if (key->type == RUSM__KEY_INTEGER) {
        rusm__buf_addf(out, "%" PRId64 " to %" PRId64, key->min, key->max);
    } else if (key->type == RUSM__KEY_STRING) {
        rusm__buf_addf(out, "up to %" PRId64 " bytes", key->max);
    } else if (key->type == RUSM__KEY_STRINGS) {
        rusm__buf_addf(out, "each up to %" PRId64 " bytes", key->max);
    } else if (key->type == RUSM__KEY_BOOLEAN) {
        rusm__buf_add_str(out, "`true`, `false`");
    }
}

static void add_commands(struct rusm__buf *out, unsigned commands) {
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{RUSM__FOR_RUN, "run"}, {RUSM__FOR_SERVE, "serve"},
                 {RUSM__FOR_DEV, "dev"}, {RUSM__FOR_NODE_START, "node start"},
                 {RUSM__FOR_KV, "kv"},   {RUSM__FOR_BUILD, "build"}};
    bool first = true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((commands & names[i].bit) != 0) {
            rusm__buf_addf(out, "%s%s", first ? "" : ", ", names[i].name);
            first = false;
        }
    }
}

static void add_lacking(struct rusm__buf *out, const struct rusm__key_set *set, size_t key) {
    const struct rusm__feature *feature;
    bool first = true;
    for (size_t i = 0; (feature = rusm__feature_at(i)) != NULL; i++) {
        if (feature->set == set && feature->key == key) {
            rusm__buf_addf(out, "%s%s", first ? " **Not supported yet:** " : ", ", feature->text);
            first = false;
        }
    }
    rusm__buf_add_str(out, first ? "" : ".");
}

static void add_key_set(struct rusm__buf *out, const struct rusm__key_set *set) {
    bool top = set == &rusm__root_keys;
    rusm__buf_addf(out, "### %s%s%s\n\n", top ? "" : "`", top ? "The top level" : set->title,
                   top ? "" : "`");
    rusm__buf_add_str(out, "| Key | Type | Default | Allowed | Used by | Meaning |\n"
                           "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < set->count; i++) {
        const struct rusm__key *key = &set->keys[i];
        rusm__buf_addf(out, "| `%s` | %s | ", key->name, type_text(key));
        add_default(out, key);
        rusm__buf_add_str(out, " | ");
        add_allowed(out, key);
        rusm__buf_add_str(out, " | ");
        add_commands(out, key->used_by);
        rusm__buf_addf(out, " | %s", key->meaning);
        add_lacking(out, set, i);
        rusm__buf_add_str(out, " |\n");
    }
    rusm__buf_add_char(out, '\n');
}

/* ---- built-in profiles ---- */

static bool grant_of(const struct rusm__manifest_profile *profile, const struct rusm__key *key) {
    return *(const bool *)((const char *)profile + key->offset);
}

static void add_limit(struct rusm__buf *out, const struct rusm__manifest_profile *profile,
                      const struct rusm__key *key) {
    const char *field = (const char *)profile + key->offset;
    uint64_t value =
        key->width == sizeof(uint32_t) ? *(const uint32_t *)field : *(const uint64_t *)field;
    if (value == 0) {
        rusm__buf_add_str(out, " no limit |");
    } else {
        rusm__buf_addf(out, " %" PRIu64 " |", value);
    }
}

static void add_profile_cell(struct rusm__buf *out, const struct rusm__manifest_profile *profile,
                             const struct rusm__key *key) {
    if (key->type == RUSM__KEY_BOOLEAN) {
        rusm__buf_add_str(out, grant_of(profile, key) ? " yes |" : " no |");
    } else if (key->type == RUSM__KEY_INTEGER) {
        add_limit(out, profile, key);
    } else {
        int value = *(const int *)((const char *)profile + key->offset);
        rusm__buf_addf(out, " `%s` |", rusm__word_text(key->words, value));
    }
}

static void add_profiles(struct rusm__buf *out) {
    const struct rusm__manifest_profile *profile;
    rusm__buf_add_str(out, "### Built-in profiles\n\n| Key |");
    for (size_t i = 0; (profile = rusm__manifest_builtin_profile(i)) != NULL; i++) {
        rusm__buf_addf(out, " `%s` |", profile->name);
    }
    rusm__buf_add_str(out, "\n|---|---|---|---|\n");
    for (size_t row = 0; row < rusm__capability_keys.count; row++) {
        const struct rusm__key *key = &rusm__capability_keys.keys[row];
        if (key->type != RUSM__KEY_BOOLEAN && key->type != RUSM__KEY_INTEGER &&
            key->type != RUSM__KEY_WORD) {
            continue;
        }
        rusm__buf_addf(out, "| `%s` |", key->name);
        for (size_t i = 0; (profile = rusm__manifest_builtin_profile(i)) != NULL; i++) {
            add_profile_cell(out, profile, key);
        }
        rusm__buf_add_char(out, '\n');
    }
    rusm__buf_add_char(out, '\n');
}

/* ---- what is gone, what is to come ---- */

static void add_removed(struct rusm__buf *out) {
    const struct rusm__key_set *set;
    rusm__buf_add_str(out, "### Keys that are gone\n\n| Key | Of | Instead |\n|---|---|---|\n");
    for (size_t i = 0; (set = rusm__key_set_at(i)) != NULL; i++) {
        for (const struct rusm__removed_key *removed = set->removed;
             removed != NULL && removed->name != NULL; removed++) {
            rusm__buf_addf(out, "| `%s` | %s | %s |\n", removed->name, set->title,
                           removed->instead);
        }
    }
    rusm__buf_add_char(out, '\n');
}

static void add_features(struct rusm__buf *out) {
    const struct rusm__feature *feature;
    rusm__buf_add_str(out,
                      "### Not supported yet\n\n| Feature | In | Refused by |\n|---|---|---|\n");
    for (size_t i = 0; (feature = rusm__feature_at(i)) != NULL; i++) {
        rusm__buf_addf(out, "| %s | `%s` | ", feature->text, feature->set->title);
        add_commands(out, feature->commands);
        rusm__buf_add_str(out, ", check |\n");
    }
}

void rusm__manifest_reference(struct rusm__buf *out) {
    const struct rusm__key_set *set;
    for (size_t i = 0; (set = rusm__key_set_at(i)) != NULL; i++) {
        add_key_set(out, set);
    }
    add_profiles(out);
    add_removed(out);
    add_features(out);
}
