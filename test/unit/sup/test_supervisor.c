/* SPDX-License-Identifier: MIT */
/* Supervisors with native children that do as they are told. What happens is written down as a
 * list of events under a mutex, so that orders can be checked; waits have a deadline that only a
 * hang can reach. */
#include "rusm/supervisor.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/fiber.h"
#include "rusm/msg.h"

#include "base/clock.h"
#include "base/mem.h"

enum { PATIENCE_S = 60, ACTORS = 128, EVENTS = 4096 };

#include "wait.h"

#define FOR_EVER UINT64_MAX
#define HOUR     (3600 * RUSM__SECOND)

/* Ends when asked; traps and ignores; traps and ends; crashes at once. */
enum how { PLAIN, DEAF, POLITE, BORN_DEAD };

/* One child as the tests see it. */
struct actor {
    struct stage *stage;
    char id[16];
    enum how how;
    unsigned starts; /* guarded by the stage's lock, as all below */
    unsigned drops;
    unsigned fail_from, fail_to; /* start functions from .. to-1 answer fail_code */
    int fail_code;
    bool starve;       /* the next allocation of the start function fails */
    bool starve_after; /* the supervisor's next one after a start that failed does */
    bool is_starting;  /* `pid` is of the one before */
    rusm_pid pid;
};

struct stage {
    rusm_runtime *rt;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct actor actors[ACTORS];
    rusm_child children[ACTORS];
    char events[EVENTS]; /* "+a" a starts, "-a" it ended, "!a" its start failed */
    rusm_supervisor *sup;
    rusm_pid pid;
};

static void note_locked(struct stage *stage, char sign, const char *id) {
    size_t len = strlen(stage->events);
    snprintf(stage->events + len, sizeof(stage->events) - len, "%c%s", sign, id);
    pthread_cond_broadcast(&stage->changed);
}

static void note(struct stage *stage, char sign, const char *id) {
    pthread_mutex_lock(&stage->lock);
    note_locked(stage, sign, id);
    pthread_mutex_unlock(&stage->lock);
}

static void note_start(struct actor *actor) {
    pthread_mutex_lock(&actor->stage->lock);
    actor->is_starting = true;
    note_locked(actor->stage, '+', actor->id);
    pthread_mutex_unlock(&actor->stage->lock);
}

static void note_started(struct actor *actor, rusm_pid pid) {
    pthread_mutex_lock(&actor->stage->lock);
    actor->is_starting = false;
    actor->pid = pid;
    pthread_mutex_unlock(&actor->stage->lock);
}

/* ---- the child ---- */

/* Its mail says how it ends. */
static rusm_step child_step(rusm_proc *self, void *body) {
    struct actor *actor = body;
    rusm_msg *msg;
    if (actor->how == BORN_DEAD) {
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "born dead");
        return RUSM_STEP_EXIT;
    }
    rusm_proc_trap_exit(self, actor->how != PLAIN);
    while ((msg = rusm_proc_receive(self)) != NULL) {
        bool told = rusm_msg_get_kind(msg) == RUSM_MSG_DATA;
        if (rusm_msg_get_kind(msg) == RUSM_MSG_EXIT && actor->how == POLITE) {
            rusm_msg_free(msg);
            return RUSM_STEP_EXIT;
        }
        rusm_exit_kind kind = told ? (rusm_exit_kind)rusm_msg_data(msg)[0] : RUSM_EXIT_NORMAL;
        rusm_msg_free(msg);
        if (told) {
            rusm_proc_set_exit(self, kind, "told to\nand a second line");
            return RUSM_STEP_EXIT;
        }
    }
    return RUSM_STEP_WAIT;
}

static void child_drop(void *body) {
    struct actor *actor = body;
    note(actor->stage, '-', actor->id);
}

static const rusm_body_ops child_ops = {.name = "child", .step = child_step, .drop = child_drop};

static int start_code(struct actor *actor) {
    pthread_mutex_lock(&actor->stage->lock);
    unsigned now = actor->starts++;
    bool fails = now >= actor->fail_from && now < actor->fail_to;
    pthread_mutex_unlock(&actor->stage->lock);
    if (fails)
        note(actor->stage, '!', actor->id);
    return fails ? actor->fail_code : RUSM_OK;
}

static int start_child(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    struct actor *actor = arg;
    int code = start_code(actor);
    if (code < 0) {
        if (actor->starve_after)
            rusm__mem_fail_nth(1);
        return code;
    }
    spawn->ops = &child_ops;
    spawn->body = actor;
    note_start(actor);
    if (actor->starve)
        rusm__mem_fail_nth(1);
    code = rusm_proc_spawn(rusm_proc_runtime(self), spawn, out_pid);
    if (actor->starve)
        rusm__mem_fail_nth(0);
    actor->starve = false;
    note_started(actor, *out_pid);
    if (code < 0)
        note(actor->stage, '!', actor->id);
    return code;
}

static void drop_actor(void *arg) {
    struct actor *actor = arg;
    pthread_mutex_lock(&actor->stage->lock);
    actor->drops++;
    pthread_mutex_unlock(&actor->stage->lock);
}

/* ---- the tests' side ---- */

static bool happened(struct stage *stage, const char *events) {
    pthread_mutex_lock(&stage->lock);
    bool same = strcmp(stage->events, events) == 0;
    pthread_mutex_unlock(&stage->lock);
    return same;
}

/* Exactly this and nothing else has happened since the last call. */
static void expect_events(struct stage *stage, const char *events) {
    for (long naps = 0; !happened(stage, events) && naps < PATIENCE_S * 1000L; naps++)
        nap_ms(1);
    pthread_mutex_lock(&stage->lock);
    assert_string_equal(stage->events, events);
    stage->events[0] = '\0';
    pthread_mutex_unlock(&stage->lock);
}

static struct actor *actor(struct stage *stage, const char *id) {
    for (unsigned i = 0; i < ACTORS; i++) {
        if (strcmp(stage->actors[i].id, id) == 0)
            return &stage->actors[i];
    }
    fail();
    return NULL;
}

static rusm_child *child(struct stage *stage, const char *id) {
    return &stage->children[actor(stage, id) - stage->actors];
}

static rusm_child_info info_of(struct stage *stage, const char *id) {
    static rusm_child_info infos[ACTORS];
    size_t count = rusm_supervisor_children(stage->sup, infos, ACTORS);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(infos[i].id, id) == 0)
            return infos[i];
    }
    return (rusm_child_info){.state = (rusm_child_state)99};
}

