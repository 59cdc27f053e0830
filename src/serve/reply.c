/* SPDX-License-Identifier: MIT */
/* Reading a handler's answer: first the JSON into slices, then the checks of HTTP. */
#include "serve/reply.h"

#include <string.h>
#include <strings.h>

#include "rusm/error.h"

#include "base/base64.h"
#include "base/json.h"

/* Keys that may stand in an object once; which ones were there. */
enum key {
    KEY_OK = 1 << 0,
    KEY_ERR = 1 << 1,
    KEY_STATUS = 1 << 2,
    KEY_HEADERS = 1 << 3,
    KEY_BODY = 1 << 4,
};

struct reader {
    struct rusm__json json;
    struct rusm__reply *reply;
    unsigned char *data; /* what json reads */
    unsigned seen;
    struct rusm__json_text err, body;
};

void rusm__reply_init(struct rusm__reply *reply) {
    memset(reply, 0, sizeof *reply);
}

void rusm__reply_fini(struct rusm__reply *reply) {
    rusm__buf_fini(&reply->unescaped);
    rusm__buf_fini(&reply->error);
}

/* ---- JSON ---- */

static bool once(struct reader *reader, enum key key) {
    if (reader->seen & key)
        return rusm__json_fail(&reader->json, "a key stands twice");
    reader->seen |= key;
    return true;
}

/* A string as bytes of the message, or, if it has escapes, of `unescaped`, which is given room for
 * the whole message at once, so that what points into it stays valid. */
static bool resolve(struct reader *reader, const struct rusm__json_text *text,
                    unsigned char **out_ptr, size_t *out_len) {
    *out_ptr = reader->data + (text->ptr - reader->json.start);
    *out_len = text->len;
    if (!text->escaped)
        return true;
    struct rusm__buf *buf = &reader->reply->unescaped;
    size_t start = buf->len;
    if (start == 0 && !rusm__buf_reserve(buf, (size_t)(reader->json.end - reader->json.start)))
        return rusm__json_fail(&reader->json, "out of memory");
    rusm__json_unescape(text, buf);
    *out_ptr = buf->data + start;
    *out_len = buf->len - start;
    return true;
}

static bool read_item(struct reader *reader, const unsigned char **out_ptr, size_t *out_len) {
    struct rusm__json_text text;
    unsigned char *ptr = NULL;
    bool good = rusm__json_next_item(&reader->json) && rusm__json_string(&reader->json, &text) &&
                resolve(reader, &text, &ptr, out_len);
    *out_ptr = ptr;
    return good;
}

/* [name, value] */
static bool read_field(struct reader *reader) {
    struct rusm__reply *reply = reader->reply;
    struct rusm__reply_field field = {0};
    bool pair = rusm__json_array(&reader->json) &&
                read_item(reader, &field.name, &field.name_len) &&
                read_item(reader, &field.value, &field.value_len) &&
                !rusm__json_next_item(&reader->json) && !reader->json.error;
    if (!pair)
        return rusm__json_fail(&reader->json, "a header is not a pair of strings");
    if (reply->field_count == RUSM__REPLY_FIELDS_MAX)
        return rusm__json_fail(&reader->json, "more than 128 headers");
    reply->fields[reply->field_count++] = field;
    return true;
}

static bool read_fields(struct reader *reader) {
    if (!rusm__json_array(&reader->json))
        return false;
    while (rusm__json_next_item(&reader->json)) {
        if (!read_field(reader))
            return false;
    }
    return !reader->json.error;
}

static bool read_status(struct reader *reader) {
    if (!rusm__json_u64(&reader->json, &reader->reply->status))
        return false;
    return reader->reply->status <= UINT16_MAX ||
           rusm__json_fail(&reader->json, "`status` is over 65535");
}

