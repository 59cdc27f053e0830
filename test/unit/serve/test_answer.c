/* SPDX-License-Identifier: MIT */
/* Heads of responses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "serve/answer.h"

static struct rusm__reply reply;

static void set_reply(const char *text, bool head) {
    static unsigned char copy[1024];
    size_t len = strlen(text);
    memcpy(copy, text, len);
    rusm__reply_read(&reply, copy, len, head);
    assert_int_equal(reply.kind, RUSM__REPLY_OK);
}

/* The date is checked apart. */
static void cut_date(char *text) {
    char *date = strstr(text, "date: ");
    if (!date)
        return;
    char *end = strstr(date, "\r\n") + 2;
    memmove(date, end, strlen(end) + 1);
}

static const char *write_with(struct rusm__answer *answer,
                              const struct rusm__answer_headers *headers) {
    static char text[2048];
    struct rusm__answer_date date = {0};
    struct rusm__buf out;
    rusm__buf_init(&out);
    rusm__answer_write(answer, headers, &date, &out);
    assert_false(out.failed);
    assert_true(out.len < sizeof text);
    memcpy(text, out.data, out.len);
    text[out.len] = '\0';
    rusm__buf_fini(&out);
    cut_date(text);
    return text;
}

static const char *write_reply(bool head, bool old, bool keep_alive, size_t *out_body) {
    static const struct rusm__answer_headers none;
    struct rusm__answer answer = {
        .status = (unsigned)reply.status,
        .reply = &reply,
        .body = reply.body,
        .body_len = reply.body_len,
        .head = head,
        .old = old,
        .keep_alive = keep_alive,
    };
    const char *text = write_with(&answer, &none);
    *out_body = answer.body_len;
    return text;
}

static void writes_a_head(void **state) {
    size_t body;
    (void)state;
    set_reply("{\"ok\":{\"status\":200,\"headers\":[[\"X-A\",\"b\"]],\"body\":\"YWJj\"}}", false);
    assert_string_equal(write_reply(false, false, true, &body),
                        "HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 3\r\n\r\n");
    assert_int_equal(body, 3);
    assert_string_equal(
        write_reply(false, false, false, &body),
        "HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 3\r\nconnection: close\r\n\r\n");
    assert_string_equal(
        write_reply(false, true, true, &body),
        "HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\n");
}

