/* SPDX-License-Identifier: MIT */
/* Types of bridge functions, as they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hostcall/bridge.h"

static struct rusm__signature read_good(const char *text) {
    struct rusm__signature signature;
    size_t at;
    const char *wrong = rusm__signature_read(text, &signature, &at);
    if (wrong)
        fail_msg("%s: %s at %zu", text, wrong, at);
    assert_int_equal(at, strlen(text));
    return signature;
}

static void plain_types_and_nothing(void **state) {
    (void)state;
    struct rusm__signature s = read_good("func()");
    assert_int_equal(s.param_count, 0);
    assert_int_equal(s.answer, RUSM_TYPE_NONE);
    assert_false(s.is_result);
    s = read_good("func(a: bool, b-2: u8, %c:u16,d:u32 , e: u64) -> s8");
    assert_int_equal(s.param_count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(s.params[i], RUSM_TYPE_BOOL + i);
    assert_int_equal(s.answer, RUSM_TYPE_S8);
    s = read_good(" func ( a : s16, b: s32, c: s64, d: f32, e: f64, f: char, g: string,"
                  " h: list<u8> )\n -> list < u8 > ");
    assert_int_equal(s.param_count, 8);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(s.params[i], RUSM_TYPE_S16 + i);
    assert_int_equal(s.answer, RUSM_TYPE_BYTES);
}

static void results_have_either_side(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t ok, error;
    } cases[] = {
        {"func() -> result", RUSM_TYPE_NONE, RUSM_TYPE_NONE},
        {"func() -> result<u32>", RUSM_TYPE_U32, RUSM_TYPE_NONE},
        {"func() -> result<_, string>", RUSM_TYPE_NONE, RUSM_TYPE_STRING},
        {"func() -> result<list<u8>, string>", RUSM_TYPE_BYTES, RUSM_TYPE_STRING},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rusm__signature s = read_good(cases[i].text);
        assert_true(s.is_result);
        assert_int_equal(s.answer, cases[i].ok);
        assert_int_equal(s.error, cases[i].error);
    }
}

static void sixteen_core_values_are_the_most(void **state) {
    (void)state;
    struct rusm__signature s = read_good("func(a:string,b:string,c:string,d:string,e:string,"
                                         "f:string,g:string,h:string)");
    assert_int_equal(s.param_count, 8);
    size_t at;
    assert_non_null(rusm__signature_read("func(a:string,b:string,c:string,d:string,e:string,"
                                         "f:string,g:string,h:u8,i:string)",
                                         &s, &at));
}

static void what_is_wrong_has_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } cases[] = {
        {"", 0},
        {"fun()", 0},
        {"func", 4},
        {"func(", 5},
        {"func(a)", 6},
        {"func(a:)", 7},
        {"func(a: i32)", 8},
        {"func(a: u32", 11},
        {"func(a: u32 b: u32)", 12},
        {"func(: u32)", 5},
        {"func() -> ", 10},
        {"func() -> list<u16>", 18},
        {"func() -> result<", 17},
        {"func() -> result<_>", 18},
        {"func() -> result<result>", 17},
        {"func() -> u32, u32", 13},
        {"func() u32", 7},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rusm__signature s;
        size_t at = SIZE_MAX;
        if (!rusm__signature_read(cases[i].text, &s, &at))
            fail_msg("`%s` is accepted", cases[i].text);
        if (at != cases[i].at)
            fail_msg("`%s`: wrong at %zu, not at %zu", cases[i].text, cases[i].at, at);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_types_and_nothing),
        cmocka_unit_test(results_have_either_side),
        cmocka_unit_test(sixteen_core_values_are_the_most),
        cmocka_unit_test(what_is_wrong_has_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
