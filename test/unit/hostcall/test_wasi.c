/* SPDX-License-Identifier: MIT */
/* Preview 1: what it refuses a core module is told once, and nothing else is. Components are tested
 * with the program (test/e2e/test_wasi.py). */
#include "world.h"

#include <sys/stat.h>

#define PERM "63"

/* Functions that trap unless they answer what is expected. The paths: ../secret at 16, new at 32,
 * missing at 48. */
static const char before[] =
    "(module"
    " (import \"wasi_snapshot_preview1\" \"fd_prestat_get\""
    "  (func $prestat (param i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_open\""
    "  (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_create_directory\""
    "  (func $make (param i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_unlink_file\""
    "  (func $unlink (param i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_remove_directory\""
    "  (func $remove (param i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_rename\""
    "  (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_symlink\""
    "  (func $symlink (param i32 i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_link\""
    "  (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_filestat_get\""
    "  (func $stat (param i32 i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_filestat_set_times\""
    "  (func $times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"path_readlink\""
    "  (func $readlink (param i32 i32 i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1)"
    " (data (i32.const 16) \"../secret\") (data (i32.const 32) \"new\")"
    " (data (i32.const 48) \"missing\")"
    " (func $is (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))"
    " (func $open (param i32 i32 i32 i64) (result i32)"
    "  (call $path_open (i32.const 3) (i32.const 0) (local.get 0) (local.get 1) (local.get 2)"
    "   (local.get 3) (i64.const 0) (i32.const 0) (i32.const 256)))"
    " (func (export \"run\") ";

#define OUTSIDE          "(i32.const 16) (i32.const 9)"
#define NEW              "(i32.const 32) (i32.const 3)"
#define MISSING          "(i32.const 48) (i32.const 7)"
#define FOLDER           "(i32.const 3)"
#define READ             "(i64.const 2)"
#define IS(call, number) "(call $is " call " (i32.const " number "))"

struct folder {
    struct rusm__preopen preopen;
    char path[64];
};

