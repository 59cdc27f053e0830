/* SPDX-License-Identifier: MIT */
/* Reclamation: nothing goes while a reader may hold it, everything goes in the end. The domain is
 * driven by hand where the order matters, and by real threads where only the result does. */
#include "sync/qs.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/runtime.h"

#include "base/clock.h"
#include "base/mem.h"

struct item {
    struct rusm__qs_node qs; /* first */
    unsigned *freed;
};

static void reclaim(struct rusm__qs_node *node) {
    struct item *item = (struct item *)node;
    (*item->freed)++;
    rusm__mem_free(item);
}

static struct item *new_item(unsigned *freed) {
    struct item *item = rusm__mem_alloc(sizeof(*item));
    item->freed = freed;
    return item;
}

static void retire(struct rusm__qs *qs, size_t member, unsigned *freed) {
    rusm__qs_retire(qs, &qs->members[member], &new_item(freed)->qs, reclaim);
}

static void retire_outside(struct rusm__qs *qs, unsigned *freed) {
    rusm__qs_retire(qs, NULL, &new_item(freed)->qs, reclaim);
}

/* As many quiescent points of one member as could ever be needed for one epoch. */
static void quiesce_often(struct rusm__qs *qs, size_t member) {
    for (unsigned i = 0; i < 8 * RUSM__QS_TRY_TURNS; i++) {
        rusm__qs_quiesce(qs, &qs->members[member]);
    }
}

static void init(struct rusm__qs *qs, size_t members) {
    assert_int_equal(rusm__qs_init(qs, members), RUSM_OK);
}

/* ---- by hand ---- */

static void qs_frees_when_the_only_member_is_quiescent(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 1);
    rusm__qs_online(&qs, &qs.members[0]);
    retire(&qs, 0, &freed);
    assert_int_equal(freed, 0);
    quiesce_often(&qs, 0);
    assert_int_equal(freed, 1);
    rusm__qs_fini(&qs);
}

static void qs_waits_for_a_member_in_mid_step(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 2);
    rusm__qs_online(&qs, &qs.members[0]);
    rusm__qs_online(&qs, &qs.members[1]); /* and then it runs a long step */
    retire(&qs, 0, &freed);
    quiesce_often(&qs, 0);
    assert_int_equal(freed, 0);
    for (unsigned i = 0; i < 8; i++) {
        rusm__qs_quiesce(&qs, &qs.members[1]);
        quiesce_often(&qs, 0);
    }
    assert_int_equal(freed, 1);
    rusm__qs_fini(&qs);
}

static void qs_does_not_wait_for_sleepers(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 3); /* two of them never come online */
    rusm__qs_online(&qs, &qs.members[1]);
    assert_true(rusm__qs_is_online(&qs.members[1]));
    retire(&qs, 1, &freed);
    quiesce_often(&qs, 1);
    assert_int_equal(freed, 1);
    rusm__qs_offline(&qs.members[1]);
    assert_false(rusm__qs_is_online(&qs.members[1]));
    rusm__qs_fini(&qs);
}

static void qs_drains_before_a_sleep(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 2);
    rusm__qs_online(&qs, &qs.members[0]);
    rusm__qs_online(&qs, &qs.members[1]);
    for (unsigned i = 0; i < 10; i++) {
        retire(&qs, 0, &freed);
    }
    rusm__qs_offline(&qs.members[0]);
    assert_false(rusm__qs_drain(&qs, &qs.members[0])); /* the other is in mid-step */
    assert_int_equal(freed, 0);
    rusm__qs_offline(&qs.members[1]);
    assert_true(rusm__qs_drain(&qs, &qs.members[0]));
    assert_int_equal(freed, 10);
    rusm__qs_fini(&qs);
}

/* What was retired in different epochs lies in different buckets; a bucket that comes around is
 * emptied before it is used again. */
