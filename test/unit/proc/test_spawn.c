/* SPDX-License-Identifier: MIT */
/* How processes begin: first mail, monitor and label from the first moment, limits, bad options. */
#include "unit/proc/puppet.h"

#include "rusm/log.h"

#include "base/mem.h"
#include "proc/proc_impl.h"

#include "unit/proc/fixture.h"

/* ---- what is there from the first moment ---- */

static void spawn_runs_with_its_first_mail(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_prepare(&puppet, rt);
    rusm_spawn_options options = puppet_options(&puppet);
    options.first = new_msg("first");
    assert_int_equal(rusm_proc_spawn(rt, &options, &puppet.pid), RUSM_OK);
    assert_int_equal(send_text(rt, puppet.pid, "second"), RUSM_OK);
    assert_string_equal(puppet_wait_mail(&puppet, 0).text, "first");
    assert_string_equal(puppet_wait_mail(&puppet, 1).text, "second");
    assert_true(puppet.mail[0].from == 0);
    puppet_settle(&puppet);
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, puppet.pid, &info), RUSM_OK);
    assert_int_equal(info->mailbox_depth, 0); /* it was counted in and out */
    rusm_proc_info_free(info);
}

static void spawn_first_mail_counts_against_the_bound(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_prepare(&puppet, rt);
    rusm_spawn_options options = puppet_options(&puppet);
    options.first = new_msg("first");
    options.mailbox_messages = 1;
    assert_int_equal(rusm_proc_spawn(rt, &options, &puppet.pid), RUSM_OK);
    puppet_wait_mail(&puppet, 0);
    for (unsigned i = 1; i < 10; i++) { /* a leak of the count would refuse the second */
        WAIT_FOR(send_text(rt, puppet.pid, "more") == RUSM_OK);
        puppet_wait_mail(&puppet, i);
    }
}

struct birth {
    struct puppet *child;
    rusm_spawn_options options;
    int status;
};

static rusm_step give_birth(rusm_proc *self, void *arg) {
    struct birth *birth = arg;
    birth->status = rusm_proc_spawn(rusm_proc_runtime(self), &birth->options, &birth->child->pid);
    return RUSM_STEP_WAIT;
}

static rusm_step give_birth_and_die(rusm_proc *self, void *arg) {
    give_birth(self, arg);
    return RUSM_STEP_EXIT;
}

static void spawn_names_the_parent_as_sender_of_first_mail(void **state) {
    (void)state;
    static struct puppet parent, child;
    puppet_start(&parent, rt);
    puppet_prepare(&child, rt);
    struct birth birth = {.child = &child, .options = puppet_options(&child)};
    birth.options.first = new_msg("from your parent");
    puppet_do(&parent, give_birth, &birth);
    assert_int_equal(birth.status, RUSM_OK);
    assert_true(puppet_wait_mail(&child, 0).from == parent.pid);
}

static void spawn_monitor_is_there_from_the_start(void **state) {
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        static struct puppet parent, child;
        puppet_start(&parent, rt);
        puppet_prepare(&child, rt);
        struct birth birth = {.child = &child, .options = puppet_options(&child)};
        birth.options.monitor_by = parent.pid;
        birth.options.monitor_ref = 4711 + i;
        puppet_do(&parent, give_birth, &birth);
        assert_int_equal(birth.status, RUSM_OK);
        assert_true(rusm_pid_kill(rt, child.pid)); /* often before its first run */
        struct puppet_mail down = puppet_wait_mail(&parent, 0);
        assert_int_equal(down.kind, RUSM_MSG_DOWN);
        assert_true(down.from == child.pid);
        assert_true(down.ref == 4711 + i);
        assert_int_equal(down.exit_kind, RUSM_EXIT_KILLED);
        puppet_end_with(&parent, RUSM_EXIT_NORMAL, NULL);
    }
}

