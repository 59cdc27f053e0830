/* SPDX-License-Identifier: MIT */
#include "stream/pipe.h"

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"
#include "proc/proc.h"

static uint32_t slots_for(uint32_t chunks) {
    uint32_t slots = 1;
    while (slots < chunks) {
        slots *= 2;
    }
    return slots;
}

struct rusm__pipe *rusm__pipe_new(rusm_runtime *rt, rusm_pid writer, rusm_pid reader,
                                  uint32_t max_chunks, uint32_t max_bytes) {
    uint32_t slots = slots_for(max_chunks);
    size_t bytes = sizeof(struct rusm__pipe) + slots * sizeof(rusm_chunk *);
    struct rusm__pipe *pipe = rusm__mem_try_zalloc_aligned(bytes, RUSM__CACHELINE);
    if (pipe) {
        pipe->rt = rt;
        pipe->writer = writer;
        pipe->reader = reader;
        pipe->max_bytes = max_bytes;
        pipe->max_chunks = max_chunks;
        pipe->mask = slots - 1;
        pipe->keep_bytes = max_bytes / max_chunks + RUSM__CHUNK_STEP;
        atomic_init(&pipe->refs, 2);
    }
    return pipe;
}

static void free_given(struct rusm__pipe *pipe) {
    while (pipe->given) {
        rusm_chunk *next = pipe->given->next;
        rusm_chunk_free(pipe->given);
        pipe->given = next;
    }
    pipe->given_count = 0;
}

/* Everything that is still in the ring goes with the last end: buffers that came back, and a chunk
 * that was written while the reader left. */
