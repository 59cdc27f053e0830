/* SPDX-License-Identifier: MIT */
/* Supervisors in careless hands: start functions that break their contract, requests from where
 * nobody may wait, arguments whose request came to nothing, options that say two things at once.
 * Each of them has one clear answer, and nothing is left behind. */
#include "rusm/supervisor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/fiber.h"

#include "base/clock.h"
#include "base/mem.h"

enum { PATIENCE_S = 60 };

#include "wait.h"

#define FOR_EVER UINT64_MAX
#define HOUR     (3600 * RUSM__SECOND)

static rusm_runtime *rt;
static rusm_supervisor *sup;
static rusm_pid sup_pid;
static _Atomic unsigned drops, starts;

static int set_up(void **state) {
    (void)state;
    sup = NULL;
    atomic_store(&drops, 0);
    atomic_store(&starts, 0);
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = 2, .watchdog_ms = 60000};
    return rusm_runtime_start(&options, &rt);
}

static int tear_down(void **state) {
    (void)state;
    rusm_runtime_stop(rt);
    rusm_supervisor_free(sup);
    return 0;
}

/* ---- children ---- */

static rusm_step rest(rusm_proc *self, void *body) {
    (void)body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL)
        rusm_msg_free(msg);
    return RUSM_STEP_WAIT;
}

static const rusm_body_ops rest_ops = {.name = "rest", .step = rest};

static int start_good(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    (void)arg;
    spawn->ops = &rest_ops;
    atomic_fetch_add(&starts, 1);
    return rusm_proc_spawn(rusm_proc_runtime(self), spawn, out_pid);
}

static rusm_pid spawn_bare(void) {
    rusm_spawn_options bare = {.size = sizeof(bare), .ops = &rest_ops};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &bare, &pid), RUSM_OK);
    return pid;
}

static void drop(void *arg) {
    (void)arg;
    atomic_fetch_add(&drops, 1);
}

static rusm_child child_of(const char *id, rusm_child_start start, void *arg) {
    return (rusm_child){
        .size = sizeof(rusm_child), .id = id, .start = start, .arg = arg, .drop = drop};
}

static void start_with(const rusm_child *children, size_t count, rusm_strategy strategy) {
    rusm_supervisor_options options = {.size = sizeof(options),
                                       .name = "tested",
                                       .strategy = strategy,
                                       .children = children,
                                       .child_count = count};
    assert_int_equal(rusm_supervisor_start(rt, &options, &sup_pid, &sup), RUSM_OK);
}

/* ---- start functions ---- */

enum careless {
    NAMES_NOBODY,
    ANSWERS_5,
    NAMES_THE_SUPERVISOR,
    FAILS_AFTER_ALL,
    FORGETS_TO_BE_WATCHED,
    SPAWNS_TWO,
    NAMES_THE_DEAD,
};

static rusm_pid dead;

static int start_careless(rusm_proc *self, void *arg, rusm_spawn_options *spawn,
                          rusm_pid *out_pid) {
    enum careless how = *(enum careless *)arg;
    rusm_pid other;
    switch (how) {
    case NAMES_NOBODY:
        return RUSM_OK;
    case ANSWERS_5:
        return 5;
    case NAMES_THE_SUPERVISOR:
        *out_pid = rusm_proc_pid(self);
        return RUSM_OK;
    case FAILS_AFTER_ALL:
        return start_good(self, NULL, spawn, out_pid) == RUSM_OK ? RUSM_EIO : RUSM_ENOMEM;
    case FORGETS_TO_BE_WATCHED:
        *out_pid = spawn_bare();
        return RUSM_OK;
    case SPAWNS_TWO:
        if (start_good(self, NULL, spawn, &other) != RUSM_OK || !rusm_pid_kill(rt, other))
            return RUSM_ENOMEM;
        *out_pid = spawn_bare();
        return RUSM_OK;
    case NAMES_THE_DEAD:
        atomic_fetch_add(&starts, 1);
        *out_pid = dead;
        return RUSM_OK;
    }
    return RUSM_EINVAL;
}

