/* SPDX-License-Identifier: MIT */
/* actor: messages, waiting, the stash. */
#include "world.h"

#include "base/mem.h"
#include "hostcall/hostcall_impl.h"

static void messages_arrive_in_order(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a", RUN("(call $hello) (call $say_recv) (call $say_recv)"));
    world_send_text(w, pid, "m1");
    world_send_text(w, pid, "m2");
    world_expect(w, "m1");
    world_expect(w, "m2");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void an_empty_message_is_a_message(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a", RUN("(call $hello) (call $say_recv)"));
    world_send(w, pid, "", 0);
    world_expect(w, "");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void send_to_the_dead_is_nothing(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $send (i64.const 12345678) (i32.const 0) (i32.const 8))"
                                 "(call $send (i64.const 0) (i32.const 0) (i32.const 8))"
                                 "(call $send (i64.const -1) (i32.const 0) (i32.const 8))"
                                 "(call $say_u32 (i32.const 7))"));
    world_expect_u64(w, 7);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void receive_timeout_waits_and_says_none(void **state) {
    struct world *w = *state;
    uint64_t before = rusm__clock_ns();
    world_run(w, "a", RUN("(call $hello) (call $say_u32 (call $recv_within (i64.const 50)))"));
    world_expect_u64(w, 0);
    assert_true(rusm__clock_ns() - before >= 50 * RUSM__MS);
}

static void receive_timeout_returns_what_comes_in_time(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $say_u32 (i32.const 5))"
                                 "(call $say_u32 (call $recv_within (i64.const 1000000)))"
                                 "(call $say (global.get $ptr) (global.get $len))"));
    world_expect_u64(w, 5);
    world_send_text(w, pid, "soon");
    world_expect_u64(w, 1);
    world_expect(w, "soon");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* Timeouts that cannot be added to the clock must neither fire at once nor overflow. */
static void a_huge_timeout_waits(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $say_u32 (i32.const 5))"
                                 "(call $say_u32 (call $recv_within (i64.const -1)))"));
    world_expect_u64(w, 5);
    world_send_text(w, pid, "x");
    world_expect_u64(w, 1);
}

static void receive_timeout_zero_polls(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $say_u32 (call $recv_within (i64.const 0)))"
                                 "(call $send (call $own-pid) (i32.const 0) (i32.const 3))"
                                 "(call $say_u32 (call $recv_within (i64.const 0)))"
                                 "(call $say_u32 (global.get $len))"));
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
    world_expect_u64(w, 3);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* After a wait that mail ended, the old deadline must not end a later wait. */
static void an_old_deadline_does_not_end_a_later_wait(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $say_u32 (i32.const 5))"
                                 "(drop (call $recv_within (i64.const 40))) (call $say_recv)"));
    world_expect_u64(w, 5);
    world_send_text(w, pid, "one");
    usleep(60000); /* the old deadline passes */
    world_send_text(w, pid, "two");
    rusm_msg *msg = world_next(w);
    /* Whether `one` came before its deadline is up to the machine. */
    assert_true(rusm_msg_len(msg) == 3);
    rusm_msg_free(msg);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* ---- limits ---- */

static void a_message_over_the_limit_traps_the_sender(void **state) {
    struct world *w = *state;
    w->profile.max_message_bytes = 100;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $say (i32.const 0) (i32.const 100))"
                                 "(call $say (i32.const 0) (i32.const 101))"));
    rusm_msg *msg = world_next(w);
    assert_int_equal(rusm_msg_len(msg), 100);
    rusm_msg_free(msg);
    world_expect_crash(w, pid,
                       "a message of 101 bytes is over the limit of 100 "
                       "(`max-message-bytes` under [capabilities.test])");
}

/* Lengths that do not lie in the memory never reach the host. */
static void a_gigabyte_that_is_not_there_traps(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a", RUN("(call $hello) (call $say (i32.const 0) (i32.const 0x40000000))"));
    world_expect_end(w, pid, RUSM_EXIT_CRASHED);
    pid = world_run(w, "b", RUN("(call $hello) (call $say (i32.const 0xfffffff0) (i32.const 32))"));
    world_expect_end(w, pid, RUSM_EXIT_CRASHED);
    pid = world_run(w, "c", RUN("(call $hello) (call $receive (i32.const 0xfffffff0))"));
    world_send_text(w, pid, "x");
    world_expect_end(w, pid, RUSM_EXIT_CRASHED);
}

static void a_full_mailbox_refuses_and_is_told_once(void **state) {
    struct world *w = *state;
    w->profile.mailbox_messages = 4;
    rusm_pid pid =
        world_run(w, "a",
                  RUN("(local $n i32) (call $hello)"
                      "(loop (call $send (call $own-pid) (i32.const 0) (i32.const 1))"
                      " (local.set $n (i32.add (local.get $n) (i32.const 1)))"
                      " (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000))))"
                      "(local.set $n (i32.const 0))"
                      "(block (loop (br_if 1 (i32.eqz (call $recv_within (i64.const 0))))"
                      " (local.set $n (i32.add (local.get $n) (i32.const 1))) (br 0)))"
                      "(call $say_u32 (local.get $n))"));
    world_expect_u64(w, 4);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "its mailbox is at its limit"), 1);
    rusm_runtime_stats stats = {.size = sizeof(stats)};
    assert_int_equal(rusm_runtime_get_stats(w->runtime, &stats), RUSM_OK);
    assert_int_equal(stats.refused, 996);
}

