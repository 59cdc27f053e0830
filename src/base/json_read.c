/* SPDX-License-Identifier: MIT */
/* The pull reader. `at` only moves forward; an error leaves it at the byte that is wrong.
 *
 * Which container is open is the caller's knowledge, kept in the caller's code; the reader keeps
 * how many are open and whether the innermost has handed out something, which is what decides
 * about commas. Only skip must know the kinds, and keeps them as one bit per level. */
#include "base/json.h"

#include <string.h>

#include "base/assert.h"
#include "base/json_scan.h"
#include "base/utf8.h"

void rusm__json_init(struct rusm__json *json, const void *data, size_t len) {
    *json = (struct rusm__json){.start = data, .at = data, .end = data};
    if (len)
        json->end = json->start + len;
    if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        rusm__json_fail(json, "a byte order mark is not allowed");
}

bool rusm__json_fail(struct rusm__json *json, const char *error) {
    if (!json->error)
        json->error = error;
    return false;
}

static void skip_blanks(struct rusm__json *json) {
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

/* The next byte that is not blank, not taken; -1 at the end or after an error. */
static int next_byte(struct rusm__json *json) {
    if (json->error)
        return -1;
    skip_blanks(json);
    return json->at < json->end ? *json->at : -1;
}

static bool fail_here(struct rusm__json *json, const char *error) {
    return rusm__json_fail(json, json->at < json->end ? error : "unexpected end of the text");
}

/* Take one byte that must come next. */
static bool take(struct rusm__json *json, int byte, const char *error) {
    if (next_byte(json) != byte)
        return fail_here(json, error);
    json->at++;
    return true;
}

enum rusm__json_kind rusm__json_peek(struct rusm__json *json) {
    int byte = next_byte(json);
    switch (byte) {
    case 'n':
        return RUSM__JSON_NULL;
    case 't':
    case 'f':
        return RUSM__JSON_BOOL;
    case '"':
        return RUSM__JSON_STRING;
    case '[':
        return RUSM__JSON_ARRAY;
    case '{':
        return RUSM__JSON_OBJECT;
    default:
        return byte == '-' || (byte >= '0' && byte <= '9') ? RUSM__JSON_NUMBER : RUSM__JSON_ERROR;
    }
}

/* ---- words and numbers ---- */

static bool take_word(struct rusm__json *json, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0)
        return rusm__json_fail(json, "expected a value");
    json->at += len;
    return true;
}

bool rusm__json_null(struct rusm__json *json) {
    if (next_byte(json) != 'n')
        return fail_here(json, "expected null");
    return take_word(json, "null");
}

bool rusm__json_bool(struct rusm__json *json, bool *out_value) {
    int byte = next_byte(json);
    *out_value = false;
    if (byte != 't' && byte != 'f')
        return fail_here(json, "expected true or false");
    if (!take_word(json, byte == 't' ? "true" : "false"))
        return false;
    *out_value = byte == 't';
    return true;
}

static bool at_digit(const struct rusm__json *json) {
    return json->at < json->end && *json->at >= '0' && *json->at <= '9';
}

static bool take_digits(struct rusm__json *json) {
    if (!at_digit(json))
        return fail_here(json, "expected a digit");
    while (at_digit(json))
        json->at++;
    return true;
}

static bool take_if(struct rusm__json *json, char a, char b) {
    if (json->at == json->end || (*json->at != a && *json->at != b))
        return false;
    json->at++;
    return true;
}

static bool take_whole_part(struct rusm__json *json) {
    if (!take_if(json, '0', '0'))
        return take_digits(json);
    return !at_digit(json) || rusm__json_fail(json, "a number must not begin with 0");
}

bool rusm__json_number(struct rusm__json *json, struct rusm__json_text *out_digits) {
    *out_digits = (struct rusm__json_text){0};
    if (rusm__json_peek(json) != RUSM__JSON_NUMBER)
        return fail_here(json, "expected a number");
    const unsigned char *start = json->at;
    take_if(json, '-', '-');
    if (!take_whole_part(json))
        return false;
    if (take_if(json, '.', '.') && !take_digits(json))
        return false;
    if (take_if(json, 'e', 'E')) {
        take_if(json, '+', '-');
        if (!take_digits(json))
            return false;
    }
    *out_digits = (struct rusm__json_text){.ptr = start, .len = (size_t)(json->at - start)};
    return true;
}

/* Decimal digits only. False when something else is among them or the value is over `most`. */
static bool parse_digits(const unsigned char *p, size_t len, uint64_t most, uint64_t *out_value) {
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)p[i] - '0';
        if (digit > 9 || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out_value = value;
    return len > 0;
}

/* A number that is good JSON but not what was asked for: the error points to its beginning. */
static bool fail_at(struct rusm__json *json, const unsigned char *at, const char *error) {
    json->at = at;
    return rusm__json_fail(json, error);
}