static rusm_child_state state_of(struct stage *stage, const char *id) {
    return info_of(stage, id).state;
}

static bool is_gone(struct stage *stage) {
    return !rusm_pid_is_alive(stage->rt, stage->pid);
}

/* Its start is an event before its pid is known. */
static bool read_pid(struct actor *actor, rusm_pid *out_pid) {
    pthread_mutex_lock(&actor->stage->lock);
    bool is_known = !actor->is_starting;
    *out_pid = actor->pid;
    pthread_mutex_unlock(&actor->stage->lock);
    return is_known;
}

static rusm_pid pid_of(struct stage *stage, const char *id) {
    rusm_pid pid;
    WAIT_FOR(read_pid(actor(stage, id), &pid));
    return pid;
}

static unsigned starts_of(struct stage *stage, const char *id) {
    struct actor *of = actor(stage, id);
    pthread_mutex_lock(&stage->lock);
    unsigned starts = of->starts;
    pthread_mutex_unlock(&stage->lock);
    return starts;
}

static void end_child(struct stage *stage, const char *id, rusm_exit_kind kind) {
    if (kind == RUSM_EXIT_KILLED) {
        assert_true(rusm_pid_kill(stage->rt, pid_of(stage, id)));
        return;
    }
    unsigned char how = (unsigned char)kind;
    rusm_msg *msg;
    assert_int_equal(rusm_msg_copy(&how, 1, &msg), RUSM_OK);
    assert_int_equal(rusm_msg_send(stage->rt, pid_of(stage, id), msg), RUSM_OK);
}

/* Children a, b, c, ...; more than 26 are a0, b0, ... */
static rusm_supervisor_options options_of(struct stage *stage, size_t count,
                                          rusm_strategy strategy) {
    return (rusm_supervisor_options){.size = sizeof(rusm_supervisor_options),
                                     .name = "tested",
                                     .strategy = strategy,
                                     .budget = {3, HOUR},
                                     .children = stage->children,
                                     .child_count = count};
}

/* A child that traps does so from its first step on. */
static bool is_deaf(struct stage *stage, const char *id) {
    rusm_proc_info *info;
    bool deaf = false;
    if (rusm_pid_info(stage->rt, pid_of(stage, id), &info) == RUSM_OK) {
        deaf = info->trap_exit;
        rusm_proc_info_free(info);
    }
    return deaf;
}

static void start(struct stage *stage, const rusm_supervisor_options *options) {
    assert_int_equal(rusm_supervisor_start(stage->rt, options, &stage->pid, &stage->sup), RUSM_OK);
    assert_int_equal(rusm_supervisor_pid(stage->sup), stage->pid);
}

static void start_ready(struct stage *stage, const rusm_supervisor_options *options) {
    start(stage, options);
    assert_int_equal(rusm_supervisor_ready(NULL, stage->sup, FOR_EVER), RUSM_OK);
}

static void start_three(struct stage *stage, rusm_strategy strategy, rusm_restart restart) {
    for (unsigned i = 0; i < 3; i++)
        stage->children[i].restart = restart;
    rusm_supervisor_options options = options_of(stage, 3, strategy);
    start_ready(stage, &options);
    expect_events(stage, "+a+b+c");
}

static void stop(struct stage *stage) {
    assert_int_equal(rusm_supervisor_stop(NULL, stage->sup, FOR_EVER), RUSM_OK);
    WAIT_FOR(is_gone(stage));
}

static int set_up(void **state) {
    static struct stage stage;
    memset(&stage, 0, sizeof(stage));
    pthread_mutex_init(&stage.lock, NULL);
    pthread_cond_init(&stage.changed, NULL);
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *of = &stage.actors[i];
        of->stage = &stage;
        snprintf(of->id, sizeof(of->id), i < 26 ? "%c" : "%c%u", 'a' + i % 26, i / 26);
        stage.children[i] =
            (rusm_child){.size = sizeof(rusm_child), .id = of->id, .start = start_child, .arg = of};
    }
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = 2};
    *state = &stage;
    return rusm_runtime_start(&options, &stage.rt);
}

static int tear_down(void **state) {
    struct stage *stage = *state;
    if (stage->rt)
        rusm_runtime_stop(stage->rt);
    rusm_supervisor_free(stage->sup);
    pthread_cond_destroy(&stage->changed);
    pthread_mutex_destroy(&stage->lock);
    return 0;
}

/* ---- start and stop ---- */

static void starts_left_to_right_and_stops_right_to_left(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    stop(stage);
    expect_events(stage, "-c-b-a");
    assert_int_equal(rusm_supervisor_children(stage->sup, NULL, 0), 0);
    assert_int_equal(rusm_supervisor_stop(NULL, stage->sup, FOR_EVER), RUSM_OK);
    assert_int_equal(rusm_supervisor_ready(NULL, stage->sup, FOR_EVER), RUSM_ENOPROC);
}

static void failing_start_undoes_the_earlier_ones(void **state) {
    struct stage *stage = *state;
    actor(stage, "c")->fail_to = 1;
    actor(stage, "c")->fail_code = RUSM_ELIMIT;
    rusm_supervisor_options options = options_of(stage, 4, RUSM_ONE_FOR_ONE);
    start(stage, &options);
    assert_int_equal(rusm_supervisor_ready(NULL, stage->sup, FOR_EVER), RUSM_ELIMIT);
    WAIT_FOR(is_gone(stage));
    expect_events(stage, "+a+b!c-b-a");
    assert_int_equal(rusm_supervisor_ready(NULL, stage->sup, FOR_EVER), RUSM_ELIMIT);
}

static void starts_and_stops_without_children(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 0, RUSM_ONE_FOR_ALL);
    start_ready(stage, &options);
    stop(stage);
    expect_events(stage, "");
}

static void deaf_child_is_killed_after_its_grace(void **state) {
    struct stage *stage = *state;
    actor(stage, "b")->how = DEAF;
    child(stage, "b")->grace_ns = 30 * RUSM__MS;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "b"));
    uint64_t from = rusm_now_ns();
    stop(stage);
    assert_true(rusm_now_ns() - from >= 30 * RUSM__MS);
    expect_events(stage, "-c-b-a");
}

static void grace_kill_does_not_ask(void **state) {
    struct stage *stage = *state;
    actor(stage, "b")->how = DEAF;
    child(stage, "b")->grace_ns = RUSM_GRACE_KILL;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "b"));
    stop(stage);
    expect_events(stage, "-c-b-a");
}

