/* SPDX-License-Identifier: MIT */
/* actor: processes, as guests see them. */
#include "world.h"

#define SPAWN(at, len) "(call $spawn (i32.const " #at ") (i32.const " #len ") (i32.const 1024))"
#define CHILD_PID      "(i64.load (i32.const 1032))"

static void guest_knows_its_pid_and_ends_normally(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a", RUN("(call $hello) (call $say_u64 (call $own-pid))"));
    world_expect_u64(w, pid);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* ---- spawn ---- */

static void spawn_of_an_unknown_name_is_an_error(void **state) {
    struct world *w = *state;
    world_run(w, "a",
              RUN("(call $hello)" SPAWN(4096, 4) "(call $say_spawn_error)") DATA(4096, "nope"));
    world_expect(w, "unknown component `nope`");
}

static void spawn_without_the_grant_is_an_error_and_told_once(void **state) {
    struct world *w = *state;
    w->profile.spawn = false;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)" SPAWN(4096, 1)
                                     SPAWN(4096, 1) "(call $say_spawn_error)") DATA(4096, "a"));
    world_expect(w, "spawn denied: missing the spawn capability");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "denied"), 1);
    world_expect_log(w, "actor.spawn of a; to allow it put `allow-spawn = true` under "
                        "[capabilities.test]");
}

static void refusals_are_told_for_each_target(void **state) {
    struct world *w = *state;
    w->profile.spawn = false;
    struct rusm__component *component = world_guest(
        w, "a", RUN(SPAWN(4096, 1) SPAWN(4097, 1) SPAWN(4096, 2) SPAWN(4097, 1)) DATA(4096, "xy"));
    for (int i = 0; i < 2; i++)
        world_expect_end(w, world_start(w, component), RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "actor.spawn of x; to allow it"), 1);
    assert_int_equal(world_log_count(w, "actor.spawn of y; to allow it"), 1);
    assert_int_equal(world_log_count(w, "actor.spawn of xy; to allow it"), 1);
    assert_int_equal(world_log_count(w, "denied"), 3);
}

/* A hundred thousand targets, each tried once: 16 lines and one that says that no more will come.
 */
static void a_flood_of_refusals_is_bounded_in_the_log(void **state) {
    struct world *w = *state;
    w->profile.process_control = false;
    rusm_pid pid = world_run(w, "a",
                             RUN("(local $pid i64) (local.set $pid (i64.const 200000))"
                                 "(loop $next"
                                 " (drop (call $kill (local.get $pid)))"
                                 " (local.set $pid (i64.sub (local.get $pid) (i64.const 1)))"
                                 " (br_if $next (i64.ne (local.get $pid) (i64.const 100000))))"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "actor.kill of #"), 17);
    world_expect_log(w, "actor.kill of #199984; to allow it put `allow-process-control = true` "
                        "under [capabilities.test]; this was refused for many targets, further "
                        "ones are not told\n");
    assert_int_equal(world_log_count(w, "further ones are not told"), 1);
}

static void spawn_of_a_template_is_an_error(void **state) {
    struct world *w = *state;
    struct rusm__template_options tpl = {.name = "tpl", .profile = &w->profile};
    assert_int_equal(rusm__hostcall_add_template(w->hostcall, w->sandbox, &tpl), RUSM_OK);
    world_run(w, "a",
              RUN("(call $hello)" SPAWN(4096, 3) "(call $say_spawn_error)") DATA(4096, "tpl"));
    world_expect(w, "`tpl` is a dynamic runner template — spawn it with "
                    "spawn-from(component, source)");
}

static void names_are_registered_once(void **state) {
    struct world *w = *state;
    struct rusm__component *a = world_guest(w, "a", RUN(""));
    assert_int_equal(rusm__hostcall_add(w->hostcall, a), RUSM_EEXIST);
    struct rusm__template_options same = {.name = "a", .profile = &w->profile};
    assert_int_equal(rusm__hostcall_add_template(w->hostcall, w->sandbox, &same), RUSM_EEXIST);
}

/* The parent tells its child whom to report to; the child tries to spawn under its own profile. */
static void child_runs_under_its_own_profile(void **state) {
    struct world *w = *state;
    struct rusm__profile poor = world_profile("poor");
    poor.spawn = false;
    world_guest_with(
        w, "child",
        RUN("(call $hello)" SPAWN(4096, 5) "(call $say_spawn_error)") DATA(4096, "child"), &poor);
    rusm_pid pid = world_run(
        w, "parent",
        RUN("(call $hello)" SPAWN(4096, 5) "(i64.store (i32.const 2048) (global.get $to))"
                                           "(call $send " CHILD_PID
                                           " (i32.const 2048) (i32.const 8))") DATA(4096, "child"));
    bool refused = false, ended = false;
    while (!refused || !ended) {
        rusm_msg *msg = world_next(w);
        refused = refused || rusm_msg_get_kind(msg) == RUSM_MSG_DATA;
        ended = ended || rusm_msg_from(msg) == pid;
        rusm_msg_free(msg);
    }
}

