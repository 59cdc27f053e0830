/* SPDX-License-Identifier: MIT */
/* The lines that a supervisor writes: each restart, each kill after a grace time, each give-up, a
 * first start that failed. Seen as a program sees them: by a sink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/log.h"
#include "rusm/supervisor.h"

#include "base/clock.h"

enum { PATIENCE_S = 60, LINES_MAX = 8 };

#include "wait.h"

struct scene {
    rusm_runtime *rt;
    /* What supervisors said; written by the log's thread, read after its stop. */
    char lines[LINES_MAX][512];
    unsigned line_count;
    unsigned crashes; /* lines about ends */
};

/* ---- children ---- */

static rusm_step crash_step(rusm_proc *self, void *body) {
    (void)body;
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "first line\nsecond line");
    return RUSM_STEP_EXIT;
}

static rusm_step deaf_step(rusm_proc *self, void *body) {
    (void)body;
    rusm_proc_trap_exit(self, true);
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL)
        rusm_msg_free(msg);
    return RUSM_STEP_WAIT;
}

static const rusm_body_ops crash_ops = {.name = "crash", .step = crash_step};
static const rusm_body_ops deaf_ops = {.name = "deaf", .step = deaf_step};

static int start_body(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    spawn->ops = arg;
    return rusm_proc_spawn(rusm_proc_runtime(self), spawn, out_pid);
}

static int start_nothing(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    (void)self;
    (void)arg;
    (void)spawn;
    (void)out_pid;
    return RUSM_ELIMIT;
}

static rusm_child child_of(const rusm_body_ops *ops) {
    return (rusm_child){
        .size = sizeof(rusm_child), .id = "worker", .start = start_body, .arg = (void *)ops};
}

/* ---- the tests' side ---- */

static void keep(const rusm_log_record *record, void *arg) {
    struct scene *scene = arg;
    const char *level = record->level == RUSM_LOG_ERROR ? "error" : "warn";
    if (strcmp(record->verb, "exit") == 0) {
        scene->crashes++;
    } else {
        if (scene->line_count < LINES_MAX)
            snprintf(scene->lines[scene->line_count], sizeof(scene->lines[0]), "%s %s %s: %s",
                     level, record->who, record->verb, record->text);
        scene->line_count++;
    }
}

static int set_up(void **state) {
    static struct scene scene;
    scene = (struct scene){0};
    rusm_log_options log = {.size = sizeof(log), .sink = keep, .arg = &scene};
    if (rusm_log_start(&log) < 0)
        return -1;
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = 1};
    *state = &scene;
    return rusm_runtime_start(&options, &scene.rt);
}

/* A deaf child is deaf from its first step on. */
static bool is_deaf(rusm_runtime *rt, rusm_supervisor *sup) {
    rusm_child_info child;
    rusm_proc_info *info;
    bool deaf = false;
    if (rusm_supervisor_children(sup, &child, 1) == 1 && child.pid &&
        rusm_pid_info(rt, child.pid, &info) == RUSM_OK) {
        deaf = info->trap_exit;
        rusm_proc_info_free(info);
    }
    return deaf;
}

/* Runs a supervisor to its end, then the lines in order and nothing else. */
static void expect_lines(struct scene *scene, const rusm_supervisor_options *options, bool stops,
                         const char *const *lines) {
    rusm_supervisor *sup;
    rusm_pid pid;
    assert_int_equal(rusm_supervisor_start(scene->rt, options, &pid, &sup), RUSM_OK);
    if (stops) {
        WAIT_FOR(is_deaf(scene->rt, sup));
        assert_int_equal(rusm_supervisor_stop(NULL, sup, UINT64_MAX), RUSM_OK);
    }
    WAIT_FOR(!rusm_pid_is_alive(scene->rt, pid));
    rusm_runtime_stop(scene->rt);
    rusm_supervisor_free(sup);
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    unsigned count = 0;
    for (; lines[count]; count++) {
        assert_true(count < scene->line_count);
        assert_string_equal(scene->lines[count], lines[count]);
    }
    assert_int_equal(scene->line_count, count);
}

static rusm_supervisor_options options_of(const rusm_child *child) {
    return (rusm_supervisor_options){.size = sizeof(rusm_supervisor_options),
                                     .name = "tested",
                                     .budget = {2, 3600 * RUSM__SECOND},
                                     .children = child,
                                     .child_count = 1};
}

static void restarts_and_giving_up(void **state) {
    rusm_child child = child_of(&crash_ops);
    rusm_supervisor_options options = options_of(&child);
    static const char *const lines[] = {
        "warn tested sup: worker crashed; restart 1 of 2 in 3600 s, after 0 ms (first line)",
        "warn tested sup: worker crashed; restart 2 of 2 in 3600 s, after 0 ms (first line)",
        "error tested sup: worker crashed; all given up after 2 restarts in 3600 s (first line)",
        NULL};
    expect_lines(*state, &options, false, lines);
    assert_int_equal(((struct scene *)*state)->crashes, 4); /* three workers and the supervisor */
}

static void restarts_of_a_group(void **state) {
    rusm_child child = child_of(&crash_ops);
    rusm_supervisor_options options = options_of(&child);
    options.strategy = RUSM_ONE_FOR_ALL;
    options.budget = (rusm_budget){1, UINT64_MAX};
    static const char *const lines[] = {
        "warn tested sup: worker crashed; restart of all 1 of 1, after 0 ms (first line)",
        "error tested sup: worker crashed; all given up after 1 restarts (first line)", NULL};
    expect_lines(*state, &options, false, lines);
}

static void one_that_cannot_be_started(void **state) {
    rusm_child child = child_of(&crash_ops);
    child.start = start_nothing;
    rusm_supervisor_options options = options_of(&child);
    static const char *const lines[] = {
        "error tested sup: worker could not be started: a configured limit is reached", NULL};
    expect_lines(*state, &options, false, lines);
}

static void one_that_is_killed_after_its_grace(void **state) {
    rusm_child child = child_of(&deaf_ops);
    child.grace_ns = 20 * RUSM__MS;
    child.restart = RUSM_RESTART_TEMPORARY;
    rusm_supervisor_options options = options_of(&child);
    static const char *const killed[] = {"warn tested sup: worker did not end within 20 ms; killed",
                                         NULL};
    expect_lines(*state, &options, true, killed);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(restarts_and_giving_up),
        TEST(restarts_of_a_group),
        TEST(one_that_cannot_be_started),
        TEST(one_that_is_killed_after_its_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