static void spawn_child_outlives_its_parent(void **state) {
    (void)state;
    static struct puppet parent, child;
    puppet_start(&parent, rt);
    puppet_prepare(&child, rt);
    struct birth birth = {.child = &child, .options = puppet_options(&child)};
    birth.options.monitor_by = parent.pid;
    puppet_do(&parent, give_birth_and_die, &birth);
    assert_int_equal(birth.status, RUSM_OK);
    puppet_wait_end(&parent);
    puppet_settle(&child);
    puppet_end_with(&child, RUSM_EXIT_NORMAL, NULL); /* its notice finds nobody */
}

static void spawn_label_is_there_and_cut(void **state) {
    (void)state;
    static struct puppet puppet;
    char label[400];
    rusm_proc_info *info;
    memset(label, 'x', sizeof(label));
    label[399] = '\0';
    puppet_prepare(&puppet, rt);
    rusm_spawn_options options = puppet_options(&puppet);
    options.label = label;
    assert_int_equal(rusm_proc_spawn(rt, &options, &puppet.pid), RUSM_OK);
    assert_int_equal(rusm_pid_info(rt, puppet.pid, &info), RUSM_OK);
    assert_int_equal(strlen(info->label), 255);
    rusm_proc_info_free(info);
}

/* ---- where ---- */

struct place {
    _Atomic uint32_t seen; /* a bit per scheduler */
    _Atomic unsigned steps;
};

static rusm_step note_place(rusm_proc *self, void *body) {
    struct place *place = body;
    rusm_msg_free(rusm_proc_receive(self));
    atomic_fetch_or(&place->seen, 1u << rusm__sched_index(rusm__sched_current()));
    atomic_fetch_add(&place->steps, 1);
    return RUSM_STEP_WAIT;
}

static const rusm_body_ops place_ops = {.name = "place", .step = note_place};

static void spawn_pinned_processes_stay(void **state) {
    (void)state;
    struct place places[4] = {0};
    uint32_t all = 0;
    for (unsigned i = 0; i < 4; i++) {
        rusm_spawn_options options = {.size = sizeof(options),
                                      .ops = &place_ops,
                                      .body = &places[i],
                                      .flags = RUSM_SPAWN_PINNED};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
        for (unsigned k = 0; k < 200; k++) {
            assert_int_equal(send_text(rt, pid, "run"), RUSM_OK);
        }
        WAIT_FOR(rusm_pid_is_alive(rt, pid) && atomic_load(&places[i].steps) > 0);
    }
    nap_ms(5);
    for (unsigned i = 0; i < 4; i++) {
        uint32_t seen = atomic_load(&places[i].seen);
        assert_true(seen == 1 || seen == 2);
        all |= seen;
    }
    assert_int_equal(all, 3); /* plain threads take turns */
    rusm_runtime_stop(rt);
    rt = start_runtime(1);
}

/* Processes that plain threads start take one turn each, so both schedulers get some. */
static void spawn_from_outside_takes_turns(void **state) {
    (void)state;
    static struct place place;
    for (unsigned i = 0; i < 10; i++) {
        uint32_t before = atomic_load(&rt->next_remote);
        rusm_spawn_options options = {.size = sizeof(options), .ops = &place_ops, .body = &place};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
        assert_int_equal(atomic_load(&rt->next_remote), before + 1);
    }
}

static rusm_step spawn_next_and_note(rusm_proc *self, void *arg) {
    struct place *places = arg;
    (void)self;
    for (unsigned i = 0; i < 3; i++) { /* the last one goes first */
        rusm_spawn_options options = {.size = sizeof(options),
                                      .ops = &place_ops,
                                      .body = &places[i],
                                      .flags = i == 2 ? RUSM_SPAWN_NEXT : 0};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rusm_proc_runtime(self), &options, &pid), RUSM_OK);
    }
    return RUSM_STEP_WAIT;
}

