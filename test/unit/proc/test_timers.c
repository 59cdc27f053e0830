/* SPDX-License-Identifier: MIT */
/* Timers: they fire once and never early, cancelling says the truth, and what is cancelled leaves
 * nothing behind. */
#include "unit/proc/puppet.h"

#include "base/clock.h"
#include "base/random.h"
#include "proc/proc_impl.h"

#include "unit/proc/fixture.h"

static uint64_t in_ms(uint64_t ms) {
    return rusm_now_ns() + ms * RUSM__MS;
}

static rusm_timer arm(uint64_t deadline_ns, rusm_pid to, const char *text) {
    rusm_timer timer;
    assert_int_equal(rusm_timer_send(rt, deadline_ns, to, new_msg(text), &timer), RUSM_OK);
    assert_true(timer != 0);
    return timer;
}

/* Arm inside a process. */
struct arming {
    uint64_t deadline_ns;
    rusm_pid to;
    const char *text;
    rusm_timer timer;
};

static rusm_step arm_in_step(rusm_proc *self, void *arg) {
    struct arming *arming = arg;
    (void)self;
    arming->timer = arm(arming->deadline_ns, arming->to, arming->text);
    return RUSM_STEP_WAIT;
}

static rusm_timer arm_in(struct puppet *setter, uint64_t deadline_ns, rusm_pid to,
                         const char *text) {
    struct arming arming = {deadline_ns, to, text, 0};
    puppet_do(setter, arm_in_step, &arming);
    return arming.timer;
}

/* ---- firing ---- */

static void timer_fires_once_and_not_early(void **state) {
    (void)state;
    static struct puppet target;
    puppet_start(&target, rt);
    uint64_t deadline = in_ms(5);
    rusm_timer timer = arm(deadline, target.pid, "ring");
    struct puppet_mail mail = puppet_wait_mail(&target, 0);
    assert_true(rusm_now_ns() >= deadline);
    assert_int_equal(mail.kind, RUSM_MSG_DATA);
    assert_string_equal(mail.text, "ring");
    assert_true(mail.from == 0);
    assert_false(rusm_timer_cancel(rt, timer));
    nap_ms(10);
    puppet_settle(&target);
    assert_int_equal(puppet_mail_count(&target), 1);
}

static void timer_names_the_process_that_set_it(void **state) {
    (void)state;
    static struct puppet setter, target;
    puppet_start(&setter, rt);
    puppet_start(&target, rt);
    arm_in(&setter, 0, target.pid, "now"); /* long past */
    assert_true(puppet_wait_mail(&target, 0).from == setter.pid);
}

static void timer_survives_its_setter(void **state) {
    (void)state;
    static struct puppet setter, target;
    puppet_start(&setter, rt);
    puppet_start(&target, rt);
    arm_in(&setter, in_ms(20), target.pid, "late");
    puppet_end_with(&setter, RUSM_EXIT_NORMAL, NULL);
    assert_true(puppet_wait_mail(&target, 0).from == setter.pid);
}

static void timer_to_the_dead_is_dropped(void **state) {
    (void)state;
    static struct puppet target;
    puppet_start(&target, rt);
    rusm_pid pid = target.pid;
    puppet_end_with(&target, RUSM_EXIT_NORMAL, NULL);
    rusm_timer timer = arm(in_ms(1), pid, "nobody");
    nap_ms(10);
    WAIT_FOR(!rusm_timer_cancel(rt, timer));
}

static void timer_is_refused_by_a_full_mailbox(void **state) {
    (void)state;
    static struct puppet target;
    puppet_prepare(&target, rt);
    rusm_spawn_options options = puppet_options(&target);
    options.mailbox_bytes = 1; /* nothing fits */
    assert_int_equal(rusm_proc_spawn(rt, &options, &target.pid), RUSM_OK);
    uint64_t before = stats_of(rt).refused;
    arm(in_ms(1), target.pid, "too much");
    WAIT_FOR(stats_of(rt).refused == before + 1);
}

static void timer_takes_messages_only(void **state) {
    (void)state;
    struct rusm__signal *down = rusm__signal_new(RUSM__TAG_DOWN, 1);
    rusm_timer timer;
    assert_int_equal(rusm_timer_send(rt, 0, 1, &down->head, &timer), RUSM_EINVAL);
    assert_int_equal(rusm_msg_send(rt, 1, &down->head), RUSM_EINVAL);
    rusm_msg_free(&down->head);
}

/* ---- many ---- */

enum { MANY = 5000 };

