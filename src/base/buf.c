/* SPDX-License-Identifier: MIT */
/* The growable byte buffer. Capacity at least doubles, so a run of appends costs linear time. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

enum { FIRST_CAPACITY = 64 };

void rusm__buf_init(struct rusm__buf *buf) {
    *buf = (struct rusm__buf){0};
}

void rusm__buf_fini(struct rusm__buf *buf) {
    rusm__mem_free(buf->data);
    rusm__buf_init(buf);
}

void rusm__buf_clear(struct rusm__buf *buf) {
    buf->len = 0;
    buf->failed = false;
}

static bool grow(struct rusm__buf *buf, size_t wanted) {
    size_t cap = buf->cap < FIRST_CAPACITY / 2 ? FIRST_CAPACITY : buf->cap;
    cap = cap > SIZE_MAX / 2 ? wanted : cap * 2;
    if (cap < wanted)
        cap = wanted;
    unsigned char *data = rusm__mem_try_realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

bool rusm__buf_reserve(struct rusm__buf *buf, size_t more) {
    if (more <= buf->cap - buf->len)
        return true;
    if (more > PTRDIFF_MAX - buf->len) {
        buf->failed = true;
        return false;
    }
    return grow(buf, buf->len + more);
}

void rusm__buf_add(struct rusm__buf *buf, const void *data, size_t len) {
    if (len == 0 || !rusm__buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

void rusm__buf_add_str(struct rusm__buf *buf, const char *text) {
    rusm__buf_add(buf, text, strlen(text));
}

void rusm__buf_add_char(struct rusm__buf *buf, char c) {
    if (rusm__buf_reserve(buf, 1))
        buf->data[buf->len++] = (unsigned char)c;
}

void rusm__buf_add_u64(struct rusm__buf *buf, unsigned long long value) {
    char digits[RUSM__U64_DIGITS];
    rusm__buf_add(buf, digits, (size_t)(rusm__put_u64(digits, value) - digits));
}

void rusm__buf_addf(struct rusm__buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    rusm__buf_vaddf(buf, format, args);
    va_end(args);
}

/* The first attempt prints into the room there is; most lines fit and are formatted once. */
void rusm__buf_vaddf(struct rusm__buf *buf, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    size_t room = buf->cap - buf->len;
    int len = vsnprintf(room ? (char *)buf->data + buf->len : NULL, room, format, args);
    if (len < 0) {
        buf->failed = true;
    } else if ((size_t)len < room) {
        buf->len += (size_t)len;
    } else if (rusm__buf_reserve(buf, (size_t)len + 1)) {
        vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

const char *rusm__buf_cstr(struct rusm__buf *buf) {
    if (!rusm__buf_reserve(buf, 1))
        return "";
    buf->data[buf->len] = '\0';
    return (const char *)buf->data;
}
