/* SPDX-License-Identifier: MIT */
/* Units of work: what ends a guest that takes too long, and what does not. Limits that are to be
 * met are short; those that must not be met are far from what a busy machine takes. */
#include "sandbox/unit.h"
#include "unit/hostcall/world.h"

#define FAR_MS 600000u /* nobody waits for it */
#define FAR_NS (FAR_MS * RUSM__MS)

/* Spawned as the handler of a request, for which the whole life is one unit. */
static rusm_pid start_request(struct world *w, struct rusm__component *component) {
    struct world_start start = {.component = component, .spawn = {.is_request = true}};
    world_order(w, world_start_order, &start);
    assert_int_equal(start.code, RUSM_OK);
    return start.pid;
}

/* ---- what ends ---- */

static const char *const loops[] = {
    RUN("(call $hello) (loop (br 0))"),
    "(func $s (loop (br 0))) (start $s)" RUN(""),
    RUN("(call $hello) (loop (drop (memory.grow (i32.const 1))) (br 0))"),
    RUN("(call $hello) (loop (call $set-label (i32.const 4096) (i32.const 8)) (br 0))"),
    /* to look for mail without waiting begins no unit */
    RUN("(call $hello) (loop (drop (call $recv_within (i64.const 0))) (br 0))"),
};
#define LOOPS (sizeof(loops) / sizeof(loops[0]))

static void expect_all_end(struct world *w, const char *reason) {
    char name[8];
    for (size_t i = 0; i < LOOPS; i++) {
        snprintf(name, sizeof(name), "loop%zu", i);
        struct rusm__component *loop = world_guest(w, name, loops[i]);
        world_expect_crash(w, world_start(w, loop), reason);
        world_expect_crash(w, start_request(w, loop), reason);
    }
}

static void cpu_time_ends_whoever_spins(void **state) {
    struct world *w = *state;
    w->profile.cpu_ms = w->profile.request_cpu_ms = 20;
    expect_all_end(w, "cpu_limit: a unit of work has used ");
    world_expect_log(w, "crashed: cpu_limit: ");
    world_expect_log(w, " and may use 20 (`cpu-ms` under [capabilities.test])");
    world_expect_log(w, "trace  loop0#");
}

static void a_deadline_ends_whoever_spins(void **state) {
    struct world *w = *state;
    w->profile.deadline_ms = w->profile.request_deadline_ms = 20;
    expect_all_end(w, "deadline: a unit of work was not done after 20 ms (`deadline-ms` under "
                      "[capabilities.test])");
    world_expect_log(w, "crashed: deadline: ");
}

/* However late its first turn is. What is no request has its whole time from there. */
static void a_deadline_counts_from_the_spawn_of_a_request(void **state) {
    struct rusm__unit request = {.wall_ns = FAR_NS, .end_ns = 1, .is_request = true};
    struct rusm__unit service = {.wall_ns = FAR_NS, .end_ns = 1};
    (void)state;
    assert_false(rusm__unit_look(&request));
    assert_true(rusm__unit_look(&request));
    assert_int_equal(request.over, RUSM__OVERTIME_DEADLINE);
    assert_false(rusm__unit_look(&service));
    assert_false(rusm__unit_look(&service));
}

/* The only scheduler does not get to it in time. */
static void start_and_dawdle(rusm_proc *probe, void *arg) {
    world_start_order(probe, arg);
    usleep(60000);
}

static void a_request_that_is_too_late_is_not_started(void **state) {
    struct world *w = *state;
    w->profile.request_deadline_ms = 20;
    struct rusm__component *quick =
        world_guest(w, "quick", RUN("(call $hello) (call $say_u32 (i32.const 1))"));
    struct world_start start = {.component = quick, .spawn = {.is_request = true}};
    world_order(w, start_and_dawdle, &start);
    assert_int_equal(start.code, RUSM_OK);
    world_expect_crash(w, start.pid, "deadline: a unit of work was not done after 20 ms");
    assert_int_equal(rusm__sandbox_live(w->sandbox), 0);
    world_expect_u64(w, start_request(w, quick) ? 1 : 0); /* the next one is in time */
}

static int setup_one_scheduler(void **state) {
    *state = world_open(&(struct world_options){.schedulers = 1});
    return 0;
}

/* An hour, in a call of WASI. */
static const char sleeper[] =
    "(module (import \"wasi_snapshot_preview1\" \"poll_oneoff\""
    " (func $poll (param i32 i32 i32 i32) (result i32)))"
    "(memory (export \"memory\") 1)"
    "(func (export \"_start\")"
    " (i32.store (i32.const 16) (i32.const 1))"
    " (i64.store (i32.const 24) (i64.const 3600000000000))"
    " (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))";

static void a_deadline_ends_a_sleep_in_wasi(void **state) {
    struct world *w = *state;
    w->profile.deadline_ms = 20;
    struct rusm__component *component = world_load(w, "sleeper", sleeper);
    assert_int_equal(rusm__component_get_kind(component), RUSM__COMPONENT_COMMAND);
    world_expect_crash(w, world_start(w, component), "deadline: ");
}

