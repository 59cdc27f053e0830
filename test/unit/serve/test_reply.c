/* SPDX-License-Identifier: MIT */
/* Handlers' answers: what counts as a response, and what becomes of everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "serve/reply.h"

static struct rusm__reply reply;
static unsigned char *message;

/* From a block of exactly this size, so that a sanitizer sees each byte too far. */
static enum rusm__reply_kind read_bytes(const void *text, size_t len, bool head) {
    free(message);
    message = malloc(len ? len : 1);
    memcpy(message, text, len);
    rusm__reply_read(&reply, message, len, head);
    return reply.kind;
}

static enum rusm__reply_kind read_text(const char *text) {
    return read_bytes(text, strlen(text), false);
}

static void check_body(const char *expected) {
    assert_int_equal(reply.body_len, strlen(expected));
    if (reply.body_len)
        assert_memory_equal(reply.body, expected, reply.body_len);
}

static void check_field(size_t index, const char *name, const char *value) {
    assert_true(index < reply.field_count);
    const struct rusm__reply_field *field = &reply.fields[index];
    assert_int_equal(field->name_len, strlen(name));
    assert_memory_equal(field->name, name, strlen(name));
    assert_int_equal(field->value_len, strlen(value));
    assert_memory_equal(field->value, value, strlen(value));
}

static void reads_a_response(void **state) {
    (void)state;
    assert_int_equal(read_text("{\"ref\":0,\"ok\":{\"status\":201,\"headers\":[[\"content-type\","
                               "\"text/plain\"],[\"x\",\"\"]],\"body\":\"aGVsbG8=\"}}"),
                     RUSM__REPLY_OK);
    assert_int_equal(reply.status, 201);
    assert_int_equal(reply.field_count, 2);
    check_field(0, "content-type", "text/plain");
    check_field(1, "x", "");
    check_body("hello");
}

static void takes_keys_in_any_order(void **state) {
    (void)state;
    assert_int_equal(
        read_text(" { \"more\" : [1,{\"a\":null}] , \"ok\" : { \"body\" : \"YQ==\" , "
                  "\"x\" : {} , \"headers\" : [ ] , \"status\" : 200 } , \"ref\" : 9 } "),
        RUSM__REPLY_OK);
    check_body("a");
}

static void lets_headers_and_body_be_missing(void **state) {
    (void)state;
    assert_int_equal(read_text("{\"ok\":{\"status\":204}}"), RUSM__REPLY_OK);
    assert_int_equal(reply.field_count, 0);
    check_body("");
}

static void resolves_escapes(void **state) {
    (void)state;
    assert_int_equal(
        read_text("{\"\\u006fk\":{\"status\":200,\"headers\":[[\"x\\u002dy\",\"a\\tb\"],"
                  "[\"p\",\"\\\"q\\\"\"]],\"body\":\"\\/\\/8=\"}}"),
        RUSM__REPLY_OK);
    check_field(0, "x-y", "a\tb");
    check_field(1, "p", "\"q\"");
    check_body("\xff\xff");
}

static void passes_errors_on(void **state) {
    (void)state;
    assert_int_equal(read_text("{\"ref\":0,\"err\":\"no \\\"luck\\\"\"}"), RUSM__REPLY_ERR);
    assert_int_equal(reply.text_len, 9);
    assert_memory_equal(reply.text, "no \"luck\"", 9);
    assert_int_equal(read_text("{\"err\":\"e\",\"ok\":null}"), RUSM__REPLY_ERR);
    assert_int_equal(read_text("{\"err\":null,\"ok\":{\"status\":200}}"), RUSM__REPLY_OK);
}

static void misses_ok(void **state) {
    (void)state;
    assert_int_equal(read_text("{\"ref\":0}"), RUSM__REPLY_MISSING);
    assert_int_equal(read_text("{\"ok\":null,\"err\":null}"), RUSM__REPLY_MISSING);
    assert_int_equal(read_text("{}"), RUSM__REPLY_MISSING);
}

static void says_what_does_not_decode(void **state) {
    static const char *const broken[] = {
        "",
        "nonsense",
        "[]",
        "{\"ok\":{\"status\":200}",
        "{\"ok\":{\"status\":200}} x",
        "{\"ok\":{}}",
        "{\"ok\":{\"status\":\"200\"}}",
        "{\"ok\":{\"status\":-1}}",
        "{\"ok\":{\"status\":65536}}",
        "{\"ok\":{\"status\":200.5}}",
        "{\"ok\":{\"status\":200,\"headers\":{}}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a\",\"b\",\"c\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a\",1]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[\"a\"]}}",
        "{\"ok\":{\"status\":200,\"body\":7}}",
        "{\"ok\":{\"status\":200,\"body\":\"YQ\"}}",
        "{\"ok\":{\"status\":200,\"body\":\"YQ==YQ==\"}}",
        "{\"ok\":{\"status\":200,\"body\":\"Y R=\"}}",
        "{\"ok\":{\"status\":200,\"body\":\"\xff\"}}",
        "{\"ok\":{\"status\":200,\"status\":200}}",
        "{\"ok\":{\"status\":200,\"body\":\"\",\"body\":\"\"}}",
        "{\"ok\":{\"status\":200},\"ok\":{\"status\":200}}",
        "{\"ok\":[200]}",
        "{\"err\":5}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_int_equal(read_text(broken[i]), RUSM__REPLY_BROKEN);
        assert_true(reply.text_len > 27);
        assert_memory_equal(reply.text, "the reply does not decode: ", 27);
    }
}