static void children_are_bounded_and_places_come_back(void **state) {
    struct world *w = *state;
    w->profile.max_children = 2;
    world_guest(w, "child", RUN("(call $recv)"));
    /* Two children, a third is refused; one is killed, and after its end there is room again. */
    rusm_pid pid = world_run(
        w, "parent",
        RUN("(local $first i64) (call $hello)" SPAWN(
            4096, 5) "(local.set $first " CHILD_PID ")" SPAWN(4096, 5)
                SPAWN(4096, 5) "(call $say_spawn_error)"
                               "(call $monitor (local.get $first))"
                               "(drop (call $kill (local.get $first))) (call $recv)" SPAWN(
                                   4096, 5) "(call $say_u32 (i32.load8_u (i32.const 1024)))")
            DATA(4096, "child"));
    world_expect(w, "cannot spawn `child`: 2 children are alive, the limit of `max-children` under "
                    "[capabilities.test]");
    world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "the limit of `max-children`"), 1);
}

/* ---- looking at others ---- */

static void process_control_is_needed_for_others_only(void **state) {
    struct world *w = *state;
    w->profile.process_control = false;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $info (global.get $to) (i32.const 1024))"
                                 "(call $say_u32 (i32.load8_u (i32.const 1024)))"
                                 "(call $say_u32 (call $is-alive (global.get $to)))"
                                 "(call $say_u32 (call $kill (global.get $to)))"
                                 "(call $list-processes (i32.const 1024))"
                                 "(call $say (i32.load (i32.const 1024)) (i32.shl (i32.load "
                                 "(i32.const 1028)) (i32.const 3)))"
                                 "(call $info (call $own-pid) (i32.const 1024))"
                                 "(call $say_u32 (i32.load8_u (i32.const 1024)))"
                                 "(call $say_u32 (call $is-alive (call $own-pid)))"));
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, pid); /* the list: itself */
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    world_expect_log(w, "actor.kill of #");
    world_expect_log(w, "put `allow-process-control = true` under [capabilities.test]");
    assert_int_equal(world_log_count(w, "denied"), 4); /* one a kind of call */
}

static void process_control_sees_and_kills_others(void **state) {
    struct world *w = *state;
    rusm_pid victim = world_run(w, "victim", RUN("(call $recv) (call $recv)"));
    rusm_pid pid = world_run(w, "a",
                             RUN("(local $v i64) (call $hello) (call $recv)"
                                 "(local.set $v (i64.load (global.get $ptr)))"
                                 "(call $say_u32 (call $is-alive (local.get $v)))"
                                 "(call $list-processes (i32.const 1024))"
                                 "(call $say_u32 (i32.load (i32.const 1028)))"
                                 "(call $say_u32 (call $kill (local.get $v)))"));
    world_send(w, pid, &victim, sizeof(victim));
    world_expect_u64(w, 1);
    world_expect_u64(w, 3); /* the probe, the victim, itself */
    world_expect_u64(w, 1);
    rusm_msg *down;
    rusm_exit_kind kinds[2];
    for (int i = 0; i < 2; i++) { /* in either order */
        down = world_next(w);
        kinds[rusm_msg_from(down) == victim] = rusm_msg_exit_kind(down);
        rusm_msg_free(down);
    }
    assert_int_equal(kinds[1], RUSM_EXIT_KILLED);
    assert_int_equal(kinds[0], RUSM_EXIT_NORMAL);
    char line[64];
    snprintf(line, sizeof(line), "kill   #%llu\n", (unsigned long long)victim);
    world_expect_log(w, line);
}

/* The probe is a native process: with or without a tag it is not there for those who kill. */
static void tag_probe(rusm_proc *probe, void *arg) {
    (void)arg;
    assert_int_equal(rusm_proc_join(probe, "t", 1), RUSM_OK);
}

static void no_grant_reaches_the_nodes_own_processes(void **state) {
    struct world *w = *state;
    world_order(w, tag_probe, NULL);
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $say_u32 (call $is-alive (global.get $to)))"
                                 "(call $say_u32 (call $kill (global.get $to)))"
                                 "(call $say_u32 (call $kill (global.get $to)))"
                                 "(call $say_u32 (call $kill-tag (i32.const 4096) (i32.const 1)))")
                                 DATA(4096, "t"));
    world_expect_u64(w, 1);
    for (int i = 0; i < 3; i++)
        world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_true(rusm_pid_is_alive(w->runtime, w->probe));
    world_expect_log(w, "; it is a process of the node itself, which no grant lets guests end");
    assert_int_equal(world_log_count(w, "denied"), 1);
}