static void start_that_names_nobody_has_failed(void **state) {
    static const struct {
        enum careless how;
        int code;
    } cases[] = {{NAMES_NOBODY, RUSM_EINVAL},
                 {ANSWERS_5, RUSM_EINVAL},
                 {NAMES_THE_SUPERVISOR, RUSM_EINVAL},
                 {FAILS_AFTER_ALL, RUSM_EIO}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum careless how = cases[i].how;
        rusm_child children[] = {child_of("good", start_good, NULL),
                                 child_of("careless", start_careless, &how)};
        start_with(children, 2, RUSM_ONE_FOR_ONE);
        assert_int_equal(rusm_supervisor_ready(NULL, sup, FOR_EVER), cases[i].code);
        assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
        rusm_supervisor_free(sup);
        sup = NULL;
    }
}

static void child_that_was_not_to_be_watched_is_watched(void **state) {
    static const enum careless cases[] = {FORGETS_TO_BE_WATCHED, SPAWNS_TWO};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        enum careless how = cases[i];
        rusm_child child = child_of("careless", start_careless, &how);
        rusm_child_info info;
        start_with(&child, 1, RUSM_ONE_FOR_ONE);
        assert_int_equal(rusm_supervisor_ready(NULL, sup, FOR_EVER), RUSM_OK);
        assert_int_equal(rusm_supervisor_children(sup, &info, 1), 1);
        rusm_pid first = info.pid;
        assert_true(rusm_pid_kill(rt, first)); /* noticed */
        WAIT_FOR(rusm_supervisor_children(sup, &info, 1) == 1 && info.restarts == 1);
        assert_true(info.state == RUSM_CHILD_UP && info.pid != first);
        assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
        rusm_supervisor_free(sup);
        sup = NULL;
    }
}

static void child_that_is_dead_has_fallen(void **state) {
    (void)state;
    dead = spawn_bare();
    assert_true(rusm_pid_kill(rt, dead));
    WAIT_FOR(!rusm_pid_is_alive(rt, dead));
    enum careless how = NAMES_THE_DEAD;
    rusm_child child = child_of("careless", start_careless, &how);
    start_with(&child, 1, RUSM_ONE_FOR_ONE);
    WAIT_FOR(!rusm_pid_is_alive(rt, sup_pid)); /* it gave up */
    assert_int_equal(atomic_load(&starts), 1 + 3);
    assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
}

/* ---- who may wait ---- */

struct errand {
    _Atomic int code;
    bool with_self;
    uint64_t deadline_ns;
    rusm_pid busy_with; /* a mailbox without room, 0 = none */
    _Atomic bool begun, ended;
};

static rusm_child extra_child(void) {
    return child_of("extra", start_good, NULL);
}

static int add_extra(rusm_proc *self, const struct errand *errand) {
    rusm_child child = extra_child();
    return rusm_supervisor_add(errand->with_self ? self : NULL, sup, &child, errand->deadline_ns);
}

static rusm_step errand_step(rusm_proc *self, void *body) {
    struct errand *errand = body;
    atomic_store(&errand->code, add_extra(self, errand));
    return RUSM_STEP_EXIT;
}

static void errand_end(void *body) {
    atomic_store(&((struct errand *)body)->ended, true);
}

static int run_in_a_step(struct errand *errand) {
    static const rusm_body_ops ops = {.name = "errand", .step = errand_step, .drop = errand_end};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = errand};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&errand->ended));
    return atomic_load(&errand->code);
}

static void park_a_message(rusm_proc *self, rusm_pid to) {
    rusm_msg *msg;
    assert_int_equal(rusm_msg_new(0, &msg), RUSM_OK);
    assert_int_equal(rusm_proc_send(self, to, msg), RUSM_EAGAIN);
}

static void errand_main(rusm_proc *self, void *arg) {
    struct errand *errand = arg;
    if (errand->busy_with)
        park_a_message(self, errand->busy_with);
    atomic_store(&errand->begun, true);
    atomic_store(&errand->code, add_extra(self, errand));
}

static rusm_pid start_fiber(struct errand *errand) {
    rusm_fiber_options fiber = {
        .size = sizeof(fiber), .main = errand_main, .arg = errand, .drop = errand_end};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &fiber, &pid), RUSM_OK);
    return pid;
}

static int run_in_a_fiber(struct errand *errand) {
    start_fiber(errand);
    WAIT_FOR(atomic_load(&errand->ended));
    return atomic_load(&errand->code);
}

