/* SPDX-License-Identifier: MIT */
/* A scheduler's event loop: libuv, a way to wake it from any thread, and sleeping with a deadline.
 * All calls but rusm__loop_wake belong to the thread that owns the loop. */
#ifndef RUSM__IO_LOOP_H
#define RUSM__IO_LOOP_H

#include <stdint.h>
#include <uv.h>

struct rusm__loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t alarm; /* bounds a sleep */
};

/* RUSM_EIO, RUSM_ENOMEM. */
int rusm__loop_init(struct rusm__loop *loop);
/* Closes our handles and waits for those of others that are closing. Handles that somebody forgot
 * to close are closed here. */
void rusm__loop_fini(struct rusm__loop *loop);

/* Handle what is ready; never waits. */
void rusm__loop_poll(struct rusm__loop *loop);

/* Wait for something to handle, a wake, or deadline_ns (UINT64_MAX: none). now_ns is the present.
 */
void rusm__loop_wait(struct rusm__loop *loop, uint64_t now_ns, uint64_t deadline_ns);

/* Any thread: end the present or the next wait. */
void rusm__loop_wake(struct rusm__loop *loop);

#endif
