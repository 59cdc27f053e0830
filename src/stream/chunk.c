/* SPDX-License-Identifier: MIT */
#include "stream/chunk.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

_Static_assert(sizeof(rusm_chunk) % 16 == 0, "the bytes are aligned for everything");
_Static_assert(RUSM_MSG_MAX_BYTES < UINT32_MAX - RUSM__CHUNK_STEP, "capacities fit");

static size_t rounded(size_t len) {
    size_t whole = sizeof(rusm_chunk) + len;
    return (whole + RUSM__CHUNK_STEP - 1) / RUSM__CHUNK_STEP * RUSM__CHUNK_STEP -
           sizeof(rusm_chunk);
}

int rusm_chunk_new(size_t len, rusm_chunk **out_chunk) {
    *out_chunk = NULL;
    if (len > RUSM_MSG_MAX_BYTES) {
        return RUSM_ETOOBIG;
    }
    size_t capacity = rounded(len);
    rusm_chunk *chunk = rusm__mem_try_alloc(sizeof(*chunk) + capacity);
    if (!chunk) {
        return RUSM_ENOMEM;
    }
    *chunk = (rusm_chunk){.capacity = (uint32_t)capacity, .len = (uint32_t)len};
    *out_chunk = chunk;
    return RUSM_OK;
}

int rusm_chunk_copy(const void *data, size_t len, rusm_chunk **out_chunk) {
    int status = rusm_chunk_new(len, out_chunk);
    if (status == RUSM_OK && len) {
        memcpy(rusm_chunk_data(*out_chunk), data, len);
    }
    return status;
}

void rusm_chunk_free(rusm_chunk *chunk) {
    rusm__mem_free(chunk);
}

unsigned char *rusm_chunk_data(rusm_chunk *chunk) {
    return (unsigned char *)(chunk + 1);
}

size_t rusm_chunk_len(const rusm_chunk *chunk) {
    return chunk->len;
}

void rusm_chunk_truncate(rusm_chunk *chunk, size_t len) {
    if (len < chunk->len) {
        chunk->len = (uint32_t)len;
    }
}
