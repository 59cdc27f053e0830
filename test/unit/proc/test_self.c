/* SPDX-License-Identifier: MIT */
/* What a process does to itself and what others can see of it: mail set aside, names, tags, label,
 * information, the list of all. */
#include "unit/proc/puppet.h"

#include "proc/proc_impl.h"

#include "unit/proc/fixture.h"

/* ---- stash ---- */

struct shelf {
    pthread_mutex_t lock;
    char taken[256];
    size_t count;
};

/* Lower-case words are set aside, "put back" brings them back, everything else is noted. */
static rusm_step shelf_step(rusm_proc *self, void *body) {
    struct shelf *shelf = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        const char *text = (const char *)rusm_msg_data(msg);
        if (strcmp(text, "put back") == 0) {
            rusm_proc_unstash(self);
        } else if (text[0] >= 'a' && text[0] <= 'z' && !strchr(shelf->taken, '!')) {
            rusm_proc_stash(self, msg);
            continue;
        } else {
            pthread_mutex_lock(&shelf->lock);
            strcat(shelf->taken, text);
            shelf->count++;
            pthread_mutex_unlock(&shelf->lock);
        }
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static size_t shelf_count(struct shelf *shelf) {
    pthread_mutex_lock(&shelf->lock);
    size_t count = shelf->count;
    pthread_mutex_unlock(&shelf->lock);
    return count;
}

static rusm_pid start_shelf(struct shelf *shelf, uint32_t max_messages) {
    static const rusm_body_ops ops = {.name = "shelf", .step = shelf_step};
    rusm_spawn_options options = {
        .size = sizeof(options), .ops = &ops, .body = shelf, .mailbox_messages = max_messages};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static uint32_t depth_of(rusm_pid pid) {
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, pid, &info), RUSM_OK);
    uint32_t depth = info->mailbox_depth;
    rusm_proc_info_free(info);
    return depth;
}

static void stash_comes_back_oldest_first(void **state) {
    static struct shelf shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};
    (void)state;
    rusm_pid pid = start_shelf(&shelf, 0);
    static const char *const texts[] = {"a", "1", "b", "2", "c", "!", "put back", "3"};
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(send_text(rt, pid, texts[i]), RUSM_OK);
    }
    WAIT_FOR(shelf_count(&shelf) == 7);
    /* "3" may have been in the mailbox or come after: what was set aside is before it. */
    assert_string_equal(shelf.taken, "12!abc3");
    WAIT_FOR(depth_of(pid) == 0);
}

/* What is set aside was received: it makes room, and is not counted again when it comes back. */
static void stash_does_not_fill_the_mailbox(void **state) {
    static struct shelf shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};
    (void)state;
    rusm_pid pid = start_shelf(&shelf, 1);
    for (unsigned i = 0; i < 50; i++) {
        WAIT_FOR(send_text(rt, pid, "aside") == RUSM_OK);
    }
    WAIT_FOR(send_text(rt, pid, "!") == RUSM_OK);
    WAIT_FOR(shelf_count(&shelf) == 1);
    WAIT_FOR(send_text(rt, pid, "put back") == RUSM_OK);
    WAIT_FOR(shelf_count(&shelf) == 51);
    WAIT_FOR(depth_of(pid) == 0);
    WAIT_FOR(send_text(rt, pid, "0") == RUSM_OK);
    WAIT_FOR(shelf_count(&shelf) == 52);
    assert_int_equal(depth_of(pid), 0);
}

static void stash_goes_with_its_process(void **state) {
    static struct shelf shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};
    (void)state;
    rusm_pid pid = start_shelf(&shelf, 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(send_text(rt, pid, "aside"), RUSM_OK);
    }
    assert_true(rusm_pid_kill(rt, pid));
    WAIT_FOR(rusm_runtime_process_count(rt) == 0); /* the rest is the leak checker's */
}

/* ---- names ---- */

struct word {
    const char *text;
    size_t len;
    int status;
};

static rusm_step register_word(rusm_proc *self, void *arg) {
    struct word *word = arg;
    word->status = rusm_proc_register(self, word->text, word->len);
    return RUSM_STEP_WAIT;
}

