/* SPDX-License-Identifier: MIT */
/* Copies of busy components: who gets them, who uses them, and when they go. The clock stands still
 * while no guest runs, so the starts that a test makes up are as fast as any can be. */
#include "sandbox/sandbox_impl.h"
#include "unit/hostcall/world.h"

#define STARTS_TO_BE_BUSY 4096

static void make_starts(struct world *w, struct rusm__component *component, unsigned lane,
                        unsigned count) {
    for (unsigned i = 0; i < count; i++)
        assert_ptr_equal(rusm__copies_choose(component, &w->sandbox->lanes[lane]),
                         component->prepared);
}

static bool has_copies(struct rusm__component *component) {
    return atomic_load_explicit(&component->copied.of, memory_order_acquire) != NULL;
}

static void wait_for_copies(struct rusm__component *component) {
    for (int i = 0; i < WORLD_PATIENCE_S * 1000 && !has_copies(component); i++)
        usleep(1000);
    assert_true(has_copies(component));
}

static void make_busy(struct world *w, struct rusm__component *component) {
    make_starts(w, component, 0, STARTS_TO_BE_BUSY);
    wait_for_copies(component);
}

static rusm_engine_prepared *chosen(struct world *w, struct rusm__component *component,
                                    unsigned lane) {
    return rusm__copies_choose(component, &w->sandbox->lanes[lane]);
}

static size_t copied_bytes(struct world *w) {
    return atomic_load_explicit(&w->sandbox->copies.code_bytes, memory_order_relaxed);
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
    make_starts(w, b, 1, STARTS_TO_BE_BUSY - 1);
    assert_false(has_copies(b));
    make_busy(w, b);
    assert_int_equal(copied_bytes(w),
                     2 * (rusm__component_code_bytes(a) + rusm__component_code_bytes(b)));
}

static void who_starts_slowly_gets_none(void **state) {
    struct world *w = *state;
    struct rusm__component *slow = world_guest(w, "slow", RUN(""));
    for (int i = 0; i < 100; i++) {
        make_starts(w, slow, 0, STARTS_TO_BE_BUSY / 16);
        atomic_fetch_add_explicit(&w->sandbox->ticker.ticks, 17, memory_order_relaxed);
    }
    assert_true(atomic_load_explicit(&slow->copied.heat, memory_order_relaxed) <= 1);
    assert_false(has_copies(slow));
}

/* They are made in the order in which they are asked for. */
static void code_beyond_the_bound_is_not_copied(void **state) {
    struct world *w = *state;
    struct rusm__component *large = world_guest(w, "large", RUN(""));
    struct rusm__component *small = world_guest(w, "small", RUN(""));
    large->code_bytes = RUSM__COPIES_CODE_BYTES / 2 + 1;
    make_starts(w, large, 0, STARTS_TO_BE_BUSY);
    make_busy(w, small);
    assert_false(has_copies(large));
}

/* ---- who uses them ---- */

static void guests_of_copies_are_guests(void **state) {
    struct world *w = *state;
    static const char *const spinner = RUN("(call $hello) (call $say_u64 (call $own-pid))"
                                           "(call $recv) (loop (br 0))");
    w->profile.deadline_ms = 50;
    struct rusm__component *component = world_guest(w, "spin", spinner);
    make_busy(w, component);
    rusm_pid pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = world_start(w, component);
        world_expect_u64(w, pids[i]);
        world_send_text(w, pids[i], "spin");
        /* Only the ticks of the copies' engines can end it. */
        world_expect_crash(w, pids[i], "deadline: ");
    }
}

static void modules_and_commands_are_copied_too(void **state) {
    struct world *w = *state;
    static const char *const command = "(module (import \"wasi_snapshot_preview1\""
                                       "  \"proc_exit\" (func $exit (param i32)))"
                                       " (memory (export \"memory\") 1)"
                                       " (func (export \"_start\") (call $exit (i32.const 7))))";
    struct rusm__component *component = world_load(w, "command", command);
    make_busy(w, component);
    world_expect_crash(w, world_start(w, component), "7");
    component = world_load(w, "module", "(module (func (export \"run\") unreachable))");
    make_busy(w, component);
    world_expect_crash(w, world_start(w, component), "unreachable");
}

/* Near the limit room must not lie scattered over the engines. */
static void when_room_is_short_all_use_the_common_engine(void **state) {
    struct world *w = *state;
    struct rusm__component *component = world_guest(w, "a", RUN("(call $recv) (call $recv)"));
    make_busy(w, component);
    assert_ptr_not_equal(chosen(w, component, 0), component->prepared);
    for (int i = 0; i < 40; i++)
        world_start(w, component);
    assert_ptr_equal(chosen(w, component, 0), component->prepared);
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
    for (int i = 0; i < WORLD_PATIENCE_S * 1000 && rusm__component_is_held(component); i++)
        usleep(1000);
    assert_false(rusm__component_is_held(component));
    rusm__component_free(component);
    assert_int_equal(copied_bytes(w), 0);
}

/* The end comes while components wait for their copies, or while one is being copied. */
static void the_end_does_not_wait_for_copies(void **state) {
    struct world *w = *state;
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        make_starts(w, world_guest(w, name, RUN("")), 0, STARTS_TO_BE_BUSY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(each_scheduler_has_its_own),
        world_test(who_starts_slowly_gets_none),
        world_test(code_beyond_the_bound_is_not_copied),
        world_test(guests_of_copies_are_guests),
        world_test(modules_and_commands_are_copied_too),
        world_test(when_room_is_short_all_use_the_common_engine),
        world_test(a_component_that_goes_takes_its_copies_along),
        world_test(the_end_does_not_wait_for_copies),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
