/* SPDX-License-Identifier: MIT */
/* Monitors: one DOWN each, exactly once, with the reason; none after a demonitor. */
#include "unit/proc/puppet.h"

#include "proc/proc_impl.h"
#include "quiet.h"

#include "unit/proc/fixture.h"

static void assert_down(struct puppet_mail mail, rusm_pid from, uint64_t ref, rusm_exit_kind kind,
                        const char *text) {
    assert_int_equal(mail.kind, RUSM_MSG_DOWN);
    assert_true(mail.from == from);
    assert_true(mail.ref == ref);
    assert_int_equal(mail.exit_kind, kind);
    assert_string_equal(mail.text, text);
    assert_int_equal(mail.len, strlen(text));
}

/* No more mail than `count` came, now or soon. */
static void assert_no_more(struct puppet *puppet, size_t count) {
    WAIT_FOR(quiet_since_last_call()); /* whatever is on its way has arrived */
    puppet_settle(puppet);
    assert_int_equal(puppet_mail_count(puppet), count);
}

static uint32_t monitors_on(rusm_pid pid) {
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, pid, &info), RUSM_OK);
    uint32_t count = info->monitors;
    rusm_proc_info_free(info);
    return count;
}

static void down_says_how_it_ended(void **state) {
    static const struct puppet_end ends[] = {{RUSM_EXIT_NORMAL, NULL},
                                             {RUSM_EXIT_NORMAL, "done"},
                                             {RUSM_EXIT_CRASHED, "it broke"},
                                             {RUSM_EXIT_CRASHED, ""},
                                             {RUSM_EXIT_KILLED, "by me"}};
    (void)state;
    static struct puppet watcher;
    puppet_start(&watcher, rt);
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        static struct puppet target;
        puppet_start(&target, rt);
        uint64_t ref = puppet_monitor(&watcher, target.pid);
        rusm_pid pid = target.pid;
        puppet_end_with(&target, ends[i].kind, ends[i].text);
        assert_down(puppet_wait_mail(&watcher, i), pid, ref, ends[i].kind,
                    ends[i].text ? ends[i].text : "");
    }
    assert_no_more(&watcher, sizeof(ends) / sizeof(ends[0]));
}

static void down_cuts_a_long_reason(void **state) {
    static char text[6000];
    (void)state;
    static struct puppet watcher, target;
    memset(text, 'r', sizeof(text) - 1);
    puppet_start(&watcher, rt);
    puppet_start(&target, rt);
    puppet_monitor(&watcher, target.pid);
    puppet_end_with(&target, RUSM_EXIT_CRASHED, text);
    assert_int_equal(puppet_wait_mail(&watcher, 0).len, 4096);
}

static void down_of_the_dead_is_noproc(void **state) {
    (void)state;
    static struct puppet watcher, target;
    puppet_start(&watcher, rt);
    puppet_start(&target, rt);
    rusm_pid pid = target.pid;
    puppet_end_with(&target, RUSM_EXIT_NORMAL, NULL);
    const rusm_pid nobody[] = {pid, 0, 123456789, UINT64_MAX};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t ref = puppet_monitor(&watcher, nobody[i]);
        assert_down(puppet_wait_mail(&watcher, i), nobody[i], ref, RUSM_EXIT_NOPROC, "");
    }
    assert_no_more(&watcher, 4);
}

struct question {
    uint64_t ref;
    rusm_pid answer;
};

static rusm_step ask_monitored(rusm_proc *self, void *arg) {
    struct question *question = arg;
    question->answer = rusm_proc_monitored(self, question->ref);
    return RUSM_STEP_WAIT;
}

static rusm_pid monitored(struct puppet *puppet, uint64_t ref) {
    struct question question = {ref, 1};
    puppet_do(puppet, ask_monitored, &question);
    return question.answer;
}

static void monitor_knows_whom_it_is_for(void **state) {
    (void)state;
    static struct puppet watcher, target;
    puppet_start(&watcher, rt);
    puppet_start(&target, rt);
    assert_true(monitored(&watcher, 1) == 0);
    uint64_t ref = puppet_monitor(&watcher, target.pid);
    assert_true(monitored(&watcher, ref) == target.pid);
    assert_true(monitored(&watcher, ref + 1) == 0);
    puppet_end_with(&target, RUSM_EXIT_NORMAL, NULL);
    puppet_wait_mail(&watcher, 0);
    assert_true(monitored(&watcher, ref) == 0);
}

static void down_comes_once_for_each_monitor(void **state) {
    enum { WATCHERS = 5, EACH = 8 };
    (void)state;
    static struct puppet watchers[WATCHERS], target;
    uint64_t refs[WATCHERS][EACH];
    puppet_start(&target, rt);
    for (unsigned w = 0; w < WATCHERS; w++) {
        puppet_start(&watchers[w], rt);
        for (unsigned i = 0; i < EACH; i++) {
            refs[w][i] = puppet_monitor(&watchers[w], target.pid);
        }
    }
    puppet_settle(&target);
    assert_int_equal(monitors_on(target.pid), WATCHERS * EACH);
    puppet_end_with(&target, RUSM_EXIT_CRASHED, "all");
    for (unsigned w = 0; w < WATCHERS; w++) {
        puppet_wait_mail(&watchers[w], EACH - 1);
        assert_no_more(&watchers[w], EACH);
        for (unsigned i = 0; i < EACH; i++) {
            unsigned times = 0;
            for (unsigned k = 0; k < EACH; k++) {
                times += watchers[w].mail[k].ref == refs[w][i];
            }
            assert_int_equal(times, 1);
        }
    }
}

