/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"

/* Texts end where the allocation ends, so that a sanitizer sees a read past them. */
static bool accepts(const char *text, size_t len, struct rusm__json *json, unsigned char **copy) {
    *copy = malloc(len ? len : 1);
    memcpy(*copy, text, len);
    rusm__json_init(json, *copy, len);
    return rusm__json_skip(json) && rusm__json_end(json);
}

static bool is_good(const char *text, size_t len) {
    struct rusm__json json;
    unsigned char *copy;
    bool good = accepts(text, len, &json, &copy);
    assert_true(good == (json.error == NULL));
    assert_true(json.at >= json.start && json.at <= json.end);
    free(copy);
    return good;
}

#define TEXT(literal) {literal, sizeof literal - 1}
struct text {
    const char *bytes;
    size_t len;
};

static const struct text good[] = {
    TEXT("0"),
    TEXT("-0"),
    TEXT("1e5"),
    TEXT("1E+5"),
    TEXT("0.5e-07"),
    TEXT("-12.25"),
    TEXT("123456789012345678901234567890"),
    TEXT("1e999999"),
    TEXT("true"),
    TEXT("false"),
    TEXT("null"),
    TEXT("\"\""),
    TEXT("\"a\\u0000b\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\ud83d\\ude00\""),
    TEXT("\"\\uD83D\\uDE00\\uffff\""),
    TEXT("\"\x7f\""),
    TEXT("\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""),
    TEXT("\"\xf4\x8f\xbf\xbf\""),
    TEXT("\"\xef\xbb\xbf\""), /* a byte order mark inside of a string is a character */
    TEXT("[]"),
    TEXT("{}"),
    TEXT("[[],[[]],{}]"),
    TEXT(" \t\r\n[ 1 , 2 ]\n"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT("{\"\":{\"b\":[null,true,{\"c\":\"d\"}]}}"),
    TEXT("[1,[2,[3],{\"x\":[4]}],5]"),
    TEXT("[\"a\",{\"b\":{}},[]]"),
};

static const struct text bad[] = {
    /* nothing, or something behind */
    TEXT(""),
    TEXT(" "),
    TEXT("\n"),
    TEXT("1 2"),
    TEXT("{} {}"),
    TEXT("[] ,"),
    TEXT("null\0"),
    TEXT("\"a\" b"),
    TEXT("\xef\xbb\xbf{}"),
    TEXT("\xef\xbb\xbf"),
    /* words */
    TEXT("nul"),
    TEXT("nulL"),
    TEXT("True"),
    TEXT("tru"),
    TEXT("falsee"),
    TEXT("NaN"),
    TEXT("Infinity"),
    TEXT("undefined"),
    TEXT("n"),
    TEXT("nullnull"),
    /* numbers */
    TEXT("01"),
    TEXT("-01"),
    TEXT("00"),
    TEXT("-"),
    TEXT("+1"),
    TEXT(".5"),
    TEXT("1."),
    TEXT("1.e5"),
    TEXT("1e"),
    TEXT("1e+"),
    TEXT("0x10"),
    TEXT("1_000"),
    TEXT("--1"),
    TEXT("1.5.5"),
    TEXT("-a"),
    TEXT("1e5.5"),
    TEXT("[-]"),
    TEXT("2 ."),
    /* strings */
    TEXT("\""),
    TEXT("\"a"),
    TEXT("'a'"),
    TEXT("\"\\\""),
    TEXT("\"\\"),
    TEXT("\"\\x41\""),
    TEXT("\"\\a\""),
    TEXT("\"\\u12\""),
    TEXT("\"\\u12g4\""),
    TEXT("\"\\u123"),
    TEXT("\"\\U0041\""),
    TEXT("\"\n\""),
    TEXT("\"\t\""),
    TEXT("\"\0\""),
    TEXT("\"\x1f\""),
    TEXT("\"\\\n\""),
    TEXT("\"\\\xc3\xa4\""),
    /* surrogates alone or in the wrong order */
    TEXT("\"\\ud800\""),
    TEXT("\"\\udc00\""),
    TEXT("\"\\ud800\\ud800\""),
    TEXT("\"\\ud800x\""),
    TEXT("\"\\ud800\\n\""),
    TEXT("\"\\ude00\\ud83d\""),
    TEXT("\"\\ud83d\\u0041\""),
    TEXT("\"\\ud83d\\u\""),
    TEXT("\"\\ud83d\\ude0\""),
    TEXT("\"\\ud83d"),
    /* UTF-8: overlong, surrogates, cut, too high, stray */
    TEXT("\"\xc0\xaf\""),
    TEXT("\"\xe0\x80\xaf\""),
    TEXT("\"\xf0\x80\x80\xaf\""),
    TEXT("\"\xed\xa0\x80\""),
    TEXT("\"\xe2\x82\""),
    TEXT("\"\xe2\x82"),
    TEXT("\"\xf4\x90\x80\x80\""),
    TEXT("\"\x80\""),
    TEXT("\"\xff\""),
    TEXT("\xc3\xa4"),
    TEXT("[\xc2\xa0]"),
    /* containers */
    TEXT("["),
    TEXT("]"),
    TEXT("{"),
    TEXT("}"),
    TEXT("[1"),
    TEXT("[1,"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[1 2]"),
    TEXT("[1,,2]"),
    TEXT("[1}"),
    TEXT("{]"),
    TEXT("{\"a\"}"),
    TEXT("{\"a\":}"),
    TEXT("{\"a\":1,}"),
    TEXT("{,}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{\"a\" 1}"),
    TEXT("{a:1}"),
    TEXT("{1:1}"),
    TEXT("{\"a\":1,,\"b\":2}"),
    TEXT("{\"a\"::1}"),
    TEXT("{\"a\":1"),
    TEXT("{\"a\":"),
    TEXT("{\"a\""),
    TEXT("{null:1}"),
    TEXT("[1]]"),
    TEXT("{\"a\":[}"),
    TEXT("[1:2]"),
    /* comments and other blanks */
    TEXT("/**/1"),
    TEXT("1//"),
    TEXT("# 1"),
    TEXT("\v1"),
    TEXT("\f1"),
    TEXT("[1,\f2]"),
};

static void json_read_accepts_good_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!is_good(good[i].bytes, good[i].len))
            fail_msg("refused: %s", good[i].bytes);
}

static void json_read_refuses_bad_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (is_good(bad[i].bytes, bad[i].len))
            fail_msg("accepted: %s", bad[i].bytes);
}

