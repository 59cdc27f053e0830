/* SPDX-License-Identifier: MIT */
/* Copies of busy components: who gets them, who uses them, and when they go. The clock stands still
 * while no guest runs, so the starts that a test makes up are as fast as any can be. */
#include <semaphore.h>

#include "sandbox/sandbox_impl.h"
#include "unit/hostcall/world.h"

#define STARTS_PER_SAMPLE  251u
#define SAMPLES_TO_BE_BUSY 16u

static rusm_engine_prepared *chosen(struct world *w, struct rusm__component *component,
                                    unsigned lane) {
    return rusm__copies_choose(component, &w->sandbox->lanes[lane]);
}

static void make_samples(struct world *w, struct rusm__component *component, unsigned lane,
                         unsigned count) {
    for (unsigned i = 0; i < count * STARTS_PER_SAMPLE; i++)
        assert_ptr_equal(chosen(w, component, lane), component->prepared);
}

static bool has_copies(struct rusm__component *component) {
    return atomic_load_explicit(&component->copied.of, memory_order_acquire) != NULL;
}

static void wait_for_copies(struct rusm__component *component) {
    WAIT_FOR(has_copies(component));
}

/* The last sample asks; what comes after it may be the copies'. */
static void ask(struct world *w, struct rusm__component *component) {
    make_samples(w, component, 0, SAMPLES_TO_BE_BUSY - 1);
    make_samples(w, component, 1, 1);
}

static void make_busy(struct world *w, struct rusm__component *component) {
    ask(w, component);
    wait_for_copies(component);
}

static size_t copied_bytes(struct world *w) {
    pthread_mutex_lock(&w->sandbox->copies.lock);
    size_t bytes = w->sandbox->copies.code_bytes;
    pthread_mutex_unlock(&w->sandbox->copies.lock);
    return bytes;
}

/* ---- who gets them ---- */

static void each_scheduler_has_its_own(void **state) {
    struct world *w = *state;
    struct rusm__component *a = world_guest(w, "a", RUN(""));
    struct rusm__component *b = world_guest(w, "b", RUN(""));
    make_busy(w, a);
    assert_ptr_not_equal(chosen(w, a, 0), a->prepared);
    assert_ptr_not_equal(chosen(w, a, 1), a->prepared);
    assert_ptr_not_equal(chosen(w, a, 0), chosen(w, a, 1));
    assert_int_equal(copied_bytes(w), 2 * rusm__component_code_bytes(a));
    make_busy(w, b);
    assert_int_equal(copied_bytes(w),
                     2 * (rusm__component_code_bytes(a) + rusm__component_code_bytes(b)));
}

/* Nobody is asked to copy: there is no thread yet. */
static void expect_none(struct world *w, struct rusm__component *component) {
    assert_false(has_copies(component));
    assert_false(w->sandbox->copies.is_started);
}

static void who_starts_slowly_gets_none(void **state) {
    struct world *w = *state;
    struct rusm__component *slow = world_guest(w, "slow", RUN(""));
    for (int i = 0; i < 20; i++) {
        make_samples(w, slow, 0, SAMPLES_TO_BE_BUSY - 2);
        make_samples(w, slow, 1, 1);
        atomic_fetch_add_explicit(&w->sandbox->ticker.ticks, 1001, memory_order_relaxed);
    }
    expect_none(w, slow);
}

static void one_scheduler_needs_none(void **state) {
    struct world *w = *state;
    struct rusm__component *component = world_guest(w, "a", RUN(""));
    make_samples(w, component, 1, 10 * SAMPLES_TO_BE_BUSY);
    expect_none(w, component);
    make_samples(w, component, 0, 1);
    wait_for_copies(component);
}

static void components_that_take_turns_are_both_seen(void **state) {
    struct world *w = *state;
    struct rusm__component *a = world_guest(w, "a", RUN(""));
    struct rusm__component *b = world_guest(w, "b", RUN(""));
    for (unsigned i = 0; i < 4 * SAMPLES_TO_BE_BUSY * STARTS_PER_SAMPLE; i++) {
        (void)chosen(w, a, i % 4 / 2);
        (void)chosen(w, b, i % 4 / 2);
    }
    wait_for_copies(a);
    wait_for_copies(b);
}

/* They are made in the order in which they are asked for. */
static void code_beyond_the_bound_is_not_copied(void **state) {
    struct world *w = *state;
    struct rusm__component *large = world_guest(w, "large", RUN(""));
    struct rusm__component *small = world_guest(w, "small", RUN(""));
    size_t bytes = large->code_bytes;
    large->code_bytes = RUSM__COPIES_CODE_BYTES / 2 + 1;
    ask(w, large);
    make_busy(w, small);
    assert_false(has_copies(large));
    world_expect_log(w, "component `large` is busy and is not copied for each scheduler: ");
    large->code_bytes = bytes;
    make_busy(w, large);
}

/* ---- who uses them ---- */

