/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/mem.h"

static void mem_fails_the_nth_call_and_only_that(void **state) {
    (void)state;
    rusm__mem_fail_nth(3);
    void *first = rusm__mem_try_alloc(8);
    void *second = rusm__mem_try_zalloc(8);
    assert_non_null(first);
    assert_non_null(second);
    void *third = rusm__mem_try_realloc(first, 16);
    assert_null(third);
    char *fourth = rusm__mem_try_strndup("abc", 3);
    assert_string_equal(fourth, "abc");
    assert_int_equal(rusm__mem_fail_nth(0), 4);
    rusm__mem_free(first); /* still valid after the failed realloc */
    rusm__mem_free(second);
    rusm__mem_free(fourth);
}

static void mem_counts_calls_without_a_countdown(void **state) {
    (void)state;
    rusm__mem_fail_nth(0);
    for (int i = 0; i < 5; i++)
        rusm__mem_free(rusm__mem_try_alloc(1));
    assert_int_equal(rusm__mem_fail_nth(0), 5);
    assert_int_equal(rusm__mem_fail_nth(0), 0);
}

static void *allocate_once(void *arg) {
    (void)arg;
    return rusm__mem_try_alloc(4);
}

static void mem_countdown_belongs_to_its_thread(void **state) {
    (void)state;
    pthread_t thread;
    void *memory = NULL;
    rusm__mem_fail_nth(1);
    assert_int_equal(pthread_create(&thread, NULL, allocate_once, NULL), 0);
    pthread_join(thread, &memory);
    assert_non_null(memory);
    rusm__mem_free(memory);
    assert_null(rusm__mem_try_alloc(4));
    rusm__mem_fail_nth(0);
}

static void mem_refuses_sizes_that_no_machine_has(void **state) {
    (void)state;
    volatile size_t huge = SIZE_MAX / 2;
    assert_null(rusm__mem_try_alloc(huge));
    assert_null(rusm__mem_try_strndup("x", SIZE_MAX));
}

static void mem_zeroes_and_survives_size_zero(void **state) {
    (void)state;
    unsigned char *zeroed = rusm__mem_try_zalloc(100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeroed[i], 0);
    void *same = rusm__mem_try_realloc(zeroed, 0);
    assert_non_null(same);
    rusm__mem_free(same);
    rusm__mem_free(NULL);
    char *empty = rusm__mem_try_strndup(NULL, 0);
    assert_string_equal(empty, "");
    rusm__mem_free(empty);
    void *early = rusm__mem_alloc(10);
    unsigned char *early_zero = rusm__mem_zalloc(1);
    assert_non_null(early);
    assert_int_equal(*early_zero, 0);
    rusm__mem_free(early);
    rusm__mem_free(early_zero);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mem_fails_the_nth_call_and_only_that),
        cmocka_unit_test(mem_counts_calls_without_a_countdown),
        cmocka_unit_test(mem_countdown_belongs_to_its_thread),
        cmocka_unit_test(mem_refuses_sizes_that_no_machine_has),
        cmocka_unit_test(mem_zeroes_and_survives_size_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
