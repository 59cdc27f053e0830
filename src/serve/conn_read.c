/* SPDX-License-Identifier: MIT */
/* What comes in: bytes become requests, requests become envelopes. */
#include <string.h>

#include "rusm/error.h"

#include "base/log.h"
#include "proc/proc.h"
#include "serve/conn.h"
#include "serve/envelope.h"

enum {
    REST_MAX = 64 * 1024,  /* read ahead beyond this: reading stops */
    ANSWERS_AT_ONCE = 16,  /* without a handler; then other connections get their turn */
    BODY_PACE = 64 * 1024, /* so much of a body renews its time */
};

static bool is_reading(const struct rusm__conn *conn) {
    return conn->state == RUSM__CONN_IDLE || conn->state == RUSM__CONN_READING;
}

/* Where a request leads. */
struct route {
    const char *path; /* in the reader */
    size_t path_len;
    enum rusm__serve_found found;
    struct rusm__serve_match match; /* if it is found */
};

/* False: its target is no path, and the client is told so. */
static bool find_route(struct rusm__conn *conn, struct route *out) {
    const struct rusm__serve_router *router = &conn->listener->router;
    const char *method = rusm__http_method(conn->http);
    if (!rusm__http_path(conn->http, &out->path, &out->path_len)) {
        rusm__conn_refuse(conn, 400);
        return false;
    }
    out->found =
        router->match(router->data, method, strlen(method), out->path, out->path_len, &out->match);
    return true;
}

void rusm__conn_put_reader_back(struct rusm__conn *conn) {
    if (!conn->http)
        return;
    rusm__shard_give_http(conn->shard, conn->http);
    rusm__shard_hold(conn->shard, conn, 0);
    conn->http = NULL;
    conn->body_mark = 0;
}

/* ---- a head, with a body to come ---- */

/* A client that waits for our word gets the answer instead; one that does not is heard out. */
static void decline_body(struct rusm__conn *conn) {
    if (conn->http->expects_continue)
        conn->unread = true;
    else
        conn->http->drop_body = true;
}

static void answer_unrouted(struct rusm__conn *conn, const struct route *route);

static void take_head(struct rusm__conn *conn, bool body_has_begun) {
    struct route route;
    if (!find_route(conn, &route))
        return;
    if (route.found == RUSM__SERVE_FOUND) {
        if (conn->http->expects_continue && !body_has_begun)
            rusm__conn_continue(conn);
        return;
    }
    decline_body(conn);
    if (conn->unread)
        answer_unrouted(conn, &route);
}

/* ---- a request ---- */

static void note_request(struct rusm__conn *conn, const char *path, size_t path_len) {
    const struct rusm__http *http = conn->http;
    conn->keep_alive = http->keep_alive && !conn->unread && !conn->shard->draining;
    conn->old = http->old;
    conn->head = http->parser.method == HTTP_HEAD;
    rusm__buf_clear(&conn->line);
    if (!rusm__log_wants(RUSM__LOG_INFO))
        return;
    rusm__buf_add_str(&conn->line, rusm__http_method(http));
    rusm__buf_add_char(&conn->line, ' ');
    rusm__buf_add(&conn->line, path, path_len);
}

static void answer_unrouted(struct rusm__conn *conn, const struct route *route) {
    const struct rusm__serve_router *router = &conn->listener->router;
    struct rusm__buf *extra = &conn->shard->extra;
    rusm__buf_clear(extra);
    note_request(conn, route->path, route->path_len);
    if (route->found == RUSM__SERVE_OTHER_METHOD) {
        rusm__buf_add_str(extra, "allow: ");
        router->allow(router->data, route->path, route->path_len, extra);
        rusm__buf_add_str(extra, "\r\n");
    }
    rusm__conn_put_reader_back(conn);
    if (route->found == RUSM__SERVE_NO_PATH)
        rusm__conn_answer_status(conn, 404, NULL);
    else
        rusm__conn_answer_status(conn, 405, extra->failed ? NULL : rusm__buf_cstr(extra));
}

/* The step starts the handler; until then nobody else may answer. */
static void hand_over(struct rusm__conn *conn, const struct route *route) {
    struct rusm__shard *shard = conn->shard;
    note_request(conn, route->path, route->path_len);
    int code = rusm__envelope_build(conn->http, &route->match, route->path, route->path_len,
                                    conn->pid, &shard->envelope, &conn->envelope);
    rusm__conn_put_reader_back(conn);
    if (code != RUSM_OK) {
        rusm__conn_answer_status(conn, 503, "retry-after: 1\r\n");
        return;
    }
    conn->target = route->match.target;
    conn->state = RUSM__CONN_READY;
    rusm__shard_wait(shard, conn, conn->input_ended ? RUSM__WAIT_HALF_CLOSED : RUSM__WAIT_HANDLER);
    rusm__proc_wake(shard->runtime, conn->pid);
}

static void take_request(struct rusm__conn *conn) {
    struct route route;
    if (!find_route(conn, &route))
        return;
    if (route.found == RUSM__SERVE_FOUND)
        hand_over(conn, &route);
    else
        answer_unrouted(conn, &route);
}

/* ---- bytes ---- */

/* The first piece starts the time of the head; the head's end and each piece of the body, if it is
 * large enough, start the time of the body. */
