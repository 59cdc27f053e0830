/* SPDX-License-Identifier: MIT */
/* What is told once, and how much of it at most. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/told.h"

#define CAUSE 3u

static enum rusm__telling tell(struct rusm__told *told, unsigned cause, const char *target) {
    return rusm__told_target(told, cause, target, strlen(target));
}

static enum rusm__telling tell_number(struct rusm__told *told, unsigned number) {
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    return tell(told, CAUSE, text);
}

static void a_cause_is_new_once(void **state) {
    (void)state;
    struct rusm__told told = {0};
    for (unsigned cause = 0; cause < RUSM__TOLD_CAUSES; cause++) {
        assert_true(rusm__told_first_time(&told, cause));
        assert_false(rusm__told_first_time(&told, cause));
    }
    rusm__told_fini(&told);
}

static void each_target_is_new_once_per_cause(void **state) {
    (void)state;
    struct rusm__told told = {0};
    for (int i = 0; i < 3; i++) {
        enum rusm__telling wanted = i ? RUSM__TELL_NOT : RUSM__TELL;
        assert_int_equal(tell(&told, CAUSE, "a"), wanted);
        assert_int_equal(tell(&told, CAUSE, "b"), wanted);
        assert_int_equal(tell(&told, CAUSE, ""), wanted);
        assert_int_equal(tell(&told, CAUSE + 1, "a"), wanted);
        assert_int_equal(tell(&told, RUSM__TOLD_CAUSES - 1, "a"), wanted);
    }
    rusm__told_fini(&told);
}

static void a_flood_of_targets_ends_with_one_that_says_so(void **state) {
    (void)state;
    struct rusm__told told = {0};
    for (unsigned i = 0; i < RUSM__TOLD_TARGETS; i++)
        assert_int_equal(tell_number(&told, i), RUSM__TELL);
    assert_int_equal(tell_number(&told, 0), RUSM__TELL_NOT); /* still known */
    assert_int_equal(tell_number(&told, RUSM__TOLD_TARGETS), RUSM__TELL_LAST);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(tell_number(&told, i), RUSM__TELL_NOT);
    assert_int_equal(tell(&told, CAUSE + 1, "0"), RUSM__TELL); /* other causes go on */
    rusm__told_fini(&told);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 200 };

struct shared {
    struct rusm__told told;
    pthread_barrier_t start;
    _Atomic unsigned tells, lasts;
};

static void *tell_all(void *arg) {
    struct shared *shared = arg;
    (void)pthread_barrier_wait(&shared->start);
    for (unsigned i = 0; i < 2 * RUSM__TOLD_TARGETS; i++) {
        enum rusm__telling telling = tell_number(&shared->told, i);
        atomic_fetch_add(&shared->tells, telling == RUSM__TELL);
        atomic_fetch_add(&shared->lasts, telling == RUSM__TELL_LAST);
    }
    return NULL;
}

static void threads_that_tell_the_same_tell_it_once(void **state) {
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct shared shared = {0};
        pthread_t threads[THREADS];
        assert_int_equal(pthread_barrier_init(&shared.start, NULL, THREADS), 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, tell_all, &shared), 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(atomic_load(&shared.tells), RUSM__TOLD_TARGETS);
        assert_int_equal(atomic_load(&shared.lasts), 1);
        rusm__told_fini(&shared.told);
        pthread_barrier_destroy(&shared.start);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cause_is_new_once),
        cmocka_unit_test(each_target_is_new_once_per_cause),
        cmocka_unit_test(a_flood_of_targets_ends_with_one_that_says_so),
        cmocka_unit_test(threads_that_tell_the_same_tell_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
