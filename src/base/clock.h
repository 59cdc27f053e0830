/* SPDX-License-Identifier: MIT */
/* Time. rusm_now_ns() in rusm/runtime.h is the monotonic clock of all deadlines. */
#ifndef RUSM__BASE_CLOCK_H
#define RUSM__BASE_CLOCK_H

#include <stdint.h>

#define RUSM__MS     1000000ull
#define RUSM__SECOND 1000000000ull
#define RUSM__NEVER  UINT64_MAX

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t rusm__clock_ns(void);

/* The same clock as of the kernel's last tick, up to 10 ms ago: a quarter of the price. */
uint64_t rusm__clock_coarse_ns(void);

/* CPU time that the calling thread has used, in nanoseconds. */
uint64_t rusm__clock_thread_cpu_ns(void);

/* Since 1970, UTC. */
int64_t rusm__clock_unix_s(void);
int64_t rusm__clock_unix_ns(void);

/* now + ms, never past RUSM__NEVER - 1. */
uint64_t rusm__deadline_ms(uint64_t now_ns, uint64_t ms);

#endif
