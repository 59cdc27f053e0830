/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

static int step(const char *text) {
    return rusm__utf8_step((const unsigned char *)text, strlen(text));
}

static void utf8_accepts_every_scalar_value(void **state) {
    (void)state;
    unsigned char text[4];
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        size_t len = rusm__utf8_put(text, code);
        assert_int_equal(rusm__utf8_step(text, len), (int)len);
        if (len > 1) /* cut short, the whole rest is one bad piece */
            assert_int_equal(rusm__utf8_step(text, len - 1), -(int)(len - 1));
    }
}

/* How many bytes one replacement stands for: the longest beginning of a good sequence. */
static void utf8_refuses_what_rfc_3629_refuses(void **state) {
    (void)state;
    assert_int_equal(step("\x80"), -1);
    assert_int_equal(step("\xc0\x80"), -1);         /* overlong zero */
    assert_int_equal(step("\xc1\xbf"), -1);         /* overlong */
    assert_int_equal(step("\xe0\x9f\xbf"), -1);     /* overlong */
    assert_int_equal(step("\xf0\x8f\xbf\xbf"), -1); /* overlong */
    assert_int_equal(step("\xed\xa0\x80"), -1);     /* surrogate */
    assert_int_equal(step("\xf4\x90\x80\x80"), -1); /* over U+10FFFF */
    assert_int_equal(step("\xf5\x80\x80\x80"), -1);
    assert_int_equal(step("\xff"), -1);
    assert_int_equal(step("\xe2\x82"), -2);
    assert_int_equal(step("\xe2\x82x"), -2);
    assert_int_equal(step("\xf0\x9f\x98x"), -3);
    assert_int_equal(step("\xe2x"), -1);
}

static void utf8_good_finds_the_first_bad_byte_anywhere(void **state) {
    (void)state;
    unsigned char text[64];
    for (size_t bad = 0; bad < sizeof text; bad++) {
        memset(text, 'a', sizeof text);
        text[bad] = 0xff;
        assert_int_equal(rusm__utf8_good(text, sizeof text), bad);
        assert_false(rusm__utf8_is_valid(text, sizeof text));
    }
    const char mixed[] = "plain text, \xc3\xa4\xc3\xb6\xc3\xbc, \xe2\x82\xac and \xf0\x9f\x98\x80";
    for (size_t len = 0; len < sizeof mixed; len++) {
        size_t good = rusm__utf8_good((const unsigned char *)mixed, len);
        assert_true(good <= len && len - good < 4);
        if (good < len)
            assert_int_equal(rusm__utf8_step((const unsigned char *)mixed + good, len - good),
                             -(int)(len - good));
    }
    assert_true(rusm__utf8_is_valid(mixed, sizeof mixed));
    assert_true(rusm__utf8_is_valid("", 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_accepts_every_scalar_value),
        cmocka_unit_test(utf8_refuses_what_rfc_3629_refuses),
        cmocka_unit_test(utf8_good_finds_the_first_bad_byte_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
