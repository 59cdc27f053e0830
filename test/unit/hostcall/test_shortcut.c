/* SPDX-License-Identifier: MIT */
/* Shortcuts of the engine: a call is the same on Wasmtime's way, which the first calls of a guest
 * take, and on the short one, which the others do. A bridge looks at what reaches C either way;
 * that there are two ways it sees by how much stack lies below its caller. */
#include "world.h"

#include "rusm/bridge.h"

#define CALLS 8

/* ---- a bridge that keeps its arguments ---- */

static struct {
    unsigned count;
    rusm_value args[CALLS][10];
    uintptr_t frames[CALLS];
} seen;

static void keep(const rusm_value *args, size_t count) {
    assert_true(seen.count < CALLS && count <= 10);
    memset(seen.args[seen.count], 0, sizeof(seen.args[0]));
    for (size_t i = 0; i < count; i++) {
        seen.args[seen.count][i].type = args[i].type;
        seen.args[seen.count][i].as.u = args[i].as.u;
    }
    seen.frames[seen.count++] = (uintptr_t)__builtin_frame_address(0);
}

static int whole(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    (void)call;
    keep(args, 9);
    *answer = rusm_value_signed(RUSM_TYPE_S8, -2);
    return RUSM_OK;
}

static int other(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    (void)call;
    keep(args, 3);
    *answer = rusm_value_f64(-0.0);
    return RUSM_OK;
}

static int last_fails(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    keep(args, 1);
    if (args[0].as.u == CALLS - 1)
        return rusm_bridge_fail(call, "the last one is refused");
    *answer = args[0].as.u == CALLS ? rusm_value_unsigned(RUSM_TYPE_U64, 1) : rusm_value_none();
    return RUSM_OK;
}

static const rusm_bridge_function functions[] = {
    {"whole", "func(a: bool, b: u8, c: s8, d: u16, e: s16, f: u32, g: s32, h: u64, i: s64) -> s8",
     whole, 0, 0},
    {"other", "func(a: f32, b: f64, c: char) -> f64", other, 0, 0},
    {"fail", "func(n: u64)", last_fails, 0, 0},
};

static const rusm_bridge bridge = {sizeof(bridge), "tools", "test:tools/all@0.1.0",
                                   functions,      3,       NULL};

static int open_world(void **state) {
    *state = world_open(&(struct world_options){.bridges = &bridge, .bridge_count = 1});
    ((struct world *)*state)->profile.bridges = 1;
    seen.count = 0;
    return 0;
}

#define bridge_test(name) cmocka_unit_test_setup_teardown(name, open_world, world_teardown)

/* A guest whose core module has the functions of the bridge, and `$i`, which counts its rounds. */
#define GUEST(round)                                                                               \
    "(component (import \"test:tools/all@0.1.0\" (instance $b"                                     \
    " (export \"whole\" (func (param \"a\" bool) (param \"b\" u8) (param \"c\" s8)"                \
    "  (param \"d\" u16) (param \"e\" s16) (param \"f\" u32) (param \"g\" s32) (param \"h\" u64)"  \
    "  (param \"i\" s64) (result s8)))"                                                            \
    " (export \"other\" (func (param \"a\" f32) (param \"b\" f64) (param \"c\" char)"              \
    "  (result f64)))"                                                                             \
    " (export \"fail\" (func (param \"n\" u64)))))"                                                \
    "(core func $whole (canon lower (func $b \"whole\")))"                                         \
    "(core func $other (canon lower (func $b \"other\")))"                                         \
    "(core func $fail (canon lower (func $b \"fail\")))"                                           \
    "(core module $m"                                                                              \
    " (import \"b\" \"whole\""                                                                     \
    "  (func $whole (param i32 i32 i32 i32 i32 i32 i32 i64 i64) (result i32)))"                    \
    " (import \"b\" \"other\" (func $other (param f32 f64 i32) (result f64)))"                     \
    " (import \"b\" \"fail\" (func $fail (param i64)))"                                            \
    " (func (export \"run\") (local $i i32)"                                                       \
    "  (loop $again " round "   (local.set $i (i32.add (local.get $i) (i32.const 1)))"             \
    "   (br_if $again (i32.lt_u (local.get $i) (i32.const 8))))))"                                 \
    "(core instance $m (instantiate $m (with \"b\" (instance (export \"whole\" (func $whole))"     \
    " (export \"other\" (func $other)) (export \"fail\" (func $fail))))))"                         \
    "(func (export \"run\") (canon lift (core func $m \"run\"))))"

