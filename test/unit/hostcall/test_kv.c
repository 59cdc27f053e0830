/* SPDX-License-Identifier: MIT */
/* kv: the store behind its gate. */
#include "world.h"

#include <ftw.h>

#include "kv/kv.h"

static char folder[] = "/tmp/rusm-test-kv-XXXXXX";
static struct rusm__kv *store;

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static int group_setup(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int group_teardown(void **state) {
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state) {
    struct rusm__kv_error error = {{0}};
    char path[128];
    static int number;
    snprintf(path, sizeof(path), "%s/%d.kv", folder, number++);
    if (rusm__kv_open(path, NULL, &store, &error) < 0)
        fail_msg("%s", error.text);
    *state = world_open(&(struct world_options){.store = store});
    return 0;
}

static int teardown(void **state) {
    world_close(*state);
    rusm__kv_close(store);
    store = NULL;
    return 0;
}

#define kv_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
    assert_int_equal(world_log_count(w, "denied"), 1);
    world_expect_log(w, "kv of bk; to allow it put `allow-storage = true` under "
                        "[capabilities.test]");
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
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
