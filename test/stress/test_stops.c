/* SPDX-License-Identifier: MIT */
/* Runtimes that are stopped amid everything: processes that spawn, link, monitor, send, set timers
 * and hold names while the end comes. Each body is dropped exactly once; what leaks is found by the
 * leak checker of a sanitizer build. */
#include "stress.h"

enum { LIMIT = 2000, FIRST = 20 };

static _Atomic uint64_t made, dropped, wrong, seeds;

struct life {
    struct rusm__random random;
    rusm_pid known[4];
};

static void drop_life(void *body) {
    free(body);
    atomic_fetch_add(&dropped, 1);
}

static rusm_step live(rusm_proc *self, void *body);

static const rusm_body_ops life_ops = {.name = "life", .step = live, .drop = drop_life};

static rusm_pid give_life(rusm_runtime *rt, rusm_pid parent) {
    struct life *life = calloc(1, sizeof(*life));
    rusm__random_seed(&life->random, atomic_fetch_add(&seeds, 1));
    life->known[0] = parent;
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &life_ops,
                                  .body = life,
                                  .monitor_by = parent,
                                  .monitor_ref = 1,
                                  .mailbox_messages = 50};
    rusm_pid pid;
    int status = rusm_proc_spawn(rt, &options, &pid);
    if (status == RUSM_OK) {
        atomic_fetch_add(&made, 1);
        return pid;
    }
    atomic_fetch_add(&wrong, status != RUSM_EPROCS && status != RUSM_ESTATE);
    free(life);
    return 0;
}

static void send_to(rusm_runtime *rt, rusm_pid to, bool later) {
    rusm_msg *msg;
    rusm_timer timer;
    if (rusm_msg_new(40, &msg) != RUSM_OK) {
        atomic_fetch_add(&wrong, 1);
        return;
    }
    int status = later ? rusm_timer_send(rt, rusm_now_ns() + 1000000, to, msg, &timer)
                       : rusm_msg_send(rt, to, msg);
    if (status != RUSM_OK) {
        rusm_msg_free(msg);
    }
}

static void do_something(rusm_proc *self, struct life *life) {
    rusm_runtime *rt = rusm_proc_runtime(self);
    rusm_pid *slot = &life->known[rusm__random_below(&life->random, 4)];
    char name[24];
    uint64_t ref;
    switch (rusm__random_below(&life->random, 10)) {
    case 0:
    case 1:
        *slot = give_life(rt, rusm_proc_pid(self));
        break;
    case 2:
        atomic_fetch_add(&wrong, rusm_proc_link(self, *slot) != RUSM_OK);
        break;
    case 3:
        rusm_proc_unlink(self, *slot);
        break;
    case 4:
        atomic_fetch_add(&wrong, rusm_proc_monitor(self, *slot, &ref) != RUSM_OK);
        break;
    case 5:
    case 6:
        send_to(rt, *slot, rusm__random_below(&life->random, 2));
        break;
    case 7: {
        int len =
            snprintf(name, sizeof(name), "n%u", (unsigned)rusm__random_below(&life->random, 300));
        (void)!rusm_proc_register(self, name, (size_t)len);
        (void)!rusm_proc_join(self, name, (size_t)len);
        break;
    }
    case 8:
        atomic_fetch_add(&wrong, rusm_proc_wake_at(self, rusm_now_ns() + 500000) != RUSM_OK);
        break;
    default:
        rusm_proc_trap_exit(self, rusm__random_below(&life->random, 2));
        break;
    }
}

static rusm_step live(rusm_proc *self, void *body) {
    struct life *life = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        if (rusm__random_below(&life->random, 20) == 0) {
            rusm_proc_stash(self, msg);
        } else {
            rusm_msg_free(msg);
        }
    }
    do_something(self, life);
    switch (rusm__random_below(&life->random, 40)) {
    case 0:
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "one of those days");
        return RUSM_STEP_EXIT;
    case 1:
        return RUSM_STEP_EXIT;
    case 2:
    case 3:
    case 4:
        return RUSM_STEP_WAIT;
    default:
        return RUSM_STEP_AGAIN;
    }
}

static void stops_amid_everything(void **state) {
    (void)state;
    struct rusm__random random;
    rusm__random_seed(&random, stress_seed());
    atomic_store(&seeds, rusm__random_u64(&random));
    unsigned rounds = 0;
    uint64_t end_ns = stress_end_ns(), alive = 0;
    while (rusm_now_ns() < end_ns) {
        rusm_runtime *rt = stress_start(LIMIT);
        for (unsigned i = 0; i < FIRST; i++) {
            give_life(rt, 0);
        }
        nap_ms(rusm__random_below(&random, 30));
        alive += rusm_runtime_stop(rt);
        assert_true(atomic_load(&made) == atomic_load(&dropped));
        rounds++;
    }
    printf("%u runtimes, %llu processes, %llu alive when they were stopped\n", rounds,
           (unsigned long long)atomic_load(&made), (unsigned long long)alive);
    assert_true(atomic_load(&wrong) == 0);
    assert_true(alive > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_amid_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
