/* SPDX-License-Identifier: MIT */
/* actor.spawn-from: sources, gates, and what is compiled how often. */
#include "stored.h"

#include <time.h>

#include "hostcall/bundles.h"
#include "kv/kv.h"

#include "server.h"

#define HOUR_NS (3600ull * RUSM__SECOND)

static int setup(void **state) {
    return stored_setup(state, HOUR_NS);
}

static int setup_forgetful(void **state) {
    return stored_setup(state, 0);
}

static int setup_short(void **state) {
    return stored_setup(state, 20 * RUSM__MS);
}

#define dynamic_test(name) cmocka_unit_test_setup_teardown(name, setup, stored_teardown)

/* ---- sources ---- */

/* A whole guest as text, behind a prefix; for the caller to free. */
static char *source_of(const char *prefix, const char *body) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_add_str(&text, prefix);
    world_add_parts(&text, guest_before);
    rusm__buf_add_str(&text, body);
    world_add_parts(&text, guest_after);
    char *copy = strdup(rusm__buf_cstr(&text));
    assert_non_null(copy);
    rusm__buf_fini(&text);
    return copy;
}

struct put {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int code;
};

static void put_done(void *arg, const struct rusm__kv_result *result) {
    struct put *put = arg;
    pthread_mutex_lock(&put->lock);
    put->code = result->code;
    pthread_cond_signal(&put->done);
    pthread_mutex_unlock(&put->lock);
}

static void store_source(const char *key, const char *text) {
    struct put put = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1};
    struct rusm__kv_bytes bucket = {(const unsigned char *)"b", 1};
    struct rusm__kv_bytes name = {(const unsigned char *)key, strlen(key)};
    struct rusm__kv_bytes value = {(const unsigned char *)text, strlen(text)};
    assert_int_equal(rusm__kv_set(stored, bucket, name, value, put_done, &put, NULL), RUSM_OK);
    pthread_mutex_lock(&put.lock);
    while (put.code == 1)
        pthread_cond_wait(&put.done, &put.lock);
    pthread_mutex_unlock(&put.lock);
    assert_int_equal(put.code, RUSM_OK);
}

/* ---- asking ---- */

/* Answers each text that it receives with the pid of what it started from it, or with the error. */
static const char asker_body[] =
    "(func (export \"run\") (call $hello) (loop (call $recv)"
    " (call $spawn-from (i32.const 4096) (i32.const 3) (global.get $ptr) (global.get $len)"
    "  (i32.const 1024))"
    " (if (i32.load8_u (i32.const 1024)) (then (call $say_spawn_error))"
    "  (else (call $say_u64 (i64.load (i32.const 1032)))))"
    " (br 0)))" DATA(4096, "tpl");

static void add_template(struct world *w, const char *name, bool is_command) {
    struct rusm__template_options tpl = {
        .name = name, .is_command = is_command, .profile = &w->profile};
    assert_int_equal(rusm__hostcall_add_template(w->hostcall, w->sandbox, &tpl), RUSM_OK);
}

static rusm_pid start_asker(struct world *w) {
    struct rusm__component *asker = world_guest(w, "asker", asker_body);
    add_template(w, "tpl", false);
    return world_start(w, asker);
}

/* The pid of what was started, which says "hi" once it is told whom to say it to. */
static rusm_pid expect_child(struct world *w) {
    rusm_pid child = world_u64(w);
    world_send(w, child, &w->probe, sizeof(w->probe));
    return child;
}

#define SAY_HI  RUN("(call $hello) (call $say (i32.const 4096) (i32.const 2))") DATA(4096, "hi")
#define SAY_BYE RUN("(call $hello) (call $say (i32.const 4096) (i32.const 3))") DATA(4096, "bye")

/* ---- what runs ---- */

