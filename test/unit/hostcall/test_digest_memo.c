/* SPDX-License-Identifier: MIT */
/* Digests that are remembered belong to exactly their text. */
#include "world.h"

#include "hostcall/digest_memo.h"

static struct rusm__digest_memo memo;

static int teardown(void **state) {
    (void)state;
    rusm__memo_fini(&memo);
    return 0;
}

static struct rusm__digest digest_of(unsigned char mark) {
    struct rusm__digest digest;
    memset(digest.bytes, mark, sizeof(digest.bytes));
    return digest;
}

static void keep(const char *text, size_t len, unsigned char mark) {
    struct rusm__digest digest = digest_of(mark);
    rusm__memo_keep(&memo, text, len, &digest);
}

static void expect(const char *text, size_t len, unsigned char mark) {
    const struct rusm__digest *found = rusm__memo_find(&memo, text, len);
    struct rusm__digest wanted = digest_of(mark);
    assert_non_null(found);
    assert_memory_equal(found, &wanted, sizeof(wanted));
}

static void a_text_is_found_by_all_of_its_bytes(void **state) {
    (void)state;
    char text[512], other[512];
    memset(text, 'x', sizeof(text));
    keep(text, sizeof(text), 1);
    expect(text, sizeof(text), 1);
    assert_null(rusm__memo_find(&memo, text, sizeof(text) - 1));
    for (size_t i = 0; i < sizeof(text); i++) {
        memcpy(other, text, sizeof(text));
        other[i] = 'y';
        assert_null(rusm__memo_find(&memo, other, sizeof(other)));
    }
}

/* Texts that differ only where no look is taken for their place: the last one stays. */
static void the_next_one_takes_the_place(void **state) {
    (void)state;
    char text[64];
    memset(text, 'x', sizeof(text));
    keep(text, sizeof(text), 1);
    text[12] = 'y';
    assert_null(rusm__memo_find(&memo, text, sizeof(text)));
    keep(text, sizeof(text), 2);
    expect(text, sizeof(text), 2);
    text[12] = 'x';
    assert_null(rusm__memo_find(&memo, text, sizeof(text)));
}

static void short_and_empty_and_long_texts(void **state) {
    (void)state;
    static char text[RUSM__MEMO_BYTES + 1];
    keep("a", 1, 1);
    expect("a", 1, 1);
    keep("", 0, 2);
    assert_null(rusm__memo_find(&memo, "", 0));
    keep(text, RUSM__MEMO_BYTES, 3);
    expect(text, RUSM__MEMO_BYTES, 3);
    keep(text, sizeof(text), 4);
    assert_null(rusm__memo_find(&memo, text, sizeof(text)));
}

#define memo_test(name) cmocka_unit_test_teardown(name, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        memo_test(a_text_is_found_by_all_of_its_bytes),
        memo_test(the_next_one_takes_the_place),
        memo_test(short_and_empty_and_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
