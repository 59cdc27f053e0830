/* SPDX-License-Identifier: MIT */
/* kv: the store behind its gate. */
#include "stored.h"

static int setup(void **state) {
    return stored_setup(state, 0);
}

#define kv_test(name) cmocka_unit_test_setup_teardown(name, setup, stored_teardown)

/* Bucket "bk" and key "k1" of the data below. */
#define BUCKET "(i32.const 4096) (i32.const 2)"
#define KEY    "(i32.const 4098) (i32.const 2)"
#define VALUE  "(i32.const 4100) (i32.const 5)"
#define RET    "(i32.const 1024)"
#define NAMES  DATA(4096, "bkk1value")

#define SET    "(call $kv-set " BUCKET KEY VALUE RET ")"
#define GET    "(call $kv-get " BUCKET KEY RET ")"
#define DELETE "(call $kv-delete " BUCKET KEY RET ")"
#define EXISTS "(call $kv-exists " BUCKET KEY RET ")"
#define LIST   "(call $kv-list " BUCKET RET ")"

#define SAY_OK   "(call $say_u32 (i32.load8_u (i32.const 1024)))" /* 0: ok */
#define SAY_BOOL "(call $say_u32 (i32.load8_u (i32.const 1028)))"

static void set_get_exists_list_delete(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)" GET SAY_OK SAY_BOOL EXISTS SAY_BOOL SET SAY_OK GET SAY_BOOL
            "(call $say (i32.load (i32.const 1032)) (i32.load (i32.const 1036)))" EXISTS SAY_BOOL
                LIST SAY_OK "(call $say_u32 (i32.load (i32.const 1032)))"
            "(call $say (i32.load (i32.load (i32.const 1028)))"
            " (i32.load offset=4 (i32.load (i32.const 1028))))" DELETE SAY_BOOL DELETE SAY_BOOL GET
                SAY_OK SAY_BOOL LIST "(call $say_u32 (i32.load (i32.const 1032)))") NAMES);
    world_expect_u64(w, 0); /* get: ok */
    world_expect_u64(w, 0); /* none */
    world_expect_u64(w, 0); /* does not exist */
    world_expect_u64(w, 0); /* set: ok */
    world_expect_u64(w, 1); /* some */
    world_expect(w, "value");
    world_expect_u64(w, 1); /* exists */
    world_expect_u64(w, 0); /* list: ok */
    world_expect_u64(w, 1); /* one key */
    world_expect(w, "k1");
    world_expect_u64(w, 1); /* deleted */
    world_expect_u64(w, 0); /* nothing to delete any more */
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, 0); /* no keys */
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void empty_bucket_key_and_value_are_legal(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)"
            "(call $kv-set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)"
            " (i32.const 0) (i32.const 0) (i32.const 1024))" SAY_OK
            "(call $kv-get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)"
            " (i32.const 1024))" SAY_OK SAY_BOOL "(call $say_u32 (i32.load (i32.const 1036)))"));
    world_expect_u64(w, 0);
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
    world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void without_the_grant_every_call_is_denied(void **state) {
    struct world *w = *state;
    w->profile.storage = false;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)" GET "(call $say_kv_error)" SET
                                 "(call $say_kv_error)" DELETE "(call $say_kv_error)" EXISTS
                                 "(call $say_kv_error)" LIST "(call $say_kv_error)") NAMES);
    for (int i = 0; i < 5; i++)
        world_expect(w, "kv denied: missing the storage capability");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    static const char *const operations[] = {"get", "set", "delete", "exists", "list"};
    for (int i = 0; i < 5; i++) {
        char line[96];
        snprintf(line, sizeof(line), "kv.%s of bk; to allow it put `allow-storage = true` under ",
                 operations[i]);
        assert_int_equal(world_log_count(w, line), 1);
    }
    assert_int_equal(world_log_count(w, "denied"), 5);
}