static void inline_text_is_compiled_once_and_runs(void **state) {
    struct world *w = *state;
    char *source = source_of("  inline:", SAY_HI);
    rusm_pid asker = start_asker(w);
    for (int i = 0; i < 5; i++) {
        world_send_text(w, asker, source);
        expect_child(w);
        world_expect(w, "hi");
    }
    assert_int_equal(rusm__hostcall_compiled(w->hostcall), 1);
    free(source);
}

static void code_runs_under_the_templates_profile(void **state) {
    struct world *w = *state;
    struct rusm__profile poor = world_profile("poor");
    struct rusm__template_options tpl = {.name = "tpl", .profile = &poor};
    poor.spawn = false;
    struct rusm__component *asker = world_guest(w, "asker", asker_body);
    assert_int_equal(rusm__hostcall_add_template(w->hostcall, w->sandbox, &tpl), RUSM_OK);
    char *source = source_of("inline:", RUN("(call $hello) (call $spawn (i32.const 4096)"
                                            " (i32.const 5) (i32.const 1024))"
                                            "(call $say_spawn_error)") DATA(4096, "asker"));
    world_send_text(w, world_start(w, asker), source);
    expect_child(w);
    world_expect(w, "spawn denied: missing the spawn capability");
    world_expect_log(w, "under [capabilities.poor]");
    free(source);
}

static void who_asks_at_once_shares_one_compilation(void **state) {
    struct world *w = *state;
    enum { ASKERS = 12 };
    char *source = source_of("inline:", SAY_HI);
    rusm_pid askers[ASKERS] = {start_asker(w)};
    struct rusm__component *more = world_guest(w, "more", asker_body);
    for (int i = 1; i < ASKERS; i++)
        askers[i] = world_start(w, more);
    for (int i = 0; i < ASKERS; i++)
        world_send_text(w, askers[i], source);
    rusm_pid children[ASKERS];
    for (int i = 0; i < ASKERS; i++)
        children[i] = world_u64(w);
    for (int i = 0; i < ASKERS; i++)
        world_send(w, children[i], &w->probe, sizeof(w->probe));
    for (int i = 0; i < ASKERS; i++)
        world_expect(w, "hi");
    assert_int_equal(rusm__hostcall_compiled(w->hostcall), 1);
    free(source);
}

static void a_source_in_the_store_is_believed_for_its_time(void **state) {
    struct world *w = *state;
    char *hi = source_of("", SAY_HI), *bye = source_of("", SAY_BYE);
    rusm_pid asker = start_asker(w);
    store_source("x", hi);
    for (int i = 0; i < 2; i++) {
        world_send_text(w, asker, "kv:b/x");
        expect_child(w);
        world_expect(w, "hi");
        store_source("x", bye); /* not looked at again within the hour */
    }
    store_source("y", bye);
    world_send_text(w, asker, "kv:b/y");
    expect_child(w);
    world_expect(w, "bye");
    assert_int_equal(rusm__hostcall_compiled(w->hostcall), 2);
    store_source("z", hi); /* the same bytes from elsewhere */
    world_send_text(w, asker, "kv:b/z");
    expect_child(w);
    world_expect(w, "hi");
    assert_int_equal(rusm__hostcall_compiled(w->hostcall), 2);
    free(hi);
    free(bye);
}

static void without_a_time_to_live_the_store_is_always_asked(void **state) {
    struct world *w = *state;
    char *hi = source_of("", SAY_HI), *bye = source_of("", SAY_BYE);
    rusm_pid asker = start_asker(w);
    store_source("x", hi);
    world_send_text(w, asker, "kv:b/x");
    expect_child(w);
    world_expect(w, "hi");
    store_source("x", bye);
    world_send_text(w, asker, "kv:b/x");
    expect_child(w);
    world_expect(w, "bye");
    free(hi);
    free(bye);
}

