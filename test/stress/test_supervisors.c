/* SPDX-License-Identifier: MIT */
/* Supervisors over supervisors on real threads, whose workers crash by themselves and are killed,
 * while threads add, terminate, restart and remove children, and then the supervisor ends in one of
 * the ways it can. Nobody outlives it, and each argument of a child is dropped once. */
#include "stress.h"

#include "rusm/supervisor.h"

enum { WORKERS = 4, NESTED = 2, ASKERS = 3, ROUND_MS = 30 };

static _Atomic uint64_t living, given, dropped, wrong, seeds;
static _Atomic bool over;

static struct rusm__random fresh_random(void) {
    struct rusm__random random;
    rusm__random_seed(&random, atomic_fetch_add(&seeds, 1));
    return random;
}

/* ---- workers ---- */

static rusm_step worker_step(rusm_proc *self, void *body) {
    struct rusm__random *random = body;
    rusm_msg *msg;
    bool told = false;
    rusm_proc_trap_exit(self, true);
    while ((msg = rusm_proc_receive(self)) != NULL) {
        told = told || rusm_msg_get_kind(msg) == RUSM_MSG_EXIT;
        rusm_msg_free(msg);
    }
    if (told) {
        return RUSM_STEP_EXIT;
    }
    if (rusm__random_below(random, 8) == 0) {
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "by itself");
        return RUSM_STEP_EXIT;
    }
    uint64_t at_ns = rusm_now_ns() + rusm__random_below(random, 4000000);
    return rusm_proc_wake_at(self, at_ns) == RUSM_OK ? RUSM_STEP_WAIT : RUSM_STEP_AGAIN;
}

static void worker_drop(void *body) {
    free(body);
    atomic_fetch_sub(&living, 1);
}

static int start_worker(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    static const rusm_body_ops ops = {.name = "worker", .step = worker_step, .drop = worker_drop};
    (void)arg;
    struct rusm__random *random = malloc(sizeof(*random));
    *random = fresh_random();
    rusm_spawn_options bare = {.size = sizeof(bare)};
    spawn = rusm__random_below(random, 8) == 0 ? &bare : spawn; /* watched all the same */
    spawn->ops = &ops;
    spawn->body = random;
    atomic_fetch_add(&living, 1);
    int status = rusm_proc_spawn(rusm_proc_runtime(self), spawn, out_pid);
    if (status != RUSM_OK) {
        worker_drop(random);
    }
    return status;
}

/* ---- supervisors ---- */

static void drop_child(void *arg) {
    (void)arg;
    atomic_fetch_add(&dropped, 1);
}

static rusm_child child_of(const char *id, rusm_child_start start) {
    return (rusm_child){.size = sizeof(rusm_child),
                        .id = id,
                        .start = start,
                        .drop = drop_child,
                        .grace_ns = start == start_worker ? 0 : UINT64_MAX};
}

static rusm_supervisor_options options_of(const rusm_child *children, size_t count) {
    return (rusm_supervisor_options){.size = sizeof(rusm_supervisor_options),
                                     .strategy = (rusm_strategy)(atomic_fetch_add(&seeds, 1) % 3),
                                     .budget = {50, UINT64_MAX},
                                     .children = children,
                                     .child_count = count};
}

static int start_nested(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    (void)arg;
    rusm_child children[] = {child_of("a", start_worker), child_of("b", start_worker)};
    rusm_supervisor_options options = options_of(children, 2);
    options.spawn = *spawn;
    int status = rusm_supervisor_start(rusm_proc_runtime(self), &options, out_pid, NULL);
    atomic_fetch_add(&given, status == RUSM_OK ? 2 : 0);
    return status;
}