static void without_a_store_every_call_says_so(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a", RUN("(call $hello)" GET "(call $say_kv_error)" SET "(call $say_kv_error)") NAMES);
    world_expect(w, "kv unavailable: no store configured on this node");
    world_expect(w, "kv unavailable: no store configured on this node");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    /* The gate comes first. */
    w->profile.storage = false;
    world_run(w, "b", RUN("(call $hello)" GET "(call $say_kv_error)") NAMES);
    world_expect(w, "kv denied: missing the storage capability");
}

static void a_key_that_is_too_long_is_an_error(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello) (call $kv-get " BUCKET "(i32.const 8192) (i32.const 508) " RET ")" SAY_OK
            "(call $kv-set " BUCKET "(i32.const 8192) (i32.const 508)" VALUE RET ")" SAY_OK
            "(call $kv-exists (i32.const 8192) (i32.const 60000) " KEY RET ")" SAY_OK
            "(call $say_kv_error)") NAMES);
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
    world_expect_u64(w, 1);
    world_expect(w, "bucket and key have 60002 bytes together, the limit is 509");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* Guests that are killed while their writes are on the way to the disk; the callbacks find nobody
 * and free what is left. The sanitizer builds look at the memory. */
static void writers_may_die_before_their_write_is_durable(void **state) {
    struct world *w = *state;
    struct rusm__component *writer = world_guest(
        w, "writer", RUN("(call $hello) (call $say_u32 (i32.const 1)) (loop" SET "(br 0))") NAMES);
    for (int round = 0; round < 20; round++) {
        rusm_pid pids[4];
        for (int i = 0; i < 4; i++)
            pids[i] = world_start(w, writer);
        for (int i = 0; i < 4; i++)
            world_expect_u64(w, 1);
        for (int i = 0; i < 4; i++)
            assert_true(rusm_pid_kill(w->runtime, pids[i]));
        for (int i = 0; i < 4; i++) {
            rusm_msg *down = world_next(w);
            assert_int_equal(rusm_msg_exit_kind(down), RUSM_EXIT_KILLED);
            rusm_msg_free(down);
        }
    }
}

/* And the node may stop with writes under way. */
static void the_node_may_stop_in_the_middle(void **state) {
    struct world *w = *state;
    struct rusm__component *writer = world_guest(
        w, "writer",
        RUN("(call $hello) (call $say_u32 (i32.const 1)) (loop" SET GET "(br 0))") NAMES);
    for (int i = 0; i < 8; i++) {
        world_start(w, writer);
        world_expect_u64(w, 1);
    }
}

/* Every read leaves the guest's stack; a reader that never stops must not keep others out. */
static void endless_readers_keep_nobody_out(void **state) {
    struct world *w = *state;
    struct rusm__component *reader =
        world_guest(w, "reader", RUN("(call $hello) (loop" GET "(br 0))") NAMES);
    rusm_pid readers[4];
    for (int i = 0; i < 4; i++)
        readers[i] = world_start(w, reader);
    rusm_pid calm = world_run(w, "calm", RUN("(call $hello) (call $say_recv)"));
    world_send_text(w, calm, "hi");
    world_expect(w, "hi");
    world_expect_end(w, calm, RUSM_EXIT_NORMAL);
    for (int i = 0; i < 4; i++)
        assert_true(rusm_pid_kill(w->runtime, readers[i]));
    for (int i = 0; i < 4; i++)
        rusm_msg_free(world_next(w));
}

/* ---- rusm:kv/store ---- */

#define NONE          "(i32.const 0) (i32.const 0) (i32.const 0)"
#define SOME(at, len) "(i32.const 1) (i32.const " #at ") (i32.const " #len ")"
#define NO_TTL        "(i32.const 0) (i64.const 0)"
#define FOR_AN_HOUR   "(i32.const 1) (i64.const 3600000)"