struct many {
    _Atomic unsigned fired[MANY];
    _Atomic unsigned early, received;
    uint64_t deadline[MANY];
};

static struct many *many;

static rusm_step count_step(rusm_proc *self, void *body) {
    rusm_msg *msg;
    (void)body;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        uint32_t number;
        memcpy(&number, rusm_msg_data(msg), sizeof(number));
        if (rusm_now_ns() < many->deadline[number]) {
            atomic_fetch_add(&many->early, 1);
        }
        atomic_fetch_add(&many->fired[number], 1);
        atomic_fetch_add(&many->received, 1);
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static rusm_timer arm_number(uint32_t number, rusm_pid to) {
    rusm_msg *msg;
    rusm_timer timer;
    assert_int_equal(rusm_msg_copy(&number, sizeof(number), &msg), RUSM_OK);
    assert_int_equal(rusm_timer_send(rt, many->deadline[number], to, msg, &timer), RUSM_OK);
    return timer;
}

static rusm_pid start_counter(void) {
    static const rusm_body_ops ops = {.name = "counter", .step = count_step};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static rusm_step arm_half(rusm_proc *self, void *arg) {
    (void)self;
    for (uint32_t i = 0; i < MANY; i += 2) {
        arm_number(i, *(rusm_pid *)arg);
    }
    return RUSM_STEP_WAIT;
}

static void timers_many_fire_exactly_once(void **state) {
    static struct puppet setter;
    struct rusm__random random;
    (void)state;
    many = calloc(1, sizeof(*many));
    rusm__random_seed(&random, 3);
    rusm_pid counter = start_counter();
    puppet_start(&setter, rt);
    uint64_t base = rusm_now_ns();
    for (uint32_t i = 0; i < MANY; i++) {
        many->deadline[i] = base + rusm__random_below(&random, 200) * RUSM__MS;
    }
    puppet_do(&setter, arm_half, &counter);
    for (uint32_t i = 1; i < MANY; i += 2) {
        arm_number(i, counter);
    }
    WAIT_FOR(atomic_load(&many->received) == MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(atomic_load(&many->fired[i]), 1);
    }
    assert_int_equal(atomic_load(&many->early), 0);
    rusm_runtime_stop(rt); /* nobody counts any more */
    free(many);
    rt = start_runtime(1);
}

/* ---- cancelling ---- */

static void cancel_before_is_true_once(void **state) {
    (void)state;
    static struct puppet setter, target;
    puppet_start(&setter, rt);
    puppet_start(&target, rt);
    rusm_timer timers[2] = {arm(in_ms(3600000), target.pid, "never"),
                            arm_in(&setter, in_ms(3600000), target.pid, "never")};
    for (unsigned i = 0; i < 2; i++) {
        assert_true(rusm_timer_cancel(rt, timers[i]));
        assert_false(rusm_timer_cancel(rt, timers[i]));
    }
    puppet_settle(&target);
    assert_int_equal(puppet_mail_count(&target), 0);
}

static void cancel_of_what_never_was_is_false(void **state) {
    (void)state;
    rusm_timer real = arm(in_ms(1000000), 1, "far");
    assert_false(rusm_timer_cancel(rt, 0));
    for (unsigned bit = 0; bit < 64; bit++) { /* other owners, places, generations */
        assert_false(rusm_timer_cancel(rt, real ^ (rusm_timer)1 << bit));
    }
    assert_false(rusm_timer_cancel(rt, UINT64_MAX));
    assert_true(rusm_timer_cancel(rt, real));
}

static void cancel_with_an_old_id_spares_the_next_user(void **state) {
    (void)state;
    static struct puppet setter;
    puppet_start(&setter, rt);
    rusm_timer old[50];
    for (unsigned i = 0; i < 50; i++) {
        old[i] = arm_in(&setter, in_ms(1000000), setter.pid, "far");
        assert_true(rusm_timer_cancel(rt, old[i]));
    }
    rusm_timer present = arm_in(&setter, in_ms(1000000), setter.pid, "far");
    for (unsigned i = 0; i < 50; i++) {
        assert_false(rusm_timer_cancel(rt, old[i]));
    }
    assert_true(rusm_timer_cancel(rt, present));
}

/* Several threads and the clock race for each timer: exactly one of them gets it. */
enum { CANCELLERS = 2, RACES = 3000 };

struct race {
    _Atomic rusm_timer timer;
    _Atomic unsigned cancelled;
};

static struct race *races;
static _Atomic unsigned armed_count;

static void *cancel_all(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < RACES; i++) {
        while (atomic_load(&armed_count) <= i) {
            sched_yield();
        }
        if (rusm_timer_cancel(rt, atomic_load(&races[i].timer))) {
            atomic_fetch_add(&races[i].cancelled, 1);
        }
    }
    return NULL;
}

static rusm_step arm_races(rusm_proc *self, void *arg) {
    (void)self;
    for (uint32_t i = atomic_load(&armed_count), n = 0; n < 100 && i < RACES; n++, i++) {
        many->deadline[i] = rusm_now_ns() + i % 3 * RUSM__MS;
        atomic_store(&races[i].timer, arm_number(i, *(rusm_pid *)arg));
        atomic_fetch_add(&armed_count, 1);
    }
    return RUSM_STEP_WAIT;
}

static void cancel_races_have_one_winner(void **state) {
    pthread_t threads[CANCELLERS];
    static struct puppet setter;
    unsigned cancelled = 0;
    (void)state;
    many = calloc(1, sizeof(*many));
    races = calloc(RACES, sizeof(*races));
    atomic_store(&armed_count, 0);
    rusm_pid counter = start_counter();
    puppet_start(&setter, rt);
    for (unsigned i = 0; i < CANCELLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, cancel_all, NULL), 0);
    }
    while (atomic_load(&armed_count) < RACES) { /* by turns from a process and from here */
        puppet_do(&setter, arm_races, &counter);
        arm_races(NULL, &counter);
    }
    for (unsigned i = 0; i < CANCELLERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < RACES; i++) {
        assert_true(atomic_load(&races[i].cancelled) <= 1);
        cancelled += atomic_load(&races[i].cancelled);
    }
    WAIT_FOR(atomic_load(&many->received) == RACES - cancelled);
    nap_ms(5);
    for (unsigned i = 0; i < RACES; i++) {
        assert_int_equal(atomic_load(&races[i].cancelled) + atomic_load(&many->fired[i]), 1);
    }
    rusm_runtime_stop(rt);
    free(many);
    free(races);
    rt = start_runtime(1);
}

