/* SPDX-License-Identifier: MIT */
/* The life of serving as its owner sees it: it asks all shards for something and waits. */
#include "serve/serve.h"

#include <string.h>
#include <sys/resource.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "sched/sched.h"
#include "serve/http.h"
#include "serve/serve_impl.h"

enum {
    CLOSE_MS = 2000,  /* for sockets to close once they are told to */
    START_MS = 60000, /* a scheduler that does not answer for so long never will */
};

/* ---- asking the shards ---- */

void rusm__serve_done(struct rusm__serve *serve, int status) {
    pthread_mutex_lock(&serve->lock);
    serve->pending--;
    if (serve->status == RUSM_OK)
        serve->status = status;
    pthread_cond_broadcast(&serve->changed);
    pthread_mutex_unlock(&serve->lock);
}

void rusm__serve_give_slot(struct rusm__serve *serve) {
    /* seq_cst, both: pairs with wait_until_empty, which sets `stopping` and then looks at the
     * number; one of the two sees the other. */
    uint64_t before = atomic_fetch_sub_explicit(&serve->connections, 1, memory_order_seq_cst);
    if (before != 1 || !atomic_load_explicit(&serve->stopping, memory_order_seq_cst))
        return;
    pthread_mutex_lock(&serve->lock);
    pthread_cond_broadcast(&serve->changed);
    pthread_mutex_unlock(&serve->lock);
}

/* Until `changed`, under lock. False once the deadline has passed. */
static bool wait_for_change(struct rusm__serve *serve, uint64_t deadline_ns) {
    return rusm__cond_wait_until(&serve->changed, &serve->lock, deadline_ns);
}

static uint64_t deadline_in(uint64_t ms) {
    return rusm__deadline_ms(rusm__clock_ns(), ms);
}

/* Let every shard do it, on its own thread, and wait for all answers. */
static int ask_all(struct rusm__serve *serve, void (*what)(void *shard), uint64_t ms) {
    uint64_t deadline = deadline_in(ms);
    bool answered = true;
    pthread_mutex_lock(&serve->lock);
    serve->pending = serve->shard_count;
    serve->status = RUSM_OK;
    pthread_mutex_unlock(&serve->lock);
    for (uint32_t i = 0; i < serve->shard_count; i++) {
        int code = rusm__sched_post(serve->runtime, i, what, &serve->shards[i]);
        if (code != RUSM_OK)
            rusm__serve_done(serve, code);
    }
    pthread_mutex_lock(&serve->lock);
    while (serve->pending && answered)
        answered = wait_for_change(serve, deadline);
    serve->stuck = serve->pending > 0; /* late answers would count for another question */
    int status = serve->stuck ? RUSM_ETIMEDOUT : serve->status;
    pthread_mutex_unlock(&serve->lock);
    return status;
}

static bool wait_until_empty(struct rusm__serve *serve, uint64_t ms) {
    uint64_t deadline = deadline_in(ms);
    bool in_time = true;
    atomic_store_explicit(&serve->stopping, true, memory_order_seq_cst);
    pthread_mutex_lock(&serve->lock);
    while (rusm__serve_connections(serve) && in_time)
        in_time = wait_for_change(serve, deadline);
    pthread_mutex_unlock(&serve->lock);
    return rusm__serve_connections(serve) == 0;
}

/* ---- limits ---- */

static void set_default(uint32_t *value, uint32_t standard) {
    if (*value == 0)
        *value = standard;
}

static void set_defaults(struct rusm__serve_limits *limits) {
    set_default(&limits->max_target_bytes, 8 * 1024);
    set_default(&limits->max_head_bytes, 32 * 1024);
    set_default(&limits->max_headers, 100);
    set_default(&limits->head_ms, 30000);
    set_default(&limits->body_ms, 60000);
    set_default(&limits->handler_ms, 60000);
    set_default(&limits->idle_ms, 75000);
    set_default(&limits->write_ms, 60000);
    set_default(&limits->half_closed_ms, 500);
    set_default(&limits->linger_ms, 2000);
    if (limits->max_body_bytes == 0)
        limits->max_body_bytes = 16ull << 20;
    if (limits->max_held_bytes == 0)
        limits->max_held_bytes = 256ull << 20;
}

/* A body becomes 4/3 of its size in one message, so half the largest message is safe. */
static bool are_possible(const struct rusm__serve_limits *limits) {
    return limits->max_headers <= RUSM__HTTP_FIELDS_MAX && limits->max_target_bytes <= 1u << 20 &&
           limits->max_head_bytes <= 1u << 20 && limits->max_body_bytes <= 512ull << 20;
}

