/* SPDX-License-Identifier: MIT */
/* What stands in the structs: defaults, every key, how profiles and names are resolved; what each
 * command refuses; and that running out of memory anywhere is an answer and not a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "manifest/manifest.h"

static struct rusm__manifest *parse(const char *text) {
    struct rusm__report report;
    struct rusm__manifest *manifest;
    rusm__report_init(&report);
    int code = rusm__manifest_parse("rusm.toml", text, strlen(text), &manifest, &report);
    if (code != RUSM_OK) {
        struct rusm__buf out;
        rusm__buf_init(&out);
        rusm__report_print(&report, true, &out);
        print_error("%s\n", rusm__buf_cstr(&out));
        rusm__buf_fini(&out);
    }
    assert_int_equal(code, RUSM_OK);
    rusm__report_fini(&report);
    return manifest;
}

static char *read_data(const char *name) {
    char path[512];
    snprintf(path, sizeof(path), "%s/manifest/%s", RUSM_TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

/* ---- values ---- */

static void nothing_set_gives_the_documented_defaults(void **state) {
    (void)state;
    struct rusm__manifest *m = parse("");
    assert_string_equal(m->node.listen.text, "127.0.0.1:4000");
    assert_string_equal(m->node.listen.host, "127.0.0.1");
    assert_int_equal(m->node.listen.port, 4000);
    assert_int_equal(m->node.listen.kind, RUSM__HOST_IPV4);
    assert_int_equal(m->node.profile, RUSM__NODE_PROFILE_BALANCED);
    assert_int_equal(m->node.ticks_per_second, 20);
    assert_null(m->node.store);
    assert_int_equal(m->node.dynamic_wasm_ttl_secs, 300);
    assert_int_equal(m->log.level, RUSM__LOG_OFF);
    assert_int_equal(m->capability_count + m->component_count + m->serve_count, 0);
    assert_int_equal(m->node.at[RUSM__NODE_LISTEN].line, 0);
    rusm__manifest_free(m);
}

static void component_and_listener_defaults(void **state) {
    (void)state;
    struct rusm__manifest *m = parse("[components.a]\n[capabilities.p]\n"
                                     "[[serve]]\nprotocol=\"ws\"\nlisten=\"h:0\"\ncomponent=\"z\"");
    const struct rusm__manifest_component *c = &m->components[0];
    assert_string_equal(c->capability, "sandboxed");
    assert_ptr_equal(c->profile, rusm__manifest_builtin_profile(0));
    assert_false(c->resident);
    assert_int_equal(c->restart, RUSM__RESTART_TRANSIENT);
    assert_int_equal(c->source.kind, RUSM__SOURCE_NONE);
    assert_int_equal(c->dynamic, RUSM__DYNAMIC_NONE);
    assert_string_equal(c->entry, "run");
    const struct rusm__manifest_listener *l = &m->serve[0];
    assert_int_equal(l->max_connections, 0);
    assert_int_equal(l->max_message_size, 0);
    assert_int_equal(l->subprotocols.count + l->allowed_origins.count + l->header_count, 0);
    assert_false(l->compression || l->routed);
    assert_null(l->tls);
    assert_null(l->routes);
    assert_null(l->authentication);
    assert_null(l->declared); /* a listener's component need not be declared */
    assert_ptr_equal(l->profile, rusm__manifest_builtin_profile(0));
    assert_int_equal(l->listen.kind, RUSM__HOST_NAME);
    assert_string_equal(m->capabilities[0].inherits, "sandboxed");
    assert_int_equal(m->capabilities[0].limits.max_memory_mb, 64);
    rusm__manifest_free(m);
}

