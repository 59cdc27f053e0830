/* SPDX-License-Identifier: MIT */
/* Links and exit signals: abnormal ends spread with their reason, normal ones do not, trapping
 * turns signals into mail, and both sides always agree whether they are linked. */
#include "unit/proc/puppet.h"

#include "base/random.h"
#include "proc/proc_impl.h"
#include "quiet.h"

#include "unit/proc/fixture.h"

static uint32_t links_of(rusm_pid pid) {
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, pid, &info), RUSM_OK);
    uint32_t count = info->links;
    rusm_proc_info_free(info);
    return count;
}

static void assert_exit(struct puppet_mail mail, rusm_pid from, rusm_exit_kind kind,
                        const char *text) {
    assert_int_equal(mail.kind, RUSM_MSG_EXIT);
    assert_true(mail.from == from);
    assert_int_equal(mail.exit_kind, kind);
    assert_string_equal(mail.text, text);
    assert_true(mail.ref == 0);
}

static void assert_lives(struct puppet *puppet, size_t mail_count) {
    WAIT_FOR(quiet_since_last_call()); /* whatever is on its way has arrived */
    puppet_settle(puppet);
    assert_int_equal(puppet_mail_count(puppet), mail_count);
}

/* ---- spreading ---- */

static void link_spreads_the_reason_both_ways(void **state) {
    (void)state;
    for (unsigned who = 0; who < 2; who++) {
        static struct puppet pair[2], watcher;
        puppet_start(&watcher, rt);
        puppet_start(&pair[0], rt);
        puppet_start(&pair[1], rt);
        puppet_link(&pair[0], pair[1].pid);
        puppet_settle(&pair[1]);
        assert_int_equal(links_of(pair[0].pid), 1);
        assert_int_equal(links_of(pair[1].pid), 1);
        puppet_monitor(&watcher, pair[1 - who].pid);
        puppet_settle(&pair[1 - who]);
        puppet_end_with(&pair[who], RUSM_EXIT_CRASHED, "the same reason");
        puppet_wait_end(&pair[1 - who]);
        struct puppet_mail down = puppet_wait_mail(&watcher, 0);
        assert_int_equal(down.exit_kind, RUSM_EXIT_CRASHED);
        assert_string_equal(down.text, "the same reason");
    }
}

static void link_spreads_transitively(void **state) {
    enum { CHAIN = 20 };
    (void)state;
    static struct puppet chain[CHAIN];
    for (unsigned i = 0; i < CHAIN; i++) {
        puppet_start(&chain[i], rt);
    }
    for (unsigned i = 1; i < CHAIN; i++) {
        puppet_link(&chain[i], chain[i - 1].pid);
        puppet_settle(&chain[i - 1]);
    }
    puppet_end_with(&chain[CHAIN / 2], RUSM_EXIT_CRASHED, "all of you");
    for (unsigned i = 0; i < CHAIN; i++) {
        puppet_wait_end(&chain[i]);
    }
}

static void link_kill_spreads_as_killed(void **state) {
    (void)state;
    static struct puppet target, partner, watcher;
    puppet_start(&watcher, rt);
    puppet_start(&target, rt);
    puppet_start(&partner, rt);
    puppet_link(&partner, target.pid);
    puppet_monitor(&watcher, partner.pid);
    puppet_settle(&target);
    puppet_settle(&partner);
    assert_true(rusm_pid_kill(rt, target.pid));
    puppet_wait_end(&partner);
    assert_int_equal(puppet_wait_mail(&watcher, 0).exit_kind, RUSM_EXIT_KILLED);
}

static void link_normal_end_only_removes_it(void **state) {
    (void)state;
    static struct puppet target, partner;
    puppet_start(&target, rt);
    puppet_start(&partner, rt);
    puppet_link(&partner, target.pid);
    puppet_settle(&target);
    puppet_end_with(&target, RUSM_EXIT_NORMAL, "done");
    WAIT_FOR(links_of(partner.pid) == 0);
    assert_lives(&partner, 0);
}

/* ---- trapping ---- */

