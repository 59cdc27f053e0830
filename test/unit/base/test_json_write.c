/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"

#define FFFD "\xef\xbf\xbd"

static void expect(const char *bytes, size_t len, const char *wanted) {
    struct rusm__buf buf;
    rusm__buf_init(&buf);
    rusm__json_add_string(&buf, bytes, len);
    assert_string_equal(rusm__buf_cstr(&buf), wanted);
    rusm__buf_fini(&buf);
}

static void json_write_escapes_what_must_be_escaped(void **state) {
    (void)state;
    expect("", 0, "\"\"");
    expect("plain", 5, "\"plain\"");
    expect("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
    expect("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
    expect("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"");
    expect("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", 11,
           "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

/* The same replacements as Unicode recommends and lossy conversions of other languages make. */
static void json_write_replaces_broken_utf8(void **state) {
    (void)state;
    expect("\xff", 1, "\"" FFFD "\"");
    expect("a\x80z", 3, "\"a" FFFD "z\"");
    expect("\xc0\xaf", 2, "\"" FFFD FFFD "\"");
    expect("\xed\xa0\x80", 3, "\"" FFFD FFFD FFFD "\"");
    expect("\xe2\x82", 2, "\"" FFFD "\"");
    expect("\xf0\x9f\x98\"", 4, "\"" FFFD "\\\"\"");
    expect("\xf4\x90\x80\x80", 4, "\"" FFFD FFFD FFFD FFFD "\"");
}

/* Every byte at every place around the eight-byte steps reads back as itself or as U+FFFD. */
static void json_write_reads_back_at_every_alignment(void **state) {
    (void)state;
    for (size_t place = 0; place < 24; place++)
        for (int byte = 0; byte < 256; byte++) {
            char text[24];
            struct rusm__buf out, back;
            struct rusm__json json;
            struct rusm__json_text got;
            memset(text, 'x', sizeof text);
            text[place] = (char)byte;
            rusm__buf_init(&out);
            rusm__buf_init(&back);
            rusm__json_add_string(&out, text, sizeof text);
            rusm__json_init(&json, out.data, out.len);
            assert_true(rusm__json_string(&json, &got) && rusm__json_end(&json));
            rusm__json_unescape(&got, &back);
            assert_int_equal(back.len, byte < 0x80 ? 24 : 26);
            if (byte < 0x80)
                assert_memory_equal(back.data, text, sizeof text);
            else
                assert_memory_equal(back.data + place, FFFD, 3);
            rusm__buf_fini(&out);
            rusm__buf_fini(&back);
        }
}

static void json_write_of_any_bytes_is_good_json(void **state) {
    (void)state;
    struct rusm__random random;
    rusm__random_seed(&random, 11);
    for (int round = 0; round < 2000; round++) {
        unsigned char bytes[40];
        struct rusm__buf out;
        struct rusm__json json;
        struct rusm__json_text got;
        for (size_t i = 0; i < sizeof bytes; i++) /* many leading and following bytes among them */
            bytes[i] = (unsigned char)(rusm__random_u64(&random) | (i % 3 ? 0x80 : 0));
        rusm__buf_init(&out);
        rusm__json_add_string(&out, bytes, sizeof bytes);
        rusm__json_init(&json, out.data, out.len);
        assert_true(rusm__json_string(&json, &got));
        assert_true(rusm__json_end(&json));
        rusm__buf_fini(&out);
    }
}

static void json_write_shows_short_memory(void **state) {
    (void)state;
    struct rusm__buf buf;
    rusm__buf_init(&buf);
    rusm__mem_fail_nth(1);
    rusm__json_add_string(&buf, "text", 4);
    rusm__mem_fail_nth(0);
    assert_true(buf.failed);
    rusm__buf_fini(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_write_escapes_what_must_be_escaped),
        cmocka_unit_test(json_write_replaces_broken_utf8),
        cmocka_unit_test(json_write_reads_back_at_every_alignment),
        cmocka_unit_test(json_write_of_any_bytes_is_good_json),
        cmocka_unit_test(json_write_shows_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
