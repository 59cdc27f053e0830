/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/thread.h"

static void *note_mask(void *arg) {
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return arg;
}

static void thread_begins_with_all_signals_blocked(void **state) {
    (void)state;
    sigset_t seen, before, after;
    pthread_t thread;
    sigemptyset(&seen);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(rusm__thread_start(&thread, "of-a-test", note_mask, &seen), RUSM_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    void *result;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &seen);
    assert_true(sigismember(&seen, SIGTERM) && sigismember(&seen, SIGINT));
    assert_true(sigismember(&seen, SIGCHLD) && sigismember(&seen, SIGPIPE));
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool is_open;
};

static void gate_init(struct gate *gate) {
    pthread_mutex_init(&gate->lock, NULL);
    rusm__cond_init_monotonic(&gate->opened);
    gate->is_open = false;
}

static void gate_fini(struct gate *gate) {
    pthread_cond_destroy(&gate->opened);
    pthread_mutex_destroy(&gate->lock);
}

static void *wait_at_gate(void *arg) {
    struct gate *gate = arg;
    pthread_mutex_lock(&gate->lock);
    while (!gate->is_open && rusm__cond_wait_until(&gate->opened, &gate->lock, RUSM__NEVER)) {
    }
    pthread_mutex_unlock(&gate->lock);
    return gate->is_open ? gate : NULL;
}

static void thread_has_its_name(void **state) {
    (void)state;
    struct gate gate;
    pthread_t thread;
    char name[16] = "";
    gate_init(&gate);
    assert_int_equal(rusm__thread_start(&thread, "fifteen-letters", wait_at_gate, &gate), RUSM_OK);
    assert_int_equal(pthread_getname_np(thread, name, sizeof name), 0);
    assert_string_equal(name, "fifteen-letters");
    pthread_mutex_lock(&gate.lock);
    gate.is_open = true;
    pthread_cond_signal(&gate.opened);
    pthread_mutex_unlock(&gate.lock);
    void *result;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &gate);
    gate_fini(&gate);
}

static void cond_wait_ends_at_its_deadline_and_not_before(void **state) {
    (void)state;
    struct gate gate;
    gate_init(&gate);
    uint64_t deadline_ns = rusm__clock_ns() + 5 * RUSM__MS;
    pthread_mutex_lock(&gate.lock);
    while (rusm__cond_wait_until(&gate.opened, &gate.lock, deadline_ns)) {
    }
    assert_true(rusm__clock_ns() >= deadline_ns);
    assert_false(rusm__cond_wait_until(&gate.opened, &gate.lock, 0)); /* long ago */
    pthread_mutex_unlock(&gate.lock);
    gate_fini(&gate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread_begins_with_all_signals_blocked),
        cmocka_unit_test(thread_has_its_name),
        cmocka_unit_test(cond_wait_ends_at_its_deadline_and_not_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
