/* SPDX-License-Identifier: MIT */
/* Life of a connection, and the steps of its process. */
#include "serve/conn.h"

#include <unistd.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"
#include "proc/proc.h"
#include "sandbox/reason.h"

#define STATUS_CLIENT_LEFT 499 /* in the log only */

/* ---- end ---- */

static void free_if_over(struct rusm__conn *conn) {
    if (conn->pid || !conn->handle_closed)
        return;
    rusm__buf_fini(&conn->rest);
    rusm__buf_fini(&conn->line);
    rusm__mem_free(conn);
}

static void on_closed(uv_handle_t *handle) {
    struct rusm__conn *conn = handle->data;
    rusm__gate_release(conn->shard, conn->listener);
    conn->handle_closed = true;
    free_if_over(conn);
}

void rusm__conn_close(struct rusm__conn *conn) {
    struct rusm__shard *shard = conn->shard;
    if (conn->state == RUSM__CONN_CLOSED)
        return;
    bool at_work = conn->state == RUSM__CONN_READY || conn->state == RUSM__CONN_HANDLER;
    if (at_work && !shard->aborting)
        rusm__conn_log_answer(conn, STATUS_CLIENT_LEFT);
    conn->state = RUSM__CONN_CLOSED;
    if (conn->handler)
        rusm_pid_kill(shard->runtime, conn->handler);
    conn->handler = 0;
    rusm_msg_free(conn->envelope);
    conn->envelope = NULL;
    rusm__conn_put_reader_back(conn);
    rusm__shard_hold(shard, conn, 0);
    rusm__list_unlink(&conn->link);
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
    if (conn->pid)
        rusm__proc_wake(shard->runtime, conn->pid); /* the step sees CLOSED and ends */
}

/* ---- handler ---- */

static unsigned status_of_spawn(int code) {
    return code == RUSM_ELIMIT || code == RUSM_EPROCS || code == RUSM_ENOMEM ? 503 : 502;
}

static void start_handler(struct rusm__conn *conn) {
    struct rusm__serve_start start = {
        .first = conn->envelope,
        .monitor_by = conn->pid,
        .monitor_ref = ++conn->ref,
    };
    int code = conn->target->spawn(conn->target, &start, &conn->handler);
    if (code == RUSM_OK) {
        conn->envelope = NULL;
        conn->state = RUSM__CONN_HANDLER;
        return;
    }
    conn->handler = 0;
    rusm_msg_free(conn->envelope);
    conn->envelope = NULL;
    unsigned status = status_of_spawn(code);
    rusm__conn_answer_status(conn, status, status == 503 ? "retry-after: 1\r\n" : NULL);
}

static void take_reply(struct rusm__conn *conn, rusm_msg *msg) {
    if (conn->state != RUSM__CONN_HANDLER || rusm_msg_from(msg) != conn->handler) {
        rusm_msg_free(msg);
        return;
    }
    conn->handler = 0; /* what it does after its answer is its own business */
    rusm__conn_answer_reply(conn, msg);
}

static void take_down(struct rusm__conn *conn, rusm_msg *msg) {
    bool ours = conn->state == RUSM__CONN_HANDLER && rusm_msg_ref(msg) == conn->ref;
    bool overtime = rusm__reason_is_overtime(rusm_msg_data(msg), rusm_msg_len(msg));
    rusm_msg_free(msg);
    if (!ours)
        return;
    conn->handler = 0;
    rusm__conn_answer_status(conn, overtime ? 504 : 502, NULL);
}

/* ---- process ---- */

static rusm_step step(rusm_proc *self, void *body) {
    struct rusm__conn *conn = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        if (rusm_msg_get_kind(msg) == RUSM_MSG_DATA)
            take_reply(conn, msg);
        else
            take_down(conn, msg);
    }
    rusm__conn_pump(conn);
    if (conn->state == RUSM__CONN_READY) {
        start_handler(conn);
        if (conn->state == RUSM__CONN_IDLE)
            return RUSM_STEP_AGAIN; /* answered at once: pump once more */
    }
    return conn->state == RUSM__CONN_CLOSED ? RUSM_STEP_EXIT : RUSM_STEP_WAIT;
}

/* The process has ended, maybe because somebody killed it. */
static void drop(void *body) {
    struct rusm__conn *conn = body;
    conn->pid = 0;
    rusm__conn_close(conn);
    free_if_over(conn);
}

static const rusm_body_ops ops = {.name = "http connection", .step = step, .drop = drop};

/* ---- beginning ---- */

static int start_process(struct rusm__conn *conn) {
    rusm_spawn_options spawn = {
        .size = sizeof spawn,
        .ops = &ops,
        .body = conn,
        .flags = RUSM_SPAWN_PINNED,
    };
    return rusm_proc_spawn(conn->shard->runtime, &spawn, &conn->pid);
}

static struct rusm__conn *new_conn(struct rusm__shard *shard, struct rusm__listener *listener) {
    struct rusm__conn *conn = rusm__mem_try_zalloc(sizeof *conn);
    if (!conn)
        return NULL;
    conn->shard = shard;
    conn->listener = listener;
    conn->tcp.data = conn;
    rusm__list_init(&conn->link);
    return conn;
}

void rusm__conn_open(struct rusm__shard *shard, struct rusm__listener *listener, int fd) {
    struct rusm__conn *conn = new_conn(shard, listener);
    if (!conn) {
        close(fd);
        rusm__gate_release(shard, listener);
        return;
    }
    RUSM_CHECK(uv_tcp_init(shard->loop, &conn->tcp) == 0); /* takes no file yet */
    rusm__shard_wait(shard, conn, RUSM__WAIT_IDLE);
    if (uv_tcp_open(&conn->tcp, fd) != 0) {
        close(fd);
        rusm__conn_close(conn);
    } else if (start_process(conn) != RUSM_OK) {
        rusm__conn_refuse(conn, 503);
    } else if (uv_read_start((uv_stream_t *)&conn->tcp, rusm__conn_on_alloc, rusm__conn_on_read) !=
               0) {
        rusm__conn_close(conn);
    }
}

/* ---- time ---- */

static void expire_handler(struct rusm__conn *conn) {
    if (conn->handler)
        rusm_pid_kill(conn->shard->runtime, conn->handler);
    conn->handler = 0;
    rusm_msg_free(conn->envelope);
    conn->envelope = NULL;
    rusm__conn_answer_status(conn, 504, NULL);
    rusm__conn_pump(conn);
}

void rusm__conn_expire(struct rusm__conn *conn) {
    switch ((enum rusm__wait)conn->wait) {
    case RUSM__WAIT_HEAD:
    case RUSM__WAIT_BODY:
        rusm__conn_refuse(conn, 408);
        break;
    case RUSM__WAIT_HANDLER:
        expire_handler(conn);
        break;
    case RUSM__WAIT_WRITE:
        rusm__conn_check_stall(conn);
        break;
    case RUSM__WAIT_IDLE:
    case RUSM__WAIT_HALF_CLOSED:
    case RUSM__WAIT_LINGER:
    case RUSM__WAIT_KINDS:
        rusm__conn_close(conn);
        break;
    }
}

void rusm__conn_drain(struct rusm__conn *conn) {
    if (conn->state == RUSM__CONN_IDLE || conn->state == RUSM__CONN_LINGER)
        rusm__conn_close(conn);
}
