/* SPDX-License-Identifier: MIT */
/* The clock thread. See ticker.h for when it ticks. */
#include "sandbox/ticker.h"

#include <errno.h>
#include <time.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#define TICK_NS      RUSM__MS
#define LINGER_TICKS 16 /* without any run before it sleeps */

/* Did a guest run since the last look, or does one now? */
static bool saw_runs(struct rusm__ticker *ticker) {
    bool any = false;
    for (uint32_t i = 0; i < ticker->lane_count; i++) {
        /* seq_cst: the other end is rusm__ticker_enter. */
        uint64_t runs = atomic_load_explicit(&ticker->lanes[i].runs, memory_order_seq_cst);
        any = any || (runs & 1) || runs != ticker->seen[i];
        ticker->seen[i] = runs;
    }
    return any;
}

static void wait_for_rouse(struct rusm__ticker *ticker) {
    while (sem_wait(&ticker->wake) < 0 && errno == EINTR)
        continue;
}

/* Sleep until a guest runs or the thread is to stop. */
static void fall_asleep(struct rusm__ticker *ticker) {
    atomic_store_explicit(&ticker->asleep, 1, memory_order_seq_cst);
    bool busy = saw_runs(ticker) || atomic_load_explicit(&ticker->stop, memory_order_seq_cst);
    /* Who takes the 1 owes a post. If it was not this thread, the post is on its way. */
    if (busy && atomic_exchange_explicit(&ticker->asleep, 0, memory_order_seq_cst) == 1)
        return;
    wait_for_rouse(ticker);
}

void rusm__ticker_rouse(struct rusm__ticker *ticker) {
    if (atomic_exchange_explicit(&ticker->asleep, 0, memory_order_seq_cst) == 1)
        sem_post(&ticker->wake);
}

static void sleep_until(uint64_t deadline_ns) {
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / RUSM__SECOND),
                          .tv_nsec = (long)(deadline_ns % RUSM__SECOND)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        continue;
}

/* The next tick after one that was due at `due`: late ticks are dropped, not made up for. */
static uint64_t next_due(uint64_t due) {
    uint64_t now = rusm__clock_ns();
    return due + TICK_NS > now ? due + TICK_NS : now + TICK_NS;
}

static void *run(void *arg) {
    struct rusm__ticker *ticker = arg;
    unsigned quiet = 0;
    uint64_t due = rusm__clock_ns();
    /* Relaxed: a stop that is seen a tick late is harmless; fall_asleep looks again. */
    while (!atomic_load_explicit(&ticker->stop, memory_order_relaxed)) {
        quiet = saw_runs(ticker) ? 0 : quiet + 1;
        if (quiet > LINGER_TICKS) {
            fall_asleep(ticker);
            quiet = 0;
        }
        due = next_due(due);
        sleep_until(due);
        atomic_fetch_add_explicit(&ticker->ticks, 1, memory_order_relaxed);
        ticker->tick(ticker->arg);
    }
    return NULL;
}

int rusm__ticker_start(struct rusm__ticker *ticker, struct rusm__lane *lanes, uint32_t lane_count,
                       void (*tick)(void *arg), void *arg) {
    *ticker =
        (struct rusm__ticker){.lanes = lanes, .lane_count = lane_count, .tick = tick, .arg = arg};
    ticker->seen = rusm__mem_try_zalloc(lane_count * sizeof(*ticker->seen));
    if (!ticker->seen)
        return RUSM_ENOMEM;
    if (sem_init(&ticker->wake, 0, 0) < 0) {
        rusm__mem_free(ticker->seen);
        return RUSM_EIO;
    }
    int code = rusm__thread_start(&ticker->thread, "rusm-clock", run, ticker);
    if (code < 0) {
        sem_destroy(&ticker->wake);
        rusm__mem_free(ticker->seen);
    }
    return code;
}

void rusm__ticker_stop(struct rusm__ticker *ticker) {
    /* seq_cst: fall_asleep reads it after it announced its sleep, rouse reads `asleep` after it. */
    atomic_store_explicit(&ticker->stop, true, memory_order_seq_cst);
    rusm__ticker_rouse(ticker);
    pthread_join(ticker->thread, NULL);
    sem_destroy(&ticker->wake);
    rusm__mem_free(ticker->seen);
}
