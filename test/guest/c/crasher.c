/* SPDX-License-Identifier: MIT */
/* A resident that crashes whenever it is started. */
#include "process.h"

void exports_process_run(void) {
    __builtin_trap();
}
