/* SPDX-License-Identifier: MIT */
/* The report's storage, order and texts; suggestions; how the file's text is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "manifest/report.h"
#include "manifest/suggest.h"

static struct rusm__pos at(uint32_t line, uint32_t column) {
    return (struct rusm__pos){line, column};
}

static void check_print(const struct rusm__report *report, bool warnings, const char *expected) {
    struct rusm__buf out;
    rusm__buf_init(&out);
    rusm__report_print(report, warnings, &out);
    assert_string_equal(rusm__buf_cstr(&out), expected);
    rusm__buf_fini(&out);
}

static void problems_are_sorted_and_keep_their_order_in_one_place(void **state) {
    (void)state;
    struct rusm__report r;
    rusm__report_init(&r);
    rusm__report_set_path(&r, "x.toml");
    rusm__report_add(&r, RUSM__INVALID, at(2, 1), "b%d", 1);
    rusm__report_add(&r, RUSM__WARNING, at(1, 9), "a2");
    rusm__report_add(&r, RUSM__UNSUPPORTED, at(2, 1), "b2");
    rusm__report_add(&r, RUSM__INVALID, at(1, 3), "a1");
    rusm__report_add(&r, RUSM__INVALID, at(0, 0), "the file as a whole");
    rusm__report_sort(&r);
    assert_int_equal(r.errors, 4);
    check_print(&r, true,
                "the file as a whole\ninvalid x.toml:1:3: a1\nwarning: x.toml:1:9: a2\n"
                "invalid x.toml:2:1: b1\nunsupported x.toml:2:1: b2");
    check_print(&r, false,
                "the file as a whole\ninvalid x.toml:1:3: a1\ninvalid x.toml:2:1: b1\n"
                "unsupported x.toml:2:1: b2");
    rusm__report_fini(&r);
}

static void full_report_counts_and_prefers_errors(void **state) {
    (void)state;
    struct rusm__report r;
    rusm__report_init(&r);
    for (size_t i = 0; i < RUSM__REPORT_MAX; i++) {
        rusm__report_add(&r, i < 3 ? RUSM__WARNING : RUSM__INVALID, at(1, 1), "old");
    }
    assert_false(rusm__report_has_room(&r));
    rusm__report_add(&r, RUSM__WARNING, at(1, 1), "late warning");
    for (size_t i = 0; i < 5; i++) {
        rusm__report_add(&r, RUSM__INVALID, at(2, 1), "late error");
    }
    assert_int_equal(r.errors, RUSM__REPORT_MAX - 3 + 5);
    assert_int_equal(r.more_warnings, 4);
    assert_int_equal(r.more_errors, 2);
    for (size_t i = 0; i < r.count; i++) {
        assert_int_equal(r.problems[i].severity, RUSM__INVALID);
    }
    rusm__report_fini(&r);
}

static void long_texts_are_cut(void **state) {
    (void)state;
    struct rusm__report r;
    char text[5000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    rusm__report_init(&r);
    rusm__report_add(&r, RUSM__INVALID, at(1, 1), "%s", text);
    assert_true(strlen(r.problems[0].text) < 3000);
    rusm__report_fini(&r);
}

static void shown_text_is_safe_and_short(void **state) {
    (void)state;
    assert_string_equal(rusm__show("a\x1b\n\x7f", 4).text, "a\\x1b\\x0a\\x7f");
    assert_string_equal(rusm__show("\xc3\xa9", 2).text, "\xc3\xa9");
    char text[100];
    memset(text, '\n', sizeof(text));
    assert_int_equal(strlen(rusm__show(text, sizeof(text)).text), 64 * 4 + 3);
    memset(text, 'a', sizeof(text));
    memcpy(text + 63, "\xc3\xa9", 2); /* the limit lies inside this character */
    struct rusm__shown shown = rusm__show(text, sizeof(text));
    assert_int_equal(strlen(shown.text), 63 + 3);
}

static const char *nearest(const char *text, const char *const *words) {
    struct rusm__suggestion near;
    rusm__suggest_start(&near, text, strlen(text));
    for (; *words != NULL; words++) {
        rusm__suggest_try(&near, *words);
    }
    return near.best;
}

static void nearest_word_is_suggested(void **state) {
    (void)state;
    static const char *const words[] = {"listen", "allow-storage", "http", "ws", "max", NULL};
    assert_string_equal(nearest("lisen", words), "listen");
    assert_string_equal(nearest("lsiten", words), "listen");
    assert_string_equal(nearest("allow_storage", words), "allow-storage");
    assert_string_equal(nearest("HTTP", words), "http");
    assert_string_equal(nearest("wss", words), "ws");
    assert_null(nearest("grpc", words));
    assert_null(nearest("", words));
    assert_null(nearest("store", words));
}

static void first_word_wins_among_equals(void **state) {
    (void)state;
    static const char *const words[] = {"cat", "bat", NULL};
    assert_string_equal(nearest("rat", words), "cat");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems_are_sorted_and_keep_their_order_in_one_place),
        cmocka_unit_test(full_report_counts_and_prefers_errors),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(shown_text_is_safe_and_short),
        cmocka_unit_test(nearest_word_is_suggested),
        cmocka_unit_test(first_word_wins_among_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
