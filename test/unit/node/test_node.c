/* SPDX-License-Identifier: MIT */
/* The node through its public header: apps are made in a temporary folder, components are written
 * as text. What guests do inside is tested in test/e2e, traps among it: cmocka takes the signals
 * that Wasmtime turns into traps. */
#include "rusm/node.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"

#define PATIENCE_S 30
#include "wait.h"

/* Returns at once. */
#define ACTOR                                                                                      \
    "(component (core module $m (func (export \"run\")))"                                          \
    " (core instance $i (instantiate $m))"                                                         \
    " (func (export \"run\") (canon lift (core func $i \"run\"))))"

/* ---- apps ---- */

static char root[] = "/tmp/rusm-node-XXXXXX";

static void write_file(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_files(const char *folder) {
    char path[512];
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_type == DT_REG)
            unlink(path);
    }
    closedir(dir);
}

static int make_app(void **state) {
    (void)state;
    char path[256];
    setenv("RUSM_CACHE_DIR", "", 1);
    snprintf(root, sizeof(root), "/tmp/rusm-node-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(path, sizeof(path), "%s/wasm", root);
    return mkdir(path, 0700);
}

static int remove_app(void **state) {
    (void)state;
    char path[256];
    snprintf(path, sizeof(path), "%s/wasm", root);
    remove_files(path);
    remove_files(root);
    rmdir(path);
    return rmdir(root);
}

static rusm_node_options options_for(rusm_node_mode mode) {
    return (rusm_node_options){
        .size = sizeof(rusm_node_options), .mode = mode, .root = root, .schedulers = 2};
}

static unsigned count_threads(void) {
    unsigned threads = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        threads += entry->d_name[0] != '.';
    closedir(dir);
    return threads;
}

/* A socket that listens on a port of 127.0.0.1. */
static int take_port(uint16_t *out_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

static void start_fails(rusm_node_mode mode, int code, const char *text) {
    rusm_node_options options = options_for(mode);
    rusm_node *node;
    rusm_problem problem;
    assert_int_equal(rusm_node_start(&options, &node, &problem), code);
    assert_null(node);
    assert_int_equal(problem.code, code);
    assert_non_null(problem.text);
    if (!strstr(problem.text, text))
        fail_msg("expected \"%s\" in \"%s\"", text, problem.text);
    rusm_problem_clear(&problem);
    assert_null(problem.text);
}

/* ---- the tests ---- */

static void options_of_another_size_are_refused(void **state) {
    (void)state;
    rusm_node_options options = options_for(RUSM_NODE_RUN);
    rusm_node *node;
    rusm_problem problem;
    options.size--;
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_EINVAL);
    assert_null(node);
    assert_int_equal(rusm_node_check(&options, &problem), RUSM_EINVAL);
    options = options_for((rusm_node_mode)0);
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_EINVAL);
    assert_int_equal(rusm_node_start(NULL, &node, &problem), RUSM_EINVAL);
}

static void app_without_a_manifest_is_an_empty_node(void **state) {
    (void)state;
    rusm_node_options options = options_for(RUSM_NODE_SERVE);
    rusm_node *node;
    rusm_problem problem;
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_OK);
    assert_null(problem.text);
    assert_int_equal(rusm_node_resident_count(node), 0);
    assert_int_equal(rusm_node_on_demand_count(node), 0);
    assert_int_equal(rusm_node_endpoint_count(node), 0);
    assert_null(rusm_node_resident_name(node, 0));
    assert_null(rusm_node_get_endpoint(node, 0).url);
    assert_int_equal(rusm_node_stop(node), 0);
    assert_int_equal(rusm_node_stop(NULL), 0);
}

