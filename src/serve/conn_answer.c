/* SPDX-License-Identifier: MIT */
/* What goes out. An answer is written at once and in one system call; what the socket does not take
 * is queued, and until it is gone the connection does nothing else. */
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/conn.h"

/* Bodies up to this size are copied behind the head: one buffer costs the kernel less than two. */
enum { JOIN_MAX = 2048 };

/* What is left of an answer. */
struct leftover {
    uv_write_t request;
    rusm_msg *holder; /* of the body, or NULL */
    unsigned char copy[];
};

/* ---- after an answer ---- */

/* Closing a socket that holds unread bytes resets the connection, and the reset may overtake the
 * answer. So we say that nothing follows, and read on until the client has seen it. */
static void linger(struct rusm__conn *conn) {
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
        rusm__conn_close(conn);
        return;
    }
    rusm__buf_fini(&conn->rest);
    conn->state = RUSM__CONN_LINGER;
    rusm__shard_wait(conn->shard, conn, RUSM__WAIT_LINGER);
    int code = uv_read_start((uv_stream_t *)&conn->tcp, rusm__conn_on_alloc, rusm__conn_on_read);
    if (code != 0 && code != UV_EALREADY)
        rusm__conn_close(conn);
}

static void finish(struct rusm__conn *conn) {
    if (conn->keep_alive && !conn->shard->draining) {
        conn->state = RUSM__CONN_IDLE;
        rusm__shard_wait(conn->shard, conn, RUSM__WAIT_IDLE);
    } else if (!conn->input_ended && (conn->unread || conn->rest.len)) {
        linger(conn);
    } else {
        rusm__conn_close(conn);
    }
}

static void on_written(uv_write_t *request, int status) {
    struct rusm__conn *conn = request->handle->data;
    struct leftover *leftover = request->data;
    rusm_msg_free(leftover->holder);
    rusm__mem_free(leftover);
    rusm__shard_hold(conn->shard, conn, 0);
    if (conn->state != RUSM__CONN_WRITING)
        return; /* closed meanwhile */
    if (status != 0) {
        rusm__conn_close(conn);
        return;
    }
    finish(conn);
    rusm__conn_pump(conn);
}

void rusm__conn_check_stall(struct rusm__conn *conn) {
    size_t unsent = uv_stream_get_write_queue_size((uv_stream_t *)&conn->tcp);
    if (unsent == conn->unsent) {
        rusm__conn_close(conn);
        return;
    }
    conn->unsent = unsent;
    rusm__shard_wait(conn->shard, conn, RUSM__WAIT_WRITE);
}

/* ---- writing ---- */

/* The body stays where it is if it lies in holder; everything else is scratch and is copied. */
static struct leftover *new_leftover(const uv_buf_t bufs[2], rusm_msg *holder, uv_buf_t out[2]) {
    size_t body = holder ? 0 : bufs[1].len;
    struct leftover *leftover = rusm__mem_try_alloc(sizeof *leftover + bufs[0].len + body);
    if (!leftover)
        return NULL;
    if (bufs[0].len)
        memcpy(leftover->copy, bufs[0].base, bufs[0].len);
    if (body)
        memcpy(leftover->copy + bufs[0].len, bufs[1].base, body);
    leftover->holder = holder;
    leftover->request.data = leftover;
    out[0] = uv_buf_init((char *)leftover->copy, (unsigned)(bufs[0].len + body));
    out[1] = holder ? bufs[1] : uv_buf_init(NULL, 0);
    return leftover;
}

static void skip(uv_buf_t *buf, size_t *done) {
    size_t taken = *done < buf->len ? *done : buf->len;
    buf->base += taken;
    buf->len -= taken;
    *done -= taken;
}

/* The first `done` bytes are on their way. Takes holder. */
static void queue_leftover(struct rusm__conn *conn, uv_buf_t bufs[2], size_t done,
                           rusm_msg *holder) {
    uv_buf_t left[2];
    skip(&bufs[0], &done);
    skip(&bufs[1], &done);
    bool allowed = rusm__shard_hold(conn->shard, conn, bufs[0].len + bufs[1].len);
    struct leftover *leftover = allowed ? new_leftover(bufs, holder, left) : NULL;
    unsigned count = left[1].len ? 2 : 1;
    if (!leftover ||
        uv_write(&leftover->request, (uv_stream_t *)&conn->tcp, left, count, on_written) != 0) {
        rusm_msg_free(holder);
        rusm__mem_free(leftover);
        rusm__conn_close(conn);
        return;
    }
    conn->state = RUSM__CONN_WRITING;
    conn->unsent = uv_stream_get_write_queue_size((uv_stream_t *)&conn->tcp);
    rusm__shard_wait(conn->shard, conn, RUSM__WAIT_WRITE);
}

/* Takes holder. */
static void send_out(struct rusm__conn *conn, uv_buf_t bufs[2], rusm_msg *holder) {
    size_t total = bufs[0].len + bufs[1].len;
    int done = uv_try_write((uv_stream_t *)&conn->tcp, bufs, bufs[1].len ? 2 : 1);
    if (done == UV_EAGAIN)
        done = 0;
    if (done < 0) {
        rusm_msg_free(holder);
        rusm__conn_close(conn);
    } else if ((size_t)done == total) {
        rusm_msg_free(holder);
        finish(conn);
    } else {
        queue_leftover(conn, bufs, (size_t)done, holder);
    }
}

