/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/str.h"

static unsigned distance(const char *a, const char *b, unsigned limit) {
    unsigned there = rusm__str_distance(a, strlen(a), b, strlen(b), limit);
    unsigned back = rusm__str_distance(b, strlen(b), a, strlen(a), limit);
    assert_int_equal(there, back);
    return there;
}

static void str_distance_counts_edits(void **state) {
    (void)state;
    assert_int_equal(distance("", "", 3), 0);
    assert_int_equal(distance("", "abc", 3), 3);
    assert_int_equal(distance("kitten", "sitting", 5), 3);
    assert_int_equal(distance("resident", "resdient", 5), 1); /* a swap is one mistake */
    assert_int_equal(distance("ca", "abc", 5), 3);            /* no piece is edited twice */
    assert_int_equal(distance("max_memory-MB", "max-memory-mb", 5), 0);
    assert_int_equal(distance("kitten", "sitting", 2), 3); /* over the limit: limit + 1 */
    assert_int_equal(distance("a", "zzzzzzzzz", 2), 3);
}

static void str_distance_refuses_long_words(void **state) {
    (void)state;
    char word[RUSM__STR_LIKE_MAX + 1];
    memset(word, 'x', sizeof word);
    assert_int_equal(rusm__str_distance(word, 64, word, 64, 4), 0);
    assert_int_equal(rusm__str_distance(word, 65, word, 65, 4), 5);
}

/* The early end must not change any answer: with every limit, the answer is the full distance or
 * limit + 1. */
static void str_distance_with_limit_agrees_with_without(void **state) {
    (void)state;
    struct rusm__random random;
    rusm__random_seed(&random, 99);
    for (int round = 0; round < 3000; round++) {
        char a[9], b[9];
        size_t a_len = rusm__random_below(&random, 9), b_len = rusm__random_below(&random, 9);
        for (int i = 0; i < 9; i++) {
            a[i] = (char)('a' + rusm__random_below(&random, 3));
            b[i] = (char)('a' + rusm__random_below(&random, 3));
        }
        unsigned full = rusm__str_distance(a, a_len, b, b_len, 64);
        for (unsigned limit = 0; limit < 9; limit++) {
            unsigned wanted = full <= limit ? full : limit + 1;
            assert_int_equal(rusm__str_distance(a, a_len, b, b_len, limit), wanted);
        }
    }
}

static const char *nearest(const char *word) {
    static const char *const names[] = {"max_body_bytes", "headers", "routes", "protocol", "port"};
    return rusm__str_nearest(word, strlen(word), names, 5);
}

static void str_nearest_offers_what_was_meant(void **state) {
    (void)state;
    assert_string_equal(nearest("header"), "headers");
    assert_string_equal(nearest("prot"), "port");
    assert_string_equal(nearest("max-body-byte"), "max_body_bytes");
    assert_string_equal(nearest("Routes"), "routes");
    assert_null(nearest("colour"));
    assert_null(nearest(""));
    assert_null(
        nearest("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    assert_null(rusm__str_nearest("a", 1, NULL, 0));
}

static void str_is_compares_whole_words(void **state) {
    (void)state;
    assert_true(rusm__str_is("kv", 2, "kv"));
    assert_false(rusm__str_is("kv", 1, "kv"));
    assert_false(rusm__str_is("kvx", 3, "kv"));
    assert_true(rusm__str_is("", 0, ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str_distance_counts_edits),
        cmocka_unit_test(str_distance_refuses_long_words),
        cmocka_unit_test(str_distance_with_limit_agrees_with_without),
        cmocka_unit_test(str_nearest_offers_what_was_meant),
        cmocka_unit_test(str_is_compares_whole_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
