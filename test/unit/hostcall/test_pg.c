/* SPDX-License-Identifier: MIT */
/* pg: tags. */
#include "world.h"

#define TAG "(i32.const 4096) (i32.const 1)"
#define T   DATA(4096, "t")

static size_t members(struct world *w) {
    rusm_pid pids[8];
    return rusm_tag_whereis(w->runtime, "t", 1, pids, 8);
}

static struct rusm__component *load_member(struct world *w) {
    return world_guest(w, "member",
                       RUN("(call $hello) (call $register-tag " TAG ") (call $register-tag " TAG ")"
                           "(call $say_u32 (i32.const 1)) (call $recv)"
                           "(call $unregister-tag " TAG ") (call $unregister-tag " TAG ")"
                           "(call $say_u32 (i32.const 2)) (call $recv)") T);
}

static void members_come_and_go(void **state) {
    struct world *w = *state;
    struct rusm__component *member = load_member(w);
    rusm_pid a = world_start(w, member);
    world_expect_u64(w, 1);
    rusm_pid b = world_start(w, member);
    world_expect_u64(w, 1);
    assert_int_equal(members(w), 2);
    assert_true(rusm_pid_kill(w->runtime, a));
    world_expect_end(w, a, RUSM_EXIT_KILLED);
    assert_int_equal(members(w), 1);
    world_send_text(w, b, "leave");
    world_expect_u64(w, 2);
    assert_int_equal(members(w), 0);
    assert_true(rusm_pid_is_alive(w->runtime, b));
}

static void whereis_tag_lists_the_members(void **state) {
    struct world *w = *state;
    struct rusm__component *member = load_member(w);
    rusm_pid a = world_start(w, member);
    world_expect_u64(w, 1);
    world_run(w, "asker",
              RUN("(call $hello) (call $whereis-tag " TAG " (i32.const 1024))"
                  "(call $say_u32 (i32.load (i32.const 1028)))"
                  "(call $say_u64 (i64.load (i32.load (i32.const 1024))))"
                  "(call $whereis-tag (i32.const 5000) (i32.const 1) (i32.const 1024))"
                  "(call $say_u32 (i32.load (i32.const 1028)))"
                  "(call $whereis-tag (i32.const 5000) (i32.const 0) (i32.const 1024))"
                  "(call $say_u32 (i32.load (i32.const 1028)))") T);
    world_expect_u64(w, 1);
    world_expect_u64(w, a);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
}

/* More members than the first guess of the list's size. */
static void whereis_tag_lists_large_groups(void **state) {
    struct world *w = *state;
    struct rusm__component *member = load_member(w);
    for (int i = 0; i < 40; i++) {
        world_start(w, member);
        world_expect_u64(w, 1);
    }
    world_run(w, "asker",
              RUN("(call $hello) (call $whereis-tag " TAG " (i32.const 1024))"
                  "(call $say_u32 (i32.load (i32.const 1028)))") T);
    world_expect_u64(w, 40);
}

static void kill_tag_kills_the_members(void **state) {
    struct world *w = *state;
    struct rusm__component *member = load_member(w);
    rusm_pid a = world_start(w, member);
    world_expect_u64(w, 1);
    rusm_pid killer = world_run(w, "killer",
                                RUN("(call $hello) (call $say_u32 (call $kill-tag " TAG "))"
                                    "(call $say_u32 (call $kill-tag (i32.const 4097)"
                                    "  (i32.const 2)))") DATA(4096, "tno"));
    size_t deaths = 0, answers = 0;
    for (int i = 0; i < 4; i++) { /* two answers, two ends, in any order between them */
        rusm_msg *msg = world_next(w);
        if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN) {
            deaths++;
            assert_int_equal(rusm_msg_exit_kind(msg),
                             rusm_msg_from(msg) == a ? RUSM_EXIT_KILLED : RUSM_EXIT_NORMAL);
        } else {
            assert_int_equal(rusm_msg_from(msg), killer);
            assert_int_equal(rusm_msg_data(msg)[0], answers++ == 0 ? 1 : 0);
        }
        rusm_msg_free(msg);
    }
    assert_int_equal(deaths, 2);
    world_expect_log(w, "kill   t → 1");
    world_expect_log(w, "kill   no → 0");
}

static void kill_tag_without_the_grant_kills_nobody(void **state) {
    struct world *w = *state;
    struct rusm__component *member = load_member(w);
    rusm_pid a = world_start(w, member);
    world_expect_u64(w, 1);
    w->profile.process_control = false;
    rusm_pid killer =
        world_run(w, "killer", RUN("(call $hello) (call $say_u32 (call $kill-tag " TAG "))") T);
    world_expect_u64(w, 0);
    world_expect_end(w, killer, RUSM_EXIT_NORMAL);
    assert_true(rusm_pid_is_alive(w->runtime, a));
    world_expect_log(w, "pg.kill-tag of t");
}

static void a_tag_that_cannot_be_traps(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $unregister-tag (i32.const 4096) (i32.const 9999))"
                                 "(call $register-tag (i32.const 4096) (i32.const 256))"));
    world_expect_crash(w, pid, "a tag has 1 to 255 bytes, not 256");
    pid =
        world_run(w, "b", RUN("(call $hello) (call $register-tag (i32.const 4096) (i32.const 0))"));
    world_expect_crash(w, pid, "a tag has 1 to 255 bytes, not 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(members_come_and_go),
        world_test(whereis_tag_lists_the_members),
        world_test(whereis_tag_lists_large_groups),
        world_test(kill_tag_kills_the_members),
        world_test(kill_tag_without_the_grant_kills_nobody),
        world_test(a_tag_that_cannot_be_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
