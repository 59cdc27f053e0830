/* SPDX-License-Identifier: MIT */
/* The clocks. Those used here cannot fail on Linux with a valid pointer, so the result of
 * clock_gettime is not looked at; a failure would leave zero, which is in the past. */
#include "base/clock.h"

#include <time.h>

#include "rusm/runtime.h"

static uint64_t read_ns(clockid_t id) {
    struct timespec now = {0};
    (void)clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * RUSM__SECOND + (uint64_t)now.tv_nsec;
}

uint64_t rusm__clock_ns(void) {
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t rusm_now_ns(void) {
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t rusm__clock_coarse_ns(void) {
    return read_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t rusm__clock_thread_cpu_ns(void) {
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t rusm__clock_unix_s(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

int64_t rusm__clock_unix_ns(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)RUSM__SECOND + now.tv_nsec;
}

uint64_t rusm__deadline_ms(uint64_t now_ns, uint64_t ms) {
    uint64_t room = now_ns >= RUSM__NEVER ? 0 : RUSM__NEVER - 1 - now_ns;
    if (ms > room / RUSM__MS)
        return RUSM__NEVER - 1;
    return now_ns + ms * RUSM__MS;
}
