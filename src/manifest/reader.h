/* SPDX-License-Identifier: MIT */
/* From TOML tables to structs by the tables of keys.h; inside this folder only. */
#ifndef RUSM__MANIFEST_READER_H
#define RUSM__MANIFEST_READER_H

#include "manifest/keys.h"
#include "manifest/manifest.h"
#include "manifest/report.h"
#include "manifest/suggest.h"
#include "manifest/toml_shim.h"

struct rusm__reader {
    struct rusm__manifest *manifest; /* being filled */
    struct rusm__arena *arena;       /* the manifest's */
    struct rusm__report *report;
};

/* Read the table `from` into the struct `object`: defaults, unknown keys, types, ranges, words,
 * required keys. Keys of type TABLE, TABLES and MAP are only checked for their type. */
void rusm__read_table(struct rusm__reader *reader, const struct rusm__key_set *set,
                      const char *where, const struct rusm__toml *from, void *object);

/* The child of a table with that key, or NULL. */
const struct rusm__toml *rusm__toml_find(const struct rusm__toml *table, const char *key);

/* The child if it is there and of that kind; NULL otherwise (which read_table has reported). */
const struct rusm__toml *rusm__read_child(const struct rusm__toml *table, const char *key,
                                          enum rusm__toml_kind kind);

/* "[components.x]" in the arena, with quotes around a name that needs them. */
const char *rusm__read_where(struct rusm__reader *reader, const char *table,
                             const struct rusm__toml *child);

/* "; did you mean `x`?" or nothing: what stands behind a message. */
const char *rusm__read_hint(struct rusm__reader *reader, const struct rusm__suggestion *near);

/* "the string "grpc"", "the integer 7", "a table". */
struct rusm__found {
    char text[sizeof(struct rusm__shown) + 32];
};
struct rusm__found rusm__describe(const struct rusm__toml *value);

#define RUSM__BAD(reader, at, ...)                                                                 \
    rusm__report_add((reader)->report, RUSM__INVALID, (at), __VA_ARGS__)
#define RUSM__WARN(reader, at, ...)                                                                \
    rusm__report_add((reader)->report, RUSM__WARNING, (at), __VA_ARGS__)

/* ---- values.c: single values that need more than a type ---- */

rusm__take rusm__take_address;
rusm__take rusm__take_source;
rusm__take rusm__take_level;
rusm__take rusm__take_dynamic;
rusm__take rusm__take_name;
rusm__take rusm__take_path;
rusm__take rusm__take_text;     /* not empty */
rusm__take rusm__take_protocol; /* item: a subprotocol token */
rusm__take rusm__take_origin;   /* item */
rusm__take rusm__take_env;      /* item */
rusm__take rusm__take_bridge;   /* item */
rusm__take rusm__take_url_host; /* item */

/* Letters, digits, `-`, `_`, and `.` inside; at most RUSM__MANIFEST_NAME_MAX. Reports otherwise. */
bool rusm__check_name(struct rusm__reader *reader, const char *what, struct rusm__pos at,
                      const char *name, size_t len);

bool rusm__is_token_char(unsigned char c); /* of RFC 9110: methods, header names, subprotocols */

/* Do two listen addresses claim the same port? Port 0 never does. */
bool rusm__address_overlaps(const struct rusm__address *a, const struct rusm__address *b);

/* ---- one file per table ---- */

void rusm__read_capabilities(struct rusm__reader *reader, const struct rusm__toml *table);
void rusm__read_components(struct rusm__reader *reader, const struct rusm__toml *table);
void rusm__read_serve(struct rusm__reader *reader, const struct rusm__toml *list);
/* NULL if nothing can be matched, which is reported. */
const struct rusm__routes *rusm__read_routes(struct rusm__reader *reader,
                                             const struct rusm__manifest_listener *listener,
                                             const struct rusm__toml *table);
void rusm__read_headers(struct rusm__reader *reader, struct rusm__manifest_listener *listener,
                        const struct rusm__toml *table);

#endif
