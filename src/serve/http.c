/* SPDX-License-Identifier: MIT */
/* Reading a request. llhttp walks over the bytes and calls back with pieces of them; since a head
 * always lies in one piece of memory (the fed one, or `kept`), a piece is stored as its place and
 * length, and pieces that follow each other become one. A value whose pieces do not follow each
 * other was folded over lines, which is refused. */
#include "serve/http.h"

#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    /* Room for method, version and blanks of the request line, and for empty lines before it. */
    LINE_SLACK = 128,
    TRAILER_MAX = 16 * 1024,
    /* A buffer that grew beyond this is given back after its request. */
    KEEP_CAPACITY = 64 * 1024,
};

static inline struct rusm__http *http_of(llhttp_t *parser) {
    return parser->data;
}

/* Let the parser stop with an answer of ours. */
static int refuse(struct rusm__http *http, uint16_t status) {
    http->status = status;
    return -1;
}

/* ---- pieces ---- */

static uint32_t place_of(const struct rusm__http *http, const char *at) {
    return (uint32_t)((const unsigned char *)at - http->base);
}

/* Add a piece to a text. False if it does not follow what is there. */
static bool extend(uint32_t *place, uint32_t *len, uint32_t at, size_t more) {
    if (*len == 0)
        *place = at;
    else if (*place + *len != at)
        return false;
    *len += (uint32_t)more;
    return true;
}

static int on_url(llhttp_t *parser, const char *at, size_t len) {
    struct rusm__http *http = http_of(parser);
    if (!extend(&http->target, &http->target_len, place_of(http, at), len))
        return refuse(http, 400);
    return http->target_len > http->limits->max_target_bytes ? refuse(http, 414) : 0;
}

/* Header lines, measured from the end of the target. */
static bool fields_too_long(const struct rusm__http *http, uint32_t end) {
    return end - (http->target + http->target_len) > http->limits->max_head_bytes;
}

static int count_trailer(struct rusm__http *http, size_t len) {
    http->trailer_bytes += len;
    return http->trailer_bytes > TRAILER_MAX ? refuse(http, 431) : 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len) {
    struct rusm__http *http = http_of(parser);
    if (http->in_body)
        return count_trailer(http, len);
    uint32_t place = place_of(http, at);
    if (http->in_value || http->field_count == 0) {
        if (http->field_count == http->limits->max_headers)
            return refuse(http, 431);
        http->fields[http->field_count++] = (struct rusm__http_field){0};
        http->in_value = false;
    }
    struct rusm__http_field *field = &http->fields[http->field_count - 1];
    if (!extend(&field->name, &field->name_len, place, len))
        return refuse(http, 400);
    return fields_too_long(http, place + (uint32_t)len) ? refuse(http, 431) : 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
    struct rusm__http *http = http_of(parser);
    if (http->in_body)
        return count_trailer(http, len);
    if (RUSM_NEVER(http->field_count == 0))
        return refuse(http, 400);
    uint32_t place = place_of(http, at);
    struct rusm__http_field *field = &http->fields[http->field_count - 1];
    http->in_value = true;
    if (!extend(&field->value, &field->value_len, place, len))
        return refuse(http, 400);
    return fields_too_long(http, place + (uint32_t)len) ? refuse(http, 431) : 0;
}

/* Empty values bring no piece. */
static int on_value_complete(llhttp_t *parser) {
    http_of(parser)->in_value = true;
    return 0;
}

static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len) {
    (void)at;
    return count_trailer(http_of(parser), len);
}

/* ---- the head as a whole ---- */

static void trim(struct rusm__http *http, struct rusm__http_field *field) {
    const char *value = rusm__http_at(http, field->value);
    while (field->value_len &&
           (value[field->value_len - 1] == ' ' || value[field->value_len - 1] == '\t'))
        field->value_len--;
}

