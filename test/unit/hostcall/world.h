/* SPDX-License-Identifier: MIT */
/* A small node for tests of the sandbox and of host calls: a runtime with two schedulers, a
 * sandbox, a log that can be read, and a probe: a native process that starts guests, watches them
 * and keeps whatever it receives for the test. Waiting is bounded by a generous deadline, so that a
 * loaded machine makes a test slow and not wrong. */
#ifndef RUSM_TEST_WORLD_H
#define RUSM_TEST_WORLD_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/rusm.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "hostcall/hostcall.h"
#include "proc/proc.h"
#include "sandbox/sandbox.h"

#include "guest_wat.h"

#define PATIENCE_S 30
#include "wait.h"

#define WORLD_INBOX 65536 /* a guest may send thousands before the test looks */

struct world {
    rusm_runtime *runtime;
    struct rusm__hostcall *hostcall;
    struct rusm__sandbox *sandbox;
    int log_fd;
    rusm_pid probe;
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    rusm_msg *inbox[WORLD_INBOX];
    size_t first, count;
    bool may_lose; /* what guests say is of no interest, and they say too much */
    void (*order)(rusm_proc *probe, void *arg); /* for the probe to run */
    void *order_arg;
    /* a profile that tests may change before they load with it */
    struct rusm__profile profile;
};

static void world_deadline(struct timespec *out) {
    clock_gettime(CLOCK_REALTIME, out);
    out->tv_sec += PATIENCE_S;
}

static void world_wait(struct world *w, const struct timespec *until) {
    if (pthread_cond_timedwait(&w->changed, &w->lock, until) != 0)
        fail_msg("nothing happened for %d s", PATIENCE_S);
}

/* ---- the probe ---- */

static rusm_step world_probe_step(rusm_proc *self, void *body) {
    struct world *w = body;
    rusm_msg *msg;
    pthread_mutex_lock(&w->lock);
    while ((msg = rusm_proc_receive(self))) {
        if (w->may_lose && w->count >= WORLD_INBOX / 2 && rusm_msg_get_kind(msg) == RUSM_MSG_DATA) {
            rusm_msg_free(msg);
            continue;
        }
        assert_true(w->count < WORLD_INBOX);
        w->inbox[(w->first + w->count++) % WORLD_INBOX] = msg;
    }
    if (w->order) {
        w->order(self, w->order_arg);
        w->order = NULL;
    }
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return RUSM_STEP_WAIT;
}

static void world_probe_drop(void *body) {
    (void)body;
}

static const rusm_body_ops world_probe_ops = {
    .name = "probe", .step = world_probe_step, .drop = world_probe_drop};

/* Run fn(probe, arg) in the probe, with the lock held, and wait for it. */
static void world_order(struct world *w, void (*fn)(rusm_proc *, void *), void *arg) {
    struct timespec until;
    world_deadline(&until);
    pthread_mutex_lock(&w->lock);
    w->order = fn;
    w->order_arg = arg;
    assert_true(rusm__proc_wake(w->runtime, w->probe));
    while (w->order)
        world_wait(w, &until);
    pthread_mutex_unlock(&w->lock);
}

/* The next thing that the probe received. */
static rusm_msg *world_next(struct world *w) {
    struct timespec until;
    world_deadline(&until);
    pthread_mutex_lock(&w->lock);
    while (!w->count)
        world_wait(w, &until);
    rusm_msg *msg = w->inbox[w->first];
    w->first = (w->first + 1) % WORLD_INBOX;
    w->count--;
    pthread_mutex_unlock(&w->lock);
    return msg;
}

static void world_expect_bytes(struct world *w, const void *bytes, size_t len) {
    rusm_msg *msg = world_next(w);
    assert_int_equal(rusm_msg_get_kind(msg), RUSM_MSG_DATA);
    if (rusm_msg_len(msg) != len || memcmp(rusm_msg_data(msg), bytes, len) != 0)
        fail_msg("wanted \"%.*s\", got \"%.*s\"", (int)len, (const char *)bytes,
                 (int)rusm_msg_len(msg), (const char *)rusm_msg_data(msg));
    rusm_msg_free(msg);
}

static void world_expect(struct world *w, const char *text) {
    world_expect_bytes(w, text, strlen(text));
}

static uint64_t world_u64(struct world *w) {
    uint64_t value = 0;
    rusm_msg *msg = world_next(w);
    assert_int_equal(rusm_msg_get_kind(msg), RUSM_MSG_DATA);
    assert_int_equal(rusm_msg_len(msg), sizeof(value));
    memcpy(&value, rusm_msg_data(msg), sizeof(value));
    rusm_msg_free(msg);
    return value;
}

static void world_expect_u64(struct world *w, uint64_t wanted) {
    assert_int_equal(world_u64(w), wanted);
}