static void spawn_next_runs_all_the_same(void **state) {
    (void)state;
    static struct puppet parent;
    static struct place places[3];
    puppet_start(&parent, rt);
    puppet_do(&parent, spawn_next_and_note, places);
    for (unsigned i = 0; i < 3; i++) {
        WAIT_FOR(atomic_load(&places[i].steps) == 1);
    }
}

/* ---- refusals ---- */

static void spawn_refuses_bad_options(void **state) {
    (void)state;
    static struct puppet puppet;
    rusm_pid pid = 1;
    puppet_prepare(&puppet, rt);
    const rusm_spawn_options good = puppet_options(&puppet);
    rusm_spawn_options bad = good;
    assert_int_equal(rusm_proc_spawn(rt, NULL, &pid), RUSM_EINVAL);
    assert_true(pid == 0);
    assert_int_equal(rusm_proc_spawn(NULL, &good, &pid), RUSM_EINVAL);
    assert_int_equal(rusm_proc_spawn(rt, &good, NULL), RUSM_EINVAL);
    bad.size = 8;
    assert_int_equal(rusm_proc_spawn(rt, &bad, &pid), RUSM_EINVAL);
    bad = good;
    bad.flags = 1u << 31;
    assert_int_equal(rusm_proc_spawn(rt, &bad, &pid), RUSM_EINVAL);
    bad = good;
    bad.ops = NULL;
    assert_int_equal(rusm_proc_spawn(rt, &bad, &pid), RUSM_EINVAL);
    static const rusm_body_ops no_step = {.name = "nothing"};
    bad.ops = &no_step;
    assert_int_equal(rusm_proc_spawn(rt, &bad, &pid), RUSM_EINVAL);
    bad = good; /* a notice is no mail */
    struct rusm__signal *exit = rusm__signal_new(RUSM__TAG_EXIT, 1);
    bad.first = &exit->head;
    assert_int_equal(rusm_proc_spawn(rt, &bad, &pid), RUSM_EINVAL);
    rusm_msg_free(&exit->head);
    assert_int_equal(rusm_runtime_process_count(rt), 0);
    assert_int_equal(puppet_drops(&puppet), 0); /* the body stays the caller's */
}

/* ---- max_processes ---- */

static struct place idle_place;

static int spawn_idle(rusm_runtime *where, rusm_pid *out_pid) {
    rusm_spawn_options options = {.size = sizeof(options), .ops = &place_ops, .body = &idle_place};
    return rusm_proc_spawn(where, &options, out_pid);
}

enum { LIMIT = 40 };

struct filling {
    rusm_pid pids[LIMIT + 1];
    unsigned count;
    int status;
};

static rusm_step fill_in_step(rusm_proc *self, void *arg) {
    struct filling *filling = arg;
    (void)self; /* NULL when called from outside */
    do {
        filling->status = spawn_idle(rt, &filling->pids[filling->count]);
    } while (filling->status == RUSM_OK && ++filling->count <= LIMIT);
    return RUSM_STEP_WAIT;
}

static void end_all(struct filling *filling, unsigned left) {
    for (unsigned i = 0; i < filling->count; i++) {
        assert_true(rusm_pid_kill(rt, filling->pids[i]));
    }
    WAIT_FOR(rusm_runtime_process_count(rt) == left);
}

/* Exactly max_processes live at once, started from outside or from inside, again and again. */
static void spawn_limit_is_exact(void **state) {
    (void)state;
    rusm_runtime_options options = {
        .size = sizeof(options), .schedulers = 2, .max_processes = LIMIT};
    rusm_runtime_stop(rt);
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_OK);
    for (unsigned round = 0; round < 10; round++) {
        struct filling filling = {0};
        fill_in_step(NULL, &filling);
        assert_int_equal(filling.status, RUSM_EPROCS);
        assert_int_equal(filling.count, LIMIT);
        end_all(&filling, 0);
    }
}