static void names_and_endpoints_are_known(void **state) {
    (void)state;
    write_file("rusm.toml", "[components.b]\n[components.a]\nresident = true\n[components.c]\n"
                            "[[serve]]\nprotocol = 'http'\nlisten = '127.0.0.1:0'\n"
                            "[serve.routes]\n'GET /' = 'b#x'\n");
    write_file("wasm/a.wasm", ACTOR);
    write_file("wasm/b.wasm", ACTOR);
    write_file("wasm/c.wasm", ACTOR);
    rusm_node_options options = options_for(RUSM_NODE_SERVE);
    rusm_node *node;
    rusm_problem problem;
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_OK);
    assert_int_equal(rusm_node_resident_count(node), 1);
    assert_string_equal(rusm_node_resident_name(node, 0), "a");
    assert_int_equal(rusm_node_on_demand_count(node), 2);
    assert_string_equal(rusm_node_on_demand_name(node, 0), "b");
    assert_string_equal(rusm_node_on_demand_name(node, 1), "c");
    assert_int_equal(rusm_node_endpoint_count(node), 1);
    rusm_node_endpoint endpoint = rusm_node_get_endpoint(node, 0);
    assert_string_equal(endpoint.name, "routes");
    assert_int_equal(strncmp(endpoint.url, "http://127.0.0.1:", 17), 0);
    assert_int_not_equal(atoi(endpoint.url + 17), 0);
    assert_non_null(rusm_node_runtime(node));
    rusm_node_stop(node);
}

static int answer_nothing(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    (void)call, (void)args;
    *answer = rusm_value_none();
    return RUSM_OK;
}

static void a_granted_bridge_is_one_of_the_program(void **state) {
    (void)state;
    write_file("rusm.toml",
               "[capabilities.p]\nbridges = ['tools']\n[components.a]\ncapability = 'p'\n");
    write_file("wasm/a.wasm", ACTOR);
    rusm_node_options options = options_for(RUSM_NODE_RUN);
    rusm_node *node;
    rusm_problem problem;
    assert_int_equal(rusm_node_check(&options, &problem), RUSM_ENOTSUP);
    assert_non_null(strstr(problem.text, "[capabilities.p]: `bridges` names `tools`"));
    rusm_problem_clear(&problem);
    rusm_bridge_function function = {"f", "func(x: what)", answer_nothing, 0, 0};
    rusm_bridge bridge = {sizeof(bridge), "tools", "a:b/c@1.0.0", &function, 1, NULL};
    options.bridges = &bridge;
    options.bridge_count = 1;
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_EINVAL);
    assert_non_null(strstr(problem.text, "the bridge `tools`: the type of `f`, at `what)`"));
    rusm_problem_clear(&problem);
    function.type = "func()";
    assert_int_equal(rusm_node_check(&options, &problem), RUSM_OK);
    rusm_problem_clear(&problem);
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_OK);
    assert_int_equal(rusm_node_notifications(node), 0);
    rusm_node_stop(node);
}

static void every_artefact_that_is_wrong_is_named(void **state) {
    (void)state;
    write_file("rusm.toml", "[components.a]\n[components.b]\n[components.c]\n[components.d]\n");
    write_file("wasm/a.wasm", "not wasm at all");
    write_file("wasm/c.wasm", ACTOR);
    write_file("wasm/d.js", "export default 1");
    start_fails(RUSM_NODE_RUN, RUSM_EGUEST, "wasm/a.wasm");
    start_fails(RUSM_NODE_RUN, RUSM_EGUEST,
                "wasm/b.wasm (run `rusm build`?): No such file or directory");
    start_fails(RUSM_NODE_RUN, RUSM_EGUEST, "JavaScript");
    rusm_node_options options = options_for(RUSM_NODE_RUN);
    rusm_problem problem;
    assert_int_equal(rusm_node_check(&options, &problem), RUSM_EGUEST);
    assert_non_null(strstr(problem.text, "wasm/b.wasm"));
    rusm_problem_clear(&problem);
}

static void a_value_that_is_no_text_cannot_be_granted(void **state) {
    (void)state;
    write_file("rusm.toml", "[capabilities.'p.q']\nenv = ['RUSM_TEST_BYTES']\n"
                            "[components.a]\ncapability = 'p.q'\n");
    write_file("wasm/a.wasm", ACTOR);
    setenv("RUSM_TEST_BYTES", "caf\xe9", 1);
    start_fails(RUSM_NODE_RUN, RUSM_ECONFIG,
                "component `a`: the value of RUSM_TEST_BYTES in the environment is not UTF-8");
    start_fails(RUSM_NODE_RUN, RUSM_ECONFIG, "`env` under [capabilities.\"p.q\"]");
    setenv("RUSM_TEST_BYTES", "café", 1);
    rusm_node_options options = options_for(RUSM_NODE_RUN);
    rusm_problem problem;
    assert_int_equal(rusm_node_check(&options, &problem), RUSM_OK);
    rusm_problem_clear(&problem);
    unsetenv("RUSM_TEST_BYTES");
}