static rusm_step unregister_word(rusm_proc *self, void *arg) {
    struct word *word = arg;
    word->status = rusm_proc_unregister(self, word->text, word->len);
    return RUSM_STEP_WAIT;
}

static rusm_step leave_word(rusm_proc *self, void *arg) {
    struct word *word = arg;
    rusm_proc_leave(self, word->text, word->len);
    return RUSM_STEP_WAIT;
}

static int with_word(struct puppet *puppet, puppet_fn fn, const char *text, size_t len) {
    struct word word = {text, len, 1};
    puppet_do(puppet, fn, &word);
    return word.status;
}

static int unregister(struct puppet *puppet, const char *text) {
    return with_word(puppet, unregister_word, text, strlen(text));
}

static void names_belong_to_their_holder(void **state) {
    (void)state;
    static struct puppet a, b;
    puppet_start(&a, rt);
    puppet_start(&b, rt);
    assert_int_equal(unregister(&a, "desk"), RUSM_ENOTFOUND);
    assert_int_equal(puppet_register(&a, "desk"), RUSM_OK);
    assert_true(whereis(rt, "desk") == a.pid);
    assert_int_equal(puppet_register(&b, "desk"), RUSM_EEXIST);
    assert_int_equal(puppet_register(&a, "desk"), RUSM_EEXIST);
    assert_int_equal(unregister(&b, "desk"), RUSM_EPERM);
    assert_int_equal(puppet_register(&a, "lamp"), RUSM_OK);
    assert_int_equal(unregister(&a, "desk"), RUSM_OK);
    assert_true(whereis(rt, "desk") == 0);
    assert_int_equal(puppet_register(&b, "desk"), RUSM_OK);
    assert_true(whereis(rt, "lamp") == a.pid);
    puppet_end_with(&a, RUSM_EXIT_NORMAL, NULL);
    assert_true(whereis(rt, "lamp") == 0);
    assert_true(whereis(rt, "desk") == b.pid);
}

static void names_have_limits(void **state) {
    (void)state;
    static char text[256];
    static struct puppet a;
    memset(text, 'n', sizeof(text));
    puppet_start(&a, rt);
    assert_int_equal(with_word(&a, register_word, text, 0), RUSM_EINVAL);
    assert_int_equal(with_word(&a, register_word, text, 256), RUSM_EINVAL);
    assert_int_equal(with_word(&a, register_word, NULL, 3), RUSM_EINVAL);
    assert_int_equal(with_word(&a, unregister_word, text, 256), RUSM_EINVAL);
    assert_int_equal(with_word(&a, register_word, text, 255), RUSM_OK);
    assert_true(rusm_name_whereis(rt, text, 255) == a.pid);
    assert_true(rusm_name_whereis(rt, text, 256) == 0);
    assert_true(rusm_name_whereis(rt, text, 254) == 0);
}

/* ---- tags ---- */

static void tags_find_and_kill_members(void **state) {
    enum { MANY = 300 };
    (void)state;
    static struct puppet members[MANY];
    rusm_pid pids[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        puppet_start(&members[i], rt);
        assert_int_equal(puppet_join(&members[i], "crew"), RUSM_OK);
        assert_int_equal(puppet_join(&members[i], "crew"), RUSM_OK); /* one membership */
    }
    assert_int_equal(puppet_join(&members[0], "captain"), RUSM_OK);
    assert_int_equal(rusm_tag_whereis(rt, "crew", 4, pids, MANY), MANY);
    assert_int_equal(rusm_tag_whereis(rt, "crew", 4, NULL, 0), MANY);
    assert_int_equal(rusm_tag_whereis(rt, "nobody", 6, pids, MANY), 0);
    with_word(&members[1], leave_word, "crew", 4);
    with_word(&members[1], leave_word, "crew", 4);
    with_word(&members[1], leave_word, "captain", 7);
    assert_int_equal(rusm_tag_whereis(rt, "crew", 4, pids, MANY), MANY - 1);
    assert_int_equal(rusm_tag_whereis(rt, "captain", 7, pids, MANY), 1);
    assert_true(pids[0] == members[0].pid);
    assert_int_equal(rusm_tag_kill(rt, "crew", 4), MANY - 1);
    WAIT_FOR(rusm_runtime_process_count(rt) == 1);
    assert_true(rusm_pid_is_alive(rt, members[1].pid));
    assert_int_equal(rusm_tag_whereis(rt, "crew", 4, pids, MANY), 0);
    assert_int_equal(rusm_tag_whereis(rt, "captain", 7, pids, MANY), 0);
    assert_int_equal(rusm_tag_kill(rt, "crew", 4), 0);
}