static void a_deadline_ends_a_request_that_waits_for_mail(void **state) {
    struct world *w = *state;
    w->profile.request_deadline_ms = 20;
    world_expect_crash(w, start_request(w, world_guest(w, "a", RUN("(call $hello) (call $recv)"))),
                       "deadline: ");
    world_expect_crash(
        w,
        start_request(w, world_guest(w, "b",
                                     RUN("(call $hello)"
                                         "(drop (call $recv_within (i64.const 3600000)))"))),
        "deadline: ");
}

/* A stream of its own that nobody writes to: that is no wait for a message. */
static void a_deadline_ends_a_wait_in_the_middle_of_a_unit(void **state) {
    struct world *w = *state;
    w->profile.deadline_ms = 20;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (drop (call $open (call $own-pid)))"
                                 "(drop (call $read (call $stream-accept)))"));
    world_expect_crash(w, pid, "deadline: ");
}

/* ---- what does not ---- */

#define SPIN(count)                                                                                \
    "(local.set $n (i32.const " #count ")) (loop"                                                  \
    " (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n)))"

/* Far more than the limit in all, and little with each message. */
static void each_message_has_its_own_time(void **state) {
    struct world *w = *state;
    w->profile.cpu_ms = 150;
    w->profile.deadline_ms = FAR_MS;
    rusm_pid pid = world_run(w, "a",
                             RUN("(local $n i32) (call $hello)"
                                 "(loop (call $recv)" SPIN(10000000) "(call $say_u32 (i32.const 1))"
                                                                     "(br 0))"));
    for (int i = 0; i < 60; i++) {
        world_send_text(w, pid, "go");
        world_expect_u64(w, 1);
    }
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
}

/* Nor is the time that a service waits for its next message, with a time-out or without. */
static void waiting_for_a_message_is_free(void **state) {
    struct world *w = *state;
    w->profile.deadline_ms = 300;
    w->profile.cpu_ms = 300;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $say_u32 (call $recv_within (i64.const 200)))"
                                 "(call $say_u32 (call $recv_within (i64.const 200)))"
                                 "(call $recv) (call $say_u32 (i32.const 2))"));
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    usleep(400000);
    world_send_text(w, pid, "go");
    world_expect_u64(w, 2);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* One timer serves the deadline and the time-out of a receive, whichever comes first. */
static void a_timeout_within_a_deadline_comes_first(void **state) {
    struct world *w = *state;
    w->profile.request_deadline_ms = FAR_MS;
    rusm_pid pid = start_request(w, world_guest(w, "a",
                                                RUN("(call $hello)"
                                                    "(call $say_u32 (call $recv_within"
                                                    " (i64.const 10)))"
                                                    "(call $say_u32 (call $recv_within"
                                                    " (i64.const 20)))"
                                                    "(call $say_recv)")));
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_send_text(w, pid, "done");
    world_expect(w, "done");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_kill_stays_a_kill(void **state) {
    struct world *w = *state;
    w->profile.cpu_ms = w->profile.deadline_ms = FAR_MS;
    rusm_pid pid =
        world_run(w, "a", RUN("(call $hello) (call $say_u32 (i32.const 1)) (loop (br 0))"));
    world_expect_u64(w, 1);
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
}

/* Many at once, and somebody who goes on. */
static void neighbours_go_on(void **state) {
    struct world *w = *state;
    enum { SPINNERS = 16, PINGS = 50 };
    rusm_pid calm = world_run(w, "calm", RUN("(call $hello) (loop (call $say_recv) (br 0))"));
    struct rusm__profile hasty = world_profile("hasty");
    hasty.cpu_ms = 10;
    struct rusm__component *spin =
        world_guest_with(w, "spin", RUN("(call $hello) (loop (br 0))"), &hasty);
    for (int i = 0; i < SPINNERS; i++)
        world_start(w, spin);
    for (int i = 0; i < PINGS; i++)
        world_send_text(w, calm, "ping");
    int pings = 0, ends = 0;
    while (pings < PINGS || ends < SPINNERS) {
        rusm_msg *msg = world_next(w);
        bool down = rusm_msg_get_kind(msg) == RUSM_MSG_DOWN;
        assert_true(down ? rusm_msg_from(msg) != calm : rusm_msg_from(msg) == calm);
        ends += down;
        pings += !down;
        rusm_msg_free(msg);
    }
    assert_true(rusm_pid_kill(w->runtime, calm));
    world_expect_end(w, calm, RUSM_EXIT_KILLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(cpu_time_ends_whoever_spins),
        world_test(a_deadline_ends_whoever_spins),
        cmocka_unit_test(a_deadline_counts_from_the_spawn_of_a_request),
        cmocka_unit_test_setup_teardown(a_request_that_is_too_late_is_not_started,
                                        setup_one_scheduler, world_teardown),
        world_test(a_deadline_ends_a_sleep_in_wasi),
        world_test(a_deadline_ends_a_request_that_waits_for_mail),
        world_test(a_deadline_ends_a_wait_in_the_middle_of_a_unit),
        world_test(each_message_has_its_own_time),
        world_test(waiting_for_a_message_is_free),
        world_test(a_timeout_within_a_deadline_comes_first),
        world_test(a_kill_stays_a_kill),
        world_test(neighbours_go_on),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
