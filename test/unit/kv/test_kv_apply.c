/* SPDX-License-Identifier: MIT */
/* Compare-and-set, increment and batches: one step each, and all or nothing. */
#include "unit/kv/kv_help.h"

#include <pthread.h>

enum { COUNTERS = 8, COUNTS = 100 };

static struct rusm__kv *kv;
static struct rusm__kv_reader *reader;

static int set_up(void **state) {
    static int number;
    char name[32];
    (void)state;
    snprintf(name, sizeof name, "apply-%d.db", number++);
    kv = open_store(name, NULL);
    reader = open_reader(kv);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
    return 0;
}

static void check_swap(const char *expected, const char *value, bool made) {
    struct waiting waiting = swap(kv, "k", expected, value);
    assert_int_equal(waiting.code, 0);
    assert_int_equal(waiting.existed, made);
}

static void compare_and_set_changes_only_what_is_as_expected(void **state) {
    (void)state;
    check_swap("a", "b", false); /* there is no such key */
    check_value(reader, "b", "k", NULL);
    check_swap(NULL, "a", true);
    check_swap(NULL, "b", false); /* there is one */
    check_swap("", "b", false);
    check_swap("aa", "b", false);
    check_value(reader, "b", "k", "a");
    check_swap("a", "", true); /* an empty value is a value */
    check_swap(NULL, "b", false);
    check_swap("x", NULL, false);
    check_value(reader, "b", "k", "");
    check_swap("", NULL, true); /* removed */
    check_value(reader, "b", "k", NULL);
    check_swap(NULL, NULL, true); /* as expected, and nothing to remove */
}

static void increment_adds_to_decimal_digits(void **state) {
    (void)state;
    struct waiting waiting = increment(kv, "n", 5);
    assert_int_equal(waiting.code, 0);
    assert_int_equal(waiting.number, 5);
    assert_int_equal(increment(kv, "n", -7).number, -2);
    check_value(reader, "b", "n", "-2");
    assert_int_equal(set_text(kv, "b", "n", "0041"), 0);
    assert_int_equal(increment(kv, "n", 1).number, 42);
    check_value(reader, "b", "n", "42");
    assert_int_equal(set_text(kv, "b", "n", "-9223372036854775807"), 0);
    assert_true(increment(kv, "n", -1).number == INT64_MIN);
    check_value(reader, "b", "n", "-9223372036854775808");
}

static void increment_refuses_what_is_no_number(void **state) {
    (void)state;
    const char *const others[] = {"",
                                  "-",
                                  "+1",
                                  " 1",
                                  "1 ",
                                  "1.5",
                                  "0x10",
                                  "ten",
                                  "9223372036854775808",
                                  "-9223372036854775809"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(set_text(kv, "b", "n", others[i]), 0);
        struct waiting waiting = increment(kv, "n", 1);
        assert_int_equal(waiting.code, RUSM_EINVAL);
        assert_non_null(strstr(waiting.text, "no number"));
        check_value(reader, "b", "n", others[i]);
    }
    assert_int_equal(set_text(kv, "b", "n", "9223372036854775807"), 0);
    struct waiting waiting = increment(kv, "n", 1);
    assert_int_equal(waiting.code, RUSM_ETOOBIG);
    assert_non_null(strstr(waiting.text, "does not fit"));
    check_value(reader, "b", "n", "9223372036854775807");
}

/* One that cannot be done does not spoil those that share its transaction. */
static void a_refused_increment_leaves_its_neighbours_alone(void **state) {
    (void)state;
    struct waiting bad = {.code = 1}, good = {.code = 1};
    assert_int_equal(set_text(kv, "b", "word", "word"), 0);
    sem_init(&bad.answered, 0, 0);
    sem_init(&good.answered, 0, 0);
    int first = rusm__kv_increment(kv, text("b"), text("word"), 1, take_answer, &bad, NULL);
    int second = rusm__kv_set(kv, text("b"), text("k"), text("v"), take_answer, &good, NULL);
    assert_int_equal(wait_for(&bad, first).code, RUSM_EINVAL);
    assert_int_equal(wait_for(&good, second).code, 0);
    check_value(reader, "b", "k", "v");
}

