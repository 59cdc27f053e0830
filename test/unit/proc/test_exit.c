/* SPDX-License-Identifier: MIT */
/* How processes end: kills in every state of life, the order of the steps of an end, and that
 * bodies are dropped exactly once, before anybody is told. */
#include "unit/proc/puppet.h"

#include "rusm/log.h"

#include "proc/proc_impl.h"

#include "unit/proc/fixture.h"

/* ---- a body that can be told how to behave ---- */

enum conduct {
    PARKS,      /* waits */
    QUEUES,     /* uses up its budget again and again */
    RUNS_LONG,  /* stays in one step until it is told to end */
    STAYS_DEAF, /* stays in one step until the test lets it go, then ends by itself */
};

struct subject {
    enum conduct conduct;
    bool has_unwind;
    unsigned unwinds_wanted; /* turns that the winding down takes */
    _Atomic unsigned steps, unwinds, drops;
    _Atomic bool release;
};

static rusm_step subject_step(rusm_proc *self, void *body) {
    struct subject *subject = body;
    atomic_fetch_add(&subject->steps, 1);
    switch (subject->conduct) {
    case PARKS:
        return RUSM_STEP_WAIT;
    case QUEUES:
        return RUSM_STEP_AGAIN;
    case RUNS_LONG:
        while (!rusm__proc_is_doomed(self)) {
        }
        return RUSM_STEP_EXIT;
    case STAYS_DEAF:
        while (!atomic_load(&subject->release)) {
        }
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "my own reason");
        return RUSM_STEP_EXIT;
    }
    return RUSM_STEP_EXIT;
}

static rusm_step subject_unwind(rusm_proc *self, void *body) {
    struct subject *subject = body;
    /* It cannot change the reason, and waiting is no way out. */
    rusm_proc_set_exit(self, RUSM_EXIT_NORMAL, "I went by myself");
    return atomic_fetch_add(&subject->unwinds, 1) + 1 < subject->unwinds_wanted ? RUSM_STEP_WAIT
                                                                                : RUSM_STEP_EXIT;
}

static void subject_drop(void *body) {
    atomic_fetch_add(&((struct subject *)body)->drops, 1);
}

static const rusm_body_ops plain_ops = {
    .name = "subject", .step = subject_step, .drop = subject_drop};
static const rusm_body_ops unwind_ops = {
    .name = "subject", .step = subject_step, .unwind = subject_unwind, .drop = subject_drop};

static rusm_step spawn_monitored(rusm_proc *self, void *arg) {
    struct puppet_pair *pair = arg;
    struct subject *subject = (struct subject *)(uintptr_t)pair->ref;
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = subject->has_unwind ? &unwind_ops : &plain_ops,
                                  .body = subject,
                                  .monitor_by = rusm_proc_pid(self),
                                  .monitor_ref = 1};
    pair->status = rusm_proc_spawn(rusm_proc_runtime(self), &options, &pair->pid);
    return RUSM_STEP_WAIT;
}

static rusm_pid start_subject(struct puppet *watcher, struct subject *subject) {
    struct puppet_pair pair = {.ref = (uint64_t)(uintptr_t)subject};
    puppet_do(watcher, spawn_monitored, &pair);
    assert_int_equal(pair.status, RUSM_OK);
    return pair.pid;
}

/* Wait for the DOWN number `index` of the watcher; by then the body must have been dropped. */
static struct puppet_mail wait_down(struct puppet *watcher, size_t index, struct subject *subject) {
    struct puppet_mail down = puppet_wait_mail(watcher, index);
    assert_int_equal(down.kind, RUSM_MSG_DOWN);
    assert_int_equal(atomic_load(&subject->drops), 1);
    assert_false(rusm_pid_is_alive(rt, down.from));
    return down;
}

/* ---- kills ---- */

