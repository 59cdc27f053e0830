/* SPDX-License-Identifier: MIT */
/* Writing JSON strings. Runs of bytes that stand for themselves are found eight at a time and
 * copied in one piece; only quotes, backslashes, control characters and broken UTF-8 end a run. */
#include "base/json.h"

#include <stdint.h>
#include <string.h>

#include "base/json_scan.h"
#include "base/utf8.h"

/* Bytes from p on that can be copied as they are. */
static size_t clean_run(const unsigned char *p, size_t len) {
    size_t at = 0;
    for (;;) {
        at += rusm__json_plain(p + at, len - at);
        if (at == len || p[at] < 0x80)
            return at;
        int step = rusm__utf8_step(p + at, len - at);
        if (step < 0)
            return at;
        at += (size_t)step;
    }
}

/* A control character, a quote or a backslash. */
static void add_escape(struct rusm__buf *buf, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char letter = c == '"' || c == '\\' ? (char)c : letters[c];
    if (letter) {
        const char text[2] = {'\\', letter};
        rusm__buf_add(buf, text, sizeof text);
    } else {
        const char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        rusm__buf_add(buf, text, sizeof text);
    }
}

void rusm__json_add_escaped(struct rusm__buf *buf, const void *text, size_t len) {
    const unsigned char *p = text;
    const unsigned char *end = p + len;
    while (p < end) {
        size_t run = clean_run(p, (size_t)(end - p));
        rusm__buf_add(buf, p, run);
        p += run;
        if (p == end)
            return;
        if (*p < 0x80) {
            add_escape(buf, *p++);
        } else {
            rusm__buf_add(buf, "\xef\xbf\xbd", 3);
            p += -rusm__utf8_step(p, (size_t)(end - p));
        }
    }
}

void rusm__json_add_string(struct rusm__buf *buf, const void *text, size_t len) {
    rusm__buf_add_char(buf, '"');
    rusm__json_add_escaped(buf, text, len);
    rusm__buf_add_char(buf, '"');
}