bool rusm__json_u64(struct rusm__json *json, uint64_t *out_value) {
    struct rusm__json_text digits;
    *out_value = 0;
    if (!rusm__json_number(json, &digits))
        return false;
    if (!parse_digits(digits.ptr, digits.len, UINT64_MAX, out_value))
        return fail_at(json, digits.ptr, "expected an integer from 0 to 2^64 - 1");
    return true;
}

bool rusm__json_i64(struct rusm__json *json, int64_t *out_value) {
    struct rusm__json_text digits;
    uint64_t size;
    *out_value = 0;
    if (!rusm__json_number(json, &digits))
        return false;
    bool minus = digits.ptr[0] == '-';
    if (!parse_digits(digits.ptr + minus, digits.len - minus, (uint64_t)INT64_MAX + minus, &size))
        return fail_at(json, digits.ptr, "expected an integer from -2^63 to 2^63 - 1");
    *out_value = minus ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

/* ---- strings ---- */

/* Four hexadecimal digits at p, or -1. */
static int32_t hex4(const unsigned char *p, size_t len) {
    int32_t value = 0;
    if (len < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static char escape_value(unsigned char letter) {
    static const char values[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                     ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    return letter < 128 ? values[letter] : '\0';
}

/* One escape at p, which begins with a backslash: its code point, and its length in *out_len.
 * -1 when it is not a good one. */
static int32_t read_escape(const unsigned char *p, size_t len, size_t *out_len) {
    *out_len = 2;
    if (len < 2)
        return -1;
    if (p[1] != 'u')
        return escape_value(p[1]) ? escape_value(p[1]) : -1;
    *out_len = 6;
    int32_t code = hex4(p + 2, len - 2);
    if (code < 0xd800 || code > 0xdfff)
        return code;
    *out_len = 12;
    if (code > 0xdbff || len < 12 || p[6] != '\\' || p[7] != 'u')
        return -1;
    int32_t low = hex4(p + 8, len - 8);
    return low < 0xdc00 || low > 0xdfff ? -1 : 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

/* One backslash escape or one character that is not ASCII, at json->at. */
static bool take_special(struct rusm__json *json, bool *escaped) {
    size_t left = (size_t)(json->end - json->at);
    size_t len = 0;
    if (*json->at == '\\') {
        *escaped = true;
        if (read_escape(json->at, left, &len) < 0)
            return rusm__json_fail(json, "invalid escape in a string");
    } else if (*json->at < 0x20) {
        return rusm__json_fail(json, "control character in a string");
    } else {
        int step = rusm__utf8_step(json->at, left);
        if (step < 0)
            return rusm__json_fail(json, "a string is not valid UTF-8");
        len = (size_t)step;
    }
    json->at += len;
    return true;
}

bool rusm__json_string(struct rusm__json *json, struct rusm__json_text *out_text) {
    *out_text = (struct rusm__json_text){.ptr = json->at};
    if (!take(json, '"', "expected a string"))
        return false;
    const unsigned char *start = json->at;
    bool escaped = false;
    for (;;) {
        json->at += rusm__json_plain(json->at, (size_t)(json->end - json->at));
        if (json->at == json->end)
            return rusm__json_fail(json, "a string is not closed");
        if (*json->at == '"')
            break;
        if (!take_special(json, &escaped))
            return false;
    }
    *out_text = (struct rusm__json_text){start, (size_t)(json->at - start), escaped};
    json->at++;
    return true;
}

/* Hand out a checked string piece by piece: plain bytes from *p, or one resolved escape in
 * scratch. Returns the length of the piece at *out_piece, 0 at the end. */
static size_t next_piece(const unsigned char **p, const unsigned char *end,
                         unsigned char scratch[4], const unsigned char **out_piece) {
    if (*p == end)
        return 0;
    if (**p == '\\') {
        size_t len;
        int32_t code = read_escape(*p, (size_t)(end - *p), &len);
        RUSM_ASSERT(code >= 0);
        *p += len;
        *out_piece = scratch;
        return rusm__utf8_put(scratch, (uint32_t)code);
    }
    const unsigned char *stop = memchr(*p, '\\', (size_t)(end - *p));
    size_t len = (size_t)((stop ? stop : end) - *p);
    *out_piece = *p;
    *p += len;
    return len;
}

void rusm__json_unescape(const struct rusm__json_text *text, struct rusm__buf *buf) {
    const unsigned char *p = text->ptr;
    const unsigned char *piece;
    unsigned char scratch[4];
    size_t len;
    while ((len = next_piece(&p, text->ptr + text->len, scratch, &piece)) > 0)
        rusm__buf_add(buf, piece, len);
}

bool rusm__json_is(const struct rusm__json_text *text, const char *literal) {
    const unsigned char *p = text->ptr;
    const unsigned char *piece;
    unsigned char scratch[4];
    size_t left = strlen(literal);
    size_t len;
    if (!text->escaped)
        return text->len == left && memcmp(text->ptr, literal, left) == 0;
    while ((len = next_piece(&p, text->ptr + text->len, scratch, &piece)) > 0) {
        if (len > left || memcmp(piece, literal, len) != 0)
            return false;
        literal += len;
        left -= len;
    }
    return left == 0;
}

/* ---- containers ---- */

static bool enter(struct rusm__json *json, int byte, const char *error) {
    if (next_byte(json) == byte && json->depth == RUSM__JSON_MAX_DEPTH)
        return rusm__json_fail(json, "nested too deeply");
    if (!take(json, byte, error))
        return false;
    json->depth++;
    json->fresh = true;
    return true;
}

bool rusm__json_object(struct rusm__json *json) {
    return enter(json, '{', "expected an object");
}

bool rusm__json_array(struct rusm__json *json) {
    return enter(json, '[', "expected an array");
}

/* Either the end of the container, which is taken (false), or a comma where one is due (true). */
static bool next_element(struct rusm__json *json, int closing, const char *error) {
    bool first = json->fresh;
    json->fresh = false;
    if (next_byte(json) == closing) {
        RUSM_ASSERT(json->depth > 0);
        json->depth--;
        json->at++;
        return false;
    }
    return first ? !json->error : take(json, ',', error);
}

bool rusm__json_next_key(struct rusm__json *json, struct rusm__json_text *out_key) {
    *out_key = (struct rusm__json_text){.ptr = json->at};
    if (!next_element(json, '}', "expected `,` or `}`"))
        return false;
    if (next_byte(json) != '"')
        return fail_here(json, "expected a key in quotes");
    return rusm__json_string(json, out_key) && take(json, ':', "expected `:`");
}

bool rusm__json_next_item(struct rusm__json *json) {
    if (!next_element(json, ']', "expected `,` or `]`"))
        return false;
    return rusm__json_peek(json) != RUSM__JSON_ERROR || fail_here(json, "expected a value");
}

/* One bit per open level: set for objects. */
struct kinds {
    uint64_t bits[(RUSM__JSON_MAX_DEPTH + 63) / 64];
};

static void set_kind(struct kinds *kinds, unsigned depth, bool object) {
    uint64_t bit = 1ull << ((depth - 1) % 64);
    uint64_t *word = &kinds->bits[(depth - 1) / 64];
    *word = object ? *word | bit : *word & ~bit;
}

static bool is_object(const struct kinds *kinds, unsigned depth) {
    return kinds->bits[(depth - 1) / 64] >> ((depth - 1) % 64) & 1;
}

/* Take a scalar, or enter a container and note its kind. */
static bool begin_value(struct rusm__json *json, struct kinds *kinds) {
    struct rusm__json_text ignored_text;
    bool ignored_bool;
    switch (rusm__json_peek(json)) {
    case RUSM__JSON_NULL:
        return rusm__json_null(json);
    case RUSM__JSON_BOOL:
        return rusm__json_bool(json, &ignored_bool);
    case RUSM__JSON_NUMBER:
        return rusm__json_number(json, &ignored_text);
    case RUSM__JSON_STRING:
        return rusm__json_string(json, &ignored_text);
    case RUSM__JSON_ARRAY:
        if (rusm__json_array(json))
            set_kind(kinds, json->depth, false);
        return !json->error;
    case RUSM__JSON_OBJECT:
        if (rusm__json_object(json))
            set_kind(kinds, json->depth, true);
        return !json->error;
    case RUSM__JSON_ERROR:
        break;
    }
    return fail_here(json, "expected a value");
}

bool rusm__json_skip(struct rusm__json *json) {
    struct kinds kinds = {{0}};
    struct rusm__json_text key;
    unsigned depth = json->depth;
    bool good = begin_value(json, &kinds);
    while (good && json->depth > depth) {
        unsigned inner = json->depth;
        bool more =
            is_object(&kinds, inner) ? rusm__json_next_key(json, &key) : rusm__json_next_item(json);
        good = more ? begin_value(json, &kinds) : !json->error;
    }
    return good;
}

bool rusm__json_raw(struct rusm__json *json, struct rusm__json_text *out_raw) {
    *out_raw = (struct rusm__json_text){0};
    (void)next_byte(json); /* blanks before the value are not part of it */
    const unsigned char *start = json->at;
    if (!rusm__json_skip(json))
        return false;
    *out_raw = (struct rusm__json_text){.ptr = start, .len = (size_t)(json->at - start)};
    return true;
}

bool rusm__json_end(struct rusm__json *json) {
    if (next_byte(json) >= 0)
        return rusm__json_fail(json, "unexpected text after the value");
    if (json->depth > 0)
        return rusm__json_fail(json, "unexpected end of the text");
    return !json->error;
}

/* ---- errors ---- */

size_t rusm__json_offset(const struct rusm__json *json) {
    return (size_t)(json->at - json->start);
}

void rusm__json_add_error(const struct rusm__json *json, struct rusm__buf *buf) {
    size_t line = 1;
    size_t column = 1;
    for (const unsigned char *p = json->start; p < json->at; p++) {
        column++;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    rusm__buf_addf(buf, "%s at line %zu column %zu", json->error ? json->error : "no error", line,
                   column);
}