static rusm_step count_words(rusm_proc *self, void *arg) {
    *(uint32_t *)arg = rusm__proc_word_count(self);
    return RUSM_STEP_WAIT;
}

static void words_are_counted(void **state) {
    (void)state;
    static struct puppet a;
    uint32_t count = 9;
    puppet_start(&a, rt);
    puppet_do(&a, count_words, &count);
    assert_int_equal(count, 0);
    puppet_register(&a, "one");
    puppet_join(&a, "two");
    puppet_join(&a, "three");
    puppet_do(&a, count_words, &count);
    assert_int_equal(count, 3);
}

/* ---- label and information ---- */

static rusm_step set_label(rusm_proc *self, void *arg) {
    struct word *word = arg;
    word->status = rusm_proc_set_label(self, word->text, word->len);
    return RUSM_STEP_WAIT;
}

static void info_shows_what_is_there(void **state) {
    (void)state;
    static struct puppet a, b;
    rusm_proc_info *info;
    puppet_start(&a, rt);
    puppet_start(&b, rt);
    assert_int_equal(rusm_pid_info(rt, a.pid, &info), RUSM_OK);
    assert_true(info->pid == a.pid);
    assert_null(info->label);
    assert_int_equal(info->name_count, 0);
    assert_int_equal(info->links + info->monitors + info->mailbox_depth + info->trap_exit, 0);
    rusm_proc_info_free(info);
    assert_int_equal(with_word(&a, set_label, "first", 5), RUSM_OK);
    assert_int_equal(with_word(&a, set_label, "second", 3), RUSM_OK);
    puppet_register(&a, "alpha");
    puppet_register(&a, "beta");
    puppet_join(&a, "a tag is no name");
    puppet_link(&b, a.pid);
    puppet_monitor(&b, a.pid);
    puppet_settle(&a);
    assert_int_equal(rusm_pid_info(rt, a.pid, &info), RUSM_OK);
    assert_string_equal(info->label, "sec");
    assert_int_equal(info->name_count, 2);
    assert_string_equal(info->names[0], "beta"); /* newest first */
    assert_string_equal(info->names[1], "alpha");
    assert_int_equal(info->links, 1);
    assert_int_equal(info->monitors, 1);
    rusm_proc_info_free(info);
    assert_int_equal(with_word(&a, set_label, NULL, 0), RUSM_OK);
    rusm_proc_info_free(NULL);
    assert_int_equal(rusm_pid_info(rt, 123456789, &info), RUSM_ENOPROC);
    assert_null(info);
}

/* Labels and names change under the reader's eyes; what it sees is always one of them, whole. */
static rusm_step change_often(rusm_proc *self, void *body) {
    static const char *const labels[] = {"short", "a considerably longer label", ""};
    unsigned *turn = body;
    const char *label = labels[++*turn % 3];
    char name[16];
    if (rusm_proc_set_label(self, label, strlen(label)) != RUSM_OK) {
        return RUSM_STEP_EXIT;
    }
    int len = snprintf(name, sizeof(name), "n%u", *turn % 7);
    if (rusm_proc_register(self, name, (size_t)len) == RUSM_EEXIST &&
        rusm_proc_unregister(self, name, (size_t)len) != RUSM_OK) {
        return RUSM_STEP_EXIT;
    }
    return RUSM_STEP_AGAIN;
}

static bool is_one_of_them(const char *label) {
    return !label || !*label || strcmp(label, "short") == 0 ||
           strcmp(label, "a considerably longer label") == 0;
}