static void kill_in(enum conduct conduct, bool has_unwind) {
    static struct puppet watcher;
    puppet_start(&watcher, rt);
    for (unsigned i = 0; i < 5; i++) {
        static struct subject subjects[5];
        struct subject *subject = &subjects[i];
        *subject =
            (struct subject){.conduct = conduct, .has_unwind = has_unwind, .unwinds_wanted = i};
        rusm_pid pid = start_subject(&watcher, subject);
        if (conduct != STAYS_DEAF) {
            WAIT_FOR(atomic_load(&subject->steps) > 0);
        }
        assert_true(rusm_pid_kill(rt, pid));
        struct puppet_mail down = wait_down(&watcher, i, subject);
        assert_int_equal(down.exit_kind, RUSM_EXIT_KILLED);
        assert_string_equal(down.text, "");
        assert_false(rusm_pid_kill(rt, pid));
        if (has_unwind && conduct != RUNS_LONG) {
            assert_int_equal(atomic_load(&subject->unwinds), i > 0 ? i : 1);
        }
    }
    puppet_settle(&watcher);
    assert_int_equal(puppet_mail_count(&watcher), 5);
}

static void kill_while_parked(void **state) {
    (void)state;
    kill_in(PARKS, false);
}

static void kill_while_parked_unwinds(void **state) {
    (void)state;
    kill_in(PARKS, true);
}

static void kill_while_queued(void **state) {
    (void)state;
    kill_in(QUEUES, false);
}

static void kill_while_queued_unwinds(void **state) {
    (void)state;
    kill_in(QUEUES, true);
}

static void kill_while_running(void **state) {
    (void)state;
    kill_in(RUNS_LONG, false);
}

/* The only scheduler is busy, so the process has not run when the kill comes: it never does. */
static void kill_before_the_first_run(void **state) {
    (void)state;
    static struct puppet watcher;
    static struct subject blocker, victim;
    blocker = (struct subject){.conduct = STAYS_DEAF};
    victim = (struct subject){.conduct = PARKS};
    puppet_start(&watcher, rt);
    start_subject(&watcher, &blocker);
    WAIT_FOR(atomic_load(&blocker.steps) == 1);
    rusm_spawn_options options = {
        .size = sizeof(options), .ops = &plain_ops, .body = &victim, .first = new_msg("unread")};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    assert_int_equal(send_text(rt, pid, "unread too"), RUSM_OK);
    assert_true(rusm_pid_is_alive(rt, pid));
    assert_true(rusm_pid_kill(rt, pid));
    atomic_store(&blocker.release, true);
    WAIT_FOR(atomic_load(&victim.drops) == 1);
    assert_int_equal(atomic_load(&victim.steps), 0);
    WAIT_FOR(stats_of(rt).dropped == 2);
}

/* A kill that comes while the last step runs stays a kill, also if the body has other reasons. */
static void kill_during_the_last_step_stays_a_kill(void **state) {
    (void)state;
    static struct puppet watcher;
    static struct subject subject;
    subject = (struct subject){.conduct = STAYS_DEAF};
    puppet_start(&watcher, rt);
    rusm_pid pid = start_subject(&watcher, &subject);
    WAIT_FOR(atomic_load(&subject.steps) == 1);
    assert_true(rusm_pid_kill(rt, pid));
    atomic_store(&subject.release, true);
    struct puppet_mail down = wait_down(&watcher, 0, &subject);
    assert_int_equal(down.exit_kind, RUSM_EXIT_KILLED);
    assert_string_equal(down.text, "");
}

static void exit_signal_while_parked_unwinds_with_its_reason(void **state) {
    (void)state;
    static struct puppet watcher;
    static struct subject subject;
    subject = (struct subject){.conduct = PARKS, .has_unwind = true, .unwinds_wanted = 3};
    puppet_start(&watcher, rt);
    rusm_pid pid = start_subject(&watcher, &subject);
    assert_int_equal(rusm_pid_exit(rt, pid, RUSM_EXIT_CRASHED, "told so"), RUSM_OK);
    struct puppet_mail down = wait_down(&watcher, 0, &subject);
    assert_int_equal(down.exit_kind, RUSM_EXIT_CRASHED);
    assert_string_equal(down.text, "told so");
    assert_int_equal(atomic_load(&subject.unwinds), 3);
}

