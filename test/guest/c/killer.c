/* SPDX-License-Identifier: MIT */
/* A handler that ends the process whose name is the action. */
#include "guest.h"

void exports_process_run(void) {
    struct request request;
    rusm_runtime_actor_pid_t pid;
    if (!request_receive(&request)) {
        return;
    }
    process_string_t name = to_string(request.action);
    bool killed = rusm_runtime_actor_whereis(&name, &pid) && rusm_runtime_actor_kill(pid);
    struct response response = {killed ? 200 : 404, TEXT("text/plain"),
                                killed ? TEXT("killed") : TEXT("not killed")};
    request_answer(&request, &response);
}
