/* SPDX-License-Identifier: MIT */
/* Any bytes as rusm.toml: read, check, ask every command, match routes, print the report. Beyond
 * "nothing breaks", it holds the promises of manifest.h against what came out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "manifest/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_report(struct rusm__report *report) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    for (size_t i = 0; i < report->count; i++) {
        const struct rusm__problem *problem = &report->problems[i];
        RUSM_CHECK(problem->text[0] != '\0');
        for (const char *c = problem->text; *c != '\0'; c++) {
            RUSM_CHECK((unsigned char)*c >= 0x20 && *c != 0x7f); /* nothing forges a line */
        }
        RUSM_CHECK(i == 0 || rusm__pos_compare(report->problems[i - 1].at, problem->at) <= 0);
    }
    rusm__report_print(report, true, &text);
    RUSM_CHECK((report->count == 0) == (text.len == 0));
    rusm__buf_fini(&text);
}

/* The pattern of each route, with its parameters filled in, is found again. */
static void check_routes(const struct rusm__routes *routes) {
    for (size_t i = 0; i < rusm__routes_count(routes); i++) {
        const struct rusm__route *route = rusm__routes_at(routes, i);
        struct rusm__route_match match;
        struct rusm__buf target;
        char text[2048];
        rusm__buf_init(&target);
        for (size_t s = 0; s < route->segment_count; s++) {
            const struct rusm__segment *segment = &route->segments[s];
            bool literal = segment->kind == RUSM__SEGMENT_LITERAL;
            rusm__buf_add_char(&target, '/');
            rusm__buf_add(&target, literal ? segment->text : "@", literal ? segment->len : 1);
        }
        rusm__buf_add_str(&target, "//?x");
        enum rusm__route_result result =
            rusm__routes_match(routes, route->method, strlen(route->method),
                               rusm__buf_cstr(&target), target.len, &match);
        RUSM_CHECK(result == RUSM__ROUTE_FOUND);
        RUSM_CHECK(rusm__route_compare(match.route, route) <= 0);
        for (size_t p = 0; p < match.param_count; p++) {
            RUSM_CHECK(rusm__route_param_text(&match.params[p], text) <= match.params[p].raw_len);
        }
        rusm__buf_fini(&target);
    }
}

static void check_manifest(const struct rusm__manifest *m) {
    RUSM_CHECK(m->node.listen.host != NULL);
    for (size_t i = 0; i < m->component_count; i++) {
        RUSM_CHECK(m->components[i].profile != NULL && m->components[i].entry != NULL);
        RUSM_CHECK(rusm__manifest_find_component(m, m->components[i].name) == &m->components[i]);
    }
    for (size_t i = 0; i < m->serve_count; i++) {
        const struct rusm__manifest_listener *l = &m->serve[i];
        RUSM_CHECK(l->listen.text != NULL && l->listen.host != NULL && l->protocol != 0);
        RUSM_CHECK(l->routed == (l->routes != NULL));
        if (l->routed) {
            check_routes(l->routes);
        } else {
            RUSM_CHECK(l->component != NULL && l->profile != NULL);
        }
        for (size_t h = 1; h < l->header_count; h++) {
            RUSM_CHECK(strcmp(l->headers[h - 1].name, l->headers[h].name) < 0);
        }
    }
    for (size_t i = 0; i < m->capability_count; i++) {
        const struct rusm__limits *limits = &m->capabilities[i].limits;
        RUSM_CHECK(limits->max_memory_mb >= 1 && limits->max_memory_mb <= 4096);
        RUSM_CHECK(limits->mailbox_messages >= 1 && limits->max_message_bytes >= 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum rusm__manifest_command commands[] = {RUSM__FOR_RUN, RUSM__FOR_KV,
                                                           RUSM__FOR_CHECK};
    struct rusm__report report;
    struct rusm__manifest *manifest;
    rusm__report_init(&report);
    int code = rusm__manifest_parse("f", (const char *)data, size, &manifest, &report);
    RUSM_CHECK(code == RUSM_OK || code == RUSM_ECONFIG || code == RUSM_ENOMEM);
    RUSM_CHECK((code == RUSM_OK) == (report.errors == 0) || code == RUSM_ENOMEM);
    check_report(&report);
    if (code == RUSM_OK) {
        check_manifest(manifest);
    }
    for (size_t i = 0; manifest != NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
        size_t before = report.errors;
        int lacking = rusm__manifest_unsupported(manifest, commands[i], &report);
        RUSM_CHECK((lacking == RUSM_OK) == (report.errors == before));
        check_report(&report);
    }
    rusm__manifest_free(manifest);
    rusm__report_fini(&report);
    return 0;
}
