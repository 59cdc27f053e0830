/* SPDX-License-Identifier: MIT */
/* Guests: how they end, what they may take, and what hostile ones can do (nothing to others). */
#include "sandbox/sandbox_impl.h"
#include "unit/hostcall/world.h"

#include "base/mem.h"

/* ---- ends ---- */

static void a_trap_is_a_crash_with_its_cause(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "boom", RUN("(call $hello) unreachable"));
    world_expect_crash(w, pid, "unreachable");
    world_expect_log(w, "exit   boom#");
    world_expect_log(w, "crashed: ");
    world_expect_log(w, "trace  boom#");
}

static void a_division_by_zero_names_itself(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello) (drop (i32.div_u (i32.const 1) (global.get $len)))") "(func $unused)");
    /* hello leaves 8 in $len; a second run with an empty message divides by zero */
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    pid = world_run(w, "b",
                    RUN("(call $recv) (call $recv)"
                        "(drop (i32.div_u (i32.const 1) (global.get $len)))"));
    world_send(w, pid, "", 0);
    world_expect_crash(w, pid, "divide by zero");
}

static void a_wild_pointer_is_a_crash(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(w, "a", RUN("(call $hello) (drop (i32.load (i32.const -8)))"));
    world_expect_crash(w, pid, "out of bounds");
}

static void deep_recursion_is_a_crash(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a", "(func $f (call $f) (call $f))" RUN("(call $hello) (call $f)"));
    world_expect_crash(w, pid, "stack");
    /* The same again and again: stacks come back clean. */
    struct rusm__component *deep =
        world_guest(w, "deep", "(func $f (call $f) (call $f))" RUN("(call $hello) (call $f)"));
    for (int i = 0; i < 100; i++)
        world_expect_crash(w, world_start(w, deep), "stack");
}

/* As deep as it gets, then each kind of host call: there must be stack left for the host. */
static void host_calls_at_the_bottom_of_the_stack(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        /* Recurse until about nothing is left is not expressible; so go down by halves: the deepest
         * level that does not trap is found by the trap itself. */
        "(global $depth (mut i32) (i32.const 0))"
        "(func $calls"
        " (call $log (i32.const 3) (i32.const 4096) (i32.const 4000))"
        " (drop (call $register (i32.const 4096) (i32.const 200)))"
        " (drop (call $unregister (i32.const 4096) (i32.const 200)))"
        " (call $spawn (i32.const 4096) (i32.const 200) (i32.const 1024))"
        " (call $kv-get (i32.const 4096) (i32.const 1) (i32.const 4096) (i32.const 1)"
        "  (i32.const 1024))"
        " (call $info (call $own-pid) (i32.const 1024))"
        " (call $list-processes (i32.const 1024))"
        " (drop (call $send-after (call $own-pid) (i64.const 0) (i32.const 0) (i32.const 9)))"
        " (drop (call $recv_within (i64.const 1)))"
        " (drop (call $kill-tag (i32.const 4096) (i32.const 3)))"
        " (call $send (call $own-pid) (i32.const 0) (i32.const 9)))"
        "(func $down (param i32)"
        " (call $calls)"
        " (global.set $depth (local.get 0))"
        " (call $down (i32.add (local.get 0) (i32.const 1)))"
        " (call $calls))" /* so that the call above is not the last thing it does */
        RUN("(call $hello) (call $down (i32.const 0))"));
    /* It made every call at every depth, and died of its own stack, not of ours. */
    world_expect_crash(w, pid, "stack");
}

static void kill_ends_a_guest_that_waits_and_one_that_spins(void **state) {
    struct world *w = *state;
    rusm_pid waits = world_run(w, "waits", RUN("(call $hello) (call $recv)"));
    assert_true(rusm_pid_kill(w->runtime, waits));
    world_expect_end(w, waits, RUSM_EXIT_KILLED);
    rusm_pid spins =
        world_run(w, "spins", RUN("(call $hello) (call $say_u32 (i32.const 1)) (loop (br 0))"));
    world_expect_u64(w, 1);
    assert_true(rusm_pid_kill(w->runtime, spins));
    world_expect_end(w, spins, RUSM_EXIT_KILLED);
}

