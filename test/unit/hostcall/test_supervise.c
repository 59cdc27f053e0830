/* SPDX-License-Identifier: MIT */
/* actor.supervise: who is started again, for how long, and who ends with whom. */
#include "world.h"

/* A child of this name takes it and waits. */
#define CHILD(name)                                                                                \
    RUN("(drop (call $register (i32.const 4096) (i32.const 1))) (call $recv)") DATA(4096, name)

/* A list at 4200 of the names "a", "b", "c", which lie at 4096; the first `count` of them. */
#define NAMES                                                                                      \
    DATA(4096, "abc")                                                                              \
    DATA(4200, "\\00\\10\\00\\00\\01\\00\\00\\00\\01\\10\\00\\00\\01\\00\\00\\00\\02\\10\\00\\00"  \
               "\\01\\00\\00\\00")
#define SUPERVISE(strategy, count, restarts, within)                                               \
    "(call $supervise (i32.const " strategy ") (i32.const 4200) (i32.const " count ")"             \
    " (i32.const " restarts ") (i32.const " within ") (i32.const 1024))"                           \
    "(call $say_u32 (i32.load8_u (i32.const 1024)))"
#define ANSWER "(call $say_u64 (i64.load (i32.const 1032)))"

static void load_children(struct world *w) {
    world_guest(w, "a", CHILD("a"));
    world_guest(w, "b", CHILD("b"));
    world_guest(w, "c", CHILD("c"));
}

static rusm_pid holder(struct world *w, const char *name) {
    return rusm_name_whereis(w->runtime, name, 1);
}

/* Waits until somebody else than `before` has the name. */
static rusm_pid next_holder(struct world *w, const char *name, rusm_pid before) {
    rusm_pid now;
    WAIT_FOR((now = holder(w, name)) != 0 && now != before);
    return now;
}

static rusm_pid boss(struct world *w, const char *body) {
    load_children(w);
    rusm_pid pid = world_run(w, "boss", body);
    world_expect_u64(w, 0);
    return pid;
}

static void expect_strategy(struct world *w, bool a_changes, bool c_changes) {
    rusm_pid a = next_holder(w, "a", 0), b = next_holder(w, "b", 0), c = next_holder(w, "c", 0);
    assert_true(rusm_pid_kill(w->runtime, b));
    next_holder(w, "b", b);
    if (a_changes)
        next_holder(w, "a", a);
    if (c_changes)
        next_holder(w, "c", c);
    assert_true((holder(w, "a") == a) == !a_changes);
    assert_true((holder(w, "c") == c) == !c_changes);
}

static void one_for_one_restarts_the_one(void **state) {
    struct world *w = *state;
    boss(w, RUN("(call $hello)" SUPERVISE("0", "3", "0", "0") "(call $recv)") NAMES);
    expect_strategy(w, false, false);
}

static void one_for_all_restarts_all(void **state) {
    struct world *w = *state;
    boss(w, RUN("(call $hello)" SUPERVISE("1", "3", "3", "60000") "(call $recv)") NAMES);
    expect_strategy(w, true, true);
}

static void rest_for_one_restarts_the_later_ones(void **state) {
    struct world *w = *state;
    boss(w, RUN("(call $hello)" SUPERVISE("2", "3", "3", "0") "(call $recv)") NAMES);
    expect_strategy(w, false, true);
}

/* Transient: who ends well stays away. */
static void a_normal_end_is_no_fall(void **state) {
    struct world *w = *state;
    boss(w, RUN("(call $hello)" SUPERVISE("0", "2", "0", "0") "(call $recv)") NAMES);
    rusm_pid a = next_holder(w, "a", 0), b = next_holder(w, "b", 0);
    world_send_text(w, a, "end");
    WAIT_FOR(holder(w, "a") == 0);
    assert_true(rusm_pid_kill(w->runtime, b));
    next_holder(w, "b", b); /* the supervisor has looked at the end of a before */
    assert_true(holder(w, "a") == 0);
}

static void children_end_with_the_one_who_asked(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        boss(w, RUN("(call $hello)" SUPERVISE("0", "3", "0", "0") ANSWER "(call $recv)") NAMES);
    rusm_msg *msg = world_next(w);
    rusm_pid supervisor;
    memcpy(&supervisor, rusm_msg_data(msg), sizeof(supervisor));
    rusm_msg_free(msg);
    next_holder(w, "c", 0);
    assert_true(rusm_pid_is_alive(w->runtime, supervisor));
    world_send_text(w, pid, "return");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    WAIT_FOR(!holder(w, "a") && !holder(w, "b") && !holder(w, "c"));
    WAIT_FOR(!rusm_pid_is_alive(w->runtime, supervisor));
}