/* Its turns are counted; fibers and guests have bounds of their own, which are lower. */
static void unwind_without_an_end_is_cut_off(void **state) {
    (void)state;
    static struct puppet watcher;
    static struct subject subject;
    subject = (struct subject){.conduct = PARKS, .has_unwind = true, .unwinds_wanted = UINT32_MAX};
    puppet_start(&watcher, rt);
    rusm_pid pid = start_subject(&watcher, &subject);
    assert_true(rusm_pid_kill(rt, pid));
    struct puppet_mail down = wait_down(&watcher, 0, &subject);
    assert_int_equal(down.exit_kind, RUSM_EXIT_KILLED);
    assert_int_equal(atomic_load(&subject.unwinds), RUSM_UNWIND_TURNS);
}

/* ---- exit signals to oneself ---- */

struct own_exit {
    rusm_exit_kind kind;
    bool trap_before, trap_after;
    int status, late_reason;
    bool mail_at_once;
};

static rusm_step exit_oneself(rusm_proc *self, void *arg) {
    struct own_exit *own = arg;
    rusm_proc_trap_exit(self, own->trap_before);
    own->status = rusm_pid_exit(rt, rusm_proc_pid(self), own->kind, "by myself");
    rusm_proc_trap_exit(self, own->trap_after);
    own->late_reason = rusm_proc_set_exit(self, RUSM_EXIT_NORMAL, "an excuse");
    rusm_msg *msg = rusm_proc_receive(self);
    own->mail_at_once = msg && rusm_msg_get_kind(msg) == RUSM_MSG_EXIT;
    rusm_msg_free(msg);
    return RUSM_STEP_WAIT;
}

static void exit_oneself_is_at_once(void **state) {
    (void)state;
    static const rusm_exit_kind kinds[] = {RUSM_EXIT_CRASHED, RUSM_EXIT_KILLED, RUSM_EXIT_NORMAL};
    for (unsigned i = 0; i < 3; i++) {
        static struct puppet watcher, target;
        struct own_exit own = {.kind = kinds[i], .trap_after = true};
        puppet_start(&watcher, rt);
        puppet_start(&target, rt);
        puppet_monitor(&watcher, target.pid);
        puppet_do(&target, exit_oneself, &own);
        assert_int_equal(own.status, RUSM_OK);
        assert_int_equal(own.late_reason, RUSM_EEXITING);
        assert_false(own.mail_at_once);
        struct puppet_mail down = puppet_wait_mail(&watcher, 0);
        assert_int_equal(down.exit_kind, kinds[i]);
        assert_string_equal(down.text, "by myself");
        puppet_end_with(&watcher, RUSM_EXIT_NORMAL, NULL);
    }
}

static void exit_oneself_can_be_trapped(void **state) {
    (void)state;
    static struct puppet target;
    struct own_exit own = {.kind = RUSM_EXIT_CRASHED, .trap_before = true};
    puppet_start(&target, rt);
    puppet_do(&target, exit_oneself, &own); /* what was trapped stays mail */
    assert_true(own.mail_at_once);
    assert_int_equal(own.late_reason, RUSM_OK);
    puppet_settle(&target);
    puppet_end_with(&target, RUSM_EXIT_NORMAL, NULL);
}

/* A body that sends its own process an exit signal while it is dropped changes nothing. */
static rusm_pid dying;

static rusm_step crash_at_once(rusm_proc *self, void *body) {
    (void)body;
    dying = rusm_proc_pid(self);
    assert_int_equal(rusm_proc_set_exit(self, (rusm_exit_kind)77, "odd"), RUSM_EINVAL);
    assert_int_equal(rusm_proc_set_exit(self, (rusm_exit_kind)-1, "odd"), RUSM_EINVAL);
    assert_int_equal(rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "the reason"), RUSM_OK);
    return RUSM_STEP_EXIT;
}

static void exit_while_dropped(void *body) {
    (void)body;
    assert_int_equal(rusm_pid_exit(rt, dying, RUSM_EXIT_KILLED, "another one"), RUSM_OK);
}

