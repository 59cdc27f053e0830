/* SPDX-License-Identifier: MIT */
/* What a full mailbox of a guest does, by the policy of its profile. A receiver that does not look
 * into its mailbox is one that looks for the name "go". */
#include "world.h"

#define UNTIL_GO                                                                                   \
    "(loop (call $whereis (i32.const 4096) (i32.const 2) (i32.const 1024))"                        \
    " (br_if 0 (i32.eqz (i32.load8_u (i32.const 1024)))))"
#define GO DATA(4096, "go")

/* Says every message that it gets, once it may. */
#define RECEIVER                                                                                   \
    RUN("(call $hello) (call $say_u32 (i32.const 7))" UNTIL_GO "(loop (call $say_recv) (br 0))") GO

static void say_go(rusm_proc *probe, void *arg) {
    (void)arg;
    assert_int_equal(rusm_proc_register(probe, "go", 2), RUSM_OK);
}

static rusm_pid start_receiver(struct world *w, rusm_mailbox_policy policy, const char *body) {
    static struct rusm__profile profile;
    profile = world_profile("full");
    profile.mailbox_messages = 2;
    profile.mailbox_policy = policy;
    rusm_pid pid = world_start(w, world_guest_with(w, "receiver", body, &profile));
    world_expect_u64(w, 7);
    return pid;
}

/* Sends "0" to "9" to the pid in its second message, then ends. */
#define TEN                                                                                        \
    "(local $n i32) (local $to i64) (call $hello) (call $recv)"                                    \
    "(local.set $to (i64.load (global.get $ptr)))"                                                 \
    "(loop (call $send (local.get $to) (i32.add (i32.const 4096) (local.get $n)) (i32.const 1))"   \
    " (local.set $n (i32.add (local.get $n) (i32.const 1)))"                                       \
    " (br_if 0 (i32.lt_u (local.get $n) (i32.const 10))))"
#define DIGITS DATA(4096, "0123456789")

static rusm_pid start_sender(struct world *w, const char *body, rusm_pid to) {
    rusm_pid pid = world_run(w, "sender", body);
    world_send(w, pid, &to, sizeof(to));
    return pid;
}

static void refuse_drops_counts_and_tells_once(void **state) {
    struct world *w = *state;
    rusm_pid receiver = start_receiver(w, RUSM_MAILBOX_REFUSE, RECEIVER);
    world_expect_end(w, start_sender(w, RUN(TEN) DIGITS, receiver), RUSM_EXIT_NORMAL);
    world_order(w, say_go, NULL);
    world_expect(w, "0");
    world_expect(w, "1");
    assert_int_equal(world_log_count(w, "is dropped: its mailbox is at its limit"), 1);
    rusm_runtime_stats stats = {.size = sizeof(stats)};
    assert_int_equal(rusm_runtime_get_stats(w->runtime, &stats), RUSM_OK);
    assert_int_equal(stats.refused, 8);
}

static void drop_oldest_keeps_the_newest(void **state) {
    struct world *w = *state;
    rusm_pid receiver = start_receiver(w, RUSM_MAILBOX_DROP_OLDEST, RECEIVER);
    world_expect_end(w, start_sender(w, RUN(TEN) DIGITS, receiver), RUSM_EXIT_NORMAL);
    world_order(w, say_go, NULL);
    world_expect(w, "8");
    world_expect(w, "9");
}

static void exit_ends_the_receiver(void **state) {
    struct world *w = *state;
    rusm_pid receiver = start_receiver(w, RUSM_MAILBOX_EXIT, RECEIVER);
    rusm_pid sender = start_sender(w, RUN(TEN) DIGITS, receiver);
    for (int i = 0; i < 2; i++) { /* in either order */
        rusm_msg *down = world_next(w);
        bool full = rusm_msg_from(down) == receiver;
        assert_int_equal(rusm_msg_exit_kind(down), full ? RUSM_EXIT_CRASHED : RUSM_EXIT_NORMAL);
        assert_true(full || rusm_msg_from(down) == sender);
        if (full)
            assert_memory_equal(rusm_msg_data(down), "the mailbox is at its limit of 2 messages",
                                41);
        rusm_msg_free(down);
    }
}