static void schedulers_do_not_wait_as_threads_do(void **state) {
    (void)state;
    rusm_child child = child_of("a", start_good, NULL);
    start_with(&child, 1, RUSM_ONE_FOR_ONE);
    assert_int_equal(run_in_a_step(&(struct errand){.deadline_ns = FOR_EVER}), RUSM_ESTATE);
    assert_int_equal(run_in_a_fiber(&(struct errand){.deadline_ns = FOR_EVER}), RUSM_ESTATE);
    assert_int_equal(run_in_a_step(&(struct errand){.deadline_ns = FOR_EVER, .with_self = true}),
                     RUSM_ESTATE);
    assert_int_equal(atomic_load(&drops), 3);
    /* What waits for nothing may be asked from anywhere. */
    assert_int_equal(run_in_a_step(&(struct errand){.deadline_ns = 0}), RUSM_ETIMEDOUT);
    WAIT_FOR(rusm_supervisor_children(sup, NULL, 0) == 2);
    assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
    assert_int_equal(atomic_load(&drops), 5);
}

/* ---- whose is the argument? ---- */

/* A group restart that waits for an hour: what is to be added waits with it. */
static void start_stuck(void) {
    rusm_child child = child_of("a", start_good, NULL);
    child.drop = NULL;
    child.backoff = (rusm_backoff){.first_ns = HOUR};
    start_with(&child, 1, RUSM_ONE_FOR_ALL);
    assert_int_equal(rusm_supervisor_ready(NULL, sup, FOR_EVER), RUSM_OK);
    rusm_child_info info;
    assert_int_equal(rusm_supervisor_children(sup, &info, 1), 1);
    assert_true(rusm_pid_kill(rt, info.pid));
    WAIT_FOR(rusm_supervisor_children(sup, &info, 1) == 1 && info.state == RUSM_CHILD_DOWN);
}

static void argument_of_a_request_that_stands_is_dropped_later(void **state) {
    (void)state;
    start_stuck();
    rusm_child child = extra_child();
    assert_int_equal(rusm_supervisor_add(NULL, sup, &child, rusm_now_ns() + RUSM__MS),
                     RUSM_ETIMEDOUT);
    struct errand late = {.with_self = true, .deadline_ns = 0};
    assert_int_equal(run_in_a_fiber(&late), RUSM_ETIMEDOUT);
    struct errand doomed = {.with_self = true, .deadline_ns = FOR_EVER};
    rusm_pid pid = start_fiber(&doomed);
    WAIT_FOR(atomic_load(&doomed.begun));
    nap_ms(1); /* as a rule it waits by now; the rule is the same if not */
    assert_true(rusm_pid_kill(rt, pid));
    WAIT_FOR(atomic_load(&doomed.ended));
    assert_int_equal(atomic_load(&doomed.code), RUSM_EEXITING);
    assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
    WAIT_FOR(atomic_load(&drops) == 3);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    assert_int_equal(atomic_load(&drops), 3);
}

/* It is told to end, waits in vain, and asks only then. */
static void doomed_main(rusm_proc *self, void *arg) {
    rusm_msg *msg;
    if (rusm_receive(self, FOR_EVER, &msg) == RUSM_EEXITING)
        errand_main(self, arg);
}

static void argument_of_a_request_that_was_not_made_is_dropped(void **state) {
    (void)state;
    rusm_child child = extra_child(), wrong = child, again = child_of("a", start_good, NULL);
    start_with(&again, 1, RUSM_ONE_FOR_ONE);
    assert_int_equal(rusm_supervisor_ready(NULL, sup, FOR_EVER), RUSM_OK);

    assert_int_equal(rusm_supervisor_add(NULL, sup, &again, FOR_EVER), RUSM_EEXIST);
    assert_int_equal(atomic_load(&drops), 1);
    wrong.id = "";
    assert_int_equal(rusm_supervisor_add(NULL, sup, &wrong, FOR_EVER), RUSM_EINVAL);
    assert_int_equal(rusm_supervisor_add(NULL, NULL, &child, FOR_EVER), RUSM_EINVAL);
    assert_int_equal(atomic_load(&drops), 3);
    wrong.size--; /* cannot be read */
    assert_int_equal(rusm_supervisor_add(NULL, sup, &wrong, FOR_EVER), RUSM_EINVAL);
    assert_int_equal(rusm_supervisor_add(NULL, sup, NULL, FOR_EVER), RUSM_EINVAL);
    assert_int_equal(atomic_load(&drops), 3);

    struct errand late = {.with_self = true, .deadline_ns = FOR_EVER};
    rusm_fiber_options fiber = {
        .size = sizeof(fiber), .main = doomed_main, .arg = &late, .drop = errand_end};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &fiber, &pid), RUSM_OK);
    assert_int_equal(rusm_pid_exit(rt, pid, RUSM_EXIT_CRASHED, "go"), RUSM_OK);
    WAIT_FOR(atomic_load(&late.ended));
    if (atomic_load(&late.begun)) { /* else it had not begun to run, and never did */
        assert_int_equal(atomic_load(&late.code), RUSM_EEXITING);
        assert_int_equal(atomic_load(&drops), 4);
    }

    unsigned before = atomic_load(&drops);
    assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
    WAIT_FOR(!rusm_pid_is_alive(rt, sup_pid));
    assert_int_equal(atomic_load(&drops), before + 1);
    assert_int_equal(rusm_supervisor_add(NULL, sup, &child, FOR_EVER), RUSM_ENOPROC);
    struct errand gone = {.with_self = true, .deadline_ns = FOR_EVER};
    assert_int_equal(run_in_a_fiber(&gone), RUSM_ENOPROC);
    assert_int_equal(atomic_load(&drops), before + 3);
}

