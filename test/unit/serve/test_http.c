/* SPDX-License-Identifier: MIT */
/* Requests as they are read. Every input is fed in one piece, byte by byte, and cut at each place;
 * the outcome must not depend on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "serve/http.h"

#define HEAD "Host: a\r\n\r\n"

static struct rusm__serve_limits limits = {
    .max_target_bytes = 64,
    .max_head_bytes = 256,
    .max_headers = 5,
    .max_body_bytes = 100,
};

/* What came of an input, as text. */
static void describe(struct rusm__http *http, enum rusm__http_state state, size_t used,
                     struct rusm__buf *out) {
    if (state != RUSM__HTTP_DONE) {
        rusm__buf_addf(out, state == RUSM__HTTP_BAD ? "bad %u" : "more", http->status);
        return;
    }
    rusm__buf_addf(out, "%s %.*s", rusm__http_method(http), (int)http->target_len,
                   rusm__http_at(http, http->target));
    for (uint32_t i = 0; i < http->field_count; i++)
        rusm__buf_addf(out, "|%.*s=%.*s", (int)http->fields[i].name_len,
                       rusm__http_at(http, http->fields[i].name), (int)http->fields[i].value_len,
                       rusm__http_at(http, http->fields[i].value));
    rusm__buf_addf(out, "|body=%.*s|%s used %zu", (int)http->body_len,
                   http->body_len ? (const char *)http->body : "",
                   http->keep_alive ? "keep" : "close", used);
}

/* Feed pieces: the first `first` bytes, then `step` at a time. Each piece is a block of its own
 * that is freed once the parser should not need it any more, so that a sanitizer sees misuse. */
static void feed(const char *input, size_t len, size_t first, size_t step, struct rusm__buf *out) {
    struct rusm__http *http = rusm__http_new(&limits);
    enum rusm__http_state state = RUSM__HTTP_MORE;
    unsigned char *piece = NULL;
    size_t at = 0, total = 0;
    while (at < len && state == RUSM__HTTP_MORE) {
        size_t size = at == 0 && first ? first : step;
        size = size < len - at ? size : len - at;
        free(piece);
        piece = malloc(size);
        memcpy(piece, input + at, size);
        at += size;
        size_t done = 0, used = 0;
        do {
            state = rusm__http_feed(http, piece + done, size - done, &used);
            done += used;
        } while (state == RUSM__HTTP_HEAD);
        total += done;
    }
    describe(http, state, total, out);
    rusm__http_free(http);
    free(piece);
}

static void check(const char *input, size_t len, const char *expected) {
    struct rusm__buf whole, parts;
    rusm__buf_init(&whole);
    rusm__buf_init(&parts);
    feed(input, len, 0, len, &whole);
    assert_string_equal(rusm__buf_cstr(&whole), expected);
    for (size_t first = 0; first < len && first < 400; first++) {
        rusm__buf_clear(&parts);
        feed(input, len, first, first ? len : 1, &parts);
        assert_string_equal(rusm__buf_cstr(&parts), rusm__buf_cstr(&whole));
    }
    rusm__buf_fini(&whole);
    rusm__buf_fini(&parts);
}

static void check_text(const char *input, const char *expected) {
    check(input, strlen(input), expected);
}

static void reads_a_request(void **state) {
    (void)state;
    check_text("GET /x?y=1 HTTP/1.1\r\nHost: a\r\nX-One:  two \t\r\nEmpty:\r\n\r\n",
               "GET /x?y=1|Host=a|X-One=two|Empty=|body=|keep used 55");
    check_text("\r\n\r\nGET / HTTP/1.1\r\n" HEAD, "GET /|Host=a|body=|keep used 31");
    check_text("HEAD / HTTP/1.0\r\n\r\n", "HEAD /|body=|close used 19");
}

static void stops_behind_a_request(void **state) {
    (void)state;
    check_text("GET /1 HTTP/1.1\r\n" HEAD "GET /2 HTTP/1.1\r\n" HEAD,
               "GET /1|Host=a|body=|keep used 28");
    check_text("POST / HTTP/1.1\r\nContent-Length: 3\r\n" HEAD "abcGET /2",
               "POST /|Content-Length=3|Host=a|body=abc|keep used 50");
}