static bool read_response_key(struct reader *reader, const struct rusm__json_text *key) {
    if (rusm__json_is(key, "status"))
        return once(reader, KEY_STATUS) && read_status(reader);
    if (rusm__json_is(key, "headers"))
        return once(reader, KEY_HEADERS) && read_fields(reader);
    if (rusm__json_is(key, "body"))
        return once(reader, KEY_BODY) && rusm__json_string(&reader->json, &reader->body);
    return rusm__json_skip(&reader->json);
}

static bool read_response(struct reader *reader) {
    struct rusm__json_text key;
    if (!rusm__json_object(&reader->json))
        return false;
    while (rusm__json_next_key(&reader->json, &key)) {
        if (!read_response_key(reader, &key))
            return false;
    }
    return (reader->seen & KEY_STATUS) || rusm__json_fail(&reader->json, "missing `status`");
}

/* null is as good as nothing. */
static bool read_optional(struct reader *reader, enum key key, bool (*read)(struct reader *)) {
    if (rusm__json_peek(&reader->json) == RUSM__JSON_NULL)
        return rusm__json_null(&reader->json);
    return once(reader, key) && read(reader);
}

static bool read_err(struct reader *reader) {
    return rusm__json_string(&reader->json, &reader->err);
}

static bool read_reply(struct reader *reader) {
    struct rusm__json_text key;
    bool good = rusm__json_object(&reader->json);
    while (good && rusm__json_next_key(&reader->json, &key)) {
        if (rusm__json_is(&key, "ok"))
            good = read_optional(reader, KEY_OK, read_response);
        else if (rusm__json_is(&key, "err"))
            good = read_optional(reader, KEY_ERR, read_err);
        else
            good = rusm__json_skip(&reader->json);
    }
    return rusm__json_end(&reader->json);
}

/* Base 64 shrinks, and decoding never writes beyond what it has read: so it works in place, once
 * the reader does not need the text any more. */
static bool decode_body(struct reader *reader) {
    struct rusm__reply *reply = reader->reply;
    struct rusm__buf body = {0};
    if (!(reader->seen & KEY_BODY))
        return true;
    if (!resolve(reader, &reader->body, &body.data, &body.cap))
        return false;
    if (rusm__base64_decode(&body, body.data, body.cap) != RUSM_OK)
        return rusm__json_fail(&reader->json, "`body` is not base 64");
    reply->body = body.data;
    reply->body_len = body.len;
    return true;
}

/* ---- HTTP ---- */

static bool is_token_char(unsigned char c) {
    static const bool others[128] = {
        ['!'] = true,  ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true,
        ['\''] = true, ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true,
        ['^'] = true,  ['_'] = true, ['`'] = true, ['|'] = true, ['~'] = true,
    };
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c < 128 && others[c]);
}

bool rusm__reply_field_is_good(const struct rusm__reply_field *field) {
    bool good = field->name_len > 0;
    for (size_t i = 0; good && i < field->name_len; i++)
        good = is_token_char(field->name[i]);
    for (size_t i = 0; good && i < field->value_len; i++)
        good = (field->value[i] >= 0x20 && field->value[i] < 0x7f) || field->value[i] == '\t';
    return good;
}

bool rusm__reply_field_is(const struct rusm__reply_field *field, const char *name, size_t len) {
    return field->name_len == len && strncasecmp((const char *)field->name, name, len) == 0;
}
#define NAME_IS(field, name) rusm__reply_field_is((field), "" name, sizeof(name) - 1)

bool rusm__reply_field_frames(const struct rusm__reply_field *field) {
    switch (field->name_len) {
    case 2:
        return NAME_IS(field, "te");
    case 7:
        return NAME_IS(field, "trailer") || NAME_IS(field, "upgrade");
    case 10:
        return NAME_IS(field, "connection") || NAME_IS(field, "keep-alive");
    case 14:
        return NAME_IS(field, "content-length");
    case 16:
        return NAME_IS(field, "proxy-connection");
    case 17:
        return NAME_IS(field, "transfer-encoding");
    default:
        return false;
    }
}