static rusm_step spawn_dying(rusm_proc *self, void *arg) {
    static const rusm_body_ops ops = {
        .name = "dying", .step = crash_at_once, .drop = exit_while_dropped};
    rusm_spawn_options options = {
        .size = sizeof(options), .ops = &ops, .monitor_by = rusm_proc_pid(self)};
    assert_int_equal(rusm_proc_spawn(rt, &options, arg), RUSM_OK);
    return RUSM_STEP_WAIT;
}

static void exit_while_it_is_dropped_changes_nothing(void **state) {
    (void)state;
    static struct puppet watcher;
    rusm_pid pid;
    puppet_start(&watcher, rt);
    puppet_do(&watcher, spawn_dying, &pid);
    struct puppet_mail down = puppet_wait_mail(&watcher, 0);
    assert_int_equal(down.exit_kind, RUSM_EXIT_CRASHED);
    assert_string_equal(down.text, "the reason");
}

static rusm_step kill_oneself(rusm_proc *self, void *arg) {
    (void)arg;
    rusm_pid_kill(rusm_proc_runtime(self), rusm_proc_pid(self));
    return RUSM_STEP_WAIT;
}

static void kill_oneself_ends_after_the_step(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, kill_oneself, NULL);
    puppet_wait_end(&puppet);
}

static void kill_nobody_is_false(void **state) {
    (void)state;
    assert_false(rusm_pid_kill(rt, 0));
    assert_false(rusm_pid_kill(rt, 123456789));
    assert_false(rusm_pid_kill(rt, UINT64_MAX));
    assert_false(rusm__proc_wake(rt, 77));
}

/* ---- the order of an end ---- */

/* Whoever hears of the end may have the name and the body's resources again at once. */
struct heir {
    struct puppet *puppet;
    struct subject *dead;
    const char *name;
    _Atomic unsigned heard, name_was_taken, body_was_there, alive;
};

static rusm_step heir_step(rusm_proc *self, void *body) {
    struct heir *heir = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        if (rusm_msg_get_kind(msg) != RUSM_MSG_DATA) {
            int status = rusm_proc_register(self, heir->name, strlen(heir->name));
            atomic_fetch_add(&heir->name_was_taken, status != RUSM_OK);
            atomic_fetch_add(&heir->body_was_there, puppet_drops(heir->puppet) == 0);
            atomic_fetch_add(&heir->alive,
                             rusm_pid_is_alive(rusm_proc_runtime(self), rusm_msg_from(msg)));
            if (status == RUSM_OK) {
                atomic_fetch_add(&heir->name_was_taken,
                                 rusm_proc_unregister(self, heir->name, strlen(heir->name)) != 0);
            }
            atomic_fetch_add(&heir->heard, 1);
        } else {
            rusm_pid target;
            uint64_t ref;
            memcpy(&target, rusm_msg_data(msg), sizeof(target));
            rusm_proc_trap_exit(self, true);
            if (rusm_proc_monitor(self, target, &ref) != RUSM_OK ||
                rusm_proc_link(self, target) != RUSM_OK) {
                atomic_fetch_add(&heir->alive, 100);
            }
        }
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static void end_frees_names_and_body_before_it_is_told(void **state) {
    static const rusm_body_ops ops = {.name = "heir", .step = heir_step};
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        static struct puppet holder;
        static struct heir heirs[200];
        struct heir *heir = &heirs[i];
        rusm_pid pid;
        rusm_msg *msg;
        puppet_start(&holder, rt);
        assert_int_equal(puppet_register(&holder, "throne"), RUSM_OK);
        *heir = (struct heir){.puppet = &holder, .name = "throne"};
        rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = heir};
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
        assert_int_equal(rusm_msg_copy(&holder.pid, sizeof(holder.pid), &msg), RUSM_OK);
        assert_int_equal(rusm_msg_send(rt, pid, msg), RUSM_OK);
        rusm_proc_info *info;
        for (uint32_t links = 0; links == 0; rusm_proc_info_free(info)) {
            assert_int_equal(rusm_pid_info(rt, holder.pid, &info), RUSM_OK);
            links = info->links;
        }
        assert_true(rusm_pid_kill(rt, holder.pid));
        WAIT_FOR(atomic_load(&heir->heard) == 2); /* DOWN and EXIT */
        assert_int_equal(atomic_load(&heir->name_was_taken), 0);
        assert_int_equal(atomic_load(&heir->body_was_there), 0);
        assert_int_equal(atomic_load(&heir->alive), 0);
        assert_true(rusm_pid_kill(rt, pid));
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    }
}

