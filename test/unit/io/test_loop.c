/* SPDX-License-Identifier: MIT */
/* The event loop: when it blocks, for how long, and what ends that. Times are only ever checked
 * from below; a hang is the failure that the deadlines of the test driver catch. */
#include "io/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/clock.h"

struct answer {
    uint64_t wait_ns;
    unsigned asked;
};

static uint64_t say(void *arg) {
    struct answer *answer = arg;
    answer->asked++;
    return answer->wait_ns;
}

static int start(void **state) {
    static struct rusm__loop loop;
    *state = &loop;
    return rusm__loop_init(&loop);
}

static int stop(void **state) {
    rusm__loop_fini(*state);
    return 0;
}

static void loop_wait_ends_with_the_time(void **state) {
    for (unsigned ms = 1; ms < 20; ms += 6) {
        struct answer answer = {.wait_ns = ms * RUSM__MS - 1000};
        uint64_t before = rusm__clock_ns();
        rusm__loop_wait(*state, say, &answer);
        assert_int_equal(answer.asked, 1);
        /* The loop counts in whole milliseconds, of which the first may be nearly over. */
        assert_true(rusm__clock_ns() - before >= (ms - 1) * RUSM__MS);
    }
}

static void loop_does_not_block_when_told_so(void **state) {
    struct answer answer = {.wait_ns = 0};
    for (unsigned i = 0; i < 100; i++) {
        rusm__loop_wait(*state, say, &answer);
    }
    assert_int_equal(answer.asked, 100);
}

/* The alarm must not be used up before the loop blocks: with a very short time, started right
 * before the clock's next millisecond, it would be due at once. */
static void loop_short_waits_all_end(void **state) {
    struct answer answer = {.wait_ns = 1};
    for (unsigned i = 0; i < 500; i++) {
        uint64_t edge = (rusm__clock_ns() / RUSM__MS + 1) * RUSM__MS;
        while (rusm__clock_ns() < edge - i % 50 * 100) {
        }
        rusm__loop_wait(*state, say, &answer);
    }
    assert_int_equal(answer.asked, 500);
}

static void loop_wake_before_a_wait_counts(void **state) {
    struct answer answer = {.wait_ns = UINT64_MAX};
    for (unsigned i = 0; i < 100; i++) {
        rusm__loop_wake(*state);
        rusm__loop_wake(*state);
        rusm__loop_wait(*state, say, &answer);
    }
    assert_int_equal(answer.asked, 100);
}

static void *wake_soon(void *loop) {
    const struct timespec pause = {.tv_nsec = 300000};
    nanosleep(&pause, NULL);
    rusm__loop_wake(loop);
    return NULL;
}

static void loop_wake_from_another_thread_ends_a_wait(void **state) {
    struct answer answer = {.wait_ns = UINT64_MAX};
    for (unsigned i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_soon, *state), 0);
        rusm__loop_wait(*state, say, &answer);
        pthread_join(thread, NULL);
        rusm__loop_poll(*state); /* the wake may have come twice */
    }
}

/* A timer's callback runs before the loop blocks; what it changes is there when the loop asks. */
struct queued {
    bool work;
    bool work_when_asked;
};

static void on_timer(uv_timer_t *timer) {
    struct queued *queued = timer->data;
    queued->work = true;
}

static uint64_t look(void *arg) {
    struct queued *queued = arg;
    queued->work_when_asked = queued->work;
    return queued->work ? 0 : UINT64_MAX;
}

static void loop_asks_after_timers_ran(void **state) {
    struct rusm__loop *loop = *state;
    struct queued queued = {0};
    uv_timer_t timer = {.data = &queued};
    uv_timer_init(&loop->uv, &timer);
    uv_timer_start(&timer, on_timer, 0, 0); /* due at the beginning of the turn */
    rusm__loop_wait(loop, look, &queued);   /* for ever, if the question came first */
    assert_true(queued.work_when_asked);
    uv_close((uv_handle_t *)&timer, NULL);
    rusm__loop_poll(loop);
}

static void on_closed(uv_handle_t *handle) {
    *(bool *)handle->data = true;
}

static void loop_fini_waits_for_closing_handles(void **state) {
    (void)state;
    struct rusm__loop loop;
    bool closed = false;
    uv_timer_t forgotten, closing = {.data = &closed};
    assert_int_equal(rusm__loop_init(&loop), RUSM_OK);
    uv_timer_init(&loop.uv, &forgotten);
    uv_timer_start(&forgotten, on_timer, 1000000, 0);
    uv_timer_init(&loop.uv, &closing);
    uv_close((uv_handle_t *)&closing, on_closed);
    rusm__loop_fini(&loop);
    assert_true(closed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loop_wait_ends_with_the_time, start, stop),
        cmocka_unit_test_setup_teardown(loop_does_not_block_when_told_so, start, stop),
        cmocka_unit_test_setup_teardown(loop_short_waits_all_end, start, stop),
        cmocka_unit_test_setup_teardown(loop_wake_before_a_wait_counts, start, stop),
        cmocka_unit_test_setup_teardown(loop_wake_from_another_thread_ends_a_wait, start, stop),
        cmocka_unit_test_setup_teardown(loop_asks_after_timers_ran, start, stop),
        cmocka_unit_test(loop_fini_waits_for_closing_handles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
