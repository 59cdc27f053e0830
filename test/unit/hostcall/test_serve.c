/* SPDX-License-Identifier: MIT */
/* serve: what its calls answer in a process that has no connection to a client, in both spellings
 * of the contract. */
#include "world.h"

#define SERVE_TYPES                                                                                \
    " (export \"ws-send-text\" (func (param \"payload\" (list u8)) (result bool)))"                \
    " (export \"ws-close\" (func (param \"code\" u16) (param \"reason\" string)))"                 \
    " (export \"sse-send\" (func (param \"data\" (list u8)) (param \"event\" (option string))"     \
    "  (param \"id\" (option string)) (param \"retry\" (option u32)) (result bool)))"

#define LOWER(name)                                                                                \
    "(core func $" name " (canon lower (func $serve \"" name "\")"                                 \
    " (memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))))"

/* `first` is what the import $serve begins with, `statements` what run does. "text" is at 16, bytes
 * that are none at 32. */
#define GUEST(first, statements)                                                                   \
    "(component " first SERVE_TYPES "))" WAT_LIBC LOWER("ws-send-text") LOWER("ws-close")          \
        LOWER("sse-send") "(core module $main"                                                     \
                          " (import \"libc\" \"memory\" (memory 1))"                               \
                          " (import \"host\" \"text\" (func $text (param i32 i32) (result i32)))"  \
                          " (import \"host\" \"close\" (func $close (param i32 i32 i32)))"         \
                          " (import \"host\" \"event\" (func $event (param i32 i32 i32 i32 i32"    \
                          "  i32 i32 i32 i32 i32) (result i32)))"                                  \
                          " (data (i32.const 16) \"text\") (data (i32.const 32) \"\\ff\\fe\")"     \
                          " (func (export \"run\") " statements "))"                               \
                          "(core instance $main (instantiate $main"                                \
                          " (with \"libc\" (instance $libc)) (with \"host\" (instance"             \
                          "  (export \"text\" (func $ws-send-text))"                               \
                          "  (export \"close\" (func $ws-close))"                                  \
                          "  (export \"event\" (func $sse-send))))))"                              \
                          "(func (export \"run\") (canon lift (core func $main \"run\"))))"

#define NEWER "(import \"rusm:runtime/serve@0.1.0\" (instance $serve"
#define OLDER                                                                                      \
    "(import \"rusm:runtime/actor@0.1.0\" (instance $serve"                                        \
    " (export \"own-pid\" (func (result u64)))"

#define TEXT           "(i32.const 16) (i32.const 4)"
#define NO_TEXT        "(i32.const 32) (i32.const 2)"
#define SOME           "(i32.const 1)"
#define NONE           "(i32.const 0) (i32.const 0) (i32.const 0)"
#define IS_FALSE(call) "(if " call " (then unreachable))"

#define ALL                                                                                        \
    IS_FALSE("(call $text " TEXT ")")                                                              \
    IS_FALSE("(call $text (i32.const 32) (i32.const 2))")                                          \
    IS_FALSE("(call $text (i32.const 0) (i32.const 0))")                                           \
    "(call $close (i32.const 65535) " TEXT ") (call $close (i32.const 0) (i32.const 0)"            \
    " (i32.const 0))" IS_FALSE("(call $event " TEXT NONE NONE "(i32.const 0) (i32.const 0))")      \
        IS_FALSE("(call $event " TEXT SOME TEXT SOME TEXT SOME "(i32.const -1))")

static void without_a_connection_nothing_is_sent(void **state) {
    struct world *w = *state;
    static const char *const guests[] = {GUEST(NEWER, ALL), GUEST(OLDER, ALL)};
    for (size_t i = 0; i < 2; i++) {
        struct rusm__component *component = world_load(w, i ? "older" : "newer", guests[i]);
        world_expect_end(w, world_start(w, component), RUSM_EXIT_NORMAL);
    }
}

static void what_is_no_text_ends_the_guest(void **state) {
    struct world *w = *state;
    static const char *const guests[] = {
        GUEST(NEWER, "(call $close (i32.const 1000) " NO_TEXT ")"),
        GUEST(NEWER, "(drop (call $event " TEXT SOME NO_TEXT "(i32.const 0) (i32.const 0)"
                     " (i32.const 0) (i32.const 0) (i32.const 0)))"),
        GUEST(NEWER, "(drop (call $event " TEXT NONE SOME NO_TEXT "(i32.const 0) (i32.const 0)))"),
    };
    for (size_t i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "guest-%zu", i);
        struct rusm__component *component = world_load(w, name, guests[i]);
        world_expect_crash(w, world_start(w, component), "utf-8");
    }
}

static void a_list_that_lies_outside_ends_the_guest(void **state) {
    struct world *w = *state;
    struct rusm__component *component =
        world_load(w, "wild", GUEST(NEWER, "(drop (call $text (i32.const -8) (i32.const 16)))"));
    free(world_down(w, world_start(w, component), RUSM_EXIT_CRASHED));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(without_a_connection_nothing_is_sent),
        world_test(what_is_no_text_ends_the_guest),
        world_test(a_list_that_lies_outside_ends_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
