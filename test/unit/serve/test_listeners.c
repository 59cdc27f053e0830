/* SPDX-License-Identifier: MIT */
/* Ports, caps on connections, start and stop. */
#include "app.h"

#include <pthread.h>

#include "serve/serve_impl.h"

/* ---- ports ---- */

static struct rusm__serve *new_serve(void) {
    struct rusm__serve_options options = {.runtime = app_runtime};
    struct rusm__serve *serve;
    assert_int_equal(rusm__serve_new(&options, &serve), RUSM_OK);
    return serve;
}

static int bind_to(struct rusm__serve *serve, const char *listen, char *text, size_t size) {
    struct rusm__serve_listener listener = {
        .listen = listen, .name = "shop", .router = {app_match, app_allow, NULL}};
    struct rusm__buf error;
    rusm__buf_init(&error);
    int code = rusm__serve_bind(serve, &listener, &error);
    snprintf(text, size, "%s", rusm__buf_cstr(&error));
    rusm__buf_fini(&error);
    return code;
}

static int start_runtime(void **state) {
    rusm_runtime_options runtime = {.size = sizeof runtime, .schedulers = 2};
    (void)state;
    assert_int_equal(rusm_runtime_start(&runtime, &app_runtime), RUSM_OK);
    return 0;
}

static int stop_runtime(void **state) {
    (void)state;
    rusm_runtime_stop(app_runtime);
    return 0;
}

static void finds_ports_in_use(void **state) {
    struct rusm__serve *first = new_serve(), *second = new_serve();
    char text[300], listen[32], expected[300];
    (void)state;
    assert_int_equal(bind_to(first, "127.0.0.1:0", text, sizeof text), RUSM_OK);
    const char *url = rusm__serve_url(first, 0);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port_of(url));
    assert_int_equal(bind_to(second, listen, text, sizeof text), RUSM_EBUSY);
    snprintf(expected, sizeof expected,
             "binding %s for `shop`: Address already in use (stop the program that uses the port, "
             "or change `listen`)",
             listen);
    assert_string_equal(text, expected);
    assert_int_equal(rusm__serve_listener_count(second), 0);
    rusm__serve_free(first);
    assert_int_equal(bind_to(second, listen, text, sizeof text), RUSM_OK); /* free again */
    rusm__serve_free(second);
}

static void finds_ports_of_other_programs(void **state) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char text[300], wanted[32];
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one); /* even one that would share */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    struct rusm__serve *serve = new_serve();
    snprintf(wanted, sizeof wanted, "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(bind_to(serve, wanted, text, sizeof text), RUSM_EBUSY);
    rusm__serve_free(serve);
    close(fd);
}

static void explains_bad_addresses(void **state) {
    static const struct {
        const char *listen, *text;
        int code;
    } cases[] = {
        {"nonsense", "binding nonsense for `shop`: not of the form host:port", RUSM_EINVAL},
        {":80", "binding :80 for `shop`: not of the form host:port", RUSM_EINVAL},
        {"127.0.0.1:", "binding 127.0.0.1: for `shop`: not of the form host:port", RUSM_EINVAL},
        {"127.0.0.1:65536", "binding 127.0.0.1:65536 for `shop`: not of the form host:port",
         RUSM_EINVAL},
        {"192.0.2.1:0", /* an address for documentation, which nobody has */
         "binding 192.0.2.1:0 for `shop`: Cannot assign requested address (no network interface "
         "has "
         "this address; use 127.0.0.1, or 0.0.0.0 for all)",
         RUSM_EINVAL},
    };
    struct rusm__serve *serve = new_serve();
    char text[300];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(bind_to(serve, cases[i].listen, text, sizeof text), cases[i].code);
        assert_string_equal(text, cases[i].text);
    }
    assert_int_equal(rusm__serve_listener_count(serve), 0);
    rusm__serve_free(serve);
}

static void knows_its_urls(void **state) {
    struct rusm__serve *serve = new_serve();
    char text[300], expected[64];
    (void)state;
    assert_int_equal(bind_to(serve, "localhost:0", text, sizeof text), RUSM_OK);
    snprintf(expected, sizeof expected, "%u", port_of(rusm__serve_url(serve, 0)));
    assert_string_not_equal(expected, "0");
    if (bind_to(serve, "[::1]:0", text, sizeof text) == RUSM_OK) /* a machine may lack IPv6 */
        assert_memory_equal(rusm__serve_url(serve, 1), "http://[::1]:", 13);
    rusm__serve_free(serve);
}

/* ---- caps ---- */

static int start_with_one_connection(void **state) {
    (void)state;
    app_start_with(NULL, 1, 2);
    return 0;
}

static void caps_connections(void **state) {
    int first = client();
    (void)state;
    get(first, "/hello");
    expect(first, 200, "hello");
    for (int i = 0; i < 10; i++) {
        char byte;
        int second = client();
        assert_true(recv(second, &byte, 1, 0) <= 0); /* closed without a byte */
        close(second);
    }
    get(first, "/hello");
    expect(first, 200, "hello");
    close(first);
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    int third = client();
    get(third, "/hello");
    expect(third, 200, "hello");
    close(third);
}

/* The kernel deals connections out by chance; few of them must not end up on one scheduler. */
static void spreads_few_connections(void **state) {
    int fds[16];
    (void)state;
    for (int i = 0; i < 16; i++) {
        fds[i] = client();
        get(fds[i], "/hello");
        expect(fds[i], 200, "hello");
    }
    for (uint32_t i = 0; i < 2; i++)
        assert_in_range(atomic_load(&app_serve->shards[i].connections), 6, 10);
    for (int i = 0; i < 16; i++)
        close(fds[i]);
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(atomic_load(&app_serve->shards[i].connections), 0);
}

