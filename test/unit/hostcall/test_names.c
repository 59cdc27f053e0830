/* SPDX-License-Identifier: MIT */
/* actor: names and labels. */
#include "world.h"

#define REGISTER(at, len)   "(call $register (i32.const " #at ") (i32.const " #len "))"
#define UNREGISTER(at, len) "(call $unregister (i32.const " #at ") (i32.const " #len "))"
#define WHEREIS(at, n)      "(call $whereis (i32.const " #at ") (i32.const " #n ") (i32.const 992))"
#define SAY_FOUND           "(call $say_u32 (i32.load8_u (i32.const 992)))"

static void a_name_has_one_holder_until_it_ends(void **state) {
    struct world *w = *state;
    struct rusm__component *holder = world_guest(
        w, "holder",
        RUN("(call $hello) (call $say_u32 " REGISTER(4096, 1) ") (call $recv)") DATA(4096, "n"));
    rusm_pid first = world_start(w, holder);
    world_expect_u64(w, 1);
    rusm_pid second = world_start(w, holder);
    world_expect_u64(w, 0);
    assert_int_equal(rusm_name_whereis(w->runtime, "n", 1), first);
    world_send_text(w, first, "end");
    world_expect_end(w, first, RUSM_EXIT_NORMAL);
    assert_int_equal(rusm_name_whereis(w->runtime, "n", 1), 0);
    rusm_pid third = world_start(w, holder);
    world_expect_u64(w, 1);
    assert_int_equal(rusm_name_whereis(w->runtime, "n", 1), third);
    assert_true(rusm_pid_is_alive(w->runtime, second));
}

static void only_the_holder_gives_a_name_up(void **state) {
    struct world *w = *state;
    rusm_pid holder = world_run(w, "holder",
                                RUN("(call $hello) (drop " REGISTER(
                                    4096, 1) ")"
                                             "(call $say_u32 (i32.const 3)) (call $recv)"
                                             "(call $say_u32 " UNREGISTER(
                                                 4096, 1) ")"
                                                          "(call $say_u32 " UNREGISTER(4096, 1) ")")
                                    DATA(4096, "n"));
    world_expect_u64(w, 3);
    rusm_pid other =
        world_run(w, "other",
                  RUN("(call $hello) (call $say_u32 " UNREGISTER(4096, 1) ")" WHEREIS(4096, 1)
                          SAY_FOUND "(call $say_u64 (i64.load (i32.const 1000)))") DATA(4096, "n"));
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
    world_expect_u64(w, holder);
    world_expect_end(w, other, RUSM_EXIT_NORMAL);
    world_send_text(w, holder, "go");
    world_expect_u64(w, 1);
    world_expect_u64(w, 0);
}

static void several_names_and_registering_twice(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a",
                  RUN("(call $hello) (call $say_u32 " REGISTER(
                      4096, 1) ")"
                               "(call $say_u32 " REGISTER(4097, 1) ")"
                                                                   "(call $say_u32 " REGISTER(
                                                                       4096, 1) ") (call $recv)")
                      DATA(4096, "xy"));
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
    world_expect_u64(w, 0); /* the own name a second time */
    assert_int_equal(rusm_name_whereis(w->runtime, "x", 1), pid);
    assert_int_equal(rusm_name_whereis(w->runtime, "y", 1), pid);
    world_send_text(w, pid, "end");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(rusm_name_whereis(w->runtime, "x", 1), 0);
    assert_int_equal(rusm_name_whereis(w->runtime, "y", 1), 0);
}

static void names_have_1_to_255_bytes(void **state) {
    struct world *w = *state;
    world_run(w, "a",
              RUN("(call $hello) (call $say_u32 " REGISTER(
                  8192, 0) ")"
                           "(call $say_u32 " REGISTER(
                               8192, 255) ")"
                                          "(call $say_u32 " REGISTER(8192, 256) ")" WHEREIS(
                                              8192, 255) SAY_FOUND WHEREIS(8192, 256)
                                              SAY_FOUND WHEREIS(8192, 0) SAY_FOUND
                  "(call $say_u32 " UNREGISTER(8192, 60000) ")"));
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
}

/* Ten-byte names 0, 1, 2 ... until one is refused. */
static void names_and_tags_are_bounded_together(void **state) {
    struct world *w = *state;
    w->profile.max_names = 5;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(local $n i32) (call $hello)"
            "(call $register-tag (i32.const 4096) (i32.const 3))"
            "(call $register-tag (i32.const 4096) (i32.const 3))"
            "(block (loop (i32.store8 (i32.const 4096) (local.get $n))"
            " (br_if 1 (i32.eqz " REGISTER(
                4096, 3) "))"
                         " (local.set $n (i32.add (local.get $n) (i32.const 1))) (br 0)))"
                         "(call $say_u32 (local.get $n)) (call $recv)"
                         "(call $register-tag (i32.const 4099) (i32.const 1))") DATA(4096, "aaab"));
    world_expect_u64(w, 4);
    world_expect_log(w, "holds 5 names and tags, the limit of `max-names` under "
                        "[capabilities.test]");
    world_send_text(w, pid, "now a tag");
    world_expect_crash(w, pid, "holds 5 names and tags");
}

/* ---- labels ---- */

static void a_label_replaces_the_component_name_in_the_log(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "component-name",
                             RUN("(call $hello)"
                                 "(call $log (i32.const 1) (i32.const 4106) (i32.const 2))"
                                 "(call $set-label (i32.const 4096) (i32.const 10))"
                                 "(call $log (i32.const 1) (i32.const 4106) (i32.const 2))")
                                 DATA(4096, "the label!m1"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    char line[80];
    snprintf(line, sizeof(line), "component-#%-3llu warn   m1", (unsigned long long)pid);
    world_expect_log(w, line);
    snprintf(line, sizeof(line), "the label!#%-3llu warn   m1", (unsigned long long)pid);
    world_expect_log(w, line);
    snprintf(line, sizeof(line), "exit   the label!#%llu  normal", (unsigned long long)pid);
    world_expect_log(w, line);
}

static void a_long_label_is_cut_between_characters(void **state) {
    struct world *w = *state;
    /* 128 times "é" are 256 bytes: the last one does not fit. */
    rusm_pid pid = world_run(
        w, "a",
        RUN("(local $n i32) (call $hello)"
            "(loop (i32.store16 (i32.add (i32.const 8192) (local.get $n)) (i32.const 0xa9c3))"
            " (local.set $n (i32.add (local.get $n) (i32.const 2)))"
            " (br_if 0 (i32.lt_u (local.get $n) (i32.const 256))))"
            "(call $set-label (i32.const 8192) (i32.const 256))"
            "(call $info (call $own-pid) (i32.const 1024))"
            "(call $say_u32 (i32.load (i32.const 1064)))"));
    world_expect_u64(w, 254);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(a_name_has_one_holder_until_it_ends),
        world_test(only_the_holder_gives_a_name_up),
        world_test(several_names_and_registering_twice),
        world_test(names_have_1_to_255_bytes),
        world_test(names_and_tags_are_bounded_together),
        world_test(a_label_replaces_the_component_name_in_the_log),
        world_test(a_long_label_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
