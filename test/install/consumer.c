/* SPDX-License-Identifier: MIT */
/* A stranger's program, built against an installed tree with nothing but pkg-config: it starts a
 * runtime, lets one process send itself a message, and checks what came back. */
#include <rusm/rusm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct echo {
    int seen;
};

static rusm_step echo_step(rusm_proc *self, void *body) {
    struct echo *echo = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        echo->seen = rusm_msg_len(msg) == 4 && memcmp(rusm_msg_data(msg), "ping", 4) == 0;
        rusm_msg_free(msg);
        if (!echo->seen)
            rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "the message changed on its way");
        return RUSM_STEP_EXIT;
    }
    return RUSM_STEP_WAIT;
}

static const rusm_body_ops echo_ops = {.name = "echo", .step = echo_step};

static int fail(const char *what, int code) {
    fprintf(stderr, "%s: %s\n", what, rusm_error_text(code));
    return EXIT_FAILURE;
}

int main(void) {
    struct echo echo = {0};
    rusm_runtime *runtime;
    int code = rusm_runtime_start(NULL, &runtime);
    if (code != RUSM_OK)
        return fail("rusm_runtime_start", code);
    rusm_spawn_options options = {.size = sizeof options, .ops = &echo_ops, .body = &echo};
    code = rusm_msg_copy("ping", 4, &options.first);
    if (code != RUSM_OK)
        return fail("rusm_msg_copy", code);
    rusm_pid pid;
    code = rusm_proc_spawn(runtime, &options, &pid);
    if (code != RUSM_OK)
        return fail("rusm_proc_spawn", code);
    while (rusm_pid_is_alive(runtime, pid)) {
        /* The process needs one step; the test's own time limit ends a wait that never does. */
    }
    rusm_runtime_stop(runtime);
    printf("rusm %s %s\n", rusm_version(), echo.seen ? "answered" : "lost the message");
    return echo.seen && strcmp(rusm_version(), RUSM_VERSION_STRING) == 0 ? EXIT_SUCCESS
                                                                         : EXIT_FAILURE;
}
