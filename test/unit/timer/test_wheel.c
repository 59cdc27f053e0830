/* SPDX-License-Identifier: MIT */
/* The wheel against an oracle: an array that is searched for the earliest deadline. Seeds are
 * printed; RUSM_TEST_SEED replays one. */
#include "timer/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"

#define TICK_NS ((uint64_t)1 << RUSM__WHEEL_TICK_SHIFT)

enum { TIMERS = 300, STEPS = 20000 };

struct timer {
    struct rusm__wheel_node node; /* first */
    uint64_t deadline_ns;         /* oracle: UINT64_MAX = not armed */
};

struct world {
    struct rusm__wheel wheel;
    struct timer timers[TIMERS];
    struct rusm__random random;
    uint64_t now_ns;
    unsigned fired;
};

static struct world world;

static void reset(uint64_t now_ns, uint64_t seed) {
    world = (struct world){.now_ns = now_ns};
    rusm__random_seed(&world.random, seed);
    rusm__wheel_init(&world.wheel, now_ns);
    for (unsigned i = 0; i < TIMERS; i++) {
        rusm__wheel_node_init(&world.timers[i].node);
        world.timers[i].deadline_ns = UINT64_MAX;
    }
}

static void arm(struct timer *timer, uint64_t deadline_ns) {
    timer->deadline_ns = deadline_ns;
    rusm__wheel_arm(&world.wheel, &timer->node, deadline_ns);
}

static void cancel(struct timer *timer) {
    timer->deadline_ns = UINT64_MAX;
    rusm__wheel_cancel(&timer->node);
}

/* The oracle's answer: is there one that must have fired by now? */
static bool anyone_overdue(void) {
    for (unsigned i = 0; i < TIMERS; i++) {
        /* Deadlines are rounded up to the next tick, and now down to the present one. */
        uint64_t deadline = world.timers[i].deadline_ns;
        if (deadline != UINT64_MAX && deadline <= world.now_ns / TICK_NS * TICK_NS) {
            return true;
        }
    }
    return false;
}

static uint64_t earliest(void) {
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < TIMERS; i++) {
        if (world.timers[i].deadline_ns < first) {
            first = world.timers[i].deadline_ns;
        }
    }
    return first;
}

/* Fire all that are due: each is armed in the oracle's view, and not early. */
static void fire(void) {
    struct rusm__wheel_node *node;
    while ((node = rusm__wheel_pop(&world.wheel, world.now_ns)) != NULL) {
        struct timer *timer = (struct timer *)node;
        assert_true(timer->deadline_ns != UINT64_MAX);
        assert_true(timer->deadline_ns <= world.now_ns);
        timer->deadline_ns = UINT64_MAX;
        world.fired++;
    }
    assert_false(anyone_overdue());
}

static void check(void) {
    assert_true(rusm__wheel_validate(&world.wheel));
    uint64_t first = earliest();
    uint64_t next = rusm__wheel_next_ns(&world.wheel);
    if (first == UINT64_MAX) {
        assert_true(next == UINT64_MAX);
    } else {
        /* Never later than the first tick that begins after the deadline. */
        assert_true(next <= (first + TICK_NS - 1) / TICK_NS * TICK_NS);
    }
}

/* Distances of every magnitude up to about twenty years. */
static uint64_t some_distance(void) {
    return rusm__random_u64(&world.random) >> (5 + rusm__random_below(&world.random, 50));
}

static void one_step(void) {
    struct timer *timer = &world.timers[rusm__random_below(&world.random, TIMERS)];
    switch (rusm__random_below(&world.random, 8)) {
    case 0:
    case 1:
    case 2:
        cancel(timer);
        arm(timer, world.now_ns + some_distance());
        break;
    case 3:
        cancel(timer);
        arm(timer, world.now_ns - rusm__random_below(&world.random, 1000)); /* the past */
        break;
    case 4:
        cancel(timer);
        break;
    case 5:
        world.now_ns += rusm__random_below(&world.random, 1 << 24);
        fire();
        break;
    case 6:
        world.now_ns += some_distance() / 64;
        fire();
        break;
    default: { /* to the very time that the wheel asks for */
        uint64_t next = rusm__wheel_next_ns(&world.wheel);
        if (next != UINT64_MAX && next > world.now_ns) {
            world.now_ns = next;
        }
        fire();
        break;
    }
    }
}

