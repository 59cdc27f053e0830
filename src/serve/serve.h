/* SPDX-License-Identifier: MIT */
/* Serving: HTTP/1.1 listeners whose requests are answered by one fresh process each.
 *
 *   serve      everything that a node serves: one shard per scheduler, and its listeners
 *   listener   one address with its router and its headers
 *   router     finds what answers a request; given by the caller
 *   target     what a route leads to: knows how to start a handler process
 *
 * Life: new, bind each listener, start, stop, free. Binding takes the ports and accepts nobody, so
 * a node can bind everything before anything is answered, and give up without a trace.
 *
 * Threads: new, bind, start, stop and free are called from one thread that is not a scheduler.
 * Routers and targets are called on scheduler threads, several at once, so they must not change. */
#ifndef RUSM__SERVE_SERVE_H
#define RUSM__SERVE_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/msg.h"
#include "rusm/runtime.h"

#include "base/buf.h"

struct rusm__serve;
struct rusm__component;

#define RUSM__SERVE_PARAMS_MAX 32

/* ---- targets ---- */

struct rusm__serve_start {
    rusm_msg *first;     /* the request's envelope; taken on success */
    rusm_pid monitor_by; /* the connection, which is the caller: its DOWN is the end of the wait */
    uint64_t monitor_ref;
};

struct rusm__serve_target {
    /* Start a handler; called in a step of the connection's process and never waits. RUSM_OK, or
     * what was in the way: ELIMIT, EPROCS and ENOMEM are answered with 503, others with 502. */
    int (*spawn)(const struct rusm__serve_target *target, const struct rusm__serve_start *start,
                 rusm_pid *out_pid);
    void *data;
};

/* A target that starts a fresh instance of a component for each request. The component outlives
 * the serve. */
void rusm__serve_component_target(struct rusm__serve_target *target,
                                  struct rusm__component *component);

/* ---- routers ---- */

struct rusm__serve_param {
    const char *name;
    size_t name_len;
    const char *raw; /* in the request's path */
    size_t raw_len;
    bool ragged; /* has empty segments that are left out: "a//b/" stands for "a/b" */
};

struct rusm__serve_match {
    const struct rusm__serve_target *target;
    const char *action; /* UTF-8 */
    size_t action_len;
    size_t param_count;
    struct rusm__serve_param params[RUSM__SERVE_PARAMS_MAX];
};

enum rusm__serve_found {
    RUSM__SERVE_FOUND,        /* everything in the match is set */
    RUSM__SERVE_NO_PATH,      /* 404 */
    RUSM__SERVE_OTHER_METHOD, /* 405 */
};

struct rusm__serve_router {
    /* `path` is the origin form's path with its query, as it came. Allocates nothing. */
    enum rusm__serve_found (*match)(const void *data, const char *method, size_t method_len,
                                    const char *path, size_t path_len,
                                    struct rusm__serve_match *out_match);
    /* Append what an Allow header says about the path: "GET, POST". Only after OTHER_METHOD. */
    void (*allow)(const void *data, const char *path, size_t path_len, struct rusm__buf *out);
    const void *data;
};

/* ---- listeners ---- */

struct rusm__serve_header {
    const char *name; /* a token in lower case, none that frames a message */
    const char *value;
};

struct rusm__serve_listener {
    const char *listen;                       /* "host:port"; port 0: the system chooses */
    const char *name;                         /* for texts: the component, or "routes" */
    struct rusm__serve_router router;         /* copied; its data outlives the serve */
    const struct rusm__serve_header *headers; /* copied; sorted by name, no name twice */
    size_t header_count;
    uint64_t max_connections; /* alive at once on this listener; 0: only the serve's limit */
};

/* ---- the whole ---- */

/* 0 stands for the default in brackets. Times are in milliseconds. */
struct rusm__serve_limits {
    uint32_t max_target_bytes; /* of a request's target [8 KiB]: 414 */
    uint32_t max_head_bytes;   /* of its header lines together [32 KiB]: 431 */
    uint32_t max_headers;      /* [100], at most 256: 431 */
    uint64_t max_body_bytes;   /* [16 MiB], at most 512 MiB: 413 */
    uint64_t max_held_bytes;   /* of bodies and answers that clients send or take slowly, over all
                                  connections [256 MiB]: 503, or closed */
    uint32_t head_ms;          /* from the first byte to the end of the head [30,000]: 408 */
    uint32_t body_ms;          /* for each 64 KiB of the body [60,000]: 408 */
    uint32_t handler_ms;       /* from the start of a handler to its answer [60,000]: 504 */
    uint32_t idle_ms;          /* between two requests [75,000]: closed */
    uint32_t write_ms;         /* without a byte taken by the client [60,000]: closed */
    uint32_t half_closed_ms;   /* for an answer to a client that sends no more [500] */
    uint32_t linger_ms;        /* reading on after a last answer, so that it arrives [2,000] */
};

struct rusm__serve_options {
    rusm_runtime *runtime;
    uint32_t max_connections; /* over all listeners; 0: what the limit of open files allows */
    struct rusm__serve_limits limits;
};

/* RUSM_ENOMEM, RUSM_EINVAL (a limit above its maximum). */
RUSM_MUST_USE int rusm__serve_new(const struct rusm__serve_options *options,
                                  struct rusm__serve **out_serve);

/* Take the listener's port. RUSM_EBUSY (in use), RUSM_EPERM, RUSM_EINVAL, RUSM_EIO, RUSM_ENOMEM,
 * with a text that names the address and the remedy. Waits for the resolver if the host is a
 * name. */
RUSM_MUST_USE int rusm__serve_bind(struct rusm__serve *serve,
                                   const struct rusm__serve_listener *listener,
                                   struct rusm__buf *error);

/* Accept on everything that is bound. Waits until every scheduler does. On failure nothing
 * accepts; call free. */
RUSM_MUST_USE int rusm__serve_start(struct rusm__serve *serve, struct rusm__buf *error);

/* "http://127.0.0.1:8080" with the real port; valid until free. */
size_t rusm__serve_listener_count(const struct rusm__serve *serve);
const char *rusm__serve_url(const struct rusm__serve *serve, size_t index);

/* Connections that are open. Any thread; a moment's picture. */
size_t rusm__serve_connections(const struct rusm__serve *serve);

/* Accept nobody any more, close what is idle, let requests in flight finish until grace_ms have
 * passed, then end the rest with their handlers. Waits until every socket is closed, at most about
 * 2 s beyond the grace: RUSM_ETIMEDOUT if a scheduler did not get to it. May be called twice. */
int rusm__serve_stop(struct rusm__serve *serve, uint64_t grace_ms);

/* After a stop that answered RUSM_OK, or once the runtime has stopped. NULL is allowed. */
void rusm__serve_free(struct rusm__serve *serve);

#endif