static void note_progress(struct rusm__conn *conn) {
    const struct rusm__http *http = conn->http;
    bool renewed = http->in_body &&
                   (conn->wait != RUSM__WAIT_BODY || http->body_len - conn->body_mark >= BODY_PACE);
    if (renewed)
        conn->body_mark = http->body_len;
    if (renewed || conn->state == RUSM__CONN_IDLE)
        rusm__shard_wait(conn->shard, conn, http->in_body ? RUSM__WAIT_BODY : RUSM__WAIT_HEAD);
    conn->state = RUSM__CONN_READING;
    if (!rusm__shard_hold(conn->shard, conn, http->gathered.cap))
        rusm__conn_refuse(conn, 503);
}

static bool has_reader(struct rusm__conn *conn) {
    if (!conn->http)
        conn->http = rusm__shard_take_http(conn->shard);
    return conn->http != NULL;
}

/* Read requests until one is in work, the bytes are used up, or it is somebody else's turn. Returns
 * how many bytes were used. */
static size_t read_requests(struct rusm__conn *conn, const unsigned char *data, size_t len) {
    size_t at = 0;
    bool head = false; /* a head points into data: feed on, if only to let it be copied */
    for (int turns = ANSWERS_AT_ONCE; is_reading(conn) && (at < len || head) && turns > 0;) {
        size_t used = 0;
        if (!has_reader(conn)) {
            rusm__conn_refuse(conn, 503);
            return len;
        }
        enum rusm__http_state state = rusm__http_feed(conn->http, data + at, len - at, &used);
        at += used;
        head = state == RUSM__HTTP_HEAD;
        if (state == RUSM__HTTP_MORE) {
            note_progress(conn);
        } else if (state == RUSM__HTTP_HEAD) {
            take_head(conn, at < len);
        } else if (state == RUSM__HTTP_DONE) {
            take_request(conn);
            turns--;
        } else {
            rusm__conn_refuse(conn, conn->http->status);
        }
    }
    return at;
}

/* Bytes of requests that have to wait. */
static void keep_rest(struct rusm__conn *conn, const unsigned char *data, size_t len) {
    if (len == 0 || conn->state == RUSM__CONN_LINGER || conn->state == RUSM__CONN_CLOSED)
        return;
    rusm__buf_add(&conn->rest, data, len);
    if (conn->rest.failed) {
        rusm__conn_close(conn);
    } else if (conn->rest.len >= REST_MAX) {
        conn->read_stopped = true;
        uv_read_stop((uv_stream_t *)&conn->tcp);
    }
}

static void use_rest(struct rusm__conn *conn) {
    size_t used = read_requests(conn, conn->rest.data, conn->rest.len);
    size_t left = conn->rest.len - used;
    if (left == 0 || conn->state == RUSM__CONN_CLOSED || conn->state == RUSM__CONN_LINGER) {
        rusm__buf_fini(&conn->rest);
        return;
    }
    memmove(conn->rest.data, conn->rest.data + used, left);
    conn->rest.len = left;
}

/* A step will go on with the rest. */
static void ask_for_turn(struct rusm__conn *conn) {
    if (conn->state == RUSM__CONN_IDLE && conn->rest.len)
        rusm__proc_wake(conn->shard->runtime, conn->pid);
}

static void end_of_input(struct rusm__conn *conn) {
    if (conn->state == RUSM__CONN_READING)
        rusm__conn_refuse(conn, 400);
    else if (conn->state == RUSM__CONN_IDLE)
        rusm__conn_close(conn);
}

void rusm__conn_pump(struct rusm__conn *conn) {
    if (conn->state == RUSM__CONN_IDLE && conn->rest.len)
        use_rest(conn);
    ask_for_turn(conn);
    if (conn->input_ended && conn->rest.len == 0)
        end_of_input(conn);
    if (conn->read_stopped && conn->rest.len == 0 && is_reading(conn)) {
        conn->read_stopped = false;
        if (uv_read_start((uv_stream_t *)&conn->tcp, rusm__conn_on_alloc, rusm__conn_on_read) != 0)
            rusm__conn_close(conn);
    }
}

/* ---- callbacks ---- */

/* One buffer for all connections of a shard: what is not used up at once is copied. */
void rusm__conn_on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out_buf) {
    struct rusm__conn *conn = handle->data;
    (void)hint;
    *out_buf = uv_buf_init((char *)conn->shard->input, RUSM__SHARD_INPUT);
}

/* The end of input may mean that the client is gone or only that it has said everything; the two
 * look alike until we write. So a request in work gets a short time to finish. */
static void on_end(struct rusm__conn *conn) {
    conn->input_ended = true;
    uv_read_stop((uv_stream_t *)&conn->tcp);
    if (conn->state == RUSM__CONN_READY || conn->state == RUSM__CONN_HANDLER)
        rusm__shard_wait(conn->shard, conn, RUSM__WAIT_HALF_CLOSED);
    else if (conn->state == RUSM__CONN_LINGER)
        rusm__conn_close(conn);
    else
        rusm__conn_pump(conn);
}

void rusm__conn_on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    struct rusm__conn *conn = stream->data;
    const unsigned char *data = (const unsigned char *)buf->base;
    if (count == UV_EOF) {
        on_end(conn);
    } else if (count < 0) {
        rusm__conn_close(conn);
    } else if (count > 0) {
        size_t used = conn->rest.len ? 0 : read_requests(conn, data, (size_t)count);
        keep_rest(conn, data + used, (size_t)count - used);
        ask_for_turn(conn);
    }
}
