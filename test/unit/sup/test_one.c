/* SPDX-License-Identifier: MIT */
/* A supervisor with native children that fall on request. What it says about itself is counted
 * under a mutex and waited for with a deadline that only a hang can reach. */
#include "sup/one.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/process.h"

#include "base/clock.h"

enum { HANG_S = 30 };

struct watch {
    rusm_runtime *rt;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned ups, downs, ended, given_up; /* guarded by lock, as all below */
    int code;
    rusm_pid child;
    int start_code;      /* what the next starts answer */
    unsigned fail_after; /* starts that succeed before start_code counts */
    unsigned starts;
    rusm_exit_kind fall; /* how children end when they get mail */
};

/* ---- the child: ends at its first mail as the watch says ---- */

static rusm_step child_step(rusm_proc *self, void *body) {
    struct watch *watch = body;
    rusm_msg *msg = rusm_proc_receive(self);
    if (!msg)
        return RUSM_STEP_WAIT;
    rusm_msg_free(msg);
    pthread_mutex_lock(&watch->lock);
    rusm_exit_kind fall = watch->fall;
    pthread_mutex_unlock(&watch->lock);
    rusm_proc_set_exit(self, fall, "asked to");
    return RUSM_STEP_EXIT;
}

static const rusm_body_ops child_ops = {.name = "child", .step = child_step};

static int start_child(void *data, rusm_pid supervisor, uint64_t ref, rusm_pid *out_pid) {
    struct watch *watch = data;
    pthread_mutex_lock(&watch->lock);
    int code = watch->starts++ < watch->fail_after ? RUSM_OK : watch->start_code;
    pthread_mutex_unlock(&watch->lock);
    if (code < 0)
        return code;
    rusm_spawn_options options = {
        .size = sizeof(options),
        .ops = &child_ops,
        .body = watch,
        .monitor_by = supervisor,
        .monitor_ref = ref,
    };
    code = rusm_proc_spawn(watch->rt, &options, out_pid);
    pthread_mutex_lock(&watch->lock);
    watch->child = *out_pid;
    pthread_mutex_unlock(&watch->lock);
    return code;
}

static void on_change(void *data, enum rusm__sup_state state, int code) {
    struct watch *watch = data;
    pthread_mutex_lock(&watch->lock);
    watch->ups += state == RUSM__SUP_UP;
    watch->downs += state == RUSM__SUP_DOWN;
    watch->ended += state == RUSM__SUP_ENDED;
    watch->given_up += state == RUSM__SUP_GIVEN_UP;
    watch->code = code;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}

/* ---- the tests' side ---- */

static void wait_for(struct watch *watch, const unsigned *count, unsigned wanted) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HANG_S;
    pthread_mutex_lock(&watch->lock);
    int error = 0;
    while (*count < wanted && error == 0)
        error = pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
    unsigned got = *count;
    pthread_mutex_unlock(&watch->lock);
    assert_int_equal(got, wanted);
}

static rusm_pid child_of(struct watch *watch) {
    pthread_mutex_lock(&watch->lock);
    rusm_pid pid = watch->child;
    pthread_mutex_unlock(&watch->lock);
    return pid;
}

static void wait_until_gone(rusm_runtime *rt, rusm_pid pid) {
    for (unsigned i = 0; i < HANG_S * 1000 && rusm_pid_is_alive(rt, pid); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_false(rusm_pid_is_alive(rt, pid));
}

static void tell_to_fall(struct watch *watch) {
    rusm_msg *msg;
    assert_int_equal(rusm_msg_copy("x", 1, &msg), RUSM_OK);
    assert_int_equal(rusm_msg_send(watch->rt, child_of(watch), msg), RUSM_OK);
}

static rusm_pid supervise(struct watch *watch, enum rusm__sup_type type) {
    struct rusm__sup_policy policy = rusm__sup_default_policy(type);
    policy.delay_ns = RUSM__MS;
    policy.window_ns = 3600 * RUSM__SECOND; /* so that a slow machine cannot refill the budget */
    struct rusm__sup_child child = {"victim", start_child, on_change, watch};
    rusm_pid pid;
    assert_int_equal(rusm__sup_one_start(watch->rt, &child, &policy, &pid), RUSM_OK);
    return pid;
}

static int set_up(void **state) {
    static struct watch watch;
    watch = (struct watch){.fail_after = UINT32_MAX, .fall = RUSM_EXIT_CRASHED};
    pthread_mutex_init(&watch.lock, NULL);
    pthread_cond_init(&watch.changed, NULL);
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = 2};
    *state = &watch;
    return rusm_runtime_start(&options, &watch.rt);
}

static int tear_down(void **state) {
    struct watch *watch = *state;
    rusm_runtime_stop(watch->rt);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    return 0;
}

