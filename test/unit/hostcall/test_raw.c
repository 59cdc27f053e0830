/* SPDX-License-Identifier: MIT */
/* The raw ABI of core modules: the functions of the module `rusm`, with numbers that fit and with
 * numbers that do not. */
#include "world.h"

#define IMPORT(name, type) "(import \"rusm\" \"" #name "\" (func $" #name " " type "))"

#define IMPORTS                                                                                    \
    IMPORT(own_pid, "(result i64)")                                                                \
    IMPORT(notify, "")                                                                             \
    IMPORT(send, "(param i64 i32 i32)")                                                            \
    IMPORT(receive, "(param i32 i32) (result i32)")                                                \
    IMPORT(list_processes, "(param i32 i32) (result i32)")                                         \
    IMPORT(is_alive, "(param i64) (result i32)")                                                   \
    IMPORT(kill, "(param i64) (result i32)")                                                       \
    IMPORT(register, "(param i32 i32) (result i32)")                                               \
    IMPORT(unregister, "(param i32 i32) (result i32)")                                             \
    IMPORT(whereis, "(param i32 i32) (result i64)")                                                \
    IMPORT(set_label, "(param i32 i32)")                                                           \
    IMPORT(stream_open, "(param i64) (result i64)")                                                \
    IMPORT(stream_write, "(param i64 i32 i32) (result i32)")                                       \
    IMPORT(stream_close, "(param i64)")                                                            \
    IMPORT(stream_accept, "(result i64)")                                                          \
    IMPORT(stream_read, "(param i64 i32 i32) (result i32)")                                        \
    "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))"

/* $hello receives the pid to report to, $say reports a number, $say32 one of 32 bits. The bytes
 * 0 to 15 are theirs. */
#define FRAME                                                                                      \
    "(func $hello (drop (call $receive (i32.const 0) (i32.const 8))))"                             \
    "(func $say (param i64) (i64.store (i32.const 8) (local.get 0))"                               \
    " (call $send (i64.load (i32.const 0)) (i32.const 8) (i32.const 8)))"                          \
    "(func $say32 (param i32) (call $say (i64.extend_i32_s (local.get 0))))"

#define MODULE(entry, body)                                                                        \
    "(module " IMPORTS "(memory (export \"memory\") 1)"                                            \
    "(data (i32.const 4096) \"name\\ff\\fehello, world\") " FRAME "(func (export \"" entry         \
    "\") " body "))"

#define RAW(body)    MODULE("run", "(call $hello)" body)
#define SAY(value)   "(call $say " value ")"
#define SAY32(value) "(call $say32 " value ")"

static rusm_pid run(struct world *w, const char *name, const char *wat) {
    return world_start(w, world_load(w, name, wat));
}

static void a_module_knows_itself_and_sends(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, "a",
                       RAW(SAY("(call $own_pid)") "(call $send (i64.load (i32.const 0)) "
                                                  "(i32.const 4102) (i32.const 5))"
                                                  "(call $send (i64.load (i32.const 0)) "
                                                  "(i32.const 4102) (i32.const -5))"
                                                  "(call $send (i64.const -1) (i32.const 0) "
                                                  "(i32.const 8))"));
    world_expect_u64(w, pid);
    world_expect(w, "hello");
    world_expect(w, ""); /* a negative length is 0 */
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void receive_tells_the_true_length_and_writes_what_fits(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        run(w, "a",
            RAW("(i32.store (i32.const 64) (i32.const 0x2e2e2e2e))" SAY32(
                "(call $receive (i32.const 64) (i32.const 2))") SAY32("(i32.load (i32.const 64))")
                    SAY32("(call $receive (i32.const 64) (i32.const -1))")
                        SAY32("(call $receive (i32.const 65535) (i32.const 0x7fffffff))")));
    world_send_text(w, pid, "ABCDE");
    world_expect_u64(w, 5);
    world_expect_u64(w, 0x2e2e4241);
    world_send_text(w, pid, "abc");
    world_expect_u64(w, 3);
    world_send_text(w, pid, "z"); /* only what is written has to lie inside */
    world_expect_u64(w, 1);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_receive_can_be_killed(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, "a", RAW(SAY("(i64.const 1)") "(call $hello)"));
    world_expect_u64(w, 1);
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
}

