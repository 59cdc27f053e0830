/* SPDX-License-Identifier: MIT */
/* Crash reports: what they say, how many are kept, and what a storm of crashes costs. */
#include "unit/hostcall/world.h"

#include "base/mem.h"
#include "sandbox/allowance.h"
#include "sandbox/report.h"

#define LABEL     DATA(4096, "till 7")
#define SET_LABEL "(call $set-label (i32.const 4096) (i32.const 6))"

/* The newest; the caller releases it. */
static const struct rusm__report *latest(struct world *w) {
    const struct rusm__report *report = NULL;
    assert_int_equal(rusm__sandbox_reports(w->sandbox, &report, 1), 1);
    return report;
}

static size_t kept(struct world *w) {
    const struct rusm__report *reports[RUSM__REPORTS_MAX + 1];
    size_t count = rusm__sandbox_reports(w->sandbox, reports, RUSM__REPORTS_MAX + 1);
    for (size_t i = 0; i < count; i++)
        rusm__report_release(reports[i]);
    return count;
}

static void expect_part(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("no \"%s\" in \"%s\"", part, text);
}

static void a_trap_is_reported_with_all_that_is_known(void **state) {
    struct world *w = *state;
    struct rusm__component *component =
        world_guest(w, "boom",
                    "(func $inner unreachable) (func $outer (call $inner))" RUN(
                        "(call $hello)" SET_LABEL "(call $recv) (call $outer)") LABEL);
    rusm_pid pid = world_start(w, component);
    world_send_text(w, pid, "go");
    world_send_text(w, pid, "stays in the mailbox");
    world_expect_crash(w, pid, "unreachable");
    const struct rusm__report *report = latest(w);
    assert_int_equal(report->number, 1);
    assert_int_equal(report->pid, pid);
    assert_string_equal(report->component, "boom");
    assert_string_equal(report->label, "till 7");
    assert_string_equal(report->trap, "unreachable");
    expect_part(report->reason, "unreachable");
    expect_part(report->backtrace, "inner\n");
    expect_part(strstr(report->backtrace, "inner"), "outer\n");
    assert_int_equal(report->memory_bytes, 2 << 16);
    assert_int_equal(report->memory_max_bytes, 64 << 20);
    assert_int_equal(report->restarts, 0);
    assert_int_equal(report->cpu_ns, 0); /* nobody measures it here */
    assert_true(report->mail_depth <= 1);
    assert_true(report->uptime_ns < (uint64_t)PATIENCE_S * 1000000000u);
    assert_true(report->unix_ns > 0);
    char line[96];
    snprintf(line, sizeof(line), "crash  boom#%llu (till 7)  report 1: unreachable, lived ",
             (unsigned long long)pid);
    world_expect_log(w, line);
    world_expect_log(w, ", memory 128 KiB of 64 MiB, host ");
    snprintf(line, sizeof(line), "trace  boom#%llu  0: ", (unsigned long long)pid);
    world_expect_log(w, line);
    rusm__report_release(report);
}

static void each_kind_of_end_has_its_word(void **state) {
    struct world *w = *state;
    static const struct {
        const char *body;
        const char *word;
    } cases[] = {
        {RUN("(call $hello) (drop (i32.load (i32.const -8)))"), "memory-out-of-bounds"},
        {RUN("(call $hello) (drop (i32.div_u (i32.const 1) (i32.const 0)))"), "division-by-zero"},
        {"(func $f (call $f) (call $f))" RUN("(call $f)"), "stack-overflow"},
        {RUN("(call $register-tag (i32.const 4096) (i32.const 0))"), "host-call"},
        {RUN("(drop (i32.trunc_f32_s (f32.const 1e30)))"), "integer-overflow"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char name[8];
        snprintf(name, sizeof(name), "k%zu", i);
        rusm_pid pid = world_run(w, name, cases[i].body);
        world_expect_end(w, pid, RUSM_EXIT_CRASHED);
        const struct rusm__report *report = latest(w);
        assert_string_equal(report->trap, cases[i].word);
        rusm__report_release(report);
    }
}

/* Ended from outside, with a reason that is no kill: a supervisor that gave up, for instance. The
 * guest waits, and its report shows where. */
static void an_end_from_outside_shows_where_the_guest_was(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             "(func $waits (call $recv))" RUN("(call $hello)"
                                                              "(call $say_u32 (i32.const 1))"
                                                              "(call $waits)"));
    world_expect_u64(w, 1);
    assert_int_equal(rusm_pid_exit(w->runtime, pid, RUSM_EXIT_CRASHED, "no more"), RUSM_OK);
    world_expect_crash(w, pid, "no more");
    const struct rusm__report *report = latest(w);
    assert_string_equal(report->reason, "no more");
    assert_string_equal(report->trap, "stopped");
    expect_part(report->backtrace, "waits\n");
    rusm__report_release(report);
}