static void crashed_child_is_started_again(void **state) {
    struct watch *watch = *state;
    supervise(watch, RUSM__SUP_TRANSIENT);
    wait_for(watch, &watch->ups, 1);
    rusm_pid first = child_of(watch);
    tell_to_fall(watch);
    wait_for(watch, &watch->ups, 2);
    assert_int_not_equal(child_of(watch), first);
    assert_true(rusm_pid_is_alive(watch->rt, child_of(watch)));
}

static void killed_child_is_started_again(void **state) {
    struct watch *watch = *state;
    supervise(watch, RUSM__SUP_TRANSIENT);
    wait_for(watch, &watch->ups, 1);
    assert_true(rusm_pid_kill(watch->rt, child_of(watch)));
    wait_for(watch, &watch->ups, 2);
}

static void gives_up_when_the_budget_is_used_up(void **state) {
    struct watch *watch = *state;
    rusm_pid supervisor = supervise(watch, RUSM__SUP_PERMANENT);
    for (unsigned i = 1; i <= 4; i++) {
        wait_for(watch, &watch->ups, i);
        tell_to_fall(watch);
    }
    wait_for(watch, &watch->given_up, 1);
    assert_int_equal(watch->ups, 4);
    assert_int_equal(watch->downs, 3);
    wait_until_gone(watch->rt, supervisor);
}

static void normal_end_ends_a_transient_child(void **state) {
    struct watch *watch = *state;
    watch->fall = RUSM_EXIT_NORMAL;
    rusm_pid supervisor = supervise(watch, RUSM__SUP_TRANSIENT);
    wait_for(watch, &watch->ups, 1);
    tell_to_fall(watch);
    wait_for(watch, &watch->ended, 1);
    wait_until_gone(watch->rt, supervisor);
    assert_int_equal(watch->ups, 1);
}

static void killed_supervisor_takes_its_child_along(void **state) {
    struct watch *watch = *state;
    rusm_pid supervisor = supervise(watch, RUSM__SUP_PERMANENT);
    wait_for(watch, &watch->ups, 1);
    rusm_pid child = child_of(watch);
    assert_true(rusm_pid_kill(watch->rt, supervisor));
    wait_until_gone(watch->rt, supervisor);
    wait_until_gone(watch->rt, child);
    assert_int_equal(watch->ups, 1);
}

static void failed_first_start_is_reported_and_not_tried_again(void **state) {
    struct watch *watch = *state;
    watch->fail_after = 0;
    watch->start_code = RUSM_ELIMIT;
    rusm_pid supervisor = supervise(watch, RUSM__SUP_PERMANENT);
    wait_for(watch, &watch->given_up, 1);
    assert_int_equal(watch->code, RUSM_ELIMIT);
    wait_until_gone(watch->rt, supervisor);
    assert_int_equal(watch->starts, 1);
}

static void failed_restart_counts_as_a_fall(void **state) {
    struct watch *watch = *state;
    watch->fail_after = 1;
    watch->start_code = RUSM_ENOMEM;
    supervise(watch, RUSM__SUP_TRANSIENT);
    wait_for(watch, &watch->ups, 1);
    tell_to_fall(watch);
    wait_for(watch, &watch->given_up, 1);
    assert_int_equal(watch->starts, 4); /* the first, and three restarts that failed */
    assert_int_equal(watch->code, RUSM_ENOMEM);
}

static void mail_of_strangers_means_nothing(void **state) {
    struct watch *watch = *state;
    rusm_pid supervisor = supervise(watch, RUSM__SUP_TRANSIENT);
    wait_for(watch, &watch->ups, 1);
    for (unsigned i = 0; i < 100; i++) {
        rusm_msg *msg;
        assert_int_equal(rusm_msg_copy("noise", 5, &msg), RUSM_OK);
        assert_int_equal(rusm_msg_send(watch->rt, supervisor, msg), RUSM_OK);
    }
    tell_to_fall(watch);
    wait_for(watch, &watch->ups, 2);
    assert_true(rusm_pid_is_alive(watch->rt, supervisor));
}

static void too_many_restarts_are_refused(void **state) {
    struct watch *watch = *state;
    struct rusm__sup_policy policy = rusm__sup_default_policy(RUSM__SUP_PERMANENT);
    policy.max_restarts = RUSM__SUP_MAX_RESTARTS + 1;
    struct rusm__sup_child child = {"victim", start_child, on_change, watch};
    rusm_pid pid = 1;
    assert_int_equal(rusm__sup_one_start(watch->rt, &child, &policy, &pid), RUSM_EINVAL);
    assert_int_equal(pid, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(crashed_child_is_started_again),
        TEST(killed_child_is_started_again),
        TEST(gives_up_when_the_budget_is_used_up),
        TEST(normal_end_ends_a_transient_child),
        TEST(killed_supervisor_takes_its_child_along),
        TEST(failed_first_start_is_reported_and_not_tried_again),
        TEST(failed_restart_counts_as_a_fall),
        TEST(mail_of_strangers_means_nothing),
        TEST(too_many_restarts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
