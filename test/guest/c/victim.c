/* SPDX-License-Identifier: MIT */
/* Registers as `victim` and sleeps for ever without reading its mail. It sleeps through WASI, so it
 * is also the C guest that needs the preview 1 adapter. */
#include <unistd.h>

#include "guest.h"

void exports_process_run(void) {
    process_string_t name = to_string(TEXT("victim"));
    if (rusm_runtime_actor_register(&name)) {
        for (;;) {
            sleep(3600);
        }
    }
}
