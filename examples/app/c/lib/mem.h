/* SPDX-License-Identifier: MIT */
/* Memory of a guest: everything that one message needs comes from one arena and goes with it. A
 * handler lives for one request and never resets; a service resets before each message. Running
 * out of memory ends the process, which is what a guest's memory ceiling is for. One thread. */
#ifndef GUEST_MEM_H
#define GUEST_MEM_H

#include <stddef.h>

/* Zeroed? No. Aligned to 16. Never NULL. */
void *mem_alloc(size_t size);

/* Give everything back. */
void mem_reset(void);

/* Text or bytes that somebody else owns. Not terminated. */
struct text {
    const char *ptr;
    size_t len;
};

#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})

int text_equals(struct text a, struct text b);

/* Bytes that grow, in the arena. Start with {0}. */
struct buf {
    char *ptr;
    size_t len;
    size_t capacity;
};

/* Room for `size` more bytes; returns where they start. Does not change len. */
char *buf_reserve(struct buf *buf, size_t size);
void buf_add(struct buf *buf, struct text text);
void buf_add_u64(struct buf *buf, unsigned long long value);
static inline struct text buf_text(const struct buf *buf) {
    return (struct text){buf->ptr, buf->len};
}

#endif