static void spawn_limit_is_exact_from_inside(void **state) {
    (void)state;
    rusm_runtime_options options = {
        .size = sizeof(options), .schedulers = 2, .max_processes = LIMIT};
    static struct puppet parent;
    rusm_runtime_stop(rt);
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_OK);
    puppet_start(&parent, rt);
    for (unsigned round = 0; round < 10; round++) {
        struct filling filling = {0};
        puppet_do(&parent, fill_in_step, &filling);
        assert_int_equal(filling.status, RUSM_EPROCS);
        assert_int_equal(filling.count, LIMIT - 1);
        rusm_pid none;
        assert_int_equal(spawn_idle(rt, &none), RUSM_EPROCS);
        assert_true(none == 0);
        assert_non_null(strstr(rusm_error_text(RUSM_EPROCS), "max_processes"));
        end_all(&filling, 1);
    }
}

/* A supervisor at the limit: when the DOWN is there, the place is free. */
struct again {
    _Atomic unsigned restarts, failures;
    uint64_t ref;
};

static rusm_step end_at_once(rusm_proc *self, void *body) {
    (void)self;
    (void)body;
    return RUSM_STEP_EXIT;
}

static void start_again(rusm_proc *self, struct again *again) {
    static const rusm_body_ops ops = {.name = "short", .step = end_at_once};
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &ops,
                                  .monitor_by = rusm_proc_pid(self),
                                  .monitor_ref = ++again->ref};
    rusm_pid pid;
    if (rusm_proc_spawn(rusm_proc_runtime(self), &options, &pid) == RUSM_OK) {
        atomic_fetch_add(&again->restarts, 1);
    } else {
        atomic_fetch_add(&again->failures, 1);
    }
}

static rusm_step restart_step(rusm_proc *self, void *body) {
    struct again *again = body;
    rusm_msg *msg;
    if (again->ref == 0) {
        start_again(self, again);
    }
    while ((msg = rusm_proc_receive(self)) != NULL) {
        rusm_msg_free(msg);
        start_again(self, again);
    }
    return RUSM_STEP_WAIT;
}

static void spawn_place_is_free_when_the_down_comes(void **state) {
    (void)state;
    static const rusm_body_ops ops = {.name = "again", .step = restart_step};
    static struct again again;
    rusm_runtime_options limited = {.size = sizeof(limited), .schedulers = 2, .max_processes = 2};
    rusm_runtime_stop(rt);
    assert_int_equal(rusm_runtime_start(&limited, &rt), RUSM_OK);
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &again};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&again.restarts) + atomic_load(&again.failures) > 3000 ||
             atomic_load(&again.failures) > 0);
    assert_int_equal(atomic_load(&again.failures), 0);
}

/* ---- ties from the first moment on ---- */

static rusm_step crash_at_once(rusm_proc *self, void *body) {
    (void)body;
    rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "at once");
    return RUSM_STEP_EXIT;
}

struct family {
    struct puppet *child;
    rusm_spawn_options options;
    uint64_t ref;
    rusm_pid pid;
    bool demonitors;
    int status;
};

static rusm_step found_family(rusm_proc *self, void *arg) {
    struct family *family = arg;
    family->status = rusm_proc_spawn(rusm_proc_runtime(self), &family->options, &family->pid);
    if (family->demonitors) {
        rusm_proc_demonitor(self, family->ref);
    }
    return RUSM_STEP_WAIT;
}

