/* SPDX-License-Identifier: MIT */
/* How a line looks: HH:MM:SS (UTC), who in 14 columns, verb in 6, text; and what a terminal adds.
 *
 * Texts come from guests and peers. What could move a cursor, end a line or change a terminal's
 * state is written as an escape when the line is made, so nothing behind this file has to care:
 * control characters of ASCII and of Latin 1, the two Unicode line separators, and bytes that are
 * not UTF-8. */
#include "base/log_impl.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

enum { WHO_COLUMNS = 14, VERB_COLUMNS = 6, DAY_S = 86400 };

/* ---- cleaning ---- */

/* Length of the piece at p, and whether it may be printed as it is. */
static size_t next_piece(const unsigned char *p, size_t len, bool *out_clean) {
    int step = rusm__utf8_step(p, len);
    bool latin_control = step == 2 && p[0] == 0xc2 && p[1] < 0xa0;
    bool separator = step == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8;
    *out_clean = step > 0 && *p >= 0x20 && *p != 0x7f && !latin_control && !separator;
    return (size_t)(step < 0 ? -step : step);
}

/* Write the escape of one byte to out, unless that is NULL; returns its length. */
static size_t put_escape(char *out, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    char letter = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : 'x';
    const char text[4] = {'\\', letter, hex[c >> 4], hex[c & 15]};
    size_t len = letter == 'x' ? 4 : 2;
    if (out)
        memcpy(out, text, len);
    return len;
}

/* Write the clean form of text to out, unless that is NULL; returns its length. */
static size_t clean(char *out, const char *text, size_t len) {
    const unsigned char *p = (const unsigned char *)text;
    size_t used = 0;
    while (len) {
        bool as_it_is;
        size_t piece = next_piece(p, len, &as_it_is);
        for (size_t i = 0; !as_it_is && i < piece; i++)
            used += put_escape(out ? out + used : NULL, p[i]);
        if (as_it_is && out)
            memcpy(out + used, p, piece);
        used += as_it_is ? piece : 0;
        p += piece;
        len -= piece;
    }
    return used;
}

/* At most `most` bytes, without cutting a character in two. */
static size_t cut(const char *text, size_t len, size_t most) {
    if (len <= most)
        return len;
    size_t at = most;
    for (int back = 0; back < 3 && at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80; back++)
        at--;
    return ((unsigned char)text[at] & 0xc0) == 0x80 ? most : at;
}

struct rusm__log_line *rusm__log_line_new(enum rusm__log_level level, const char *who,
                                          const char *verb, const void *text, size_t len) {
    static const char more[] = "\xe2\x80\xa6"; /* an ellipsis: something was cut here */
    size_t who_len = cut(who, strlen(who), RUSM__LOG_NAME_MAX);
    size_t verb_len = cut(verb, strlen(verb), RUSM__LOG_NAME_MAX);
    size_t text_len = cut(text, len, RUSM__LOG_TEXT_MAX);
    size_t sizes[3] = {clean(NULL, who, who_len), clean(NULL, verb, verb_len),
                       clean(NULL, text, text_len)};
    size_t more_len = text_len < len ? sizeof more - 1 : 0;
    struct rusm__log_line *line =
        rusm__mem_try_alloc(sizeof *line + sizes[0] + sizes[1] + sizes[2] + more_len + 3);
    if (!line)
        return NULL;
    *line = (struct rusm__log_line){.unix_ns = rusm__clock_unix_ns(), .level = level};
    line->who_len = (uint32_t)sizes[0];
    line->verb_len = (uint32_t)sizes[1];
    line->text_len = (uint32_t)(sizes[2] + more_len);
    char *to = line->bytes;
    to += clean(to, who, who_len);
    *to++ = '\0';
    to += clean(to, verb, verb_len);
    *to++ = '\0';
    to += clean(to, text, text_len);
    memcpy(to, more, more_len);
    to[more_len] = '\0';
    return line;
}

size_t rusm__log_line_bytes(const struct rusm__log_line *line) {
    return sizeof *line + line->who_len + line->verb_len + line->text_len + 3;
}

/* ---- printing ---- */

/* Select Graphic Rendition codes; "" paints nothing. */
#define PLAIN    ""
#define BOLD     "1"
#define DIM      "2"
#define RED      "31"
#define GREEN    "32"
#define YELLOW   "33"
#define CYAN     "36"
#define GREY     "90"
#define DIM_PINK "2;35"

static void paint(struct rusm__buf *out, const char *code, const char *text, size_t len) {
    if (len == 0)
        return;
    if (*code)
        rusm__buf_addf(out, "\x1b[%sm", code);
    rusm__buf_add(out, text, len);
    if (*code)
        rusm__buf_add_str(out, "\x1b[0m");
}