/* An eighth of the files is left for everything else that opens some. */
static uint64_t default_max_connections(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
        return UINT32_MAX;
    return files.rlim_cur > 8 ? files.rlim_cur - files.rlim_cur / 8 : 1;
}

/* ---- new ---- */

/* Each shard counts for itself; one body at its limit (in a buffer that doubles) always fits. */
static uint64_t share_of(const struct rusm__serve_limits *limits, uint32_t shards) {
    uint64_t share = limits->max_held_bytes / shards;
    return share > 2 * limits->max_body_bytes ? share : 2 * limits->max_body_bytes;
}

static void init_shard(struct rusm__serve *serve, uint32_t index) {
    struct rusm__shard *shard = &serve->shards[index];
    const struct rusm__serve_limits *limits = &serve->limits;
    shard->serve = serve;
    shard->runtime = serve->runtime;
    shard->index = index;
    shard->max_held = share_of(limits, serve->shard_count);
    shard->wait_ms[RUSM__WAIT_IDLE] = limits->idle_ms;
    shard->wait_ms[RUSM__WAIT_HEAD] = limits->head_ms;
    shard->wait_ms[RUSM__WAIT_BODY] = limits->body_ms;
    shard->wait_ms[RUSM__WAIT_HANDLER] = limits->handler_ms;
    shard->wait_ms[RUSM__WAIT_WRITE] = limits->write_ms;
    shard->wait_ms[RUSM__WAIT_HALF_CLOSED] = limits->half_closed_ms;
    shard->wait_ms[RUSM__WAIT_LINGER] = limits->linger_ms;
    for (unsigned wait = 0; wait < RUSM__WAIT_KINDS; wait++)
        rusm__list_init(&shard->waiting[wait]);
    rusm__reply_init(&shard->reply);
}

int rusm__serve_new(const struct rusm__serve_options *options, struct rusm__serve **out_serve) {
    struct rusm__serve_limits limits = options->limits;
    *out_serve = NULL;
    set_defaults(&limits);
    if (!are_possible(&limits))
        return RUSM_EINVAL;
    struct rusm__serve *serve = rusm__mem_try_zalloc_aligned(sizeof *serve, RUSM__SERVE_CACHELINE);
    uint32_t count = rusm__sched_count(options->runtime);
    struct rusm__shard *shards =
        rusm__mem_try_zalloc_aligned(count * sizeof *shards, RUSM__SERVE_CACHELINE);
    if (!serve || !shards) {
        rusm__mem_free(serve);
        rusm__mem_free(shards);
        return RUSM_ENOMEM;
    }
    serve->runtime = options->runtime;
    serve->limits = limits;
    serve->max_connections =
        options->max_connections ? options->max_connections : default_max_connections();
    serve->shard_count = count;
    serve->shards = shards;
    pthread_mutex_init(&serve->lock, NULL);
    rusm__cond_init_monotonic(&serve->changed);
    for (uint32_t i = 0; i < count; i++)
        init_shard(serve, i);
    *out_serve = serve;
    return RUSM_OK;
}

/* ---- listeners ---- */

static void free_listener(struct rusm__listener *listener, uint32_t count) {
    if (!listener)
        return;
    if (listener->gates)
        rusm__listener_close_sockets(listener, count);
    rusm__answer_headers_fini(&listener->headers);
    rusm__mem_free(listener->header_list);
    rusm__mem_free(listener->url);
    rusm__mem_free(listener->gates);
    rusm__mem_free(listener);
}

/* One block: the list, then the texts. */
static int copy_headers(struct rusm__listener *listener, const struct rusm__serve_header *headers,
                        size_t count) {
    size_t bytes = count * sizeof *headers;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(headers[i].name) + strlen(headers[i].value) + 2;
    struct rusm__serve_header *list = rusm__mem_try_alloc(bytes ? bytes : 1);
    if (!list)
        return RUSM_ENOMEM;
    char *text = (char *)(list + count);
    for (size_t i = 0; i < count; i++) {
        list[i].name = text;
        text = stpcpy(text, headers[i].name) + 1;
        list[i].value = text;
        text = stpcpy(text, headers[i].value) + 1;
    }
    listener->header_list = list;
    return rusm__answer_headers_init(&listener->headers, list, count);
}

