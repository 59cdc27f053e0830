/* SPDX-License-Identifier: MIT */
/* The front end over real sockets, with native handlers. */
#include "app.h"

#include <pthread.h>

#include "base/log.h"

static uint64_t spawned(void) {
    rusm_runtime_stats stats = {.size = sizeof stats};
    assert_int_equal(rusm_runtime_get_stats(app_runtime, &stats), RUSM_OK);
    return stats.spawned;
}

/* ---- answers ---- */

static void answers_and_leaves_nothing(void **state) {
    struct response response;
    int fd = client();
    (void)state;
    get(fd, "/hello?x=1");
    hear(fd, &response);
    assert_int_equal(response.status, 200);
    assert_string_equal((char *)response.body, "hello");
    assert_non_null(strstr(response.head, "\r\ncontent-type: text/plain\r\n"));
    assert_non_null(strstr(response.head, "\r\nx-app: test\r\n"));
    assert_non_null(strstr(response.head, "\r\ndate: "));
    assert_null(strstr(response.head, "connection:"));
    forget(&response);
    WAIT_FOR(atomic_load(&handlers_alive) == 0);
    WAIT_FOR(rusm_runtime_process_count(app_runtime) == 1); /* the connection's */
    close(fd);
    WAIT_FOR(rusm_runtime_process_count(app_runtime) == 0);
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
}

static void keeps_connections(void **state) {
    int fd = client();
    (void)state;
    for (int i = 0; i < 50; i++) {
        get(fd, "/hello");
        expect(fd, 200, "hello");
    }
    close(fd);
}

static void answers_in_order(void **state) {
    static const struct {
        const char *path;
        int status;
        const char *body;
    } asked[] = {
        {"/hello", 200, "hello"},
        {"/none", 404, "not found"},
        {"/crash", 502, "handler did not reply"},
        {"/cpu", 504, "handler took too long"},
        {"/late", 504, "handler took too long"},
        {"/echo", 405, "method not allowed"},
        {"/err", 500, "no luck"},
        {"/full", 503, "the server is at its limit"},
    };
    enum { KINDS = sizeof asked / sizeof *asked, ROUNDS = 40 };
    char text[KINDS * ROUNDS * 64];
    size_t len = 0;
    int fd = client();
    (void)state;
    for (int i = 0; i < KINDS * ROUNDS; i++)
        len += (size_t)sprintf(text + len, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                               asked[i % KINDS].path);
    say_bytes(fd, text, len);
    for (int i = 0; i < KINDS * ROUNDS; i++)
        expect(fd, asked[i % KINDS].status, asked[i % KINDS].body);
    close(fd);
}

#define LONG_PIPELINE 8000

static void *send_pipeline(void *arg) {
    for (int i = 0; i < LONG_PIPELINE; i++)
        say(*(int *)arg, i % 100 ? "GET /none HTTP/1.1\r\nHost: a\r\nX-Filler: 1234567890\r\n\r\n"
                                 : "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    return NULL;
}

/* More than is read ahead: reading stops and starts again. */
static void bears_long_pipelines(void **state) {
    int fd = client();
    pthread_t sender;
    (void)state;
    assert_int_equal(pthread_create(&sender, NULL, send_pipeline, &fd), 0);
    pause_ms(100); /* so that it piles up */
    for (int i = 0; i < LONG_PIPELINE; i++)
        expect(fd, i % 100 ? 404 : 200, i % 100 ? "not found" : "hello");
    pthread_join(sender, NULL);
    close(fd);
}

static void spawns_nothing_without_a_route(void **state) {
    struct response response;
    int fd = client();
    (void)state;
    get(fd, "/none");
    expect(fd, 404, "not found");
    uint64_t before = spawned();
    get(fd, "/none");
    expect(fd, 404, "not found");
    get(fd, "/echo");
    hear(fd, &response);
    assert_int_equal(response.status, 405);
    assert_string_equal((char *)response.body, "method not allowed");
    assert_non_null(strstr(response.head, "\r\nallow: GET, HEAD\r\n"));
    forget(&response);
    assert_int_equal(spawned(), before);
    close(fd);
}

static void says_what_handlers_do_wrong(void **state) {
    static const struct {
        const char *path;
        int status;
        const char *body;
    } cases[] = {
        {"/err", 500, "no luck"},
        {"/status", 500, "invalid response"},
        {"/framing", 502, "invalid response framing"},
        {"/nothing", 500, "reply missing `ok`"},
        {"/garbage", 500, "the reply does not decode: expected an object at line 1 column 1"},
        {"/crash", 502, "handler did not reply"},
        {"/silent", 502, "handler did not reply"},
        {"/impossible", 502, "handler did not reply"},
    };
    int fd = client();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        get(fd, cases[i].path);
        expect(fd, cases[i].status, cases[i].body);
    }
    close(fd);
}

