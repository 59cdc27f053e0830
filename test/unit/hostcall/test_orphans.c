/* SPDX-License-Identifier: MIT */
/* Timers that outlived their setters: kept within bounds, which those that have fired do not fill.
 */
#include "world.h"

#include "hostcall/orphans.h"

#define HOUR_NS (3600ull * RUSM__SECOND)

static struct rusm__orphans orphans;

static int setup(void **state) {
    world_setup(state);
    rusm__orphans_init(&orphans, ((struct world *)*state)->runtime);
    return 0;
}

static int teardown(void **state) {
    rusm__orphans_fini(&orphans);
    return world_teardown(state);
}

#define orphans_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static rusm_step wait_for_ever(rusm_proc *self, void *body) {
    (void)body;
    for (rusm_msg *msg = rusm_proc_receive(self); msg; msg = rusm_proc_receive(self))
        rusm_msg_free(msg);
    return RUSM_STEP_WAIT;
}

static void drop_nothing(void *body) {
    (void)body;
}

static rusm_pid start_target(struct world *w) {
    static const rusm_body_ops ops = {
        .name = "target", .step = wait_for_ever, .drop = drop_nothing};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = w};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(w->runtime, &options, &pid), RUSM_OK);
    return pid;
}

static rusm_timer arm(struct world *w, rusm_pid to, uint64_t deadline_ns) {
    rusm_msg *msg;
    rusm_timer timer;
    assert_int_equal(rusm_msg_copy("late", 4, &msg), RUSM_OK);
    assert_int_equal(rusm_timer_send(w->runtime, deadline_ns, to, msg, &timer), RUSM_OK);
    return timer;
}

static void adopt(rusm_pid to, rusm_timer timer, uint64_t deadline_ns, uint64_t bytes) {
    rusm__orphans_adopt(&orphans,
                        &(struct rusm__orphan){
                            .to = to, .timer = timer, .deadline_ns = deadline_ns, .bytes = bytes});
}

/* 0 is no timer, so cancelling it does nothing: for those that only take places. */
static void fill(rusm_pid to, size_t count, uint64_t deadline_ns) {
    for (size_t i = 0; i < count; i++)
        adopt(to, 0, deadline_ns, 4);
}

static void a_timer_ends_with_its_target(void **state) {
    struct world *w = *state;
    rusm_pid target = start_target(w), other = start_target(w);
    uint64_t deadline_ns = rusm__clock_ns() + HOUR_NS;
    rusm_timer its = arm(w, target, deadline_ns), others = arm(w, other, deadline_ns);
    adopt(target, its, deadline_ns, 4);
    adopt(other, others, deadline_ns, 4);
    rusm__orphans_target_ended(&orphans, target);
    assert_int_equal(orphans.count, 1);
    assert_false(rusm_timer_cancel(w->runtime, its));
    assert_true(rusm_timer_cancel(w->runtime, others));
}

static void a_target_keeps_so_many_and_the_log_says_it_once(void **state) {
    struct world *w = *state;
    rusm_pid target = start_target(w);
    uint64_t deadline_ns = rusm__clock_ns() + HOUR_NS;
    fill(target, RUSM__ORPHANS_PER_TARGET, deadline_ns);
    uint64_t begun_ns = rusm__clock_ns();
    rusm_timer one_more = arm(w, target, deadline_ns);
    adopt(target, one_more, deadline_ns, 4);
    assert_false(rusm_timer_cancel(w->runtime, one_more)); /* it was already */
    fill(target, 500, deadline_ns);
    uint64_t seconds = (rusm__clock_ns() - begun_ns) / RUSM__SECOND;
    assert_int_equal(orphans.count, RUSM__ORPHANS_PER_TARGET);
    assert_in_range(world_log_count(w, "is cancelled with its setter"), 1, 1 + seconds);
}

/* As many as the node may have, all due at once; when, for the caller to wait. On a slow machine
 * the first may be due before the last is there: then all over again, with more time. */
static uint64_t fill_node(struct world *w) {
    enum { TARGETS = RUSM__ORPHANS_PER_NODE / RUSM__ORPHANS_PER_TARGET };
    uint64_t due_ns;
    uint64_t time_ns = RUSM__SECOND / 4;
    do {
        time_ns *= 2;
        rusm__orphans_fini(&orphans);
        rusm__orphans_init(&orphans, w->runtime);
        due_ns = rusm__clock_ns() + time_ns;
        for (int i = 0; i < TARGETS; i++)
            fill(start_target(w), RUSM__ORPHANS_PER_TARGET, due_ns);
    } while (rusm__clock_ns() >= due_ns);
    assert_int_equal(orphans.count, RUSM__ORPHANS_PER_NODE);
    return due_ns;
}

/* Those that reach the node's bound fire; the next one finds room all the same. */
static void those_that_have_fired_leave_room(void **state) {
    struct world *w = *state;
    uint64_t soon_ns = fill_node(w);
    while (rusm__clock_ns() <= soon_ns)
        usleep(10000);
    rusm_pid target = start_target(w);
    rusm_timer timer = arm(w, target, soon_ns + HOUR_NS);
    adopt(target, timer, soon_ns + HOUR_NS, 4);
    assert_int_equal(orphans.count, 1);
    assert_true(rusm_timer_cancel(w->runtime, timer));
}

/* The messages stay in memory until their time has come, so they are counted, too. */
static void large_messages_fill_it_sooner(void **state) {
    enum { LARGE = 16 << 20, EACH = RUSM__ORPHANS_BYTES_PER_TARGET / LARGE };
    struct world *w = *state;
    uint64_t deadline_ns = rusm__clock_ns() + HOUR_NS;
    rusm_pid first = start_target(w);
    for (int i = 0; i < EACH + 2; i++)
        adopt(first, 0, deadline_ns, LARGE);
    assert_int_equal(orphans.count, EACH);
    for (int target = 0; target < 10; target++) {
        rusm_pid other = start_target(w);
        for (int i = 0; i < EACH; i++)
            adopt(other, 0, deadline_ns, LARGE);
    }
    assert_int_equal(orphans.count, RUSM__ORPHANS_BYTES_PER_NODE / LARGE);
    rusm__orphans_target_ended(&orphans, first);
    assert_int_equal(orphans.bytes, RUSM__ORPHANS_BYTES_PER_NODE - RUSM__ORPHANS_BYTES_PER_TARGET);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        orphans_test(a_timer_ends_with_its_target),
        orphans_test(a_target_keeps_so_many_and_the_log_says_it_once),
        orphans_test(those_that_have_fired_leave_room),
        orphans_test(large_messages_fill_it_sooner),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
