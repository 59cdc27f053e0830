/* SPDX-License-Identifier: MIT */
/* The table-driven reader: one pass over what the file has, one over what it should have. */
#include "manifest/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* ---- texts ---- */

struct rusm__found rusm__describe(const struct rusm__toml *value) {
    struct rusm__found found;
    switch (value->kind) {
    case RUSM__TOML_TABLE:
        snprintf(found.text, sizeof(found.text), "a table");
        break;
    case RUSM__TOML_LIST:
        snprintf(found.text, sizeof(found.text), "a list");
        break;
    case RUSM__TOML_STRING:
        snprintf(found.text, sizeof(found.text), "\"%s\"",
                 rusm__show(value->as.string.ptr, value->as.string.len).text);
        break;
    case RUSM__TOML_INTEGER:
        snprintf(found.text, sizeof(found.text), "%" PRId64, value->as.integer);
        break;
    case RUSM__TOML_FLOAT:
        snprintf(found.text, sizeof(found.text), "the fraction %g", value->as.real);
        break;
    case RUSM__TOML_BOOLEAN:
        snprintf(found.text, sizeof(found.text), "%s", value->as.boolean ? "true" : "false");
        break;
    case RUSM__TOML_DATE:
        snprintf(found.text, sizeof(found.text), "a date or time");
        break;
    }
    return found;
}

const char *rusm__read_hint(struct rusm__reader *reader, const struct rusm__suggestion *near) {
    if (near->best == NULL) {
        return "";
    }
    const char *hint = rusm__arena_try_printf(reader->arena, "; did you mean `%s`?", near->best);
    return hint != NULL ? hint : "";
}

static bool is_bare(const char *key, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", key[i]) ==
                NULL ||
            key[i] == '\0') {
            return false;
        }
    }
    return len != 0;
}

const char *rusm__read_where(struct rusm__reader *reader, const char *table,
                             const struct rusm__toml *child) {
    const char *quote = is_bare(child->key, child->key_len) ? "" : "\"";
    const char *where = rusm__arena_try_printf(reader->arena, "[%s.%s%s%s]", table, quote,
                                               rusm__show(child->key, child->key_len).text, quote);
    return where != NULL ? where : "";
}

/* "`a`, `b`, `c`" of a set's keys or of words, whichever is not NULL. Nothing once the report is
 * full: a file of a hundred thousand mistakes must not cost as many lists. */
static const char *list_allowed(struct rusm__reader *reader, const struct rusm__key_set *set,
                                const struct rusm__word *words) {
    const char *list = "";
    if (!rusm__report_has_room(reader->report)) {
        return list;
    }
    for (size_t i = 0; set != NULL ? i < set->count : words[i].text != NULL; i++) {
        const char *longer =
            rusm__arena_try_printf(reader->arena, "%s%s`%s`", list, i == 0 ? "" : ", ",
                                   set != NULL ? set->keys[i].name : words[i].text);
        if (longer == NULL) {
            return list;
        }
        list = longer;
    }
    return list;
}

const struct rusm__toml *rusm__toml_find(const struct rusm__toml *table, const char *key) {
    for (size_t i = 0; table->kind == RUSM__TOML_TABLE && i < table->as.list.count; i++) {
        const struct rusm__toml *child = &table->as.list.items[i];
        if (rusm__str_is(child->key, child->key_len, key)) {
            return child;
        }
    }
    return NULL;
}

const struct rusm__toml *rusm__read_child(const struct rusm__toml *table, const char *key,
                                          enum rusm__toml_kind kind) {
    const struct rusm__toml *child = rusm__toml_find(table, key);
    return child != NULL && child->kind == kind ? child : NULL;
}

/* ---- keys ---- */

/* Does a file that says `name` mean that key? */
static bool is_key(const struct rusm__key_set *set, const struct rusm__key *key, const char *name,
                   size_t len) {
    if (!set->underscores || strlen(key->name) != len) {
        return rusm__str_is(name, len, key->name);
    }
    for (size_t i = 0; i < len; i++) {
        if (name[i] != key->name[i] && !(name[i] == '_' && key->name[i] == '-')) {
            return false;
        }
    }
    return true;
}

