/* SPDX-License-Identifier: MIT */
/* The decision without a process and without a clock: every strategy, type and kind of end, both
 * budgets, the back-off. */
#include "sup/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/random.h"

static struct rusm__budget *budget_of(uint32_t max, uint64_t within_ns) {
    struct rusm__budget *budget = rusm__budget_new((rusm_budget){max, within_ns});
    assert_non_null(budget);
    return budget;
}

/* ---- tables ---- */

static const rusm_strategy strategies[] = {RUSM_ONE_FOR_ONE, RUSM_ONE_FOR_ALL, RUSM_REST_FOR_ONE};
static const enum rusm__verdict restarts[] = {RUSM__RESTART_ONE, RUSM__RESTART_ALL,
                                              RUSM__RESTART_REST};
static const rusm_exit_kind kinds[] = {RUSM_EXIT_NORMAL, RUSM_EXIT_KILLED, RUSM_EXIT_CRASHED,
                                       RUSM_EXIT_NOPROC};
/* [type][kind]: is it started again? */
static const bool comes_back[3][4] = {
    [RUSM_RESTART_PERMANENT] = {true, true, true, true},
    [RUSM_RESTART_TRANSIENT] = {false, true, true, true},
    [RUSM_RESTART_TEMPORARY] = {false, false, false, false},
};

static enum rusm__verdict decide(rusm_strategy strategy, rusm_restart restart, rusm_exit_kind kind,
                                 uint32_t own_max, uint32_t shared_max) {
    struct rusm__budget *own = budget_of(own_max, RUSM__SECOND);
    struct rusm__budget *shared = budget_of(shared_max, RUSM__SECOND);
    struct rusm__fall fall = {strategy, restart, kind, 1, own, shared};
    enum rusm__verdict verdict = rusm__restart_decide(&fall);
    bool granted = verdict <= RUSM__RESTART_REST && verdict != RUSM__STAYS_DOWN;
    assert_int_equal(own->count, granted); /* charged to both, or to neither */
    assert_int_equal(shared->count, granted);
    rusm__budget_free(own);
    rusm__budget_free(shared);
    return verdict;
}

static void every_strategy_type_and_kind(void **state) {
    (void)state;
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned type = 0; type < 3; type++) {
            for (unsigned k = 0; k < 4; k++)
                assert_int_equal(decide(strategies[s], (rusm_restart)type, kinds[k], 1, 1),
                                 comes_back[type][k] ? restarts[s] : RUSM__STAYS_DOWN);
        }
    }
}

static void used_up_budgets_count_only_for_those_who_come_back(void **state) {
    (void)state;
    for (unsigned s = 0; s < 3; s++) {
        enum rusm__verdict alone =
            strategies[s] == RUSM_ONE_FOR_ONE ? RUSM__GIVE_UP_ONE : RUSM__GIVE_UP;
        for (unsigned type = 0; type < 3; type++) {
            for (unsigned k = 0; k < 4; k++) {
                bool back = comes_back[type][k];
                assert_int_equal(decide(strategies[s], (rusm_restart)type, kinds[k], 0, 1),
                                 back ? alone : RUSM__STAYS_DOWN);
                assert_int_equal(decide(strategies[s], (rusm_restart)type, kinds[k], 1, 0),
                                 back ? RUSM__GIVE_UP : RUSM__STAYS_DOWN);
            }
        }
    }
}

/* ---- budgets ---- */

/* True: granted, and charged. */
static bool take(struct rusm__budget *budget, uint64_t now_ns) {
    if (!rusm__budget_allows(budget, now_ns))
        return false;
    rusm__budget_charge(budget, now_ns);
    return true;
}

static void fourth_in_the_window_is_too_many(void **state) {
    (void)state;
    struct rusm__budget *budget = budget_of(3, 5 * RUSM__SECOND);
    for (uint64_t i = 1; i <= 3; i++)
        assert_true(take(budget, i * RUSM__SECOND));
    assert_false(take(budget, 6 * RUSM__SECOND - 1));
    assert_true(take(budget, 6 * RUSM__SECOND));
    rusm__budget_free(budget);
}

static void refills_as_restarts_leave_the_window(void **state) {
    (void)state;
    struct rusm__budget *budget = budget_of(3, 5 * RUSM__SECOND);
    /* One every two seconds, for ten minutes: never more than three in five seconds. */
    for (uint64_t i = 0; i < 300; i++)
        assert_true(take(budget, i * 2 * RUSM__SECOND));
    assert_int_equal(budget->count, 3);
    rusm__budget_free(budget);
}

/* Against a model that remembers everything. */
static void never_more_than_allowed_in_any_window(void **state) {
    (void)state;
    enum { FALLS = 5000, MAX = 7, WITHIN = 1000 };
    static uint64_t granted[FALLS];
    struct rusm__random random;
    struct rusm__budget *budget = budget_of(MAX, WITHIN);
    uint64_t now = 0;
    unsigned count = 0;
    rusm__random_seed(&random, 42);
    for (unsigned i = 0; i < FALLS; i++) {
        now += rusm__random_below(&random, 300);
        unsigned inside = 0;
        while (inside < count && now - granted[count - 1 - inside] < WITHIN)
            inside++;
        bool may = take(budget, now);
        assert_int_equal(may, inside < MAX);
        if (may)
            granted[count++] = now;
    }
    rusm__budget_free(budget);
}

static void without_restarts_the_first_is_too_many(void **state) {
    (void)state;
    struct rusm__budget *budget = budget_of(0, RUSM__SECOND);
    assert_false(take(budget, 0));
    rusm__budget_free(budget);
}

