/* SPDX-License-Identifier: MIT */
/* Timers from processes and plain threads, cancelled by anybody at any time: armed = cancelled +
 * delivered + refused by a full mailbox, each delivered once and none early. */
#include "stress.h"

enum { SETTERS = 6, THREADS = 2, SHARED = 512 };

static rusm_runtime *rt;
static uint64_t end_ns;
static rusm_pid collector;
static _Atomic uint64_t armed, cancelled, delivered, early, wrong;
static _Atomic rusm_timer shared[SHARED]; /* anybody may cancel these */

struct ring {
    uint64_t deadline_ns;
};

static rusm_step collect(rusm_proc *self, void *body) {
    rusm_msg *msg;
    (void)body;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        struct ring ring;
        memcpy(&ring, rusm_msg_data(msg), sizeof(ring));
        atomic_fetch_add(&early, rusm_now_ns() < ring.deadline_ns);
        atomic_fetch_add(&delivered, 1);
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

/* Most are far enough away to be cancelled; some are due at once or long past. */
static void set_one(struct rusm__random *random) {
    struct ring ring = {.deadline_ns = rusm_now_ns()};
    switch (rusm__random_below(random, 4)) {
    case 0:
        ring.deadline_ns = 1;
        break;
    case 1:
        ring.deadline_ns += rusm__random_below(random, 3000000);
        break;
    default:
        ring.deadline_ns += rusm__random_below(random, 300000000);
        break;
    }
    rusm_msg *msg;
    rusm_timer timer;
    if (rusm_msg_copy(&ring, sizeof(ring), &msg) != RUSM_OK) {
        atomic_fetch_add(&wrong, 1);
        return;
    }
    if (rusm_timer_send(rt, ring.deadline_ns, collector, msg, &timer) != RUSM_OK) {
        rusm_msg_free(msg);
        atomic_fetch_add(&wrong, 1);
        return;
    }
    atomic_fetch_add(&armed, 1);
    timer = atomic_exchange(&shared[rusm__random_below(random, SHARED)], timer);
    atomic_fetch_add(&cancelled, timer && rusm_timer_cancel(rt, timer));
}

static void cancel_one(struct rusm__random *random) {
    rusm_timer timer = atomic_load(&shared[rusm__random_below(random, SHARED)]); /* maybe twice */
    atomic_fetch_add(&cancelled, timer && rusm_timer_cancel(rt, timer));
}

static void set_and_cancel(struct rusm__random *random) {
    for (unsigned i = 0; i < 20; i++) {
        if (rusm__random_below(random, 3)) {
            set_one(random);
        } else {
            cancel_one(random);
        }
    }
}

static rusm_step set_in_step(rusm_proc *self, void *body) {
    (void)self;
    set_and_cancel(body);
    return rusm_now_ns() < end_ns ? RUSM_STEP_AGAIN : RUSM_STEP_EXIT;
}

static void *set_in_thread(void *random) {
    while (rusm_now_ns() < end_ns) {
        set_and_cancel(random);
        sched_yield();
    }
    return NULL;
}

static bool all_are_accounted_for(void) {
    return atomic_load(&armed) ==
           atomic_load(&cancelled) + atomic_load(&delivered) + stats_of(rt).refused;
}

static void timers_fire_or_are_cancelled(void **state) {
    static const rusm_body_ops collector_ops = {.name = "collector", .step = collect};
    static const rusm_body_ops setter_ops = {.name = "setter", .step = set_in_step};
    static struct rusm__random randoms[SETTERS + THREADS];
    pthread_t threads[THREADS];
    uint64_t seed = stress_seed();
    (void)state;
    rt = stress_start(0);
    end_ns = stress_end_ns();
    rusm_spawn_options options = {.size = sizeof(options), .ops = &collector_ops};
    options.mailbox_messages = 4000000;
    options.mailbox_bytes = 1ull << 36;
    assert_int_equal(rusm_proc_spawn(rt, &options, &collector), RUSM_OK);
    for (unsigned i = 0; i < SETTERS + THREADS; i++) {
        rusm__random_seed(&randoms[i], seed + i);
    }
    for (unsigned i = 0; i < SETTERS; i++) {
        options =
            (rusm_spawn_options){.size = sizeof(options), .ops = &setter_ops, .body = &randoms[i]};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, set_in_thread, &randoms[SETTERS + i]),
                         0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    WAIT_FOR(rusm_runtime_process_count(rt) == 1);
    WAIT_FOR(all_are_accounted_for());
    nap_ms(20);
    printf("armed %llu, cancelled %llu, delivered %llu, refused %llu\n",
           (unsigned long long)atomic_load(&armed), (unsigned long long)atomic_load(&cancelled),
           (unsigned long long)atomic_load(&delivered), (unsigned long long)stats_of(rt).refused);
    assert_true(all_are_accounted_for());
    assert_true(atomic_load(&early) == 0);
    assert_true(atomic_load(&wrong) == 0);
    assert_true(atomic_load(&cancelled) > 100 && atomic_load(&delivered) > 100);
    assert_int_equal(rusm_runtime_stop(rt), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_or_are_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