static void limits_the_number_of_headers(void **state) {
    char text[4096] = "{\"ok\":{\"status\":200,\"headers\":[[\"a\",\"\"]";
    (void)state;
    for (int i = 1; i < 128; i++)
        strcat(text, ",[\"a\",\"\"]");
    size_t len = strlen(text);
    strcat(text, "]}}");
    assert_int_equal(read_text(text), RUSM__REPLY_OK);
    assert_int_equal(reply.field_count, 128);
    strcpy(text + len, ",[\"a\",\"\"]]}}");
    assert_int_equal(read_text(text), RUSM__REPLY_BROKEN);
}

static void refuses_what_is_no_response(void **state) {
    static const char *const invalid[] = {
        "{\"ok\":{\"status\":0}}",
        "{\"ok\":{\"status\":99}}",
        "{\"ok\":{\"status\":1001}}",
        "{\"ok\":{\"status\":1000}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"\",\"v\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a b\",\"v\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a:\",\"v\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a\",\"x\\r\\ny: z\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a\",\"x\\u0000\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a\",\"\\u007f\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"a\",\"\xc3\xa9\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"\xc3\xa9\",\"v\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"connection\",\"\\n\"]]}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        assert_int_equal(read_text(invalid[i]), RUSM__REPLY_INVALID);
}

static void takes_framing_out(void **state) {
    (void)state;
    assert_int_equal(
        read_text(
            "{\"ok\":{\"status\":200,\"headers\":[[\"a\",\"1\"],[\"Connection\",\"upgrade\"],"
            "[\"keep-alive\",\"9\"],[\"TRANSFER-ENCODING\",\"chunked\"],[\"te\",\"x\"],"
            "[\"trailer\",\"x\"],[\"upgrade\",\"h2c\"],[\"proxy-connection\",\"x\"],"
            "[\"content-length\",\"1\"],[\"Date\",\"now\"],[\"b\",\"2\"]],\"body\":\"YQ==\"}}"),
        RUSM__REPLY_OK);
    assert_int_equal(reply.field_count, 3);
    check_field(0, "a", "1");
    check_field(1, "Date", "now");
    check_field(2, "b", "2");
    assert_true(reply.has_date);
}

static void refuses_framing_that_is_not_so(void **state) {
    static const char *const wrong[] = {
        "{\"ok\":{\"status\":100}}",
        "{\"ok\":{\"status\":101}}",
        "{\"ok\":{\"status\":199}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"2\"]],\"body\":\"YQ==\"}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"5\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"\"]]}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"+1\"]],\"body\":\"YQ==\"}}",
        "{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"9999999999999999999\"]]}}",
        ("{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"1\"],[\"content-length\","
         "\"0\"]],\"body\":\"YQ==\"}}"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(read_text(wrong[i]), RUSM__REPLY_FRAMING);
}

static void lets_head_and_304_name_a_length(void **state) {
    static const char head[] = "{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"5\"]]}}";
    (void)state;
    assert_int_equal(read_bytes(head, sizeof head - 1, true), RUSM__REPLY_OK);
    assert_true(reply.has_length);
    assert_int_equal(reply.length, 5);
    assert_int_equal(
        read_text("{\"ok\":{\"status\":304,\"headers\":[[\"content-length\",\"5\"]]}}"),
        RUSM__REPLY_OK);
}

static void forgets_the_one_before(void **state) {
    (void)state;
    read_text("{\"ok\":{\"status\":200,\"headers\":[[\"date\",\"d\"],[\"content-length\",\"1\"]],"
              "\"body\":\"YQ==\"}}");
    assert_int_equal(read_text("{\"ok\":{\"status\":200}}"), RUSM__REPLY_OK);
    assert_false(reply.has_date);
    assert_false(reply.has_length);
    assert_int_equal(reply.field_count, 0);
    check_body("");
}

static void bears_short_memory(void **state) {
    static const char text[] = "{\"ok\":{\"status\":200,\"headers\":[[\"x\",\"\\u0041\"]]}}";
    struct rusm__reply fresh;
    unsigned char copy[sizeof text];
    (void)state;
    for (size_t nth = 1; nth <= 3; nth++) {
        rusm__reply_init(&fresh);
        memcpy(copy, text, sizeof text);
        rusm__mem_fail_nth(nth);
        rusm__reply_read(&fresh, copy, sizeof text - 1, false);
        bool failed = rusm__mem_fail_nth(0) >= nth;
        assert_int_equal(fresh.kind, failed ? RUSM__REPLY_BROKEN : RUSM__REPLY_OK);
        assert_true(!failed || fresh.text_len > 0);
        rusm__reply_fini(&fresh);
    }
}

static int set_up(void **state) {
    (void)state;
    rusm__reply_init(&reply);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rusm__reply_fini(&reply);
    free(message);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_response),
        cmocka_unit_test(takes_keys_in_any_order),
        cmocka_unit_test(lets_headers_and_body_be_missing),
        cmocka_unit_test(resolves_escapes),
        cmocka_unit_test(passes_errors_on),
        cmocka_unit_test(misses_ok),
        cmocka_unit_test(says_what_does_not_decode),
        cmocka_unit_test(limits_the_number_of_headers),
        cmocka_unit_test(refuses_what_is_no_response),
        cmocka_unit_test(takes_framing_out),
        cmocka_unit_test(refuses_framing_that_is_not_so),
        cmocka_unit_test(lets_head_and_304_name_a_length),
        cmocka_unit_test(forgets_the_one_before),
        cmocka_unit_test(bears_short_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