static void *count(void *arg) {
    int *failures = arg;
    for (int i = 0; i < COUNTS; i++)
        *failures += increment(kv, "shared", 1).code != 0;
    return NULL;
}

static void increments_of_many_threads_add_up(void **state) {
    (void)state;
    pthread_t threads[COUNTERS];
    int failures[COUNTERS] = {0};
    char sum[16];
    for (int i = 0; i < COUNTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, &failures[i]), 0);
    for (int i = 0; i < COUNTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
    snprintf(sum, sizeof sum, "%d", COUNTERS * COUNTS);
    check_value(reader, "b", "shared", sum);
}

static void a_batch_makes_its_changes_in_order(void **state) {
    (void)state;
    const struct rusm__kv_change changes[] = {
        {.bucket = text("b"), .key = text("one"), .value = text("1")},
        {.bucket = text("c"), .key = text("two"), .value = text("2")},
        {.bucket = text("b"), .key = text("one"), .is_delete = true},
        {.bucket = text("b"),
         .key = text("three"),
         .value = text("3"),
         .expires = true,
         .ttl_ms = 3600000},
        {.bucket = text("c"), .key = text("two"), .value = text("22")},
    };
    assert_int_equal(batch(kv, changes, 5).code, 0);
    check_list(reader, "b", "three,");
    check_value(reader, "b", "three", "3");
    check_value(reader, "c", "two", "22");
    assert_int_equal(batch(kv, changes, 0).code, 0); /* nothing to do is done */
}

/* The last change is what is wrong: none is made. */
static void a_batch_is_all_or_nothing(void **state) {
    (void)state;
    struct rusm__kv_change changes[] = {
        {.bucket = text("b"), .key = text("one"), .value = text("1")},
        {.bucket = text("b"), .key = text("two"), .value = text("2"), .expires = true},
    };
    struct waiting waiting = batch(kv, changes, 2);
    assert_int_equal(waiting.code, RUSM_EINVAL);
    assert_non_null(strstr(waiting.text, "time to live of 0"));
    changes[1] = (struct rusm__kv_change){
        .bucket = text("b"), .key = text("two"), .is_delete = true, .expires = true, .ttl_ms = 1};
    assert_int_equal(batch(kv, changes, 2).code, RUSM_EINVAL);
    char longer[600];
    memset(longer, 'k', sizeof longer);
    changes[1] = (struct rusm__kv_change){
        .bucket = text("b"), .key = bytes_of(longer, sizeof longer), .value = text("2")};
    assert_int_equal(batch(kv, changes, 2).code, RUSM_ETOOBIG);
    check_list(reader, "b", "");
}

static void a_batch_has_limits_that_its_error_names(void **state) {
    (void)state;
    const struct rusm__kv_options small = {.max_batch_bytes = 300, .max_batch_changes = 3};
    struct rusm__kv *narrow = open_store("narrow.db", &small);
    struct rusm__kv_change changes[4];
    char value[100] = "";
    for (int i = 0; i < 4; i++)
        changes[i] = (struct rusm__kv_change){
            .bucket = text("b"), .key = text("k"), .value = bytes_of(value, sizeof value)};
    struct waiting waiting = batch(narrow, changes, 4);
    assert_int_equal(waiting.code, RUSM_ETOOBIG);
    assert_non_null(strstr(waiting.text, "4 changes, at most 3"));
    waiting = batch(narrow, changes, 3);
    assert_int_equal(waiting.code, RUSM_ETOOBIG);
    assert_non_null(strstr(waiting.text, "at most 300 bytes"));
    assert_int_equal(batch(narrow, changes, 2).code, 0);
    rusm__kv_close(narrow);
}

#define apply_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        apply_test(compare_and_set_changes_only_what_is_as_expected),
        apply_test(increment_adds_to_decimal_digits),
        apply_test(increment_refuses_what_is_no_number),
        apply_test(a_refused_increment_leaves_its_neighbours_alone),
        apply_test(increments_of_many_threads_add_up),
        apply_test(a_batch_makes_its_changes_in_order),
        apply_test(a_batch_is_all_or_nothing),
        apply_test(a_batch_has_limits_that_its_error_names),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