static bool name_is(const struct rusm__http *http, const struct rusm__http_field *field,
                    const char *name, size_t len) {
    return field->name_len == len && strncasecmp(rusm__http_at(http, field->name), name, len) == 0;
}

static bool value_is(const struct rusm__http *http, const struct rusm__http_field *field,
                     const char *value, size_t len) {
    return field->value_len == len &&
           strncasecmp(rusm__http_at(http, field->value), value, len) == 0;
}

/* What no host and port can contain, but what lets two readers of a Host line disagree. */
static bool is_host(const struct rusm__http *http, const struct rusm__http_field *field) {
    const char *value = rusm__http_at(http, field->value);
    for (uint32_t i = 0; i < field->value_len; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c <= ' ' || c >= 0x7f || strchr("/?#@\\,\"<>", c))
            return false;
    }
    return true;
}

/* A value that begins on the next line is folded too; its one piece does not show it. */
static bool is_on_one_line(const struct rusm__http *http, const struct rusm__http_field *field) {
    uint32_t name_end = field->name + field->name_len;
    return field->value_len == 0 ||
           !memchr(rusm__http_at(http, name_end), '\n', field->value - name_end);
}

static uint16_t check_expect(struct rusm__http *http, const struct rusm__http_field *field) {
    if (!value_is(http, field, "100-continue", 12))
        return 417;
    http->expects_continue = !http->old;
    return 0;
}

/* A coding that we cannot undo must not reach the handler as if it were the body. */
static uint16_t check_coding(const struct rusm__http *http, const struct rusm__http_field *field) {
    if (http->old)
        return 400;
    return value_is(http, field, "chunked", 7) ? 0 : 501;
}

static uint16_t check_field(struct rusm__http *http, struct rusm__http_field *field,
                            unsigned *hosts) {
    trim(http, field);
    if (field->name_len == 0 || !is_on_one_line(http, field))
        return 400;
    if (name_is(http, field, "host", 4)) {
        *hosts += 1;
        return is_host(http, field) ? 0 : 400;
    }
    if (name_is(http, field, "expect", 6))
        return check_expect(http, field);
    if (name_is(http, field, "transfer-encoding", 17))
        return check_coding(http, field);
    return 0;
}

static uint16_t check_line(const struct rusm__http *http) {
    const llhttp_t *parser = &http->parser;
    if (parser->http_major != 1)
        return parser->http_major == 0 ? 400 : 505;
    if (parser->method == HTTP_CONNECT || parser->method >= HTTP_SOURCE)
        return 501; /* tunnels, and what llhttp knows of other protocols */
    return 0;
}

static uint16_t check_head(struct rusm__http *http) {
    uint16_t status = check_line(http);
    unsigned hosts = 0;
    http->old = http->parser.http_minor == 0;
    for (uint32_t i = 0; i < http->field_count && !status; i++)
        status = check_field(http, &http->fields[i], &hosts);
    if (!status && (hosts > 1 || (hosts == 0 && !http->old)))
        return 400;
    return status;
}

/* An upgrade that is asked for may be ignored, and we do: otherwise llhttp would take what follows
 * for another protocol. */
static int on_headers_complete(llhttp_t *parser) {
    struct rusm__http *http = http_of(parser);
    uint16_t status = check_head(http);
    if (status)
        return refuse(http, status);
    http->chunked = parser->flags & F_CHUNKED;
    http->content_length = parser->content_length;
    if (!http->chunked && http->content_length > http->limits->max_body_bytes)
        return refuse(http, 413);
    http->keep_alive = llhttp_should_keep_alive(parser);
    http->in_body = true;
    parser->upgrade = 0;
    return http->chunked || http->content_length ? HPE_PAUSED : 0;
}

/* ---- the body ---- */

