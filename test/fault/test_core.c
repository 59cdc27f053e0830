/* SPDX-License-Identifier: MIT */
/* Memory runs short at the nth allocation, for every n: only the operation at hand fails, with
 * RUSM_ENOMEM; nothing of it stays behind, nothing else is harmed, and the next try succeeds. Leaks
 * are found by the leak checker of a sanitizer build. */
#include "unit/proc/puppet.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

enum { MOST_ALLOCATIONS = 30 };

static rusm_runtime *rt;

/* One scheduler: whatever an operation makes others allocate happens on the same thread. */
static int start_one(void **state) {
    (void)state;
    rt = start_runtime(1);
    return 0;
}

static int stop(void **state) {
    (void)state;
    rusm_runtime_stop(rt);
    return 0;
}

/* ---- one operation in a process ---- */

struct trial {
    int (*operation)(rusm_proc *self, struct trial *trial);
    struct puppet *puppet;
    rusm_pid other;
    rusm_pid made;
    uint64_t ref;
    rusm_msg *msg;
    int status;
    size_t nth;
};

static rusm_step try_once(rusm_proc *self, void *arg) {
    struct trial *trial = arg;
    rusm__mem_fail_nth(trial->nth);
    trial->status = trial->operation(self, trial);
    rusm__mem_fail_nth(0);
    return RUSM_STEP_WAIT;
}

/* Fail the 1st, 2nd, ... allocation until the operation needs no more than that. check(trial) looks
 * at the world after each failure; returns how many failures there were. What an operation makes on
 * first use stays after a failure, so later tries need less. */
static size_t try_all(struct trial *trial, void (*check)(struct trial *trial)) {
    for (trial->nth = 1; trial->nth < MOST_ALLOCATIONS; trial->nth++) {
        puppet_do(trial->puppet, try_once, trial);
        if (trial->status == RUSM_OK) {
            return trial->nth - 1;
        }
        assert_int_equal(trial->status, RUSM_ENOMEM);
        check(trial);
        puppet_settle(trial->puppet);
    }
    fail();
    return 0;
}

static rusm_proc_info *info_of(rusm_pid pid) {
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, pid, &info), RUSM_OK);
    return info;
}

/* ---- spawn ---- */

static _Atomic unsigned bodies_dropped;

static rusm_step rest(rusm_proc *self, void *body) {
    (void)body;
    rusm_msg_free(rusm_proc_receive(self));
    return RUSM_STEP_WAIT;
}

static void count_drop(void *body) {
    (void)body;
    atomic_fetch_add(&bodies_dropped, 1);
}

static const rusm_body_ops rest_ops = {.name = "rest", .step = rest, .drop = count_drop};

static int spawn_with_everything(rusm_proc *self, struct trial *trial) {
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &rest_ops,
                                  .label = "label",
                                  .first = trial->msg,
                                  .monitor_by = rusm_proc_pid(self),
                                  .monitor_ref = 9,
                                  .out_monitor = &trial->ref,
                                  .flags = RUSM_SPAWN_LINK,
                                  .mailbox_policy = RUSM_MAILBOX_DROP_OLDEST,
                                  .name = "named at birth"};
    return rusm_proc_spawn(rusm_proc_runtime(self), &options, &trial->made);
}

static void check_nobody_was_born(struct trial *trial) {
    rusm_proc_info *info = info_of(trial->puppet->pid);
    assert_true(info->links == 0 && trial->ref == 0);
    rusm_proc_info_free(info);
    assert_true(trial->made == 0);
    assert_true(rusm_name_whereis(rt, "named at birth", 14) == 0);
    assert_int_equal(rusm_runtime_process_count(rt), 1);
    assert_int_equal(rusm_msg_len(trial->msg), 6); /* still the caller's */
    assert_int_equal(atomic_load(&bodies_dropped), 0);
}

static void spawn_fails_alone(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    atomic_store(&bodies_dropped, 0);
    struct trial trial = {
        .operation = spawn_with_everything, .puppet = &puppet, .msg = new_msg("first")};
    puppet_trap(&puppet);
    /* process, valve, label, extra, record, the parent's extra, two for the link, two for the
     * monitor, the name and its holder */
    assert_true(try_all(&trial, check_nobody_was_born) >= 11);
    assert_true(rusm_pid_kill(rt, trial.made));
    puppet_wait_mail(&puppet, 2); /* two DOWNs, one EXIT */
    assert_int_equal(atomic_load(&bodies_dropped), 1);
}

