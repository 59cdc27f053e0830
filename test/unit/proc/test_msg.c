/* SPDX-License-Identifier: MIT */
/* Messages: sizes, ownership, order from one sender to one receiver. */
#include "unit/proc/puppet.h"

#include "base/mem.h"

static void msg_has_its_bytes(void **state) {
    (void)state;
    rusm_msg *msg;
    assert_int_equal(rusm_msg_new(0, &msg), RUSM_OK);
    assert_int_equal(rusm_msg_len(msg), 0);
    rusm_msg_free(msg);
    assert_int_equal(rusm_msg_copy(NULL, 0, &msg), RUSM_OK);
    rusm_msg_free(msg);
    assert_int_equal(rusm_msg_copy("bytes\0more", 10, &msg), RUSM_OK);
    assert_int_equal(rusm_msg_len(msg), 10);
    assert_memory_equal(rusm_msg_data(msg), "bytes\0more", 10);
    assert_int_equal(rusm_msg_get_kind(msg), RUSM_MSG_DATA);
    assert_true(rusm_msg_ref(msg) == 0);
    assert_int_equal(rusm_msg_exit_kind(msg), RUSM_EXIT_NORMAL);
    rusm_msg_free(msg);
    rusm_msg_free(NULL);
}

static void msg_has_limits(void **state) {
    (void)state;
    rusm_msg *msg = (rusm_msg *)1;
    assert_int_equal(rusm_msg_new(RUSM_MSG_MAX_BYTES + 1, &msg), RUSM_ETOOBIG);
    assert_null(msg);
    assert_int_equal(rusm_msg_new(SIZE_MAX, &msg), RUSM_ETOOBIG);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm_msg_new(10, &msg), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
    assert_null(msg);
}

static void msg_stays_with_the_sender_on_failure(void **state) {
    (void)state;
    rusm_runtime *rt = start_runtime(1);
    static struct puppet puppet;
    puppet_prepare(&puppet, rt);
    rusm_spawn_options options = puppet_options(&puppet);
    options.mailbox_bytes = 100;
    assert_int_equal(rusm_proc_spawn(rt, &options, &puppet.pid), RUSM_OK);
    rusm_msg *msg;
    assert_int_equal(rusm_msg_new(200, &msg), RUSM_OK);
    memset(rusm_msg_data(msg), 7, 200);
    assert_int_equal(rusm_msg_send(rt, puppet.pid, msg), RUSM_ETOOBIG);
    assert_int_equal(rusm_msg_send(rt, 99999, msg), RUSM_ENOPROC);
    assert_int_equal(rusm_msg_data(msg)[199], 7);
    rusm_msg_free(msg);
    rusm_runtime_stop(rt);
}

/* ---- order ---- */

enum { SENDERS = 4, EACH = 5000 };

struct order {
    rusm_runtime *rt;
    rusm_pid to;
    uint32_t next[SENDERS];
    _Atomic unsigned received, wrong;
};

struct numbered {
    uint32_t sender, number;
};

static rusm_step check_order(rusm_proc *self, void *body) {
    struct order *order = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        struct numbered item;
        memcpy(&item, rusm_msg_data(msg), sizeof(item));
        atomic_fetch_add(&order->wrong, item.number != order->next[item.sender]++);
        atomic_fetch_add(&order->received, 1);
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

struct sender {
    struct order *order;
    struct numbered next;
};

static bool send_next(struct sender *sender) {
    rusm_msg *msg;
    if (rusm_msg_copy(&sender->next, sizeof(sender->next), &msg) != RUSM_OK) {
        return false;
    }
    if (rusm_msg_send(sender->order->rt, sender->order->to, msg) != RUSM_OK) {
        rusm_msg_free(msg);
        return false;
    }
    return ++sender->next.number < EACH;
}

static void *send_from_thread(void *arg) {
    while (send_next(arg)) {
    }
    return NULL;
}

/* A few at a time, so that the process is stolen now and then. */
static rusm_step send_from_process(rusm_proc *self, void *body) {
    (void)self;
    for (unsigned i = 0; i < 10; i++) {
        if (!send_next(body)) {
            return RUSM_STEP_EXIT;
        }
    }
    return RUSM_STEP_AGAIN;
}

static void msg_order_of_each_sender_is_kept(void **state) {
    static const rusm_body_ops checker_ops = {.name = "checker", .step = check_order};
    static const rusm_body_ops sender_ops = {.name = "sender", .step = send_from_process};
    static struct order order;
    static struct sender senders[SENDERS];
    (void)state;
    pthread_t threads[2];
    order = (struct order){.rt = start_runtime(2)};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &checker_ops, .body = &order};
    assert_int_equal(rusm_proc_spawn(order.rt, &options, &order.to), RUSM_OK);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.order = &order, .next = {.sender = i}};
        if (i < 2) {
            assert_int_equal(pthread_create(&threads[i], NULL, send_from_thread, &senders[i]), 0);
        } else {
            rusm_pid pid;
            options.ops = &sender_ops;
            options.body = &senders[i];
            assert_int_equal(rusm_proc_spawn(order.rt, &options, &pid), RUSM_OK);
        }
    }
    WAIT_FOR(atomic_load(&order.received) == SENDERS * EACH);
    assert_int_equal(atomic_load(&order.wrong), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    rusm_runtime_stop(order.rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(msg_has_its_bytes),
        cmocka_unit_test(msg_has_limits),
        cmocka_unit_test(msg_stays_with_the_sender_on_failure),
        cmocka_unit_test(msg_order_of_each_sender_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