static void names_and_labels(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(
        w, "a",
        RAW(SAY("(call $whereis (i32.const 4096) (i32.const 4))")
                SAY32("(call $register (i32.const 4096) (i32.const 4))")
                    SAY32("(call $register (i32.const 4096) (i32.const 4))")
                        SAY("(call $whereis (i32.const 4096) (i32.const 4))")
                            SAY32("(call $unregister (i32.const 4096) (i32.const 4))")
                                SAY32("(call $unregister (i32.const 4096) (i32.const 4))") SAY32(
                                    "(call $register (i32.const 4096) (i32.const "
                                    "-1))") "(call $set_label (i32.const 4102) "
                                            "(i32.const 5))" SAY("(i64.const 9)") "(call $hello)"));
    world_expect_u64(w, UINT64_MAX);
    world_expect_u64(w, 1);
    world_expect_u64(w, 0);
    world_expect_u64(w, pid);
    world_expect_u64(w, 1);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0); /* no name has 0 bytes */
    world_expect_u64(w, 9);
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(w->runtime, pid, &info), RUSM_OK);
    assert_string_equal(info->label, "hello");
    rusm_proc_info_free(info);
}

#define ABOUT(pid_text) SAY32("(call $is_alive " pid_text ")") SAY32("(call $kill " pid_text ")")

static void other_processes_need_the_capability(void **state) {
    struct world *w = *state;
    struct rusm__profile alone = world_profile("alone");
    alone.process_control = false;
    const char *wat =
        RAW(ABOUT("(i64.load (i32.const 0))") SAY32("(call $is_alive (call $own_pid))")
                SAY32("(call $list_processes (i32.const 64) (i32.const 9))")
                    SAY("(i64.load (i32.const 64))"));
    rusm_pid pid = world_start(w, world_load_with(w, "alone", wat, &alone));
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
    world_expect_u64(w, 1); /* itself */
    world_expect_u64(w, pid);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    world_expect_log(w, "`allow-process-control = true` under [capabilities.alone]");
}

static void with_it_they_are_seen_and_killed(void **state) {
    struct world *w = *state;
    rusm_pid victim = run(w, "victim", RAW(SAY("(call $own_pid)") "(call $hello)"));
    world_expect_u64(w, victim);
    rusm_pid pid =
        run(w, "a",
            RAW("(call $hello)" /* the victim's pid, which is then whom it reports to */
                "(i64.store (i32.const 64) (i64.load (i32.const 0)))"
                "(call $hello)" ABOUT("(i64.load (i32.const 64))")
                    ABOUT("(i64.const 0)") "(i64.store (i32.const 136) (i64.const -1))" SAY32(
                        "(call $list_processes (i32.const 128) (i32.const 1))")
                        SAY("(i64.load (i32.const 136))")));
    world_send(w, pid, &victim, sizeof(victim));
    world_send(w, pid, &w->probe, sizeof(w->probe));
    uint64_t said[6]; /* and two ends in between, whenever they come */
    size_t count = 0, ends = 0;
    while (count + ends < 8) {
        rusm_msg *msg = world_next(w);
        if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN)
            ends++;
        else if (count < 6)
            memcpy(&said[count++], rusm_msg_data(msg), sizeof(said[0]));
        rusm_msg_free(msg);
    }
    assert_int_equal(count, 6);
    assert_int_equal(said[0], 1); /* the victim lived */
    assert_int_equal(said[1], 1); /* and was killed */
    assert_int_equal(said[2], 0);
    assert_int_equal(said[3], 0);
    assert_true(said[4] >= 2); /* more than there was room for */
    assert_int_equal(said[5], UINT64_MAX);
    assert_false(rusm_pid_is_alive(w->runtime, victim));
}