static void spawn_linked_hears_of_the_shortest_life(void **state) {
    static const rusm_body_ops ops = {.name = "brief", .step = crash_at_once};
    (void)state;
    static struct puppet parent;
    puppet_start(&parent, rt);
    puppet_trap(&parent);
    for (unsigned i = 0; i < PUPPET_MAIL_MAX / 2;
         i++) { /* it may end on another scheduler before spawn returns */
        struct family family = {
            .options = {.size = sizeof(rusm_spawn_options), .ops = &ops, .flags = RUSM_SPAWN_LINK}};
        family.options.out_monitor = &family.ref;
        puppet_do(&parent, found_family, &family);
        assert_int_equal(family.status, RUSM_OK);
        assert_true(family.ref != 0);
        unsigned downs = 0, exits = 0;
        for (unsigned k = 0; k < 2; k++) {
            struct puppet_mail mail = puppet_wait_mail(&parent, 2 * i + k);
            assert_true(mail.from == family.pid);
            assert_int_equal(mail.exit_kind, RUSM_EXIT_CRASHED);
            assert_string_equal(mail.text, "at once");
            downs += mail.kind == RUSM_MSG_DOWN && mail.ref == family.ref;
            exits += mail.kind == RUSM_MSG_EXIT;
        }
        assert_true(downs == 1 && exits == 1);
    }
    puppet_end_with(&parent, RUSM_EXIT_NORMAL, NULL);
}

static void start_child(struct puppet *parent, struct family *family, struct puppet *child,
                        uint32_t flags) {
    puppet_prepare(child, rt);
    *family = (struct family){.child = child, .options = puppet_options(child)};
    family->options.flags = flags;
    family->options.out_monitor = &family->ref;
    puppet_do(parent, found_family, family);
    assert_int_equal(family->status, RUSM_OK);
    child->pid = family->pid;
}

static void spawn_linked_dies_with_its_parent(void **state) {
    (void)state;
    static struct puppet parent, child;
    struct family family;
    puppet_start(&parent, rt);
    start_child(&parent, &family, &child, RUSM_SPAWN_LINK);
    puppet_end_with(&parent, RUSM_EXIT_CRASHED, "both");
    puppet_wait_end(&child);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
}

static void spawn_linked_can_be_unlinked_by_either(void **state) {
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        static struct puppet parent, child;
        struct family family;
        puppet_start(&parent, rt);
        start_child(&parent, &family, &child, RUSM_SPAWN_LINK);
        if (round == 0) {
            puppet_unlink(&parent, child.pid);
        } else {
            puppet_unlink(&child, parent.pid);
        }
        puppet_settle(&parent);
        puppet_settle(&child);
        rusm_proc_info *info;
        assert_int_equal(rusm_pid_info(rt, child.pid, &info), RUSM_OK);
        assert_true(info->links == 0 && info->monitors == 1);
        rusm_proc_info_free(info);
        puppet_end_with(&child, RUSM_EXIT_CRASHED, "alone");
        assert_int_equal(puppet_wait_mail(&parent, 0).kind, RUSM_MSG_DOWN);
        puppet_end_with(&parent, RUSM_EXIT_NORMAL, NULL);
    }
}

static rusm_step take_back(rusm_proc *self, void *arg) {
    rusm_proc_demonitor(self, *(uint64_t *)arg);
    return RUSM_STEP_WAIT;
}

static void spawn_monitor_can_be_taken_back(void **state) {
    static const rusm_body_ops ops = {.name = "brief", .step = crash_at_once};
    (void)state;
    static struct puppet parent, child;
    struct family family;
    puppet_start(&parent, rt);
    start_child(&parent, &family, &child, 0);
    puppet_do(&parent, take_back, &family.ref);
    puppet_settle(&child);
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, child.pid, &info), RUSM_OK);
    assert_int_equal(info->monitors, 0);
    rusm_proc_info_free(info);
    puppet_end_with(&child, RUSM_EXIT_NORMAL, NULL);
    for (unsigned i = 0; i < 30; i++) { /* also when it has ended already */
        family = (struct family){.options = {.size = sizeof(rusm_spawn_options), .ops = &ops},
                                 .demonitors = true};
        family.options.out_monitor = &family.ref;
        puppet_do(&parent, found_family, &family);
        assert_int_equal(family.status, RUSM_OK);
    }
    WAIT_FOR(rusm_runtime_process_count(rt) == 1);
    puppet_settle(&parent);
    assert_int_equal(puppet_mail_count(&parent), 0);
    puppet_end_with(&parent, RUSM_EXIT_NORMAL, NULL);
}