static void kill_ends_a_guest_that_was_never_run(void **state) {
    struct world *w = *state;
    struct rusm__component *component = world_guest(w, "a", RUN("(call $recv)"));
    for (int i = 0; i < 50; i++) {
        rusm_pid pid;
        struct rusm__component_spawn spawn = {.parent = NULL};
        assert_int_equal(rusm__component_spawn(component, &spawn, &pid), RUSM_OK);
        assert_true(rusm_pid_kill(w->runtime, pid));
    }
    WAIT_FOR(rusm__sandbox_live(w->sandbox) == 0);
}

static void a_start_function_that_spins_can_be_killed(void **state) {
    struct world *w = *state;
    struct rusm__component *component =
        world_guest(w, "a", "(func $s (loop (br 0))) (start $s)" RUN(""));
    rusm_pid pid = world_start(w, component);
    usleep(20000);
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
}

/* More endless loops than schedulers, and somebody who wants to work. */
static void endless_loops_keep_nobody_out(void **state) {
    struct world *w = *state;
    struct rusm__component *loop = world_guest(w, "loop", RUN("(call $hello) (loop (br 0))"));
    rusm_pid loops[8];
    for (int i = 0; i < 8; i++)
        loops[i] = world_start(w, loop);
    rusm_pid calm = world_run(w, "calm", RUN("(call $hello) (loop (call $say_recv) (br 0))"));
    for (int i = 0; i < 20; i++) {
        world_send_text(w, calm, "ping");
        world_expect(w, "ping");
    }
    for (int i = 0; i < 8; i++)
        assert_true(rusm_pid_kill(w->runtime, loops[i]));
    for (int i = 0; i < 8; i++) {
        rusm_msg *down = world_next(w);
        assert_int_equal(rusm_msg_exit_kind(down), RUSM_EXIT_KILLED);
        rusm_msg_free(down);
    }
}

/* ---- commands ---- */

/* wasi:cli/run that returns ok (0) or err (1). */
static const char *command(int result) {
    static char wat[512];
    snprintf(wat, sizeof(wat),
             "(component (core module $m (func (export \"run\") (result i32) (i32.const %d)))"
             "(core instance $i (instantiate $m))"
             "(func $run (result (result)) (canon lift (core func $i \"run\")))"
             "(instance $e (export \"run\" (func $run)))"
             "(export \"wasi:cli/run@0.2.0\" (instance $e)))",
             result);
    return wat;
}

#define EXIT_COMMAND(status)                                                                       \
    "(component"                                                                                   \
    "(import \"wasi:cli/exit@0.2.0\" (instance $x"                                                 \
    " (export \"exit\" (func (param \"status\" (result))))))"                                      \
    "(core func $exit (canon lower (func $x \"exit\")))"                                           \
    "(core module $m (import \"x\" \"exit\" (func $exit (param i32)))"                             \
    " (func (export \"run\") (result i32) (call $exit (i32.const " #status ")) unreachable))"      \
    "(core instance $i (instantiate $m (with \"x\" (instance (export \"exit\" (func $exit))))))"   \
    "(func $run (result (result)) (canon lift (core func $i \"run\")))"                            \
    "(instance $e (export \"run\" (func $run)))"                                                   \
    "(export \"wasi:cli/run@0.2.0\" (instance $e)))"

static void commands_end_by_their_status(void **state) {
    struct world *w = *state;
    struct rusm__component *ok = world_load(w, "ok", command(0));
    assert_int_equal(rusm__component_get_kind(ok), RUSM__COMPONENT_COMMAND);
    world_expect_end(w, world_start(w, ok), RUSM_EXIT_NORMAL);
    world_expect_crash(w, world_start(w, world_load(w, "err", command(1))), "exit status 1");
    world_expect_end(w, world_start(w, world_load(w, "exit0", EXIT_COMMAND(0))), RUSM_EXIT_NORMAL);
    world_expect_crash(w, world_start(w, world_load(w, "exit1", EXIT_COMMAND(1))), "exit status 1");
}

/* ---- memory ---- */