static void trap_turns_signals_into_mail(void **state) {
    static const struct puppet_end ends[] = {
        {RUSM_EXIT_NORMAL, "fine"}, {RUSM_EXIT_CRASHED, "broke"}, {RUSM_EXIT_KILLED, NULL}};
    (void)state;
    static struct puppet trapper;
    puppet_start(&trapper, rt);
    puppet_trap(&trapper);
    for (unsigned i = 0; i < 3; i++) {
        static struct puppet target;
        puppet_start(&target, rt);
        puppet_link(&trapper, target.pid);
        puppet_settle(&target);
        rusm_pid pid = target.pid;
        puppet_end_with(&target, ends[i].kind, ends[i].text);
        assert_exit(puppet_wait_mail(&trapper, i), pid, ends[i].kind,
                    ends[i].text ? ends[i].text : "");
        assert_int_equal(links_of(trapper.pid), 0);
    }
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, trapper.pid, &info), RUSM_OK);
    assert_true(info->trap_exit);
    rusm_proc_info_free(info);
}

static void trap_does_not_stop_a_kill(void **state) {
    (void)state;
    static struct puppet trapper;
    puppet_start(&trapper, rt);
    puppet_trap(&trapper);
    assert_true(rusm_pid_kill(rt, trapper.pid));
    puppet_wait_end(&trapper);
}

static void exit_signals_of_others(void **state) {
    (void)state;
    static struct puppet trapper, target;
    puppet_start(&trapper, rt);
    puppet_trap(&trapper);
    puppet_start(&target, rt);
    assert_int_equal(rusm_pid_exit(rt, target.pid, RUSM_EXIT_NORMAL, "please"), RUSM_OK);
    assert_lives(&target, 0); /* normal does nothing */
    assert_int_equal(rusm_pid_exit(rt, trapper.pid, RUSM_EXIT_NORMAL, "please"), RUSM_OK);
    assert_exit(puppet_wait_mail(&trapper, 0), 0, RUSM_EXIT_NORMAL, "please");
    assert_int_equal(rusm_pid_exit(rt, trapper.pid, RUSM_EXIT_KILLED, "hard"), RUSM_OK);
    assert_exit(puppet_wait_mail(&trapper, 1), 0, RUSM_EXIT_KILLED, "hard");
    puppet_monitor(&trapper, target.pid);
    puppet_settle(&target);
    assert_int_equal(rusm_pid_exit(rt, target.pid, RUSM_EXIT_CRASHED, "go"), RUSM_OK);
    struct puppet_mail down = puppet_wait_mail(&trapper, 2);
    assert_int_equal(down.exit_kind, RUSM_EXIT_CRASHED);
    assert_string_equal(down.text, "go");
    assert_int_equal(rusm_pid_exit(rt, target.pid, RUSM_EXIT_CRASHED, "go"), RUSM_ENOPROC);
    assert_int_equal(rusm_pid_exit(rt, 0, RUSM_EXIT_CRASHED, NULL), RUSM_ENOPROC);
    assert_int_equal(rusm_pid_exit(rt, trapper.pid, (rusm_exit_kind)99, NULL), RUSM_EINVAL);
}

static rusm_step exit_oneself_normally(rusm_proc *self, void *arg) {
    (void)arg;
    assert_int_equal(
        rusm_pid_exit(rusm_proc_runtime(self), rusm_proc_pid(self), RUSM_EXIT_NORMAL, "enough"),
        RUSM_OK);
    return RUSM_STEP_WAIT;
}

/* The one normal exit signal that ends a process: its own. Found by the oracle. */
static void exit_signal_to_oneself_ends_even_if_normal(void **state) {
    (void)state;
    static struct puppet watcher, plain, trapper;
    puppet_start(&watcher, rt);
    puppet_start(&plain, rt);
    puppet_monitor(&watcher, plain.pid);
    puppet_settle(&plain);
    puppet_do(&plain, exit_oneself_normally, NULL);
    puppet_wait_end(&plain);
    struct puppet_mail down = puppet_wait_mail(&watcher, 0);
    assert_int_equal(down.exit_kind, RUSM_EXIT_NORMAL);
    assert_string_equal(down.text, "enough");
    puppet_start(&trapper, rt);
    puppet_trap(&trapper);
    puppet_do(&trapper, exit_oneself_normally, NULL);
    assert_exit(puppet_wait_mail(&trapper, 0), trapper.pid, RUSM_EXIT_NORMAL, "enough");
}