static void start_top(rusm_runtime *rt, rusm_supervisor **out_sup) {
    static const char *const ids[] = {"a", "b", "c", "d", "n1", "n2"};
    rusm_child children[WORKERS + NESTED];
    rusm_pid pid;
    for (unsigned i = 0; i < WORKERS + NESTED; i++) {
        children[i] = child_of(ids[i], i < WORKERS ? start_worker : start_nested);
    }
    rusm_supervisor_options options = options_of(children, WORKERS + NESTED);
    assert_int_equal(rusm_supervisor_start(rt, &options, &pid, out_sup), RUSM_OK);
    atomic_fetch_add(&given, WORKERS + NESTED);
}

/* ---- askers ---- */

static void ask(rusm_runtime *rt, rusm_supervisor *sup, struct rusm__random *random) {
    static const char *const ids[] = {"a", "c", "n1", "x", "y"};
    const char *id = ids[rusm__random_below(random, 5)];
    uint64_t deadline_ns =
        rusm__random_below(random, 2) ? rusm_now_ns() + rusm__random_below(random, 3000000) : 0;
    rusm_child child = child_of(id, start_worker);
    rusm_child_info infos[16];
    int status = RUSM_OK;
    switch (rusm__random_below(random, 6)) {
    case 0:
        atomic_fetch_add(&given, 1);
        status = rusm_supervisor_add(NULL, sup, &child, deadline_ns);
        break;
    case 1:
        status = rusm_supervisor_terminate(NULL, sup, id, deadline_ns);
        break;
    case 2:
        status = rusm_supervisor_restart(NULL, sup, id, deadline_ns);
        break;
    case 3:
        status = rusm_supervisor_remove(NULL, sup, id, deadline_ns);
        break;
    default:
        if (rusm_supervisor_children(sup, infos, 16) > 0) {
            rusm_pid_kill(rt, infos[0].pid);
        }
    }
    atomic_fetch_add(&wrong, status > 0 || status == RUSM_EINVAL);
}

struct asker {
    rusm_runtime *rt;
    rusm_supervisor *sup;
};

static void *ask_on(void *arg) {
    struct asker *asker = arg;
    struct rusm__random random = fresh_random();
    while (!atomic_load(&over)) {
        ask(asker->rt, asker->sup, &random);
    }
    return NULL;
}

/* ---- a life ---- */

static void end_of(rusm_runtime *rt, rusm_supervisor *sup, unsigned how) {
    if (how == 0) {
        rusm_pid_kill(rt, rusm_supervisor_pid(sup));
    } else if (how == 1) {
        assert_int_equal(rusm_supervisor_stop(NULL, sup, UINT64_MAX), RUSM_OK);
    } else if (how == 2) {
        (void)!rusm_pid_exit(rt, rusm_supervisor_pid(sup), RUSM_EXIT_CRASHED, "enough");
    } /* else with the runtime */
}

static void live_once(unsigned how) {
    rusm_runtime *rt = stress_start(500);
    struct asker asker = {.rt = rt};
    pthread_t threads[ASKERS];
    atomic_store(&over, false);
    start_top(rt, &asker.sup);
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &asker), 0);
    }
    nap_ms(ROUND_MS);
    end_of(rt, asker.sup, how);
    if (how < 3) {
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
        assert_true(atomic_load(&living) == 0);
    }
    atomic_store(&over, true);
    for (unsigned i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    if (how == 4) {
        rusm_runtime_stop(rt);
    } else {
        assert_int_equal(rusm_runtime_stop_within(rt, PATIENCE_S * 1000000000ull, NULL), RUSM_OK);
    }
    rusm_supervisor_free(asker.sup);
}

static void nobody_outlives_the_supervisor(void **state) {
    (void)state;
    uint64_t until_ns = stress_end_ns();
    atomic_store(&seeds, stress_seed());
    for (unsigned round = 0; round < 5 || rusm_now_ns() < until_ns; round++) {
        live_once(round % 5);
        assert_true(atomic_load(&living) == 0);
        assert_true(atomic_load(&dropped) == atomic_load(&given));
        assert_true(atomic_load(&wrong) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nobody_outlives_the_supervisor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
