/* SPDX-License-Identifier: MIT */
/* Inside of the log: a line on its way, the ring it travels in, and how it looks at the end. Only
 * the log_*.c files and their tests include this. */
#ifndef RUSM__BASE_LOG_IMPL_H
#define RUSM__BASE_LOG_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/log.h"

/* ---- a line: one allocation, made by the thread that logs, freed by the writer ---- */

struct rusm__log_line {
    int64_t unix_ns;
    enum rusm__log_level level;
    uint32_t who_len;
    uint32_t verb_len;
    uint32_t text_len;
    char bytes[]; /* who, verb, text, all clean, each with a zero byte behind it */
};

static inline const char *rusm__log_line_verb(const struct rusm__log_line *line) {
    return line->bytes + line->who_len + 1;
}

static inline const char *rusm__log_line_text(const struct rusm__log_line *line) {
    return rusm__log_line_verb(line) + line->verb_len + 1;
}

/* Bytes of a text, who or verb that are looked at. */
#define RUSM__LOG_TEXT_MAX 8192u
#define RUSM__LOG_NAME_MAX 64u

/* A clean copy of everything, stamped with the time; NULL when memory is short. */
struct rusm__log_line *rusm__log_line_new(enum rusm__log_level level, const char *who,
                                          const char *verb, const void *text, size_t len);

/* Bytes of memory that a line takes. */
size_t rusm__log_line_bytes(const struct rusm__log_line *line);

/* Append the line as it is printed, with its line feed. */
void rusm__log_line_print(const struct rusm__log_line *line, bool colours, struct rusm__buf *out);

/* ---- the ring: many producers, one consumer, neither waits for the other ---- */

#define RUSM__LOG_RING_LINES 4096u
#define RUSM__LOG_RING_BYTES (4u << 20)

struct rusm__log_cell {
    _Atomic(size_t) turn; /* says whose turn the cell is: see log_ring.c */
    struct rusm__log_line *line;
};

struct rusm__log_ring {
    _Alignas(64) _Atomic(size_t) tail; /* any thread: lines ever queued */
    _Atomic(size_t) bytes;             /* any thread: memory of the lines inside */
    _Alignas(64) size_t head;          /* the consumer only: lines ever taken */
    struct rusm__log_cell cells[RUSM__LOG_RING_LINES];
};

void rusm__log_ring_init(struct rusm__log_ring *ring);

/* Queue line, which is taken on success. False: no room; the caller keeps it. Never waits. */
bool rusm__log_ring_push(struct rusm__log_ring *ring, struct rusm__log_line *line);

/* The oldest line, or NULL when there is none that is complete. Returns owned. */
struct rusm__log_line *rusm__log_ring_pop(struct rusm__log_ring *ring);

/* Would ring_pop return one? The consumer only. */
bool rusm__log_ring_has_line(const struct rusm__log_ring *ring);

/* ---- the way out: a descriptor that is written to without waiting inside of write ---- */

struct rusm__log_wake {
    int fd; /* an eventfd */
};

bool rusm__log_wake_open(struct rusm__log_wake *wake);
void rusm__log_wake_up(struct rusm__log_wake *wake);   /* any thread; never waits */
void rusm__log_wake_wait(struct rusm__log_wake *wake); /* until woken; one wake-up may serve two */

struct rusm__log_out {
    int fd;
    bool own; /* opened by us: does not block, and is closed by us */
    bool is_socket;
    bool may_block; /* inside of write, since it is neither of the two */
};

void rusm__log_out_open(struct rusm__log_out *out, int fd);
void rusm__log_out_close(struct rusm__log_out *out);

/* Write some bytes, at most PIPE_BUF, waiting for room or for a wake-up. Returns how many were
 * written, perhaps 0; -1 when the descriptor is of no more use. */
ssize_t rusm__log_out_write(struct rusm__log_out *out, struct rusm__log_wake *wake,
                            const void *data, size_t len);

#endif
