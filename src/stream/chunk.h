/* SPDX-License-Identifier: MIT */
/* A chunk from the inside: one allocation, a header and its bytes. */
#ifndef RUSM__STREAM_CHUNK_H
#define RUSM__STREAM_CHUNK_H

#include <stdint.h>

#include "rusm/stream.h"

/* Capacities come in steps, so that a chunk that is given back fits again when the next one is a
 * little longer. */
enum { RUSM__CHUNK_STEP = 64 };

struct rusm_chunk {
    rusm_chunk *next; /* of those that the reader gives back */
    uint32_t capacity;
    uint32_t len;
};

#endif
