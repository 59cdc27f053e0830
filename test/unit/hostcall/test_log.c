/* SPDX-License-Identifier: MIT */
/* log: lines of guests, and the lines about them. */
#include "world.h"

#define LOG(level, at, len)                                                                        \
    "(call $log (i32.const " #level ") (i32.const " #at ") (i32.const " #len "))"

static int setup_info(void **state) {
    *state = world_open(&(struct world_options){.level = RUSM__LOG_INFO});
    return 0;
}

static int setup_error(void **state) {
    *state = world_open(&(struct world_options){.level = RUSM__LOG_ERROR});
    return 0;
}

static void lines_below_the_level_are_dropped(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a", RUN("(call $hello)" LOG(3, 4096, 5) LOG(1, 4101, 4)) DATA(4096, "quietloud"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "quiet"), 0);
    world_expect_log(w, "warn   loud\n");
    /* Level info: no spawn line, but an exit line. */
    assert_int_equal(world_log_count(w, "spawn"), 0);
    world_expect_log(w, "exit   a#");
}

static void who_is_the_label_and_the_pid(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "actions-agent", RUN("(call $hello)" LOG(2, 4096, 2)) DATA(4096, "hi"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    char line[80];
    snprintf(line, sizeof(line), " actions-ag#%-3llu info   hi\n", (unsigned long long)pid);
    world_expect_log(w, line);
}

static void a_line_cannot_be_forged(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a", RUN("(call $hello)" LOG(0, 4096, 11)) DATA(4096, "one\\0atwo\\1b[m\\00"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    world_expect_log(w, "one\\ntwo\\x1b[m\\x00\n");
}

static void a_flood_is_bounded_and_harms_nobody(void **state) {
    struct world *w = *state;
    rusm_pid flood =
        world_run(w, "flood", RUN("(call $hello) (loop" LOG(0, 4096, 60000) "(br 0))"));
    rusm_pid calm = world_run(w, "calm", RUN("(call $hello) (call $say_u32 (i32.const 1))"));
    world_expect_u64(w, 1);
    world_expect_end(w, calm, RUSM_EXIT_NORMAL);
    assert_true(rusm_pid_kill(w->runtime, flood));
    world_expect_end(w, flood, RUSM_EXIT_KILLED);
}

/* ---- lines about guests ---- */

static void three_ends(struct world *w) {
    rusm_pid normal = world_run(w, "fine", RUN("(call $hello)"));
    world_expect_end(w, normal, RUSM_EXIT_NORMAL);
    rusm_pid crashed = world_run(w, "boom", RUN("(call $hello) unreachable"));
    world_expect_end(w, crashed, RUSM_EXIT_CRASHED);
    rusm_pid killed = world_run(w, "kill", RUN("(call $hello) (call $recv)"));
    assert_true(rusm_pid_kill(w->runtime, killed));
    world_expect_end(w, killed, RUSM_EXIT_KILLED);
}

static void at_level_error_only_the_crash_is_told(void **state) {
    struct world *w = *state;
    three_ends(w);
    assert_int_equal(world_log_count(w, "exit "), 1);
    world_expect_log(w, "  crashed: ");
    world_expect_log(w, "unreachable");
}

static void at_level_debug_everything_is_told(void **state) {
    struct world *w = *state;
    three_ends(w);
    assert_int_equal(world_log_count(w, "spawn  "), 3);
    world_expect_log(w, "  net spawn storage proc mem=64M\n");
    world_expect_log(w, "  normal\n");
    world_expect_log(w, "  killed\n");
    world_expect_log(w, "trace  boom#");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_below_the_level_are_dropped, setup_info,
                                        world_teardown),
        world_test(who_is_the_label_and_the_pid),
        world_test(a_line_cannot_be_forged),
        world_test(a_flood_is_bounded_and_harms_nobody),
        cmocka_unit_test_setup_teardown(at_level_error_only_the_crash_is_told, setup_error,
                                        world_teardown),
        world_test(at_level_debug_everything_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