#define SWAP(expected, value, ttl) "(call $kv-swap " BUCKET KEY expected value ttl RET ")"

#define INCREMENT(delta) "(call $kv-increment " BUCKET KEY "(i64.const " #delta ")" RET ")"
#define SET_FOR(ms)      "(call $kv-set-for " BUCKET KEY VALUE "(i64.const " #ms ")" RET ")"
#define SAY_NUMBER       "(call $say_u64 (i64.load (i32.const 1032)))"

#define SAY_VALUE           "(call $say (i32.load (i32.const 1032)) (i32.load (i32.const 1036)))"
#define SAY_INCREMENT_ERROR SAY_VALUE

static void compare_and_set_tells_whether_it_did(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a",
                  RUN("(call $hello)" SWAP(SOME(4100, 5), SOME(4096, 2), NO_TTL)
                          SAY_OK SAY_BOOL SWAP(NONE, SOME(4100, 5), FOR_AN_HOUR)
                              SAY_BOOL SWAP(NONE, SOME(4096, 2), NO_TTL)
                                  SAY_BOOL GET SAY_VALUE SWAP(SOME(4100, 5), NONE, NO_TTL)
                                      SAY_BOOL EXISTS SAY_BOOL) NAMES);
    world_expect_u64(w, 0); /* ok */
    world_expect_u64(w, 0); /* there is no such key */
    world_expect_u64(w, 1);
    world_expect_u64(w, 0); /* there is one */
    world_expect(w, "value");
    world_expect_u64(w, 1); /* removed */
    world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void increment_answers_the_sum(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)" INCREMENT(44) SAY_OK SAY_NUMBER INCREMENT(-2)
                                     SAY_NUMBER GET SAY_VALUE SET INCREMENT(1)
                                         SAY_OK SAY_INCREMENT_ERROR GET SAY_VALUE) NAMES);
    world_expect_u64(w, 0);
    world_expect_u64(w, 44);
    world_expect_u64(w, 42);
    world_expect(w, "42");
    world_expect_u64(w, 1);
    world_expect(w, "kv increment: the value under this key is no number (a 64-bit integer in "
                    "decimal digits); set the key to one, or delete it");
    world_expect(w, "value");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* The two interfaces see the same keys and the same times. */
static void a_time_to_live_holds_for_both_interfaces(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)" SET_FOR(3600000) SAY_OK EXISTS SAY_BOOL SET_FOR(0) SAY_OK
            "(call $say_kv_error)" SET_FOR(1) SAY_OK
            "(loop" EXISTS "(br_if 0 (i32.load8_u (i32.const 1028))))" GET SAY_OK SAY_BOOL LIST
            "(call $say_u32 (i32.load (i32.const 1032)))") NAMES);
    world_expect_u64(w, 0);
    world_expect_u64(w, 1);
    world_expect_u64(w, 1); /* an error */
    world_expect(w, "kv: a time to live of 0 ms; delete the key, or leave the time out");
    world_expect_u64(w, 0);
    world_expect_u64(w, 0); /* get: ok, */
    world_expect_u64(w, 0); /* none */
    world_expect_u64(w, 0); /* an empty list */
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* Two changes at 8192: set "bk"/"k1" to "value" for an hour; delete "bk"/"1v". */
#define AT(bytes) bytes "\\00\\00"
#define CHANGES                                                                                    \
    DATA(8192, AT("\\00\\10") AT("\\02\\00") AT("\\02\\10") AT("\\02\\00") AT("\\01\\00")          \
                   AT("\\04\\10") AT("\\05\\00") AT("\\00\\00") AT("\\01\\00")                     \
                       AT("\\00\\00") "\\80\\ee\\36\\00\\00\\00\\00\\00")                          \
    DATA(8240, AT("\\00\\10") AT("\\02\\00") AT("\\03\\10") AT("\\02\\00") AT("\\00\\00"))
#define BATCH(count) "(call $kv-batch (i32.const 8192) (i32.const " #count ")" RET ")"

