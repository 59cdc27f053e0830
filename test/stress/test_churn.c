/* SPDX-License-Identifier: MIT */
/* Processes come and go as fast as they can, at the limit of the table, with names, tags and
 * labels, while plain threads look at everything and kill at random. In the end: as many ends as
 * starts, each body dropped once, nobody listed, no name or tag held, the limit never passed. */
#include "stress.h"

enum { LIMIT = 400, ROOTS = 6, LOOKERS = 2, NAMES = 50, TAGS = 5 };

static rusm_runtime *rt;
static uint64_t end_ns;
static _Atomic uint64_t made, dropped, refused, wrong, seeds, looked;
static _Atomic int alive, most_alive;

struct short_life {
    struct rusm__random random;
    unsigned turns;
    bool root;
};

static void drop_life(void *body) {
    struct short_life *life = body;
    atomic_fetch_add(&wrong, life->turns > 1u << 20); /* freed memory would not look like this */
    life->turns = UINT32_MAX;
    free(life);
    atomic_fetch_add(&dropped, 1);
    atomic_fetch_sub(&alive, 1);
}

static rusm_step live(rusm_proc *self, void *body);

static const rusm_body_ops life_ops = {.name = "life", .step = live, .drop = drop_life};

static void give_life(uint64_t seed, bool root, uint32_t flags) {
    struct short_life *life = calloc(1, sizeof(*life));
    rusm__random_seed(&life->random, seed);
    life->root = root;
    rusm_spawn_options options = {
        .size = sizeof(options), .ops = &life_ops, .body = life, .label = "life", .flags = flags};
    rusm_pid pid;
    /* Counted before, for it may be over when the call returns. */
    int now = atomic_fetch_add(&alive, 1) + 1;
    int status = rusm_proc_spawn(rt, &options, &pid);
    if (status == RUSM_OK) {
        int most = atomic_load(&most_alive);
        while (now > most && !atomic_compare_exchange_weak(&most_alive, &most, now)) {
        }
        atomic_fetch_add(&made, 1);
        return;
    }
    atomic_fetch_sub(&alive, 1);
    atomic_fetch_add(status == RUSM_EPROCS ? &refused : &wrong, 1);
    free(life);
}

static void hold_words(rusm_proc *self, struct short_life *life) {
    char text[16];
    int len =
        snprintf(text, sizeof(text), "name%u", (unsigned)rusm__random_below(&life->random, NAMES));
    int status = rusm_proc_register(self, text, (size_t)len);
    atomic_fetch_add(&wrong, status != RUSM_OK && status != RUSM_EEXIST);
    if (status == RUSM_OK && rusm_name_whereis(rt, text, (size_t)len) != rusm_proc_pid(self)) {
        atomic_fetch_add(&wrong, 1);
    }
    len = snprintf(text, sizeof(text), "tag%u", (unsigned)rusm__random_below(&life->random, TAGS));
    atomic_fetch_add(&wrong, rusm_proc_join(self, text, (size_t)len) != RUSM_OK);
    atomic_fetch_add(&wrong, rusm_proc_set_label(self, text, (size_t)len) != RUSM_OK);
}

static rusm_step live(rusm_proc *self, void *body) {
    struct short_life *life = body;
    rusm_msg_free(rusm_proc_receive(self));
    life->turns++;
    if (rusm_now_ns() >= end_ns) {
        return RUSM_STEP_EXIT;
    }
    if (!life->root && rusm__random_below(&life->random, 4) == 0) {
        hold_words(self, life);
    }
    for (uint32_t n = rusm__random_below(&life->random, life->root ? 20 : 3); n > 0; n--) {
        uint32_t flags = rusm__random_below(&life->random, 8) == 0   ? RUSM_SPAWN_PINNED
                         : rusm__random_below(&life->random, 8) == 0 ? RUSM_SPAWN_NEXT
                                                                     : 0;
        give_life(rusm__random_u64(&life->random), false, flags);
    }
    if (life->root) {
        return RUSM_STEP_AGAIN;
    }
    return rusm__random_below(&life->random, 3) ? RUSM_STEP_EXIT : RUSM_STEP_AGAIN;
}

/* ---- plain threads that look and kill ---- */

