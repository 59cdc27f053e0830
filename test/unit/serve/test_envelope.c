/* SPDX-License-Identifier: MIT */
/* Envelopes, byte for byte: guests of several languages read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "serve/envelope.h"

static const struct rusm__serve_limits limits = {
    .max_target_bytes = 8192,
    .max_head_bytes = 32768,
    .max_headers = 100,
    .max_body_bytes = 1 << 20,
};

static struct rusm__http *read_request(const char *input, size_t len) {
    struct rusm__http *http = rusm__http_new(&limits);
    size_t used, at = 0;
    enum rusm__http_state state;
    do {
        state = rusm__http_feed(http, (const unsigned char *)input + at, len - at, &used);
        at += used;
    } while (state == RUSM__HTTP_HEAD);
    assert_int_equal(state, RUSM__HTTP_DONE);
    return http;
}

static rusm_msg *build(const char *input, size_t len, const struct rusm__serve_match *match) {
    struct rusm__http *http = read_request(input, len);
    struct rusm__buf scratch;
    const char *path;
    size_t path_len;
    rusm_msg *msg;
    rusm__buf_init(&scratch);
    assert_true(rusm__http_path(http, &path, &path_len));
    assert_int_equal(rusm__envelope_build(http, match, path, path_len, 7, &scratch, &msg), RUSM_OK);
    rusm__buf_fini(&scratch);
    rusm__http_free(http);
    return msg;
}

static void check(const char *input, const struct rusm__serve_match *match, const char *expected) {
    rusm_msg *msg = build(input, strlen(input), match);
    assert_int_equal(rusm_msg_len(msg), strlen(expected));
    assert_memory_equal(rusm_msg_data(msg), expected, strlen(expected));
    rusm_msg_free(msg);
}

static void has_the_documented_form(void **state) {
    struct rusm__serve_match match = {
        .action = "item",
        .action_len = 4,
        .param_count = 2,
        .params = {{"id", 2, "42", 2, false}, {"*", 1, "a/b", 3, false}},
    };
    (void)state;
    check("POST /items/42/a/b?x=1 HTTP/1.1\r\nHost: h\r\nX-Up: V\r\nContent-Length: 3\r\n\r\nabc",
          &match,
          "{\"op\":\"fetch\",\"ref\":0,\"from\":\"7\",\"action\":\"item\",\"params\":[[\"id\","
          "\"42\"],"
          "[\"*\",\"a/b\"]],\"request\":{\"method\":\"POST\",\"url\":\"/items/42/a/b?x=1\","
          "\"headers\":[[\"host\",\"h\"],[\"x-up\",\"V\"],[\"content-length\",\"3\"]],"
          "\"body\":\"YWJj\"}}");
}

static void has_empty_lists_and_body(void **state) {
    struct rusm__serve_match match = {.action = "a", .action_len = 1};
    (void)state;
    check("GET / HTTP/1.0\r\n\r\n", &match,
          "{\"op\":\"fetch\",\"ref\":0,\"from\":\"7\",\"action\":\"a\",\"params\":[],\"request\":{"
          "\"method\":\"GET\",\"url\":\"/\",\"headers\":[],\"body\":\"\"}}");
}

static void escapes_what_json_needs(void **state) {
    struct rusm__serve_match match = {
        .action = "a\"\\\n\xc3\xa9",
        .action_len = 6,
        .param_count = 1,
        .params = {{"p\"", 2, "v\"\\", 3, false}},
    };
    (void)state;
    check(
        "GET /v\"\\ HTTP/1.0\r\nQ: \"a\\b\"\tc\r\n\r\n", &match,
        "{\"op\":\"fetch\",\"ref\":0,\"from\":\"7\",\"action\":\"a\\\"\\\\\\n\xc3\xa9\",\"params\":"
        "[[\"p\\\"\",\"v\\\"\\\\\"]],\"request\":{\"method\":\"GET\",\"url\":\"/v\\\"\\\\\","
        "\"headers\":[[\"q\",\"\\\"a\\\\b\\\"\\tc\"]],\"body\":\"\"}}");
}

static void empties_values_that_are_not_ascii(void **state) {
    struct rusm__serve_match match = {.action = "a", .action_len = 1};
    (void)state;
    check("GET / HTTP/1.0\r\nLong-Enough: 12345678\xc3\xa9\r\nA: \x80\r\nB: b\r\n\r\n", &match,
          "{\"op\":\"fetch\",\"ref\":0,\"from\":\"7\",\"action\":\"a\",\"params\":[],\"request\":{"
          "\"method\":\"GET\",\"url\":\"/\",\"headers\":[[\"long-enough\",\"\"],[\"a\",\"\"],"
          "[\"b\",\"b\"]],\"body\":\"\"}}");
}

static void squeezes_ragged_parameters(void **state) {
    static const struct {
        const char *raw, *expected;
    } cases[] = {{"a//b", "a/b"}, {"a/", "a"}, {"//a///b//", "a/b"}, {"a", "a"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rusm__serve_match match = {
            .action = "a",
            .action_len = 1,
            .param_count = 1,
            .params = {{"*", 1, cases[i].raw, strlen(cases[i].raw), true}},
        };
        char expected[200];
        snprintf(expected, sizeof expected,
                 "{\"op\":\"fetch\",\"ref\":0,\"from\":\"7\",\"action\":\"a\",\"params\":[[\"*\","
                 "\"%s\"]],\"request\":{\"method\":\"GET\",\"url\":\"/\",\"headers\":[],"
                 "\"body\":\"\"}}",
                 cases[i].expected);
        check("GET / HTTP/1.0\r\n\r\n", &match, expected);
    }
}

/* All 256 bytes, at every length up to some: the body comes out as it went in. */
static void carries_any_body(void **state) {
    struct rusm__serve_match match = {.action = "a", .action_len = 1};
    (void)state;
    for (int len = 0; len <= 256; len++) {
        char input[512];
        int head =
            snprintf(input, sizeof input, "PUT / HTTP/1.0\r\nContent-Length: %d\r\n\r\n", len);
        for (int i = 0; i < len; i++)
            input[head + i] = (char)(255 - i);
        rusm_msg *msg = build(input, (size_t)(head + len), &match);
        struct rusm__json json;
        rusm__json_init(&json, rusm_msg_data(msg), rusm_msg_len(msg));
        assert_true(rusm__json_skip(&json) && rusm__json_end(&json));
        const char *text = (const char *)rusm_msg_data(msg);
        const char *body = memmem(text, rusm_msg_len(msg), "\"body\":\"", 8);
        assert_non_null(body);
        body += 8;
        struct rusm__buf decoded;
        rusm__buf_init(&decoded);
        size_t encoded = (size_t)(text + rusm_msg_len(msg) - 3 - body);
        assert_int_equal(rusm__base64_decode(&decoded, body, encoded), RUSM_OK);
        assert_int_equal(decoded.len, len);
        if (len)
            assert_memory_equal(decoded.data, input + head, len);
        rusm__buf_fini(&decoded);
        rusm_msg_free(msg);
    }
}

static void bears_short_memory(void **state) {
    static const char input[] = "GET / HTTP/1.0\r\n\r\n";
    struct rusm__serve_match match = {.action = "a", .action_len = 1};
    struct rusm__http *http = read_request(input, sizeof input - 1);
    (void)state;
    for (size_t nth = 1; nth <= 8; nth++) {
        struct rusm__buf scratch;
        rusm_msg *msg;
        rusm__buf_init(&scratch);
        rusm__mem_fail_nth(nth);
        int code = rusm__envelope_build(http, &match, "/", 1, 7, &scratch, &msg);
        bool failed = rusm__mem_fail_nth(0) >= nth;
        assert_int_equal(code, failed ? RUSM_ENOMEM : RUSM_OK);
        assert_int_equal(msg == NULL, failed);
        rusm_msg_free(msg);
        rusm__buf_fini(&scratch);
    }
    rusm__http_free(http);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_documented_form),
        cmocka_unit_test(has_empty_lists_and_body),
        cmocka_unit_test(escapes_what_json_needs),
        cmocka_unit_test(empties_values_that_are_not_ascii),
        cmocka_unit_test(squeezes_ragged_parameters),
        cmocka_unit_test(carries_any_body),
        cmocka_unit_test(bears_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