static void a_batch_is_one_write(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)"
            "(call $kv-set " BUCKET "(i32.const 4099) (i32.const 2)" VALUE RET ")" BATCH(2)
                SAY_OK GET SAY_VALUE LIST "(call $say_u32 (i32.load (i32.const 1032)))" BATCH(0)
                    SAY_OK BATCH(1025) SAY_OK "(call $say_kv_error)") CHANGES NAMES);
    world_expect_u64(w, 0);
    world_expect(w, "value");
    world_expect_u64(w, 1); /* the other one is gone */
    world_expect_u64(w, 0); /* nothing to do is done */
    world_expect_u64(w, 1);
    world_expect(w, "kv batch too large: 1025 changes, at most 1024 are allowed");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

#define KEYS(after, limit)                                                                         \
    "(call $kv-keys " BUCKET "(i32.const 4098) (i32.const 1)" after "(i32.const " #limit ")" RET ")"
#define SAY_COUNT "(call $say_u32 (i32.load (i32.const 1032)))"
#define SAY_NEXT  "(call $say_u32 (i32.load8_u (i32.const 1036)))"

/* The keys "k1", "k1v" and "k1va", and "1", which does not begin with "k". */
static void keys_come_in_pages(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)" SET "(call $kv-set " BUCKET "(i32.const 4098) (i32.const 3)" VALUE RET
            ")(call $kv-set " BUCKET "(i32.const 4098) (i32.const 4)" VALUE RET
            ")(call $kv-set " BUCKET "(i32.const 4099) (i32.const 1)" VALUE RET ")" KEYS(NONE, 2)
                SAY_OK SAY_COUNT SAY_NEXT
            "(call $say (i32.load (i32.const 1040)) (i32.load (i32.const 1044)))" KEYS(
                "(i32.const 1) (i32.load (i32.const 1040)) (i32.load (i32.const 1044))", 2)
                SAY_COUNT SAY_NEXT "(call $say (i32.load (i32.load (i32.const 1028)))"
                                   " (i32.load offset=4 (i32.load (i32.const 1028))))") NAMES);
    world_expect_u64(w, 0);
    world_expect_u64(w, 2);
    world_expect_u64(w, 1);
    world_expect(w, "k1v");
    world_expect_u64(w, 1);
    world_expect_u64(w, 0);
    world_expect(w, "k1va");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void the_store_interface_has_the_same_gate(void **state) {
    struct world *w = *state;
    w->profile.storage = false;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)" SWAP(NONE, NONE, NO_TTL) "(call $say_kv_error)" INCREMENT(1)
                SAY_INCREMENT_ERROR SET_FOR(1) "(call $say_kv_error)" BATCH(
                    2) "(call $say_kv_error)" KEYS(NONE, 0) "(call $say_kv_error)") CHANGES NAMES);
    for (int i = 0; i < 5; i++)
        world_expect(w, "kv denied: missing the storage capability");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(world_log_count(w, "denied"), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        kv_test(set_get_exists_list_delete),
        kv_test(empty_bucket_key_and_value_are_legal),
        kv_test(without_the_grant_every_call_is_denied),
        world_test(without_a_store_every_call_says_so),
        kv_test(a_key_that_is_too_long_is_an_error),
        kv_test(writers_may_die_before_their_write_is_durable),
        kv_test(the_node_may_stop_in_the_middle),
        kv_test(endless_readers_keep_nobody_out),
        kv_test(compare_and_set_tells_whether_it_did),
        kv_test(increment_answers_the_sum),
        kv_test(a_time_to_live_holds_for_both_interfaces),
        kv_test(a_batch_is_one_write),
        kv_test(keys_come_in_pages),
        kv_test(the_store_interface_has_the_same_gate),
    };
    return cmocka_run_group_tests(tests, stored_group_setup, stored_group_teardown);
}
