/* SPDX-License-Identifier: MIT */
/* What a handler answers, read from its message:
 *
 *   {"ref":n,"ok":{"status":u16,"headers":[[k,v]...],"body":"<base64>"}}  or  {"ref":n,"err":s}
 *
 * Keys come in any order, unknown ones are skipped, `headers` and `body` may be missing. Nothing is
 * copied: texts point into the message and the body is decoded where it stands; only strings with
 * escapes go through `unescaped`. */
#ifndef RUSM__SERVE_REPLY_H
#define RUSM__SERVE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define RUSM__REPLY_FIELDS_MAX 128u

enum rusm__reply_kind {
    RUSM__REPLY_OK,
    RUSM__REPLY_ERR,     /* text: the handler's */
    RUSM__REPLY_MISSING, /* neither ok nor err */
    RUSM__REPLY_BROKEN,  /* text: what does not decode, and where */
    RUSM__REPLY_INVALID, /* no response can be made of it: status or header line */
    RUSM__REPLY_FRAMING, /* it speaks of a framing that its body does not have */
};

struct rusm__reply_field {
    const unsigned char *name, *value;
    size_t name_len, value_len;
};

struct rusm__reply {
    enum rusm__reply_kind kind;
    uint64_t status;
    size_t field_count;
    const unsigned char *text; /* ERR and BROKEN */
    size_t text_len;
    unsigned char *body;
    size_t body_len;
    bool has_length; /* a content-length that the handler gave */
    uint64_t length;
    bool has_date;
    struct rusm__buf unescaped; /* keeps its memory */
    struct rusm__buf error;     /* the same; the text of BROKEN */
    struct rusm__reply_field fields[RUSM__REPLY_FIELDS_MAX];
};

void rusm__reply_init(struct rusm__reply *reply);
void rusm__reply_fini(struct rusm__reply *reply);

/* Read the message; it is changed. What reply points to is valid until the next call and as long as
 * the message. `head`: the request was a HEAD, whose answer may name the length of a body that it
 * does not have. Memory that is short makes it BROKEN.
 *
 * Of a response that is OK, the fields are those that may be sent: names are tokens,
 * values visible ASCII, and the lines that frame a message are taken out, since framing belongs to
 * the server. */
void rusm__reply_read(struct rusm__reply *reply, unsigned char *data, size_t len, bool head);

/* A token and visible ASCII. */
bool rusm__reply_field_is_good(const struct rusm__reply_field *field);
/* One of the lines that say where a message ends or what becomes of the connection. */
bool rusm__reply_field_frames(const struct rusm__reply_field *field);
/* Is this its name? Case does not count. */
bool rusm__reply_field_is(const struct rusm__reply_field *field, const char *name, size_t len);

#endif