static struct rusm__listener *new_listener(struct rusm__serve *serve) {
    struct rusm__listener *listener =
        rusm__mem_try_zalloc_aligned(sizeof *listener, RUSM__SERVE_CACHELINE);
    struct rusm__gate *gates = rusm__mem_try_zalloc(serve->shard_count * sizeof *gates);
    if (!listener || !gates) {
        rusm__mem_free(listener);
        rusm__mem_free(gates);
        return NULL;
    }
    listener->serve = serve;
    listener->gates = gates;
    for (uint32_t i = 0; i < serve->shard_count; i++) {
        gates[i] = (struct rusm__gate){
            .shard = &serve->shards[i],
            .listener = listener,
            .fd = -1,
        };
    }
    return listener;
}

static int fill_listener(struct rusm__listener *listener,
                         const struct rusm__serve_listener *options, struct rusm__buf *error) {
    listener->router = options->router;
    listener->max_connections = options->max_connections ? options->max_connections : UINT64_MAX;
    int code = copy_headers(listener, options->headers, options->header_count);
    if (code != RUSM_OK) {
        rusm__buf_addf(error, "headers of %s: %s", options->listen, rusm_error_text(code));
        return code;
    }
    return rusm__listener_bind(listener, options->name, options->listen,
                               listener->serve->shard_count, error);
}

int rusm__serve_bind(struct rusm__serve *serve, const struct rusm__serve_listener *options,
                     struct rusm__buf *error) {
    RUSM_CHECK(!serve->started);
    size_t bytes = (serve->listener_count + 1) * sizeof *serve->listeners;
    struct rusm__listener **list = rusm__mem_try_realloc(serve->listeners, bytes);
    if (list)
        serve->listeners = list;
    struct rusm__listener *listener = list ? new_listener(serve) : NULL;
    if (!listener) {
        rusm__buf_addf(error, "binding %s for `%s`: out of memory", options->listen, options->name);
        return RUSM_ENOMEM;
    }
    int code = fill_listener(listener, options, error);
    if (code != RUSM_OK) {
        free_listener(listener, serve->shard_count);
        return code;
    }
    list[serve->listener_count++] = listener;
    return RUSM_OK;
}

size_t rusm__serve_listener_count(const struct rusm__serve *serve) {
    return serve->listener_count;
}

const char *rusm__serve_url(const struct rusm__serve *serve, size_t index) {
    return serve->listeners[index]->url;
}

/* ---- start and stop ---- */

int rusm__serve_start(struct rusm__serve *serve, struct rusm__buf *error) {
    RUSM_CHECK(!serve->started);
    serve->started = true;
    int code = ask_all(serve, rusm__shard_open, START_MS);
    if (code == RUSM_OK)
        code = ask_all(serve, rusm__shard_accept, START_MS);
    if (code != RUSM_OK) {
        rusm__buf_addf(error, "starting to accept connections: %s", rusm_error_text(code));
        rusm__serve_stop(serve, 0);
    }
    return code;
}

/* Three rounds, so that nothing is left on its way when the shards close: a drained gate hands out
 * no connection any more, and an empty node has none that could come back to a shard. */
int rusm__serve_stop(struct rusm__serve *serve, uint64_t grace_ms) {
    if (!serve->started || serve->stopped)
        return RUSM_OK;
    if (serve->stuck)
        return RUSM_ETIMEDOUT;
    int code = ask_all(serve, rusm__shard_drain, CLOSE_MS);
    if (code == RUSM_OK && !wait_until_empty(serve, grace_ms)) {
        code = ask_all(serve, rusm__shard_abort, CLOSE_MS);
        if (code == RUSM_OK && !wait_until_empty(serve, CLOSE_MS))
            code = RUSM_ETIMEDOUT;
    }
    if (code == RUSM_OK)
        code = ask_all(serve, rusm__shard_close, CLOSE_MS);
    serve->stopped = code == RUSM_OK;
    return code;
}

size_t rusm__serve_connections(const struct rusm__serve *serve) {
    /* seq_cst: see rusm__serve_give_slot */
    return (size_t)atomic_load_explicit(&serve->connections, memory_order_seq_cst);
}

void rusm__serve_free(struct rusm__serve *serve) {
    if (!serve)
        return;
    for (size_t i = 0; i < serve->listener_count; i++)
        free_listener(serve->listeners[i], serve->shard_count);
    for (uint32_t i = 0; i < serve->shard_count; i++)
        rusm__shard_fini(&serve->shards[i]);
    pthread_cond_destroy(&serve->changed);
    pthread_mutex_destroy(&serve->lock);
    rusm__mem_free(serve->listeners);
    rusm__mem_free(serve->shards);
    rusm__mem_free(serve);
}