/* ---- memory ---- */

/* A host that gives every request a timeout and takes it back must not fill the slab with timers
 * that are due in an hour. */
static void cancelled_timers_make_room(void **state) {
    static struct puppet other, first;
    (void)state;
    puppet_start(&other, rt);
    puppet_start(&first, rt);
    for (unsigned batch = 0; batch < 40; batch++) {
        for (unsigned i = 0; i < 500; i++) {
            assert_true(rusm_timer_cancel(rt, arm(in_ms(3600000), other.pid, "x")));
        }
        arm(0, first.pid, "tick"); /* arrives when the posted calls before it have run */
        WAIT_FOR(puppet_mail_count(&first) == batch + 1);
    }
    struct rusm__timer_slab *outside = &rt->procs->locals[rt->sched_count].timers;
    assert_true(outside->count <= 4 * RUSM__TIMER_CHUNK);
    /* The same for timers of a scheduler that others cancel. */
    for (unsigned i = 0; i < 5000; i++) {
        rusm_timer timer = arm_in(&other, in_ms(3600000), other.pid, "x");
        assert_true(rusm_timer_cancel(rt, timer));
    }
    for (uint32_t i = 0; i < rt->sched_count; i++) {
        assert_true(rt->procs->locals[i].timers.count <= RUSM__TIMER_CHUNK);
    }
}

static void armed_timers_are_freed_with_the_runtime(void **state) {
    static struct puppet target;
    (void)state;
    puppet_start(&target, rt);
    for (unsigned i = 0; i < 100; i++) {
        arm(in_ms(3600000), target.pid, "far");
        arm_in(&target, in_ms(3600000), target.pid, "far");
    } /* the rest is the leak checker's */
}

/* A spinning one counts thousands, always; on a busy machine they may doze for a while. */
static bool schedulers_rest(void) {
    uint64_t before = stats_of(rt).sleeps;
    nap_ms(200);
    return stats_of(rt).sleeps - before < 60;
}

static void timers_at_the_end_of_time_let_sleep(void **state) {
    static struct puppet target;
    (void)state;
    puppet_start(&target, rt);
    arm_in(&target, UINT64_MAX, target.pid, "never");
    arm_in(&target, UINT64_MAX - 1, target.pid, "never");
    arm(UINT64_MAX, target.pid, "never");
    WAIT_FOR(schedulers_rest());
    assert_int_equal(puppet_mail_count(&target), 0);
}

/* ---- wake_at ---- */