static const struct rusm__key *find_key(const struct rusm__key_set *set, const char *name,
                                        size_t len) {
    for (size_t i = 0; i < set->count; i++) {
        if (is_key(set, &set->keys[i], name, len)) {
            return &set->keys[i];
        }
    }
    return NULL;
}

static const char *find_removed(const struct rusm__key_set *set, const struct rusm__toml *child) {
    for (const struct rusm__removed_key *removed = set->removed;
         removed != NULL && removed->name != NULL; removed++) {
        if (rusm__str_is(child->key, child->key_len, removed->name)) {
            return removed->instead;
        }
    }
    return NULL;
}

/* The title of another table that has this very key. */
static const char *find_home(const struct rusm__key_set *not_in, const struct rusm__toml *child) {
    const struct rusm__key_set *set;
    for (size_t i = 0; (set = rusm__key_set_at(i)) != NULL; i++) {
        if (set != not_in && find_key(set, child->key, child->key_len) != NULL) {
            return set->title;
        }
    }
    return NULL;
}

static void report_unknown(struct rusm__reader *reader, const struct rusm__key_set *set,
                           const char *where, const struct rusm__toml *child) {
    struct rusm__shown shown = rusm__show(child->key, child->key_len);
    const char *instead = find_removed(set, child);
    if (instead != NULL) {
        RUSM__BAD(reader, child->key_at, "`%s` is not a key of %s any more: %s", shown.text, where,
                  instead);
        return;
    }
    struct rusm__suggestion near;
    rusm__suggest_start(&near, child->key, child->key_len);
    for (size_t i = 0; rusm__report_has_room(reader->report) && i < set->count; i++) {
        rusm__suggest_try(&near, set->keys[i].name);
    }
    const char *home = near.best != NULL ? NULL : find_home(set, child);
    RUSM__BAD(reader, child->key_at, "unknown key `%s` in %s; allowed: %s%s%s%s", shown.text, where,
              list_allowed(reader, set, NULL), home != NULL ? "; that key belongs in " : "",
              home != NULL ? home : "", rusm__read_hint(reader, &near));
}

/* ---- values ---- */

static enum rusm__toml_kind kind_of(enum rusm__key_type type) {
    switch (type) {
    case RUSM__KEY_BOOLEAN:
        return RUSM__TOML_BOOLEAN;
    case RUSM__KEY_INTEGER:
        return RUSM__TOML_INTEGER;
    case RUSM__KEY_STRINGS:
    case RUSM__KEY_TABLES:
        return RUSM__TOML_LIST;
    case RUSM__KEY_TABLE:
    case RUSM__KEY_MAP:
        return RUSM__TOML_TABLE;
    default:
        return RUSM__TOML_STRING;
    }
}

static const char *type_text(const struct rusm__slot *slot, struct rusm__reader *reader) {
    switch (slot->key->type) {
    case RUSM__KEY_BOOLEAN:
        return "true or false";
    case RUSM__KEY_INTEGER:
        return "an integer";
    case RUSM__KEY_STRINGS:
        return "a list of strings";
    case RUSM__KEY_TABLES:
        return slot->set == &rusm__root_keys ? "a list of tables, each written `[[serve]]`"
                                             : "a list of tables";
    case RUSM__KEY_TABLE:
    case RUSM__KEY_MAP:
        return "a table";
    case RUSM__KEY_WORD: {
        const char *text = rusm__arena_try_printf(reader->arena, "one of the words %s",
                                                  list_allowed(reader, NULL, slot->key->words));
        return text != NULL ? text : "a word";
    }
    default:
        return "a string";
    }
}

static void store_integer(struct rusm__reader *reader, const struct rusm__slot *slot,
                          const struct rusm__toml *value) {
    int64_t number = value->as.integer;
    const struct rusm__key *key = slot->key;
    if (number < key->min || number > key->max) {
        RUSM__BAD(reader, value->at,
                  "`%s` in %s must be an integer from %" PRId64 " to %" PRId64 ", found %" PRId64,
                  key->name, slot->where, key->min, key->max, number);
    } else if (key->width == sizeof(uint32_t)) {
        *(uint32_t *)rusm__slot_field(slot) = (uint32_t)number;
    } else {
        *(uint64_t *)rusm__slot_field(slot) = (uint64_t)number;
    }
}

