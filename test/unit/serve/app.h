/* SPDX-License-Identifier: MIT */
/* For tests: a serve whose handlers are native processes, and a client. The path names what the
 * handler does, e.g. GET /echo. Everything is on loopback, on ports that the system chose. */
#ifndef RUSM__TEST_SERVE_APP_H
#define RUSM__TEST_SERVE_APP_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/process.h"

#include "base/base64.h"
#include "base/mem.h"
#include "serve/serve.h"

/* ---- handlers ---- */

struct handler {
    const char *action;
    rusm_pid connection;
    bool started;
};

static _Atomic unsigned handlers_alive;

static rusm_pid pid_in(rusm_msg *msg) {
    const char *at = memmem(rusm_msg_data(msg), rusm_msg_len(msg), "\"from\":\"", 8);
    assert_non_null(at);
    return strtoull(at + 8, NULL, 10);
}

static void send_text(rusm_runtime *rt, rusm_pid to, const char *text, size_t len) {
    rusm_msg *msg; /* NULL in tests that let allocations fail: then there is no reply */
    if (rusm_msg_copy(text, len, &msg) != RUSM_OK || rusm_msg_send(rt, to, msg) != RUSM_OK)
        rusm_msg_free(msg);
}

static void reply_with_body(rusm_runtime *rt, rusm_pid to, const void *base64, size_t len) {
    static const char head[] = "{\"ref\":0,\"ok\":{\"status\":200,\"headers\":[],\"body\":\"";
    rusm_msg *msg;
    if (rusm_msg_new(sizeof head - 1 + len + 3, &msg) != RUSM_OK)
        return;
    memcpy(rusm_msg_data(msg), head, sizeof head - 1);
    memcpy(rusm_msg_data(msg) + sizeof head - 1, base64, len);
    memcpy(rusm_msg_data(msg) + sizeof head - 1 + len, "\"}}", 3);
    if (rusm_msg_send(rt, to, msg) != RUSM_OK)
        rusm_msg_free(msg);
}

static void reply_with_echo(rusm_runtime *rt, rusm_pid to, rusm_msg *envelope) {
    const char *text = (const char *)rusm_msg_data(envelope);
    const char *body = memmem(text, rusm_msg_len(envelope), "\"body\":\"", 8);
    assert_non_null(body);
    body += 8;
    reply_with_body(rt, to, body, (size_t)(text + rusm_msg_len(envelope) - 3 - body));
}

/* Each byte is its place modulo 251. */
#define BIG_BYTES (8u << 20)
static void reply_with_much(rusm_runtime *rt, rusm_pid to, size_t count) {
    unsigned char *bytes = malloc(count);
    struct rusm__buf text;
    rusm__buf_init(&text);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(i % 251);
    rusm__base64_encode(&text, bytes, count);
    reply_with_body(rt, to, text.data, text.len);
    rusm__buf_fini(&text);
    free(bytes);
}

/* Somebody else who knows the connection's pid. */
static rusm_step forge(rusm_proc *self, void *body) {
    static const char fake[] = "{\"ok\":{\"status\":200,\"body\":\"ZmFrZQ==\"}}";
    rusm_pid *to = body;
    send_text(rusm_proc_runtime(self), *to, fake, sizeof fake - 1);
    return RUSM_STEP_EXIT;
}

static void drop_forger(void *body) {
    free(body);
}

static void start_forger(rusm_proc *self, rusm_pid connection) {
    static const rusm_body_ops ops = {.name = "forger", .step = forge, .drop = drop_forger};
    rusm_pid *to = malloc(sizeof *to), pid;
    uint64_t ref;
    *to = connection;
    rusm_spawn_options spawn = {.size = sizeof spawn, .ops = &ops, .body = to};
    assert_int_equal(rusm_proc_spawn(rusm_proc_runtime(self), &spawn, &pid), RUSM_OK);
    assert_int_equal(rusm_proc_monitor(self, pid, &ref), RUSM_OK);
}

#define JSON_REPLY(text) send_text(rt, handler->connection, "" text, sizeof(text) - 1)