struct waker {
    _Atomic uint64_t deadline; /* what the next step asks for; 0 = nothing */
    _Atomic unsigned steps;
    _Atomic int status;
};

static rusm_step waker_step(rusm_proc *self, void *body) {
    struct waker *waker = body;
    rusm_msg_free(rusm_proc_receive(self));
    uint64_t deadline = atomic_exchange(&waker->deadline, 0);
    if (deadline) {
        atomic_store(&waker->status, rusm_proc_wake_at(self, deadline));
    }
    atomic_fetch_add(&waker->steps, 1);
    return RUSM_STEP_WAIT;
}

static rusm_pid start_waker(struct waker *waker) {
    static const rusm_body_ops ops = {.name = "waker", .step = waker_step};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = waker};
    rusm_pid pid;
    *waker = (struct waker){0};
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&waker->steps) == 1);
    return pid;
}

/* Ask in one step (the mail's), and wait for the step that the timer causes. */
static void ask(rusm_pid pid, struct waker *waker, uint64_t deadline) {
    unsigned before = atomic_load(&waker->steps);
    atomic_store(&waker->deadline, deadline);
    assert_int_equal(send_text(rt, pid, "ask"), RUSM_OK);
    WAIT_FOR(atomic_load(&waker->deadline) == 0 && atomic_load(&waker->steps) > before);
    assert_int_equal(atomic_load(&waker->status), RUSM_OK);
}

static void wake_at_wakes(void **state) {
    static struct waker waker;
    (void)state;
    rusm_pid pid = start_waker(&waker);
    uint64_t deadline = in_ms(30);
    ask(pid, &waker, deadline);
    WAIT_FOR(atomic_load(&waker.steps) == 3);
    assert_true(rusm_now_ns() >= deadline);
    ask(pid, &waker, deadline); /* the same once more: it is past, so at once */
    WAIT_FOR(atomic_load(&waker.steps) == 5);
    ask(pid, &waker, 1);
    WAIT_FOR(atomic_load(&waker.steps) == 7);
    nap_ms(10);
    assert_int_equal(atomic_load(&waker.steps), 7);
}

static void wake_at_replaces_and_takes_back(void **state) {
    static struct waker waker;
    (void)state;
    rusm_pid pid = start_waker(&waker);
    ask(pid, &waker, in_ms(3600000));
    ask(pid, &waker, in_ms(5)); /* earlier */
    WAIT_FOR(atomic_load(&waker.steps) == 4);
    ask(pid, &waker, in_ms(3600000));
    ask(pid, &waker, UINT64_MAX);
    nap_ms(20);
    assert_int_equal(atomic_load(&waker.steps), 6);
}

/* ---- to names ---- */

static int arm_name(uint64_t deadline_ns, const char *name, const char *text, rusm_timer *timer) {
    rusm_msg *msg = new_msg(text);
    int status = rusm_timer_send_name(rt, deadline_ns, name, strlen(name), msg, timer);
    if (status != RUSM_OK) {
        rusm_msg_free(msg);
    }
    return status;
}

static void timer_to_a_name_asks_when_it_fires(void **state) {
    (void)state;
    static struct puppet first, second;
    rusm_timer timer;
    puppet_start(&first, rt);
    puppet_start(&second, rt);
    assert_int_equal(puppet_register(&first, "clock"), RUSM_OK);
    char name[] = "clock";
    assert_int_equal(arm_name(in_ms(200), name, "to the second", &timer), RUSM_OK);
    memset(name, 'x', sizeof(name)); /* it was copied */
    puppet_end_with(&first, RUSM_EXIT_NORMAL, NULL);
    assert_int_equal(puppet_register(&second, "clock"), RUSM_OK);
    assert_string_equal(puppet_wait_mail(&second, 0).text, "to the second");
    assert_int_equal(puppet_mail_count(&first), 0);
    assert_false(rusm_timer_cancel(rt, timer));
    assert_int_equal(arm_name(1, "clock", "late", &timer), RUSM_OK); /* in the past: at once */
    assert_string_equal(puppet_wait_mail(&second, 1).text, "late");
    puppet_end_with(&second, RUSM_EXIT_NORMAL, NULL);
}

