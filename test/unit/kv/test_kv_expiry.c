/* SPDX-License-Identifier: MIT */
/* Times to live. Times are either an hour, which no test lasts, or a millisecond, whose end is
 * waited for; nothing is asserted about how long anything takes. */
#include "unit/kv/kv_help.h"

#include "base/clock.h"

enum { HOUR_MS = 3600 * 1000, PATIENCE_S = 60, MANY = 9000 };

static struct rusm__kv *kv;
static struct rusm__kv_reader *reader;
static int number;

static void open_named(void) {
    char name[32];
    snprintf(name, sizeof name, "expiry-%d.db", number);
    kv = open_store(name, NULL);
    reader = open_reader(kv);
}

static void close_it(void) {
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
}

static int set_up(void **state) {
    (void)state;
    number++;
    open_named();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_it();
    return 0;
}

static void wait_until_over(const char *key) {
    uint64_t until = rusm__clock_ns() + PATIENCE_S * RUSM__SECOND;
    bool exists = true;
    while (exists) {
        assert_int_equal(rusm__kv_exists(reader, text("b"), text(key), &exists, NULL), 0);
        if (rusm__clock_ns() > until)
            fail_msg("%s is still there", key);
        usleep(500);
    }
}

static void wait_until_removed(uint64_t count) {
    uint64_t until = rusm__clock_ns() + PATIENCE_S * RUSM__SECOND;
    struct rusm__kv_stats stats;
    do {
        usleep(2000);
        rusm__kv_get_stats(kv, &stats);
        if (rusm__clock_ns() > until)
            fail_msg("%llu keys were removed, wanted %llu", (unsigned long long)stats.expired,
                     (unsigned long long)count);
    } while (stats.expired < count);
    assert_int_equal(stats.expired, count);
}

static void a_key_is_seen_until_its_time_is_over(void **state) {
    (void)state;
    assert_int_equal(set_for(kv, "long", "v", HOUR_MS), 0);
    assert_int_equal(set_for(kv, "ever", "v", UINT64_MAX), 0);
    check_value(reader, "b", "long", "v");
    check_value(reader, "b", "ever", "v");
    assert_int_equal(set_for(kv, "short", "v", 1), 0);
    wait_until_over("short");
    check_value(reader, "b", "short", NULL);
    check_list(reader, "b", "ever,long,");
}

static void what_is_over_is_removed(void **state) {
    (void)state;
    assert_int_equal(set_text(kv, "b", "plain", "v"), 0);
    assert_int_equal(set_for(kv, "long", "v", HOUR_MS), 0);
    for (int i = 0; i < 10; i++) {
        char key[16];
        snprintf(key, sizeof key, "s%d", i);
        assert_int_equal(set_for(kv, key, "v", 1), 0);
    }
    wait_until_removed(10);
    check_list(reader, "b", "long,plain,");
}

static void many_are_removed_a_part_at_a_time(void **state) {
    (void)state;
    static struct rusm__kv_change changes[1000];
    static char keys[1000][16];
    for (int i = 0; i < MANY; i++) {
        int at = i % 1000;
        snprintf(keys[at], sizeof keys[at], "k%06d", i);
        changes[at] = (struct rusm__kv_change){.bucket = text("b"),
                                               .key = text(keys[at]),
                                               .value = text("v"),
                                               .expires = true,
                                               .ttl_ms = 1};
        if (at == 999)
            assert_int_equal(batch(kv, changes, 1000).code, 0);
    }
    wait_until_removed(MANY);
    check_list(reader, "b", "");
}

static void writing_again_sets_the_time_anew(void **state) {
    (void)state;
    assert_int_equal(set_for(kv, "kept", "v", HOUR_MS), 0);
    assert_int_equal(set_text(kv, "b", "kept", "w"), 0); /* for good */
    assert_int_equal(set_for(kv, "kept too", "v", 1), 0);
    assert_int_equal(set_for(kv, "kept too", "w", HOUR_MS), 0);
    assert_int_equal(set_text(kv, "b", "shorter", "v"), 0);
    assert_int_equal(set_for(kv, "shorter", "w", 1), 0);
    wait_until_over("shorter");
    check_list(reader, "b", "kept,kept too,");
}

static void writes_do_not_see_what_is_over(void **state) {
    (void)state;
    assert_int_equal(set_for(kv, "d", "v", 1), 0);
    assert_int_equal(set_for(kv, "s", "v", 1), 0);
    assert_int_equal(set_for(kv, "n", "41", 1), 0);
    wait_until_over("d");
    wait_until_over("s");
    wait_until_over("n");
    assert_false(del(kv, text("b"), text("d")).existed);
    assert_false(swap(kv, "s", "v", "w").existed);
    assert_true(swap(kv, "s", NULL, "w").existed);
    assert_int_equal(increment(kv, "n", 1).number, 1);
    check_list(reader, "b", "n,s,");
}

static void increment_keeps_the_time(void **state) {
    (void)state;
    do /* again if a second passed in between */
        assert_int_equal(set_for(kv, "n", "41", 1000), 0);
    while (increment(kv, "n", 1).number != 42);
    wait_until_over("n");
}

static void times_outlast_a_restart(void **state) {
    (void)state;
    assert_int_equal(set_for(kv, "long", "v", HOUR_MS), 0);
    assert_int_equal(set_for(kv, "short", "v", 1), 0);
    close_it();
    usleep(5000);
    open_named();
    wait_until_over("short");
    check_list(reader, "b", "long,");
}

static void pages_pass_by_what_is_over(void **state) {
    (void)state;
    struct rusm__kv_keys keys;
    bool more;
    const struct rusm__kv_range range = {.bucket = text("b"), .prefix = text(""), .limit = 2};
    assert_int_equal(set_for(kv, "a", "v", 1), 0);
    assert_int_equal(set_text(kv, "b", "b", "v"), 0);
    assert_int_equal(set_for(kv, "c", "v", 1), 0);
    assert_int_equal(set_text(kv, "b", "d", "v"), 0);
    wait_until_over("a");
    wait_until_over("c");
    assert_int_equal(rusm__kv_page(reader, &range, &keys, &more, NULL), 0);
    assert_int_equal(keys.count, 2);
    assert_memory_equal(keys.keys[0].ptr, "b", 1);
    assert_memory_equal(keys.keys[1].ptr, "d", 1);
    rusm__mem_free(keys.keys);
}

#define expiry_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        expiry_test(a_key_is_seen_until_its_time_is_over),
        expiry_test(what_is_over_is_removed),
        expiry_test(many_are_removed_a_part_at_a_time),
        expiry_test(writing_again_sets_the_time_anew),
        expiry_test(writes_do_not_see_what_is_over),
        expiry_test(increment_keeps_the_time),
        expiry_test(times_outlast_a_restart),
        expiry_test(pages_pass_by_what_is_over),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
