/* SPDX-License-Identifier: MIT */
/* The watchdog tells of a body that does not yield, once, and of nobody else; it sleeps with the
 * schedulers. Bodies can ask whether they should yield. */
#include "unit/proc/puppet.h"

#include "rusm/log.h"

#include "proc/proc_impl.h"

static rusm_runtime *start_watched(uint32_t schedulers, uint32_t watchdog_ms) {
    rusm_runtime_options options = {
        .size = sizeof(options), .schedulers = schedulers, .watchdog_ms = watchdog_ms};
    rusm_runtime *rt;
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_OK);
    return rt;
}

struct hog {
    _Atomic bool running;
    _Atomic bool stop;
    _Atomic uint64_t steps;
};

static rusm_step spin(rusm_proc *self, void *body) {
    struct hog *hog = body;
    (void)self;
    atomic_store(&hog->running, true);
    while (!atomic_load(&hog->stop)) {
        nap_ms(1); /* whether it computes or blocks is the same to those behind it */
    }
    return RUSM_STEP_EXIT;
}

/* On the log's thread; read after a flush. */
static void keep(const rusm_log_record *record, void *arg) {
    if (strcmp(record->verb, "stuck") == 0)
        snprintf(arg, 128, "%d %s %.100s", record->level, record->who, record->text);
}

static void watchdog_tells_once_with_pid_and_label(void **state) {
    static const rusm_body_ops ops = {.name = "hog", .step = spin};
    (void)state;
    static char text[128];
    rusm_log_options log = {.size = sizeof(log), .sink = keep, .arg = text};
    assert_int_equal(rusm_log_start(&log), RUSM_OK);
    rusm_runtime *rt = start_watched(1, 20); /* no other scheduler could look */
    struct hog hog = {0};
    rusm_spawn_options options = {
        .size = sizeof(options), .ops = &ops, .body = &hog, .label = "glutton"};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(stats_of(rt).stuck == 1);
    nap_ms(100);
    assert_true(stats_of(rt).stuck == 1);
    assert_int_equal(rusm_log_flush(UINT64_MAX), RUSM_OK);
    char expected[64];
    snprintf(expected, sizeof(expected), "2 glutton #%llu has not yielded for ",
             (unsigned long long)pid);
    assert_memory_equal(text, expected, strlen(expected));
    atomic_store(&hog.stop, true);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    atomic_store(&hog.stop, false); /* the next offence is another one */
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(stats_of(rt).stuck == 2);
    atomic_store(&hog.stop, true);
    assert_int_equal(rusm_runtime_stop_within(rt, 0, NULL), RUSM_OK);
    assert_int_equal(rusm_log_stop(), RUSM_OK);
}

static rusm_step go_on(rusm_proc *self, void *body) {
    struct hog *hog = body;
    (void)self;
    atomic_fetch_add(&hog->steps, 1);
    return RUSM_STEP_AGAIN;
}

static void watchdog_bears_who_yields(void **state) {
    static const rusm_body_ops ops = {.name = "busy", .step = go_on};
    (void)state;
    /* Far more than a loaded machine keeps a thread waiting. */
    rusm_runtime *rt = start_watched(1, 20000);
    struct hog hog = {0};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &hog};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&hog.steps) > 100000);
    assert_true(stats_of(rt).stuck == 0);
    assert_int_equal(rusm_runtime_stop(rt), 1);
}

static void watchdog_can_be_off(void **state) {
    static const rusm_body_ops ops = {.name = "hog", .step = spin};
    (void)state;
    rusm_runtime *rt = start_watched(1, RUSM_WATCHDOG_OFF);
    struct hog hog = {0};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &hog};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&hog.running));
    nap_ms(20);
    assert_true(stats_of(rt).stuck == 0);
    assert_false(atomic_load(&rt->watchdog_sleeps));
    atomic_store(&hog.stop, true);
    rusm_runtime_stop(rt);
}

static void watchdog_sleeps_when_nothing_runs(void **state) {
    (void)state;
    rusm_runtime *rt = start_watched(2, 4);
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    for (unsigned i = 0; i < 5; i++) {
        WAIT_FOR(atomic_load(&rt->watchdog_sleeps));
        puppet_settle(&puppet);                      /* whoever wakes up wakes it ... */
        WAIT_FOR(atomic_load(&rt->watchdog_sleeps)); /* ... and it goes back to sleep */
    }
    puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);
    rusm_runtime_stop(rt);
}

static void watchdogs_come_and_go(void **state) {
    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        rusm_runtime *rt = start_watched(2, 1);
        static struct puppet puppet;
        puppet_start(&puppet, rt);
        if (i % 3) {
            puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);
        } else {
            assert_true(rusm_pid_kill(rt, puppet.pid));
            puppet_wait_end(&puppet);
        }
        rusm_runtime_stop(rt);
    }
}

/* ---- rusm_proc_should_yield ---- */

struct worker {
    _Atomic unsigned turns;
    _Atomic bool killed_seen;
    rusm_pid pid;
};

static rusm_step work(rusm_proc *self, void *body) {
    struct worker *worker = body;
    while (!rusm_proc_should_yield(self)) {
    }
    atomic_fetch_add(&worker->turns, 1);
    return RUSM_STEP_AGAIN;
}

static rusm_step work_until_killed(rusm_proc *self, void *body) {
    struct worker *worker = body;
    rusm_pid_kill(rusm_proc_runtime(self), rusm_proc_pid(self));
    atomic_store(&worker->killed_seen, rusm_proc_should_yield(self)); /* at the first question */
    return RUSM_STEP_AGAIN;
}

static void should_yield_when_others_wait(void **state) {
    static const rusm_body_ops ops = {.name = "worker", .step = work};
    static const rusm_body_ops doomed_ops = {.name = "doomed", .step = work_until_killed};
    (void)state;
    rusm_runtime *rt = start_watched(1, 0);
    struct worker workers[2] = {{0}, {0}}, doomed = {0};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops};
    for (unsigned i = 0; i < 2; i++) {
        options.body = &workers[i];
        assert_int_equal(rusm_proc_spawn(rt, &options, &workers[i].pid), RUSM_OK);
    }
    WAIT_FOR(atomic_load(&workers[0].turns) > 100 && atomic_load(&workers[1].turns) > 100);
    options.ops = &doomed_ops;
    options.body = &doomed;
    assert_int_equal(rusm_proc_spawn(rt, &options, &doomed.pid), RUSM_OK);
    WAIT_FOR(rusm_runtime_process_count(rt) == 2);
    assert_true(atomic_load(&doomed.killed_seen));
    rusm_runtime_stop(rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watchdog_tells_once_with_pid_and_label),
        cmocka_unit_test(watchdog_bears_who_yields),
        cmocka_unit_test(watchdog_can_be_off),
        cmocka_unit_test(watchdog_sleeps_when_nothing_runs),
        cmocka_unit_test(watchdogs_come_and_go),
        cmocka_unit_test(should_yield_when_others_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