static int on_body(llhttp_t *parser, const char *at, size_t len) {
    struct rusm__http *http = http_of(parser);
    if (len > http->limits->max_body_bytes - http->body_len)
        return refuse(http, 413);
    if (http->drop_body) {
        http->body_len += len;
        return 0;
    }
    bool whole = !http->chunked && len == http->content_length;
    if (!whole)
        rusm__buf_add(&http->gathered, at, len);
    if (http->gathered.failed)
        return refuse(http, 503);
    http->body = whole ? (const unsigned char *)at : http->gathered.data;
    http->body_len += len;
    return 0;
}

static int on_message_complete(llhttp_t *parser) {
    http_of(parser)->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_message_complete = on_message_complete,
};

/* ---- life ---- */

struct rusm__http *rusm__http_new(const struct rusm__serve_limits *limits) {
    struct rusm__http *http =
        rusm__mem_try_zalloc(sizeof *http + limits->max_headers * sizeof(struct rusm__http_field));
    if (!http)
        return NULL;
    http->limits = limits;
    rusm__http_reset(http);
    return http;
}

void rusm__http_free(struct rusm__http *http) {
    if (!http)
        return;
    rusm__buf_fini(&http->kept);
    rusm__buf_fini(&http->gathered);
    rusm__mem_free(http);
}

static void recycle(struct rusm__buf *buf) {
    if (buf->cap > KEEP_CAPACITY)
        rusm__buf_fini(buf);
    else
        rusm__buf_clear(buf);
}

/* The fields behind the count are not touched: they are written before they are read. */
void rusm__http_reset(struct rusm__http *http) {
    const struct rusm__serve_limits *limits = http->limits;
    struct rusm__buf kept = http->kept, gathered = http->gathered;
    recycle(&kept);
    recycle(&gathered);
    memset(http, 0, sizeof *http);
    http->limits = limits;
    http->kept = kept;
    http->gathered = gathered;
    llhttp_init(&http->parser, HTTP_REQUEST, &settings);
    http->parser.data = http;
}

/* ---- feeding ---- */

/* A method that is a word, but none of ours: "not implemented" says more than "bad request". */
static uint16_t status_of_method(const struct rusm__http *http, size_t head_len) {
    const char *line = (const char *)http->base;
    size_t at = 0;
    while (at < head_len && (line[at] == '\r' || line[at] == '\n'))
        at++;
    size_t start = at;
    while (at < head_len && ((line[at] >= 'A' && line[at] <= 'Z') || line[at] == '-'))
        at++;
    return at > start && at < head_len && line[at] == ' ' ? 501 : 400;
}

static uint16_t status_of(const struct rusm__http *http, llhttp_errno_t error, size_t head_len) {
    if (http->status)
        return http->status;
    switch (error) {
    case HPE_INVALID_METHOD:
        return status_of_method(http, head_len);
    case HPE_PAUSED_H2_UPGRADE: /* the preface of HTTP/2 */
        return 505;
    case HPE_INVALID_VERSION:
        return strcmp(http->parser.reason, "Invalid HTTP version") == 0 ? 505 : 400;
    default:
        return 400;
    }
}

static enum rusm__http_state fail(struct rusm__http *http, uint16_t status) {
    http->status = status;
    return RUSM__HTTP_BAD;
}

/* head_len: how much of the head and of what follows it stands at base, these bytes included. */
static enum rusm__http_state parse(struct rusm__http *http, const unsigned char *data, size_t len,
                                   size_t head_len, size_t *out_used) {
    llhttp_errno_t error = llhttp_execute(&http->parser, (const char *)data, len);
    *out_used = len;
    if (error == HPE_OK)
        return RUSM__HTTP_MORE;
    if (error != HPE_PAUSED)
        return fail(http, status_of(http, error, head_len));
    *out_used = (size_t)(llhttp_get_error_pos(&http->parser) - (const char *)data);
    llhttp_resume(&http->parser);
    return http->complete ? RUSM__HTTP_DONE : RUSM__HTTP_HEAD;
}

/* The head has to go on in `kept`, because it did not come in one piece. */
static bool keep(struct rusm__http *http, const unsigned char *data, size_t len) {
    rusm__buf_add(&http->kept, data, len);
    http->base = http->kept.data;
    return !http->kept.failed;
}

