/* SPDX-License-Identifier: MIT */
/* Writing the head of a response. */
#include "serve/answer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rusm/error.h"

#include "base/clock.h"

#define ADD(buf, literal) rusm__buf_add((buf), "" literal, sizeof(literal) - 1)

/* X(status, phrase, text); the text is NULL where no answer of ours has that status. */
#define STATUS_MAP(X)                                                                              \
    X(200, "OK", NULL)                                                                             \
    X(201, "Created", NULL)                                                                        \
    X(202, "Accepted", NULL)                                                                       \
    X(203, "Non-Authoritative Information", NULL)                                                  \
    X(204, "No Content", NULL)                                                                     \
    X(205, "Reset Content", NULL)                                                                  \
    X(206, "Partial Content", NULL)                                                                \
    X(207, "Multi-Status", NULL)                                                                   \
    X(300, "Multiple Choices", NULL)                                                               \
    X(301, "Moved Permanently", NULL)                                                              \
    X(302, "Found", NULL)                                                                          \
    X(303, "See Other", NULL)                                                                      \
    X(304, "Not Modified", NULL)                                                                   \
    X(307, "Temporary Redirect", NULL)                                                             \
    X(308, "Permanent Redirect", NULL)                                                             \
    X(400, "Bad Request", "bad request")                                                           \
    X(401, "Unauthorized", NULL)                                                                   \
    X(402, "Payment Required", NULL)                                                               \
    X(403, "Forbidden", NULL)                                                                      \
    X(404, "Not Found", "not found")                                                               \
    X(405, "Method Not Allowed", "method not allowed")                                             \
    X(406, "Not Acceptable", NULL)                                                                 \
    X(408, "Request Timeout", "the request took too long")                                         \
    X(409, "Conflict", NULL)                                                                       \
    X(410, "Gone", NULL)                                                                           \
    X(411, "Length Required", NULL)                                                                \
    X(412, "Precondition Failed", NULL)                                                            \
    X(413, "Content Too Large", "the body is too large")                                           \
    X(414, "URI Too Long", "the request target is too long")                                       \
    X(415, "Unsupported Media Type", NULL)                                                         \
    X(416, "Range Not Satisfiable", NULL)                                                          \
    X(417, "Expectation Failed", "expectation failed")                                             \
    X(418, "I'm a teapot", NULL)                                                                   \
    X(421, "Misdirected Request", NULL)                                                            \
    X(422, "Unprocessable Content", NULL)                                                          \
    X(423, "Locked", NULL)                                                                         \
    X(424, "Failed Dependency", NULL)                                                              \
    X(425, "Too Early", NULL)                                                                      \
    X(426, "Upgrade Required", NULL)                                                               \
    X(428, "Precondition Required", NULL)                                                          \
    X(429, "Too Many Requests", NULL)                                                              \
    X(431, "Request Header Fields Too Large", "the headers are too large")                         \
    X(451, "Unavailable For Legal Reasons", NULL)                                                  \
    X(500, "Internal Server Error", NULL)                                                          \
    X(501, "Not Implemented", "not implemented")                                                   \
    X(502, "Bad Gateway", "handler did not reply")                                                 \
    X(503, "Service Unavailable", "the server is at its limit")                                    \
    X(504, "Gateway Timeout", "handler took too long")                                             \
    X(505, "HTTP Version Not Supported", "HTTP version not supported")                             \
    X(507, "Insufficient Storage", NULL)                                                           \
    X(511, "Network Authentication Required", NULL)

const char *rusm__answer_reason(unsigned status) {
    switch (status) {
#define STATUS_CASE(number, phrase, text)                                                          \
    case number:                                                                                   \
        return phrase;
        STATUS_MAP(STATUS_CASE)
#undef STATUS_CASE
    default:
        return "";
    }
}

const char *rusm__answer_text(unsigned status) {
    const char *found = NULL;
    switch (status) {
#define STATUS_CASE(number, phrase, text)                                                          \
    case number:                                                                                   \
        found = text;                                                                              \
        break;
        STATUS_MAP(STATUS_CASE)
#undef STATUS_CASE
    default:
        break;
    }
    return found ? found : rusm__answer_reason(status);
}

/* ---- a listener's lines ---- */

