/* SPDX-License-Identifier: MIT */
/* Pages: every key once, in order, whatever the size of a page. */
#include "unit/kv/kv_help.h"

enum { KEYS = 2500 };

static struct rusm__kv *kv;
static struct rusm__kv_reader *reader;

static int set_up(void **state) {
    static struct rusm__kv_change changes[KEYS];
    static char names[KEYS][16];
    if (folder_set_up(state) < 0)
        return -1;
    kv = open_store("list.db", NULL);
    reader = open_reader(kv);
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "k%04d", i);
        changes[i] = (struct rusm__kv_change){
            .bucket = text("b"), .key = text(names[i]), .value = text("v")};
    }
    for (int i = 0; i < KEYS; i += 500)
        if (batch(kv, changes + i, 500).code != 0)
            return -1;
    return set_text(kv, "a", "k0000", "v") | set_text(kv, "c", "k0000", "v");
}

static int tear_down(void **state) {
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
    return folder_tear_down(state);
}

/* Reads all pages of a prefix and checks that they are the numbers from `first`, `count` of them.
 */
static void check_pages(const char *prefix, size_t limit, int first, int count) {
    struct rusm__kv_bytes after;
    unsigned char last[16];
    struct rusm__kv_range range = {.bucket = text("b"), .prefix = text(prefix), .limit = limit};
    bool more = true;
    int seen = 0;
    while (more) {
        struct rusm__kv_keys keys;
        assert_int_equal(rusm__kv_page(reader, &range, &keys, &more, NULL), 0);
        assert_true(keys.count <= (limit && limit < 1000 ? limit : 1000));
        for (size_t i = 0; i < keys.count; i++) {
            char wanted[16];
            snprintf(wanted, sizeof wanted, "k%04d", first + seen++);
            assert_int_equal(keys.keys[i].len, 5);
            assert_memory_equal(keys.keys[i].ptr, wanted, 5);
        }
        if (more) {
            assert_int_equal(keys.keys[keys.count].len, 5);
            memcpy(last, keys.keys[keys.count].ptr, 5);
            after = bytes_of(last, 5);
            range.after = &after;
        }
        rusm__mem_free(keys.keys);
    }
    assert_int_equal(seen, count);
}

static void pages_hold_every_key_once_and_in_order(void **state) {
    (void)state;
    check_pages("", 7, 0, KEYS);
    check_pages("", 0, 0, KEYS);
    check_pages("", 1u << 30, 0, KEYS);
    check_pages("k", 1000, 0, KEYS);
    check_pages("k1", 500, 1000, 1000); /* ends with a page that is full */
    check_pages("k12", 1, 1200, 100);
    check_pages("k1234", 10, 1234, 1);
    check_pages("k12345", 10, 0, 0);
    check_pages("l", 10, 0, 0);
    check_pages("j", 10, 0, 0);
}

/* An `after` in front of the prefix is no start; one behind it ends at once; one that is not there
 * any more leads on to what follows it. */
static void a_page_may_go_on_from_anywhere(void **state) {
    (void)state;
    const struct {
        const char *after, *first;
    } cases[] = {{"", "k1000"},      {"a", "k1000"},      {"k0999", "k1000"}, {"k1", "k1000"},
                 {"k1000", "k1001"}, {"k1000x", "k1001"}, {"k1999", NULL},    {"z", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rusm__kv_bytes after = text(cases[i].after);
        const struct rusm__kv_range range = {
            .bucket = text("b"), .prefix = text("k1"), .after = &after, .limit = 1};
        struct rusm__kv_keys keys;
        bool more;
        assert_int_equal(rusm__kv_page(reader, &range, &keys, &more, NULL), 0);
        assert_int_equal(keys.count, cases[i].first != NULL);
        assert_int_equal(more, cases[i].first != NULL);
        if (cases[i].first)
            assert_memory_equal(keys.keys[0].ptr, cases[i].first, 5);
        rusm__mem_free(keys.keys);
    }
}

static void what_is_too_long_for_a_key_is_an_error(void **state) {
    (void)state;
    static const char bytes[RUSM__KV_MAX_KEY_BYTES];
    struct rusm__kv_bytes longest = bytes_of(bytes, sizeof bytes);
    struct rusm__kv_range range = {.bucket = text("b"), .prefix = longest};
    struct rusm__kv_keys keys;
    bool more;
    assert_int_equal(rusm__kv_page(reader, &range, &keys, &more, NULL), RUSM_ETOOBIG);
    range.prefix = text("");
    range.after = &longest;
    assert_int_equal(rusm__kv_page(reader, &range, &keys, &more, NULL), RUSM_ETOOBIG);
}

/* ---- lists that may not take as long as they like ---- */

static void a_list_looks_at_no_more_than_it_may(void **state) {
    (void)state;
    struct rusm__kv_patience patience = {.max_looks = KEYS - 1};
    struct rusm__kv_keys keys;
    struct rusm__kv_error error;
    assert_int_equal(rusm__kv_list_within(reader, text("b"), &patience, &keys, &error),
                     RUSM_EAGAIN);
    assert_null(keys.keys);
    assert_string_equal(error.text, "the bucket has more than 2499 keys");
    patience.max_looks = KEYS;
    assert_int_equal(rusm__kv_list_within(reader, text("b"), &patience, &keys, &error), 0);
    assert_int_equal(keys.count, KEYS);
    assert_memory_equal(keys.keys[KEYS - 1].ptr, "k2499", 5);
    rusm__mem_free(keys.keys);
}

static bool is_wanted_for_a_while(void *arg) {
    return --*(int *)arg > 0;
}

/* Asked twice while it counts and twice while it copies: it may end at any of these. */
static void a_list_ends_when_nobody_wants_it(void **state) {
    (void)state;
    for (int asked = 1; asked <= 5; asked++) {
        int left = asked;
        struct rusm__kv_patience patience = {.is_wanted = is_wanted_for_a_while, .arg = &left};
        struct rusm__kv_keys keys;
        int code = rusm__kv_list_within(reader, text("b"), &patience, &keys, NULL);
        assert_int_equal(code, asked <= 4 ? RUSM_EEXITING : RUSM_OK);
        assert_int_equal(keys.count, asked <= 4 ? 0 : KEYS);
        rusm__mem_free(keys.keys);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_hold_every_key_once_and_in_order),
        cmocka_unit_test(a_page_may_go_on_from_anywhere),
        cmocka_unit_test(what_is_too_long_for_a_key_is_an_error),
        cmocka_unit_test(a_list_looks_at_no_more_than_it_may),
        cmocka_unit_test(a_list_ends_when_nobody_wants_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