static void spawn_ties_need_a_process(void **state) {
    (void)state;
    static struct puppet nobody;
    uint64_t ref = 7;
    puppet_prepare(&nobody, rt);
    rusm_spawn_options options = puppet_options(&nobody);
    options.flags = RUSM_SPAWN_LINK;
    assert_int_equal(rusm_proc_spawn(rt, &options, &nobody.pid), RUSM_ESTATE);
    options.flags = 0;
    options.out_monitor = &ref;
    assert_int_equal(rusm_proc_spawn(rt, &options, &nobody.pid), RUSM_ESTATE);
    assert_true(ref == 0);
    assert_int_equal(rusm_runtime_process_count(rt), 0);
}

struct told {
    char text[256];
    unsigned lines;
};

/* On the log's thread; read after a flush. */
static void keep(const rusm_log_record *record, void *arg) {
    struct told *told = arg;
    snprintf(told->text, sizeof(told->text), "%d %s %s %.200s", record->level, record->who,
             record->verb, record->text);
    told->lines++;
}

static void spawn_refused_by_a_full_table_leaves_no_tie(void **state) {
    (void)state;
    static struct puppet parent, child;
    rusm_runtime_options limited = {.size = sizeof(limited), .schedulers = 2, .max_processes = 1};
    static struct told told;
    rusm_log_options log = {.size = sizeof(log), .sink = keep, .arg = &told};
    rusm_runtime_stop(rt);
    assert_int_equal(rusm_runtime_start(&limited, &rt), RUSM_OK);
    assert_int_equal(rusm_log_start(&log), RUSM_OK);
    puppet_start(&parent, rt);
    puppet_prepare(&child, rt);
    struct family family = {.child = &child, .options = puppet_options(&child)};
    family.options.flags = RUSM_SPAWN_LINK;
    family.options.out_monitor = &family.ref;
    puppet_do(&parent, found_family, &family);
    assert_int_equal(family.status, RUSM_EPROCS);
    for (unsigned i = 0; i < 20; i++)
        puppet_do(&parent, found_family, &family);
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, parent.pid, &info), RUSM_OK);
    assert_true(info->links == 0 && info->monitors == 0 && family.ref == 0);
    rusm_proc_info_free(info);
    assert_int_equal(rusm_log_flush(UINT64_MAX), RUSM_OK);
    assert_string_equal(
        told.text, "2 rusm spawn refused: 1 processes live, which is the limit (max_processes)");
    /* At most once a second: all 21 only where each took a second. */
    assert_in_range(told.lines, 1, 20);
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    puppet_end_with(&parent, RUSM_EXIT_NORMAL, NULL);
}

/* ---- bad use ---- */

static rusm_step spawn_for_another(rusm_proc *self, void *arg) {
    struct birth *birth = arg;
    (void)self;
    birth->status = rusm_proc_spawn(rt, &birth->options, &birth->child->pid);
    return RUSM_STEP_WAIT;
}

static void spawn_refuses_others_monitors_and_large_bounds(void **state) {
    (void)state;
    static struct puppet parent, stranger, child;
    puppet_start(&parent, rt);
    puppet_start(&stranger, rt);
    puppet_prepare(&child, rt);
    struct birth birth = {.child = &child, .options = puppet_options(&child)};
    birth.options.monitor_by = stranger.pid;
    puppet_do(&parent, spawn_for_another, &birth);
    assert_int_equal(birth.status, RUSM_EINVAL);
    assert_int_equal(rusm_proc_spawn(rt, &birth.options, &child.pid), RUSM_EINVAL);
    birth.options = puppet_options(&child);
    birth.options.mailbox_messages = RUSM_MAILBOX_MAX_MESSAGES + 1;
    assert_int_equal(rusm_proc_spawn(rt, &birth.options, &child.pid), RUSM_EINVAL);
    birth.options.mailbox_messages = RUSM_MAILBOX_MAX_MESSAGES;
    birth.options.mailbox_bytes = RUSM_MAILBOX_MAX_BYTES + 1;
    assert_int_equal(rusm_proc_spawn(rt, &birth.options, &child.pid), RUSM_EINVAL);
    assert_true(child.pid == 0);
    birth.options.mailbox_bytes = RUSM_MAILBOX_MAX_BYTES;
    assert_int_equal(rusm_proc_spawn(rt, &birth.options, &child.pid), RUSM_OK);
    puppet_end_with(&child, RUSM_EXIT_NORMAL, NULL);
}