int rusm__answer_headers_init(struct rusm__answer_headers *headers,
                              const struct rusm__serve_header *items, size_t count) {
    *headers = (struct rusm__answer_headers){.names = items, .count = count};
    for (size_t i = 0; i < count; i++) {
        struct rusm__reply_field field = {
            .name = (const unsigned char *)items[i].name,
            .value = (const unsigned char *)items[i].value,
            .name_len = strlen(items[i].name),
            .value_len = strlen(items[i].value),
        };
        if (!rusm__reply_field_is_good(&field) || rusm__reply_field_frames(&field))
            return RUSM_EINVAL;
        headers->has_date |= strcmp(items[i].name, "date") == 0;
        headers->has_type |= strcmp(items[i].name, "content-type") == 0;
        rusm__buf_addf(&headers->lines, "%s: %s\r\n", items[i].name, items[i].value);
    }
    return headers->lines.failed ? RUSM_ENOMEM : RUSM_OK;
}

void rusm__answer_headers_fini(struct rusm__answer_headers *headers) {
    rusm__buf_fini(&headers->lines);
}

/* Few names, so a walk beats a table. */
static bool replaces(const struct rusm__answer_headers *headers,
                     const struct rusm__reply_field *field) {
    for (size_t i = 0; i < headers->count; i++) {
        if (rusm__reply_field_is(field, headers->names[i].name, strlen(headers->names[i].name)))
            return true;
    }
    return false;
}

/* ---- parts of a head ---- */

/* Formatted by hand: strftime would follow the locale. */
static void renew_date(struct rusm__answer_date *date, int64_t second) {
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t when = (time_t)second;
    struct tm tm;
    if (!gmtime_r(&when, &tm))
        return; /* a year that no int holds: the last line stays */
    int len =
        snprintf(date->line, sizeof date->line, "date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
                 tm.tm_min, tm.tm_sec);
    date->second = second;
    date->len = len > 0 && (size_t)len < sizeof date->line ? (size_t)len : 0;
}

static void add_date(struct rusm__buf *out, struct rusm__answer_date *date) {
    int64_t second = rusm__clock_unix_s();
    if (second != date->second || date->len == 0)
        renew_date(date, second);
    rusm__buf_add(out, date->line, date->len);
}

static void add_status(struct rusm__buf *out, unsigned status) {
    ADD(out, "HTTP/1.1 ");
    rusm__buf_add_u64(out, status);
    rusm__buf_add_char(out, ' ');
    rusm__buf_add_str(out, rusm__answer_reason(status));
    ADD(out, "\r\n");
}

static void add_reply_fields(struct rusm__buf *out, const struct rusm__reply *reply,
                             const struct rusm__answer_headers *headers) {
    for (size_t i = 0; i < reply->field_count; i++) {
        const struct rusm__reply_field *field = &reply->fields[i];
        if (headers->count && replaces(headers, field))
            continue;
        rusm__buf_add(out, field->name, field->name_len);
        ADD(out, ": ");
        rusm__buf_add(out, field->value, field->value_len);
        ADD(out, "\r\n");
    }
}

/* ---- framing ---- */

/* Says how long the body is, and whether it is sent. */
static void add_length(struct rusm__buf *out, struct rusm__answer *answer) {
    bool none = answer->status == 204;
    bool implied = answer->head || answer->status == 304; /* the length of what is not sent */
    uint64_t length = answer->status == 205 ? 0 : answer->body_len;
    bool told = answer->reply && answer->reply->has_length;
    if (implied && told)
        length = answer->reply->length;
    if (!none && (answer->status != 304 || told)) {
        ADD(out, "content-length: ");
        rusm__buf_add_u64(out, length);
        ADD(out, "\r\n");
    }
    if (none || implied || answer->status == 205)
        answer->body_len = 0;
}

static void add_connection(struct rusm__buf *out, const struct rusm__answer *answer) {
    if (!answer->keep_alive)
        ADD(out, "connection: close\r\n");
    else if (answer->old)
        ADD(out, "connection: keep-alive\r\n");
}

void rusm__answer_write(struct rusm__answer *answer, const struct rusm__answer_headers *headers,
                        struct rusm__answer_date *date, struct rusm__buf *out) {
    const struct rusm__reply *reply = answer->reply;
    add_status(out, answer->status);
    if (reply)
        add_reply_fields(out, reply, headers);
    else if (answer->body_len && !headers->has_type)
        ADD(out, "x-content-type-options: nosniff\r\n");
    if (answer->extra)
        rusm__buf_add_str(out, answer->extra);
    rusm__buf_add(out, headers->lines.data, headers->lines.len);
    if (!headers->has_date && !(reply && reply->has_date))
        add_date(out, date);
    add_length(out, answer);
    add_connection(out, answer);
    ADD(out, "\r\n");
}
