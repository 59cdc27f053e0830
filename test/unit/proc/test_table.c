/* SPDX-License-Identifier: MIT */
/* The process table: pids never come twice, max_processes is exact, stale pids find nobody. */
#include "proc/table.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "base/random.h"
#include "proc/proc_impl.h"

enum { CACHES = 3 };

static struct rusm__table table;
static struct rusm__slot_cache caches[CACHES];

static void init(uint32_t max_processes) {
    memset(caches, 0, sizeof(caches));
    assert_int_equal(rusm__table_init(&table, max_processes, CACHES), RUSM_OK);
    for (unsigned i = 0; i < CACHES; i++) {
        rusm__table_add_cache(&table, &caches[i]);
    }
}

static int take(unsigned cache, rusm_pid *out_pid) {
    return rusm__table_take(&table, &caches[cache], out_pid);
}

static void give(unsigned cache, rusm_pid pid) {
    rusm__table_give(&table, &caches[cache], pid);
}

/* ---- pids ---- */

static void table_pids_are_small_at_first_and_never_zero(void **state) {
    (void)state;
    init(1000);
    for (unsigned i = 0; i < 100; i++) {
        rusm_pid pid;
        assert_int_equal(take(i % CACHES, &pid), RUSM_OK);
        assert_true(pid != 0);
        assert_true(pid < 10000);
    }
    rusm__table_fini(&table);
}

static int compare_pids(const void *a, const void *b) {
    rusm_pid x = *(const rusm_pid *)a, y = *(const rusm_pid *)b;
    return x < y ? -1 : x > y;
}

/* Take and give at random through all caches: no pid comes twice, ever. */
static void table_never_names_two_processes_alike(void **state) {
    enum { TURNS = 200000, LIVE = 50 };
    (void)state;
    struct rusm__random random;
    rusm_pid *seen = malloc(TURNS * sizeof(*seen));
    rusm_pid live[LIVE] = {0};
    size_t count = 0;
    rusm__random_seed(&random, 7);
    init(LIVE);
    for (unsigned i = 0; i < TURNS; i++) {
        unsigned at = rusm__random_below(&random, LIVE);
        if (live[at]) {
            give(rusm__random_below(&random, CACHES), live[at]);
            live[at] = 0;
        } else {
            assert_int_equal(take(rusm__random_below(&random, CACHES), &live[at]), RUSM_OK);
            seen[count++] = live[at];
        }
    }
    qsort(seen, count, sizeof(*seen), compare_pids);
    for (size_t i = 1; i < count; i++) {
        assert_true(seen[i] != seen[i - 1]);
    }
    free(seen);
    rusm__table_fini(&table);
}

static void table_reuses_a_slot_late(void **state) {
    (void)state;
    init(100000);
    rusm_pid first;
    assert_int_equal(take(0, &first), RUSM_OK);
    give(0, first);
    for (unsigned i = 0; i < table.keep; i++) {
        rusm_pid pid;
        assert_int_equal(take(0, &pid), RUSM_OK);
        assert_true((uint32_t)pid != (uint32_t)first);
        give(0, pid);
    }
    rusm__table_fini(&table);
}

static void table_retires_a_slot_without_generations(void **state) {
    (void)state;
    init(4);
    rusm_pid pid, again;
    assert_int_equal(take(0, &pid), RUSM_OK);
    struct rusm__slot *slot = &atomic_load(&table.segments[0])[(uint32_t)pid];
    slot->generation = UINT32_MAX;
    give(0, pid);
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(take(0, &again), RUSM_OK);
        assert_true((uint32_t)again != (uint32_t)pid);
        give(0, again);
    }
    rusm__table_fini(&table);
}

/* ---- max_processes ---- */

static void fill(unsigned by, unsigned limit, rusm_pid *pids) {
    for (unsigned i = 0; i < limit; i++) {
        assert_int_equal(take(by, &pids[i]), RUSM_OK);
    }
    rusm_pid none = 0;
    for (unsigned c = 0; c < CACHES; c++) {
        assert_int_equal(take(c, &none), RUSM_EPROCS);
    }
}

/* N live at once, N + 1 refused: whoever starts them, and wherever earlier ones ended. */
static void table_limit_is_exact(void **state) {
    const unsigned limits[] = {1, 2, 3, 7, 10, 64, 193, 1000, 5000};
    (void)state;
    for (unsigned l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
        unsigned limit = limits[l];
        rusm_pid *pids = calloc(limit, sizeof(*pids));
        init(limit);
        for (unsigned by = 0; by < CACHES; by++) {
            for (unsigned to = 0; to < CACHES; to++) {
                fill(by, limit, pids);
                for (unsigned i = 0; i < limit; i++) {
                    give(to, pids[i]); /* the credits are now in another cache */
                }
            }
        }
        fill(0, limit, pids);
        give(1, pids[0]);
        assert_int_equal(take(2, &pids[0]), RUSM_OK); /* one place, one start */
        rusm_pid none;
        assert_int_equal(take(1, &none), RUSM_EPROCS);
        rusm__table_fini(&table);
        free(pids);
    }
}