static uint64_t seed_of_this_run(void) {
    const char *given = getenv("RUSM_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : rusm__random_system_u64();
    printf("RUSM_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void wheel_agrees_with_an_array(void **state) {
    (void)state;
    uint64_t seed = seed_of_this_run();
    for (unsigned run = 0; run < 5; run++) {
        reset(seed % 1000000007 * 1000, seed + run);
        for (unsigned i = 0; i < STEPS; i++) {
            one_step();
            if (i % 16 == 0) {
                check();
            }
        }
        check();
        assert_true(world.fired > 100);
    }
}

/* Ask for the next time, go there, fire: nothing is late by more than its own tick. */
static void wheel_asks_for_every_deadline(void **state) {
    (void)state;
    reset(123456789, seed_of_this_run());
    for (unsigned i = 0; i < TIMERS; i++) {
        arm(&world.timers[i], world.now_ns + some_distance());
    }
    unsigned stops = 0;
    uint64_t next;
    while ((next = rusm__wheel_next_ns(&world.wheel)) != UINT64_MAX) {
        assert_true(next > world.now_ns);
        world.now_ns = next;
        fire();
        stops++;
    }
    assert_int_equal(world.fired, TIMERS);
    /* A stop fires something or spreads a slot, which happens once a level at most. */
    assert_true(stops <= TIMERS * RUSM__WHEEL_LEVELS);
}

static void wheel_never_fires_early(void **state) {
    (void)state;
    reset(10 * TICK_NS, 1);
    arm(&world.timers[0], 12 * TICK_NS);     /* on a tick */
    arm(&world.timers[1], 12 * TICK_NS + 1); /* just after it */
    arm(&world.timers[2], 13 * TICK_NS - 1);
    assert_null(rusm__wheel_pop(&world.wheel, 12 * TICK_NS - 1));
    assert_ptr_equal(rusm__wheel_pop(&world.wheel, 12 * TICK_NS), &world.timers[0].node);
    assert_null(rusm__wheel_pop(&world.wheel, 13 * TICK_NS - 1));
    assert_non_null(rusm__wheel_pop(&world.wheel, 13 * TICK_NS));
    assert_non_null(rusm__wheel_pop(&world.wheel, 13 * TICK_NS));
    assert_null(rusm__wheel_pop(&world.wheel, 13 * TICK_NS));
}

static void wheel_past_deadlines_are_due_at_once(void **state) {
    (void)state;
    reset(1000 * TICK_NS, 1);
    arm(&world.timers[0], 5);
    arm(&world.timers[1], 0);
    assert_true(rusm__wheel_next_ns(&world.wheel) == 0);
    assert_ptr_equal(rusm__wheel_pop(&world.wheel, world.now_ns), &world.timers[0].node);
    assert_ptr_equal(rusm__wheel_pop(&world.wheel, world.now_ns), &world.timers[1].node);
    assert_true(rusm__wheel_next_ns(&world.wheel) == UINT64_MAX);
}

/* "Never" must not look like "now" to the one who sleeps until then. */
static void wheel_bears_the_end_of_time(void **state) {
    (void)state;
    reset(1000 * TICK_NS, 1);
    arm(&world.timers[0], UINT64_MAX);
    arm(&world.timers[1], UINT64_MAX - 1);
    arm(&world.timers[2], UINT64_MAX - TICK_NS);
    assert_true(rusm__wheel_validate(&world.wheel));
    assert_true(rusm__wheel_next_ns(&world.wheel) > UINT64_MAX / 2);
    assert_null(rusm__wheel_pop(&world.wheel, UINT64_MAX / 2));
    assert_true(rusm__wheel_next_ns(&world.wheel) > UINT64_MAX / 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_non_null(rusm__wheel_pop(&world.wheel, UINT64_MAX));
    }
}

static void wheel_cancels_what_is_due_or_not_armed(void **state) {
    (void)state;
    reset(1000 * TICK_NS, 1);
    rusm__wheel_cancel(&world.timers[0].node);
    rusm__wheel_cancel(&world.timers[0].node);
    arm(&world.timers[0], 0);
    arm(&world.timers[1], 0);
    cancel(&world.timers[0]);
    assert_ptr_equal(rusm__wheel_pop(&world.wheel, world.now_ns), &world.timers[1].node);
    assert_null(rusm__wheel_pop(&world.wheel, world.now_ns));
    rusm__wheel_cancel(&world.timers[1].node); /* it has fired */
    assert_true(rusm__wheel_next_ns(&world.wheel) == UINT64_MAX);
}

static void wheel_keeps_the_order_of_equal_deadlines(void **state) {
    (void)state;
    reset(1000 * TICK_NS, 1);
    for (unsigned i = 0; i < TIMERS; i++) {
        arm(&world.timers[i], 70000 * TICK_NS); /* spread over three levels on the way */
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        assert_ptr_equal(rusm__wheel_pop(&world.wheel, 70000 * TICK_NS), &world.timers[i].node);
    }
}

static void wheel_validate_sees_a_misplaced_node(void **state) {
    (void)state;
    reset(1000 * TICK_NS, 1);
    arm(&world.timers[0], 5000 * TICK_NS);
    assert_true(rusm__wheel_validate(&world.wheel));
    world.timers[0].node.tick = 1001;
    assert_false(rusm__wheel_validate(&world.wheel));
    world.timers[0].node.tick = 5000;
    world.wheel.occupied[1] = world.wheel.occupied[2] = 0;
    assert_false(rusm__wheel_validate(&world.wheel));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel_agrees_with_an_array),
        cmocka_unit_test(wheel_asks_for_every_deadline),
        cmocka_unit_test(wheel_never_fires_early),
        cmocka_unit_test(wheel_past_deadlines_are_due_at_once),
        cmocka_unit_test(wheel_bears_the_end_of_time),
        cmocka_unit_test(wheel_cancels_what_is_due_or_not_armed),
        cmocka_unit_test(wheel_keeps_the_order_of_equal_deadlines),
        cmocka_unit_test(wheel_validate_sees_a_misplaced_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