/* A good text that is cut anywhere is bad, except where a number or blanks may end earlier. */
static void json_read_refuses_every_cut(void **state) {
    (void)state;
    const char text[] = "{\"k\\n\":[1.5e3,\"\xc3\xa4\\ud83d\\ude00\",{\"x\":null}],\"y\":false}";
    assert_true(is_good(text, sizeof text - 1));
    for (size_t len = 0; len < sizeof text - 1; len++)
        assert_false(is_good(text, len));
}

static void json_read_limits_the_depth(void **state) {
    (void)state;
    char text[4 * RUSM__JSON_MAX_DEPTH];
    for (size_t depth = 1; depth <= RUSM__JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_true(is_good(text, 2 * depth) == (depth <= RUSM__JSON_MAX_DEPTH));
    }
    struct rusm__buf deep;
    rusm__buf_init(&deep);
    for (unsigned i = 0; i < RUSM__JSON_MAX_DEPTH; i++)
        rusm__buf_add_str(&deep, i % 2 ? "{\"a\":" : "[");
    rusm__buf_add_str(&deep, "1");
    for (unsigned i = RUSM__JSON_MAX_DEPTH; i-- > 0;)
        rusm__buf_add_str(&deep, i % 2 ? "}" : "]");
    assert_true(is_good((char *)deep.data, deep.len));
    deep.data[deep.len - 1] = '}'; /* the kinds are remembered through all levels */
    assert_false(is_good((char *)deep.data, deep.len));
    rusm__buf_fini(&deep);
}