static rusm_step handle(rusm_proc *self, struct handler *handler, rusm_msg *msg) {
    rusm_runtime *rt = rusm_proc_runtime(self);
    const char *action = handler->action;
    if (strcmp(action, "hello") == 0)
        JSON_REPLY("{\"ref\":0,\"ok\":{\"status\":200,\"headers\":[[\"content-type\",\"text/"
                   "plain\"]],\"body\":\"aGVsbG8=\"}}");
    else if (strcmp(action, "echo") == 0)
        reply_with_echo(rt, handler->connection, msg);
    else if (strcmp(action, "much") == 0)
        reply_with_much(rt, handler->connection, BIG_BYTES);
    else if (strcmp(action, "some") == 0)
        reply_with_much(rt, handler->connection, BIG_BYTES / 32);
    else if (strcmp(action, "err") == 0)
        JSON_REPLY("{\"ref\":0,\"err\":\"no luck\"}");
    else if (strcmp(action, "status") == 0)
        JSON_REPLY("{\"ref\":0,\"ok\":{\"status\":1000}}");
    else if (strcmp(action, "framing") == 0)
        JSON_REPLY("{\"ref\":0,\"ok\":{\"status\":101}}");
    else if (strcmp(action, "garbage") == 0)
        JSON_REPLY("garbage");
    else if (strcmp(action, "nothing") == 0)
        JSON_REPLY("{\"ref\":0}");
    else if (strcmp(action, "crash") == 0)
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "as asked");
    else if (strcmp(action, "cpu") == 0)
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "cpu_limit: as asked");
    else if (strcmp(action, "late") == 0)
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "deadline: as asked");
    else if (strcmp(action, "linger") == 0) {
        JSON_REPLY("{\"ok\":{\"status\":200}}");
        return RUSM_STEP_WAIT;
    } else if (strcmp(action, "hang") == 0)
        return RUSM_STEP_WAIT;
    else if (strcmp(action, "forged") == 0) {
        start_forger(self, handler->connection);
        return RUSM_STEP_WAIT;
    }
    return RUSM_STEP_EXIT; /* "silent" too */
}

static rusm_step handler_step(rusm_proc *self, void *body) {
    struct handler *handler = body;
    rusm_step result = RUSM_STEP_WAIT;
    rusm_msg *msg = rusm_proc_receive(self);
    if (!msg)
        return RUSM_STEP_WAIT;
    rusm_runtime *rt = rusm_proc_runtime(self);
    if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN) { /* the forger has sent its fake */
        JSON_REPLY("{\"ok\":{\"status\":200,\"body\":\"cmVhbA==\"}}");
        result = RUSM_STEP_EXIT;
    } else {
        handler->connection = pid_in(msg);
        result = handle(self, handler, msg);
    }
    rusm_msg_free(msg);
    return result;
}

static void handler_drop(void *body) {
    free(body);
    atomic_fetch_sub(&handlers_alive, 1);
}

static int spawn_handler(const struct rusm__serve_target *target,
                         const struct rusm__serve_start *start, rusm_pid *out_pid) {
    static const rusm_body_ops ops = {
        .name = "handler", .step = handler_step, .drop = handler_drop};
    const char *action = target->data;
    *out_pid = 0;
    if (strcmp(action, "full") == 0)
        return RUSM_ELIMIT;
    if (strcmp(action, "impossible") == 0)
        return RUSM_ENOTSUP;
    struct handler *handler = calloc(1, sizeof *handler);
    handler->action = action;
    rusm_spawn_options spawn = {
        .size = sizeof spawn,
        .ops = &ops,
        .body = handler,
        .first = start->first,
        .monitor_by = start->monitor_by,
        .monitor_ref = start->monitor_ref,
        .flags = RUSM_SPAWN_NEXT,
    };
    atomic_fetch_add(&handlers_alive, 1);
    extern rusm_runtime *app_runtime;
    int code = rusm_proc_spawn(app_runtime, &spawn, out_pid);
    if (code != RUSM_OK)
        handler_drop(handler);
    return code;
}

/* ---- the router ---- */

static const struct {
    const char *path;
    bool post;
} app_routes[] = {
    {"hello", false},   {"echo", true},    {"much", false},    {"some", false},
    {"err", false},     {"status", false}, {"framing", false}, {"garbage", false},
    {"nothing", false}, {"crash", false},  {"linger", false},  {"hang", false},
    {"forged", false},  {"silent", false}, {"full", false},    {"impossible", false},
    {"cpu", false},     {"late", false},
};
#define APP_ROUTES (sizeof app_routes / sizeof *app_routes)
static struct rusm__serve_target app_targets[APP_ROUTES];

static enum rusm__serve_found app_match(const void *data, const char *method, size_t method_len,
                                        const char *path, size_t path_len,
                                        struct rusm__serve_match *out_match) {
    const char *query = memchr(path, '?', path_len);
    size_t len = query ? (size_t)(query - path) : path_len;
    (void)data;
    for (size_t i = 0; i < APP_ROUTES; i++) {
        if (len != strlen(app_routes[i].path) + 1 ||
            memcmp(path + 1, app_routes[i].path, len - 1) != 0)
            continue;
        bool get = method_len == 3 && memcmp(method, "GET", 3) == 0;
        bool head = method_len == 4 && memcmp(method, "HEAD", 4) == 0;
        bool post = method_len == 4 && memcmp(method, "POST", 4) == 0;
        if (app_routes[i].post ? !post : !get && !head)
            return RUSM__SERVE_OTHER_METHOD;
        out_match->target = &app_targets[i];
        out_match->action = app_routes[i].path;
        out_match->action_len = len - 1;
        out_match->param_count = 0;
        return RUSM__SERVE_FOUND;
    }
    return RUSM__SERVE_NO_PATH;
}

