/* SPDX-License-Identifier: MIT */
/* Puppets: processes that do what the test thread tells them and keep what they receive.
 *
 * puppet_do sends a function to a puppet and waits until it has run there, as a step of that
 * process. Everything else that arrives is noted down (kind, sender, reference, reason, bytes), and
 * puppet_wait_mail waits for it. All waits are bounded by a deadline that only a hang can reach, so
 * a loaded machine makes tests slow and not wrong. */
#ifndef RUSM_TEST_PUPPET_H
#define RUSM_TEST_PUPPET_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/process.h"
#include "rusm/runtime.h"

enum { PATIENCE_S = 60, PUPPET_MAIL_MAX = 64, PUPPET_TEXT_MAX = 64 };

#include "wait.h"

/* ---- waiting ---- */

static inline void patience(struct timespec *out) {
    clock_gettime(CLOCK_REALTIME, out);
    out->tv_sec += PATIENCE_S;
}

/* ---- runtimes ---- */

static inline rusm_runtime *start_runtime(uint32_t schedulers) {
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = schedulers};
    rusm_runtime *rt;
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_OK);
    return rt;
}

static inline rusm_runtime_stats stats_of(rusm_runtime *rt) {
    rusm_runtime_stats stats = {.size = sizeof(stats)};
    assert_int_equal(rusm_runtime_get_stats(rt, &stats), RUSM_OK);
    return stats;
}

static inline rusm_msg *new_msg(const char *text) {
    rusm_msg *msg;
    assert_int_equal(rusm_msg_copy(text, strlen(text) + 1, &msg), RUSM_OK);
    return msg;
}

static inline int send_text(rusm_runtime *rt, rusm_pid to, const char *text) {
    rusm_msg *msg = new_msg(text);
    int status = rusm_msg_send(rt, to, msg);
    if (status != RUSM_OK) {
        rusm_msg_free(msg);
    }
    return status;
}

/* ---- puppets ---- */

struct puppet_mail {
    rusm_msg_kind kind;
    rusm_pid from;
    uint64_t ref;
    rusm_exit_kind exit_kind;
    size_t len;
    char text[PUPPET_TEXT_MAX]; /* the beginning of the bytes, terminated */
};

struct puppet {
    rusm_runtime *rt;
    rusm_pid pid;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock. */
    struct puppet_mail mail[PUPPET_MAIL_MAX];
    size_t mail_count; /* all that came, also what did not fit */
    unsigned drops;
};

/* What it returns becomes the answer of the step: WAIT to live on, EXIT to end. */
typedef rusm_step (*puppet_fn)(rusm_proc *self, void *arg);

struct puppet_order {
    uint64_t magic;
    puppet_fn fn;
    void *arg;
    struct puppet *puppet;
    bool *done; /* guarded by the puppet's lock */
};

#define PUPPET_MAGIC 0x9c5f3a71e2b8d604ull

static inline void puppet_note(struct puppet *puppet, rusm_msg *msg) {
    struct puppet_mail mail = {
        .kind = rusm_msg_get_kind(msg),
        .from = rusm_msg_from(msg),
        .ref = rusm_msg_ref(msg),
        .exit_kind = rusm_msg_exit_kind(msg),
        .len = rusm_msg_len(msg),
    };
    size_t kept = mail.len < PUPPET_TEXT_MAX - 1 ? mail.len : PUPPET_TEXT_MAX - 1;
    memcpy(mail.text, rusm_msg_data(msg), kept);
    pthread_mutex_lock(&puppet->lock);
    if (puppet->mail_count < PUPPET_MAIL_MAX) {
        puppet->mail[puppet->mail_count] = mail;
    }
    puppet->mail_count++;
    pthread_cond_broadcast(&puppet->changed);
    pthread_mutex_unlock(&puppet->lock);
}

static inline bool puppet_order_of(rusm_msg *msg, struct puppet_order *out) {
    if (rusm_msg_get_kind(msg) != RUSM_MSG_DATA || rusm_msg_len(msg) != sizeof(*out)) {
        return false;
    }
    memcpy(out, rusm_msg_data(msg), sizeof(*out));
    return out->magic == PUPPET_MAGIC;
}