static void reads_bodies(void **state) {
    (void)state;
    check_text("POST / HTTP/1.1\r\nContent-Length: 0\r\n" HEAD,
               "POST /|Content-Length=0|Host=a|body=|keep used 47");
    check_text("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HEAD
               "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\nrest",
               "POST /|Transfer-Encoding=chunked|Host=a|body=abcde|keep used 86");
    check_text("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n" HEAD "0\r\n\r\n",
               "POST /|Transfer-Encoding=Chunked|Host=a|body=|keep used 61");
}

static void keeps_binary_bodies(void **state) {
    (void)state;
    char input[512];
    int head =
        snprintf(input, sizeof input, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 96\r\n\r\n");
    for (int i = 0; i < 96; i++)
        input[head + i] = (char)(i * 37);
    for (size_t cut = 1; cut < (size_t)head + 96; cut++) {
        struct rusm__http *http = rusm__http_new(&limits);
        size_t used, done = 0, len = (size_t)head + 96;
        enum rusm__http_state now = RUSM__HTTP_MORE;
        while (now != RUSM__HTTP_DONE) {
            size_t end = done < cut ? cut : len;
            now = rusm__http_feed(http, (unsigned char *)input + done, end - done, &used);
            assert_int_not_equal(now, RUSM__HTTP_BAD);
            done += used;
        }
        assert_int_equal(http->body_len, 96);
        assert_memory_equal(http->body, input + head, 96);
        rusm__http_free(http);
    }
}

static void knows_when_a_connection_ends(void **state) {
    (void)state;
    check_text("GET / HTTP/1.1\r\nConnection: close\r\n" HEAD,
               "GET /|Connection=close|Host=a|body=|close used 46");
    check_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n" HEAD,
               "GET /|Connection=keep-alive|Host=a|body=|keep used 51");
    check_text("GET / HTTP/1.1\r\nConnection: keep-alive, Close\r\n" HEAD,
               "GET /|Connection=keep-alive, Close|Host=a|body=|close used 58");
}

static void ignores_upgrades(void **state) {
    (void)state;
    check_text("GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n" HEAD "GET /2",
               "GET /|Upgrade=h2c|Connection=upgrade|Host=a|body=|keep used 62");
}

