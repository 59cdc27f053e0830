/* SPDX-License-Identifier: MIT */
/* Log lines about guests. */
#include "sandbox/lines.h"

#include <string.h>

#include "base/log.h"

#define FRAMES_MAX 48

static const char platform[] = "rusm";

void rusm__line_spawn(const char *name, rusm_pid pid, const char *grants) {
    rusm__log(RUSM__LOG_DEBUG, platform, "spawn", "%s#%llu  %s", name, (unsigned long long)pid,
              grants);
}

void rusm__line_trace(rusm_pid pid, const char *label, const char *backtrace) {
    for (int frame = 0; *backtrace && frame < FRAMES_MAX; frame++) {
        int len = (int)strcspn(backtrace, "\n");
        rusm__log(RUSM__LOG_ERROR, platform, "trace", "%s#%llu  %.*s", label,
                  (unsigned long long)pid, len, backtrace);
        backtrace += len;
        backtrace += *backtrace == '\n';
    }
}

void rusm__line_kill(rusm_pid pid) {
    rusm__log(RUSM__LOG_INFO, platform, "kill", "#%llu", (unsigned long long)pid);
}

void rusm__line_kill_tag(const void *tag, size_t len, size_t count) {
    rusm__log(RUSM__LOG_INFO, platform, "kill", "%.*s → %zu", (int)len, (const char *)tag, count);
}
