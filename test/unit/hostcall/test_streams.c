/* SPDX-License-Identifier: MIT */
/* streams: what guests make of byte streams. The streams themselves are tested in unit/stream. */
#include "world.h"

#define WORDS     DATA(4096, "onethree")
#define ONE       "(i32.const 4096) (i32.const 3)"
#define THREE     "(i32.const 4099) (i32.const 5)"
#define NOTHING   "(i32.const 4096) (i32.const 0)"
#define WRITE(s)  "(call $stream-write (i64.const 0) " s ")"
#define SAY(what) "(call $say_u32 " what ")"
#define READ      SAY("(call $read (i64.const 0))")
#define READ_SAY  READ "(call $say (global.get $ptr) (global.get $len))"
/* Opens a stream to the process whose pid the second message holds. */
#define OPEN   "(call $hello) (call $recv) " SAY("(call $open (i64.load (global.get $ptr)))")
#define ACCEPT "(call $hello) (call $say_u64 (call $stream-accept))"

static void tell_pid(struct world *w, rusm_pid pid, rusm_pid about) {
    world_send(w, pid, &about, sizeof(about));
}

static void chunks_keep_their_boundaries(void **state) {
    struct world *w = *state;
    rusm_pid reader =
        world_run(w, "reader", RUN(ACCEPT READ_SAY READ_SAY READ_SAY READ READ "(call $recv)"));
    rusm_pid writer =
        world_run(w, "writer",
                  RUN(OPEN "(call $say_u64 " ID ")" SAY(WRITE(ONE)) SAY(WRITE(NOTHING)) SAY(
                      WRITE(THREE)) "(call $stream-close (i64.const 0))" SAY(WRITE(ONE))) WORDS);
    tell_pid(w, writer, reader);
    uint64_t from_writer[] = {1, 0, 1, 1, 1, 0};
    const char *from_reader[] = {"\0\0\0\0\0\0\0", "\1", "one", "\1", "", "\1",
                                 "three",          "\0", "\0"};
    size_t lengths[] = {8, 8, 3, 8, 0, 8, 5, 8, 8};
    size_t written = 0, read = 0;
    bool ended = false;
    while (written < 6 || read < 9 || !ended) {
        rusm_msg *msg = world_next(w);
        if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN) {
            assert_int_equal(rusm_msg_from(msg), writer);
            ended = true;
        } else if (rusm_msg_from(msg) == writer) {
            assert_memory_equal(rusm_msg_data(msg), &from_writer[written], 8);
            written++;
        } else {
            assert_int_equal(rusm_msg_len(msg), lengths[read]);
            size_t known = strlen(from_reader[read]);
            assert_memory_equal(rusm_msg_data(msg), from_reader[read], known);
            read++;
        }
        rusm_msg_free(msg);
    }
}

static void the_seventeenth_chunk_waits(void **state) {
    struct world *w = *state;
    rusm_pid reader = world_run(
        w, "reader", RUN(ACCEPT "(call $recv)" SAY("(i32.const 99)") READ "(call $recv)"));
    rusm_pid writer = world_run(
        w, "writer",
        "(func (export \"run\") (local $i i32)" OPEN "(loop $more (drop " WRITE(
            ONE) ")"
                 "(local.set $i (i32.add (local.get $i) (i32.const 1)))"
                 "(br_if $more (i32.lt_u (local.get $i) (i32.const 16))))" SAY("(local.get $i)")
                     SAY(WRITE(ONE)) "(call $recv))" WORDS); /* its end would come in between */
    tell_pid(w, writer, reader);
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) { /* opened: 1; accepted: 0; 16 written */
        rusm_msg *msg = world_next(w);
        sum += rusm_msg_data(msg)[0];
        rusm_msg_free(msg);
    }
    assert_int_equal(sum, 17);
    world_send_text(w, reader, "read");
    world_expect_u64(w, 99); /* only then there is room */
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
}

static void a_reader_that_ends_lets_writes_fail(void **state) {
    struct world *w = *state;
    rusm_pid reader = world_run(w, "reader", RUN(ACCEPT));
    rusm_pid writer =
        world_run(w, "writer", RUN(OPEN "(call $recv)" SAY(WRITE(ONE)) SAY(WRITE(ONE))) WORDS);
    tell_pid(w, writer, reader);
    for (int i = 0; i < 3; i++)
        rusm_msg_free(world_next(w)); /* opened, accepted, the reader's end: in some order */
    world_send_text(w, writer, "write");
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_end(w, writer, RUSM_EXIT_NORMAL);
}

