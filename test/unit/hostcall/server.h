/* SPDX-License-Identifier: MIT */
/* A small HTTP server on a loopback port of the system's choice, for tests of the client. One
 * connection at a time, one request each; what it answers depends on the path alone:
 *
 *   /hi       200 and the body that the test gave      /missing  404
 *   /there    302 to /hi                               /round    302 to /round
 *   /away     302 to the same port on 127.0.0.2        /large    200 and 17 MiB announced
 *   /beside   302 to //elsewhere/hi
 *   /never    nothing until the server ends; a client that leaves ends it, too */
#ifndef RUSM_TEST_SERVER_H
#define RUSM_TEST_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

struct server {
    int fd;
    int port;
    pthread_t thread;
    const char *body;      /* of /hi */
    _Atomic unsigned asks; /* requests that have come; any order, tests poll it */
    _Atomic bool over;     /* likewise */
};

static void server_send(int fd, const char *text, size_t len) {
    while (len) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the client has left, which some tests want */
        text += sent;
        len -= (size_t)sent;
    }
}

/* Until the head is there, the client leaves or the server ends. False: the latter two. */
static bool server_wait(struct server *s, int fd, char *head, size_t size) {
    size_t len = 0;
    while (!atomic_load(&s->over) && len + 1 < size) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 20) == 0)
            continue;
        ssize_t got = recv(fd, head + len, size - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
        head[len] = '\0';
        if (strstr(head, "\r\n\r\n"))
            return true;
    }
    return false;
}

static void server_answer(struct server *s, int fd, const char *head) {
    char text[256];
    if (strncmp(head, "GET /hi ", 8) == 0) {
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                 strlen(s->body));
        server_send(fd, text, strlen(text));
        server_send(fd, s->body, strlen(s->body));
        return;
    }
    const char *answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    if (strncmp(head, "GET /there ", 11) == 0)
        answer = "HTTP/1.1 302 Found\r\nLocation: /hi\r\nContent-Length: 0\r\n\r\n";
    if (strncmp(head, "GET /round ", 11) == 0)
        answer = "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n";
    if (strncmp(head, "GET /beside ", 12) == 0)
        answer = "HTTP/1.1 302 Found\r\nLocation: //elsewhere/hi\r\nContent-Length: 0\r\n\r\n";
    if (strncmp(head, "GET /large ", 11) == 0)
        answer = "HTTP/1.1 200 OK\r\nContent-Length: 17825792\r\n\r\n";
    if (strncmp(head, "GET /away ", 10) == 0) {
        snprintf(text, sizeof(text),
                 "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:%d/hi\r\n"
                 "Content-Length: 0\r\n\r\n",
                 s->port);
        answer = text;
    }
    server_send(fd, answer, strlen(answer));
}

static void server_serve(struct server *s, int fd) {
    char head[4096], rest[16];
    if (server_wait(s, fd, head, sizeof(head))) {
        atomic_fetch_add(&s->asks, 1);
        if (strncmp(head, "GET /never ", 11) == 0)
            (void)server_wait(s, fd, rest, sizeof(rest));
        else
            server_answer(s, fd, head);
    }
    close(fd);
}

static void *server_run(void *arg) {
    struct server *s = arg;
    while (!atomic_load(&s->over)) {
        struct pollfd poll_fd = {.fd = s->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 20) > 0)
            server_serve(s, accept(s->fd, NULL, NULL));
    }
    return NULL;
}

static void server_start(struct server *s, const char *body) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    *s = (struct server){.body = body};
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    s->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_stop(struct server *s) {
    atomic_store(&s->over, true);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#endif