static void monitor_oneself_is_harmless(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    puppet_monitor(&puppet, puppet.pid);
    puppet_settle(&puppet);
    puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);
}

static void watcher_that_ends_takes_its_monitors_along(void **state) {
    (void)state;
    static struct puppet watcher, target;
    puppet_start(&watcher, rt);
    puppet_start(&target, rt);
    for (unsigned i = 0; i < 20; i++) {
        puppet_monitor(&watcher, target.pid);
    }
    puppet_settle(&target);
    assert_int_equal(monitors_on(target.pid), 20);
    puppet_end_with(&watcher, RUSM_EXIT_NORMAL, NULL);
    WAIT_FOR(monitors_on(target.pid) == 0);
}

/* ---- demonitor ---- */

static rusm_step demonitor(rusm_proc *self, void *arg) {
    rusm_proc_demonitor(self, *(uint64_t *)arg);
    return RUSM_STEP_WAIT;
}

static void demonitor_before_the_end(void **state) {
    (void)state;
    static struct puppet watcher, target;
    puppet_start(&watcher, rt);
    puppet_start(&target, rt);
    uint64_t first = puppet_monitor(&watcher, target.pid);
    uint64_t second = puppet_monitor(&watcher, target.pid);
    puppet_do(&watcher, demonitor, &first);
    puppet_do(&watcher, demonitor, &first); /* unknown by now */
    puppet_settle(&target);
    assert_int_equal(monitors_on(target.pid), 1);
    rusm_pid pid = target.pid;
    puppet_end_with(&target, RUSM_EXIT_NORMAL, NULL);
    assert_down(puppet_wait_mail(&watcher, 0), pid, second, RUSM_EXIT_NORMAL, "");
    assert_no_more(&watcher, 1);
}

/* The DOWN is already on its way or waits in the mailbox: it is taken out. */
struct late {
    rusm_pid target;
    uint64_t ref;
    bool received_between;
    unsigned others; /* messages that must stay */
    unsigned downs;
};

static rusm_step demonitor_late(rusm_proc *self, void *arg) {
    struct late *late = arg;
    rusm_pid_kill(rusm_proc_runtime(self), late->target);
    while (rusm_pid_is_alive(rusm_proc_runtime(self), late->target)) {
    }
    const struct timespec pause = {.tv_nsec = 3000000}; /* for the DOWN to arrive */
    nanosleep(&pause, NULL);
    if (late->received_between) { /* pulls what is new into the own list */
        rusm_msg_free(rusm_proc_receive(self));
    }
    rusm_proc_demonitor(self, late->ref);
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        late->downs += rusm_msg_get_kind(msg) == RUSM_MSG_DOWN;
        late->others += rusm_msg_get_kind(msg) == RUSM_MSG_DATA;
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static rusm_step late_with_mail(rusm_proc *self, void *arg) {
    (void)send_text(rusm_proc_runtime(self), rusm_proc_pid(self), "own");
    (void)send_text(rusm_proc_runtime(self), rusm_proc_pid(self), "own");
    return demonitor_late(self, arg);
}

/* The home of a pinned process that lives. */
static uint16_t home_of(rusm_pid pid) {
    rusm__qs_enter(&rt->qs);
    uint16_t home = rusm__table_find(&rt->procs->table, pid)->task.home;
    rusm__qs_exit(&rt->qs);
    return home;
}

static void start_pinned(struct puppet *puppet) {
    puppet_prepare(puppet, rt);
    rusm_spawn_options options = puppet_options(puppet);
    options.flags = RUSM_SPAWN_PINNED;
    assert_int_equal(rusm_proc_spawn(rt, &options, &puppet->pid), RUSM_OK);
}

static void demonitor_takes_a_queued_down_out(void **state) {
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        static struct puppet watcher, target;
        start_pinned(&watcher);
        start_pinned(&target);
        while (home_of(target.pid) ==
               home_of(watcher.pid)) { /* it is to end in mid-step of the other */
            puppet_end_with(&target, RUSM_EXIT_NORMAL, NULL);
            start_pinned(&target);
        }
        struct late late = {.target = target.pid, .received_between = i % 2};
        late.ref = puppet_monitor(&watcher, target.pid);
        puppet_settle(&target);
        puppet_do(&watcher, i % 4 < 2 ? late_with_mail : demonitor_late, &late);
        puppet_wait_end(&target);
        assert_no_more(&watcher, 0);
        assert_int_equal(late.downs, 0);
        assert_int_equal(late.others, i % 4 < 2 ? 2 - i % 2 : 0);
        puppet_end_with(&watcher, RUSM_EXIT_NORMAL, NULL);
    }
}

