/* SPDX-License-Identifier: MIT */
/* Names and tags without processes: who holds what, growth under readers, short memory. The test
 * plays the schedulers: each thread that writes is a member of the reclamation domain. */
#include "proc/registry.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "base/random.h"

typedef struct rusm__member *_Atomic own_words;

static struct rusm__qs qs;
static struct rusm__registry *registry;

static void init(bool exclusive, size_t members) {
    registry = rusm__mem_try_zalloc_aligned(sizeof(*registry), 64);
    assert_int_equal(rusm__qs_init(&qs, members), RUSM_OK);
    for (size_t i = 0; i < members; i++) {
        rusm__qs_online(&qs, &qs.members[i]);
    }
    assert_int_equal(rusm__registry_init(registry, &qs, exclusive), RUSM_OK);
}

static void fini(void) {
    for (size_t i = 0; i < qs.member_count; i++) {
        rusm__qs_offline(&qs.members[i]);
    }
    rusm__registry_fini(registry);
    rusm__qs_fini(&qs);
    rusm__mem_free(registry);
}

static int join(const char *text, rusm_pid pid, own_words *own) {
    return rusm__registry_join(registry, &qs.members[0], text, strlen(text), pid, own);
}

static int leave(const char *text, own_words *own) {
    return rusm__registry_leave(registry, &qs.members[0], text, strlen(text), own);
}

static void leave_all(own_words *own) {
    rusm__registry_leave_all(registry, &qs.members[0], own);
}

static rusm_pid holder(const char *text) {
    rusm_pid pid = 0;
    return rusm__registry_find(registry, text, strlen(text), &pid, 1) ? pid : 0;
}

static void quiesce(void) {
    for (unsigned i = 0; i < 300; i++) {
        rusm__qs_quiesce(&qs, &qs.members[0]);
    }
}

/* ---- names ---- */

static void names_have_one_holder(void **state) {
    own_words a = NULL, b = NULL;
    (void)state;
    init(true, 1);
    assert_int_equal(join("printer", 1, &a), RUSM_OK);
    assert_int_equal(join("printer", 2, &b), RUSM_EEXIST);
    assert_int_equal(join("printer", 1, &a), RUSM_EEXIST);
    assert_int_equal(join("scanner", 1, &a), RUSM_OK);
    assert_true(holder("printer") == 1);
    assert_true(holder("print") == 0);
    assert_true(holder("printer2") == 0);
    assert_int_equal(leave("printer", &b), RUSM_ENOTFOUND);
    assert_int_equal(leave("printer", &a), RUSM_OK);
    assert_true(holder("printer") == 0);
    assert_int_equal(join("printer", 2, &b), RUSM_OK);
    assert_true(holder("printer") == 2);
    leave_all(&a);
    assert_true(holder("scanner") == 0);
    assert_true(holder("printer") == 2);
    leave_all(&b);
    leave_all(&b);
    fini();
}

static void words_may_be_any_bytes(void **state) {
    own_words own = NULL;
    char text[RUSM__WORD_MAX_BYTES] = {0}; /* zeros, and as long as a word may be */
    (void)state;
    init(true, 1);
    for (size_t len = 1; len <= sizeof(text); len++) {
        assert_int_equal(rusm__registry_join(registry, &qs.members[0], text, len, len, &own),
                         RUSM_OK);
    }
    for (size_t len = 1; len <= sizeof(text); len++) {
        rusm_pid pid = 0;
        assert_int_equal(rusm__registry_find(registry, text, len, &pid, 1), 1);
        assert_true(pid == len);
    }
    leave_all(&own);
    fini();
}

/* ---- tags ---- */

static void tags_have_many_members(void **state) {
    enum { MANY = 100 };
    own_words own[MANY] = {NULL};
    rusm_pid pids[MANY];
    (void)state;
    init(false, 1);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(join("room", i + 1, &own[i]), RUSM_OK);
        assert_int_equal(join("room", i + 1, &own[i]), RUSM_EEXIST);
    }
    assert_int_equal(rusm__registry_find(registry, "room", 4, pids, 10), MANY);
    assert_int_equal(rusm__registry_find(registry, "room", 4, NULL, 0), MANY);
    assert_int_equal(rusm__registry_find(registry, "room", 4, pids, MANY), MANY);
    uint64_t sum = 0;
    for (unsigned i = 0; i < MANY; i++) {
        sum += pids[i];
    }
    assert_true(sum == MANY * (MANY + 1) / 2);
    /* First, last and middle members leave; the rest stays linked. */
    for (unsigned i = 0; i < MANY; i += 3) {
        assert_int_equal(leave("room", &own[i]), RUSM_OK);
    }
    assert_int_equal(rusm__registry_find(registry, "room", 4, NULL, 0), MANY - (MANY + 2) / 3);
    for (unsigned i = 0; i < MANY; i++) {
        leave_all(&own[i]);
    }
    assert_int_equal(rusm__registry_find(registry, "room", 4, NULL, 0), 0);
    fini();
}

