/* SPDX-License-Identifier: MIT */
/* A response as it goes out: the head is written here, the body is sent from where it stands.
 *
 * Framing is decided in this one place: every answer has a known length, so there is always a
 * content-length, except where a status or HEAD says that no body follows. */
#ifndef RUSM__SERVE_ANSWER_H
#define RUSM__SERVE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

#include "base/buf.h"
#include "serve/reply.h"
#include "serve/serve.h"

/* The lines that a listener adds to every answer, written once. */
struct rusm__answer_headers {
    struct rusm__buf lines;
    const struct rusm__serve_header *names; /* sorted; for "is it there?" */
    size_t count;
    bool has_date;
    bool has_type;
};

/* The headers outlive it. RUSM_ENOMEM; RUSM_EINVAL: a name or value that cannot be sent, or one
 * that frames. */
RUSM_MUST_USE int rusm__answer_headers_init(struct rusm__answer_headers *headers,
                                            const struct rusm__serve_header *items, size_t count);
void rusm__answer_headers_fini(struct rusm__answer_headers *headers);

/* "date: ...\r\n", renewed when the second has changed. One per thread. */
struct rusm__answer_date {
    int64_t second;
    char line[40];
    size_t len;
};

struct rusm__answer {
    unsigned status;
    const struct rusm__reply *reply; /* the handler's, when it is OK; NULL: a text of ours */
    const void *body;
    size_t body_len;
    const char *extra; /* one more line with its line end, or NULL */
    bool head;         /* answers a HEAD */
    bool old;          /* to an HTTP/1.0 client */
    bool keep_alive;
};

/* Append the head to out. Sets body_len to 0 if no body may follow. */
void rusm__answer_write(struct rusm__answer *answer, const struct rusm__answer_headers *headers,
                        struct rusm__answer_date *date, struct rusm__buf *out);

/* "Not Found" for 404; "" where there is no standard phrase. */
const char *rusm__answer_reason(unsigned status);

/* What our own answers say: "not found" for 404. */
const char *rusm__answer_text(unsigned status);

#endif