static void killing_oneself_needs_no_grant(void **state) {
    struct world *w = *state;
    w->profile.process_control = false;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $say_u32 (call $kill (call $own-pid)))"
                                 "(call $recv)"));
    /* It ends at its next wait or tick, whichever comes first: the answer may not get out. */
    rusm_msg *msg = world_next(w);
    if (rusm_msg_get_kind(msg) == RUSM_MSG_DATA) {
        assert_int_equal(*(const uint64_t *)rusm_msg_data(msg), 1);
        rusm_msg_free(msg);
        msg = world_next(w);
    }
    assert_int_equal(rusm_msg_get_kind(msg), RUSM_MSG_DOWN);
    assert_int_equal(rusm_msg_from(msg), pid);
    assert_int_equal(rusm_msg_exit_kind(msg), RUSM_EXIT_KILLED);
    rusm_msg_free(msg);
}

static void info_shows_the_state(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "shown",
                  RUN("(local $me i64) (call $hello) (local.set $me (call $own-pid))"
                      "(drop (call $register (i32.const 4096) (i32.const 3)))"
                      "(call $send (local.get $me) (i32.const 4096) (i32.const 1))"
                      "(call $send (local.get $me) (i32.const 4096) (i32.const 1))"
                      "(call $info (local.get $me) (i32.const 1024))"
                      "(call $say_u64 (i64.load (i32.const 1032)))"
                      "(call $say_u32 (i32.load (i32.const 1040)))"
                      "(call $say_u32 (i32.load (i32.const 1044)))"
                      "(call $say_u32 (i32.load (i32.const 1052)))"
                      "(call $say (i32.load (i32.load (i32.const 1048)))"
                      "           (i32.load offset=4 (i32.load (i32.const 1048))))"
                      "(call $say_u32 (i32.load8_u (i32.const 1056)))"
                      "(call $say (i32.load (i32.const 1060)) (i32.load (i32.const 1064)))"
                      "(call $say_u32 (i32.load (i32.const 1068)))"
                      "(call $say_u32 (i32.load8_u (i32.const 1072)))") DATA(4096, "nom"));
    world_expect_u64(w, pid);
    world_expect_u64(w, 0); /* links */
    world_expect_u64(w, 1); /* monitors: the probe's */
    world_expect_u64(w, 1); /* names */
    world_expect(w, "nom");
    world_expect_u64(w, 1);
    world_expect(w, "shown");
    world_expect_u64(w, 2); /* mailbox-depth */
    world_expect_u64(w, 0); /* trap-exit */
}

static void info_of_the_dead_is_none(void **state) {
    struct world *w = *state;
    world_run(w, "a",
              RUN("(call $hello) (call $info (i64.const 999999) (i32.const 1024))"
                  "(call $say_u32 (i32.load8_u (i32.const 1024)))"
                  "(call $say_u32 (call $is-alive (i64.const 999999)))"
                  "(call $say_u32 (call $kill (i64.const 0)))"));
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
}

/* ---- monitors ---- */

/* Watches the process of its second message and reports what it hears. */
#define WATCHER(times)                                                                             \
    RUN("(call $hello) (call $recv) " times " (call $say_u32 (i32.const 1)) (call $say_recv)"      \
        "(call $say_recv)")
#define WATCH "(call $monitor (i64.load (global.get $ptr)))"

static void expect_down(struct world *w, rusm_pid pid, const char *reason) {
    char text[80];
    snprintf(text, sizeof(text), "{\"__down\":\"%llu\",\"reason\":\"%s\"}", (unsigned long long)pid,
             reason);
    world_expect(w, text);
}

/* A native process to be watched, so that only the watcher hears of it. */
static rusm_step idle_step(rusm_proc *self, void *body) {
    (void)body;
    rusm_msg *msg = rusm_proc_receive(self);
    if (!msg)
        return RUSM_STEP_WAIT;
    if (rusm_msg_len(msg))
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "told to");
    rusm_msg_free(msg);
    return RUSM_STEP_EXIT;
}

static void idle_drop(void *body) {
    (void)body;
}

static rusm_pid start_idle(struct world *w) {
    static const rusm_body_ops ops = {.name = "idle", .step = idle_step, .drop = idle_drop};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(w->runtime, &options, &pid), RUSM_OK);
    return pid;
}

static rusm_pid start_watcher(struct world *w, const char *body, rusm_pid target) {
    rusm_pid pid = world_run(w, "watcher", body);
    world_send(w, pid, &target, sizeof(target));
    return pid;
}

