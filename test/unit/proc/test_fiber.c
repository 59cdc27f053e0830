/* SPDX-License-Identifier: MIT */
/* Fibers: they wait where they stand, for mail, a time, room, or a reply, and a kill or an exit
 * signal reaches them wherever that is. */
#include "unit/proc/puppet.h"

#include "rusm/fiber.h"

#include "proc/proc_impl.h"

#include "unit/proc/fixture.h"

/* ---- ends ---- */

enum place { IN_RECEIVE, IN_MATCH, IN_SLEEP, IN_CALL, IN_SEND, IN_YIELD, PLACES };

struct subject {
    enum place place;
    rusm_pid other; /* never answers, and has no room */
    rusm_pid pid;
    _Atomic bool waits;
    _Atomic int status; /* what the wait answered */
    _Atomic unsigned drops;
};

static bool nothing(rusm_msg *msg, void *arg) {
    (void)msg;
    (void)arg;
    return false;
}

static int wait_there(rusm_proc *self, struct subject *subject) {
    rusm_msg *msg = NULL, *request;
    int status = RUSM_OK;
    switch (subject->place) {
    case IN_RECEIVE:
        return rusm_receive(self, RUSM_FOREVER, &msg);
    case IN_MATCH:
        return rusm_receive_match(self, nothing, NULL, RUSM_FOREVER, &msg);
    case IN_SLEEP:
        return rusm_sleep_until(self, RUSM_FOREVER);
    case IN_CALL:
        request = new_msg("?");
        status = rusm_call(self, subject->other, &request, RUSM_FOREVER, &msg);
        rusm_msg_free(request);
        return status;
    case IN_SEND:
        request = new_msg("!");
        status = rusm_send(self, subject->other, request, RUSM_FOREVER);
        if (status != RUSM_OK) {
            rusm_msg_free(request);
        }
        return status;
    default:
        while (status == RUSM_OK) {
            status = rusm_yield(self);
        }
        return status;
    }
}

static void stand(rusm_proc *self, void *arg) {
    struct subject *subject = arg;
    atomic_store(&subject->waits, true);
    atomic_store(&subject->status, wait_there(self, subject));
    rusm_proc_set_exit(self, RUSM_EXIT_NORMAL, "an excuse"); /* comes too late */
}

static void count_drop(void *arg) {
    struct subject *subject = arg;
    atomic_fetch_add(&subject->drops, 1);
}

static rusm_step take_nothing(rusm_proc *self, void *body) {
    (void)self;
    (void)body;
    return RUSM_STEP_WAIT;
}

static rusm_pid start_other(enum place place) {
    static const rusm_body_ops ops = {.name = "other", .step = take_nothing};
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &ops,
                                  .mailbox_messages = 1,
                                  .mailbox_policy = RUSM_MAILBOX_BLOCK_SENDER};
    rusm_pid pid;
    if (place == IN_SEND) {
        options.first = new_msg("full");
    }
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static void start_subject(struct subject *subject, enum place place) {
    *subject = (struct subject){.place = place, .other = start_other(place)};
    rusm_fiber_options options = {
        .size = sizeof(options), .main = stand, .arg = subject, .drop = count_drop};
    assert_int_equal(rusm_fiber_spawn(rt, &options, &subject->pid), RUSM_OK);
}

static void end_in(enum place place, bool by_kill) {
    struct subject subject;
    static struct puppet watcher;
    puppet_start(&watcher, rt);
    start_subject(&subject, place);
    puppet_monitor(&watcher, subject.pid);
    WAIT_FOR(atomic_load(&subject.waits));
    if (by_kill) {
        assert_true(rusm_pid_kill(rt, subject.pid));
    } else {
        assert_int_equal(rusm_pid_exit(rt, subject.pid, RUSM_EXIT_CRASHED, "the reason"), RUSM_OK);
    }
    struct puppet_mail down = puppet_wait_mail(&watcher, 0);
    assert_int_equal(down.kind, RUSM_MSG_DOWN);
    assert_int_equal(down.exit_kind, by_kill ? RUSM_EXIT_KILLED : RUSM_EXIT_CRASHED);
    assert_string_equal(down.text, by_kill ? "" : "the reason");
    assert_int_equal(atomic_load(&subject.status), RUSM_EEXITING);
    assert_int_equal(atomic_load(&subject.drops), 1);
    assert_true(rusm_pid_kill(rt, subject.other));
    puppet_end_with(&watcher, RUSM_EXIT_NORMAL, NULL);
}

static void kill_wherever_it_waits(void **state) {
    (void)state;
    for (int place = 0; place < PLACES; place++) {
        end_in((enum place)place, true);
    }
}

static void exit_signal_wherever_it_waits(void **state) {
    (void)state;
    for (int place = 0; place < PLACES; place++) {
        end_in((enum place)place, false);
    }
}

struct birth {
    struct subject *subject;
    uint64_t ref;
};

