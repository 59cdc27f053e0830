/* SPDX-License-Identifier: MIT */
/* Keepers: puppets that keep the streams which are offered to them, and count
 * what wakes them although nobody has told them anything. Helpers that run one
 * call in a keeper each. */
#ifndef RUSM_TEST_KEEPER_H
#define RUSM_TEST_KEEPER_H

#include "unit/proc/puppet.h"

#include "rusm/stream.h"

struct keeper {
    struct puppet puppet; /* first: orders are for puppets */
    _Atomic unsigned wakes;
    rusm_step (*winds_down)(rusm_proc *self, void *body);
};

static inline rusm_step keeper_step(rusm_proc *self, void *body) {
    struct keeper *keeper = body;
    rusm_step step = RUSM_STEP_WAIT;
    rusm_msg *msg;
    bool told = false;
    while (step == RUSM_STEP_WAIT && (msg = rusm_proc_receive(self)) != NULL) {
        struct puppet_order order;
        told = true;
        if (rusm_msg_get_kind(msg) == RUSM_MSG_STREAM) {
            rusm_proc_stash(self, msg);
            continue;
        }
        if (puppet_order_of(msg, &order)) {
            step = order.fn(self, order.arg);
            puppet_done(&keeper->puppet, order.done);
        } else {
            puppet_note(&keeper->puppet, msg);
        }
        rusm_msg_free(msg);
    }
    atomic_fetch_add(&keeper->wakes, !told);
    return step;
}

static const rusm_body_ops keeper_ops = {
    .name = "keeper", .step = keeper_step, .drop = puppet_drop};

/* What its body has to do when it is told to end. */
static inline rusm_step keeper_unwind(rusm_proc *self, void *body) {
    return ((struct keeper *)body)->winds_down(self, body);
}

static const rusm_body_ops winding_ops = {
    .name = "keeper", .step = keeper_step, .unwind = keeper_unwind, .drop = puppet_drop};

static inline void keeper_start_with(struct keeper *keeper, rusm_runtime *rt,
                                     const rusm_spawn_options *given) {
    *keeper = (struct keeper){.winds_down = NULL};
    puppet_prepare(&keeper->puppet, rt);
    rusm_spawn_options options = *given;
    options.size = sizeof(options);
    options.ops = options.ops ? options.ops : &keeper_ops;
    options.body = keeper;
    assert_int_equal(rusm_proc_spawn(rt, &options, &keeper->puppet.pid), RUSM_OK);
}

static inline void keeper_start(struct keeper *keeper, rusm_runtime *rt) {
    keeper_start_with(keeper, rt, &(rusm_spawn_options){.flags = 0});
}

/* The first step of a process finds nothing: let it pass, so that later ones
 * can be counted. */
static inline void keeper_settle(struct keeper *keeper) {
    puppet_settle(&keeper->puppet);
    atomic_store(&keeper->wakes, 0);
}

/* Whatever lives ends, and is done with the memory of the test. */
static inline void end_all(rusm_runtime *rt) {
    enum { AT_ONCE = 64 };
    rusm_pid pids[AT_ONCE];
    size_t count = rusm_pid_list(rt, pids, AT_ONCE);
    for (size_t i = 0; i < count && i < AT_ONCE; i++) {
        rusm_pid_kill(rt, pids[i]);
    }
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
}

/* ---- one call each ---- */

struct act {
    rusm_stream end;
    rusm_pid pid;
    uint32_t max_chunks, max_bytes;
    bool large_alone;
    const void *data;
    size_t len;
    unsigned char bytes[256];
    int status;
    rusm_stream_info info;
    rusm_stream_usage usage;
};

static inline rusm_step act_open(rusm_proc *self, void *arg) {
    struct act *act = arg;
    rusm_stream_options options = {.size = sizeof(options),
                                   .max_chunks = act->max_chunks,
                                   .max_bytes = act->max_bytes,
                                   .large_alone = act->large_alone};
    act->status = rusm_stream_open(self, act->pid, &options, &act->end);
    return RUSM_STEP_WAIT;
}

static inline rusm_step act_accept(rusm_proc *self, void *arg) {
    struct act *act = arg;
    rusm_proc_unstash(self);
    act->status = rusm_stream_try_accept(self, &act->end, &act->pid);
    return RUSM_STEP_WAIT;
}

