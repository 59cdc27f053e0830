/* SPDX-License-Identifier: MIT */
/* A scheduler's event loop: libuv, a way to wake it from any thread, and sleeping with a deadline.
 * All calls but rusm__loop_wake belong to the thread that owns the loop.
 *
 * One turn of libuv that may block runs timers first, then blocks, then runs what became ready:
 *
 *     timers ─► [ before_wait ] ─► block ─► callbacks
 *
 * So the owner is asked as late as possible whether to block and for how long: a timer's callback
 * may have queued work, and a bound that was set earlier could be used up as one of the timers.
 * Nobody else uses prepare handles: their callbacks could come after that question. */
#ifndef RUSM__IO_LOOP_H
#define RUSM__IO_LOOP_H

#include <stdint.h>
#include <uv.h>

/* Called right before a wait blocks: for how many nanoseconds it may (UINT64_MAX: any time), 0 to
 * not block at all. */
typedef uint64_t (*rusm__loop_before_wait)(void *arg);

struct rusm__loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare; /* active during a wait: calls before_wait */
    uv_timer_t alarm;     /* bounds the blocking */
    rusm__loop_before_wait before_wait;
    void *arg;
};

/* RUSM_EIO. */
int rusm__loop_init(struct rusm__loop *loop);
/* Closes our handles and waits for those of others that are closing. Handles that somebody forgot
 * to close are closed here. */
void rusm__loop_fini(struct rusm__loop *loop);

/* Handle what is ready; never waits. */
void rusm__loop_poll(struct rusm__loop *loop);

/* Wait for something to handle, a wake, or the end of the time that before_wait gives; handle what
 * is ready. Callbacks of the loop run before and after before_wait. */
void rusm__loop_wait(struct rusm__loop *loop, rusm__loop_before_wait before_wait, void *arg);

/* Any thread: end the present or the next wait. */
void rusm__loop_wake(struct rusm__loop *loop);

#endif