static void stop_waits_for_ever_when_told_to(void **state) {
    struct stage *stage = *state;
    actor(stage, "b")->how = DEAF;
    child(stage, "b")->grace_ns = FOR_EVER;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "b"));
    assert_int_equal(rusm_supervisor_stop(NULL, stage->sup, rusm_now_ns() + 30 * RUSM__MS),
                     RUSM_ETIMEDOUT);
    expect_events(stage, "-c"); /* a has to wait for b */
    WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_STOPPING);
    assert_int_equal(state_of(stage, "a"), RUSM_CHILD_UP);
    assert_int_equal(rusm_supervisor_terminate(NULL, stage->sup, "a", FOR_EVER), RUSM_ESTATE);
    end_child(stage, "b", RUSM_EXIT_NORMAL);
    expect_events(stage, "-b-a");
    WAIT_FOR(is_gone(stage));
}

static void child_that_falls_during_the_stop_is_not_started_again(void **state) {
    struct stage *stage = *state;
    actor(stage, "c")->how = DEAF;
    child(stage, "c")->grace_ns = FOR_EVER;
    start_three(stage, RUSM_ONE_FOR_ALL, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "c"));
    assert_int_equal(rusm_supervisor_stop(NULL, stage->sup, 0), RUSM_ETIMEDOUT);
    WAIT_FOR(state_of(stage, "c") == RUSM_CHILD_STOPPING);
    end_child(stage, "a", RUSM_EXIT_CRASHED);
    WAIT_FOR(state_of(stage, "a") == RUSM_CHILD_DOWN);
    end_child(stage, "c", RUSM_EXIT_CRASHED);
    expect_events(stage, "-a-c-b");
}

static void killed_supervisor_takes_its_children_along(void **state) {
    struct stage *stage = *state;
    actor(stage, "b")->how = DEAF;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "b"));
    assert_true(rusm_pid_kill(stage->rt, stage->pid));
    for (unsigned i = 0; i < 3; i++)
        WAIT_FOR(!rusm_pid_is_alive(stage->rt, pid_of(stage, stage->actors[i].id)));
    WAIT_FOR(is_gone(stage));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(starts_of(stage, stage->actors[i].id), 1);
}

static void arguments_are_dropped_once(void **state) {
    struct stage *stage = *state;
    child(stage, "a")->drop = drop_actor;
    child(stage, "b")->drop = drop_actor;
    child(stage, "b")->restart = RUSM_RESTART_TEMPORARY;
    rusm_supervisor_options options = options_of(stage, 2, RUSM_ONE_FOR_ONE);
    start_ready(stage, &options);
    end_child(stage, "b", RUSM_EXIT_NORMAL);
    WAIT_FOR(rusm_supervisor_children(stage->sup, NULL, 0) == 1);
    stop(stage);
    assert_int_equal(actor(stage, "a")->drops, 1);
    assert_int_equal(actor(stage, "b")->drops, 1);
}

/* ---- every strategy, type and kind of end ---- */

/* The middle one of three ends; what follows? */
static const char *after_fall(rusm_strategy strategy, rusm_restart restart, rusm_exit_kind kind) {
    bool back = restart == RUSM_RESTART_PERMANENT ||
                (restart == RUSM_RESTART_TRANSIENT && kind != RUSM_EXIT_NORMAL);
    if (!back)
        return "-b";
    static const char *const events[] = {
        [RUSM_ONE_FOR_ONE] = "-b+b",
        [RUSM_ONE_FOR_ALL] = "-b-c-a+a+b+c",
        [RUSM_REST_FOR_ONE] = "-b-c+b+c",
    };
    return events[strategy];
}

static void check_fall(void **state, rusm_strategy strategy, rusm_restart restart,
                       rusm_exit_kind kind) {
    assert_int_equal(set_up(state), 0);
    struct stage *stage = *state;
    start_three(stage, strategy, restart);
    end_child(stage, "b", kind);
    const char *events = after_fall(strategy, restart, kind);
    expect_events(stage, events);
    if (strchr(events, '+')) {
        WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_UP);
        WAIT_FOR(state_of(stage, "c") == RUSM_CHILD_UP);
        assert_int_equal(info_of(stage, "b").restarts, 1);
        assert_int_equal(info_of(stage, "a").restarts, strategy == RUSM_ONE_FOR_ALL);
        assert_int_equal(info_of(stage, "c").restarts, strategy != RUSM_ONE_FOR_ONE);
    } else if (restart == RUSM_RESTART_TEMPORARY) {
        WAIT_FOR(rusm_supervisor_children(stage->sup, NULL, 0) == 2); /* forgotten */
    } else {
        WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_DOWN);
    }
    stop(stage);
    pthread_mutex_lock(&stage->lock);
    assert_null(strchr(stage->events, '+')); /* a late restart would show here */
    pthread_mutex_unlock(&stage->lock);
    tear_down(state);
}

static void every_strategy_type_and_kind(void **state) {
    for (unsigned strategy = 0; strategy < 3; strategy++) {
        for (unsigned restart = 0; restart < 3; restart++) {
            for (unsigned kind = RUSM_EXIT_NORMAL; kind <= RUSM_EXIT_CRASHED; kind++)
                check_fall(state, (rusm_strategy)strategy, (rusm_restart)restart,
                           (rusm_exit_kind)kind);
        }
    }
}

static void temporary_child_of_a_group_is_stopped_and_forgotten(void **state) {
    struct stage *stage = *state;
    child(stage, "b")->restart = RUSM_RESTART_TEMPORARY;
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ALL);
    start_ready(stage, &options);
    expect_events(stage, "+a+b+c");
    end_child(stage, "c", RUSM_EXIT_CRASHED);
    expect_events(stage, "-c-b-a+a+c");
    WAIT_FOR(rusm_supervisor_children(stage->sup, NULL, 0) == 2);
}

/* ---- budgets ---- */

static void gives_up_when_the_budget_is_used_up(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    for (unsigned i = 1; i <= 3; i++) {
        const char *id = i == 2 ? "a" : "b"; /* they share it */
        end_child(stage, id, RUSM_EXIT_CRASHED);
        expect_events(stage, i == 2 ? "-a+a" : "-b+b");
        WAIT_FOR(state_of(stage, id) == RUSM_CHILD_UP);
    }
    end_child(stage, "c", RUSM_EXIT_NORMAL);
    expect_events(stage, "-c-b-a");
    WAIT_FOR(is_gone(stage));
}

