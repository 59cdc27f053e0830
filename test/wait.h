/* SPDX-License-Identifier: MIT */
/* Waiting in tests: for a time, and for a condition. Who includes this has defined PATIENCE_S, a
 * number of seconds that only a hang can reach, and has included cmocka. */
#ifndef RUSM_TEST_WAIT_H
#define RUSM_TEST_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "rusm/runtime.h"

static inline void nap_ms(long ms) {
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* Until the condition holds; fails the test when it does not come to hold. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t until_ = rusm_now_ns() + PATIENCE_S * 1000000000ull;                              \
        bool holds_ = (condition);                                                                 \
        while (!holds_ && rusm_now_ns() < until_) {                                                \
            nap_ms(1);                                                                             \
            holds_ = (condition);                                                                  \
        }                                                                                          \
        _assert_true(holds_, #condition, __FILE__, __LINE__);                                      \
    } while (0)

#endif
