/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <string.h>

#define DEPTH_MAX 32

struct cursor {
    const char *at;
    const char *end;
};

static void skip_blanks(struct cursor *in) {
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t')) {
        in->at++;
    }
}

static bool take(struct cursor *in, char wanted) {
    skip_blanks(in);
    if (in->at == in->end || *in->at != wanted) {
        return false;
    }
    in->at++;
    return true;
}

static bool skip_string(struct cursor *in) {
    if (!take(in, '"')) {
        return false;
    }
    while (in->at < in->end && *in->at != '"') {
        if ((unsigned char)*in->at < 0x20) {
            return false;
        }
        in->at += *in->at == '\\' && in->end - in->at > 1 ? 2 : 1;
    }
    return take(in, '"');
}

static bool is_scalar(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
           c == 'E';
}

/* Numbers, true, false, null: whoever wants one of them looks closer. */
static bool skip_scalar(struct cursor *in) {
    const char *start = in->at;
    while (in->at < in->end && is_scalar(*in->at)) {
        in->at++;
    }
    return in->at > start;
}

static bool skip_value(struct cursor *in, unsigned depth);

static bool skip_items(struct cursor *in, char close, unsigned depth) {
    if (take(in, close)) {
        return true;
    }
    do {
        if (close == '}' && (!skip_string(in) || !take(in, ':'))) {
            return false;
        }
        if (!skip_value(in, depth)) {
            return false;
        }
    } while (take(in, ','));
    return take(in, close);
}

static bool skip_value(struct cursor *in, unsigned depth) {
    skip_blanks(in);
    if (in->at == in->end || depth == 0) {
        return false;
    }
    switch (*in->at) {
    case '{':
        in->at++;
        return skip_items(in, '}', depth - 1);
    case '[':
        in->at++;
        return skip_items(in, ']', depth - 1);
    case '"':
        return skip_string(in);
    default:
        return skip_scalar(in);
    }
}

static bool cut_value(struct cursor *in, struct text *out_value) {
    skip_blanks(in);
    const char *start = in->at;
    if (!skip_value(in, DEPTH_MAX)) {
        return false;
    }
    *out_value = (struct text){start, (size_t)(in->at - start)};
    return true;
}

bool json_parse(struct text text, struct text *out_value) {
    struct cursor in = {text.ptr, text.ptr + text.len};
    if (!cut_value(&in, out_value)) {
        return false;
    }
    skip_blanks(&in);
    return in.at == in.end;
}

bool json_is_object(struct text value) {
    return value.len > 0 && value.ptr[0] == '{';
}

bool json_is_array(struct text value) {
    return value.len > 0 && value.ptr[0] == '[';
}

bool json_member(struct text object, struct text key, struct text *out_value) {
    struct cursor in = {object.ptr, object.ptr + object.len};
    if (!take(&in, '{')) {
        return false;
    }
    do {
        struct text name_value, name;
        if (!cut_value(&in, &name_value) || !json_string(name_value, &name) || !take(&in, ':') ||
            !cut_value(&in, out_value)) {
            return false;
        }
        if (text_equals(name, key)) {
            return true;
        }
    } while (take(&in, ','));
    return false;
}

bool json_element(struct text array, size_t index, struct text *out_value) {
    struct cursor in = {array.ptr, array.ptr + array.len};
    if (!take(&in, '[')) {
        return false;
    }
    do {
        if (!cut_value(&in, out_value)) {
            return false;
        }
        if (index-- == 0) {
            return true;
        }
    } while (take(&in, ','));
    return false;
}

static bool hex4(const char *at, uint32_t *out_unit) {
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef";
        char c = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] - 'A' + 'a') : at[i];
        const char *digit = c == '\0' ? NULL : strchr(digits, c);
        if (digit == NULL) {
            return false;
        }
        unit = unit << 4 | (uint32_t)(digit - digits);
    }
    *out_unit = unit;
    return true;
}