/* ---- growth ---- */

enum { WORDS = 100000 };

static int text_of(char *text, size_t cap, unsigned number) {
    return snprintf(text, cap, "word-%u", number);
}

static void registry_grows_to_100k_words(void **state) {
    own_words *own = calloc(WORDS, sizeof(*own));
    char text[32];
    (void)state;
    init(true, 1);
    for (unsigned i = 0; i < WORDS; i++) {
        text_of(text, sizeof(text), i);
        assert_int_equal(join(text, i + 1, &own[i]), RUSM_OK);
        if (i % 100 == 0) {
            quiesce(); /* growth waits until nobody can be in the table before the last */
        }
    }
    for (unsigned i = 0; i < RUSM__REGISTRY_SHARDS; i++) {
        struct rusm__word_table *table = atomic_load(&registry->shards[i].table);
        assert_true(table->mask + 1 >= registry->shards[i].words / 2);
    }
    for (unsigned i = 0; i < WORDS; i++) {
        text_of(text, sizeof(text), i);
        assert_true(holder(text) == i + 1);
    }
    for (unsigned i = 0; i < WORDS; i++) {
        leave_all(&own[i]);
    }
    for (unsigned i = 0; i < RUSM__REGISTRY_SHARDS; i++) {
        assert_int_equal(registry->shards[i].words, 0);
    }
    free(own);
    fini();
}

/* Without quiescent points in between nothing may grow twice, and everything is still found. */
static void registry_growth_waits_for_readers(void **state) {
    enum { BURST = 20000 };
    own_words *own = calloc(BURST, sizeof(*own));
    char text[32];
    (void)state;
    init(true, 1);
    for (unsigned i = 0; i < BURST; i++) {
        text_of(text, sizeof(text), i);
        assert_int_equal(join(text, i + 1, &own[i]), RUSM_OK);
    }
    for (unsigned i = 0; i < RUSM__REGISTRY_SHARDS; i++) {
        struct rusm__word_table *table = atomic_load(&registry->shards[i].table);
        assert_true(table->mask + 1 <= 32); /* one doubling in one epoch */
    }
    for (unsigned i = 0; i < BURST; i++) {
        text_of(text, sizeof(text), i);
        assert_true(holder(text) == i + 1);
        leave_all(&own[i]);
    }
    free(own);
    fini();
}

static void registry_bears_short_memory(void **state) {
    own_words own = NULL;
    char text[32];
    (void)state;
    init(true, 1);
    for (unsigned i = 0; i < 3000; i++) {
        text_of(text, sizeof(text), i);
        /* 1: the member, 2: the word, 3: perhaps a bigger table, whose lack is borne */
        for (size_t nth = 1; nth <= 2; nth++) {
            rusm__mem_fail_nth(nth);
            assert_int_equal(join(text, i + 1, &own), RUSM_ENOMEM);
            rusm__mem_fail_nth(0);
            assert_true(holder(text) == 0);
        }
        rusm__mem_fail_nth(3);
        assert_int_equal(join(text, i + 1, &own), RUSM_OK);
        rusm__mem_fail_nth(0);
        quiesce();
        leave_all(&own);
        own_words keep = NULL;
        assert_int_equal(join(text, i + 1, &keep), RUSM_OK);
        assert_true(holder(text) == i + 1);
        leave_all(&keep);
    }
    fini();
}

static void registry_init_fails_without_memory(void **state) {
    (void)state;
    registry = rusm__mem_try_zalloc_aligned(sizeof(*registry), 64);
    for (size_t nth = 1; nth <= RUSM__REGISTRY_SHARDS; nth += 9) {
        rusm__mem_fail_nth(nth);
        assert_int_equal(rusm__registry_init(registry, &qs, true), RUSM_ENOMEM);
        rusm__mem_fail_nth(0);
    }
    rusm__mem_free(registry);
}

/* ---- threads ---- */