static void grant(struct world *w, struct folder *folder, bool read_only) {
    strcpy(folder->path, "/tmp/rusm-wasi-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    folder->preopen = (struct rusm__preopen){folder->path, "/", read_only};
    w->profile.preopens = &folder->preopen;
    w->profile.preopen_count = 1;
}

static struct rusm__component *load(struct world *w, const char *name, const char *body) {
    struct rusm__buf wat;
    rusm__buf_init(&wat);
    rusm__buf_add_str(&wat, before);
    rusm__buf_add_str(&wat, body);
    rusm__buf_add_str(&wat, "))");
    struct rusm__component *component = world_load(w, name, rusm__buf_cstr(&wat));
    rusm__buf_fini(&wat);
    return component;
}

/* Twice, so that what is told twice is seen. */
static void run(struct world *w, const char *body) {
    struct rusm__component *component = load(w, "module", body);
    for (int i = 0; i < 2; i++)
        world_expect_end(w, world_start(w, component), RUSM_EXIT_NORMAL);
}

static void expect_one(struct world *w, const char *line) {
    world_expect_log(w, line);
    assert_int_equal(world_log_count(w, line), 1);
    assert_int_equal(world_log_count(w, "to allow it put"), 1);
}

static void without_a_folder_every_path_is_told_of(void **state) {
    struct world *w = *state;
    run(w, IS("(call $open " NEW " (i32.const 0) " READ ")", "8"));
    expect_one(w, "wasi:filesystem path_open of new; to allow it put `preopen = "
                  "[{ host = \"<folder>\", guest = \"/\" }]` under [capabilities.test]");
}

/* Libraries look for folders whether or not they need one, so that is for the curious only. */
static void asking_for_folders_is_no_refusal(void **state) {
    struct world *w = *state;
    run(w, IS("(call $prestat (i32.const 3) (i32.const 512))", "8")
               IS("(call $prestat (i32.const 4) (i32.const 512))", "8"));
    assert_int_equal(world_log_count(w, "to allow it put"), 0);
    assert_int_equal(world_log_count(w, "wasi:filesystem fd_prestat_get: it has no folders"), 1);
}

/* Each call in turn, so that none is told instead of another. */
static void a_path_that_leads_out_is_told_of(void **state) {
    static const struct {
        const char *name, *call;
    } cases[] = {
        {"path_open", IS("(call $open " OUTSIDE " (i32.const 0) " READ ")", PERM)},
        {"path_create_directory", IS("(call $make " FOLDER OUTSIDE ")", PERM)},
        {"path_unlink_file", IS("(call $unlink " FOLDER OUTSIDE ")", PERM)},
        {"path_remove_directory", IS("(call $remove " FOLDER OUTSIDE ")", PERM)},
        {"path_rename", IS("(call $rename " FOLDER NEW FOLDER OUTSIDE ")", PERM)},
        {"path_link", IS("(call $link " FOLDER "(i32.const 0)" OUTSIDE FOLDER NEW ")", PERM)},
        {"path_symlink", IS("(call $symlink " NEW FOLDER OUTSIDE ")", PERM)},
        {"path_filestat_get",
         IS("(call $stat " FOLDER "(i32.const 0)" OUTSIDE "(i32.const 512))", PERM)},
        {"path_filestat_set_times", IS("(call $times " FOLDER "(i32.const 0)" OUTSIDE
                                       "(i64.const 0) (i64.const 0) (i32.const 0))",
                                       PERM)},
        {"path_readlink",
         IS("(call $readlink " FOLDER OUTSIDE "(i32.const 512) (i32.const 64) (i32.const 600))",
            PERM)},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *w = world_open(&(struct world_options){0});
        struct folder folder;
        char line[128];
        grant(w, &folder, false);
        assert_int_equal(mkdir(strcat(folder.path, "/new"), 0700), 0);
        *strrchr(folder.path, '/') = '\0';
        run(w, cases[i].call);
        snprintf(line, sizeof(line), "wasi:filesystem %s of ../secret; to allow it put `{ host",
                 cases[i].name);
        expect_one(w, line);
        world_close(w);
        assert_int_equal(rmdir(strcat(folder.path, "/new")), 0);
        *strrchr(folder.path, '/') = '\0';
        assert_int_equal(rmdir(folder.path), 0);
    }
}

static void a_change_where_only_reading_is_granted_is_told_of(void **state) {
    struct world *w = *state;
    struct folder folder;
    char line[256];
    grant(w, &folder, true);
    run(w, IS("(call $open " NEW " (i32.const 1) " READ ")", PERM)
               IS("(call $make " FOLDER NEW ")", PERM));
    snprintf(line, sizeof(line),
             "wasi:filesystem path_open of new; to allow it put `preopen = [{ host = \"%s\", guest "
             "= \"/\", read-only = false }]` under [capabilities.test]",
             folder.path);
    expect_one(w, line);
    assert_int_equal(rmdir(folder.path), 0);
}

static void each_path_is_told_of(void **state) {
    struct world *w = *state;
    struct folder folder;
    grant(w, &folder, true);
    run(w, IS("(call $open " NEW " (i32.const 1) " READ ")", PERM)
               IS("(call $make " FOLDER MISSING ")", PERM)
                   IS("(call $remove " FOLDER MISSING ")", PERM)
                       IS("(call $unlink " FOLDER OUTSIDE ")", PERM));
    assert_int_equal(world_log_count(w, "wasi:filesystem path_open of new; to allow it put"), 1);
    assert_int_equal(world_log_count(w, "path_create_directory of missing; to allow it put"), 1);
    assert_int_equal(world_log_count(w, "path_unlink_file of ../secret; to allow it put"), 1);
    assert_int_equal(world_log_count(w, "to allow it put"), 3);
    assert_int_equal(rmdir(folder.path), 0);
}

/* What is there may be used, what is missing is missing: nothing of that is a refusal. */
static void what_is_granted_is_not_told_of(void **state) {
    struct world *w = *state;
    struct folder folder;
    grant(w, &folder, false);
    run(w, IS("(call $prestat (i32.const 3) (i32.const 512))",
              "0") IS("(call $prestat (i32.const 4) (i32.const 512))", "8")
               IS("(call $open " MISSING " (i32.const 0) " READ ")", "44")
                   IS("(call $make " FOLDER NEW ")", "0") IS("(call $make " FOLDER NEW ")", "20")
                       IS("(call $unlink " FOLDER NEW ")", "31")
                           IS("(call $remove " FOLDER NEW ")", "0"));
    assert_int_equal(world_log_count(w, "to allow it put"), 0);
    assert_int_equal(rmdir(folder.path), 0);
}

/* That is an error or the guest's end, never the node's, and nothing of it is told. */
static void a_path_beyond_the_memory_is_not_read(void **state) {
    struct world *w = *state;
    struct folder folder;
    grant(w, &folder, true);
    run(w, "(drop (call $make " FOLDER "(i32.const 16) (i32.const -1)))");
    const char *body = "(drop (call $make " FOLDER "(i32.const 65535) (i32.const 2)))";
    world_expect_crash(w, world_start(w, load(w, "wild", body)), "ointer out of bounds");
    assert_int_equal(world_log_count(w, "to allow it put"), 0);
    assert_int_equal(rmdir(folder.path), 0);
}

/* ---- handles ---- */

/* Opens its folder again and again. */
static void a_module_holds_so_many_handles(void **state) {
    struct world *w = *state;
    struct folder folder;
    grant(w, &folder, true);
    w->profile.max_host_bytes = 2u << 20;
    struct rusm__component *module =
        load(w, "module",
             "(i32.store8 (i32.const 64) (i32.const 46))"
             "(loop (br_if 0 (i32.eqz (call $open (i32.const 64) (i32.const 1) (i32.const 2)"
             " (i64.const 0)))))");
    rusm_pid pid = world_start(w, module);
    world_expect_crash(w, pid,
                       "memory_limit: wanted one more handle of WASI than it may hold, one for "
                       "each 32 KiB of `max-host-mb` under [capabilities.test]");
    assert_int_equal(rmdir(folder.path), 0);
}

/* Headers of requests need no grant; each handle is one, and one is bounded. */
static const char headers_before[] =
    "(component"
    " (import \"wasi:http/types@0.2.0\" (instance $types"
    "  (export \"fields\" (type $fields (sub resource)))"
    "  (type $error (variant (case \"invalid-syntax\") (case \"forbidden\") (case \"immutable\")))"
    "  (export \"header-error\" (type $header-error (eq $error)))"
    "  (export \"[constructor]fields\" (func (result (own $fields))))"
    "  (export \"[method]fields.append\" (func (param \"self\" (borrow $fields))"
    "   (param \"name\" string) (param \"value\" (list u8))"
    "   (result (result (error $header-error)))))))"
    " (core module $libc (memory (export \"memory\") 2)"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $memory))"
    " (alias core export $libc \"realloc\" (core func $realloc))"
    " (core func $new (canon lower (func $types \"[constructor]fields\")))"
    " (core func $append (canon lower (func $types \"[method]fields.append\")"
    "  (memory $memory) (realloc $realloc)))"
    " (core module $main (import \"libc\" \"memory\" (memory 2))"
    "  (import \"host\" \"new\" (func $new (result i32)))"
    "  (import \"host\" \"append\" (func $append (param i32 i32 i32 i32 i32 i32)))"
    "  (func (export \"run\") (local $it i32) ";
