/* SPDX-License-Identifier: MIT */
/* Bridges: values of each type there and back, grants, answers that come later, and answers that
 * cannot be. The guests check what they get themselves and trap when it is wrong. */
#include "world.h"

#include "rusm/bridge.h"

#include "hostcall/bridge.h"

/* ---- the bridge ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    rusm_parked *parked;
} later = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};

static int add(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    *(unsigned *)rusm_bridge_data(call) += 1;
    *answer = rusm_value_unsigned(RUSM_TYPE_U32, (uint32_t)(args[0].as.u + args[1].as.u));
    return RUSM_OK;
}

static int shout(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    size_t len = args[0].as.bytes.len;
    const char *in = args[0].as.bytes.data;
    char *out = rusm_bridge_alloc(call, len);
    if (!out || rusm_bridge_alloc(call, len)) /* the second one is refused */
        return RUSM_ENOMEM;
    for (size_t i = 0; i < len; i++)
        out[i] = in[i] >= 'a' && in[i] <= 'z' ? (char)(in[i] - 32) : in[i];
    *answer = rusm_value_bytes(RUSM_TYPE_STRING, out, len);
    return RUSM_OK;
}

static int turn(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    size_t len = args[1].as.bytes.len;
    const unsigned char *in = args[1].as.bytes.data;
    if (args[0].as.u) {
        *answer = rusm_value_error(rusm_value_bytes(RUSM_TYPE_STRING, "no", 2));
        return RUSM_OK;
    }
    unsigned char *out = rusm_bridge_alloc(call, len);
    if (!out)
        return RUSM_ENOMEM;
    for (size_t i = 0; i < len; i++)
        out[i] = in[len - 1 - i];
    *answer = rusm_value_bytes(RUSM_TYPE_BYTES, out, len);
    return RUSM_OK;
}

static int check(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    (void)call;
    *answer = rusm_value_none();
    if (args[0].as.s < 0)
        *answer = rusm_value_error(*answer);
    return RUSM_OK;
}

/* -1 + 255 - 300 + 65535 - 2^40 + 0.5 + 0.25 + 'ä' + true */
static int scalars(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    if (args[0].as.s != -1 || args[1].as.u != 255 || args[2].as.s != -300 ||
        args[3].as.u != 65535 || args[4].as.s != -((int64_t)1 << 40) || args[5].as.f32 != 0.5f ||
        args[6].as.f64 != 0.25 || args[7].as.u != 0xe4 || args[8].as.u != 1)
        return rusm_bridge_fail(call, "an argument is wrong");
    *answer = rusm_value_f64(1.5);
    return RUSM_OK;
}

static int half(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    (void)call;
    *answer = args[0].as.u % 2 == 0
                  ? rusm_value_unsigned(RUSM_TYPE_U16, args[0].as.u / 2)
                  : rusm_value_error(rusm_value_unsigned(RUSM_TYPE_U64, UINT64_MAX));
    return RUSM_OK;
}

static int nothing(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    (void)args;
    assert_true(rusm_bridge_pid(call) != 0);
    assert_non_null(rusm_bridge_runtime(call));
    assert_string_equal(rusm_bridge_component(call), "guest");
    assert_null(rusm_bridge_context(call)); /* it has received nothing */
    *answer = rusm_value_none();
    return RUSM_OK;
}

#define BOTH "99" /* an argument of `later`: it is parked, and answered at once as well */

static int wait_for_test(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    rusm_parked *parked, *second;
    int code = rusm_bridge_park(call, &parked);
    if (code < 0)
        return code;
    assert_int_equal(rusm_bridge_park(call, &second), RUSM_ESTATE);
    pthread_mutex_lock(&later.lock);
    later.parked = parked;
    pthread_cond_signal(&later.changed);
    pthread_mutex_unlock(&later.lock);
    *answer = args[0]; /* nobody looks at it, unless this returns RUSM_OK */
    return args[0].as.u == strtoull(BOTH, NULL, 10) ? RUSM_OK : RUSM_EAGAIN;
}

static int at_once(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    (void)args, (void)answer;
    rusm_parked *parked;
    int code = rusm_bridge_park(call, &parked);
    if (code < 0)
        return code;
    char text[] = "soon";
    rusm_value value = rusm_value_bytes(RUSM_TYPE_STRING, text, 4);
    rusm_parked_answer(parked, &value);
    memset(text, '?', sizeof(text)); /* it has its own copy */
    return RUSM_EAGAIN;
}