/* However slow the machine: some pause is longer than the time to idle and the thread's turn. */
static void what_nobody_uses_is_unloaded(void **state) {
    struct world *w = *state;
    char *source = source_of("inline:", SAY_HI);
    rusm_pid asker = start_asker(w);
    uint64_t give_up_ns = rusm__clock_ns() + PATIENCE_S * RUSM__SECOND;
    while (rusm__hostcall_compiled(w->hostcall) < 2) {
        world_send_text(w, asker, source);
        expect_child(w);
        world_expect(w, "hi");
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        assert_true(rusm__clock_ns() < give_up_ns);
    }
    free(source);
}

/* ---- what does not ---- */

static void ask_in_vain(struct world *w, rusm_pid asker, const char *source, const char *error) {
    world_send_text(w, asker, source);
    rusm_msg *msg = world_next(w);
    size_t len = strlen(error);
    if (rusm_msg_len(msg) < len || memcmp(rusm_msg_data(msg), error, len) != 0)
        fail_msg("wanted \"%s\", got \"%.*s\"", error, (int)rusm_msg_len(msg),
                 (const char *)rusm_msg_data(msg));
    rusm_msg_free(msg);
}

static void wrong_sources_are_errors(void **state) {
    struct world *w = *state;
    rusm_pid asker = start_asker(w);
    ask_in_vain(w, asker, "", "unrecognised bundle source \"\" (expected `inline:<…>`, ");
    ask_in_vain(w, asker, "ftp:\"x\\",
                "unrecognised bundle source \"ftp:\\\"x\\\\\" (expected `inline:<…>`, "
                "`kv:<bucket>/<key>`, or `http(s)://…`)");
    ask_in_vain(w, asker, "kv:b", "kv source must be `kv:<bucket>/<key>`, got \"kv:b\"");
    ask_in_vain(w, asker, "kv:/k", "kv source must be `kv:<bucket>/<key>`, got \"kv:/k\"");
    ask_in_vain(w, asker, "kv:b/ ", "kv source must be `kv:<bucket>/<key>`, got \"kv:b/\"");
    ask_in_vain(w, asker, "kv:b/none", "bundle not found at kv:b/none");
    ask_in_vain(w, asker, "inline:", "compiling dynamic WASM component: there are no bytes");
    ask_in_vain(w, asker, "inline:print()", "compiling dynamic WASM component: this is no Web");
    ask_in_vain(w, asker, "inline:(component (", "compiling dynamic WASM component: ");
    ask_in_vain(w, asker, "inline:(component)",
                "preparing dynamic WASM component: component has no `run` export");
}

/* Compilers show the line at which they stopped. */
static void an_error_is_much_shorter_than_its_source(void **state) {
    struct world *w = *state;
    enum { BYTES = 1 << 20 };
    char *source = malloc(BYTES + 1);
    memset(source, ' ', BYTES);
    memcpy(source, "inline:(module (wrong", 21);
    memcpy(source + BYTES - 2, "))", 3);
    world_send(w, start_asker(w), source, BYTES);
    rusm_msg *msg = world_next(w);
    assert_in_range(rusm_msg_len(msg), 1, 5000);
    assert_memory_equal(rusm_msg_data(msg), "compiling dynamic WASM component: ", 34);
    rusm_msg_free(msg);
    free(source);
}

static void failures_are_not_kept(void **state) {
    struct world *w = *state;
    char *hi = source_of("", SAY_HI);
    rusm_pid asker = start_asker(w);
    ask_in_vain(w, asker, "kv:b/x", "bundle not found at kv:b/x");
    store_source("x", "(component");
    ask_in_vain(w, asker, "kv:b/x", "compiling dynamic WASM component: ");
    store_source("x", hi);
    world_send_text(w, asker, "kv:b/x");
    expect_child(w);
    world_expect(w, "hi");
    free(hi);
}

