/* SPDX-License-Identifier: MIT */
/* What a store promises to one user: values, buckets, order, limits, and that they stay. */
#include "unit/kv/kv_help.h"

static struct rusm__kv *kv;
static struct rusm__kv_reader *reader;

static int set_up(void **state) {
    if (folder_set_up(state) < 0)
        return -1;
    kv = open_store("app.db", NULL);
    reader = open_reader(kv);
    return 0;
}

static int tear_down(void **state) {
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
    return folder_tear_down(state);
}

static void kv_sets_gets_lists_and_deletes(void **state) {
    (void)state;
    check_value(reader, "b", "k", NULL);
    assert_int_equal(set_text(kv, "b", "k", "value"), 0);
    check_value(reader, "b", "k", "value");
    check_list(reader, "b", "k,");
    assert_int_equal(set_text(kv, "b", "k", "other"), 0);
    check_value(reader, "b", "k", "other");
    struct waiting gone = del(kv, text("b"), text("k"));
    assert_true(gone.code == 0 && gone.existed);
    check_value(reader, "b", "k", NULL);
    check_list(reader, "b", "");
    gone = del(kv, text("b"), text("k"));
    assert_true(gone.code == 0 && !gone.existed);
}

static void kv_lists_in_byte_order(void **state) {
    (void)state;
    static const char *const keys[] = {"b", "a", "c", "aa", "B", "\xc3\xa4", ""};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(set_text(kv, "order", keys[i], "x"), 0);
    check_list(reader, "order", ",B,a,aa,b,c,\xc3\xa4,");
}

static void kv_buckets_do_not_collide(void **state) {
    (void)state;
    assert_int_equal(set_text(kv, "a", "bc", "1"), 0);
    assert_int_equal(set_text(kv, "ab", "c", "2"), 0);
    assert_int_equal(set_text(kv, "", "abc", "3"), 0);
    assert_int_equal(set_text(kv, "abc", "", "4"), 0);
    check_value(reader, "a", "bc", "1");
    check_value(reader, "ab", "c", "2");
    check_value(reader, "", "abc", "3");
    check_value(reader, "abc", "", "4");
    check_value(reader, "", "", NULL);
    check_list(reader, "a", "bc,");
    check_list(reader, "ab", "c,");
    check_list(reader, "", "abc,");
    check_list(reader, "abc", ",");
    check_list(reader, "b", "");
}

static void kv_keeps_any_bytes(void **state) {
    (void)state;
    unsigned char all[256];
    struct rusm__kv_value value;
    struct rusm__kv_keys keys;
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    assert_int_equal(set(kv, bytes_of("\0b", 2), bytes_of(all, 256), bytes_of(all, 256)).code, 0);
    assert_int_equal(rusm__kv_get(reader, bytes_of("\0b", 2), bytes_of(all, 256), &value, NULL), 0);
    assert_int_equal(value.len, 256);
    assert_memory_equal(value.data, all, 256);
    rusm__mem_free(value.data);
    assert_int_equal(rusm__kv_list(reader, bytes_of("\0b", 2), &keys, NULL), 0);
    assert_int_equal(keys.count, 1);
    assert_memory_equal(keys.keys[0].ptr, all, 256);
    rusm__mem_free(keys.keys);
    /* An empty value is a value. */
    assert_int_equal(set(kv, text("e"), text("e"), bytes_of(NULL, 0)).code, 0);
    assert_int_equal(rusm__kv_get(reader, text("e"), text("e"), &value, NULL), 0);
    assert_int_equal(value.len, 0);
    assert_non_null(value.data);
    rusm__mem_free(value.data);
}

static void kv_limits_keys_and_names_the_limit(void **state) {
    (void)state;
    char longest[RUSM__KV_MAX_KEY_BYTES + 1];
    struct rusm__kv_error error;
    struct rusm__kv_value value;
    struct rusm__kv_keys keys;
    bool exists;
    memset(longest, 'k', sizeof longest);
    for (size_t bucket = 0; bucket <= RUSM__KV_MAX_KEY_BYTES; bucket += 127) {
        size_t key = RUSM__KV_MAX_KEY_BYTES - bucket;
        assert_int_equal(set(kv, bytes_of(longest, bucket), bytes_of(longest, key), text("v")).code,
                         0);
        struct waiting refused =
            set(kv, bytes_of(longest, bucket), bytes_of(longest, key + 1), text("v"));
        assert_int_equal(refused.code, RUSM_ETOOBIG);
        assert_non_null(strstr(refused.text, "509 bytes"));
    }
    struct rusm__kv_bytes over = bytes_of(longest, sizeof longest);
    assert_int_equal(rusm__kv_get(reader, over, text(""), &value, &error), RUSM_ETOOBIG);
    assert_non_null(strstr(error.text, "509 bytes"));
    assert_int_equal(rusm__kv_exists(reader, text(""), over, &exists, &error), RUSM_ETOOBIG);
    assert_int_equal(rusm__kv_list(reader, over, &keys, &error), RUSM_ETOOBIG);
    assert_int_equal(del(kv, text(""), over).code, RUSM_ETOOBIG);
    struct rusm__kv_bytes absurd = {.ptr = over.ptr, .len = SIZE_MAX};
    assert_int_equal(rusm__kv_get(reader, absurd, absurd, &value, NULL), RUSM_ETOOBIG);
}