static void qs_keeps_epochs_apart(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    unsigned retired = 0;
    (void)state;
    init(&qs, 1);
    rusm__qs_online(&qs, &qs.members[0]);
    for (unsigned round = 0; round < 100; round++) {
        retire(&qs, 0, &freed);
        retired++;
        uint64_t before = atomic_load(&qs.epoch);
        while (atomic_load(&qs.epoch) == before) {
            rusm__qs_quiesce(&qs, &qs.members[0]);
        }
        rusm__qs_quiesce(&qs, &qs.members[0]);
        assert_true(retired - freed <= RUSM__QS_BUCKETS);
        assert_int_equal(qs.members[0].pending, retired - freed);
    }
    rusm__qs_fini(&qs);
    assert_int_equal(freed, retired);
}

static void qs_readers_outside_hold_the_epoch(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 1);
    rusm__qs_online(&qs, &qs.members[0]);
    rusm__qs_enter(&qs);
    rusm__qs_enter(&qs); /* nested, as a look-up inside a walk */
    retire(&qs, 0, &freed);
    quiesce_often(&qs, 0);
    assert_int_equal(freed, 0);
    rusm__qs_exit(&qs);
    quiesce_often(&qs, 0);
    assert_int_equal(freed, 0);
    rusm__qs_exit(&qs);
    quiesce_often(&qs, 0);
    assert_int_equal(freed, 1);
    rusm__qs_fini(&qs);
}

/* A pile behind a member in mid-step is freed over many turns, not in one. */
static void qs_frees_a_pile_bit_by_bit(void **state) {
    enum { PILE = 10000 };
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 2);
    rusm__qs_online(&qs, &qs.members[0]);
    rusm__qs_online(&qs, &qs.members[1]);
    for (unsigned i = 0; i < PILE; i++) {
        retire(&qs, 0, &freed);
        rusm__qs_quiesce(&qs, &qs.members[0]);
    }
    assert_int_equal(freed, 0);
    while (freed < PILE) {
        unsigned before = freed;
        rusm__qs_quiesce(&qs, &qs.members[0]);
        rusm__qs_quiesce(&qs, &qs.members[1]);
        assert_true(freed - before <= RUSM__QS_FREE_AT_ONCE);
    }
    assert_int_equal(qs.members[0].pending, 0);
    rusm__qs_fini(&qs);
}

static void qs_domains_do_not_wait_for_each_other(void **state) {
    struct rusm__qs one, two;
    unsigned freed = 0;
    (void)state;
    init(&one, 1);
    init(&two, 1);
    rusm__qs_online(&one, &one.members[0]);
    rusm__qs_online(&two, &two.members[0]);
    rusm__qs_enter(&two);
    retire(&one, 0, &freed);
    quiesce_often(&one, 0);
    assert_int_equal(freed, 1);
    rusm__qs_exit(&two);
    rusm__qs_fini(&one);
    rusm__qs_fini(&two);
}

static void qs_plain_threads_retire_too(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 1);
    rusm__qs_online(&qs, &qs.members[0]);
    for (unsigned i = 0; i < 50; i++) {
        retire_outside(&qs, &freed);
    }
    assert_int_equal(freed, 0);
    quiesce_often(&qs, 0); /* members free it in passing */
    assert_int_equal(freed, 50);
    assert_int_equal(atomic_load(&qs.outside_pending), 0);
    rusm__qs_fini(&qs);
}

static void qs_fini_frees_the_rest(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 2);
    rusm__qs_online(&qs, &qs.members[0]);
    rusm__qs_online(&qs, &qs.members[1]);
    retire(&qs, 0, &freed);
    retire(&qs, 1, &freed);
    retire_outside(&qs, &freed);
    rusm__qs_offline(&qs.members[0]);
    rusm__qs_offline(&qs.members[1]);
    rusm__qs_fini(&qs);
    assert_int_equal(freed, 3);
}

/* ---- interrupted on the way online ---- */

/* Between reading the epoch and announcing it a thread may lose its core for long, and the epoch
 * moves on as if it slept. A signal handler plays the rest of the world: while member 0 is not
 * online it moves the epoch several steps. */
