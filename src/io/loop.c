/* SPDX-License-Identifier: MIT */
#include "io/loop.h"

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"

static void on_wake(uv_async_t *wake) {
    (void)wake; /* its only purpose is to make uv_run return */
}

static void on_alarm(uv_timer_t *alarm) {
    (void)alarm; /* likewise */
}

static void on_prepare(uv_prepare_t *prepare) {
    struct rusm__loop *loop = prepare->data;
    uint64_t wait_ns = loop->before_wait(loop->arg);
    if (wait_ns == 0) {
        uv_stop(&loop->uv); /* this turn does not block */
    } else if (wait_ns != UINT64_MAX) {
        /* Rounded up, or the loop would spin through the last fraction of a millisecond. */
        uint64_t wait_ms = wait_ns / RUSM__MS + (wait_ns % RUSM__MS != 0);
        uv_update_time(&loop->uv);
        uv_timer_start(&loop->alarm, on_alarm, wait_ms, 0);
    }
}

int rusm__loop_init(struct rusm__loop *loop) {
    if (uv_loop_init(&loop->uv) != 0) {
        return RUSM_EIO;
    }
    if (uv_async_init(&loop->uv, &loop->wake, on_wake) != 0) {
        uv_loop_close(&loop->uv);
        return RUSM_EIO;
    }
    RUSM_CHECK(uv_timer_init(&loop->uv, &loop->alarm) == 0);
    RUSM_CHECK(uv_prepare_init(&loop->uv, &loop->prepare) == 0);
    loop->prepare.data = loop;
    return RUSM_OK;
}

static void close_handle(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void rusm__loop_fini(struct rusm__loop *loop) {
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    RUSM_CHECK(uv_loop_close(&loop->uv) == 0);
}

void rusm__loop_poll(struct rusm__loop *loop) {
    uv_run(&loop->uv, UV_RUN_NOWAIT);
}

void rusm__loop_wait(struct rusm__loop *loop, rusm__loop_before_wait before_wait, void *arg) {
    loop->before_wait = before_wait;
    loop->arg = arg;
    RUSM_CHECK(uv_prepare_start(&loop->prepare, on_prepare) == 0);
    uv_run(&loop->uv, UV_RUN_ONCE);
    uv_prepare_stop(&loop->prepare);
    uv_timer_stop(&loop->alarm);
}

void rusm__loop_wake(struct rusm__loop *loop) {
    RUSM_CHECK(uv_async_send(&loop->wake) == 0);
}