static void json_read_pulls_an_envelope(void **state) {
    (void)state;
    const char text[] = " { \"ref\" : 7 , \"extra\":[1,{\"ok\":2}], \"\\u006fk\":{\"status\":200,"
                        "\"headers\":[[\"a\",\"b\\\"c\"],[\"d\",\"\"]],\"body\":\"Zm9v\"} } ";
    struct rusm__json json;
    struct rusm__json_text key, value;
    struct rusm__buf seen;
    uint64_t number;
    rusm__buf_init(&seen);
    rusm__json_init(&json, text, sizeof text - 1);
    assert_true(rusm__json_object(&json));
    while (rusm__json_next_key(&json, &key)) {
        if (rusm__json_is(&key, "ref")) {
            assert_true(rusm__json_u64(&json, &number));
            assert_int_equal(number, 7);
        } else if (rusm__json_is(&key, "ok")) {
            assert_true(rusm__json_object(&json));
            while (rusm__json_next_key(&json, &key)) {
                if (rusm__json_peek(&json) == RUSM__JSON_ARRAY) {
                    assert_true(rusm__json_array(&json));
                    while (rusm__json_next_item(&json)) {
                        assert_true(rusm__json_array(&json));
                        while (rusm__json_next_item(&json)) {
                            assert_true(rusm__json_string(&json, &value));
                            rusm__json_unescape(&value, &seen);
                            rusm__buf_add_char(&seen, '|');
                        }
                    }
                } else if (rusm__json_is(&key, "body")) {
                    assert_true(rusm__json_string(&json, &value));
                    assert_false(value.escaped);
                    rusm__buf_add(&seen, value.ptr, value.len);
                } else {
                    assert_true(rusm__json_raw(&json, &value));
                    rusm__buf_add(&seen, value.ptr, value.len);
                    rusm__buf_add_char(&seen, '|');
                }
            }
        } else {
            assert_true(rusm__json_skip(&json));
        }
    }
    assert_true(rusm__json_end(&json));
    assert_string_equal(rusm__buf_cstr(&seen), "200|a|b\"c|d||Zm9v");
    rusm__buf_fini(&seen);
}

static bool read_u64(const char *text, uint64_t *out) {
    struct rusm__json json;
    rusm__json_init(&json, text, strlen(text));
    return rusm__json_u64(&json, out) && rusm__json_end(&json);
}

static bool read_i64(const char *text, int64_t *out) {
    struct rusm__json json;
    rusm__json_init(&json, text, strlen(text));
    return rusm__json_i64(&json, out) && rusm__json_end(&json);
}

