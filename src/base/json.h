/* SPDX-License-Identifier: MIT */
/* JSON (RFC 8259) for the serving path: append text to a buffer, and read it by pulling.
 *
 * The reader walks once over bytes that stay where they are. It never allocates and never
 * recurses; strings and numbers come out as slices of the input. It is strict: UTF-8 is checked,
 * escapes and surrogate pairs must be complete, no byte order mark, no comments, nothing behind
 * the value, at most RUSM__JSON_MAX_DEPTH levels. Duplicate keys are handed out as they come.
 *
 *     struct rusm__json json;
 *     struct rusm__json_text key, name;
 *     rusm__json_init(&json, data, len);
 *     rusm__json_object(&json);
 *     while (rusm__json_next_key(&json, &key)) {
 *         if (rusm__json_is(&key, "name"))
 *             rusm__json_string(&json, &name);
 *         else
 *             rusm__json_skip(&json);
 *     }
 *     if (!rusm__json_end(&json))
 *         ... rusm__json_add_error(&json, &buf) says what and where
 *
 * The first error sticks: everything after it answers false, so a run of reads is checked once,
 * at its end. One thread at a time per reader. */
#ifndef RUSM__BASE_JSON_H
#define RUSM__BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define RUSM__JSON_MAX_DEPTH 128u

/* ---- writing; memory that is short shows in buf->failed ---- */

/* Append a string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void rusm__json_add_string(struct rusm__buf *buf, const void *text, size_t len);

/* The same without quotes, to write one string from several pieces. A character that is cut in
 * two by the border of two pieces becomes U+FFFD twice. */
void rusm__json_add_escaped(struct rusm__buf *buf, const void *text, size_t len);

/* ---- reading ---- */

enum rusm__json_kind {
    RUSM__JSON_ERROR = 0, /* an error happened, or no value begins here */
    RUSM__JSON_NULL,
    RUSM__JSON_BOOL,
    RUSM__JSON_NUMBER,
    RUSM__JSON_STRING,
    RUSM__JSON_ARRAY,
    RUSM__JSON_OBJECT,
};

struct rusm__json {
    const unsigned char *start;
    const unsigned char *at;
    const unsigned char *end;
    unsigned depth;    /* arrays and objects that are open */
    bool fresh;        /* the innermost one has handed out nothing yet */
    const char *error; /* NULL: none yet; static text */
};

/* What stands between the quotes, checked, still escaped; borrowed from the input. */
struct rusm__json_text {
    const unsigned char *ptr;
    size_t len;
    bool escaped; /* there is a backslash in it; otherwise ptr and len are the string itself */
};

void rusm__json_init(struct rusm__json *json, const void *data, size_t len);

/* What comes next, without taking it. */
enum rusm__json_kind rusm__json_peek(struct rusm__json *json);

/* Enter an object; then call next_key, read or skip the value, until next_key answers false: the
 * object has ended, or there is an error. */
bool rusm__json_object(struct rusm__json *json);
bool rusm__json_next_key(struct rusm__json *json, struct rusm__json_text *out_key);

/* Enter an array; then call next_item, read or skip the item, until next_item answers false. */
bool rusm__json_array(struct rusm__json *json);
bool rusm__json_next_item(struct rusm__json *json);

/* Each takes one value; a value of another kind is an error. Outputs are set to 0 first. */
bool rusm__json_string(struct rusm__json *json, struct rusm__json_text *out_text);
bool rusm__json_number(struct rusm__json *json, struct rusm__json_text *out_digits);
bool rusm__json_u64(struct rusm__json *json, uint64_t *out_value); /* no sign, dot or exponent */
bool rusm__json_i64(struct rusm__json *json, int64_t *out_value);  /* no dot or exponent */
bool rusm__json_bool(struct rusm__json *json, bool *out_value);
bool rusm__json_null(struct rusm__json *json);

/* Take one value of any kind, checked all the same. */
bool rusm__json_skip(struct rusm__json *json);

/* As skip; out_raw is the value's text, from its first to its last byte. */
bool rusm__json_raw(struct rusm__json *json, struct rusm__json_text *out_raw);

/* The whole input was one good value: no error, nothing open, only white space left. */
bool rusm__json_end(struct rusm__json *json);

/* Let the reader fail here with a text of the caller's (static), such as "missing `status`".
 * Answers false, to be returned at once. An earlier error stays. */
bool rusm__json_fail(struct rusm__json *json, const char *error);

/* Where the reader is: bytes before it. After an error, where the error is. */
size_t rusm__json_offset(const struct rusm__json *json);

/* Append "<error> at line L column C" (columns count bytes, both from 1). */
void rusm__json_add_error(const struct rusm__json *json, struct rusm__buf *buf);

/* Append the string itself, escapes resolved. A lone surrogate never gets here: the reader
 * refuses it. */
void rusm__json_unescape(const struct rusm__json_text *text, struct rusm__buf *buf);

/* Is the string, escapes resolved, exactly this? Never allocates. */
bool rusm__json_is(const struct rusm__json_text *text, const char *literal);

#endif
