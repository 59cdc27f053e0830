/* SPDX-License-Identifier: MIT */
/* The run queue: order, overflow, stealing. With threads the oracle is conservation: each task is
 * handed out exactly as often as it was queued. */
#include "sched/run_queue.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"

enum { MANY = 2000 };

struct item {
    struct rusm__task task; /* first */
    unsigned number;
    _Atomic unsigned taken;
};

static struct item items[MANY];
static struct rusm__run_queue queue;
static struct rusm__run_queue other;

static int start(void **state) {
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        items[i] = (struct item){.number = i};
    }
    rusm__run_queue_init(&queue);
    rusm__run_queue_init(&other);
    return 0;
}

static int stop(void **state) {
    (void)state;
    rusm__run_queue_fini(&queue);
    rusm__run_queue_fini(&other);
    return 0;
}

static void push(unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
        rusm__run_queue_push(&queue, &items[i].task);
    }
}

static int number_of(struct rusm__task *task) {
    return task ? (int)((struct item *)task)->number : -1;
}

static void queue_is_first_in_first_out(void **state) {
    (void)state;
    assert_null(rusm__run_queue_pop(&queue));
    assert_false(rusm__run_queue_has_stealable(&queue));
    for (unsigned round = 0; round < 10; round++) { /* around the ring */
        push(0, 100);
        assert_true(rusm__run_queue_has_stealable(&queue));
        for (int i = 0; i < 100; i++) {
            assert_int_equal(number_of(rusm__run_queue_pop(&queue)), i);
        }
        assert_null(rusm__run_queue_pop(&queue));
    }
}

static void queue_is_first_in_first_out_beyond_the_ring(void **state) {
    (void)state;
    push(0, MANY);
    assert_true(rusm__run_queue_has_stealable(&queue));
    assert_true(atomic_load(&queue.overflow_count) > 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(number_of(rusm__run_queue_pop(&queue)), i);
    }
    assert_null(rusm__run_queue_pop(&queue));
    assert_false(rusm__run_queue_has_stealable(&queue));
    assert_int_equal(atomic_load(&queue.overflow_count), 0);
}

/* Every task that ran queues itself again: all get the same number of turns. */
static void queue_goes_around_fairly(void **state) {
    (void)state;
    push(0, 700);
    for (int turn = 0; turn < 20; turn++) {
        for (int i = 0; i < 700; i++) {
            struct rusm__task *task = rusm__run_queue_pop(&queue);
            assert_int_equal(number_of(task), i);
            rusm__run_queue_push(&queue, task);
        }
    }
}

static void queue_pinned_tasks_stay_apart(void **state) {
    (void)state;
    rusm__run_queue_push_pinned(&queue, &items[1].task);
    rusm__run_queue_push_pinned(&queue, &items[2].task);
    assert_false(rusm__run_queue_has_stealable(&queue));
    assert_null(rusm__run_queue_steal(&other, &queue));
    assert_null(rusm__run_queue_pop(&queue));
    assert_int_equal(number_of(rusm__run_queue_pop_pinned(&queue)), 1);
    assert_int_equal(number_of(rusm__run_queue_pop_pinned(&queue)), 2);
    assert_null(rusm__run_queue_pop_pinned(&queue));
}

/* Wherever the shared tasks before and after it lie: in the ring, beyond it, around its end. */
static void queue_pinned_task_keeps_its_place(void **state) {
    static const int before[] = {0, 1, 100, 255, 256, 257, 700};
    (void)state;
    for (unsigned i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        struct item pinned = {.number = MANY};
        push(0, (unsigned)before[i]);
        rusm__run_queue_push_pinned(&queue, &pinned.task);
        push((unsigned)before[i], (unsigned)before[i] + 300);
        for (int k = 0; k < before[i]; k++) {
            assert_int_equal(number_of(rusm__run_queue_next(&queue)), k);
        }
        assert_int_equal(number_of(rusm__run_queue_next(&queue)), MANY);
        for (int k = before[i]; k < before[i] + 300; k++) {
            assert_int_equal(number_of(rusm__run_queue_next(&queue)), k);
        }
        assert_null(rusm__run_queue_next(&queue));
    }
}

