/* SPDX-License-Identifier: MIT */
/* The event loop of a simulated scheduler, instead of src/io/loop.c: no descriptors, only waiting.
 * A wait may end early for no reason, as it does when a descriptor is ready. */
#include "io/loop.h"

#include "rusm/error.h"

#include "base/clock.h"

#include "world.h"

static bool is_woken(const struct rusm__loop *loop) {
    return loop->wake.data != NULL;
}

int rusm__loop_init(struct rusm__loop *loop) {
    loop->wake.data = NULL;
    return RUSM_OK;
}

void rusm__loop_fini(struct rusm__loop *loop) {
    (void)loop;
}

void rusm__loop_poll(struct rusm__loop *loop) {
    (void)rusm__clock_ns(); /* a system call: a point */
    loop->wake.data = NULL;
}

void rusm__loop_wait(struct rusm__loop *loop, rusm__loop_before_wait before_wait, void *arg) {
    uint64_t wait_ns = before_wait(arg);
    uint64_t now = rusm__clock_ns();
    if (wait_ns != 0 && !is_woken(loop) && !sim_fault(30)) {
        uint64_t whole_ms = wait_ns / RUSM__MS + (wait_ns % RUSM__MS != 0);
        sim_block(loop, wait_ns == UINT64_MAX ? UINT64_MAX : now + whole_ms * RUSM__MS);
    }
    loop->wake.data = NULL;
}

void rusm__loop_wake(struct rusm__loop *loop) {
    (void)rusm__clock_ns();
    loop->wake.data = loop;
    sim_wake(loop);
}
