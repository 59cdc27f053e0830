/* SPDX-License-Identifier: MIT */
/* `rusm run`, `rusm serve` and `rusm check`: a node started, shown, waited for and stopped. */
#include <stdio.h>

#include "rusm/error.h"
#include "rusm/node.h"

#include "cli/command.h"
#include "cli/signals.h"

static const char *config_name(const struct rusm__cli_args *args) {
    return args->config ? args->config : "rusm.toml";
}

int rusm__cli_report(const char *name, int code, rusm_problem *problem) {
    int status = RUSM__CLI_OK;
    const char *text = problem->text ? problem->text : rusm_error_text(code);
    if (code == RUSM_ECONFIG || code == RUSM_ENOTSUP) {
        fprintf(stderr, "%s\n", text); /* the manifest: every line names its place */
        status = RUSM__CLI_USAGE;
    } else if (code < 0) {
        fprintf(stderr, "%s failed: %s\n", name, text);
        status = RUSM__CLI_FAILED;
    } else if (problem->text) {
        fprintf(stderr, "%s\n", problem->text);
    }
    rusm_problem_clear(problem);
    return status;
}

static rusm_node_options options_of(const struct rusm__cli_args *args, rusm_node_mode mode) {
    return (rusm_node_options){
        .size = sizeof(rusm_node_options),
        .mode = mode,
        .config_path = args->config,
        .node_listen = args->listen,
    };
}

static void print_names(const char *title, const rusm_node *node,
                        size_t (*count)(const rusm_node *),
                        const char *(*name)(const rusm_node *, size_t)) {
    size_t names = count(node);
    for (size_t i = 0; i < names; i++)
        printf("%s%s", i == 0 ? title : ", ", name(node, i));
    if (names != 0)
        printf("\n");
}

static void print_endpoints(const rusm_node *node) {
    size_t count = rusm_node_endpoint_count(node);
    if (count == 0)
        return;
    printf("serving %zu endpoint(s):\n", count);
    for (size_t i = 0; i < count; i++) {
        rusm_node_endpoint endpoint = rusm_node_get_endpoint(node, i);
        printf("  %-16s %s\n", endpoint.name, endpoint.url);
    }
}

static bool is_empty(const rusm_node *node) {
    return rusm_node_resident_count(node) == 0 && rusm_node_on_demand_count(node) == 0 &&
           rusm_node_endpoint_count(node) == 0;
}

static int stop(rusm_node *node) {
    printf("\nstopping %zu process(es)…\n", rusm_node_process_count(node));
    rusm_node_stop(node);
    return RUSM__CLI_OK;
}

static int live(rusm_node *node) {
    print_names("resident: ", node, rusm_node_resident_count, rusm_node_resident_name);
    print_names("on demand: ", node, rusm_node_on_demand_count, rusm_node_on_demand_name);
    print_endpoints(node);
    printf("press Ctrl-C to stop\n");
    rusm__cli_wait();
    return stop(node);
}

/* `missing` and `verb` make the line that is said when there is nothing to do. */
static int start(const struct rusm__cli_command *command, const struct rusm__cli_args *args,
                 rusm_node_mode mode, const char *missing, const char *verb) {
    if (!rusm__cli_signals_start()) {
        fprintf(stderr, "%s failed: cannot start a thread\n", command->name);
        return RUSM__CLI_FAILED;
    }
    rusm_node_options options = options_of(args, mode);
    rusm_node *node;
    rusm_problem problem;
    int code = rusm_node_start(&options, &node, &problem);
    int status = rusm__cli_report(command->name, code, &problem);
    if (status != RUSM__CLI_OK)
        return status;
    rusm__cli_signals_ready();
    if (!is_empty(node))
        return live(node);
    printf("no %s in %s — nothing to %s\n", missing, config_name(args), verb);
    rusm_node_stop(node);
    return RUSM__CLI_OK;
}

int rusm__cli_run(const struct rusm__cli_command *command, const struct rusm__cli_args *args) {
    return start(command, args, RUSM_NODE_RUN, "[components]", "run");
}

int rusm__cli_serve(const struct rusm__cli_command *command, const struct rusm__cli_args *args) {
    return start(command, args, RUSM_NODE_SERVE, "[[serve]] entries or [components]", "do");
}

int rusm__cli_check(const struct rusm__cli_command *command, const struct rusm__cli_args *args) {
    rusm_node_options options = options_of(args, RUSM_NODE_SERVE);
    options.config_path = config_name(args); /* named, so that a missing one is a problem */
    rusm_problem problem;
    int code = rusm_node_check(&options, &problem);
    int status = rusm__cli_report(command->name, code, &problem);
    if (status == RUSM__CLI_OK)
        printf("%s: ok\n", config_name(args));
    return status;
}