/* ---- names ---- */

static void spawn_with_a_name_holds_it_from_the_start(void **state) {
    (void)state;
    static struct puppet first, second;
    rusm_pid pid = 0;
    puppet_prepare(&first, rt);
    puppet_prepare(&second, rt);
    rusm_spawn_options options = puppet_options(&first);
    options.name = "service";
    options.first = new_msg("welcome");
    assert_int_equal(rusm_proc_spawn(rt, &options, &first.pid), RUSM_OK);
    assert_true(whereis(rt, "service") == first.pid);
    assert_string_equal(puppet_wait_mail(&first, 0).text, "welcome");
    uint64_t spawned = stats_of(rt).spawned, sent = stats_of(rt).sent;
    options = puppet_options(&second);
    options.name = "service";
    options.first = new_msg("not taken");
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_EEXIST);
    assert_true(pid == first.pid);
    rusm_msg_free(options.first);
    assert_true(stats_of(rt).spawned == spawned && stats_of(rt).sent == sent);
    assert_int_equal(rusm_runtime_process_count(rt), 1);
    options.first = NULL;
    options.name = "";
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_EINVAL);
    char longest[257];
    memset(longest, 'n', 256);
    longest[256] = '\0';
    options.name = longest;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_EINVAL);
    options.name = longest + 1;
    assert_int_equal(rusm_proc_spawn(rt, &options, &second.pid), RUSM_OK);
    puppet_end_with(&second, RUSM_EXIT_NORMAL, NULL);
    assert_true(whereis(rt, longest + 1) == 0);
    puppet_end_with(&first, RUSM_EXIT_NORMAL, NULL);
    assert_true(whereis(rt, "service") == 0);
}

/* Ties, too, are there only if the name was free. */
static void spawn_with_a_name_leaves_no_tie_when_it_is_taken(void **state) {
    (void)state;
    static struct puppet parent, holder, child;
    puppet_start(&parent, rt);
    puppet_start(&holder, rt);
    puppet_prepare(&child, rt);
    assert_int_equal(puppet_register(&holder, "taken"), RUSM_OK);
    struct family family = {.child = &child, .options = puppet_options(&child)};
    family.options.flags = RUSM_SPAWN_LINK;
    family.options.out_monitor = &family.ref;
    family.options.name = "taken";
    puppet_do(&parent, found_family, &family);
    assert_int_equal(family.status, RUSM_EEXIST);
    assert_true(family.pid == holder.pid && family.ref == 0);
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, parent.pid, &info), RUSM_OK);
    assert_true(info->links == 0);
    rusm_proc_info_free(info);
    puppet_end_with(&holder, RUSM_EXIT_CRASHED, "nobody minds");
    family.ref = 0;
    puppet_do(&parent, found_family, &family); /* now it is free */
    assert_int_equal(family.status, RUSM_OK);
    child.pid = family.pid;
    assert_true(whereis(rt, "taken") == child.pid && family.ref != 0);
    puppet_end_with(&child, RUSM_EXIT_NORMAL, NULL);
    puppet_end_with(&parent, RUSM_EXIT_NORMAL, NULL);
}