/* Each of these is wrong in its own way: the number says which. */
static int wrong(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    rusm_parked *parked;
    switch (args[0].as.u) {
    case 0:
        *answer = rusm_value_unsigned(RUSM_TYPE_U32, 1);
        return RUSM_OK;
    case 1:
        return RUSM_OK; /* nothing where a text was declared */
    case 2:
        *answer = rusm_value_bytes(RUSM_TYPE_STRING, "\xff\xfe", 2);
        return RUSM_OK;
    case 3:
        return RUSM_EAGAIN; /* without having parked */
    case 4:
        return rusm_bridge_fail(call, "the disk is full");
    case 5:
        return rusm_bridge_park(call, &parked); /* not marked */
    default:
        *answer = rusm_value_error(rusm_value_bytes(RUSM_TYPE_STRING, "x", 1));
        return RUSM_OK; /* no result was declared */
    }
}

static const rusm_bridge_function functions[] = {
    {"add", "func(a: u32, b: u32) -> u32", add, 0, 0},
    {"shout", "func(text: string) -> string", shout, 0, 0},
    {"turn", "func(fail: bool, bytes: list<u8>) -> result<list<u8>, string>", turn, 0, 0},
    {"check", "func(n: s32) -> result", check, 0, 0},
    {"scalars",
     "func(a: s8, b: u8, c: s16, d: u16, e: s64, f: f32, g: f64, h: char, i: bool) -> f64", scalars,
     0, 0},
    {"half", "func(n: u16) -> result<u16, u64>", half, 0, 0},
    {"nothing", "func()", nothing, 0, 0},
    {"later", "func(n: u64) -> u64", wait_for_test, RUSM_BRIDGE_MAY_PARK, 0},
    {"too-late", "func(n: u64) -> u64", wait_for_test, RUSM_BRIDGE_MAY_PARK, 50},
    {"at-once", "func() -> string", at_once, RUSM_BRIDGE_MAY_PARK, 0},
    {"wrong", "func(how: u32) -> string", wrong, 0, 0},
};

static unsigned added;

static const rusm_bridge bridge = {sizeof(bridge),
                                   "tools",
                                   "test:tools/all@0.1.0",
                                   functions,
                                   sizeof(functions) / sizeof(functions[0]),
                                   &added};

/* ---- guests ---- */

static const char types[] =
    " (export \"shout\" (func (param \"text\" string) (result string)))"
    " (export \"turn\" (func (param \"fail\" bool) (param \"bytes\" (list u8))"
    "  (result (result (list u8) (error string)))))"
    " (export \"check\" (func (param \"n\" s32) (result (result))))"
    " (export \"scalars\" (func (param \"a\" s8) (param \"b\" u8) (param \"c\" s16)"
    "  (param \"d\" u16) (param \"e\" s64) (param \"f\" f32) (param \"g\" f64)"
    "  (param \"h\" char) (param \"i\" bool) (result f64)))"
    " (export \"half\" (func (param \"n\" u16) (result (result u16 (error u64)))))"
    " (export \"nothing\" (func))"
    " (export \"later\" (func (param \"n\" u64) (result u64)))"
    " (export \"too-late\" (func (param \"n\" u64) (result u64)))"
    " (export \"at-once\" (func (result string)))"
    " (export \"wrong\" (func (param \"how\" u32) (result string)))))";

#define LIBC                                                                                       \
    "(core module $libc (memory (export \"memory\") 1)"                                            \
    " (global $top (mut i32) (i32.const 8192))"                                                    \
    " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32)"                             \
    "  (global.set $top (i32.add (global.get $top) (local.get 3)))"                                \
    "  (i32.sub (global.get $top) (local.get 3))))"                                                \
    "(core instance $libc (instantiate $libc))"

#define LOWER(name)                                                                                \
    "(core func $" name " (canon lower (func $b \"" name "\")"                                     \
    " (memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))))"
#define WITH(name)         "(export \"" name "\" (func $" name "))"
#define IMPORT(name, type) "(import \"b\" \"" name "\" (func $" name " " type "))"

/* It would cut the last string. */
/* clang-format off */
#define ALL(X)                                                                                     \
    X("add") X("shout") X("turn") X("check") X("scalars") X("half") X("nothing") X("later")        \
    X("too-late") X("at-once") X("wrong")
/* clang-format on */

static const char imports[] = IMPORT("shout", "(param i32 i32 i32)")
    IMPORT("turn", "(param i32 i32 i32 i32)") IMPORT("check", "(param i32) (result i32)")
        IMPORT("scalars", "(param i32 i32 i32 i32 i64 f32 f64 i32 i32) (result f64)")
            IMPORT("half", "(param i32 i32)") IMPORT("nothing", "")
                IMPORT("later", "(param i64) (result i64)")
                    IMPORT("too-late", "(param i64) (result i64)") IMPORT("at-once", "(param i32)")
                        IMPORT("wrong", "(param i32 i32)");