static void spawn_from_outside_fails_alone(void **state) {
    (void)state;
    atomic_store(&bodies_dropped, 0);
    for (size_t nth = 1;; nth++) {
        rusm_spawn_options options = {.size = sizeof(options), .ops = &rest_ops, .label = "label"};
        rusm_pid pid;
        assert_true(nth < MOST_ALLOCATIONS);
        rusm__mem_fail_nth(nth);
        int status = rusm_proc_spawn(rt, &options, &pid);
        rusm__mem_fail_nth(0);
        if (status == RUSM_OK) {
            assert_true(nth > 2);
            return;
        }
        assert_int_equal(status, RUSM_ENOMEM);
        assert_int_equal(rusm_runtime_process_count(rt), 0);
    }
}

/* ---- send ---- */

static int make_and_send(rusm_proc *self, struct trial *trial) {
    rusm_msg *msg;
    int status = rusm_msg_copy("text", 5, &msg);
    if (status == RUSM_OK) {
        status = rusm_msg_send(rusm_proc_runtime(self), trial->other, msg);
    }
    return status;
}

static void check_no_mail(struct trial *trial) {
    rusm_proc_info *info = info_of(trial->other);
    assert_int_equal(info->mailbox_depth, 0);
    rusm_proc_info_free(info);
}

static void send_fails_alone(void **state) {
    (void)state;
    static struct puppet puppet, other;
    puppet_start(&puppet, rt);
    puppet_start(&other, rt);
    struct trial trial = {.operation = make_and_send, .puppet = &puppet, .other = other.pid};
    assert_int_equal(try_all(&trial, check_no_mail), 1);
    assert_string_equal(puppet_wait_mail(&other, 0).text, "text");
    puppet_settle(&other);
    assert_int_equal(puppet_mail_count(&other), 1);
}

/* ---- link and monitor: also when the target has no place for records yet ---- */

static int link_other(rusm_proc *self, struct trial *trial) {
    return rusm_proc_link(self, trial->other);
}

static int monitor_other(rusm_proc *self, struct trial *trial) {
    return rusm_proc_monitor(self, trial->other, &trial->ref);
}

static void check_no_tie(struct trial *trial) {
    rusm_proc_info *own = info_of(trial->puppet->pid), *other = info_of(trial->other);
    assert_int_equal(own->links + own->monitors, 0);
    assert_int_equal(other->links + other->monitors, 0);
    assert_true(trial->ref == 0);
    rusm_proc_info_free(own);
    rusm_proc_info_free(other);
}

static void link_fails_alone(void **state) {
    (void)state;
    static struct puppet puppet, other;
    puppet_start(&puppet, rt);
    puppet_start(&other, rt);
    struct trial trial = {.operation = link_other, .puppet = &puppet, .other = other.pid};
    assert_true(try_all(&trial, check_no_tie) >= 3);
    puppet_settle(&other);
    assert_int_equal(puppet_mail_count(&puppet), 0);
    puppet_end_with(&other, RUSM_EXIT_CRASHED, "both"); /* and it is a link */
    puppet_wait_end(&puppet);
}

static void monitor_fails_alone(void **state) {
    (void)state;
    static struct puppet puppet, other;
    puppet_start(&puppet, rt);
    puppet_start(&other, rt);
    struct trial trial = {.operation = monitor_other, .puppet = &puppet, .other = other.pid};
    assert_true(try_all(&trial, check_no_tie) >= 3);
    puppet_settle(&other);
    puppet_end_with(&other, RUSM_EXIT_NORMAL, NULL);
    assert_true(puppet_wait_mail(&puppet, 0).ref == trial.ref);
    puppet_settle(&puppet);
    assert_int_equal(puppet_mail_count(&puppet), 1);
}

/* What the call succeeded in is not undone by a shortage at the target, later. */
static rusm_step tie_and_starve(rusm_proc *self, void *arg) {
    struct trial *trial = arg;
    trial->status = trial->operation(self, trial);
    rusm__mem_fail_nth(1); /* the next one to allocate on this thread is the target */
    return RUSM_STEP_WAIT;
}