/* ---- special links ---- */

static void link_twice_or_to_oneself_does_nothing(void **state) {
    (void)state;
    static struct puppet a, b;
    puppet_start(&a, rt);
    puppet_start(&b, rt);
    puppet_link(&a, a.pid);
    assert_int_equal(links_of(a.pid), 0);
    puppet_link(&a, b.pid);
    puppet_link(&a, b.pid);
    puppet_link(&b, a.pid); /* from the other side it is the same link */
    puppet_settle(&a);
    puppet_settle(&b);
    assert_int_equal(links_of(a.pid), 1);
    assert_int_equal(links_of(b.pid), 1);
    puppet_trap(&a);
    puppet_end_with(&b, RUSM_EXIT_CRASHED, "once");
    puppet_wait_mail(&a, 0);
    assert_lives(&a, 1);
}

static void link_to_the_dead_brings_an_exit(void **state) {
    (void)state;
    static struct puppet trapper, plain;
    puppet_start(&trapper, rt);
    puppet_trap(&trapper);
    const rusm_pid nobody[] = {0, 123456789, UINT64_MAX};
    for (unsigned i = 0; i < 3; i++) {
        puppet_link(&trapper, nobody[i]);
        assert_exit(puppet_wait_mail(&trapper, i), nobody[i], RUSM_EXIT_NOPROC, "");
    }
    assert_int_equal(links_of(trapper.pid), 0);
    puppet_start(&plain, rt);
    puppet_monitor(&trapper, plain.pid);
    puppet_settle(&plain);
    puppet_link(&plain, 123456789);
    assert_int_equal(puppet_wait_mail(&trapper, 3).exit_kind, RUSM_EXIT_NOPROC);
    puppet_wait_end(&plain);
}

/* ---- unlinking ---- */

static void unlink_from_either_side(void **state) {
    (void)state;
    for (unsigned who = 0; who < 2; who++) {
        static struct puppet pair[2];
        puppet_start(&pair[0], rt);
        puppet_start(&pair[1], rt);
        puppet_link(&pair[0], pair[1].pid);
        puppet_settle(&pair[1]);
        puppet_unlink(&pair[who], pair[1 - who].pid);
        puppet_unlink(&pair[who], pair[1 - who].pid); /* not linked any more */
        puppet_unlink(&pair[who], 123456789);
        puppet_settle(&pair[1 - who]);
        assert_int_equal(links_of(pair[0].pid), 0);
        assert_int_equal(links_of(pair[1].pid), 0);
        puppet_end_with(&pair[0], RUSM_EXIT_CRASHED, "alone");
        assert_lives(&pair[1], 0);
        puppet_end_with(&pair[1], RUSM_EXIT_NORMAL, NULL);
    }
}

/* After an unlink a signal of that link that was on its way does nothing. */
static rusm_step unlink_after_the_end(rusm_proc *self, void *arg) {
    rusm_pid other = *(rusm_pid *)arg;
    rusm_runtime *own = rusm_proc_runtime(self);
    rusm_pid_kill(own, other);
    uint64_t until = rusm_now_ns() + 20000000; /* in vain if it runs on this scheduler */
    while (rusm_pid_is_alive(own, other) && rusm_now_ns() < until) {
    }
    nap_ms(2);
    rusm_proc_unlink(self, other);
    return RUSM_STEP_WAIT;
}

static void unlink_stops_a_signal_on_its_way(void **state) {
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        static struct puppet a, b;
        puppet_start(&a, rt);
        puppet_start(&b, rt);
        puppet_link(&a, b.pid);
        puppet_settle(&b);
        puppet_do(&a, unlink_after_the_end, &b.pid);
        puppet_wait_end(&b);
        assert_lives(&a, 0);
        puppet_end_with(&a, RUSM_EXIT_NORMAL, NULL);
    }
}

/* Both link and unlink each other at random for a while, from different schedulers. Whatever
 * crosses: in the end both have a record of the link, or none has. */