static void info_is_whole_while_things_change(void **state) {
    static const rusm_body_ops ops = {.name = "changer", .step = change_often};
    static unsigned turn;
    (void)state;
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &turn};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    for (unsigned i = 0; i < 5000; i++) {
        rusm_proc_info *info;
        assert_int_equal(rusm_pid_info(rt, pid, &info), RUSM_OK);
        assert_true(is_one_of_them(info->label));
        assert_true(info->name_count <= 7);
        for (size_t n = 0; n < info->name_count; n++) {
            assert_true(info->names[n][0] == 'n' && strlen(info->names[n]) == 2);
        }
        rusm_proc_info_free(info);
    }
}

static void list_shows_all_the_living(void **state) {
    enum { MANY = 50 };
    (void)state;
    static struct puppet puppets[MANY];
    rusm_pid pids[MANY + 10];
    assert_int_equal(rusm_pid_list(rt, NULL, 0), 0);
    for (unsigned i = 0; i < MANY; i++) {
        puppet_start(&puppets[i], rt);
    }
    assert_int_equal(rusm_pid_list(rt, pids, 10), MANY); /* more than there is room for */
    assert_int_equal(rusm_pid_list(rt, pids, MANY + 10), MANY);
    for (unsigned i = 0; i < MANY; i++) {
        unsigned times = 0;
        for (unsigned k = 0; k < MANY; k++) {
            times += pids[k] == puppets[i].pid;
        }
        assert_int_equal(times, 1);
    }
    puppet_end_with(&puppets[7], RUSM_EXIT_NORMAL, NULL);
    assert_int_equal(rusm_pid_list(rt, NULL, 0), MANY - 1);
}

/* ---- waking without mail ---- */

struct counter {
    _Atomic unsigned steps;
};

static rusm_step count_step(rusm_proc *self, void *body) {
    rusm_msg_free(rusm_proc_receive(self));
    atomic_fetch_add(&((struct counter *)body)->steps, 1);
    return RUSM_STEP_WAIT;
}

static void wake_runs_a_step_each_time(void **state) {
    static const rusm_body_ops ops = {.name = "counter", .step = count_step};
    static struct counter counter;
    (void)state;
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &counter};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    for (unsigned i = 0; i < 3000; i++) { /* one that is lost would leave us waiting */
        unsigned before = atomic_load(&counter.steps);
        assert_true(rusm__proc_wake(rt, pid));
        uint64_t until = rusm_now_ns() + PATIENCE_S * 1000000000ull;
        while (atomic_load(&counter.steps) == before && rusm_now_ns() < until) {
            sched_yield();
        }
        assert_true(atomic_load(&counter.steps) > before);
    }
}

/* ---- the share of a turn ---- */

struct glutton {
    _Atomic unsigned taken;
    _Atomic unsigned turns;
    _Atomic unsigned first_turn;
    _Atomic unsigned when_other_ran; /* what it had taken then */
};

static rusm_step note_taken(rusm_proc *self, void *body) {
    struct glutton *glutton = body;
    (void)self;
    atomic_store(&glutton->when_other_ran, atomic_load(&glutton->taken));
    return RUSM_STEP_EXIT;
}

/* It finds 1,000 messages and says that it waits whenever it is given no more. */
static rusm_step take_all(rusm_proc *self, void *body) {
    static const rusm_body_ops other_ops = {.name = "other", .step = note_taken};
    struct glutton *glutton = body;
    rusm_spawn_options other = {.size = sizeof(other), .ops = &other_ops, .body = body};
    rusm_pid pid;
    rusm_msg *msg;
    if (atomic_fetch_add(&glutton->turns, 1) == 0) {
        assert_int_equal(rusm_proc_spawn(rt, &other, &pid), RUSM_OK);
        for (unsigned i = 0; i < 1000; i++) {
            assert_int_equal(send_text(rt, rusm_proc_pid(self), "one more"), RUSM_OK);
        }
    }
    while ((msg = rusm_proc_receive(self)) != NULL) {
        rusm_msg_free(msg);
        atomic_fetch_add(&glutton->taken, 1);
    }
    if (atomic_load(&glutton->turns) == 1) {
        atomic_store(&glutton->first_turn, atomic_load(&glutton->taken));
    }
    return RUSM_STEP_WAIT;
}

