/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

static void buf_collects_everything_in_order(void **state) {
    (void)state;
    struct rusm__buf buf;
    rusm__buf_init(&buf);
    assert_string_equal(rusm__buf_cstr(&buf), "");
    rusm__buf_add_str(&buf, "a=");
    rusm__buf_add_u64(&buf, UINT64_MAX);
    rusm__buf_add_char(&buf, ';');
    rusm__buf_add_u64(&buf, 0);
    rusm__buf_add(&buf, NULL, 0);
    rusm__buf_addf(&buf, "[%s %d]", "x", -7);
    assert_string_equal(rusm__buf_cstr(&buf), "a=18446744073709551615;0[x -7]");
    assert_int_equal(buf.len, strlen("a=18446744073709551615;0[x -7]"));
    assert_false(buf.failed);
    size_t cap = buf.cap;
    rusm__buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.cap, cap);
    rusm__buf_fini(&buf);
    assert_null(buf.data);
}

static void buf_formats_texts_of_every_length_around_its_capacity(void **state) {
    (void)state;
    char text[300];
    for (size_t len = 0; len < sizeof text; len++) {
        struct rusm__buf buf;
        memset(text, 'q', len);
        text[len] = '\0';
        rusm__buf_init(&buf);
        rusm__buf_addf(&buf, "%s", text);
        assert_int_equal(buf.len, len);
        rusm__buf_addf(&buf, "%s!", text);
        assert_int_equal(buf.len, 2 * len + 1);
        assert_int_equal(buf.data[2 * len], '!');
        rusm__buf_fini(&buf);
    }
}

static void buf_keeps_its_content_when_memory_is_short(void **state) {
    (void)state;
    struct rusm__buf buf;
    char big[500];
    memset(big, 'b', sizeof big);
    rusm__buf_init(&buf);
    rusm__buf_add_str(&buf, "kept");
    rusm__mem_fail_nth(1);
    rusm__buf_add(&buf, big, sizeof big);
    assert_true(buf.failed);
    assert_int_equal(buf.len, 4);
    rusm__mem_fail_nth(1);
    rusm__buf_addf(&buf, "%.*s", (int)sizeof big, big);
    rusm__mem_fail_nth(0);
    assert_int_equal(buf.len, 4);
    assert_string_equal(rusm__buf_cstr(&buf), "kept");
    assert_true(buf.failed); /* sticks until clear */
    rusm__buf_clear(&buf);
    assert_false(buf.failed);
    rusm__buf_fini(&buf);
}

static void buf_refuses_impossible_reservations(void **state) {
    (void)state;
    struct rusm__buf buf;
    rusm__buf_init(&buf);
    rusm__buf_add_str(&buf, "x");
    assert_false(rusm__buf_reserve(&buf, SIZE_MAX));
    assert_false(rusm__buf_reserve(&buf, SIZE_MAX - 1));
    assert_true(buf.failed);
    assert_int_equal(buf.len, 1);
    rusm__buf_fini(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_collects_everything_in_order),
        cmocka_unit_test(buf_formats_texts_of_every_length_around_its_capacity),
        cmocka_unit_test(buf_keeps_its_content_when_memory_is_short),
        cmocka_unit_test(buf_refuses_impossible_reservations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
