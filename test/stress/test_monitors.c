/* SPDX-License-Identifier: MIT */
/* Every monitor fires exactly once, unless it was taken back, and then never: watchers and targets
 * on all schedulers, targets that end in all ways, watchers that end with monitors set. */
#include "stress.h"

enum { PLACES = 40, WATCHERS = 20, REFS = 64 };

static rusm_runtime *rt;
static uint64_t end_ns;
static _Atomic rusm_pid places[PLACES];
static _Atomic uint64_t set, taken_back, fired, abandoned, wrong, watcher_seed;
static _Atomic int outstanding; /* over all watchers that live */

/* ---- targets: end at their first mail, in the way that it says ---- */

static rusm_step end_as_told(rusm_proc *self, void *body) {
    rusm_msg *msg = rusm_proc_receive(self);
    (void)body;
    if (!msg) {
        return RUSM_STEP_WAIT;
    }
    unsigned char how = rusm_msg_data(msg)[0];
    rusm_msg_free(msg);
    if (how == 'c') {
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "told to");
    } else if (how == 'k') {
        rusm_pid_kill(rt, rusm_proc_pid(self));
        return RUSM_STEP_WAIT;
    }
    return RUSM_STEP_EXIT;
}

static const rusm_body_ops target_ops = {.name = "target", .step = end_as_told};

static bool replace_target(uint32_t place) {
    rusm_spawn_options options = {.size = sizeof(options), .ops = &target_ops};
    rusm_pid pid;
    if (rusm_proc_spawn(rt, &options, &pid) != RUSM_OK) {
        return false;
    }
    rusm_pid old = atomic_exchange(&places[place], pid);
    rusm_msg *msg;
    if (old && rusm_msg_copy(&"nck"[old % 3], 1, &msg) == RUSM_OK &&
        rusm_msg_send(rt, old, msg) != RUSM_OK) {
        rusm_msg_free(msg);
    }
    return true;
}

/* ---- watchers ---- */

struct watcher {
    struct rusm__random random;
    struct {
        uint64_t ref;
        rusm_pid target;
    } refs[REFS]; /* ref 0 = free */
    unsigned count;
    uint64_t old[REFS]; /* taken back lately: must not fire any more */
    unsigned old_at;
};

static void free_watcher(void *body) {
    struct watcher *watcher = body;
    atomic_fetch_add(&abandoned, watcher->count);
    atomic_fetch_sub(&outstanding, (int)watcher->count);
    free(watcher);
}

static void set_one(rusm_proc *self, struct watcher *watcher) {
    for (unsigned i = 0; i < REFS; i++) {
        if (watcher->refs[i].ref) {
            continue;
        }
        watcher->refs[i].target =
            atomic_load(&places[rusm__random_below(&watcher->random, PLACES)]);
        if (rusm_proc_monitor(self, watcher->refs[i].target, &watcher->refs[i].ref) == RUSM_OK) {
            watcher->count++;
            atomic_fetch_add(&set, 1);
            atomic_fetch_add(&outstanding, 1);
        }
        return;
    }
}

static void take_one_back(rusm_proc *self, struct watcher *watcher) {
    unsigned i = rusm__random_below(&watcher->random, REFS);
    if (watcher->refs[i].ref) {
        rusm_proc_demonitor(self, watcher->refs[i].ref);
        watcher->old[watcher->old_at++ % REFS] = watcher->refs[i].ref;
        watcher->refs[i].ref = 0;
        watcher->count--;
        atomic_fetch_add(&taken_back, 1);
        atomic_fetch_sub(&outstanding, 1);
    }
}

static void note_down(struct watcher *watcher, const rusm_msg *msg) {
    uint64_t ref = rusm_msg_ref(msg);
    for (unsigned i = 0; i < REFS; i++) {
        if (watcher->refs[i].ref == ref && ref) {
            atomic_fetch_add(&wrong, watcher->refs[i].target != rusm_msg_from(msg));
            watcher->refs[i].ref = 0;
            watcher->count--;
            atomic_fetch_add(&fired, 1);
            atomic_fetch_sub(&outstanding, 1);
            return;
        }
    }
    atomic_fetch_add(&wrong, 1); /* twice, after a demonitor, or never asked for */
}

static void receive_downs(rusm_proc *self, struct watcher *watcher) {
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN) {
            note_down(watcher, msg);
        } else {
            atomic_fetch_add(&wrong, 1);
        }
        rusm_msg_free(msg);
    }
}

static bool start_watcher(void);

static rusm_step watch(rusm_proc *self, void *body) {
    struct watcher *watcher = body;
    if (rusm__random_below(&watcher->random, 4)) { /* else: demonitor what may wait unseen */
        receive_downs(self, watcher);
    }
    if (rusm_now_ns() >= end_ns) {
        receive_downs(self, watcher);
        return RUSM_STEP_WAIT;
    }
    for (uint32_t n = rusm__random_below(&watcher->random, 6); n > 0; n--) {
        if (rusm__random_below(&watcher->random, 3)) {
            set_one(self, watcher);
        } else {
            take_one_back(self, watcher);
        }
    }
    if (rusm__random_below(&watcher->random, 3) == 0 &&
        !replace_target(rusm__random_below(&watcher->random, PLACES))) {
        atomic_fetch_add(&wrong, 1);
    }
    if (rusm__random_below(&watcher->random, 500) == 0) {
        atomic_fetch_add(&wrong, !start_watcher());
        return RUSM_STEP_EXIT;
    }
    return RUSM_STEP_AGAIN;
}

static bool start_watcher(void) {
    static const rusm_body_ops ops = {.name = "watcher", .step = watch, .drop = free_watcher};
    struct watcher *watcher = calloc(1, sizeof(*watcher));
    rusm__random_seed(&watcher->random, atomic_fetch_add(&watcher_seed, 1));
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = watcher};
    rusm_pid pid;
    if (rusm_proc_spawn(rt, &options, &pid) != RUSM_OK) {
        free(watcher);
        return false;
    }
    return true;
}

/* Watchers that wait by now still hear of the last targets. */
static bool all_have_heard(void) {
    for (uint32_t i = 0; i < PLACES; i++) {
        rusm_pid_kill(rt, atomic_load(&places[i]));
    }
    return atomic_load(&outstanding) == 0;
}

static void monitors_fire_exactly_once(void **state) {
    (void)state;
    atomic_store(&watcher_seed, stress_seed());
    rt = stress_start(0);
    end_ns = stress_end_ns();
    for (uint32_t i = 0; i < PLACES; i++) {
        assert_true(replace_target(i));
    }
    for (unsigned i = 0; i < WATCHERS; i++) {
        assert_true(start_watcher());
    }
    while (rusm_now_ns() < end_ns) { /* ends from outside as well */
        struct rusm__random random;
        rusm__random_seed(&random, rusm_now_ns());
        rusm_pid_kill(rt, atomic_load(&places[rusm__random_below(&random, PLACES)]));
        sched_yield();
    }
    WAIT_FOR(all_have_heard());
    assert_true(atomic_load(&wrong) == 0);
    assert_true(atomic_load(&set) ==
                atomic_load(&fired) + atomic_load(&taken_back) + atomic_load(&abandoned));
    printf("set %llu, fired %llu, taken back %llu, abandoned %llu\n",
           (unsigned long long)atomic_load(&set), (unsigned long long)atomic_load(&fired),
           (unsigned long long)atomic_load(&taken_back),
           (unsigned long long)atomic_load(&abandoned));
    assert_true(atomic_load(&fired) > 100 && atomic_load(&abandoned) > 0);
    rusm_runtime_stop(rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monitors_fire_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