static void a_turn_receives_its_share(void **state) {
    static const rusm_body_ops ops = {.name = "glutton", .step = take_all};
    (void)state;
    struct glutton glutton = {0};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &glutton};
    rusm_pid pid;
    rusm_runtime_stop(rt);
    rt = start_runtime(1);
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&glutton.taken) == 1000); /* nobody wakes it */
    assert_int_equal(atomic_load(&glutton.first_turn), 256);
    assert_int_equal(atomic_load(&glutton.when_other_ran), 256);
    assert_true(rusm_pid_is_alive(rt, pid));
}

/* ---- bad use ---- */

static rusm_step use_badly(rusm_proc *self, void *arg) {
    (void)arg;
    assert_int_equal(rusm_proc_set_label(self, NULL, 5), RUSM_EINVAL);
    assert_int_equal(rusm_proc_set_label(self, NULL, 0), RUSM_OK);
    assert_int_equal(rusm_proc_register(self, NULL, 5), RUSM_EINVAL);
    assert_int_equal(rusm_proc_unregister(self, NULL, 5), RUSM_EINVAL);
    assert_int_equal(rusm_proc_join(self, NULL, 5), RUSM_EINVAL);
    rusm_proc_leave(self, NULL, 5);
    assert_int_equal(rusm_proc_send(self, rusm_proc_pid(self), NULL), RUSM_EINVAL);
    return RUSM_STEP_WAIT;
}

static void no_text_is_no_crash(void **state) {
    (void)state;
    static struct puppet puppet;
    rusm_pid pid;
    rusm_msg *msg;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, use_badly, NULL);
    assert_true(rusm_name_whereis(rt, NULL, 5) == 0);
    assert_true(rusm_tag_whereis(rt, NULL, 5, &pid, 1) == 0);
    assert_true(rusm_tag_kill(rt, NULL, 5) == 0);
    assert_int_equal(rusm_msg_copy(NULL, 5, &msg), RUSM_EINVAL);
    assert_null(msg);
    assert_int_equal(rusm_msg_send(rt, puppet.pid, NULL), RUSM_EINVAL);
    assert_int_equal(rusm_name_send(rt, "x", 1, NULL), RUSM_EINVAL);
    puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);
}

/* ---- sending to names ---- */

static int send_to_name(const char *name, size_t len) {
    rusm_msg *msg = new_msg("for the holder");
    int status = rusm_name_send(rt, name, len, msg);
    if (status != RUSM_OK) {
        rusm_msg_free(msg);
    }
    return status;
}

static void names_can_be_sent_to(void **state) {
    (void)state;
    static struct puppet holder;
    char longest[300];
    memset(longest, 'n', sizeof(longest));
    assert_int_equal(send_to_name("desk", 4), RUSM_ENOPROC);
    puppet_start(&holder, rt);
    assert_int_equal(puppet_register(&holder, "desk"), RUSM_OK);
    assert_int_equal(send_to_name("desk", 4), RUSM_OK);
    struct puppet_mail mail = puppet_wait_mail(&holder, 0);
    assert_string_equal(mail.text, "for the holder");
    assert_true(mail.from == 0);
    assert_int_equal(send_to_name("desk", 3), RUSM_ENOPROC);
    assert_int_equal(send_to_name("desk", 0), RUSM_EINVAL);
    assert_int_equal(send_to_name(NULL, 4), RUSM_EINVAL);
    assert_int_equal(send_to_name(longest, 256), RUSM_EINVAL);
    assert_int_equal(send_to_name(longest, 255), RUSM_ENOPROC);
    puppet_end_with(&holder, RUSM_EXIT_NORMAL, NULL);
    assert_int_equal(send_to_name("desk", 4), RUSM_ENOPROC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(stash_comes_back_oldest_first),
        TEST(stash_does_not_fill_the_mailbox),
        TEST(stash_goes_with_its_process),
        TEST(names_belong_to_their_holder),
        TEST(names_have_limits),
        TEST(tags_find_and_kill_members),
        TEST(words_are_counted),
        TEST(info_shows_what_is_there),
        TEST(info_is_whole_while_things_change),
        TEST(list_shows_all_the_living),
        TEST(wake_runs_a_step_each_time),
        TEST(a_turn_receives_its_share),
        TEST(no_text_is_no_crash),
        TEST(names_can_be_sent_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
