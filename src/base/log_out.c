/* SPDX-License-Identifier: MIT */
/* Writing to a descriptor that belongs to others as well: never blocking, and never changing the
 * flags that they share. A pipe or a terminal can be opened a second time through /proc, which
 * makes a description of our own with flags of its own; a socket takes a flag with each call; a
 * file never keeps a writer waiting. */
#include "base/log_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long to look away when poll says "ready" and write says "not now". */
enum { AGAIN_MS = 10 };

bool rusm__log_wake_open(struct rusm__log_wake *wake) {
    wake->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wake->fd >= 0;
}

void rusm__log_wake_up(struct rusm__log_wake *wake) {
    ssize_t got = write(wake->fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)got; /* it fails only when the counter is full, and then the writer is awake */
}

static void take_wake_up(struct rusm__log_wake *wake) {
    uint64_t count;
    ssize_t got = read(wake->fd, &count, sizeof count);
    (void)got; /* fails when there was none */
}

void rusm__log_wake_wait(struct rusm__log_wake *wake) {
    struct pollfd ready = {.fd = wake->fd, .events = POLLIN};
    while (poll(&ready, 1, -1) < 0 && errno == EINTR)
        continue;
    take_wake_up(wake);
}

static int open_again(int fd, mode_t mode) {
    char path[32];
    if (!S_ISFIFO(mode) && !(S_ISCHR(mode) && isatty(fd)))
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void rusm__log_out_open(struct rusm__log_out *out, int fd) {
    struct stat info;
    *out = (struct rusm__log_out){.fd = fd, .may_block = true};
    if (fstat(fd, &info) < 0)
        return; /* not open: the first write says so */
    out->is_socket = S_ISSOCK(info.st_mode);
    int own = open_again(fd, info.st_mode);
    if (own >= 0) {
        out->fd = own;
        out->own = true;
    }
    out->may_block = !out->own && !out->is_socket;
}

void rusm__log_out_close(struct rusm__log_out *out) {
    if (out->own)
        close(out->fd);
    out->own = false;
}

static ssize_t write_now(struct rusm__log_out *out, const void *data, size_t len) {
    if (out->is_socket)
        return send(out->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(out->fd, data, len);
}

ssize_t rusm__log_out_write(struct rusm__log_out *out, struct rusm__log_wake *wake,
                            const void *data, size_t len) {
    struct pollfd fds[2] = {{.fd = out->fd, .events = POLLOUT}, {.fd = wake->fd, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0)
        return errno == EINTR ? 0 : -1;
    if (fds[1].revents)
        take_wake_up(wake);
    if (!fds[0].revents)
        return 0;
    ssize_t got = write_now(out, data, len);
    if (got >= 0)
        return got;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        poll(&fds[1], 1, AGAIN_MS); /* somebody else took the room; do not spin against them */
    else if (errno != EINTR)
        return -1;
    return 0;
}
