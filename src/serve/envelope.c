/* SPDX-License-Identifier: MIT */
/* Writing the envelope. */
#include "serve/envelope.h"

#include <string.h>

#include "rusm/error.h"

#include "base/base64.h"
#include "base/json.h"

#define ADD(buf, literal) rusm__buf_add((buf), "" literal, sizeof(literal) - 1)

static const char END[] = "\"}}";

/* "a//b/" as "a/b": only segments with something in them count. */
static void add_squeezed(struct rusm__buf *buf, const char *raw, size_t len) {
    bool first = true;
    for (size_t at = 0; at < len;) {
        const char *slash = memchr(raw + at, '/', len - at);
        size_t end = slash ? (size_t)(slash - raw) : len;
        if (end > at) {
            if (!first)
                rusm__buf_add_char(buf, '/');
            rusm__json_add_escaped(buf, raw + at, end - at);
            first = false;
        }
        at = end + 1;
    }
}

static void add_param(struct rusm__buf *buf, const struct rusm__serve_param *param) {
    ADD(buf, "[\"");
    rusm__json_add_escaped(buf, param->name, param->name_len);
    ADD(buf, "\",\"");
    if (param->ragged)
        add_squeezed(buf, param->raw, param->raw_len);
    else
        rusm__json_add_escaped(buf, param->raw, param->raw_len);
    ADD(buf, "\"]");
}

static void add_params(struct rusm__buf *buf, const struct rusm__serve_match *match) {
    for (size_t i = 0; i < match->param_count; i++) {
        if (i)
            rusm__buf_add_char(buf, ',');
        add_param(buf, &match->params[i]);
    }
}

/* A name is a token, so it needs no escapes. */
static void add_name(struct rusm__buf *buf, const char *name, size_t len) {
    if (!rusm__buf_reserve(buf, len))
        return;
    unsigned char *out = buf->data + buf->len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        out[i] = (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    buf->len += len;
}

static bool is_ascii(const char *text, size_t len) {
    uint64_t word, seen = 0;
    for (; len >= sizeof word; text += sizeof word, len -= sizeof word) {
        memcpy(&word, text, sizeof word);
        seen |= word;
    }
    for (; len; text++, len--)
        seen |= (unsigned char)*text;
    return (seen & 0x8080808080808080ull) == 0;
}

static void add_headers(struct rusm__buf *buf, const struct rusm__http *http) {
    for (uint32_t i = 0; i < http->field_count; i++) {
        const struct rusm__http_field *field = &http->fields[i];
        const char *value = rusm__http_at(http, field->value);
        rusm__buf_add(buf, i ? ",[\"" : "[\"", i ? 3 : 2);
        add_name(buf, rusm__http_at(http, field->name), field->name_len);
        ADD(buf, "\",\"");
        if (is_ascii(value, field->value_len))
            rusm__json_add_escaped(buf, value, field->value_len);
        ADD(buf, "\"]");
    }
}

/* Everything up to the first letter of the body. */
static void add_head(struct rusm__buf *buf, const struct rusm__http *http,
                     const struct rusm__serve_match *match, const char *path, size_t path_len,
                     rusm_pid from) {
    ADD(buf, "{\"op\":\"fetch\",\"ref\":0,\"from\":\"");
    rusm__buf_add_u64(buf, from);
    ADD(buf, "\",\"action\":\"");
    rusm__json_add_escaped(buf, match->action, match->action_len);
    ADD(buf, "\",\"params\":[");
    add_params(buf, match);
    ADD(buf, "],\"request\":{\"method\":\"");
    rusm__buf_add_str(buf, rusm__http_method(http));
    ADD(buf, "\",\"url\":\"");
    rusm__json_add_escaped(buf, path, path_len);
    ADD(buf, "\",\"headers\":[");
    add_headers(buf, http);
    ADD(buf, "],\"body\":\"");
}

int rusm__envelope_build(const struct rusm__http *http, const struct rusm__serve_match *match,
                         const char *path, size_t path_len, rusm_pid from,
                         struct rusm__buf *scratch, rusm_msg **out_msg) {
    rusm__buf_clear(scratch);
    add_head(scratch, http, match, path, path_len, from);
    *out_msg = NULL;
    if (scratch->failed)
        return RUSM_ENOMEM;
    size_t body = (http->body_len + 2) / 3 * 4;
    size_t total = scratch->len + body + sizeof END - 1;
    int code = rusm_msg_new(total, out_msg);
    if (code != RUSM_OK)
        return code;
    unsigned char *data = rusm_msg_data(*out_msg);
    memcpy(data, scratch->data, scratch->len);
    struct rusm__buf text = {.data = data + scratch->len, .cap = body}; /* exact: never grows */
    rusm__base64_encode(&text, http->body, http->body_len);
    memcpy(data + total - (sizeof END - 1), END, sizeof END - 1);
    return RUSM_OK;
}