static inline void puppet_done(struct puppet *puppet, bool *done) {
    pthread_mutex_lock(&puppet->lock);
    *done = true;
    pthread_cond_broadcast(&puppet->changed);
    pthread_mutex_unlock(&puppet->lock);
}

static inline rusm_step puppet_step(rusm_proc *self, void *body) {
    struct puppet *puppet = body;
    rusm_step step = RUSM_STEP_WAIT;
    rusm_msg *msg;
    while (step == RUSM_STEP_WAIT && (msg = rusm_proc_receive(self)) != NULL) {
        struct puppet_order order;
        if (puppet_order_of(msg, &order)) {
            step = order.fn(self, order.arg);
            puppet_done(puppet, order.done);
        } else {
            puppet_note(puppet, msg);
        }
        rusm_msg_free(msg);
    }
    return step;
}

static inline void puppet_drop(void *body) {
    struct puppet *puppet = body;
    pthread_mutex_lock(&puppet->lock);
    puppet->drops++;
    pthread_cond_broadcast(&puppet->changed);
    pthread_mutex_unlock(&puppet->lock);
}

static const rusm_body_ops puppet_ops = {
    .name = "puppet", .step = puppet_step, .drop = puppet_drop};

static inline rusm_spawn_options puppet_options(struct puppet *puppet) {
    return (rusm_spawn_options){
        .size = sizeof(rusm_spawn_options), .ops = &puppet_ops, .body = puppet};
}

static inline void puppet_prepare(struct puppet *puppet, rusm_runtime *rt) {
    *puppet = (struct puppet){.rt = rt};
    pthread_mutex_init(&puppet->lock, NULL);
    pthread_cond_init(&puppet->changed, NULL);
}

static inline void puppet_start(struct puppet *puppet, rusm_runtime *rt) {
    puppet_prepare(puppet, rt);
    rusm_spawn_options options = puppet_options(puppet);
    assert_int_equal(rusm_proc_spawn(rt, &options, &puppet->pid), RUSM_OK);
}

/* Wait, with the lock, until a look at the puppet is worth while again. */
static inline bool puppet_wait_locked(struct puppet *puppet, const struct timespec *until) {
    return pthread_cond_timedwait(&puppet->changed, &puppet->lock, until) == 0;
}

/* Run fn(self, arg) in the puppet and return when it has. */
static inline void puppet_do(struct puppet *puppet, puppet_fn fn, void *arg) {
    bool done = false;
    struct puppet_order order = {PUPPET_MAGIC, fn, arg, puppet, &done};
    rusm_msg *msg;
    struct timespec until;
    patience(&until);
    assert_int_equal(rusm_msg_copy(&order, sizeof(order), &msg), RUSM_OK);
    assert_int_equal(rusm_msg_send(puppet->rt, puppet->pid, msg), RUSM_OK);
    pthread_mutex_lock(&puppet->lock);
    while (!done && puppet_wait_locked(puppet, &until)) {
    }
    bool was_done = done;
    pthread_mutex_unlock(&puppet->lock);
    assert_true(was_done);
}

static inline size_t puppet_mail_count(struct puppet *puppet) {
    pthread_mutex_lock(&puppet->lock);
    size_t count = puppet->mail_count;
    pthread_mutex_unlock(&puppet->lock);
    return count;
}

/* Wait until `index` items and one more have come; return that one. */
static inline struct puppet_mail puppet_wait_mail(struct puppet *puppet, size_t index) {
    struct timespec until;
    patience(&until);
    assert_true(index < PUPPET_MAIL_MAX);
    pthread_mutex_lock(&puppet->lock);
    while (puppet->mail_count <= index && puppet_wait_locked(puppet, &until)) {
    }
    bool there = puppet->mail_count > index;
    struct puppet_mail mail = puppet->mail[index];
    pthread_mutex_unlock(&puppet->lock);
    assert_true(there);
    return mail;
}

static inline rusm_step puppet_fn_nothing(rusm_proc *self, void *arg) {
    (void)self;
    (void)arg;
    return RUSM_STEP_WAIT;
}

/* When this returns, everything that was sent to the puppet before has been handled. */
static inline void puppet_settle(struct puppet *puppet) {
    puppet_do(puppet, puppet_fn_nothing, NULL);
}