static void a_group_restart_is_charged_once(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ALL, RUSM_RESTART_PERMANENT);
    for (unsigned i = 0; i < 3; i++) {
        end_child(stage, "a", RUSM_EXIT_CRASHED);
        expect_events(stage, "-a-c-b+a+b+c");
        WAIT_FOR(info_of(stage, "c").restarts == i + 1);
    }
    end_child(stage, "a", RUSM_EXIT_CRASHED);
    expect_events(stage, "-a-c-b");
    WAIT_FOR(is_gone(stage));
}

static void own_budget_gives_up_one_child_alone(void **state) {
    struct stage *stage = *state;
    child(stage, "b")->budget = (rusm_budget){1, HOUR};
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b+b");
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_GIVEN_UP);
    expect_events(stage, "-b");
    assert_int_equal(state_of(stage, "a"), RUSM_CHILD_UP);
    /* Whoever starts it again by hand gives it its budget back. */
    assert_int_equal(rusm_supervisor_restart(NULL, stage->sup, "b", FOR_EVER), RUSM_OK);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "+b-b+b");
    WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_UP);
}

static void own_budget_gives_up_all_where_siblings_need_it(void **state) {
    struct stage *stage = *state;
    child(stage, "b")->budget = (rusm_budget){0, HOUR};
    start_three(stage, RUSM_REST_FOR_ONE, RUSM_RESTART_PERMANENT);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b-c-a");
    WAIT_FOR(is_gone(stage));
}

static void supervisors_budget_holds_beside_the_childs(void **state) {
    struct stage *stage = *state;
    child(stage, "b")->budget = (rusm_budget){RUSM_RESTARTS_MAX, HOUR};
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    for (unsigned i = 0; i < 3; i++) {
        end_child(stage, "b", RUSM_EXIT_CRASHED);
        expect_events(stage, "-b+b");
        WAIT_FOR(info_of(stage, "b").restarts == i + 1);
    }
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b-c-a");
    WAIT_FOR(is_gone(stage));
}

static void unlimited_restarts_go_on(void **state) {
    struct stage *stage = *state;
    actor(stage, "b")->how = BORN_DEAD;
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ONE);
    options.budget = (rusm_budget){RUSM_RESTARTS_UNLIMITED, HOUR};
    start(stage, &options);
    WAIT_FOR(info_of(stage, "b").restarts >= 1000);
    assert_int_equal(info_of(stage, "a").restarts, 0);
    stop(stage);
}

/* ---- children that cannot be started ---- */

static void failed_restart_is_a_fall(void **state) {
    struct stage *stage = *state;
    *actor(stage, "b") = (struct actor){
        .stage = stage, .id = "b", .fail_from = 1, .fail_to = 3, .fail_code = RUSM_ELIMIT};
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_TRANSIENT);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b!b!b+b"); /* the third and last restart that the budget has */
    WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_UP);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b-c-a");
    WAIT_FOR(is_gone(stage));
}

static void failed_restart_in_a_group_begins_the_group_anew(void **state) {
    struct stage *stage = *state;
    *actor(stage, "b") = (struct actor){
        .stage = stage, .id = "b", .fail_from = 1, .fail_to = 2, .fail_code = RUSM_ELIMIT};
    start_three(stage, RUSM_ONE_FOR_ALL, RUSM_RESTART_PERMANENT);
    end_child(stage, "c", RUSM_EXIT_CRASHED);
    expect_events(stage, "-c-b-a+a!b-a+a+b+c");
    WAIT_FOR(state_of(stage, "c") == RUSM_CHILD_UP);
}

static void failed_restart_of_the_rest_leaves_the_earlier_ones(void **state) {
    struct stage *stage = *state;
    *actor(stage, "c") = (struct actor){
        .stage = stage, .id = "c", .fail_from = 1, .fail_to = 2, .fail_code = RUSM_ELIMIT};
    start_three(stage, RUSM_REST_FOR_ONE, RUSM_RESTART_PERMANENT);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b-c+b!c+c");
    WAIT_FOR(state_of(stage, "c") == RUSM_CHILD_UP);
    assert_int_equal(state_of(stage, "b"), RUSM_CHILD_UP);
}

static void restart_that_finds_no_memory_is_tried_again(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    actor(stage, "b")->starve = true; /* read by start_child after the mail below */
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b+b!b+b");
    WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_UP);
}

/* What fails next is the signal that asks a to end. */
static void sibling_is_asked_again_when_memory_was_short(void **state) {
    struct stage *stage = *state;
    *actor(stage, "b") = (struct actor){.stage = stage,
                                        .id = "b",
                                        .fail_from = 1,
                                        .fail_to = 2,
                                        .fail_code = RUSM_ELIMIT,
                                        .starve_after = true};
    child(stage, "a")->grace_ns = FOR_EVER;
    start_three(stage, RUSM_ONE_FOR_ALL, RUSM_RESTART_PERMANENT);
    end_child(stage, "c", RUSM_EXIT_CRASHED);
    expect_events(stage, "-c-b-a+a!b-a+a+b+c");
}

/* What fails next is the timer of the back-off, where a timer needs memory. */
static void back_off_without_memory_for_a_timer_ends_all_the_same(void **state) {
    struct stage *stage = *state;
    *actor(stage, "b") = (struct actor){.stage = stage,
                                        .id = "b",
                                        .fail_from = 1,
                                        .fail_to = 2,
                                        .fail_code = RUSM_ELIMIT,
                                        .starve_after = true};
    child(stage, "b")->backoff = (rusm_backoff){.at_once = 1, .first_ns = 20 * RUSM__MS};
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b!b+b");
}

/* ---- back-off ---- */

static void restart_waits_for_its_back_off(void **state) {
    struct stage *stage = *state;
    child(stage, "b")->backoff = (rusm_backoff){.first_ns = 60 * RUSM__MS};
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    uint64_t from = rusm_now_ns();
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b+b");
    assert_true(rusm_now_ns() - from >= 30 * RUSM__MS);
}

static void stop_does_not_wait_for_a_restart(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ONE);
    options.backoff = (rusm_backoff){.first_ns = HOUR};
    start_ready(stage, &options);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_WAITING);
    stop(stage);
    expect_events(stage, "+a+b+c-b-c-a");
}

static void stop_does_not_wait_for_a_group_restart(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ALL);
    options.backoff = (rusm_backoff){.first_ns = HOUR};
    start_ready(stage, &options);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "+a+b+c-b-c-a");
    stop(stage);
    expect_events(stage, "");
}

