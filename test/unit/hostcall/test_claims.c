/* SPDX-License-Identifier: MIT */
/* Contexts (the specification says claims) beside the messages of guests, who do not see them: what
 * a guest sends carries the context of the message that it received last. */
#include "world.h"

static void send_with(struct world *w, rusm_pid to, const char *text, const char *claims) {
    rusm_context *context;
    rusm_msg *msg;
    assert_int_equal(rusm_context_new(claims, strlen(claims), &context), RUSM_OK);
    assert_int_equal(rusm_msg_copy(text, strlen(text), &msg), RUSM_OK);
    assert_int_equal(rusm_msg_set_context(&msg, context), RUSM_OK);
    rusm_context_unref(context);
    assert_int_equal(rusm_msg_send(w->runtime, to, msg), RUSM_OK);
}

/* claims: NULL for none */
static void expect_with(struct world *w, const char *text, const char *claims) {
    rusm_msg *msg = world_next(w);
    const rusm_context *context = rusm_msg_context(msg);
    assert_int_equal(rusm_msg_len(msg), strlen(text));
    assert_memory_equal(rusm_msg_data(msg), text, strlen(text));
    assert_int_equal(context != NULL, claims != NULL);
    if (claims) {
        assert_int_equal(rusm_context_len(context), strlen(claims));
        assert_memory_equal(rusm_context_data(context), claims, strlen(claims));
    }
    rusm_msg_free(msg);
}

static void an_answer_carries_the_claims_of_its_question(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a", RUN("(call $hello) (call $say_recv) (call $say_recv) (call $say_recv)"));
    send_with(w, pid, "one", "anna");
    send_with(w, pid, "two", "bert");
    world_send_text(w, pid, "three");
    expect_with(w, "one", "anna");
    expect_with(w, "two", "bert");
    expect_with(w, "three", NULL); /* nobody's */
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void claims_stay_while_no_message_comes(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $say_recv)"
                                 "(drop (call $recv_within (i64.const 0)))"
                                 "(call $say (i32.const 4096) (i32.const 4))") DATA(4096, "late"));
    send_with(w, pid, "x", "anna");
    expect_with(w, "x", "anna");
    expect_with(w, "late", "anna");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_stashed_message_has_its_claims_again(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $recv) (call $stash (global.get $ptr) (global.get $len))"
                                 "(call $say_recv) (call $unstash) (call $say_recv)"));
    send_with(w, pid, "first", "anna");
    send_with(w, pid, "second", "bert");
    expect_with(w, "second", "bert");
    expect_with(w, "first", "anna");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_timer_carries_the_claims_of_when_it_was_set(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $recv)"
                                 "(drop (call $send-after (global.get $to) (i64.const 1)"
                                 " (i32.const 4096) (i32.const 4)))"
                                 "(call $recv)") DATA(4096, "tick"));
    send_with(w, pid, "x", "anna");
    expect_with(w, "tick", "anna");
    send_with(w, pid, "x", "bert");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_death_leaves_the_claims(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $recv)"
                                 "(call $monitor (i64.const 123456789))" /* nobody: dead at once */
                                 "(call $recv) (call $say (i32.const 4096) (i32.const 4))")
                                 DATA(4096, "done"));
    send_with(w, pid, "x", "anna");
    expect_with(w, "done", "anna");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_child_works_for_whom_it_was_told(void **state) {
    struct world *w = *state;
    world_guest(w, "child",
                RUN("(call $hello) (call $say (i32.const 4104) (i32.const 5))")
                    DATA(4104, "child"));
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello) (call $recv) (call $spawn (i32.const 4096) (i32.const 5)"
            " (i32.const 1024))"
            "(i64.store (i32.const 2048) (global.get $to))"
            "(call $send (i64.load (i32.const 1032)) (i32.const 2048) (i32.const 8)) (call $recv)")
            DATA(4096, "child"));
    send_with(w, pid, "x", "anna");
    expect_with(w, "child", "anna");
    world_send_text(w, pid, "end");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(an_answer_carries_the_claims_of_its_question),
        world_test(claims_stay_while_no_message_comes),
        world_test(a_stashed_message_has_its_claims_again),
        world_test(a_timer_carries_the_claims_of_when_it_was_set),
        world_test(a_death_leaves_the_claims),
        world_test(a_child_works_for_whom_it_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