static void table_gives_the_credit_back_when_memory_is_short(void **state) {
    (void)state;
    init(3);
    rusm_pid pids[3];
    for (unsigned i = 0; i < 5; i++) {
        rusm__mem_fail_nth(1); /* the first segment */
        assert_int_equal(take(0, &pids[0]), RUSM_ENOMEM);
        rusm__mem_fail_nth(0);
    }
    fill(0, 3, pids);
    rusm__table_fini(&table);
}

static void table_init_fails_without_memory(void **state) {
    (void)state;
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__table_init(&table, 100, CACHES), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
}

/* ---- looking up ---- */

static void visit_one(rusm_proc *proc, void *arg) {
    *(uint64_t *)arg += proc->pid;
}

static void table_finds_only_the_living(void **state) {
    (void)state;
    init(100);
    rusm_proc *proc = rusm__mem_zalloc(sizeof(*proc));
    assert_int_equal(take(0, &proc->pid), RUSM_OK);
    rusm_pid pid = proc->pid;
    assert_null(rusm__table_find(&table, pid)); /* not yet published */
    rusm__table_publish(&table, pid, proc);
    assert_ptr_equal(rusm__table_find(&table, pid), proc);
    uint64_t sum = 0;
    rusm__table_each(&table, visit_one, &sum);
    assert_true(sum == pid);
    const rusm_pid others[] = {
        0, pid + 1, pid + ((rusm_pid)1 << 32), UINT32_MAX, UINT64_MAX, 1ull << 63, 123456789};
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_null(rusm__table_find(&table, others[i]));
    }
    rusm__table_hide(&table, pid);
    assert_null(rusm__table_find(&table, pid));
    give(0, pid);
    sum = 0;
    rusm__table_each(&table, visit_one, &sum);
    assert_true(sum == 0);
    rusm__mem_free(proc);
    rusm__table_fini(&table);
}

/* ---- threads: each owns a cache; ends happen elsewhere than starts ---- */

enum { LIMIT = 500, TURNS = 100000 };

static _Atomic int live_count, most_live;
static _Atomic unsigned failed;
static _Atomic rusm_pid handed_over[LIMIT]; /* taken by one, given by another */

static void take_and_hand_over(unsigned self, struct rusm__random *random) {
    rusm_pid pid = 0;
    int status = take(self, &pid);
    if (status != RUSM_OK) {
        atomic_fetch_add(&failed, status != RUSM_EPROCS);
        return;
    }
    int live = atomic_fetch_add(&live_count, 1) + 1;
    int most = atomic_load(&most_live);
    while (live > most && !atomic_compare_exchange_weak(&most_live, &most, live)) {
    }
    pid = atomic_exchange(&handed_over[rusm__random_below(random, LIMIT)], pid);
    if (pid) {
        atomic_fetch_sub(&live_count, 1);
        give(self, pid);
    }
}

static void *take_and_give(void *arg) {
    unsigned self = (unsigned)(uintptr_t)arg;
    struct rusm__random random;
    rusm__random_seed(&random, self);
    for (unsigned i = 0; i < TURNS; i++) {
        take_and_hand_over(self, &random);
        if (i % 3 == 0) {
            rusm_pid pid = atomic_exchange(&handed_over[rusm__random_below(&random, LIMIT)], 0);
            if (pid) {
                atomic_fetch_sub(&live_count, 1);
                give(self, pid);
            }
        }
    }
    return NULL;
}

static void table_threads_keep_the_limit(void **state) {
    pthread_t threads[CACHES];
    (void)state;
    init(LIMIT - 50); /* so that refusals happen */
    for (uintptr_t i = 0; i < CACHES; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, (void *)i), 0);
    }
    for (unsigned i = 0; i < CACHES; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&failed), 0);
    assert_true(atomic_load(&most_live) <= LIMIT - 50);
    for (unsigned i = 0; i < LIMIT; i++) {
        if (atomic_load(&handed_over[i])) {
            give(0, atomic_load(&handed_over[i]));
        }
    }
    rusm_pid pids[LIMIT];
    fill(1, LIMIT - 50, pids); /* not one credit or slot was lost or doubled */
    rusm__table_fini(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_pids_are_small_at_first_and_never_zero),
        cmocka_unit_test(table_never_names_two_processes_alike),
        cmocka_unit_test(table_reuses_a_slot_late),
        cmocka_unit_test(table_retires_a_slot_without_generations),
        cmocka_unit_test(table_limit_is_exact),
        cmocka_unit_test(table_gives_the_credit_back_when_memory_is_short),
        cmocka_unit_test(table_init_fails_without_memory),
        cmocka_unit_test(table_finds_only_the_living),
        cmocka_unit_test(table_threads_keep_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