static void fall_before_a_group_restart_widens_it(void **state) {
    struct stage *stage = *state;
    actor(stage, "c")->how = DEAF;
    child(stage, "c")->grace_ns = FOR_EVER;
    start_three(stage, RUSM_REST_FOR_ONE, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "c"));
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    WAIT_FOR(state_of(stage, "c") == RUSM_CHILD_STOPPING);
    end_child(stage, "a", RUSM_EXIT_CRASHED); /* while c is waited for */
    WAIT_FOR(state_of(stage, "a") == RUSM_CHILD_DOWN);
    end_child(stage, "c", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b-a-c+a+b+c");
}

/* ---- storms ---- */

static void crash_all(struct stage *stage, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        end_child(stage, stage->actors[i].id, RUSM_EXIT_CRASHED);
}

static void hundred_crash_at_once(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 100, RUSM_ONE_FOR_ONE);
    options.budget = (rusm_budget){100, HOUR};
    options.backoff = (rusm_backoff){.first_ns = 5 * RUSM__MS};
    start_ready(stage, &options);
    crash_all(stage, 100);
    for (unsigned i = 0; i < 100; i++) {
        WAIT_FOR(info_of(stage, stage->actors[i].id).restarts == 1);
        assert_int_equal(starts_of(stage, stage->actors[i].id), 2);
    }
    end_child(stage, "a", RUSM_EXIT_CRASHED); /* the hundred-and-first */
    WAIT_FOR(is_gone(stage));
}

static void hundred_that_crash_at_once_are_one_group_restart(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 100, RUSM_ONE_FOR_ALL);
    options.budget = (rusm_budget){100, HOUR};
    options.backoff = (rusm_backoff){.first_ns = 20 * RUSM__MS};
    start_ready(stage, &options);
    rusm_pid first[100];
    for (unsigned i = 0; i < 100; i++)
        first[i] = pid_of(stage, stage->actors[i].id);
    for (unsigned i = 0; i < 100; i++)
        rusm_pid_kill(stage->rt, first[i]);
    for (unsigned i = 0; i < 100; i++)
        WAIT_FOR(info_of(stage, stage->actors[i].id).restarts >= 1 &&
                 state_of(stage, stage->actors[i].id) == RUSM_CHILD_UP);
    stop(stage);
    for (unsigned i = 0; i < 100; i++)
        assert_false(rusm_pid_is_alive(stage->rt, pid_of(stage, stage->actors[i].id)));
}

static void storm_over_the_budget_gives_up_once(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 100, RUSM_ONE_FOR_ONE);
    start_ready(stage, &options);
    for (unsigned i = 0; i < 100; i++)
        rusm_pid_kill(stage->rt, pid_of(stage, stage->actors[i].id));
    WAIT_FOR(is_gone(stage));
    for (unsigned i = 0; i < 100; i++)
        assert_false(rusm_pid_is_alive(stage->rt, pid_of(stage, stage->actors[i].id)));
}

static void noise_means_nothing(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    for (uint64_t i = 0; i < 1000; i++) {
        rusm_msg *msg;
        assert_int_equal(rusm_msg_copy(&i, sizeof(i), &msg), RUSM_OK); /* looks like a ticket */
        assert_int_equal(rusm_msg_send(stage->rt, stage->pid, msg), RUSM_OK);
    }
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b+b");
}

/* ---- families ---- */

/* A fiber that starts the stage's supervisor as its own and ends when it gets mail. */
static void parent_main(rusm_proc *self, void *arg) {
    struct stage *stage = arg;
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ONE);
    options.parent = rusm_proc_pid(self);
    rusm_pid pid;
    rusm_supervisor *sup;
    if (rusm_supervisor_start(stage->rt, &options, &pid, &sup) < 0 ||
        rusm_supervisor_ready(self, sup, FOR_EVER) < 0)
        return;
    pthread_mutex_lock(&stage->lock);
    stage->pid = pid;
    stage->sup = sup;
    pthread_cond_broadcast(&stage->changed);
    pthread_mutex_unlock(&stage->lock);
    rusm_msg *msg;
    if (rusm_receive(self, FOR_EVER, &msg) == RUSM_OK) {
        rusm_proc_set_exit(self, (rusm_exit_kind)rusm_msg_data(msg)[0], "the parent was told to");
        rusm_msg_free(msg);
    }
}

static bool has_supervisor(struct stage *stage) {
    pthread_mutex_lock(&stage->lock);
    bool has = stage->sup != NULL;
    pthread_mutex_unlock(&stage->lock);
    return has;
}

static rusm_pid start_parent(struct stage *stage) {
    rusm_fiber_options fiber = {.size = sizeof(fiber), .main = parent_main, .arg = stage};
    rusm_pid parent;
    assert_int_equal(rusm_fiber_spawn(stage->rt, &fiber, &parent), RUSM_OK);
    WAIT_FOR(has_supervisor(stage));
    expect_events(stage, "+a+b+c");
    return parent;
}

static void end_of_the_parent_ends_everything_in_order(void **state) {
    for (unsigned kind = RUSM_EXIT_NORMAL; kind <= RUSM_EXIT_CRASHED; kind++) {
        assert_int_equal(set_up(state), 0);
        struct stage *stage = *state;
        rusm_pid parent = start_parent(stage);
        if (kind == RUSM_EXIT_KILLED) {
            assert_true(rusm_pid_kill(stage->rt, parent));
        } else {
            rusm_msg *msg;
            unsigned char how = (unsigned char)kind;
            assert_int_equal(rusm_msg_copy(&how, 1, &msg), RUSM_OK);
            assert_int_equal(rusm_msg_send(stage->rt, parent, msg), RUSM_OK);
        }
        expect_events(stage, "-c-b-a");
        WAIT_FOR(is_gone(stage));
        tear_down(state);
    }
}

static void giving_up_takes_the_parent_along(void **state) {
    struct stage *stage = *state;
    rusm_pid parent = start_parent(stage);
    for (unsigned i = 0; i < 4; i++) {
        end_child(stage, "b", RUSM_EXIT_CRASHED);
        expect_events(stage, i < 3 ? "-b+b" : "-b-c-a");
        if (i < 3)
            WAIT_FOR(info_of(stage, "b").restarts == i + 1);
    }
    WAIT_FOR(!rusm_pid_is_alive(stage->rt, parent));
}

static void parent_that_is_dead_already_ends_it(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ONE);
    options.parent = (rusm_pid)1 << 40 | 1; /* nobody ever had it */
    start(stage, &options);
    WAIT_FOR(is_gone(stage));
    for (unsigned i = 0; i < 3; i++)
        WAIT_FOR(starts_of(stage, stage->actors[i].id) == 0 ||
                 !rusm_pid_is_alive(stage->rt, pid_of(stage, stage->actors[i].id)));
}