static void expect_both_ways_the_same(void) {
    assert_int_equal(seen.count, CALLS);
    for (unsigned i = 1; i < CALLS; i++)
        assert_memory_equal(seen.args[i], seen.args[0], sizeof(seen.args[0]));
    assert_true(seen.frames[CALLS - 1] > seen.frames[0]); /* less stack: the short way */
}

/* What is beyond the width of a type does not count. */
static void numbers_are_the_same_either_way(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_start(
        w, world_load(w, "guest",
                      GUEST("(if (i32.ne (i32.const -2) (call $whole (i32.const 256)"
                            " (i32.const 0x1ff) (i32.const 0x180) (i32.const 0x1ffff)"
                            " (i32.const 0x18000) (i32.const -1) (i32.const -1) (i64.const -1)"
                            " (i64.const -1))) (then unreachable))")));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    expect_both_ways_the_same();
    const rusm_value *args = seen.args[CALLS - 1];
    assert_true(args[0].as.u == 1 && args[1].as.u == 0xff && args[2].as.s == -128);
    assert_true(args[3].as.u == 0xffff && args[4].as.s == -32768 && args[5].as.u == UINT32_MAX);
    assert_true(args[6].as.s == -1 && args[7].as.u == UINT64_MAX && args[8].as.s == -1);
}

static void fractions_and_characters_are_the_same_either_way(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_start(w, world_load(w, "guest",
                                  GUEST("(if (i64.ne (i64.const 0x8000000000000000)"
                                        " (i64.reinterpret_f64 (call $other (f32.const nan:0x1)"
                                        " (f64.const -1e300) (i32.const 0x10ffff))))"
                                        " (then unreachable))")));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    expect_both_ways_the_same();
    assert_int_equal(seen.args[CALLS - 1][2].as.u, 0x10ffff);
}

/* C is asked once for each call, also for the one that it refuses. */
static void a_refusal_on_the_short_way_ends_the_guest_as_on_the_long_one(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_start(
        w, world_load(w, "guest", GUEST("(call $fail (i64.extend_i32_u (local.get $i)))")));
    world_expect_crash(w, pid, "the last one is refused");
    assert_int_equal(seen.count, CALLS);
    assert_true(seen.frames[CALLS - 1] > seen.frames[0]);
}

static void an_answer_of_another_type_is_refused_on_the_short_way(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_start(
        w, world_load(w, "guest",
                      GUEST("(call $fail (i64.mul (i64.const 8)"
                            " (i64.extend_i32_u (i32.eq (local.get $i) (i32.const 5)))))")));
    world_expect_crash(w, pid, "answered `fail` with another type than func(n: u64)");
    assert_int_equal(seen.count, 6);
}

static void no_character_ends_the_guest_before_the_call(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_start(w, world_load(w, "guest",
                                  GUEST("(drop (call $other (f32.const 0) (f64.const 0)"
                                        " (i32.add (i32.const 0xd7fb) (local.get $i))))")));
    world_expect_crash(w, pid, "char");
    assert_int_equal(seen.count, 5);
}

/* ---- send ---- */

/* Numbers from 0 up, each in a message of its own. */
#define SEND_NUMBERS(most)                                                                         \
    "(loop $again (i32.store (i32.const 4096) (local.get $i))"                                     \
    " (call $say (i32.const 4096) (i32.const 4))"                                                  \
    " (local.set $i (i32.add (local.get $i) (i32.const 1)))"                                       \
    " (br_if $again (i32.lt_u (local.get $i) (i32.const " #most "))))"
#define SENDER(statements) RUN("(local $i i32) (call $hello)" SEND_NUMBERS(8) statements)

static void expect_numbers(struct world *w) {
    for (uint32_t i = 0; i < 8; i++)
        world_expect_bytes(w, &i, sizeof(i));
}

/* Also what lies in memory that was not there when the way was found, and at its very end. */
static void messages_are_the_same_either_way(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "guest",
        SENDER("(local.set $i (i32.shl (memory.grow (i32.const 3)) (i32.const 16)))"
               "(local.set $i (i32.sub (i32.add (local.get $i) (i32.const 196608)) (i32.const 2)))"
               "(i32.store16 (local.get $i) (i32.const 0x6968))"
               "(call $say (local.get $i) (i32.const 2))"
               "(call $say (i32.add (local.get $i) (i32.const 2)) (i32.const 0))"));
    expect_numbers(w);
    world_expect(w, "hi");
    world_expect(w, "");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void expect_stray(struct world *w, const char *name, const char *body) {
    rusm_pid pid = world_run(w, name, body);
    expect_numbers(w);
    world_expect_crash(w, pid, "out of bounds");
}