static void kv_limits_values_and_names_the_limit(void **state) {
    (void)state;
    size_t most = 16u << 20;
    unsigned char *value = calloc(1, most + 1);
    struct rusm__kv_value back;
    value[most - 1] = 7;
    assert_int_equal(set(kv, text("v"), text("big"), bytes_of(value, most)).code, 0);
    assert_int_equal(rusm__kv_get(reader, text("v"), text("big"), &back, NULL), 0);
    assert_int_equal(back.len, most);
    assert_memory_equal(back.data, value, most);
    rusm__mem_free(back.data);
    struct waiting refused = set(kv, text("v"), text("big"), bytes_of(value, most + 1));
    assert_int_equal(refused.code, RUSM_ETOOBIG);
    assert_non_null(strstr(refused.text, "16777217 bytes, at most 16777216"));
    free(value);
}

static void kv_limits_lists(void **state) {
    (void)state;
    const struct rusm__kv_options options = {.max_list_bytes = 3 * (16 + 4)};
    struct rusm__kv *small = open_store("small.db", &options);
    struct rusm__kv_reader *small_reader = open_reader(small);
    struct rusm__kv_keys keys;
    struct rusm__kv_error error;
    assert_int_equal(set_text(small, "l", "key1", ""), 0);
    assert_int_equal(set_text(small, "l", "key2", ""), 0);
    assert_int_equal(set_text(small, "l", "key3", ""), 0);
    check_list(small_reader, "l", "key1,key2,key3,");
    assert_int_equal(set_text(small, "l", "key4", ""), 0);
    assert_int_equal(rusm__kv_list(small_reader, text("l"), &keys, &error), RUSM_ETOOBIG);
    assert_non_null(strstr(error.text, "60 bytes"));
    assert_null(keys.keys);
    check_list(small_reader, "", "");
    rusm__kv_reader_free(small_reader);
    rusm__kv_close(small);
}

static void kv_stays_after_reopening(void **state) {
    (void)state;
    assert_int_equal(set_text(kv, "b", "kept", "yes"), 0);
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
    kv = open_store("app.db", NULL);
    reader = open_reader(kv);
    check_value(reader, "b", "kept", "yes");
}

static void kv_reports_short_memory(void **state) {
    (void)state;
    struct rusm__kv_value value;
    struct rusm__kv_keys keys;
    struct rusm__kv_reader *other;
    struct rusm__kv *none;
    assert_int_equal(set_text(kv, "b", "k", "v"), 0);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__kv_set(kv, text("b"), text("k"), text("w"), NULL, NULL, NULL),
                     RUSM_ENOMEM);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__kv_delete(kv, text("b"), text("k"), NULL, NULL, NULL), RUSM_ENOMEM);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__kv_get(reader, text("b"), text("k"), &value, NULL), RUSM_ENOMEM);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__kv_list(reader, text("b"), &keys, NULL), RUSM_ENOMEM);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__kv_reader_new(kv, &other, NULL), RUSM_ENOMEM);
    for (size_t nth = 1; nth <= 2; nth++) {
        rusm__mem_fail_nth(nth);
        assert_int_equal(rusm__kv_open(path_of("none.db"), NULL, &none, NULL), RUSM_ENOMEM);
        assert_null(none);
    }
    rusm__mem_fail_nth(0);
    check_value(reader, "b", "k", "v"); /* nothing happened */
}

static void kv_limits_readers(void **state) {
    (void)state;
    const struct rusm__kv_options options = {.max_readers = 2};
    struct rusm__kv *small = open_store("readers.db", &options);
    struct rusm__kv_reader *first = open_reader(small), *second = open_reader(small), *third;
    struct rusm__kv_error error;
    assert_int_equal(rusm__kv_reader_new(small, &third, &error), RUSM_ELIMIT);
    assert_non_null(strstr(error.text, "2 readers"));
    assert_null(third);
    rusm__kv_reader_free(first);
    assert_int_equal(rusm__kv_reader_new(small, &third, NULL), 0);
    rusm__kv_reader_free(second);
    rusm__kv_reader_free(third);
    rusm__kv_reader_free(NULL);
    rusm__kv_close(small);
    rusm__kv_close(NULL);
}

static void kv_refuses_options_that_contradict(void **state) {
    (void)state;
    struct rusm__kv *none;
    struct rusm__kv_options options = {.map_bytes = 2u << 20, .max_map_bytes = 1u << 20};
    assert_int_equal(rusm__kv_open(path_of("none.db"), &options, &none, NULL), RUSM_EINVAL);
    options = (struct rusm__kv_options){.max_value_bytes = ((size_t)1 << 30) + 1};
    assert_int_equal(rusm__kv_open(path_of("none.db"), &options, &none, NULL), RUSM_EINVAL);
    assert_int_equal(rusm__kv_open("", NULL, &none, NULL), RUSM_EINVAL);
    assert_null(none);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        STORE_TEST(kv_sets_gets_lists_and_deletes),
        STORE_TEST(kv_lists_in_byte_order),
        STORE_TEST(kv_buckets_do_not_collide),
        STORE_TEST(kv_keeps_any_bytes),
        STORE_TEST(kv_limits_keys_and_names_the_limit),
        STORE_TEST(kv_limits_values_and_names_the_limit),
        STORE_TEST(kv_limits_lists),
        STORE_TEST(kv_stays_after_reopening),
        STORE_TEST(kv_reports_short_memory),
        STORE_TEST(kv_limits_readers),
        STORE_TEST(kv_refuses_options_that_contradict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