static void only_the_family_may_tell_it_to_end(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    /* A stranger that is linked to it crashes. */
    struct actor *stranger = actor(stage, "z");
    rusm_child child = stage->children[stranger - stage->actors];
    child.restart = RUSM_RESTART_TEMPORARY;
    assert_int_equal(rusm_supervisor_add(NULL, stage->sup, &child, FOR_EVER), RUSM_OK);
    end_child(stage, "z", RUSM_EXIT_CRASHED);
    expect_events(stage, "+z-z");
    /* A plain thread may. */
    assert_int_equal(rusm_pid_exit(stage->rt, stage->pid, RUSM_EXIT_CRASHED, "enough"), RUSM_OK);
    expect_events(stage, "-c-b-a");
    WAIT_FOR(is_gone(stage));
}

/* ---- nesting ---- */

/* The stage's supervisor is the inner one, with children b and c; a and d stand beside it. */
static int start_inner(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    struct stage *stage = arg;
    rusm_supervisor_options options = options_of(stage, 2, RUSM_ONE_FOR_ONE);
    options.name = "inner";
    options.children = &stage->children[1];
    options.budget = (rusm_budget){1, HOUR};
    options.spawn = *spawn;
    return rusm_supervisor_start(rusm_proc_runtime(self), &options, out_pid, NULL);
}

static void start_nested(struct stage *stage) {
    rusm_child children[] = {
        stage->children[0],
        {.size = sizeof(rusm_child),
         .id = "inner",
         .start = start_inner,
         .arg = stage,
         .grace_ns = FOR_EVER},
        stage->children[3],
    };
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ONE);
    options.children = children;
    start_ready(stage, &options);
    WAIT_FOR(pid_of(stage, "c") != 0 && pid_of(stage, "d") != 0);
    pthread_mutex_lock(&stage->lock);
    stage->events[0] = '\0'; /* the inner ones start beside d */
    pthread_mutex_unlock(&stage->lock);
}

static void nested_supervisors_stop_in_order(void **state) {
    struct stage *stage = *state;
    start_nested(stage);
    stop(stage);
    expect_events(stage, "-d-c-b-a");
}

static void nested_supervisor_that_gives_up_is_restarted(void **state) {
    struct stage *stage = *state;
    start_nested(stage);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b+b");
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    expect_events(stage, "-b-c+b+c");
    WAIT_FOR(info_of(stage, "inner").restarts == 1);
    stop(stage);
    expect_events(stage, "-d-c-b-a");
}

static void killed_outer_supervisor_takes_the_inner_along(void **state) {
    struct stage *stage = *state;
    start_nested(stage);
    assert_true(rusm_pid_kill(stage->rt, stage->pid));
    WAIT_FOR(rusm_runtime_process_count(stage->rt) == 0);
}

/* ---- the runtime winds up ---- */

static size_t wind_up(struct stage *stage, uint64_t grace_ns) {
    size_t killed;
    assert_int_equal(rusm_runtime_stop_within(stage->rt, grace_ns, &killed), RUSM_OK);
    stage->rt = NULL;
    return killed;
}

/* Each of them could end at once if it was told, but the supervisors are told first. */
static void winding_up_keeps_the_order_of_nested_supervisors(void **state) {
    struct stage *stage = *state;
    for (unsigned i = 0; i < 4; i++)
        stage->actors[i].how = POLITE;
    start_nested(stage);
    for (unsigned i = 0; i < 4; i++)
        WAIT_FOR(is_deaf(stage, stage->actors[i].id));
    assert_int_equal(wind_up(stage, HOUR), 0);
    expect_events(stage, "-d-c-b-a");
}

static rusm_step idle_step(rusm_proc *self, void *body) {
    (void)self;
    (void)body;
    return RUSM_STEP_WAIT;
}

/* One with a parent is told with everybody else, its children are not. */
static void winding_up_keeps_the_order_below_a_parent(void **state) {
    static const rusm_body_ops ops = {.name = "parent", .step = idle_step};
    struct stage *stage = *state;
    rusm_spawn_options spawn = {.size = sizeof(spawn), .ops = &ops};
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ONE);
    assert_int_equal(rusm_proc_spawn(stage->rt, &spawn, &options.parent), RUSM_OK);
    for (unsigned i = 0; i < 3; i++)
        stage->actors[i].how = POLITE;
    start_ready(stage, &options);
    for (unsigned i = 0; i < 3; i++)
        WAIT_FOR(is_deaf(stage, stage->actors[i].id));
    assert_int_equal(wind_up(stage, HOUR), 0); /* the supervisor takes its parent along */
    expect_events(stage, "+a+b+c-c-b-a");
}

static void winding_up_has_a_bound(void **state) {
    struct stage *stage = *state;
    actor(stage, "b")->how = DEAF;
    child(stage, "b")->grace_ns = FOR_EVER;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "b"));
    assert_true(wind_up(stage, 30 * RUSM__MS) >= 2);
    pthread_mutex_lock(&stage->lock);
    assert_int_equal(strlen(stage->events), strlen("-a-b-c")); /* each once, nobody came back */
    pthread_mutex_unlock(&stage->lock);
}

/* ---- requests ---- */

static void children_come_and_go(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    rusm_supervisor *sup = stage->sup;
    assert_int_equal(rusm_supervisor_add(NULL, sup, child(stage, "d"), FOR_EVER), RUSM_OK);
    assert_int_equal(rusm_supervisor_add(NULL, sup, child(stage, "d"), FOR_EVER), RUSM_EEXIST);
    assert_int_equal(rusm_supervisor_terminate(NULL, sup, "b", FOR_EVER), RUSM_OK);
    assert_int_equal(state_of(stage, "b"), RUSM_CHILD_DOWN);
    assert_int_equal(rusm_supervisor_terminate(NULL, sup, "b", FOR_EVER), RUSM_OK);
    assert_int_equal(rusm_supervisor_restart(NULL, sup, "a", FOR_EVER), RUSM_EEXIST);
    assert_int_equal(rusm_supervisor_remove(NULL, sup, "a", FOR_EVER), RUSM_EEXIST);
    assert_int_equal(rusm_supervisor_restart(NULL, sup, "b", FOR_EVER), RUSM_OK);
    assert_int_equal(info_of(stage, "b").restarts, 1);
    assert_int_equal(rusm_supervisor_terminate(NULL, sup, "c", FOR_EVER), RUSM_OK);
    assert_int_equal(rusm_supervisor_remove(NULL, sup, "c", FOR_EVER), RUSM_OK);
    assert_int_equal(rusm_supervisor_remove(NULL, sup, "c", FOR_EVER), RUSM_ENOTFOUND);
    assert_int_equal(rusm_supervisor_terminate(NULL, sup, "nobody", FOR_EVER), RUSM_ENOTFOUND);
    expect_events(stage, "+d-b+b-c");
    rusm_child_info infos[2];
    assert_int_equal(rusm_supervisor_children(sup, infos, 2), 3);
    assert_string_equal(infos[0].id, "a");
    assert_int_equal(infos[0].pid, pid_of(stage, "a"));
    stop(stage);
    expect_events(stage, "-d-b-a");
}