/* The type of `add` as a component and as a core module see it. Valid until the next call. */
static const char *guest_of(const char *type, const char *core, const char *body) {
    static char text[16384];
    int len =
        snprintf(text, sizeof(text),
                 "(component (import \"test:tools/all@0.1.0\" (instance $b"
                 " (export \"add\" (func (param \"a\" %s) (param \"b\" %s) (result %s)))%s%s%s"
                 "(core module $m (import \"b\" \"add\" (func $add %s)) %s"
                 "(import \"l\" \"memory\" (memory 1)) (data (i32.const 64) \"h\\c3\\a4llo\")"
                 "(func $must (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))"
                 "(func (export \"run\") %s))"
                 "(core instance $m (instantiate $m (with \"b\" (instance %s)) (with \"l\" "
                 "(instance $libc))))"
                 "(func (export \"run\") (canon lift (core func $m \"run\"))))",
                 type, type, type, types, LIBC, ALL(LOWER), core, imports, body, ALL(WITH));
    assert_true(len > 0 && (size_t)len < sizeof(text));
    return text;
}

#define GUEST_OF(type, core, body) guest_of(type, core, body)
#define GUEST(body)                guest_of("u32", "(param i32 i32) (result i32)", body)
#define MUST(truth)                "(call $must " truth ")"
#define AT(place)                  "(i32.load (i32.const " #place "))"
#define IS(a, b)                   MUST("(i32.eq " a " (i32.const " #b "))")
#define IS64(a, b)                 MUST("(i64.eq " a " (i64.const " #b "))")

static int open_world(void **state) {
    *state = world_open(&(struct world_options){.bridges = &bridge, .bridge_count = 1});
    ((struct world *)*state)->profile.bridges = 1;
    added = 0;
    return 0;
}

static rusm_pid run(struct world *w, const char *wat) {
    return world_start(w, world_load(w, "guest", wat));
}

static rusm_parked *take_parked(void) {
    struct timespec until;
    world_deadline(&until);
    pthread_mutex_lock(&later.lock);
    while (!later.parked)
        assert_int_equal(pthread_cond_timedwait(&later.changed, &later.lock, &until), 0);
    rusm_parked *parked = later.parked;
    later.parked = NULL;
    pthread_mutex_unlock(&later.lock);
    return parked;
}

/* ---- values ---- */

static void numbers_and_nothing_go_there_and_back(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        run(w, GUEST(IS("(call $add (i32.const 40) (i32.const 2))",
                        42) IS("(call $add (i32.const -1) (i32.const 2))", 1)
                         IS("(call $check (i32.const 5))", 0) IS("(call $check (i32.const -5))", 1)
                             MUST("(f64.eq (f64.const 1.5) (call $scalars (i32.const -1)"
                                  " (i32.const 255) (i32.const -300) (i32.const 65535)"
                                  " (i64.const -1099511627776) (f32.const 0.5) (f64.const 0.25)"
                                  " (i32.const 0xe4) (i32.const 1)))") "(call $nothing)"));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    assert_int_equal(added, 2);
}

