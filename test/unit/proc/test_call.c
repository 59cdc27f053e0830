/* SPDX-License-Identifier: MIT */
/* Calls: one reply, and nothing of a call that is over stays in the mailbox. */
#include "unit/proc/puppet.h"

#include "rusm/fiber.h"

#include "unit/proc/fixture.h"

static rusm_msg *text_msg(const char *text) {
    rusm_msg *msg = NULL;
    assert_int_equal(rusm_msg_copy(text, strlen(text) + 1, &msg), RUSM_OK);
    return msg;
}

struct caller {
    rusm_pid server;
    int status;
    int after; /* what a receive says once the call is over */
    char reply[PUPPET_TEXT_MAX];
    _Atomic bool done;
};

static void call_once(rusm_proc *self, void *arg) {
    struct caller *caller = arg;
    rusm_msg *request = text_msg("question");
    rusm_msg *reply = NULL;
    rusm_msg *more = NULL;
    caller->status = rusm_call(self, caller->server, &request, RUSM_FOREVER, &reply);
    if (reply) {
        strncpy(caller->reply, (const char *)rusm_msg_data(reply), sizeof(caller->reply) - 1);
    }
    caller->after = rusm_receive(self, rusm_now_ns() + 20000000u, &more);
    rusm_msg_free(request);
    rusm_msg_free(reply);
    rusm_msg_free(more);
    atomic_store(&caller->done, true);
}

static rusm_pid start_fiber(rusm_fiber_main body, void *arg) {
    rusm_fiber_options options = {.size = sizeof(options), .main = body, .arg = arg};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static void reply_with(rusm_msg *call, const char *text) {
    rusm_msg *reply = text_msg(text);
    if (rusm_reply(rt, call, reply) != RUSM_OK) {
        rusm_msg_free(reply);
    }
}

static void answer_twice(rusm_proc *self, void *arg) {
    rusm_msg *call;
    (void)arg;
    if (rusm_receive(self, RUSM_FOREVER, &call) == RUSM_OK) {
        reply_with(call, "first");
        reply_with(call, "second");
        rusm_msg_free(call);
    }
}

static void a_second_reply_is_dropped(void **state) {
    (void)state;
    struct caller caller = {.server = start_fiber(answer_twice, NULL)};
    start_fiber(call_once, &caller);
    WAIT_FOR(atomic_load(&caller.done));
    assert_int_equal(caller.status, RUSM_OK);
    assert_string_equal(caller.reply, "first");
    assert_int_equal(caller.after, RUSM_ETIMEDOUT);
}

/* The server dies, and the one that it passed the call on to answers at the same moment: the
 * notice came first, so that is the answer, and the reply must not be found later. */
static void answer_for_the_dead(rusm_proc *self, void *arg) {
    rusm_msg *call = arg;
    rusm_msg *notice;
    if (rusm_receive(self, RUSM_FOREVER, &notice) == RUSM_OK) {
        rusm_msg_free(notice);
        reply_with(call, "too late");
    }
    rusm_msg_free(call);
}

struct heir {
    rusm_pid pid;
};

static void pass_on_and_end(rusm_proc *self, void *arg) {
    struct heir *heir = arg;
    rusm_msg *call;
    if (rusm_receive(self, RUSM_FOREVER, &call) != RUSM_OK) {
        return;
    }
    heir->pid = start_fiber(answer_for_the_dead, call);
    rusm_msg *go = text_msg("go");
    if (rusm_msg_send(rt, heir->pid, go) != RUSM_OK) {
        rusm_msg_free(go);
    }
}

static void a_reply_after_the_end_is_dropped(void **state) {
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct heir heir = {0};
        struct caller caller = {.server = start_fiber(pass_on_and_end, &heir)};
        start_fiber(call_once, &caller);
        WAIT_FOR(atomic_load(&caller.done));
        assert_true(caller.status == RUSM_ENOPROC || caller.status == RUSM_OK);
        assert_int_equal(caller.after, RUSM_ETIMEDOUT);
    }
}

/* ---- replies and bounds ---- */

struct crowded {
    rusm_pid server;
    unsigned before, after; /* messages that lie in its mailbox before the call, and come with it */
    rusm_pid pid;
    _Atomic int status;
    _Atomic bool done;
};

