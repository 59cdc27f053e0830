/* SPDX-License-Identifier: MIT */
/* A growable byte buffer. A failed append leaves the content as it was and sets `failed`, so that
 * a run of appends is checked once at its end. */
#ifndef RUSM__BASE_BUF_H
#define RUSM__BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "rusm/export.h"

struct rusm__buf {
    unsigned char *data;
    size_t len;
    size_t cap;
    bool failed;
};

void rusm__buf_init(struct rusm__buf *buf);
void rusm__buf_fini(struct rusm__buf *buf);
void rusm__buf_clear(struct rusm__buf *buf); /* keeps the memory */
bool rusm__buf_reserve(struct rusm__buf *buf, size_t more);
void rusm__buf_add(struct rusm__buf *buf, const void *data, size_t len);
void rusm__buf_add_str(struct rusm__buf *buf, const char *text);
void rusm__buf_add_char(struct rusm__buf *buf, char c);
void rusm__buf_add_u64(struct rusm__buf *buf, unsigned long long value);
RUSM_PRINTF(2, 3) void rusm__buf_addf(struct rusm__buf *buf, const char *format, ...);
void rusm__buf_vaddf(struct rusm__buf *buf, const char *format, va_list args);

/* The content as a C string (a terminator that does not count is kept behind it); "" when memory
 * was short. Borrowed until the next change. */
const char *rusm__buf_cstr(struct rusm__buf *buf);

#endif
