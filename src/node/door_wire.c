/* SPDX-License-Identifier: MIT */
/* Both ends of the socket: whole messages, bounded, with a deadline on everything. */
#include "node/door.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/clock.h"

enum { HEAD = 16, MAX_BODY = (16 << 20) + (1 << 16), CONNECT_S = 20 };

static const unsigned char magic[4] = {'R', 'K', 'V', '1'};

/* ---- bytes ---- */

static int wait_for(const struct rusm__door_io *io, short events) {
    struct pollfd fds[2] = {{.fd = io->fd, .events = events},
                            {.fd = io->stop_fd, .events = POLLIN}};
    uint64_t now_ns = rusm__clock_ns();
    if (now_ns >= io->deadline_ns)
        return RUSM_ETIMEDOUT;
    uint64_t left_ms = (io->deadline_ns - now_ns + RUSM__MS - 1) / RUSM__MS;
    int ready = poll(fds, 2, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
    if (ready < 0 && errno != EINTR)
        return RUSM_EIO;
    return ready > 0 && fds[1].revents ? RUSM_ECLOSED : RUSM_OK;
}

/* What a call that moved nothing means; RUSM_OK: try again. */
static int after_nothing(const struct rusm__door_io *io, short events) {
    if (errno == EAGAIN)
        return wait_for(io, events);
    if (errno == EINTR)
        return RUSM_OK;
    return errno == EPIPE || errno == ECONNRESET ? RUSM_ECLOSED : RUSM_EIO;
}

static int recv_all(const struct rusm__door_io *io, unsigned char *to, size_t len) {
    while (len) {
        ssize_t got = recv(io->fd, to, len, MSG_DONTWAIT);
        if (got == 0)
            return RUSM_ECLOSED;
        int code = got < 0 ? after_nothing(io, POLLIN) : RUSM_OK;
        if (code < 0)
            return code;
        to += got > 0 ? got : 0;
        len -= got > 0 ? (size_t)got : 0;
    }
    return RUSM_OK;
}

static int send_all(const struct rusm__door_io *io, const unsigned char *from, size_t len) {
    while (len) {
        ssize_t put = send(io->fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        int code = put < 0 ? after_nothing(io, POLLOUT) : RUSM_OK;
        if (code < 0)
            return code;
        from += put > 0 ? put : 0;
        len -= put > 0 ? (size_t)put : 0;
    }
    return RUSM_OK;
}

static void put(unsigned char *at, uint32_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t take(const unsigned char *at, unsigned bytes) {
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)at[i] << (8 * i);
    return value;
}

/* Read so many bytes into an empty buffer. */
static int recv_into(const struct rusm__door_io *io, struct rusm__buf *room, size_t len) {
    rusm__buf_clear(room);
    if (!rusm__buf_reserve(room, len + 1)) /* never NULL */
        return RUSM_ENOMEM;
    int code = recv_all(io, room->data, len);
    if (code == RUSM_OK)
        room->len = len;
    return code;
}

/* ---- asks ---- */

static int send_ask(const struct rusm__door_io *io, const struct rusm__door_ask *ask) {
    unsigned char head[HEAD] = {0};
    if (ask->bucket.len > RUSM__KV_MAX_KEY_BYTES || ask->key.len > RUSM__KV_MAX_KEY_BYTES ||
        ask->value.len > RUSM__DOOR_MAX_VALUE)
        return RUSM_ETOOBIG;
    memcpy(head, magic, sizeof magic);
    head[4] = (unsigned char)ask->op;
    head[5] = ask->has_after;
    put(head + 6, (uint32_t)ask->bucket.len, 2);
    put(head + 8, (uint32_t)ask->key.len, 2);
    put(head + 12, (uint32_t)ask->value.len, 4);
    int code = send_all(io, head, HEAD);
    if (code == RUSM_OK)
        code = send_all(io, ask->bucket.ptr, ask->bucket.len);
    if (code == RUSM_OK)
        code = send_all(io, ask->key.ptr, ask->key.len);
    return code == RUSM_OK ? send_all(io, ask->value.ptr, ask->value.len) : code;
}

int rusm__door_recv_ask(const struct rusm__door_io *io, struct rusm__buf *room,
                        struct rusm__door_ask *out_ask) {
    unsigned char head[HEAD];
    int code = recv_all(io, head, HEAD);
    if (code < 0)
        return code;
    size_t bucket = take(head + 6, 2), key = take(head + 8, 2), value = take(head + 12, 4);
    if (memcmp(head, magic, sizeof magic) != 0 || head[4] < RUSM__DOOR_GET ||
        head[4] > RUSM__DOOR_KEYS || bucket > RUSM__KV_MAX_KEY_BYTES ||
        key > RUSM__KV_MAX_KEY_BYTES)
        return RUSM_EIO;
    if (value > RUSM__DOOR_MAX_VALUE)
        return RUSM_ETOOBIG;
    code = recv_into(io, room, bucket + key + value);
    *out_ask = (struct rusm__door_ask){.op = (enum rusm__door_op)head[4],
                                       .has_after = head[5] != 0,
                                       .bucket = {room->data, bucket},
                                       .key = {room->data + bucket, key},
                                       .value = {room->data + bucket + key, value}};
    return code;
}

/* ---- answers ---- */

int rusm__door_send_answer(const struct rusm__door_io *io, const struct rusm__door_answer *answer) {
    unsigned char head[HEAD] = {0};
    memcpy(head, magic, sizeof magic);
    put(head + 4, (uint32_t)answer->code, 4);
    head[8] = answer->found;
    put(head + 12, (uint32_t)answer->body.len, 4);
    int code = send_all(io, head, HEAD);
    return code == RUSM_OK ? send_all(io, answer->body.data, answer->body.len) : code;
}

static int recv_answer(const struct rusm__door_io *io, struct rusm__door_answer *answer) {
    unsigned char head[HEAD];
    int code = recv_all(io, head, HEAD);
    if (code < 0)
        return code;
    size_t len = take(head + 12, 4);
    if (memcmp(head, magic, sizeof magic) != 0 || len > MAX_BODY)
        return RUSM_EIO;
    answer->code = (int)take(head + 4, 4);
    answer->found = head[8] != 0;
    return recv_into(io, &answer->body, len);
}

int rusm__door_call(int fd, const struct rusm__door_ask *ask, struct rusm__door_answer *answer) {
    const struct rusm__door_io io = {
        .fd = fd,
        .stop_fd = -1,
        /* The node has the same time for the disk; its word should arrive. */
        .deadline_ns = rusm__deadline_ms(rusm__clock_ns(), RUSM__DOOR_CALL_MS + 5000u),
    };
    int code = send_ask(&io, ask);
    return code == RUSM_OK ? recv_answer(&io, answer) : code;
}

/* ---- the address ---- */

int rusm__door_address(const char *store_path, int *out_folder_fd, struct sockaddr_un *out) {
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(store_path, '/');
    const char *name = slash ? slash + 1 : store_path;
    *out_folder_fd = -1;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (slash && snprintf(folder, sizeof folder, "%.*s", (int)(slash - store_path + 1),
                          store_path) >= PATH_MAX)
        return RUSM_ETOOBIG;
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return RUSM_EIO;
    int len = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s-sock", fd, name);
    if (len >= (int)sizeof out->sun_path) {
        close(fd);
        return RUSM_ETOOBIG;
    }
    *out_folder_fd = fd;
    return RUSM_OK;
}

/* As many as may wait at the door may do so already. */
static int limit_connecting(int fd) {
    const struct timeval limit = {.tv_sec = CONNECT_S};
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

int rusm__door_connect(const char *store_path, int *out_fd) {
    struct sockaddr_un address;
    int folder;
    *out_fd = -1;
    int code = rusm__door_address(store_path, &folder, &address);
    if (code < 0)
        return code;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || limit_connecting(fd) < 0)
        code = RUSM_EIO;
    else if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        code = errno == EAGAIN ? RUSM_ETIMEDOUT : RUSM_ENOTFOUND;
    close(folder);
    if (code == RUSM_OK)
        *out_fd = fd;
    else if (fd >= 0)
        close(fd);
    return code;
}
