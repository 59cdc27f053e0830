/* SPDX-License-Identifier: MIT */
/* The calls that the engine makes when a guest calls its host: one C vtable, filled by
 * src/hostcall, mirrored as #[repr(C)] in engine/src/host.rs (change both; `size` is compared).
 *
 * `guest` is the struct rusm__guest that was given when the instance was started. Every call
 * happens on the scheduler that runs the process, on the guest's fiber stack, of which C may use
 * RUSM__GUEST_STACK_BUDGET bytes: nothing here calls LMDB, writes output or recurses.
 *
 * Slices point into guest memory or engine memory and are valid during the call only; text slices
 * are valid UTF-8. Bytes that C hands out carry an owner; the engine calls `release(owner)` once
 * it has copied them, also when the copy failed or the instance was dropped.
 *
 * A call that may have to wait comes as a pair: `x_begin` takes the arguments, `x_poll` is called
 * at once and again at each resume until it does not answer PENDING. If the instance is dropped
 * in between, `x_poll` is not called again and C cleans up with the guest. */
#ifndef RUSM__SANDBOX_HOST_CALLS_H
#define RUSM__SANDBOX_HOST_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "rusm/bridge.h"

#define RUSM__GUEST_STACK_BUDGET (64u * 1024u)

struct rusm__guest;

struct rusm__slice {
    const unsigned char *ptr; /* not NULL when len is 0 either */
    size_t len;
};

struct rusm__bytes {
    const unsigned char *ptr;
    size_t len;
    void *owner; /* NULL: static, nothing to release */
};

/* What a host call answers. TRAP ends the guest with the text of `trap_text`. */
enum rusm__call {
    RUSM__CALL_OK = 0,      /* ok / some / done: outputs are set */
    RUSM__CALL_NONE = 1,    /* none / the err side: see the call */
    RUSM__CALL_PENDING = 2, /* only from a poll */
    RUSM__CALL_TRAP = 3,
};

/* What to do at an epoch tick. */
enum rusm__tick {
    RUSM__TICK_CONTINUE = 0,
    RUSM__TICK_YIELD = 1, /* resume answers YIELDED; the process goes to the end of the queue */
    RUSM__TICK_STOP = 2,  /* trap with the text of `trap_text` */
};

enum rusm__wasi_refusal {
    RUSM__WASI_HTTP,      /* a request, without the network */
    RUSM__WASI_NETWORK,   /* a socket or the look-up of a name, without the network */
    RUSM__WASI_LISTEN,    /* what no grant allows */
    RUSM__WASI_ASKED,     /* no refusal: it asks for its folders and has none */
    RUSM__WASI_FOLDERS,   /* a path, without any folder */
    RUSM__WASI_OUTSIDE,   /* a path that leads out of the granted folders */
    RUSM__WASI_READ_ONLY, /* a change in a folder that is granted for reading */
    RUSM__WASI_FILES,     /* guests hold as many open files and sockets as they may */
};

enum rusm__kv_op {
    RUSM__KV_GET,
    RUSM__KV_SET,
    RUSM__KV_DELETE,
    RUSM__KV_EXISTS,
    RUSM__KV_LIST,
    RUSM__KV_COMPARE_AND_SET,
    RUSM__KV_INCREMENT,
    RUSM__KV_BATCH,
    RUSM__KV_KEYS,
};

/* How many changes of a batch are handed over; a longer one is refused by its count. */
#define RUSM__KV_BATCH_CHANGES 1024u

struct rusm__kv_change_in { /* one of a batch */
    struct rusm__slice bucket, key, value;
    uint64_t ttl_ms;
    uint8_t has_value; /* 0: delete */
    uint8_t has_ttl;
};

/* The arguments of a kv call; what its op does not have is 0. */
struct rusm__kv_request {
    uint32_t op;
    uint32_t limit;            /* KEYS */
    struct rusm__slice bucket; /* not BATCH */
    struct rusm__slice key;    /* KEYS: the prefix */
    struct rusm__slice value;  /* SET, COMPARE_AND_SET */
    struct rusm__slice other;  /* COMPARE_AND_SET: what is expected; KEYS: where to go on */
    uint8_t has_value, has_other, has_ttl;
    uint64_t ttl_ms; /* SET, COMPARE_AND_SET */
    int64_t delta;   /* INCREMENT */
    const struct rusm__kv_change_in *changes;
    size_t change_count; /* of them min(change_count, RUSM__KV_BATCH_CHANGES) are there */
};