static char *put_utf8(char *out, uint32_t code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/* \uXXXX, or a pair of them. `*at` stands behind the u. */
static bool unescape_code(const char **at, const char *end, char **out) {
    uint32_t code, low;
    if (end - *at < 4 || !hex4(*at, &code)) {
        return false;
    }
    *at += 4;
    if (code >= 0xd800 && code < 0xdc00) {
        if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u' || !hex4(*at + 2, &low) ||
            low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        *at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return false;
    }
    *out = put_utf8(*out, code);
    return true;
}

static bool unescape(struct text raw, struct text *out_text) {
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    char *start = mem_alloc(raw.len); /* an escape is never shorter than what it stands for */
    char *out = start;
    const char *end = raw.ptr + raw.len;
    for (const char *at = raw.ptr; at < end;) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        at++;
        const char *simple = at < end && *at != '\0' ? strchr(from, *at) : NULL;
        if (simple != NULL) {
            *out++ = to[simple - from];
            at++;
        } else if (at == end || *at++ != 'u' || !unescape_code(&at, end, &out)) {
            return false;
        }
    }
    *out_text = (struct text){start, (size_t)(out - start)};
    return true;
}

bool json_string(struct text value, struct text *out_text) {
    if (value.len < 2 || value.ptr[0] != '"') {
        return false;
    }
    struct text raw = {value.ptr + 1, value.len - 2};
    if (memchr(raw.ptr, '\\', raw.len) != NULL) {
        return unescape(raw, out_text);
    }
    *out_text = raw;
    return true;
}

bool text_u64(struct text text, uint64_t *out_number) {
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.ptr[i] - '0'), &number)) {
            return false;
        }
    }
    *out_number = number;
    return text.len > 0;
}

bool json_u64(struct text value, uint64_t *out_number) {
    return text_u64(value, out_number);
}

static bool is_tail(struct text text, size_t from, size_t count) {
    if (text.len - from < count) {
        return false;
    }
    for (size_t i = from; i < from + count; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

bool text_is_utf8(struct text text) {
    for (size_t i = 0; i < text.len;) {
        unsigned char lead = (unsigned char)text.ptr[i++];
        if (lead < 0x80) {
            continue;
        }
        size_t tail = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || !is_tail(text, i, tail)) {
            return false;
        }
        unsigned char second = (unsigned char)text.ptr[i];
        if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
            (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
            return false;
        }
        i += tail;
    }
    return true;
}

static void add_escaped(struct buf *out, unsigned char c) {
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    static const char digits[] = "0123456789abcdef";
    const char *simple = c == '\0' ? NULL : strchr(from, c);
    char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    if (simple != NULL) {
        text[1] = to[simple - from];
        buf_add(out, (struct text){text, 2});
    } else {
        buf_add(out, (struct text){text, 6});
    }
}

void json_add_string(struct buf *out, struct text text) {
    buf_add(out, TEXT("\""));
    size_t plain = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        buf_add(out, (struct text){text.ptr + plain, i - plain});
        add_escaped(out, c);
        plain = i + 1;
    }
    buf_add(out, (struct text){text.ptr + plain, text.len - plain});
    buf_add(out, TEXT("\""));
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_add(struct buf *out, struct text bytes) {
    char *to = buf_reserve(out, (bytes.len + 2) / 3 * 4);
    const unsigned char *from = (const unsigned char *)bytes.ptr;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                         (left > 2 ? from[i + 2] : 0);
        *to++ = base64_digits[group >> 18];
        *to++ = base64_digits[group >> 12 & 63];
        *to++ = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? base64_digits[group & 63] : '=';
    }
    out->len += (bytes.len + 2) / 3 * 4;
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct text encoded, struct text *out_bytes) {
    if (encoded.len % 4 != 0) {
        return false;
    }
    size_t padding = 0;
    while (padding < 2 && padding < encoded.len && encoded.ptr[encoded.len - 1 - padding] == '=') {
        padding++;
    }
    char *start = mem_alloc(encoded.len / 4 * 3);
    char *to = start;
    uint32_t group = 0;
    for (size_t i = 0; i < encoded.len; i++) {
        int value = i < encoded.len - padding ? base64_value(encoded.ptr[i]) : 0;
        if (value < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            *to++ = (char)(group >> 16);
            *to++ = (char)(group >> 8);
            *to++ = (char)group;
        }
    }
    *out_bytes = (struct text){start, (size_t)(to - start) - padding};
    return true;
}