static rusm_step start_and_kill(rusm_proc *self, void *arg) {
    struct birth *birth = arg;
    rusm_fiber_options options = {.size = sizeof(options),
                                  .main = stand,
                                  .arg = birth->subject,
                                  .drop = count_drop,
                                  .spawn = {.out_monitor = &birth->ref}};
    assert_int_equal(rusm_fiber_spawn(rusm_proc_runtime(self), &options, &birth->subject->pid),
                     RUSM_OK);
    assert_true(rusm_pid_kill(rusm_proc_runtime(self), birth->subject->pid));
    return RUSM_STEP_WAIT;
}

static void kill_before_the_first_run(void **state) { /* the only scheduler is busy spawning */
    (void)state;
    static struct puppet parent;
    struct subject subject = {.place = IN_RECEIVE};
    struct birth birth = {.subject = &subject};
    puppet_start(&parent, rt);
    puppet_do(&parent, start_and_kill, &birth);
    struct puppet_mail down = puppet_wait_mail(&parent, 0);
    assert_true(down.ref == birth.ref);
    assert_int_equal(down.exit_kind, RUSM_EXIT_KILLED);
    assert_false(atomic_load(&subject.waits));
    assert_int_equal(atomic_load(&subject.drops), 1);
    puppet_end_with(&parent, RUSM_EXIT_NORMAL, NULL);
}

static void wait_for_ever(rusm_proc *self, void *arg) {
    rusm_msg *msg;
    _Atomic unsigned *answers = arg;
    for (;;) {
        if (rusm_receive(self, RUSM_FOREVER, &msg) == RUSM_EEXITING) {
            atomic_fetch_add(answers, 1);
        }
    }
}

static void kill_of_the_stubborn(void **state) {
    (void)state;
    _Atomic unsigned answers = 0;
    rusm_fiber_options options = {.size = sizeof(options), .main = wait_for_ever, .arg = &answers};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    assert_true(rusm_pid_kill(rt, pid));
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    assert_true(atomic_load(&answers) < 5000);
}

/* ---- turns ---- */

/* What a fiber may do for ever without having to wait. */
enum habit {
    RECEIVES_ITS_OWN,
    POLLS,
    POLLS_SELECTIVELY,
    PASSES_MAIL_OVER,
    SLEEPS_IN_THE_PAST,
    SENDS,
    CALLS_NOBODY,
    YIELDS,
    HABITS,
};

struct hog {
    enum habit habit;
    rusm_pid sink;
    _Atomic bool stops;
    _Atomic int status;
    _Atomic uint64_t calls;
    _Atomic uint64_t calls_before; /* until somebody else ran */
    _Atomic bool other_ran;
};

static int receive_own(rusm_proc *self) {
    rusm_msg *msg = new_msg("again");
    if (rusm_msg_send(rt, rusm_proc_pid(self), msg) != RUSM_OK) {
        rusm_msg_free(msg);
    }
    int status = rusm_receive(self, RUSM_FOREVER, &msg);
    rusm_msg_free(msg);
    return status;
}

static int send_there(rusm_proc *self, rusm_pid to) {
    rusm_msg *msg = new_msg("more");
    int status = rusm_send(self, to, msg, RUSM_FOREVER);
    if (status != RUSM_OK) {
        rusm_msg_free(msg);
    }
    return status;
}

static int call_nobody(rusm_proc *self) {
    rusm_msg *request = new_msg("?"), *reply;
    int status = rusm_call(self, 12345, &request, RUSM_FOREVER, &reply);
    rusm_msg_free(request);
    return status;
}

static int do_it_once(rusm_proc *self, const struct hog *hog) {
    rusm_msg *msg;
    switch (hog->habit) {
    case RECEIVES_ITS_OWN:
        return receive_own(self);
    case POLLS:
        return rusm_receive(self, 0, &msg);
    case POLLS_SELECTIVELY:
    case PASSES_MAIL_OVER:
        return rusm_receive_match(self, nothing, NULL, 0, &msg);
    case SLEEPS_IN_THE_PAST:
        return rusm_sleep_until(self, 1);
    case SENDS:
        return send_there(self, hog->sink);
    case CALLS_NOBODY:
        return call_nobody(self);
    default:
        return rusm_yield(self);
    }
}

static void note_run(rusm_proc *self, void *arg) {
    struct hog *hog = arg;
    (void)self;
    atomic_store(&hog->calls_before, atomic_load(&hog->calls));
    atomic_store(&hog->other_ran, true);
}

static void never_wait(rusm_proc *self, void *arg) {
    struct hog *hog = arg;
    rusm_fiber_options other = {.size = sizeof(other), .main = note_run, .arg = hog};
    rusm_pid pid;
    for (unsigned i = 0; hog->habit == PASSES_MAIL_OVER && i < 5000; i++) {
        (void)send_text(rt, rusm_proc_pid(self), "not this one");
    }
    assert_int_equal(rusm_fiber_spawn(rt, &other, &pid), RUSM_OK);
    int status = RUSM_OK;
    while (!atomic_load(&hog->stops) && status != RUSM_EEXITING) {
        status = do_it_once(self, hog);
        atomic_fetch_add(&hog->calls, 1);
    }
    atomic_store(&hog->status, status);
}

