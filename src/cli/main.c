/* SPDX-License-Identifier: MIT */
/* The command line: find the command, answer --help and --version, run it.
 *
 * This folder uses include/rusm and nothing else of the project, so whatever the program does can
 * be done by a program that embeds the library. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rusm/version.h"

#include "cli/command.h"

/* Behind "--" nothing is an option. */
static bool has_flag(int argc, char **argv, const char *brief, const char *full) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], brief) == 0 || strcmp(argv[i], full) == 0)
            return true;
    }
    return false;
}

static int run_command(const char *name, int argc, char **argv) {
    const struct rusm__cli_command *command = rusm__cli_find(name);
    if (!command) {
        fputs("unknown command `", stderr);
        rusm__cli_print_word(name, stderr);
        fputs("`\n\n", stderr);
        rusm__cli_print_help(stderr);
        return RUSM__CLI_USAGE;
    }
    if (has_flag(argc, argv, "-h", "--help")) {
        rusm__cli_print_command_help(command, stdout);
        return RUSM__CLI_OK;
    }
    if (!command->run) {
        fprintf(stderr, "rusm %s is not supported yet: %s\n", name, command->instead);
        return RUSM__CLI_USAGE;
    }
    struct rusm__cli_args args;
    if (!rusm__cli_parse(command, argc, argv, &args))
        return RUSM__CLI_USAGE;
    return command->run(command, &args);
}

/* The next file that is opened would take the number of a standard stream that was closed, and what
 * is meant for that stream would go into it: into the store, for one. So the number is held by
 * something that cannot be read, or written, just as if the stream were closed. */
static bool hold_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", mode) != fd)
            return false;
    }
    return true;
}

int main(int argc, char **argv) {
    if (!hold_streams())
        return RUSM__CLI_FAILED; /* and nowhere to say so */
    /* A reader that leaves must not end the node, nor must a peer that closes a socket. */
    signal(SIGPIPE, SIG_IGN);
    /* Scripts wait for the line with the address, so every line leaves at once. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (has_flag(argc - 1, argv + 1, "-V", "--version")) {
        printf("rusm %s\n", rusm_version());
        return RUSM__CLI_OK;
    }
    if (argc < 2 || argv[1][0] == '-' || strcmp(argv[1], "help") == 0) {
        rusm__cli_print_help(stdout);
        return RUSM__CLI_OK;
    }
    return run_command(argv[1], argc - 2, argv + 2);
}