static inline unsigned puppet_drops(struct puppet *puppet) {
    pthread_mutex_lock(&puppet->lock);
    unsigned drops = puppet->drops;
    pthread_mutex_unlock(&puppet->lock);
    return drops;
}

/* Wait for the end of the puppet: its body was dropped and nobody finds it. */
static inline void puppet_wait_end(struct puppet *puppet) {
    WAIT_FOR(puppet_drops(puppet) > 0);
    WAIT_FOR(!rusm_pid_is_alive(puppet->rt, puppet->pid)); /* a moment after the drop */
}

/* ---- what puppets are often told ---- */

struct puppet_end {
    rusm_exit_kind kind;
    const char *text;
};

static inline rusm_step puppet_fn_end(rusm_proc *self, void *arg) {
    const struct puppet_end *end = arg;
    if (end) {
        rusm_proc_set_exit(self, end->kind, end->text);
    }
    return RUSM_STEP_EXIT;
}

/* End with a reason; NULL text: none. */
static inline void puppet_end_with(struct puppet *puppet, rusm_exit_kind kind, const char *text) {
    struct puppet_end end = {kind, text};
    puppet_do(puppet, puppet_fn_end, &end);
    puppet_wait_end(puppet);
}

static inline rusm_step puppet_fn_trap(rusm_proc *self, void *arg) {
    rusm_proc_trap_exit(self, arg != NULL);
    return RUSM_STEP_WAIT;
}

static inline void puppet_trap(struct puppet *puppet) {
    puppet_do(puppet, puppet_fn_trap, puppet);
}

struct puppet_pair {
    rusm_pid pid;
    uint64_t ref;
    int status;
};

static inline rusm_step puppet_fn_monitor(rusm_proc *self, void *arg) {
    struct puppet_pair *pair = arg;
    pair->status = rusm_proc_monitor(self, pair->pid, &pair->ref);
    return RUSM_STEP_WAIT;
}

static inline uint64_t puppet_monitor(struct puppet *puppet, rusm_pid target) {
    struct puppet_pair pair = {.pid = target};
    puppet_do(puppet, puppet_fn_monitor, &pair);
    assert_int_equal(pair.status, RUSM_OK);
    assert_true(pair.ref != 0);
    return pair.ref;
}

static inline rusm_step puppet_fn_link(rusm_proc *self, void *arg) {
    struct puppet_pair *pair = arg;
    pair->status = rusm_proc_link(self, pair->pid);
    return RUSM_STEP_WAIT;
}

static inline void puppet_link(struct puppet *puppet, rusm_pid other) {
    struct puppet_pair pair = {.pid = other};
    puppet_do(puppet, puppet_fn_link, &pair);
    assert_int_equal(pair.status, RUSM_OK);
}

static inline rusm_step puppet_fn_unlink(rusm_proc *self, void *arg) {
    rusm_proc_unlink(self, *(rusm_pid *)arg);
    return RUSM_STEP_WAIT;
}

static inline void puppet_unlink(struct puppet *puppet, rusm_pid other) {
    puppet_do(puppet, puppet_fn_unlink, &other);
}

struct puppet_word {
    const char *text;
    int status;
};

static inline rusm_step puppet_fn_register(rusm_proc *self, void *arg) {
    struct puppet_word *word = arg;
    word->status = rusm_proc_register(self, word->text, strlen(word->text));
    return RUSM_STEP_WAIT;
}

static inline int puppet_register(struct puppet *puppet, const char *name) {
    struct puppet_word word = {.text = name};
    puppet_do(puppet, puppet_fn_register, &word);
    return word.status;
}

static inline rusm_step puppet_fn_join(rusm_proc *self, void *arg) {
    struct puppet_word *word = arg;
    word->status = rusm_proc_join(self, word->text, strlen(word->text));
    return RUSM_STEP_WAIT;
}

static inline int puppet_join(struct puppet *puppet, const char *tag) {
    struct puppet_word word = {.text = tag};
    puppet_do(puppet, puppet_fn_join, &word);
    return word.status;
}

static inline rusm_pid whereis(rusm_runtime *rt, const char *name) {
    return rusm_name_whereis(rt, name, strlen(name));
}

#endif