static void streams_go_from_module_to_module(void **state) {
    struct world *w = *state;
    rusm_pid reader = run(
        w, "reader",
        MODULE("run",
               "(local $id i64) (call $hello)(local.set $id (call $stream_accept))"
               "(i32.store (i32.const 64) (i32.const 0x2e2e2e2e))" SAY32(
                   "(call $stream_read (local.get $id) (i32.const 64) (i32.const 2))")
                   SAY32("(i32.load (i32.const 64))")
                       SAY32("(call $stream_read (local.get $id) (i32.const 64) (i32.const 9))")
                           SAY32("(call $stream_read (local.get $id) (i32.const 64) (i32.const 9))")
                               SAY32("(call $stream_read (i64.const -1) (i32.const 64) (i32.const "
                                     "9))")));
    rusm_pid writer = run(
        w, "writer",
        MODULE("run", "(local $id i64) (call $hello) (call $hello)"
                      "(local.set $id (call $stream_open (i64.load (i32.const 0))))"
                      "(drop (call $stream_write (local.get $id) (i32.const 4102) (i32.const 5)))"
                      "(drop (call $stream_write (local.get $id) (i32.const 4102) (i32.const 0)))"
                      "(call $stream_close (local.get $id)) (call $hello)" SAY32(
                          "(call $stream_write (local.get $id) (i32.const 4102) (i32.const 1))")
                          SAY("(call $stream_open (i64.const -2))")));
    world_send(w, writer, &reader, sizeof(reader));
    world_expect_u64(w, 5);
    world_expect_u64(w, 0x2e2e6568);
    world_expect_u64(w, 0);
    world_expect_u64(w, UINT64_MAX); /* the end, sign-extended */
    world_expect_u64(w, UINT64_MAX);
    world_expect_end(w, reader, RUSM_EXIT_NORMAL);
    world_send(w, writer, &w->probe, sizeof(w->probe));
    world_expect_u64(w, UINT64_MAX);
    world_expect_u64(w, UINT64_MAX);
    world_expect_end(w, writer, RUSM_EXIT_NORMAL);
}

