/* SPDX-License-Identifier: MIT */
/* No wake-up is lost: tokens go around among processes that wait for nothing else, on schedulers
 * that fall asleep in between, handed on by messages, timers, wakes, and timers of the event loop.
 * A lost wake-up stops a token for ever. */
#include "stress.h"

#include "proc/proc.h"
#include "sched/sched.h"

enum { PROCESSES = 24, TOKENS = 7, POKERS = 2 };

static rusm_runtime *rt;
static uint64_t end_ns;
static _Atomic uint64_t seeds, hops, wrong, pokes;
static _Atomic unsigned resting; /* tokens that arrived after the end */

struct station {
    struct rusm__random random;
    rusm_pid pid;
    _Atomic unsigned flagged; /* tokens put here without a message; a wake tells */
};

static struct station stations[PROCESSES];

/* A timer of the event loop that hands a token on from its callback. */
struct loop_timer {
    uv_timer_t timer;
    struct station *to;
};

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void on_timer(uv_timer_t *handle) {
    struct loop_timer *timer = handle->data;
    atomic_fetch_add(&timer->to->flagged, 1);
    atomic_fetch_add(&wrong, !rusm__proc_wake(rt, timer->to->pid));
    uv_close((uv_handle_t *)handle, on_closed);
}

static void hand_on_by_loop(struct station *to, uint32_t ms) {
    struct loop_timer *timer = malloc(sizeof(*timer));
    uv_loop_t *loop = rusm__sched_loop(rusm__sched_current());
    timer->to = to;
    uv_timer_init(loop, &timer->timer);
    timer->timer.data = timer;
    uv_update_time(loop);
    uv_timer_start(&timer->timer, on_timer, ms, 0);
}

static void hand_on(struct station *from) {
    struct station *to = &stations[rusm__random_below(&from->random, PROCESSES)];
    uint32_t how = rusm__random_below(&from->random, 100);
    rusm_msg *msg = NULL;
    rusm_timer timer;
    if (how < 90 && rusm_msg_new(0, &msg) != RUSM_OK) {
        atomic_fetch_add(&wrong, 1);
    } else if (how < 70) {
        atomic_fetch_add(&wrong, rusm_msg_send(rt, to->pid, msg) != RUSM_OK);
    } else if (how < 90) {
        uint64_t deadline = rusm_now_ns() + rusm__random_below(&from->random, 2000000);
        atomic_fetch_add(&wrong, rusm_timer_send(rt, deadline, to->pid, msg, &timer) != RUSM_OK);
    } else if (how < 97) {
        atomic_fetch_add(&to->flagged, 1);
        atomic_fetch_add(&wrong, !rusm__proc_wake(rt, to->pid));
    } else {
        hand_on_by_loop(to, rusm__random_below(&from->random, 3));
    }
    atomic_fetch_add(&hops, 1);
}

static void token_came(struct station *station) {
    if (rusm_now_ns() < end_ns) {
        hand_on(station);
    } else {
        atomic_fetch_add(&resting, 1);
    }
}

static rusm_step pass(rusm_proc *self, void *body) {
    struct station *station = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        rusm_msg_free(msg);
        token_came(station);
    }
    for (unsigned n = atomic_exchange(&station->flagged, 0); n > 0; n--) {
        token_came(station);
    }
    return RUSM_STEP_WAIT;
}

/* Wakes without a token, from outside, with pauses in which schedulers fall asleep. */
static void *poke(void *unused) {
    struct rusm__random random;
    (void)unused;
    rusm__random_seed(&random, atomic_fetch_add(&seeds, 1));
    while (rusm_now_ns() < end_ns) {
        atomic_fetch_add(
            &wrong, !rusm__proc_wake(rt, stations[rusm__random_below(&random, PROCESSES)].pid));
        atomic_fetch_add(&pokes, 1);
        if (rusm__random_below(&random, 4) == 0) {
            nap_ms(rusm__random_below(&random, 3));
        }
    }
    return NULL;
}

static void wakes_are_never_lost(void **state) {
    static const rusm_body_ops ops = {.name = "station", .step = pass};
    pthread_t threads[POKERS];
    (void)state;
    atomic_store(&seeds, stress_seed());
    rt = stress_start(0);
    end_ns = stress_end_ns();
    for (unsigned i = 0; i < PROCESSES; i++) {
        rusm__random_seed(&stations[i].random, atomic_fetch_add(&seeds, 1));
        rusm_spawn_options options = {.size = sizeof(options),
                                      .ops = &ops,
                                      .body = &stations[i],
                                      .flags = i % 2 ? RUSM_SPAWN_PINNED : 0};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
        stations[i].pid = pid;
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        rusm_msg *msg;
        assert_int_equal(rusm_msg_new(0, &msg), RUSM_OK);
        assert_int_equal(rusm_msg_send(rt, stations[i].pid, msg), RUSM_OK);
    }
    for (unsigned i = 0; i < POKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, poke, NULL), 0);
    }
    for (unsigned i = 0; i < POKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    WAIT_FOR(atomic_load(&resting) == TOKENS);
    nap_ms(10);
    assert_int_equal(atomic_load(&resting), TOKENS);
    assert_true(atomic_load(&wrong) == 0);
    printf("%llu hops, %llu pokes, %llu sleeps\n", (unsigned long long)atomic_load(&hops),
           (unsigned long long)atomic_load(&pokes), (unsigned long long)stats_of(rt).sleeps);
    assert_true(atomic_load(&hops) > TOKENS);
    assert_int_equal(rusm_runtime_stop(rt), PROCESSES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wakes_are_never_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