/* The death of a guest that world_start started. The text is for the caller to free. */
static char *world_down(struct world *w, rusm_pid pid, rusm_exit_kind kind) {
    rusm_msg *msg = world_next(w);
    assert_int_equal(rusm_msg_get_kind(msg), RUSM_MSG_DOWN);
    assert_int_equal(rusm_msg_from(msg), pid);
    char *text = strndup((char *)rusm_msg_data(msg), rusm_msg_len(msg));
    if (rusm_msg_exit_kind(msg) != kind)
        fail_msg("ended %s (%s), wanted %s", rusm_exit_kind_name(rusm_msg_exit_kind(msg)), text,
                 rusm_exit_kind_name(kind));
    rusm_msg_free(msg);
    return text;
}

static void world_expect_end(struct world *w, rusm_pid pid, rusm_exit_kind kind) {
    free(world_down(w, pid, kind));
}

/* It crashed and the reason's text holds `part`. */
static void world_expect_crash(struct world *w, rusm_pid pid, const char *part) {
    char *text = world_down(w, pid, RUSM_EXIT_CRASHED);
    if (!strstr(text, part))
        fail_msg("the reason is \"%s\", without \"%s\"", text, part);
    free(text);
}

/* ---- the node ---- */

static struct rusm__profile world_profile(const char *name) {
    return (struct rusm__profile){
        .name = name,
        .network = true,
        .spawn = true,
        .process_control = true,
        .stdio = false,
        .storage = true,
        .max_memory_bytes = 64u << 20,
        .max_message_bytes = 16u << 20,
        .max_children = 64,
        .max_names = 16,
        .max_timers = 16,
        .max_streams = 16,
    };
}

struct world_options {
    struct rusm__kv *store;
    const rusm_bridge *bridges;
    size_t bridge_count;
    uint32_t max_instances; /* 0: 64 */
    uint32_t schedulers;    /* 0: 2 */
    const struct rusm__machine *machine;
    uint64_t dynamic_ttl_ns;
    enum rusm__log_level level;
    void (*adjust)(struct rusm__sandbox_options *options); /* before the sandbox is opened */
};

static void world_start_node(struct world *w, const struct world_options *options) {
    rusm_runtime_options rt = {.size = sizeof(rt),
                               .schedulers = options->schedulers ? options->schedulers : 2};
    assert_int_equal(rusm_runtime_start(&rt, &w->runtime), RUSM_OK);
    struct rusm__hostcall_options calls = {.runtime = w->runtime,
                                           .store = options->store,
                                           .bridges = options->bridges,
                                           .bridge_count = options->bridge_count,
                                           .dynamic_ttl_ns = options->dynamic_ttl_ns};
    struct rusm__buf error;
    rusm__buf_init(&error);
    if (rusm__hostcall_open(&calls, &w->hostcall, &error) != RUSM_OK)
        fail_msg("%s", rusm__buf_cstr(&error));
    struct rusm__sandbox_options sandbox = {
        .runtime = w->runtime,
        .max_instances = options->max_instances ? options->max_instances : 64,
        .machine = options->machine};
    rusm__hostcall_fill(w->hostcall, &sandbox);
    if (options->adjust)
        options->adjust(&sandbox);
    if (rusm__sandbox_open(&sandbox, &w->sandbox, &error) != RUSM_OK)
        fail_msg("%s", rusm__buf_cstr(&error));
    rusm__buf_fini(&error);
}

static struct world *world_open(const struct world_options *options) {
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->profile = world_profile("test");
    w->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(w->log_fd >= 0);
    enum rusm__log_level level = options->level ? options->level : RUSM__LOG_DEBUG;
    assert_int_equal(rusm__log_start(w->log_fd, level), RUSM_OK);
    world_start_node(w, options);
    rusm_spawn_options probe = {.size = sizeof(probe), .ops = &world_probe_ops, .body = w};
    assert_int_equal(rusm_proc_spawn(w->runtime, &probe, &w->probe), RUSM_OK);
    return w;
}

static void world_close(struct world *w) {
    rusm__sandbox_calm(w->sandbox);
    rusm_runtime_stop(w->runtime);
    assert_int_equal(rusm__sandbox_live(w->sandbox), 0);
    rusm__sandbox_close(w->sandbox);
    rusm__hostcall_close(w->hostcall);
    while (w->count--) {
        rusm_msg_free(w->inbox[w->first]);
        w->first = (w->first + 1) % WORLD_INBOX;
    }
    rusm__log_stop();
    close(w->log_fd);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* ---- components and guests ---- */

/* The engine turns faults of guests into traps by signal handlers, which it sets when its first
 * pool is made. cmocka sets its own before every test; so the engine's are kept and set again. */
static void world_restore_handlers(void) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    static struct sigaction kept[4];
    static bool known;
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            known ? sigaction(faults[i], &kept[i], NULL) : sigaction(faults[i], NULL, &kept[i]), 0);
    known = true;
}