/* Guests that open it crash: test/e2e/test_commands.py. */
static void folder_that_is_not_there_is_no_error_of_the_node(void **state) {
    (void)state;
    write_file("rusm.toml", "[capabilities.p]\n"
                            "preopen = [{host = 'nowhere', guest = '/data'}]\n"
                            "[components.a]\ncapability = 'p'\n");
    write_file("wasm/a.wasm", ACTOR);
    rusm_node_options options = options_for(RUSM_NODE_RUN);
    rusm_problem problem;
    assert_int_equal(rusm_node_check(&options, &problem), RUSM_OK);
    rusm_problem_clear(&problem);
}

static void listen_override_is_held_to_the_rules(void **state) {
    (void)state;
    rusm_node_options options = options_for(RUSM_NODE_RUN);
    rusm_node *node;
    rusm_problem problem;
    options.node_listen = "nowhere";
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_ECONFIG);
    assert_non_null(strstr(problem.text, "invalid --listen `nowhere`"));
    rusm_problem_clear(&problem);
}

static void failed_start_leaves_nothing_behind(void **state) {
    (void)state;
    uint16_t port;
    char manifest[512];
    int taken = take_port(&port);
    snprintf(manifest, sizeof(manifest),
             "[node]\nstore = 'data/app'\n[components.a]\nresident = true\n"
             "[[serve]]\nprotocol = 'http'\nlisten = '127.0.0.1:0'\n[serve.routes]\n"
             "'GET /' = 'a#x'\n"
             "[[serve]]\nprotocol = 'http'\nlisten = '127.0.0.1:%u'\n[serve.routes]\n"
             "'GET /' = 'a#x'\n",
             port);
    write_file("rusm.toml", manifest);
    write_file("wasm/a.wasm", ACTOR);
    /* The first start leaves the compiler's own threads, which later ones share. */
    start_fails(RUSM_NODE_SERVE, RUSM_EBUSY, "binding 127.0.0.1:");
    unsigned before = count_threads();
    start_fails(RUSM_NODE_SERVE, RUSM_EBUSY, "binding 127.0.0.1:");
    start_fails(RUSM_NODE_SERVE, RUSM_EBUSY, "binding 127.0.0.1:");
    WAIT_FOR(count_threads() <= before); /* one that was joined is listed a moment longer */
    close(taken);
    rusm_node_options options = options_for(RUSM_NODE_SERVE);
    rusm_node *node;
    rusm_problem problem;
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_OK);
    rusm_node_stop(node);
    char path[256];
    snprintf(path, sizeof(path), "%s/data", root);
    remove_files(path);
    rmdir(path);
}

static void resident_that_keeps_ending_does_not_stop_the_node(void **state) {
    (void)state;
    write_file("rusm.toml", "[components.a]\nresident = true\nrestart = 'permanent'\n"
                            "[components.b]\nresident = true\nrestart = 'temporary'\n");
    write_file("wasm/a.wasm", ACTOR);
    write_file("wasm/b.wasm", ACTOR);
    rusm_node_options options = options_for(RUSM_NODE_RUN);
    rusm_node *node;
    rusm_problem problem;
    assert_int_equal(rusm_node_start(&options, &node, &problem), RUSM_OK);
    rusm_runtime_stats stats = {.size = sizeof(stats)};
    do { /* b once, a four times: then their supervisor is left */
        usleep(1000);
        assert_int_equal(rusm_runtime_get_stats(rusm_node_runtime(node), &stats), RUSM_OK);
    } while (stats.exited < 5);
    assert_int_equal(stats.spawned, 6);
    assert_int_equal(rusm_node_process_count(node), 0);
    assert_int_equal(rusm_node_stop(node), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_app, remove_app)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_granted_bridge_is_one_of_the_program),
        TEST(options_of_another_size_are_refused),
        TEST(app_without_a_manifest_is_an_empty_node),
        TEST(names_and_endpoints_are_known),
        TEST(every_artefact_that_is_wrong_is_named),
        TEST(a_value_that_is_no_text_cannot_be_granted),
        TEST(folder_that_is_not_there_is_no_error_of_the_node),
        TEST(listen_override_is_held_to_the_rules),
        TEST(failed_start_leaves_nothing_behind),
        TEST(resident_that_keeps_ending_does_not_stop_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