/* It was started for a guest, so guests that may kill may kill it; its children go with it, and so
 * does the guest that is linked to it. */
static void a_guests_supervisor_can_be_killed(void **state) {
    struct world *w = *state;
    rusm_pid pid = boss(
        w, RUN("(call $hello)" SUPERVISE(
               "0", "3", "0", "0") "(call $recv) (call $say_u32 (call $kill (i64.load (i32.const "
                                   "1032)))) (call $recv)") NAMES);
    next_holder(w, "c", 0);
    world_send_text(w, pid, "kill it");
    world_expect_u64(w, 1);
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
    WAIT_FOR(!holder(w, "a") && !holder(w, "b") && !holder(w, "c"));
}

static void a_budget_that_is_used_up_ends_all(void **state) {
    struct world *w = *state;
    rusm_pid pid = boss(w, RUN("(call $hello)" SUPERVISE("0", "2", "1", "0") "(call $recv)") NAMES);
    rusm_pid a = next_holder(w, "a", 0);
    next_holder(w, "b", 0);
    assert_true(rusm_pid_kill(w->runtime, a));
    a = next_holder(w, "a", a);
    assert_true(rusm_pid_kill(w->runtime, a));
    free(world_down(w, pid, RUSM_EXIT_CRASHED));
    WAIT_FOR(!holder(w, "a") && !holder(w, "b"));
}

static void refusals_say_why(void **state) {
    struct world *w = *state;
    load_children(w);
    world_run(w, "x",
              RUN("(call $hello)" SUPERVISE("0", "1", "0", "0") "(call $say_spawn_error)")
                  DATA(4096, "z") DATA(4200, "\\00\\10\\00\\00\\01\\00\\00\\00"));
    world_expect_u64(w, 1);
    world_expect(w, "unknown component `z`");
    rusm_msg_free(world_next(w));
    struct rusm__template_options template = {.name = "t", .profile = &w->profile};
    assert_int_equal(rusm__hostcall_add_template(w->hostcall, w->sandbox, &template), RUSM_OK);
    world_run(w, "v",
              RUN("(call $hello)" SUPERVISE("0", "2", "0", "0") "(call $say_spawn_error)")
                  DATA(4096, "at") DATA(4200, "\\00\\10\\00\\00\\01\\00\\00\\00"
                                              "\\01\\10\\00\\00\\01\\00\\00\\00"));
    world_expect_u64(w, 1);
    world_expect(w, "`t` is a dynamic template and can't be a supervised child");
    rusm_msg_free(world_next(w));
    world_run(w, "y",
              RUN("(call $hello)" SUPERVISE("0", "1", "4097", "0") "(call $say_spawn_error)")
                  NAMES);
    world_expect_u64(w, 1);
    world_expect(w, "cannot supervise: max-restarts is at most 4096, or 0 for no limit");
    rusm_msg_free(world_next(w));
    w->profile.max_children = 2;
    world_run(w, "n",
              RUN("(call $hello)" SUPERVISE("0", "3", "0", "0") "(call $say_spawn_error)") NAMES);
    world_expect_u64(w, 1);
    world_expect(w, "cannot supervise: more than 2 children or supervisors, the limit of "
                    "`max-children` under [capabilities.test]");
    rusm_msg_free(world_next(w));
    w->profile.spawn = false;
    world_run(w, "m",
              RUN("(call $hello)" SUPERVISE("0", "1", "0", "0") "(call $say_spawn_error)") NAMES);
    world_expect_u64(w, 1);
    world_expect(w, "supervise denied: missing the spawn capability");
    world_expect_log(w, "actor.supervise of a; to allow it put `allow-spawn = true` under "
                        "[capabilities.test]");
}

/* Nobody to watch is fine, and supervisors are counted as children are. */
static void supervisors_are_bounded(void **state) {
    struct world *w = *state;
    w->profile.max_children = 2;
    world_run(w, "a",
              RUN("(call $hello)" SUPERVISE("0", "0", "0", "0") SUPERVISE("0", "0", "0", "0")
                      SUPERVISE("0", "0", "0", "0")) NAMES);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(one_for_one_restarts_the_one),
        world_test(one_for_all_restarts_all),
        world_test(rest_for_one_restarts_the_later_ones),
        world_test(a_normal_end_is_no_fall),
        world_test(children_end_with_the_one_who_asked),
        world_test(a_guests_supervisor_can_be_killed),
        world_test(a_budget_that_is_used_up_ends_all),
        world_test(refusals_say_why),
        world_test(supervisors_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