static void call_from_a_full_mailbox(rusm_proc *self, void *arg) {
    struct crowded *crowded = arg;
    rusm_msg *request = text_msg("question"), *reply = NULL;
    for (unsigned i = 0; i < crowded->before; i++) {
        assert_int_equal(send_text(rt, rusm_proc_pid(self), "in the way"), RUSM_OK);
    }
    int status = rusm_call(self, crowded->server, &request, RUSM_FOREVER, &reply);
    rusm_msg_free(request);
    rusm_msg_free(reply);
    atomic_store(&crowded->status, status);
    atomic_store(&crowded->done, true);
}

static _Atomic int reply_status;

static void answer_and_crowd(rusm_proc *self, void *arg) {
    struct crowded *crowded = arg;
    rusm_msg *call, *reply = text_msg("answer");
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &call), RUSM_OK);
    int status = rusm_reply(rt, call, reply);
    atomic_store(&reply_status, status);
    if (status) {
        rusm_msg_free(reply);
    }
    for (unsigned i = 0; i < crowded->after; i++) { /* displaces whatever it may */
        assert_int_equal(send_text(rt, rusm_msg_from(call), "and more"), RUSM_OK);
    }
    rusm_msg_free(call);
}

static void a_reply_is_past_every_bound(void **state) {
    (void)state;
    for (int policy = RUSM_MAILBOX_REFUSE; policy <= RUSM_MAILBOX_EXIT; policy++) {
        bool drops = policy == RUSM_MAILBOX_DROP_OLDEST;
        struct crowded crowded = {.before = 2, .after = drops ? 5 : 0, .status = 1};
        crowded.server = start_fiber(answer_and_crowd, &crowded);
        rusm_fiber_options options = {
            .size = sizeof(options),
            .main = call_from_a_full_mailbox,
            .arg = &crowded,
            .spawn = {.mailbox_messages = 2, .mailbox_policy = (rusm_mailbox_policy)policy}};
        assert_int_equal(rusm_fiber_spawn(rt, &options, &crowded.pid), RUSM_OK);
        WAIT_FOR(atomic_load(&crowded.done));
        assert_int_equal(atomic_load(&crowded.status), RUSM_OK);
        assert_int_equal(atomic_load(&reply_status), RUSM_OK);
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    }
    rusm_runtime_stats stats = stats_of(rt);
    assert_true(stats.refused == 0);
    /* Eight were received: request and reply, four times. */
    assert_true(stats.sent == stats.dropped + 8);
}

static void answer_often(rusm_proc *self, void *arg) {
    int *statuses = arg;
    rusm_msg *call, *reply;
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &call), RUSM_OK);
    assert_true(rusm_msg_is_call(call));
    for (unsigned i = 0; i < 3; i++) {
        reply = text_msg("first");
        statuses[i] = rusm_reply(rt, call, reply);
        if (statuses[i]) {
            rusm_msg_free(reply);
        }
        assert_false(rusm_msg_is_call(call));
    }
    rusm_msg_free(call);
}

static void a_call_takes_one_reply(void **state) {
    (void)state;
    int statuses[3];
    struct caller caller = {.server = start_fiber(answer_often, statuses)};
    start_fiber(call_once, &caller);
    WAIT_FOR(atomic_load(&caller.done));
    assert_int_equal(caller.status, RUSM_OK);
    assert_int_equal(statuses[0], RUSM_OK);
    assert_int_equal(statuses[1], RUSM_EINVAL);
    assert_int_equal(statuses[2], RUSM_EINVAL);
}

static void echo(rusm_proc *self, void *arg) {
    int *status = arg;
    rusm_msg *call;
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &call), RUSM_OK);
    *status = rusm_reply(rt, call, call);
    if (*status) {
        rusm_msg_free(call);
    }
}

static void a_call_can_be_its_own_reply(void **state) {
    (void)state;
    int status = 1;
    struct caller caller = {.server = start_fiber(echo, &status)};
    start_fiber(call_once, &caller);
    WAIT_FOR(atomic_load(&caller.done));
    assert_int_equal(status, RUSM_OK);
    assert_int_equal(caller.status, RUSM_OK);
    assert_string_equal(caller.reply, "question");
}