static void app_allow(const void *data, const char *path, size_t path_len, struct rusm__buf *out) {
    (void)data;
    (void)path;
    (void)path_len;
    rusm__buf_add_str(out, "GET, HEAD");
}

/* ---- the app ---- */

rusm_runtime *app_runtime;
static struct rusm__serve *app_serve;
static unsigned app_port;

static unsigned port_of(const char *url) {
    return (unsigned)atoi(strrchr(url, ':') + 1);
}

static void app_start_with(const struct rusm__serve_limits *limits, uint64_t max_connections,
                           uint32_t schedulers) {
    static const struct rusm__serve_header headers[] = {{"x-app", "test"}};
    rusm_runtime_options runtime = {.size = sizeof runtime, .schedulers = schedulers};
    assert_int_equal(rusm_runtime_start(&runtime, &app_runtime), RUSM_OK);
    for (size_t i = 0; i < APP_ROUTES; i++)
        app_targets[i] = (struct rusm__serve_target){spawn_handler, (void *)app_routes[i].path};
    struct rusm__serve_options options = {.runtime = app_runtime};
    if (limits)
        options.limits = *limits;
    assert_int_equal(rusm__serve_new(&options, &app_serve), RUSM_OK);
    struct rusm__serve_listener listener = {
        .listen = "127.0.0.1:0",
        .name = "routes",
        .router = {app_match, app_allow, NULL},
        .headers = headers,
        .header_count = 1,
        .max_connections = max_connections,
    };
    struct rusm__buf error;
    rusm__buf_init(&error);
    int code = rusm__serve_bind(app_serve, &listener, &error);
    assert_string_equal(rusm__buf_cstr(&error), "");
    assert_int_equal(code, RUSM_OK);
    assert_int_equal(rusm__serve_start(app_serve, &error), RUSM_OK);
    rusm__buf_fini(&error);
    app_port = port_of(rusm__serve_url(app_serve, 0));
}

__attribute__((unused)) static int app_start(void **state) {
    (void)state;
    app_start_with(NULL, 0, 2);
    return 0;
}

/* Nothing may be left when everything has stopped. */
static int app_stop(void **state) {
    (void)state;
    assert_int_equal(rusm__serve_stop(app_serve, 0), RUSM_OK);
    assert_int_equal(rusm__serve_connections(app_serve), 0);
    rusm__serve_free(app_serve);
    rusm_runtime_stop(app_runtime);
    assert_int_equal(atomic_load(&handlers_alive), 0);
    return 0;
}

static void pause_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Wait, bounded, until `condition` holds. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        for (int tries_ = 0; tries_ < 2000 && !(condition); tries_++)                              \
            pause_ms(10);                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

/* ---- the client ---- */

static int client_to(unsigned port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int client(void) {
    return client_to(app_port);
}

static void say_bytes(int fd, const void *bytes, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t sent = send(fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
}

__attribute__((unused)) static void say(int fd, const char *text) {
    say_bytes(fd, text, strlen(text));
}

struct response {
    int status;
    char head[4096];
    unsigned char *body; /* freed by forget */
    size_t body_len;
};

/* One response; byte by byte in the head, so that nothing of the next one is taken. */
static void hear_for(int fd, struct response *out, bool has_body) {
    size_t len = 0;
    *out = (struct response){0};
    while (len < 4 || memcmp(out->head + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len < sizeof out->head - 1);
        assert_int_equal(recv(fd, out->head + len, 1, 0), 1);
        len++;
    }
    assert_int_equal(sscanf(out->head, "HTTP/1.1 %d ", &out->status), 1);
    const char *length = strstr(out->head, "content-length: ");
    if (!length || !has_body)
        return;
    out->body_len = strtoull(length + 16, NULL, 10);
    out->body = malloc(out->body_len + 1);
    for (size_t at = 0; at < out->body_len;) {
        ssize_t got = recv(fd, out->body + at, out->body_len - at, 0);
        assert_true(got > 0);
        at += (size_t)got;
    }
    out->body[out->body_len] = '\0';
}

static void hear(int fd, struct response *out) {
    hear_for(fd, out, true);
}

static void forget(struct response *response) {
    free(response->body);
    response->body = NULL;
}

/* The next response is this. */
__attribute__((unused)) static void expect(int fd, int status, const char *body) {
    struct response response;
    hear(fd, &response);
    assert_int_equal(response.status, status);
    assert_string_equal(response.body ? (char *)response.body : "", body);
    assert_non_null(strstr(response.head, "\r\nx-app: test\r\n"));
    forget(&response);
}

/* The server has closed, in order. */
__attribute__((unused)) static void expect_end(int fd) {
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

__attribute__((unused)) static void get(int fd, const char *path) {
    char text[200];
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    say_bytes(fd, text, (size_t)len);
}

#endif
