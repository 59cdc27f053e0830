/* SPDX-License-Identifier: MIT */
/* Serving from the inside. Stays in this folder.
 *
 *   rusm__serve ── rusm__shard, one per scheduler ── its connections, by what they wait for
 *        └──────── rusm__listener ── rusm__gate, one per shard: a listening socket
 *
 * A shard, its gates and its connections are touched by the thread of their scheduler only. What
 * others see of them are the counters, which are atomic. */
#ifndef RUSM__SERVE_SERVE_IMPL_H
#define RUSM__SERVE_SERVE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/buf.h"
#include "base/list.h"
#include "serve/answer.h"
#include "serve/reply.h"
#include "serve/serve.h"

#define RUSM__SERVE_CACHELINE 64

struct rusm__http;

/* What a connection waits for. Each kind has one duration, so its queue is ordered by deadline. */
enum rusm__wait {
    RUSM__WAIT_IDLE,
    RUSM__WAIT_HEAD,
    RUSM__WAIT_BODY,
    RUSM__WAIT_HANDLER,
    RUSM__WAIT_WRITE,
    RUSM__WAIT_HALF_CLOSED,
    RUSM__WAIT_LINGER,
    RUSM__WAIT_KINDS,
};

/* ---- shard ---- */

struct rusm__shard {
    /* Set before the start, then only read. */
    struct rusm__serve *serve;
    rusm_runtime *runtime;
    uint32_t index;
    uint64_t wait_ms[RUSM__WAIT_KINDS];
    uint64_t max_held; /* its share of limits.max_held_bytes */

    /* Its own thread only. */
    uv_loop_t *loop;
    uv_timer_t timer;  /* set for the earliest deadline, or earlier */
    uv_timer_t resume; /* gates that had to pause open again */
    uint64_t due_ms;   /* when `timer` rings; UINT64_MAX: it does not */
    uint64_t warned_ms;
    uint64_t held;    /* bytes, the sum over its connections */
    uint32_t handles; /* of timers and gates that are open */
    bool draining;
    bool aborting;
    struct rusm__list waiting[RUSM__WAIT_KINDS]; /* every connection is in one of them */
    /* Scratch memory of one callback or step; nothing in it outlives that. */
    unsigned char *input; /* RUSM__SHARD_INPUT bytes to read into */
    struct rusm__buf envelope;
    struct rusm__buf out;
    struct rusm__buf extra;
    struct rusm__reply reply;
    struct rusm__answer_date date;
    struct rusm__http *spare; /* a reader that nobody uses */

    /* Any thread: connections that are open or on their way here. Relaxed: it only says where a
     * new one is better off. */
    _Alignas(RUSM__SERVE_CACHELINE) _Atomic uint32_t connections;
};

#define RUSM__SHARD_INPUT (64u * 1024u)

/* On the shard's thread; answers through rusm__serve_done. */
void rusm__shard_open(void *shard);               /* make the handles */
void rusm__shard_accept(void *shard);             /* start the gates */
void rusm__shard_drain(void *shard);              /* close gates and idle connections */
void rusm__shard_abort(void *shard);              /* close all connections */
void rusm__shard_close(void *shard);              /* close the handles; answers when they are */
void rusm__shard_fini(struct rusm__shard *shard); /* any thread, when nothing runs any more */

/* A handle of the shard was closed. */
void rusm__shard_handle_closed(struct rusm__shard *shard);

struct rusm__conn;
/* From now on the connection waits for this; the time starts anew. */
void rusm__shard_wait(struct rusm__shard *shard, struct rusm__conn *conn, enum rusm__wait wait);

/* The connection holds so many bytes now. False, and nothing changed, if that is too much for the
 * shard. */
bool rusm__shard_hold(struct rusm__shard *shard, struct rusm__conn *conn, uint64_t bytes);

/* A fresh reader, and its way back. NULL when memory is short. */
struct rusm__http *rusm__shard_take_http(struct rusm__shard *shard);
void rusm__shard_give_http(struct rusm__shard *shard, struct rusm__http *http);

/* ---- listener ---- */

struct rusm__gate {
    uv_poll_t poll;
    struct rusm__shard *shard;
    struct rusm__listener *listener;
    int fd; /* -1: closed */
    bool open;
    bool paused;
};

struct rusm__listener {
    struct rusm__serve *serve;
    struct rusm__serve_router router;
    struct rusm__serve_header *header_list; /* with its texts behind it */
    struct rusm__answer_headers headers;
    uint64_t max_connections;
    char *url;
    struct rusm__gate *gates; /* one per shard */
    _Alignas(RUSM__SERVE_CACHELINE) _Atomic uint64_t connections;
};

/* bind.c: listening sockets for `count` shards on one port; a text in error if not. */
int rusm__listener_bind(struct rusm__listener *listener, const char *name, const char *listen,
                        uint32_t count, struct rusm__buf *error);
/* Close what bind opened and no gate has taken over. */
void rusm__listener_close_sockets(struct rusm__listener *listener, uint32_t count);

/* gate.c; on the shard's thread. */
int rusm__gate_open(struct rusm__gate *gate);
int rusm__gate_start(struct rusm__gate *gate);
void rusm__gate_close(struct rusm__gate *gate);
/* A connection of the listener has closed. */
void rusm__gate_release(struct rusm__shard *shard, struct rusm__listener *listener);

/* ---- serve ---- */

struct rusm__serve {
    rusm_runtime *runtime;
    struct rusm__serve_limits limits;
    uint64_t max_connections;
    uint32_t shard_count;
    struct rusm__shard *shards;
    struct rusm__listener **listeners;
    size_t listener_count;
    bool started; /* the caller's thread only, as are the ones above */
    bool stopped;
    bool stuck; /* a shard did not answer in time */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t pending; /* under lock: shards that have not answered */
    int status;       /* under lock: their first error */

    _Alignas(RUSM__SERVE_CACHELINE) _Atomic uint64_t connections;
    _Atomic bool stopping; /* somebody may wait for connections to become 0 */
};

/* A shard has done what it was asked for. */
void rusm__serve_done(struct rusm__serve *serve, int status);

/* One connection more, unless there are `max`; one less. */
bool rusm__serve_take_slot(_Atomic uint64_t *connections, uint64_t max);
void rusm__serve_give_slot(struct rusm__serve *serve);

#endif