/* Started from the copies, or not at all: what they were copied from is gone. */
static void expect_crash_of_copies(struct world *w, struct rusm__component *component,
                                   struct rusm__component *other, const char *reason) {
    rusm_engine_prepared *original = component->prepared;
    component->prepared = other->prepared;
    for (int i = 0; i < 4; i++)
        world_expect_crash(w, world_start(w, component), reason);
    component->prepared = original;
}

static void guests_of_copies_are_guests(void **state) {
    struct world *w = *state;
    struct rusm__component *other = world_guest(w, "other", RUN(""));
    w->profile.deadline_ms = 50;
    /* Only the ticks of the copies' engines can end it. */
    struct rusm__component *component = world_guest(w, "spin", RUN("(loop (br 0))"));
    make_busy(w, component);
    expect_crash_of_copies(w, component, other, "deadline: ");
}

static void modules_and_commands_are_copied_too(void **state) {
    struct world *w = *state;
    static const char *const text = "(module (import \"wasi_snapshot_preview1\""
                                    "  \"proc_exit\" (func $exit (param i32)))"
                                    " (memory (export \"memory\") 1)"
                                    " (func (export \"_start\") (call $exit (i32.const 7))))";
    struct rusm__component *command = world_load(w, "command", text);
    struct rusm__component *module =
        world_load(w, "module", "(module (func (export \"run\") unreachable))");
    make_busy(w, command);
    make_busy(w, module);
    expect_crash_of_copies(w, command, module, "7");
    expect_crash_of_copies(w, module, command, "unreachable");
}

/* ---- when they go ---- */

static struct rusm__component *load_dynamic(struct world *w, struct rusm__told *told) {
    struct rusm__component_dynamic dynamic = {
        .compiling = "c", .preparing = "p", .no_command = "n", .told = told};
    struct rusm__component_options options = {
        .name = "x", .profile = &w->profile, .dynamic = &dynamic};
    static const char wat[] = "(module (func (export \"run\")))";
    struct rusm__component *component;
    struct rusm__buf error;
    rusm__buf_init(&error);
    assert_int_equal(
        rusm__component_load(w->sandbox, wat, strlen(wat), &options, &component, &error), RUSM_OK);
    rusm__buf_fini(&error);
    return component;
}

static void a_component_that_goes_takes_its_copies_along(void **state) {
    struct world *w = *state;
    struct rusm__told told = {0};
    struct rusm__component *component = load_dynamic(w, &told);
    rusm__component_hold(component);
    make_busy(w, component);
    assert_true(copied_bytes(w) > 0);
    rusm__component_let_go(component);
    WAIT_FOR(!rusm__component_is_held(component));
    rusm__component_free(component);
    assert_int_equal(copied_bytes(w), 0);
}

/* Nobody gets an engine of its own, and so no copy, while this is held. */
struct obstacle {
    struct world *w;
    sem_t is_held;
};

static bool is_stopping(struct world *w) {
    pthread_mutex_lock(&w->sandbox->copies.lock);
    bool is_stopping = w->sandbox->copies.is_stopping;
    pthread_mutex_unlock(&w->sandbox->copies.lock);
    return is_stopping;
}

static void *hold_until_the_end(void *arg) {
    struct obstacle *obstacle = arg;
    pthread_mutex_lock(&obstacle->w->sandbox->pools.lock);
    sem_post(&obstacle->is_held);
    for (int ms = 0; ms < PATIENCE_S * 1000 && !is_stopping(obstacle->w); ms++)
        nap_ms(1);
    pthread_mutex_unlock(&obstacle->w->sandbox->pools.lock);
    return NULL;
}

/* The end comes while one component is being copied and another one waits for that. */
static void the_end_lets_go_of_those_that_wait(void **state) {
    struct world *w = *state;
    struct rusm__told told = {0};
    struct rusm__component *first = load_dynamic(w, &told);
    struct rusm__component *second = load_dynamic(w, &told);
    struct obstacle obstacle = {.w = w};
    pthread_t holder;
    sem_init(&obstacle.is_held, 0, 0);
    assert_int_equal(pthread_create(&holder, NULL, hold_until_the_end, &obstacle), 0);
    while (sem_wait(&obstacle.is_held) != 0)
        ;
    ask(w, first);
    ask(w, second);
    assert_true(rusm__component_is_held(first));
    assert_true(rusm__component_is_held(second));
    rusm__sandbox_calm(w->sandbox);
    pthread_join(holder, NULL);
    assert_false(rusm__component_is_held(first));
    assert_false(rusm__component_is_held(second));
    rusm__component_free(first);
    rusm__component_free(second);
    sem_destroy(&obstacle.is_held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(each_scheduler_has_its_own),
        world_test(who_starts_slowly_gets_none),
        world_test(one_scheduler_needs_none),
        world_test(components_that_take_turns_are_both_seen),
        world_test(code_beyond_the_bound_is_not_copied),
        world_test(guests_of_copies_are_guests),
        world_test(modules_and_commands_are_copied_too),
        world_test(a_component_that_goes_takes_its_copies_along),
        world_test(the_end_lets_go_of_those_that_wait),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
