/* SPDX-License-Identifier: MIT */
#include "sup/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static struct rusm__sup_policy policy_of(enum rusm__sup_type type) {
    return rusm__sup_default_policy(type);
}

static enum rusm__sup_verdict decide(enum rusm__sup_type type, rusm_exit_kind kind) {
    struct rusm__sup_policy policy = policy_of(type);
    struct rusm__sup_budget budget;
    uint64_t delay;
    rusm__sup_budget_init(&budget, 1);
    return rusm__sup_decide(&policy, &budget, kind, RUSM__SECOND, &delay);
}

static void type_says_who_comes_back(void **state) {
    (void)state;
    assert_int_equal(decide(RUSM__SUP_PERMANENT, RUSM_EXIT_NORMAL), RUSM__SUP_RESTART);
    assert_int_equal(decide(RUSM__SUP_PERMANENT, RUSM_EXIT_CRASHED), RUSM__SUP_RESTART);
    assert_int_equal(decide(RUSM__SUP_TRANSIENT, RUSM_EXIT_NORMAL), RUSM__SUP_DONE);
    assert_int_equal(decide(RUSM__SUP_TRANSIENT, RUSM_EXIT_KILLED), RUSM__SUP_RESTART);
    assert_int_equal(decide(RUSM__SUP_TRANSIENT, RUSM_EXIT_CRASHED), RUSM__SUP_RESTART);
    assert_int_equal(decide(RUSM__SUP_TRANSIENT, RUSM_EXIT_NOPROC), RUSM__SUP_RESTART);
    assert_int_equal(decide(RUSM__SUP_TEMPORARY, RUSM_EXIT_CRASHED), RUSM__SUP_DONE);
    assert_int_equal(decide(RUSM__SUP_TEMPORARY, RUSM_EXIT_KILLED), RUSM__SUP_DONE);
}

static void fourth_fall_in_the_window_is_too_many(void **state) {
    (void)state;
    struct rusm__sup_policy policy = policy_of(RUSM__SUP_TRANSIENT);
    struct rusm__sup_budget budget;
    uint64_t delay;
    rusm__sup_budget_init(&budget, 1);
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(
            rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, i * RUSM__SECOND, &delay),
            RUSM__SUP_RESTART);
    assert_int_equal(
        rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, 6 * RUSM__SECOND - 1, &delay),
        RUSM__SUP_GIVE_UP);
}

static void budget_refills_as_restarts_leave_the_window(void **state) {
    (void)state;
    struct rusm__sup_policy policy = policy_of(RUSM__SUP_TRANSIENT);
    struct rusm__sup_budget budget;
    uint64_t delay;
    rusm__sup_budget_init(&budget, 1);
    /* One fall every two seconds, for ten minutes: never more than three in five seconds. */
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(
            rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, i * 2 * RUSM__SECOND, &delay),
            RUSM__SUP_RESTART);
    assert_int_equal(rusm__sup_used(&policy, &budget, 299 * 2 * RUSM__SECOND), 3);
}

static void without_a_budget_the_first_fall_is_the_last(void **state) {
    (void)state;
    struct rusm__sup_policy policy = policy_of(RUSM__SUP_PERMANENT);
    policy.max_restarts = 0;
    struct rusm__sup_budget budget;
    uint64_t delay;
    rusm__sup_budget_init(&budget, 1);
    assert_int_equal(rusm__sup_decide(&policy, &budget, RUSM_EXIT_NORMAL, 0, &delay),
                     RUSM__SUP_GIVE_UP);
}

static void delay_doubles_up_to_its_maximum(void **state) {
    (void)state;
    struct rusm__sup_policy policy = policy_of(RUSM__SUP_PERMANENT);
    policy.max_restarts = RUSM__SUP_MAX_RESTARTS;
    struct rusm__sup_budget budget;
    rusm__sup_budget_init(&budget, 7);
    uint64_t full = policy.delay_ns;
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t delay;
        assert_int_equal(
            rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, i * RUSM__MS, &delay),
            RUSM__SUP_RESTART);
        assert_in_range(delay, full / 2, full);
        full = full * 2 < policy.max_delay_ns ? full * 2 : policy.max_delay_ns;
    }
}

static void quiet_window_resets_the_delay(void **state) {
    (void)state;
    struct rusm__sup_policy policy = policy_of(RUSM__SUP_PERMANENT);
    struct rusm__sup_budget budget;
    uint64_t delay;
    rusm__sup_budget_init(&budget, 7);
    for (uint64_t i = 0; i < 3; i++)
        rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, i, &delay);
    rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, 10 * RUSM__SECOND, &delay);
    assert_in_range(delay, policy.delay_ns / 2, policy.delay_ns);
}

static void clock_may_start_anywhere(void **state) {
    (void)state;
    struct rusm__sup_policy policy = policy_of(RUSM__SUP_PERMANENT);
    struct rusm__sup_budget budget;
    uint64_t delay;
    rusm__sup_budget_init(&budget, 7);
    uint64_t late = UINT64_MAX - RUSM__SECOND;
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, late + i, &delay),
                         RUSM__SUP_RESTART);
    assert_int_equal(rusm__sup_decide(&policy, &budget, RUSM_EXIT_CRASHED, late + 3, &delay),
                     RUSM__SUP_GIVE_UP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(type_says_who_comes_back),
        cmocka_unit_test(fourth_fall_in_the_window_is_too_many),
        cmocka_unit_test(budget_refills_as_restarts_leave_the_window),
        cmocka_unit_test(without_a_budget_the_first_fall_is_the_last),
        cmocka_unit_test(delay_doubles_up_to_its_maximum),
        cmocka_unit_test(quiet_window_resets_the_delay),
        cmocka_unit_test(clock_may_start_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