static const char headers_after[] =
    "))"
    " (core instance $main (instantiate $main (with \"libc\" (instance $libc))"
    "  (with \"host\" (instance (export \"new\" (func $new)) (export \"append\" (func $append))))))"
    " (func (export \"run\") (canon lift (core func $main \"run\"))))";

static rusm_pid run_headers(struct world *w, const char *name, const char *body) {
    struct rusm__buf wat;
    rusm__buf_init(&wat);
    rusm__buf_add_str(&wat, headers_before);
    rusm__buf_add_str(&wat, body);
    rusm__buf_add_str(&wat, headers_after);
    struct rusm__component *component = world_load(w, name, rusm__buf_cstr(&wat));
    rusm__buf_fini(&wat);
    return world_start(w, component);
}

static void a_component_holds_so_many_handles(void **state) {
    struct world *w = *state;
    w->profile.max_host_bytes = 1u << 20;
    world_expect_crash(w, run_headers(w, "many", "(loop (drop (call $new)) (br 0))"),
                       "memory_limit: wanted one more handle of WASI than it may hold");
}

static void headers_are_no_larger_than_a_handle_may_be(void **state) {
    struct world *w = *state;
    world_expect_crash(w,
                       run_headers(w, "large",
                                   "(i32.store8 (i32.const 0) (i32.const 97))"
                                   "(memory.fill (i32.const 1024) (i32.const 98) (i32.const 40960))"
                                   "(call $append (call $new) (i32.const 0) (i32.const 1)"
                                   " (i32.const 1024) (i32.const 33000) (i32.const 16))"),
                       "total size of fields exceeds limit");
    world_expect_end(w,
                     run_headers(w, "small",
                                 "(i32.store8 (i32.const 0) (i32.const 97))"
                                 "(memory.fill (i32.const 1024) (i32.const 98) (i32.const 40960))"
                                 "(call $append (call $new) (i32.const 0) (i32.const 1)"
                                 " (i32.const 1024) (i32.const 30000) (i32.const 16))"),
                     RUSM_EXIT_NORMAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(a_module_holds_so_many_handles),
        world_test(a_component_holds_so_many_handles),
        world_test(headers_are_no_larger_than_a_handle_may_be),
        world_test(without_a_folder_every_path_is_told_of),
        world_test(asking_for_folders_is_no_refusal),
        cmocka_unit_test(a_path_that_leads_out_is_told_of),
        world_test(a_change_where_only_reading_is_granted_is_told_of),
        world_test(each_path_is_told_of),
        world_test(what_is_granted_is_not_told_of),
        world_test(a_path_beyond_the_memory_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
