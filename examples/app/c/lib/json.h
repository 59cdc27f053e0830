/* SPDX-License-Identifier: MIT */
/* As much JSON as the wire between guests and node needs. A value is a piece of the message, so
 * reading allocates only for texts that have escapes. Anybody can send a process a message: every
 * function here answers false for what is not JSON, and nesting is bounded. */
#ifndef GUEST_JSON_H
#define GUEST_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "mem.h"

/* One value in `text`; false if it is not exactly one. */
bool json_parse(struct text text, struct text *out_value);

bool json_is_object(struct text value);
bool json_is_array(struct text value);

/* The value under a key of an object; the first one if the key is repeated. */
bool json_member(struct text object, struct text key, struct text *out_value);

/* Element `index` of an array. */
bool json_element(struct text array, size_t index, struct text *out_value);

/* A string, decoded to UTF-8. */
bool json_string(struct text value, struct text *out_text);

/* A whole number without sign, fraction and exponent. */
bool json_u64(struct text value, uint64_t *out_number);

/* Decimal digits and nothing else. */
bool text_u64(struct text text, uint64_t *out_number);

/* Well-formed, no surrogates, nothing overlong. */
bool text_is_utf8(struct text text);

/* Append a string with its quotes. */
void json_add_string(struct buf *out, struct text text);

/* RFC 4648 section 4, with padding. */
void base64_add(struct buf *out, struct text bytes);
bool base64_decode(struct text encoded, struct text *out_bytes);

#endif