static rusm_step end_starving(rusm_proc *self, void *arg) {
    (void)self;
    (void)arg;
    rusm__mem_fail_nth(0);
    return RUSM_STEP_WAIT;
}

static void ties_bear_a_shortage_at_the_target(void **state) {
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        static struct puppet puppet, other;
        puppet_start(&puppet, rt);
        puppet_start(&other, rt);
        struct trial trial = {.operation = i ? link_other : monitor_other, .other = other.pid};
        puppet_do(&puppet, tie_and_starve, &trial);
        puppet_do(&other, end_starving, NULL); /* after it has accepted */
        assert_int_equal(trial.status, RUSM_OK);
        puppet_settle(&puppet);
        assert_int_equal(puppet_mail_count(&puppet), 0); /* no false notice */
        assert_true(rusm_pid_is_alive(rt, puppet.pid));
        rusm_proc_info *info = info_of(other.pid);
        assert_int_equal(info->links + info->monitors, 1);
        rusm_proc_info_free(info);
        puppet_end_with(&other, RUSM_EXIT_CRASHED, "now");
        if (i) {
            puppet_wait_end(&puppet);
        } else {
            assert_string_equal(puppet_wait_mail(&puppet, 0).text, "now");
        }
    }
}

/* ---- words and labels ---- */

static int register_name(rusm_proc *self, struct trial *trial) {
    (void)trial;
    return rusm_proc_register(self, "name", 4);
}

static int join_tag(rusm_proc *self, struct trial *trial) {
    (void)trial;
    return rusm_proc_join(self, "tag", 3);
}

static int set_label(rusm_proc *self, struct trial *trial) {
    (void)trial;
    return rusm_proc_set_label(self, "new label", 9);
}

static void check_no_words(struct trial *trial) {
    rusm_proc_info *info = info_of(trial->puppet->pid);
    assert_int_equal(info->name_count, 0);
    assert_null(info->label);
    rusm_proc_info_free(info);
    assert_true(rusm_name_whereis(rt, "name", 4) == 0);
    assert_int_equal(rusm_tag_whereis(rt, "tag", 3, NULL, 0), 0);
}

static void words_fail_alone(void **state) {
    static int (*const operations[])(rusm_proc *, struct trial *) = {register_name, join_tag,
                                                                     set_label};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        static struct puppet puppet;
        puppet_start(&puppet, rt);
        struct trial trial = {.operation = operations[i], .puppet = &puppet};
        assert_true(try_all(&trial, check_no_words) >= (i < 2 ? 2 : 1));
        assert_true((i == 0) == (rusm_name_whereis(rt, "name", 4) == puppet.pid));
        assert_int_equal(rusm_tag_whereis(rt, "tag", 3, NULL, 0), i == 1);
        rusm_proc_info *info = info_of(puppet.pid);
        assert_int_equal(info->label != NULL, i == 2);
        rusm_proc_info_free(info);
        puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);
    }
}

/* ---- timers ---- */

static int set_timer(rusm_proc *self, struct trial *trial) {
    return rusm_timer_send(rusm_proc_runtime(self), rusm_now_ns() + 3600 * RUSM__SECOND,
                           trial->puppet->pid, trial->msg, &trial->ref);
}

static int ask_to_wake(rusm_proc *self, struct trial *trial) {
    (void)trial;
    return rusm_proc_wake_at(self, rusm_now_ns() + 3600 * RUSM__SECOND);
}

static void check_no_timer(struct trial *trial) {
    assert_true(trial->ref == 0);
    if (trial->msg) {
        assert_int_equal(rusm_msg_len(trial->msg), 6); /* still the caller's */
    }
}

static void timers_fail_alone(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    struct trial trial = {.operation = set_timer, .puppet = &puppet, .msg = new_msg("timer")};
    assert_true(try_all(&trial, check_no_timer) >= 2); /* the slab's table and a chunk */
    assert_true(rusm_timer_cancel(rt, trial.ref));
    for (unsigned i = 0; i < RUSM__TIMER_CHUNK; i++) { /* use the chunk up */
        trial.nth = 0;
        trial.msg = new_msg("timer");
        puppet_do(&puppet, try_once, &trial);
        assert_int_equal(trial.status, RUSM_OK);
    }
    struct trial wake = {.operation = ask_to_wake, .puppet = &puppet};
    assert_true(try_all(&wake, check_no_timer) >= 1);
}