/* Until the body is gone nobody can learn of the end: a look-up finds the process, so a monitor
 * that is set at that moment is not answered "noproc". Names are free by then. */
struct last_look {
    rusm_pid pid;
    rusm_pid name_holder;
    _Atomic int alive; /* -1: not looked yet */
};

static rusm_step register_and_end(rusm_proc *self, void *body) {
    struct last_look *look = body;
    look->pid = rusm_proc_pid(self);
    return rusm_proc_register(self, "mortal", 6) == RUSM_OK ? RUSM_STEP_EXIT : RUSM_STEP_WAIT;
}

static void look_around(void *body) {
    struct last_look *look = body;
    look->name_holder = rusm_name_whereis(rt, "mortal", 6);
    atomic_store(&look->alive, rusm_pid_is_alive(rt, look->pid));
}

static void end_is_not_seen_before_the_body_is_gone(void **state) {
    static const rusm_body_ops ops = {
        .name = "last look", .step = register_and_end, .drop = look_around};
    (void)state;
    struct last_look look = {.alive = -1};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &look};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&look.alive) != -1);
    assert_int_equal(atomic_load(&look.alive), 1);
    assert_true(look.name_holder == 0);
}

/* A message that was sent before the end arrives before the DOWN. */
struct farewell {
    rusm_pid to;
    int status;
};

static rusm_step say_farewell(rusm_proc *self, void *arg) {
    struct farewell *farewell = arg;
    farewell->status = send_text(rusm_proc_runtime(self), farewell->to, "farewell");
    return RUSM_STEP_EXIT;
}

static void end_is_told_after_the_last_words(void **state) {
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        static struct puppet watcher, target;
        puppet_start(&watcher, rt);
        puppet_start(&target, rt);
        puppet_monitor(&watcher, target.pid);
        puppet_settle(&target);
        struct farewell farewell = {.to = watcher.pid};
        puppet_do(&target, say_farewell, &farewell);
        assert_int_equal(farewell.status, RUSM_OK);
        assert_int_equal(puppet_wait_mail(&watcher, 0).kind, RUSM_MSG_DATA);
        assert_int_equal(puppet_wait_mail(&watcher, 1).kind, RUSM_MSG_DOWN);
        puppet_wait_end(&target);
        puppet_end_with(&watcher, RUSM_EXIT_NORMAL, NULL);
    }
}

static void end_drops_what_waited(void **state) {
    (void)state;
    static struct subject subject;
    static struct puppet watcher;
    subject = (struct subject){.conduct = PARKS}; /* receives nothing */
    puppet_start(&watcher, rt);
    rusm_pid pid = start_subject(&watcher, &subject);
    for (unsigned i = 0; i < 25; i++) {
        assert_int_equal(send_text(rt, pid, "unread"), RUSM_OK);
    }
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, pid, &info), RUSM_OK);
    assert_int_equal(info->mailbox_depth, 25);
    rusm_proc_info_free(info);
    assert_true(rusm_pid_kill(rt, pid));
    wait_down(&watcher, 0, &subject);
    WAIT_FOR(stats_of(rt).dropped == 25);
    rusm_msg *msg = new_msg("too late");
    assert_int_equal(rusm_msg_send(rt, pid, msg), RUSM_ENOPROC);
    rusm_msg_free(msg); /* still ours */
}

/* ---- the log ---- */

static struct {
    char lines[8][128];
    unsigned count;
} ends; /* written by the log's thread, read after a flush */

/* On the log's thread, which must not assert. */
static void note_end(const rusm_log_record *record, void *arg) {
    (void)arg;
    if (ends.count < 8)
        snprintf(ends.lines[ends.count], sizeof(ends.lines[0]), "%d %s %s %s", record->level,
                 record->who, record->verb, record->text);
    ends.count++;
}