static void look_at(rusm_pid pid, struct rusm__random *random) {
    rusm_proc_info *info;
    int status = rusm_pid_info(rt, pid, &info);
    if (status == RUSM_OK) {
        bool known =
            !info->label || strcmp(info->label, "life") == 0 || strncmp(info->label, "tag", 3) == 0;
        for (size_t i = 0; i < info->name_count; i++) {
            known = known && strncmp(info->names[i], "name", 4) == 0;
        }
        atomic_fetch_add(&wrong, !known || info->pid != pid);
        rusm_proc_info_free(info);
    } else {
        atomic_fetch_add(&wrong, status != RUSM_ENOPROC);
    }
    if (rusm__random_below(random, 40) == 0) {
        rusm_pid_kill(rt, pid);
    }
    atomic_fetch_add(&looked, 1);
}

static void *look_around(void *unused) {
    struct rusm__random random;
    rusm_pid pids[LIMIT];
    char text[16];
    (void)unused;
    rusm__random_seed(&random, atomic_fetch_add(&seeds, 1));
    while (rusm_now_ns() < end_ns) {
        size_t count = rusm_pid_list(rt, pids, LIMIT);
        for (size_t i = 0; i < count && i < LIMIT; i += 1 + rusm__random_below(&random, 20)) {
            look_at(pids[i], &random);
        }
        int len =
            snprintf(text, sizeof(text), "name%u", (unsigned)rusm__random_below(&random, NAMES));
        rusm_pid holder = rusm_name_whereis(rt, text, (size_t)len);
        if (holder) {
            look_at(holder, &random);
        }
        len = snprintf(text, sizeof(text), "tag%u", (unsigned)rusm__random_below(&random, TAGS));
        count = rusm_tag_whereis(rt, text, (size_t)len, pids, LIMIT);
        atomic_fetch_add(&wrong, count > LIMIT);
        if (rusm__random_below(&random, 50) == 0) {
            rusm_tag_kill(rt, text, (size_t)len);
        }
        give_life(rusm__random_u64(&random), false, 0);
        sched_yield();
    }
    return NULL;
}

static bool nothing_is_held(void) {
    char text[16];
    for (unsigned i = 0; i < NAMES; i++) {
        int len = snprintf(text, sizeof(text), "name%u", i);
        if (rusm_name_whereis(rt, text, (size_t)len)) {
            return false;
        }
    }
    for (unsigned i = 0; i < TAGS; i++) {
        int len = snprintf(text, sizeof(text), "tag%u", i);
        if (rusm_tag_whereis(rt, text, (size_t)len, NULL, 0)) {
            return false;
        }
    }
    return true;
}

static void churn_leaves_nothing_behind(void **state) {
    pthread_t threads[LOOKERS];
    uint64_t seed = stress_seed();
    (void)state;
    atomic_store(&seeds, seed);
    rt = stress_start(LIMIT);
    end_ns = stress_end_ns();
    for (unsigned i = 0; i < ROOTS; i++) {
        give_life(seed + 100 + i, true, 0);
    }
    for (unsigned i = 0; i < LOOKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_around, NULL), 0);
    }
    for (unsigned i = 0; i < LOOKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    WAIT_FOR(stress_kill_all(rt));
    rusm_runtime_stats stats = stats_of(rt);
    printf("made %llu, refused %llu, at most %d alive, looked at %llu, steals %llu\n",
           (unsigned long long)atomic_load(&made), (unsigned long long)atomic_load(&refused),
           atomic_load(&most_alive), (unsigned long long)atomic_load(&looked),
           (unsigned long long)stats.steals);
    assert_true(stats.spawned == atomic_load(&made));
    assert_true(stats.exited == atomic_load(&made));
    assert_true(atomic_load(&dropped) == atomic_load(&made));
    assert_int_equal(rusm_pid_list(rt, NULL, 0), 0);
    assert_true(nothing_is_held());
    assert_true(atomic_load(&wrong) == 0);
    /* Each thread counts one before it is refused. */
    assert_true(atomic_load(&most_alive) <= LIMIT + SCHEDULERS + LOOKERS);
    assert_true(atomic_load(&refused) > 0 && atomic_load(&made) > 1000);
    assert_int_equal(rusm_runtime_stop(rt), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(churn_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