static void bytes_outside_of_the_guest_end_it_on_the_short_way(void **state) {
    struct world *w = *state;
    expect_stray(w, "beyond",
                 SENDER("(call $say (i32.shl (memory.size) (i32.const 16)) (i32.const 1))"));
    expect_stray(w, "across", SENDER("(call $say (i32.const 4096) (i32.const -1))"));
    expect_stray(w, "around", SENDER("(call $say (i32.const -1) (i32.const 2))"));
}

static void the_limit_of_a_message_is_told_on_the_short_way(void **state) {
    struct world *w = *state;
    struct rusm__profile small = w->profile;
    small.max_message_bytes = 100;
    struct rusm__component *component = world_guest_with(
        w, "guest", SENDER("(call $say (i32.const 4096) (i32.const 101))"), &small);
    rusm_pid pid = world_start(w, component);
    expect_numbers(w);
    world_expect_crash(w, pid, "a message of 101 bytes is over the limit of 100");
    world_expect_log(w, "main!say"); /* there is a back-trace */
}

/* Two modules of one guest import the same function, each with a memory of its own. */
static const char two_memories[] =
    "(component (import \"rusm:runtime/actor@0.1.0\" (instance $a"
    " (export \"send\" (func (param \"to\" u64) (param \"message\" (list u8))))"
    " (export \"receive\" (func (result (list u8))))))"
    "(core module $lib (memory (export \"memory\") 1)"
    " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))"
    "(core instance $one (instantiate $lib)) (core instance $two (instantiate $lib))"
    "(core func $send1 (canon lower (func $a \"send\") (memory (core memory $one \"memory\"))))"
    "(core func $send2 (canon lower (func $a \"send\") (memory (core memory $two \"memory\"))))"
    "(core func $receive (canon lower (func $a \"receive\")"
    " (memory (core memory $one \"memory\")) (realloc (core func $one \"realloc\"))))"
    "(core module $m (import \"a\" \"send1\" (func $send1 (param i64 i32 i32)))"
    " (import \"a\" \"send2\" (func $send2 (param i64 i32 i32)))"
    " (import \"a\" \"receive\" (func $receive (param i32)))"
    " (import \"one\" \"memory\" (memory $one 1)) (import \"two\" \"memory\" (memory $two 1))"
    " (data (memory $one) (i32.const 64) \"one\") (data (memory $two) (i32.const 64) \"two\")"
    " (func (export \"run\") (local $i i32) (local $to i64)"
    "  (call $receive (i32.const 16)) (local.set $to (i64.load $one (i32.const 1024)))"
    "  (loop $again"
    "   (call $send1 (local.get $to) (i32.const 64) (i32.const 3))"
    "   (call $send2 (local.get $to) (i32.const 64) (i32.const 3))"
    "   (local.set $i (i32.add (local.get $i) (i32.const 1)))"
    "   (br_if $again (i32.lt_u (local.get $i) (i32.const 6))))))"
    "(core instance $m (instantiate $m (with \"one\" (instance $one)) (with \"two\" (instance "
    "$two))"
    " (with \"a\" (instance (export \"send1\" (func $send1)) (export \"send2\" (func $send2))"
    "  (export \"receive\" (func $receive))))))"
    "(func (export \"run\") (canon lift (core func $m \"run\"))))";

static void each_module_sends_from_its_own_memory(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_start(w, world_load(w, "guest", two_memories));
    for (int i = 0; i < 6; i++) {
        world_expect(w, "one");
        world_expect(w, "two");
    }
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        bridge_test(numbers_are_the_same_either_way),
        bridge_test(fractions_and_characters_are_the_same_either_way),
        bridge_test(a_refusal_on_the_short_way_ends_the_guest_as_on_the_long_one),
        bridge_test(an_answer_of_another_type_is_refused_on_the_short_way),
        bridge_test(no_character_ends_the_guest_before_the_call),
        world_test(messages_are_the_same_either_way),
        world_test(bytes_outside_of_the_guest_end_it_on_the_short_way),
        world_test(the_limit_of_a_message_is_told_on_the_short_way),
        world_test(each_module_sends_from_its_own_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
