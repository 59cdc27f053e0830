/* SPDX-License-Identifier: MIT */
/* A connection: a socket and a process that belong together.
 *
 *              a request is read         handler started         its reply, its end, or too late
 *     IDLE ──► READING ────────► READY ────────────────► HANDLER ──────────────────────┐
 *      ▲          │                                                                    │
 *      │          └── refused, or no route: answered without a handler ──► WRITING ◄───┘
 *      └──────────────────────────────── kept alive ◄────────────────────────┤
 *                                      LINGER (read and drop) ◄── last one ──┤
 *                                                 └─────────► CLOSED ◄───────┘
 *
 * Both halves run on one scheduler: the process is pinned and the socket is in that scheduler's
 * loop, so callbacks and steps take turns and share the struct without locks. Callbacks read,
 * parse and answer what needs no handler; the step starts handlers and takes mail, since only a
 * process can. A callback that has work for the step wakes the process.
 *
 * One request is in work at a time. What the client sends meanwhile is kept, up to a bound, and
 * read next, so answers keep their order; beyond the bound reading stops.
 *
 * Only the handler that was started for the request can answer it, by the sender's pid that the
 * runtime writes into each message; all other mail is dropped. The DOWN of its monitor is the end
 * of the wait if no reply came before.
 *
 * The struct lives until both halves are gone. Whichever half ends first ends the other. */
#ifndef RUSM__SERVE_CONN_H
#define RUSM__SERVE_CONN_H

#include <uv.h>

#include "rusm/process.h"

#include "serve/answer.h"
#include "serve/http.h"
#include "serve/serve_impl.h"

enum rusm__conn_state {
    RUSM__CONN_IDLE,
    RUSM__CONN_READING,
    RUSM__CONN_READY,
    RUSM__CONN_HANDLER,
    RUSM__CONN_WRITING,
    RUSM__CONN_LINGER,
    RUSM__CONN_CLOSED,
};

struct rusm__conn {
    uv_tcp_t tcp;
    struct rusm__shard *shard;
    struct rusm__listener *listener;
    struct rusm__list link; /* in shard->waiting[wait] */
    uint64_t deadline_ms;
    uint8_t wait;  /* enum rusm__wait */
    uint8_t state; /* enum rusm__conn_state */
    /* Of the request in work. */
    bool keep_alive;
    bool head;   /* the method is HEAD */
    bool old;    /* HTTP/1.0 */
    bool unread; /* its body was not read to the end */
    /* Of the connection. */
    bool read_stopped;
    bool input_ended; /* the client sends no more */
    bool handle_closed;
    rusm_pid pid; /* of the process; 0 once it has ended */
    rusm_pid handler;
    uint64_t ref;                            /* of the latest monitor */
    rusm_msg *envelope;                      /* READY */
    const struct rusm__serve_target *target; /* READY */
    uint64_t held;                           /* bytes counted in shard->held */
    struct rusm__http *http;                 /* while a request is partly read */
    uint64_t body_mark;    /* how much of the body was there when its time was last renewed */
    size_t unsent;         /* WRITING: bytes queued when last looked at */
    struct rusm__buf rest; /* read ahead */
    struct rusm__buf line; /* "GET /path", for the log */
};

/* Take over an accepted socket, whose slots are counted already. Closes it if that fails. */
void rusm__conn_open(struct rusm__shard *shard, struct rusm__listener *listener, int fd);

/* Its time is up. */
void rusm__conn_expire(struct rusm__conn *conn);

/* Close at once; ends a handler that is at work. */
void rusm__conn_close(struct rusm__conn *conn);

/* The node stops: close if nothing is in work. */
void rusm__conn_drain(struct rusm__conn *conn);

/* ---- conn_read.c ---- */

void rusm__conn_on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);
void rusm__conn_on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out_buf);

/* The request is read, or never will be. */
void rusm__conn_put_reader_back(struct rusm__conn *conn);

/* After an answer: go on with what was read ahead, or with reading. */
void rusm__conn_pump(struct rusm__conn *conn);

/* ---- conn_answer.c ---- */

/* Answer the request in work. Takes holder, a message that the body lies in, or NULL. */
void rusm__conn_answer(struct rusm__conn *conn, struct rusm__answer *answer, rusm_msg *holder);

/* With a text of ours; extra is a header line or NULL. */
void rusm__conn_answer_status(struct rusm__conn *conn, unsigned status, const char *extra);

/* As answer_status for a request that was not read to its end: the connection ends with it. */
void rusm__conn_refuse(struct rusm__conn *conn, unsigned status);

/* With what the handler sent; takes msg. */
void rusm__conn_answer_reply(struct rusm__conn *conn, rusm_msg *msg);

/* The line of the access log. */
void rusm__conn_log_answer(const struct rusm__conn *conn, unsigned status);

/* "100 Continue", while the request is being read. */
void rusm__conn_continue(struct rusm__conn *conn);

/* The client has taken nothing since the last look. Closes then. */
void rusm__conn_check_stall(struct rusm__conn *conn);

#endif