static rusm_pid run_to_its_end(uint32_t flags, const char *label, rusm_exit_kind kind,
                               const char *text) {
    static struct puppet puppet;
    puppet_prepare(&puppet, rt);
    rusm_spawn_options options = puppet_options(&puppet);
    options.flags = flags;
    options.label = label;
    assert_int_equal(rusm_proc_spawn(rt, &options, &puppet.pid), RUSM_OK);
    puppet_end_with(&puppet, kind, text);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    return puppet.pid;
}

/* Crashes of all, other ends of those who asked for it. */
static void ends_are_logged(void **state) {
    static const struct {
        uint32_t flags;
        const char *label;
        rusm_exit_kind kind;
        const char *text;
        int level; /* 0: no line */
        const char *name;
        const char *wanted;
    } cases[] = {
        {RUSM_SPAWN_LOGGED, "w", RUSM_EXIT_CRASHED, "why\nnot", 1, "w", "crashed: why\\nnot"},
        {RUSM_SPAWN_LOGGED, "w", RUSM_EXIT_KILLED, NULL, 2, "w", "killed"},
        {RUSM_SPAWN_LOGGED, "w", RUSM_EXIT_NORMAL, "done", 3, "w", "normal: done"},
        {0, "w", RUSM_EXIT_CRASHED, "why", 1, "w", "crashed: why"},
        {0, NULL, RUSM_EXIT_CRASHED, NULL, 1, "puppet", "crashed"},
        {0, "w", RUSM_EXIT_KILLED, NULL, 0, NULL, NULL},
        {0, "w", RUSM_EXIT_NORMAL, NULL, 0, NULL, NULL},
    };
    (void)state;
    rusm_log_options options = {.size = sizeof(options), .level = RUSM_LOG_INFO, .sink = note_end};
    assert_int_equal(rusm_log_start(&options), RUSM_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[128];
        ends.count = 0;
        rusm_pid pid = run_to_its_end(cases[i].flags, cases[i].label, cases[i].kind, cases[i].text);
        assert_int_equal(rusm_log_flush(UINT64_MAX), RUSM_OK);
        assert_int_equal(ends.count, cases[i].level ? 1 : 0);
        if (cases[i].level) {
            snprintf(wanted, sizeof(wanted), "%d rusm exit %s#%llu  %s", cases[i].level,
                     cases[i].name, (unsigned long long)pid, cases[i].wanted);
            assert_string_equal(ends.lines[0], wanted);
        }
    }
    assert_int_equal(rusm_log_stop(), RUSM_OK);
}

static void exit_kinds_have_names(void **state) {
    (void)state;
    assert_string_equal(rusm_exit_kind_name(RUSM_EXIT_NORMAL), "normal");
    assert_string_equal(rusm_exit_kind_name(RUSM_EXIT_KILLED), "killed");
    assert_string_equal(rusm_exit_kind_name(RUSM_EXIT_CRASHED), "crashed");
    assert_string_equal(rusm_exit_kind_name(RUSM_EXIT_NOPROC), "noproc");
    assert_string_equal(rusm_exit_kind_name((rusm_exit_kind)77), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(kill_while_parked),
        TEST(kill_while_parked_unwinds),
        TEST(kill_while_queued),
        TEST(kill_while_queued_unwinds),
        TEST(kill_while_running),
        cmocka_unit_test_setup_teardown(kill_before_the_first_run, start_one, stop),
        TEST(kill_during_the_last_step_stays_a_kill),
        TEST(exit_signal_while_parked_unwinds_with_its_reason),
        TEST(unwind_without_an_end_is_cut_off),
        TEST(exit_oneself_is_at_once),
        TEST(exit_oneself_can_be_trapped),
        TEST(exit_while_it_is_dropped_changes_nothing),
        TEST(kill_oneself_ends_after_the_step),
        TEST(kill_nobody_is_false),
        TEST(end_frees_names_and_body_before_it_is_told),
        TEST(end_is_not_seen_before_the_body_is_gone),
        TEST(end_is_told_after_the_last_words),
        TEST(end_drops_what_waited),
        TEST(ends_are_logged),
        TEST(exit_kinds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
