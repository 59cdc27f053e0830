/* SPDX-License-Identifier: MIT */
/* One HTTP/1.x request as it is being read: bytes go in, a checked request comes out.
 *
 *                feed                    feed
 *     (fresh) ----------> MORE ... HEAD -------> MORE ... DONE
 *        |                 |         |             |
 *        +-----------------+---------+-------------+--> BAD: answer `status`, then close
 *
 * HEAD is reported only when a body follows, so that it can be refused before it is read. A request
 * that arrives in one piece is not copied: until the next feed, or reset, everything points into
 * the memory that was fed. When feed answers MORE it has copied what it needs.
 *
 * After HEAD the next feed brings the bytes behind the used ones, where they stand; after MORE, any
 * memory.
 *
 * No sockets and no threads here; llhttp in strict mode does the grammar. What it lets pass and a
 * server must not (RFC 9112: line folding, several Host lines, codings other than chunked, ...) is
 * refused in http.c. */
#ifndef RUSM__SERVE_HTTP_H
#define RUSM__SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "base/buf.h"
#include "serve/serve.h"

#define RUSM__HTTP_FIELDS_MAX 256u

enum rusm__http_state {
    RUSM__HTTP_MORE,
    RUSM__HTTP_HEAD,
    RUSM__HTTP_DONE,
    RUSM__HTTP_BAD,
};

/* A header line; places are relative to `base`. */
struct rusm__http_field {
    uint32_t name, name_len;
    uint32_t value, value_len;
};

struct rusm__http {
    llhttp_t parser;
    const struct rusm__serve_limits *limits;
    const unsigned char *base; /* of the head: in the fed memory, or kept.data */
    size_t head_len;           /* while it is in the fed memory */
    struct rusm__buf kept;     /* the head, when it came in pieces */
    struct rusm__buf gathered; /* the body, when it came in pieces or chunks */
    const unsigned char *body; /* in the fed memory, or gathered.data */
    size_t body_len;
    uint64_t content_length;
    size_t trailer_bytes; /* and chunk extensions */
    uint32_t target, target_len;
    uint32_t field_count;
    uint16_t status; /* of BAD */
    bool in_value;   /* the last header callback was for a value */
    bool in_body;
    bool complete;
    bool chunked;
    bool drop_body; /* set by the caller at HEAD: the body is read and not kept */
    /* Valid from HEAD on. */
    bool keep_alive;
    bool old; /* HTTP/1.0 */
    bool expects_continue;
    struct rusm__http_field fields[]; /* room for limits->max_headers */
};

/* NULL when memory is short. The limits outlive it and hold no zeroes. */
struct rusm__http *rusm__http_new(const struct rusm__serve_limits *limits);
void rusm__http_free(struct rusm__http *http);

/* Make it ready for the next request; gives back what is large. */
void rusm__http_reset(struct rusm__http *http);

/* Read on. *out_used tells how many of the bytes belong to this request; on BAD it means nothing.
 */
enum rusm__http_state rusm__http_feed(struct rusm__http *http, const unsigned char *data,
                                      size_t len, size_t *out_used);

/* ---- from HEAD on ---- */

const char *rusm__http_method(const struct rusm__http *http);

/* The target in origin form: path and query. False for a target that has no such form. */
bool rusm__http_path(const struct rusm__http *http, const char **out_path, size_t *out_len);

static inline const char *rusm__http_at(const struct rusm__http *http, uint32_t place) {
    return (const char *)http->base + place;
}

#endif
