/* SPDX-License-Identifier: MIT */
/* rusm__proc_run_woken: the turn of a process inside of the turn of the one that woke it. */
#include "unit/proc/puppet.h"

#include "proc/proc.h"

/* What is asked; how often its step ran, and how often it has to say AGAIN. */
struct inner {
    rusm_pid pid;
    unsigned agains;
    bool defers; /* says AGAIN not because its turn is used up */
    _Atomic unsigned steps;
};

static rusm_step inner_step(rusm_proc *self, void *body) {
    struct inner *inner = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL)
        rusm_msg_free(msg);
    atomic_fetch_add(&inner->steps, 1);
    if (!inner->agains)
        return RUSM_STEP_WAIT;
    inner->agains--;
    if (inner->defers)
        rusm__proc_defer(self);
    return RUSM_STEP_AGAIN;
}

static const rusm_body_ops inner_ops = {.name = "inner", .step = inner_step};
static const rusm_body_ops other_ops = {.name = "other", .step = inner_step};

/* Who asks: does `act` in its first step, which is its last. */
struct outer {
    rusm_runtime *rt;
    struct inner inner;
    void (*act)(rusm_proc *self, struct outer *outer);
    unsigned runs;        /* what run_woken said yes to */
    unsigned steps_after; /* of the inner one, when `act` was over */
    _Atomic bool is_done;
};

static rusm_step outer_step(rusm_proc *self, void *body) {
    struct outer *outer = body;
    outer->act(self, outer);
    outer->steps_after = atomic_load(&outer->inner.steps);
    atomic_store(&outer->is_done, true);
    return RUSM_STEP_EXIT;
}

static const rusm_body_ops outer_ops = {.name = "outer", .step = outer_step};

static rusm_pid spawn(rusm_runtime *rt, const rusm_body_ops *ops, void *body) {
    rusm_spawn_options options = {.size = sizeof(options), .ops = ops, .body = body};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static bool suits(const void *body) {
    return body;
}

static bool suits_nobody(const void *body) {
    return !body;
}

/* One scheduler: the inner one waits when the outer one runs. Its own first step is the first. */
static void play(struct outer *outer, void (*act)(rusm_proc *, struct outer *)) {
    outer->rt = start_runtime(1);
    outer->act = act;
    outer->inner.pid = spawn(outer->rt, &inner_ops, &outer->inner);
    WAIT_FOR(atomic_load(&outer->inner.steps) == 1);
    spawn(outer->rt, &outer_ops, outer);
    WAIT_FOR(atomic_load(&outer->is_done));
}

static void wake(struct outer *outer) {
    assert_int_equal(send_text(outer->rt, outer->inner.pid, "go"), RUSM_OK);
}

static void ask(rusm_proc *self, struct outer *outer, const rusm_body_ops *ops,
                bool (*who)(const void *)) {
    outer->runs += rusm__proc_run_woken(self, ops, who);
}

/* ---- */

static void ask_once(rusm_proc *self, struct outer *outer) {
    ask(self, outer, &inner_ops, suits);
    assert_int_equal(outer->runs, 0); /* it was not woken yet */
    wake(outer);
    ask(self, outer, &inner_ops, suits);
}

static void who_was_woken_runs_inside(void **state) {
    struct outer outer = {0};
    (void)state;
    play(&outer, ask_once);
    assert_int_equal(outer.runs, 1);
    assert_int_equal(outer.steps_after, 2);
    wake(&outer); /* it waits again as any other does */
    WAIT_FOR(atomic_load(&outer.inner.steps) == 3);
    rusm_runtime_stop(outer.rt);
}

static void ask_for_others(rusm_proc *self, struct outer *outer) {
    wake(outer);
    ask(self, outer, &other_ops, suits);
    ask(self, outer, &inner_ops, suits_nobody);
}

static void others_have_their_own_turn(void **state) {
    struct outer outer = {0};
    (void)state;
    play(&outer, ask_for_others);
    assert_int_equal(outer.runs, 0);
    assert_int_equal(outer.steps_after, 1);
    WAIT_FOR(atomic_load(&outer.inner.steps) == 2);
    rusm_runtime_stop(outer.rt);
}

static void ask_the_killed(rusm_proc *self, struct outer *outer) {
    wake(outer);
    assert_true(rusm_pid_kill(outer->rt, outer->inner.pid));
    ask(self, outer, &inner_ops, suits);
    assert_true(rusm_pid_is_alive(outer->rt, outer->inner.pid));
}

static void nobody_ends_inside(void **state) {
    struct outer outer = {0};
    (void)state;
    play(&outer, ask_the_killed);
    assert_int_equal(outer.steps_after, 1);
    WAIT_FOR(!rusm_pid_is_alive(outer.rt, outer.inner.pid));
    assert_int_equal(atomic_load(&outer.inner.steps), 1);
    rusm_runtime_stop(outer.rt);
}

static void ask_the_busy(rusm_proc *self, struct outer *outer) {
    outer->inner.agains = 1;
    wake(outer);
    ask(self, outer, &inner_ops, suits);
    ask(self, outer, &inner_ops, suits); /* it is behind all that waits */
}

static void who_is_not_done_goes_on_in_its_own_turn(void **state) {
    struct outer outer = {0};
    (void)state;
    play(&outer, ask_the_busy);
    assert_int_equal(outer.runs, 1);
    assert_int_equal(outer.steps_after, 2);
    WAIT_FOR(atomic_load(&outer.inner.steps) == 3);
    rusm_runtime_stop(outer.rt);
}

/* How many of those who waited before it ran after it. */
static _Atomic unsigned overtaken;

static rusm_step crowd_step(rusm_proc *self, void *body) {
    const struct inner *inner = body;
    (void)self;
    atomic_fetch_add(&overtaken, atomic_load(&inner->steps) == 3);
    return RUSM_STEP_EXIT;
}

static void ask_who_defers(rusm_proc *self, struct outer *outer) {
    static const rusm_body_ops ops = {.name = "crowd", .step = crowd_step};
    for (unsigned i = 0; i < 8; i++)
        spawn(outer->rt, &ops, &outer->inner);
    outer->inner.agains = 1;
    wake(outer);
    ask(self, outer, &inner_ops, suits);
}

static unsigned overtaken_by_who(bool defers) {
    struct outer outer = {.inner.defers = defers};
    atomic_store(&overtaken, 0);
    play(&outer, ask_who_defers);
    WAIT_FOR(rusm_runtime_process_count(outer.rt) == 1);
    assert_int_equal(outer.runs, 1);
    rusm_runtime_stop(outer.rt);
    return atomic_load(&overtaken);
}

static void who_defers_is_the_next(void **state) {
    (void)state;
    assert_int_equal(overtaken_by_who(true), 8);
    assert_int_equal(overtaken_by_who(false), 0);
}

static void ask_for_ever(rusm_proc *self, struct outer *outer) {
    for (unsigned i = 0; i < 1000; i++) {
        wake(outer);
        ask(self, outer, &inner_ops, suits);
    }
}

/* Timers, the inbox and the event loop are not looked at within a turn. */
static void the_scheduler_gets_its_turn(void **state) {
    struct outer outer = {0};
    (void)state;
    play(&outer, ask_for_ever);
    assert_in_range(outer.runs, 1, 100);
    rusm_runtime_stop(outer.rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_woken_runs_inside),
        cmocka_unit_test(others_have_their_own_turn),
        cmocka_unit_test(nobody_ends_inside),
        cmocka_unit_test(who_is_not_done_goes_on_in_its_own_turn),
        cmocka_unit_test(who_defers_is_the_next),
        cmocka_unit_test(the_scheduler_gets_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