/* kv_poll: OK with the field of the op set; NONE: `value` holds the error's text. */
struct rusm__kv_answer {
    struct rusm__bytes value;       /* GET when found; the error text when NONE is answered */
    uint8_t found;                  /* GET, DELETE, EXISTS, COMPARE_AND_SET; KEYS: there is more */
    int64_t number;                 /* INCREMENT */
    const struct rusm__slice *keys; /* LIST, KEYS; KEYS with more: keys[key_count] leads on */
    size_t key_count;
    void *keys_owner; /* released after the keys are copied */
};

struct rusm__process_info { /* actor.process-info */
    uint64_t pid;
    uint32_t links;
    uint32_t monitors;
    uint32_t mailbox_depth;
    uint8_t trap_exit;
    uint8_t has_label;
    struct rusm__slice label;
    const struct rusm__slice *names;
    size_t name_count;
    void *owner; /* of label and names */
};

struct rusm__slice_pair {
    struct rusm__slice name;
    struct rusm__slice value;
};

struct rusm__connection_info { /* serve.connection-info; lives as long as the process */
    struct rusm__slice method, path, query, remote_addr, subprotocol;
    const struct rusm__slice_pair *params, *headers;
    size_t param_count, header_count;
    uint8_t has_subprotocol;
};

/* A function of an interface that the program adds (rusm/bridge.h). Read when an engine is made. */
struct rusm__bridge_function {
    const char *name;       /* as in WIT */
    const char *text;       /* its type as in WIT, for error texts */
    const uint32_t *params; /* rusm_type, one each */
    size_t param_count;
    uint32_t answer; /* RUSM_TYPE_NONE: nothing; of a result: its ok */
    uint32_t error;  /* of a result */
    uint32_t is_result;
    uint32_t may_wait;    /* bridge_call may answer PENDING */
    const void *function; /* handed to bridge_call */
};

struct rusm__bridge_interface {
    const char *name; /* "app:weather/weather@0.1.0" */
    const struct rusm__bridge_function *functions;
    size_t function_count;
    const char *grant; /* what the manifest calls it; the engine does not look at it */
};

struct rusm__host_calls {
    size_t size; /* sizeof(struct rusm__host_calls) */

    /* ---- the engine's own needs ---- */
    void (*release)(void *owner);
    /* Why the last TRAP or STOP; valid until the next call for this guest. */
    struct rusm__slice (*trap_text)(struct rusm__guest *guest);
    /* An epoch has passed while the guest ran. The first one after a wait may come at once, because
     * epochs pass meanwhile too: judge by time, not by count. enum rusm__tick. */
    uint32_t (*tick)(struct rusm__guest *guest);
    /* May linear memory (kind 0, bytes) or a table (kind 1, elements) grow? 1 yes, 0 no. Also asked
     * for what a guest starts with. Not asked for more than a memory's own maximum allows. */
    uint32_t (*grow)(struct rusm__guest *guest, uint32_t kind, size_t current, size_t desired);
    /* A wait of WASI is over: resume again. Any thread; it may come while the guest still runs,
     * before resume has answered PENDING, and it may come for nothing. The process may be gone;
     * the runtime is not, since rusm_engine_free waits for calls that are under way. */
    void (*wake)(void *runtime, uint64_t pid);

    /* `rusm.notify` of core modules: counted for the whole node. */
    void (*notify)(struct rusm__guest *guest);