static void memory_grows_to_the_ceiling_and_no_further(void **state) {
    struct world *w = *state;
    w->profile.max_memory_bytes = 1 << 20; /* 16 pages, 2 of which are there */
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(call $say_u32 (memory.grow (i32.const 15)))"
                                 "(call $say_u32 (memory.grow (i32.const 14)))"
                                 "(call $say_u32 (memory.size))"
                                 "(call $say_u32 (memory.grow (i32.const 1)))"));
    world_expect_u64(w, UINT32_MAX);
    world_expect_u64(w, 2);
    world_expect_u64(w, 16);
    world_expect_u64(w, UINT32_MAX);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_start_that_does_not_fit_names_the_limit(void **state) {
    struct world *w = *state;
    w->profile.max_memory_bytes = 1 << 20;
    rusm_pid pid = world_run(w, "a", "(memory $own 33)" RUN("(call $hello)"));
    world_expect_crash(w, pid,
                       "memory_limit: wanted 3 MiB of linear memory and may have 1 "
                       "(`max-memory-mb` under [capabilities.test])");
}

/* However large: beyond what any slot or table of ours could be. */
static void a_start_beyond_all_bounds_names_the_limit_too(void **state) {
    struct world *w = *state;
    w->profile.max_memory_bytes = 1 << 20;
    w->profile.max_host_bytes = 4u << 20;
    struct rusm__component *memory =
        world_load(w, "memory", "(module (memory i64 0x100000) (func (export \"run\")))");
    world_expect_crash(w, world_start(w, memory),
                       "memory_limit: wanted 65536 MiB of linear memory and may have 1 ");
    struct rusm__component *table =
        world_load(w, "table", "(module (table 65537 funcref) (func (export \"run\")))");
    world_expect_crash(w, world_start(w, table),
                       "memory_limit: wanted a table of 1024 KiB, and tables have at most 65536 ");
}

/* What a module's own maximum refuses is nobody's limit, and nothing is held for it. */
static void growth_beyond_the_guests_own_maximum_is_not_counted(void **state) {
    struct world *w = *state;
    w->profile.max_host_bytes = 2u << 20;
    rusm_pid pid = world_run(w, "a",
                             "(table $t 1 10 funcref)" RUN(
                                 "(local $n i32) (call $hello)"
                                 "(local.set $n (i32.const 100))"
                                 "(loop"
                                 " (drop (table.grow $t (ref.null func) (i32.const 60000)))"
                                 " (local.set $n (i32.sub (local.get $n) (i32.const 1)))"
                                 " (br_if 0 (local.get $n)))"
                                 "(call $say_u32 (table.grow $t (ref.null func) (i32.const 9)))"
                                 "unreachable"));
    world_expect_u64(w, 1);
    world_expect_crash(w, pid, "unreachable");
    world_expect_log(w, "crashed: wasm trap");
}

static void a_trap_after_a_refused_growth_names_the_limit(void **state) {
    struct world *w = *state;
    w->profile.max_memory_bytes = 2 << 20;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(if (i32.eq (i32.const -1) (memory.grow (i32.const 100)))"
                                 " (then unreachable))"));
    world_expect_crash(w, pid, "memory_limit: wanted 7 MiB");
}