static void names_that_are_no_template_are_errors(void **state) {
    struct world *w = *state;
    rusm_pid pid = world_run(
        w, "a",
        RUN("(call $hello)"
            "(call $spawn-from (i32.const 4096) (i32.const 1) (i32.const 4096) (i32.const 0)"
            " (i32.const 1024)) (call $say_spawn_error)"
            "(call $spawn-from (i32.const 4096) (i32.const 2) (i32.const 4096) (i32.const 0)"
            " (i32.const 1024)) (call $say_spawn_error)") DATA(4096, "aa"));
    world_expect(w, "`a` is not a dynamic template (use `spawn` for a fixed component)");
    world_expect(w, "unknown component `aa`");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void a_command_must_be_one(void **state) {
    struct world *w = *state;
    struct rusm__component *asker = world_guest(w, "asker", asker_body);
    add_template(w, "tpl", true);
    rusm_pid pid = world_start(w, asker);
    ask_in_vain(w, pid, "inline:(component)", "`tpl` source is not a wasi:cli command: ");
    ask_in_vain(w, pid, "inline:(component (", "compiling dynamic wasi-cli component: ");
    world_send_text(w, pid, "inline:(module (func (export \"_start\")))");
    assert_int_not_equal(world_u64(w), 0);
}

static void gates_are_asked_although_it_is_known(void **state) {
    struct world *w = *state;
    struct rusm__profile no_store = world_profile("no-store"), no_spawn = world_profile("no-spawn");
    no_store.storage = false;
    no_spawn.spawn = false;
    char *hi = source_of("", SAY_HI);
    rusm_pid asker = start_asker(w);
    store_source("x", hi);
    world_send_text(w, asker, "kv:b/x");
    expect_child(w);
    world_expect(w, "hi");
    rusm_pid second = world_start(w, world_guest_with(w, "second", asker_body, &no_store));
    ask_in_vain(w, second, "kv:b/x", "spawn-from kv denied: missing the storage capability");
    world_expect_log(w, "actor.spawn-from of kv:b/x; to allow it put `allow-storage = true` under "
                        "[capabilities.no-store]");
    no_store.network = false;
    ask_in_vain(w, second, "http://[::1]/", "spawn-from url denied: missing the network capab");
    rusm_pid third = world_start(w, world_guest_with(w, "third", asker_body, &no_spawn));
    ask_in_vain(w, third, "kv:b/x", "spawn denied: missing the spawn capability");
    free(hi);
}

static void without_a_store_it_says_so(void **state) {
    struct world *w = *state;
    ask_in_vain(w, start_asker(w), "kv:b/k", "kv source \"kv:b/k\" needs a node store");
}

static void children_are_counted(void **state) {
    struct world *w = *state;
    w->profile.max_children = 1;
    char *source = source_of("inline:", RUN("(call $recv)"));
    rusm_pid asker = start_asker(w);
    world_send_text(w, asker, source);
    world_u64(w);
    ask_in_vain(w, asker, source, "cannot spawn `tpl`: 1 children are alive, the limit of");
    free(source);
}

/* ---- who dies meanwhile ---- */

static void askers_may_die_before_it_is_compiled(void **state) {
    struct world *w = *state;
    rusm_pid pids[8] = {start_asker(w)};
    struct rusm__component *more = world_guest(w, "more", asker_body);
    for (int round = 0; round < 6; round++) {
        char text[64];
        snprintf(text, sizeof(text), RUN("") "(data (i32.const 9000) \"%d\")", round);
        char *source = source_of("inline:", text);
        for (int i = round == 0; i < 8; i++)
            pids[i] = world_start(w, more);
        for (int i = 0; i < 8; i++)
            world_send_text(w, pids[i], source);
        for (int i = 0; i < 8; i++)
            assert_true(rusm_pid_kill(w->runtime, pids[i]));
        for (int downs = 0; downs < 8;) { /* some were fast enough to answer */
            rusm_msg *msg = world_next(w);
            downs += rusm_msg_get_kind(msg) == RUSM_MSG_DOWN;
            rusm_msg_free(msg);
        }
        free(source);
    }
}

static void the_node_may_stop_in_the_middle(void **state) {
    struct world *w = *state;
    rusm_pid asker = start_asker(w);
    char *source = source_of("inline:", RUN("(call $recv)"));
    world_send_text(w, asker, source);
    free(source);
}

/* ---- urls ---- */

static const char *const local_hosts[] = {"elsewhere", "127.0.0.1"};

static char *url_of(const struct server *server, const char *path) {
    static char url[128];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server->port, path);
    return url;
}

