/* SPDX-License-Identifier: MIT */
/* A TOML document as a C tree with places: all that the rest of this folder sees of the parser.
 *
 * The tree lives in the arena that is handed in and does not refer to the text. Children of a
 * table are in byte order of their keys, items of a list as written. Strings and keys carry a
 * terminator but may contain zero bytes (TOML allows \u0000), so `len` counts. */
#ifndef RUSM__MANIFEST_TOML_SHIM_H
#define RUSM__MANIFEST_TOML_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

#include "base/arena.h"
#include "manifest/pos.h"

#define RUSM__TOML_BYTES_MAX   (1024u * 1024u)
#define RUSM__TOML_KEY_PARTS   16 /* of one dotted key */
#define RUSM__TOML_VALUE_DEPTH 16 /* lists and inline tables inside each other */

enum rusm__toml_kind {
    RUSM__TOML_TABLE,
    RUSM__TOML_LIST,
    RUSM__TOML_STRING,
    RUSM__TOML_INTEGER,
    RUSM__TOML_FLOAT,
    RUSM__TOML_BOOLEAN,
    RUSM__TOML_DATE, /* a date, a time, or both; its value is not kept */
};

struct rusm__toml {
    enum rusm__toml_kind kind;
    struct rusm__pos at;     /* of the value; a [table] starts at its bracket */
    struct rusm__pos key_at; /* line 0 for items of a list and the root */
    const char *key;
    size_t key_len;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct {
            const char *ptr;
            size_t len;
        } string;
        struct {
            struct rusm__toml *items;
            size_t count;
        } list; /* of TABLE too */
    } as;
};

struct rusm__toml_error {
    struct rusm__pos at;
    char text[256];
};

/* RUSM_ECONFIG: not TOML, or over a limit; *error says why. RUSM_ENOMEM. The text must be valid
 * UTF-8 of at most RUSM__TOML_BYTES_MAX bytes. */
RUSM_MUST_USE int rusm__toml_parse(struct rusm__arena *arena, const char *text, size_t len,
                                   struct rusm__toml **out_root, struct rusm__toml_error *error);

#endif
