/* SPDX-License-Identifier: MIT */
/* Loading: what a component is, and what is said about one that is none. */
#include "unit/hostcall/world.h"

static int try_load(struct world *w, const void *wasm, size_t len, const char *entry,
                    struct rusm__component **out_component, char out_error[1024]) {
    struct rusm__component_options options = {
        .name = "x", .entry = entry, .profile = &w->profile, .origin = "wasm/x.wasm"};
    struct rusm__buf error;
    rusm__buf_init(&error);
    int code = rusm__component_load(w->sandbox, wasm, len, &options, out_component, &error);
    snprintf(out_error, 1024, "%s", rusm__buf_cstr(&error));
    rusm__buf_fini(&error);
    return code;
}

static void expect_refusal(struct world *w, const char *wat, const char *entry, const char *part) {
    struct rusm__component *component;
    char error[1024];
    assert_int_equal(try_load(w, wat, strlen(wat), entry, &component, error), RUSM_EGUEST);
    assert_null(component);
    assert_non_null(strstr(error, "component `x` (wasm/x.wasm): "));
    if (!strstr(error, part))
        fail_msg("\"%s\" does not say \"%s\"", error, part);
}

static enum rusm__component_kind kind_of(struct world *w, const char *wat, const char *entry) {
    struct rusm__component *component;
    char error[1024];
    if (try_load(w, wat, strlen(wat), entry, &component, error) < 0)
        fail_msg("%s", error);
    assert_string_equal(rusm__component_name(component), "x");
    assert_ptr_equal(rusm__component_profile(component), &w->profile);
    return rusm__component_get_kind(component);
}

#define ACTOR(entry)                                                                               \
    "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))"        \
    "(func (export \"" entry "\") (canon lift (core func $i \"f\"))))"
#define WITH_INSTANCE(name)                                                                        \
    "(component (core module $m (func (export \"f\") (result i32) (i32.const 0)))"                 \
    "(core instance $i (instantiate $m))"                                                          \
    "(func $f (result (result)) (canon lift (core func $i \"f\")))"                                \
    "(instance $e (export \"run\" (func $f))) (export \"" name "\" (instance $e)))"

static void components_are_told_apart_by_exports(void **state) {
    struct world *w = *state;
    assert_int_equal(kind_of(w, ACTOR("run"), NULL), RUSM__COMPONENT_ACTOR);
    assert_int_equal(kind_of(w, ACTOR("other"), "other"), RUSM__COMPONENT_ACTOR);
    assert_int_equal(kind_of(w, WITH_INSTANCE("wasi:cli/run@0.2.3"), NULL),
                     RUSM__COMPONENT_COMMAND);
    assert_int_equal(kind_of(w, WITH_INSTANCE("wasi:http/incoming-handler@0.2.0"), NULL),
                     RUSM__COMPONENT_HTTP);
    assert_int_equal(kind_of(w, "(module (func (export \"run\")))", NULL), RUSM__COMPONENT_ACTOR);
    assert_int_equal(kind_of(w,
                             "(module (memory (export \"memory\") 1)"
                             " (func (export \"_start\")))",
                             NULL),
                     RUSM__COMPONENT_COMMAND);
}

static void a_missing_entry_is_named(void **state) {
    struct world *w = *state;
    expect_refusal(w, ACTOR("other"), NULL,
                   "neither a rusm actor component (entry = \"run\") nor a wasi:cli command: "
                   "component has no `run` export");
    expect_refusal(w, ACTOR("run"), "typo", "component has no `typo` export");
    /* A typing error in `entry` must not run a command's main instead. */
    expect_refusal(w, WITH_INSTANCE("wasi:cli/run@0.2.3"), "typo",
                   "component has no `typo` export");
}

static void what_is_no_wasm_is_refused(void **state) {
    struct world *w = *state;
    struct rusm__component *component;
    char error[1024];
    expect_refusal(w, "", NULL, "");
    expect_refusal(w, "hello", NULL, "");
    expect_refusal(w, "(component", NULL, "");
    static const unsigned char cut[] = {0, 'a', 's', 'm', 0x0d, 0, 1, 0, 1};
    assert_int_equal(try_load(w, cut, sizeof(cut), NULL, &component, error), RUSM_EGUEST);
    assert_int_equal(try_load(w, cut, 3, NULL, &component, error), RUSM_EGUEST);
}

static void an_import_that_is_not_offered_is_named(void **state) {
    struct world *w = *state;
    expect_refusal(w,
                   "(component (import \"no:such/thing@1.0.0\" (instance $x"
                   " (export \"f\" (func)))) (core func $f (canon lower (func $x \"f\")))"
                   "(core module $m (import \"x\" \"f\" (func)) (func (export \"g\")))"
                   "(core instance $i (instantiate $m (with \"x\" (instance"
                   " (export \"f\" (func $f))))))"
                   "(func (export \"run\") (canon lift (core func $i \"g\"))))",
                   NULL, "no:such/thing@1.0.0");
}

static void web_components_are_not_spawned(void **state) {
    struct world *w = *state;
    struct rusm__component *component;
    char error[1024];
    const char *wat = WITH_INSTANCE("wasi:http/incoming-handler@0.2.0");
    assert_int_equal(try_load(w, wat, strlen(wat), NULL, &component, error), RUSM_OK);
    rusm_pid pid;
    struct rusm__component_spawn spawn = {.parent = NULL};
    assert_int_equal(rusm__component_spawn(component, &spawn, &pid), RUSM_ENOTSUP);
    assert_int_equal(rusm__sandbox_live(w->sandbox), 0);
}

static void a_cause_is_new_once(void **state) {
    struct world *w = *state;
    struct rusm__component *component = world_guest(w, "a", RUN(""));
    assert_true(rusm__component_first_time(component, 0));
    assert_false(rusm__component_first_time(component, 0));
    assert_true(rusm__component_first_time(component, 63));
    assert_false(rusm__component_first_time(component, 63));
}

/* ---- profiles ---- */

static void expect_summary(const struct rusm__profile *profile, const char *wanted) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__profile_summary(profile, &text);
    assert_string_equal(rusm__buf_cstr(&text), wanted);
    rusm__buf_fini(&text);
}

static void summaries_name_what_is_granted(void **state) {
    (void)state;
    struct rusm__profile profile = {.max_memory_bytes = 64u << 20};
    expect_summary(&profile, "sandboxed mem=64M");
    profile.env_count = 2;
    profile.preopen_count = 1;
    expect_summary(&profile, "env=2 dir=1 mem=64M");
    profile = (struct rusm__profile){.network = true,
                                     .spawn = true,
                                     .process_control = true,
                                     .stdio = true,
                                     .storage = true,
                                     .max_memory_bytes = 1u << 30};
    expect_summary(&profile, "net spawn storage proc stdio mem=1024M");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(components_are_told_apart_by_exports),
        world_test(a_missing_entry_is_named),
        world_test(what_is_no_wasm_is_refused),
        world_test(an_import_that_is_not_offered_is_named),
        world_test(web_components_are_not_spawned),
        world_test(a_cause_is_new_once),
        cmocka_unit_test(summaries_name_what_is_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
