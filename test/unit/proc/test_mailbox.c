/* SPDX-License-Identifier: MIT */
/* The mailbox alone: bounds, order, the marks, and the protocol of parking with real threads. */
#include "proc/mailbox.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rusm/error.h"

#define HEADER sizeof(struct rusm_msg)

static struct rusm__mailbox box;

static rusm_msg *message(uint32_t number, size_t len) {
    rusm_msg *msg;
    assert_int_equal(rusm_msg_new(len, &msg), RUSM_OK);
    msg->ref = number;
    return msg;
}

static enum rusm__push push(uint32_t number, size_t len) {
    rusm_msg *msg = message(number, len);
    enum rusm__push result = rusm__mailbox_push(&box, msg);
    if (result >= RUSM__PUSH_CLOSED) {
        rusm_msg_free(msg);
    }
    return result;
}

static void accept_all(void) {
    rusm_msg *msg = rusm__mailbox_take(&box);
    while (msg) {
        rusm_msg *next = msg->next;
        rusm__mailbox_append(&box, msg);
        msg = next;
    }
}

static int pop(void) {
    rusm_msg *msg = rusm__mailbox_pop(&box);
    int number = msg ? (int)msg->ref : -1;
    rusm_msg_free(msg);
    return number;
}

static void close_box(void) {
    rusm_msg *msg = rusm__mailbox_close(&box);
    while (msg) {
        rusm_msg *next = msg->next;
        rusm_msg_free(msg);
        msg = next;
    }
    while (pop() >= 0) {
    }
}

/* ---- order and bounds ---- */

static void mailbox_keeps_the_order(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 100, 1 << 20);
    assert_null(rusm__mailbox_take(&box));
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(push(i, i), RUSM__PUSH_OK);
        if (i % 7 == 1) {
            accept_all();
        }
    }
    assert_true(rusm__mailbox_has_new(&box));
    assert_int_equal(rusm__mailbox_depth(&box), 50);
    accept_all();
    assert_false(rusm__mailbox_has_new(&box));
    for (int i = 0; i < 50; i++) {
        assert_int_equal(pop(), i);
    }
    assert_int_equal(pop(), -1);
    assert_int_equal(rusm__mailbox_depth(&box), 0);
    close_box();
}

static void mailbox_is_bounded_in_messages(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 10, 1 << 20);
    for (uint32_t round = 0; round < 1000; round++) {
        for (uint32_t i = 0; i < 10; i++) {
            assert_int_equal(push(i, 3), RUSM__PUSH_OK);
        }
        assert_int_equal(push(10, 3), RUSM__PUSH_FULL);
        accept_all(); /* taking them out of the inbox is not yet receiving */
        assert_int_equal(push(10, 3), RUSM__PUSH_FULL);
        assert_int_equal(pop(), 0);
        assert_int_equal(push(10, 3), RUSM__PUSH_OK);
        accept_all();
        for (int i = 1; i <= 10; i++) {
            assert_int_equal(pop(), i);
        }
    }
    close_box();
}

static void mailbox_is_bounded_in_bytes(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 1000, 3 * HEADER + 300);
    assert_int_equal(push(0, 100), RUSM__PUSH_OK);
    assert_int_equal(push(1, 100), RUSM__PUSH_OK);
    assert_int_equal(push(2, 101), RUSM__PUSH_FULL);
    assert_int_equal(push(2, 100), RUSM__PUSH_OK);
    assert_int_equal(push(3, 0), RUSM__PUSH_FULL);
    accept_all();
    assert_int_equal(pop(), 0);
    assert_int_equal(push(3, 100), RUSM__PUSH_OK);
    /* One that could never fit says so even to an empty mailbox, and leaves no trace. */
    close_box();
    rusm__mailbox_init(&box, 1000, HEADER + 10);
    assert_int_equal(push(0, 11), RUSM__PUSH_FULL);
    assert_true(atomic_load(&box.arrived) == 0);
    assert_int_equal(push(0, 10), RUSM__PUSH_OK);
    close_box();
}

static void mailbox_limits_have_a_ceiling(void **state) {
    (void)state;
    rusm__mailbox_init(&box, UINT32_MAX, UINT64_MAX);
    assert_true(box.max_messages == RUSM__MAILBOX_MAX_MESSAGES);
    assert_true(box.max_bytes == RUSM__MAILBOX_MAX_BYTES);
    /* At the ceiling the sum is still told from a negative one. */
    atomic_store(&box.arrived, (uint64_t)RUSM__MAILBOX_MAX_MESSAGES << RUSM__LOAD_SHIFT);
    assert_int_equal(push(0, 0), RUSM__PUSH_FULL);
    atomic_store(&box.arrived, RUSM__MAILBOX_MAX_BYTES);
    assert_int_equal(push(0, 0), RUSM__PUSH_FULL);
    atomic_store(&box.arrived, 0);
    close_box();
}