static int set_name_timer(rusm_proc *self, struct trial *trial) {
    return rusm_timer_send_name(rusm_proc_runtime(self), rusm_now_ns() + 3600 * RUSM__SECOND,
                                "name", 4, trial->msg, &trial->ref);
}

static void timers_to_names_fail_alone(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    struct trial trial = {.operation = set_name_timer, .puppet = &puppet, .msg = new_msg("timer")};
    assert_true(try_all(&trial, check_no_timer) >= 1); /* the name, and a chunk at times */
    assert_true(rusm_timer_cancel(rt, trial.ref));
}

/* ---- waiting for room ---- */

static int send_or_wait(rusm_proc *self, struct trial *trial) {
    int status = rusm_proc_send(self, trial->other, trial->msg);
    return status == RUSM_EAGAIN ? RUSM_OK : status;
}

static void check_nothing_waits(struct trial *trial) {
    rusm_proc_info *info = info_of(trial->other);
    assert_int_equal(info->mailbox_depth, 1);
    rusm_proc_info_free(info);
    assert_int_equal(rusm_msg_len(trial->msg), 8); /* still the caller's */
}

static rusm_step take_nothing(rusm_proc *self, void *body) {
    (void)self;
    (void)body;
    return RUSM_STEP_WAIT;
}

static void waiting_for_room_fails_alone(void **state) {
    (void)state;
    static const rusm_body_ops ops = {.name = "full", .step = take_nothing};
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &ops,
                                  .first = new_msg("first"),
                                  .mailbox_messages = 1,
                                  .mailbox_policy = RUSM_MAILBOX_BLOCK_SENDER};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    struct trial trial = {
        .operation = send_or_wait, .puppet = &puppet, .other = pid, .msg = new_msg("waiting")};
    assert_int_equal(try_all(&trial, check_nothing_waits), 2); /* extra, waiter */
    puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);          /* and what waited is freed */
}

static void timers_from_outside_fail_alone(void **state) {
    (void)state;
    rusm_msg *msg = new_msg("timer");
    for (size_t nth = 1;; nth++) {
        rusm_timer timer;
        assert_true(nth < MOST_ALLOCATIONS);
        rusm__mem_fail_nth(nth);
        int status = rusm_timer_send(rt, rusm_now_ns() + 3600 * RUSM__SECOND, 1, msg, &timer);
        rusm__mem_fail_nth(0);
        if (status == RUSM_OK) {
            assert_true(nth > 3); /* request, table, chunk, post */
            assert_true(rusm_timer_cancel(rt, timer));
            return;
        }
        assert_int_equal(status, RUSM_ENOMEM);
        assert_true(timer == 0);
        assert_int_equal(rusm_msg_len(msg), 6);
    }
}

/* ---- exit signals, information ---- */

static void exit_and_info_fail_alone(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    for (size_t nth = 1; nth <= 2; nth++) {
        rusm__mem_fail_nth(nth);
        int status = rusm_pid_exit(rt, puppet.pid, RUSM_EXIT_CRASHED, "text");
        rusm__mem_fail_nth(0);
        assert_int_equal(status, RUSM_ENOMEM);
    }
    rusm_proc_info *info = (rusm_proc_info *)1;
    rusm__mem_fail_nth(1);
    int status = rusm_pid_info(rt, puppet.pid, &info);
    rusm__mem_fail_nth(0);
    assert_int_equal(status, RUSM_ENOMEM);
    assert_null(info);
    puppet_settle(&puppet); /* it lives */
}

/* Ending needs no memory: notices and names go out, only the text of the reason may be missing. */
static rusm_step end_without_memory(rusm_proc *self, void *arg) {
    (void)arg;
    rusm__mem_fail_nth(1);
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "a text that finds no memory");
    size_t calls = rusm__mem_fail_nth(1); /* and none for whatever follows */
    (void)calls;
    return RUSM_STEP_EXIT;
}