/* ---- stop ---- */

static void closes_idle_connections_on_stop(void **state) {
    int fresh = client(), used = client();
    (void)state;
    get(used, "/hello");
    expect(used, 200, "hello");
    WAIT_FOR(rusm__serve_connections(app_serve) == 2);
    assert_int_equal(rusm__serve_stop(app_serve, 20000), RUSM_OK);
    expect_end(fresh);
    expect_end(used);
    assert_int_equal(rusm__serve_stop(app_serve, 0), RUSM_OK); /* twice is no harm */
}

static void *release_later(void *arg) {
    rusm_pid pid = *(rusm_pid *)arg;
    pause_ms(100);
    rusm_pid_kill(app_runtime, pid);
    return NULL;
}

/* The one of the two processes that the test did not see before. */
static rusm_pid other_pid(rusm_pid known) {
    rusm_pid pids[2];
    assert_int_equal(rusm_pid_list(app_runtime, pids, 2), 2);
    return pids[0] == known ? pids[1] : pids[0];
}

static void lets_requests_finish_on_stop(void **state) {
    struct response response;
    rusm_pid connection, handler;
    pthread_t releaser;
    int fd = client();
    (void)state;
    WAIT_FOR(rusm_pid_list(app_runtime, &connection, 1) == 1);
    get(fd, "/hang");
    WAIT_FOR(atomic_load(&handlers_alive) == 1);
    handler = other_pid(connection);
    assert_int_equal(pthread_create(&releaser, NULL, release_later, &handler), 0);
    assert_int_equal(rusm__serve_stop(app_serve, 20000), RUSM_OK);
    pthread_join(releaser, NULL);
    hear(fd, &response); /* an answer, if not a good one */
    assert_int_equal(response.status, 502);
    assert_non_null(strstr(response.head, "\r\nconnection: close\r\n"));
    forget(&response);
    expect_end(fd);
}

static void ends_requests_after_the_grace(void **state) {
    char byte;
    int fd = client();
    (void)state;
    get(fd, "/hang");
    WAIT_FOR(atomic_load(&handlers_alive) == 1);
    assert_int_equal(rusm__serve_stop(app_serve, 20), RUSM_OK);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    WAIT_FOR(rusm_runtime_process_count(app_runtime) == 0);
}

static void accepts_nobody_after_stop(void **state) {
    (void)state;
    assert_int_equal(rusm__serve_stop(app_serve, 0), RUSM_OK);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)app_port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), -1);
    close(fd);
}

/* ---- all at once ---- */

struct crowd {
    unsigned seed;
    bool failed;
};

static unsigned draw(unsigned *seed) {
    return *seed = *seed * 1664525u + 1013904223u;
}

/* Connects, asks for this and that, and often leaves without waiting. */
static void *member(void *arg) {
    static const char *const paths[] = {"/hello", "/none", "/crash", "/silent", "/some", "/hang"};
    struct crowd *crowd = arg;
    for (int i = 0; i < 150; i++) {
        int fd = client();
        unsigned requests = 1 + (draw(&crowd->seed) >> 20) % 4;
        bool stays = false;
        for (unsigned r = 0; r < requests; r++) {
            unsigned what = (draw(&crowd->seed) >> 20) % 6;
            get(fd, paths[what]);
            stays = what == 0 && r == 0;
        }
        if (stays) {
            char text[16] = {0};
            ssize_t got = recv(fd, text, sizeof text - 1, 0);
            crowd->failed |= got < 15 || memcmp(text, "HTTP/1.1 200 OK", 15) != 0;
        }
        close(fd);
    }
    return NULL;
}

static void leaves_nothing_behind_a_crowd(void **state) {
    struct crowd crowds[4];
    pthread_t threads[4];
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){.seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, member, &crowds[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(crowds[i].failed);
    }
    WAIT_FOR(rusm__serve_connections(app_serve) == 0);
    WAIT_FOR(atomic_load(&handlers_alive) == 0);
    WAIT_FOR(rusm_runtime_process_count(app_runtime) == 0);
}

/* The node goes down while they are at it: whatever they get, nothing hangs or leaks. */
static void *leaver(void *arg) {
    char text[4096];
    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct sockaddr_in address = {
            .sin_family = AF_INET,
            .sin_port = htons((uint16_t)app_port),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        struct timeval patience = {.tv_sec = 20};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
            send(fd, "GET /hello HTTP/1.0\r\n\r\n", 23, MSG_NOSIGNAL) == 23) {
            while (recv(fd, text, sizeof text, 0) > 0)
                continue;
        }
        close(fd);
    }
    return NULL;
}

static void stops_under_load(void **state) {
    pthread_t threads[4];
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, leaver, NULL), 0);
    pause_ms(20);
    assert_int_equal(rusm__serve_stop(app_serve, 50), RUSM_OK);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name, start, stop) cmocka_unit_test_setup_teardown(name, start, stop)
        TEST(finds_ports_in_use, start_runtime, stop_runtime),
        TEST(finds_ports_of_other_programs, start_runtime, stop_runtime),
        TEST(explains_bad_addresses, start_runtime, stop_runtime),
        TEST(knows_its_urls, start_runtime, stop_runtime),
        TEST(caps_connections, start_with_one_connection, app_stop),
        TEST(spreads_few_connections, app_start, app_stop),
        TEST(closes_idle_connections_on_stop, app_start, app_stop),
        TEST(lets_requests_finish_on_stop, app_start, app_stop),
        TEST(ends_requests_after_the_grace, app_start, app_stop),
        TEST(accepts_nobody_after_stop, app_start, app_stop),
        TEST(leaves_nothing_behind_a_crowd, app_start, app_stop),
        TEST(stops_under_load, app_start, app_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