static void asks_to_retry_when_full(void **state) {
    struct response response;
    int fd = client();
    (void)state;
    get(fd, "/full");
    hear(fd, &response);
    assert_int_equal(response.status, 503);
    assert_non_null(strstr(response.head, "\r\nretry-after: 1\r\n"));
    forget(&response);
    get(fd, "/hello");
    expect(fd, 200, "hello");
    close(fd);
}

static void takes_replies_from_the_handler_only(void **state) {
    int fd = client();
    (void)state;
    for (int i = 0; i < 20; i++) {
        get(fd, "/forged");
        expect(fd, 200, "real");
    }
    close(fd);
}

static void keeps_crashes_apart(void **state) {
    int crashing = client(), healthy = client();
    (void)state;
    for (int i = 0; i < 20; i++) {
        get(crashing, "/crash");
        get(healthy, "/hello");
        expect(healthy, 200, "hello");
        expect(crashing, 502, "handler did not reply");
    }
    close(crashing);
    close(healthy);
}

/* A handler may go on after its answer; the next request has its own. */
static void forgets_handlers_that_have_answered(void **state) {
    int fd = client();
    (void)state;
    for (int i = 0; i < 5; i++) {
        get(fd, "/linger");
        expect(fd, 200, "");
        get(fd, "/hello");
        expect(fd, 200, "hello");
    }
    close(fd);
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    assert_int_equal(atomic_load(&handlers_alive), 5);
}

/* ---- framing ---- */

