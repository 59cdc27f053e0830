/* SPDX-License-Identifier: MIT */
/* Turns that a guest which waits lends to the guest that it has just woken: nobody can tell, except
 * by the clock, whatever the other one does with it. One scheduler, so that the two are together;
 * now and then that scheduler looks around instead, so each test asks many times. */
#include "sandbox/sandbox_impl.h"
#include "unit/hostcall/stored.h"

enum {
    ASKS = 64,
    CRASHES = 24, /* all of them are reported */
};

static int setup(void **state) {
    return stored_setup_with(state, (struct world_options){.schedulers = 1});
}

#define lend_test(name) cmocka_unit_test_setup_teardown(name, setup, stored_teardown)

/* Who asks starts "other", whose pid is in $other, tells it its own, and asks it with an empty
 * message. */
#define ASKER                                                                                      \
    "(global $other (mut i64) (i64.const 0)) (global $count (mut i32) (i32.const 0))"              \
    "(func $start (call $spawn (i32.const 4096) (i32.const 5) (i32.const 1024))"                   \
    " (global.set $other (i64.load (i32.const 1032)))"                                             \
    " (i64.store (i32.const 2056) (call $own-pid))"                                                \
    " (call $send (global.get $other) (i32.const 2056) (i32.const 8)))"                            \
    "(func $ask (call $send (global.get $other) (i32.const 0) (i32.const 0)))" DATA(4096, "other")
#define TIMES(n, statements)                                                                       \
    "(global.set $count (i32.const 0)) (loop " statements                                          \
    " (global.set $count (i32.add (global.get $count) (i32.const 1)))"                             \
    " (br_if 0 (i32.lt_u (global.get $count) (i32.const " #n "))))"
#define FOREVER(statements) "(loop " statements " (br 0))"

static uint32_t lends(struct world *w) {
    return w->sandbox->lanes[0].lends;
}

/* The message that the asker had of the other's death, and passed on. */
static void expect_down(struct world *w, const char *reason) {
    rusm_msg *msg = world_next(w);
    assert_non_null(memmem(rusm_msg_data(msg), rusm_msg_len(msg), "{\"__down\":", 10));
    assert_non_null(memmem(rusm_msg_data(msg), rusm_msg_len(msg), reason, strlen(reason)));
    rusm_msg_free(msg);
}

static void who_is_asked_answers_on_the_turn_of_who_asks(void **state) {
    struct world *w = *state;
    world_guest(w, "other",
                RUN("(call $hello)" FOREVER("(call $recv) (call $say_u32 "
                                            "(i32.const 7))")));
    rusm_pid pid = world_run(w, "asker",
                             ASKER RUN("(call $hello) (call $start)" TIMES(
                                 64, "(call $ask) (call $recv)") "(call $say (global.get $ptr) "
                                                                 "(global.get $len))"));
    world_expect_u64(w, 7);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_in_range(lends(w), ASKS / 2, ASKS);
}

