/* SPDX-License-Identifier: MIT */
#include "mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 16384

struct chunk {
    struct chunk *next;
    size_t used; /* of bytes[] */
    size_t size;
    _Alignas(16) char bytes[];
};

static struct chunk *chunks;

static struct chunk *chunk_new(size_t at_least) {
    size_t size = at_least > CHUNK_BYTES ? at_least : CHUNK_BYTES;
    struct chunk *chunk = NULL;
    if (size <= SIZE_MAX - sizeof(*chunk)) {
        chunk = malloc(sizeof(*chunk) + size);
    }
    if (chunk == NULL) {
        abort();
    }
    *chunk = (struct chunk){.next = chunks, .size = size};
    chunks = chunk;
    return chunk;
}

void *mem_alloc(size_t size) {
    if (size > SIZE_MAX - 15) {
        abort();
    }
    size = (size + 15) & ~(size_t)15;
    struct chunk *chunk = chunks;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        chunk = chunk_new(size);
    }
    void *out = chunk->bytes + chunk->used;
    chunk->used += size;
    return out;
}

void mem_reset(void) {
    while (chunks != NULL) {
        struct chunk *next = chunks->next;
        free(chunks);
        chunks = next;
    }
}

int text_equals(struct text a, struct text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

char *buf_reserve(struct buf *buf, size_t size) {
    if (size > SIZE_MAX / 2 - buf->len) {
        abort();
    }
    if (buf->capacity - buf->len < size) {
        size_t capacity = (buf->len + size) * 2;
        char *grown = mem_alloc(capacity);
        if (buf->len > 0) {
            memcpy(grown, buf->ptr, buf->len);
        }
        buf->ptr = grown;
        buf->capacity = capacity;
    }
    return buf->ptr + buf->len;
}

void buf_add(struct buf *buf, struct text text) {
    if (text.len > 0) {
        memcpy(buf_reserve(buf, text.len), text.ptr, text.len);
        buf->len += text.len;
    }
}

void buf_add_u64(struct buf *buf, unsigned long long value) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(buf, (struct text){digits + at, sizeof(digits) - at});
}