static void child_that_cannot_be_added_is_forgotten(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ALL, RUSM_RESTART_PERMANENT);
    actor(stage, "d")->fail_to = 1;
    actor(stage, "d")->fail_code = RUSM_ELIMIT;
    child(stage, "d")->drop = drop_actor;
    assert_int_equal(rusm_supervisor_add(NULL, stage->sup, child(stage, "d"), FOR_EVER),
                     RUSM_ELIMIT);
    assert_int_equal(rusm_supervisor_children(stage->sup, NULL, 0), 3);
    assert_int_equal(actor(stage, "d")->drops, 1);
    stop(stage);
    assert_int_equal(rusm_supervisor_add(NULL, stage->sup, child(stage, "d"), FOR_EVER),
                     RUSM_ENOPROC);
    assert_int_equal(actor(stage, "d")->drops, 2);
    expect_events(stage, "!d-c-b-a");
}

static void terminate_gives_grace_then_kills(void **state) {
    struct stage *stage = *state;
    actor(stage, "b")->how = DEAF;
    child(stage, "b")->grace_ns = 30 * RUSM__MS;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    WAIT_FOR(is_deaf(stage, "b"));
    uint64_t from = rusm_now_ns();
    assert_int_equal(rusm_supervisor_terminate(NULL, stage->sup, "b", FOR_EVER), RUSM_OK);
    assert_true(rusm_now_ns() - from >= 30 * RUSM__MS);
    expect_events(stage, "-b");
}

static void waiting_restart_can_be_cancelled_or_hurried(void **state) {
    struct stage *stage = *state;
    rusm_supervisor_options options = options_of(stage, 2, RUSM_ONE_FOR_ONE);
    options.backoff = (rusm_backoff){.first_ns = HOUR};
    start_ready(stage, &options);
    end_child(stage, "a", RUSM_EXIT_CRASHED);
    end_child(stage, "b", RUSM_EXIT_CRASHED);
    WAIT_FOR(state_of(stage, "a") == RUSM_CHILD_WAITING);
    WAIT_FOR(state_of(stage, "b") == RUSM_CHILD_WAITING);
    assert_int_equal(rusm_supervisor_terminate(NULL, stage->sup, "a", FOR_EVER), RUSM_OK);
    assert_int_equal(rusm_supervisor_restart(NULL, stage->sup, "b", FOR_EVER), RUSM_OK);
    assert_int_equal(state_of(stage, "a"), RUSM_CHILD_DOWN);
    assert_int_equal(state_of(stage, "b"), RUSM_CHILD_UP);
}

/* A group that never comes up can be taken apart. */
static void group_without_end_lets_go_of_children(void **state) {
    struct stage *stage = *state;
    *actor(stage, "b") = (struct actor){
        .stage = stage, .id = "b", .fail_from = 1, .fail_to = UINT32_MAX, .fail_code = RUSM_ELIMIT};
    rusm_supervisor_options options = options_of(stage, 3, RUSM_ONE_FOR_ALL);
    options.budget = (rusm_budget){RUSM_RESTARTS_UNLIMITED, HOUR};
    options.backoff = (rusm_backoff){.first_ns = 5 * RUSM__MS, .max_ns = 5 * RUSM__MS};
    start_ready(stage, &options);
    end_child(stage, "c", RUSM_EXIT_CRASHED);
    WAIT_FOR(starts_of(stage, "b") > 3);
    assert_int_equal(rusm_supervisor_terminate(NULL, stage->sup, "b", FOR_EVER), RUSM_OK);
    assert_int_equal(rusm_supervisor_remove(NULL, stage->sup, "b", FOR_EVER), RUSM_OK);
    WAIT_FOR(state_of(stage, "a") == RUSM_CHILD_UP && state_of(stage, "c") == RUSM_CHILD_UP);
}

/* A fiber does the same through calls. */
struct errand {
    struct stage *stage;
    int codes[6];
};

static void errand_main(rusm_proc *self, void *arg) {
    struct errand *errand = arg;
    struct stage *stage = errand->stage;
    rusm_supervisor *sup = stage->sup;
    errand->codes[0] = rusm_supervisor_ready(self, sup, FOR_EVER);
    errand->codes[1] = rusm_supervisor_add(self, sup, child(stage, "d"), FOR_EVER);
    errand->codes[2] = rusm_supervisor_terminate(self, sup, "b", FOR_EVER);
    errand->codes[3] = rusm_supervisor_remove(self, sup, "nobody", FOR_EVER);
    errand->codes[4] = rusm_supervisor_stop(self, sup, FOR_EVER);
    errand->codes[5] = rusm_supervisor_restart(self, sup, "b", FOR_EVER);
    note(stage, '.', "");
}

static void fibers_ask_too(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    struct errand errand = {.stage = stage};
    rusm_fiber_options fiber = {.size = sizeof(fiber), .main = errand_main, .arg = &errand};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(stage->rt, &fiber, &pid), RUSM_OK);
    expect_events(stage, "+d-b-d-c-a.");
    const int expected[] = {RUSM_OK, RUSM_OK, RUSM_OK, RUSM_ENOTFOUND, RUSM_OK, RUSM_ENOPROC};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(errand.codes[i], expected[i]);
}

/* Many threads ask at once; the list stays what they left. */
struct asker {
    struct stage *stage;
    unsigned first;
    unsigned failures;
};

static void *ask_a_lot(void *arg) {
    struct asker *asker = arg;
    rusm_supervisor *sup = asker->stage->sup;
    rusm_child_info infos[8];
    for (unsigned i = asker->first; i < asker->first + 20; i++) {
        const char *id = asker->stage->actors[i].id;
        asker->failures +=
            rusm_supervisor_add(NULL, sup, &asker->stage->children[i], FOR_EVER) != RUSM_OK;
        asker->failures += rusm_supervisor_children(sup, infos, 8) < 1;
        asker->failures += rusm_supervisor_terminate(NULL, sup, id, FOR_EVER) != RUSM_OK;
        asker->failures += rusm_supervisor_remove(NULL, sup, id, FOR_EVER) != RUSM_OK;
    }
    return NULL;
}

