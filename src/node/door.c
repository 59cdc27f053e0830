/* SPDX-License-Identifier: MIT */
/* The node's side of the door: one thread that answers one caller at a time. A caller that stalls
 * is dropped after five seconds, so another one waits no longer than that for each in front. */
#include "node/door.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

enum { CALLERS = 16, STALL_MS = 5000 };

struct rusm__door {
    struct rusm__kv *kv;
    struct rusm__kv_reader *reader; /* the thread's */
    struct sockaddr_un address;
    int folder_fd; /* keeps the address valid */
    int listen_fd;
    int stop_fd; /* an eventfd: readable once the door closes */
    pthread_t thread;
};

/* ---- answering ---- */

/* One ask. False: the caller is gone, stalls, or talks nonsense. */
static bool answer_one(struct rusm__door *door, int fd, struct rusm__buf *room,
                       struct rusm__door_answer *answer) {
    struct rusm__door_io io = {.fd = fd,
                               .stop_fd = door->stop_fd,
                               .deadline_ns = rusm__deadline_ms(rusm__clock_ns(), STALL_MS)};
    struct rusm__door_ask ask;
    int code = rusm__door_recv_ask(&io, room, &ask);
    if (code == RUSM_OK) {
        rusm__door_perform(door->kv, door->reader, &ask, answer);
    } else if (code == RUSM_ETOOBIG || code == RUSM_ENOMEM) {
        answer->code = code;
        answer->found = false;
        rusm__buf_clear(&answer->body);
    } else {
        return false;
    }
    io.stop_fd = -1; /* what was done is told, also while the node stops */
    io.deadline_ns = rusm__deadline_ms(rusm__clock_ns(), STALL_MS);
    return rusm__door_send_answer(&io, answer) == RUSM_OK && code == RUSM_OK;
}

static void serve(struct rusm__door *door, int fd) {
    struct rusm__buf room;
    struct rusm__door_answer answer = {0};
    rusm__buf_init(&room);
    rusm__buf_init(&answer.body);
    while (answer_one(door, fd, &room, &answer))
        continue;
    rusm__buf_fini(&answer.body);
    rusm__buf_fini(&room);
}

static void *door_main(void *arg) {
    struct rusm__door *door = arg;
    struct pollfd fds[2] = {{.fd = door->listen_fd, .events = POLLIN},
                            {.fd = door->stop_fd, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, 2, -1);
        if (ready > 0 && fds[1].revents)
            return NULL;
        int fd = ready > 0 ? accept4(door->listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0) {
            serve(door, fd);
            close(fd);
        } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            poll(&fds[1], 1, 100); /* no descriptor, no memory: the caller stays; do not spin */
        }
    }
}

/* ---- opening and closing ---- */

static int fail(struct rusm__kv_error *error, const char *store_path, const char *why) {
    snprintf(error->text, sizeof error->text, "opening the socket at %.160s-sock failed: %s",
             store_path, why);
    return RUSM_EIO;
}

/* The mode is set before the name is there, so nobody comes in between. */
static int listen_at(struct rusm__door *door) {
    const struct sockaddr *address = (const struct sockaddr *)&door->address;
    door->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (door->listen_fd < 0 || fchmod(door->listen_fd, 0600) < 0)
        return errno;
    if (unlink(door->address.sun_path) < 0 && errno != ENOENT) /* of a node that was killed */
        return errno;
    if (bind(door->listen_fd, address, sizeof door->address) < 0 ||
        listen(door->listen_fd, CALLERS) < 0)
        return errno;
    return 0;
}

/* Everything but the thread. */
static void release(struct rusm__door *door) {
    rusm__kv_reader_free(door->reader);
    if (door->listen_fd >= 0) {
        unlink(door->address.sun_path);
        close(door->listen_fd);
    }
    if (door->stop_fd >= 0)
        close(door->stop_fd);
    if (door->folder_fd >= 0)
        close(door->folder_fd);
    rusm__mem_free(door);
}

static int open_all(struct rusm__door *door, const char *store_path, struct rusm__kv_error *error) {
    int code = rusm__door_address(store_path, &door->folder_fd, &door->address);
    if (code < 0)
        return fail(error, store_path,
                    code == RUSM_ETOOBIG ? "the file's name is too long; choose a shorter one"
                                         : strerror(errno));
    code = rusm__kv_reader_new(door->kv, &door->reader, error);
    if (code < 0)
        return code;
    door->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = door->stop_fd < 0 ? errno : listen_at(door);
    if (!failed && rusm__thread_start(&door->thread, "rusm-door", door_main, door) < 0)
        failed = errno;
    return failed ? fail(error, store_path, strerror(failed)) : RUSM_OK;
}

int rusm__door_open(const char *store_path, struct rusm__kv *kv, struct rusm__door **out_door,
                    struct rusm__kv_error *out_error) {
    *out_door = NULL;
    struct rusm__door *door = rusm__mem_try_zalloc(sizeof *door);
    if (!door) {
        snprintf(out_error->text, sizeof out_error->text, "out of memory");
        return RUSM_ENOMEM;
    }
    door->kv = kv;
    door->folder_fd = door->listen_fd = door->stop_fd = -1;
    int code = open_all(door, store_path, out_error);
    if (code < 0)
        release(door);
    else
        *out_door = door;
    return code;
}

void rusm__door_close(struct rusm__door *door) {
    if (!door)
        return;
    eventfd_write(door->stop_fd, 1);
    pthread_join(door->thread, NULL);
    release(door);
}