static void texts_and_bytes_are_copied_once_each_way(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(
        w,
        GUEST("(call $shout (i32.const 64) (i32.const 6) (i32.const 16))" IS(AT(20), 6)
                  IS("(i32.load (i32.load (i32.const 16)))", 0x4ca4c348) IS(
                      "(i32.load16_u offset=4 (i32.load (i32.const 16)))",
                      0x4f4c) "(call $shout (i32.const 64) (i32.const 0) (i32.const 16))" IS(AT(20),
                                                                                             0)));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void results_have_two_sides(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(
        w, GUEST("(call $turn (i32.const 0) (i32.const 64) (i32.const 2) (i32.const 16))" IS(
               "(i32.load8_u (i32.const 16))", 0) IS(AT(24), 2)
                     IS("(i32.load16_u (i32.load (i32.const 20)))",
                        0x68c3) "(call $turn (i32.const 1) (i32.const 64) (i32.const 2)"
                                " (i32.const 16))" IS("(i32.load8_u (i32.const 16))", 1)
                                    IS("(i32.load16_u (i32.load (i32.const 20)))",
                                       0x6f6e) "(call $half (i32.const 8) (i32.const "
                                               "32))" IS("(i32.load8_u (i32.const 32))", 0) IS(
                                                   "(i32.load16_u (i32.const 40))",
                                                   4) "(call $half (i32.const 7) "
                                                      "(i32.const 32))" IS("(i32.load8_u "
                                                                           "(i32.const "
                                                                           "32))",
                                                                           1)
                                                          IS64("(i64.load (i32.const 40))", -1)));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void bytes_outside_of_the_guest_end_it(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, GUEST("(call $turn (i32.const 0) (i32.const 65535) (i32.const 2)"
                                " (i32.const 16))"));
    world_expect_crash(w, pid, "out of bounds");
    pid = world_start(
        w,
        world_load(w, "half", GUEST("(call $shout (i32.const 64) (i32.const 2) (i32.const 16))")));
    world_expect_crash(w, pid, "utf-8"); /* half a character */
}

/* ---- grants ---- */

static void expect_refusal(struct world *w, const char *wat, const char *part) {
    struct rusm__component *component;
    struct rusm__component_options options = {.name = "guest", .profile = &w->profile};
    struct rusm__buf error;
    rusm__buf_init(&error);
    int code = rusm__component_load(w->sandbox, wat, strlen(wat), &options, &component, &error);
    assert_int_equal(code, RUSM_EGUEST);
    if (!strstr(rusm__buf_cstr(&error), part))
        fail_msg("\"%s\" is not in: %s", part, rusm__buf_cstr(&error));
    rusm__buf_fini(&error);
}

static void without_a_grant_a_component_is_not_loaded(void **state) {
    struct world *w = *state;
    w->profile.bridges = 0;
    expect_refusal(w, GUEST(""), "put \"tools\" into `bridges` under [capabilities.test]");
}

static void a_call_looks_at_the_grant_again(void **state) {
    struct world *w = *state;
    struct rusm__component *component =
        world_load(w, "guest", GUEST("(drop (call $add (i32.const 1) (i32.const 1)))"));
    w->profile.bridges = 0;
    world_expect_crash(w, world_start(w, component), "bridge denied: `tools`");
    assert_int_equal(added, 0);
    world_expect_log(w, "test:tools/all@0.1.0");
}

static void other_types_are_refused_when_a_guest_is_loaded(void **state) {
    struct world *w = *state;
    expect_refusal(w, GUEST_OF("s32", "(param i32 i32) (result i32)", ""),
                   "add has another type than this host offers: `func(a: u32, b: u32) -> u32`");
    expect_refusal(w, GUEST_OF("u64", "(param i64 i64) (result i64)", ""), "another type");
}

/* ---- later ---- */

static void an_answer_may_come_later_from_any_thread(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(
        w, GUEST(IS64("(call $later (i64.const 1))", 77) IS64("(call $later (i64.const 1))", 78)));
    for (uint64_t number = 77; number < 79; number++) {
        rusm_parked *parked = take_parked();
        assert_true(rusm_parked_is_wanted(parked));
        world_send_text(w, pid, "mail does not disturb it");
        rusm_value value = rusm_value_unsigned(RUSM_TYPE_U64, number);
        rusm_parked_answer(parked, &value);
    }
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void it_may_come_before_the_function_returns(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, GUEST("(call $at-once (i32.const 16))" IS(AT(20), 4)
                                    IS("(i32.load (i32.load (i32.const 16)))", 0x6e6f6f73)));
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_guest_that_waits_can_be_killed(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, GUEST("(drop (call $later (i64.const 1)))"));
    rusm_parked *parked = take_parked();
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
    assert_false(rusm_parked_is_wanted(parked));
    rusm_value value = rusm_value_unsigned(RUSM_TYPE_U64, 1);
    rusm_parked_answer(parked, &value);
}

static void a_failure_ends_the_guest_with_its_text(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, GUEST("(drop (call $later (i64.const 1)))"));
    rusm_parked_fail(take_parked(), "the line is dead");
    world_expect_crash(w, pid, "the bridge `tools`, `later`: the line is dead");
}

static void who_answers_with_another_type_ends_the_guest(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, GUEST("(drop (call $later (i64.const 1)))"));
    rusm_value value = rusm_value_unsigned(RUSM_TYPE_U32, 1);
    rusm_parked_answer(take_parked(), &value);
    world_expect_crash(w, pid, "with another type than func(n: u64) -> u64");
}

static void who_parks_and_answers_too_is_told_so(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, GUEST("(drop (call $later (i64.const " BOTH ")))"));
    rusm_value value = rusm_value_unsigned(RUSM_TYPE_U64, 1);
    rusm_parked *parked = take_parked();
    world_expect_crash(w, pid, "the bridge `tools`, `later`: it has parked the call and answers");
    assert_false(rusm_parked_is_wanted(parked));
    rusm_parked_answer(parked, &value); /* its maker may do as it promised all the same */
}

