/* SPDX-License-Identifier: MIT */
/* actor: send-after and cancel-timer. */
#include "world.h"

/* To itself, the text "tick". */
#define AFTER(ms)                                                                                  \
    "(call $send-after (call $own-pid) (i64.const " #ms ") (i32.const 4096) (i32.const 4))"
#define CANCEL(handle) "(call $cancel-timer (i64.const " #handle "))"
#define TICK           DATA(4096, "tick")

static void a_timer_fires_once_and_not_early(void **state) {
    struct world *w = *state;
    uint64_t before = rusm__clock_ns();
    world_run(w, "a",
              RUN("(call $hello) (call $say_u64 " AFTER(
                  20) ") (call $say_recv)"
                      "(call $say_u32 (call $recv_within (i64.const 30)))") TICK);
    world_expect_u64(w, 0); /* the first handle */
    world_expect(w, "tick");
    assert_true(rusm__clock_ns() - before >= 20 * RUSM__MS);
    world_expect_u64(w, 0);
}

static void a_cancelled_timer_never_arrives(void **state) {
    struct world *w = *state;
    world_run(w, "a",
              RUN("(call $hello) (drop " AFTER(10000) ") (call $say_u64 " AFTER(
                  1000) ")"
                        "(call $say_u32 " CANCEL(1) ") (call $say_u32 " CANCEL(
                            1) ")"
                               "(call $say_u32 (call $recv_within (i64.const 1200)))"
                               "(call $say_u32 " CANCEL(0) ")") TICK);
    world_expect_u64(w, 1); /* the second handle */
    world_expect_u64(w, 1); /* cancelled */
    world_expect_u64(w, 0); /* and not again */
    world_expect_u64(w, 0); /* nothing arrives */
    world_expect_u64(w, 1);
}

static void cancel_after_firing_is_false(void **state) {
    struct world *w = *state;
    world_run(w, "a",
              RUN("(call $hello) (drop " AFTER(1) ") (call $say_recv)"
                                                  "(call $say_u32 " CANCEL(
                                                      0) ") (call $say_u32 " CANCEL(7) ")") TICK);
    world_expect(w, "tick");
    world_expect_u64(w, 0);
    world_expect_u64(w, 0); /* never set */
}

static void a_timer_outlives_who_set_it(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(drop (call $send-after (global.get $to) (i64.const 1000)"
                                 "  (i32.const 4096) (i32.const 4)))") TICK);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    world_expect(w, "tick");
}

static void a_delay_beyond_the_clock_is_far_away(void **state) {
    struct world *w = *state;
    world_run(
        w, "a",
        RUN("(call $hello) (drop " AFTER(-1) ")"
                                             "(call $say_u32 (call $recv_within (i64.const 20)))"
                                             "(call $say_u32 " CANCEL(0) ")") TICK);
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
}

static void armed_timers_are_bounded(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a", RUN("(call $hello) (loop (call $say_u64 " AFTER(100000) ") (br 0))") TICK);
    for (uint64_t handle = 0; handle < 16; handle++)
        world_expect_u64(w, handle);
    world_expect_crash(w, pid,
                       "16 timers are armed, the limit of `max-timers` under "
                       "[capabilities.test]");
}

/* What fired or was cancelled makes room, and handles go on. */
static void fired_and_cancelled_timers_make_room(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a",
                  RUN("(local $n i64) (local $h i64) (call $hello)"
                      "(loop (drop " AFTER(
                          0) ") (call $recv)"
                             " (local.set $h " AFTER(
                                 100000) ")"
                                         " (if (i32.eqz (call $cancel-timer (local.get $h))) (then "
                                         "unreachable))"
                                         " (local.set $n (i64.add (local.get $n) (i64.const 1)))"
                                         " (br_if 0 (i64.lt_u (local.get $n) (i64.const 200))))"
                                         "(call $say_u64 (local.get $h))") TICK);
    world_expect_u64(w, 399);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_timed_message_has_the_same_limit(void **state) {
    struct world *w = *state;
    w->profile.max_message_bytes = 3;
    rusm_pid pid = world_run(w, "a", RUN("(call $recv) (drop " AFTER(1) ")") TICK);
    world_expect_crash(w, pid, "a message of 4 bytes is over the limit of 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(a_timer_fires_once_and_not_early),
        world_test(a_cancelled_timer_never_arrives),
        world_test(cancel_after_firing_is_false),
        world_test(a_timer_outlives_who_set_it),
        world_test(a_delay_beyond_the_clock_is_far_away),
        world_test(armed_timers_are_bounded),
        world_test(fired_and_cancelled_timers_make_room),
        world_test(a_timed_message_has_the_same_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