/* 1 GiB under a profile that allows it: written at both ends. */
static void large_ceilings_are_honoured(void **state) {
    struct world *w = *state;
    w->profile.max_memory_bytes = 1ull << 30;
    rusm_pid pid = world_run(w, "a",
                             RUN("(call $hello)"
                                 "(drop (memory.grow (i32.const 16382)))"
                                 "(i32.store (i32.const 0x3ffffffc) (i32.const 7))"
                                 "(call $say_u32 (i32.load (i32.const 0x3ffffffc)))"
                                 "(call $say_u32 (memory.grow (i32.const 1)))"));
    world_expect_u64(w, 7);
    world_expect_u64(w, UINT32_MAX);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* What one guest wrote, the next one in the same slot must not see: in memory that was kept
 * resident, in memory beyond, and in grown memory. */
static void slots_come_back_clean(void **state) {
    struct world *w = *state;
    struct rusm__component *dirty =
        world_guest(w, "dirty",
                    RUN("(local $at i32) (call $hello)"
                        "(drop (memory.grow (i32.const 98)))"
                        "(local.set $at (i32.const 131072))"
                        "(loop"
                        " (if (i32.load (local.get $at)) (then unreachable))"
                        " (i32.store (local.get $at) (i32.const 0x5a5a5a5a))"
                        " (local.set $at (i32.add (local.get $at) (i32.const 1024)))"
                        " (br_if 0 (i32.lt_u (local.get $at) (i32.const 6553600))))"));
    for (int i = 0; i < 50; i++)
        world_expect_end(w, world_start(w, dirty), RUSM_EXIT_NORMAL);
}

static void tables_are_bounded(void **state) {
    struct world *w = *state;
    rusm_pid pid =
        world_run(w, "a",
                  "(table $t 1 funcref)" RUN("(call $hello)"
                                             "(call $say_u32 (table.grow $t (ref.null func)"
                                             "  (i32.const 1000)))"
                                             "(call $say_u32 (table.grow $t (ref.null func)"
                                             "  (i32.const 10000000)))"));
    world_expect_u64(w, 1);
    world_expect_u64(w, UINT32_MAX);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* ---- how many ---- */

static int setup_few(void **state) {
    *state = world_open(&(struct world_options){.max_instances = 8});
    return 0;
}

static void a_full_sandbox_refuses_and_recovers(void **state) {
    struct world *w = *state;
    struct rusm__component *component = world_guest(w, "a", RUN("(call $hello) (call $recv)"));
    rusm_pid pids[8], none;
    assert_int_equal(rusm__sandbox_capacity(w->sandbox), 8);
    for (int i = 0; i < 8; i++)
        pids[i] = world_start(w, component);
    assert_int_equal(world_try_start(w, component, &none), RUSM_ELIMIT);
    assert_int_equal(none, 0);
    assert_int_equal(rusm__sandbox_live(w->sandbox), 8);
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__component_explain(component, RUSM_ELIMIT, NULL, &text);
    assert_string_equal(rusm__buf_cstr(&text), "8 guests are alive; raise max_instances, now 8");
    rusm__buf_fini(&text);
    assert_true(rusm_pid_kill(w->runtime, pids[3]));
    world_expect_end(w, pids[3], RUSM_EXIT_KILLED);
    /* Its place is free before its end is told. */
    world_start(w, component);
    assert_int_equal(rusm__sandbox_live(w->sandbox), 8);
}

/* As if the kernel allowed 200 mappings: half of them for slots and stacks, of that a half for what
 * lies unused in groups. */
static int setup_scarce(void **state) {
    static const struct rusm__machine machine = {
        .max_map_count = 200, .memory_bytes = 1ull << 34, .address_bytes = 1ull << 46};
    *state = world_open(&(struct world_options){.machine = &machine});
    return 0;
}

static void mappings_that_run_out_refuse_spawns_and_name_the_sysctl(void **state) {
    struct world *w = *state;
    struct rusm__component *component = world_guest(w, "a", RUN("(call $hello) (call $recv)"));
    assert_int_equal(rusm__sandbox_capacity(w->sandbox), 12);
    rusm_pid pids[12], none;
    for (int i = 0; i < 12; i++)
        pids[i] = world_start(w, component);
    assert_int_equal(world_try_start(w, component, &none), RUSM_ELIMIT);
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__component_explain(component, RUSM_ELIMIT, NULL, &text);
    assert_string_equal(rusm__buf_cstr(&text),
                        "12 guests are alive; raise the sysctl vm.max_map_count, now 200, which "
                        "allows 12 guests");
    rusm__buf_fini(&text);
    for (int i = 0; i < 12; i++) { /* all of them got their slots */
        assert_true(rusm_pid_is_alive(w->runtime, pids[i]));
        assert_true(rusm_pid_kill(w->runtime, pids[i]));
        world_expect_end(w, pids[i], RUSM_EXIT_KILLED);
    }
}

#define WAITS RUN("(call $hello) (call $recv)")

/* As those of the world's profile, but in small slots. */
static struct rusm__component *load_little(struct world *w) {
    static struct rusm__profile small; /* it outlives the component */
    small = w->profile;
    small.max_memory_bytes = 16u << 20;
    return world_guest_with(w, "little", WAITS, &small);
}

/* A profile above 16 MiB takes 4 GiB of addresses for each guest; one below does not. */
static int setup_narrow(void **state) {
    static const struct rusm__machine machine = {.max_map_count = 65530,
                                                 .memory_bytes = 1ull << 34,
                                                 .address_bytes = 3 * ((4ull << 30) + (33 << 20))};
    *state = world_open(&(struct world_options){.machine = &machine});
    return 0;
}

static void addresses_that_run_out_refuse_large_guests_only(void **state) {
    struct world *w = *state;
    struct rusm__component *large = world_guest(w, "large", WAITS);
    struct rusm__component *little = load_little(w);
    rusm_pid pid, none;
    for (int i = 0; i < 3; i++)
        pid = world_start(w, large);
    assert_int_equal(world_try_start(w, large, &none), RUSM_ELIMIT);
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__component_explain(large, RUSM_ELIMIT, NULL, &text);
    assert_non_null(strstr(rusm__buf_cstr(&text), "the address space holds 3 guests with "
                                                  "`max-memory-mb` above 16"));
    rusm__buf_fini(&text);
    for (int i = 0; i < 5; i++)
        world_start(w, little);
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
    world_start(w, large);
    assert_int_equal(rusm__sandbox_live(w->sandbox), 8);
}

/* ulimit -v: two large slots and nineteen small ones. */
static int setup_limited(void **state) {
    static const struct rusm__machine machine = {.max_map_count = 65530,
                                                 .memory_bytes = 16ull << 30,
                                                 .address_bytes = 2 * RUSM__LARGE_SLOT_BYTES +
                                                                  19 * RUSM__SMALL_SLOT_BYTES,
                                                 .address_limit = 12ull << 30};
    *state = world_open(&(struct world_options){.machine = &machine, .max_instances = 1000});
    return 0;
}

static void expect_refused_for_addresses(struct world *w, struct rusm__component *component) {
    rusm_pid none;
    struct rusm__buf text;
    rusm__buf_init(&text);
    assert_int_equal(world_try_start(w, component, &none), RUSM_ELIMIT);
    rusm__component_explain(component, RUSM_ELIMIT, NULL, &text);
    assert_non_null(strstr(rusm__buf_cstr(&text),
                           "raise the limit of addresses (ulimit -v), now 12582912, which allows 2 "
                           "guests with `max-memory-mb` above 16 or "));
    rusm__buf_fini(&text);
}

static void a_limit_of_addresses_bounds_guests_of_both_sizes(void **state) {
    struct world *w = *state;
    struct rusm__component *large = world_guest(w, "large", WAITS);
    struct rusm__component *little = load_little(w);
    world_start(w, large);
    rusm_pid pid = world_start(w, large);
    expect_refused_for_addresses(w, large);
    for (int i = 0; i < 19; i++)
        world_start(w, little);
    expect_refused_for_addresses(w, little);
    assert_true(rusm_pid_kill(w->runtime, pid));
    world_expect_end(w, pid, RUSM_EXIT_KILLED);
    world_start(w, little);
}

/* Sixteen memories a guest are more than is reckoned with, two for each of eight: it is the slots
 * that run out, two groups of sixteen, at the start of a guest that was promised, which says what
 * to do. */
static void a_guest_without_a_slot_names_the_setting(void **state) {
    struct world *w = *state;
    struct rusm__buf wat;
    rusm__buf_init(&wat);
    rusm__buf_add_str(&wat, "(component (core module $m (memory 1)"
                            " (func (export \"f\") (loop (br 0))))");
    for (int i = 0; i < 16; i++)
        rusm__buf_addf(&wat, "(core instance $i%d (instantiate $m))", i);
    rusm__buf_add_str(&wat, "(func (export \"run\") (canon lift (core func $i0 \"f\"))))");
    struct rusm__component *wide = world_load(w, "wide", rusm__buf_cstr(&wat));
    rusm__buf_fini(&wat);
    rusm_pid guests[3];
    for (int i = 0; i < 3; i++)
        guests[i] = world_start(w, wide);
    rusm_msg *down = world_next(w); /* whichever came too late */
    assert_int_equal(rusm_msg_exit_kind(down), RUSM_EXIT_CRASHED);
    char *text = strndup((char *)rusm_msg_data(down), rusm_msg_len(down));
    if (!strstr(text, "no free slot for an instance with 3 guests alive; "
                      "raise max_instances, now 8"))
        fail_msg("the reason is \"%s\"", text);
    free(text);
    rusm_pid late = rusm_msg_from(down);
    rusm_msg_free(down);
    for (int i = 0; i < 3; i++) {
        if (guests[i] != late) {
            assert_true(rusm_pid_kill(w->runtime, guests[i]));
            world_expect_end(w, guests[i], RUSM_EXIT_KILLED);
        }
    }
}

/* Each child spawns children of its own. The bomb ends at what is left to guests, and the node can
 * still start something. */
static void a_fork_bomb_leaves_room_for_the_node(void **state) {
    struct world *w = *state;
    struct rusm__component *bomb =
        world_guest(w, "bomb",
                    RUN("(loop (call $spawn (i32.const 4096) (i32.const 4) (i32.const 1024))"
                        " (br_if 0 (i32.eqz (i32.load8_u (i32.const 1024))))) (call $recv)")
                        DATA(4096, "bomb"));
    struct rusm__component *calm =
        world_guest(w, "calm", RUN("(call $hello) (call $say_u32 (i32.const 1))"));
    world_start(w, bomb);
    size_t capacity = rusm__sandbox_capacity(w->sandbox);
    WAIT_FOR(rusm__sandbox_live(w->sandbox) >= capacity - capacity / 8);
    /* Spawns at the same moment on two schedulers may take one more. */
    size_t live = rusm__sandbox_live(w->sandbox);
    assert_in_range(live, capacity - capacity / 8, capacity - capacity / 8 + 1);
    rusm_pid pid = world_start(w, calm);
    bool said = false, ended = false;
    while (!said || !ended) { /* the first bomb's own end may come in between */
        rusm_msg *msg = world_next(w);
        said = said || rusm_msg_get_kind(msg) == RUSM_MSG_DATA;
        ended = ended || (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN && rusm_msg_from(msg) == pid);
        rusm_msg_free(msg);
    }
    world_expect_log(w, "the rest of the room is kept for the node");
}

/* Every allocation of a spawn fails once; whatever fails, nothing is taken and nothing is lost. */
static void spawn_failing(rusm_proc *probe, void *arg) {
    struct world_start *start = arg;
    start->code = RUSM_ENOMEM;
    for (size_t nth = 1; start->code == RUSM_ENOMEM; nth++) {
        assert_true(nth < 100);
        start->spawn.monitor_by = rusm_proc_pid(probe);
        assert_int_equal(rusm_msg_copy("", 0, &start->spawn.first), RUSM_OK);
        rusm__mem_fail_nth(nth);
        start->code = rusm__component_spawn(start->component, &start->spawn, &start->pid);
        rusm__mem_fail_nth(0);
        if (start->code < 0)
            rusm_msg_free(start->spawn.first);
    }
}

static void a_spawn_without_memory_takes_nothing(void **state) {
    struct world *w = *state;
    struct world_start start = {.component = world_guest(w, "a", RUN("(call $recv)"))};
    world_order(w, spawn_failing, &start);
    assert_int_equal(start.code, RUSM_OK);
    world_expect_end(w, start.pid, RUSM_EXIT_NORMAL);
    assert_int_equal(rusm__sandbox_live(w->sandbox), 0);
}

/* Children that live and die by the thousand while their parents live on: every place and every
 * count comes back. */
static void many_short_lives_leave_nothing(void **state) {
    struct world *w = *state;
    world_guest(w, "leaf", RUN(""));
    struct rusm__component *parent = world_guest(
        w, "parent",
        RUN("(local $n i32) (call $hello)"
            "(loop (call $reset) (call $spawn (i32.const 4096) (i32.const 4) (i32.const 1024))"
            " (if (i32.eqz (i32.load8_u (i32.const 1024)))"
            "  (then (local.set $n (i32.add (local.get $n) (i32.const 1)))))"
            " (br_if 0 (i32.lt_u (local.get $n) (i32.const 2000))))"
            "(call $say_u32 (local.get $n))") DATA(4096, "leaf"));
    w->profile.max_children = 8;
    for (int i = 0; i < 3; i++)
        world_start(w, parent);
    for (int i = 0; i < 6; i++)
        rusm_msg_free(world_next(w)); /* three sums, three ends */
    WAIT_FOR(rusm__sandbox_live(w->sandbox) == 0);
}

/* ---- two runtimes in one program ---- */

struct stranger {
    struct rusm__sandbox *sandbox;
    struct rusm__component *component;
    _Atomic bool is_done;
    bool has_lane;
    int code;
};

static rusm_step stranger_step(rusm_proc *self, void *body) {
    struct stranger *stranger = body;
    rusm_pid pid;
    struct rusm__component_spawn spawn = {.parent = NULL};
    (void)self;
    stranger->has_lane = rusm__sandbox_lane(stranger->sandbox);
    stranger->code = rusm__component_spawn(stranger->component, &spawn, &pid);
    atomic_store_explicit(&stranger->is_done, true, memory_order_release);
    return RUSM_STEP_EXIT;
}

static void stranger_drop(void *body) {
    (void)body;
}

/* Its schedulers have other numbers, maybe higher ones than this sandbox has lanes. */
static void schedulers_of_another_runtime_have_no_lane(void **state) {
    struct world *w = *state;
    static const rusm_body_ops ops = {
        .name = "stranger", .step = stranger_step, .drop = stranger_drop};
    struct stranger strangers[16];
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = 8};
    rusm_runtime *other;
    struct rusm__component *component = world_guest(w, "a", RUN(""));
    assert_int_equal(rusm_runtime_start(&options, &other), RUSM_OK);
    for (int i = 0; i < 16; i++) {
        rusm_spawn_options spawn = {.size = sizeof(spawn), .ops = &ops, .body = &strangers[i]};
        rusm_pid pid;
        strangers[i] = (struct stranger){.sandbox = w->sandbox, .component = component};
        assert_int_equal(rusm_proc_spawn(other, &spawn, &pid), RUSM_OK);
    }
    for (int i = 0; i < 16; i++) {
        WAIT_FOR(atomic_load_explicit(&strangers[i].is_done, memory_order_acquire));
        assert_false(strangers[i].has_lane);
        assert_int_equal(strangers[i].code, RUSM_OK);
    }
    rusm_runtime_stop(other);
    WAIT_FOR(rusm__sandbox_live(w->sandbox) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(schedulers_of_another_runtime_have_no_lane),
        world_test(a_trap_is_a_crash_with_its_cause),
        world_test(a_division_by_zero_names_itself),
        world_test(a_wild_pointer_is_a_crash),
        world_test(deep_recursion_is_a_crash),
        world_test(host_calls_at_the_bottom_of_the_stack),
        world_test(kill_ends_a_guest_that_waits_and_one_that_spins),
        world_test(kill_ends_a_guest_that_was_never_run),
        world_test(a_start_function_that_spins_can_be_killed),
        world_test(endless_loops_keep_nobody_out),
        world_test(commands_end_by_their_status),
        world_test(memory_grows_to_the_ceiling_and_no_further),
        world_test(a_start_that_does_not_fit_names_the_limit),
        world_test(a_start_beyond_all_bounds_names_the_limit_too),
        world_test(growth_beyond_the_guests_own_maximum_is_not_counted),
        world_test(a_trap_after_a_refused_growth_names_the_limit),
        world_test(large_ceilings_are_honoured),
        world_test(slots_come_back_clean),
        world_test(tables_are_bounded),
        cmocka_unit_test_setup_teardown(a_full_sandbox_refuses_and_recovers, setup_few,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(mappings_that_run_out_refuse_spawns_and_name_the_sysctl,
                                        setup_scarce, world_teardown),
        cmocka_unit_test_setup_teardown(addresses_that_run_out_refuse_large_guests_only,
                                        setup_narrow, world_teardown),
        cmocka_unit_test_setup_teardown(a_limit_of_addresses_bounds_guests_of_both_sizes,
                                        setup_limited, world_teardown),
        cmocka_unit_test_setup_teardown(a_guest_without_a_slot_names_the_setting, setup_few,
                                        world_teardown),
        world_test(a_fork_bomb_leaves_room_for_the_node),
        world_test(a_spawn_without_memory_takes_nothing),
        world_test(many_short_lives_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