    /* ---- actor ---- */
    uint64_t (*own_pid)(struct rusm__guest *guest);
    /* OK: *out_pid. NONE: *out_error. */
    uint32_t (*spawn)(struct rusm__guest *guest, struct rusm__slice component, uint64_t *out_pid,
                      struct rusm__bytes *out_error);
    /* Start what the source holds under the template's profile. Waits: it may have to be fetched
     * and compiled. */
    void (*spawn_from_begin)(struct rusm__guest *guest, struct rusm__slice component,
                             struct rusm__slice source);
    /* OK: *out_pid. NONE: *out_error. PENDING. */
    uint32_t (*spawn_from_poll)(struct rusm__guest *guest, uint64_t *out_pid,
                                struct rusm__bytes *out_error);
    /* strategy: 0 one-for-one, 1 one-for-all, 2 rest-for-one. OK: *out_pid. NONE: *out_error. */
    uint32_t (*supervise)(struct rusm__guest *guest, uint32_t strategy,
                          const struct rusm__slice *children, size_t count, uint32_t max_restarts,
                          uint32_t within_ms, uint64_t *out_pid, struct rusm__bytes *out_error);
    uint32_t (*send)(struct rusm__guest *guest, uint64_t to, struct rusm__slice message);
    void (*receive_begin)(struct rusm__guest *guest, uint32_t has_timeout, uint64_t timeout_ms);
    /* OK: *out_message. NONE: timed out. PENDING. TRAP. */
    uint32_t (*receive_poll)(struct rusm__guest *guest, struct rusm__bytes *out_message);
    uint32_t (*stash)(struct rusm__guest *guest, struct rusm__slice message);
    void (*unstash)(struct rusm__guest *guest);
    /* *out_pids stays valid until released. */
    uint32_t (*list_processes)(struct rusm__guest *guest, const uint64_t **out_pids,
                               size_t *out_count, void **out_owner);
    uint32_t (*info)(struct rusm__guest *guest, uint64_t pid, struct rusm__process_info *out_info);
    uint32_t (*is_alive)(struct rusm__guest *guest, uint64_t pid); /* 1 or 0 */
    uint32_t (*kill)(struct rusm__guest *guest, uint64_t pid);     /* 1 or 0 */
    void (*monitor)(struct rusm__guest *guest, uint64_t target);
    uint32_t (*register_name)(struct rusm__guest *guest, struct rusm__slice name);   /* 1 or 0 */
    uint32_t (*unregister_name)(struct rusm__guest *guest, struct rusm__slice name); /* 1 or 0 */
    uint32_t (*whereis)(struct rusm__guest *guest, struct rusm__slice name, uint64_t *out_pid);
    void (*set_label)(struct rusm__guest *guest, struct rusm__slice label);
    /* OK: *out_timer. TRAP. */
    uint32_t (*send_after)(struct rusm__guest *guest, uint64_t to, uint64_t delay_ms,
                           struct rusm__slice message, uint64_t *out_timer);
    uint32_t (*cancel_timer)(struct rusm__guest *guest, uint64_t timer); /* 1 or 0 */

    /* ---- log, pg ---- */
    void (*log)(struct rusm__guest *guest, uint32_t level,
                struct rusm__slice text); /* 0 error .. 3 debug */
    uint32_t (*register_tag)(struct rusm__guest *guest, struct rusm__slice tag); /* OK or TRAP */
    void (*unregister_tag)(struct rusm__guest *guest, struct rusm__slice tag);
    uint32_t (*whereis_tag)(struct rusm__guest *guest, struct rusm__slice tag,
                            const uint64_t **out_pids, size_t *out_count, void **out_owner);
    uint32_t (*kill_tag)(struct rusm__guest *guest, struct rusm__slice tag); /* how many */

    /* ---- kv ---- */
    void (*kv_begin)(struct rusm__guest *guest, const struct rusm__kv_request *request);
    uint32_t (*kv_poll)(struct rusm__guest *guest, struct rusm__kv_answer *out_answer);

    /* ---- streams ---- */
    /* OK: *out_id. NONE: the process is gone. TRAP. */
    uint32_t (*stream_open)(struct rusm__guest *guest, uint64_t to, uint64_t *out_id);
    void (*stream_write_begin)(struct rusm__guest *guest, uint64_t id, struct rusm__slice chunk);
    /* OK: written. NONE: nobody reads it, or no writing end. PENDING. TRAP. */
    uint32_t (*stream_write_poll)(struct rusm__guest *guest);
    void (*stream_close)(struct rusm__guest *guest, uint64_t id);
    /* OK: *out_id. PENDING. TRAP. No begin: there is nothing to remember. */
    uint32_t (*stream_accept_poll)(struct rusm__guest *guest, uint64_t *out_id);
    void (*stream_read_begin)(struct rusm__guest *guest, uint64_t id);
    /* OK: *out_chunk. NONE: the end, or no reading end. PENDING. */
    uint32_t (*stream_read_poll)(struct rusm__guest *guest, struct rusm__bytes *out_chunk);

    /* ---- serve ---- */
    /* The connection of this process, or NULL. */
    const struct rusm__connection_info *(*connection)(struct rusm__guest *guest);

    /* ---- bridges ---- */
    /* Both answer OK: *out_answer, of the declared type, whose bytes are there until *out_owner is
     * released; PENDING, if the function may wait; TRAP. *out_owner is NULL before. */
    uint32_t (*bridge_call)(struct rusm__guest *guest, const void *function, const rusm_value *args,
                            rusm_value *out_answer, void **out_owner);
    uint32_t (*bridge_poll)(struct rusm__guest *guest, rusm_value *out_answer, void **out_owner);

    /* ---- WASI ---- */
    /* The engine has refused the guest an operation, for what a profile does not grant: enum
     * rusm__wasi_refusal. The target is a place, a name or a path, as far as it is known. */
    void (*wasi_denied)(struct rusm__guest *guest, uint32_t why, struct rusm__slice operation,
                        struct rusm__slice target);
};

#endif
