/* SPDX-License-Identifier: MIT */
/* The commands of `rusm`: one table, from which dispatch and every help text are made. */
#ifndef RUSM__CLI_COMMAND_H
#define RUSM__CLI_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

/* Exit codes (docs/cli.md). */
enum { RUSM__CLI_OK = 0, RUSM__CLI_FAILED = 1, RUSM__CLI_USAGE = 2 };

/* What the options of a command line said. Texts point into argv. */
struct rusm__cli_args {
    const char *config; /* --config <file>; NULL if not given */
    const char *listen; /* --listen <addr> */
    char **operands;    /* the words that are no options */
    int operand_count;
};

struct rusm__cli_command {
    const char *name;
    const char *summary;  /* one line */
    const char *usage;    /* what stands behind "rusm <name>" */
    const char *text;     /* paragraphs of the help */
    const char *examples; /* lines, each indented */
    bool takes_config, takes_listen, takes_operands;
    /* NULL: not built yet; then `instead` says what to do meanwhile. */
    int (*run)(const struct rusm__cli_command *command, const struct rusm__cli_args *args);
    const char *instead;
};

/* NULL for a name that is no command. */
const struct rusm__cli_command *rusm__cli_find(const char *name);

/* The help of everything, and of one command. */
void rusm__cli_print_help(FILE *out);
void rusm__cli_print_command_help(const struct rusm__cli_command *command, FILE *out);

/* What somebody typed, or what a guest chose, with control characters as \xNN. */
void rusm__cli_print_word(const char *word, FILE *out);
void rusm__cli_print_bytes(const char *bytes, size_t len, FILE *out);

/* Read the arguments behind the command's name; operands are moved to the front of argv. False
 * after a complaint on stderr. */
bool rusm__cli_parse(const struct rusm__cli_command *command, int argc, char **argv,
                     struct rusm__cli_args *out_args);

struct rusm_problem;

/* Show the problem or the warnings that belong to code, and clear it; answers the exit code. */
int rusm__cli_report(const char *name, int code, struct rusm_problem *problem);

/* ---- the commands ---- */

int rusm__cli_run(const struct rusm__cli_command *command, const struct rusm__cli_args *args);
int rusm__cli_serve(const struct rusm__cli_command *command, const struct rusm__cli_args *args);
int rusm__cli_check(const struct rusm__cli_command *command, const struct rusm__cli_args *args);
int rusm__cli_doctor(const struct rusm__cli_command *command, const struct rusm__cli_args *args);
int rusm__cli_kv(const struct rusm__cli_command *command, const struct rusm__cli_args *args);

#endif
