/* SPDX-License-Identifier: MIT */
/* The ledger: everything that a guest can make the host hold is on it, nothing that others do is,
 * and its bound ends the guest with a reason that says so. */
#include "world.h"

#include "hostcall/ledger.h"

#define MIB (1u << 20)

static struct rusm__ledger seen; /* written by a guest's call of own-pid, read after its message */

static uint64_t look_at_ledger(struct rusm__guest *guest) {
    rusm__guest_get_ledger(guest, &seen);
    return guest->pid;
}

static void adjust(struct rusm__sandbox_options *options) {
    static struct rusm__host_calls table;
    table = *options->host;
    table.own_pid = look_at_ledger;
    options->host = &table;
}

static int setup(void **state) {
    struct world *w = world_open(&(struct world_options){.adjust = adjust});
    w->profile.max_host_bytes = MIB;
    *state = w;
    return 0;
}

#define ledger_test(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

/* ---- the sums ---- */

#define LOOK "(drop (call $own-pid)) (call $say_u32 (i32.const 1)) (call $recv)"

static struct rusm__ledger next_look(struct world *w, rusm_pid pid) {
    world_expect_u64(w, 1);
    struct rusm__ledger now = seen; /* the guest waits */
    world_send_text(w, pid, "go");
    return now;
}

static void both_sums_follow_the_guest(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        "(table $t 1 funcref)" RUN(
            "(call $hello)" LOOK "(drop (memory.grow (i32.const 16)))" LOOK
            "(call $stash (i32.const 0) (i32.const 1000))" LOOK
            "(drop (call $send-after (call $own-pid) (i64.const 3600000) (i32.const 0)"
            " (i32.const 500)))" LOOK "(drop (call $register (i32.const 4096) (i32.const 4)))" LOOK
            "(drop (table.grow $t (ref.null func) (i32.const 1000)))" LOOK
            "(call $monitor (global.get $to))" LOOK "(drop (call $open (call $own-pid)))" LOOK)
            DATA(4096, "name"));
    struct rusm__ledger at[8];
    for (int i = 0; i < 8; i++)
        at[i] = next_look(w, pid);
    assert_int_equal(at[0].memory_bytes, 2 * 65536);
    assert_int_equal(at[0].max_host_bytes, MIB);
    assert_int_equal(at[0].max_memory_bytes, 64 * MIB);
    assert_in_range(at[0].host_bytes, 512 * 1024, 640 * 1024); /* its stack, mostly */
    assert_int_equal(at[1].memory_bytes, 18 * 65536);
    assert_int_equal(at[1].host_bytes, at[0].host_bytes);
    assert_int_equal(at[2].host_bytes - at[1].host_bytes, 1000 + RUSM__MESSAGE_WEIGHT);
    assert_int_equal(at[3].host_bytes - at[2].host_bytes, 500 + RUSM__WEIGHT_TIMER);
    assert_int_equal(at[4].host_bytes - at[3].host_bytes, RUSM__WEIGHT_WORD);
    assert_int_equal(at[5].host_bytes - at[4].host_bytes, 16000);
    assert_int_equal(at[6].host_bytes - at[5].host_bytes, RUSM__WEIGHT_MONITOR);
    assert_int_equal(at[7].host_bytes - at[6].host_bytes, RUSM__WEIGHT_STREAM_END);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* ---- the bound ---- */

static void what_is_too_much_ends_its_guest(void **state) {
    static const char *const bodies[] = {
        RUN("(call $hello) (loop (call $stash (i32.const 0) (i32.const 65536)) (br 0))"),
        RUN("(call $hello) (loop (drop (call $send-after (global.get $to) (i64.const 3600000)"
            " (i32.const 0) (i32.const 65536))) (br 0))"),
        RUN("(call $hello) (drop (memory.grow (i32.const 16))) (drop (call $open (call $own-pid)))"
            "(loop (drop (call $stream-write " ID " (i32.const 0) (i32.const 600000))) (br 0))"),
        RUN("(call $hello) (loop (call $monitor (global.get $to)) (br 0))"),
        "(table $t 1 funcref)" RUN(
            "(call $hello)"
            "(br_if 0 (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 40000))))"
            "unreachable"),
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        char name[8];
        snprintf(name, sizeof(name), "g%zu", i);
        rusm_pid pid = world_run(w, name, bodies[i]);
        char *text = world_down(w, pid, RUSM_EXIT_CRASHED);
        if (strncmp(text, "memory_limit: ", 14) != 0 || !strstr(text, "`max-host-mb`"))
            fail_msg("%s: \"%s\"", name, text);
        free(text);
    }
    world_expect_log(w, "(`max-host-mb` under [capabilities.test])");
}

static void a_start_whose_tables_do_not_fit_names_the_limit(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a", "(table $t 60000 funcref)" RUN("(call $hello)"));
    world_expect_crash(w, pid, "memory_limit: wanted a table of ");
}