/* All arrive in order, although their sender has nothing more to do. */
static void block_sender_loses_nothing(void **state) {
    struct world *w = *state;
    rusm_pid receiver = start_receiver(w, RUSM_MAILBOX_BLOCK_SENDER, RECEIVER);
    rusm_pid sender = start_sender(w, RUN(TEN) DIGITS, receiver);
    usleep(20000);
    assert_true(rusm_pid_is_alive(w->runtime, sender));
    world_order(w, say_go, NULL);
    char next = '0';
    bool ended = false;
    while (next <= '9' || !ended) {
        rusm_msg *msg = world_next(w);
        if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN) {
            assert_int_equal(rusm_msg_from(msg), sender);
            assert_int_equal(rusm_msg_exit_kind(msg), RUSM_EXIT_NORMAL);
            ended = true;
        } else {
            assert_int_equal(*(const char *)rusm_msg_data(msg), next++);
        }
        rusm_msg_free(msg);
    }
    assert_int_equal(world_log_count(w, "is dropped"), 0);
}

/* What it says to somebody else keeps its place behind what waits. */
static void block_sender_holds_up_what_follows(void **state) {
    struct world *w = *state;
    rusm_pid receiver = start_receiver(w, RUSM_MAILBOX_BLOCK_SENDER, RECEIVER);
    start_sender(w, RUN(TEN "(call $say_u32 (i32.const 9))") DIGITS, receiver);
    usleep(20000);
    pthread_mutex_lock(&w->lock);
    assert_int_equal(w->count, 0);
    pthread_mutex_unlock(&w->lock);
    world_order(w, say_go, NULL);
    char next = '0';
    bool said = false;
    while (next <= '9' || !said) {
        rusm_msg *msg = world_next(w);
        bool data = rusm_msg_get_kind(msg) == RUSM_MSG_DATA;
        if (data && rusm_msg_from(msg) == receiver)
            assert_int_equal(*(const char *)rusm_msg_data(msg), next++);
        else
            said = said || data;
        rusm_msg_free(msg);
    }
}

static void whoever_is_held_up_can_be_ended(void **state) {
    struct world *w = *state;
    rusm_pid receiver = start_receiver(w, RUSM_MAILBOX_BLOCK_SENDER, RECEIVER);
    rusm_pid sender = start_sender(w, RUN(TEN "(loop (br 0))") DIGITS, receiver);
    usleep(20000);
    assert_true(rusm_pid_kill(w->runtime, sender));
    world_expect_end(w, sender, RUSM_EXIT_KILLED);
    w->profile.deadline_ms = 20;
    sender = world_run(w, "late", RUN(TEN "(loop (br 0))") DIGITS);
    world_send(w, sender, &receiver, sizeof(receiver));
    world_expect_crash(w, sender, "deadline: ");
    assert_true(rusm_pid_kill(w->runtime, receiver));
    world_expect_end(w, receiver, RUSM_EXIT_KILLED);
}

/* Its messages to the dead are gone, and it goes on. */
static void a_receiver_that_ends_lets_its_senders_go(void **state) {
    struct world *w = *state;
    rusm_pid receiver = start_receiver(w, RUSM_MAILBOX_BLOCK_SENDER, RECEIVER);
    rusm_pid sender = start_sender(w, RUN(TEN "(call $say_u32 (i32.const 9))") DIGITS, receiver);
    usleep(20000);
    assert_true(rusm_pid_kill(w->runtime, receiver));
    bool said = false, ended = false, killed = false;
    while (!said || !ended || !killed) {
        rusm_msg *msg = world_next(w);
        bool down = rusm_msg_get_kind(msg) == RUSM_MSG_DOWN;
        said = said || !down;
        killed = killed || (down && rusm_msg_from(msg) == receiver);
        ended = ended || (down && rusm_msg_from(msg) == sender);
        rusm_msg_free(msg);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(refuse_drops_counts_and_tells_once),
        world_test(drop_oldest_keeps_the_newest),
        world_test(exit_ends_the_receiver),
        world_test(block_sender_loses_nothing),
        world_test(block_sender_holds_up_what_follows),
        world_test(whoever_is_held_up_can_be_ended),
        world_test(a_receiver_that_ends_lets_its_senders_go),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