static void a_wait_has_an_end(void **state) {
    struct world *w = *state;
    rusm_pid pid = run(w, GUEST("(drop (call $too-late (i64.const 1)))"));
    rusm_parked *parked = take_parked();
    world_expect_crash(w, pid, "no answer within 50 ms");
    rusm_parked_fail(parked, "too late");
}

/* ---- wrong answers ---- */

static void wrong_answers_end_the_guest_and_nobody_else(void **state) {
    struct world *w = *state;
    static const char *const texts[] = {
        "with another type than", "with another type than", "not UTF-8",
        "has not parked",         "the disk is full",       "not supported",
        "with another type than",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char name[16], body[80];
        snprintf(name, sizeof(name), "wrong%zu", i);
        snprintf(body, sizeof(body), "(call $wrong (i32.const %zu) (i32.const 16))", i);
        rusm_pid pid = world_start(w, world_load(w, name, GUEST(body)));
        world_expect_crash(w, pid, texts[i]);
    }
}

static void wrong_declarations_are_named(void **state) {
    (void)state;
    static const rusm_bridge_function good = {"f", "func()", nothing, 0, 0};
    static const rusm_bridge_function bad = {"f", "func(a: i32)", nothing, 0, 0};
    static const rusm_bridge_function twice[] = {{"f", "func()", nothing, 0, 0},
                                                 {"f", "func()", nothing, 0, 0}};
    const size_t size = sizeof(rusm_bridge);
    const struct {
        rusm_bridge bridges[2];
        size_t count;
        const char *text;
    } cases[] = {
        {{{size, "a", "x:y/z", &good, 1, NULL}}, 65, "65 bridges"},
        {{{0, "a", "x:y/z", &good, 1, NULL}}, 1, "sizeof(rusm_bridge)"},
        {{{size, "", "x:y/z", &good, 1, NULL}}, 1, "a name"},
        {{{size, "a", "z", &good, 1, NULL}}, 1, "no interface of WIT"},
        {{{size, "a", "wasi:io/poll@0.2.0", &good, 1, NULL}}, 1, "of this library"},
        {{{size, "a", "rusm:runtime/actor@0.1.0", &good, 1, NULL}}, 1, "of this library"},
        {{{size, "a", "rusm:kv/store@0.1.0", &good, 1, NULL}}, 1, "of this library"},
        {{{size, "a", "x:y/z", &good, 0, NULL}}, 1, "functions are needed"},
        {{{size, "a", "x:y/z", &bad, 1, NULL}}, 1, "the type of `f`, at `i32)`"},
        {{{size, "a", "x:y/z", twice, 2, NULL}}, 1, "`f` is declared twice"},
        {{{size, "a", "x:y/z", &good, 1, NULL}, {size, "b", "x:y/z", &good, 1, NULL}},
         2,
         "declared twice"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rusm__bridges bridges;
        struct rusm__buf error;
        rusm__buf_init(&error);
        assert_int_equal(rusm__bridges_init(&bridges, cases[i].bridges, cases[i].count, &error),
                         RUSM_EINVAL);
        if (!strstr(rusm__buf_cstr(&error), cases[i].text))
            fail_msg("\"%s\" is not in: %s", cases[i].text, rusm__buf_cstr(&error));
        rusm__buf_fini(&error);
    }
}

#define bridge_test(name) cmocka_unit_test_setup_teardown(name, open_world, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        bridge_test(numbers_and_nothing_go_there_and_back),
        bridge_test(texts_and_bytes_are_copied_once_each_way),
        bridge_test(results_have_two_sides),
        bridge_test(bytes_outside_of_the_guest_end_it),
        bridge_test(without_a_grant_a_component_is_not_loaded),
        bridge_test(a_call_looks_at_the_grant_again),
        bridge_test(other_types_are_refused_when_a_guest_is_loaded),
        bridge_test(an_answer_may_come_later_from_any_thread),
        bridge_test(it_may_come_before_the_function_returns),
        bridge_test(a_guest_that_waits_can_be_killed),
        bridge_test(a_failure_ends_the_guest_with_its_text),
        bridge_test(who_answers_with_another_type_ends_the_guest),
        bridge_test(who_parks_and_answers_too_is_told_so),
        bridge_test(a_wait_has_an_end),
        bridge_test(wrong_answers_end_the_guest_and_nobody_else),
        cmocka_unit_test(wrong_declarations_are_named),
    };
    world_silence();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
