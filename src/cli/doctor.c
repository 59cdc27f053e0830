/* SPDX-License-Identifier: MIT */
/* `rusm doctor`: what this machine holds and what limits it. */
#include <stdio.h>

#include "rusm/error.h"
#include "rusm/node.h"

#include "cli/command.h"

int rusm__cli_doctor(const struct rusm__cli_command *command, const struct rusm__cli_args *args) {
    (void)args; /* it has no options */
    rusm_problem report;
    int code = rusm_node_doctor(&report);
    if (code == RUSM_OK)
        printf("%s\n", report.text);
    else
        fprintf(stderr, "%s failed: %s\n", command->name, rusm_error_text(code));
    rusm_problem_clear(&report);
    return code == RUSM_OK ? RUSM__CLI_OK : RUSM__CLI_FAILED;
}
