/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/random.h"

/* RFC 4648, section 10. */
static const struct {
    const char *bytes;
    const char *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void base64_knows_the_vectors_of_the_rfc(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct rusm__buf buf;
        rusm__buf_init(&buf);
        rusm__base64_encode(&buf, vectors[i].bytes, strlen(vectors[i].bytes));
        assert_string_equal(rusm__buf_cstr(&buf), vectors[i].text);
        rusm__buf_clear(&buf);
        assert_int_equal(rusm__base64_decode(&buf, vectors[i].text, strlen(vectors[i].text)), 0);
        assert_string_equal(rusm__buf_cstr(&buf), vectors[i].bytes);
        rusm__buf_fini(&buf);
    }
}

/* The definition, one bit at a time, to compare with. */
static size_t encode_slowly(const unsigned char *data, size_t len, char *out) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (size_t bit = 0; bit < len * 8; bit += 6) {
        unsigned value = 0;
        for (size_t i = bit; i < bit + 6; i++)
            value = value << 1 | (i < len * 8 ? data[i / 8] >> (7 - i % 8) & 1u : 0);
        out[at++] = alphabet[value];
    }
    while (at % 4)
        out[at++] = '=';
    return at;
}

static void base64_agrees_with_the_definition_at_every_length(void **state) {
    (void)state;
    struct rusm__random random;
    unsigned char data[200];
    char wanted[300];
    rusm__random_seed(&random, 5);
    for (size_t len = 0; len <= sizeof data; len++) {
        struct rusm__buf text, back;
        rusm__buf_init(&text);
        rusm__buf_init(&back);
        for (size_t i = 0; i < len; i++)
            data[i] = (unsigned char)rusm__random_u64(&random);
        rusm__base64_encode(&text, data, len);
        assert_int_equal(text.len, encode_slowly(data, len, wanted));
        if (len)
            assert_memory_equal(text.data, wanted, text.len);
        rusm__buf_add_str(&back, "before");
        assert_int_equal(rusm__base64_decode(&back, text.data, text.len), 0);
        assert_int_equal(back.len, len + 6);
        assert_memory_equal(back.data + 6, data, len);
        rusm__buf_fini(&text);
        rusm__buf_fini(&back);
    }
}

static int decode(const char *text, size_t len) {
    struct rusm__buf buf;
    rusm__buf_init(&buf);
    int result = rusm__base64_decode(&buf, text, len);
    if (result < 0)
        assert_int_equal(buf.len, 0);
    rusm__buf_fini(&buf);
    return result;
}

static void base64_refuses_everything_else(void **state) {
    (void)state;
    static const char *const bad[] = {"Z",         "Zg",    "Zg=",         "Zg===",
                                      "=",         "====",  "Z===",        "Zg==Zg==",
                                      "Zm9v\n",    "Zm 9v", "Zm9=Zm9v",    "Zh==",
                                      "Zm9=",      "Zm-_",  "Zm9vZm9vZm9", "Zm9vZg==Zm9vZm9v",
                                      "Zm9vZm9v=", "Z=9v",  "=m9v",        "Zg=a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(decode(bad[i], strlen(bad[i])), RUSM_EINVAL);
}

/* Any single byte outside the alphabet, at any place of a long text, is found. */
static void base64_refuses_each_foreign_byte_at_each_place(void **state) {
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[40];
    for (size_t place = 0; place < sizeof text; place++)
        for (int byte = 0; byte < 256; byte++) {
            memset(text, 'A', sizeof text);
            text[place] = (char)byte;
            bool good = (byte && strchr(alphabet, byte)) || (byte == '=' && place == 39);
            assert_int_equal(decode(text, sizeof text), good ? 0 : RUSM_EINVAL);
        }
}

static void base64_reports_short_memory(void **state) {
    (void)state;
    struct rusm__buf buf;
    rusm__buf_init(&buf);
    rusm__mem_fail_nth(1);
    rusm__base64_encode(&buf, "foobar", 6);
    assert_true(buf.failed);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__base64_decode(&buf, "Zm9v", 4), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
    assert_int_equal(buf.len, 0);
    rusm__buf_fini(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_knows_the_vectors_of_the_rfc),
        cmocka_unit_test(base64_agrees_with_the_definition_at_every_length),
        cmocka_unit_test(base64_refuses_everything_else),
        cmocka_unit_test(base64_refuses_each_foreign_byte_at_each_place),
        cmocka_unit_test(base64_reports_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