static void check_profile(const struct rusm__manifest_profile *p) {
    assert_string_equal(p->name, "shop");
    assert_string_equal(p->inherits, "trusted");
    assert_false(p->network || p->spawn || p->process_control || p->stdio || p->storage);
    assert_int_equal(p->limits.max_memory_mb, 16);
    assert_int_equal(p->limits.max_host_mb, 8);
    assert_int_equal(p->limits.max_message_bytes, 65536);
    assert_int_equal(p->limits.mailbox_messages, 10);
    assert_int_equal(p->limits.mailbox_bytes, 1048576);
    assert_int_equal(p->limits.mailbox_policy, RUSM__MAILBOX_BLOCK_SENDER);
    assert_int_equal(p->limits.max_children, 1);
    assert_int_equal(p->limits.max_names, 2);
    assert_int_equal(p->limits.max_timers, 3);
    assert_int_equal(p->limits.max_streams, 4);
    assert_int_equal(p->limits.cpu_ms, 50);
    assert_int_equal(p->limits.deadline_ms, 1000);
    assert_int_equal(p->bridges.count, 1);
    assert_string_equal(p->bridges.items[0], "weather");
    assert_int_equal(p->env.count, 2);
    assert_string_equal(p->env.items[1], "LANG");
    assert_int_equal(p->preopen_count, 2);
    assert_string_equal(p->preopens[0].host, "data");
    assert_string_equal(p->preopens[0].guest, "/data");
    assert_false(p->preopens[0].read_only);
    assert_true(p->preopens[1].read_only); /* the default */
    assert_int_equal(p->at[RUSM__CAPABILITY_CPU_MS].line, 63);
    assert_int_equal(p->at[RUSM__CAPABILITY_CPU_MS].column, 10);
}

static void check_http_listener(const struct rusm__manifest_listener *l) {
    assert_int_equal(l->protocol, RUSM__PROTOCOL_HTTP);
    assert_string_equal(l->listen.host, "0.0.0.0");
    assert_int_equal(l->listen.port, 8443);
    assert_int_equal(l->max_connections, 1000);
    assert_true(l->compression && l->routed);
    assert_string_equal(l->authentication, "jwt");
    assert_string_equal(l->tls->cert, "tls/cert.pem");
    assert_string_equal(l->tls->key, "tls/key.pem");
    assert_int_equal(l->header_count, 2);
    assert_string_equal(l->headers[0].name, "cache-control");
    assert_string_equal(l->headers[1].name, "x-frame-options");
    assert_string_equal(l->headers[1].value, "DENY");
    assert_int_equal(rusm__routes_count(l->routes), 4);
    struct rusm__route_match match;
    assert_int_equal(rusm__routes_match(l->routes, "GET", 3, "/items/7?x", 10, &match),
                     RUSM__ROUTE_FOUND);
    assert_string_equal(match.route->component, "shop");
    assert_string_equal(match.route->action, "item");
    assert_string_equal(match.route->key, "GET /items/:id");
    assert_string_equal(match.route->declared->name, "shop");
    assert_int_equal(match.route->at.line, 20);
}

static void check_ws_listener(const struct rusm__manifest_listener *l) {
    assert_int_equal(l->protocol, RUSM__PROTOCOL_WS);
    assert_string_equal(l->listen.host, "example.org");
    assert_int_equal(l->listen.port, 0);
    assert_string_equal(l->component, "chat");
    assert_int_equal(l->source.kind, RUSM__SOURCE_URL);
    assert_string_equal(l->source.url, "https://example.org/chat.wasm");
    assert_int_equal(l->subprotocols.count, 2);
    assert_string_equal(l->subprotocols.items[0], "chat.v2");
    assert_int_equal(l->max_message_size, 65536);
    assert_string_equal(l->allowed_origins.items[0], "https://example.org");
}

static void every_key_reaches_its_field(void **state) {
    (void)state;
    char *text = read_data("good/all_keys.toml");
    struct rusm__manifest *m = parse(text);
    assert_string_equal(m->node.listen.host, "::1");
    assert_int_equal(m->node.listen.kind, RUSM__HOST_IPV6);
    assert_int_equal(m->node.profile, RUSM__NODE_PROFILE_MAX);
    assert_int_equal(m->node.ticks_per_second, 30);
    assert_string_equal(m->node.store, "data/app.db");
    assert_int_equal(m->node.dynamic_wasm_ttl_secs, 0);
    assert_int_equal(m->node.at[RUSM__NODE_STORE].line, 6);
    assert_int_equal(m->log.level, RUSM__LOG_WARN);
    check_profile(&m->capabilities[0]);
    assert_int_equal(m->serve_count, 2);
    check_http_listener(&m->serve[0]);
    check_ws_listener(&m->serve[1]);
    const struct rusm__manifest_component *shop = rusm__manifest_find_component(m, "shop");
    assert_string_equal(shop->profile->name, "shop");
    const struct rusm__limits own = shop->profile->limits;
    assert_int_equal(own.max_memory_mb, 8);
    assert_int_equal(own.max_host_mb, 4);
    assert_int_equal(own.max_message_bytes, 4096);
    assert_int_equal(own.mailbox_messages, 5);
    assert_int_equal(own.mailbox_bytes, 65536);
    assert_int_equal(own.mailbox_policy, RUSM__MAILBOX_EXIT);
    assert_int_equal(own.max_children, 2);
    assert_int_equal(own.max_names, 3);
    assert_int_equal(own.max_timers, 4);
    assert_int_equal(own.max_streams, 5);
    assert_int_equal(own.cpu_ms, 60);
    assert_int_equal(own.deadline_ms, 2000);
    assert_true(shop->resident);
    assert_int_equal(shop->restart, RUSM__RESTART_PERMANENT);
    assert_int_equal(shop->source.kind, RUSM__SOURCE_KV);
    assert_string_equal(shop->source.bucket, "bundles");
    assert_string_equal(shop->source.key, "shop/v1.wasm");
    assert_string_equal(shop->entry, "start");
    assert_int_equal(rusm__manifest_find_component(m, "runner")->dynamic, RUSM__DYNAMIC_WASM);
    assert_null(rusm__manifest_find_component(m, "nobody"));
    rusm__manifest_free(m);
    free(text);
}