static void a_crash_leaves_what_was_written(void **state) {
    struct world *w = *state;
    rusm_pid writer = world_run(
        w, "writer", RUN(OPEN "(drop " WRITE(ONE) ") (drop " WRITE(THREE) ") unreachable") WORDS);
    rusm_pid reader = world_run(
        w, "reader",
        RUN("(call $hello) (call $recv) (drop (call $stream-accept))" READ_SAY READ_SAY READ));
    tell_pid(w, writer, reader);
    world_expect_u64(w, 1);
    world_expect_crash(w, writer, "unreachable");
    world_send_text(w, reader, "read");
    world_expect_u64(w, 1);
    world_expect(w, "one");
    world_expect_u64(w, 1);
    world_expect(w, "three");
    world_expect_u64(w, 0);
    world_expect_end(w, reader, RUSM_EXIT_NORMAL);
}

static void what_is_no_stream_does_nothing(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)" SAY(WRITE(ONE))
                READ SAY("(call $read (i64.const -1))") "(call $stream-close (i64.const 7))" SAY(
                    "(call $open "
                    "(i64.const "
                    "12345678))") SAY("(call $open (i64.const 0))")) WORDS);
    for (int i = 0; i < 5; i++)
        world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* Ends are of one kind: what is written to cannot be read, and closing is the writer's. */
static void ids_count_both_kinds_and_ends_are_of_one_kind(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)" SAY(
            "(call $open (call $own-pid))") "(call $say_u64 " ID ")"
                                            "(call $say_u64 (call "
                                            "$stream-accept))" SAY(
                                                "(call "
                                                "$open "
                                                "(call "
                                                "$own-"
                                                "pid))") "(call $say_u64 " ID
                                                         ")" SAY("(call $read (i64.const "
                                                                 "0))")
                                                             SAY("(call $stream-write "
                                                                 "(i64.const 1) " ONE
                                                                 ")") "(call "
                                                                      "$stream-close "
                                                                      "(i64.const "
                                                                      "1))" SAY(WRITE(ONE))
                                                                          SAY("(call "
                                                                              "$read "
                                                                              "(i64."
                                                                              "const "
                                                                              "1))") "(c"
                                                                                     "al"
                                                                                     "l "
                                                                                     "$s"
                                                                                     "ay"
                                                                                     " ("
                                                                                     "gl"
                                                                                     "ob"
                                                                                     "al"
                                                                                     ".g"
                                                                                     "et"
                                                                                     " $"
                                                                                     "pt"
                                                                                     "r)"
                                                                                     " ("
                                                                                     "gl"
                                                                                     "ob"
                                                                                     "al"
                                                                                     ".g"
                                                                                     "et"
                                                                                     " $"
                                                                                     "le"
                                                                                     "n)"
                                                                                     ")") WORDS);
    uint64_t expected[] = {1, 0, 1, 1, 2, 0, 0, 1, 1};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        world_expect_u64(w, expected[i]);
    world_expect(w, "one");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* Neither waiting for mail nor waiting for a stream loses the other. */
static void mail_and_streams_do_not_lose_each_other(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello) (drop (call $open (call $own-pid)))"
            "(call $send (call $own-pid) " ONE ")"
            "(drop (call $open (call $own-pid)))"
            "(call $send (call $own-pid) " THREE ")"
            "(call $say_u64 (call $stream-accept)) (call $say_recv)" SAY(
                "(call $recv_within (i64.const 0))") "(call $say (global.get $ptr) (global.get "
                                                     "$len))" SAY("(call $recv_within (i64.const "
                                                                  "20))") "(call $say_u64 (call "
                                                                          "$stream-accept))")
            WORDS);
    world_expect_u64(w, 2);
    world_expect(w, "one");
    world_expect_u64(w, 1);
    world_expect(w, "three");
    world_expect_u64(w, 0);
    world_expect_u64(w, 3);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* The receiver's setting is no mistake of the one who opens. */