static void many_threads_may_ask(void **state) {
    struct stage *stage = *state;
    start_three(stage, RUSM_ONE_FOR_ONE, RUSM_RESTART_PERMANENT);
    pthread_t threads[4];
    struct asker askers[4];
    for (unsigned i = 0; i < 4; i++) {
        askers[i] = (struct asker){stage, 10 + 20 * i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_a_lot, &askers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].failures, 0);
    }
    assert_int_equal(rusm_supervisor_children(stage->sup, NULL, 0), 3);
    stop(stage);
}

/* ---- misuse and want ---- */

static void bad_options_are_refused(void **state) {
    struct stage *stage = *state;
    rusm_supervisor *sup;
    rusm_pid pid;
    rusm_supervisor_options good = options_of(stage, 3, RUSM_ONE_FOR_ONE);
    rusm_supervisor_options bad[] = {good, good, good, good, good, good};
    bad[0].size = 1;
    bad[1].strategy = (rusm_strategy)3;
    bad[2].budget.max_restarts = RUSM_RESTARTS_MAX + 1;
    bad[3].backoff.max_ns = HOUR + 1;
    bad[4].children = NULL;
    bad[5].spawn.flags = RUSM_SPAWN_LINK;
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(rusm_supervisor_start(stage->rt, &bad[i], &pid, &sup), RUSM_EINVAL);
    rusm_child same = stage->children[1];
    rusm_child wrong[] = {same, same, same, same, same};
    char long_id[258];
    memset(long_id, 'x', 257);
    long_id[257] = '\0';
    wrong[0].id = "a"; /* there twice */
    wrong[1].id = "";
    wrong[2].id = long_id;
    wrong[3].start = NULL;
    wrong[4].restart = (rusm_restart)7;
    for (unsigned i = 0; i < 5; i++) {
        stage->children[1] = wrong[i];
        stage->children[0].drop = drop_actor;
        assert_int_equal(rusm_supervisor_start(stage->rt, &good, &pid, &sup), RUSM_EINVAL);
        assert_null(sup);
        assert_int_equal(pid, 0);
    }
    assert_int_equal(stage->actors[0].drops, 0); /* nothing was taken */
    expect_events(stage, "");
}

static void start_survives_every_failing_allocation(void **state) {
    struct stage *stage = *state;
    child(stage, "b")->budget = (rusm_budget){3, HOUR};
    rusm_supervisor_options options = options_of(stage, 6, RUSM_ONE_FOR_ONE);
    int code = RUSM_ENOMEM;
    size_t nth;
    for (nth = 1; code == RUSM_ENOMEM; nth++) {
        rusm__mem_fail_nth(nth);
        code = rusm_supervisor_start(stage->rt, &options, &stage->pid, &stage->sup);
        rusm__mem_fail_nth(0);
    }
    assert_int_equal(code, RUSM_OK);
    assert_true(nth > 8);
    assert_int_equal(rusm_supervisor_ready(NULL, stage->sup, FOR_EVER), RUSM_OK);
    expect_events(stage, "+a+b+c+d+e+f");
    /* Requests too. */
    for (nth = 1, code = RUSM_ENOMEM; code == RUSM_ENOMEM; nth++) {
        rusm__mem_fail_nth(nth);
        code = rusm_supervisor_add(NULL, stage->sup, child(stage, "g"), FOR_EVER);
        rusm__mem_fail_nth(0);
    }
    assert_int_equal(code, RUSM_OK);
    assert_true(nth > 3);
    expect_events(stage, "+g");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(starts_left_to_right_and_stops_right_to_left),
        TEST(failing_start_undoes_the_earlier_ones),
        TEST(starts_and_stops_without_children),
        TEST(deaf_child_is_killed_after_its_grace),
        TEST(grace_kill_does_not_ask),
        TEST(stop_waits_for_ever_when_told_to),
        TEST(child_that_falls_during_the_stop_is_not_started_again),
        TEST(killed_supervisor_takes_its_children_along),
        TEST(arguments_are_dropped_once),
        cmocka_unit_test(every_strategy_type_and_kind),
        TEST(temporary_child_of_a_group_is_stopped_and_forgotten),
        TEST(gives_up_when_the_budget_is_used_up),
        TEST(a_group_restart_is_charged_once),
        TEST(own_budget_gives_up_one_child_alone),
        TEST(own_budget_gives_up_all_where_siblings_need_it),
        TEST(supervisors_budget_holds_beside_the_childs),
        TEST(unlimited_restarts_go_on),
        TEST(failed_restart_is_a_fall),
        TEST(failed_restart_in_a_group_begins_the_group_anew),
        TEST(failed_restart_of_the_rest_leaves_the_earlier_ones),
        TEST(restart_that_finds_no_memory_is_tried_again),
        TEST(sibling_is_asked_again_when_memory_was_short),
        TEST(back_off_without_memory_for_a_timer_ends_all_the_same),
        TEST(restart_waits_for_its_back_off),
        TEST(stop_does_not_wait_for_a_restart),
        TEST(stop_does_not_wait_for_a_group_restart),
        TEST(fall_before_a_group_restart_widens_it),
        TEST(hundred_crash_at_once),
        TEST(hundred_that_crash_at_once_are_one_group_restart),
        TEST(storm_over_the_budget_gives_up_once),
        TEST(noise_means_nothing),
        cmocka_unit_test(end_of_the_parent_ends_everything_in_order),
        TEST(giving_up_takes_the_parent_along),
        TEST(parent_that_is_dead_already_ends_it),
        TEST(only_the_family_may_tell_it_to_end),
        TEST(nested_supervisors_stop_in_order),
        TEST(nested_supervisor_that_gives_up_is_restarted),
        TEST(killed_outer_supervisor_takes_the_inner_along),
        TEST(winding_up_keeps_the_order_of_nested_supervisors),
        TEST(winding_up_keeps_the_order_below_a_parent),
        TEST(winding_up_has_a_bound),
        TEST(children_come_and_go),
        TEST(child_that_cannot_be_added_is_forgotten),
        TEST(terminate_gives_grace_then_kills),
        TEST(waiting_restart_can_be_cancelled_or_hurried),
        TEST(group_without_end_lets_go_of_children),
        TEST(fibers_ask_too),
        TEST(many_threads_may_ask),
        TEST(bad_options_are_refused),
        TEST(start_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
