/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "sandbox/ticker.h"

#define LANES    2
#define PATIENCE 3000 /* times 10 ms */

static struct rusm__lane lanes[LANES];
static struct rusm__ticker ticker;
static _Atomic uint64_t ticks;

static void count(void *arg) {
    atomic_fetch_add((_Atomic uint64_t *)arg, 1);
}

static int setup(void **state) {
    (void)state;
    for (int i = 0; i < LANES; i++)
        lanes[i] = (struct rusm__lane){0};
    atomic_store(&ticks, 0);
    return rusm__ticker_start(&ticker, lanes, LANES, count, &ticks);
}

static int teardown(void **state) {
    (void)state;
    rusm__ticker_stop(&ticker);
    return 0;
}

static bool wait_for_sleep(void) {
    for (int i = 0; i < PATIENCE; i++) {
        if (atomic_load(&ticker.asleep))
            return true;
        usleep(10000);
    }
    return false;
}

static bool wait_for_ticks(uint64_t more) {
    uint64_t from = atomic_load(&ticks);
    for (int i = 0; i < PATIENCE; i++) {
        if (atomic_load(&ticks) >= from + more)
            return true;
        usleep(10000);
    }
    return false;
}

static void it_sleeps_while_nothing_runs(void **state) {
    (void)state;
    assert_true(wait_for_sleep());
    usleep(5000); /* a tick that was under way */
    uint64_t before = atomic_load(&ticks);
    usleep(100000);
    assert_int_equal(atomic_load(&ticks), before);
}

static void it_ticks_while_a_guest_runs_and_sleeps_again(void **state) {
    (void)state;
    for (int round = 0; round < 5; round++) {
        assert_true(wait_for_sleep());
        rusm__ticker_enter(&ticker, &lanes[round % LANES]);
        assert_true(wait_for_ticks(20));
        rusm__ticker_leave(&lanes[round % LANES]);
    }
    assert_true(wait_for_sleep());
}

static void its_count_moves_with_its_ticks(void **state) {
    (void)state;
    uint64_t before = rusm__ticker_now(&ticker);
    rusm__ticker_enter(&ticker, &lanes[0]);
    assert_true(wait_for_ticks(5));
    assert_true(rusm__ticker_now(&ticker) > before);
    rusm__ticker_leave(&lanes[0]);
}

/* Runs that are over at once, at every moment of falling asleep: none may leave it stuck. */
static void short_runs_never_lose_a_wake(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        rusm__ticker_enter(&ticker, &lanes[1]);
        rusm__ticker_leave(&lanes[1]);
        usleep((unsigned)(i % 7) * 3000);
    }
    rusm__ticker_enter(&ticker, &lanes[0]);
    assert_true(wait_for_ticks(3));
    rusm__ticker_leave(&lanes[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_sleeps_while_nothing_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(it_ticks_while_a_guest_runs_and_sleeps_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(its_count_moves_with_its_ticks, setup, teardown),
        cmocka_unit_test_setup_teardown(short_runs_never_lose_a_wake, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