/* A sender adds its load and is interrupted; others send, the receiver takes it all, and only then
 * does the sender look at what was taken: more than it knows to have arrived. */
static void mailbox_load_from_the_past_is_no_refusal(void **state) {
    const uint64_t one = (uint64_t)1 << RUSM__LOAD_SHIFT;
    (void)state;
    rusm__mailbox_init(&box, 2, 1 << 20);
    atomic_store(&box.taken, 9 * (one + 1000)); /* the sum itself is still 0 */
    assert_int_equal(push(0, 10), RUSM__PUSH_OK);
    close_box();
    /* The same with one message more than was taken, and fewer bytes. */
    rusm__mailbox_init(&box, 2, 1 << 20);
    atomic_store(&box.arrived, one + 10);
    atomic_store(&box.taken, one + 100000);
    assert_int_equal(push(0, 10), RUSM__PUSH_OK);
    close_box();
}

static void mailbox_counters_go_around(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 3, 1 << 20);
    uint64_t nearly = UINT64_MAX - ((uint64_t)2 << RUSM__LOAD_SHIFT);
    atomic_store(&box.arrived, nearly);
    atomic_store(&box.taken, nearly);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(push((uint32_t)i, 17), RUSM__PUSH_OK);
        assert_int_equal(push((uint32_t)i, 1000), RUSM__PUSH_OK);
        assert_int_equal(rusm__mailbox_depth(&box), 2);
        accept_all();
        assert_int_equal(pop(), i);
        assert_int_equal(pop(), i);
    }
    close_box();
}

static void mailbox_signals_pass_a_full_mailbox(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 1, 1 << 20);
    assert_int_equal(push(0, 0), RUSM__PUSH_OK);
    assert_int_equal(push(1, 0), RUSM__PUSH_FULL);
    for (unsigned i = 0; i < 10; i++) {
        struct rusm__signal *signal = rusm__signal_new(RUSM__TAG_EXIT, 1);
        assert_int_equal(rusm__mailbox_push_signal(&box, &signal->head), RUSM__PUSH_OK);
    }
    assert_int_equal(rusm__mailbox_depth(&box), 1);
    accept_all();
    for (unsigned i = 0; i < 11; i++) {
        assert_true(pop() >= 0);
    }
    assert_int_equal(rusm__mailbox_depth(&box), 0);
    assert_int_equal(push(1, 0), RUSM__PUSH_OK);
    close_box();
}

/* ---- the own list ---- */

static void mailbox_removes_from_the_middle(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 100, 1 << 20);
    for (uint32_t i = 0; i < 5; i++) {
        push(i, 0);
    }
    accept_all();
    rusm_msg *msg = rusm__mailbox_remove(&box, &box.first->next);
    assert_int_equal(msg->ref, 1);
    rusm_msg_free(msg);
    assert_int_equal(rusm__mailbox_depth(&box), 4);
    rusm_msg **where = &box.first;
    while ((*where)->next) {
        where = &(*where)->next;
    }
    rusm_msg_free(rusm__mailbox_remove(&box, where)); /* the last one: the end moves back */
    push(7, 0);
    accept_all();
    assert_int_equal(pop(), 0);
    assert_int_equal(pop(), 2);
    assert_int_equal(pop(), 3);
    assert_int_equal(pop(), 7);
    assert_int_equal(rusm__mailbox_depth(&box), 0);
    close_box();
}

static void mailbox_prepends_before_everything(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 100, 1 << 20);
    for (unsigned round = 0; round < 2; round++) { /* into an empty list, then in front */
        rusm_msg *first = message(round * 2, 0), *last = message(round * 2 + 1, 0);
        first->flags = last->flags = RUSM__MSG_TAKEN;
        first->next = last;
        rusm__mailbox_prepend(&box, first, &last->next);
    }
    push(4, 0);
    accept_all();
    const int wanted[] = {2, 3, 0, 1, 4, -1};
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(pop(), wanted[i]);
    }
    assert_int_equal(rusm__mailbox_depth(&box), 0);
    close_box();
}

/* ---- marks ---- */

static void mailbox_wakes_the_receiver_once(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 100, 1 << 20);
    assert_true(rusm__mailbox_park(&box));
    assert_int_equal(push(0, 0), RUSM__PUSH_WAKE);
    assert_int_equal(push(1, 0), RUSM__PUSH_OK);
    assert_false(rusm__mailbox_unpark(&box)); /* somebody has woken it already */
    assert_false(rusm__mailbox_park(&box));   /* there is news */
    accept_all();
    assert_true(rusm__mailbox_park(&box));
    assert_true(rusm__mailbox_unpark(&box));
    assert_false(rusm__mailbox_unpark(&box));
    assert_int_equal(push(2, 0), RUSM__PUSH_OK);
    close_box();
}