static rusm_step be_deaf(rusm_proc *self, void *body) {
    rusm_proc_trap_exit(self, true);
    atomic_store((_Atomic bool *)body, true);
    return rest(self, body);
}

static int start_deaf(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    static const rusm_body_ops ops = {.name = "deaf", .step = be_deaf};
    spawn->ops = &ops;
    spawn->body = arg;
    return rusm_proc_spawn(rusm_proc_runtime(self), spawn, out_pid);
}

static void argument_is_dropped_by_a_supervisor_that_stops(void **state) {
    (void)state;
    static _Atomic bool is_deaf; /* the deaf hear it until the runtime has stopped */
    rusm_child deaf = {.size = sizeof(deaf),
                       .id = "deaf",
                       .start = start_deaf,
                       .arg = &is_deaf,
                       .grace_ns = FOR_EVER};
    start_with(&deaf, 1, RUSM_ONE_FOR_ONE);
    WAIT_FOR(atomic_load(&is_deaf));
    assert_int_equal(rusm_supervisor_stop(NULL, sup, 0), RUSM_ETIMEDOUT);
    rusm_child child = extra_child();
    assert_int_equal(rusm_supervisor_add(NULL, sup, &child, FOR_EVER), RUSM_ESTATE);
    WAIT_FOR(atomic_load(&drops) == 1);
}

/* Keeps the supervisor, and its scheduler, as long as the test needs. */
static int start_when_told(rusm_proc *self, void *arg, rusm_spawn_options *spawn,
                           rusm_pid *out_pid) {
    _Atomic int *told = arg;
    atomic_store(told, 1);
    while (atomic_load(told) != 2)
        nap_ms(1);
    return start_good(self, NULL, spawn, out_pid);
}

static void argument_is_dropped_when_there_is_no_room(void **state) {
    static const struct {
        rusm_mailbox_policy policy;
        int code;
    } cases[] = {{RUSM_MAILBOX_REFUSE, RUSM_EFULL}, {RUSM_MAILBOX_BLOCK_SENDER, RUSM_EBUSY}};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        _Atomic int told = 0;
        rusm_child child = {
            .size = sizeof(child), .id = "a", .start = start_when_told, .arg = &told};
        rusm_supervisor_options options = {
            .size = sizeof(options),
            .children = &child,
            .child_count = 1,
            .spawn = {.mailbox_messages = 1, .mailbox_policy = cases[i].policy}};
        assert_int_equal(rusm_supervisor_start(rt, &options, &sup_pid, &sup), RUSM_OK);
        WAIT_FOR(atomic_load(&told) == 1);
        rusm_msg *noise;
        assert_int_equal(rusm_msg_new(0, &noise), RUSM_OK);
        assert_int_equal(rusm_msg_send(rt, sup_pid, noise), RUSM_OK);
        struct errand errand = {.with_self = true,
                                .deadline_ns = FOR_EVER,
                                .busy_with = cases[i].code == RUSM_EBUSY ? sup_pid : 0};
        assert_int_equal(run_in_a_fiber(&errand), cases[i].code);
        assert_int_equal(atomic_load(&drops), i + 1);
        atomic_store(&told, 2);
        assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
        rusm_supervisor_free(sup);
        sup = NULL;
    }
    assert_int_equal(atomic_load(&drops), 2);
}

