/* SPDX-License-Identifier: MIT */
/* What the two ends of a stream share: a ring of chunks with one writer and one reader, no lock.
 *
 *     slots      [ . | . | c | c | c | . | . | . ]
 *                          ▲ head      ▲ tail
 *     from head to tail    chunks that wait: the reader's
 *     all others           the writer's: empty, or buffers that the reader gave back
 *
 * When the reader takes the chunk of a slot it leaves one there that it is done with. So buffers
 * travel back through the same ring, published by the same store of `head`, and a stream whose
 * reader gives them back allocates nothing.
 *
 * Each side has a state that the other one looks at after every change it makes:
 *
 *     OPEN ──► PARKED      by the side itself, which then looks at the ring and at the other state
 *     PARKED ──► OPEN      by the other side, which thereby owes it one wake; or by itself
 *     ──► CLOSED, CRASHED  by the side itself, for good
 *
 * No wake is lost: a side stores PARKED and then loads head (or tail) and the other state; the
 * other side stores head (or tail, or its end) and then loads that PARKED. All of these are
 * seq_cst, so one of the two sees the other. A wake is owed once because only one can take PARKED
 * away.
 *
 * Bounds: the writer counts bytes in, the reader bytes out; both only grow, modulo 2^64. */
#ifndef RUSM__STREAM_PIPE_H
#define RUSM__STREAM_PIPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/runtime.h"

#include "stream/chunk.h"
#include "sync/cacheline.h"

enum rusm__pipe_state {
    RUSM__PIPE_OPEN = 0,
    RUSM__PIPE_PARKED = 1,
    RUSM__PIPE_CLOSED = 2,
    RUSM__PIPE_CRASHED = 3,
};

struct rusm__pipe {
    /* Set when it is made. */
    rusm_runtime *rt;
    rusm_pid writer;
    rusm_pid reader;
    uint64_t max_bytes;
    uint32_t max_chunks;
    uint32_t mask;       /* slots - 1 */
    uint32_t keep_bytes; /* larger buffers do not go back: together they hold about max_bytes */
    bool large_alone;    /* a chunk of more than max_bytes passes when nothing waits */
    /* Ends that are left; the last one frees. */
    _Atomic uint32_t refs;

    /* The writer's; the atomic ones are read by anyone. */
    _Alignas(RUSM__CACHELINE) _Atomic uint64_t tail;
    _Atomic uint64_t bytes_in;
    uint64_t head_seen; /* of the reader's, as old as they may be */
    uint64_t bytes_out_seen;

    /* The reader's; likewise. */
    _Alignas(RUSM__CACHELINE) _Atomic uint64_t head;
    _Atomic uint64_t bytes_out;
    uint64_t tail_seen;
    rusm_chunk *given; /* done with, newest first */
    uint32_t given_count;

    /* Read often, written seldom. */
    _Alignas(RUSM__CACHELINE) _Atomic uint32_t writer_state;
    _Atomic uint32_t reader_state;
    _Atomic uint64_t want; /* bytes that a parked writer has to write */

    _Alignas(RUSM__CACHELINE) rusm_chunk *slots[];
};

/* With both ends. NULL: no memory. */
struct rusm__pipe *rusm__pipe_new(rusm_runtime *rt, rusm_pid writer, rusm_pid reader,
                                  uint32_t max_chunks, uint32_t max_bytes);

/* ---- the writer ---- */

/* RUSM_OK: a chunk of len bytes has room, until it is written. RUSM_EAGAIN: parked, will be woken.
 * RUSM_ETOOBIG, RUSM_ECLOSED, RUSM_ECRASHED. */
int rusm__pipe_reserve(struct rusm__pipe *pipe, size_t len);
/* After a reserve that went well. Takes chunk. */
void rusm__pipe_put(struct rusm__pipe *pipe, rusm_chunk *chunk);
/* A buffer that came back and holds len bytes, or NULL. */
rusm_chunk *rusm__pipe_used_chunk(struct rusm__pipe *pipe, size_t len);
/* Gives up its waiting: no wake is owed any more, though one may be under way. */
void rusm__pipe_unpark_writer(struct rusm__pipe *pipe);
void rusm__pipe_close_writer(struct rusm__pipe *pipe, enum rusm__pipe_state how);

/* ---- the reader ---- */

/* RUSM_OK: the next chunk, which stays in the ring. RUSM_EAGAIN: parked, will be woken.
 * RUSM_ECLOSED, RUSM_ECRASHED. */
int rusm__pipe_peek(struct rusm__pipe *pipe, rusm_chunk **out_chunk);
/* After a peek that went well: take that chunk out. */
void rusm__pipe_pop(struct rusm__pipe *pipe);
/* Done with a chunk. Takes it. */
void rusm__pipe_give(struct rusm__pipe *pipe, rusm_chunk *chunk);
void rusm__pipe_unpark_reader(struct rusm__pipe *pipe);
/* Any thread that owns the end. */
void rusm__pipe_close_reader(struct rusm__pipe *pipe, enum rusm__pipe_state how);

/* ---- anyone who holds an end: a moment's truth ---- */

uint32_t rusm__pipe_chunks(const struct rusm__pipe *pipe);
uint64_t rusm__pipe_bytes(const struct rusm__pipe *pipe);

#endif