static void a_mailbox_that_is_too_small_for_an_offer_refuses_it(void **state) {
    struct world *w = *state;
    w->profile.mailbox_bytes = 1000;
    rusm_pid pid = world_run(w, "a", RUN("(call $hello)" SAY("(call $open (call $own-pid))")));
    world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    world_expect_log(w, "a stream to #");
}

static void too_many_ends_trap(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello) (loop $more (br_if $more "
                                 "(call $open (call $own-pid))))"));
    world_expect_crash(w, pid, "16 ends of streams are open, the limit of `max-streams`");
}

/* Ids of closed ends are not used again, and their places are. */
static void ends_can_be_opened_and_closed_for_ever(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             "(func (export \"run\") (local $i i64) (call $hello) (loop $more"
                             "(if (i32.eqz (call $open (call $own-pid))) (then unreachable))"
                             "(if (i64.ne (local.get $i) " ID ") (then unreachable))"
                             "(call $stream-close (local.get $i))"
                             "(local.set $i (i64.add (local.get $i) (i64.const 1)))"
                             "(if (i64.ne (local.get $i) (call $stream-accept)) (then unreachable))"
                             "(if (call $read (local.get $i)) (then unreachable))"
                             "(local.set $i (i64.add (local.get $i) (i64.const 1)))"
                             "(br_if $more (i64.lt_u (local.get $i) (i64.const 1000))))"
                             "(call $say_u64 (local.get $i)))");
    world_expect_u64(w, 1000);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_chunk_over_the_limit_traps(void **state) {
    struct world *w = *state;
    w->profile.max_message_bytes = 100;
    rusm_pid pid =
        world_run(w, "a",
                  RUN("(call $hello)" SAY("(call $open (call $own-pid))")
                          SAY("(call $stream-write (i64.const 0) (i32.const 0) (i32.const 100))")
                              SAY("(call $stream-write (i64.const 0) (i32.const 0) (i32.const "
                                  "101))")));
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
    world_expect_crash(w, pid, "a chunk of 101 bytes is over the limit of 100");
}

#define MIB_TO(id) "(call $stream-write (i64.const " id ") (i32.const 0) (i32.const 1048576))"

static void large_chunks_are_bounded_together(void **state) {
    struct world *w = *state;
    w->profile.mailbox_bytes = 3 << 19;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello) (drop (memory.grow (i32.const 16)))" SAY("(call $open (call $own-pid))")
                SAY(MIB_TO("0")) SAY("(call $open (call $own-pid))") SAY(MIB_TO("1"))));
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
    world_expect_crash(w, pid, "`mailbox-bytes` under [capabilities.test]");
}

static void whoever_waits_can_be_killed(void **state) {
    static const char *const waits[] = {
        "(drop (call $stream-accept))",
        "(drop (call $open (call $own-pid))) (drop (call $read (call $stream-accept)))",
        "(drop (call $open (call $own-pid)))"
        "(loop $more (br_if $more " WRITE(ONE) "))",
    };
    struct world *w = *state;
    for (size_t i = 0; i < 3; i++) {
        char body[512], name[8];
        snprintf(name, sizeof(name), "w%zu", i);
        snprintf(body, sizeof(body),
                 "(func (export \"run\") (call $hello) (call $say_u64 (i64.const 5)) %s)",
                 waits[i]);
        rusm_pid pid = world_run(w, name, body);
        world_expect_u64(w, 5);
        assert_true(rusm_pid_kill(w->runtime, pid));
        world_expect_end(w, pid, RUSM_EXIT_KILLED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(chunks_keep_their_boundaries),
        world_test(the_seventeenth_chunk_waits),
        world_test(a_reader_that_ends_lets_writes_fail),
        world_test(a_crash_leaves_what_was_written),
        world_test(what_is_no_stream_does_nothing),
        world_test(ids_count_both_kinds_and_ends_are_of_one_kind),
        world_test(mail_and_streams_do_not_lose_each_other),
        world_test(a_mailbox_that_is_too_small_for_an_offer_refuses_it),
        world_test(too_many_ends_trap),
        world_test(ends_can_be_opened_and_closed_for_ever),
        world_test(a_chunk_over_the_limit_traps),
        world_test(large_chunks_are_bounded_together),
        world_test(whoever_waits_can_be_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