static void argument_is_dropped_when_there_is_no_memory(void **state) {
    (void)state;
    start_with(NULL, 0, RUSM_ONE_FOR_ONE);
    assert_int_equal(rusm_supervisor_ready(NULL, sup, FOR_EVER), RUSM_OK);
    rusm_child child = extra_child();
    child.budget = (rusm_budget){3, HOUR};
    unsigned failed = 0;
    int code = RUSM_ENOMEM;
    for (size_t nth = 1; code == RUSM_ENOMEM; nth++) {
        assert_int_equal(atomic_load(&drops), failed);
        rusm__mem_fail_nth(nth);
        code = rusm_supervisor_add(NULL, sup, &child, FOR_EVER);
        rusm__mem_fail_nth(0);
        failed += code == RUSM_ENOMEM;
    }
    assert_int_equal(code, RUSM_OK);
    assert_true(failed >= 3);
    assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
    assert_int_equal(atomic_load(&drops), failed + 1);
}

/* ---- options ---- */

static int code_of(const rusm_supervisor_options *options) {
    rusm_supervisor *started;
    rusm_pid pid;
    int code = rusm_supervisor_start(rt, options, &pid, &started);
    if (code == RUSM_OK) {
        assert_int_equal(rusm_supervisor_stop(NULL, started, FOR_EVER), RUSM_OK);
        rusm_supervisor_free(started);
    }
    return code;
}

static void budgets_are_given_whole_or_not_at_all(void **state) {
    static const struct {
        rusm_budget budget;
        int code;
    } cases[] = {{{0, 0}, RUSM_OK},
                 {{100, 0}, RUSM_EINVAL},
                 {{RUSM_RESTARTS_UNLIMITED, 0}, RUSM_EINVAL},
                 {{0, 1}, RUSM_OK},
                 {{0, UINT64_MAX}, RUSM_OK},
                 {{RUSM_RESTARTS_MAX, UINT64_MAX - 1}, RUSM_OK},
                 {{RUSM_RESTARTS_MAX + 1, 1}, RUSM_EINVAL},
                 {{RUSM_RESTARTS_UNLIMITED - 1, 1}, RUSM_EINVAL},
                 {{RUSM_RESTARTS_UNLIMITED, 1}, RUSM_OK}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rusm_child child = {.size = sizeof(child), .id = "a", .start = start_good};
        rusm_supervisor_options options = {
            .size = sizeof(options), .children = &child, .child_count = 1};
        options.budget = cases[i].budget;
        assert_int_equal(code_of(&options), cases[i].code);
        options.budget = (rusm_budget){0};
        child.budget = cases[i].budget;
        assert_int_equal(code_of(&options), cases[i].code);
    }
}

static void back_offs_have_an_order(void **state) {
    static const struct {
        rusm_backoff backoff;
        int code;
    } cases[] = {{{0, 0, 0}, RUSM_OK},
                 {{UINT32_MAX, 0, 0}, RUSM_OK},
                 {{0, HOUR, 0}, RUSM_OK},
                 {{0, 1, 1}, RUSM_OK},
                 {{UINT32_MAX, 1, HOUR}, RUSM_OK},
                 {{0, 2, 1}, RUSM_EINVAL},
                 {{0, 0, 1}, RUSM_EINVAL},
                 {{0, HOUR + 1, 0}, RUSM_EINVAL},
                 {{0, 1, HOUR + 1}, RUSM_EINVAL},
                 {{0, UINT64_MAX, UINT64_MAX}, RUSM_EINVAL}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rusm_child child = {.size = sizeof(child), .id = "a", .start = start_good};
        rusm_supervisor_options options = {
            .size = sizeof(options), .children = &child, .child_count = 1};
        options.backoff = cases[i].backoff;
        assert_int_equal(code_of(&options), cases[i].code);
        options.backoff = (rusm_backoff){0};
        child.backoff = cases[i].backoff;
        assert_int_equal(code_of(&options), cases[i].code);
    }
}