static void frames_what_has_no_body(void **state) {
    static const struct {
        const char *reply;
        bool head;
        const char *expected;
    } cases[] = {
        {"{\"ok\":{\"status\":204,\"body\":\"YQ==\"}}", false, "HTTP/1.1 204 No Content\r\n\r\n"},
        {"{\"ok\":{\"status\":304,\"body\":\"YQ==\"}}", false, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {"{\"ok\":{\"status\":304,\"headers\":[[\"content-length\",\"7\"]]}}", false,
         "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"},
        {"{\"ok\":{\"status\":205,\"body\":\"YQ==\"}}", false,
         "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"},
        {"{\"ok\":{\"status\":200,\"body\":\"YQ==\"}}", true,
         "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"},
        {"{\"ok\":{\"status\":200,\"headers\":[[\"content-length\",\"7\"]]}}", true,
         "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"},
        {"{\"ok\":{\"status\":204}}", true, "HTTP/1.1 204 No Content\r\n\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t body;
        set_reply(cases[i].reply, cases[i].head);
        assert_string_equal(write_reply(cases[i].head, false, true, &body), cases[i].expected);
        assert_int_equal(body, 0);
    }
}

static void knows_no_phrase_for_odd_numbers(void **state) {
    size_t body;
    (void)state;
    set_reply("{\"ok\":{\"status\":299}}", false);
    assert_string_equal(write_reply(false, false, true, &body),
                        "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n");
}

static void adds_and_replaces_headers(void **state) {
    static const struct rusm__serve_header items[] = {{"server", "s"}, {"x-a", "1"}};
    struct rusm__answer_headers headers;
    (void)state;
    assert_int_equal(rusm__answer_headers_init(&headers, items, 2), RUSM_OK);
    set_reply("{\"ok\":{\"status\":200,\"headers\":[[\"X-A\",\"b\"],[\"y\",\"c\"]]}}", false);
    struct rusm__answer answer = {.status = 200, .reply = &reply, .keep_alive = true};
    assert_string_equal(
        write_with(&answer, &headers),
        "HTTP/1.1 200 OK\r\ny: c\r\nserver: s\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n");
    struct rusm__answer own = {
        .status = 405,
        .body = "no",
        .body_len = 2,
        .extra = "allow: GET\r\n",
        .keep_alive = true,
    };
    assert_string_equal(write_with(&own, &headers),
                        "HTTP/1.1 405 Method Not Allowed\r\nx-content-type-options: "
                        "nosniff\r\nallow: GET\r\nserver: s\r\nx-a: 1\r\ncontent-length: "
                        "2\r\n\r\n");
    rusm__answer_headers_fini(&headers);
}

static void lets_a_listener_set_type_and_date(void **state) {
    static const struct rusm__serve_header items[] = {{"content-type", "t"}, {"date", "never"}};
    struct rusm__answer_headers headers;
    struct rusm__answer answer = {.status = 404, .body = "x", .body_len = 1, .keep_alive = true};
    struct rusm__answer_date date = {0};
    struct rusm__buf out;
    (void)state;
    assert_int_equal(rusm__answer_headers_init(&headers, items, 2), RUSM_OK);
    rusm__buf_init(&out);
    rusm__answer_write(&answer, &headers, &date, &out);
    assert_string_equal(rusm__buf_cstr(&out), "HTTP/1.1 404 Not Found\r\ncontent-type: t\r\n"
                                              "date: never\r\ncontent-length: 1\r\n\r\n");
    rusm__buf_fini(&out);
    rusm__answer_headers_fini(&headers);
}

static void refuses_headers_that_frame(void **state) {
    static const struct rusm__serve_header bad[] = {
        {"content-length", "1"},
        {"connection", "close"},
        {"transfer-encoding", "x"},
        {"a b", "x"},
        {"", "x"},
        {"a", "x\r\ny: z"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rusm__answer_headers headers;
        assert_int_equal(rusm__answer_headers_init(&headers, &bad[i], 1), RUSM_EINVAL);
        rusm__answer_headers_fini(&headers);
    }
}

/* Not of time(), whose clock changes seconds up to a tick later than the one that dates answers. */
static time_t now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

/* As strptime understands it, and close to now; then renewed only when the second has changed. */
static void dates_answers(void **state) {
    static const struct rusm__answer_headers none;
    struct rusm__answer answer = {.status = 404, .keep_alive = true};
    struct rusm__answer_date date = {0};
    struct rusm__buf out;
    struct tm tm = {0};
    (void)state;
    rusm__buf_init(&out);
    time_t before = now_s();
    rusm__answer_write(&answer, &none, &date, &out);
    time_t after = now_s();
    const char *line = strstr(rusm__buf_cstr(&out), "date: ");
    assert_non_null(line);
    const char *end = strptime(line, "date: %a, %d %b %Y %H:%M:%S GMT", &tm);
    assert_non_null(end);
    assert_memory_equal(end, "\r\n", 2);
    time_t said = timegm(&tm);
    assert_true(said >= before && said <= after);
    rusm__buf_fini(&out);
}

static void fails_whole_when_memory_is_short(void **state) {
    static const struct rusm__answer_headers none;
    struct rusm__answer_date date = {0};
    (void)state;
    for (size_t nth = 1; nth <= 4; nth++) {
        struct rusm__answer answer = {.status = 404, .keep_alive = true};
        struct rusm__buf out;
        rusm__buf_init(&out);
        rusm__mem_fail_nth(nth);
        rusm__answer_write(&answer, &none, &date, &out);
        bool failed = rusm__mem_fail_nth(0) >= nth;
        assert_int_equal(out.failed, failed);
        rusm__buf_fini(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_head),
        cmocka_unit_test(frames_what_has_no_body),
        cmocka_unit_test(knows_no_phrase_for_odd_numbers),
        cmocka_unit_test(adds_and_replaces_headers),
        cmocka_unit_test(lets_a_listener_set_type_and_date),
        cmocka_unit_test(refuses_headers_that_frame),
        cmocka_unit_test(dates_answers),
        cmocka_unit_test(fails_whole_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