static void mailbox_closed_takes_nothing(void **state) {
    (void)state;
    rusm__mailbox_init(&box, 100, 1 << 20);
    push(0, 0);
    push(1, 0);
    rusm_msg *rest = rusm__mailbox_close(&box);
    assert_int_equal(rest->ref, 0);
    assert_int_equal(rest->next->ref, 1);
    assert_null(rest->next->next);
    rusm_msg_free(rest->next);
    rusm_msg_free(rest);
    uint64_t before = atomic_load(&box.arrived);
    assert_int_equal(push(2, 0), RUSM__PUSH_CLOSED);
    assert_true(atomic_load(&box.arrived) == before);
    assert_false(rusm__mailbox_unpark(&box));
    struct rusm__signal *signal = rusm__signal_new(RUSM__TAG_EXIT, 1);
    assert_int_equal(rusm__mailbox_push_signal(&box, &signal->head), RUSM__PUSH_CLOSED);
    rusm_msg_free(&signal->head);
}

/* ---- threads ---- */

/* Senders and wakers against one receiver that parks whenever it finds nothing. `runnable` plays
 * the run queue: whoever is told to queue the process counts it up; two at a time would be two
 * schedulers running one process, and none with mail waiting a lost wake-up. */
enum { SENDERS = 3, PER_SENDER = 60000, WAKERS = 2 };

static _Atomic int runnable;
static _Atomic unsigned too_many, refused;
static _Atomic bool finished;

static void make_runnable(void) {
    if (atomic_fetch_add(&runnable, 1) != 0) {
        atomic_fetch_add(&too_many, 1);
    }
}

static void *send_many(void *arg) {
    uint32_t sender = (uint32_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < PER_SENDER; i++) {
        rusm_msg *msg;
        if (rusm_msg_new(i % 50, &msg) != RUSM_OK) {
            abort();
        }
        msg->from = sender;
        msg->ref = i;
        enum rusm__push result;
        while ((result = rusm__mailbox_push(&box, msg)) == RUSM__PUSH_FULL) {
            atomic_fetch_add(&refused, 1);
            sched_yield();
        }
        if (result == RUSM__PUSH_WAKE) {
            make_runnable();
        }
    }
    return NULL;
}

static void *wake_often(void *unused) {
    (void)unused;
    while (!atomic_load(&finished)) {
        if (rusm__mailbox_unpark(&box)) {
            make_runnable();
        }
        sched_yield();
    }
    return NULL;
}

/* Returns how many were received before the process parked. */
static unsigned run_once(uint64_t next[SENDERS], unsigned *out_of_order) {
    unsigned received = 0;
    do {
        accept_all();
        rusm_msg *msg;
        while ((msg = rusm__mailbox_pop(&box)) != NULL) {
            *out_of_order += msg->ref != next[msg->from]++;
            rusm_msg_free(msg);
            received++;
        }
        atomic_store(&runnable, 0); /* before the mark can be seen */
        if (rusm__mailbox_park(&box)) {
            return received;
        }
        atomic_store(&runnable, 1);
    } while (true);
}

static void mailbox_threads_lose_nothing(void **state) {
    pthread_t threads[SENDERS + WAKERS];
    uint64_t next[SENDERS] = {0};
    unsigned received = 0, out_of_order = 0;
    (void)state;
    rusm__mailbox_init(&box, 500, 1 << 20);
    atomic_store(&runnable, 1);
    for (uintptr_t i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, (void *)i), 0);
    }
    for (unsigned i = 0; i < WAKERS; i++) {
        assert_int_equal(pthread_create(&threads[SENDERS + i], NULL, wake_often, NULL), 0);
    }
    while (received < SENDERS * PER_SENDER) {
        if (atomic_load(&runnable)) {
            received += run_once(next, &out_of_order);
        } else {
            sched_yield(); /* parked: a lost wake-up would leave us here for ever */
        }
    }
    atomic_store(&finished, true);
    for (unsigned i = 0; i < SENDERS + WAKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(out_of_order, 0);
    assert_int_equal(atomic_load(&too_many), 0);
    assert_int_equal(rusm__mailbox_depth(&box), 0);
    assert_true(atomic_load(&box.arrived) == atomic_load(&box.taken));
    if (!atomic_load(&runnable)) {
        assert_true(rusm__mailbox_unpark(&box));
    }
    close_box();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mailbox_keeps_the_order),
        cmocka_unit_test(mailbox_is_bounded_in_messages),
        cmocka_unit_test(mailbox_is_bounded_in_bytes),
        cmocka_unit_test(mailbox_limits_have_a_ceiling),
        cmocka_unit_test(mailbox_load_from_the_past_is_no_refusal),
        cmocka_unit_test(mailbox_counters_go_around),
        cmocka_unit_test(mailbox_signals_pass_a_full_mailbox),
        cmocka_unit_test(mailbox_removes_from_the_middle),
        cmocka_unit_test(mailbox_prepends_before_everything),
        cmocka_unit_test(mailbox_wakes_the_receiver_once),
        cmocka_unit_test(mailbox_closed_takes_nothing),
        cmocka_unit_test(mailbox_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