static void sizes_and_enums_are_checked(void **state) {
    (void)state;
    rusm_child good = {.size = sizeof(good), .id = "a", .start = start_good};
    rusm_child bad_children[] = {good, good, good, good};
    bad_children[0].size--;
    bad_children[1].size = 0;
    bad_children[2].restart = (rusm_restart)-1;
    bad_children[3].restart = (rusm_restart)(RUSM_RESTART_TEMPORARY + 1);
    rusm_supervisor_options options = {
        .size = sizeof(options), .children = &good, .child_count = 1};
    assert_int_equal(code_of(&options), RUSM_OK);
    for (unsigned i = 0; i < 4; i++) {
        options.children = &bad_children[i];
        assert_int_equal(code_of(&options), RUSM_EINVAL);
    }
    options.children = &good;
    rusm_msg *first;
    assert_int_equal(rusm_msg_new(0, &first), RUSM_OK);
    rusm_supervisor_options bad[10];
    for (unsigned i = 0; i < 10; i++)
        bad[i] = options;
    bad[0].size++;
    bad[1].size = 0;
    bad[2].strategy = (rusm_strategy)-1;
    bad[3].child_count = RUSM_CHILDREN_MAX + 1; /* nothing of them is looked at */
    bad[4].child_count = SIZE_MAX;
    bad[5].spawn.size = sizeof(rusm_spawn_options) - 1;
    bad[6].spawn.ops = &rest_ops; /* it would be passed over */
    bad[7].spawn.first = first;
    bad[8].spawn.flags = 1u << 31;
    bad[9].spawn.mailbox_policy = (rusm_mailbox_policy)99;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(code_of(&bad[i]), RUSM_EINVAL);
    rusm_msg_free(first);
    assert_int_equal(rusm_supervisor_start(rt, &options, NULL, NULL), RUSM_EINVAL);
    assert_int_equal(rusm_supervisor_children(NULL, NULL, 0), 0);
    assert_int_equal(rusm_supervisor_pid(NULL), 0);
}

static void longest_grace_does_not_overflow(void **state) {
    static const uint64_t graces[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        _Atomic bool is_deaf = false;
        rusm_child deaf = {.size = sizeof(deaf),
                           .id = "deaf",
                           .start = start_deaf,
                           .arg = &is_deaf,
                           .grace_ns = graces[i]};
        start_with(&deaf, 1, RUSM_ONE_FOR_ONE);
        WAIT_FOR(atomic_load(&is_deaf));
        assert_int_equal(rusm_supervisor_stop(NULL, sup, rusm_now_ns() + 20 * RUSM__MS),
                         RUSM_ETIMEDOUT);
        rusm_child_info info = {0};
        WAIT_FOR(rusm_supervisor_children(sup, &info, 1) == 1 &&
                 info.state == RUSM_CHILD_STOPPING); /* it may not even have heard of it */
        assert_true(rusm_pid_kill(rt, info.pid));
        assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
        rusm_supervisor_free(sup);
        sup = NULL;
    }
}

static void as_many_children_as_are_allowed(void **state) {
    (void)state;
    static rusm_child children[RUSM_CHILDREN_MAX];
    static char ids[RUSM_CHILDREN_MAX][8];
    for (unsigned i = 0; i < RUSM_CHILDREN_MAX; i++) {
        for (unsigned at = 0, left = i; at < 4; at++, left /= 16)
            ids[i][at] = (char)('a' + left % 16);
        children[i] = (rusm_child){.size = sizeof(rusm_child), .id = ids[i], .start = start_good};
    }
    start_with(children, RUSM_CHILDREN_MAX, RUSM_ONE_FOR_ONE);
    assert_int_equal(rusm_supervisor_ready(NULL, sup, FOR_EVER), RUSM_OK);
    rusm_child child = extra_child();
    assert_int_equal(rusm_supervisor_add(NULL, sup, &child, FOR_EVER), RUSM_ELIMIT);
    assert_int_equal(atomic_load(&drops), 1);
    assert_int_equal(rusm_supervisor_stop(NULL, sup, FOR_EVER), RUSM_OK);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(start_that_names_nobody_has_failed),
        TEST(child_that_was_not_to_be_watched_is_watched),
        TEST(child_that_is_dead_has_fallen),
        TEST(schedulers_do_not_wait_as_threads_do),
        TEST(argument_of_a_request_that_stands_is_dropped_later),
        TEST(argument_of_a_request_that_was_not_made_is_dropped),
        TEST(argument_is_dropped_by_a_supervisor_that_stops),
        TEST(argument_is_dropped_when_there_is_no_room),
        TEST(argument_is_dropped_when_there_is_no_memory),
        TEST(budgets_are_given_whole_or_not_at_all),
        TEST(back_offs_have_an_order),
        TEST(sizes_and_enums_are_checked),
        TEST(longest_grace_does_not_overflow),
        TEST(as_many_children_as_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
