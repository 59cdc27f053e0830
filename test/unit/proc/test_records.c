/* SPDX-License-Identifier: MIT */
/* Sets of monitor and link records against an array, with growth, and with growth that fails. */
#include "proc/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"

enum { KEYS = 400, STEPS = 20000 };

static struct rusm__signal *new_record(uint64_t key) {
    struct rusm__signal *record = rusm__signal_new(RUSM__TAG_LINK, 0);
    record->head.ref = key;
    record->peer = key * 3 + 1;
    return record;
}

static uint64_t key_in(const struct rusm__records *set, uint64_t key) {
    return set->by_peer ? key * 3 + 1 : key;
}

static void check(const struct rusm__records *set, const bool *there, uint32_t count) {
    assert_int_equal(atomic_load(&set->count), count);
    for (uint64_t key = 0; key < KEYS; key++) {
        struct rusm__signal *record = rusm__records_find(set, key_in(set, key));
        assert_int_equal(record != NULL, there[key]);
        assert_true(!record || record->head.ref == key);
    }
}

/* fail: every allocation of a bigger table fails; the set lives on with longer chains. */
static void run(bool by_peer, bool fail) {
    struct rusm__records set = {.by_peer = by_peer};
    struct rusm__random random;
    bool there[KEYS] = {false};
    uint32_t count = 0;
    rusm__random_seed(&random, 11);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t key = rusm__random_below(&random, KEYS);
        /* Mostly adding in the first half, mostly removing in the second. */
        bool add = rusm__random_below(&random, 10) < (i < STEPS / 2 ? 7u : 3u);
        if (add && !there[key]) {
            struct rusm__signal *record = new_record(key);
            rusm__mem_fail_nth(fail);
            rusm__records_add(&set, record);
            rusm__mem_fail_nth(0);
            there[key] = true;
            count++;
        } else if (!add) {
            struct rusm__signal *record = rusm__records_remove(&set, key_in(&set, key));
            assert_int_equal(record != NULL, there[key]);
            count -= record != NULL;
            there[key] = false;
            rusm__mem_free(record);
        }
        if (i % 500 == 0) {
            check(&set, there, count);
        }
    }
    check(&set, there, count);
    assert_int_equal(set.buckets == NULL, fail);
    struct rusm__signal *record;
    while ((record = rusm__records_pop(&set)) != NULL) {
        assert_true(there[record->head.ref]);
        there[record->head.ref] = false;
        rusm__mem_free(record);
        count--;
    }
    assert_int_equal(count, 0);
    rusm__records_fini(&set);
}

static void records_by_reference(void **state) {
    (void)state;
    run(false, false);
}

static void records_by_peer(void **state) {
    (void)state;
    run(true, false);
}

static void records_bear_short_memory(void **state) {
    (void)state;
    run(false, true);
}

static void records_empty_set(void **state) {
    (void)state;
    struct rusm__records set = {0};
    assert_null(rusm__records_find(&set, 0));
    assert_null(rusm__records_remove(&set, 0));
    assert_null(rusm__records_pop(&set));
    rusm__records_fini(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_empty_set),
        cmocka_unit_test(records_by_reference),
        cmocka_unit_test(records_by_peer),
        cmocka_unit_test(records_bear_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