static void store_word(struct rusm__reader *reader, const struct rusm__slot *slot,
                       const struct rusm__toml *value) {
    const char *text = value->as.string.ptr;
    size_t len = value->as.string.len;
    const struct rusm__word *words = slot->key->words;
    if (rusm__word_find(words, text, len, rusm__slot_field(slot))) {
        return;
    }
    struct rusm__suggestion near;
    rusm__suggest_start(&near, text, len);
    for (; words->text != NULL; words++) {
        rusm__suggest_try(&near, words->text);
    }
    RUSM__BAD(reader, value->at, "`%s` in %s must be one of %s, found %s%s", slot->key->name,
              slot->where, list_allowed(reader, NULL, slot->key->words), rusm__describe(value).text,
              rusm__read_hint(reader, &near));
}

static bool check_text(struct rusm__reader *reader, const struct rusm__slot *slot,
                       const struct rusm__toml *value) {
    if ((int64_t)value->as.string.len > slot->key->max) {
        RUSM__BAD(reader, value->at, "`%s` in %s is longer than %" PRId64 " bytes", slot->key->name,
                  slot->where, slot->key->max);
        return false;
    }
    for (size_t i = 0; i < value->as.string.len; i++) {
        unsigned char c = (unsigned char)value->as.string.ptr[i];
        if (c < 0x20 || c == 0x7f) {
            RUSM__BAD(reader, value->at, "`%s` in %s has a control character: %s", slot->key->name,
                      slot->where, rusm__describe(value).text);
            return false;
        }
    }
    return true;
}

static void store_string(struct rusm__reader *reader, const struct rusm__slot *slot,
                         const struct rusm__toml *value) {
    if (!check_text(reader, slot, value)) {
        return;
    }
    slot->key->take(reader, slot, value);
}

static bool check_item(struct rusm__reader *reader, const struct rusm__slot *slot,
                       const struct rusm__toml *list, size_t index) {
    const struct rusm__toml *item = &list->as.list.items[index];
    if (item->kind != RUSM__TOML_STRING) {
        RUSM__BAD(reader, item->at, "`%s` in %s must be a list of strings, found %s in it",
                  slot->key->name, slot->where, rusm__describe(item).text);
        return false;
    }
    if (!check_text(reader, slot, item)) {
        return false;
    }
    slot->key->take(reader, slot, item);
    return true;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* On a sorted copy, so that a long list costs no quadratic time. */
static void warn_of_twins(struct rusm__reader *reader, const struct rusm__slot *slot,
                          const struct rusm__toml *list, const struct rusm__strings *strings) {
    const char **sorted = rusm__arena_try_array(reader->arena, strings->count, sizeof(*sorted));
    if (sorted == NULL) {
        return; /* the arena remembers */
    }
    for (size_t i = 0; i < strings->count; i++) {
        sorted[i] = strings->items[i];
    }
    qsort(sorted, strings->count, sizeof(*sorted), compare_texts);
    for (size_t i = 1; i < strings->count; i++) {
        bool twins = strcmp(sorted[i - 1], sorted[i]) == 0;
        if (twins && (i == 1 || strcmp(sorted[i - 2], sorted[i]) != 0)) { /* once per text */
            RUSM__WARN(reader, list->at, "`%s` in %s names \"%s\" more than once", slot->key->name,
                       slot->where, rusm__show(sorted[i], strlen(sorted[i])).text);
        }
    }
}

static void store_strings(struct rusm__reader *reader, const struct rusm__slot *slot,
                          const struct rusm__toml *value) {
    size_t count = value->as.list.count;
    const char **items = rusm__arena_try_array(reader->arena, count, sizeof(*items));
    if (items == NULL) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (check_item(reader, slot, value, i)) {
            items[kept++] = value->as.list.items[i].as.string.ptr;
        }
    }
    struct rusm__strings *strings = rusm__slot_field(slot);
    *strings = (struct rusm__strings){.items = items, .count = kept};
    if (kept > 1) {
        warn_of_twins(reader, slot, value, strings);
    }
}