/* One that queues itself again after each turn gets every second turn beside one shared task, and
 * one in a hundred beside ninety-nine. */
static void queue_pinned_task_gets_its_share(void **state) {
    (void)state;
    for (unsigned others = 1; others < 600; others += 98) {
        struct item pinned = {.number = MANY};
        unsigned turns = 0;
        push(0, others);
        rusm__run_queue_push_pinned(&queue, &pinned.task);
        for (unsigned i = 0; i < 10 * (others + 1); i++) {
            struct rusm__task *task = rusm__run_queue_next(&queue);
            if (task == &pinned.task) {
                turns++;
                rusm__run_queue_push_pinned(&queue, task);
            } else {
                rusm__run_queue_push(&queue, task);
            }
        }
        assert_int_equal(turns, 10);
        while (rusm__run_queue_next(&queue)) {
        }
    }
}

static void queue_thief_takes_the_older_half(void **state) {
    (void)state;
    push(0, 11);
    assert_int_equal(number_of(rusm__run_queue_steal(&other, &queue)), 0);
    for (int i = 1; i < 6; i++) {
        assert_int_equal(number_of(rusm__run_queue_pop(&other)), i);
    }
    assert_null(rusm__run_queue_pop(&other));
    for (int i = 6; i < 11; i++) {
        assert_int_equal(number_of(rusm__run_queue_pop(&queue)), i);
    }
    assert_null(rusm__run_queue_steal(&other, &queue));
}

static void queue_thief_takes_overflow_of_an_empty_ring(void **state) {
    (void)state;
    push(0, RUSM__RING_SIZE + 1);
    for (unsigned left = RUSM__RING_SIZE / 2 + 1; left > 0; left = left / 2) {
        /* Each time half of the ring, which holds the younger ones. */
        struct item *first = (struct item *)rusm__run_queue_steal(&other, &queue);
        assert_int_equal(first->number, RUSM__RING_SIZE + 1 - left);
        while (rusm__run_queue_pop(&other)) {
        }
    }
    assert_int_equal(number_of(rusm__run_queue_steal(&other, &queue)), 0);
    for (int i = 1; i < RUSM__RING_SIZE / 2; i++) {
        assert_int_equal(number_of(rusm__run_queue_pop(&other)), i);
    }
    assert_null(rusm__run_queue_steal(&other, &queue));
}

/* Head and tail are 32-bit counters that go around. */
static void queue_counters_go_around(void **state) {
    (void)state;
    atomic_store(&queue.head, UINT32_MAX - 100);
    atomic_store(&queue.tail, UINT32_MAX - 100);
    for (unsigned round = 0; round < 4; round++) {
        push(0, 300);
        for (unsigned i = 0; i < 300; i++) {
            assert_non_null(rusm__run_queue_pop(&queue));
        }
        assert_null(rusm__run_queue_pop(&queue));
    }
    atomic_store(&queue.head, UINT32_MAX - 3);
    atomic_store(&queue.tail, UINT32_MAX - 3);
    push(0, 10);
    assert_int_equal(number_of(rusm__run_queue_steal(&other, &queue)), 0);
    assert_int_equal(number_of(rusm__run_queue_pop(&queue)), 5);
}

/* ---- threads: every worker owns a queue, pushes, pops and steals ---- */

enum { WORKERS = 4, PER_WORKER = 100000, POOL = 600 };

struct worker {
    pthread_t thread;
    struct rusm__run_queue queue;
    struct item *pool;
    unsigned pushed;
};

static struct worker workers[WORKERS];
static _Atomic unsigned in_flight; /* queued and not yet taken */
static _Atomic uint64_t taken_sum, twice;
static _Atomic unsigned pushing; /* workers that still push */