/* Registering has an answer for "no". */
static void names_that_do_not_fit_are_refused(void **state) {
    struct world *w = *state;
    w->profile.max_names = 5000;
    rusm_pid pid = world_run(w, "a",
                             RUN("(local $n i32) (call $hello)"
                                 "(loop"
                                 " (i32.store8 (i32.const 4096) (i32.add (i32.const 48)"
                                 "  (i32.and (local.get $n) (i32.const 63))))"
                                 " (i32.store8 (i32.const 4097) (i32.add (i32.const 48)"
                                 "  (i32.shr_u (local.get $n) (i32.const 6))))"
                                 " (local.set $n (i32.add (local.get $n) (i32.const 1)))"
                                 " (br_if 0 (call $register (i32.const 4096) (i32.const 2))))"
                                 "(call $say_u32 (local.get $n))"));
    assert_in_range(world_u64(w), 500, 1100);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    world_expect_log(w, "no name is registered");
}

/* A supervisor stays as long as the guest, and so does what it knows of children that are down. */
static void supervisors_that_do_not_fit_are_refused(void **state) {
    struct world *w = *state;
    w->profile.max_children = 1000;
    rusm_pid pid = world_run(w, "a",
                             RUN("(local $n i32) (call $hello)"
                                 "(loop"
                                 " (call $supervise (i32.const 0) (i32.const 8192) (i32.const 0)"
                                 "  (i32.const 0) (i32.const 0) (i32.const 1024))"
                                 " (local.set $n (i32.add (local.get $n) (i32.const 1)))"
                                 " (br_if 0 (i32.eqz (i32.load8_u (i32.const 1024)))))"
                                 "(call $say_u32 (local.get $n)) (call $say_spawn_error)"));
    assert_in_range(world_u64(w), 80, 140);
    world_expect(w, "cannot supervise: no more supervisors and children fit into `max-host-mb` "
                    "under [capabilities.test]");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void more_children_than_fit_are_refused_at_once(void **state) {
    struct world *w = *state;
    w->profile.max_children = 2000;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(local $at i32) (call $hello) (local.set $at (i32.const 8192))"
            "(loop" /* 1,500 times the name "a" */
            " (i32.store (local.get $at) (i32.const 4096))"
            " (i32.store offset=4 (local.get $at) (i32.const 1))"
            " (local.set $at (i32.add (local.get $at) (i32.const 8)))"
            " (br_if 0 (i32.lt_u (local.get $at) (i32.const 20192))))"
            "(call $supervise (i32.const 0) (i32.const 8192) (i32.const 1500) (i32.const 0)"
            " (i32.const 0) (i32.const 1024))"
            "(call $say_u32 (i32.load8_u (i32.const 1024))) (call $say_spawn_error)")
            DATA(4096, "a"));
    world_expect_u64(w, 1);
    world_expect(w, "cannot supervise: no more supervisors and children fit into `max-host-mb` "
                    "under [capabilities.test]");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* What others send is theirs: it fills the mailbox, and nobody is ended by it. */
static void mail_of_others_is_not_on_it(void **state) {
    struct world *w = *state;
    static unsigned char mail[MIB];
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $say_u32 (i32.const 1))"
                                 "(call $stash (i32.const 0) (i32.const 1000)) (call $unstash)"
                                 "(call $recv) (call $recv) (call $recv) (call $recv) (call $recv)"
                                 "(call $say_u32 (global.get $len))"));
    world_expect_u64(w, 1);
    for (int i = 0; i < 4; i++)
        world_send(w, pid, mail, sizeof(mail));
    world_expect_u64(w, sizeof(mail));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* What was given back is room again. */
static void room_comes_back(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(local $n i32) (call $hello)"
            "(loop"
            " (call $stash (i32.const 0) (i32.const 60000)) (call $unstash) (call $recv)"
            " (drop (call $cancel-timer (call $send-after (global.get $to) (i64.const 3600000)"
            "  (i32.const 0) (i32.const 60000))))"
            " (local.set $n (i32.add (local.get $n) (i32.const 1)))"
            " (br_if 0 (i32.lt_u (local.get $n) (i32.const 100))))"
            "(call $say_u32 (local.get $n))"));
    world_expect_u64(w, 100);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ledger_test(both_sums_follow_the_guest),
        ledger_test(what_is_too_much_ends_its_guest),
        ledger_test(a_start_whose_tables_do_not_fit_names_the_limit),
        ledger_test(names_that_do_not_fit_are_refused),
        ledger_test(supervisors_that_do_not_fit_are_refused),
        ledger_test(more_children_than_fit_are_refused_at_once),
        ledger_test(mail_of_others_is_not_on_it),
        ledger_test(room_comes_back),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