/* The asker starts so many, one after the other, asks each once, and hears how it ended. */
static void expect_ends(struct world *w, int count, const char *reason) {
    rusm_pid pid =
        world_run(w, "asker",
                  ASKER RUN("(local $left i32) (call $hello)"
                            "(call $recv) (local.set $left (i32.load (global.get $ptr)))"
                            "(loop (call $start) (call $monitor (global.get $other))"
                            " (call $recv) (call $ask) (call $say_recv)"
                            " (local.set $left (i32.sub (local.get $left) (i32.const 1)))"
                            " (br_if 0 (local.get $left)))"));
    world_send(w, pid, &count, sizeof(count));
    for (int i = 0; i < count; i++)
        expect_down(w, reason);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* The answer is the death. It is told, logged and reported as any other. */
static void who_is_asked_may_crash(void **state) {
    struct world *w = *state;
    world_guest(w, "other",
                RUN("(call $hello) (call $say_u32 (i32.const 1)) (call $recv) "
                    "unreachable"));
    expect_ends(w, CRASHES, "crashed");
    world_expect_log(w, "trace  other#");
    assert_int_equal(world_log_count(w, "exit   other#"), CRASHES);
    assert_in_range(lends(w), CRASHES / 2, 4 * CRASHES);
    WAIT_FOR(rusm__sandbox_live(w->sandbox) == 0);
}

/* Its turn is over at the next tick, and who lent it goes on. */
static void who_is_asked_may_spin(void **state) {
    struct world *w = *state;
    struct rusm__profile spinning = world_profile("spinning");
    spinning.deadline_ms = 100;
    world_guest_with(w, "other",
                     RUN("(call $hello) (call $say_u32 (i32.const 1)) (call $recv) (loop (br 0))"),
                     &spinning);
    struct rusm__component *asker =
        world_guest(w, "asker",
                    ASKER RUN("(call $hello) (call $start) (call $recv) (call $monitor (global.get "
                              "$other)) (call $say_u32 (i32.const 1)) (call $ask) (call $say_recv) "
                              "(call $say_recv)"));
    for (int i = 0; i < 4; i++) {
        rusm_pid pid = world_start(w, asker);
        world_expect_u64(w, 1);
        world_send_text(w, pid, "still there?");
        world_expect(w, "still there?");
        expect_down(w, "crashed");
        world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    }
    world_expect_log(w, "deadline: ");
    assert_true(lends(w) > 0);
}

static void who_lends_may_be_killed(void **state) {
    struct world *w = *state;
    world_guest(w, "other",
                RUN("(call $hello) (call $say_u32 (i32.const 1)) (call $recv)"
                    "(drop (call $kill (global.get $to))) (loop (br 0))"));
    struct rusm__component *asker = world_guest(
        w, "asker", ASKER RUN("(call $hello) (call $start) (call $recv) (call $ask) (call $recv)"));
    for (int i = 0; i < 4; i++)
        world_expect_end(w, world_start(w, asker), RUSM_EXIT_KILLED);
    assert_true(lends(w) > 0);
}

/* Who lends is also killed by whom it lent to, and the other way round. */
static void who_is_asked_may_end_in_every_way(void **state) {
    struct world *w = *state;
    world_guest(w, "other",
                RUN("(call $hello) (call $say_u32 (i32.const 1)) (call $recv)"
                    "(drop (call $kill (call $own-pid))) (loop (br 0))"));
    expect_ends(w, ASKS, "killed");
    assert_in_range(lends(w), ASKS / 2, 4 * ASKS);
}

/* Reads of the store take more stack than a guest's has left for the host. */
static void who_is_asked_may_read_the_store(void **state) {
    struct world *w = *state;
#define KEY "(i32.const 4096) (i32.const 2) (i32.const 4098) (i32.const 2) "
    world_guest(
        w, "other",
        RUN("(call $hello) (call $kv-set " KEY "(i32.const 4100) (i32.const 5) (i32.const "
            "1024))" FOREVER("(call $recv) (call $kv-get " KEY "(i32.const 1024))"
                             "(call $say (i32.load (i32.const 1032)) (i32.load (i32.const 1036)))"))
            DATA(4096, "bkk1value"));
    rusm_pid pid = world_run(w, "asker",
                             ASKER RUN("(call $hello) (call $start)" TIMES(
                                 64, "(call $ask) (call $recv)") "(call $say (global.get $ptr) "
                                                                 "(global.get $len))"));
    world_expect(w, "value");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_true(lends(w) > 0);
}

static rusm_pid start_request(struct world *w, struct rusm__component *component) {
    struct world_start start = {.component = component, .spawn = {.is_request = true}};
    world_order(w, world_start_order, &start);
    assert_int_equal(start.code, RUSM_OK);
    return start.pid;
}

/* Who is asked waits in the middle of a unit, whose deadline passes as it is woken. */
static void who_is_asked_may_be_late(void **state) {
    struct world *w = *state;
    w->profile.request_deadline_ms = 20;
    struct rusm__component *late =
        world_guest(w, "late", RUN("(call $hello)" FOREVER("(call $recv)")));
    rusm_pid asker = world_run(
        w, "asker",
        "(global $other (mut i64) (i64.const 0)) (global $count (mut i32) (i32.const 0))"
        "(global $n (mut i32) (i32.const 0)) (func $spin (global.set $n (i32.const 0)) (loop "
        "(global.set $n (i32.add (global.get $n) (i32.const 1)))"
        " (br_if 0 (i32.lt_u (global.get $n) (i32.const 200000)))))" RUN("(call $hello)" FOREVER(
            "(call $recv) (global.set $other (i64.load (global.get $ptr)))" TIMES(
                40, "(call $spin) (call $send (global.get $other) (i32.const 0) (i32.const 0))"
                    "(drop (call $recv_within (i64.const 1)))"))));
    for (int i = 0; i < 40; i++) {
        rusm_pid pid = start_request(w, late);
        world_send(w, asker, &pid, sizeof(pid));
        world_expect_crash(w, pid, "deadline: ");
    }
    assert_true(lends(w) > 0);
}

/* It crashes while a send of it waits for room: a crash waits for nobody. */
static void who_is_asked_may_crash_while_it_sends(void **state) {
    struct world *w = *state;
    struct rusm__profile small = world_profile("small");
    small.mailbox_messages = 2;
    small.mailbox_policy = RUSM_MAILBOX_BLOCK_SENDER;
    rusm_pid full =
        world_start(w, world_guest_with(w, "full", RUN("(drop (call $stream-accept))"), &small));
    struct rusm__component *other =
        world_guest(w, "other",
                    "(global $full (mut i64) (i64.const 0))"
                    "(func $fill (call $send (global.get $full) (i32.const 0) (i32.const 0)))" RUN(
                        "(call $recv) (call $recv) (global.set $full (i64.load (global.get $ptr)))"
                        "(call $recv) (call $fill) (call $fill) (call $fill) unreachable"));
    struct rusm__component *asker =
        world_guest(w, "asker",
                    RUN("(call $recv) (call $recv)"
                        "(call $send (i64.load (global.get $ptr)) (i32.const 0) (i32.const 0))"
                        "(drop (call $recv_within (i64.const 1)))"));
    for (int i = 0; i < 16; i++) {
        rusm_pid who = world_start(w, other);
        world_send(w, who, &full, sizeof(full));
        rusm_pid asks = world_start(w, asker);
        world_send(w, asks, &who, sizeof(who));
        int crashes = 0;
        for (int ends = 0; ends < 2; ends++) {
            rusm_msg *msg = world_next(w);
            crashes += rusm_msg_exit_kind(msg) == RUSM_EXIT_CRASHED;
            rusm_msg_free(msg);
        }
        assert_int_equal(crashes, 1);
    }
    assert_true(lends(w) > 0);
}

/* There is stack left for the other one's turn, and for its crash, at every depth. */
static void at_the_bottom_of_the_stack(void **state) {
    struct world *w = *state;
    world_guest(w, "other",
                RUN("(call $hello) (call $say_u32 (i32.const 1)) (call $recv) "
                    "(call $say_u32 (i32.const 2)) (call $recv) unreachable"));
    rusm_pid pid = world_run(
        w, "asker",
        ASKER "(func $calls"
              " (if (i32.eqz (i32.and (global.get $count) (i32.const 31)))"
              "  (then (call $start) (call $recv) (call $ask) (call $recv) (call $ask)"
              "   (drop (call $recv_within (i64.const 1)))))"
              " (global.set $count (i32.add (global.get $count) (i32.const 1))))"
              "(func $down (call $calls) (call $down) (call $calls))" RUN("(call $hello) "
                                                                          "(call $down)"));
    world_expect_crash(w, pid, "stack");
    assert_true(lends(w) > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        lend_test(who_is_asked_answers_on_the_turn_of_who_asks),
        lend_test(who_is_asked_may_crash),
        lend_test(who_is_asked_may_spin),
        lend_test(who_lends_may_be_killed),
        lend_test(who_is_asked_may_end_in_every_way),
        lend_test(who_is_asked_may_read_the_store),
        lend_test(who_is_asked_may_be_late),
        lend_test(who_is_asked_may_crash_while_it_sends),
        lend_test(at_the_bottom_of_the_stack),
    };
    world_silence();
    return cmocka_run_group_tests(tests, stored_group_setup, stored_group_teardown);
}