static void list_local_hosts(struct world *w) {
    w->profile.url_local_hosts = local_hosts;
    w->profile.url_local_host_count = 2;
}

static void a_url_is_fetched_once(void **state) {
    struct world *w = *state;
    struct server server;
    char *hi = source_of("", SAY_HI), url[160];
    server_start(&server, hi);
    list_local_hosts(w);
    rusm_pid asker = start_asker(w);
    for (int i = 0; i < 3; i++) {
        world_send_text(w, asker, url_of(&server, "/hi"));
        expect_child(w);
        world_expect(w, "hi");
    }
    assert_int_equal(atomic_load(&server.asks), 1);
    snprintf(url, sizeof(url), "url:%s", url_of(&server, "/there"));
    world_send_text(w, asker, url);
    expect_child(w);
    world_expect(w, "hi");
    assert_int_equal(atomic_load(&server.asks), 3);
    assert_int_equal(rusm__hostcall_compiled(w->hostcall), 1);
    server_stop(&server);
    free(hi);
}

static void what_a_url_does_not_give_is_an_error(void **state) {
    struct world *w = *state;
    struct server server;
    char error[256];
    server_start(&server, "(component");
    list_local_hosts(w);
    rusm_pid asker = start_asker(w);
    static const char *const cases[][2] = {
        {"/missing", "the server answers 404 Not Found"},
        {"/round", "more than 5 redirects"},
        {"/away", "127.0.0.2 is this machine, its link or a private network, which must be "
                  "listed: put it into `url-local-hosts` of the profile that asks"},
        {"/beside", "a redirect to neither a whole URL nor an absolute path"},
        {"?where", "the server answers 404 Not Found"}, /* as "/?where" */
        {"/large", "it is larger than 16777216 bytes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *url = url_of(&server, cases[i][0]);
        snprintf(error, sizeof(error), "fetching %s: %s", url, cases[i][1]);
        ask_in_vain(w, asker, url, error);
    }
    ask_in_vain(w, asker, url_of(&server, "/hi"), "compiling dynamic WASM component: ");
    server_stop(&server);
    snprintf(error, sizeof(error), "fetching %s: ", url_of(&server, "/hi"));
    ask_in_vain(w, asker, url_of(&server, "/hi"), error); /* nobody listens */
    ask_in_vain(w, asker, "http://me@127.0.0.1/", "fetching http://me@127.0.0.1/: no URL that can");
}

/* Also when it is known already, because somebody asked who lists it. */
static void this_machine_must_be_listed(void **state) {
    struct world *w = *state;
    struct rusm__profile plain = world_profile("plain");
    struct server server;
    char *hi = source_of("", SAY_HI), error[160];
    server_start(&server, hi);
    list_local_hosts(w);
    rusm_pid lists = start_asker(w);
    rusm_pid lists_not = world_start(w, world_guest_with(w, "plain", asker_body, &plain));
    const char *url = url_of(&server, "/hi");
    world_send_text(w, lists, url);
    expect_child(w);
    world_expect(w, "hi");
    snprintf(error, sizeof(error), "fetching %s: 127.0.0.1 is this machine, its link", url);
    ask_in_vain(w, lists_not, url, error);
    assert_int_equal(atomic_load(&server.asks), 1);
    ask_in_vain(w, lists_not, "http://[::ffff:127.0.0.1]:1/", "fetching http://[::ffff:127.0.0.1]");
    server_stop(&server);
    free(hi);
}

/* A fetch that nobody waits for is called off: the server would not answer within the test. */
static void askers_may_die_while_it_is_fetched(void **state) {
    struct world *w = *state;
    struct server server;
    server_start(&server, "");
    list_local_hosts(w);
    rusm_pid asker = start_asker(w);
    for (unsigned round = 1; round <= 3; round++) {
        world_send_text(w, asker, url_of(&server, "/never"));
        WAIT_FOR(atomic_load(&server.asks) >= round);
        assert_true(rusm_pid_kill(w->runtime, asker));
        world_expect_end(w, asker, RUSM_EXIT_KILLED);
        char name[16];
        snprintf(name, sizeof(name), "again%u", round);
        asker = world_run(w, name, asker_body);
    }
    server_stop(&server);
}

static int listen_anywhere(int *out_port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *out_port = ntohs(at.sin_port);
    return fd;
}

/* The next client within so many milliseconds; -1: there is none. */
static int next_client(int listener, int ms) {
    struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
    return poll(&poll_fd, 1, ms) > 0 ? accept(listener, NULL, NULL) : -1;
}

/* Each may hold 16 MiB of memory, so the others wait. */
static void only_so_many_are_fetched_at_once(void **state) {
    struct world *w = *state;
    int port, clients[RUSM__FETCHES_MAX], listener = listen_anywhere(&port);
    char url[64];
    list_local_hosts(w);
    add_template(w, "tpl", false);
    struct rusm__component *asker = world_guest(w, "asker", asker_body);
    for (int i = 0; i < RUSM__FETCHES_MAX + 2; i++) {
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/%d", port, i);
        world_send_text(w, world_start(w, asker), url);
    }
    for (int i = 0; i < RUSM__FETCHES_MAX; i++) {
        clients[i] = next_client(listener, PATIENCE_S * 1000);
        assert_true(clients[i] >= 0);
    }
    assert_int_equal(next_client(listener, 300), -1);
    for (int i = 0; i < 2; i++) { /* one fails, one more begins */
        close(clients[i]);
        clients[i] = next_client(listener, PATIENCE_S * 1000);
        assert_true(clients[i] >= 0);
    }
    for (int i = 0; i < RUSM__FETCHES_MAX; i++)
        close(clients[i]);
    close(listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        dynamic_test(inline_text_is_compiled_once_and_runs),
        dynamic_test(code_runs_under_the_templates_profile),
        dynamic_test(who_asks_at_once_shares_one_compilation),
        dynamic_test(a_source_in_the_store_is_believed_for_its_time),
        cmocka_unit_test_setup_teardown(without_a_time_to_live_the_store_is_always_asked,
                                        setup_forgetful, stored_teardown),
        cmocka_unit_test_setup_teardown(what_nobody_uses_is_unloaded, setup_short, stored_teardown),
        dynamic_test(wrong_sources_are_errors),
        dynamic_test(an_error_is_much_shorter_than_its_source),
        dynamic_test(failures_are_not_kept),
        dynamic_test(names_that_are_no_template_are_errors),
        dynamic_test(a_command_must_be_one),
        dynamic_test(gates_are_asked_although_it_is_known),
        world_test(without_a_store_it_says_so),
        dynamic_test(children_are_counted),
        dynamic_test(askers_may_die_before_it_is_compiled),
        dynamic_test(the_node_may_stop_in_the_middle),
        dynamic_test(a_url_is_fetched_once),
        dynamic_test(what_a_url_does_not_give_is_an_error),
        dynamic_test(this_machine_must_be_listed),
        dynamic_test(askers_may_die_while_it_is_fetched),
        dynamic_test(only_so_many_are_fetched_at_once),
    };
    return cmocka_run_group_tests(tests, stored_group_setup, stored_group_teardown);
}
