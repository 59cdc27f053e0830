/* SPDX-License-Identifier: MIT */
#include "cli/command.h"

#include <string.h>

#include "rusm/version.h"

#define BY_HAND "compile components with their own tool chain and copy them to ./wasm/<name>.wasm"

static const struct rusm__cli_command commands[] = {
    {
        .name = "new",
        .summary = "make a new app",
        .usage = "<name>",
        .instead = "start from one of the apps in examples/",
    },
    {
        .name = "build",
        .summary = "compile components/ into wasm/",
        .instead = BY_HAND,
    },
    {
        .name = "run",
        .summary = "run the components, without listeners",
        .usage = "[--config <file>] [--listen <addr>]",
        .text = "Reads rusm.toml, loads ./wasm/<name>.wasm of every component, runs its commands\n"
                "once and its residents for good, and waits. The current directory is the root of\n"
                "the app. Ctrl-C or SIGTERM stops it; a second one ends it at once.\n"
                "\n"
                "  --config <file>  read this file instead of ./rusm.toml\n"
                "  --listen <addr>  instead of [node] listen, the address of `rusm node start`\n",
        .examples = "  rusm run\n"
                    "  rusm run --config staging.toml\n",
        .takes_config = true,
        .takes_listen = true,
        .run = rusm__cli_run,
    },
    {
        .name = "dev",
        .summary = "build, run, and reload on every change",
        .instead = BY_HAND ", and restart `rusm serve`",
    },
    {
        .name = "serve",
        .summary = "run the components and answer requests",
        .usage = "[--config <file>] [--listen <addr>]",
        .text =
            "As `rusm run`, and binds every [[serve]] listener. A listener with [serve.routes]\n"
            "answers each request with a fresh process of the component that the route names.\n"
            "\n"
            "  --config <file>  read this file instead of ./rusm.toml\n"
            "  --listen <addr>  instead of [node] listen, the address of `rusm node start`;\n"
            "                   ports of listeners are set by [[serve]] listen\n",
        .examples = "  rusm serve\n"
                    "  rusm serve --config staging.toml\n",
        .takes_config = true,
        .takes_listen = true,
        .run = rusm__cli_serve,
    },
    {
        .name = "check",
        .summary = "validate rusm.toml and the components, start nothing",
        .usage = "[--config <file>]",
        .text = "Reads rusm.toml, shows every problem in it with its place, and then loads every\n"
                "component as `rusm serve` would, without opening the store or a port.\n"
                "Exit code: 0 all is well, 1 a component is not, 2 the manifest is not.\n"
                "\n"
                "  --config <file>  read this file instead of ./rusm.toml\n",
        .examples = "  rusm check\n",
        .takes_config = true,
        .run = rusm__cli_check,
    },
    {
        .name = "doctor",
        .summary = "what this machine holds, and what limits it",
        .text = "Prints how many guests can be alive at once here, by the kernel's mappings, by\n"
                "memory and by address space, what to change for more, and whether the kernel has\n"
                "what spawns are fast with. Starts nothing and reads no manifest.\n",
        .examples = "  rusm doctor\n",
        .run = rusm__cli_doctor,
    },
    {
        .name = "node",
        .summary = "start a node that can be attached to",
        .usage = "start",
        .instead = "use `rusm run` or `rusm serve`",
    },
    {
        .name = "kv",
        .summary = "read and change the store",
        .usage = "set|get|list|rm ... [--config <file>]",
        .text =
            "Works on the store that [node] store names: through the node while it runs, on the\n"
            "file while it does not. The first slash divides bucket and key.\n"
            "\n"
            "  set <bucket>/<key> <file>   store the file's content; - is standard input\n"
            "  get <bucket>/<key> [<out>]  write the value to standard output, or into a file\n"
            "  list <bucket>               the keys, one a line, in the order of their bytes\n"
            "  rm <bucket>/<key>           remove it (delete is the same)\n"
            "\n"
            "  --config <file>  read this file instead of ./rusm.toml\n",
        .examples = "  rusm kv set pages/index index.html\n"
                    "  rusm kv get pages/index > index.html\n"
                    "  rusm kv list pages\n",
        .takes_config = true,
        .takes_operands = true,
        .run = rusm__cli_kv,
    },
    {
        .name = "generate",
        .summary = "add a component, a bridge or an auth hook",
        .usage = "component|bridge|authentication <name>",
        .instead = "add the [components.<name>] table by hand",
    },
    {
        .name = "attach",
        .summary = "look into a running node",
        .usage = "[target]",
        .instead = "set [log] level = \"info\" to see what a node does",
    },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

const struct rusm__cli_command *rusm__cli_find(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int longest_name(void) {
    size_t longest = strlen("help");
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strlen(commands[i].name) > longest)
            longest = strlen(commands[i].name);
    }
    return (int)longest;
}

void rusm__cli_print_help(FILE *out) {
    fprintf(out, "RUSM %s - an application server made of sandboxed actors\n\n", rusm_version());
    fputs("Usage:\n  rusm <command> [options]\n\nCommands:\n", out);
    int width = longest_name();
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-*s  %s%s\n", width, commands[i].name, commands[i].summary,
                commands[i].run ? "" : " (not supported yet)");
    }
    fprintf(out, "  %-*s  %s\n", width, "help", "this text");
    fputs("\nOptions:\n"
          "  -h, --help     help of a command\n"
          "  -V, --version  the version, wherever it stands\n"
          "\nDocs: docs/README.md of the source, or share/doc/rusm where it is installed\n",
          out);
}

void rusm__cli_print_command_help(const struct rusm__cli_command *command, FILE *out) {
    fprintf(out, "rusm %s — %s%s\n\nUsage:\n  rusm %s%s%s\n", command->name, command->summary,
            command->run ? "" : " (not supported yet)", command->name, command->usage ? " " : "",
            command->usage ? command->usage : "");
    if (command->text)
        fprintf(out, "\n%s", command->text);
    if (!command->run)
        fprintf(out, "\nThis release does not have it; meanwhile, %s.\n", command->instead);
    if (command->examples)
        fprintf(out, "\nExamples:\n%s", command->examples);
}
