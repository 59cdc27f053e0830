/* SPDX-License-Identifier: MIT */
/* The keys of rusm.toml as tables: what the reader accepts and what the manual prints. */
#ifndef RUSM__MANIFEST_KEYS_H
#define RUSM__MANIFEST_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manifest/manifest.h"
#include "manifest/toml_shim.h"

struct rusm__reader;
struct rusm__slot;

enum rusm__key_type {
    RUSM__KEY_STRING,  /* const char *, or whatever `take` fills; at most `max` bytes */
    RUSM__KEY_WORD,    /* an enum, by `words` */
    RUSM__KEY_BOOLEAN, /* bool */
    RUSM__KEY_INTEGER, /* uint32_t or uint64_t, min to max */
    RUSM__KEY_STRINGS, /* struct rusm__strings; every item at most `max` bytes */
    RUSM__KEY_TABLE,   /* the types below are read by the code of their table */
    RUSM__KEY_TABLES,  /* a list of tables */
    RUSM__KEY_MAP,     /* a table whose keys the app chooses */
};

struct rusm__word {
    const char *text; /* NULL ends a list */
    int value;
};

/* Checks a text and stores it, perhaps as something else, or reports what is wrong with it. */
typedef void rusm__take(struct rusm__reader *reader, const struct rusm__slot *slot,
                        const struct rusm__toml *value);

struct rusm__key {
    const char *name;
    enum rusm__key_type type;
    bool required;
    uint32_t offset; /* of the field in the table's struct */
    uint32_t width;  /* of the field */
    int64_t min, max;
    const struct rusm__word *words;
    rusm__take *take;     /* STRING: stores the value itself. STRINGS: checks one item */
    const char *fallback; /* stored when the key is missing; NULL leaves the field alone */
    unsigned used_by;     /* commands, for the manual */
    const char *standard; /* the default in the manual's words, where there is no `fallback` */
    const char *meaning;
};

/* A key that an older manifest may have, or that stands in the wrong table. */
struct rusm__removed_key {
    const char *name; /* NULL ends a list */
    const char *instead;
};

struct rusm__key_set {
    const char *title; /* as the manual writes the table: "[capabilities.<name>]" */
    const struct rusm__key *keys;
    size_t count;
    size_t at_offset; /* of `struct rusm__pos at[]` in the table's struct */
    const struct rusm__removed_key *removed;
    bool underscores; /* `_` will do where a key has `-` */
};

/* The top level has no struct of its own, only places. */
#define RUSM__ROOT_KEYS 5
struct rusm__root_places {
    struct rusm__pos at[RUSM__ROOT_KEYS];
};

extern const struct rusm__key_set rusm__root_keys;
extern const struct rusm__key_set rusm__node_keys;
extern const struct rusm__key_set rusm__log_keys;
extern const struct rusm__key_set rusm__serve_keys;
extern const struct rusm__key_set rusm__tls_keys;
extern const struct rusm__key_set rusm__capability_keys;
extern const struct rusm__key_set rusm__preopen_keys;
extern const struct rusm__key_set rusm__component_keys;

/* All of them in the manual's order; NULL after the last. */
const struct rusm__key_set *rusm__key_set_at(size_t index);

/* The text of an enum's value; NULL if the list does not have it. */
const char *rusm__word_text(const struct rusm__word *words, int value);
/* False if the list does not have the word. out_value may be NULL. */
bool rusm__word_find(const struct rusm__word *words, const char *text, size_t len, int *out_value);
extern const struct rusm__word rusm__protocol_words[];
extern const struct rusm__word rusm__mailbox_policy_words[];

/* Where and what a `take` is called for. */
struct rusm__slot {
    const struct rusm__key_set *set;
    const struct rusm__key *key;
    const char *where; /* as messages name the table: "[capabilities.shop]" */
    void *object;      /* the struct of the table */
};

static inline void *rusm__slot_field(const struct rusm__slot *slot) {
    return (char *)slot->object + slot->key->offset;
}

#endif