/* Many look for the same services at once; whoever is found or started can be sent to at once. */
enum { SEEKERS = 4, SERVICES = 300 };

struct seeker {
    _Atomic unsigned started, found, wrong;
    _Atomic bool done;
};

static rusm_step serve(rusm_proc *self, void *body) {
    rusm_msg *msg;
    (void)body;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static void seek(struct seeker *seeker) {
    static const rusm_body_ops ops = {.name = "service", .step = serve};
    for (unsigned i = 0; i < SERVICES; i++) {
        char name[32];
        rusm_pid pid;
        snprintf(name, sizeof(name), "service %u", i);
        rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .name = name};
        int status = rusm_proc_spawn(rt, &options, &pid);
        atomic_fetch_add(&seeker->started, status == RUSM_OK);
        atomic_fetch_add(&seeker->found, status == RUSM_EEXIST);
        if (!pid || whereis(rt, name) != pid || send_text(rt, pid, "hello") != RUSM_OK) {
            atomic_fetch_add(&seeker->wrong, 1);
        }
    }
    atomic_store(&seeker->done, true);
}

static void *seek_outside(void *seeker) {
    seek(seeker);
    return NULL;
}

static rusm_step seek_inside(rusm_proc *self, void *seeker) {
    (void)self;
    seek(seeker);
    return RUSM_STEP_EXIT;
}

static void spawn_with_a_name_starts_one(void **state) {
    static const rusm_body_ops ops = {.name = "seeker", .step = seek_inside};
    (void)state;
    struct seeker seekers[SEEKERS] = {0};
    pthread_t threads[SEEKERS / 2];
    unsigned started = 0, found = 0;
    for (unsigned i = 0; i < SEEKERS; i++) {
        if (i < SEEKERS / 2) {
            assert_int_equal(pthread_create(&threads[i], NULL, seek_outside, &seekers[i]), 0);
        } else {
            rusm_spawn_options options = {
                .size = sizeof(options), .ops = &ops, .body = &seekers[i]};
            rusm_pid pid;
            assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
        }
    }
    for (unsigned i = 0; i < SEEKERS; i++) {
        WAIT_FOR(atomic_load(&seekers[i].done));
        started += atomic_load(&seekers[i].started);
        found += atomic_load(&seekers[i].found);
        assert_int_equal(atomic_load(&seekers[i].wrong), 0);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(started, SERVICES);
    assert_int_equal(found, (SEEKERS - 1) * SERVICES);
    WAIT_FOR(rusm_runtime_process_count(rt) == SERVICES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(spawn_runs_with_its_first_mail),
        TEST(spawn_first_mail_counts_against_the_bound),
        TEST(spawn_names_the_parent_as_sender_of_first_mail),
        TEST(spawn_monitor_is_there_from_the_start),
        TEST(spawn_child_outlives_its_parent),
        TEST(spawn_label_is_there_and_cut),
        TEST(spawn_pinned_processes_stay),
        TEST(spawn_from_outside_takes_turns),
        TEST(spawn_next_runs_all_the_same),
        TEST(spawn_refuses_bad_options),
        TEST(spawn_limit_is_exact),
        TEST(spawn_limit_is_exact_from_inside),
        TEST(spawn_place_is_free_when_the_down_comes),
        TEST(spawn_linked_hears_of_the_shortest_life),
        TEST(spawn_linked_dies_with_its_parent),
        TEST(spawn_linked_can_be_unlinked_by_either),
        TEST(spawn_monitor_can_be_taken_back),
        TEST(spawn_ties_need_a_process),
        TEST(spawn_refused_by_a_full_table_leaves_no_tie),
        TEST(spawn_refuses_others_monitors_and_large_bounds),
        TEST(spawn_with_a_name_holds_it_from_the_start),
        TEST(spawn_with_a_name_leaves_no_tie_when_it_is_taken),
        TEST(spawn_with_a_name_starts_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