struct crosser {
    rusm_pid other;
    uint64_t seed;
    _Atomic unsigned left;
};

static rusm_step cross(rusm_proc *self, void *body) {
    struct crosser *crosser = body;
    struct rusm__random random;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        memcpy(&crosser->other, rusm_msg_data(msg), sizeof(crosser->other));
        rusm_msg_free(msg);
    }
    if (!crosser->other || atomic_load(&crosser->left) == 0) {
        return RUSM_STEP_WAIT;
    }
    rusm__random_seed(&random, crosser->seed++);
    for (unsigned n = rusm__random_below(&random, 4); n > 0; n--) {
        if (rusm__random_below(&random, 2)) {
            (void)!rusm_proc_link(self, crosser->other);
        } else {
            rusm_proc_unlink(self, crosser->other);
        }
    }
    atomic_fetch_sub(&crosser->left, 1);
    return RUSM_STEP_AGAIN;
}

static void link_sides_agree_after_crossing(void **state) {
    enum { PAIRS = 30, TURNS = 300 };
    static const rusm_body_ops ops = {.name = "crosser", .step = cross};
    static struct crosser crossers[PAIRS][2];
    (void)state;
    rusm_pid pids[PAIRS][2];
    for (unsigned p = 0; p < PAIRS; p++) {
        for (unsigned side = 0; side < 2; side++) {
            crossers[p][side] = (struct crosser){.seed = p * 2000u + side * 1000u, .left = TURNS};
            rusm_spawn_options options = {.size = sizeof(options),
                                          .ops = &ops,
                                          .body = &crossers[p][side],
                                          .flags = RUSM_SPAWN_PINNED}; /* one on each scheduler */
            assert_int_equal(rusm_proc_spawn(rt, &options, &pids[p][side]), RUSM_OK);
        }
    }
    for (unsigned p = 0; p < PAIRS; p++) {
        for (unsigned side = 0; side < 2; side++) {
            rusm_msg *msg;
            assert_int_equal(rusm_msg_copy(&pids[p][1 - side], sizeof(rusm_pid), &msg), RUSM_OK);
            assert_int_equal(rusm_msg_send(rt, pids[p][side], msg), RUSM_OK);
        }
    }
    unsigned linked = 0;
    for (unsigned p = 0; p < PAIRS; p++) {
        WAIT_FOR(atomic_load(&crossers[p][0].left) == 0 && atomic_load(&crossers[p][1].left) == 0);
    }
    WAIT_FOR(quiet_since_last_call()); /* signals may have been on their way */
    for (unsigned p = 0; p < PAIRS; p++) {
        linked += links_of(pids[p][0]);
        assert_int_equal(links_of(pids[p][0]), links_of(pids[p][1]));
        bool both = links_of(pids[p][0]) == 1;
        assert_int_equal(rusm_pid_exit(rt, pids[p][0], RUSM_EXIT_CRASHED, "end"), RUSM_OK);
        WAIT_FOR(!rusm_pid_is_alive(rt, pids[p][0]));
        if (both) {
            WAIT_FOR(!rusm_pid_is_alive(rt, pids[p][1]));
        } else {
            WAIT_FOR(quiet_since_last_call());
            assert_true(rusm_pid_is_alive(rt, pids[p][1]));
        }
    }
    assert_true(linked > 0 && linked < PAIRS); /* both cases came up */
    rusm_runtime_stop(rt);
    rt = start_runtime(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(link_spreads_the_reason_both_ways),
        TEST(link_spreads_transitively),
        TEST(link_kill_spreads_as_killed),
        TEST(link_normal_end_only_removes_it),
        TEST(trap_turns_signals_into_mail),
        TEST(trap_does_not_stop_a_kill),
        TEST(exit_signals_of_others),
        TEST(exit_signal_to_oneself_ends_even_if_normal),
        TEST(link_twice_or_to_oneself_does_nothing),
        TEST(link_to_the_dead_brings_an_exit),
        TEST(unlink_from_either_side),
        TEST(unlink_stops_a_signal_on_its_way),
        TEST(link_sides_agree_after_crossing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