enum { INTERRUPTIONS = 500 };

static struct rusm__qs shaken;
static _Atomic unsigned interruptions;
static _Atomic bool shaking;

static void move_the_epoch(int signal) {
    struct rusm__qs_member *other = &shaken.members[1];
    (void)signal;
    if (rusm__qs_is_online(&shaken.members[0])) {
        return;
    }
    other->pending = 1; /* a reason to move on; nothing is in the buckets */
    uint64_t wanted = atomic_load(&shaken.epoch) + 5;
    for (unsigned i = 0; i < 10 * RUSM__QS_TRY_TURNS && atomic_load(&shaken.epoch) < wanted; i++) {
        rusm__qs_quiesce(&shaken, other);
    }
    other->pending = 0;
    atomic_fetch_add(&interruptions, 1);
}

static void *interrupt(void *thread) {
    while (atomic_load(&shaking)) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        const struct timespec pause = {.tv_nsec = 20000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void qs_comes_online_in_the_present_epoch(void **state) {
    struct sigaction action = {.sa_handler = move_the_epoch, .sa_flags = SA_RESTART}, before;
    pthread_t self = pthread_self(), thread;
    unsigned stale = 0;
    (void)state;
    init(&shaken, 2);
    rusm__qs_online(&shaken, &shaken.members[1]);
    sigaction(SIGUSR1, &action, &before);
    atomic_store(&shaking, true);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &self), 0);
    uint64_t until = rusm_now_ns() + 5 * RUSM__SECOND; /* also where few signals get through */
    while (atomic_load(&interruptions) < INTERRUPTIONS && rusm_now_ns() < until) {
        rusm__qs_online(&shaken, &shaken.members[0]);
        stale += atomic_load(&shaken.epoch) > atomic_load(&shaken.members[0].seen) + 1;
        rusm__qs_offline(&shaken.members[0]);
    }
    atomic_store(&shaking, false);
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(stale, 0);
    assert_true(atomic_load(&interruptions) > 0);
    rusm__qs_fini(&shaken);
}

/* ---- threads ---- */

/* A shared pointer that writers replace. Whoever reads a retired object finds a value that no
 * object has while it lives, and a sanitizer finds more. */
enum { MEMBERS = 3, OUTSIDERS = 2, ROUNDS = 20000, ENOUGH = 1000, ALIVE = 0x600d };

struct object {
    struct rusm__qs_node qs;
    unsigned value;
};

struct arena {
    struct rusm__qs qs;
    _Atomic(struct object *) shared;
    _Atomic unsigned made, freed, bad;
    _Atomic bool stop;
};

static struct arena arena;

static void reclaim_object(struct rusm__qs_node *node) {
    struct object *object = (struct object *)node;
    object->value = 0xdead;
    atomic_fetch_add(&arena.freed, 1);
    free(object);
}

static struct object *new_object(void) {
    struct object *object = malloc(sizeof(*object));
    object->value = ALIVE;
    atomic_fetch_add(&arena.made, 1);
    return object;
}

static void read_shared(void) {
    for (unsigned i = 0; i < 4; i++) {
        struct object *object = atomic_load_explicit(&arena.shared, memory_order_acquire);
        if (object->value != ALIVE) {
            atomic_fetch_add(&arena.bad, 1);
        }
    }
}

static bool freed_enough(void) {
    return atomic_load_explicit(&arena.freed, memory_order_relaxed) >= ENOUGH;
}