static void unref(struct rusm__pipe *pipe) {
    /* acq_rel: the last one sees what the other one left behind */
    if (atomic_fetch_sub_explicit(&pipe->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i <= pipe->mask; i++) {
        rusm_chunk_free(pipe->slots[i]);
    }
    rusm__mem_free(pipe);
}

/* ---- states ---- */

static int end_status(uint32_t state) {
    return state == RUSM__PIPE_CLOSED    ? RUSM_ECLOSED
           : state == RUSM__PIPE_CRASHED ? RUSM_ECRASHED
                                         : RUSM_OK;
}

/* True: it was parked, and whoever is told so has taken over the wake. */
static bool take_parked(_Atomic uint32_t *state) {
    uint32_t parked = RUSM__PIPE_PARKED;
    return atomic_compare_exchange_strong_explicit(state, &parked, RUSM__PIPE_OPEN,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

/* The caller has just published something with a seq_cst store; pairs with the store of PARKED and
 * the looks after it in rusm__pipe_reserve and rusm__pipe_peek. The load alone is the common case.
 */
static void wake(struct rusm__pipe *pipe, _Atomic uint32_t *state, rusm_pid pid) {
    if (atomic_load_explicit(state, memory_order_seq_cst) == RUSM__PIPE_PARKED &&
        take_parked(state)) {
        rusm__proc_wake(pipe->rt, pid);
    }
}

/* Our own mark. If it is gone, the other side sends a wake, which finds us busy or done. */
static void unpark(_Atomic uint32_t *state) {
    /* relaxed: only we set it; a stale PARKED makes the exchange fail */
    if (atomic_load_explicit(state, memory_order_relaxed) == RUSM__PIPE_PARKED) {
        take_parked(state);
    }
}

void rusm__pipe_unpark_writer(struct rusm__pipe *pipe) {
    unpark(&pipe->writer_state);
}

void rusm__pipe_unpark_reader(struct rusm__pipe *pipe) {
    unpark(&pipe->reader_state);
}

/* ---- the writer ---- */

static bool fits(const struct rusm__pipe *pipe, uint64_t chunks, uint64_t bytes, uint64_t more) {
    return chunks < pipe->max_chunks &&
           (bytes + more <= pipe->max_bytes || (chunks == 0 && pipe->large_alone));
}

static bool has_room_as_seen(const struct rusm__pipe *pipe, uint64_t tail, size_t len) {
    uint64_t in = atomic_load_explicit(&pipe->bytes_in, memory_order_relaxed); /* our own */
    return fits(pipe, tail - pipe->head_seen, in - pipe->bytes_out_seen, len);
}

static bool has_room(struct rusm__pipe *pipe, size_t len) {
    uint64_t tail = atomic_load_explicit(&pipe->tail, memory_order_relaxed); /* our own */
    if (has_room_as_seen(pipe, tail, len)) {
        return true;
    }
    /* seq_cst: acquires the slots that the reader is done with, pairs with the store in
     * rusm__pipe_pop; and, when we have just parked, with its look at our state */
    pipe->head_seen = atomic_load_explicit(&pipe->head, memory_order_seq_cst);
    /* relaxed: stored before head, so at least as new; newer is as good */
    pipe->bytes_out_seen = atomic_load_explicit(&pipe->bytes_out, memory_order_relaxed);
    return has_room_as_seen(pipe, tail, len);
}

int rusm__pipe_reserve(struct rusm__pipe *pipe, size_t len) {
    if (len > pipe->max_bytes && !pipe->large_alone) {
        return RUSM_ETOOBIG;
    }
    for (bool parked = false;; parked = true) {
        /* seq_cst: after parking, pairs with the store and the look in close_reader */
        int status = end_status(atomic_load_explicit(&pipe->reader_state, memory_order_seq_cst));
        bool room = status == RUSM_OK && has_room(pipe, len);
        if (status != RUSM_OK || room) {
            unpark(&pipe->writer_state);
            return status;
        }
        if (parked) {
            return RUSM_EAGAIN;
        }
        atomic_store_explicit(&pipe->want, len, memory_order_relaxed); /* published by the next */
        atomic_store_explicit(&pipe->writer_state, RUSM__PIPE_PARKED, memory_order_seq_cst);
    }
}

void rusm__pipe_put(struct rusm__pipe *pipe, rusm_chunk *chunk) {
    uint64_t tail = atomic_load_explicit(&pipe->tail, memory_order_relaxed);
    uint64_t in = atomic_load_explicit(&pipe->bytes_in, memory_order_relaxed);
    rusm_chunk **slot = &pipe->slots[tail & pipe->mask];
    rusm_chunk_free(*slot); /* a buffer that came back and was not used */
    *slot = chunk;
    /* relaxed: a sum for whoever looks, and for the reader by way of PARKED */
    atomic_store_explicit(&pipe->bytes_in, in + chunk->len, memory_order_relaxed);
    /* seq_cst: publishes the chunk to rusm__pipe_peek, before the look at its state */
    atomic_store_explicit(&pipe->tail, tail + 1, memory_order_seq_cst);
    wake(pipe, &pipe->reader_state, pipe->reader);
}

rusm_chunk *rusm__pipe_used_chunk(struct rusm__pipe *pipe, size_t len) {
    uint64_t tail = atomic_load_explicit(&pipe->tail, memory_order_relaxed);
    if (tail - pipe->head_seen > pipe->mask) {
        /* acquire: the slot is ours, with what was left in it; pairs with rusm__pipe_pop */
        pipe->head_seen = atomic_load_explicit(&pipe->head, memory_order_acquire);
        if (tail - pipe->head_seen > pipe->mask) {
            return NULL; /* full: the slot holds a chunk that waits */
        }
    }
    rusm_chunk **slot = &pipe->slots[tail & pipe->mask];
    rusm_chunk *chunk = *slot;
    if (!chunk || chunk->capacity < len) {
        return NULL;
    }
    *slot = NULL;
    chunk->len = (uint32_t)len;
    return chunk;
}

void rusm__pipe_close_writer(struct rusm__pipe *pipe, enum rusm__pipe_state how) {
    /* seq_cst: publishes all chunks before the end, and stands before the look at the reader */
    atomic_store_explicit(&pipe->writer_state, how, memory_order_seq_cst);
    wake(pipe, &pipe->reader_state, pipe->reader);
    unref(pipe);
}

/* ---- the reader ---- */

static bool has_chunk(struct rusm__pipe *pipe) {
    uint64_t head = atomic_load_explicit(&pipe->head, memory_order_relaxed); /* our own */
    if (head != pipe->tail_seen) {
        return true;
    }
    /* seq_cst: acquires the chunks, pairs with rusm__pipe_put; and, when we have just parked, with
     * its look at our state */
    pipe->tail_seen = atomic_load_explicit(&pipe->tail, memory_order_seq_cst);
    return head != pipe->tail_seen;
}

int rusm__pipe_peek(struct rusm__pipe *pipe, rusm_chunk **out_chunk) {
    *out_chunk = NULL;
    for (bool parked = false;; parked = true) {
        /* First the state, then the ring: an end that is seen stands behind every chunk. seq_cst:
         * pairs with the store in close_writer, as above. */
        int status = end_status(atomic_load_explicit(&pipe->writer_state, memory_order_seq_cst));
        if (has_chunk(pipe)) {
            uint64_t head = atomic_load_explicit(&pipe->head, memory_order_relaxed);
            *out_chunk = pipe->slots[head & pipe->mask];
            status = RUSM_OK;
        } else if (status == RUSM_OK && !parked) {
            atomic_store_explicit(&pipe->reader_state, RUSM__PIPE_PARKED, memory_order_seq_cst);
            continue;
        } else if (status == RUSM_OK) {
            return RUSM_EAGAIN;
        }
        unpark(&pipe->reader_state);
        return status;
    }
}

/* The writer waits for room: is there enough now? While it is parked, what it wrote and what it
 * wants stand still; if it has moved on, taking its mark fails or wakes it for nothing. */
static void wake_writer(struct rusm__pipe *pipe) {
    if (atomic_load_explicit(&pipe->writer_state, memory_order_seq_cst) == RUSM__PIPE_PARKED &&
        fits(pipe, rusm__pipe_chunks(pipe), rusm__pipe_bytes(pipe),
             atomic_load_explicit(&pipe->want, memory_order_relaxed)) &&
        take_parked(&pipe->writer_state)) {
        rusm__proc_wake(pipe->rt, pipe->writer);
    }
}

void rusm__pipe_pop(struct rusm__pipe *pipe) {
    uint64_t head = atomic_load_explicit(&pipe->head, memory_order_relaxed);
    uint64_t out = atomic_load_explicit(&pipe->bytes_out, memory_order_relaxed);
    rusm_chunk **slot = &pipe->slots[head & pipe->mask];
    out += (*slot)->len;
    *slot = pipe->given;
    if (pipe->given) {
        pipe->given = pipe->given->next;
        pipe->given_count--;
    }
    atomic_store_explicit(&pipe->bytes_out, out, memory_order_relaxed); /* published by head */
    /* seq_cst: gives the slot to the writer (has_room), before the look at its state */
    atomic_store_explicit(&pipe->head, head + 1, memory_order_seq_cst);
    wake_writer(pipe);
}

void rusm__pipe_give(struct rusm__pipe *pipe, rusm_chunk *chunk) {
    if (chunk->capacity > pipe->keep_bytes || pipe->given_count >= pipe->max_chunks) {
        rusm_chunk_free(chunk);
        return;
    }
    chunk->next = pipe->given;
    pipe->given = chunk;
    pipe->given_count++;
}

/* What waits is freed at once, not only when the writer closes. */
static void drain(struct rusm__pipe *pipe) {
    free_given(pipe);
    while (has_chunk(pipe)) {
        uint64_t head = atomic_load_explicit(&pipe->head, memory_order_relaxed);
        rusm_chunk *chunk = pipe->slots[head & pipe->mask];
        rusm__pipe_pop(pipe);
        rusm_chunk_free(chunk);
    }
}

void rusm__pipe_close_reader(struct rusm__pipe *pipe, enum rusm__pipe_state how) {
    /* seq_cst: stands before the look at the writer; pairs with rusm__pipe_reserve */
    atomic_store_explicit(&pipe->reader_state, how, memory_order_seq_cst);
    drain(pipe);
    wake(pipe, &pipe->writer_state, pipe->writer);
    unref(pipe);
}

/* ---- looking ---- */

uint32_t rusm__pipe_chunks(const struct rusm__pipe *pipe) {
    /* acquire, and head first: tail cannot be older, so the difference is never negative */
    uint64_t head = atomic_load_explicit(&pipe->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&pipe->tail, memory_order_acquire);
    uint64_t chunks = tail - head;
    return chunks < pipe->max_chunks ? (uint32_t)chunks : pipe->max_chunks;
}

uint64_t rusm__pipe_bytes(const struct rusm__pipe *pipe) {
    uint64_t out = atomic_load_explicit(&pipe->bytes_out, memory_order_acquire);
    uint64_t in = atomic_load_explicit(&pipe->bytes_in, memory_order_acquire);
    uint64_t bytes = in - out; /* a moment's truth: more than ever waited if both moved meanwhile */
    return bytes < pipe->max_bytes || pipe->large_alone ? bytes : pipe->max_bytes;
}
