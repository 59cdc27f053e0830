/* SPDX-License-Identifier: MIT */
/* What happens to those who take too long. Limits are short here where nothing else has to be done
 * within them, and long where a busy machine must not miss them; no test asserts that something was
 * fast, only that it comes at all and in the right form. */
#include "app.h"

static int start_with(struct rusm__serve_limits limits) {
    app_start_with(&limits, 0, 1);
    return 0;
}

static int start_with_short_heads(void **state) {
    (void)state;
    return start_with((struct rusm__serve_limits){.head_ms = 50});
}

static void gives_up_on_slow_heads(void **state) {
    int silent = client(), slow = client();
    (void)state;
    say(slow, "GET /hello HTTP/1.1\r\nHost: ");
    expect(slow, 408, "the request took too long");
    expect_end(slow);
    get(silent, "/hello"); /* has said nothing so far, which is no offence yet */
    expect(silent, 200, "hello");
    close(silent);
}

static int start_with_short_bodies(void **state) {
    (void)state;
    return start_with((struct rusm__serve_limits){.body_ms = 200});
}

static void gives_up_on_slow_bodies(void **state) {
    int fd = client();
    (void)state;
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    expect(fd, 408, "the request took too long");
    expect_end(fd);
}

static int start_with_short_handlers(void **state) {
    (void)state;
    return start_with((struct rusm__serve_limits){.handler_ms = 1000});
}

static void gives_up_on_slow_handlers(void **state) {
    int fd = client();
    (void)state;
    get(fd, "/hang");
    expect(fd, 504, "handler took too long");
    WAIT_FOR(atomic_load(&handlers_alive) == 0);
    get(fd, "/hello"); /* the connection has done nothing wrong */
    expect(fd, 200, "hello");
    close(fd);
}

static void goes_on_with_the_pipeline_after_a_slow_handler(void **state) {
    int fd = client();
    (void)state;
    get(fd, "/hang");
    get(fd, "/hello");
    get(fd, "/hang");
    get(fd, "/none");
    expect(fd, 504, "handler took too long");
    expect(fd, 200, "hello");
    expect(fd, 504, "handler took too long");
    expect(fd, 404, "not found");
    close(fd);
}

static int start_with_short_patience(void **state) {
    (void)state;
    return start_with((struct rusm__serve_limits){.idle_ms = 2000, .linger_ms = 50});
}

static void closes_idle_connections(void **state) {
    int fresh = client(), used = client();
    (void)state;
    get(used, "/hello");
    expect(used, 200, "hello");
    expect_end(used);
    expect_end(fresh);
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
}

static void lingers_only_so_long(void **state) {
    int fd = client();
    (void)state;
    say(fd, "nonsense");
    expect(fd, 400, "bad request");
    WAIT_FOR(rusm__serve_connections(app_serve) == 0); /* although we have not closed */
    close(fd);
}

static int start_with_short_writes(void **state) {
    (void)state;
    return start_with((struct rusm__serve_limits){.write_ms = 100});
}

static void drops_clients_that_stop_reading(void **state) {
    int fd = client();
    char first;
    (void)state;
    get(fd, "/much");
    assert_int_equal(recv(fd, &first, 1, 0), 1); /* it has begun to answer */
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name, start) cmocka_unit_test_setup_teardown(name, start, app_stop)
        TEST(gives_up_on_slow_heads, start_with_short_heads),
        TEST(gives_up_on_slow_bodies, start_with_short_bodies),
        TEST(gives_up_on_slow_handlers, start_with_short_handlers),
        TEST(goes_on_with_the_pipeline_after_a_slow_handler, start_with_short_handlers),
        TEST(closes_idle_connections, start_with_short_patience),
        TEST(lingers_only_so_long, start_with_short_patience),
        TEST(drops_clients_that_stop_reading, start_with_short_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