static size_t columns_of(const char *text, size_t len) {
    size_t columns = 0;
    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* A field with its padding inside of the colour, and the blank that follows every field. */
static void add_field(struct rusm__buf *out, const char *code, const char *text, size_t len,
                      size_t width) {
    static const char blanks[] = "              ";
    _Static_assert(sizeof blanks - 1 >= WHO_COLUMNS, "enough blanks for the widest field");
    size_t columns = columns_of(text, len);
    if (*code)
        rusm__buf_addf(out, "\x1b[%sm", code);
    rusm__buf_add(out, text, len);
    if (columns < width)
        rusm__buf_add(out, blanks, width - columns);
    if (*code)
        rusm__buf_add_str(out, "\x1b[0m");
    rusm__buf_add_char(out, ' ');
}

static void add_time(struct rusm__buf *out, const char *code, int64_t unix_ns) {
    int64_t unix_s = unix_ns / (int64_t)RUSM__SECOND - (unix_ns % (int64_t)RUSM__SECOND < 0);
    unsigned second = (unsigned)((unix_s % DAY_S + DAY_S) % DAY_S); /* also before 1970 */
    const unsigned parts[3] = {second / 3600, second / 60 % 60, second % 60};
    char text[8];
    for (int i = 0; i < 3; i++) {
        text[3 * i] = (char)('0' + parts[i] / 10);
        text[3 * i + 1] = (char)('0' + parts[i] % 10);
        if (i < 2)
            text[3 * i + 2] = ':';
    }
    add_field(out, code, text, sizeof text, sizeof text);
}

/* Red and yellow follow the level; what went well is green, what merely happened is cyan. */
static const char *colour_of(enum rusm__log_level level, const char *verb, size_t len) {
    if (level <= RUSM__LOG_WARN)
        return level == RUSM__LOG_ERROR ? RED : YELLOW;
    if (rusm__str_is(verb, len, "exit"))
        return GREEN;
    if (rusm__str_is(verb, len, "kill"))
        return YELLOW;
    return rusm__str_is(verb, len, "debug") ? DIM : CYAN;
}

/* "name  details": the name stands out. */
static void paint_named(struct rusm__buf *out, const char *text, size_t len, const char *details) {
    const char *gap = memmem(text, len, "  ", 2);
    size_t name = gap ? (size_t)(gap - text) : len;
    paint(out, BOLD, text, name);
    paint(out, details, text + name, len - name);
}

/* "GET /path -> 200" and "tag -> 3", with a real arrow: what follows the last arrow counts. */
static void paint_arrow(struct rusm__buf *out, const char *text, size_t len, bool is_status) {
    static const char arrow[] = " \xe2\x86\x92 ";
    const char *at = NULL;
    for (const char *p = text; (p = memmem(p, len - (size_t)(p - text), arrow, 5)); p++)
        at = p;
    if (!at) {
        rusm__buf_add(out, text, len);
        return;
    }
    const char *value = at + 5;
    size_t value_len = len - (size_t)(value - text);
    char first = value_len ? *value : '5';
    const char *code = first < '4' ? GREEN : first == '4' ? YELLOW : RED;
    paint(out, is_status ? PLAIN : GREEN, text, (size_t)(at - text));
    paint(out, DIM, at, 5);
    paint(out, is_status ? code : PLAIN, value, value_len);
}

/* "name=3  name=1": names stand out, the signs between recede. */
static void paint_counts(struct rusm__buf *out, const char *text, size_t len) {
    while (len) {
        const char *gap = memmem(text, len, "  ", 2);
        size_t item = gap ? (size_t)(gap - text) + 2 : len;
        const char *sign = memrchr(text, '=', item);
        size_t name = sign ? (size_t)(sign - text) : item;
        paint(out, BOLD, text, name);
        paint(out, DIM, text + name, sign ? 1 : 0);
        rusm__buf_add(out, text + name + (sign != NULL), item - name - (sign != NULL));
        text += item;
        len -= item;
    }
}

/* Only the node's own lines have a shape to colour; everything else stays as its writer meant. */
static void paint_text(struct rusm__buf *out, const struct rusm__log_line *line, const char *code) {
    const char *verb = rusm__log_line_verb(line);
    const char *text = rusm__log_line_text(line);
    if (!rusm__str_is(line->bytes, line->who_len, "rusm"))
        paint(out, line->level == RUSM__LOG_DEBUG ? DIM : PLAIN, text, line->text_len);
    else if (rusm__str_is(verb, line->verb_len, "spawn"))
        paint_named(out, text, line->text_len, DIM);
    else if (rusm__str_is(verb, line->verb_len, "exit"))
        paint_named(out, text, line->text_len, code);
    else if (rusm__str_is(verb, line->verb_len, "census"))
        paint_counts(out, text, line->text_len);
    else
        paint_arrow(out, text, line->text_len, !rusm__str_is(verb, line->verb_len, "kill"));
}

void rusm__log_line_print(const struct rusm__log_line *line, bool colours, struct rusm__buf *out) {
    const char *verb = rusm__log_line_verb(line);
    const char *code = colours ? colour_of(line->level, verb, line->verb_len) : PLAIN;
    add_time(out, colours ? GREY : PLAIN, line->unix_ns);
    add_field(out, colours ? DIM_PINK : PLAIN, line->bytes, line->who_len, WHO_COLUMNS);
    add_field(out, code, verb, line->verb_len, VERB_COLUMNS);
    if (colours)
        paint_text(out, line, code);
    else
        rusm__buf_add(out, rusm__log_line_text(line), line->text_len);
    rusm__buf_add_char(out, '\n');
}
