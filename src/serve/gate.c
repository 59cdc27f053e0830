/* SPDX-License-Identifier: MIT */
/* Accepting. Every scheduler has a socket of its own on each port, and the kernel deals new
 * connections out to them by a hash, which is fair for many and not for few. So a shard that has
 * more than its share hands a new connection to the one that has least.
 *
 * The sockets are watched with uv_poll and accepted here rather than by libuv, so that running out
 * of files pauses the gate instead of spinning. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/log.h"
#include "base/mem.h"
#include "sched/sched.h"
#include "serve/conn.h"

enum {
    ACCEPT_AT_ONCE = 64, /* then others get their turn */
    PAUSE_MS = 100,
    WARN_EVERY_MS = 10000,
};

/* ---- counting ---- */

bool rusm__serve_take_slot(_Atomic uint64_t *connections, uint64_t max) {
    /* relaxed: the number itself is all there is to agree on */
    uint64_t now = atomic_load_explicit(connections, memory_order_relaxed);
    do {
        if (now >= max)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(connections, &now, now + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static bool admit(struct rusm__listener *listener) {
    struct rusm__serve *serve = listener->serve;
    if (!rusm__serve_take_slot(&listener->connections, listener->max_connections))
        return false;
    if (rusm__serve_take_slot(&serve->connections, serve->max_connections))
        return true;
    atomic_fetch_sub_explicit(&listener->connections, 1, memory_order_relaxed);
    return false;
}

void rusm__gate_release(struct rusm__shard *shard, struct rusm__listener *listener) {
    atomic_fetch_sub_explicit(&shard->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&listener->connections, 1, memory_order_relaxed);
    rusm__serve_give_slot(shard->serve);
}

/* ---- spreading ---- */

struct transfer {
    struct rusm__shard *shard;
    struct rusm__listener *listener;
    int fd;
};

static uint32_t load_of(const struct rusm__shard *shard) {
    return atomic_load_explicit(&shard->connections, memory_order_relaxed);
}

/* Where it is best off; here, unless the difference is worth the way. */
static struct rusm__shard *choose(struct rusm__shard *here) {
    struct rusm__serve *serve = here->serve;
    struct rusm__shard *best = here;
    for (uint32_t i = 0; i < serve->shard_count; i++) {
        if (load_of(&serve->shards[i]) < load_of(best))
            best = &serve->shards[i];
    }
    return load_of(here) > load_of(best) + load_of(best) / 8 ? best : here;
}

static void open_or_drop(struct rusm__shard *shard, struct rusm__listener *listener, int fd) {
    if (shard->aborting) {
        close(fd);
        rusm__gate_release(shard, listener);
        return;
    }
    rusm__conn_open(shard, listener, fd);
}

static void on_transfer(void *arg) {
    struct transfer transfer = *(struct transfer *)arg;
    rusm__mem_free(arg);
    open_or_drop(transfer.shard, transfer.listener, transfer.fd);
}

/* False if it has to stay here. */
static bool transfer(struct rusm__shard *to, struct rusm__listener *listener, int fd) {
    struct transfer *transfer = rusm__mem_try_alloc(sizeof *transfer);
    if (!transfer)
        return false;
    *transfer = (struct transfer){to, listener, fd};
    atomic_fetch_add_explicit(&to->connections, 1, memory_order_relaxed);
    if (rusm__sched_post(to->runtime, to->index, on_transfer, transfer) == RUSM_OK)
        return true;
    atomic_fetch_sub_explicit(&to->connections, 1, memory_order_relaxed);
    rusm__mem_free(transfer);
    return false;
}

static void place(struct rusm__shard *here, struct rusm__listener *listener, int fd) {
    struct rusm__shard *shard = choose(here);
    if (shard != here && transfer(shard, listener, fd))
        return;
    atomic_fetch_add_explicit(&here->connections, 1, memory_order_relaxed);
    open_or_drop(here, listener, fd);
}

/* ---- accepting ---- */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void warn(struct rusm__shard *shard, int error) {
    uint64_t now = uv_now(shard->loop);
    if (shard->warned_ms && now - shard->warned_ms < WARN_EVERY_MS)
        return;
    shard->warned_ms = now;
    rusm__log(RUSM__LOG_WARN, "rusm", "http",
              "cannot accept connections: %s (raise the limit of open files, or set "
              "max_connections)",
              uv_strerror(-error));
}

static void on_resume(uv_timer_t *timer) {
    struct rusm__shard *shard = timer->data;
    struct rusm__serve *serve = shard->serve;
    for (size_t i = 0; i < serve->listener_count; i++) {
        struct rusm__gate *gate = &serve->listeners[i]->gates[shard->index];
        if (gate->open && gate->paused)
            uv_poll_start(&gate->poll, UV_READABLE, on_acceptable);
        gate->paused = false;
    }
}

/* Out of files or memory: new connections wait in the kernel's queue. */
static void pause_gate(struct rusm__gate *gate, int error) {
    struct rusm__shard *shard = gate->shard;
    warn(shard, error);
    gate->paused = true;
    uv_poll_stop(&gate->poll);
    if (!uv_is_active((uv_handle_t *)&shard->resume))
        uv_timer_start(&shard->resume, on_resume, PAUSE_MS, 0);
}

static bool is_shortage(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_acceptable(uv_poll_t *poll, int status, int events) {
    struct rusm__gate *gate = poll->data;
    (void)status; /* accept4 says it more precisely */
    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE && gate->open; i++) {
        int fd = accept4(gate->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && admit(gate->listener)) {
            place(gate->shard, gate->listener, fd);
        } else if (fd >= 0) {
            close(fd);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (is_shortage(errno)) {
            pause_gate(gate, errno);
            return;
        } /* anything else is the trouble of that one connection */
    }
}

/* ---- life ---- */

int rusm__gate_open(struct rusm__gate *gate) {
    struct rusm__shard *shard = gate->shard;
    if (uv_poll_init(shard->loop, &gate->poll, gate->fd) != 0)
        return RUSM_EIO;
    gate->poll.data = gate;
    gate->open = true;
    shard->handles++;
    return RUSM_OK;
}

int rusm__gate_start(struct rusm__gate *gate) {
    if (listen(gate->fd, SOMAXCONN) != 0)
        return RUSM_EBUSY;
    return uv_poll_start(&gate->poll, UV_READABLE, on_acceptable) == 0 ? RUSM_OK : RUSM_EIO;
}

static void on_gate_closed(uv_handle_t *handle) {
    struct rusm__gate *gate = handle->data;
    rusm__shard_handle_closed(gate->shard);
}

void rusm__gate_close(struct rusm__gate *gate) {
    if (!gate->open)
        return;
    gate->open = false;
    uv_close((uv_handle_t *)&gate->poll, on_gate_closed);
    close(gate->fd);
    gate->fd = -1;
}