static void refuses_what_smuggles(void **state) {
    static const char *const bad[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\nContent-Length: 5\n\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_text(bad[i], "bad 400");
}

static void refuses_other_codings(void **state) {
    (void)state;
    check_text("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" HEAD "0\r\n\r\n",
               "bad 501");
}

static void refuses_bad_heads(void **state) {
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",                       /* no Host */
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", /* two */
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", /* folded */
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\001b\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02",
        "hello\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_text(bad[i], "bad 400");
    check("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29, "bad 400");
}

static void names_what_it_does_not_do(void **state) {
    (void)state;
    check_text("GET / HTTP/2.0\r\n" HEAD, "bad 505");
    check_text("GET / HTTP/1.2\r\n" HEAD, "bad 505");
    check_text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad 505");
    check_text("CONNECT a:1 HTTP/1.1\r\n" HEAD, "bad 501");
    check_text("DESCRIBE / RTSP/1.0\r\n" HEAD, "bad 501");
    check_text("GET / HTTP/1.1\r\nExpect: 200-ok\r\n" HEAD, "bad 417");
}

/* Only in one piece: the parser stops at the first letter that cannot be a method. */
static void tells_unknown_methods_from_noise(void **state) {
    struct rusm__buf out;
    (void)state;
    rusm__buf_init(&out);
    feed("FOO / HTTP/1.1\r\n" HEAD, 27, 0, 27, &out);
    assert_string_equal(rusm__buf_cstr(&out), "bad 501");
    rusm__buf_fini(&out);
}

static void expects_continue_only_since_1_1(void **state) {
    static const char *const heads[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rusm__http *http = rusm__http_new(&limits);
        size_t used;
        assert_int_equal(
            rusm__http_feed(http, (const unsigned char *)heads[i], strlen(heads[i]), &used),
            RUSM__HTTP_HEAD);
        assert_int_equal(used, strlen(heads[i]));
        assert_int_equal(http->expects_continue, i == 0);
        rusm__http_free(http);
    }
}

/* ---- limits ---- */

/* prefix, n times 'x', suffix */
static void check_filled(const char *prefix, size_t n, const char *suffix, const char *expected) {
    size_t before = strlen(prefix), after = strlen(suffix);
    char *input = malloc(before + n + after);
    memcpy(input, prefix, before);
    memset(input + before, 'x', n);
    memcpy(input + before + n, suffix, after);
    struct rusm__buf out;
    rusm__buf_init(&out);
    feed(input, before + n + after, 0, before + n + after, &out);
    assert_memory_equal(rusm__buf_cstr(&out), expected, strlen(expected));
    rusm__buf_clear(&out);
    feed(input, before + n + after, 0, 7, &out);
    assert_memory_equal(rusm__buf_cstr(&out), expected, strlen(expected));
    rusm__buf_fini(&out);
    free(input);
}

static void limits_targets(void **state) {
    (void)state;
    check_filled("GET /", 63, " HTTP/1.1\r\n" HEAD, "GET /xxx");
    check_filled("GET /", 64, " HTTP/1.1\r\n" HEAD, "bad 414");
    check_filled("GET /", 100000, "", "bad 414");
}

static void limits_header_lines(void **state) {
    (void)state;
    check_filled("GET / HTTP/1.1\r\nX: ", 200, "\r\n" HEAD, "GET /|X=x");
    check_filled("GET / HTTP/1.1\r\nX: ", 250, "\r\n" HEAD, "bad 431");
    check_filled("GET / HTTP/1.1\r\n", 300, ": a\r\n" HEAD, "bad 431");
    check_filled("GET / HTTP/1.1\r\nX: ", 100000, "", "bad 431");
}

static void limits_header_count(void **state) {
    (void)state;
    check_text("GET / HTTP/1.1\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n" HEAD,
               "GET /|A=1|B=1|C=1|D=1|Host=a|body=|keep used 51");
    check_text("GET / HTTP/1.1\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n" HEAD, "bad 431");
}

/* Blanks bring no callbacks, so only the sum of all bytes tells. */
static void limits_blanks(void **state) {
    static const struct {
        const char *prefix;
        char filler;
        const char *expected;
    } cases[] = {
        {"", '\n', "bad 400"},
        {"GET ", ' ', "bad 400"},
        {"GET / HTTP/1.1\r\nX:", ' ', "bad 431"},
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char input[4096];
        size_t before = strlen(cases[i].prefix);
        memset(input, cases[i].filler, sizeof input);
        memcpy(input, cases[i].prefix, before);
        check(input, sizeof input, cases[i].expected);
    }
}

static void limits_bodies(void **state) {
    (void)state;
    check_filled("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n", 100, "", "POST /");
    check_text("POST / HTTP/1.1\r\nContent-Length: 101\r\n" HEAD, "bad 413");
    check_text("POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n" HEAD, "bad 413");
    check_filled("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n", 100,
                 "\r\n0\r\n\r\n", "POST /");
    check_filled("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", 101,
                 "\r\n0\r\n\r\n", "bad 413");
}

static void limits_trailers_and_chunk_extensions(void **state) {
    (void)state;
    check_filled("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: ", 20000,
                 "\r\n\r\n", "bad 431");
    check_filled("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;", 20000,
                 "\r\n\r\n", "bad 431");
}

static void drops_bodies_that_nobody_wants(void **state) {
    static const char input[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    struct rusm__http *http = rusm__http_new(&limits);
    size_t used, head;
    (void)state;
    assert_int_equal(rusm__http_feed(http, (const unsigned char *)input, sizeof input - 1, &head),
                     RUSM__HTTP_HEAD);
    http->drop_body = true;
    assert_int_equal(
        rusm__http_feed(http, (const unsigned char *)input + head, sizeof input - 1 - head, &used),
        RUSM__HTTP_DONE);
    assert_int_equal(used, 5);
    assert_null(http->body);
    rusm__http_free(http);
}

/* ---- targets ---- */

static void check_path(const char *target, const char *expected) {
    char input[200];
    int len = snprintf(input, sizeof input, "GET %s HTTP/1.1\r\n" HEAD, target);
    struct rusm__http *http = rusm__http_new(&limits);
    const char *path;
    size_t used, path_len;
    assert_int_equal(rusm__http_feed(http, (unsigned char *)input, (size_t)len, &used),
                     RUSM__HTTP_DONE);
    bool good = rusm__http_path(http, &path, &path_len);
    assert_int_equal(good, expected != NULL);
    if (expected) {
        assert_int_equal(path_len, strlen(expected));
        assert_memory_equal(path, expected, path_len);
    }
    rusm__http_free(http);
}

static void finds_the_path(void **state) {
    (void)state;
    check_path("/", "/");
    check_path("/a/b?c=/d", "/a/b?c=/d");
    check_path("*", "*");
    check_path("http://host/a?b", "/a?b");
    check_path("HTTPS://user@host:1", "/");
    check_path("http://host?q", NULL);
}

/* ---- memory ---- */

static void is_reused(void **state) {
    static const char first[] = "POST /1 HTTP/1.1\r\nContent-Length: 2\r\n" HEAD "ab";
    static const char second[] = "GET /2 HTTP/1.0\r\n\r\n";
    struct rusm__http *http = rusm__http_new(&limits);
    size_t used;
    (void)state;
    for (size_t i = 0; i < sizeof first - 1; i++)
        rusm__http_feed(http, (const unsigned char *)first + i, 1, &used);
    assert_int_equal(http->body_len, 2);
    rusm__http_reset(http);
    assert_int_equal(rusm__http_feed(http, (const unsigned char *)second, sizeof second - 1, &used),
                     RUSM__HTTP_DONE);
    assert_int_equal(http->field_count, 0);
    assert_int_equal(http->body_len, 0);
    assert_true(http->old);
    rusm__http_free(http);
}

/* Each allocation fails once: the request is refused, and nothing is lost. */
static void bears_short_memory(void **state) {
    static const char input[] =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HEAD "3\r\nabc\r\n0\r\n\r\n";
    (void)state;
    for (size_t nth = 1; nth < 6; nth++) {
        struct rusm__http *http = rusm__http_new(&limits);
        enum rusm__http_state now = RUSM__HTTP_MORE;
        size_t used;
        rusm__mem_fail_nth(nth);
        for (size_t i = 0; i < sizeof input - 1 && now != RUSM__HTTP_BAD; i++)
            now = rusm__http_feed(http, (const unsigned char *)input + i, 1, &used);
        size_t calls = rusm__mem_fail_nth(0);
        if (now == RUSM__HTTP_BAD)
            assert_int_equal(http->status, 503);
        else
            assert_true(calls < nth);
        rusm__http_free(http);
    }
    rusm__mem_fail_nth(1);
    assert_null(rusm__http_new(&limits));
    rusm__mem_fail_nth(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_request),
        cmocka_unit_test(stops_behind_a_request),
        cmocka_unit_test(reads_bodies),
        cmocka_unit_test(keeps_binary_bodies),
        cmocka_unit_test(knows_when_a_connection_ends),
        cmocka_unit_test(ignores_upgrades),
        cmocka_unit_test(refuses_what_smuggles),
        cmocka_unit_test(refuses_other_codings),
        cmocka_unit_test(refuses_bad_heads),
        cmocka_unit_test(names_what_it_does_not_do),
        cmocka_unit_test(tells_unknown_methods_from_noise),
        cmocka_unit_test(expects_continue_only_since_1_1),
        cmocka_unit_test(limits_targets),
        cmocka_unit_test(limits_header_lines),
        cmocka_unit_test(limits_header_count),
        cmocka_unit_test(limits_blanks),
        cmocka_unit_test(limits_bodies),
        cmocka_unit_test(limits_trailers_and_chunk_extensions),
        cmocka_unit_test(drops_bodies_that_nobody_wants),
        cmocka_unit_test(finds_the_path),
        cmocka_unit_test(is_reused),
        cmocka_unit_test(bears_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