static struct rusm__component *world_load_with(struct world *w, const char *name, const char *wat,
                                               const struct rusm__profile *profile) {
    struct rusm__component *component = NULL;
    struct rusm__component_options options = {.name = name, .profile = profile};
    struct rusm__buf error;
    rusm__buf_init(&error);
    if (rusm__component_load(w->sandbox, wat, strlen(wat), &options, &component, &error) < 0)
        fail_msg("%s", rusm__buf_cstr(&error));
    rusm__buf_fini(&error);
    world_restore_handlers();
    assert_int_equal(rusm__hostcall_add(w->hostcall, component), RUSM_OK);
    return component;
}

static void world_add_parts(struct rusm__buf *wat, const char *const *parts) {
    for (; *parts; parts++)
        rusm__buf_add_str(wat, *parts);
}

/* From a body, see guest_wat.h. */
static struct rusm__component *world_guest_with(struct world *w, const char *name, const char *body,
                                                const struct rusm__profile *profile) {
    struct rusm__buf wat;
    rusm__buf_init(&wat);
    world_add_parts(&wat, guest_before);
    rusm__buf_add_str(&wat, body);
    world_add_parts(&wat, guest_after);
    struct rusm__component *component = world_load_with(w, name, rusm__buf_cstr(&wat), profile);
    rusm__buf_fini(&wat);
    return component;
}

/* Whole component text, under the world's profile. */
static struct rusm__component *world_load(struct world *w, const char *name, const char *wat) {
    return world_load_with(w, name, wat, &w->profile);
}

/* A body, under the world's profile. */
static struct rusm__component *world_guest(struct world *w, const char *name, const char *body) {
    return world_guest_with(w, name, body, &w->profile);
}

struct world_start {
    struct rusm__component *component;
    struct rusm__component_spawn spawn;
    rusm_pid pid;
    int code;
};

static void world_start_order(rusm_proc *probe, void *arg) {
    struct world_start *start = arg;
    rusm_pid self = rusm_proc_pid(probe);
    start->spawn.monitor_by = self;
    start->spawn.monitor_ref = 1;
    assert_int_equal(rusm_msg_copy(&self, sizeof(self), &start->spawn.first), RUSM_OK);
    start->code = rusm__component_spawn(start->component, &start->spawn, &start->pid);
    if (start->code < 0)
        rusm_msg_free(start->spawn.first);
}

static int world_try_start(struct world *w, struct rusm__component *component, rusm_pid *out_pid) {
    struct world_start start = {.component = component};
    world_order(w, world_start_order, &start);
    *out_pid = start.pid;
    return start.code;
}

/* Spawned and monitored by the probe, whose pid is the first message. */
static rusm_pid world_start(struct world *w, struct rusm__component *component) {
    rusm_pid pid;
    assert_int_equal(world_try_start(w, component, &pid), RUSM_OK);
    return pid;
}

static rusm_pid world_run(struct world *w, const char *name, const char *body) {
    return world_start(w, world_guest(w, name, body));
}

static void world_send(struct world *w, rusm_pid to, const void *bytes, size_t len) {
    rusm_msg *msg;
    assert_int_equal(rusm_msg_copy(bytes, len, &msg), RUSM_OK);
    assert_int_equal(rusm_msg_send(w->runtime, to, msg), RUSM_OK);
}

static void world_send_text(struct world *w, rusm_pid to, const char *text) {
    world_send(w, to, text, strlen(text));
}

/* ---- the log ---- */

/* All of it so far; for the caller to free. */
static char *world_log(struct world *w) {
    assert_true(rusm__log_flush(PATIENCE_S * 1000u));
    off_t len = lseek(w->log_fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    assert_non_null(text);
    assert_int_equal(pread(w->log_fd, text, (size_t)len, 0), len);
    return text;
}

static size_t world_log_count(struct world *w, const char *part) {
    char *text = world_log(w);
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    free(text);
    return count;
}

static void world_expect_log(struct world *w, const char *part) {
    char *text = world_log(w);
    if (!strstr(text, part))
        fail_msg("the log has no \"%s\":\n%s", part, text);
    free(text);
}

/* ---- cmocka ---- */

static int world_setup(void **state) {
    *state = world_open(&(struct world_options){0});
    return 0;
}

static int world_teardown(void **state) {
    world_close(*state);
    return 0;
}

#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* A test need not use all of this file. */
static inline void world_silence(void) {
    (void)world_expect_bytes;
    (void)world_expect_u64;
    (void)world_expect_end;
    (void)world_expect_crash;
    (void)world_run;
    (void)world_load;
    (void)world_send_text;
    (void)world_log_count;
    (void)world_expect_log;
    (void)world_setup;
    (void)world_teardown;
    (void)world_expect;
}

#endif