/* Blanks and half a word are not seen by the callbacks, so the sum has a limit of its own. */
static size_t head_max(const struct rusm__http *http) {
    return (size_t)http->limits->max_target_bytes + http->limits->max_head_bytes + LINE_SLACK;
}

static enum rusm__http_state head_too_long(struct rusm__http *http) {
    return fail(http, http->target_len ? 431 : 400);
}

static enum rusm__http_state begin(struct rusm__http *http, const unsigned char *data, size_t len,
                                   size_t *out_used) {
    http->base = data;
    enum rusm__http_state state = parse(http, data, len, len, out_used);
    http->head_len = *out_used;
    /* A head in one piece is held to the same sum as one in many. */
    if ((state == RUSM__HTTP_HEAD || state == RUSM__HTTP_DONE) && http->head_len > head_max(http))
        return head_too_long(http);
    if (state != RUSM__HTTP_MORE)
        return state;
    if (len >= head_max(http))
        return head_too_long(http);
    return keep(http, data, len) ? state : fail(http, 503);
}

static enum rusm__http_state go_on(struct rusm__http *http, const unsigned char *data, size_t len,
                                   size_t *out_used) {
    size_t before = http->kept.len, room = head_max(http) - before;
    size_t taken = len < room ? len : room;
    if (!keep(http, data, taken))
        return fail(http, 503);
    enum rusm__http_state state = parse(http, http->base + before, taken, http->kept.len, out_used);
    if (state == RUSM__HTTP_MORE && taken == room)
        return head_too_long(http);
    http->kept.len = before + *out_used; /* what follows the request is the caller's */
    return state;
}

static enum rusm__http_state feed_body(struct rusm__http *http, const unsigned char *data,
                                       size_t len, size_t *out_used) {
    enum rusm__http_state state = parse(http, data, len, 0, out_used);
    bool borrowed = http->base != http->kept.data;
    if (state == RUSM__HTTP_MORE && borrowed && !keep(http, http->base, http->head_len))
        return fail(http, 503);
    return state;
}

enum rusm__http_state rusm__http_feed(struct rusm__http *http, const unsigned char *data,
                                      size_t len, size_t *out_used) {
    if (http->in_body)
        return feed_body(http, data, len, out_used);
    if (http->base)
        return go_on(http, data, len, out_used);
    return begin(http, data, len, out_used);
}

/* ---- the target ---- */

const char *rusm__http_method(const struct rusm__http *http) {
    return llhttp_method_name((llhttp_method_t)http->parser.method);
}

static bool has_scheme(const char *target, size_t len, const char *scheme, size_t scheme_len) {
    return len >= scheme_len && strncasecmp(target, scheme, scheme_len) == 0;
}

/* Behind scheme and authority of an absolute form; a request through a proxy may bring one. */
static bool path_of_absolute(const char *target, size_t len, const char **out_path,
                             size_t *out_len) {
    size_t at = has_scheme(target, len, "http://", 7)    ? 7
                : has_scheme(target, len, "https://", 8) ? 8
                                                         : 0;
    if (at == 0)
        return false;
    while (at < len && target[at] != '/' && target[at] != '?')
        at++;
    if (at < len && target[at] == '?')
        return false; /* "http://host?query": legal, but there is no path to point to */
    *out_path = at < len ? target + at : "/";
    *out_len = at < len ? len - at : 1;
    return true;
}

bool rusm__http_path(const struct rusm__http *http, const char **out_path, size_t *out_len) {
    const char *target = rusm__http_at(http, http->target);
    *out_path = target;
    *out_len = http->target_len;
    if (http->target_len == 0)
        return false;
    if (target[0] == '/' || (target[0] == '*' && http->target_len == 1))
        return true;
    return path_of_absolute(target, http->target_len, out_path, out_len);
}
