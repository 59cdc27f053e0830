/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sandbox/permits.h"

#define LANES 4

struct fixture {
    struct rusm__lane lanes[LANES];
    struct rusm__permits permits;
};

static struct fixture *make(uint32_t capacity) {
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    rusm__permits_init(&f->permits, f->lanes, LANES, capacity);
    return f;
}

static void all_permits_can_be_had_and_no_more(void **state) {
    (void)state;
    static const uint32_t capacities[] = {1, 2, 7, 64, 1000, 4000};
    for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
        struct fixture *f = make(capacities[c]);
        for (uint32_t i = 0; i < capacities[c]; i++)
            assert_true(rusm__permits_take(&f->permits, &f->lanes[i % LANES], false));
        assert_false(rusm__permits_take(&f->permits, &f->lanes[0], false));
        assert_false(rusm__permits_take(&f->permits, NULL, false));
        assert_int_equal(rusm__permits_free(&f->permits), 0);
        rusm__permits_give(&f->permits, &f->lanes[3]);
        assert_int_equal(rusm__permits_free(&f->permits), 1);
        /* From another lane than the one that has it. */
        assert_true(rusm__permits_take(&f->permits, &f->lanes[1], false));
        free(f);
    }
}

/* Guests that end elsewhere than they began: what gathers in one lane stays within reach. */
static void permits_wander_back(void **state) {
    (void)state;
    struct fixture *f = make(4000);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4000; i++)
            assert_true(rusm__permits_take(&f->permits, &f->lanes[0], false));
        for (int i = 0; i < 4000; i++)
            rusm__permits_give(&f->permits, &f->lanes[2]);
        assert_int_equal(rusm__permits_free(&f->permits), 4000);
    }
    free(f);
}

static void guests_leave_the_reserve_alone(void **state) {
    (void)state;
    struct fixture *f = make(800);
    uint32_t taken = 0;
    while (rusm__permits_take(&f->permits, &f->lanes[taken % LANES], true))
        taken++;
    assert_int_equal(taken, 700);
    for (int i = 0; i < 100; i++)
        assert_true(rusm__permits_take(&f->permits, NULL, false));
    assert_false(rusm__permits_take(&f->permits, NULL, false));
    free(f);
}

struct worker {
    struct fixture *fixture;
    struct rusm__lane *lane;
    _Atomic int64_t *out; /* permits that are out, which must never be more than there are */
};

static void *hammer(void *arg) {
    struct worker *worker = arg;
    for (int i = 0; i < 20000; i++) {
        int got = 0;
        for (int k = 0; k < 5; k++) {
            if (!rusm__permits_take(&worker->fixture->permits, worker->lane, false))
                continue;
            got++;
            if (atomic_fetch_add(worker->out, 1) + 1 > 16)
                abort();
        }
        for (; got; got--) {
            atomic_fetch_sub(worker->out, 1);
            rusm__permits_give(&worker->fixture->permits, worker->lane);
        }
    }
    return NULL;
}

static void threads_never_take_more_than_there_is(void **state) {
    (void)state;
    struct fixture *f = make(16);
    _Atomic int64_t out = 0;
    pthread_t threads[LANES];
    struct worker workers[LANES];
    for (int i = 0; i < LANES; i++) {
        workers[i] = (struct worker){f, i ? &f->lanes[i] : NULL, &out};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &workers[i]), 0);
    }
    for (int i = 0; i < LANES; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rusm__permits_free(&f->permits), 16);
    free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_permits_can_be_had_and_no_more),
        cmocka_unit_test(permits_wander_back),
        cmocka_unit_test(guests_leave_the_reserve_alone),
        cmocka_unit_test(threads_never_take_more_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