/* ---- stash ---- */

#define STASH   "(call $stash (global.get $ptr) (global.get $len))"
#define UNSTASH "(call $unstash)"

static void stashed_messages_come_back_first_and_in_order(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (call $recv)" STASH "(call $recv)" STASH
                                 "(call $say_recv)" UNSTASH
                                 "(call $say_recv) (call $say_recv) (call $say_recv)"));
    world_send_text(w, pid, "a");
    world_send_text(w, pid, "b");
    world_send_text(w, pid, "c");
    world_send_text(w, pid, "d");
    world_expect(w, "c");
    world_expect(w, "a");
    world_expect(w, "b");
    world_expect(w, "d");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void unstash_with_nothing_does_nothing(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a", RUN("(call $hello)" UNSTASH UNSTASH "(call $say_recv)"));
    world_send_text(w, pid, "x");
    world_expect(w, "x");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void stashed_messages_are_not_seen_before_unstash(void **state) {
    struct world *w = *state;
    world_run(w, "a",
              RUN("(call $hello) (call $stash (i32.const 4096) (i32.const 4))"
                  "(call $say_u32 (call $recv_within (i64.const 0)))" UNSTASH "(call $say_recv)")
                  DATA(4096, "mine"));
    world_expect_u64(w, 0);
    world_expect(w, "mine"); /* bytes that were never received may be stashed, too */
}

static void the_stash_is_bounded(void **state) {
    struct world *w = *state;
    w->profile.mailbox_bytes = 1 << 20;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(loop (call $stash (i32.const 0) (i32.const 1000)) (br 0))"));
    world_expect_crash(w, pid, "the stash holds");
    /* Putting messages back in front does not make room. */
    pid = world_run(w, "b",
                    RUN("(call $hello)"
                        "(loop (call $stash (i32.const 0) (i32.const 1000)) (call $unstash)"
                        " (br 0))"));
    world_expect_crash(w, pid, "(`mailbox-bytes` under [capabilities.test])");
    /* Receiving them does. */
    pid = world_run(w, "c",
                    RUN("(local $n i32) (call $hello)"
                        "(loop (call $stash (i32.const 0) (i32.const 1000)) (call $unstash)"
                        " (call $recv) (local.set $n (i32.add (local.get $n) (i32.const 1)))"
                        " (br_if 0 (i32.lt_u (local.get $n) (i32.const 5000))))"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* The probe receives as a guest does: a death that it watches for, then nothing. */
static void receive_as_a_guest(rusm_proc *probe, void *arg) {
    struct world *w = arg;
    struct rusm__calls calls = {.monitors = 2};
    struct rusm__guest guest = {.proc = probe, .host_data = w->hostcall, .calls = &calls};
    struct rusm__bytes death = {0};
    uint64_t ref;
    assert_int_equal(rusm_proc_monitor(probe, 12345678, &ref), RUSM_OK);
    rusm__mem_fail_nth(1);
    uint32_t answer = rusm__actor_receive_poll(&guest, &death);
    rusm__mem_fail_nth(0);
    assert_int_equal(answer, RUSM__CALL_TRAP);
    assert_string_equal(guest.trap_text, "no memory for the message of a death");
    rusm__mem_free(calls.trap_text);
    assert_int_equal(rusm_proc_monitor(probe, 12345678, &ref), RUSM_OK);
    assert_int_equal(rusm__actor_receive_poll(&guest, &death), RUSM__CALL_OK);
    assert_int_equal(calls.monitors, 1);
    static const char wanted[] = "{\"__down\":\"12345678\",\"reason\":\"noproc\"}";
    assert_int_equal(death.len, sizeof(wanted) - 1);
    assert_memory_equal(death.ptr, wanted, death.len);
    rusm__mem_free(death.owner);
}

static void a_death_without_memory_traps(void **state) {
    world_order(*state, receive_as_a_guest, *state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(messages_arrive_in_order),
        world_test(an_empty_message_is_a_message),
        world_test(send_to_the_dead_is_nothing),
        world_test(receive_timeout_waits_and_says_none),
        world_test(receive_timeout_returns_what_comes_in_time),
        world_test(a_huge_timeout_waits),
        world_test(receive_timeout_zero_polls),
        world_test(an_old_deadline_does_not_end_a_later_wait),
        world_test(a_message_over_the_limit_traps_the_sender),
        world_test(a_gigabyte_that_is_not_there_traps),
        world_test(a_full_mailbox_refuses_and_is_told_once),
        world_test(stashed_messages_come_back_first_and_in_order),
        world_test(unstash_with_nothing_does_nothing),
        world_test(stashed_messages_are_not_seen_before_unstash),
        world_test(the_stash_is_bounded),
        world_test(a_death_without_memory_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