static void ends_that_are_as_they_should_be_are_not_reported(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a", RUN("(call $hello)"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    pid = world_run(w, "b", RUN("(call $hello) (call $recv)"));
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
    assert_int_equal(kept(w), 0);
    assert_int_equal(rusm__sandbox_crashes(w->sandbox, NULL), 0);
}

/* ---- storms ---- */

static void crash_often(struct world *w, struct rusm__component *component, int times) {
    for (int i = 0; i < times; i++)
        world_expect_end(w, world_start(w, component), RUSM_EXIT_CRASHED);
}

/* All are counted; few are told, and what is told says how many were not. */
static void a_storm_is_counted_and_not_told(void **state) {
    struct world *w = *state;
    enum { STORM = 600 };
    struct rusm__component *boom = world_guest(w, "boom", RUN("(call $hello) unreachable"));
    crash_often(w, boom, STORM);
    uint64_t untold;
    assert_int_equal(rusm__sandbox_crashes(w->sandbox, &untold), STORM);
    /* A slow machine earns more of them. */
    size_t told = world_log_count(w, ": unreachable, lived ");
    assert_true(told >= RUSM__REPORTS_AT_ONCE);
    assert_int_equal(told + untold, STORM);
    assert_int_equal(world_log_count(w, "exit   boom#"), told);
    assert_int_equal(kept(w), RUSM__REPORTS_OF_COMPONENT_MAX);
    /* Another's crash is told as ever. */
    rusm_pid pid = world_run(w, "other", RUN("(call $hello) unreachable"));
    world_expect_end(w, pid, RUSM_EXIT_CRASHED);
    const struct rusm__report *report = latest(w);
    assert_string_equal(report->component, "other");
    assert_int_equal(report->untold, 0);
    rusm__report_release(report);
}

static void what_was_not_told_is_told_with_the_next(void **state) {
    struct world *w = *state;
    struct rusm__component *boom = world_guest(w, "boom", RUN("(call $hello) unreachable"));
    uint64_t untold = 0;
    for (int i = 0; i < 10000 && untold == 0; i++) {
        crash_often(w, boom, 1);
        rusm__sandbox_crashes(w->sandbox, &untold);
    }
    assert_int_equal(untold, 1);
    usleep(200000); /* one more report is earned */
    crash_often(w, boom, 1);
    const struct rusm__report *report = latest(w);
    assert_int_equal(report->untold, 1);
    rusm__report_release(report);
    world_expect_log(w, "crash  boom  1 more crashes, too many at once to be told one by one");
}

static void kept_reports_have_bounds(void **state) {
    struct world *w = *state;
    for (int i = 0; i < RUSM__REPORTS_MAX + 6; i++) {
        char name[8];
        snprintf(name, sizeof(name), "c%d", i);
        world_expect_end(w, world_run(w, name, RUN("(call $hello) unreachable")),
                         RUSM_EXIT_CRASHED);
    }
    const struct rusm__report *reports[RUSM__REPORTS_MAX + 1];
    assert_int_equal(rusm__sandbox_reports(w->sandbox, reports, RUSM__REPORTS_MAX + 1),
                     RUSM__REPORTS_MAX);
    size_t bytes = 0;
    for (int i = 0; i < RUSM__REPORTS_MAX; i++) { /* the newest first */
        assert_int_equal(reports[i]->number, RUSM__REPORTS_MAX + 6 - i);
        bytes += reports[i]->bytes;
        rusm__report_release(reports[i]);
    }
    assert_true(bytes <= RUSM__REPORTS_MAX_BYTES);
}

/* So many at once, then one an interval. */
static void an_allowance_is_spent_and_earned(void **state) {
    (void)state;
    struct rusm__allowance allowance = {0};
    for (int i = 0; i < 3; i++)
        assert_true(rusm__allowance_take(&allowance, 1000, 100, 3));
    assert_false(rusm__allowance_take(&allowance, 1000, 100, 3));
    assert_false(rusm__allowance_take(&allowance, 1099, 100, 3));
    assert_true(rusm__allowance_take(&allowance, 1100, 100, 3));
    assert_false(rusm__allowance_take(&allowance, 1100, 100, 3));
    for (int i = 0; i < 3; i++)
        assert_true(rusm__allowance_take(&allowance, 9000, 100, 3));
    assert_false(rusm__allowance_take(&allowance, 9000, 100, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(a_trap_is_reported_with_all_that_is_known),
        world_test(each_kind_of_end_has_its_word),
        world_test(an_end_from_outside_shows_where_the_guest_was),
        world_test(ends_that_are_as_they_should_be_are_not_reported),
        world_test(a_storm_is_counted_and_not_told),
        world_test(what_was_not_told_is_told_with_the_next),
        world_test(kept_reports_have_bounds),
        cmocka_unit_test(an_allowance_is_spent_and_earned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