static void timer_to_a_name_can_be_cancelled(void **state) {
    (void)state;
    rusm_timer timer, later;
    assert_int_equal(arm_name(in_ms(3600000), "nobody", "never", &timer), RUSM_OK);
    assert_int_equal(arm_name(in_ms(3600000), "nobody", "freed with the runtime", &later), RUSM_OK);
    assert_true(rusm_timer_cancel(rt, timer));
    assert_false(rusm_timer_cancel(rt, timer));
    assert_int_equal(arm_name(in_ms(1), "nobody", "to nobody", &timer), RUSM_OK);
    WAIT_FOR(!rusm_timer_cancel(rt, timer));
}

static void timer_to_a_name_refuses_bad_names(void **state) {
    (void)state;
    char longest[257];
    rusm_timer timer = 1;
    memset(longest, 'n', sizeof(longest));
    longest[256] = '\0';
    assert_int_equal(arm_name(in_ms(1), longest, "x", &timer), RUSM_EINVAL);
    assert_true(timer == 0);
    assert_int_equal(arm_name(in_ms(1), "", "x", &timer), RUSM_EINVAL);
    longest[255] = '\0';
    assert_int_equal(arm_name(in_ms(3600000), longest, "x", &timer), RUSM_OK);
    assert_true(rusm_timer_cancel(rt, timer));
}

/* ---- turns that are due ---- */

/* Hogs use up their turns, a millisecond each. Once all of them wait in the queue the runner sets
 * its time, and those that begin after it has come are counted. */
enum { HOGS = 40 };

struct crowd {
    bool is_due;       /* the runner asks for its turn, and is not only woken */
    bool begun[HOGS];  /* these are touched by the one scheduler only */
    unsigned in_queue; /* of these */
    unsigned begun_late;
    uint64_t due_ns; /* 0: not set yet */
    bool over;
};

static struct crowd crowd;

static rusm_step hog_step(rusm_proc *self, void *body) {
    bool *begun = body;
    (void)self;
    crowd.in_queue += !*begun;
    *begun = true;
    crowd.begun_late += crowd.due_ns && rusm_now_ns() >= crowd.due_ns && !crowd.over;
    nap_ms(1);
    return crowd.over ? RUSM_STEP_EXIT : RUSM_STEP_AGAIN;
}

static rusm_step runner_step(rusm_proc *self, void *body) {
    (void)body;
    if (!crowd.due_ns && crowd.in_queue == HOGS) {
        crowd.due_ns = rusm_now_ns() + 5000000;
        assert_int_equal(crowd.is_due ? rusm__proc_due_at(self, crowd.due_ns)
                                      : rusm_proc_wake_at(self, crowd.due_ns),
                         RUSM_OK);
    }
    if (!crowd.due_ns || rusm_now_ns() < crowd.due_ns) {
        return RUSM_STEP_AGAIN;
    }
    crowd.over = true;
    return RUSM_STEP_EXIT;
}

static unsigned late_hogs(bool is_due) {
    static const rusm_body_ops hog = {.name = "hog", .step = hog_step};
    static const rusm_body_ops runner = {.name = "runner", .step = runner_step};
    crowd = (struct crowd){.is_due = is_due};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &runner, .body = &crowd};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    options.ops = &hog;
    for (unsigned i = 0; i < HOGS; i++) {
        options.body = &crowd.begun[i];
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    }
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    return crowd.begun_late;
}

/* The wheel may be two of its milliseconds late; then it is before all others. */
static void a_turn_that_is_due_overtakes_those_that_wait(void **state) {
    (void)state;
    assert_true(late_hogs(true) <= 6);
    assert_true(late_hogs(false) > 20); /* a wake alone overtakes nobody */
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(timer_fires_once_and_not_early),
        TEST(timer_names_the_process_that_set_it),
        TEST(timer_survives_its_setter),
        TEST(timer_to_the_dead_is_dropped),
        TEST(timer_is_refused_by_a_full_mailbox),
        TEST(timer_takes_messages_only),
        TEST(timers_many_fire_exactly_once),
        TEST(cancel_before_is_true_once),
        TEST(cancel_of_what_never_was_is_false),
        TEST(cancel_with_an_old_id_spares_the_next_user),
        TEST(cancel_races_have_one_winner),
        TEST(cancelled_timers_make_room),
        TEST(armed_timers_are_freed_with_the_runtime),
        TEST(timers_at_the_end_of_time_let_sleep),
        TEST(wake_at_wakes),
        TEST(wake_at_replaces_and_takes_back),
        TEST(timer_to_a_name_asks_when_it_fires),
        TEST(timer_to_a_name_can_be_cancelled),
        TEST(timer_to_a_name_refuses_bad_names),
        cmocka_unit_test_setup_teardown(a_turn_that_is_due_overtakes_those_that_wait, start_one,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