static void json_read_integers_to_their_limits(void **state) {
    (void)state;
    uint64_t u;
    int64_t i;
    assert_true(read_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_true(read_u64("0", &u) && u == 0);
    assert_false(read_u64("18446744073709551616", &u));
    assert_false(read_u64("99999999999999999999", &u));
    assert_false(read_u64("-1", &u));
    assert_false(read_u64("-0", &u));
    assert_false(read_u64("1.0", &u));
    assert_false(read_u64("1e3", &u));
    assert_false(read_u64("\"1\"", &u));
    assert_false(read_u64("null", &u));
    assert_int_equal(u, 0);
    assert_true(read_i64("9223372036854775807", &i) && i == INT64_MAX);
    assert_true(read_i64("-9223372036854775808", &i) && i == INT64_MIN);
    assert_true(read_i64("-0", &i) && i == 0);
    assert_false(read_i64("9223372036854775808", &i));
    assert_false(read_i64("-9223372036854775809", &i));
    assert_false(read_i64("1.5", &i));
}

static void json_read_resolves_escapes(void **state) {
    (void)state;
    const char text[] = "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20ac\\ud83d\\ude00\\u0000.\"";
    const char wanted[] = "\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\0.";
    struct rusm__json json;
    struct rusm__json_text value;
    struct rusm__buf out;
    rusm__buf_init(&out);
    rusm__json_init(&json, text, sizeof text - 1);
    assert_true(rusm__json_string(&json, &value));
    assert_true(value.escaped);
    rusm__json_unescape(&value, &out);
    assert_int_equal(out.len, sizeof wanted - 1);
    assert_memory_equal(out.data, wanted, out.len);
    rusm__buf_fini(&out);
}

static bool key_is(const char *escaped, const char *literal) {
    struct rusm__json json;
    struct rusm__json_text text;
    rusm__json_init(&json, escaped, strlen(escaped));
    assert_true(rusm__json_string(&json, &text));
    return rusm__json_is(&text, literal);
}

static void json_read_compares_without_unescaping(void **state) {
    (void)state;
    assert_true(key_is("\"status\"", "status"));
    assert_true(key_is("\"st\\u0061tus\"", "status"));
    assert_true(key_is("\"\\u20ac\"", "\xe2\x82\xac"));
    assert_true(key_is("\"\"", ""));
    assert_false(key_is("\"statu\\u0073x\"", "status"));
    assert_false(key_is("\"stat\\u0075\"", "status"));
    assert_false(key_is("\"status\\u0000\"", "status"));
    assert_false(key_is("\"\\u20ac\"", "\xe2\x82"));
}

static void expect_error(const char *text, const char *wanted) {
    struct rusm__json json;
    struct rusm__buf out;
    rusm__buf_init(&out);
    rusm__json_init(&json, text, strlen(text));
    assert_false(rusm__json_skip(&json) && rusm__json_end(&json));
    rusm__json_add_error(&json, &out);
    assert_string_equal(rusm__buf_cstr(&out), wanted);
    rusm__buf_fini(&out);
}

static void json_read_says_what_and_where(void **state) {
    (void)state;
    expect_error("{\"a\":1,\n \"b\" 2}", "expected `:` at line 2 column 6");
    expect_error("[1,2", "unexpected end of the text at line 1 column 5");
    expect_error("[1 2]", "expected `,` or `]` at line 1 column 4");
    expect_error("[1,]", "expected a value at line 1 column 4");
    expect_error("{\"a\":1}x", "unexpected text after the value at line 1 column 8");
    expect_error("[01]", "a number must not begin with 0 at line 1 column 3");
    expect_error("\"ab\x01\"", "control character in a string at line 1 column 4");
    expect_error("\xef\xbb\xbf{}", "a byte order mark is not allowed at line 1 column 1");
}

static void json_read_first_error_sticks(void **state) {
    (void)state;
    struct rusm__json json;
    struct rusm__json_text key;
    uint64_t number = 5;
    bool truth = true;
    rusm__json_init(&json, "{\"a\":\"x\",\"b\":2}", 15);
    assert_true(rusm__json_object(&json));
    assert_true(rusm__json_next_key(&json, &key));
    assert_false(rusm__json_u64(&json, &number));
    size_t where = rusm__json_offset(&json);
    const char *what = json.error;
    assert_string_equal(what, "expected a number");
    assert_int_equal(number, 0);
    assert_false(rusm__json_next_key(&json, &key));
    assert_false(rusm__json_next_item(&json));
    assert_false(rusm__json_string(&json, &key));
    assert_false(rusm__json_bool(&json, &truth));
    assert_false(truth);
    assert_false(rusm__json_null(&json));
    assert_false(rusm__json_object(&json));
    assert_false(rusm__json_array(&json));
    assert_false(rusm__json_skip(&json));
    assert_false(rusm__json_end(&json));
    assert_false(rusm__json_fail(&json, "later"));
    assert_int_equal(rusm__json_peek(&json), RUSM__JSON_ERROR);
    assert_int_equal(rusm__json_offset(&json), where);
    assert_ptr_equal(json.error, what);
}

static void json_read_never_allocates(void **state) {
    (void)state;
    rusm__mem_fail_nth(0);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        (void)is_good(good[i].bytes, good[i].len);
    assert_int_equal(rusm__mem_fail_nth(0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_read_accepts_good_texts),
        cmocka_unit_test(json_read_refuses_bad_texts),
        cmocka_unit_test(json_read_refuses_every_cut),
        cmocka_unit_test(json_read_limits_the_depth),
        cmocka_unit_test(json_read_pulls_an_envelope),
        cmocka_unit_test(json_read_integers_to_their_limits),
        cmocka_unit_test(json_read_resolves_escapes),
        cmocka_unit_test(json_read_compares_without_unescaping),
        cmocka_unit_test(json_read_says_what_and_where),
        cmocka_unit_test(json_read_first_error_sticks),
        cmocka_unit_test(json_read_never_allocates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
