/* SPDX-License-Identifier: MIT */
/* Calls: one reply, and nothing of a call that is over stays in the mailbox. */
#include "unit/proc/puppet.h"

#include "rusm/fiber.h"

static rusm_runtime *rt;

static int start_one(void **state) {
    (void)state;
    rt = start_runtime(1); /* what one fiber sends in a row comes to the other at once */
    return 0;
}

static int stop(void **state) {
    (void)state;
    rusm_runtime_stop(rt);
    return 0;
}

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_reply_is_dropped, start_one, stop),
        cmocka_unit_test_setup_teardown(a_reply_after_the_end_is_dropped, start_one, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