/* On one scheduler, so nobody else runs before the hog gives up its turn. */
static void who_never_waits_lets_others_run(void **state) {
    (void)state;
    for (int habit = 0; habit < HABITS; habit++) {
        static const rusm_body_ops sink_ops = {.name = "sink", .step = take_nothing};
        rusm_spawn_options sink = {.size = sizeof(sink),
                                   .ops = &sink_ops,
                                   .mailbox_messages = 10,
                                   .mailbox_policy = RUSM_MAILBOX_DROP_OLDEST};
        struct hog hog = {.habit = (enum habit)habit};
        rusm_fiber_options options = {.size = sizeof(options), .main = never_wait, .arg = &hog};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rt, &sink, &hog.sink), RUSM_OK);
        assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
        WAIT_FOR(atomic_load(&hog.other_ran));
        assert_true(atomic_load(&hog.calls_before) <= 256);
        /* A kill is seen by every call; an exit signal has to be accepted. */
        assert_int_equal(rusm_pid_exit(rt, pid, RUSM_EXIT_CRASHED, "enough"), RUSM_OK);
        WAIT_FOR(!rusm_pid_is_alive(rt, pid));
        assert_int_equal(atomic_load(&hog.status), RUSM_EEXITING);
        assert_true(rusm_pid_kill(rt, hog.sink));
    }
}

/* ---- waits ---- */

struct deadlines {
    _Atomic bool done;
    int receive, match, send, call;
    uint64_t slept_until, woke;
};

static void use_deadlines(rusm_proc *self, void *arg) {
    struct deadlines *deadlines = arg;
    rusm_pid other = start_other(IN_SEND);
    rusm_msg *msg, *request = new_msg("?");
    deadlines->receive = rusm_receive(self, 1, &msg);
    deadlines->match = rusm_receive_match(self, nothing, NULL, rusm_now_ns() + 1000000, &msg);
    deadlines->call = rusm_call(self, other, &request, 1, &msg);
    deadlines->send = rusm_send(self, other, request, rusm_now_ns() + 1000000);
    rusm_msg_free(request);
    deadlines->slept_until = rusm_now_ns() + 3000000;
    assert_int_equal(rusm_sleep_until(self, deadlines->slept_until), RUSM_OK);
    deadlines->woke = rusm_now_ns();
    assert_int_equal(rusm_sleep_until(self, 1), RUSM_OK);
    rusm_pid_kill(rt, other);
    atomic_store(&deadlines->done, true);
}

static void deadlines_in_the_past_and_soon(void **state) {
    (void)state;
    struct deadlines deadlines = {0};
    rusm_fiber_options options = {
        .size = sizeof(options), .main = use_deadlines, .arg = &deadlines};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&deadlines.done));
    assert_int_equal(deadlines.receive, RUSM_ETIMEDOUT);
    assert_int_equal(deadlines.match, RUSM_ETIMEDOUT);
    assert_int_equal(deadlines.call, RUSM_ETIMEDOUT);
    assert_int_equal(deadlines.send, RUSM_ETIMEDOUT);
    assert_true(deadlines.woke >= deadlines.slept_until);
}

/* ---- other bodies ---- */

static rusm_step misuse(rusm_proc *self, void *arg) {
    rusm_msg *msg = NULL, *request = new_msg("?");
    bool *good = arg;
    *good = rusm_receive(self, 1, &msg) == RUSM_ESTATE &&
            rusm_receive_match(self, nothing, NULL, 1, &msg) == RUSM_ESTATE &&
            rusm_sleep_until(self, 1) == RUSM_ESTATE && rusm_yield(self) == RUSM_ESTATE &&
            rusm_send(self, rusm_proc_pid(self), request, 1) == RUSM_ESTATE &&
            rusm_call(self, rusm_proc_pid(self), &request, 1, &msg) == RUSM_ESTATE;
    rusm_msg_free(request);
    return RUSM_STEP_WAIT;
}

static void other_bodies_are_told(void **state) {
    (void)state;
    static struct puppet puppet;
    bool good = false;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, misuse, &good);
    assert_true(good);
    puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);
}

static void spawn_refuses_bad_options(void **state) {
    (void)state;
    rusm_fiber_options options = {.size = sizeof(options)};
    rusm_pid pid = 1;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_EINVAL);
    options.main = wait_for_ever;
    options.stack_bytes = ((size_t)64 << 20) + 1;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_EINVAL);
    options.stack_bytes = 0;
    options.spawn.size = 3;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_EINVAL);
    options.spawn.size = 0;
    options.size--;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_EINVAL);
    assert_true(pid == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(kill_wherever_it_waits),
        TEST(exit_signal_wherever_it_waits),
        cmocka_unit_test_setup_teardown(kill_before_the_first_run, start_one, stop),
        TEST(kill_of_the_stubborn),
        cmocka_unit_test_setup_teardown(who_never_waits_lets_others_run, start_one, stop),
        TEST(deadlines_in_the_past_and_soon),
        TEST(other_bodies_are_told),
        TEST(spawn_refuses_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