static void a_raw_send_carries_no_claims(void **state) {
    struct world *w = *state;
    rusm_context *context;
    rusm_msg *msg;
    rusm_pid pid = run(w, "a",
                       RAW("(drop (call $receive (i32.const 64) (i32.const 8)))"
                           "(call $send (i64.load (i32.const 0)) (i32.const 64) "
                           "(i32.const 2))"));
    assert_int_equal(rusm_context_new("anna", 4, &context), RUSM_OK);
    assert_int_equal(rusm_msg_copy("hi", 2, &msg), RUSM_OK);
    assert_int_equal(rusm_msg_set_context(&msg, context), RUSM_OK);
    rusm_context_unref(context);
    assert_int_equal(rusm_msg_send(w->runtime, pid, msg), RUSM_OK);
    rusm_msg *answer = world_next(w);
    assert_int_equal(rusm_msg_len(answer), 2);
    assert_null(rusm_msg_context(answer));
    rusm_msg_free(answer);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void notes_are_counted(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, "a", RAW("(call $notify) (call $notify) (call $notify)"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(rusm__hostcall_notified(w->hostcall), 3);
}

static void the_exit_status_counts(void **state) {
    struct world *w = *state;
    rusm_pid good = run(w, "good", MODULE("_start", "(call $proc_exit (i32.const 0))"));
    world_expect_end(w, good, RUSM_EXIT_NORMAL);
    rusm_pid bad = run(w, "bad", RAW("(call $proc_exit (i32.const 7))"));
    world_expect_crash(w, bad, "exit status 7");
    static const char *const statuses[] = {"1",   "125", "126", "134",
                                           "255", "256", "-1",  "2147483647"};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        char wat[8192], text[64];
        snprintf(wat, sizeof(wat), MODULE("_start", "(call $proc_exit (i32.const %s))"),
                 statuses[i]);
        snprintf(text, sizeof(text), "exit status %s", statuses[i]);
        char *reason = world_down(w, run(w, statuses[i], wat), RUSM_EXIT_CRASHED);
        assert_string_equal(reason, text);
        free(reason);
    }
}

/* ---- hostile numbers ---- */

static const char *const outside[] = {
    RAW("(call $send (i64.load (i32.const 0)) (i32.const 65535) (i32.const 2))"),
    RAW("(call $send (i64.load (i32.const 0)) (i32.const -1) (i32.const 1))"),
    RAW("(call $send (i64.load (i32.const 0)) (i32.const 1) (i32.const 0x7fffffff))"),
    RAW("(drop (call $register (i32.const 65536) (i32.const 1)))"),
    RAW("(drop (call $unregister (i32.const -4) (i32.const 8)))"),
    RAW("(drop (call $whereis (i32.const 0) (i32.const 65537)))"),
    RAW("(call $set_label (i32.const 0x7fffffff) (i32.const 0x7fffffff))"),
    RAW("(drop (call $list_processes (i32.const 65535) (i32.const 0x7fffffff)))"),
    RAW("(drop (call $stream_write (i64.const 0) (i32.const 65536) (i32.const 1)))"),
};

static void what_lies_outside_of_the_memory_ends_the_guest(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        char name[16];
        snprintf(name, sizeof(name), "out%zu", i);
        world_expect_crash(w, run(w, name, outside[i]), "outside of the memory");
    }
}

static void a_message_is_not_written_beyond_the_memory(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, "a", RAW("(drop (call $receive (i32.const 65535) (i32.const 2)))"));
    world_send_text(w, pid, "two");
    world_expect_crash(w, pid, "2 bytes at 65535 are outside of the memory, which has 65536");
}

static void a_name_is_utf8(void **state) {
    struct world *w = *state;
    static const char *const calls[] = {
        RAW("(drop (call $register (i32.const 4100) (i32.const 1)))"),
        RAW("(drop (call $whereis (i32.const 4096) (i32.const 6)))"),
        RAW("(call $set_label (i32.const 4100) (i32.const 2))"),
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        char name[16];
        snprintf(name, sizeof(name), "utf%zu", i);
        world_expect_crash(w, run(w, name, calls[i]), "not UTF-8");
    }
}

static void a_module_without_a_memory_ends_at_the_first_call_that_needs_one(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, "none",
                       "(module " IMPORTS "(func (export \"run\") (drop (call $own_pid))"
                       " (drop (call $receive (i32.const 0) (i32.const 8)))))");
    world_expect_crash(w, pid, "exports no memory");
    rusm_pid other = run(w, "other",
                         "(module " IMPORTS "(global (export \"memory\") i32 (i32.const 0))"
                         "(func (export \"run\") "
                         "(drop (call $receive (i32.const 0) (i32.const 8)))))");
    world_expect_crash(w, other, "exports no memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(a_module_knows_itself_and_sends),
        world_test(receive_tells_the_true_length_and_writes_what_fits),
        world_test(a_receive_can_be_killed),
        world_test(names_and_labels),
        world_test(other_processes_need_the_capability),
        world_test(with_it_they_are_seen_and_killed),
        world_test(streams_go_from_module_to_module),
        world_test(a_raw_send_carries_no_claims),
        world_test(notes_are_counted),
        world_test(the_exit_status_counts),
        world_test(what_lies_outside_of_the_memory_ends_the_guest),
        world_test(a_message_is_not_written_beyond_the_memory),
        world_test(a_name_is_utf8),
        world_test(a_module_without_a_memory_ends_at_the_first_call_that_needs_one),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