static void store(struct rusm__reader *reader, const struct rusm__slot *slot,
                  const struct rusm__toml *value) {
    switch (slot->key->type) {
    case RUSM__KEY_STRING:
        store_string(reader, slot, value);
        break;
    case RUSM__KEY_WORD:
        store_word(reader, slot, value);
        break;
    case RUSM__KEY_BOOLEAN:
        *(bool *)rusm__slot_field(slot) = value->as.boolean;
        break;
    case RUSM__KEY_INTEGER:
        store_integer(reader, slot, value);
        break;
    case RUSM__KEY_STRINGS:
        store_strings(reader, slot, value);
        break;
    case RUSM__KEY_TABLE:
    case RUSM__KEY_TABLES:
    case RUSM__KEY_MAP:
        break;
    }
}

/* ---- tables ---- */

static struct rusm__pos *place_of(const struct rusm__slot *slot) {
    struct rusm__pos *at = (struct rusm__pos *)((char *)slot->object + slot->set->at_offset);
    return &at[slot->key - slot->set->keys];
}

static void store_default(struct rusm__reader *reader, const struct rusm__slot *slot) {
    const char *text = slot->key->fallback;
    struct rusm__toml value = {.kind = kind_of(slot->key->type)};
    if (slot->key->type == RUSM__KEY_BOOLEAN) {
        value.as.boolean = strcmp(text, "true") == 0;
    } else if (slot->key->type == RUSM__KEY_INTEGER) {
        value.as.integer = strtoll(text, NULL, 10);
    } else {
        value.as.string.ptr = text;
        value.as.string.len = strlen(text);
    }
    store(reader, slot, &value);
}

static void read_value(struct rusm__reader *reader, const struct rusm__slot *slot,
                       const struct rusm__toml *value) {
    *place_of(slot) = value->at;
    if (value->kind != kind_of(slot->key->type)) {
        RUSM__BAD(reader, value->at, "`%s` in %s must be %s, found %s", slot->key->name,
                  slot->where, type_text(slot, reader), rusm__describe(value).text);
    } else {
        store(reader, slot, value);
    }
}

/* The value of a key in the file. One that stands there in both spellings is a mistake. */
static const struct rusm__toml *find_value(struct rusm__reader *reader,
                                           const struct rusm__slot *slot,
                                           const struct rusm__toml *from) {
    const struct rusm__toml *found = NULL;
    for (size_t i = 0; from->kind == RUSM__TOML_TABLE && i < from->as.list.count; i++) {
        const struct rusm__toml *child = &from->as.list.items[i];
        if (!is_key(slot->set, slot->key, child->key, child->key_len)) {
            continue;
        }
        if (found != NULL) {
            RUSM__BAD(reader, child->key_at, "`%s` is set twice in %s, with `-` and with `_`",
                      slot->key->name, slot->where);
        }
        found = child;
    }
    return found;
}

void rusm__read_table(struct rusm__reader *reader, const struct rusm__key_set *set,
                      const char *where, const struct rusm__toml *from, void *object) {
    struct rusm__slot slot = {.set = set, .where = where, .object = object};
    for (size_t i = 0; i < set->count; i++) {
        slot.key = &set->keys[i];
        const struct rusm__toml *value = find_value(reader, &slot, from);
        if (slot.key->fallback != NULL) {
            store_default(reader, &slot);
        }
        if (value != NULL) {
            read_value(reader, &slot, value);
        } else if (slot.key->required) {
            RUSM__BAD(reader, from->at, "%s needs the key `%s`", where, slot.key->name);
        }
    }
    for (size_t i = 0; i < from->as.list.count; i++) {
        const struct rusm__toml *child = &from->as.list.items[i];
        if (find_key(set, child->key, child->key_len) == NULL) {
            report_unknown(reader, set, where, child);
        }
    }
}
