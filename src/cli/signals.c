/* SPDX-License-Identifier: MIT */
#include "cli/signals.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static sem_t first;
/* Written by the main thread, read by the signal thread. Relaxed: a signal that arrives while it
 * changes may be taken either way, and nothing else is published by it. */
static atomic_bool is_ready;

static sigset_t stop_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

static void *take_signals(void *arg) {
    (void)arg;
    sigset_t set = stop_signals();
    bool stopping = false;
    for (;;) {
        int number;
        if (sigwait(&set, &number) != 0)
            continue;
        if (stopping || !atomic_load_explicit(&is_ready, memory_order_relaxed))
            _exit(128 + number);
        stopping = true;
        sem_post(&first);
    }
    return NULL;
}

bool rusm__cli_signals_start(void) {
    sigset_t set = stop_signals();
    pthread_t thread;
    if (sem_init(&first, 0, 0) != 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    return pthread_create(&thread, NULL, take_signals, NULL) == 0 && pthread_detach(thread) == 0;
}

void rusm__cli_signals_ready(void) {
    atomic_store_explicit(&is_ready, true, memory_order_relaxed);
}

void rusm__cli_wait(void) {
    while (sem_wait(&first) != 0 && errno == EINTR) {
        /* a debugger came or went */
    }
}