static void levels_are_trimmed_and_have_aliases(void **state) {
    (void)state;
    static const struct {
        const char *word;
        enum rusm__log_level level;
    } cases[] = {{" WARNING ", RUSM__LOG_WARN}, {"trace", RUSM__LOG_DEBUG},
                 {"Off", RUSM__LOG_OFF},        {"error", RUSM__LOG_ERROR},
                 {"info", RUSM__LOG_INFO},      {"debug", RUSM__LOG_DEBUG}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "[log]\nlevel = \"%s\"", cases[i].word);
        struct rusm__manifest *m = parse(text);
        assert_int_equal(m->log.level, cases[i].level);
        rusm__manifest_free(m);
    }
}

static void profile_of_the_app_hides_a_builtin_one(void **state) {
    (void)state;
    char *text = read_data("good/hidden_builtin.toml");
    struct rusm__manifest *m = parse(text);
    assert_ptr_equal(rusm__manifest_find_profile(m, "sandboxed"), &m->capabilities[0]);
    assert_int_equal(m->components[0].profile->limits.max_memory_mb, 8);
    assert_int_equal(m->components[1].profile->limits.max_memory_mb, 1024);
    assert_true(m->components[1].profile->spawn);
    assert_null(rusm__manifest_find_profile(m, "nothing"));
    rusm__manifest_free(m);
    free(text);
}

/* Whatever the profile says, and in either spelling; other components are not concerned. */
static void a_component_may_set_limits_of_its_own(void **state) {
    (void)state;
    struct rusm__manifest *m = parse("[capabilities.p]\nallow-spawn = true\nmax-memory-mb = 8\n"
                                     "cpu-ms = 70\n"
                                     "[components.a]\ncapability = 'p'\nmax-memory-mb = 1\n"
                                     "deadline_ms = 0\nmailbox-policy = 'exit'\n"
                                     "[components.b]\ncapability = 'p'\n"
                                     "[components.c]\nmax_host_mb = 2\n");
    const struct rusm__manifest_profile *a = m->components[0].profile;
    assert_string_equal(a->name, "p");
    assert_string_equal(a->limits_of, "a");
    assert_true(a->spawn);
    assert_int_equal(a->limits.max_memory_mb, 1);
    assert_int_equal(a->limits.cpu_ms, 70);
    assert_int_equal(a->limits.mailbox_policy, RUSM__MAILBOX_EXIT);
    assert_int_equal(a->at[RUSM__CAPABILITY_DEADLINE_MS].line, 8);
    assert_int_equal(a->at[RUSM__CAPABILITY_MAX_HOST_MB].line, 0);
    assert_ptr_equal(m->components[1].profile, &m->capabilities[0]);
    assert_null(m->capabilities[0].limits_of);
    assert_int_equal(m->capabilities[0].limits.max_memory_mb, 8);
    assert_int_equal(m->components[2].profile->limits.max_host_mb, 2);
    assert_int_equal(m->components[2].profile->limits.max_memory_mb, 64);
    assert_int_equal(rusm__manifest_builtin_profile(0)->limits.max_host_mb, 128);
    rusm__manifest_free(m);
}

