/* SPDX-License-Identifier: MIT */
/* Not enough of something: memory, files, room for what clients send slowly. */
#include "app.h"

#include <poll.h>
#include <sys/resource.h>

#include "base/log.h"
#include "sched/sched.h"

/* ---- room ---- */

static int start_with_little_room(void **state) {
    struct rusm__serve_limits limits = {.max_body_bytes = 64 << 10, .max_held_bytes = 1};
    (void)state;
    app_start_with(&limits, 0, 1); /* room for two bodies at their limit */
    return 0;
}

static void bounds_what_slow_clients_hold(void **state) {
    enum { CLIENTS = 6, BODY = 60 << 10 };
    static char body[BODY];
    char head[100];
    int fds[CLIENTS], len, held = 0, refused = 0;
    (void)state;
    memset(body, 'b', sizeof body);
    len = snprintf(head, sizeof head,
                   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BODY);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client();
        say_bytes(fds[i], head, (size_t)len);
        say_bytes(fds[i], body, BODY - 1);
    }
    for (int i = 0; i < CLIENTS; i++) {
        struct response response;
        say_bytes(fds[i], body, 1);
        hear(fds[i], &response);
        held += response.status == 200;
        refused += response.status == 503;
        if (response.status == 503)
            assert_non_null(strstr(response.head, "\r\nretry-after: 1\r\n"));
        forget(&response);
        close(fds[i]);
    }
    assert_int_equal(held + refused, CLIENTS);
    assert_true(held >= 1);
    assert_true(refused >= 1);
    int fd = client(); /* the room is free again */
    say_bytes(fd, head, (size_t)len);
    say_bytes(fd, body, BODY);
    struct response response;
    hear(fd, &response);
    assert_int_equal(response.status, 200);
    forget(&response);
    close(fd);
}

/* ---- files ---- */

static int start_one(void **state) {
    (void)state;
    app_start_with(NULL, 0, 1);
    return 0;
}

/* It does not spin: one that does never rests, one that is busy on a busy machine does in the end.
 */
static bool it_rests(void) {
    rusm_runtime_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    assert_int_equal(rusm_runtime_get_stats(app_runtime, &before), RUSM_OK);
    pause_ms(300);
    assert_int_equal(rusm_runtime_get_stats(app_runtime, &after), RUSM_OK);
    return after.sleeps - before.sleeps < 100;
}

/* Connecting needs no new file, accepting does. */
static void waits_for_files(void **state) {
    struct rlimit before, none;
    int fds[4], probe;
    char text[2048] = "";
    int ends[2];
    (void)state;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)app_port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(rusm__log_start(ends[1], RUSM__LOG_WARN), RUSM_OK);
    for (int i = 0; i < 4; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    probe = dup(0);
    close(probe);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)probe;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
        get(fds[i], "/hello");
    }
    struct pollfd told = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&told, 1, 60000), 1); /* it has tried */
    assert_int_equal(rusm__serve_connections(app_serve), 0);
    WAIT_FOR(it_rests());
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 4; i++) {
        expect(fds[i], 200, "hello");
        close(fds[i]);
    }
    rusm__log_stop();
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    assert_non_null(strstr(text, "cannot accept connections: too many open files (raise the limit "
                                 "of open files, or set max_connections)\n"));
    assert_null(strstr(strchr(text, '\n') + 1, "cannot accept")); /* said once */
}

/* ---- memory ---- */

struct order {
    size_t nth;
    _Atomic bool done;
};

static void carry_out(void *arg) {
    struct order *order = arg;
    rusm__mem_fail_nth(order->nth);
    atomic_store(&order->done, true);
}

/* On the only scheduler, from now on; 0: none. */
static void let_fail(size_t nth) {
    struct order order = {.nth = nth};
    assert_int_equal(rusm__sched_post(app_runtime, 0, carry_out, &order), RUSM_OK);
    WAIT_FOR(atomic_load(&order.done));
}

/* The nth allocation fails. The client gets some answer or is cut off; the
 * next one is served as if nothing had happened. */
static void try_with(size_t nth, const char *request) {
    char text[65536];
    int fd = client();
    ssize_t got;
    let_fail(nth);
    say(fd, request);
    shutdown(fd, SHUT_WR);
    while ((got = recv(fd, text, sizeof text, 0)) > 0)
        continue;
    assert_true(got == 0 || errno == ECONNRESET);
    close(fd);
    let_fail(0);
    fd = client();
    get(fd, "/hello");
    expect(fd, 200, "hello");
    close(fd);
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    WAIT_FOR(rusm_runtime_process_count(app_runtime) == 0);
}

static void bears_short_memory(void **state) {
    (void)state;
    for (size_t nth = 1; nth <= 30; nth++)
        try_with(nth,
                 "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /crash HTTP/1.1\r\nHost: a\r\n\r\n");
    for (size_t nth = 1; nth <= 30; nth++)
        try_with(nth, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\nPOST /none HTTP/1.1\r\nHost: a\r\n"
                      "Content-Length: 1\r\n\r\nx");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name, start) cmocka_unit_test_setup_teardown(name, start, app_stop)
        TEST(bounds_what_slow_clients_hold, start_with_little_room),
        TEST(waits_for_files, start_one),
        TEST(bears_short_memory, start_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
