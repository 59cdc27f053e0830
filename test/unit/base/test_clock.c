/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/runtime.h"

#include "base/clock.h"

static void clock_never_goes_back(void **state) {
    (void)state;
    uint64_t last = rusm__clock_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = i % 2 ? rusm_now_ns() : rusm__clock_ns(); /* one and the same clock */
        assert_true(now >= last);
        last = now;
    }
    assert_true(last > 0);
}

static void clock_thread_time_grows_with_work(void **state) {
    (void)state;
    uint64_t before = rusm__clock_thread_cpu_ns();
    uint64_t after = before;
    while (after < before + RUSM__MS) /* ends only if our own work is counted */
        after = rusm__clock_thread_cpu_ns();
    assert_true(after > before);
}

static void clock_unix_is_the_wall_clock(void **state) {
    (void)state;
    int64_t before = (int64_t)time(NULL);
    int64_t now = rusm__clock_unix_s();
    assert_true(now >= before - 1 && now <= (int64_t)time(NULL) + 1);
}

static void clock_deadline_saturates_below_never(void **state) {
    (void)state;
    assert_int_equal(rusm__deadline_ms(5, 0), 5);
    assert_int_equal(rusm__deadline_ms(5, 2), 5 + 2 * RUSM__MS);
    assert_true(rusm__deadline_ms(5, UINT64_MAX) == RUSM__NEVER - 1);
    assert_true(rusm__deadline_ms(RUSM__NEVER - 1, 1) == RUSM__NEVER - 1);
    assert_true(rusm__deadline_ms(RUSM__NEVER, 1) == RUSM__NEVER - 1);
    uint64_t most = (RUSM__NEVER - 1) / RUSM__MS;
    assert_true(rusm__deadline_ms(0, most) == most * RUSM__MS);
    assert_true(rusm__deadline_ms(0, most + 1) == RUSM__NEVER - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_never_goes_back),
        cmocka_unit_test(clock_thread_time_grows_with_work),
        cmocka_unit_test(clock_unix_is_the_wall_clock),
        cmocka_unit_test(clock_deadline_saturates_below_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