static inline rusm_step act_write(rusm_proc *self, void *arg) {
    struct act *act = arg;
    act->status = rusm_stream_try_write_bytes(self, act->end, act->data, act->len);
    return RUSM_STEP_WAIT;
}

static inline rusm_step act_read(rusm_proc *self, void *arg) {
    struct act *act = arg;
    act->status =
        rusm_stream_try_read_bytes(self, act->end, act->bytes, sizeof(act->bytes), &act->len);
    return RUSM_STEP_WAIT;
}

static inline rusm_step act_close(rusm_proc *self, void *arg) {
    struct act *act = arg;
    act->status = rusm_stream_close(self, act->end);
    return RUSM_STEP_WAIT;
}

static inline rusm_step act_abort(rusm_proc *self, void *arg) {
    struct act *act = arg;
    act->status = rusm_stream_abort(self, act->end);
    return RUSM_STEP_WAIT;
}

static inline rusm_step act_look(rusm_proc *self, void *arg) {
    struct act *act = arg;
    act->info.size = sizeof(act->info);
    act->usage.size = sizeof(act->usage);
    act->status = rusm_stream_get_info(self, act->end, &act->info);
    assert_int_equal(rusm_stream_get_usage(self, &act->usage), RUSM_OK);
    return RUSM_STEP_WAIT;
}

static inline int open_with(struct keeper *keeper, rusm_pid to, uint32_t chunks, uint32_t bytes,
                            rusm_stream *out) {
    struct act act = {.pid = to, .max_chunks = chunks, .max_bytes = bytes};
    puppet_do(&keeper->puppet, act_open, &act);
    *out = act.end;
    return act.status;
}

static inline int accept_one_of(struct keeper *keeper, rusm_stream *out, rusm_pid *from) {
    struct act act = {.end = 0};
    puppet_do(&keeper->puppet, act_accept, &act);
    *out = act.end;
    *from = act.pid;
    return act.status;
}

static inline int write_of(struct keeper *keeper, rusm_stream end, const void *data, size_t len) {
    struct act act = {.end = end, .data = data, .len = len};
    puppet_do(&keeper->puppet, act_write, &act);
    return act.status;
}

/* Writes len bytes that are all the same. */
static inline int fill_of(struct keeper *keeper, rusm_stream end, size_t len) {
    static const unsigned char same[1024];
    assert_true(len <= sizeof(same));
    return write_of(keeper, end, same, len);
}

/* RUSM_OK: a chunk of exactly this text, or none is expected and text is NULL.
 */
static inline int read_of(struct keeper *keeper, rusm_stream end, const char *text) {
    struct act act = {.end = end};
    puppet_do(&keeper->puppet, act_read, &act);
    if (act.status == RUSM_OK && text) {
        assert_int_equal(act.len, strlen(text));
        assert_memory_equal(act.bytes, text, act.len);
    }
    return act.status;
}

static inline int close_of(struct keeper *keeper, rusm_stream end) {
    struct act act = {.end = end};
    puppet_do(&keeper->puppet, act_close, &act);
    return act.status;
}

static inline int abort_of(struct keeper *keeper, rusm_stream end) {
    struct act act = {.end = end};
    puppet_do(&keeper->puppet, act_abort, &act);
    return act.status;
}

static inline struct act look_of(struct keeper *keeper, rusm_stream end) {
    struct act act = {.end = end};
    puppet_do(&keeper->puppet, act_look, &act);
    return act;
}

/* ---- a writer and a reader with a stream between them ---- */

struct pair {
    struct keeper writer, reader;
    rusm_stream in, out; /* what the writer writes to; what the reader reads from */
};

static inline void pair_start(struct pair *pair, rusm_runtime *rt, uint32_t chunks,
                              uint32_t bytes) {
    rusm_pid from;
    keeper_start(&pair->writer, rt);
    keeper_start(&pair->reader, rt);
    assert_int_equal(open_with(&pair->writer, pair->reader.puppet.pid, chunks, bytes, &pair->in),
                     RUSM_OK);
    assert_int_equal(accept_one_of(&pair->reader, &pair->out, &from), RUSM_OK);
    assert_true(from == pair->writer.puppet.pid);
    keeper_settle(&pair->writer);
    keeper_settle(&pair->reader);
}

#endif