static void builtin_profiles_grant_what_the_table_says(void **state) {
    (void)state;
    const struct rusm__manifest_profile *sandboxed = rusm__manifest_builtin_profile(0);
    const struct rusm__manifest_profile *client = rusm__manifest_builtin_profile(1);
    const struct rusm__manifest_profile *trusted = rusm__manifest_builtin_profile(2);
    assert_null(rusm__manifest_builtin_profile(3));
    assert_false(sandboxed->network || sandboxed->spawn || sandboxed->process_control ||
                 sandboxed->stdio || sandboxed->storage);
    assert_true(client->network);
    assert_false(client->spawn || client->process_control || client->stdio || client->storage);
    assert_true(trusted->network && trusted->spawn && trusted->process_control && trusted->stdio &&
                trusted->storage);
    assert_int_equal(sandboxed->limits.max_memory_mb, 64);
    assert_int_equal(client->limits.max_memory_mb, 64);
    assert_int_equal(trusted->limits.max_memory_mb, 1024);
}

static void each_listener_has_its_own_routes(void **state) {
    (void)state;
    struct rusm__manifest *m =
        parse("[[serve]]\nprotocol='http'\nlisten='a:1'\n[serve.routes]\n'GET /x'='c#one'\n"
              "[[serve]]\nprotocol='sse'\nlisten='a:2'\n[serve.routes]\n'GET /x'=' c '\n"
              "[components.c]\n");
    struct rusm__route_match match;
    assert_int_equal(rusm__routes_match(m->serve[0].routes, "GET", 3, "/x", 2, &match),
                     RUSM__ROUTE_FOUND);
    assert_string_equal(match.route->action, "one");
    assert_int_equal(rusm__routes_match(m->serve[1].routes, "GET", 3, "/x", 2, &match),
                     RUSM__ROUTE_FOUND);
    assert_null(match.route->action);
    assert_string_equal(match.route->component, "c");
    rusm__manifest_free(m);
}

/* ---- what commands refuse ---- */

static void check_refusals(const char *text, enum rusm__manifest_command command, size_t count) {
    struct rusm__report report;
    rusm__report_init(&report);
    struct rusm__manifest *m = parse(text);
    assert_int_equal(rusm__manifest_unsupported(m, command, &report),
                     count == 0 ? RUSM_OK : RUSM_ENOTSUP);
    assert_int_equal(report.errors, count);
    for (size_t i = 0; i < report.count; i++) {
        assert_int_equal(report.problems[i].severity, RUSM__UNSUPPORTED);
        assert_non_null(strstr(report.problems[i].text, "is not supported yet"));
    }
    rusm__report_fini(&report);
    rusm__manifest_free(m);
}

static void command_refuses_only_what_it_needs(void **state) {
    (void)state;
    char *text = read_data("good/all_keys.toml");
    check_refusals(text, RUSM__FOR_CHECK, 6);
    check_refusals(text, RUSM__FOR_SERVE, 6);
    check_refusals(text, RUSM__FOR_RUN, 1); /* no listeners */
    check_refusals(text, RUSM__FOR_KV, 0);
    check_refusals(text, RUSM__FOR_BUILD, 0);
    free(text);
}

/* ---- memory ---- */

static void every_failed_allocation_is_an_answer(void **state) {
    (void)state;
    static const char *const files[] = {"good/all_keys.toml", "bad/route_targets.toml",
                                        "bad/capabilities.toml"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *text = read_data(files[i]);
        bool failed = true;
        for (size_t nth = 1; failed; nth++) {
            struct rusm__report report;
            struct rusm__manifest *m;
            rusm__report_init(&report);
            rusm__mem_fail_nth(nth);
            int code = rusm__manifest_parse("rusm.toml", text, strlen(text), &m, &report);
            failed = rusm__mem_fail_nth(0) >= nth;
            if (failed) {
                assert_int_equal(code, RUSM_ENOMEM);
                assert_null(m);
            } else {
                assert_true(code == RUSM_OK || code == RUSM_ECONFIG);
                assert_true(nth > 2); /* the counter really counted */
            }
            rusm__report_fini(&report);
            rusm__manifest_free(m);
        }
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set_gives_the_documented_defaults),
        cmocka_unit_test(component_and_listener_defaults),
        cmocka_unit_test(every_key_reaches_its_field),
        cmocka_unit_test(levels_are_trimmed_and_have_aliases),
        cmocka_unit_test(profile_of_the_app_hides_a_builtin_one),
        cmocka_unit_test(a_component_may_set_limits_of_its_own),
        cmocka_unit_test(builtin_profiles_grant_what_the_table_says),
        cmocka_unit_test(each_listener_has_its_own_routes),
        cmocka_unit_test(command_refuses_only_what_it_needs),
        cmocka_unit_test(every_failed_allocation_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
