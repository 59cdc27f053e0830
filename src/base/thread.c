/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"

int rusm__thread_start(pthread_t *out_thread, const char *name, void *(*fn)(void *), void *arg) {
    sigset_t all, before;
    sigfillset(&all);
    /* A thread begins with the mask of the one that makes it, so there is no moment in between. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(out_thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        errno = failed;
        return RUSM_EIO;
    }
    pthread_setname_np(*out_thread, name);
    return RUSM_OK;
}

void rusm__cond_init_monotonic(pthread_cond_t *cond) {
    pthread_condattr_t monotonic;
    RUSM_CHECK(pthread_condattr_init(&monotonic) == 0);
    RUSM_CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    RUSM_CHECK(pthread_cond_init(cond, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
}

bool rusm__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns) {
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / RUSM__SECOND),
                                   .tv_nsec = (long)(deadline_ns % RUSM__SECOND)};
    if (deadline_ns == RUSM__NEVER)
        return pthread_cond_wait(cond, lock) == 0;
    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}