/* Writers register words of their own, in growing numbers, and give them up; some words stay from
 * first to last. Readers find those that stay at any time, and of others the right holder or
 * nobody. */
enum { WRITERS = 2, READERS = 2, STAYING = 200, EACH = 15000 };

static _Atomic bool stop_reading;
static _Atomic unsigned missing, wrong;

static void *write_words(void *arg) {
    unsigned self = (unsigned)(uintptr_t)arg;
    struct rusm__qs_member *member = &qs.members[self];
    own_words *own = calloc(EACH, sizeof(*own));
    char text[32];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < EACH; i++) {
            int len = snprintf(text, sizeof(text), "w%u-%u", self, i);
            if (rusm__registry_join(registry, member, text, (size_t)len, 1000 + self, &own[i]) !=
                RUSM_OK) {
                abort();
            }
            if (i % 20 == 0) {
                rusm__qs_quiesce(&qs, member);
                sched_yield();
            }
        }
        for (unsigned i = 0; i < EACH; i++) {
            rusm__registry_leave_all(registry, member, &own[i]);
            rusm__qs_quiesce(&qs, member);
        }
    }
    rusm__qs_offline(member);
    free(own);
    return NULL;
}

static void read_staying(unsigned number) {
    char text[32];
    rusm_pid pid = 0;
    int len = text_of(text, sizeof(text), number);
    rusm__qs_enter(&qs);
    size_t count = rusm__registry_find(registry, text, (size_t)len, &pid, 1);
    rusm__qs_exit(&qs);
    if (count != 1) {
        atomic_fetch_add(&missing, 1);
    } else if (pid != number + 1) {
        atomic_fetch_add(&wrong, 1);
    }
}

static void read_coming_and_going(unsigned writer, unsigned number) {
    char text[32];
    rusm_pid pid = 0;
    int len = snprintf(text, sizeof(text), "w%u-%u", writer, number);
    rusm__qs_enter(&qs);
    size_t count = rusm__registry_find(registry, text, (size_t)len, &pid, 1);
    rusm__qs_exit(&qs);
    if (count > 1 || (count == 1 && pid != 1000 + writer)) {
        atomic_fetch_add(&wrong, 1);
    }
}

static void *read_words(void *arg) {
    struct rusm__random random;
    rusm__random_seed(&random, (uint64_t)(uintptr_t)arg);
    while (!atomic_load_explicit(&stop_reading, memory_order_relaxed)) {
        read_staying(rusm__random_below(&random, STAYING));
        read_coming_and_going(1 + rusm__random_below(&random, WRITERS),
                              rusm__random_below(&random, EACH));
    }
    return NULL;
}

static unsigned grown_tables(void) {
    unsigned grown = 0;
    for (unsigned i = 0; i < RUSM__REGISTRY_SHARDS; i++) {
        grown += atomic_load(&registry->shards[i].table)->mask > 31;
    }
    return grown;
}

static void read_while_writing(void) {
    pthread_t threads[WRITERS + READERS];
    atomic_store(&stop_reading, false);
    for (uintptr_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[WRITERS + i], NULL, read_words, (void *)i), 0);
    }
    for (uintptr_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_words, (void *)(i + 1)), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&stop_reading, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(threads[WRITERS + i], NULL);
    }
}

static void registry_readers_see_through_growth(void **state) {
    own_words own = NULL;
    char text[32];
    (void)state;
    init(true, 1 + WRITERS);
    for (unsigned i = 0; i < STAYING; i++) {
        text_of(text, sizeof(text), i);
        assert_int_equal(join(text, i + 1, &own), RUSM_OK);
    }
    rusm__qs_offline(&qs.members[0]);
    /* A table grows when no reader stands in the way, which a busy machine may put off. */
    for (unsigned n = 0; n < 50 && grown_tables() == 0; n++) {
        read_while_writing();
    }
    assert_int_equal(atomic_load(&missing), 0);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_true(grown_tables() > 0);
    rusm__qs_online(&qs, &qs.members[0]);
    leave_all(&own);
    fini();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_one_holder),
        cmocka_unit_test(words_may_be_any_bytes),
        cmocka_unit_test(tags_have_many_members),
        cmocka_unit_test(registry_grows_to_100k_words),
        cmocka_unit_test(registry_growth_waits_for_readers),
        cmocka_unit_test(registry_bears_short_memory),
        cmocka_unit_test(registry_init_fails_without_memory),
        cmocka_unit_test(registry_readers_see_through_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
