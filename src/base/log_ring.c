/* SPDX-License-Identifier: MIT */
/* The bounded queue of lines, after Dmitry Vyukov's array queue.
 *
 * Each cell carries a number that says whose turn it is. For the producer of line n the cell
 * n % SIZE is free when its number is n; the producer claims n by moving `tail`, writes the line
 * and sets the number to n + 1. The consumer of line n waits for n + 1, takes the line and sets
 * n + SIZE, which frees the cell for the next round.
 *
 * A producer that loses the processor between claim and publication holds up the consumer at that
 * cell, never another producer. */
#include "base/log_impl.h"

#define CELL(ring, n) (&(ring)->cells[(n) % RUSM__LOG_RING_LINES])

void rusm__log_ring_init(struct rusm__log_ring *ring) {
    /* relaxed: nobody else knows the ring yet. */
    for (size_t n = 0; n < RUSM__LOG_RING_LINES; n++)
        atomic_store_explicit(&ring->cells[n].turn, n, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, 0, memory_order_relaxed);
    atomic_store_explicit(&ring->bytes, 0, memory_order_relaxed);
    ring->head = 0;
}

/* The cell that line n may be written to, n in *out_n; NULL when the ring is full. */
static struct rusm__log_cell *claim(struct rusm__log_ring *ring, size_t *out_n) {
    /* relaxed: a stale value costs one more turn; the cell's number decides. */
    size_t n = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    for (;;) {
        struct rusm__log_cell *cell = CELL(ring, n);
        /* acquire: the consumer has read the old line; pairs with the release in ring_pop. */
        size_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (turn == n) {
            /* relaxed: claims a number, publishes nothing. */
            if (atomic_compare_exchange_weak_explicit(&ring->tail, &n, n + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                *out_n = n;
                return cell;
            }
        } else if ((ptrdiff_t)(turn - n) < 0) {
            return NULL; /* still holds the line of the last round */
        } else {
            n = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        }
    }
}

bool rusm__log_ring_push(struct rusm__log_ring *ring, struct rusm__log_line *line) {
    size_t size = rusm__log_line_bytes(line);
    size_t n;
    /* relaxed: a bound, exact enough; each push adds before it looks, so it is never passed. */
    size_t before = atomic_fetch_add_explicit(&ring->bytes, size, memory_order_relaxed);
    struct rusm__log_cell *cell = before + size > RUSM__LOG_RING_BYTES ? NULL : claim(ring, &n);
    if (!cell) {
        atomic_fetch_sub_explicit(&ring->bytes, size, memory_order_relaxed);
        return false;
    }
    cell->line = line;
    /* release: publishes line and what it points to; pairs with the acquire in ring_pop. */
    atomic_store_explicit(&cell->turn, n + 1, memory_order_release);
    return true;
}

bool rusm__log_ring_has_line(const struct rusm__log_ring *ring) {
    /* acquire: pairs with the release in ring_push. */
    return atomic_load_explicit(&CELL(ring, ring->head)->turn, memory_order_acquire) ==
           ring->head + 1;
}

struct rusm__log_line *rusm__log_ring_pop(struct rusm__log_ring *ring) {
    struct rusm__log_cell *cell = CELL(ring, ring->head);
    if (!rusm__log_ring_has_line(ring))
        return NULL;
    struct rusm__log_line *line = cell->line;
    atomic_fetch_sub_explicit(&ring->bytes, rusm__log_line_bytes(line), memory_order_relaxed);
    /* release: the cell is read; pairs with the acquire in claim. */
    atomic_store_explicit(&cell->turn, ring->head + RUSM__LOG_RING_LINES, memory_order_release);
    ring->head++;
    return line;
}