static void answers_head_without_a_body(void **state) {
    struct response response;
    int fd = client();
    (void)state;
    say(fd, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_for(fd, &response, false);
    assert_int_equal(response.status, 200);
    assert_non_null(strstr(response.head, "\r\ncontent-length: 5\r\n"));
    say(fd, "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_for(fd, &response, false);
    assert_int_equal(response.status, 404);
    get(fd, "/hello");
    expect(fd, 200, "hello");
    close(fd);
}

static void follows_the_rules_of_1_0(void **state) {
    struct response response;
    int fd = client();
    (void)state;
    say(fd, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    hear(fd, &response);
    assert_non_null(strstr(response.head, "\r\nconnection: keep-alive\r\n"));
    forget(&response);
    say(fd, "GET /hello HTTP/1.0\r\n\r\n");
    hear(fd, &response);
    assert_non_null(strstr(response.head, "\r\nconnection: close\r\n"));
    forget(&response);
    expect_end(fd);
}

static void closes_when_asked(void **state) {
    int fd = client();
    (void)state;
    say(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, 200, "hello");
    expect_end(fd);
}

static void echoes_chunked_bodies(void **state) {
    int fd = client();
    (void)state;
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    pause_ms(5);
    say(fd, "6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, 200, "hello world");
    expect(fd, 200, "hello");
    close(fd);
}

static void echoes_large_binary_bodies(void **state) {
    enum { BYTES = 3 << 20 };
    unsigned char *bytes = malloc(BYTES);
    struct response response;
    int fd = client();
    (void)state;
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    char head[100];
    int len = snprintf(head, sizeof head,
                       "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BYTES);
    for (int round = 0; round < 2; round++) {
        say_bytes(fd, head, (size_t)len);
        say_bytes(fd, bytes, BYTES);
        hear(fd, &response);
        assert_int_equal(response.status, 200);
        assert_int_equal(response.body_len, BYTES);
        assert_memory_equal(response.body, bytes, BYTES);
        forget(&response);
    }
    close(fd);
    free(bytes);
}

/* More than a socket takes at once. */
static void sends_large_answers_to_slow_readers(void **state) {
    struct response response;
    int fd = client();
    (void)state;
    get(fd, "/much");
    get(fd, "/hello");
    pause_ms(100);
    hear(fd, &response);
    assert_int_equal(response.body_len, BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++) {
        if (response.body[i] != i % 251)
            fail_msg("byte %zu is wrong", i);
    }
    forget(&response);
    expect(fd, 200, "hello");
    close(fd);
}

static void asks_for_bodies(void **state) {
    struct response response;
    int fd = client();
    (void)state;
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    hear_for(fd, &response, false);
    assert_int_equal(response.status, 100);
    say(fd, "abc");
    expect(fd, 200, "abc");
    say(fd,
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
    expect(fd, 200, "abc"); /* it was there already */
    close(fd);
}

static void declines_bodies_that_nobody_takes(void **state) {
    int fd = client();
    (void)state;
    say(fd, "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    expect(fd, 404, "not found");
    say(fd, "POST /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    expect(fd, 404, "not found");
    expect_end(fd);
}

/* ---- refusals ---- */

/* Much more than is read: the answer must arrive all the same. */
static void answers_floods(void **state) {
    static const struct {
        const char *beginning;
        int status;
    } cases[] = {
        {"GET /", 414},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: ", 431},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413},
        {"BAD!", 400},
    };
    char flood[4096];
    (void)state;
    memset(flood, 'x', sizeof flood);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct response response;
        int fd = client();
        say(fd, cases[i].beginning);
        for (int part = 0; part < 64; part++)
            say_bytes(fd, flood, sizeof flood);
        hear(fd, &response);
        assert_int_equal(response.status, cases[i].status);
        assert_non_null(strstr(response.head, "\r\nconnection: close\r\n"));
        forget(&response);
        expect_end(fd);
    }
}

static void answers_incomplete_requests(void **state) {
    int fd = client();
    (void)state;
    say(fd, "GET /hello HTTP/1.1\r\nHost:");
    shutdown(fd, SHUT_WR);
    expect(fd, 400, "bad request");
    expect_end(fd);
}

/* ---- clients that leave ---- */

static void ends_handlers_of_clients_that_left(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        int fd = client();
        get(fd, "/hang");
        WAIT_FOR(atomic_load(&handlers_alive) == 1);
        if (i == 1) { /* with a reset */
            struct linger now = {.l_onoff = 1};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close(fd);
        WAIT_FOR(atomic_load(&handlers_alive) == 0);
        WAIT_FOR(rusm_runtime_process_count(app_runtime) == 0);
        WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    }
}

static void answers_half_closed_clients(void **state) {
    int fd = client();
    (void)state;
    get(fd, "/hello");
    get(fd, "/hello");
    shutdown(fd, SHUT_WR);
    expect(fd, 200, "hello");
    expect(fd, 200, "hello");
    expect_end(fd);
}

static void survives_clients_that_do_not_read(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        int fd = client();
        get(fd, "/much");
        pause_ms(i * 10);
        close(fd);
    }
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    WAIT_FOR(rusm_runtime_process_count(app_runtime) == 0);
}

/* Whoever has the right to kill processes may kill a connection's. */
static void closes_when_its_process_is_killed(void **state) {
    rusm_pid pids[16];
    int fd = client();
    (void)state;
    get(fd, "/hang");
    WAIT_FOR(atomic_load(&handlers_alive) == 1);
    size_t count = rusm_pid_list(app_runtime, pids, 16);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++)
        rusm_pid_kill(app_runtime, pids[i]);
    char byte;
    ssize_t got;
    while ((got = recv(fd, &byte, 1, 0)) > 0) /* the handler may have gone first: 502 */
        continue;
    assert_true(got == 0 || errno == ECONNRESET);
    close(fd);
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    WAIT_FOR(rusm_runtime_process_count(app_runtime) == 0);
}

/* ---- the log ---- */

static void logs_requests(void **state) {
    int ends[2], fd = client();
    char text[4096];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(rusm__log_start(ends[1], RUSM__LOG_INFO), RUSM_OK);
    get(fd, "/hello?x=1");
    expect(fd, 200, "hello");
    get(fd, "/none");
    expect(fd, 404, "not found");
    say(fd, "nonsense\r\n");
    expect(fd, 400, "bad request");
    rusm__log_stop();
    close(ends[1]);
    close(fd);
    size_t len = 0;
    ssize_t got;
    while ((got = read(ends[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(ends[0]);
    assert_non_null(strstr(text, " rusm           http   GET /hello?x=1 → 200\n"));
    assert_non_null(strstr(text, " rusm           http   GET /none → 404\n"));
    assert_non_null(strstr(text, " rusm           http   (no request line) → 400\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, app_start, app_stop)
        TEST(answers_and_leaves_nothing),
        TEST(keeps_connections),
        TEST(answers_in_order),
        TEST(bears_long_pipelines),
        TEST(spawns_nothing_without_a_route),
        TEST(says_what_handlers_do_wrong),
        TEST(asks_to_retry_when_full),
        TEST(takes_replies_from_the_handler_only),
        TEST(keeps_crashes_apart),
        TEST(forgets_handlers_that_have_answered),
        TEST(answers_head_without_a_body),
        TEST(follows_the_rules_of_1_0),
        TEST(closes_when_asked),
        TEST(echoes_chunked_bodies),
        TEST(echoes_large_binary_bodies),
        TEST(sends_large_answers_to_slow_readers),
        TEST(asks_for_bodies),
        TEST(declines_bodies_that_nobody_takes),
        TEST(answers_floods),
        TEST(answers_incomplete_requests),
        TEST(ends_handlers_of_clients_that_left),
        TEST(answers_half_closed_clients),
        TEST(survives_clients_that_do_not_read),
        TEST(closes_when_its_process_is_killed),
        TEST(logs_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