/* A content-length line: remembered, not sent. False if it is no number or contradicts another. */
static bool take_length(struct rusm__reply *reply, const struct rusm__reply_field *field) {
    uint64_t length = 0;
    if (field->value_len == 0 || field->value_len > 18)
        return false;
    for (size_t i = 0; i < field->value_len; i++) {
        unsigned digit = (unsigned)field->value[i] - '0';
        if (digit > 9)
            return false;
        length = length * 10 + digit;
    }
    bool same = !reply->has_length || reply->length == length;
    reply->has_length = true;
    reply->length = length;
    return same;
}

/* Keeps, in order, the lines that may be sent. */
static enum rusm__reply_kind sift_fields(struct rusm__reply *reply) {
    size_t kept = 0;
    for (size_t i = 0; i < reply->field_count; i++) {
        const struct rusm__reply_field field = reply->fields[i];
        if (!rusm__reply_field_is_good(&field))
            return RUSM__REPLY_INVALID;
        if (NAME_IS(&field, "content-length")) {
            if (!take_length(reply, &field))
                return RUSM__REPLY_FRAMING;
        } else if (!rusm__reply_field_frames(&field)) {
            reply->has_date |= NAME_IS(&field, "date");
            reply->fields[kept++] = field;
        }
    }
    reply->field_count = kept;
    return RUSM__REPLY_OK;
}

/* Answers to HEAD and 304 tell the length of what they do not carry. */
static bool length_fits(const struct rusm__reply *reply, bool head) {
    if (!reply->has_length || reply->length == reply->body_len)
        return true;
    return reply->body_len == 0 && (head || reply->status == 304);
}

static enum rusm__reply_kind check_response(struct rusm__reply *reply, bool head) {
    if (reply->status >= 100 && reply->status < 200)
        return RUSM__REPLY_FRAMING; /* what follows it would not be a response */
    if (reply->status < 200 || reply->status > 999)
        return RUSM__REPLY_INVALID;
    enum rusm__reply_kind kind = sift_fields(reply);
    if (kind != RUSM__REPLY_OK)
        return kind;
    return length_fits(reply, head) ? RUSM__REPLY_OK : RUSM__REPLY_FRAMING;
}

/* ---- the whole ---- */

static void clear(struct rusm__reply *reply) {
    reply->kind = RUSM__REPLY_MISSING;
    reply->status = 0;
    reply->field_count = 0;
    reply->text = reply->body = NULL;
    reply->text_len = reply->body_len = 0;
    reply->has_length = reply->has_date = false;
    reply->length = 0;
    rusm__buf_clear(&reply->unescaped);
    rusm__buf_clear(&reply->error);
}

static void set_broken(struct rusm__reply *reply, const struct rusm__json *json) {
    static const char fallback[] = "the reply does not decode";
    rusm__buf_add_str(&reply->error, "the reply does not decode: ");
    rusm__json_add_error(json, &reply->error);
    bool failed = reply->error.failed;
    reply->kind = RUSM__REPLY_BROKEN;
    reply->text = failed ? (const unsigned char *)fallback : reply->error.data;
    reply->text_len = failed ? sizeof fallback - 1 : reply->error.len;
}

static void set_err(struct reader *reader) {
    unsigned char *text;
    if (!resolve(reader, &reader->err, &text, &reader->reply->text_len)) {
        set_broken(reader->reply, &reader->json);
        return;
    }
    reader->reply->kind = RUSM__REPLY_ERR;
    reader->reply->text = text;
}

void rusm__reply_read(struct rusm__reply *reply, unsigned char *data, size_t len, bool head) {
    struct reader reader = {.reply = reply, .data = data};
    clear(reply);
    rusm__json_init(&reader.json, data, len);
    if (!read_reply(&reader) || !decode_body(&reader))
        set_broken(reply, &reader.json);
    else if (reader.seen & KEY_OK)
        reply->kind = check_response(reply, head);
    else if (reader.seen & KEY_ERR)
        set_err(&reader);
}