void rusm__conn_log_answer(const struct rusm__conn *conn, unsigned status) {
    if (!rusm__log_wants(RUSM__LOG_INFO))
        return;
    if (conn->line.len)
        rusm__log(RUSM__LOG_INFO, "rusm", "http", "%.*s → %u", (int)conn->line.len,
                  (const char *)conn->line.data, status);
    else
        rusm__log(RUSM__LOG_INFO, "rusm", "http", "(no request line) → %u", status);
}

void rusm__conn_answer(struct rusm__conn *conn, struct rusm__answer *answer, rusm_msg *holder) {
    struct rusm__shard *shard = conn->shard;
    answer->head = conn->head;
    answer->old = conn->old;
    answer->keep_alive = conn->keep_alive && !shard->draining;
    rusm__buf_clear(&shard->out);
    rusm__answer_write(answer, &conn->listener->headers, &shard->date, &shard->out);
    rusm__conn_log_answer(conn, answer->status);
    conn->state = RUSM__CONN_WRITING; /* answered: nobody left without one */
    if (answer->body_len <= JOIN_MAX) {
        rusm__buf_add(&shard->out, answer->body, answer->body_len);
        answer->body_len = 0;
    }
    if (shard->out.failed) {
        rusm_msg_free(holder);
        rusm__conn_close(conn);
        return;
    }
    uv_buf_t bufs[2] = {
        uv_buf_init((char *)shard->out.data, (unsigned)shard->out.len),
        uv_buf_init((char *)answer->body, (unsigned)answer->body_len),
    };
    send_out(conn, bufs, holder);
}

/* ---- our own texts ---- */

void rusm__conn_answer_status(struct rusm__conn *conn, unsigned status, const char *extra) {
    const char *text = rusm__answer_text(status);
    struct rusm__answer answer = {
        .status = status,
        .body = text,
        .body_len = strlen(text),
        .extra = extra,
    };
    rusm__conn_answer(conn, &answer, NULL);
}

void rusm__conn_refuse(struct rusm__conn *conn, unsigned status) {
    rusm__conn_put_reader_back(conn);
    conn->head = conn->old = false;
    conn->keep_alive = false;
    conn->unread = true;
    rusm__buf_clear(&conn->line);
    rusm__conn_answer_status(conn, status, status == 503 ? "retry-after: 1\r\n" : NULL);
}

/* Nothing is queued while a request is read, so the socket takes a line as short as this; if it
 * does not, the client is not reading. */
void rusm__conn_continue(struct rusm__conn *conn) {
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t buf = uv_buf_init((char *)line, sizeof line - 1);
    int done = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    if (done != (int)(sizeof line - 1))
        rusm__conn_close(conn);
}

/* ---- a handler's answer ---- */

static void answer_text(struct rusm__conn *conn, unsigned status, const void *text, size_t len) {
    struct rusm__answer answer = {.status = status, .body = text, .body_len = len};
    rusm__conn_answer(conn, &answer, NULL);
}

static void answer_string(struct rusm__conn *conn, unsigned status, const char *text) {
    answer_text(conn, status, text, strlen(text));
}

/* A body with escapes was moved out of the message, into scratch memory. */
static bool lies_in(const unsigned char *body, rusm_msg *msg) {
    const unsigned char *data = rusm_msg_data(msg);
    return (uintptr_t)body >= (uintptr_t)data &&
           (uintptr_t)body < (uintptr_t)data + rusm_msg_len(msg);
}

/* Takes msg. */
static void answer_response(struct rusm__conn *conn, const struct rusm__reply *reply,
                            rusm_msg *msg) {
    struct rusm__answer answer = {
        .status = (unsigned)reply->status,
        .reply = reply,
        .body = reply->body,
        .body_len = reply->body_len,
    };
    bool held = reply->body_len && lies_in(reply->body, msg);
    rusm__conn_answer(conn, &answer, held ? msg : NULL);
    if (!held)
        rusm_msg_free(msg);
}

void rusm__conn_answer_reply(struct rusm__conn *conn, rusm_msg *msg) {
    struct rusm__reply *reply = &conn->shard->reply;
    rusm__reply_read(reply, rusm_msg_data(msg), rusm_msg_len(msg), conn->head);
    switch (reply->kind) {
    case RUSM__REPLY_OK:
        answer_response(conn, reply, msg);
        return;
    case RUSM__REPLY_ERR:
    case RUSM__REPLY_BROKEN:
        answer_text(conn, 500, reply->text, reply->text_len);
        break;
    case RUSM__REPLY_MISSING:
        answer_string(conn, 500, "reply missing `ok`");
        break;
    case RUSM__REPLY_INVALID:
        answer_string(conn, 500, "invalid response");
        break;
    case RUSM__REPLY_FRAMING:
        answer_string(conn, 502, "invalid response framing");
        break;
    }
    rusm_msg_free(msg);
}
