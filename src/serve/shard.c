/* SPDX-License-Identifier: MIT */
/* A scheduler's part of serving: scratch memory, deadlines, start and stop.
 *
 * Deadlines cost two list operations per request and hardly ever a timer. Each kind of waiting has
 * one duration and a queue of its own, in which the newest waits longest, so the front has the
 * earliest deadline. The one timer is set for the earliest front that was seen when it rang last;
 * whoever leaves its queue before does not take the timer back, so at most it rings once for
 * nothing. */
#include <pthread.h>
#include <signal.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "sched/sched.h"
#include "serve/conn.h"

/* ---- deadlines ---- */

static struct rusm__conn *front(struct rusm__shard *shard, unsigned wait) {
    struct rusm__list *head = &shard->waiting[wait];
    return rusm__list_is_empty(head) ? NULL : rusm__list_entry(head->next, struct rusm__conn, link);
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct rusm__shard *shard, uint64_t due_ms) {
    if (due_ms >= shard->due_ms)
        return;
    uint64_t now = uv_now(shard->loop);
    shard->due_ms = due_ms;
    uv_timer_start(&shard->timer, on_timer, due_ms > now ? due_ms - now : 0, 0);
}

void rusm__shard_wait(struct rusm__shard *shard, struct rusm__conn *conn, enum rusm__wait wait) {
    conn->wait = (uint8_t)wait;
    conn->deadline_ms = uv_now(shard->loop) + shard->wait_ms[wait];
    rusm__list_unlink(&conn->link);
    rusm__list_push_back(&shard->waiting[wait], &conn->link);
    set_timer(shard, conn->deadline_ms);
}

/* Each expiry takes the connection out of the queue or puts it behind `now`. */
static void on_timer(uv_timer_t *timer) {
    struct rusm__shard *shard = timer->data;
    struct rusm__conn *conn;
    uint64_t now = uv_now(shard->loop);
    shard->due_ms = UINT64_MAX;
    for (unsigned wait = 0; wait < RUSM__WAIT_KINDS; wait++) {
        while ((conn = front(shard, wait)) != NULL && conn->deadline_ms <= now)
            rusm__conn_expire(conn);
    }
    for (unsigned wait = 0; wait < RUSM__WAIT_KINDS; wait++) {
        if ((conn = front(shard, wait)) != NULL)
            set_timer(shard, conn->deadline_ms);
    }
}

/* ---- memory ---- */

bool rusm__shard_hold(struct rusm__shard *shard, struct rusm__conn *conn, uint64_t bytes) {
    uint64_t others = shard->held - conn->held;
    if (bytes > conn->held && (bytes > shard->max_held || others > shard->max_held - bytes))
        return false;
    shard->held = others + bytes;
    conn->held = bytes;
    return true;
}

/* ---- readers ---- */

struct rusm__http *rusm__shard_take_http(struct rusm__shard *shard) {
    struct rusm__http *http = shard->spare;
    shard->spare = NULL;
    return http ? http : rusm__http_new(&shard->serve->limits);
}

void rusm__shard_give_http(struct rusm__shard *shard, struct rusm__http *http) {
    if (shard->spare) {
        rusm__http_free(http);
        return;
    }
    rusm__http_reset(http);
    shard->spare = http;
}

/* ---- start ---- */

/* A write to a connection that the client has reset must answer EPIPE, not raise a signal. Blocked
 * for this thread only: what the rest of the program does with SIGPIPE is not our business. */
static void block_sigpipe(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int open_gates(struct rusm__shard *shard) {
    struct rusm__serve *serve = shard->serve;
    for (size_t i = 0; i < serve->listener_count; i++) {
        int code = rusm__gate_open(&serve->listeners[i]->gates[shard->index]);
        if (code != RUSM_OK)
            return code;
    }
    return RUSM_OK;
}

void rusm__shard_open(void *arg) {
    struct rusm__shard *shard = arg;
    block_sigpipe();
    shard->loop = rusm__sched_loop(rusm__sched_current());
    shard->due_ms = UINT64_MAX;
    uv_timer_init(shard->loop, &shard->timer); /* cannot fail */
    uv_timer_init(shard->loop, &shard->resume);
    shard->timer.data = shard->resume.data = shard;
    shard->handles = 2;
    shard->input = rusm__mem_try_alloc(RUSM__SHARD_INPUT);
    rusm__serve_done(shard->serve, shard->input ? open_gates(shard) : RUSM_ENOMEM);
}

void rusm__shard_accept(void *arg) {
    struct rusm__shard *shard = arg;
    struct rusm__serve *serve = shard->serve;
    int code = RUSM_OK;
    for (size_t i = 0; i < serve->listener_count && code == RUSM_OK; i++)
        code = rusm__gate_start(&serve->listeners[i]->gates[shard->index]);
    rusm__serve_done(serve, code);
}

/* ---- stop ---- */

typedef void (*conn_visit)(struct rusm__conn *conn);

/* The visitor may close the connection or move it to another queue, behind those to come. */
static void for_each(struct rusm__shard *shard, conn_visit visit) {
    struct rusm__list all;
    struct rusm__list *link;
    rusm__list_init(&all);
    for (unsigned wait = 0; wait < RUSM__WAIT_KINDS; wait++) {
        while ((link = rusm__list_pop_front(&shard->waiting[wait])) != NULL) {
            rusm__list_push_back(&all, link);
        }
        while ((link = rusm__list_pop_front(&all)) != NULL) {
            rusm__list_push_back(&shard->waiting[wait], link);
            visit(rusm__list_entry(link, struct rusm__conn, link));
        }
    }
}

void rusm__shard_drain(void *arg) {
    struct rusm__shard *shard = arg;
    struct rusm__serve *serve = shard->serve;
    shard->draining = true;
    for (size_t i = 0; i < serve->listener_count; i++)
        rusm__gate_close(&serve->listeners[i]->gates[shard->index]);
    for_each(shard, rusm__conn_drain);
    rusm__serve_done(serve, RUSM_OK);
}

void rusm__shard_abort(void *arg) {
    struct rusm__shard *shard = arg;
    shard->aborting = true;
    for_each(shard, rusm__conn_close);
    rusm__serve_done(shard->serve, RUSM_OK);
}

static void on_timer_closed(uv_handle_t *handle) {
    rusm__shard_handle_closed(handle->data);
}

void rusm__shard_handle_closed(struct rusm__shard *shard) {
    if (--shard->handles == 0)
        rusm__serve_done(shard->serve, RUSM_OK);
}

void rusm__shard_close(void *arg) {
    struct rusm__shard *shard = arg;
    if (shard->handles == 0) {
        rusm__serve_done(shard->serve, RUSM_OK);
        return;
    }
    for (size_t i = 0; i < shard->serve->listener_count; i++)
        rusm__gate_close(&shard->serve->listeners[i]->gates[shard->index]);
    uv_close((uv_handle_t *)&shard->timer, on_timer_closed);
    uv_close((uv_handle_t *)&shard->resume, on_timer_closed);
}

void rusm__shard_fini(struct rusm__shard *shard) {
    rusm__http_free(shard->spare);
    rusm__mem_free(shard->input);
    rusm__buf_fini(&shard->envelope);
    rusm__buf_fini(&shard->out);
    rusm__buf_fini(&shard->extra);
    rusm__reply_fini(&shard->reply);
}