static void each_monitor_brings_one_down(void **state) {
    struct world *w = *state;
    rusm_pid target = start_idle(w);
    rusm_pid pid = start_watcher(w, WATCHER(WATCH WATCH), target);
    world_expect_u64(w, 1);
    world_send(w, target, "", 0);
    expect_down(w, target, "normal");
    expect_down(w, target, "normal");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void down_says_crashed_and_killed_and_noproc(void **state) {
    struct world *w = *state;
    rusm_pid crashing = start_idle(w), killed = start_idle(w);
    rusm_pid pid = start_watcher(w,
                                 RUN("(call $hello)"
                                     "(call $recv) " WATCH "(call $recv) " WATCH
                                     "(call $say_u32 (i32.const 1))"
                                     "(call $say_recv) (call $say_recv)"
                                     "(call $monitor (i64.const 12345678)) (call $say_recv)"),
                                 crashing);
    world_send(w, pid, &killed, sizeof(killed));
    world_expect_u64(w, 1);
    world_send(w, crashing, "x", 1);
    expect_down(w, crashing, "crashed");
    assert_true(rusm_pid_kill(w->runtime, killed));
    expect_down(w, killed, "killed");
    expect_down(w, 12345678, "noproc");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void monitor_without_a_grant_does_nothing(void **state) {
    struct world *w = *state;
    w->profile.spawn = w->profile.process_control = false;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $monitor (i64.const 12345678))"
                                 "(call $say_u32 (call $recv_within (i64.const 30)))"));
    world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    world_expect_log(w, "actor.monitor of #12345678");
}

/* The handler of a connection, without any grant: of its own writer, here one that has ended, it is
 * told. */
static void a_handler_may_monitor_its_writer(void **state) {
    struct world *w = *state;
    rusm_pid writer = world_run(w, "writer", RUN(""));
    world_expect_end(w, writer, RUSM_EXIT_NORMAL);
    w->profile.spawn = w->profile.process_control = false;
    struct world_start start = {
        .component = world_guest(w, "handler",
                                 RUN("(call $hello) (call $monitor (i64.const 12345678))"
                                     "(call $say_u32 (call $recv_within (i64.const 0)))"
                                     "(call $recv) (call $monitor (i64.load (global.get $ptr)))"
                                     "(call $recv) (call $say (global.get $ptr)"
                                     " (global.get $len))")),
        .spawn = {.writer = writer},
    };
    world_order(w, world_start_order, &start);
    assert_int_equal(start.code, RUSM_OK);
    world_expect_u64(w, 0); /* of others it is not */
    world_send(w, start.pid, &writer, sizeof(writer));
    char text[64];
    snprintf(text, sizeof(text), "{\"__down\":\"%llu\",\"reason\":\"noproc\"}",
             (unsigned long long)writer);
    world_expect(w, text);
    world_expect_end(w, start.pid, RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "denied"), 1);
    world_expect_log(w, "actor.monitor of #12345678");
}

static void monitor_is_allowed_by_either_grant(void **state) {
    struct world *w = *state;
    struct rusm__profile control = world_profile("control"), spawn = world_profile("spawn");
    control.spawn = false;
    spawn.process_control = false;
    const char *body = RUN("(call $hello) (call $monitor (i64.const 12345678)) (call $say_recv)");
    rusm_pid first = world_start(w, world_guest_with(w, "c", body, &control));
    expect_down(w, 12345678, "noproc");
    world_expect_end(w, first, RUSM_EXIT_NORMAL);
    rusm_pid second = world_start(w, world_guest_with(w, "s", body, &spawn));
    expect_down(w, 12345678, "noproc");
    world_expect_end(w, second, RUSM_EXIT_NORMAL);
}

static void monitors_without_end_end_the_guest(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(loop (call $monitor (global.get $to)) (br 0))"));
    world_expect_crash(w, pid, "65536 monitors");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(guest_knows_its_pid_and_ends_normally),
        world_test(spawn_of_an_unknown_name_is_an_error),
        world_test(spawn_without_the_grant_is_an_error_and_told_once),
        world_test(refusals_are_told_for_each_target),
        world_test(a_flood_of_refusals_is_bounded_in_the_log),
        world_test(spawn_of_a_template_is_an_error),
        world_test(names_are_registered_once),
        world_test(child_runs_under_its_own_profile),
        world_test(children_are_bounded_and_places_come_back),
        world_test(process_control_is_needed_for_others_only),
        world_test(process_control_sees_and_kills_others),
        world_test(no_grant_reaches_the_nodes_own_processes),
        world_test(killing_oneself_needs_no_grant),
        world_test(info_shows_the_state),
        world_test(info_of_the_dead_is_none),
        world_test(each_monitor_brings_one_down),
        world_test(down_says_crashed_and_killed_and_noproc),
        world_test(monitor_without_a_grant_does_nothing),
        world_test(a_handler_may_monitor_its_writer),
        world_test(monitor_is_allowed_by_either_grant),
        world_test(monitors_without_end_end_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