static void *run_member(void *arg) {
    struct rusm__qs_member *member = arg;
    rusm__qs_online(&arena.qs, member);
    for (unsigned i = 0; i < ROUNDS || !freed_enough(); i++) {
        read_shared();
        if (i % 3 == 0) {
            struct object *old =
                atomic_exchange_explicit(&arena.shared, new_object(), memory_order_acq_rel);
            read_shared();
            rusm__qs_retire(&arena.qs, member, &old->qs, reclaim_object);
        }
        if (i % 7 == 0) { /* a sleep: the way back online races with the others' epochs */
            rusm__qs_offline(member);
            rusm__qs_drain(&arena.qs, member);
            rusm__qs_online(&arena.qs, member);
        }
        rusm__qs_quiesce(&arena.qs, member);
        if (i % 16 == 0) {
            sched_yield(); /* an epoch needs everybody's turn, and cores may be few */
        }
    }
    rusm__qs_offline(member);
    return NULL;
}

static void *run_outsider(void *unused) {
    (void)unused;
    for (unsigned i = 0; !atomic_load_explicit(&arena.stop, memory_order_relaxed); i++) {
        rusm__qs_enter(&arena.qs);
        read_shared();
        rusm__qs_exit(&arena.qs);
        if (i % 16 == 0) {
            sched_yield();
        }
        if (i % 64 == 0) {
            struct object *old =
                atomic_exchange_explicit(&arena.shared, new_object(), memory_order_acq_rel);
            rusm__qs_retire(&arena.qs, NULL, &old->qs, reclaim_object);
        }
    }
    return NULL;
}

static void qs_readers_never_see_freed_memory(void **state) {
    pthread_t threads[MEMBERS + OUTSIDERS];
    (void)state;
    init(&arena.qs, MEMBERS);
    atomic_store(&arena.shared, new_object());
    for (size_t i = 0; i < OUTSIDERS; i++) {
        assert_int_equal(pthread_create(&threads[MEMBERS + i], NULL, run_outsider, NULL), 0);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_member, &arena.qs.members[i]), 0);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&arena.stop, true);
    for (size_t i = 0; i < OUTSIDERS; i++) {
        pthread_join(threads[MEMBERS + i], NULL);
    }
    assert_true(freed_enough());
    rusm__qs_fini(&arena.qs);
    assert_int_equal(atomic_load(&arena.bad), 0);
    assert_int_equal(atomic_load(&arena.freed) + 1, atomic_load(&arena.made));
    free(atomic_load(&arena.shared));
}

/* Records of plain threads are passed on when a thread ends. */
static void *enter_once(void *qs) {
    rusm__qs_enter(qs);
    rusm__qs_exit(qs);
    return NULL;
}

static void qs_threads_come_and_go(void **state) {
    struct rusm__qs qs;
    unsigned freed = 0;
    (void)state;
    init(&qs, 1);
    for (unsigned i = 0; i < 200; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, enter_once, &qs), 0);
        pthread_join(thread, NULL);
    }
    rusm__qs_online(&qs, &qs.members[0]);
    retire(&qs, 0, &freed);
    quiesce_often(&qs, 0);
    assert_int_equal(freed, 1); /* none of the dead holds the epoch */
    rusm__qs_fini(&qs);
}

static void qs_init_fails_without_memory(void **state) {
    struct rusm__qs qs;
    (void)state;
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__qs_init(&qs, 4), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qs_frees_when_the_only_member_is_quiescent),
        cmocka_unit_test(qs_waits_for_a_member_in_mid_step),
        cmocka_unit_test(qs_does_not_wait_for_sleepers),
        cmocka_unit_test(qs_drains_before_a_sleep),
        cmocka_unit_test(qs_keeps_epochs_apart),
        cmocka_unit_test(qs_readers_outside_hold_the_epoch),
        cmocka_unit_test(qs_frees_a_pile_bit_by_bit),
        cmocka_unit_test(qs_domains_do_not_wait_for_each_other),
        cmocka_unit_test(qs_plain_threads_retire_too),
        cmocka_unit_test(qs_fini_frees_the_rest),
        cmocka_unit_test(qs_comes_online_in_the_present_epoch),
        cmocka_unit_test(qs_readers_never_see_freed_memory),
        cmocka_unit_test(qs_threads_come_and_go),
        cmocka_unit_test(qs_init_fails_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