/* A task is free again when somebody took it: `taken` goes from 0 to 1 exactly once per push. */
static void take_one(struct rusm__task *task) {
    struct item *item = (struct item *)task;
    if (atomic_exchange_explicit(&item->taken, 1, memory_order_acq_rel) != 0) {
        atomic_fetch_add(&twice, 1);
    }
    atomic_fetch_add_explicit(&taken_sum, 1, memory_order_relaxed);
    atomic_fetch_sub(&in_flight, 1);
}

static bool push_one(struct worker *self, unsigned at) {
    struct item *item = &self->pool[at];
    if (atomic_load_explicit(&item->taken, memory_order_acquire) != 1) {
        return false; /* still queued somewhere */
    }
    atomic_store_explicit(&item->taken, 0, memory_order_relaxed);
    atomic_fetch_add(&in_flight, 1);
    rusm__run_queue_push(&self->queue, &item->task);
    self->pushed++;
    return true;
}

static struct rusm__task *find_work(struct worker *self, struct rusm__random *random) {
    struct rusm__task *task = rusm__run_queue_pop(&self->queue);
    for (unsigned i = 0; i < WORKERS && !task; i++) {
        struct worker *victim = &workers[rusm__random_below(random, WORKERS)];
        if (victim != self) {
            task = rusm__run_queue_steal(&self->queue, &victim->queue);
        }
    }
    return task;
}

static void *work(void *arg) {
    struct worker *self = arg;
    struct rusm__random random;
    rusm__random_seed(&random, (uint64_t)(self - workers));
    while (self->pushed < PER_WORKER) {
        unsigned burst = rusm__random_below(&random, 400);
        for (unsigned k = 0; k < burst && self->pushed < PER_WORKER; k++) {
            push_one(self, rusm__random_below(&random, POOL));
        }
        for (unsigned k = rusm__random_below(&random, 400); k > 0; k--) {
            struct rusm__task *task = find_work(self, &random);
            if (task) {
                take_one(task);
            }
        }
    }
    atomic_fetch_sub(&pushing, 1);
    /* What is stolen is in nobody's queue for a moment, so only the count tells the end. */
    while (atomic_load(&pushing) > 0 || atomic_load(&in_flight) > 0) {
        struct rusm__task *task = find_work(self, &random);
        if (task) {
            take_one(task);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void queue_threads_take_each_task_once(void **state) {
    (void)state;
    atomic_store(&pushing, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        rusm__run_queue_init(&workers[i].queue);
        workers[i].pool = calloc(POOL, sizeof(struct item));
        for (unsigned k = 0; k < POOL; k++) {
            atomic_store(&workers[i].pool[k].taken, 1);
        }
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    assert_true(atomic_load(&taken_sum) == (uint64_t)WORKERS * PER_WORKER);
    assert_true(atomic_load(&twice) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_null(rusm__run_queue_pop(&workers[i].queue));
        rusm__run_queue_fini(&workers[i].queue);
        free(workers[i].pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queue_is_first_in_first_out, start, stop),
        cmocka_unit_test_setup_teardown(queue_is_first_in_first_out_beyond_the_ring, start, stop),
        cmocka_unit_test_setup_teardown(queue_goes_around_fairly, start, stop),
        cmocka_unit_test_setup_teardown(queue_pinned_tasks_stay_apart, start, stop),
        cmocka_unit_test_setup_teardown(queue_pinned_task_keeps_its_place, start, stop),
        cmocka_unit_test_setup_teardown(queue_pinned_task_gets_its_share, start, stop),
        cmocka_unit_test_setup_teardown(queue_thief_takes_the_older_half, start, stop),
        cmocka_unit_test_setup_teardown(queue_thief_takes_overflow_of_an_empty_ring, start, stop),
        cmocka_unit_test_setup_teardown(queue_counters_go_around, start, stop),
        cmocka_unit_test(queue_threads_take_each_task_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
