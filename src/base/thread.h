/* SPDX-License-Identifier: MIT */
/* Threads of our own, and sleeping until a time of rusm__clock_ns. */
#ifndef RUSM__BASE_THREAD_H
#define RUSM__BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/export.h"

/* Start a thread that runs fn(arg) with every signal blocked: signals belong to the threads of the
 * program that expect them. Not for a thread that runs guests, whose traps are signals. The name
 * has at most 15 bytes and is seen in ps and debuggers. The caller joins the thread.
 * RUSM_EIO: the system refuses; errno says why. */
RUSM_MUST_USE int rusm__thread_start(pthread_t *out_thread, const char *name, void *(*fn)(void *),
                                     void *arg);

/* A condition variable whose deadlines are times of rusm__clock_ns. It cannot fail. */
void rusm__cond_init_monotonic(pthread_cond_t *cond);

/* Sleep, with the lock, until somebody signals; RUSM__NEVER for no deadline. False once the
 * deadline has passed. As with any condition variable it may also wake for no reason. */
bool rusm__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns);

#endif