/* The caller is gone: the call stays what it was, whichever way the answer was tried. */
static void answer_the_gone(rusm_proc *self, void *arg) {
    _Atomic bool *done = arg;
    rusm_msg *call, *reply = text_msg("late");
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &call), RUSM_OK);
    rusm_pid from = rusm_msg_from(call);
    rusm_pid_kill(rt, from);
    while (rusm_pid_is_alive(rt, from)) {
        assert_int_equal(rusm_yield(self), RUSM_OK);
    }
    assert_int_equal(rusm_reply(rt, call, reply), RUSM_ENOPROC);
    assert_int_equal(rusm_reply(rt, call, call), RUSM_ENOPROC);
    assert_true(rusm_msg_is_call(call));
    assert_true(rusm_msg_from(call) == from);
    assert_int_equal(rusm_reply(rt, reply, call), RUSM_EINVAL);
    assert_int_equal(rusm_reply(rt, NULL, reply), RUSM_EINVAL);
    assert_int_equal(rusm_reply(rt, call, NULL), RUSM_EINVAL);
    rusm_msg_free(call);
    rusm_msg_free(reply);
    atomic_store(done, true);
}

static void a_reply_that_fails_leaves_the_call(void **state) {
    (void)state;
    _Atomic bool done = false;
    struct caller caller = {.server = start_fiber(answer_the_gone, &done)};
    start_fiber(call_once, &caller);
    WAIT_FOR(atomic_load(&done));
}

static void call_oneself(rusm_proc *self, void *arg) {
    struct caller *caller = arg;
    rusm_msg *request = text_msg("me"), *reply;
    caller->status = rusm_call(self, rusm_proc_pid(self), &request, RUSM_FOREVER, &reply);
    assert_non_null(request); /* not taken */
    rusm_msg_free(request);
    atomic_store(&caller->done, true);
}

static void nobody_calls_itself(void **state) {
    (void)state;
    struct caller caller = {0};
    start_fiber(call_oneself, &caller);
    WAIT_FOR(atomic_load(&caller.done));
    assert_int_equal(caller.status, RUSM_EINVAL);
}

/* A DOWN whose reference the caller chose is not the end of the server, whatever it is called. */
struct namesake {
    rusm_pid server, child;
    int status;
    _Atomic bool done;
};

static void end_at_once(rusm_proc *self, void *arg) {
    (void)self;
    (void)arg;
}

static void call_beside_a_namesake(rusm_proc *self, void *arg) {
    struct namesake *namesake = arg;
    uint64_t ref;
    assert_int_equal(rusm_proc_monitor(self, namesake->server, &ref), RUSM_OK);
    rusm_fiber_options child = {
        .size = sizeof(child),
        .main = end_at_once,
        .spawn = {.monitor_by = rusm_proc_pid(self), .monitor_ref = ref + 1}}; /* the call's */
    assert_int_equal(rusm_fiber_spawn(rt, &child, &namesake->child), RUSM_OK);
    rusm_msg *request = text_msg("question"), *reply = NULL, *down;
    namesake->status = rusm_call(self, namesake->server, &request, RUSM_FOREVER, &reply);
    rusm_msg_free(reply);
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &down), RUSM_OK);
    assert_true(rusm_msg_from(down) == namesake->child && rusm_msg_ref(down) == ref + 1);
    rusm_msg_free(down);
    atomic_store(&namesake->done, true);
}

static void answer_after_others(rusm_proc *self, void *arg) {
    rusm_msg *call;
    (void)arg;
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &call), RUSM_OK);
    assert_int_equal(rusm_sleep_until(self, rusm_now_ns() + 5000000), RUSM_OK);
    reply_with(call, "answer");
    rusm_msg_free(call);
}

static void a_chosen_reference_ends_no_call(void **state) {
    (void)state;
    struct namesake namesake = {.server = start_fiber(answer_after_others, NULL), .status = 1};
    start_fiber(call_beside_a_namesake, &namesake);
    WAIT_FOR(atomic_load(&namesake.done));
    assert_int_equal(namesake.status, RUSM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_reply_is_dropped, start_one, stop),
        cmocka_unit_test_setup_teardown(a_reply_after_the_end_is_dropped, start_one, stop),
        cmocka_unit_test_setup_teardown(a_reply_is_past_every_bound, start_one, stop),
        cmocka_unit_test_setup_teardown(a_call_takes_one_reply, start_one, stop),
        cmocka_unit_test_setup_teardown(a_call_can_be_its_own_reply, start_one, stop),
        cmocka_unit_test_setup_teardown(a_reply_that_fails_leaves_the_call, start_one, stop),
        cmocka_unit_test_setup_teardown(nobody_calls_itself, start_one, stop),
        cmocka_unit_test_setup_teardown(a_chosen_reference_ends_no_call, start_one, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