static void whole_life_never_refills(void **state) {
    (void)state;
    struct rusm__budget *budget = budget_of(2, UINT64_MAX);
    assert_true(take(budget, 0));
    assert_true(take(budget, 1));
    assert_false(take(budget, UINT64_MAX - 1));
    rusm__budget_refill(budget);
    assert_true(take(budget, UINT64_MAX - 1));
    rusm__budget_free(budget);
}

static void unlimited_has_no_end(void **state) {
    (void)state;
    struct rusm__budget *budget = budget_of(RUSM_RESTARTS_UNLIMITED, RUSM__SECOND);
    for (unsigned i = 0; i < 100000; i++)
        assert_true(take(budget, 5));
    rusm__budget_free(budget);
}

static void clock_may_start_anywhere(void **state) {
    (void)state;
    struct rusm__budget *budget = budget_of(3, 5 * RUSM__SECOND);
    uint64_t late = UINT64_MAX - RUSM__SECOND;
    for (uint64_t i = 0; i < 3; i++)
        assert_true(take(budget, late + i));
    assert_false(take(budget, late + 3));
    rusm__budget_free(budget);
}

static void limits_are_checked(void **state) {
    (void)state;
    assert_true(rusm__budget_is_valid((rusm_budget){RUSM_RESTARTS_MAX, 1}));
    assert_true(rusm__budget_is_valid((rusm_budget){RUSM_RESTARTS_UNLIMITED, 1}));
    assert_false(rusm__budget_is_valid((rusm_budget){RUSM_RESTARTS_MAX + 1, 1}));
    assert_true(rusm__backoff_is_valid(&(rusm_backoff){9, 1, 3600 * RUSM__SECOND}));
    assert_false(rusm__backoff_is_valid(&(rusm_backoff){0, 1, 3600 * RUSM__SECOND + 1}));
    assert_false(rusm__backoff_is_valid(&(rusm_backoff){0, UINT64_MAX, 0}));
}

/* ---- back-off ---- */

static void nothing_set_means_no_wait(void **state) {
    (void)state;
    rusm_backoff none = {0};
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(rusm__backoff_delay(&none, i, UINT64_MAX), 0);
}

static void delay_doubles_up_to_its_maximum(void **state) {
    (void)state;
    rusm_backoff backoff = {.first_ns = 10 * RUSM__MS, .max_ns = RUSM__SECOND};
    struct rusm__random random;
    rusm__random_seed(&random, 7);
    uint64_t full = backoff.first_ns;
    for (uint32_t streak = 0; streak < 100; streak++) {
        for (unsigned i = 0; i < 100; i++)
            assert_in_range(rusm__backoff_delay(&backoff, streak, rusm__random_u64(&random)),
                            full / 2, full);
        full = full * 2 < backoff.max_ns ? full * 2 : backoff.max_ns;
    }
    assert_int_equal(rusm__backoff_delay(&backoff, UINT32_MAX, 0), RUSM__SECOND);
}

static void jitter_takes_up_to_half(void **state) {
    (void)state;
    rusm_backoff backoff = {.first_ns = 1000, .max_ns = 1000};
    assert_int_equal(rusm__backoff_delay(&backoff, 0, 0), 1000);
    assert_int_equal(rusm__backoff_delay(&backoff, 0, 500), 500);
    assert_int_equal(rusm__backoff_delay(&backoff, 0, 501), 1000);
}

static void first_ones_may_come_at_once(void **state) {
    (void)state;
    rusm_backoff backoff = {.at_once = 2, .first_ns = 100, .max_ns = 400};
    const uint64_t full[] = {0, 0, 100, 200, 400, 400};
    for (uint32_t streak = 0; streak < 6; streak++)
        assert_int_equal(rusm__backoff_delay(&backoff, streak, 0), full[streak]);
}

static void maximum_below_the_first_counts_as_the_first(void **state) {
    (void)state;
    rusm_backoff backoff = {.first_ns = 100};
    assert_int_equal(rusm__backoff_delay(&backoff, 0, 0), 100);
    assert_int_equal(rusm__backoff_delay(&backoff, 9, 0), 100);
}

static void long_life_ends_the_streak(void **state) {
    (void)state;
    rusm_backoff backoff = {.first_ns = 10, .max_ns = 1000};
    assert_false(rusm__backoff_is_over(&backoff, 1999));
    assert_true(rusm__backoff_is_over(&backoff, 2000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_strategy_type_and_kind),
        cmocka_unit_test(used_up_budgets_count_only_for_those_who_come_back),
        cmocka_unit_test(fourth_in_the_window_is_too_many),
        cmocka_unit_test(refills_as_restarts_leave_the_window),
        cmocka_unit_test(never_more_than_allowed_in_any_window),
        cmocka_unit_test(without_restarts_the_first_is_too_many),
        cmocka_unit_test(whole_life_never_refills),
        cmocka_unit_test(unlimited_has_no_end),
        cmocka_unit_test(clock_may_start_anywhere),
        cmocka_unit_test(limits_are_checked),
        cmocka_unit_test(nothing_set_means_no_wait),
        cmocka_unit_test(delay_doubles_up_to_its_maximum),
        cmocka_unit_test(jitter_takes_up_to_half),
        cmocka_unit_test(first_ones_may_come_at_once),
        cmocka_unit_test(maximum_below_the_first_counts_as_the_first),
        cmocka_unit_test(long_life_ends_the_streak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