/* ---- references that are not monitors' ---- */

struct mixed {
    struct puppet *child;
    rusm_pid foreign_pid;
    uint64_t foreign; /* of another process */
    uint64_t ref;
    uint64_t chosen;
    int of_chosen, of_foreign, of_own, again;
};

static void spawn_watched(rusm_proc *self, struct mixed *mixed) {
    puppet_prepare(mixed->child, rt);
    rusm_spawn_options options = puppet_options(mixed->child);
    options.monitor_by = rusm_proc_pid(self);
    options.monitor_ref = mixed->chosen;
    assert_int_equal(rusm_proc_spawn(rt, &options, &mixed->child->pid), RUSM_OK);
}

static rusm_step demonitor_others(rusm_proc *self, void *arg) {
    struct mixed *mixed = arg;
    mixed->chosen = 7;
    spawn_watched(self, mixed);
    rusm_pid_kill(rt, mixed->child->pid);
    while (rusm_pid_is_alive(rt, mixed->child->pid)) {
    }
    nap_ms(3); /* for the DOWN to arrive */
    assert_int_equal(rusm_proc_monitor(self, rusm_proc_pid(self), &mixed->ref), RUSM_OK);
    (void)send_text(rt, rusm_proc_pid(self), "pulls it into the own list");
    rusm_msg_free(rusm__proc_receive_kinds(self, RUSM__KIND(RUSM_MSG_DATA)));
    mixed->of_chosen = rusm_proc_demonitor(self, 7);
    mixed->of_foreign = rusm_proc_demonitor(self, mixed->foreign);
    mixed->of_own = rusm_proc_demonitor(self, mixed->ref);
    mixed->again = rusm_proc_demonitor(self, mixed->ref);
    return RUSM_STEP_WAIT;
}

static void demonitor_knows_only_own_monitors(void **state) {
    (void)state;
    static struct puppet watcher, other, target, child;
    puppet_start(&watcher, rt);
    puppet_start(&other, rt);
    puppet_start(&target, rt);
    struct mixed mixed = {.child = &child, .foreign = puppet_monitor(&other, target.pid)};
    puppet_do(&watcher, demonitor_others, &mixed);
    assert_int_equal(mixed.of_chosen, RUSM_ENOTFOUND);
    assert_int_equal(mixed.of_foreign, RUSM_ENOTFOUND);
    assert_int_equal(mixed.of_own, RUSM_OK);
    assert_int_equal(mixed.again, RUSM_ENOTFOUND);
    assert_down(puppet_wait_mail(&watcher, 0), child.pid, 7, RUSM_EXIT_KILLED, "");
    assert_no_more(&watcher, 1);
    rusm_pid pid = target.pid;
    puppet_end_with(&target, RUSM_EXIT_NORMAL, NULL);
    assert_down(puppet_wait_mail(&other, 0), pid, mixed.foreign, RUSM_EXIT_NORMAL, "");
}

/* The spawner chose the very reference that its next monitor gets, on the same target. */
static rusm_step monitor_twice_by_one_name(rusm_proc *self, void *arg) {
    struct mixed *mixed = arg;
    uint64_t before;
    assert_int_equal(rusm_proc_monitor(self, rusm_proc_pid(self), &before), RUSM_OK);
    mixed->chosen = before + 1;
    spawn_watched(self, mixed);
    assert_int_equal(rusm_proc_monitor(self, mixed->child->pid, &mixed->ref), RUSM_OK);
    assert_true(mixed->ref == mixed->chosen);
    mixed->of_own = rusm_proc_demonitor(self, mixed->ref);
    return RUSM_STEP_WAIT;
}

static void demonitor_leaves_a_namesake(void **state) {
    (void)state;
    static struct puppet watcher, child;
    puppet_start(&watcher, rt);
    struct mixed mixed = {.child = &child};
    puppet_do(&watcher, monitor_twice_by_one_name, &mixed);
    assert_int_equal(mixed.of_own, RUSM_OK);
    puppet_settle(&child);
    assert_int_equal(monitors_on(child.pid), 1);
    rusm_pid pid = child.pid;
    puppet_end_with(&child, RUSM_EXIT_CRASHED, "mine");
    assert_down(puppet_wait_mail(&watcher, 0), pid, mixed.chosen, RUSM_EXIT_CRASHED, "mine");
    assert_no_more(&watcher, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(down_says_how_it_ended),
        TEST(down_cuts_a_long_reason),
        TEST(down_of_the_dead_is_noproc),
        TEST(monitor_knows_whom_it_is_for),
        TEST(down_comes_once_for_each_monitor),
        TEST(monitor_oneself_is_harmless),
        TEST(watcher_that_ends_takes_its_monitors_along),
        TEST(demonitor_before_the_end),
        TEST(demonitor_takes_a_queued_down_out),
        TEST(demonitor_knows_only_own_monitors),
        TEST(demonitor_leaves_a_namesake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