static void ends_need_no_memory(void **state) {
    (void)state;
    static struct puppet watcher, trapper, target;
    puppet_start(&watcher, rt);
    puppet_start(&trapper, rt);
    puppet_start(&target, rt);
    puppet_trap(&trapper);
    puppet_register(&target, "mortal");
    puppet_link(&trapper, target.pid);
    uint64_t ref = puppet_monitor(&watcher, target.pid);
    puppet_monitor(&target, watcher.pid);
    puppet_do(&target, end_without_memory, NULL);
    struct puppet_mail down = puppet_wait_mail(&watcher, 0);
    assert_true(down.ref == ref);
    assert_int_equal(down.exit_kind, RUSM_EXIT_CRASHED);
    assert_string_equal(down.text, "");
    assert_int_equal(puppet_wait_mail(&trapper, 0).kind, RUSM_MSG_EXIT);
    assert_true(whereis(rt, "mortal") == 0);
    puppet_do(&watcher, end_starving, NULL);
}

/* ---- a life with a shortage somewhere in it ---- */

/* Sweep one failing allocation over everything that happens on the scheduler while a small family
 * lives and dies. Whatever fails, all end, nothing is held, and the runtime goes on. */
struct family {
    size_t nth;
    unsigned step;
    _Atomic unsigned calls;
};

static rusm_step family_step(rusm_proc *self, void *body) {
    struct family *family = body;
    rusm_runtime *own = rusm_proc_runtime(self);
    rusm_pid child;
    uint64_t ref;
    rusm_timer timer;
    rusm_msg *msg;
    if (family->step++ == 0) {
        rusm__mem_fail_nth(family->nth);
        (void)!rusm_proc_register(self, "head", 4);
        (void)!rusm_proc_join(self, "family", 6);
        (void)!rusm_proc_set_label(self, "head", 4);
        (void)!rusm_proc_wake_at(self, rusm_now_ns() + RUSM__MS);
        rusm_spawn_options options = {
            .size = sizeof(options), .ops = &rest_ops, .monitor_by = rusm_proc_pid(self)};
        for (unsigned i = 0; i < 3; i++) {
            if (rusm_proc_spawn(own, &options, &child) != RUSM_OK) {
                continue;
            }
            (void)!rusm_proc_link(self, child);
            (void)!rusm_proc_monitor(self, child, &ref);
            if (rusm_msg_copy("hi", 2, &msg) == RUSM_OK &&
                rusm_timer_send(own, 0, child, msg, &timer) != RUSM_OK) {
                rusm_msg_free(msg);
            }
        }
        return RUSM_STEP_AGAIN;
    }
    if (family->step < 20) {
        return RUSM_STEP_AGAIN; /* the children accept and receive */
    }
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "all of us");
    return RUSM_STEP_EXIT;
}

static void family_over(void *body) {
    struct family *family = body;
    atomic_store(&family->calls, (unsigned)rusm__mem_fail_nth(0) + 1);
}

static bool nobody_left(void) {
    rusm_pid pids[16];
    size_t count = rusm_pid_list(rt, pids, 16); /* children whose link found no memory */
    for (size_t i = 0; i < count && i < 16; i++) {
        rusm_pid_kill(rt, pids[i]);
    }
    return rusm_runtime_process_count(rt) == 0;
}

static void a_family_bears_a_shortage_anywhere(void **state) {
    static const rusm_body_ops ops = {.name = "family", .step = family_step, .drop = family_over};
    (void)state;
    unsigned most = 0;
    for (size_t nth = 1; nth <= 80; nth++) {
        static struct family families[81];
        families[nth] = (struct family){.nth = nth};
        rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &families[nth]};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
        WAIT_FOR(atomic_load(&families[nth].calls) > 0);
        WAIT_FOR(nobody_left());
        assert_true(rusm_name_whereis(rt, "head", 4) == 0);
        assert_int_equal(rusm_tag_whereis(rt, "family", 6, NULL, 0), 0);
        most = atomic_load(&families[nth].calls) > most ? atomic_load(&families[nth].calls) : most;
    }
    assert_true(most > 10 && most < 80); /* the sweep went over all of them */
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_one, stop)
        TEST(spawn_fails_alone),
        TEST(spawn_from_outside_fails_alone),
        TEST(send_fails_alone),
        TEST(link_fails_alone),
        TEST(monitor_fails_alone),
        TEST(ties_bear_a_shortage_at_the_target),
        TEST(words_fail_alone),
        TEST(timers_fail_alone),
        TEST(timers_from_outside_fail_alone),
        TEST(timers_to_names_fail_alone),
        TEST(waiting_for_room_fails_alone),
        TEST(exit_and_info_fail_alone),
        TEST(ends_need_no_memory),
        TEST(a_family_bears_a_shortage_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
